"""The handlers of the pages: each reads what it shows in one crossing to the engine, and renders it."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import Any

from starlette.responses import Response

from ....errors import DefinitionError, InvalidInput, NotFound
from ...counting import Bucket
from ...documents import accepted_document, failure_document
from ...info import RunInfo
from ...lookup import load_routes
from ...paging import Page
from ...store import Loaded
from ...workflows import WorkflowInfo, workflow_info
from ..fields import time_of
from ..problems import Problem
from ..routes import Call
from ..runs import STATUSES
from . import pages, run_detail
from .asked import Asked, asked_for, executing_here
from .chart import BARS, chart, span_of
from .hints import data_hint
from .listed import lines, readings
from .render import page
from .text import indented
from .waterfall import waterfall

LIMIT = 50
_OFFERED = 500
"""So many workflows are offered to choose from, and so many runs are shown that one run or event has started."""

_RUNS = 25
"""So many runs of one workflow, or of one name of events, are shown beside it."""

FILTERS = ("status", "workflow", "q", "where", "last", "after", "before", "cursor")
"""The query parameters of the list of runs."""


# -- runs -----------------------------------------------------------------------------------------


async def runs_page(call: Call) -> Response:
    """The list of runs, newest first, below a chart of the time that it shows; what a search finds is not counted."""
    filters = {name: call.query(name) or None for name in FILTERS}
    status, last, engine = filters["status"], filters["last"], call.service.engine
    if status is not None and status not in STATUSES:
        raise Problem(400, "invalid_parameter", f"status={status!r:.50}: say one of {', '.join(STATUSES)}", "status")
    if last is not None and last not in pages.PERIODS:
        raise Problem(400, "invalid_parameter", f"last={last!r:.50}: say one of {', '.join(pages.PERIODS)}", "last")
    after, before = _time(call, "after"), _time(call, "before")
    searched = filters["q"] is not None or filters["where"] is not None

    async def read() -> _Found:
        now = await engine.store.now()
        since, until = span_of(now, pages.PERIODS[last or "1h"])
        if after is not None and before is not None and before > after:
            since, until = after, before
        select = partial(
            engine.runs,
            workflow=filters["workflow"],
            status=status,
            search=filters["q"],
            where=filters["where"],
            after=after if last is None else since,
            before=before,
        )

        async def find(limit: int, cursor: str | None) -> Page[RunInfo]:
            return await select(limit=limit, cursor=cursor)

        problem, found = "", Page[pages.RunLine](())
        try:
            found = await lines(engine, find, LIMIT, filters["cursor"], readings(status, searched))
        except NotFound:
            """A workflow that nobody has: no run of it is found."""
        except (DefinitionError, InvalidInput) as error:
            problem = str(error)
        counts: tuple[Bucket, ...] = ()
        if not searched:
            with suppress(NotFound, InvalidInput):
                counts = await engine.counts(after=since, before=until, buckets=BARS, workflow=filters["workflow"])
        offered = (await engine.store.registrations()).items[:_OFFERED]
        return found, counts, until, [f"{item.app}/{item.workflow}" for item in offered], problem

    found, counts, until, workflows, problem = await call.service.ask(read)
    return page(
        call,
        "runs.html",
        lines=found.items,
        chart=chart(counts, until),
        workflows=workflows,
        statuses=STATUSES,
        periods=list(pages.PERIODS),
        filters=filters,
        query=partial(pages.query, filters),
        older=found.cursor and pages.query(filters, cursor=found.cursor),
        filtered=any(filters.values()),
        problem=problem,
        after=after,
        before=before,
    )


_Found = tuple[Page[pages.RunLine], tuple[Bucket, ...], datetime, list[str], str]


def _time(call: Call, name: str) -> datetime | None:
    given = call.query(name)
    return time_of(given, name, name) if given else None


async def run_page(call: Call) -> Response:
    """One run: what it does, did, got and gave."""
    id, app, service = call.path("id"), call.query("app"), call.service
    name = f"{app}/{id}" if app else id

    async def read() -> tuple[Loaded, RunInfo, str, Page[pages.RunLine], Asked, int]:
        engine = service.engine
        loaded = await engine.load(name)
        row = loaded.row
        offering = service.apps.get(row.app)
        workflow = offering.workflows.get(row.workflow) if offering is not None else None
        asked = asked_for(workflow, loaded, executing_here(engine.worker, row))

        async def invoked(limit: int, cursor: str | None) -> Page[RunInfo]:
            return await engine.children(name, cursor=cursor)

        return (
            loaded,
            await engine.run(name),
            await engine.why(name),
            await lines(engine, invoked, _OFFERED),
            asked,
            await engine.store.now(),
        )

    loaded, info, why, children, asked, now = await service.ask(read)
    drawn = waterfall(loaded.row, loaded.records, now, asked)
    choices = run_detail.step_choices(loaded.records) if "rerun" in run_detail.may(info.status) else ()
    return page(
        call,
        "run.html",
        run=info,
        line=pages.run_line(info, now),
        row=loaded.row,
        why=pages.reason_of(why),
        picture=run_detail.picture(drawn, loaded.records, loaded.row.open),
        origins=[run_detail.origin_of(event) for event in loaded.events],
        failures=_failures(info),
        history=run_detail.history_lines(loaded.records),
        records=len(loaded.records),
        children=children.items,
        may=run_detail.may(info.status),
        choices=choices,
        rerunnable={choice.id for choice in choices},
        edited_event=_event_text(info, loaded),
    )


def _failures(info: RunInfo) -> list[dict[str, Any]]:
    """The failure of a run and its causes, the outermost first."""
    found, failure = [], info.error
    while failure is not None:
        found.append(failure_document(failure))
        failure = failure.cause
    return found


def _event_text(info: RunInfo, loaded: Loaded) -> str:
    """The data of a run's only event, as JSON text to be edited; nothing of several."""
    if len(loaded.events) != 1:
        return ""
    return indented(info.event.data)


# -- events ---------------------------------------------------------------------------------------


async def events_page(call: Call) -> Response:
    """The list of events, newest first."""
    filters = {name: call.query(name) or None for name in ("name", "cursor")}
    engine = call.service.engine

    async def read() -> Any:
        return await engine.events(filters["name"], limit=LIMIT, cursor=filters["cursor"]), await engine.store.now()

    found, now = await call.service.ask(read)
    return page(
        call,
        "events.html",
        lines=[pages.event_line(event, now) for event in found.items],
        filters=filters,
        older=found.cursor and pages.query(filters, cursor=found.cursor),
        filtered=any(filters.values()),
    )


async def event_page(call: Call) -> Response:
    """One event, and the runs that it started."""
    id, engine = call.path("id"), call.service.engine

    async def started(limit: int, cursor: str | None) -> Page[RunInfo]:
        return await engine.runs(event=id, cursor=cursor)

    async def read() -> Any:
        return await engine.event(id), await lines(engine, started, _OFFERED), await engine.store.now()

    event, runs, now = await call.service.ask(read)
    data = accepted_document(event)["data"]
    return page(
        call,
        "event.html",
        event=pages.event_line(event, now),
        data=data,
        text=indented(data),
        lines=runs.items,
    )


# -- workflows ------------------------------------------------------------------------------------


async def workflows_page(call: Call) -> Response:
    """The workflows in force."""
    found = await call.service.ask(call.service.engine.workflows)
    return page(call, "workflows.html", lines=[_workflow_line(call, info) for info in found])


async def workflow_page(call: Call) -> Response:
    """One workflow: what starts it, its flow control, its next ticks and its newest runs."""
    app, id, engine = call.path("app"), call.path("id"), call.service.engine

    async def newest(limit: int, cursor: str | None) -> Page[RunInfo]:
        return await engine.runs(app=app, workflow=f"{app}/{id}", limit=limit, cursor=cursor)

    async def read() -> tuple[WorkflowInfo | None, Page[pages.RunLine]]:
        routes, now = await load_routes(engine.store), await engine.store.now()
        route = routes.find(app, id)
        if route is None:
            return None, Page(())
        return workflow_info(route, routes.is_paused(app, id), now), await lines(engine, newest, _RUNS)

    info, runs = await call.service.ask(read)
    if info is None:
        raise Problem(404, "not_found", f"no workflow {id!r:.100} of app {app!r:.100} is registered in this store")
    offered = _offered(call, info)
    hint = data_hint(offered.event_class if offered is not None else None)
    return page(
        call,
        "workflow.html",
        workflow=_workflow_line(call, info),
        lines=runs.items,
        hint=hint,
        text=indented(hint.example if hint.example is not None else {}),
    )


def _offered(call: Call, info: WorkflowInfo) -> Any:
    app = call.service.apps.get(info.app)
    return app.workflows.get(info.id) if app is not None else None


def _workflow_line(call: Call, info: WorkflowInfo) -> pages.WorkflowLine:
    offered = _offered(call, info)
    if offered is None:
        return pages.WorkflowLine(info, "", "")
    sentence = (offered.fn.__doc__ or "").strip().partition("\n")[0]
    return pages.WorkflowLine(info, sentence, offered.where)
