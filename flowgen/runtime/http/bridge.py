"""The bridge from a web server's event loop to the engine's.

An engine lives on a trio loop, in the main thread or one of its own; a web server has its loop elsewhere. `call` runs
one verb of the engine there and gives its answer here. Whatever wants to cross within one turn of a loop crosses
together: one wake-up for all of them, and one for the answers that come back together. A wake-up costs more
than most verbs.

* A caller that is cancelled cancels what it asked for. A commit that was begun is durable all the same.
* A verb that ends because the engine is closed is `EngineClosed` for its caller.
* On the engine's own loop a call is just a call.

Refuses to know what is asked, and what HTTP is.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

import attrs
import outcome
import trio

from ...errors import FlowgenError

T = TypeVar("T")


class EngineClosed(FlowgenError):
    """The engine behind a server has been closed."""


@attrs.define(eq=False)
class _Crossing:
    """One call on its way: there, and back to the loop of its caller."""

    verb: Callable[..., Awaitable[Any]]
    arguments: tuple[Any, ...]
    shore: _Shore
    future: asyncio.Future[Any]
    scope: trio.CancelScope = attrs.field(factory=trio.CancelScope)
    answer: outcome.Outcome[Any] | None = None


class Bridge:
    """To the trio loop of `token`. Used from any number of loops and threads."""

    def __init__(self, token: trio.lowlevel.TrioToken) -> None:
        self._token = token
        self._leaving: deque[_Crossing] = deque()
        self._called = False
        self._shores: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shore] = WeakKeyDictionary()

    async def call(self, verb: Callable[..., Awaitable[T]], *arguments: Any) -> T:
        """Run `verb(*arguments)` on the engine's loop. Raises what it raises, or `EngineClosed`."""
        if self.at_home():
            return await verb(*arguments)
        loop = asyncio.get_running_loop()
        shore = self._shores.get(loop)
        if shore is None:
            shore = self._shores[loop] = _Shore(loop)
        crossing = _Crossing(verb, arguments, shore, loop.create_future())
        self._leaving.append(crossing)
        try:
            if not self._called:
                self._called = True
                self._token.run_sync_soon(self._begin)
            answer: T = await crossing.future
        except trio.RunFinishedError:
            self._called = False
            raise EngineClosed("the engine has been closed") from None
        except asyncio.CancelledError:
            self._give_up(crossing)
            raise
        return answer

    def at_home(self) -> bool:
        """Whether the caller is on the engine's loop."""
        return trio.lowlevel.in_trio_run() and trio.lowlevel.current_trio_token() is self._token

    def _give_up(self, crossing: _Crossing) -> None:
        try:
            self._token.run_sync_soon(crossing.scope.cancel)
        except trio.RunFinishedError:
            """Nobody works on it any more."""

    # -- on the engine's loop -----------------------------------------------------------------------

    def _begin(self) -> None:
        self._called = False
        while self._leaving:
            crossing = self._leaving.popleft()
            try:
                trio.lowlevel.spawn_system_task(self._cross, crossing)
            except RuntimeError:  # the loop is ending and takes nobody any more
                crossing.answer = outcome.Error(EngineClosed("the engine has been closed"))
                crossing.shore.arrive(crossing)

    async def _cross(self, crossing: _Crossing) -> None:
        """Never raises, but for the cancellation that ends the loop: whatever a verb raises is its caller's."""
        crossing.answer = outcome.Error(EngineClosed("the engine has been closed"))
        try:
            with crossing.scope:
                crossing.answer = outcome.Value(await crossing.verb(*crossing.arguments))
        except trio.Cancelled:
            raise
        except BaseException as error:
            crossing.answer = outcome.Error(error)
        finally:
            crossing.shore.arrive(crossing)


class _Shore:
    """Where the answers for one loop arrive."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._arrived: deque[_Crossing] = deque()
        self._called = False

    def arrive(self, crossing: _Crossing) -> None:
        """From the engine's loop: an answer is there."""
        self._arrived.append(crossing)
        if self._called:
            return
        self._called = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            """The loop is closed, and with it whoever waited."""

    def _deliver(self) -> None:
        self._called = False
        while self._arrived:
            crossing = self._arrived.popleft()
            if crossing.future.done() or crossing.answer is None:
                continue
            if isinstance(crossing.answer, outcome.Error):
                crossing.future.set_exception(crossing.answer.error)
            else:
                crossing.future.set_result(crossing.answer.unwrap())
