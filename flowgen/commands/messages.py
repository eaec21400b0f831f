"""`Invoke`, `SendEvent`, `SendSignal`, `Restart`: what one run says to others, or to its successor."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from datetime import timedelta
from typing import Any, ClassVar, Literal, NoReturn, Protocol, TypeVar, get_args, overload

import attrs

from ..duration import Micros, format_duration, parse_duration
from ..errors import DefinitionError, InvalidInput
from ..events import Event, as_event, check_sendable
from ..history import Kind
from ..outcome import Json
from ..values import encode, has_fields
from .base import Command, R_co, StepCommand, call_text, changed, check_name, shown
from .waits import check_signal

R = TypeVar("R")
Result_co = TypeVar("Result_co", covariant=True)

OnCancel = Literal["cancel", "leave"]


class Invocable(Protocol[Result_co]):
    """What `Invoke` has to know of a workflow."""

    @property
    def app(self) -> str: ...
    @property
    def id(self) -> str: ...
    @property
    def returns(self) -> Any: ...
    def __call__(self, ctx: Any, /) -> Generator[Any, Any, Result_co]: ...


@attrs.define(init=False, repr=False)
class Invoke(StepCommand[R_co]):
    """Run a workflow as a child and give what it returned: `Invoke("receipt", make_receipt, {"id": 7})`.

    The workflow is one of the same app, given itself or by its id, or `"app/id"`. The child is a run
    of its own. `StepError` is raised when it fails, `InvokeTimeout` after the timeout. When this run is
    cancelled or gives up on it, the child is cancelled too, unless `on_cancel="leave"`.

    `workflow` is `"id"` or `"app/id"`; `returns` is the annotation that the result is restored to.
    """

    kind: ClassVar[Kind] = "invoke"
    id: str
    workflow: str
    data: Any
    timeout: Micros | None
    on_cancel: OnCancel
    returns: Any

    @overload
    def __init__(
        self: Invoke[Any],
        id: str,
        workflow: str,
        data: Any = None,
        *,
        timeout: str | float | timedelta | None = None,
        on_cancel: OnCancel = "cancel",
    ) -> None: ...
    @overload
    def __init__(
        self: Invoke[R],
        id: str,
        workflow: Invocable[R],
        data: Any = None,
        *,
        timeout: str | float | timedelta | None = None,
        on_cancel: OnCancel = "cancel",
    ) -> None: ...
    def __init__(
        self,
        id: str,
        workflow: Any,
        data: Any = None,
        *,
        timeout: str | float | timedelta | None = None,
        on_cancel: OnCancel = "cancel",
    ) -> None:
        self.id = check_name(id, "id of Invoke")
        self.workflow, self.returns = _target(workflow, id)
        self.data = _check_data(data, f"data of {id!r}")
        self.timeout = None if timeout is None else parse_duration(timeout, f"timeout of {id!r}")
        self.on_cancel = _check_on_cancel(on_cancel, id)

    def options(
        self,
        *,
        id: str | None = None,
        timeout: str | float | timedelta | None = None,
        on_cancel: OnCancel | None = None,
    ) -> Invoke[R_co]:
        """A copy with another id, timeout or fate of the child."""
        return changed(
            self,
            id=None if id is None else check_name(id, "id of Invoke"),
            timeout=None if timeout is None else parse_duration(timeout, f"timeout of {self.id!r}"),
            on_cancel=None if on_cancel is None else _check_on_cancel(on_cancel, self.id),
        )

    def arguments(self) -> Json:
        return encode({"workflow": self.workflow, "data": self.data}, f"the arguments of step {self.id!r}")

    def __repr__(self) -> str:
        data = [] if self.data is None else [shown(self.data)]
        timeout = None if self.timeout is None else format_duration(self.timeout)
        leave = None if self.on_cancel == "cancel" else self.on_cancel
        return call_text("Invoke", repr(self.id), repr(self.workflow), *data, timeout=timeout, on_cancel=leave)


@attrs.define(init=False, repr=False)
class SendEvent(StepCommand[list[str]]):
    """Send one event or several; gives their ids. They are sent exactly once, by the step's commit.

    `SendEvent("tell", Event("order/done", {"id": 7}))`; instances of event classes are taken too.
    """

    kind: ClassVar[Kind] = "send"
    id: str
    events: tuple[Event[Any], ...]

    def __init__(self, id: str, event: object) -> None:
        self.id = check_name(id, "id of SendEvent")
        many = event if isinstance(event, (list, tuple)) else (event,)
        if not many:
            raise DefinitionError(f"SendEvent({id!r}, {event!r}) has no event to send")
        self.events = tuple(_sendable(item, id) for item in many)

    def options(self, *, id: str | None = None) -> SendEvent:
        """A copy with another id."""
        return changed(self, id=None if id is None else check_name(id, "id of SendEvent"))

    def arguments(self) -> Json:
        asked = [{"name": event.name, "data": event.data, "id": event.id} for event in self.events]
        return encode(asked, f"the events of step {self.id!r}")

    def __repr__(self) -> str:
        one = len(self.events) == 1
        return call_text("SendEvent", repr(self.id), shown(self.events[0] if one else list(self.events)))


@attrs.define(init=False, repr=False)
class SendSignal(StepCommand[None]):
    """Send a signal to the run that waits for it. `StepError` is raised if no run does."""

    kind: ClassVar[Kind] = "send_signal"
    id: str
    signal: str
    data: Any

    def __init__(self, id: str, signal: str, data: Any = None) -> None:
        self.id = check_name(id, "id of SendSignal")
        self.signal = check_signal(signal, id)
        self.data = data

    def options(self, *, id: str | None = None) -> SendSignal:
        """A copy with another id."""
        return changed(self, id=None if id is None else check_name(id, "id of SendSignal"))

    def arguments(self) -> Json:
        return encode({"signal": self.signal, "data": self.data}, f"the arguments of step {self.id!r}")

    def __repr__(self) -> str:
        data = [] if self.data is None else [shown(self.data)]
        return call_text("SendSignal", repr(self.id), repr(self.signal), *data)


@attrs.define(init=False, repr=False)
class Restart(Command[NoReturn]):
    """End this run and start its successor, with `data` and a fresh history, in one commit.

    For loops without an end: `yield Restart({"cursor": cursor})`, or `return Restart(…)`. Nothing after
    it is executed.
    """

    data: Any

    def __init__(self, data: Any = None) -> None:
        self.data = _check_data(data, "data of Restart")

    def __repr__(self) -> str:
        return call_text("Restart", *([] if self.data is None else [shown(self.data)]))


def _target(workflow: Any, id: str) -> tuple[str, Any]:
    """The name of the workflow to run, and the annotation of what it returns."""
    if isinstance(workflow, str):
        app, slash, name = workflow.rpartition("/")
        if slash:
            check_name(app, f"app of {id!r}")
        check_name(name, f"workflow of {id!r}")
        return workflow, None
    if not hasattr(workflow, "__flowgen_workflow__"):
        raise DefinitionError(
            f"workflow of {id!r}: {shown(workflow)} is neither a workflow nor the id of one; "
            "decorate the function with @app.workflow, or write its id"
        )
    return f"{workflow.app}/{workflow.id}", workflow.returns


def _check_data(data: Any, what: str) -> Any:
    """`data` if it can be the data of an event: an object, or nothing."""
    if data is not None and not isinstance(data, Mapping) and not has_fields(type(data)):
        raise DefinitionError(
            f"{what}: {shown(data)} is not an object, and it becomes ctx.event.data; wrap it: {{'value': …}}"
        )
    return data


def _sendable(item: Any, id: str) -> Event[Any]:
    try:
        event: Event[Any] = as_event(item)
        check_sendable(event.name)
    except InvalidInput as error:
        raise DefinitionError(f"event of {id!r}: {error}") from None
    return event


def _check_on_cancel(value: object, id: str) -> OnCancel:
    if value not in get_args(OnCancel):
        raise DefinitionError(f"on_cancel of {id!r}: {shown(value)} is neither 'cancel' nor 'leave'")
    return value  # type: ignore[return-value]
