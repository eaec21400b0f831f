"""The server on a real socket, and what is said to it that no client library would say.

What ends one request and begins the next must be beyond doubt (smuggling), headers are those in front of the body, and
nothing that is odd opens a door.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio

from flowgen.runtime import Engine, open_engine
from flowgen.runtime.http import Limits, Settings, http_app
from flowgen.runtime.http import serving as serving_sockets
from tests.security.house import EVENT_KEY, LOCKED, TOKEN, app

IMPATIENT = Limits(header_seconds=0.3, body_seconds=0.3, linger_seconds=0.3, idle_seconds=0.3, stalled_seconds=1)

HOST = b"Host: 127.0.0.1\r\n"
AUTH = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
JSON = b"Content-Type: application/json\r\n"
EVENT = b'{"name":"order/x"}'
SEND = b"POST /e/" + EVENT_KEY.encode() + b" HTTP/1.1\r\n" + HOST + JSON
CHUNKED = b"Transfer-Encoding: chunked\r\n"
CHUNKS = b"12\r\n" + EVENT + b"\r\n0\r\n\r\n"
HEALTH = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
CLOSE = b"Connection: close\r\n"
UPGRADE = b"Connection: Upgrade\r\nUpgrade: h2c\r\n"


@asynccontextmanager
async def served(settings: Settings = LOCKED) -> AsyncIterator[tuple[Engine, int]]:
    with trio.fail_after(50):
        async with (
            open_engine(app, "memory://") as engine,
            serving_sockets(http_app(app, engine, settings=settings), port=0, limits=IMPATIENT) as url,
        ):
            yield engine, int(url.rpartition(":")[2])


async def said(port: int, *texts: bytes) -> bytes:
    """All that is answered to these texts, until the server hangs up."""
    heard = b""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        try:
            for text in texts:
                await stream.send_all(text)
            async for chunk in stream:
                heard += chunk
        except trio.BrokenResourceError:
            heard += b"(reset)"
    return heard


def statuses(heard: bytes) -> list[int]:
    return [int(part.split(b" ", 1)[0]) for part in heard.split(b"HTTP/1.1 ")[1:]]


@pytest.mark.parametrize(
    "text",
    [
        SEND + CHUNKED + b"Content-Length: 18\r\n\r\n" + CHUNKS,
        SEND + b"Transfer-Encoding : chunked\r\n\r\n" + CHUNKS,
        SEND + b"Transfer-Encoding: xchunked\r\n\r\n" + CHUNKS,
        SEND + b"Transfer-Encoding: chunked, identity\r\n\r\n" + CHUNKS,
        SEND + b"Transfer-Encoding: gzip, chunked\r\n\r\n" + CHUNKS,
        SEND + CHUNKED + CHUNKED + b"\r\n" + CHUNKS,
        SEND.replace(b"1.1", b"1.0") + CHUNKED + b"\r\n" + CHUNKS,
        SEND + CHUNKED + b"\r\n0x12\r\n" + EVENT + b"\r\n0\r\n\r\n",
        SEND + CHUNKED + b"\r\n-1\r\n" + EVENT,
        SEND + CHUNKED + b"\r\nFFFFFFFFFFFFFFFFF\r\n" + EVENT,
        SEND + CHUNKED + b"\r\n12\n" + EVENT + b"\n0\n\n",
        SEND + b"Content-Length: 18\r\nContent-Length: 18\r\n\r\n" + EVENT,
        SEND + b"Content-Length: 18, 18\r\n\r\n" + EVENT,
        SEND + b"Content-Length: +18\r\n\r\n" + EVENT,
        SEND + b"Content-Length: 0x12\r\n\r\n" + EVENT,
        SEND + b"Content-Length: 99999999999999999999999\r\n\r\n" + EVENT,
        SEND + UPGRADE + b"Content-Length: 18\r\n\r\n" + EVENT,
        SEND + UPGRADE + CHUNKED + b"\r\n" + CHUNKS,
        SEND + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(HEALTH) + HEALTH,
        HEALTH.replace(b"\r\n", b"\n"),
        HEALTH.replace(b"Host:", b"Host :"),
        HEALTH.replace(HOST, HOST + b"X: a\rb\r\n"),
        HEALTH.replace(HOST, HOST + b"X: a\0b\r\n"),
        HEALTH.replace(b"/health", b"/health\0"),
        HEALTH.replace(b"/health", "/é".encode()),
        HEALTH.replace(b"/health", b"health"),
        HEALTH.replace(b"/health", b"\\health"),
        HEALTH.replace(b" ", b"\t"),
        HEALTH.replace(b"GET", b"get"),
        HEALTH.replace(b"1.1", b"3.1"),
        b"GET /health\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
    ids=lambda text: repr(text[-90:]),
)
async def test_a_request_whose_end_or_form_is_in_doubt_is_refused(text: bytes) -> None:
    """400 and the end of the connection: nothing that comes behind it is read as a request, and nothing happened."""
    async with served() as (engine, port):
        heard = await said(port, text + HEALTH)
        assert statuses(heard) == [400], heard
        assert {"code", "message", "path"} == set(
            json.loads(heard.partition(b"\r\n\r\n")[2].split(b"HTTP/")[0])["error"]
        )
        assert not (await engine.events()).items


async def test_what_comes_in_pieces_is_the_same() -> None:
    """A body behind an `Upgrade` that comes later is no request of its own."""
    async with served() as (_, port):
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(SEND + UPGRADE + b"Content-Length: %d\r\n\r\n" % len(HEALTH))
            heard = await stream.receive_some()
            assert statuses(heard) == [400]
            assert await stream.receive_some() == b""


@pytest.mark.parametrize(
    "text, expected",
    [
        (SEND + CHUNKED + b"\r\n" + CHUNKS, 200),
        (SEND + CHUNKED + b"\r\n12;name=value\r\n" + EVENT + b"\r\n0\r\n\r\n", 200),
        (SEND + CHUNKED.replace(b"chunked", b"Chunked") + b"\r\n" + CHUNKS, 200),
        (SEND + b"Content-Length: 18\r\n\r\n" + EVENT, 200),
        (b"\r\n" + HEALTH, 200),
        (HEALTH.replace(HOST, HOST + UPGRADE), 200),
        (HEALTH.replace(HOST, HOST + UPGRADE + b"Content-Length: 0\r\n"), 200),
        (HEALTH.replace(b"1.1", b"1.0"), 200),
    ],
    ids=lambda text: repr(text)[-90:],
)
async def test_what_is_unusual_and_clear_is_served(text: bytes, expected: int) -> None:
    """`curl --http2` asks for an upgrade, which is not given: the answer is plain."""
    async with served() as (_, port):
        assert statuses(await said(port, text)) == [expected]


async def test_trailers_are_no_headers() -> None:
    """What a proxy in front has not looked at cannot let anybody in, and there may be but a few."""
    async with served() as (engine, port):
        chunked = b"GET /v1/runs HTTP/1.1\r\n" + HOST + CHUNKED + b"\r\n0\r\n"
        assert statuses(await said(port, chunked + AUTH + b"\r\n")) == [401]
        assert statuses(await said(port, SEND + CHUNKED + b"\r\n" + CHUNKS[:-2] + b"Host: evil.example\r\n\r\n")) == [
            200
        ]
        assert len((await engine.events()).items) == 1
        many = SEND + CHUNKED + b"\r\n" + CHUNKS[:-2] + b"X: y\r\n" * 5_000
        assert statuses(await said(port, many)) in ([400], [])
        assert len((await engine.events()).items) == 1


async def test_each_request_of_a_connection_has_to_say_who_it_is() -> None:
    """A token is good for its request alone, not for what comes behind it on the same connection."""
    async with served() as (_, port):
        look = b"GET /v1/runs HTTP/1.1\r\n" + HOST
        assert statuses(await said(port, look + AUTH + b"\r\n" + look + b"\r\n" + look + AUTH + b"\r\n")) == [
            200,
            401,
            200,
        ]


async def test_a_path_is_what_it_is() -> None:
    """Nothing is resolved: dots, slashes and what is encoded name nothing, with a token and without."""
    async with served() as (_, port):
        for path in (
            b"/health/../v1/runs",
            b"/v1/../health",
            b"/static/../v1/runs",
            b"/static/..%2f..%2fpages.py",
            b"/static/%2e%2e/pages.py",
            b"/static//etc/passwd",
            b"/static/flowgen.css/..",
            b"/static/flowgen.css%00.html",
            b"//health",
            b"/health/",
            b"/health;x=1",
            b"/health%2f",
            b"/v1/runs/health",
            b"/HEALTH",
            b"/v1/runs;/health",
            b"/%ff",
            b"/%zz",
            b"/v1%2fruns",
        ):
            heard = await said(port, b"GET " + path + b" HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")
            assert statuses(heard) in ([404], [401]), path
            heard = await said(port, b"GET " + path + b" HTTP/1.1\r\n" + HOST + AUTH + CLOSE + b"\r\n")
            assert statuses(heard) == [404] or path == b"/v1%2fruns", path


@pytest.mark.parametrize("settings", [Settings(), LOCKED], ids=["open", "locked"])
@pytest.mark.parametrize(
    "host",
    [
        b"a@127.0.0.1",
        b"127.0.0.1:80@evil.example",
        b"127.0.0.1:x",
        b"127.0.0.1:",
        b"127.0.0.1:80:80",
        b"[::1",
        b"[::1]evil.example",
        b"[::1]@evil.example",
        b"127.0.0.1 evil.example",
        b"127.0.0.1,evil.example",
        b"127.0.0.1/evil",
        b"localhost\xff",
        "１２７.0.0.1".encode(),
    ],
)
async def test_a_host_that_is_no_name_is_none(host: bytes, settings: Settings) -> None:
    """Whatever stands in front of it: nothing is taken apart until it looks familiar."""
    async with served(settings) as (_, port):
        heard = await said(port, HEALTH.replace(b"127.0.0.1", host))
        assert statuses(heard) == [400]
        assert b"invalid_host" in heard


@pytest.mark.parametrize(
    "header",
    [
        b"Authorization: Bearer \xff\xe9",
        b"Cookie: flowgen_token=\xff\xe9",
        b'Cookie: flowgen_token="\\303\\251"',
        b"Cookie: =; ;;; flowgen_token",
        b"X-Flowgen-Signature: \xff\xfe",
        b"Idempotency-Key: \xff",
        b"Accept-Encoding: gzip;q=x",
        b"Range: bytes=0-99999999999",
        b"If-None-Match: \xff",
        b"Origin: \xff",
        b"Sec-Fetch-Site: \xff",
        b"Content-Type: \xff",
        b"Last-Event-ID: \xff",
    ],
)
async def test_bytes_that_are_no_text_break_nothing(header: bytes) -> None:
    """4xx or what it would be without; never 500."""
    async with served() as (_, port):
        for line in (b"GET /v1/runs", b"GET /", b"GET /static/flowgen.css", b"POST /broken", b"GET /open/1"):
            heard = await said(port, line + b" HTTP/1.1\r\n" + HOST + CLOSE + header + b"\r\nContent-Length: 0\r\n\r\n")
            (status,) = statuses(heard)
            assert status < 500 or b"run_failed" in heard, heard
