"""Workflows over HTTP: what is registered, starting one directly, pausing and going on.

A workflow is named by its id in the path; `app` says of which app it is, where more than one could be meant.
"""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from ...errors import NotFound
from ..documents import run_document, workflow_document
from .fields import Fields
from .routes import Call, answer
from .runs import ended


async def list_workflows(call: Call) -> Response:
    app = call.query("app")
    found = await call.service.ask(call.service.engine.workflows)
    return answer({"items": [workflow_document(each) for each in found if app in (None, each.app)], "cursor": None})


async def show_workflow(call: Call) -> Response:
    """Where several apps have it, the one that `app` names; without, the first of them."""
    app, id = call.query("app"), call.path("id")
    for workflow in await call.service.ask(call.service.engine.workflows):
        if workflow.id == id and app in (None, workflow.app):
            return answer(workflow_document(workflow))
    raise NotFound(f"there is no workflow {id!r:.100} in this store")


async def invoke_workflow(call: Call) -> Response:
    """With `wait`, 200 and the run if it ended in that time, and 202 and the run as it is if it did not."""
    fields, wait, engine = Fields(await call.optional_json(), ("data", "run_id")), call.wait(), call.service.engine
    start = partial(engine.start, _workflow(call), fields.mapping("data"), run_id=fields.text("run_id", 128))
    id = await call.service.ask(start)
    if wait is None:
        return answer({"id": id})
    app = call.query("app")
    run = id if app is None else f"{app}/{id}"
    await ended(call, run, wait)
    info = await call.service.ask(engine.run, run)
    return answer({"id": id, "run": run_document(info)}, 202 if info.ended_at is None else 200)


async def pause_workflow(call: Call) -> Response:
    return await _pause(call, True)


async def resume_workflow(call: Call) -> Response:
    return await _pause(call, False)


async def _pause(call: Call, paused: bool) -> Response:
    Fields(await call.optional_json(), ())
    engine = call.service.engine
    await call.service.ask(engine.pause if paused else engine.resume, _workflow(call))
    return answer({"id": call.path("id"), "paused": paused})


def _workflow(call: Call) -> str:
    """The workflow in the path, as the engine's verbs name it."""
    app = call.query("app")
    return call.path("id") if app is None else f"{app}/{call.path('id')}"
