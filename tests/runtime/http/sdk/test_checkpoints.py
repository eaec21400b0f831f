"""Checkpoints over HTTP: steps that ended while a call is still going on."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
import trio

from flowgen import App, Event
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.driving.caller import Headers, Reply
from flowgen.runtime.http import http_app
from flowgen.runtime.protocol.registration import parse_registration
from flowgen.runtime.protocol.steps import step_hash
from tests.runtime.http.sdk.callers import DEV, JS, done, refusal_of
from tests.runtime.http.sdk.stub import SDK, registration, written
from tests.runtime.http.serving import serving

URL = "http://127.0.0.1:3000/api/inngest"


def ran(step: str, data: Any, **more: Any) -> dict[str, Any]:
    return {"op": "StepRun", "id": step_hash(step), "displayName": step, "data": data, **more}


class Checkpointing:
    """An app that tells of two steps while it is called, and that it has then returned."""

    def __init__(self) -> None:
        self.calls = 0
        self.answers: list[httpx.Response] = []
        self.engine: Engine | None = None

    @staticmethod
    def stale(told: dict[str, Any]) -> list[dict[str, Any]]:
        """What others say of a call that is not this one: of another request, function, or time."""
        of_no_request = {key: value for key, value in told.items() if key != "request_id"}
        return [
            {**told, "request_id": "another"},
            {**told, "fn_id": "other-run"},
            {**told, "generation_id": told["generation_id"] - 1},
            {**of_no_request, "generation_id": told["generation_id"] - 1},
            {**of_no_request, "fn_id": "other-run"},
        ]

    async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
        self.calls += 1
        ctx = json.loads(body)["ctx"]
        told = {key: ctx[key] for key in ("run_id", "fn_id", "qi_id", "request_id", "generation_id")}
        transport = httpx.ASGITransport(http_app(App("none"), self.engine, settings=DEV))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288", headers=JS) as client:
            for steps in ([ran("one", 1)], [ran("two", {"a": [2]}, userland={"id": "two", "index": 0})]):
                path = f"/v1/checkpoint/{ctx['run_id']}/async"
                self.answers.append(await client.post(path, json={**told, "steps": steps, "ts": 1}))
            for stale in self.stale(told):
                refused = await client.post(path, json={**stale, "steps": [ran("three", 3)]})
                assert refusal_of(refused, 409)
        return Reply(206, list(SDK.items()), written([{"op": "RunComplete", "id": "", "data": "done"}]))


async def test_steps_are_recorded_while_the_call_goes_on() -> None:
    """Each when it is answered, and one call is all it takes; those of any other call are refused with 409."""
    calls = Checkpointing()
    async with open_engine([], calls=calls) as engine:
        calls.engine = engine
        await engine.offer(parse_registration(written(registration(URL, sdk="inngest-js:v4.24.0"))))
        (event,) = await engine.send(Event("run/asked"))
        with trio.fail_after(50):
            while not await engine.started(event):
                await engine.store.wait_changed(0.05)
            run = await done(engine, event)
        assert await engine.result(run) == "done"
        assert [each.status_code for each in calls.answers] == [200, 200]
        assert calls.calls == 1
        steps = [record.step for record in await engine.history(run) if hasattr(record, "step")]
        assert steps == ["one", "two"]


@pytest.mark.parametrize(
    "body, status",
    [
        ({"steps": []}, 404),
        ({"steps": [ran("one", 1)]}, 404),
        ({"steps": [{"op": "StepRun", "id": "no hash"}]}, 400),
        ({"steps": [{"op": "Other", "id": step_hash("one")}]}, 400),
        ({"steps": [7]}, 400),
        ({"steps": {}}, 400),
        ({"steps": [ran("one", 1)] * 1_001}, 400),
        ({"steps": [], "generation_id": "seven"}, 400),
        ({"steps": [ran("one", "x" * 5_000_000)]}, 413),
        ([], 400),
    ],
)
async def test_what_is_no_checkpoint_is_refused(body: Any, status: int) -> None:
    """With the place of what is wrong; one for a run that there is not is 404."""
    async with serving(DEV, JS) as (_, client):
        refusal_of(await client.post("/v1/checkpoint/nothing/async", json=body), status)
