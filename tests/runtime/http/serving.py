"""What the tests of the server share: an app with workflows of all kinds, and a client of its server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from flowgen import App, Invoke, NonRetriableError, OnCron, OnEvent, Run, WaitFor, WaitForSignal
from flowgen.flow_control import Concurrency
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.store import Store

app = App("shop")


def double(number: int) -> int:
    return 2 * number


def refuse(number: int) -> int:
    raise NonRetriableError(f"{number} is refused")


@app.workflow(on=OnEvent("order/placed"), concurrency=Concurrency(5, key="event.data.number"))
def fulfil(ctx: Any) -> Any:
    doubled = yield Run("double", double, ctx.event.data["number"])
    again = yield Run("again", double, doubled)
    return again


@app.workflow(on=OnEvent("order/refused"))
def fail(ctx: Any) -> Any:
    yield Run("double", double, ctx.event.data["number"])
    yield Run("refuse", refuse, ctx.event.data["number"])


@app.workflow(on=OnEvent("order/awaited"))
def wait(ctx: Any) -> Any:
    approved = yield WaitFor("approved", "order/approved", timeout="1h")
    return approved.data


@app.workflow
def listen(ctx: Any) -> Any:
    return (yield WaitForSignal("heard", "go", timeout="1h"))


@app.workflow
def parent(ctx: Any) -> Any:
    return (yield Invoke("child", fulfil, {"number": 1}))


@app.workflow(on=OnCron("0 9 * * *"))
def tick(ctx: Any) -> Any:
    yield Run("double", double, 1)


@asynccontextmanager
async def serving(
    settings: Settings | None = None, headers: Mapping[str, str] | None = None, store: str | Store = "memory://"
) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    """An engine, and a client of its server on the same loop."""
    async with open_engine(app, store) as engine:
        transport = httpx.ASGITransport(http_app(app, engine, settings=settings or Settings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288", headers=headers) as client:
            yield engine, client


def code_of(response: httpx.Response) -> str:
    """The code in a refusal, which has the shape of all refusals."""
    error = response.json()["error"]
    assert {"code", "message", "path"} <= set(error)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-content-type-options"] == "nosniff"
    code: str = error["code"]
    return code
