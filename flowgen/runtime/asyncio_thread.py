"""One asyncio event loop in a thread of its own, for step bodies that need asyncio.

Started when the first such step runs. Cancelling the caller cancels the asyncio task and waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import trio


class AsyncioThread:
    """Runs coroutines on asyncio, for trio tasks that wait for them."""

    def __init__(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Await `call()` on asyncio and give its value, or raise what it raised."""
        loop = self._started()
        task = trio.lowlevel.current_task()
        inner: list[asyncio.Task[Any]] = []
        done = False

        async def awaited() -> Any:
            return await call()

        def begin() -> None:
            inner.append(loop.create_task(awaited()))
            inner[0].add_done_callback(finished)

        def finished(_: object) -> None:
            try:
                self._token.run_sync_soon(wake)
            except trio.RunFinishedError:
                return

        def wake() -> None:
            nonlocal done
            if not done:
                done = True
                trio.lowlevel.reschedule(task)

        def abort(_: Any) -> trio.lowlevel.Abort:
            loop.call_soon_threadsafe(lambda: inner[0].cancel())
            return trio.lowlevel.Abort.FAILED

        loop.call_soon_threadsafe(begin)
        await trio.lowlevel.wait_task_rescheduled(abort)
        if inner[0].cancelled():
            await trio.lowlevel.checkpoint_if_cancelled()
            raise RuntimeError("the step cancelled its own asyncio task")
        return inner[0].result()

    def close(self) -> None:
        """Stop the loop; its thread ends by itself."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._loop.stop)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._run, args=(self._loop,), name="flowgen-asyncio", daemon=True)
            self._thread.start()
        return self._loop

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_forever()
        finally:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()
