"""Whether the server is alive: for load balancers and whoever wakes people at night. It tells nothing else."""

from __future__ import annotations

from starlette.responses import Response

from .routes import Call, answer


async def health(call: Call) -> Response:
    await call.service.ask(call.service.engine.store.now)
    return answer({"status": "ok"})
