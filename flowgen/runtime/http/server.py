"""The server: an ASGI app on uvicorn and httptools, in a thread of its own beside a trio engine.

The engine keeps the main thread and the signals; the web server has its own loop. Sockets are bound by the caller's
thread, before the server's begins: so a port in use is the caller's error, with a reason, and an address is answered
from the moment it is known.

Leaving the block stops in order: no connection is accepted any more, idle ones are closed, streams end, requests
that wait for something of their own (`request.state.closing`) are answered as things stand, all others are finished
within `grace`, and then cut off. Leaving it by cancellation does not wait.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import attrs
import trio
import uvicorn
from starlette.types import ASGIApp

from .connection import Connection, connections_with
from .limits import Limits
from .patience import CLOSING
from .sockets import bind, url_of
from .web_sockets import MAX_MESSAGE, WebSocketConnection, web_sockets_with

_SWEEP_SECONDS: Final = 1.0
_LAST_SECONDS: Final = 1.0
_OTHER_FILES: Final = 64
"""Descriptors that are left to the store, and whatever else is open."""


@asynccontextmanager
async def serving(
    asgi: ASGIApp,
    host: str = "127.0.0.1",
    port: int = 8288,
    *,
    sockets: Sequence[socket.socket] | None = None,
    limits: Limits | None = None,
    grace: float = 5.0,
) -> AsyncIterator[str]:
    """Serve an ASGI app in a thread of its own, from trio; gives the URL. Port 0 is any free port.

    `sockets` that listen already take the place of `host` and `port`. Raises `InvalidInput` if the port cannot be had.

    ::

        async with open_engine(app, "sqlite:///shop.db") as engine, serving(http_app(app, engine)) as url:
            await trio.sleep_forever()
    """
    listening = bind(host, port) if sockets is None else list(sockets)
    url = url_of(host, listening)
    server = _Server(asgi, _affordable(limits or Limits()), grace)
    try:
        await server.start(listening)
    except BaseException:
        for each in listening:
            each.close()
        raise
    raised: BaseException | None = None
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.watch)
            try:
                yield url
                server.stop()
                await server.ended.wait()
            except BaseException as error:
                raised = error
            nursery.cancel_scope.cancel()
        if raised is not None:
            raise raised
    finally:
        server.stop(at_once=True)
        with trio.CancelScope(shield=True), trio.move_on_after(_LAST_SECONDS):
            await server.ended.wait()


class ServerBroke(RuntimeError):
    """The thread of the server ended by itself: this is a bug."""


class _Server(uvicorn.Server):
    """uvicorn, started and stopped from a trio loop in another thread."""

    def __init__(self, asgi: ASGIApp, limits: Limits, grace: float) -> None:
        super().__init__(
            uvicorn.Config(
                asgi,
                http=connections_with(limits),
                loop="asyncio",
                ws=web_sockets_with(limits),
                ws_max_size=MAX_MESSAGE,
                ws_per_message_deflate=False,
                lifespan="auto",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_graceful_shutdown=grace + _LAST_SECONDS / 2,  # type: ignore[arg-type]  # a float is as good
            )
        )
        self.ended = trio.Event()
        self._grace = grace
        self._opened = trio.Event()
        self._stopping = False
        self._broke: BaseException | None = None
        self._token = trio.lowlevel.current_trio_token()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing: asyncio.Event | None = None

    # -- in the trio thread -------------------------------------------------------------------------

    async def start(self, sockets: list[socket.socket]) -> None:
        """Begin; it answers when this returns."""
        threading.Thread(target=self._run, args=(sockets,), name="flowgen-http", daemon=True).start()
        await self._opened.wait()
        self._raise()

    async def watch(self) -> None:
        """Raise if the server ends by itself."""
        await self.ended.wait()
        self._raise()
        if not self._stopping:
            raise ServerBroke("the HTTP server has ended by itself")

    def stop(self, at_once: bool = False) -> None:
        """Begin to stop."""
        self._stopping = True
        self.force_exit = at_once
        if self._loop is not None:
            with suppress(RuntimeError):  # its loop is closed: it has ended
                self._loop.call_soon_threadsafe(self._close)

    def _raise(self) -> None:
        if self._broke is not None:
            raise ServerBroke(f"the HTTP server broke: {self._broke!r}") from self._broke

    # -- in the thread of the server ----------------------------------------------------------------

    def _run(self, sockets: list[socket.socket]) -> None:
        try:
            asyncio.run(self.serve(sockets))
        except BaseException as error:
            self._broke = error
        finally:
            for each in sockets:
                each.close()
            self._tell(self._opened.set)
            self._tell(self.ended.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._loop = asyncio.get_running_loop()
        self._closing = self.lifespan.state[CLOSING] = asyncio.Event()
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)
        self._tell(self._opened.set)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end = asyncio.get_running_loop().call_later(self._grace, self._cut_off)
        await super().shutdown(sockets)
        end.cancel()
        self._cut_off()
        await asyncio.sleep(0)
        if self.force_exit:  # uvicorn would leave the app's lifespan hanging
            with suppress(TimeoutError):
                await asyncio.wait_for(self.lifespan.shutdown(), _LAST_SECONDS / 2)

    def _cut_off(self) -> None:
        """Whoever makes an answer hears that its client is gone. uvicorn would leave the connections open, and cancel
        each answer with an error in the log, though most only wait for a body."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()

    def _sweep(self) -> None:
        assert self._loop is not None
        now = self._loop.time()
        for connection in list(self.server_state.connections):
            assert isinstance(connection, Connection | WebSocketConnection)
            connection.sweep(now)
            if self.should_exit:  # it may have come when the others were told
                connection.shutdown()
        self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    def _close(self) -> None:
        assert self._closing is not None
        self._closing.set()
        self.should_exit = True
        if self.force_exit:
            for task in list(self.server_state.tasks):
                task.cancel()
            for connection in list(self.server_state.connections):
                connection.transport.abort()

    def _tell(self, what: Callable[[], Any]) -> None:
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(what)


def _affordable(limits: Limits) -> Limits:
    """With fewer connections where the process may not have so many files: the store needs some of them."""
    if sys.platform == "win32":
        return limits
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits
    return attrs.evolve(limits, connections=max(1, min(limits.connections, soft - _OTHER_FILES)))
