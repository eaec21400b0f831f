"""A connection by itself, on a transport that only notes: when it counts as idle, and when that is too long."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from flowgen.runtime.http.connection import Connection, connections_with
from flowgen.runtime.http.limits import Limits

PATIENCE = 75.0
HANDSHAKE = (
    b"\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Wire(asyncio.Transport):
    """Notes what is sent, and that it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.sent += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class App:
    """Answers `/held` when it is let go, and all else at once."""

    def __init__(self) -> None:
        self.let_go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/held":
            await self.let_go.wait()
        while scope["method"] == "POST" and (await receive()).get("more_body", False):
            """It is read before it is answered."""
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})


Story = Callable[[Connection, Wire, App], Awaitable[None]]


def tell(story: Story) -> None:
    """Tell a story of one connection."""

    async def main() -> None:
        app, wire = App(), Wire()
        made = connections_with(Limits(idle_seconds=PATIENCE))(Config(app), ServerState(), {})
        made.connection_made(wire)
        await story(made, wire, app)

    asyncio.run(main())


async def heard(wire: Wire, answers: int) -> None:
    """Return when so many answers were sent."""
    for _ in range(1_000):
        if wire.sent.count(b"HTTP/1.1 200") == answers:
            return
        await asyncio.sleep(0)
    raise AssertionError(f"{wire.sent!r} are not {answers} answers")


def request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()


def test_a_connection_is_idle_from_its_last_answer_on() -> None:
    """It is closed when it has been so for too long, and not while a client asks now and then."""

    async def story(made: Connection, wire: Wire, app: App) -> None:
        for number in range(1, 4):
            made.data_received(request("/"))
            await heard(wire, number)
            now = number * PATIENCE
            made.sweep(now)
            made.sweep(now + PATIENCE - 1)
            assert not wire.closed
        made.sweep(now + PATIENCE + 1)
        assert wire.closed

    tell(story)


def test_a_connection_is_not_idle_while_an_answer_is_made() -> None:
    """However long that takes, and whatever was answered on it before."""

    async def story(made: Connection, wire: Wire, app: App) -> None:
        made.data_received(request("/") + request("/held"))
        await heard(wire, 1)
        for number in range(1, 4):
            made.sweep(number * 10 * PATIENCE)
            assert not wire.closed
        app.let_go.set()
        await heard(wire, 2)
        made.sweep(1_000 * PATIENCE)
        made.sweep(1_001 * PATIENCE - 1)
        assert not wire.closed
        made.sweep(1_001 * PATIENCE + 1)
        assert wire.closed

    tell(story)


def test_a_body_behind_another_request_has_as_long_as_any() -> None:
    """The answer to what came before it is not the answer to it: its client does not linger."""

    async def story(made: Connection, wire: Wire, app: App) -> None:
        made.data_received(request("/held") + b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n1")
        app.let_go.set()
        await heard(wire, 1)
        made.sweep(0)
        made.sweep(made.limits.body_seconds - 1)
        assert not wire.closed
        made.data_received(b"2")
        await heard(wire, 2)

    tell(story)


def test_a_handshake_before_the_last_answer_was_taken_is_none() -> None:
    """A web socket would not know that its client takes nothing: what is told to it would wait in memory."""

    async def story(made: Connection, wire: Wire, app: App) -> None:
        made.data_received(request("/"))
        await heard(wire, 1)
        made.pause_writing()
        made.data_received(request("/socket").replace(b"\r\n\r\n", HANDSHAKE))
        made.resume_writing()
        await heard(wire, 2)

    tell(story)


def test_no_timer_is_left_behind_by_a_request() -> None:
    """Connections are looked at in turn: a timer for each request would be set and cancelled, and kept until then."""

    async def story(made: Connection, wire: Wire, app: App) -> None:
        made.data_received(request("/"))
        await heard(wire, 1)
        assert made.timeout_keep_alive_task is None

    tell(story)
