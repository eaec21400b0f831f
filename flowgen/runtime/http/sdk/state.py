"""What a run remembers, for calls that are too large to carry it."""

from __future__ import annotations

from starlette.responses import Response

from ...protocol.events import to_wire
from ...protocol.memo import memo_of_history
from ..routes import Call, answer


async def show_events(call: Call) -> Response:
    """The events of a run, as a list."""
    loaded = await call.service.ask(call.service.engine.load, call.path("id"))
    return answer([to_wire(event) for event in loaded.events])


async def show_steps(call: Call) -> Response:
    """The memo of a run: what each of its ended steps came to, by its hash."""
    loaded = await call.service.ask(call.service.engine.load, call.path("id"))
    return answer(memo_of_history(loaded.records).steps)
