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
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, ref

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
    """One body on its way: there, and back to the shore of whoever waits for it."""

    step: Step
    run_id: str
    loop: str
    shore: _Shore
    bell: Any
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    outcome: Outcome | None = None
    error: BaseException | None = None


class BodyThread:
    """Executes bodies for any number of loops and threads. `close` it when the server ends; it may begin again."""

    def __init__(self, threads: int = 64) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._home: _Home | None = None
        self._shores: WeakKeyDictionary[Any, _Shore] = WeakKeyDictionary()

    async def run(self, step: Step, run_id: str, default_loop: str) -> Outcome:
        """Execute the body of a step once."""
        home, (shore, bell) = self._at_home(), self._at_shore()
        visit = _Visit(step, run_id, default_loop, shore, bell)
        home.send(visit)
        try:
            await bell.wait()
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
        home = self._home
        if home is not None and home.process == os.getpid():
            return home
        with self._lock:
            if self._home is None or self._home.process != os.getpid():
                self._home = _Home(self._threads)
            return self._home

    def _at_shore(self) -> tuple[_Shore, Any]:
        """Where answers arrive for the loop that this is called on, and what is rung when one is there."""
        try:
            loop: Any = asyncio.get_running_loop()
            bell: Any = asyncio.Event()
        except RuntimeError:
            loop, bell = trio.lowlevel.current_trio_token(), trio.Event()
        shore = self._shores.get(loop)
        if shore is None:
            shore = self._shores[loop] = _Shore(loop)
        return shore, bell


class _Home:
    """The thread, its loop and its executor."""

    def __init__(self, threads: int) -> None:
        self.process = os.getpid()
        self.ending = trio.CancelScope()
        self._threads = threads
        self._ready = threading.Event()
        self._arriving = _Landing(self._begin)
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

    def send(self, visit: _Visit) -> None:
        """Begin a body."""
        self._arriving.add(visit, self.soon)

    def soon(self, function: Callable[[], object]) -> None:
        try:
            self._token.run_sync_soon(function)
        except trio.RunFinishedError:
            raise Closed("the server ends, and executes nothing any more") from None

    def _begin(self, visit: _Visit) -> None:
        try:
            self._nursery.start_soon(self._visit, visit)
        except RuntimeError:  # the loop is ending and takes nobody any more
            visit.shore.arrive(visit)

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
            visit.shore.arrive(visit)


class _Shore:
    """Where the outcomes for one loop arrive: an asyncio loop, or the token of a trio one. It keeps neither alive."""

    def __init__(self, loop: Any) -> None:
        self._loop = ref(loop)
        self._arriving = _Landing(lambda visit: visit.bell.set())

    def arrive(self, visit: _Visit) -> None:
        """From elsewhere: the outcome is there."""
        with suppress(RuntimeError):  # the loop is closed, and with it whoever waited
            self._arriving.add(visit, self._soon)

    def _soon(self, function: Callable[[], object]) -> None:
        loop = self._loop()
        if isinstance(loop, trio.lowlevel.TrioToken):
            loop.run_sync_soon(function)
        elif loop is not None:
            loop.call_soon_threadsafe(function)


class _Landing:
    """What crosses from one loop to another. Whatever comes within one turn crosses together: to wake a loop costs more
    than most bodies."""

    def __init__(self, land: Callable[[_Visit], object]) -> None:
        self._land = land
        self._coming: deque[_Visit] = deque()
        self._called = False

    def add(self, visit: _Visit, soon: Callable[[Callable[[], object]], object]) -> None:
        self._coming.append(visit)
        if not self._called:
            self._called = True
            try:
                soon(self._arrived)
            except BaseException:
                self._called = False
                raise

    def _arrived(self) -> None:
        self._called = False
        while self._coming:
            self._land(self._coming.popleft())
