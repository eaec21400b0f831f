"""The API: it accepts orders, and tells what became of them. flowgen's own pages and REST are below /flows.

`uvicorn fastapi_app.web:api` serves it. The engine works in the same process, in a thread of its own.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
from fastapi import FastAPI, HTTPException

from flowgen import Event
from flowgen.errors import InvalidInput, NotFound
from flowgen.runtime import LocalClient, start_engine
from flowgen.runtime.http import http_app

from .orders import OrderPlaced, app

STORE = os.environ.get("ORDERS_STORE", "sqlite:///orders.db")


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[None]:
    """The engine is open as long as the server."""
    opened = start_engine(app, store=STORE)
    client = await anyio.to_thread.run_sync(opened.__enter__)
    api.state.flows = client
    api.mount("/flows", http_app(app, client))
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(opened.__exit__, None, None, None)


api = FastAPI(title="Orders", lifespan=lifespan)


@api.post("/orders/{order_id}", status_code=202)
def place(order_id: str, quantity: int = 1) -> dict[str, Any]:
    """Accept an order. It is durable when this answers; the same order twice is one."""
    flows: LocalClient = api.state.flows
    try:
        [event] = flows.send(Event("order/placed", OrderPlaced(order_id, quantity), id=f"order-{order_id}"))
    except InvalidInput as error:
        raise HTTPException(409, str(error)) from None
    return {"order": order_id, "runs": flows.started(event)}


@api.get("/runs/{run}")
def show(run: str) -> dict[str, Any]:
    """What became of it."""
    flows: LocalClient = api.state.flows
    try:
        info = flows.run(run)
    except NotFound:
        raise HTTPException(404, "there is no such run") from None
    return {"status": info.status, "result": info.result}
