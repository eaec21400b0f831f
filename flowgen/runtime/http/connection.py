"""One connection of the server: uvicorn's HTTP/1.1 over httptools, with an end to every wait for the client.

uvicorn waits for a request, its headers and its body as long as the client likes, and takes headers of any size. Here
a connection is always in one phase, and each phase but work has a deadline:

==========  ===================================  =========================================
`HEAD`      until the headers are there           `header_seconds`, `header_bytes`, `headers`
`BODY`      until the body is there               `body_seconds`, while it is being read
`WORK`      while the answer is made              the app's own
`LINGER`    answered before the body was there    `linger_seconds`
`IDLE`      until the next request                `idle_seconds`
==========  ===================================  =========================================

In every phase: a client that does not take what was sent to it is cut off after `stalled_seconds`. Deadlines are
looked at once a second, by one sweep over all connections, which is also what tells how long a phase lasts: a timer or
a look at the clock for each request would cost more than parsing it.

How long a request is must be beyond doubt, or a proxy in front and this server could take one request for two: so
a transfer coding but `chunked` is refused, as is a body behind an `Upgrade`. Trailers are dropped. They, and what is
said of a chunk beside its length, are as large as a head at most (`header_bytes`): the parser would keep a trailer of
any size, and copy it with each read.

There is room for so many connections. For one more, that one ends which has waited longest for its client to ask
something; where each has something to do, the new one is refused (503).

Requests that come before others are answered wait in memory, so there may be but a few (`ahead`): what comes behind
them is not read, and the answer to the last of them ends the connection. uvicorn tells only the last that has come when
its client is gone or the server stops; here the one that is being answered hears of it, or a stream before others would
never end. While nothing is read, asyncio does not notice that a client is gone: the system is asked with each sweep.

What cannot be read as HTTP is answered like any refusal, as JSON, and the connection closed; within another
answer it is only closed.

A request for a web socket hands the connection over (`web_sockets`), unless it comes before the answer to another, or
before that was taken: such a one, and whatever is no whole handshake, is a plain request like others.
"""

from __future__ import annotations

import json
import select
import socket
from enum import Enum
from typing import Any, ClassVar, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from .limits import Limits
from .together import Together


class Phase(Enum):
    """What a connection waits for."""

    HEAD = "head"
    BODY = "body"
    WORK = "work"
    LINGER = "linger"
    IDLE = "idle"


_HEAD, _BODY, _WORK, _LINGER, _IDLE = Phase  # to look a member up costs more than all else that is done here


class _Refused(Exception):
    """Raised inside a callback of the parser, to end the request."""


class _Trailers(list[tuple[bytes, bytes]]):
    """Headers that come behind a body: nobody gets to see them, and there may be but a few.

    A proxy in front has not looked at them, so they must not become headers of the request.
    """

    def append(self, trailer: tuple[bytes, bytes]) -> None:
        if len(self) >= _MOST_TRAILERS:
            raise _Refused
        super().append((b"", b""))


_MOST_TRAILERS: Final = 20
_LENGTHS: Final = frozenset((b"content-length", b"transfer-encoding"))

_MALFORMED: Final = (400, "malformed_request", "this is not HTTP as it is spoken here")
_TOO_LARGE: Final = (431, "headers_too_large", "the request line and the headers are too large, or too many")
_TOO_MANY: Final = (503, "busy", "too many connections are open: come again")
_TOO_FAR_AHEAD: Final = (429, "too_many_requests", "too many requests were sent before the first was answered")


class Connection(HttpToolsProtocol):
    """See the module. `limits` is set by `connections_with`."""

    limits: ClassVar[Limits] = Limits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._phase = _HEAD
        self._moved = False
        self._since = self.loop.time()
        self._stalled: float | None = None
        self._head = 0
        self._ended = False
        self._behind_head = 0
        self._beside_body = 0
        self._opens_web_socket = False
        self._refusal = _MALFORMED
        self._begun: RequestResponseCycle | None = None

    # -- phases -------------------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        super().connection_made(Together(transport, self.loop.call_soon))
        _notice_dead_peers(transport.get_extra_info("socket"), self.limits)
        if len(self.connections) > self.limits.connections and not self._take_place():
            self._refuse(*_TOO_MANY)

    def _take_place(self) -> bool:
        """End the connection that has waited longest for its client to ask something: those that are idle first."""
        others = [each for each in self.connections if isinstance(each, Connection) and each._is_unasked()]
        others.remove(self)
        if not others:
            return False
        longest = min(others, key=lambda each: (each._phase is not _IDLE, each._since))
        longest.transport.abort()
        return True

    def _is_unasked(self) -> bool:
        waits = self._phase is _IDLE or self._phase is _HEAD
        return waits and self._answering() is None and not self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        self._ended, self._behind_head = False, 0
        self._beside_body += len(data)
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._phase is _HEAD:
            self._head += len(data) if not self._ended else self._rest_of(data)
            if self._head > self.limits.header_bytes:
                self._refuse(*_TOO_LARGE)
        elif self._beside_body > self.limits.header_bytes and (self._phase is _BODY or self._phase is _LINGER):
            self._refuse(*_TOO_LARGE)

    def _rest_of(self, data: bytes) -> int:
        """How much of what was read is of the head that has begun, where requests that are whole come before it.

        What is behind the last of their heads is its body, and this. A body with an empty line inside makes it look
        less, so that it is counted from the next read on.
        """
        return max(0, len(data) - (data.rfind(b"\r\n\r\n") + 4) - self._behind_head)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._phase, self._moved, self._head = _HEAD, True, 0

    def on_headers_complete(self) -> None:
        limits, headers = self.limits, self.headers
        size = len(self.url) + sum([len(name) + len(value) + 4 for name, value in headers])
        if len(headers) > limits.headers or size > limits.header_bytes:
            self._refusal = _TOO_LARGE
            raise _Refused
        if self._is_ambiguous():
            raise _Refused
        if len(self.pipeline) >= limits.ahead:
            self._refusal = _TOO_FAR_AHEAD
            raise _Refused
        self._phase, self._moved = _BODY, True
        self._behind_head = self._beside_body = 0
        self._opens_web_socket = self.parser.should_upgrade() and self._is_handshake()
        super().on_headers_complete()
        self.headers = _Trailers()

    def _is_ambiguous(self) -> bool:
        """Whether another server could see the request end elsewhere: what follows might be a request to it."""
        lengths = [(name, value) for name, value in self.headers if name in _LENGTHS]
        if not lengths:
            return False
        if self.parser.should_upgrade():
            return lengths != [(b"content-length", b"0")]
        codings = [value.lower() for name, value in lengths if name == b"transfer-encoding"]
        return bool(codings) and (codings != [b"chunked"] or self.parser.get_http_version() == "1.0")

    def _should_upgrade(self) -> bool:
        return self._opens_web_socket

    def _is_handshake(self) -> bool:
        """Whether the request whose head is there opens a web socket, and may."""
        if not super()._should_upgrade() or self._answering() is not None or self.pipeline:
            return False
        if self.flow.write_paused:  # the transport would tell it once more that it may write, but not that it may not
            return False
        said = dict(self.headers)
        whole = said.get(b"sec-websocket-version") == b"13" and b"sec-websocket-key" in said
        return whole and (self.parser.get_method(), self.parser.get_http_version()) == (b"GET", "1.1")

    def on_body(self, body: bytes) -> None:
        self._behind_head += len(body)
        self._beside_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._ended = True
        super().on_message_complete()
        self._phase, self._moved = (_IDLE, True) if self._phase is _LINGER else (_WORK, self._moved)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._begun = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """As uvicorn does it, but for its timer, which would be set and cancelled for each request: `IDLE` ends when
        the connections are looked at."""
        self.server_state.total_requests += 1
        if not self.transport.is_closing():
            self.flow.resume_reading()
            if self.pipeline:
                self._start_asgi_task(*self.pipeline.pop())
        if self._phase is _WORK or self._phase is _IDLE:
            self._phase, self._moved = _IDLE, True
        elif self._phase is _BODY and self.cycle.response_complete:  # and not one before it
            self._phase, self._moved = _LINGER, True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled = None

    # -- ends ---------------------------------------------------------------------------------------

    def sweep(self, now: float) -> None:
        """Cut the connection off if its client has taken too long. `now` is the loop's time."""
        if self.flow.read_paused and _is_gone(self.transport.get_extra_info("socket")):
            self.transport.abort()
            return
        if self.transport.is_closing() and self._stalled is None:
            self._stalled = now
        if self._stalled is not None and now - self._stalled > self.limits.stalled_seconds:
            self.transport.abort()
        elif self._moved or (self._phase is _BODY and self.flow.read_paused):
            self._moved, self._since = False, now
        elif now - self._since > self._patience():
            self._give_up()

    def _patience(self) -> float:
        match self._phase:
            case Phase.HEAD:
                return self.limits.header_seconds
            case Phase.BODY:
                return self.limits.body_seconds
            case Phase.LINGER:
                return self.limits.linger_seconds
            case Phase.IDLE if self._answering() is None:
                return self.limits.idle_seconds
            case Phase.WORK | Phase.IDLE:
                return float("inf")

    def _give_up(self) -> None:
        if self._phase is _LINGER or self._phase is _IDLE or (self._phase is _HEAD and not self._head):
            self.transport.close()
        else:
            self._refuse(408, "too_slow", "the request took too long to come")

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._disconnect()

    def shutdown(self) -> None:
        """The server stops: what streams ends here, other answers are finished."""
        super().shutdown()
        cycle = self._answering()
        if cycle is not None and cycle.chunked_encoding:
            self._disconnect()
            if self.flow.write_paused:  # its client takes nothing, and would be waited for
                self.transport.abort()
            else:
                self.transport.close()

    def _answering(self) -> RequestResponseCycle | None:
        """The request whose answer is being made, if there is one."""
        return None if self._begun is None or self._begun.response_complete else self._begun

    def _disconnect(self) -> None:
        """Whoever makes an answer hears that nobody waits for it."""
        cycle = self._answering()
        if cycle is not None:
            cycle.disconnected = True
            cycle.message_event.set()

    def send_400_response(self, msg: str) -> None:
        if self._refusal is _TOO_FAR_AHEAD:
            self._phase, self.cycle.keep_alive = _WORK, False
        else:
            self._refuse(*self._refusal)

    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer with a refusal of the form that all have, and close; only close if an answer is on its way, or there
        already."""
        if self._phase is _LINGER:
            self.transport.close()
            return
        cycle = self._answering()
        if cycle is not None:
            if cycle.response_started or self.pipeline or self._phase is not _BODY:
                self.transport.abort()
                return
            self._disconnect()
        body = json.dumps({"error": {"code": code, "message": message, "path": ""}}).encode()
        self.transport.write(
            STATUS_LINE.get(status, b"HTTP/1.1 %d \r\n" % status)
            + b"content-type: application/json\r\nx-content-type-options: nosniff\r\ncache-control: no-store\r\n"
            + b"content-length: %d\r\nconnection: close\r\n\r\n" % len(body)
            + body
        )
        self.transport.close()


def connections_with(limits: Limits) -> type[Connection]:
    """The class of connections that have these limits, as uvicorn takes it."""
    return type("Connection", (Connection,), {"limits": limits})


def _is_gone(made: socket.socket | None) -> bool:
    """Whether the client of a connection has hung up, whatever of it was not read yet; where the system can tell."""
    if made is None or not hasattr(select, "poll"):
        return False
    looked = select.poll()
    looked.register(made.fileno(), getattr(select, "POLLRDHUP", 0))  # that it was reset is told unasked
    return bool(looked.poll(0))


def _notice_dead_peers(made: socket.socket | None, limits: Limits) -> None:
    """Let the system find out that a client is gone without a word, where it can."""
    if made is None or made.family not in (socket.AF_INET, socket.AF_INET6):
        return
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # asyncio does so only where the listener named TCP
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    seconds = max(1, int(limits.stalled_seconds))
    for name, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", seconds), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, name):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1_000)
