"""An ASGI app that opens its own engine: for a mount in somebody else's app.

The engine opens in a thread of its own when the server starts (ASGI lifespan), and closes when it stops. What is
mounted below another app hears nothing of that: `lifespan` is for handing it on; without, the engine opens at the first
request, and is closed when the process ends. Until it is open nothing is at work: no timer, no schedule.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager
from typing import Any

import anyio.to_thread
from starlette.types import ASGIApp, Receive, Scope, Send

from ...errors import FlowgenError
from ..client import LocalClient
from .problems import problem_of

log = logging.getLogger("flowgen.http")


class MountedApp:
    """An ASGI app. `opened` opens an engine, `made` makes the app that serves it."""

    def __init__(
        self, opened: Callable[[], AbstractContextManager[LocalClient]], made: Callable[[LocalClient], ASGIApp]
    ) -> None:
        self._opened = opened
        self._made = made
        self._asgi: ASGIApp | None = None
        self._stack = ExitStack()
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            asgi = self._asgi
            if asgi is None:
                asgi = await anyio.to_thread.run_sync(self._open)
        except FlowgenError as error:
            await problem_of(error).response()(scope, receive, send)
            return
        await asgi(scope, receive, send)

    @asynccontextmanager
    async def lifespan(self, app: Any = None) -> AsyncIterator[None]:
        """Have the engine open while the block lasts; also as the `lifespan` of a Starlette or FastAPI app."""
        await anyio.to_thread.run_sync(self._open)
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(self.close)

    def close(self) -> None:
        """Close the engine, if it is open. Blocks until it has drained."""
        with self._lock:
            self._asgi = None
            self._stack.close()
            atexit.unregister(self.close)

    async def _live(self, receive: Receive, send: Send) -> None:
        """The lifespan protocol of ASGI."""
        await receive()
        try:
            async with self.lifespan():
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except FlowgenError as error:
            log.error("the engine cannot be opened: %s", error)
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})

    def _open(self) -> ASGIApp:
        with self._lock:
            if self._asgi is None:
                self._asgi = self._made(self._stack.enter_context(self._opened()))
                atexit.register(self.close)
            return self._asgi
