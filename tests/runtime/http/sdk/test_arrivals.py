"""Requests that apps elsewhere got from others, over HTTP: begun, told of, and their output for who has the token."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest

from flowgen import App
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.driving.caller import Reply
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.protocol.ops import Op, Opcode
from flowgen.runtime.protocol.realtime import RAW, Topic, read_token
from flowgen.runtime.protocol.steps import step_hash
from tests.runtime.driving.leading import (
    APP,
    OTHER,
    OUTPUT,
    RUN,
    Asked,
    Entered,
    answered,
    complete,
    document,
    nap,
    plain,
    ran,
    request,
)
from tests.runtime.http.sdk.callers import DEV, JS, KEY, KEYED, OLD_KEY, SIGNED, data_of, refusal_of, until
from tests.runtime.http.serving import code_of

NEW = "/v1/checkpoint"
STEPS = f"/v1/checkpoint/{RUN}/steps"
PUBLIC = "http://93.184.216.34"
ALLOWED = attrs.evolve(SIGNED, app_hosts=("127.0.0.0/8",))


@asynccontextmanager
async def serving(
    settings: Settings = DEV, headers: Mapping[str, str] = JS, app: Entered | None = None, **options: Any
) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    """An engine that knows no app, and a client of its server."""
    async with open_engine([], calls=app or Entered(), **options) as engine:
        transport = httpx.ASGITransport(http_app(App("none"), engine, settings=settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288", headers=headers) as client:
            yield engine, client


def told(*ops: Op, app: str = APP) -> dict[str, Any]:
    return {"fn_id": "x", "app_id": app, "run_id": RUN, "steps": plain(ops), "ts": 1}


async def begun(client: httpx.AsyncClient, *ops: Op, **more: Any) -> dict[str, str]:
    """What a first checkpoint is answered."""
    data: dict[str, str] = data_of(await client.post(NEW, json=document(*ops, **more)))
    return data


async def output(client: httpx.AsyncClient, token: str, run: str = RUN, place: str = NEW) -> httpx.Response:
    return await client.get(f"{place}/{run}/output", params={"token": token})


@pytest.mark.parametrize("place", [NEW, "/v1/http/runs"])
async def test_a_request_from_its_beginning_to_its_output(place: str) -> None:
    """It is begun, told of and ended, and then its output is what it was answered. Both paths are good."""
    async with serving() as (engine, client):
        data = data_of(await client.post(place, json=document(ran("a", 1))))
        assert {key: data[key] for key in ("fn_id", "app_id", "run_id")} == {
            "fn_id": f"{APP}-GET carts.7",
            "app_id": APP,
            "run_id": RUN,
        }
        assert data["realtime_token"]
        assert (await client.post(f"{place}/{RUN}/steps", json=told(ran("b", 2)))).json() == {"status": 200}
        assert (await client.post(f"{place}/{RUN}/steps", json=told(complete()))).status_code == 200
        assert (await engine.run(f"{APP}/{RUN}")).status == "completed"
        response = await output(client, data["token"], place=place)
        assert (response.status_code, response.text) == (200, OUTPUT["body"])
        assert response.headers["content-type"] == "application/json"


async def test_an_output_is_waited_for() -> None:
    """Whoever was sent there gets it when the run has ended."""
    async with serving() as (_, client):
        data = await begun(client, nap("1s"))
        response = await output(client, data["token"])
        assert (response.status_code, response.text) == (200, OUTPUT["body"])


@pytest.mark.parametrize(
    "result, status, body, headers",
    [
        ({"status": 404, "headers": {"X-Cart": "7"}, "body": "no"}, 404, "no", {"x-cart": "7"}),
        ({"status": 204, "headers": {}, "body": ""}, 204, "", {}),
        ({"status": 204, "headers": {}, "body": "but"}, 200, "but", {}),
        ({"status": 9_000, "headers": [], "body": "x"}, 200, "x", {}),
        ({"status": 302, "headers": {"Location": "/there"}, "body": ""}, 302, "", {"location": "/there"}),
        ({"other": 1}, 200, '{"other":1}', {"content-type": "application/json"}),
        ([1], 200, "[1]", {}),
        (None, 200, "null", {}),
    ],
)
async def test_an_output_is_replayed(result: Any, status: int, body: str, headers: dict[str, str]) -> None:
    """With its status, headers and body; what is no output of an endpoint is JSON."""
    async with serving() as (_, client):
        data = await begun(client, complete(result))
        response = await output(client, data["token"])
        assert (response.status_code, response.text) == (status, body)
        assert headers.items() <= response.headers.items()


async def test_an_output_has_no_rights_here() -> None:
    """It comes from an app, under this server's name: no cookie, no policy and no connection of it is an app's to say,
    nothing that holds for all of a site, and a browser is told to confine it."""
    said = {
        "Set-Cookie": "flowgen_token=x",
        "Content-Security-Policy": "script-src *",
        "Content-Length": "7",
        "Transfer-Encoding": "chunked",
        "Access-Control-Allow-Origin": "*",
        "Cache-Control": "public",
        "Clear-Site-Data": '"*"',
        "NEL": "{}",
        "WWW-Authenticate": "Basic",
        "X-Bad": "a\r\nSet-Cookie: b",
        "Bad Name": "x",
        "content-type": "text/html",
    }
    async with serving() as (_, client):
        data = await begun(client, complete({"status": 200, "headers": said, "body": "<script>1</script>"}))
        response = await output(client, data["token"])
        assert response.headers["content-type"] == "text/html"
        assert response.headers["content-security-policy"].startswith("sandbox;")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert not {"set-cookie", "access-control-allow-origin", "x-bad", "bad name"} & response.headers.keys()
        assert not {"clear-site-data", "nel", "www-authenticate"} & response.headers.keys()
        assert response.headers.get_list("content-security-policy") == [response.headers["content-security-policy"]]


async def test_an_output_is_for_who_has_the_token() -> None:
    """That of another run is none; and it says nothing of whether there is such a run."""
    async with serving() as (_, client):
        data = await begun(client, complete())
        other = await begun(client, complete(), run=OTHER)
        mac, _, app = data["token"].partition(".")
        for wrong in ("", "x", other["token"], mac, f"{mac}.", f"{mac}.another", f".{app}", f"{mac[:-1]}0.{app}x", "ü"):
            response = await output(client, wrong)
            assert (response.status_code, code_of(response)) == (404, "not_found")
        assert (await output(client, data["token"], run="01M81CX1A7M9K896JQHATF27WZ")).status_code == 404
        assert (await client.get(f"{NEW}/{RUN}/output")).status_code == 404


async def test_a_stranger_needs_nothing_but_the_token() -> None:
    """The app has sent him there: he has no key of apps."""
    async with serving(ALLOWED, JS | KEYED) as (_, client):
        data = await begun(client, complete())
        response = await client.get(
            f"{NEW}/{RUN}/output", params={"token": data["token"]}, headers={"authorization": ""}
        )
        assert response.status_code == 200


@pytest.mark.parametrize("failing, status", [(True, 500), (False, 409)])
async def test_the_output_of_a_run_that_came_to_none(failing: bool, status: int) -> None:
    """It says that the run has failed, or was cancelled; why is in its history, which is not for strangers."""
    whole = Op(Opcode.STEP_FAILED, step_hash("complete"))
    async with serving() as (engine, client):
        data = await begun(client, whole if failing else nap("1h"))
        if not failing:
            await engine.cancel(f"{APP}/{RUN}")
        await until(engine, f"{APP}/{RUN}", "failed", "cancelled")
        response = await output(client, data["token"])
        assert response.status_code == status
        assert response.json()["status"] == ("failed" if failing else "cancelled")


@pytest.mark.parametrize(
    "change, status, where",
    [
        ({"run_id": "short"}, 400, "/run_id"),
        ({"run_id": 7}, 400, "/run_id"),
        ({"run_id": "../../../../../../../../etc"}, 400, "/run_id"),
        ({"event": None}, 400, "/event"),
        ({"event": {"name": "other", "data": request()["data"]}}, 400, "/event/name"),
        ({"event": request(domain="")}, 400, "/event/data/domain"),
        ({"event": request(domain="file:///etc/passwd")}, 400, "/event/data/domain"),
        ({"event": request(domain="http://user@127.0.0.1:3000")}, 400, "/event/data/domain"),
        ({"event": request(domain="http://127.0.0.1:3000/x")}, 400, "/event/data/path"),
        ({"event": request(domain="http://127.0.0.1", path="2/")}, 400, "/event/data/path"),
        ({"event": request(domain="http://127.0.0.1", path="@evil.example/")}, 400, "/event/data/path"),
        ({"event": request(path="/x\r\nHost: y")}, 400, "/event/data/path"),
        ({"event": request(method="GET /x HTTP/1.1")}, 400, "/event/data/method"),
        ({"event": request(method="get")}, 400, "/event/data/method"),
        ({"event": request(path="/" + "x" * 300)}, 400, "/event/data/fn"),
        ({"event": request(fn="a:7")}, 400, "/event/data/fn"),
        ({"event": request(domain="http://10.1.2.3")}, 400, "/functions[0]"),
        ({"event": request(domain=PUBLIC)}, 400, "/functions[0]"),
        ({"steps": [{"op": "StepRun", "id": "no hash"}]}, 400, "/steps/0/id"),
        ({"steps": [{"op": "Other", "id": step_hash("a")}]}, 400, "/steps/0/op"),
        ({"steps": {}}, 400, "/steps"),
        ({"retries": "many"}, 400, "/retries"),
        ({"idempotency": "k" * 256}, 400, "/idempotency"),
        ({"padding": "x" * 5_000_000}, 413, ""),
    ],
)
async def test_what_is_no_request_of_others_is_refused(change: dict[str, Any], status: int, where: str) -> None:
    """With the place of what is wrong; and nothing is made of it."""
    async with serving() as (engine, client):
        response = await client.post(NEW, json=document(ran("a", 1)) | change)
        assert refusal_of(response, status)
        assert response.json()["path"] == where
        assert not (await engine.runs()).items
        assert not await engine.remote_apps()


@pytest.mark.parametrize("body", [[], {"app_id": APP, "steps": [7]}, {"app_id": APP, "steps": {}}, {"app_id": 7}])
async def test_what_tells_of_no_steps_is_refused(body: Any) -> None:
    """Before it is asked which run they are of."""
    async with serving() as (_, client):
        refusal_of(await client.post(STEPS, json=body), 400)


async def test_steps_of_no_run_are_refused() -> None:
    """So are those of a run that its app does not lead."""
    async with serving(app=Entered(lambda asked: answered(nap("1h")))) as (engine, client):
        refusal_of(await client.post(STEPS, json=told(ran("a", 1))), 404)
        await begun(client, nap("1h"))
        assert "to lead any more" in refusal_of(await client.post(STEPS, json=told(ran("a", 1))), 409)
        refusal_of(await client.post(STEPS, json=told(ran("a", 1), app="other")), 404)
        await engine.cancel(f"{APP}/{RUN}")
        await until(engine, f"{APP}/{RUN}", "cancelled")
        assert "cancelled" in refusal_of(await client.post(STEPS, json=told(ran("a", 1))), 409)


async def test_a_server_that_is_not_for_development_asks_for_a_key() -> None:
    """As for all routes of apps."""
    async with serving(ALLOWED, JS) as (engine, client):
        refusal_of(await client.post(NEW, json=document(ran("a", 1))), 401)
        refusal_of(await client.post(STEPS, json=told(ran("a", 1))), 401)
        assert not (await engine.runs()).items


async def test_it_is_signed_by_who_has_the_key() -> None:
    """A token of one key is good for all servers that have that key, also after a restart."""
    async with serving(ALLOWED, JS | KEYED) as (_, client):
        first = await begun(client, complete())
        assert read_token(first["realtime_token"], [KEY], time.time()) == [Topic(RUN, RAW)]
    async with serving(ALLOWED, JS | KEYED) as (_, client):
        assert (await begun(client, complete()))["token"] == first["token"]
    newer = attrs.evolve(ALLOWED, signing_keys=(OLD_KEY, *ALLOWED.signing_keys))
    async with serving(newer, JS | KEYED) as (_, client):
        assert (await begun(client, complete()))["token"] != first["token"]
        assert (await output(client, first["token"])).status_code == 200
    async with serving() as (_, client):
        assert (await begun(client, complete()))["token"] != first["token"]
        assert (await output(client, first["token"])).status_code == 404


async def test_a_server_without_a_key_takes_none() -> None:
    """It could not call the app; and an app that means another kind of server is told."""
    async with serving(
        Settings(auth_tokens=("a-token-of-mine",)), JS | {"authorization": "Bearer a-token-of-mine"}
    ) as (
        _,
        client,
    ):
        assert "signing key" in refusal_of(await client.post(NEW, json=document(complete())), 403)
    async with serving(DEV, JS | {"x-inngest-expected-server-kind": "cloud"}) as (_, client):
        refusal_of(await client.post(NEW, json=document(complete())), 400)


async def test_an_engine_that_has_its_hands_full_says_so() -> None:
    """The SDK tries it again."""
    async with serving(max_runs=1) as (_, client):
        await begun(client, ran("a", 1))
        response = await client.post(NEW, json=document(ran("a", 1), run=OTHER))
        refusal_of(response, 503)
        assert response.headers["retry-after"] == "1"


async def test_an_app_of_flowgen_is_told_what_it_has() -> None:
    """It has endpoints of its own."""
    async with serving(DEV, JS | {"x-inngest-sdk": "flowgen:v1.0"}) as (_, client):
        assert "@app.endpoint" in refusal_of(await client.post(NEW, json=document(complete())), 400)


async def test_what_the_app_asks_for_when_it_is_entered_again() -> None:
    """The request does not say what has happened: the app asks the server."""
    asked: list[Asked] = []

    def answer(request: Asked) -> Reply:
        asked.append(request)
        return answered(complete())

    async with serving(app=Entered(answer)) as (engine, client):
        await begun(client, ran("a", {"b": 1}))
        await client.post(STEPS, json=told(nap("1s")))
        await until(engine, f"{APP}/{RUN}", "completed")
        (entered,) = asked
        steps = (await client.get(f"/v0/runs/{entered.headers['x-run-id']}/actions")).json()
        assert list(steps.items()) == [(step_hash("a"), {"data": {"b": 1}}), (step_hash("nap"), None)]
        (event,) = (await client.get(f"/v0/runs/{RUN}/batch")).json()
        assert (event["name"], event["data"]["path"]) == ("inngest/http.request", "/carts/7")
