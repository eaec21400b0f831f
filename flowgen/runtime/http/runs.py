"""Runs over HTTP: lists, one run with its history, and steering it."""

from __future__ import annotations

from functools import partial
from typing import Any

from starlette.responses import Response

from ...codec import record_to_dict
from ..documents import page_document, run_document
from .problems import Problem
from .routes import LIMIT, LONGEST_PAGE, Call, answer

STATUSES = "scheduled blocked collecting running waiting cancelling parked completed failed cancelled skipped".split()


async def list_runs(call: Call) -> Response:
    status = call.query("status")
    if status is not None and status not in STATUSES:
        raise Problem(400, "invalid_parameter", f"status={status!r:.50}: say one of {', '.join(STATUSES)}", "status")
    limit = call.number("limit", LIMIT, 1, LONGEST_PAGE)
    ask = partial(
        call.service.engine.runs,
        workflow=call.query("workflow"),
        status=status,
        app=call.query("app"),
        limit=limit,
        cursor=call.query("cursor"),
    )
    return answer(page_document(await call.service.ask(ask), run_document))


async def show_run(call: Call) -> Response:
    return answer(run_document(await call.service.ask(call.service.engine.run, call.path("id"))))


async def show_history(call: Call) -> Response:
    records = await call.service.ask(call.service.engine.history, call.path("id"))
    return answer({"items": [record_to_dict(record) for record in records], "cursor": None})


async def cancel_run(call: Call) -> Response:
    """202 also while it is being cancelled; 409 with the terminal state when it has ended."""
    await call.service.ask(call.service.engine.cancel, call.path("id"))
    return answer({"id": call.path("id"), "status": "cancelling"}, 202)


async def retry_run(call: Call) -> Response:
    await call.service.ask(call.service.engine.retry, call.path("id"))
    return answer({"id": call.path("id")}, 202)


async def why_run(call: Call) -> Response:
    sentence: Any = await call.service.ask(call.service.engine.why, call.path("id"))
    return answer({"id": call.path("id"), "why": sentence})
