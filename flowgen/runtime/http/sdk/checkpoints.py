"""Checkpoints: steps that ended while a call is still going on.

A checkpoint is what an app reports before it answers: it goes on with the next steps in the same call. Steps that are
in a checkpoint that was accepted are recorded, whatever becomes of the call. One of a call that is over by now is
refused with 409: the app then stops. Any other refusal makes it answer the call with what it has, so a checkpoint that
is too large (413) loses nothing.
"""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from ...protocol.ops import parse_ops
from ...protocol.reading import BadRequest
from ..routes import Call, answer
from .members import members_of


async def checkpoint(call: Call) -> Response:
    members = await members_of(call, optional=True)
    ops = parse_ops(members.items("steps"), "steps", BadRequest)
    record = partial(
        call.service.engine.checkpoint,
        call.path("id"),
        ops,
        function=members.text("fn_id"),
        generation=members.number("generation_id"),
        request=members.text("request_id"),
        queue_item=members.text("qi_id"),
    )
    await call.service.ask(record)
    return answer({"status": 200})
