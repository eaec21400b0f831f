"""Looking at runs: one, a page of those that a filter selects, or those that an event has started.

The store lists rows by what it stores; the finer states that users see are sorted out here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..errors import InvalidInput, NotFound
from ..routing import RouteTable
from ..runs import TERMINAL, RunRow, status_of
from .info import Page, RunInfo, run_info
from .lookup import rows_started_by
from .results import end_of
from .store import Loaded, RunFilter, Store

_OPEN = ("scheduled", "running", "waiting", "cancelling", "blocked", "collecting")
_STORED = ("parked", "completed", "failed", "cancelled", "skipped")


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

    async def page(
        self, app: str | None, workflow: str | None, status: str | None, limit: int, cursor: str | None
    ) -> Page[RunInfo]:
        """A page of runs, newest first."""
        if not 1 <= limit <= 500:
            raise InvalidInput(f"limit={limit}: a page has 1 to 500 runs")
        where = RunFilter(app, workflow, stored_status(status))
        routes = await self._routes()
        items: list[RunInfo] = []
        while True:
            page = await self._store.find_runs(where, cursor, limit - len(items))
            for row in page.items:
                if status is None or status_of(row) == status:
                    items += await self._on(row, routes)
            cursor = page.cursor
            if cursor is None or len(items) >= limit:
                return Page(tuple(items), cursor)

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

    async def check_event(self, event: str) -> None:
        """Raises `NotFound` if there is no event with this internal id."""
        if await self._store.event(event) is None:
            raise NotFound(f"there is no event {event!r} in this store; say the id that send gave")

    async def _on(self, row: RunRow, routes: RouteTable) -> list[RunInfo]:
        """What may be told of a run with this row; nothing if it was deleted since."""
        loaded = await self._store.load(row.app, row.id, max(0, row.length - 1))
        return [await self.info(loaded, routes)] if loaded is not None else []


def stored_status(status: str | None) -> str | None:
    """The stored status among whose runs those in this state are."""
    if status is None:
        return None
    if status not in _STORED and status not in _OPEN:
        raise InvalidInput(f"status={status!r} is none of {', '.join([*_OPEN, *_STORED])}")
    return status if status in TERMINAL or status == "parked" else "open"
