"""One request on a connection, and its answer: uvicorn's, with less to do for each.

What a server says with most of its answers is the same from one to the next. So a header is looked at once, whether it
may be written and how; the next time it is only copied. The head of an answer whose length is known waits for the
first of its body, as ASGI has it, and whatever completes an answer leaves at once, in one piece.

The rules are uvicorn's: what an application does against them is the same error here. Of what is answered nothing is
kept but the headers that are no secret, a few hundred of them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE, RequestResponseCycle

from .together import Together

_LENGTH: Final = b"content-length"
_CODING: Final = b"transfer-encoding"
_CONNECTION: Final = b"connection"
_EACH_ITS_OWN: Final = frozenset({_LENGTH, _CODING, _CONNECTION, b"location", b"set-cookie", b"www-authenticate"})
"""Headers that say how the answer is read, or are not the same twice, or nobody's but the client's."""

_BODILESS: Final = frozenset({204, 304})


class Cycle(RequestResponseCycle):
    """See the module. `transport` is a `Together`."""

    transport: Together
    _head = b""

    async def receive(self) -> Any:
        """Give what there is of the body; where all of it is there, without waiting."""
        bell = self.message_event
        if self.more_body or not bell.is_set() or self.disconnected or self.waiting_for_100_continue:
            return await super().receive()
        if self.response_complete:
            return {"type": "http.disconnect"}
        self.flow.resume_reading()
        bell.clear()
        body, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Any) -> None:
        """Take one message of the answer."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self._begin(message)
        elif not self.response_complete:
            self._go_on(message)
        else:
            raise RuntimeError(f"Unexpected ASGI message '{message['type']}' sent, after response already completed.")

    def _begin(self, message: Any) -> None:
        if message["type"] != "http.response.start":
            raise RuntimeError(f"Expected ASGI message 'http.response.start', but got '{message['type']}'.")
        self.response_started = True
        self.waiting_for_100_continue = False
        status = message["status"]
        lines = [STATUS_LINE[status]]
        said_to_close = False
        for name, value in self.default_headers + list(message.get("headers", ())):
            name = name.lower()
            if name in _EACH_ITS_OWN:
                lines.append(_written(name, value))
                said_to_close |= self._heed(name, value)
            else:
                lines.append(_known(name, value))
        if not self.keep_alive and not said_to_close:
            lines.append(b"connection: close\r\n")
        if self.chunked_encoding is None and self.scope["method"] != "HEAD" and status not in _BODILESS:
            self.chunked_encoding = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        if self.chunked_encoding is False:
            self._head = b"".join(lines)
        else:
            self.transport.write(b"".join(lines))

    def _heed(self, name: bytes, value: bytes) -> bool:
        """Do what a header of the answer says about it; whether it says that the connection ends."""
        if name == _LENGTH and self.chunked_encoding is None:
            self.expected_content_length = int(value.decode())
            self.chunked_encoding = False
        elif name == _CODING and value.lower() == b"chunked":
            self.expected_content_length = 0
            self.chunked_encoding = True
        elif name == _CONNECTION and b"close" in [token.lower().strip() for token in value.split(b",")]:
            self.keep_alive = False
            return True
        return False

    def _go_on(self, message: Any) -> None:
        if message["type"] != "http.response.body":
            raise RuntimeError(f"Expected ASGI message 'http.response.body', but got '{message['type']}'.")
        body, more = message.get("body", b""), message.get("more_body", False)
        if self.scope["method"] == "HEAD":
            self.expected_content_length = 0
            body = b""
        elif self.chunked_encoding:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        else:
            self.expected_content_length -= len(body)
            if self.expected_content_length < 0:
                raise RuntimeError("Response content longer than Content-Length")
        if self._head:
            body, self._head = self._head + body, b""
        if more:
            self.transport.write(body)
        else:
            self._end(body)

    def _end(self, last: bytes) -> None:
        if self.expected_content_length != 0:
            self.transport.write(last)
            raise RuntimeError("Response content shorter than Content-Length")
        self.transport.write_now(last)
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()


def _written(name: bytes, value: bytes) -> bytes:
    """A header as a line of the head. Raises `RuntimeError` for one that would be more than that."""
    if HEADER_RE.search(name):
        raise RuntimeError("Invalid HTTP header name.")
    if HEADER_VALUE_RE.search(value):
        raise RuntimeError("Invalid HTTP header value.")
    return b"%b: %b\r\n" % (name, value)


_known: Final = lru_cache(maxsize=512)(_written)
