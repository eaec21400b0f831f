"""What an app asks for, as the commands that a workflow of ours would yield.

Ids of steps are whatever users of other SDKs call them, so commands get a neutral one: the step has the id. What
cannot be asked for is an `InvalidInput` or a `DefinitionError`: then the step fails, and its function may catch that.

Refuses to know when a step is open, and what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from weakref import WeakKeyDictionary

from ...commands import Invoke, Sleep, SleepUntil, WaitFor, WaitForSignal
from ...commands.base import StepCommand
from ...duration import moment
from ...errors import InvalidInput
from ...events import AcceptedEvent, event_document
from ...expression import parse_path, value_at
from ...routing import RouteTable
from ..protocol import terms as wire
from ..protocol.events import function_id
from ..protocol.flow_options import match_of

_STEP: Final = "step"

_slugs: WeakKeyDictionary[RouteTable, dict[str, str]] = WeakKeyDictionary()
"""For each table of routes: the workflow (`app/id`) that is meant by each name of a function on the wire."""


def command_for(asked: wire.Terms, trigger: AcceptedEvent, routes: RouteTable) -> StepCommand[Any]:
    """The command for what an op asks for. `trigger` is the run's event."""
    match asked:
        case wire.SleepFor(duration):
            return Sleep(_STEP, _span(duration))
        case wire.SleepUntil(until):
            return SleepUntil(_STEP, moment(until))
        case wire.AwaitEvent():
            return _wait(asked, trigger)
        case wire.AwaitSignal(signal, timeout, on_conflict):
            return WaitForSignal(_STEP, signal, timeout=_span(timeout), on_conflict=on_conflict)
        case wire.InvokeFunction(function, data, timeout):
            return Invoke(_STEP, target_of(function, routes), _object(data), timeout=_span(timeout), on_cancel="leave")
        case _:
            raise InvalidInput(f"{type(asked).__name__} is nothing that a server waits for")


def deferred(asked: wire.Defer, function: str, run: str, routes: RouteTable) -> StepCommand[Any]:
    """The command that begins a deferred function, which is told by which run of which function."""
    data = dict(_object(asked.data) or {})
    data["_inngest"] = {"fn_slug": asked.function_id, "parent_fn_slug": function, "parent_run_id": run}
    return Invoke(_STEP, target_of(asked.function_id, routes), data, on_cancel="leave")


def target_of(function: str, routes: RouteTable) -> str:
    """The workflow (`app/id`) that a function's name on the wire means; raises `InvalidInput` if there is none."""
    slugs = _slugs.get(routes)
    if slugs is None:
        slugs = _slugs[routes] = {
            function_id(route.app, route.definition.id): f"{route.app}/{route.definition.id}" for route in routes
        }
    target = slugs.get(function)
    if target is None:
        raise InvalidInput(f"no function {function!r:.200} is registered: it is called `app-id`")
    return target


def _wait(asked: wire.AwaitEvent, trigger: AcceptedEvent) -> StepCommand[Any]:
    """A wait; one for "the same value in both events" is looked up by that value, if the trigger has it."""
    match, where = None, asked.where
    path = match_of(where) if where is not None else None
    if path is not None and value_at(event_document(trigger), parse_path(path, "if")) is not None:
        match, where = path, None
    return WaitFor(_STEP, asked.event, timeout=_span(asked.timeout), match=match, where=where)


def _object(data: Any) -> Any:
    """The data of an invocation: an object, as that of any event."""
    return data if data is None or isinstance(data, Mapping) else {"data": data}


def _span(micros: int) -> timedelta:
    return timedelta(microseconds=micros)
