"""Signals over HTTP. One that nobody waits for is refused: it is not kept."""

from __future__ import annotations

from functools import partial

from starlette.responses import Response

from .fields import Fields
from .routes import Call, answer


async def send_signal(call: Call) -> Response:
    fields = Fields(await call.json(), ("name", "data", "app"))
    name = fields.needed_text("name", 256)
    await call.service.ask(partial(call.service.engine.signal, name, fields.any("data"), app=fields.text("app")))
    return answer({"name": name})
