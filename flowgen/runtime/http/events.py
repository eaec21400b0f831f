"""The event API: accepting events, and looking at them.

`POST /e/{key}` takes one event or a list of them. All are accepted or none: the answer to a bad one names its place in
the list. 200 means that they, and the runs that they start, are durable.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from ...errors import DefinitionError, InvalidInput
from ...events import Event, check_sendable
from ..documents import accepted_document, page_document, run_document
from ..engine import MAX_BATCH
from ..strict_json import pointed
from .problems import Flaw, Problem
from .routes import LIMIT, LONGEST_PAGE, Call, answer

_FIELDS: Final = {"name", "data", "id", "ts"}
ERA: Final = (315_532_800_000, 4_102_444_800_000)
"""1980 to 2100, in milliseconds since the epoch."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


async def send_events(call: Call) -> Response:
    events = read_events(await call.json())
    ids = await call.service.intake.accept(events)
    return answer({"ids": ids, "status": 200})


async def list_events(call: Call) -> Response:
    limit = call.number("limit", LIMIT, 1, LONGEST_PAGE)
    name, cursor = call.query("name"), call.query("cursor")
    engine = call.service.engine

    async def ask() -> Any:
        return await engine.events(name, limit=limit, cursor=cursor)

    return answer(page_document(await call.service.ask(ask), accepted_document))


async def show_event(call: Call) -> Response:
    return answer(accepted_document(await call.service.ask(call.service.engine.event, call.path("id"))))


async def runs_of_event(call: Call) -> Response:
    ask = partial(call.service.engine.runs, event=call.path("id"), cursor=call.query("cursor"))
    return answer(page_document(await call.service.ask(ask), run_document))


def read_events(document: Any) -> list[Event[Any]]:
    """The events in a body: a list, or one. Raises the `Problem` that names each bad one."""
    if isinstance(document, list):
        if not document:
            raise Problem(400, "empty_batch", "an empty list of events: send one at least")
        if len(document) > MAX_BATCH:
            raise Problem(413, "too_many", f"{len(document)} events in one batch: at most {MAX_BATCH} are accepted")
        items = [(f"/{index}", item) for index, item in enumerate(document)]
    else:
        items = [("", document)]
    events, flaws = [], []
    for path, item in items:
        try:
            events.append(_read_event(item, path))
        except Problem as problem:
            flaws.append(Flaw(problem.code, problem.message, problem.path))
    if flaws:
        first = flaws[0]
        more = f" (and {len(flaws) - 1} more are refused)" if len(flaws) > 1 else ""
        shown = flaws[:100] if isinstance(document, list) else ()
        raise Problem(400, first.code, first.message + more, first.path, flaws=shown)
    return events


def _read_event(item: Any, path: str) -> Event[Any]:
    if not isinstance(item, dict):
        raise Problem(400, "invalid_event", f"an event is an object with a name, not {_kind(item)}", path)
    if not item.keys() <= _FIELDS:
        field = next(field for field in item if field not in _FIELDS)
        place = f"{path}/{pointed(field)}"
        raise Problem(400, "invalid_event", f"an event has no {field!r:.50}: it has name, data, id and ts", place)
    if "name" not in item:
        raise Problem(400, "invalid_event", "an event needs a name", f"{path}/name")
    name = _checked(item["name"], "name", path)
    data = item.get("data", {})
    if not isinstance(data, dict):
        raise Problem(400, "invalid_event", f"data is {_kind(data)}: it must be an object", f"{path}/data")
    try:
        return Event(name, data, _id(item.get("id"), path), _ts(item.get("ts"), path))
    except (InvalidInput, DefinitionError) as error:
        raise Problem(400, "invalid_event", str(error), path) from None


def _checked(name: Any, field: str, path: str) -> str:
    try:
        return check_sendable(name)
    except InvalidInput as error:
        raise Problem(400, "invalid_event", str(error), f"{path}/{field}") from None


def _id(id: Any, path: str) -> str | None:
    if id is not None and (not isinstance(id, str) or not 1 <= len(id) <= 256):
        raise Problem(400, "invalid_event", "id is text of 1 to 256 characters", f"{path}/id")
    return id


def _ts(ts: Any, path: str) -> datetime | None:
    if ts is None:
        return None
    if type(ts) is not int or not ERA[0] <= ts <= ERA[1]:
        raise Problem(
            400, "invalid_event", "ts is a whole number of milliseconds since 1970, from 1980 to 2100", f"{path}/ts"
        )
    return _EPOCH + timedelta(milliseconds=ts)


def _kind(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case Mapping():
            return "an object"
        case _:
            return "a list"
