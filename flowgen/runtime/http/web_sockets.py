"""One web socket of the server: uvicorn's over websockets, with an end to every wait for the client.

A connection becomes one when its request is a handshake (`Connection`): its head was read with the limits of all heads,
and it counts among the connections. uvicorn asks each client now and then whether it is there (ping), and closes the
connection of one that does not say so.

* A client that does not take what was sent to it, its end included, is cut off after `stalled_seconds`, by the sweep
  over all connections.
* A ping of a client that takes nothing is not answered: what waits to be sent to it does not grow with what it sends.
* What a client sends is of `MAX_MESSAGE` bytes at most, and not compressed. Parts of a message that are empty are not
  kept, or there could be any number of them.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .limits import Limits

MAX_MESSAGE: Final = 16 * 1024


class WebSocketConnection(WebSocketsSansIOProtocol):
    """See the module. `limits` is set by `web_sockets_with`."""

    limits: ClassVar[Limits] = Limits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stalled: float | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if not self.handshake_initiated:  # what has refused it has not sent its answer
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if self.close_sent:  # a handshake that is refused is over, too: uvicorn would log it as one without an answer
            self.handshake_complete = True

    def handle_cont(self, event: Any) -> None:
        if event.data or event.fin:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        if self.close_sent or self.curr_msg_data_type != "text" or _is_text(b"".join(self.frames)):
            super().send_receive_event_to_app()
        else:  # uvicorn would log this mistake of the client as an error of ours
            self.conn.send_close(1007)
            self.handle_parser_exception()

    def handle_ping(self) -> None:
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stalled = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled = None

    def sweep(self, now: float) -> None:
        """Cut the connection off if its client has taken too long. `now` is the loop's time."""
        if self.transport.is_closing() and self._stalled is None:
            self._stalled = now
        if self._stalled is not None and now - self._stalled > self.limits.stalled_seconds:
            self.transport.abort()

    def shutdown(self) -> None:
        """The server stops: the client is told, and comes back to another. One that takes nothing is not waited for."""
        if not self.transport.is_closing():
            super().shutdown()
        if not self.writable.is_set():
            self.transport.abort()


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def web_sockets_with(limits: Limits) -> type[asyncio.Protocol]:
    """The class of web sockets that have these limits, as uvicorn takes it."""
    return type("WebSocketConnection", (WebSocketConnection,), {"limits": limits})
