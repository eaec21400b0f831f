"""How calls travel: connections that are kept, and servers that say odd things, over real sockets on loopback."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing

from flowgen.runtime.addresses import AppUrl, Reach, UrlRefused
from flowgen.runtime.dialing import Dialer
from flowgen.runtime.driving import transport
from flowgen.runtime.driving.caller import AppAway, CallFailed, Reply
from flowgen.runtime.driving.fetching import Outgoing
from flowgen.runtime.driving.transport import HttpCalls
from flowgen.runtime.protocol.signatures import verify

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-A: 1\r\n\r\n{}"


class Server:
    """Answers each request of a connection with `answer(request number)`; None closes it."""

    def __init__(self, answer: Callable[[int], bytes | None]) -> None:
        self.requests: list[bytes] = []
        self.connections = self.open = 0
        self.answer = answer
        self.closes = False

    async def serve(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        self.open += 1
        async with stream:
            await self._answer_all(stream)
        self.open -= 1

    async def _answer_all(self, stream: trio.SocketStream) -> None:
        while (request := await self._request(stream)) is not None:
            self.requests.append(request)
            answer = self.answer(len(self.requests))
            if answer is None:
                return
            await stream.send_all(answer)
            if self.closes:
                return

    async def _request(self, stream: trio.SocketStream) -> bytes | None:
        text = b""
        while True:
            head, found, body = text.partition(b"\r\n\r\n")
            if found:
                length = next(
                    (int(line[15:]) for line in head.lower().split(b"\r\n") if line[:15] == b"content-length:"), 0
                )
                if len(body) >= length:
                    return text
            try:
                chunk = await stream.receive_some(65_536)
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            text += chunk


def talk(server: Server, story: Callable[[HttpCalls, str], Awaitable[Any]], **options: Any) -> Any:
    """Tell a story with a client and the URL of a server."""

    async def main() -> Any:
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(partial(trio.serve_tcp, server.serve, 0, host="127.0.0.1"))
            url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/api/inngest?fnId=a-b&stepId=step"
            calls = HttpCalls(Dialer(Reach.dev()), kind="dev", **options)
            with trio.fail_after(50):
                result = await story(calls, url)
            await calls.aclose()
            nursery.cancel_scope.cancel()
        return result

    return trio.run(main)


async def once(calls: HttpCalls, url: str) -> Reply:
    return await calls.send(url, [("X-Run-ID", "r1")], b'{"a":1}')


def test_a_call_is_one_request() -> None:
    """Its path, query, headers and body arrive as they are meant."""
    server = Server(lambda number: OK)
    reply = talk(server, once)
    assert (reply.status, reply.body) == (200, b"{}")
    assert ("X-A", "1") in reply.headers
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /api/inngest?fnId=a-b&stepId=step HTTP/1.1"
    assert "X-Run-ID: r1" in lines
    assert "X-Inngest-Server-Kind: dev" in lines
    assert body == b'{"a":1}'


def test_a_connection_is_used_again() -> None:
    """One after the other they need one; beside each other one each."""
    server = Server(lambda number: OK)

    async def many(calls: HttpCalls, url: str) -> None:
        for _ in range(5):
            await once(calls, url)
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(once, calls, url)

    talk(server, many)
    assert len(server.requests) == 8
    assert server.connections == 3


def test_a_connection_that_the_app_has_closed_is_not_used_again() -> None:
    """The next call opens another one, and no request is sent twice."""
    server = Server(lambda number: OK)
    server.closes = True

    async def twice(calls: HttpCalls, url: str) -> None:
        await once(calls, url)
        await trio.sleep(0.05)
        await once(calls, url)

    talk(server, twice)
    assert (len(server.requests), server.connections) == (2, 2)


def test_connections_that_are_not_used_again_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever app is called next: each of them is a file that is open."""
    server = Server(lambda number: OK)

    async def one_and_then_another(calls: HttpCalls, url: str) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(once, calls, url)
        monkeypatch.setattr(transport, "_IDLE_SECONDS", -1.0)
        await once(calls, url.replace("127.0.0.1", "localhost"))
        await trio.testing.wait_all_tasks_blocked()
        assert server.open == 0

    talk(server, one_and_then_another)
    assert server.connections > 1


@pytest.mark.parametrize(
    "answer",
    [
        None,
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_a_failed_call(answer: bytes | None) -> None:
    """Whatever is wrong with it, and no request is sent again."""
    server = Server(lambda number: answer)
    server.closes = True
    with pytest.raises(BaseExceptionGroup) as failed:
        talk(server, once)
    assert failed.group_contains(CallFailed)
    assert len(server.requests) == 1


def test_a_request_of_any_size_is_sent_whole() -> None:
    """The system takes a part of it at a time."""
    server = Server(lambda number: OK)
    body = b'"' + bytes(range(97, 123)) * 100_000 + b'"'

    async def large(calls: HttpCalls, url: str) -> Reply:
        return await calls.send(url, [], body)

    assert talk(server, large).status == 200
    assert server.requests[0].partition(b"\r\n\r\n")[2] == body


def test_a_connection_that_is_reset_is_a_failed_call() -> None:
    """Before the answer, and in the middle of a request."""

    async def reset(stream: trio.SocketStream) -> None:
        stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.receive_some(1)
        stream.socket.close()

    for size in (10, 5_000_000):
        server = Server(lambda number: OK)
        server.serve = reset  # type: ignore[method-assign]

        async def send(calls: HttpCalls, url: str, size: int = size) -> None:
            with pytest.raises(CallFailed, match="the connection broke"):
                await calls.send(url, [], b"1" * size)
            with pytest.raises(CallFailed, match="the connection broke"):
                await calls.fetch(Outgoing("POST", url, (), b"1" * size))

        talk(server, send)


def test_answers_of_all_forms_are_read() -> None:
    """In chunks, after an interim answer, and up to the end of the connection."""
    forms = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.1 102 Processing\r\n\r\n" + OK,
    ]
    server = Server(lambda number: forms[number - 1])

    async def both(calls: HttpCalls, url: str) -> list[bytes]:
        return [(await once(calls, url)).body for _ in forms]

    assert talk(server, both) == [b"{}", b"{}"]
    ending = Server(lambda number: b"HTTP/1.1 200 OK\r\n\r\n{}")
    ending.closes = True
    assert talk(ending, once).body == b"{}"


def test_an_answer_that_is_too_large_is_a_failed_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not read to its end."""
    monkeypatch.setattr(transport, "MAX_ANSWER", 1_000)
    server = Server(lambda number: b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"a" * 2_000)
    with pytest.raises(BaseExceptionGroup) as failed:
        talk(server, once)
    assert failed.group_contains(CallFailed, match="output_too_large")


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX: ",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1;x=",
        b"HTTP/1.1 102 Processing\r\n\r\n" * 10_000 + b"HTTP/1.1 200 OK\r\nX: ",
    ],
)
def test_what_is_said_beside_an_answer_has_an_end(begun: bytes) -> None:
    """The parser would keep a trailer of any size, and copy it with each read: all other runs would wait for that."""
    server = Server(lambda number: begun + b"a" * 1_000_000)
    with pytest.raises(BaseExceptionGroup) as failed:
        talk(server, once)
    assert failed.group_contains(CallFailed, match=r"has more than 65,536 bytes")


def test_trailers_are_no_headers() -> None:
    """What is said behind a body cannot say how it was to be read."""
    server = Server(
        lambda number: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-No-Retry: 1\r\n\r\n"
    )
    assert talk(server, once).headers == [("Transfer-Encoding", "chunked")]


@pytest.mark.parametrize("more", [OK.replace(b"200", b"500"), b"HTTP/1.1 500 Oh", b"nonsense"])
def test_a_second_answer_is_none(more: bytes) -> None:
    """What is behind an answer is no part of it, and not the answer to the next call."""
    server = Server(lambda number: OK + more)

    async def twice(calls: HttpCalls, url: str) -> list[Reply]:
        return [await once(calls, url), await once(calls, url)]

    assert talk(server, twice) == [Reply(200, [("Content-Length", "2"), ("X-A", "1")], b"{}")] * 2
    assert server.connections == 2


def test_an_app_that_does_not_answer_in_time_is_a_failed_call() -> None:
    """And its connection is not used again."""
    server = Server(lambda number: b"HTTP/1.1 200 OK\r\n")
    with pytest.raises(BaseExceptionGroup) as failed:
        talk(server, once, seconds=0.05)
    assert failed.group_contains(CallFailed, match=r"within 0\.05 s")


def test_only_so_many_calls_to_one_app_are_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next wait for their turn."""
    monkeypatch.setattr(transport, "AT_ONCE", 2)
    server = Server(lambda number: OK)

    async def many(calls: HttpCalls, url: str) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(once, calls, url)

    talk(server, many)
    assert len(server.requests) == 10
    assert server.connections <= 2


def test_calls_are_signed_if_there_is_a_key() -> None:
    """With the time of the clock; the app can check it."""
    key = "signkey-test-12345678"
    server = Server(lambda number: OK)
    talk(server, once, signing_key=key, clock=lambda: 1_767_225_600.0)
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    line = next(line for line in head.decode().split("\r\n") if line.startswith("X-Inngest-Signature: "))
    assert verify(line.partition(": ")[2], body, [key], 1_767_225_600.0) == key


def test_an_app_out_of_reach_is_not_called() -> None:
    """Nor is one that takes no connection; both say so."""

    async def refused(calls: HttpCalls, url: str) -> None:
        with pytest.raises(UrlRefused):
            await calls.send("http://93.184.216.34/api/inngest", [], b"{}")
        port = AppUrl.parse(url).port
        with pytest.raises(AppAway):
            await calls.send(f"http://[::1]:{port}/api/inngest", [], b"{}")

    talk(Server(lambda number: OK), refused)


@pytest.mark.parametrize("answer", [None, b"HTTP/1.1 200 OK\r\nContent-Le", b"nonsense\r\n\r\n"])
def test_what_was_sent_may_have_been_executed(answer: bytes | None) -> None:
    """So an app that does not answer then is not said to be away."""

    async def cut_off(calls: HttpCalls, url: str) -> None:
        with pytest.raises(CallFailed) as failed:
            await calls.send(url, [], b"{}")
        assert not isinstance(failed.value, AppAway)

    server = Server(lambda number: answer)
    server.closes = True
    talk(server, cut_off)


def test_an_app_without_an_address_is_away() -> None:
    """While a name leads nowhere, nothing is sent."""

    async def nowhere(name: str, port: int) -> list[str]:
        raise OSError("no such name")

    async def ask() -> None:
        with pytest.raises(AppAway, match="no such name"):
            await HttpCalls(Dialer(Reach.server(), nowhere)).send("http://app.example/api/inngest", [], b"{}")

    trio.run(ask)


def test_a_fetch_is_sent_as_it_is_asked_for() -> None:
    """With its method and headers, over a connection of its own."""
    server = Server(lambda number: OK)

    async def fetch(calls: HttpCalls, url: str) -> Any:
        place = AppUrl.parse(url)
        return await calls.fetch(Outgoing("PUT", f"{place.origin}/x?y=1", (("X-B", "2"),), b"hello"))

    answer = talk(server, fetch)
    assert (answer.status, answer.body) == (200, b"{}")
    assert server.requests[0].startswith(b"PUT /x?y=1 HTTP/1.1\r\n")
    assert b"\r\nX-B: 2\r\n" in server.requests[0]
    assert server.requests[0].endswith(b"\r\n\r\nhello")
