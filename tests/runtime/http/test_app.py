"""The server as an ASGI app: what it lets in, what it answers, and that each answer is as api.md says."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from flowgen import App, OnEvent, Run
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.http import Settings, http_app

app = App("shop")


def double(number: int) -> int:
    return 2 * number


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Any) -> Any:
    doubled = yield Run("double", double, ctx.event.data["number"])
    return doubled


@asynccontextmanager
async def serving(
    settings: Settings | None = None, headers: Mapping[str, str] | None = None
) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    """An engine, and a client of its server on the same loop."""
    async with open_engine(app, "memory://") as engine:
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


async def test_an_event_is_accepted_and_starts_a_run() -> None:
    """The ids in the answer are the internal ones; the run is there, and ends."""
    async with serving() as (engine, client):
        response = await client.post("/e/any", json={"name": "order/placed", "data": {"number": 21}})
        assert response.status_code == 200
        (id,) = response.json()["ids"]
        assert response.json()["status"] == 200
        (run,) = await engine.started(id)
        assert await engine.result(run) == 42
        shown = (await client.get(f"/v1/runs/{run}")).json()
        assert (shown["status"], shown["result"], shown["workflow_id"]) == ("completed", 42, "fulfil")
        listed = (await client.get(f"/v1/events/{id}/runs")).json()
        assert [item["id"] for item in listed["items"]] == [run]
        assert (await client.get(f"/v1/events/{id}")).json()["name"] == "order/placed"


async def test_a_batch_is_accepted_whole_or_not_at_all() -> None:
    """Each bad item is named by its place, and nothing of the batch is there."""
    async with serving() as (engine, client):
        good = {"name": "order/placed", "data": {"number": 1}}
        response = await client.post("/e/any", json=[good, {"name": ""}, {"nam": "x"}, 7, {**good, "ts": 1.5}])
        assert response.status_code == 400
        paths = [flaw["path"] for flaw in response.json()["error"]["errors"]]
        assert paths == ["/1/name", "/2/nam", "/3", "/4/ts"]
        assert not (await engine.events()).items
        assert (await client.post("/e/any", json=[good, good])).status_code == 200
        assert len((await engine.events()).items) == 2


async def test_an_id_that_was_used_with_another_payload_is_a_conflict() -> None:
    """The same again answers the same ids."""
    async with serving() as (_, client):
        event = {"name": "a", "data": {"x": 1}, "id": "once"}
        first = await client.post("/e/any", json=event)
        assert (await client.post("/e/any", json=event)).json() == first.json()
        response = await client.post("/e/any", json={**event, "data": {"x": 2}})
        assert (response.status_code, code_of(response)) == (409, "conflict")


@pytest.mark.parametrize(
    "headers, content, status, code",
    [
        ({}, b"{}", 415, "unsupported_media_type"),
        ({"content-type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ({"content-type": "application/x-www-form-urlencoded"}, b"a=1", 415, "unsupported_media_type"),
        ({"content-type": "application/json; charset=utf-16"}, b"{}", 415, "unsupported_media_type"),
        ({"content-type": "application/json", "content-encoding": "gzip"}, b"{}", 415, "unsupported_media_type"),
        ({"content-type": "application/json"}, b"", 400, "invalid_json"),
        ({"content-type": "application/json"}, b"[]", 400, "empty_batch"),
        ({"content-type": "application/json"}, b'"x"', 400, "invalid_event"),
        ({"content-type": "application/json"}, b"null", 400, "invalid_event"),
        ({"content-type": "application/json"}, b'{"name": "flowgen/run.failed"}', 400, "invalid_event"),
        ({"content-type": "application/json"}, b'{"name": "a", "data": [1]}', 400, "invalid_event"),
        ({"content-type": "application/json"}, b'{"name": "a", "ts": -1}', 400, "invalid_event"),
        ({"content-type": "application/json"}, b'{"name": "a", "ts": 99999999999999}', 400, "invalid_event"),
        ({"content-type": "application/json"}, b'{"name": "a", "id": ""}', 400, "invalid_event"),
        ({"content-type": "application/json"}, b'{"name": "a", "id": "' + b"x" * 10_000 + b'"}', 400, "invalid_event"),
        ({"content-type": "application/json"}, b'{"name": "' + b"x" * 257 + b'"}', 400, "invalid_event"),
        ({"content-type": "application/json"}, b"[" + b'{"name":"a"},' * 5000 + b'{"name":"a"}]', 413, "too_many"),
        ({"content-type": "application/json"}, b" " * 5_000_000, 413, "too_large"),
    ],
)
async def test_what_the_event_api_refuses(headers: dict[str, str], content: bytes, status: int, code: str) -> None:
    """Each with the status and code of its kind, and nothing is accepted."""
    async with serving() as (engine, client):
        response = await client.post("/e/any", content=content, headers=headers)
        assert (response.status_code, code_of(response)) == (status, code)
        assert not (await engine.events()).items


@pytest.mark.parametrize(
    "host", ["evil.com", "127.0.0.1.evil.com", "localhost.evil.com:8288", "", "[::2]", "169.254.1.1"]
)
async def test_a_host_that_is_not_ours_is_refused(host: str) -> None:
    """So a name that a stranger resolves to this machine reaches nothing."""
    async with serving() as (_, client):
        response = await client.get("/v1/runs", headers={"host": host})
        assert (response.status_code, code_of(response)) == (421, "unknown_host")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:8288", "LOCALHOST:8288", "flows.example"])
async def test_hosts_that_are_served(host: str) -> None:
    """The loopback's names with any port, and those that were configured."""
    async with serving(Settings(hosts=frozenset({"flows.example"}))) as (_, client):
        assert (await client.get("/v1/runs", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.com"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
async def test_pages_of_other_sites_reach_nothing(headers: dict[str, str]) -> None:
    """Whatever they ask a browser to do."""
    async with serving() as (engine, client):
        response = await client.post("/e/any", json={"name": "a"}, headers=headers)
        assert (response.status_code, code_of(response)) == (403, "cross_origin")
        assert not (await engine.events()).items


async def test_a_page_of_our_own_may_call() -> None:
    """Its origin is the host that it calls."""
    async with serving() as (_, client):
        headers = {"origin": "http://127.0.0.1:8288", "sec-fetch-site": "same-origin"}
        assert (await client.post("/e/any", json={"name": "a"}, headers=headers)).status_code == 200


@pytest.mark.parametrize("method, path", [("GET", "/v1/runs"), ("DELETE", "/v1/runs/x"), ("POST", "/v1/runs/x/cancel")])
async def test_with_a_token_nothing_is_open_but_what_is_public(method: str, path: str) -> None:
    """A wrong one, an odd one, and one in the address are none; the right one opens."""
    secret = "correct-horse"
    async with serving(Settings(auth_tokens=(secret, "next-horse"))) as (_, client):
        for headers in (
            {},
            {"authorization": "Bearer wrong"},
            {"authorization": f"Basic {secret}"},
            {"authorization": "Bearer"},
            {"authorization": secret},
            {"cookie": "flowgen_token=wrong"},
        ):
            response = await client.request(method, path, headers=headers)
            assert (response.status_code, code_of(response)) == (401, "unauthorized")
        assert (await client.request(method, f"{path}?token={secret}")).status_code == 401
        for token in (secret, "next-horse"):
            response = await client.request(method, path, headers={"authorization": f"Bearer {token}"})
            assert response.status_code in (200, 404)
        assert (await client.get("/health")).status_code == 200


async def test_event_keys() -> None:
    """With keys configured, one of them opens the event API, and no other route."""
    async with serving(Settings(event_keys=("the-event-key",), auth_tokens=("the-token",))) as (_, client):
        assert (await client.post("/e/wrong", json={"name": "a"})).status_code == 401
        assert (await client.post("/e/the-event-key", json={"name": "a"})).status_code == 200
        response = await client.get("/v1/events", headers={"authorization": "Bearer the-event-key"})
        assert response.status_code == 401


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "HEAD", "PROPFIND"])
@pytest.mark.parametrize("path", ["/e/any", "/v1/runs", "/health", "/nothing", "/v1/runs/", "//", "/v1/runs/%2e%2e"])
async def test_methods_and_paths_that_are_not_there(method: str, path: str) -> None:
    """404, or 405 with what the path has; neither tells anything."""
    async with serving() as (_, client):
        response = await client.request(method, path)
        if response.status_code == 405:
            assert response.headers["allow"]
        elif method != "HEAD":
            assert response.status_code == 404
        assert "trace" not in response.text.lower() or method == "TRACE"


async def test_unknown_parameters_and_bad_values_are_refused() -> None:
    """A filter that is misspelt must not select everything."""
    async with serving() as (_, client):
        for query in (
            "stauts=failed",
            "status=broken",
            "limit=0",
            "limit=501",
            "limit=-1",
            "limit=1e9",
            "limit=1&limit=2",
        ):
            assert (await client.get(f"/v1/runs?{query}")).status_code == 400, query


async def test_cancel_answers_202_and_then_409() -> None:
    """An accepted cancel is told apart from one that came too late."""
    async with serving() as (engine, client):
        run = await engine.start(fulfil, {"number": 1})
        await engine.result(run)
        response = await client.post(f"/v1/runs/{run}/cancel")
        assert (response.status_code, code_of(response)) == (409, "wrong_state")
        assert "completed" in response.json()["error"]["message"]
        response = await client.delete("/v1/runs/nothing")
        assert (response.status_code, code_of(response)) == (404, "not_found")
