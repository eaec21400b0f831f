"""Cancelling, signalling and invoking as SDKs and tools ask for it."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from flowgen import App, OnEvent, Sleep, WaitForSignal
from flowgen.runtime import open_engine
from flowgen.runtime.http import http_app
from tests.runtime.http.sdk.callers import DEV, JS, PY, data_of, refusal_of, until
from tests.runtime.http.serving import listen, serving


async def test_a_run_is_cancelled() -> None:
    """202 while it is, 409 when it has ended, 404 if there is none."""
    async with serving(DEV, JS) as (engine, client):
        run = await engine.start(listen)
        await until(engine, run, "waiting")
        assert data_of(await client.delete(f"/v1/runs/{run}"), 202)["run_id"] == run
        await until(engine, run, "cancelled")
        assert "cancelled" in refusal_of(await client.delete(f"/v1/runs/{run}"), 409)
        assert "nothing" in refusal_of(await client.delete("/v1/runs/nothing"), 404)


async def test_a_signal_names_the_run_that_waited() -> None:
    """And is given to it once; one that nobody waits for is 404, which SDKs take for no run."""
    async with serving(DEV, JS) as (engine, client):
        assert "go" in refusal_of(await client.post("/v1/signals", json={"signal": "go", "data": 1}), 404)
        run = await engine.start(listen)
        await until(engine, run, "waiting")
        sent = await client.post("/v1/signals", json={"Signal": "go", "data": {"a": [1]}})
        assert data_of(sent) == {"run_id": run}
        assert await engine.result(run) == {"a": [1]}
        refusal_of(await client.post("/v1/signals", json={"signal": "go"}), 404)
        assert "signal" in refusal_of(await client.post("/v1/signals", json={"data": 1}), 400)


async def test_a_signal_finds_its_waiter_in_any_app() -> None:
    """SDKs name none."""
    apps = [App("one"), App("two")]
    for each in apps:

        @each.workflow(id=f"listen-{each.name}")
        def wait(ctx: Any) -> Any:
            return (yield WaitForSignal("heard", f"go-{ctx.workflow_id}", timeout="1h"))

    async with open_engine(apps) as engine:
        transport = httpx.ASGITransport(http_app(apps, engine, settings=DEV))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=PY) as client:
            runs = [await engine.start(f"{each.name}/listen-{each.name}") for each in apps]
            for each, run in zip(apps, runs, strict=True):
                await until(engine, f"{each.name}/{run}", "waiting")
                sent = await client.post("/v1/signals", json={"signal": f"go-listen-{each.name}", "data": each.name})
                assert data_of(sent) == {"run_id": run}
                assert await engine.result(f"{each.name}/{run}") == each.name


async def test_invoking_starts_a_run() -> None:
    """Of the function that is named app-id, with the data of an event that has no name."""
    async with serving(DEV, PY) as (engine, client):
        response = await client.post("/invoke/shop-fulfil", json={"data": {"number": 4}, "user": {}})
        assert response.status_code == 200
        assert response.json()["status"] == 200
        assert await engine.result(response.json()["id"]) == 16
        assert "shop-other" in refusal_of(await client.post("/invoke/shop-other", json={}), 404)
        assert "data" in refusal_of(await client.post("/invoke/shop-fulfil", json={"data": [1]}), 400)


napping = App("napping")


@napping.workflow(on=OnEvent("nap/asked"), id="nap")
def nap(ctx: Any) -> Any:
    yield Sleep("nap", "1h")


@napping.workflow(on=OnEvent("nap/asked"), id="other")
def other(ctx: Any) -> Any:
    yield Sleep("nap", "1h")


@pytest.mark.parametrize(
    "selected, cancelled",
    [
        ({"function_id": "nap"}, [1, 2, 3]),
        ({"function_id": "napping-nap"}, [1, 2, 3]),
        ({"Function_ID": "nap", "app_id": "napping", "if": ""}, [1, 2, 3]),
        ({"function_id": "nap", "if": "event.data.number > 1"}, [2, 3]),
        ({"function_id": "nap", "started_before": "2020-01-01T00:00:00Z"}, []),
        ({"function_id": "nap", "started_after": "2020-01-01T00:00:00Z", "started_before": ""}, [1, 2, 3]),
    ],
)
async def test_runs_of_a_function_are_cancelled_together(selected: dict[str, str], cancelled: list[int]) -> None:
    """Those in the span of time, for whose event the condition holds; those of no other function."""
    async with open_engine(napping) as engine:
        transport = httpx.ASGITransport(http_app(napping, engine, settings=DEV))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=PY) as client:
            runs = {number: await engine.start(nap, {"number": number}) for number in (1, 2, 3)}
            apart = await engine.start(other)
            for run in (*runs.values(), apart):
                await until(engine, run, "waiting")
            answer = data_of(await client.post("/v1/cancellations", json=selected), 201)
            assert (answer["function_id"], answer["cancelled"]) == ("napping-nap", len(cancelled))
            for number in cancelled:
                await until(engine, runs[number], "cancelled")
            left = [number for number in runs if number not in cancelled]
            for run in (*[runs[number] for number in left], apart):
                assert (await engine.run(run)).status == "waiting"


@pytest.mark.parametrize(
    "body, status",
    [
        ({}, 400),
        ({"function_id": "other"}, 404),
        ({"function_id": "fulfil", "app_id": "other"}, 404),
        ({"function_id": "fulfil", "started_before": "yesterday"}, 400),
        ({"function_id": "fulfil", "if": "event.data.("}, 400),
        ({"function_id": 7}, 400),
        ([], 400),
    ],
)
async def test_a_cancellation_that_is_none_is_refused(body: Any, status: int) -> None:
    """A mistake must not select everything."""
    async with serving(DEV, PY) as (_, client):
        refusal_of(await client.post("/v1/cancellations", json=body), status)
