"""Accepting the events of many requests together.

A commit costs about the same for one event as for a hundred. So while one round is on its way to the store, requests
that come wait for the next, and go in it together: one crossing to the engine's loop, one transition, one sync of the
disk. Each request is still answered by itself: where a round is refused because of one of them, each is tried alone.

Before a round is accepted it is asked from time to time how many events wait to be routed: over `max_unrouted`,
requests are told to come again (503), and nothing of them is accepted.

Refuses to know HTTP, but for what a refusal is called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from ...events import Event
from ..engine import MAX_BATCH, Engine
from .bridge import Bridge
from .problems import Problem

ROUND: Final = 500
"""A round takes no further request when it has so many events."""

LOOKED_EVERY: Final = 2_000
"""After so many accepted events it is asked how many wait to be routed."""

Batch = Sequence[Event[Any]]


class Intake:
    """The way of events from requests into the store of an engine, over a bridge."""

    def __init__(self, engine: Engine, bridge: Bridge, max_unrouted: int) -> None:
        self._engine = engine
        self._bridge = bridge
        self._max_unrouted = max_unrouted
        self._since_look = LOOKED_EVERY
        self._halls: WeakKeyDictionary[asyncio.AbstractEventLoop, _Hall] = WeakKeyDictionary()

    async def accept(self, events: Batch) -> list[str]:
        """Accept events, all or none, and give their ids. Raises what `Engine.send` raises, or a `Problem` (503)."""
        if self._bridge.at_home():
            (answer,) = await self.round([events])
        else:
            loop = asyncio.get_running_loop()
            hall = self._halls.get(loop)
            if hall is None:
                hall = self._halls[loop] = _Hall(self)
            answer = await hall.wait(events)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def cross(self, batches: Sequence[Batch]) -> list[list[str] | Exception]:
        """Do a round on the engine's loop."""
        return await self._bridge.call(self.round, batches)

    async def round(self, batches: Sequence[Batch]) -> list[list[str] | Exception]:
        """On the engine's loop: accept the events of several requests; what each of them is answered."""
        if self._since_look >= LOOKED_EVERY:
            if await self._engine.backlog() > self._max_unrouted:
                return [_full() for _ in batches]
            self._since_look = 0
        self._since_look += sum(map(len, batches))
        return await self._engine.send_each(batches)


def _full() -> Problem:
    return Problem(
        503,
        "busy",
        "too many events wait to be routed: come again; is there an engine that works?",
        headers={"Retry-After": "1"},
    )


class _Hall:
    """Where the requests of one loop wait for the next round."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._waiting: list[tuple[Batch, asyncio.Future[list[str] | Exception]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def wait(self, events: Batch) -> list[str] | Exception:
        """What the request with these events is answered. One whose client goes away is accepted all the same."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[str] | Exception] = loop.create_future()
        self._waiting.append((events, future))
        if self._worker is None:
            self._worker = loop.create_task(self._work())
        return await future

    async def _work(self) -> None:
        """Round after round, until nobody waits. The end of the last is the moment at which a next one may begin."""
        try:
            while self._waiting:
                await self._do_round()
        finally:
            self._worker = None

    async def _do_round(self) -> None:
        taken = self._take()
        try:
            answers = await self._intake.cross([events for events, _ in taken])
        except Exception as error:
            answers = [error] * len(taken)
        for (_, future), answer in zip(taken, answers, strict=True):
            if not future.done():
                future.set_result(answer)

    def _take(self) -> list[tuple[Batch, asyncio.Future[list[str] | Exception]]]:
        count = events = 0
        while count < len(self._waiting) and (count == 0 or events + len(self._waiting[count][0]) <= ROUND):
            events += len(self._waiting[count][0])
            count += 1
        taken, self._waiting = self._waiting[:count], self._waiting[count:]
        return taken


assert ROUND <= MAX_BATCH
