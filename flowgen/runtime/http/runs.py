"""Runs over HTTP: lists, one run with its history, and steering it or all that a filter selects.

A run is named by its id in the path; `app` says of which app it is, where more than one could be meant.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import msgspec
from starlette.responses import Response

from ...codec import export_lines, record_to_dict
from ...errors import DefinitionError, FlowgenError, InvalidInput
from ...events import Event
from ..counting import MOST_BUCKETS
from ..documents import bucket_document, bulk_document, page_document, run_document
from ..listing import PAGE_BYTES
from .fields import Fields, time_of
from .patience import while_connected
from .problems import Problem
from .routes import LIMIT, LONGEST_PAGE, Call, answer

STATUSES = "scheduled blocked collecting running waiting cancelling parked completed failed cancelled skipped".split()
BUCKETS = 48
_DAY = timedelta(days=1)


async def list_runs(call: Call) -> Response:
    status = call.query("status")
    if status is not None and status not in STATUSES:
        raise Problem(400, "invalid_parameter", f"status={status!r:.50}: say one of {', '.join(STATUSES)}", "status")
    ask = partial(
        call.service.engine.runs,
        workflow=call.query("workflow"),
        status=status,
        app=call.query("app"),
        before=_time(call, "before"),
        after=_time(call, "after"),
        search=call.query("q"),
        where=call.query("where"),
        limit=call.number("limit", LIMIT, 1, LONGEST_PAGE),
        cursor=call.query("cursor"),
    )
    try:
        page = await call.service.ask(ask)
    except DefinitionError as error:
        raise Problem(400, "invalid_parameter", str(error), "where") from None
    return answer(page_document(page, run_document))


async def count_runs(call: Call) -> Response:
    """Over the last day, unless it is said otherwise."""
    engine = call.service.engine
    before = _time(call, "before") or datetime.now(UTC)
    after = _time(call, "after") or before - _DAY
    ask = partial(
        engine.counts,
        after=after,
        before=before,
        buckets=call.number("buckets", BUCKETS, 1, MOST_BUCKETS),
        workflow=call.query("workflow"),
        app=call.query("app"),
    )
    buckets = [bucket_document(bucket) for bucket in await call.service.ask(ask)]
    return answer({"items": buckets, "before": before.astimezone(UTC).isoformat()})


async def show_run(call: Call) -> Response:
    run, wait = _run(call), call.wait()
    if wait is not None:
        await ended(call, run, wait)
    return answer(run_document(await call.service.ask(call.service.engine.run, run)))


async def ended(call: Call, run: str, wait: timedelta) -> None:
    """Return when a run has ended, however it did, or when that time is over."""
    with call.service.patience.place():
        await until_ended(call, run, wait)


async def until_ended(call: Call, run: str, wait: timedelta) -> None:
    """The same, for a request that has its place among those that wait."""
    engine = call.service.engine

    async def end() -> None:
        try:
            await engine.result(run, timeout=wait)
        except (FlowgenError, TimeoutError):
            """What it came to is told by the run itself; whether there is such a run, too."""

    await while_connected(call.request, partial(call.service.ask, end))


async def show_history(call: Call) -> Response:
    """A page ends early when its records are large: no answer has much more than `PAGE_BYTES`."""
    limit, start = call.number("limit", LIMIT, 1, LONGEST_PAGE), call.number("cursor", 0, 0, 10**9 - 1)
    records = await call.service.ask(partial(call.service.engine.history, _run(call), start=start))
    items: list[msgspec.Raw] = []
    size = 0
    for record in records[:limit]:
        items.append(msgspec.Raw(msgspec.json.encode(record_to_dict(record))))
        size += len(items[-1])
        if size >= PAGE_BYTES:
            break
    more = len(items) < len(records)
    return answer({"items": items, "cursor": str(start + len(items)) if more else None})


async def export_run(call: Call) -> Response:
    """A header line with the run and its events, then a line for each record."""
    loaded = await call.service.ask(call.service.engine.load, _run(call))
    lines = export_lines(loaded.row, loaded.events, loaded.records)
    return Response("".join(f"{line}\n" for line in lines), media_type="application/jsonl")


async def list_children(call: Call) -> Response:
    page = await call.service.ask(partial(call.service.engine.children, _run(call), cursor=call.query("cursor")))
    return answer(page_document(page, run_document))


async def why_run(call: Call) -> Response:
    sentence: Any = await call.service.ask(call.service.engine.why, _run(call))
    return answer({"id": call.path("id"), "why": sentence})


# -- steering one ----------------------------------------------------------------------------------


async def cancel_run(call: Call) -> Response:
    """202 also while it is being cancelled; 409 with the terminal state when it has ended."""
    fields = Fields(await call.optional_json(), ("reason",))
    reason = fields.text("reason") or "cancelled by request"
    await call.service.ask(partial(call.service.engine.cancel, _run(call), reason=reason))
    return answer({"id": call.path("id"), "status": "cancelling"}, 202)


async def retry_run(call: Call) -> Response:
    Fields(await call.optional_json(), ())
    await call.service.ask(call.service.engine.retry, _run(call))
    return answer({"id": call.path("id")}, 202)


async def rerun_run(call: Call) -> Response:
    """The answer names the new run."""
    run = _run(call)
    fields = Fields(await call.optional_json(), ("from_step", "event", "results"))
    from_step, results = fields.text("from_step"), fields.mapping("results")
    event = await _edited(call, run, fields) if fields.any("event") is not None else None
    ask = partial(call.service.engine.rerun, run, from_step=from_step, event=event, results=results)
    return answer({"id": await call.service.ask(ask)}, 202)


async def _edited(call: Call, run: str, fields: Fields) -> Event[Any]:
    """The event of a rerun: what is left out is as it was."""
    edited = Fields(fields.any("event"), ("name", "data"), fields.place("event"))
    original = (await call.service.ask(call.service.engine.run, run)).event
    data = edited.mapping("data")
    try:
        return Event(edited.text("name", 256) or original.name, original.data if data is None else data)
    except InvalidInput as error:
        raise Problem(400, "invalid_event", str(error), fields.place("event")) from None


# -- steering many ---------------------------------------------------------------------------------


async def cancel_runs(call: Call) -> Response:
    return await _bulk(call, call.service.engine.cancel_all, ("reason",))


async def retry_runs(call: Call) -> Response:
    return await _bulk(call, call.service.engine.retry_all)


async def rerun_runs(call: Call) -> Response:
    return await _bulk(call, call.service.engine.rerun_all)


async def _bulk(call: Call, verb: Callable[..., Awaitable[Any]], more: tuple[str, ...] = ()) -> Response:
    """A dry run, unless the body says `"dry_run": false`."""
    fields = Fields(await call.json(), ("workflow", "app", "status", "before", "after", "dry_run", *more))
    selection: dict[str, Any] = {
        "workflow": fields.text("workflow"),
        "app": fields.text("app"),
        "status": fields.text("status"),
        "before": fields.time("before"),
        "after": fields.time("after"),
        "dry_run": fields.truth("dry_run", True),
    }
    if fields.text("reason") is not None:
        selection["reason"] = fields.text("reason")
    return answer(bulk_document(await call.service.ask(partial(verb, **selection))))


# -- parameters --------------------------------------------------------------------------------------


def _run(call: Call) -> str:
    """The run in the path, as the engine's verbs name it."""
    app = call.query("app")
    return call.path("id") if app is None else f"{app}/{call.path('id')}"


def _time(call: Call, name: str) -> datetime | None:
    given = call.query(name)
    return None if given is None else time_of(given, name, name)
