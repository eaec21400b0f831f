"""The router: brings accepted events to the waits that they match.

Starting runs is part of accepting an event; delivery to waits is always a later commit, made here, in
pages; the event stays unrouted until the last page, so a crash repeats it, and a message's id makes
the repetition harmless. Marking an event that matches nothing is urgent to nobody: such marks are
collected for a moment and committed together.
"""

from __future__ import annotations

import logging

import trio

from ..acceptance import is_delayed, runs_started_by
from ..decisions import deliver
from ..errors import StoreError
from ..events import AcceptedEvent
from ..transition import Transition
from .committer import Committer
from .lookup import load_routes
from .store import Duplicate, Store

log = logging.getLogger("flowgen")

LINGER_SECONDS = 0.02
_TURNS = 3
"""Turns of the loop in which a run that was started by an event is begun, and a short one ends."""

_PAUSE = 0.2


class Router:
    """Routes the events of a store; any number of processes may do so at once."""

    def __init__(self, store: Store, committer: Committer) -> None:
        self._store = store
        self._committer = committer
        self._wake = trio.Event()
        self._unmarked: dict[str, None] = {}
        committer.accepted = self.wake

    def wake(self) -> None:
        """There may be something to route."""
        self._wake.set()

    async def run(self) -> None:
        """Route until cancelled."""
        while True:
            self._wake = trio.Event()
            try:
                await self._turn()
            except StoreError as error:
                log.warning("events could not be routed, trying again: %s", error)
                await trio.sleep(_PAUSE)

    async def _turn(self) -> None:
        """Route what there is; if there was nothing new, wait until there may be, and mark what matched nothing."""
        found = await self._route()
        if not found and not self._unmarked:
            await self._wake.wait()
        elif not found:
            with trio.move_on_after(LINGER_SECONDS):
                await self._wake.wait()
                return
            await self._mark()

    async def _route(self) -> bool:
        """Deliver what is unrouted; whether there was anything new. The runs that it started go first."""
        for _ in range(_TURNS):
            await trio.lowlevel.checkpoint()
        events = [event for event in await self._store.unrouted() if event.id not in self._unmarked]
        for event in events:
            await self._deliver(event)
        if len(self._unmarked) >= 400:
            await self._mark()
        return bool(events)

    async def _start_delayed(self, event: AcceptedEvent) -> None:
        """The time of a delayed event has come: create the runs that it starts, each at most once."""
        for new in runs_started_by(event, await load_routes(self._store), event.ts):
            try:
                await self._committer.commit(Transition(new.row.id, create=(new,)))
            except Duplicate:
                continue

    async def _deliver(self, event: AcceptedEvent) -> None:
        if is_delayed(event):
            await self._start_delayed(event)
        cursor: str | None = None
        number = 0
        while True:
            page = await self._store.waits(event, cursor)
            cursor = page.cursor
            if not page.items and cursor is None:
                self._unmarked[event.id] = None
                return
            transition = deliver(event, page.items, number, last=cursor is None)
            if transition is not None:
                await self._committer.commit(transition)
            if cursor is None:
                return
            number += 1

    async def _mark(self) -> None:
        marks = tuple(self._unmarked)
        await self._committer.commit(Transition(f"{marks[0]}/routed", routed=marks))
        self._unmarked.clear()
