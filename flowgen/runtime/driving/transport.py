"""How calls travel: HTTP/1.1 over connections that are kept, to addresses that were checked.

Each call opens no connection if one to its app is idle. Rules:

* **What was sent is not sent again here.** A connection that the app has closed meanwhile is noticed before it is used
  (it is readable), and one that has been idle for long is not used: most servers close theirs after five seconds.
  Whatever else goes wrong is a failed try of the call.
* **An app harms only itself.** So many calls to one origin are under way at once, the next wait; heads, bodies, what is
  said beside a body in chunks, and times are bounded. Trailers are no headers.
* **One call, one answer.** What an app says behind that is dropped with the connection: it is not the answer to the
  next call, and no part of this one.
* **An answer that is signed is signed as its call was**, or it is none. Not all SDKs sign, and none does that is in
  development, so one without a signature is believed; but of our own apps in production all is signed.
* No redirect is followed, no proxy is used, and no cookie is kept.

Refuses to know what a call says, and which addresses may be called (`dialing`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from time import time
from typing import Final

import attrs
import httptools
import trio

from ..addresses import AppUrl, Reach
from ..dialing import CannotDial, Dialer
from ..protocol import headers as names
from ..protocol.calls import MAX_ANSWER
from ..protocol.reading import BadResponse, BadSignature
from ..protocol.signatures import sign, verify_answer
from .caller import AppAway, CallFailed, Headers, Reply
from .fetching import Incoming, Outgoing

CALL_SECONDS: Final = 7_200.0
"""How long a call may take: two hours."""

FETCH_SECONDS: Final = 600.0
"""How long a request that an app asks for may take."""

_DEV: Final = "dev"

_NEAR: Final = ("127.0.0.0/8", "::1/128", "localhost")
"""Where a server in development also fetches from."""

AT_ONCE: Final = 200
"""So many calls to one origin are under way at a time."""

_IDLE_SECONDS: Final = 4.0
_MOST_HEAD: Final = 64 * 1024
_CHUNK: Final = 65_536


class HttpCalls:
    """Sends calls. `dialer` opens the connections; with a `signing_key` each call is signed.

    `kind` is what this server calls itself to apps: `"dev"` or `"cloud"`. A call takes at most `seconds`.
    """

    def __init__(
        self,
        dialer: Dialer,
        *,
        signing_key: str | None = None,
        kind: str = "cloud",
        seconds: float = CALL_SECONDS,
        clock: Callable[[], float] = time,
        fetching: Dialer | None = None,
    ) -> None:
        self._dialer = dialer
        self._fetching = fetching or Dialer(Reach.server(_NEAR if kind == _DEV else ()))
        self._key = signing_key
        self._kind = kind
        self._seconds = seconds
        self._clock = clock
        self._idle: dict[str, list[_Connection]] = {}
        self._limits: dict[str, trio.CapacityLimiter] = {}
        self._looked = -_IDLE_SECONDS

    async def send(self, url: str, headers: Headers, body: bytes, method: str = "POST") -> Reply:
        """Send a request and give the answer. Raises `CallFailed`, which is `AppAway` if nothing was sent, or
        `UrlRefused` for a URL that is not called."""
        place, origin = _parsed(url)
        limit = self._limits.get(origin)
        if limit is None:
            limit = self._limits[origin] = trio.CapacityLimiter(AT_ONCE)
        try:
            limit.acquire_nowait()  # where there is room: to acquire it costs a turn of the loop
        except trio.WouldBlock:
            await limit.acquire()
        try:
            with trio.move_on_after(self._seconds):
                reply = await self._exchange(place, origin, self._request(method, place, headers, body))
                if self._key is not None:
                    reply.check, reply.signs = self._check, self._kind != _DEV
                return reply
        finally:
            limit.release()
        raise CallFailed(f"{origin} did not answer within {self._seconds:g} s")

    def _check(self, header: str | None, body: bytes) -> None:
        """Whether an answer is signed as its call was, if it is signed."""
        if header is None or self._key is None:
            return
        try:
            verify_answer(header, body, self._key, self._clock())
        except BadSignature as bad:
            raise BadResponse("the answer", f"is not believed: its signature {bad.reason}") from None

    async def fetch(self, request: Outgoing) -> Incoming:
        """Make a request that an app asks for, over a connection of its own. No redirect is followed."""
        place, origin = _parsed(request.url)
        with trio.move_on_after(FETCH_SECONDS):
            try:
                connection = _Connection(await self._fetching.connect(place))
            except CannotDial as error:
                raise CallFailed(str(error)) from error
            try:
                reply = await connection.exchange(_fetch_request(place, request))
            except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise CallFailed(f"{origin}: the connection broke: {error}") from error
            finally:
                await connection.drop()
            return Incoming(reply.status, tuple(reply.headers), reply.body)
        raise CallFailed(f"{origin} did not answer within {FETCH_SECONDS:g} s")

    async def aclose(self) -> None:
        """Let all idle connections go."""
        idle, self._idle = self._idle, {}
        for connections in idle.values():
            for connection in connections:
                await connection.drop()

    async def _exchange(self, place: AppUrl, origin: str, request: bytes) -> Reply:
        connection = await self._connection(place, origin)
        kept = False
        try:
            reply = await connection.exchange(request)
            kept = connection.keeps
            return reply
        except (OSError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise CallFailed(f"{origin}: the connection broke: {error}") from error
        finally:
            if kept:
                connection.idle_since = trio.current_time()
                self._idle.setdefault(origin, []).append(connection)
                await self._drop_tired(connection.idle_since)
            else:
                await connection.drop()

    async def _drop_tired(self, now: float) -> None:
        """Let go of the connections, to whichever app, that will not be used again: each is a file that is open."""
        if now - self._looked < _IDLE_SECONDS:
            return
        self._looked = now
        tired: list[_Connection] = []
        for origin, idle in list(self._idle.items()):
            tired += [each for each in idle if each.is_tired(now)]
            idle[:] = [each for each in idle if not each.is_tired(now)]  # the same list: others may look through it
            if not idle:
                del self._idle[origin]
        with trio.CancelScope(shield=True):
            for connection in tired:
                await connection.drop()

    async def _connection(self, place: AppUrl, origin: str) -> _Connection:
        """A connection to an app: an idle one, the last that was used, or a new one."""
        idle = self._idle.get(origin)
        while idle:
            connection = idle.pop()
            if connection.usable:
                return connection
            await connection.drop()
        try:
            return _Connection(await self._dialer.connect(place))
        except CannotDial as error:
            raise AppAway(str(error)) from error

    def _request(self, method: str, place: AppUrl, headers: Headers, body: bytes) -> bytes:
        said = dict(headers)
        if self._key is not None:
            said[names.SIGNATURE] = sign(self._key, body, int(self._clock()))
        lines = [
            f"{method} {place.target} HTTP/1.1",
            f"Host: {place.authority}",
            "User-Agent: flowgen",
            "Accept: application/json",
            "Content-Type: application/json",
            f"Content-Length: {len(body)}",
            f"{names.SERVER_KIND}: {self._kind}",
            *(f"{name}: {value}" for name, value in said.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def _fetch_request(place: AppUrl, request: Outgoing) -> bytes:
    lines = [
        f"{request.method} {place.target} HTTP/1.1",
        f"Host: {place.authority}",
        "Connection: close",
        *(f"{name}: {value}" for name, value in request.headers),
    ]
    if request.body or request.method not in ("GET", "HEAD", "OPTIONS", "DELETE"):
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + request.body


@lru_cache(maxsize=4096)
def _parsed(url: str) -> tuple[AppUrl, str]:
    """A URL, and its origin."""
    place = AppUrl.parse(url)
    return place, place.origin


@attrs.define(eq=False)
class _Connection:
    """One connection: one exchange at a time."""

    stream: trio.abc.Stream
    idle_since: float = 0.0
    keeps: bool = False

    @property
    def usable(self) -> bool:
        """Whether the app has neither closed it nor said anything since the last answer, and has not begun to tire."""
        if self.is_tired(trio.current_time()):
            return False
        stream = self.stream.transport_stream if isinstance(self.stream, trio.SSLStream) else self.stream
        return not (isinstance(stream, trio.SocketStream) and stream.socket.is_readable())

    def is_tired(self, now: float) -> bool:
        """Whether it has been idle for so long that it is not used again."""
        return now - self.idle_since > _IDLE_SECONDS

    async def exchange(self, request: bytes) -> Reply:
        """Send a request and read the answer. Raises `OSError`, or what a stream raises, if the connection breaks."""
        self.keeps = False
        stream = self.stream
        # A stream of trio's sees to it that no two tasks use it at once, which nobody does here; it costs a third of
        # the way there and back.
        plain = stream.socket if type(stream) is trio.SocketStream else None
        await (stream.send_all(request) if plain is None else _send(plain, request))
        reading = _Reading()
        while not reading.complete:
            chunk = await (stream.receive_some(_CHUNK) if plain is None else plain.recv(_CHUNK))
            if chunk:
                reading.feed(chunk)
            else:
                reading.end()
        self.keeps = reading.keeps
        return Reply(reading.status, reading.headers, bytes(reading.body))

    async def drop(self) -> None:
        """Close it at once."""
        await trio.aclose_forcefully(self.stream)


async def _send(plain: trio.socket.SocketType, request: bytes) -> None:
    """Send all of a request. Most go at once."""
    sent = await plain.send(request)
    while sent < len(request):
        sent += await plain.send(memoryview(request)[sent:])


class _Reading:
    """An answer being read."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.complete = False
        self.keeps = False
        self._parser = httptools.HttpResponseParser(self)
        self._head = 0
        self._beside_body = 0
        self._size = 0
        self._until_end = False

    def feed(self, chunk: bytes | bytearray) -> None:
        self._beside_body += len(chunk)
        try:
            self._parser.feed_data(chunk)
        except httptools.HttpParserError as error:
            if self.complete:  # what is behind the answer is none
                self.keeps = False
                return
            if isinstance(error.__context__, CallFailed):
                raise error.__context__ from None
            raise CallFailed(f"the answer is no HTTP: {error}") from error
        except httptools.HttpParserUpgrade as error:
            raise CallFailed(
                f"the app goes on in another protocol (status {self.status or 101}), not in HTTP"
            ) from error
        if not self.complete and self._beside_body > _MOST_HEAD:
            raise _too_much_head()

    def end(self) -> None:
        """The app has closed the connection."""
        if not self._until_end:
            raise CallFailed("the app closed the connection before it had answered")
        self.complete = True

    # -- what the parser calls ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.complete:
            raise CallFailed("the app has answered twice")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head += len(name) + len(value)
        if self._head > _MOST_HEAD:
            raise _too_much_head()
        if not self.status:
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status >= 200:
            self._beside_body = 0
        present = {name.lower() for name, _ in self.headers}
        self._until_end = "content-length" not in present and "transfer-encoding" not in present

    def on_body(self, chunk: bytes) -> None:
        self._beside_body = 0
        self._size += len(chunk)
        if self._size > MAX_ANSWER:
            raise CallFailed(f"output_too_large: the answer has more than {MAX_ANSWER:,} bytes")
        self.body += chunk

    def on_message_complete(self) -> None:
        if self.status < 200:  # it says only that it is at work
            self.status, self._until_end = 0, False
            self.headers.clear()
            return
        self.complete = True
        self.keeps = self._parser.should_keep_alive()


def _too_much_head() -> CallFailed:
    return CallFailed(f"the head of the answer, or what is said beside its body, has more than {_MOST_HEAD:,} bytes")
