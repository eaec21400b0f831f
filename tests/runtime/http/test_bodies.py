"""Bodies of which nothing says how long they are: chunks, and HTTP/2 under another server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
import trio
import trio.testing
from starlette.types import ASGIApp, Message

from flowgen import App, Run
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.http import Settings, http_app

app = App("shop")


@app.workflow
def give(ctx: Any) -> Any:
    return ctx.event.data
    yield


@app.endpoint("POST", "/echo")
def echo(ctx: Any) -> Any:
    yield Run("nothing", len, "")
    return ctx.event.data["body"]


@app.endpoint("GET", "/look")
def look(ctx: Any) -> Any:
    yield Run("nothing", len, "")
    return ctx.event.data["body"]


@attrs.frozen
class Answer:
    status: int
    body: Any


@attrs.frozen
class Raw:
    """A client that speaks ASGI itself: bodies come in parts, and no header says how long they are.

    With `hold` it says the last part only when that is set.
    """

    served: ASGIApp
    hold: trio.Event | None = None

    async def ask(
        self, method: str, path: str, *parts: bytes, version: str = "2", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> Answer:
        coming = [{"type": "http.request", "body": part, "more_body": True} for part in parts]
        coming.append({"type": "http.request", "body": b"", "more_body": False})
        sent: list[Message] = []

        async def receive() -> Message:
            if len(coming) == 1 and self.hold is not None:
                await self.hold.wait()
            if coming:
                return coming.pop(0)
            await trio.sleep_forever()
            raise AssertionError

        async def send(message: Message) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": version,
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "query_string": b"",
            "headers": [(b"host", b"localhost"), *headers],
            "scheme": "http",
            "server": ("localhost", 80),
        }
        await self.served(scope, receive, send)
        body = b"".join(message.get("body", b"") for message in sent)
        return Answer(sent[0]["status"], json.loads(body) if body else None)


JSON = ((b"content-type", b"application/json"),)
CHUNKED = (b"transfer-encoding", b"chunked")
VERSIONS = [("2", ()), ("3", ()), ("1.1", (CHUNKED,))]


@asynccontextmanager
async def raw(settings: Settings | None = None) -> AsyncIterator[tuple[Engine, Raw]]:
    async with open_engine(app, "memory://") as engine:
        yield engine, Raw(http_app(app, engine, settings=settings or Settings()))


@pytest.mark.parametrize("version, more", VERSIONS)
async def test_a_body_is_read_though_nothing_says_how_long_it_is(version: str, more: Any) -> None:
    """By REST and by endpoints; in one part, or in many."""
    async with raw() as (engine, client):
        invoke = "/v1/workflows/give/invoke"
        for parts in ((b'{"data": {"number": 7}}',), (b'{"data": ', b'{"number"', b": 7}}")):
            answer = await client.ask("POST", invoke, *parts, version=version, headers=(*JSON, *more))
            assert answer.status == 200
            assert await engine.result(answer.body["id"]) == {"number": 7}
        answer = await client.ask("POST", "/echo", b"[1,", b" 2]", version=version, headers=(*JSON, *more))
        assert answer == Answer(200, [1, 2])


@pytest.mark.parametrize("version, more", VERSIONS)
async def test_a_body_that_is_empty_is_none(version: str, more: Any) -> None:
    """Whatever it says of itself."""
    async with raw() as (engine, client):
        for headers in ((), JSON, ((b"content-type", b"text/plain"),)):
            answer = await client.ask("POST", "/v1/workflows/give/invoke", version=version, headers=(*headers, *more))
            assert await engine.result(answer.body["id"]) == {}
            for method, path in (("POST", "/echo"), ("GET", "/look")):
                answer = await client.ask(method, path, version=version, headers=(*headers, *more))
                assert answer == Answer(200, None)


@pytest.mark.parametrize("path", ["/v1/workflows/give/invoke", "/echo"])
async def test_what_is_wrong_with_it_is_told(path: str) -> None:
    """As for all other bodies: its type, its size, and what is no JSON."""
    async with raw(Settings(max_body=1_000)) as (engine, client):
        for parts, headers, status, code in (
            ((b"{}",), (), 415, "unsupported_media_type"),
            ((b"{}",), ((b"content-type", b"text/plain"),), 415, "unsupported_media_type"),
            ((b"{",), JSON, 400, "invalid_json"),
            ((b" " * 600, b" " * 600), JSON, 413, "too_large"),
        ):
            answer = await client.ask("POST", path, *parts, headers=headers)
            assert (answer.status, answer.body["error"]["code"]) == (status, code)
        assert not (await engine.runs()).items


@pytest.mark.parametrize("method, path", [("POST", "/echo"), ("GET", "/look")])
async def test_a_body_that_nothing_announced_counts_as_it_comes(method: str, path: str) -> None:
    """Also that of a GET: while one has most of the room, another is refused; then there is room again."""
    part = b'"' + b"x" * 60_000
    async with raw(Settings(max_body=100_000, max_open_bytes=100_000)) as (_, client), trio.open_nursery() as nursery:
        first = Raw(client.served, hold=trio.Event())
        nursery.start_soon(first.ask, method, path, part, b'"')
        await trio.testing.wait_all_tasks_blocked()
        refused = await client.ask(method, path, part, b'"', headers=JSON)
        assert (refused.status, refused.body["error"]["code"]) == (503, "busy")
        assert first.hold is not None
        first.hold.set()
        await trio.testing.wait_all_tasks_blocked()
        assert (await client.ask(method, path, part, b'"', headers=JSON)).status == 200
