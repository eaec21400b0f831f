"""Events as SDKs send them.

They are those of `POST /e/{key}`, and written more freely: an empty id and the time 0 stand for none, `data` may be
null, and there are members that only some servers know (`user`, `v`, `meta`), which are not kept. Names that begin with
`inngest/` are the server's own.

A send that was lost on its way is sent again by the SDK, with the same seed (`X-Inngest-Event-Id-Seed`): events without
an id get one from it, so they are accepted once. An event whose id was used before is not accepted again, whatever it
holds, and answered with the earlier one's internal id.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from starlette.responses import Response

from ....acceptance import STORE, event_key
from ....errors import EventConflict
from ....events import Event
from ...protocol.events import RESERVED_PREFIX, SEEDED
from ..events import read_events
from ..problems import Problem
from ..routes import Call, answer
from ..service import Service

SEED: Final = "x-inngest-event-id-seed"

_KEPT: Final = frozenset({"name", "data", "id", "ts"})
_DROPPED: Final = frozenset({"user", "v", "meta"})
_LONGEST_SEED: Final = 100


async def send_events(call: Call) -> Response:
    document = await call.json()
    seed = call.request.headers.get(SEED, "")[:_LONGEST_SEED]
    if isinstance(document, list):
        document = [_plain(item, f"{seed},{index}" if seed else "") for index, item in enumerate(document)]
    else:
        document = _plain(document, seed)
    return answer({"ids": await _accept(call.service, read_events(document)), "status": 200})


def _plain(item: Any, seed: str) -> Any:
    """An event as our own route reads it. What is none is left to that."""
    if not isinstance(item, dict):
        return item
    event = {key: value for key, value in _spelt(item).items() if key not in _DROPPED and value is not None}
    if str(event.get("name", "")).startswith(RESERVED_PREFIX):
        raise Problem(400, "invalid_event", "event name is reserved for internal use", "/name")
    if event.get("ts") == 0:
        del event["ts"]
    if event.get("id") == "":
        del event["id"]
    ts = event.get("ts")
    if isinstance(ts, float) and ts.is_integer():
        event["ts"] = int(ts)
    if seed and "id" not in event:
        event["id"] = SEEDED + blake2b(seed.encode(errors="replace"), digest_size=16).hexdigest()
    return event


def _spelt(item: dict[str, Any]) -> dict[str, Any]:
    """Its members by their names, whatever their case was."""
    known = _KEPT | _DROPPED
    return {key.lower() if key.lower() in known else key: value for key, value in item.items()}


async def _accept(service: Service, events: Sequence[Event[Any]]) -> list[str]:
    """The internal ids of events: those of earlier ones where an id was used before."""
    known: dict[str, str] = {}
    firsts = {event.id: event for event in reversed(events) if event.id is not None}
    while True:
        fresh = [each for each in events if each.id is None or (each is firsts[each.id] and each.id not in known)]
        try:
            ids = await service.intake.accept(fresh) if fresh else []
        except EventConflict as conflict:
            known[conflict.event_id] = await service.ask(_holder, service, conflict)
            continue
        accepted = {id(event): internal for event, internal in zip(fresh, ids, strict=True)}
        return [_internal(event, firsts, known, accepted) for event in events]


def _internal(event: Event[Any], firsts: dict[str, Event[Any]], known: dict[str, str], accepted: dict[int, str]) -> str:
    if event.id is None:
        return accepted[id(event)]
    return known.get(event.id) or accepted[id(firsts[event.id])]


async def _holder(service: Service, conflict: EventConflict) -> str:
    """The internal id of the event that an id belongs to."""
    name = event_key(conflict.event_id)
    key = (await service.engine.store.find_keys(STORE, [name])).get(name)
    if key is None:
        raise conflict
    return key.holder
