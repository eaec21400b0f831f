"""One asyncio event loop in a thread of its own, for step bodies that need asyncio.

Started when the first such step runs. Cancelling the caller cancels the asyncio task and waits for it for
`_PATIENCE` seconds; a task that will not end is abandoned, like a thread. Whatever a body raises, comes back
as a value: `SystemExit` and `KeyboardInterrupt` would end the loop for all.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import outcome
import trio

log = logging.getLogger("flowgen")

_PATIENCE = 5.0


class AsyncioThread:
    """Runs coroutines on asyncio, for trio tasks that wait for them."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Await `call()` on asyncio and give its value, or raise what it raised."""
        loop = self._started()
        ended = trio.Event()
        results: list[outcome.Outcome[Any]] = []
        tasks: list[asyncio.Task[None]] = []

        async def body() -> None:
            results.append(await outcome.acapture(call))

        def begin() -> None:
            tasks.append(loop.create_task(body()))
            tasks[0].add_done_callback(lambda _: self._soon(ended.set))

        loop.call_soon_threadsafe(begin)
        try:
            await ended.wait()
        except trio.Cancelled:
            loop.call_soon_threadsafe(lambda: tasks[0].cancel())
            with trio.move_on_after(_PATIENCE, shield=True):
                await ended.wait()
            if not ended.is_set():
                log.warning("a step on asyncio ignores its cancellation; it is abandoned: %r", call)
            raise
        if not results:
            raise RuntimeError("the step cancelled its own asyncio task")
        return results[0].unwrap()

    def close(self) -> None:
        """Stop the loop; its thread ends by itself."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _soon(self, function: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            """Nobody waits any more."""

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            threading.Thread(target=self._run, args=(self._loop,), name="flowgen-asyncio", daemon=True).start()
        return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=0.1))
            loop.close()
