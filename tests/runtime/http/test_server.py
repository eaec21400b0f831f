"""The server on real sockets: where it listens, how it stops, and what clients with bad manners do to others."""

from __future__ import annotations

import gc
import json
import os
import resource
import socket
import threading
import time
import warnings
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import attrs
import pytest
import trio
from starlette.types import Receive, Scope, Send

from flowgen.errors import InvalidInput
from flowgen.runtime.http.limits import Limits
from flowgen.runtime.http.server import ServerBroke, serving
from flowgen.runtime.http.sockets import bind, is_loopback, url_of

IMPATIENT = Limits(
    connections=20,
    header_bytes=8_192,
    headers=20,
    header_seconds=0.2,
    body_seconds=0.2,
    linger_seconds=0.2,
    idle_seconds=0.2,
    stalled_seconds=0.2,
)
HUGE = 256 * 1024 * 1024
LARGE = 32 * 1024 * 1024


@attrs.define
class Site:
    """An ASGI app whose answers a test holds back, and what became of them."""

    let_go: trio.Event = attrs.field(factory=trio.Event)
    begun: trio.Event = attrs.field(factory=trio.Event)
    token: Any = attrs.field(factory=trio.lowlevel.current_trio_token)
    gone: threading.Event = attrs.field(factory=threading.Event)
    left: list[str] = attrs.field(factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        self.token.run_sync_soon(self.begun.set)
        try:
            if path == "/held":
                while not self.let_go.is_set():
                    await _asyncio_pause()
            if path == "/waits":
                await scope["state"]["closing"].wait()
            if path == "/blocks":
                _block()
            if path == "/echo":
                await self._echo(receive, send)
            elif path == "/stream":
                await self._stream(receive, send)
            elif path == "/stuck":
                await self._stuck(send)
            elif path == "/huge":
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for _ in range(HUGE // 65_536):
                    await send({"type": "http.response.body", "body": bytes(65_536), "more_body": True})
                self.gone.set()
            elif path == "/large":
                await _answer(send, bytes(LARGE))
                self.gone.set()
            else:
                await _answer(send, path.encode())
        finally:
            self.left.append(path)

    async def _echo(self, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        await _answer(send, body)

    async def _stuck(self, send: Send) -> None:
        """More than a client gets that reads nothing, and then it goes on."""
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(LARGE), "more_body": True})
        self.gone.set()
        await send({"type": "http.response.body", "body": b"more", "more_body": True})

    async def _stream(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


async def _asyncio_pause() -> None:
    import asyncio

    await asyncio.sleep(0.01)


def _block() -> None:
    """Nobody else has a turn; meanwhile the server is to stop, and another client is there."""
    time.sleep(0.5)


async def _answer(send: Send, body: bytes) -> None:
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def served(limits: Limits = IMPATIENT, **options: Any) -> AsyncIterator[tuple[Site, int]]:
    """A site that is served, and its port; nothing here takes longer than this lets it."""
    site = Site()
    with trio.fail_after(50):
        async with serving(site, port=0, limits=limits, **options) as url:
            yield site, int(url.rpartition(":")[2])


async def said(port: int, text: bytes) -> bytes:
    """All that the server says to a client that says this, and then nothing, until the server hangs up."""
    return await to_the_end(await saying(port, text))


async def saying(port: int, text: bytes) -> trio.SocketStream:
    """A connection on which this was said."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    await stream.send_all(text)
    return stream


def get(path: str, *headers: str) -> bytes:
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


async def to_the_end(stream: trio.SocketStream) -> bytes:
    heard = b""
    async with stream:
        try:
            async for chunk in stream:
                heard += chunk
        except trio.BrokenResourceError:
            heard += b"(reset)"
    return heard


def status_of(heard: bytes) -> int:
    return int(heard.split(b" ", 2)[1])


# -- where it listens -----------------------------------------------------------------------------


async def test_it_listens_on_both_addresses_of_the_loopback() -> None:
    """Whichever `localhost` is for a browser, it finds the server, on the port that was free."""
    async with served() as (_, port):
        for host in ("127.0.0.1", "::1") if socket.has_ipv6 else ("127.0.0.1",):
            async with await trio.open_tcp_stream(host, port) as stream:
                await stream.send_all(get("/"))
                assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "host, port, reason",
    [
        ("127.0.0.1", 70_000, "port 70000: a port is a number from 0 .any free one. to 65535"),
        ("127.0.0.1", -1, "port -1"),
        ("192.0.2.1", 0, "host '192.0.2.1' is no address of this machine"),
        ("no such host", 0, "host 'no such host': no address of this machine is called so"),
        ("x" * 300, 0, "no address of this machine is called so"),
    ],
)
def test_where_nothing_can_listen(host: str, port: int, reason: str) -> None:
    """The message names the port or the host, and says why."""
    with pytest.raises(InvalidInput, match=reason):
        bind(host, port)


async def test_a_port_in_use_is_told_before_anything_is_served() -> None:
    """And what another server has is left alone."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(InvalidInput, match=f"port {port} of 127.0.0.1 is in use: another server is there"):
            async with serving(Site(), port=port):
                pass


@pytest.mark.parametrize(
    "host, loopback",
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("LOCALHOST", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.0.1", False),
        ("127.0.0.1.evil.com", False),
        ("", False),
    ],
)
def test_what_is_loopback(host: str, loopback: bool) -> None:
    """Only what this machine alone can call."""
    assert is_loopback(host) == loopback


@pytest.mark.parametrize("host, shown", [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]"), ("0.0.0.0", "127.0.0.1")])
def test_the_url_is_one_that_can_be_opened(host: str, shown: str) -> None:
    """Every address has one, and IPv6 its brackets."""
    sockets = bind(host, 0)
    try:
        assert url_of(host, sockets) == f"http://{shown}:{sockets[0].getsockname()[1]}"
    finally:
        for each in sockets:
            each.close()


# -- how it stops ---------------------------------------------------------------------------------


async def until_refused(port: int, then: Callable[[], object]) -> None:
    """Do something once the server accepts nobody any more."""
    while True:
        try:
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
        except OSError:
            then()
            return


async def test_a_request_in_hand_is_finished() -> None:
    """The server stops accepting, and ends when the answer has left."""
    async with trio.open_nursery() as nursery:
        async with served() as (site, port):
            client = await saying(port, get("/held"))
            await site.begun.wait()
            nursery.start_soon(until_refused, port, site.let_go.set)
        assert site.left == ["/held"]
        assert (await to_the_end(client)).endswith(b"/held")


async def test_a_request_that_takes_longer_than_the_grace_is_cut_off() -> None:
    """A stop has an end."""
    async with served(grace=0.2) as (site, port):
        client = await saying(port, get("/held"))
        await site.begun.wait()
    assert site.left == ["/held"]
    assert not (await to_the_end(client)).endswith(b"/held")


async def test_a_body_that_does_not_come_is_no_error_of_a_server_that_stops(caplog: pytest.LogCaptureFixture) -> None:
    """When the grace is over its reader hears that nothing more will come: that it does not is its client's doing."""
    async with served(attrs.evolve(IMPATIENT, body_seconds=1_000), grace=0.2) as (site, port):
        client = await saying(port, b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf")
        await site.begun.wait()
    assert site.left == ["/echo"]
    assert caplog.records == []
    await client.aclose()


async def test_streams_and_long_polls_end_when_the_server_stops() -> None:
    """At once, and not after the grace: nobody would gain from it."""
    async with served(grace=1_000) as (site, port):
        stream = await saying(port, get("/stream"))
        first = await stream.receive_some()
        site.begun = trio.Event()
        poll = await saying(port, get("/waits"))
        await site.begun.wait()
    assert (first + await to_the_end(stream)).endswith(b"one\r\n")
    assert (await to_the_end(poll)).endswith(b"/waits")
    assert sorted(site.left) == ["/stream", "/waits"]


async def test_a_stream_before_other_requests_ends_when_the_server_stops() -> None:
    """As if nothing had been asked behind it; and that is not begun any more."""
    async with served(grace=1_000) as (site, port):
        client = await saying(port, get("/stream") + get("/waits"))
        assert b"one" in await client.receive_some()
    assert site.left == ["/stream"]
    assert b"/waits" not in await to_the_end(client)


async def test_a_stream_that_nobody_reads_does_not_hold_up_the_end() -> None:
    """It has no end that its client could still get."""
    async with served(attrs.evolve(IMPATIENT, stalled_seconds=1_000), grace=1_000) as (site, port):
        client = await saying(port, get("/stuck"))
        await trio.to_thread.run_sync(site.gone.wait)
    assert site.left == ["/stuck"]
    await client.aclose()


async def test_a_stream_before_other_requests_ends_with_its_client() -> None:
    """What nobody can get is not made for ever."""
    async with served() as (site, port):
        client = await saying(port, get("/stream") + get("/waits"))
        assert b"one" in await client.receive_some()
        await client.aclose()
        assert await trio.to_thread.run_sync(site.gone.wait, 40)


@pytest.mark.parametrize("behind", [get("/waits"), b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_a_stream_ends_with_its_client_whatever_came_behind_it(behind: bytes) -> None:
    """Nothing is read of who has a request waiting, so its end is not read, either."""
    async with served(attrs.evolve(IMPATIENT, body_seconds=1_000)) as (site, port):
        client = await saying(port, get("/stream"))
        assert b"one" in await client.receive_some()
        await client.send_all(behind)
        await client.aclose()
        assert await trio.to_thread.run_sync(site.gone.wait, 40)


async def test_an_answer_that_nobody_reads_is_dropped_with_the_server() -> None:
    """It was given whole, and the system has taken only a part of it: nothing of it outlives the grace."""
    async with served(grace=0.2) as (site, port):
        client = await saying(port, get("/large"))
        assert await client.receive_some(1) == b"H"
    assert site.left == ["/large"]
    assert unclosed() == []
    assert len(await to_the_end(client)) < LARGE


async def test_who_comes_as_the_server_stops_is_not_waited_for() -> None:
    """It was accepted already, and is told to go when the server looks for such."""
    async with served(attrs.evolve(IMPATIENT, header_seconds=1_000), grace=1_000) as (site, port):
        client = await saying(port, get("/blocks"))
        await site.begun.wait()
        late = await trio.open_tcp_stream("127.0.0.1", port)
    assert (await to_the_end(client)).endswith(b"/blocks")
    assert await to_the_end(late) == b""
    assert unclosed() == []


def unclosed() -> list[str]:
    """What is left behind open, and found only now."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    return [str(warning.message) for warning in told]


async def test_cancelling_does_not_wait() -> None:
    """A second signal cancels: what is in hand is cut off at once."""
    with trio.CancelScope() as scope:
        async with served(grace=1_000) as (site, port):
            client = await saying(port, get("/held"))
            await site.begun.wait()
            scope.cancel()
            await trio.sleep_forever()
    assert site.left == ["/held"]
    await client.aclose()


async def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    """Not in a group."""
    with pytest.raises(KeyError, match="culprit"):
        async with served():
            raise KeyError("culprit")


async def test_a_server_that_breaks_ends_the_block() -> None:
    """It must not go on in silence without its server."""

    async def refuses_to_live(scope: Scope, receive: Receive, send: Send) -> None:
        message = await receive()
        await send({"type": f"{message['type']}.failed"})

    with pytest.raises(ServerBroke):
        async with serving(refuses_to_live, port=0):
            pass


# -- bad manners ----------------------------------------------------------------------------------

HEAD = b"POST /echo HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "text, status",
    [
        (b"", None),
        (b"POST /echo HT", 408),
        (HEAD + b"Content-Length: 10\r\n\r\nabc", 408),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", 408),
        (HEAD + b"X: " + b"x" * 9_000, 431),
        (HEAD + b"X: " + b"x" * 9_000 + b"\r\n\r\n", 431),
        (b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
        (HEAD + b"X: y\r\n" * 30 + b"\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01", 400),
        (b"GET / HTTP/1.1\nHost\x00: x\r\n\r\n", 400),
        (HEAD + b" folded: x\r\n\r\n", 400),
        (HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nabcdef", 400),
        (HEAD + b"Content-Length: -5\r\n\r\n", 400),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
    ids=lambda value: repr(value)[:60] if isinstance(value, bytes) else str(value),
)
async def test_what_is_no_request_is_refused_and_cut_off(text: bytes, status: int | None) -> None:
    """With a status where one can be read, in the form of all refusals; nothing waits for ever."""
    async with served() as (_, port):
        heard = await said(port, text)
        if status is None:
            assert heard == b""
            return
        assert status_of(heard) == status
        assert b"connection: close" in heard
        assert {"code", "message", "path"} == set(json.loads(heard.partition(b"\r\n\r\n")[2])["error"])


async def test_bad_manners_harm_nobody_else() -> None:
    """Beside a crowd that says half of something and then nothing, others are served."""
    async with served(attrs.evolve(IMPATIENT, header_seconds=1_000, body_seconds=1_000)) as (_, port):
        halves = [b"", b"GET", HEAD, HEAD + b"Content-Length: 10\r\n\r\nabc", get("/") + b"GET"]
        crowd = [await trio.open_tcp_stream("127.0.0.1", port) for _ in range(15)]
        for number, stream in enumerate(crowd):
            await stream.send_all(halves[number % len(halves)])
        for _ in range(20):
            heard = await said(port, get("/fine", "Connection: close"))
            assert heard.endswith(b"/fine")
        for stream in crowd:
            await stream.aclose()


async def test_one_connection_too_many_is_told_to_come_again() -> None:
    """503 before anything of it is read; those that are open are served on, and its place is free again later."""
    async with served(attrs.evolve(IMPATIENT, connections=2, header_seconds=1_000)) as (site, port):
        streams = []
        for _ in range(2):
            site.begun = trio.Event()
            streams.append(await saying(port, get("/held")))
            await site.begun.wait()
        assert status_of(await said(port, b"")) == 503
        site.let_go.set()
        for each in streams:
            assert (await to_the_end(each)).endswith(b"/held")
        assert status_of(await said(port, get("/", "Connection: close"))) == 200


async def test_connections_that_ask_nothing_make_room_for_others() -> None:
    """A crowd that holds all places, idle or with half a request, keeps nobody out; who is being answered stays."""
    patient = attrs.evolve(IMPATIENT, connections=6, header_seconds=1_000, idle_seconds=1_000)
    async with served(patient) as (site, port):
        held = await saying(port, get("/held"))
        await site.begun.wait()
        crowd = [await saying(port, text) for text in (b"", b"GET", HEAD, get("/idle"), get("/idle"))]
        for each in crowd[-2:]:
            assert (await each.receive_some()).startswith(b"HTTP/1.1 200")
        for _ in range(20):
            assert status_of(await said(port, get("/", "Connection: close"))) == 200
        site.let_go.set()
        assert (await held.receive_some()).startswith(b"HTTP/1.1 200")
        for each in (held, *crowd):
            await each.aclose()


async def test_a_client_that_reads_nothing_is_cut_off() -> None:
    """What is ready for it is dropped: neither its connection nor its answer stays."""
    async with served(attrs.evolve(IMPATIENT, idle_seconds=1_000)) as (site, port):
        client = await saying(port, get("/huge"))
        await trio.to_thread.run_sync(site.gone.wait)
        assert len(await to_the_end(client)) < HUGE


async def test_a_client_that_was_answered_early_may_not_send_on_for_ever() -> None:
    """It has a moment to read the answer; what it goes on sending is thrown away."""
    async with served() as (_, port):
        heard = await said(port, b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc")
        assert heard.endswith(b"/early")


async def _say_for_ever(client: trio.SocketStream) -> None:
    while True:
        await client.send_all(b"y" * 4_096)


@pytest.mark.parametrize("begun", [b"0\r\nX: ", b"0\r\nX", b"1;x=", b"1\r\ny\r\n1;x="])
async def test_what_is_said_beside_a_body_has_an_end(begun: bytes) -> None:
    """The parser would keep a trailer of any size, and copy it with each read: others would have to wait for that."""
    patient = attrs.evolve(IMPATIENT, body_seconds=1_000)
    async with served(patient) as (_, port):
        client = await saying(port, b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + begun)
        async with client:
            with pytest.raises(trio.BrokenResourceError):
                await _say_for_ever(client)


async def test_small_chunks_are_a_body_of_any_size() -> None:
    """Most of what is read then is not of the body; but it goes on."""
    chunks = b"1;x=" + b"y" * 4_000 + b"\r\nz\r\n"
    async with served(attrs.evolve(IMPATIENT, body_seconds=1_000)) as (_, port):
        head = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        heard = await said(port, head + chunks * 100 + b"0\r\nX: y\r\n\r\n")
        assert heard.endswith(b"\r\n\r\n" + b"z" * 100)


async def test_garbage_behind_an_early_answer_gets_none() -> None:
    """There is one answer to a request: a second one could be taken for that to the next."""
    async with served(attrs.evolve(IMPATIENT, linger_seconds=1_000)) as (_, port):
        client = await saying(port, b"POST /early HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert (await client.receive_some()).endswith(b"/early")
        await client.send_all(b"this is no chunk\r\n")
        assert await to_the_end(client) == b""


async def test_requests_in_a_pipeline_are_answered_in_their_order() -> None:
    """Also when the first of them takes longest."""
    async with served() as (_, port):
        heard = await said(port, b"".join(get(f"/{letter}") for letter in "uvw"))
        assert heard.count(b"HTTP/1.1 200") == 3
        places = [heard.index(f"/{letter}".encode()) for letter in "uvw"]
        assert places == sorted(places)


async def until_heard(stream: trio.SocketStream, answers: int) -> None:
    """Return when so many answers came; each of them is 200."""
    heard = b""
    while heard.count(b"HTTP/1.1 200") < answers:
        some = await stream.receive_some()
        assert some, "the connection has ended"
        heard += some
    assert b"HTTP/1.1 4" not in heard


@pytest.mark.parametrize(
    "request_",
    [
        get("/" + "x" * 3_000),
        HEAD + b"Content-Length: 9000\r\n\r\n" + b"x" * 9_000,
        HEAD + b"Content-Length: 9000\r\n\r\n" + b"\r\n" * 4_500,
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n2328\r\n" + b"x" * 9_000 + b"\r\n0\r\n\r\n",
    ],
    ids=["long heads", "bodies", "bodies of empty lines", "chunks"],
)
async def test_half_a_head_behind_many_requests_is_not_too_large(request_: bytes) -> None:
    """However they come: only its own bytes count, and when those are too many the connection ends."""
    patient = attrs.evolve(IMPATIENT, header_seconds=1_000, idle_seconds=1_000)
    async with served(patient) as (_, port), await trio.open_tcp_stream("127.0.0.1", port) as client:
        await client.send_all(request_ * 30 + b"GET /last HTTP/1.1\r\nHost: x\r\nX: ")
        await until_heard(client, 30)
        await client.send_all(b"y\r\n\r\n")
        await until_heard(client, 1)
        await client.send_all(request_ + b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 9_000)
        with suppress(trio.BrokenResourceError):
            await client.send_all(b"y" * 9_000)
        assert b"\r\n\r\n/" not in await to_the_end(client)


async def test_requests_far_ahead_of_their_answers_are_not_taken() -> None:
    """They would wait in memory: so many are answered as are allowed, and the last answer says that it is the last."""
    async with served(attrs.evolve(IMPATIENT, ahead=3)) as (site, port):
        client = await saying(port, b"".join(get(f"/{number}") for number in range(5_000)))
        heard = await to_the_end(client)
        assert heard.count(b"HTTP/1.1 200") == 4 == len(site.left)
        assert b"connection: close" in heard.rpartition(b"HTTP/1.1 200")[2]


async def test_garbage_behind_a_request_is_not_answered_in_its_place() -> None:
    """A refusal would be read as the answer to the request that is in hand: the connection is only closed."""
    async with served() as (site, port):
        assert not (await said(port, get("/held") + b"\x00\x00\r\n\r\n")).startswith(b"HTTP")
        site.let_go.set()


async def test_an_idle_connection_is_closed() -> None:
    """After its answer, and with `keep-alive` before that."""
    async with served() as (_, port):
        heard = await said(port, get("/"))
        assert heard.startswith(b"HTTP/1.1 200")


def test_a_process_that_may_open_few_files_takes_few_connections() -> None:
    """So that the store can still open its own."""
    from flowgen.runtime.http import server

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 300), hard))
    try:
        assert server._affordable(Limits(connections=1_000)).connections == min(soft, 300) - 64
        assert server._affordable(Limits(connections=7)).connections == 7
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_port_is_free_again_when_it_could_not_be_served() -> None:
    """A socket that was bound is closed with the error that came after."""
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0

    async def main() -> None:
        async with serving(_broken, port=0):
            pass

    with pytest.raises(ServerBroke):
        trio.run(main)
    if before:
        assert len(os.listdir("/proc/self/fd")) <= before + 1


async def _broken(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": f"{(await receive())['type']}.failed"})
