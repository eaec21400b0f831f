"""What a run remembers, as an app asks for it."""

from __future__ import annotations

import pytest

from flowgen import Event
from flowgen.runtime.protocol.steps import step_hash
from tests.runtime.http.sdk.callers import DEV, JS, done, refusal_of, until
from tests.runtime.http.serving import listen, serving


async def test_the_events_of_a_run_and_its_memo() -> None:
    """As a call carries them."""
    async with serving(DEV, JS) as (engine, client):
        (id,) = await engine.send(Event("order/placed", {"number": 2}, id="cart-7"))
        run = await done(engine, id)
        (event,) = (await client.get(f"/v0/runs/{run}/batch")).json()
        assert (event["id"], event["name"], event["data"], event["user"]) == (
            "cart-7",
            "order/placed",
            {"number": 2},
            {},
        )
        steps = (await client.get(f"/v0/runs/{run}/actions")).json()
        assert steps == {step_hash("double"): {"data": 4}, step_hash("again"): {"data": 8}}


async def test_steps_that_failed_and_steps_that_are_open() -> None:
    """An error is one of the protocol; what has not ended is not remembered."""
    async with serving(DEV, JS) as (engine, client):
        (id,) = await engine.send(Event("order/refused", {"number": 2}))
        steps = (await client.get(f"/v0/runs/{await done(engine, id)}/actions")).json()
        assert steps[step_hash("refuse")]["error"]["message"] == "2 is refused"
        run = await engine.start(listen)
        await until(engine, run, "waiting")
        assert (await client.get(f"/v0/runs/{run}/actions")).json() == {}


@pytest.mark.parametrize("what", ["batch", "actions"])
async def test_a_run_that_nobody_knows_is_404(what: str) -> None:
    """With an error and a status, which is what the SDK reads."""
    async with serving(DEV, JS) as (_, client):
        assert "nothing" in refusal_of(await client.get(f"/v0/runs/nothing/{what}"), 404)
