"""Web sockets on real sockets: how they begin, what ends them, and what clients with bad manners do to others."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
import httpx
import pytest
import trio
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from uvicorn.server import ServerState
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.trio.client import connect

from flowgen.runtime import open_engine
from flowgen.runtime.http import Limits, Settings, audience, http_app, serving
from flowgen.runtime.http.sdk import listening
from flowgen.runtime.http.web_sockets import MAX_MESSAGE, WebSocketConnection, web_sockets_with

DEV = Settings(dev=True)
IMPATIENT = Limits(connections=8, stalled_seconds=0.3)
HANDSHAKE = (
    "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


@attrs.frozen
class Served:
    """A server on real sockets, and a client that publishes there."""

    url: str
    client: httpx.AsyncClient
    prefix: str = ""

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def path(self) -> str:
        """Where topic t of channel c is listened to."""
        response = await self.client.post("/v1/realtime/token", json=[{"channel": "c", "name": "t", "kind": "run"}])
        return f"{self.prefix}/v1/realtime/connect?token={response.json()['jwt']}"

    async def listening(self) -> connect:
        return connect(self.url.replace("http", "ws") + await self.path(), ping_interval=None, proxy=None)

    async def publish(self, data: Any) -> None:
        query = {"channel": "c", "topic": "t"}
        assert (await self.client.post("/v1/realtime/publish", params=query, json=data)).status_code == 200

    async def says(self, text: str | bytes) -> trio.SocketStream:
        """A connection on which this was said."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        await stream.send_all(text.encode() if isinstance(text, str) else text)
        return stream

    async def head(self, *headers: str) -> str:
        """The request of a handshake."""
        return "\r\n".join([f"GET {await self.path()} HTTP/1.1", "Host: 127.0.0.1", *headers]) + "\r\n"


@asynccontextmanager
async def served(
    limits: Limits = IMPATIENT, settings: Settings = DEV, grace: float = 5, prefix: str = ""
) -> AsyncIterator[Served]:
    """A server on real sockets, whose app may be a part of another's."""
    with trio.fail_after(50):
        async with (
            open_engine([], "memory://") as engine,
            serving(
                Starlette(routes=[Mount(prefix, http_app([], engine, settings=settings))]),
                port=0,
                limits=limits,
                grace=grace,
            ) as url,
            httpx.AsyncClient(base_url=url + prefix, trust_env=False) as client,
        ):
            yield Served(url, client, prefix)


async def to_the_end(stream: trio.SocketStream) -> bytes:
    heard = b""
    async with stream:
        try:
            async for chunk in stream:
                heard += chunk
        except trio.BrokenResourceError:
            heard += b"(reset)"
    return heard


async def test_a_web_socket_hears_what_is_published() -> None:
    """In order, large messages and small ones, as they are; on a connection that was used for requests before, too."""
    async with served() as there, await there.listening() as socket:
        assert socket.protocol.extensions == []  # nothing is compressed
        sent = [0, "x" * 300_000, "é", 3]
        for data in sent:
            await there.publish(data)
        assert [json.loads(await socket.recv())["data"] for _ in sent] == sent
        used = await there.says("GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert b'{"status":"ok"}' in await used.receive_some()
        await used.send_all((await there.head() + HANDSHAKE + "\r\n").encode())
        assert (await used.receive_some()).startswith(b"HTTP/1.1 101 ")
        await there.publish("again")
        assert b'"again"' in await used.receive_some()
        await used.aclose()


async def test_they_are_mounted_with_the_app() -> None:
    """Below a path of somebody else's app; what is not there is not there either."""
    async with served(prefix="/flows") as there:
        async with await there.listening() as socket:
            await there.publish(1)
            assert json.loads(await socket.recv())["data"] == 1
        stream = await there.says((await there.head()).replace("connect", "nothing") + HANDSHAKE + "\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 404 ")
        await stream.aclose()


async def test_the_end_of_the_server_ends_them() -> None:
    """At once: they are told that it restarts (1012), and come back to another."""
    async with served() as there:
        stream = await there.says(await there.head() + HANDSHAKE + "\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
        began = trio.current_time()
    assert trio.current_time() - began < 3
    assert await to_the_end(stream) == b"\x88\x02" + (1012).to_bytes(2, "big")


async def test_a_client_that_is_gone_is_forgotten() -> None:
    """With a word or without."""
    async with served() as there:
        async with await there.listening() as socket:
            await there.publish(1)
            await socket.recv()
        stream = await there.says(await there.head() + HANDSHAKE + "\r\n")
        await stream.receive_some()
        await stream.aclose()
        for number in range(10):
            await there.publish(number)


@pytest.mark.parametrize(
    "headers, status",
    [
        (["Host: evil.example"], 400),
        (["Origin: https://evil.example"], 403),
        (["Origin: null"], 403),
        (["Origin: "], 403),
        (["Origin: http://"], 403),
        (["Origin: file://localhost"], 403),
        (["Origin: http://localhost.evil.example"], 403),
        (["Origin: http://evil.example:8288"], 403),
        (["Origin: http://localhost@evil.example"], 403),
        (["Origin: http://localhost:3000/evil.example"], 403),
        (["Sec-Fetch-Site: cross-site"], 403),
        (["Content-Length: 5"], 400),
        (["Transfer-Encoding: chunked"], 400),
        (["X-Long: " + "x" * 9_000], 431),
    ],
)
async def test_a_handshake_is_guarded_like_any_request(headers: list[str], status: int) -> None:
    """Refused before it is a web socket, with the same words."""
    async with served() as there:
        heard = await to_the_end(await there.says(await there.head(*headers) + HANDSHAKE + "\r\n"))
        assert heard.startswith(b"HTTP/1.1 %d " % status), heard


@pytest.mark.parametrize(
    "origin", ["http://localhost:3000", "https://LOCALHOST", "http://127.0.0.1:5173", "http://[::1]:1"]
)
async def test_pages_of_another_port_may_listen(origin: str) -> None:
    """With their token: nothing that a browser adds by itself opens a web socket, and they can ask for nothing else."""
    async with served() as there:
        site = "Sec-Fetch-Site: same-site"
        stream = await there.says(await there.head(f"Origin: {origin}", site) + HANDSHAKE + "\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
        await stream.aclose()
        for path in ("/v1/realtime/token", "/v1/realtime/publish"):
            asked = await there.client.post(path, json=[], headers={"origin": origin})
            assert asked.status_code == 403


async def test_any_host_is_not_any_page() -> None:
    """A server that may be called under any name has none of its own but those of the loopback."""
    async with served(settings=Settings(dev=True, hosts=("*", "flows.example"))) as there:
        for origin, status in (("https://evil.example", 403), ("https://flows.example", 101)):
            stream = await there.says(await there.head(f"Origin: {origin}") + HANDSHAKE + "\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 %d " % status)
            await stream.aclose()


async def test_a_handshake_under_another_name_is_refused() -> None:
    """As a page does that makes a browser call this machine under a name of its own (DNS rebinding)."""
    async with served() as there:
        head = (await there.head()).replace("Host: 127.0.0.1", "Host: evil.example")
        heard = await to_the_end(await there.says(head + HANDSHAKE + "\r\n"))
        assert heard.startswith(b"HTTP/1.1 421 ")
        assert b"x-content-type-options: nosniff" in heard


@pytest.mark.parametrize(
    "change, status",
    [
        (("/v1/realtime/connect", "/v1/realtime/nothing"), 404),
        (("/v1/realtime/connect", "/v1/stream"), 404),
        (("token=", "token=x"), 401),
        (("?token=", "?"), 400),
        (("?token=", "?more=1&token="), 400),
        (("GET", "POST"), 405),
        (("HTTP/1.1", "HTTP/1.0"), 426),
        (("Version: 13", "Version: 12"), 426),
        (("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 426),
        (("Sec-WebSocket-Key: d", "Sec-WebSocket-Key: dd"), 400),
        (("Connection: Upgrade", "Connection: close"), 426),
    ],
)
async def test_what_is_no_handshake_for_here_is_refused(
    change: tuple[str, str], status: int, caplog: pytest.LogCaptureFixture
) -> None:
    """With the reason, and nothing in the log: strangers must not fill it."""
    async with served() as there:
        text = (await there.head() + HANDSHAKE + "\r\n").replace(*change)
        stream = await there.says(text)
        heard = await stream.receive_some()
        await stream.aclose()
        assert heard.startswith(b"HTTP/1.1 %d " % status), heard
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_handshake_that_comes_before_an_answer_is_none() -> None:
    """A request on the way, and what comes behind it, are answered in their order: nothing comes in between."""
    async with served(grace=0.1) as there:
        first = "GET /v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
        stream = await there.says(first + await there.head() + HANDSHAKE + "\r\n")
        heard = b""
        while b": flowgen" not in heard:
            heard += await stream.receive_some()
        assert b"101" not in heard
        await stream.aclose()


async def test_who_takes_nothing_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection ends, with what waits for it; the others hear everything."""
    monkeypatch.setattr(listening, "PATIENCE_SECONDS", 0.3)
    async with served() as there, await there.listening() as quick:
        slow = await there.says(await there.head() + HANDSHAKE + "\r\n")
        await slow.receive_some()
        for number in range(40):
            await there.publish(f"{number}" * 200_000)
            assert json.loads(await quick.recv())["data"] == f"{number}" * 200_000
        await trio.sleep(2)
        heard = await to_the_end(slow)
        assert len(heard) < 40 * 200_000
        await there.publish("end")
        assert json.loads(await quick.recv())["data"] == "end"


async def test_who_falls_behind_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a reason, once it takes something again (1013)."""
    monkeypatch.setattr(audience, "MOST", 2)
    async with served(Limits()) as there, await there.listening() as socket:
        slow = await there.says(await there.head() + HANDSHAKE + "\r\n")
        await slow.receive_some()
        for number in range(40):
            await there.publish(f"{number}" * 200_000)
            await socket.recv()
        heard = b""
        while not heard.endswith(b"\x03\xf5it did not take what was told to it"):
            heard += await slow.receive_some()
        await slow.aclose()


async def test_pings_are_answered() -> None:
    """So a client knows that the server is there."""
    async with served() as there, await there.listening() as socket:
        await (await socket.ping()).wait()


@attrs.define
class Pipe(asyncio.Transport):
    """A transport that keeps what is written to it."""

    written: bytearray = attrs.field(factory=bytearray)
    closing: bool = False
    aborted: bool = False

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def write(self, data: Any) -> None:
        self.written += data

    def pause_reading(self) -> None:
        """What comes is said by the test."""

    def is_closing(self) -> bool:
        return self.closing

    def close(self) -> None:
        """It stays as it is."""

    def abort(self) -> None:
        self.aborted = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return default


@asynccontextmanager
async def piped(limits: Limits) -> AsyncIterator[tuple[WebSocketConnection, Pipe]]:
    """A web socket whose other end is a pipe."""
    over = asyncio.Event()

    async def nobody(scope: Any, receive: Any, send: Any) -> None:
        await over.wait()

    config = uvicorn.Config(nobody, ws=web_sockets_with(limits), log_config=None)
    config.load()
    socket, pipe = web_sockets_with(limits)(config, ServerState(), {}), Pipe()  # type: ignore[call-arg]
    assert isinstance(socket, WebSocketConnection)
    socket.connection_made(pipe)
    socket.data_received(b"GET / HTTP/1.1\r\nHost: x\r\n" + HANDSHAKE.encode() + b"\r\n")
    await socket.send({"type": "websocket.accept"})
    pipe.written.clear()
    yield socket, pipe
    socket.stop_keepalive()
    over.set()
    await asyncio.gather(*socket.tasks)


def test_pings_of_who_takes_nothing_are_not_answered() -> None:
    """What waits for a client does not grow with what it sends; when it takes it, it is answered again."""

    async def run() -> None:
        async with piped(Limits()) as (socket, pipe):
            ping = Frame(Opcode.PING, b"x").serialize(mask=True)
            socket.pause_writing()
            for _ in range(3):
                socket.data_received(ping * 100)
            assert not pipe.written
            socket.resume_writing()
            socket.data_received(ping)
            assert pipe.written == b"\x8a\x01x"

    asyncio.run(run())


def test_a_message_of_empty_parts_takes_no_room() -> None:
    """However many there are: nothing of them is kept, and what has something in it is whole at its end."""

    async def run() -> None:
        async with piped(Limits()) as (socket, _):
            socket.data_received(Frame(Opcode.TEXT, b"a", fin=False).serialize(mask=True))
            socket.data_received(Frame(Opcode.CONT, b"", fin=False).serialize(mask=True) * 1_000)
            assert len(socket.frames) == 1
            socket.data_received(Frame(Opcode.CONT, b"b", fin=False).serialize(mask=True))
            socket.data_received(Frame(Opcode.CONT, b"").serialize(mask=True))
            assert [socket.queue.get_nowait() for _ in range(2)][1] == {"type": "websocket.receive", "text": "ab"}

    asyncio.run(run())


@pytest.mark.parametrize("takes", [False, True])
def test_the_end_of_the_server_does_not_wait_for_who_takes_nothing(takes: bool) -> None:
    """Who takes what is sent hears that it stops; anyone else is cut off."""

    async def run() -> None:
        async with piped(Limits()) as (socket, pipe):
            if not takes:
                socket.pause_writing()
            socket.shutdown()
            assert pipe.aborted is not takes

    asyncio.run(run())


@pytest.mark.parametrize("closing", [False, True])
def test_who_does_not_take_what_was_sent_is_cut_off(closing: bool) -> None:
    """After so long, also while it is closed; who takes it in time is not."""

    async def run() -> None:
        async with piped(Limits(stalled_seconds=10)) as (socket, pipe):
            now = socket.loop.time()
            socket.sweep(now + 100)
            socket.pause_writing()
            socket.resume_writing()
            socket.sweep(now + 200)
            pipe.closing = closing
            if closing:
                socket.sweep(now)
            else:
                socket.pause_writing()
            socket.sweep(now + 9)
            assert not pipe.aborted
            socket.sweep(now + 12)
            assert pipe.aborted

    asyncio.run(run())


@pytest.mark.parametrize(
    "frame, code",
    [
        (Frame(Opcode.TEXT, b"x" * (MAX_MESSAGE + 1)).serialize(mask=True), 1009),
        (Frame(Opcode.TEXT, b"\xff").serialize(mask=True), 1007),
        (
            Frame(Opcode.TEXT, b"\xe2", fin=False).serialize(mask=True) + Frame(Opcode.CONT, b"x").serialize(mask=True),
            1007,
        ),
        (Frame(Opcode.TEXT, b"x").serialize(mask=False), 1002),
        (Frame(Opcode.CONT, b"x").serialize(mask=True), 1002),
        (b"\xc1\x81\x00\x00\x00\x00x", 1002),
    ],
    ids=["large", "no text", "no text in parts", "bare", "out of order", "compressed"],
)
async def test_what_is_no_message_ends_it(frame: bytes, code: int, caplog: pytest.LogCaptureFixture) -> None:
    """With the code that says what was wrong; and nothing is logged, because nothing is wrong with the server."""
    async with served() as there:
        stream = await there.says(await there.head() + HANDSHAKE + "\r\n")
        await stream.receive_some()
        await stream.send_all(frame)
        heard = await to_the_end(stream)
        assert heard[2:4] == code.to_bytes(2, "big"), heard
    assert caplog.text == ""


async def test_they_count_among_the_connections() -> None:
    """And none of them makes room for another: who comes when all have something to do is told to come again."""
    async with served(Limits(connections=3)) as there:
        streams = []
        for _ in range(2):
            stream = await there.says(await there.head() + HANDSHAKE + "\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 101 ")
            streams.append(stream)
        busy = await there.says(
            "POST /v1/realtime/publish?channel=c HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 9\r\n\r\n"
        )
        await trio.sleep(0.2)
        assert b"too many connections" in await to_the_end(await there.says(""))
        for stream in (*streams, busy):
            await stream.aclose()


async def test_a_stream_that_is_too_large_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """413, and who listens is told that it ended; so it is of one that breaks off."""
    monkeypatch.setattr("flowgen.runtime.http.sdk.realtime.MOST_OF_STREAM", 10)
    async with served() as there, await there.listening() as socket:
        query, headers = {"channel": "c", "topic": "t"}, {"content-type": "text/stream"}
        sent = await there.client.post("/v1/realtime/publish", params=query, content=b"x" * 11, headers=headers)
        assert sent.status_code == 413
        head = (
            "POST /v1/realtime/publish?channel=c&topic=t HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/stream\r\n"
        )
        broken = await there.says(head + "Content-Length: 9\r\n\r\nabc")
        await trio.sleep(0.1)
        await broken.aclose()
        heard = [json.loads(await socket.recv()) for _ in range(5)]
        assert [each["kind"] for each in heard] == [
            "datastream-start", "datastream-end", "datastream-start", "chunk", "datastream-end"
        ]  # fmt: skip


async def test_the_end_of_the_server_ends_what_is_streamed_to_it() -> None:
    """503 at once: a stream may go on for longer than a server that stops can wait."""
    async with served() as there:
        stream = await there.says(
            "POST /v1/realtime/publish?channel=c&topic=t HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/stream\r\n"
            "Content-Length: 9\r\n\r\nabc"
        )
        await trio.sleep(0.2)
        began = trio.current_time()
    assert trio.current_time() - began < 3
    assert (await to_the_end(stream)).startswith(b"HTTP/1.1 503 ")


async def test_a_wrong_token_is_no_web_socket() -> None:
    """A client library says with which status it was refused."""
    async with served() as there:
        with pytest.raises(InvalidStatus) as caught:
            async with connect(there.url.replace("http", "ws") + "/v1/realtime/connect?token=x", proxy=None):
                pass
        assert caught.value.response.status_code == 401
        assert json.loads(caught.value.response.body)["error"]["code"] == "unauthorized"
