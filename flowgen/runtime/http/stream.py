"""`GET /v1/stream`: what happens, as server-sent events.

Each message has a number (`id`); a reader that was away says the last that it saw (`Last-Event-ID`) and gets what came
since, or a `reset`: then it has missed something, and looks at everything again. A comment goes out every
`HEARTBEAT_SECONDS`, so that both sides notice when the other is gone. What a reader does not take is not kept for it:
its answer ends when it has taken nothing for `PATIENCE_SECONDS`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final

import anyio
import trio
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from .bridge import EngineClosed
from .feed import message
from .problems import Problem
from .ring import Ring
from .routes import Call

HEARTBEAT_SECONDS: Final = 15.0
PATIENCE_SECONDS: Final = 10.0


async def stream(call: Call) -> Response:
    seen = _last_seen(call)
    if call.request.method == "HEAD":
        return Response(media_type=_Stream.media_type)
    with call.service.patience.place():
        """There is room for one reader more; its place is taken when the answer begins, which is at once."""
    return _Stream(call, seen)


def _last_seen(call: Call) -> int | None:
    given = call.request.headers.get("last-event-id")
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and len(given) <= 18):
        raise Problem(
            400, "invalid_parameter", f"Last-Event-ID: {given!r:.50} is no id of this stream", "Last-Event-ID"
        )
    return int(given)


class _Stream(Response):
    """An answer that goes on for as long as its reader is there and takes it."""

    media_type = "text/event-stream"

    def __init__(self, call: Call, seen: int | None) -> None:
        super().__init__(headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._service = call.service
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def patiently(message: Message) -> None:
            with anyio.fail_after(PATIENCE_SECONDS):
                await send(message)

        async def tell(text: bytes, more: bool = True) -> None:
            await patiently({"type": "http.response.body", "body": text, "more_body": more})

        with self._service.patience.place():
            with anyio.CancelScope(shield=True):  # or it could have joined, and nobody would know
                ring = await self._service.ask(self._service.feed.join)
            try:
                await patiently({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
                async with anyio.create_task_group() as group:
                    group.start_soon(until_gone, receive, group.cancel_scope)
                    await _read(ring, self._seen, tell)
                    await tell(b"", False)
                    group.cancel_scope.cancel()
            except* TimeoutError:
                """It takes nothing: what becomes of its connection is the server's to say."""
            finally:
                with anyio.CancelScope(shield=True), suppress(EngineClosed):
                    await self._service.ask(self._service.feed.leave)


async def until_gone(receive: Receive, scope: anyio.CancelScope) -> None:
    """Cancel a scope when a client is gone. What it sends meanwhile is of no interest."""
    while not (await receive())["type"].endswith(".disconnect"):
        """A body, or a message."""
    scope.cancel()


async def _read(ring: Ring, seen: int | None, tell: Callable[[bytes], Awaitable[None]]) -> None:
    """Tell the messages after the one that was seen, as they come, until there will be no more."""
    await tell(b": flowgen\n\n")
    place = ring.last if seen is None else seen
    here = to_this_loop()
    while not ring.closed:
        woken = anyio.Event()
        wake = partial(here, woken.set)
        ring.sleep(wake)
        try:
            found = ring.since(place)
            if found is None:
                place = ring.last
                await tell(message("reset", {}, place))
            elif found[0]:
                place = found[1]
                await tell(b"".join(found[0]))
            else:
                with anyio.move_on_after(HEARTBEAT_SECONDS) as heartbeat:
                    await woken.wait()
                if heartbeat.cancelled_caught:
                    await tell(b": alive\n\n")
        finally:
            ring.forget(wake)


def to_this_loop() -> Callable[[Callable[[], Any]], Any]:
    """What has something called on the loop of whoever asks, from any thread; on one that has ended, nothing."""
    try:
        call: Callable[[Callable[[], Any]], Any] = asyncio.get_running_loop().call_soon_threadsafe
    except RuntimeError:
        call = trio.lowlevel.current_trio_token().run_sync_soon

    def calling(callback: Callable[[], Any]) -> None:
        with suppress(RuntimeError, trio.RunFinishedError):
            call(callback)

    return calling
