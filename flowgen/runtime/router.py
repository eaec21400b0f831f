"""The router: brings accepted events to the waits that they match.

Starting runs is part of accepting an event, except for those of the future and for what is too much for one
commit: those start here, in pages. Delivery to waits is always a later commit, made here, in pages; the event
stays unrouted until the last page, so a crash repeats it, and a message's id makes the repetition harmless.

What is urgent goes first. Runs that begin here together with their event have a moment to themselves
before the event is looked at: most are short, and a result is on its way. Marking an event that matches
nothing is urgent to nobody: such marks are collected for a while and committed together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence

import trio

from ..acceptance import STARTS_AT_ONCE, is_delayed, starts_of
from ..admission import Start
from ..decisions import deliver, start_runs
from ..errors import StoreError
from ..events import AcceptedEvent
from ..facts import Facts
from ..routing import RouteTable
from ..transition import Transition
from .committer import Committer
from .environment import Environment
from .lookup import informed, rows_started_by
from .store import Committed, Many, Refused, Store

log = logging.getLogger("flowgen")

LINGER_SECONDS = 0.02
COURTESY_SECONDS = 0.005
"""How long runs that begin with their event have to themselves; a short one has ended by then."""

_PAUSE = 0.2


class Router:
    """Routes the events of a store; any number of processes may do so at once. `routes` gives the table in force."""

    def __init__(
        self, store: Store, environment: Environment, committer: Committer, routes: Callable[[], RouteTable]
    ) -> None:
        self._store = store
        self._many = store if isinstance(store, Many) else None
        self._routes = routes
        self._environment = environment
        self._committer = committer
        self._wake = trio.Event()
        self._unmarked: dict[str, None] = {}
        self._after_runs = False
        committer.accepted = self.wake
        committer.watchers.append(self._committed)

    def wake(self) -> None:
        """There may be something to route."""
        self._wake.set()

    def _committed(self, transition: Transition, _: Committed) -> None:
        if transition.accept and any(new.row.owner is not None for new in transition.create):
            self._after_runs = True

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
        """Deliver what is unrouted; whether there was anything new."""
        if self._after_runs:
            await trio.sleep(COURTESY_SECONDS)
            self._after_runs = False
        events = [event for event in await self._store.unrouted() if event.id not in self._unmarked]
        await self._start([event for event in events if is_delayed(event) or event.deferred])
        awaited = await self._awaited({event.name for event in events})
        for event in events:
            if event.name in awaited:
                await self._deliver(event)
            else:
                self._unmarked[event.id] = None
        if len(self._unmarked) >= 400:
            await self._mark()
        return bool(events)

    async def _start(self, events: Sequence[AcceptedEvent]) -> None:
        """Create the runs of events that accepting them did not start: each once, in pages.

        What another router, or this one before a crash, has started already is known by its link to the event.
        """
        table = self._routes()
        starts = [start for event in events for start in starts_of(event, table)]
        while starts:
            page = starts[:STARTS_AT_ONCE]
            done = {event: await self._started(event) for event in {start.event.id for start in page}}
            left = [start for start in page if (start.app, start.workflow) not in done[start.event.id]]
            if not left or await self._start_page(left, Facts(table)):
                del starts[: len(page)]

    async def _start_page(self, page: list[Start], facts: Facts) -> bool:
        """Start some runs in one commit; False if others were faster, with anything that it depends on."""
        id = f"{page[0].run_id}/started"
        now = await self._store.now()
        decision = await informed(self._store, facts, lambda: start_runs(id, page, facts, now))
        try:
            await self._committer.commit(decision)
        except Refused:
            await trio.sleep(self._environment.luck() * 0.01)
            return False
        return True

    async def _started(self, event: str) -> set[tuple[str, str]]:
        """The workflows of which this event has started a run."""
        return {(row.app, row.workflow) for row in await rows_started_by(self._store, event)}

    async def _awaited(self, names: set[str]) -> Collection[str]:
        """The names on which there are waits, as far as the store can tell."""
        return await self._many.awaited(names) if self._many is not None and names else names

    async def _deliver(self, event: AcceptedEvent) -> None:
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
