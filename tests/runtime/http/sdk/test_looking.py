"""Events and runs as SDKs see them; who may look, and who gets which shape."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen import Event
from flowgen.runtime.http import Settings
from flowgen.runtime.protocol.signatures import bearer as bearer_of
from tests.runtime.http.sdk.callers import (
    DEV,
    JS,
    KEYED,
    OLD_KEY,
    PY,
    SIGNED,
    data_of,
    done,
    refusal_of,
    until,
)
from tests.runtime.http.serving import code_of, listen, serving


async def test_an_event_and_its_runs() -> None:
    """By its internal id; a run is named by its function, and its output is what it returned."""
    async with serving(DEV, JS) as (engine, client):
        (id,) = await engine.send(Event("order/placed", {"number": 2}, id="cart-7"))
        run = await done(engine, id)
        shown = data_of(await client.get(f"/v1/events/{id}"))
        assert shown["internal_id"] == id
        assert (shown["id"], shown["name"], shown["data"]) == ("cart-7", "order/placed", {"number": 2})
        assert shown["user"] == {}
        (listed,) = data_of(await client.get("/v1/events", params={"name": "order/placed"}))
        assert listed == shown
        (of_event,) = data_of(await client.get(f"/v1/events/{id}/runs"))
        assert of_event["run_id"] == run
        assert of_event["event_id"] == id
        assert of_event["function_id"] == "shop-fulfil"
        assert (of_event["status"], of_event["output"]) == ("Completed", 8)
        assert of_event["ended_at"].endswith("Z")
        alone = data_of(await client.get(f"/v1/runs/{run}"))
        assert {**of_event, "event_id": None} == alone


async def test_a_run_that_failed_has_its_error_as_output() -> None:
    """As the protocol has errors."""
    async with serving(DEV, PY) as (engine, client):
        (id,) = await engine.send(Event("order/refused", {"number": 2}))
        run = data_of(await client.get(f"/v1/runs/{await done(engine, id)}"))
        assert run["status"] == "Failed"
        assert (run["output"]["name"], run["output"]["message"]) == (
            "StepError",
            "step 'refuse' failed after 1 attempt: NonRetriableError: 2 is refused",
        )


async def test_a_run_that_waits_is_running() -> None:
    """SDKs know no other state for it."""
    async with serving(DEV, PY) as (engine, client):
        run = await engine.start(listen)
        await until(engine, run, "waiting")
        shown = data_of(await client.get(f"/v1/runs/{run}"))
        assert (shown["status"], shown["ended_at"], shown["output"]) == ("Running", None, None)


async def test_the_functions_of_an_app() -> None:
    """By their ids on the wire; of an app that nobody knows there are none."""
    async with serving(DEV, PY) as (_, client):
        found = data_of(await client.get("/v1/apps/shop/functions"))
        assert {"shop-fulfil", "shop-wait"} <= {each["id"] for each in found}
        assert data_of(await client.get("/v1/apps/other/functions")) == []


async def test_times_narrow_a_page_of_events() -> None:
    """From the first on, before the second."""
    async with serving(DEV, PY) as (engine, client):
        await engine.send(Event("order/other"))
        (event,) = data_of(await client.get("/v1/events"))
        at = event["received_at"]
        assert data_of(await client.get("/v1/events", params={"received_after": "2020-01-01T00:00:00Z"})) == [event]
        assert data_of(await client.get("/v1/events", params={"received_before": "2020-01-01T00:00:00Z"})) == []
        assert data_of(await client.get("/v1/events", params={"received_before": at})) == []
        refusal_of(await client.get("/v1/events", params={"received_before": "yesterday"}), 400)


@pytest.mark.parametrize("path", ["/v1/events/nothing", "/v1/events/nothing/runs", "/v1/runs/nothing"])
async def test_what_is_not_there_is_404(path: str) -> None:
    """In the shape that SDKs read."""
    async with serving(DEV, PY) as (_, client):
        assert "nothing" in refusal_of(await client.get(path), 404)


async def test_others_get_our_shapes() -> None:
    """The same paths, without anything that says SDK."""
    async with serving(DEV) as (engine, client):
        (id,) = await engine.send(Event("order/placed", {"number": 2}))
        run = await done(engine, id)
        assert (await client.get(f"/v1/runs/{run}")).json()["status"] == "completed"
        assert set((await client.get("/v1/events")).json()) == {"items", "cursor"}
        assert code_of(await client.get("/v1/runs/nothing")) == "not_found"


async def test_every_answer_says_what_the_server_is() -> None:
    """Refusals included."""
    for settings, kind in ((DEV, "dev"), (Settings(), "cloud")):
        async with serving(settings) as (_, client):
            for path in ("/health", "/v1/runs", "/nothing"):
                assert (await client.get(path)).headers["x-inngest-server-kind"] == kind


# -- who may -------------------------------------------------------------------------------------------

LOCKED = Settings(auth_tokens=("a-token-of-ours",), signing_keys=SIGNED.signing_keys)
OURS = {"authorization": "Bearer a-token-of-ours"}


@pytest.mark.parametrize(
    "settings, headers, status",
    [
        (DEV, JS, 200),
        (Settings(dev=True, signing_keys=SIGNED.signing_keys), JS, 200),
        (Settings(), PY, 200),
        (SIGNED, PY, 401),
        (SIGNED, JS, 401),
        (SIGNED, {**PY, **KEYED}, 200),
        (SIGNED, {**PY, "authorization": f"Bearer {bearer_of(OLD_KEY)}"}, 200),
        (SIGNED, {**PY, "authorization": f"Bearer {bearer_of('signkey-test-00')}"}, 401),
        (SIGNED, {**PY, "authorization": f"Bearer {OLD_KEY}"}, 401),
        (LOCKED, PY, 401),
        (LOCKED, {**PY, **KEYED}, 200),
        (LOCKED, {**PY, **OURS}, 200),
        (Settings(dev=True, auth_tokens=("a-token-of-ours",)), PY, 401),
        (Settings(signing_keys=("no-key-of-apps",)), {**PY, "authorization": "Bearer no-key-of-apps"}, 200),
        (Settings(signing_keys=("no-key-of-apps",), auth_tokens=("a-token-of-ours",)), {**PY, **KEYED}, 401),
    ],
)
async def test_who_may_use_the_routes_of_sdks(settings: Settings, headers: dict[str, str], status: int) -> None:
    """In development whoever may call; else who has a signing key of apps, hashed, or a token."""
    async with serving(settings, headers) as (_, client):
        for path in ("/v1/events", "/v1/apps/shop/functions"):
            response = await client.get(path)
            assert response.status_code == status, (path, response.text)
            if status != 200:
                refusal_of(response, status)


async def test_a_signing_key_opens_what_sdks_need_and_nothing_else() -> None:
    """Steering by REST, pages and metrics are for who has a token."""
    async with serving(LOCKED, {**PY, **KEYED}) as (_, client):
        paths: list[tuple[str, str]] = [("GET", "/v1/runs"), ("GET", "/metrics"), ("POST", "/v1/runs/cancel")]
        for method, path in paths:
            body: Any = {} if method == "POST" else None
            assert (await client.request(method, path, json=body)).status_code == 401, path
