"""Events on the wire, and ours.

On the wire an event is `{"id", "name", "data", "ts", "user"}`: `ts` in milliseconds, `user` always an object. Users'
events are the same on both sides. The engine's own have other names and members there:

===========================  ==========================================  ===========================================
ours                         on the wire                                 its data there
===========================  ==========================================  ===========================================
`flowgen/run.completed`      `inngest/function.finished`                 `function_id run_id event events result`
`flowgen/run.failed`         `inngest/function.failed`                   `function_id run_id event events error`
`flowgen/run.cancelled`      `inngest/function.cancelled`                `function_id run_id event events error`
`flowgen/run.invoked`        `inngest/function.invoked`                  what it was invoked with
`flowgen/cron.tick`          `inngest/scheduled.timer`                   `cron scheduledAt fireAt`
===========================  ==========================================  ===========================================

A function is named `app-id` on the wire (`function_id`); ours are named by their app and their id.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ...duration import MILLISECOND
from ...events import INVOKED, INVOKED_AFTER_END, RUN_ENDS, AcceptedEvent, payload_digest
from ...schedules import TICK
from ...values import decode
from .reading import BadEvent, Members, ProtocolError, encoded

FAILED: Final = "inngest/function.failed"
FINISHED: Final = "inngest/function.finished"
CANCELLED: Final = "inngest/function.cancelled"
INVOKED_THERE: Final = "inngest/function.invoked"
TIMER: Final = "inngest/scheduled.timer"
RESERVED_PREFIX: Final = "inngest/"
SEEDED: Final = "inngest-seed/"
"""What the keys of events begin with that their sender gave no id: a server makes one, so that a send which is repeated
is accepted once. On the wire their id is the internal one."""

_THERE: Final[Mapping[str, str]] = {
    RUN_ENDS["completed"]: FINISHED,
    RUN_ENDS["failed"]: FAILED,
    RUN_ENDS["cancelled"]: CANCELLED,
    INVOKED: INVOKED_THERE,
    INVOKED_AFTER_END: INVOKED_THERE,
    TICK: TIMER,
}
_HERE: Final[Mapping[str, str]] = {there: here for here, there in _THERE.items() if here != INVOKED_AFTER_END}
_ENDS: Final = frozenset(RUN_ENDS.values())
_LATEST: Final = 4_102_444_800_000
"""The year 2100, in milliseconds."""


def function_id(app: str, id: str) -> str:
    """What a function is called on the wire."""
    return f"{app}-{id}"


def to_wire(event: AcceptedEvent, app: str = "") -> dict[str, Any]:
    """The document of one of our events on the wire. `app` is whose run has ended, where the event does not say it."""
    data = decode(event.data)
    name = _THERE.get(event.name, event.name)
    if event.name in _ENDS:
        data = _end_there(data, app)
    elif event.name == TICK:
        data = {"cron": data.get("cron", ""), "scheduledAt": data.get("tick", ""), "fireAt": data.get("tick", "")}
    return {
        "id": event.id if event.key is None or event.key.startswith(SEEDED) else event.key,
        "name": name,
        "data": data,
        "ts": event.ts // MILLISECOND,
        "user": {},
    }


def from_wire(
    document: Any, now: int, place: str = "event", error: type[ProtocolError] = BadEvent, *, app: str = ""
) -> AcceptedEvent:
    """One of our events from its document on the wire, as if it had been accepted at `now` (microseconds).

    `app` is the app that gets it: the functions of that app are known by their ids. Raises `error` with the place for
    what is none.
    """
    members = Members(document, place, error)
    name = members.needed_text("name", longest=512)
    ts = members.number("ts") or now // MILLISECOND
    if not 0 <= ts <= _LATEST:
        members.refuse("ts", f"{ts} is no time in milliseconds before 2100")
    data: Any = members.mapping("data")
    here = _HERE.get(name, name)
    if here in _ENDS:
        data = _end_here(data, app)
    elif here == TICK:
        data = {"cron": data.get("cron", ""), "tick": data.get("scheduledAt", ""), "workflow_id": ""}
    id = members.text("id", "", longest=512) or ""
    encoded_data = encoded(data)
    return AcceptedEvent(
        id=id,
        name=here,
        data=encoded_data,
        ts=ts * MILLISECOND,
        accepted_at=now,
        digest=payload_digest(here, encoded_data, None),
    )


def matched_to_wire(value: msgspec.Raw) -> dict[str, Any] | None:
    """The document on the wire of the event that a wait's outcome holds; None after a timeout."""
    event = _MATCHED.decode(value)
    return None if event is None else to_wire(event)


def _end_there(data: dict[str, Any], default: str) -> dict[str, Any]:
    """The data of a run's end, on the wire."""
    event, app, id = data.get("event"), data.get("app", default), data.get("workflow_id", "")
    there: dict[str, Any] = {
        "function_id": function_id(app, id) if app else id,
        "run_id": data.get("run_id", ""),
        "event": event,
        "events": [] if event is None else [event],
    }
    if "result" in data:
        there["result"] = data["result"]
    if isinstance(data.get("error"), dict):
        there["error"] = _error_there(data["error"])
    return there


def _error_there(error: Mapping[str, Any]) -> dict[str, Any]:
    cause = error.get("cause")
    there = {
        "name": error.get("type", ""),
        "message": error.get("message", ""),
        "stack": error.get("trace", ""),
    }
    return there | ({"cause": _error_there(cause)} if isinstance(cause, dict) else {})


def _end_here(data: Mapping[str, Any], app: str) -> dict[str, Any]:
    """The data of a run's end, as we have it. A function of another app keeps the name that it has on the wire."""
    name = data.get("function_id")
    id = name if isinstance(name, str) else ""
    own = id.startswith(f"{app}-")
    here: dict[str, Any] = {
        "app": app if own else "",
        "workflow_id": id.removeprefix(f"{app}-") if own else id,
        "run_id": data.get("run_id", ""),
        "event": data.get("event"),
    }
    if "result" in data:
        here["result"] = data["result"]
    if isinstance(data.get("error"), dict):
        here["error"] = _error_here(data["error"]) | {"step": None}
    return here


def _error_here(error: Mapping[str, Any]) -> dict[str, Any]:
    cause = error.get("cause")
    return {
        "type": error.get("name", ""),
        "message": error.get("message", ""),
        "trace": error.get("stack", ""),
        "cause": _error_here(cause) if isinstance(cause, dict) else None,
    }


_MATCHED: Final = msgspec.json.Decoder(AcceptedEvent | None)
