"""`WaitFor` and `WaitForSignal`: wait for the world, with a timeout.

A wait for an event looks back, so nothing is lost between "sent" and "waiting"; how far is in the
semantics of `since`. Event name, `match` and `where` are the fingerprint; the timeout is not.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, ClassVar, Literal, TypeAlias, TypeVar, get_args, overload

import attrs

from ..duration import Instant, Micros, format_duration, instant, parse_duration
from ..errors import DefinitionError, InvalidInput
from ..events import Event, check_waitable, event_name
from ..expression import check_expression, parse_path
from ..history import Kind
from ..outcome import Json
from ..values import encode
from .base import R_co, StepCommand, call_text, changed, check_name, shown

E = TypeVar("E")

Since: TypeAlias = Literal["start", "now"] | datetime
OnConflict = Literal["fail", "replace"]

WHERE_VARIABLES = ("event", "async")
"""What `where` of a wait may read: the trigger event, and the event that arrives."""


@attrs.define(init=False, repr=False)
class WaitFor(StepCommand[R_co]):
    """Wait for an event; gives it, or None after the timeout.

    ::

        ok = yield WaitFor("approval", "order/approved", match="data.order_id", timeout="7d")
        ok = yield from WaitFor("approval", OrderApproved, timeout="7d")      # Event[OrderApproved] | None

    `match="data.order_id"` means: the same value there as in the trigger event. `where` is a CEL
    expression over `event` (the trigger event) and `async` (the event that arrives). With both, both
    must hold.

    It sees events from just after the trigger event on, or after the one that the previous occurrence
    of this step returned. `since="start"` looks back to the trigger event each time, `since="now"` not
    at all, and an aware `datetime` to that time.
    """

    kind: ClassVar[Kind] = "wait"
    id: str
    event: str
    event_class: type[Any] | None
    match: str | None
    where: str | None
    timeout: Micros
    since: Literal["start", "now"] | Instant | None

    @overload
    def __init__(
        self: WaitFor[Event[dict[str, Any]] | None],
        id: str,
        event: str,
        *,
        timeout: str | float | timedelta,
        match: str | None = None,
        where: str | None = None,
        since: Since | None = None,
    ) -> None: ...
    @overload
    def __init__(
        self: WaitFor[Event[E] | None],
        id: str,
        event: type[E],
        *,
        timeout: str | float | timedelta,
        match: str | None = None,
        where: str | None = None,
        since: Since | None = None,
    ) -> None: ...
    def __init__(
        self,
        id: str,
        event: Any,
        *,
        timeout: str | float | timedelta,
        match: str | None = None,
        where: str | None = None,
        since: Since | None = None,
    ) -> None:
        self.id = check_name(id, "id of WaitFor")
        self.event = _event_name(event, id)
        self.event_class = event if isinstance(event, type) else None
        self.match = None if match is None else _check_match(match, f"match of {id!r}")
        self.where = None if where is None else _check_where(where, f"where of {id!r}")
        self.timeout = parse_duration(timeout, f"timeout of {id!r}")
        self.since = None if since is None else _check_since(since, f"since of {id!r}")

    def options(
        self, *, id: str | None = None, timeout: str | float | timedelta | None = None, since: Since | None = None
    ) -> WaitFor[R_co]:
        """A copy with another id, timeout or start."""
        return changed(
            self,
            id=None if id is None else check_name(id, "id of WaitFor"),
            timeout=None if timeout is None else parse_duration(timeout, f"timeout of {self.id!r}"),
            since=None if since is None else _check_since(since, f"since of {self.id!r}"),
        )

    def arguments(self) -> Json:
        asked = {"event": self.event, "match": self.match, "where": self.where}
        return encode({key: value for key, value in asked.items() if value is not None}, f"step {self.id!r}")

    def __repr__(self) -> str:
        event = repr(self.event) if self.event_class is None else self.event_class.__name__
        options = {"match": self.match, "where": self.where, "timeout": format_duration(self.timeout)}
        return call_text("WaitFor", repr(self.id), event, **options, since=self.since)


@attrs.define(init=False, repr=False)
class WaitForSignal(StepCommand[Any]):
    """Wait for the signal of that name; gives its data, or None after the timeout.

    One waiter a name: while somebody else waits, this fails (`on_conflict="fail"`), or takes the name
    over and the old waiter fails (`"replace"`).
    """

    kind: ClassVar[Kind] = "signal"
    id: str
    signal: str
    timeout: Micros
    on_conflict: OnConflict

    def __init__(
        self, id: str, signal: str, *, timeout: str | float | timedelta, on_conflict: OnConflict = "fail"
    ) -> None:
        self.id = check_name(id, "id of WaitForSignal")
        self.signal = check_signal(signal, id)
        self.timeout = parse_duration(timeout, f"timeout of {id!r}")
        self.on_conflict = _check_on_conflict(on_conflict, id)

    def options(
        self,
        *,
        id: str | None = None,
        timeout: str | float | timedelta | None = None,
        on_conflict: OnConflict | None = None,
    ) -> WaitForSignal:
        """A copy with another id, timeout or answer to a conflict."""
        return changed(
            self,
            id=None if id is None else check_name(id, "id of WaitForSignal"),
            timeout=None if timeout is None else parse_duration(timeout, f"timeout of {self.id!r}"),
            on_conflict=None if on_conflict is None else _check_on_conflict(on_conflict, self.id),
        )

    def arguments(self) -> Json:
        return encode({"signal": self.signal}, f"step {self.id!r}")

    def __repr__(self) -> str:
        conflict = None if self.on_conflict == "fail" else self.on_conflict
        timeout = format_duration(self.timeout)
        return call_text("WaitForSignal", repr(self.id), repr(self.signal), timeout=timeout, on_conflict=conflict)


MAX_SIGNAL_LENGTH = 256


def check_signal(value: object, id: str) -> str:
    """`value` if it can be a signal's name: any text of 1 to 256 characters without a NUL."""
    if not isinstance(value, str):
        raise DefinitionError(f"signal of {id!r}: {shown(value)} is not a str")
    if not 1 <= len(value) <= MAX_SIGNAL_LENGTH:
        raise DefinitionError(f"signal of {id!r}: {shown(value)} has {len(value)} characters; it takes 1 to 256")
    if "\x00" in value or not _is_text(value):
        raise DefinitionError(f"signal of {id!r}: {shown(value)} holds a character that cannot be stored")
    return value


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _event_name(event: object, id: str) -> str:
    match event:
        case str():
            return _plain_name(event, id)
        case type():
            return event_name(event)
        case Event():
            raise DefinitionError(f"event of {id!r}: got an event; write its name, {event.name!r}")
        case _:
            raise DefinitionError(f"event of {id!r}: {shown(event)} is neither an event's name nor an event class")


def _plain_name(name: str, id: str) -> str:
    if name.endswith("*"):
        raise DefinitionError(f"event of {id!r}: {name!r} is a pattern, for triggers only; a wait names one event")
    try:
        return check_waitable(name)
    except InvalidInput as error:
        raise DefinitionError(f"event of {id!r}: {error}") from None


@lru_cache(maxsize=1024)
def _check_match(path: str, what: str) -> str:
    if not isinstance(path, str):
        raise DefinitionError(f"{what}: {shown(path)} is not a path; write it like 'data.order_id'")
    parse_path(path, what)
    return path


@lru_cache(maxsize=1024)
def _check_where(text: str, what: str) -> str:
    """`text` if it can ever hold; remembered, because compiling takes far longer than making the command."""
    return check_expression(text, WHERE_VARIABLES, what)


def _check_since(value: object, what: str) -> Literal["start", "now"] | Instant:
    match value:
        case "start" | "now":
            return value
        case datetime():
            return instant(value, what)
        case _:
            raise DefinitionError(f"{what}: {shown(value)} is neither 'start', 'now' nor an aware datetime")


def _check_on_conflict(value: object, id: str) -> OnConflict:
    if value not in get_args(OnConflict):
        raise DefinitionError(f"on_conflict of {id!r}: {shown(value)} is neither 'fail' nor 'replace'")
    return value  # type: ignore[return-value]
