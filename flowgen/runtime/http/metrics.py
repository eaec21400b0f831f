"""`GET /metrics`: what the server and its engine have done and have before them, as Prometheus reads it."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from ..engine import Engine
from .meter import Family, families, gauge, written
from .routes import Call

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def show_metrics(call: Call) -> Response:
    service = call.service

    async def ask() -> list[Family]:
        return [*families(service.meter), *await _gauges(service.engine)]

    found = await service.ask(ask)
    found.append(gauge("http_open_requests", "Requests that are being answered.", service.meter.open))
    waiting = service.patience.waiting + service.patience_with_strangers.waiting
    found.append(gauge("http_waiting_requests", "Requests that wait or read a stream.", waiting))
    return PlainTextResponse(written(found), headers={"Content-Type": CONTENT_TYPE})


async def _gauges(engine: Engine) -> list[Family]:
    return [
        gauge("events_unrouted", "Events that are accepted and not yet routed, at most.", await engine.backlog()),
        gauge("runs_in_hand", "Runs that this process drives.", len(engine.worker.leases) if engine.worker else 0),
    ]
