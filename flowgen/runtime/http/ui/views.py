"""The handlers of the pages: each reads what it shows in one crossing to the engine, and renders it."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

from starlette.responses import Response

from ....errors import NotFound
from ....values import decode
from ...documents import accepted_document, failure_document
from ...info import Page, RunInfo
from ...store import Loaded
from ...workflows import WorkflowInfo
from ..problems import Problem
from ..routes import Call
from ..runs import STATUSES
from . import pages
from .asked import asked_for
from .hints import data_hint
from .render import page
from .waterfall import Row, waterfall

LIMIT = 50
_RUNS = 25
"""So many runs of one workflow, or of one name of events, are shown beside it."""

_EDITABLE = ("run", "invoke", "signal", "wait")


# -- runs -----------------------------------------------------------------------------------------


async def runs_page(call: Call) -> Response:
    """The list of runs, newest first."""
    filters = {name: call.query(name) or None for name in ("status", "workflow", "cursor")}
    status = filters["status"]
    if status is not None and status not in STATUSES:
        raise Problem(400, "invalid_parameter", f"status={status!r:.50}: say one of {', '.join(STATUSES)}", "status")
    engine = call.service.engine

    async def read() -> tuple[Page[RunInfo], tuple[WorkflowInfo, ...], int]:
        find = partial(engine.runs, workflow=filters["workflow"], status=status, limit=LIMIT)
        try:
            found = await find(cursor=filters["cursor"])
        except NotFound:  # a workflow that nobody has: no run of it is found
            found = Page(())
        return found, await engine.workflows(), await engine.store.now()

    found, workflows, now = await call.service.ask(read)
    lines = [pages.run_line(run, now) for run in found.items]
    return page(
        call,
        "runs.html",
        lines=lines,
        workflows=workflows,
        statuses=STATUSES,
        filters=filters,
        query=partial(pages.query, filters),
        older=found.cursor and pages.query(filters, cursor=found.cursor),
        filtered=any(filters.values()),
    )


async def run_page(call: Call) -> Response:
    """One run: what it does, did, got and gave."""
    id, service = call.path("id"), call.service

    async def read() -> dict[str, Any]:
        engine = service.engine
        loaded = await engine.load(id)
        row = loaded.row
        app = service.apps.get(row.app)
        workflow = app.workflows.get(row.workflow) if app is not None else None
        children = await engine.store.children(row.app, row.id)
        return {
            "loaded": loaded,
            "info": await engine.run(id),
            "why": await engine.why(id),
            "children": [pages.child_of(child) for child in children.items],
            "asked": asked_for(workflow, loaded),
            "now": await engine.store.now(),
        }

    found = await service.ask(read)
    loaded: Loaded = found["loaded"]
    info: RunInfo = found["info"]
    drawn = waterfall(loaded.row, loaded.records, found["now"], found["asked"])
    return page(
        call,
        "run.html",
        run=info,
        line=pages.run_line(info, found["now"]),
        row=loaded.row,
        why=found["why"],
        picture=pages.picture(drawn, loaded.records, loaded.row.open),
        origins=[pages.origin_of(event) for event in loaded.events],
        failures=_failures(info),
        history=pages.history_lines(loaded.records),
        records=len(loaded.records),
        children=found["children"],
        may=pages.may(info.status),
        choices=pages.step_choices(drawn.rows, _editable(drawn.rows)),
        edited_event=_event_text(info, loaded),
    )


def _failures(info: RunInfo) -> list[dict[str, Any]]:
    """The failure of a run and its causes, the outermost first."""
    found, failure = [], info.error
    while failure is not None:
        found.append(failure_document(failure))
        failure = failure.cause
    return found


def _editable(rows: tuple[Row, ...]) -> dict[str, str]:
    """The results that a rerun may have edited, as JSON text, by step; empty for a step that failed."""
    texts = {}
    for row in rows:
        if row.kind in _EDITABLE and row.state in ("done", "failed"):
            value = None if row.value is None else decode(row.value)
            if row.kind == "wait" and isinstance(value, dict):
                value = value.get("data", value)
            texts[row.step] = "" if row.value is None else json.dumps(value, indent=2, ensure_ascii=False)
    return texts


def _event_text(info: RunInfo, loaded: Loaded) -> str:
    """The data of a run's only event, as JSON text to be edited; nothing of several."""
    if len(loaded.events) != 1:
        return ""
    return json.dumps(info.event.data, indent=2, ensure_ascii=False)


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

    async def read() -> Any:
        return await engine.event(id), await engine.runs(event=id), await engine.why(id), await engine.store.now()

    event, runs, why, now = await call.service.ask(read)
    document = accepted_document(event)
    return page(
        call,
        "event.html",
        event=pages.event_line(event, now),
        data=document["data"],
        text=json.dumps(document["data"], indent=2, ensure_ascii=False),
        ts=document["ts"],
        why=why,
        lines=[pages.run_line(run, now) for run in runs.items],
    )


# -- workflows ------------------------------------------------------------------------------------


async def workflows_page(call: Call) -> Response:
    """The workflows in force."""
    found = await call.service.ask(call.service.engine.workflows)
    return page(call, "workflows.html", lines=[_workflow_line(call, info) for info in found])


async def workflow_page(call: Call) -> Response:
    """One workflow: what starts it, its flow control, its next ticks and its newest runs."""
    app, id, engine = call.path("app"), call.path("id"), call.service.engine

    async def read() -> Any:
        return (
            await engine.workflows(),
            await engine.runs(app=app, workflow=f"{app}/{id}", limit=_RUNS),
            await engine.store.now(),
        )

    workflows, runs, now = await call.service.ask(read)
    info = next((info for info in workflows if (info.app, info.id) == (app, id)), None)
    if info is None:
        raise Problem(404, "not_found", f"no workflow {id!r:.100} of app {app!r:.100} is registered in this store")
    offered = _offered(call, info)
    hint = data_hint(offered.event_class if offered is not None else None)
    return page(
        call,
        "workflow.html",
        workflow=_workflow_line(call, info),
        lines=[pages.run_line(run, now) for run in runs.items],
        hint=hint,
        text=json.dumps(hint.example if hint.example is not None else {}, indent=2, ensure_ascii=False),
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
