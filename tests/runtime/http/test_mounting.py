"""The server mounted in the apps of others, with an engine that it opens by itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from flowgen import App, OnEvent, Run
from flowgen.errors import InvalidInput
from flowgen.runtime import start_engine
from flowgen.runtime.http import http_app, serving
from flowgen.runtime.http.server import ServerBroke

app = App("shop")


def double(number: int) -> int:
    return 2 * number


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Any) -> Any:
    return (yield Run("double", double, ctx.event.data["number"]))


def mounted(path: Path) -> Any:
    return http_app(app, store=f"sqlite:///{path}/shop.db")


@asynccontextmanager
async def calling(asgi: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A client of an app that is served."""
    with trio.fail_after(50):
        async with serving(asgi, port=0) as url, httpx.AsyncClient(base_url=url, timeout=120) as client:
            yield client


async def place(client: httpx.AsyncClient, prefix: str = "") -> None:
    """Send an event, and see its run end."""
    response = await client.post(f"{prefix}/e/any", json={"name": "order/placed", "data": {"number": 21}})
    assert response.status_code == 200, response.text
    (event,) = response.json()["ids"]
    (run,) = (await client.get(f"{prefix}/v1/events/{event}/runs")).json()["items"]
    ended = (await client.get(f"{prefix}/v1/runs/{run['id']}?wait=30s")).json()
    assert (ended["status"], ended["result"]) == ("completed", 42)


async def test_it_serves_by_itself_with_a_lifespan(tmp_path: Path) -> None:
    """The engine opens when the server starts, closes when it stops, and may be opened again."""
    flows = mounted(tmp_path)
    for _ in range(2):
        async with calling(flows) as client:
            assert flows._asgi is not None
            await place(client)
        assert flows._asgi is None


async def test_in_fastapi_with_its_lifespan(tmp_path: Path) -> None:
    """Below a path of its own, beside other routes; the engine is at work from the start."""
    flows = mounted(tmp_path)
    api = FastAPI(lifespan=flows.lifespan)
    api.mount("/flows", flows)
    async with calling(api) as client:
        assert flows._asgi is not None
        await place(client, "/flows")
        assert (await client.get("/docs")).status_code == 200
        assert (await client.get("/v1/runs")).status_code == 404
        assert (await client.get("/flows/nothing")).json()["error"]["code"] == "not_found"
    assert flows._asgi is None


async def test_in_starlette_without_a_lifespan(tmp_path: Path) -> None:
    """It opens at the first request, once, however many come at that moment."""
    flows = mounted(tmp_path)
    async with calling(Starlette(routes=[Mount("/flows", flows)])) as client:
        assert flows._asgi is None
        statuses = []

        async def look() -> None:
            statuses.append((await client.get("/flows/health")).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(look)
        assert statuses == [200] * 20
        await place(client, "/flows")
    flows.close()
    flows.close()


async def test_with_an_engine_that_is_open(tmp_path: Path) -> None:
    """Whoever has opened it closes it."""
    with start_engine(app, store=f"sqlite:///{tmp_path}/shop.db") as engine:
        api = FastAPI()
        api.mount("/flows", http_app(app, engine))
        async with calling(api) as client:
            await place(client, "/flows")
        assert (await trio.to_thread.run_sync(engine.runs)).items


async def test_a_store_that_cannot_be_opened(tmp_path: Path) -> None:
    """The server does not start; mounted without a lifespan, each request is told to come again, and not why."""
    flows = http_app(app, store=f"sqlite:///{tmp_path}/no/where/shop.db")
    with pytest.raises(ServerBroke):
        async with calling(flows):
            pass
    async with calling(Starlette(routes=[Mount("/flows", flows)])) as client:
        response = await client.get("/flows/health")
        assert (response.status_code, response.json()["error"]["code"]) == (503, "store_unavailable")
        assert "where" not in response.text


def test_an_engine_or_a_store() -> None:
    """One of the two; options are for the engine that it opens."""
    with pytest.raises(InvalidInput, match="one of the two"):
        http_app(app)  # type: ignore[call-overload]
    with start_engine(app) as client:
        with pytest.raises(InvalidInput, match="one of the two"):
            http_app(app, client, store="memory://")  # type: ignore[call-overload]
        with pytest.raises(InvalidInput, match="lease: options are for the engine"):
            http_app(app, client, lease="5s")  # type: ignore[call-overload]
