"""A transport on which what is written within one turn of the loop leaves together.

uvicorn writes the head of an answer and its body one after the other, and each write to a socket is a call of the
system: an answer in one piece saves the server one of them, and the client that waits for it a wake-up.

Nothing is held for longer than until the loop turns, nor beyond `HELD` bytes, so the other end's flow control is heard
in time. What is closed is sent first; what is aborted is dropped.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

HELD: Final = 64 * 1024
"""So many bytes are sent at once."""


class Together(asyncio.Transport):
    """Writes to `transport`, at the end of each turn; `soon` is the loop's `call_soon`."""

    __slots__ = ("_held", "_size", "_soon", "_transport")

    def __init__(self, transport: asyncio.Transport, soon: Callable[[Callable[[], None]], object]) -> None:
        super().__init__()
        self._transport = transport
        self._soon = soon
        self._held: list[bytes] = []
        self._size = 0

    def write(self, data: Any) -> None:
        """Send `data` when the loop turns, or at once if it is much."""
        self._held.append(bytes(data))
        self._size += len(data)
        if self._size > HELD:
            self._send()
        elif len(self._held) == 1:
            self._soon(self._send)

    def close(self) -> None:
        """Send what is held, and close."""
        self._send()
        self._transport.close()

    def abort(self) -> None:
        """Close without another byte."""
        self._held.clear()
        self._transport.abort()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._transport.set_protocol(protocol)

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def _send(self) -> None:
        held = self._held
        if held:
            self._held, self._size = [], 0
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))
