"""Where the bodies of served steps are executed: a trio loop in a thread of its own, with the executor of engines.

A web server has an event loop of its own, asyncio most of the time, and its requests are not to wait for somebody's
step. So bodies go to this thread: sync ones on to worker threads, async ones on its trio loop or on an asyncio loop
beside it, by the same rules as everywhere (`executor`), with the same time-outs and hints.

The thread begins with the first body, in the process that needs it: a server that forks its workers has one in each.
Who stops waiting (a server that ends, a request that is cut off) cancels the body.

Refuses to know: which step, and what becomes of its outcome.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import attrs
import trio

from ...errors import FlowgenError
from ...outcome import Outcome
from ...tree import Step
from ..environment import Environment
from ..executor import Executor


class Closed(FlowgenError):
    """No bodies are executed any more: the server ends."""


@attrs.define(eq=False)
class _Visit:
    """One body on its way: there, and back to whoever waits for it."""

    step: Step
    run_id: str
    loop: str
    tell: Callable[[], object]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    outcome: Outcome | None = None
    error: BaseException | None = None


class BodyThread:
    """Executes bodies for any number of loops and threads. `close` it when the server ends; it may begin again."""

    def __init__(self, threads: int = 64) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._home: _Home | None = None

    async def run(self, step: Step, run_id: str, default_loop: str) -> Outcome:
        """Execute the body of a step once."""
        home = self._at_home()
        done, tell = _bell()
        visit = _Visit(step, run_id, default_loop, tell)
        home.soon(home.begin, visit)
        try:
            await done()
        except BaseException:
            with suppress(Closed):
                home.soon(visit.scope.cancel)
            raise
        if visit.error is not None:
            raise visit.error
        if visit.outcome is None:
            raise Closed("the server ends, and executes nothing any more")
        return visit.outcome

    def close(self) -> None:
        """End the thread; bodies that still run are cancelled."""
        with self._lock:
            home, self._home = self._home, None
        if home is not None and home.process == os.getpid():
            with suppress(Closed):
                home.soon(home.ending.cancel)

    def _at_home(self) -> _Home:
        with self._lock:
            if self._home is None or self._home.process != os.getpid():
                self._home = _Home(self._threads)
            return self._home


class _Home:
    """The thread, its loop and its executor."""

    def __init__(self, threads: int) -> None:
        self.process = os.getpid()
        self.ending = trio.CancelScope()
        self._threads = threads
        self._ready = threading.Event()
        threading.Thread(target=trio.run, args=(self._live,), name="flowgen-bodies", daemon=True).start()
        self._ready.wait()

    async def _live(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._environment = Environment()
        self._executor = Executor(self._environment, self._threads)
        try:
            with self.ending:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    self._ready.set()
                    await trio.sleep_forever()
        finally:
            self._executor.close()

    def soon(self, function: Callable[..., object], *arguments: object) -> None:
        try:
            self._token.run_sync_soon(function, *arguments)
        except trio.RunFinishedError:
            raise Closed("the server ends, and executes nothing any more") from None

    def begin(self, visit: _Visit) -> None:
        try:
            self._nursery.start_soon(self._visit, visit)
        except RuntimeError:  # the loop is ending and takes nobody any more
            visit.tell()

    async def _visit(self, visit: _Visit) -> None:
        """Never raises, but for the cancellation that ends the loop: whatever goes wrong is for whoever waits."""
        try:
            self._environment.saw(time.time_ns() // 1_000)
            with visit.scope:
                visit.outcome = await self._executor.run(visit.step, visit.run_id, visit.loop)
        except trio.Cancelled:
            raise
        except BaseException as error:
            visit.error = error
        finally:
            visit.tell()


def _bell() -> tuple[Callable[[], Awaitable[object]], Callable[[], None]]:
    """What to await here, on whatever loop this is, and what to call from elsewhere when it is time."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        token, rung = trio.lowlevel.current_trio_token(), trio.Event()
        return rung.wait, lambda: _ring(lambda: token.run_sync_soon(rung.set))
    bell = asyncio.Event()
    return bell.wait, lambda: _ring(lambda: loop.call_soon_threadsafe(bell.set))


def _ring(ring: Callable[[], object]) -> None:
    try:
        ring()
    except RuntimeError:
        """The loop is closed, and with it whoever waited."""
