"""Durable endpoints over HTTP: a request is a run, and its answer what the run comes to, now or later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import trio
import trio.testing
from starlette.applications import Starlette
from starlette.routing import Mount

from flowgen import (
    App,
    Context,
    DefinitionError,
    NonRetriableError,
    RateLimit,
    Response,
    Restart,
    Run,
    Singleton,
    Sleep,
    Steps,
    WaitForSignal,
)
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.endpoints import recorded_headers
from tests.runtime.http.serving import code_of

CANARY = "canary-7f3a"
app = App("shop")
charged: list[Any] = []


def charge(body: Any) -> int:
    charged.append(body)
    return len(charged)


def explode(_: Any) -> None:
    raise NonRetriableError(CANARY)


@app.endpoint("POST", "/checkout")
def checkout(ctx: Context) -> Steps[Any]:
    number = yield from Run(charge, ctx.event.data["body"])
    return {"number": number, "body": ctx.event.data["body"]}


@app.endpoint("GET", "/orders/{id}/items/{item}", access="public")
def show(ctx: Context) -> Steps[Any]:
    yield Run("nothing", len, "")
    return ctx.event.data


@app.endpoint("PUT", "/made")
def made(ctx: Context) -> Steps[Response]:
    yield Run("nothing", len, "")
    return Response(**ctx.event.data["body"])


@app.endpoint("POST", "/slow", wait=0)
def slow(ctx: Context) -> Steps[Any]:
    return (yield WaitForSignal("go", "go", timeout="1h"))


@app.endpoint("POST", "/patient", wait="5m", access="public")
def patient(ctx: Context) -> Steps[Any]:
    return (yield WaitForSignal("go", "patient", timeout="1h"))


@app.endpoint("POST", "/sleepy", wait="5m", access="public")
def sleepy(ctx: Context) -> Steps[Any]:
    yield Sleep("long", "1h")


@app.endpoint("POST", "/fails")
def fails(ctx: Context) -> Steps[Any]:
    yield Run(explode, 1)


@app.endpoint("POST", "/limited", rate_limit=RateLimit(1, per="1h"))
def limited(ctx: Context) -> Steps[Any]:
    yield Run("nothing", len, "")


@app.endpoint("POST", "/single", wait=0, singleton=Singleton(mode="skip"))
def single(ctx: Context) -> Steps[Any]:
    return (yield WaitForSignal("go", "single", timeout="1h"))


@app.endpoint("POST", "/again")
def again(ctx: Context) -> Steps[Any]:
    yield Run("nothing", len, "")
    left = ctx.event.data["body"]
    return Restart({**ctx.event.data, "body": left - 1}) if left else {"left": left}


@app.workflow
def plain(ctx: Context) -> Steps[int]:
    return (yield from Run("nothing", len, ""))


@asynccontextmanager
async def serving(
    settings: Settings | None = None, store: Any = "memory://", root: str = ""
) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    async with open_engine(app, store) as engine:
        asgi = http_app(app, engine, settings=settings or Settings())
        if root:
            asgi = Starlette(routes=[Mount(root, asgi)])
        transport = httpx.ASGITransport(asgi)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288") as client:
            yield engine, client


# -- what is asked, and answered -------------------------------------------------------------------


async def test_a_request_is_answered_with_what_its_run_returns() -> None:
    """And the run is there to be looked at."""
    async with serving() as (engine, client):
        response = await client.post("/checkout", json={"cart": 7})
        assert (response.status_code, response.json()["body"]) == (200, {"cart": 7})
        (run,) = (await engine.runs(workflow="checkout")).items
        assert (run.status, run.result) == ("completed", response.json())


async def test_a_run_gets_to_know_the_whole_request() -> None:
    """Method, path and its parameters, query (a list where a name is there more than once), headers, and no body."""
    async with serving() as (_, client):
        url = "/orders/a%20b/items/9?color=red&size=1&size=2&size=3&empty="
        data = (await client.get(url, headers={"X-Shop": "y"})).json()
        assert data.pop("headers")["x-shop"] == "y"
        assert data == {
            "method": "GET",
            "path": "/orders/a b/items/9",
            "query": {"color": "red", "size": ["1", "2", "3"], "empty": ""},
            "body": None,
            "params": {"id": "a b", "item": "9"},
        }


@pytest.mark.parametrize(
    "said, status, content, headers",
    [
        ({"status": 201, "body": {"id": 7}, "headers": {"Location": "/x"}}, 201, b'{"id":7}', {"location": "/x"}),
        ({"body": "a,b", "headers": {"Content-Type": "text/csv"}}, 200, b"a,b", {"content-type": "text/csv"}),
        ({"body": "a"}, 200, b'"a"', {"content-type": "application/json"}),
        (
            {"status": 422, "body": {}, "headers": {"content-type": "application/problem+json"}},
            422,
            b"{}",
            {"content-type": "application/problem+json"},
        ),
        ({"status": 204}, 204, b"", {}),
        ({"status": 303, "headers": {"Location": "/y"}}, 303, b"", {"location": "/y", "content-length": "0"}),
    ],
)
async def test_a_response_is_sent_as_it_is(said: Any, status: int, content: bytes, headers: dict[str, str]) -> None:
    """Status, headers and body, beside the headers that each answer has."""
    async with serving() as (_, client):
        response = await client.put("/made", json=said)
        assert (response.status_code, response.content) == (status, content)
        assert headers.items() <= dict(response.headers).items()
        assert response.headers["x-content-type-options"] == "nosniff"
        assert len(response.headers.get_list("content-type")) <= 1


async def test_a_response_that_cannot_be_sent_fails_its_run() -> None:
    """Nothing of it gets out."""
    async with serving() as (_, client):
        response = await client.put("/made", json={"headers": {"X": "a\r\nSet-Cookie: b=c"}})
        assert (response.status_code, code_of(response)) == (500, "run_failed")
        assert "set-cookie" not in response.headers


async def test_a_value_that_looks_like_a_response_is_a_value() -> None:
    """A client cannot make its own words the server's."""
    async with serving() as (_, client):
        forged = {"flowgen_response": 1, "status": 302, "body": None, "headers": {"Location": "https://evil.example"}}
        response = await client.post("/checkout", json=forged)
        assert (response.status_code, response.json()["body"]) == (200, forged)


@pytest.mark.parametrize(
    "path, status, code",
    [("/fails", 500, "run_failed"), ("/limited", 429, "rate_limited"), ("/single", 409, "run_skipped")],
)
async def test_what_did_not_come_to_a_result(path: str, status: int, code: str) -> None:
    """A problem that names the run, and tells nothing of what broke inside."""
    async with serving() as (engine, client):
        await client.post(path)
        response = await client.post(path)
        assert (response.status_code, code_of(response)) == (status, code)
        assert CANARY not in response.text
        assert "Traceback" not in response.text
        runs = await engine.runs(workflow=path[1:])
        assert path != "/fails" or runs.items[0].error is not None


async def test_a_run_that_restarts_is_followed_to_its_end() -> None:
    """The answer is that of the last."""
    async with serving() as (_, client):
        assert (await client.post("/again", json=2)).json() == {"left": 0}


@pytest.mark.parametrize(
    "content, headers, status",
    [
        (b"{}", {}, 415),
        (b"a=b", {"content-type": "application/x-www-form-urlencoded"}, 415),
        (b"{", {"content-type": "application/json"}, 400),
        (b'{"a": NaN}', {"content-type": "application/json"}, 400),
        (b'"\\u0000"', {"content-type": "application/json"}, 400),
        (b" " * 5_000_000, {"content-type": "application/json"}, 413),
        (b"{}", {"content-type": "application/json", "idempotency-key": ""}, 400),
        (b"{}", {"content-type": "application/json", "idempotency-key": "a b"}, 400),
        (b"{}", {"content-type": "application/json", "idempotency-key": "x" * 256}, 400),
        (b"{}", {"content-type": "application/json", "sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_what_is_refused_starts_nothing(content: bytes, headers: dict[str, str], status: int) -> None:
    """Bodies, keys and pages of others."""
    async with serving() as (engine, client):
        response = await client.post("/checkout", content=content, headers=headers)
        assert response.status_code == status, response.text
        assert code_of(response)
        assert not (await engine.runs()).items


async def test_looking_and_links_of_others_start_nothing() -> None:
    """HEAD is no GET here, and a visit from another site is refused, though pages may be linked to."""
    async with serving() as (engine, client):
        url = "/orders/1/items/2"
        response = await client.head(url)
        assert (response.status_code, response.headers["allow"]) == (405, "GET")
        visit = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
        assert (await client.get("/", headers=visit)).status_code == 200
        assert (await client.get(url, headers=visit)).status_code == 403
        for path in (url + "?a=%00", "/orders/%00/items/2"):
            response = await client.get(path)
            assert (response.status_code, code_of(response)) == (400, "invalid_input"), response.text
        assert "GET" in (await client.delete(url)).headers["allow"]
        assert not (await engine.runs()).items


def test_what_a_history_may_have_of_headers() -> None:
    """No credentials by whatever name, nothing of the connection, nothing that is not text; names in lower case."""
    given = [
        *((name, CANARY) for name in ("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "X-Auth-Token")),
        *((name, CANARY) for name in ("X-CSRF-Token", "X-Flowgen-Signature", "Stripe-Signature", "X-Session-Id")),
        *((name, CANARY) for name in ("apikey", "X-Amz-Security-Token", "Client-Secret", "X-Password", "X-JWT")),
        *((name, CANARY) for name in ("Connection", "Content-Length", "Transfer-Encoding", "TE", "Upgrade")),
        ("X-Odd", "a\x01b"),
        ("User-Agent", "shop/1"),
        ("X-Author", "Ada"),
        ("Idempotency-Key", "cart-7"),
        ("X-Twice", "a"),
        ("x-twice", "b"),
        ("Host", "shop.example"),
    ]
    assert recorded_headers(given) == {
        "user-agent": "shop/1",
        "x-author": "Ada",
        "idempotency-key": "cart-7",
        "x-twice": "a, b",
        "host": "shop.example",
    }


async def test_credentials_of_a_request_are_nowhere_in_its_history() -> None:
    """Nor in what the API shows of the run."""
    token = "the-token-canary"
    async with serving(Settings(auth_tokens=(token,))) as (engine, client):
        headers = {"Authorization": f"Bearer {token}", "Cookie": f"flowgen_token={token}"}
        assert (await client.post("/checkout", json={}, headers=headers)).status_code == 200
        (run,) = (await engine.runs()).items
        for path in (f"/v1/runs/{run.id}", f"/v1/runs/{run.id}/history", "/v1/events", f"/runs/{run.id}"):
            response = await client.get(path, headers=headers)
            assert response.status_code == 200
            assert token not in response.text


# -- later -----------------------------------------------------------------------------------------


async def test_what_takes_long_is_answered_later() -> None:
    """202 with the place of the result, which waits for it, and then answers as the endpoint would have."""
    async with serving() as (engine, client):
        response = await client.post("/slow", json={})
        place = response.headers["location"]
        assert (response.status_code, response.json()["result"]) == (202, place)
        assert (await client.get(place)).status_code == 202
        assert (await client.get(place, params={"wait": "10ms"})).status_code == 202
        found: list[httpx.Response] = []

        async def ask() -> None:
            found.append(await client.get(place, params={"wait": "5m"}))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            while (await engine.run(response.json()["id"])).status != "waiting":
                await engine.store.wait_changed(0.05)
            await engine.signal("go", {"done": True})
        assert (found[0].status_code, found[0].json()) == (200, {"done": True})
        assert (await client.get(place)).json() == {"done": True}


async def test_a_result_outlives_the_process(tmp_path: Path) -> None:
    """Its place is the same after a restart of everything; so is what an Idempotency-Key means."""
    store = f"sqlite:///{tmp_path}/shop.db"
    headers = {"Idempotency-Key": "cart-7"}
    async with serving(store=store) as (_, client):
        place = (await client.post("/slow", json={}, headers=headers)).headers["location"]
    async with serving(store=store) as (engine, client):
        assert (await client.post("/slow", json={}, headers=headers)).headers["location"] == place
        while (await engine.runs(status="waiting")).items == ():
            await engine.store.wait_changed(0.05)
        await engine.signal("go", 7)
        assert (await client.get(place, params={"wait": "1m"})).json() == 7


async def test_a_client_that_goes_away_finds_its_run_again() -> None:
    """The run goes on; the same request with the same key has its answer."""
    async with serving() as (engine, client):
        headers = {"Idempotency-Key": "once"}
        with trio.move_on_after(0.1) as gone:
            await client.post("/patient", json={}, headers=headers)
        assert gone.cancelled_caught
        while (await engine.runs(status="waiting")).items == ():
            await engine.store.wait_changed(0.05)
        await engine.signal("patient", "here")
        assert (await client.post("/patient", json={}, headers=headers)).json() == "here"
        assert len((await engine.runs()).items) == 1


async def test_a_cancelled_run_is_a_conflict() -> None:
    """For whoever asks for its result."""
    async with serving() as (engine, client):
        response = await client.post("/slow", json={})
        await engine.cancel(response.json()["id"])
        response = await client.get(response.headers["location"], params={"wait": "5m"})
        assert (response.status_code, code_of(response)) == (409, "run_cancelled")


async def test_the_place_of_a_result_knows_where_the_server_is_mounted() -> None:
    """So that a client can follow it; the run's `path` is the endpoint's."""
    async with serving(root="/flows") as (engine, client):
        response = await client.post("/flows/slow", json={})
        assert (await client.get(response.headers["location"])).status_code == 202
        assert (await engine.run(response.json()["id"])).event.data["path"] == "/slow"


async def test_results_are_found_by_who_knows_their_place_and_nobody_else() -> None:
    """Not by the id of the run, nor with another proof; nor is a run that no request started."""
    async with serving() as (engine, client):
        place = (await client.post("/slow", json={})).headers["location"]
        id = place.rpartition("/")[2].partition("-")[0]
        other = await engine.start(plain)
        without = await engine.start(slow)
        for guess in (
            id,
            f"{id}-",
            f"{id}-{'0' * 32}",
            f"{other}-{'0' * 32}",
            f"{without}-{'0' * 32}",
            "x-y",
            "-",
            "é-é",
        ):
            response = await client.get(f"/v1/endpoints/results/{guess}")
            assert (response.status_code, code_of(response)) == (404, "not_found"), guess


async def test_too_many_that_wait_are_told_before_anything_is_accepted() -> None:
    """503, and no run."""
    async with serving(Settings(max_open=2)) as (engine, client), trio.open_nursery() as nursery:
        nursery.start_soon(client.post, "/patient")
        while (await engine.runs(status="waiting")).items == ():
            await engine.store.wait_changed(0.05)
        response = await client.post("/patient", json={})
        assert (response.status_code, code_of(response)) == (503, "busy")
        assert len((await engine.runs()).items) == 1
        nursery.cancel_scope.cancel()


async def test_strangers_who_wait_keep_nobody_else_from_waiting() -> None:
    """A quarter of all places is theirs. Who has a token waits for the same endpoint, for its result, or for a run; and
    while as many of those wait as may, strangers still have their places."""
    bearer = {"Authorization": "Bearer correct-horse"}
    async with serving(Settings(max_open=8, auth_tokens=["correct-horse"])) as (engine, client):
        async with trio.open_nursery() as nursery:

            async def crowd(places: int, headers: dict[str, str]) -> None:
                """As many as there is room for; each of them waits, and one more is refused."""
                waiting = len((await engine.runs(status="waiting")).items)
                for _ in range(places):
                    nursery.start_soon(partial(client.post, "/sleepy", headers=headers))
                with trio.fail_after(50):
                    while len((await engine.runs(status="waiting")).items) < waiting + places:
                        await engine.store.wait_changed(0.05)
                with trio.fail_after(50):
                    refused = await client.post("/sleepy", headers=headers)
                assert (refused.status_code, code_of(refused)) == (503, "busy")

            await crowd(2, {"Authorization": "Bearer wrong-horse"})
            place = (await client.post("/slow", headers=bearer)).headers["location"]
            run = place.rpartition("/")[2].partition("-")[0]
            for path in (place, f"/v1/runs/{run}"):
                assert (await client.get(path, params={"wait": "1ms"}, headers=bearer)).status_code in (200, 202)
            metrics = (await client.get("/metrics", headers=bearer)).text
            assert "flowgen_http_waiting_requests 2" in metrics
            await crowd(4, bearer)
            busy = await client.get(f"/v1/runs/{run}", params={"wait": "1ms"}, headers=bearer)
            assert (busy.status_code, code_of(busy)) == (503, "busy")
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            await crowd(4, bearer)
            await crowd(2, {})
            nursery.cancel_scope.cancel()


# -- the same request again ------------------------------------------------------------------------


async def test_a_key_makes_a_repeat_the_same_run() -> None:
    """Whatever else its headers are: also many at once, and each of them gets the answer."""
    async with serving() as (engine, client):
        before, found = len(charged), []

        async def ask(number: int) -> None:
            headers = {"Idempotency-Key": "cart-7", "X-Try": str(number)}
            found.append(await client.post("/checkout", json={"cart": 7}, headers=headers))

        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(ask, number)
        assert {response.status_code for response in found} == {200}
        assert len({response.text for response in found}) == 1
        assert len(charged) == before + 1
        assert len((await engine.runs()).items) == 1


async def test_a_key_is_for_one_request_of_one_endpoint() -> None:
    """Another body or query is a conflict; another endpoint has its own."""
    async with serving() as (engine, client):
        headers = {"Idempotency-Key": "cart-7"}
        await client.post("/checkout", json={"cart": 7}, headers=headers)
        for url, body in (("/checkout", {"cart": 8}), ("/checkout?a=b", {"cart": 7})):
            response = await client.post(url, json=body, headers=headers)
            assert (response.status_code, code_of(response)) == (409, "idempotency_conflict")
        response = await client.post(
            "/checkout", content=b'{ "cart":7 }', headers={**headers, "content-type": "application/json"}
        )
        assert response.status_code == 200
        assert (await client.post("/again", json=0, headers=headers)).status_code == 200
        assert len((await engine.runs()).items) == 2
        two = [("idempotency-key", "a"), ("idempotency-key", "b")]
        response = await client.post("/checkout", json={}, headers=httpx.Headers(two))
        assert code_of(response) == "invalid_idempotency_key"


# -- who may call ----------------------------------------------------------------------------------


async def test_with_a_token_only_public_endpoints_are_open() -> None:
    """To call, and to fetch results of."""
    token = {"Authorization": "Bearer the-token-of-the-shop"}
    async with serving(Settings(auth_tokens=("the-token-of-the-shop",))) as (engine, client):
        response = await client.post("/checkout", json={})
        assert (response.status_code, code_of(response)) == (401, "unauthorized")
        assert not (await engine.runs()).items
        assert (await client.get("/orders/1/items/2")).status_code == 200
        closed = (await client.post("/slow", json={}, headers=token)).headers["location"]
        assert (await client.get(closed, headers=token)).status_code == 202
        for place in (closed, "/v1/endpoints/results/x-y", f"/v1/endpoints/results/{'0' * 26}-{'0' * 32}"):
            response = await client.get(place)
            assert (response.status_code, code_of(response)) == (401, "unauthorized")
        with trio.move_on_after(0.1):
            await client.post("/patient", json={}, headers={"Idempotency-Key": "k"})
        (run,) = (await engine.runs(workflow="patient")).items
        await engine.cancel(run.id)
        response = await client.post("/patient", json={}, headers={"Idempotency-Key": "k"})
        assert response.status_code == 409


@pytest.mark.parametrize("path", ["/runs/{id}", "/v1/x", "/e/x", "/static/x", "/health", "/events", "/login"])
async def test_paths_of_the_server_are_its_own(path: str) -> None:
    """An endpoint cannot take their place, nor one that a later version might have."""
    taking = App("taking")
    taking.endpoint("POST", path)(plain.fn)
    async with open_engine(taking, "memory://") as engine:
        with pytest.raises(DefinitionError, match="paths that begin so are the server's own"):
            http_app(taking, engine, settings=Settings())


async def test_endpoints_of_several_apps_have_different_requests() -> None:
    """Whatever their parameters are called; other methods are others."""
    one, two = App("one"), App("two")
    one.endpoint("POST", "/x/{a}")(plain.fn)
    two.endpoint("POST", "/x/{b}")(plain.fn)
    async with open_engine([one, two], "memory://") as engine:
        with pytest.raises(DefinitionError, match="has the same requests as that of <Workflow one/plain>"):
            http_app([one, two], engine, settings=Settings())
        three = App("three")
        three.endpoint("PUT", "/x/{b}")(plain.fn)
        http_app([one, three], engine, settings=Settings())
