"""Events, runs and functions as SDKs see them.

A run's state is one of four there: one that waits for its turn, for the world or for code is `Running`, and one that
was skipped by flow control is `Cancelled`. What a failed run came to is its error.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from ....duration import moment
from ....events import AcceptedEvent
from ....outcome import Failure
from ...engine import Engine
from ...info import RunInfo
from ...paging import Pages
from ...protocol.errors import error_of, error_to_json
from ...protocol.events import function_id, to_wire
from ..fields import time_of
from ..routes import LIMIT, LONGEST_PAGE, Call
from .envelope import enveloped

STATES: Final[Mapping[str, str]] = {
    "completed": "Completed",
    "failed": "Failed",
    "cancelled": "Cancelled",
    "cancelling": "Cancelled",
    "skipped": "Cancelled",
}
"""Of our states; all others are `Running`."""


def state_of(run: RunInfo) -> str:
    """What SDKs call the state of a run."""
    return STATES.get(run.status, "Running")


async def list_events(call: Call) -> Response:
    """Newest first. Times narrow the page that they are asked for with."""
    limit = call.number("limit", LIMIT, 1, LONGEST_PAGE)
    ask = partial(call.service.engine.events, call.query("name"), limit=limit, cursor=call.query("cursor"))
    after, before = _time(call, "received_after"), _time(call, "received_before")
    page = await call.service.ask(ask)
    return enveloped([event_document(event) for event in page.items if _received(event, after, before)])


async def show_event(call: Call) -> Response:
    return enveloped(event_document(await call.service.ask(call.service.engine.event, call.path("id"))))


async def runs_of_event(call: Call) -> Response:
    id = call.path("id")
    await call.service.ask(call.service.engine.event, id)
    runs = await call.service.ask(all_started_by, call.service.engine, id)
    return enveloped([run_document(run, id) for run in runs])


async def all_started_by(engine: Engine, event: str) -> list[RunInfo]:
    """All runs that an event has started: SDKs know no pages of them."""
    pages = Pages(lambda cursor: engine.runs(event=event, cursor=cursor))
    return [run async for run in pages.items()]


async def show_run(call: Call) -> Response:
    return enveloped(run_document(await call.service.ask(call.service.engine.run, call.path("id"))))


async def list_functions(call: Call) -> Response:
    """The functions of one app."""
    app = call.path("name")
    found = await call.service.ask(call.service.engine.workflows)
    return enveloped(
        [
            {
                "id": function_id(app, each.id),
                "slug": function_id(app, each.id),
                "name": each.id,
                "is_paused": each.paused,
            }
            for each in found
            if each.app == app
        ]
    )


def event_document(event: AcceptedEvent) -> dict[str, Any]:
    """An event as SDKs see it: `id` is its sender's, if that gave one."""
    return {**to_wire(event), "internal_id": event.id, "received_at": _written(moment(event.accepted_at))}


def run_document(run: RunInfo, event: str | None = None) -> dict[str, Any]:
    """A run as SDKs see it; `event` is the internal id of what started it, where that is known."""
    return {
        "run_id": run.id,
        "run_started_at": _written(run.started_at or run.created_at),
        "function_id": function_id(run.app, run.workflow_id),
        "event_id": event,
        "status": state_of(run),
        "ended_at": None if run.ended_at is None else _written(run.ended_at),
        "output": output_of(run),
    }


def output_of(run: RunInfo) -> Any:
    """What a run came to: its result, or its error."""
    return run.result if run.error is None else error_document(run.error)


def error_document(failure: Failure) -> dict[str, Any]:
    """A failure as an error of the protocol."""
    return error_to_json(error_of(failure))


def _received(event: AcceptedEvent, after: datetime | None, before: datetime | None) -> bool:
    at = moment(event.accepted_at)
    return (after is None or at >= after) and (before is None or at < before)


def _time(call: Call, name: str) -> datetime | None:
    given = call.query(name)
    return None if given is None else time_of(given, name, name)


def _written(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
