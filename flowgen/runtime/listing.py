"""Looking at runs: one, a page of those that a filter selects, or those that an event has started.

The store lists rows by what it stores; the finer states that users see are sorted out here.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import attrs

from ..duration import instant
from ..errors import InvalidInput, NotFound
from ..routing import RouteTable
from ..runs import TERMINAL, RunRow, status_of
from .info import Page, RunInfo, run_info
from .lookup import rows_started_by
from .results import end_of
from .search import LOOKED_AT, Sieve
from .store import TAIL, DamagedRun, Loaded, RunFilter, Store

log = logging.getLogger("flowgen")

LONGEST_PAGE = 500
PASSED = 10_000
"""Listing runs in a state that the store does not know (`running`, `waiting`), a page passes so many others at most."""

_OPEN = ("scheduled", "running", "waiting", "cancelling", "blocked", "collecting")
_STORED = ("parked", "completed", "failed", "cancelled", "skipped")


@attrs.frozen
class Wanted:
    """Which runs a list shows: those created after or at `after` and before `before`, in this state, that a sieve lets
    through. None means any."""

    app: str | None = None
    workflow: str | None = None
    status: str | None = None
    before: int | None = None
    after: int | None = None
    sieve: Sieve | None = None

    def filter(self) -> RunFilter:
        """What the store is asked for. Raises `InvalidInput` for a state that there is not."""
        return RunFilter(self.app, self.workflow, stored_status(self.status), self.before, self.after)

    def lets_through(self, run: RunInfo) -> bool:
        """Whether the sieve does."""
        return self.sieve is None or self.sieve.passes(run)

    def means(self, run: RunInfo) -> bool:
        """Whether a run that was found by its id is one of them."""
        created = instant(run.created_at, "created_at")
        return (
            self.app in (None, run.app)
            and self.workflow in (None, run.workflow_id)
            and self.status in (None, run.status)
            and (self.after is None or self.after <= created)
            and (self.before is None or created < self.before)
            and self.lets_through(run)
        )


class Listing:
    """Looks at the runs of a store. `routes` gives the registrations in force."""

    def __init__(self, store: Store, routes: Callable[[], Awaitable[RouteTable]]) -> None:
        self._store = store
        self._routes = routes

    async def info(self, loaded: Loaded, routes: RouteTable | None = None) -> RunInfo:
        """What may be told of a run."""
        row = loaded.row
        routes = routes or await self._routes()
        end = await end_of(self._store, loaded)
        return run_info(row, loaded.events, loaded.mail, end, paused=routes.is_paused(row.app, row.workflow))

    async def page(self, wanted: Wanted, limit: int, cursor: str | None) -> Page[RunInfo]:
        """A page of runs, newest first.

        It may come short, with a cursor, once `PASSED` runs in other states were passed or, with a sieve, `LOOKED_AT`
        runs were looked at.
        """
        if not 1 <= limit <= LONGEST_PAGE:
            raise InvalidInput(f"limit={limit}: a page has 1 to {LONGEST_PAGE} runs")
        where = wanted.filter()
        routes = await self._routes()
        items: list[RunInfo] = []
        passed = looked_at = 0
        while True:
            page = await self._store.find_runs(where, cursor, limit - len(items))
            for row in page.items:
                if wanted.status is None or status_of(row) == wanted.status:
                    looked_at += 1
                    items += [info for info in await self._on(row, routes) if wanted.lets_through(info)]
                else:
                    passed += 1
            cursor = page.cursor
            spent = passed >= PASSED or (wanted.sieve is not None and looked_at >= LOOKED_AT)
            if cursor is None or len(items) >= limit or spent:
                return Page(tuple(items), cursor)

    async def named(self, id: str, wanted: Wanted) -> tuple[RunInfo, ...]:
        """The runs that have just this id, or that the event with this id has started."""
        routes = await self._routes()
        found = [await self._store.load(app, id, TAIL) for app in sorted({route.app for route in routes})]
        rows = [loaded.row for loaded in found if loaded is not None] or await rows_started_by(self._store, id)
        return tuple([info for row in rows for info in await self._on(row, routes) if wanted.means(info)])

    async def started_by(self, event: str, app: str | None, workflow: str | None, status: str | None) -> Page[RunInfo]:
        """The runs that an event has started, in one page. Raises `NotFound` if there is no such event."""
        stored_status(status)
        rows = await rows_started_by(self._store, event)
        if not rows:
            await self.check_event(event)
        routes = await self._routes()
        items: list[RunInfo] = []
        for row in rows:
            if app in (None, row.app) and workflow in (None, row.workflow) and status in (None, status_of(row)):
                items += await self._on(row, routes)
        return Page(tuple(items))

    async def children(self, row: RunRow, cursor: str | None) -> Page[RunInfo]:
        """A page of the runs that a run has invoked, by app and id."""
        routes = await self._routes()
        page = await self._store.children(row.app, row.id, cursor)
        return Page(tuple([info for child in page.items for info in await self._on(child, routes)]), page.cursor)

    async def check_event(self, event: str) -> None:
        """Raises `NotFound` if there is no event with this internal id."""
        if await self._store.event(event) is None:
            raise NotFound(f"there is no event {event!r} in this store; say the id that send gave")

    async def _on(self, row: RunRow, routes: RouteTable) -> list[RunInfo]:
        """What may be told of a run with this row; nothing if it was deleted since, or is damaged."""
        try:
            loaded = await self._store.load(row.app, row.id, max(0, row.length - 1))
        except DamagedRun as error:
            log.warning("left out of a list: %s", error)
            return []
        return [await self.info(loaded, routes)] if loaded is not None else []


def stored_status(status: str | None) -> str | None:
    """The stored status among whose runs those in this state are."""
    if status is None:
        return None
    if status not in _STORED and status not in _OPEN:
        raise InvalidInput(f"status={status!r} is none of {', '.join([*_OPEN, *_STORED])}")
    return status if status in TERMINAL or status == "parked" else "open"
