"""A workflow: a named generator function and its policies, checked where it is written.

`Workflow` is what `@app.workflow` leaves in the function's place. It is still that function: calling it
with a context gives the generator. What can never work is refused at once, with the file and line of
the function, and so is an option that does not exist: nothing is accepted and ignored.

`Definition` is the part that routing needs and no code: it is kept in the store, so that any process
can start runs of workflows whose code it does not have.

Refuses to know: apps beyond their name, stores, how a body is run, and how flow control is applied.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from functools import update_wrapper
from typing import Any, Generic, Literal, TypeAlias, TypeVar, get_args, get_origin

import attrs

from .commands import Loop, Steps, check_name
from .commands.base import shown
from .context import Context
from .duration import Micros
from .endpoints import Endpoint, Response
from .errors import DefinitionError
from .events import is_event_class
from .flow_control import Policies, check_policies
from .retry import Backoff, check_retries
from .triggers import OWN_PATTERNS, CatchUp, OnCron, OnEvent
from .values import has_fields

E = TypeVar("E")
R = TypeVar("R")

Trigger: TypeAlias = OnEvent | OnCron
Changes = Literal["strict", "additive"]

NO_POLICIES = Policies()
DEFAULT_MAX_STEPS = 1_000
MAX_MAX_STEPS = 1_000_000

OPTIONS = (
    *("on", "id", "retries", "backoff", "changes", "max_steps"),
    *(field.name for field in attrs.fields(Policies)),
)
"""What `@app.workflow` accepts: what is said here, and flow control."""


@attrs.frozen
class TriggerDefinition:
    """A trigger without its code: an event name that may end in `*`, and a condition."""

    pattern: str
    where: str | None = None


@attrs.frozen
class ScheduleDefinition:
    """A schedule as `Cron.text` writes it, which names it among those of its workflow; `jitter` is a duration."""

    text: str
    jitter: Micros = 0
    catch_up: CatchUp = "last"


@attrs.frozen
class Remote:
    """A function that is not written here: its app is called over HTTP, once a step.

    `url` is where it is called, and `slug` and `name` are what it is called there; `retries` are those of its steps, of
    which it has at most `max_steps`. An `endpoint` answers HTTP requests, and each of its runs says where it is called.
    The rest is what its app said of itself: its SDK, version, framework, URL, and the fingerprint of all it said.
    """

    url: str
    slug: str
    name: str
    retries: int
    max_steps: int = DEFAULT_MAX_STEPS
    sdk: str = ""
    version: str = ""
    framework: str = ""
    app_url: str = ""
    fingerprint: str = ""
    endpoint: bool = False


@attrs.frozen
class Definition:
    """What routing knows of a workflow; and of one that is not written here, what it takes to call it."""

    id: str
    triggers: tuple[TriggerDefinition, ...] = ()
    policies: Policies = NO_POLICIES
    schedules: tuple[ScheduleDefinition, ...] = ()
    remote: Remote | None = None


@attrs.define(slots=False, eq=False, repr=False)
class Workflow(Generic[E, R]):
    """A generator function that is durable when an engine runs it.

    `fn` is the function, `app` the name of its app, and `returns` the annotation of what it returns.
    `triggers` are the events that start it, `schedules` the times, `policies` is its flow control.
    `retries`, `backoff` and `loop` are what its steps go by, unless they say otherwise. `event_class`
    is the class of `ctx.event.data` if the function's annotation or its only typed trigger says so.
    `version` is its app's; `endpoint` says which requests it answers, if it does. One that is `remote` is not
    written here: `fn` is never called, and `declared` is its definition.
    """

    app: str
    id: str
    fn: Callable[[Context[E]], Steps[R]]
    triggers: tuple[OnEvent, ...]
    schedules: tuple[OnCron, ...]
    policies: Policies
    retries: int
    backoff: Backoff
    loop: Loop
    changes: Changes
    max_steps: int
    version: str
    event_class: type[Any] | None
    returns: Any
    endpoint: Endpoint | None = None
    declared: Definition | None = None

    __flowgen_workflow__ = True

    def __attrs_post_init__(self) -> None:
        update_wrapper(self, self.fn, updated=())

    def __call__(self, ctx: Context[E], /) -> Steps[R]:
        """The generator of the function, as if it were not decorated."""
        return self.fn(ctx)

    def class_of(self, event: str) -> type[Any] | None:
        """The class that the data of an event with this name is restored to; None for a dict."""
        for trigger in self.triggers:
            if trigger.event_class is not None and trigger.name == event:
                return trigger.event_class
        return self.event_class

    def definition(self) -> Definition:
        """What the store keeps of it."""
        if self.declared is not None:
            return self.declared
        return Definition(
            self.id,
            tuple(TriggerDefinition(t.name, t.where) for t in self.triggers),
            self.policies,
            tuple(ScheduleDefinition(s.schedule, s.jitter, s.catch_up) for s in self.schedules),
        )

    @property
    def remote(self) -> Remote | None:
        """Where it is, if it is not written here."""
        return None if self.declared is None else self.declared.remote

    @property
    def where(self) -> str:
        """The file and line of the function."""
        return location(self.fn)

    def __repr__(self) -> str:
        return f"<Workflow {self.app}/{self.id}>"


def make_workflow(
    fn: Any,
    *,
    app: str,
    version: str,
    loop: Loop,
    retries: int,
    backoff: Backoff,
    max_steps: int,
    on: Trigger | Sequence[Trigger] | None = None,
    id: str | None = None,
    changes: str = "strict",
    **options: Any,
) -> Workflow[Any, Any]:
    """The workflow of a function, or a `DefinitionError` that says where and why it cannot be one.

    `options` are those of flow control (`check_policies`).
    """
    at = f"workflow {_name(fn)} ({location(fn)})"
    _check_function(fn, at)
    _check_options(options, at)
    _check_handler(options.get("on_failure"), at)
    annotated, returns = _annotations(fn)
    triggers, schedules = _triggers(on, at)
    id = check_name(_name(fn).strip("_").replace("_", "-") if id is None else id, f"{at}: id")
    return Workflow(
        app=app,
        id=id,
        fn=fn,
        triggers=triggers,
        schedules=schedules,
        policies=check_policies(at, f"{app}/{id}", **options),
        retries=check_retries(retries, f"{at}: retries"),
        backoff=check_backoff(backoff, f"{at}: backoff"),
        loop=loop,
        changes=_check_changes(changes, at),
        max_steps=check_max_steps(max_steps, f"{at}: max_steps"),
        version=version,
        event_class=_event_class(annotated, triggers, schedules, at),
        returns=None if Response in get_args(returns) else returns,
    )


def _check_options(names: Iterable[str], at: str) -> None:
    """Refuse options that there are not."""
    for name in names:
        if name not in OPTIONS:
            close = get_close_matches(name, OPTIONS, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"the options are {', '.join(OPTIONS)}"
            raise DefinitionError(f"{at}: there is no option {name!r}; {hint}")


def _check_handler(handler: Any, at: str) -> None:
    """Refuse a failure handler that would read what it gets as something else."""
    if isinstance(handler, Workflow) and handler.event_class is not None:
        raise DefinitionError(
            f"{at}: on_failure: {handler!r} reads its data as {handler.event_class.__name__}, but a workflow that "
            "handles failures gets a dict with workflow_id, run_id, error and event; name a workflow that reads a dict"
        )


def location(fn: Any) -> str:
    """`file:line` of a function or class, as well as it can be known."""
    code = getattr(inspect.unwrap(fn) if callable(fn) else fn, "__code__", None)
    if code is not None:
        return f"{code.co_filename}:{code.co_firstlineno}"
    try:
        return f"{inspect.getsourcefile(fn)}:{inspect.getsourcelines(fn)[1]}"
    except (TypeError, OSError):
        return "no source"


def check_backoff(value: object, what: str) -> Backoff:
    """`value` if it is a `Backoff`."""
    if not isinstance(value, Backoff):
        raise DefinitionError(f"{what}: {shown(value)} is not a Backoff; write Backoff.exponential('1s')")
    return value


def check_max_steps(value: object, what: str) -> int:
    """`value` if it is a number of steps."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_MAX_STEPS:
        raise DefinitionError(
            f"{what}: {shown(value)} is not a number of steps; it is an int from 1 to {MAX_MAX_STEPS}"
        )
    return value


def _check_changes(value: object, at: str) -> Changes:
    if value not in get_args(Changes):
        raise DefinitionError(f"{at}: changes: {shown(value)} is neither 'strict' nor 'additive'")
    return value  # type: ignore[return-value]


# -- the function ----------------------------------------------------------------------------------

_EXAMPLE = "def name(ctx): … yield Run(…)"


def _name(fn: Any) -> str:
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else shown(fn)


def _check_function(fn: Any, at: str) -> None:
    """Refuse what is no generator function of one argument."""
    reason = _flaw(fn)
    if reason is not None:
        raise DefinitionError(f"{at}: {reason}")
    parameters = list(inspect.signature(fn).parameters.values())
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    needed = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    if not positional or len(needed) > 1 or needed not in ([], positional[:1]):
        raise DefinitionError(
            f"{at}: it takes ({', '.join(p.name for p in parameters)}), but is called with one argument, the context; "
            f"write `{_EXAMPLE}`"
        )


def _flaw(fn: Any) -> str | None:
    """Why this is no generator function, or None."""
    if isinstance(fn, Workflow):
        return "it is a workflow already; decorate the function once"
    if isinstance(fn, type):
        return f"it is a class; a workflow is a generator function: `{_EXAMPLE}`"
    if not inspect.isfunction(fn):
        return f"it is not a function; a workflow is a generator function: `{_EXAMPLE}`"
    if inspect.isasyncgenfunction(fn):
        return "it is an async generator; write `def` instead of `async def`, and yield commands instead of awaiting"
    if inspect.iscoroutinefunction(fn):
        return "it is an async function; write `def` instead of `async def`, and yield commands instead of awaiting"
    if fn.__name__ == "<lambda>":
        return f"it is a lambda, which has no name of its own; write `{_EXAMPLE}`"
    if not inspect.isgeneratorfunction(fn):
        return (
            "it is a plain function, without a yield; a workflow yields commands: "
            f"`{_EXAMPLE}` (if another decorator wraps it, put @app.workflow next to the function)"
        )
    return None


# -- its types -------------------------------------------------------------------------------------


def _annotations(fn: Callable[..., Any]) -> tuple[type[Any] | None, Any]:
    """E and R of `(ctx: Context[E]) -> Steps[R]`, as far as they can be known; E only if it is a class."""
    try:
        hints = typing.get_type_hints(fn, include_extras=True)
    except Exception:  # names that only a type checker sees
        return None, None
    parameter = next(iter(inspect.signature(fn).parameters), None)
    context = hints.get(parameter) if parameter is not None else None
    event = get_args(context)[0] if get_origin(context) is Context else None
    steps = hints.get("return")
    returns = get_args(steps)[-1] if len(get_args(steps)) == 3 else None
    return (event if isinstance(event, type) and has_fields(event) else None), returns


def _triggers(on: Any, at: str) -> tuple[tuple[OnEvent, ...], tuple[OnCron, ...]]:
    """The events and the schedules that start it."""
    several: Any = [] if on is None else on if isinstance(on, list | tuple) else [on]
    triggers: tuple[Any, ...] = tuple(several)
    for trigger in triggers:
        if not isinstance(trigger, Trigger):
            raise DefinitionError(f"{at}: on: {_not_a_trigger(trigger)}")
    schedules = tuple(trigger for trigger in triggers if isinstance(trigger, OnCron))
    for number, schedule in enumerate(schedules):
        if schedule.schedule in [other.schedule for other in schedules[:number]]:
            raise DefinitionError(f"{at}: on: the schedule {schedule.schedule!r} is there twice; remove one")
    return tuple(trigger for trigger in triggers if isinstance(trigger, OnEvent)), schedules


def _not_a_trigger(value: object) -> str:
    if isinstance(value, str) or is_event_class(value):
        text = _name(value) if isinstance(value, type) else repr(value)
        return f"{text} is not a trigger; write on=OnEvent({text})"
    return f"{shown(value)} is not a trigger; write on=OnEvent('event/name') or on=OnCron('0 9 * * MON')"


def _event_class(
    annotated: type[Any] | None, triggers: tuple[OnEvent, ...], schedules: tuple[OnCron, ...], at: str
) -> type[Any] | None:
    """The class of the event's data where no trigger's own class says it."""
    classes = {t.event_class for t in triggers if t.event_class is not None}
    if annotated is None:
        return next(iter(classes)) if len(classes) == len(triggers) + len(schedules) == 1 else None
    for other in classes:
        if not issubclass(other, annotated):
            raise DefinitionError(
                f"{at}: its context is annotated Context[{annotated.__name__}], "
                f"but its trigger gives {other.__name__}; make them agree"
            )
    every: tuple[Trigger, ...] = (*schedules, *triggers)
    own = [trigger for trigger in every if isinstance(trigger, OnCron) or trigger.name in OWN_PATTERNS]
    if own:
        more = f"{annotated.__name__} | " if len(own) < len(every) else ""
        raise DefinitionError(
            f"{at}: its context is annotated Context[{annotated.__name__}], "
            f"but {own[0]!r} gives a dict; annotate it Context[{more}dict[str, Any]]"
        )
    return annotated
