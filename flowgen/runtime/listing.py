"""Looking at runs: one, a page of those that a filter selects, or those that an event has started.

The store lists rows by what it stores; the finer states that users see are sorted out here.

A page is bounded by bytes as well (`PAGE_BYTES`): events and results may have megabytes each, and who lists runs, here
or over HTTP, has all of a page in memory at once. One that is full ends early, with a cursor; a run that has more by
itself is a page by itself, so whoever goes on gets everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs
import msgspec

from ..duration import instant
from ..errors import InvalidInput, NotFound
from ..events import AcceptedEvent
from ..routing import RouteTable
from ..runs import TERMINAL, RunRow, status_of
from .info import RunInfo, run_info, told_bytes
from .lookup import rows_started_by
from .paging import Page, Pages
from .results import end_of
from .search import LOOKED_AT, Sieve
from .store import TAIL, DamagedRun, Loaded, RunFilter, Store

log = logging.getLogger("flowgen")

LONGEST_PAGE = 500
PAGE_BYTES: Final = 4 * 1024 * 1024
"""So many bytes of what users sent and workflows returned a page has at most, unless one item has more."""

PASSED = 10_000
"""Listing runs in a state that the store does not know (`running`, `waiting`), a page passes so many others at most."""

_EVENTS_AT_ONCE: Final = 16
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
        return (await self._measured(loaded, routes or await self._routes()))[0]

    async def page(self, wanted: Wanted, limit: int, cursor: str | None) -> Page[RunInfo]:
        """A page of runs, newest first.

        It may come short, with a cursor: when it has `PAGE_BYTES`, once `PASSED` runs in other states were passed or,
        with a sieve, `LOOKED_AT` runs were looked at.
        """
        if not 1 <= limit <= LONGEST_PAGE:
            raise InvalidInput(f"limit={limit}: a page has 1 to {LONGEST_PAGE} runs")
        where = wanted.filter()
        routes = await self._routes()
        items: list[RunInfo] = []
        size = passed = looked_at = 0
        step, full = limit, False
        while True:
            page = await self._store.find_runs(where, cursor, step)
            part = await self._part(page.items, wanted, routes, size)
            if not part.rows and page.items:
                return Page(tuple(items), cursor)
            if part.rows < len(
                page.items
            ):  # only the store knows the cursor behind the last that fits: ask for so many
                step, full = part.rows, True
                continue
            items += part.items
            size, passed, looked_at = part.size, passed + part.passed, looked_at + part.looked_at
            cursor = page.cursor
            spent = passed >= PASSED or (wanted.sieve is not None and looked_at >= LOOKED_AT)
            if cursor is None or len(items) >= limit or spent or full:
                return Page(tuple(items), cursor)
            step = limit - len(items)

    async def _part(self, rows: Sequence[RunRow], wanted: Wanted, routes: RouteTable, size: int) -> _Part:
        """The first of these rows, as many as fit into a page that has `size` bytes already."""
        part = _Part(size)
        for row in rows:
            if wanted.status is None or status_of(row) == wanted.status:
                for info, bytes in await self._on(row, routes):
                    if wanted.lets_through(info):
                        if not part.has_room(bytes):
                            return part
                        part.add(info, bytes)
                part.looked_at += 1
            else:
                part.passed += 1
            part.rows += 1
        return part

    async def named(self, id: str, wanted: Wanted) -> tuple[RunInfo, ...]:
        """The runs that have just this id, or that the event with this id has started; none if they are too large to be
        in one page, or these are more words than one."""
        if len(id.split()) != 1:
            return ()
        id = id.strip()
        routes = await self._routes()
        found = [await self._store.load(app, id, TAIL) for app in sorted({route.app for route in routes})]
        rows = [loaded.row for loaded in found if loaded is not None] or await rows_started_by(self._store, id)
        part = await self._part(rows, Wanted(), routes, 0)
        return tuple([info for info in part.items if wanted.means(info)]) if part.rows == len(rows) else ()

    async def started_by(self, event: str, wanted: Wanted, cursor: str | None) -> Page[RunInfo]:
        """A page of the runs that an event has started, by app and id. Raises `NotFound` if there is no such event."""
        app, workflow, status = wanted.app, wanted.workflow, wanted.status
        if wanted != Wanted(app, workflow, status):
            raise InvalidInput("the runs of an event are all there are: ask for them without a search or a time")
        stored_status(status)
        place = _Place.read(cursor)
        rows = await rows_started_by(self._store, event)
        if not rows:
            await self.check_event(event)
        named = [row for row in rows if app in (None, row.app) and workflow in (None, row.workflow)]
        return await self._from(place, [row for row in named if status in (None, status_of(row))], None)

    async def children(self, row: RunRow, cursor: str | None) -> Page[RunInfo]:
        """A page of the runs that a run has invoked, by app and id."""
        place = _Place.read(cursor)
        page = await self._store.children(row.app, row.id, place.cursor)
        return await self._from(place, page.items, page.cursor)

    async def _from(self, place: _Place, rows: Sequence[RunRow], cursor: str | None) -> Page[RunInfo]:
        """The page that begins at a place in the rows of a page of the store, whose next one begins at `cursor`."""
        rest = [row for row in rows if (row.app, row.id) > (place.app, place.run)]
        part = await self._part(rest, Wanted(), await self._routes(), 0)
        if part.rows < len(rest):
            last = rest[part.rows - 1]
            return Page(tuple(part.items), attrs.evolve(place, app=last.app, run=last.id).written())
        return Page(tuple(part.items), None if cursor is None else _Place(cursor).written())

    async def events(self, name: str | None, limit: int, cursor: str | None) -> Page[AcceptedEvent]:
        """A page of accepted events, newest first; they are asked for a few at a time, and a page ends with those with
        which it has `PAGE_BYTES`."""
        if not 1 <= limit <= LONGEST_PAGE:
            raise InvalidInput(f"limit={limit}: a page has 1 to {LONGEST_PAGE} events")
        items: list[AcceptedEvent] = []
        size = 0
        find = self._store.find_events
        pages = Pages(lambda cursor: find(name, cursor, min(_EVENTS_AT_ONCE, limit - len(items))), cursor)
        async for page in pages:
            items += page.items
            size += sum([len(event.data) for event in page.items])
            if len(items) >= limit or size >= PAGE_BYTES:
                break
        return Page(tuple(items), pages.cursor)

    async def check_event(self, event: str) -> None:
        """Raises `NotFound` if there is no event with this internal id."""
        if await self._store.event(event) is None:
            raise NotFound(f"there is no event {event!r} in this store; say the id that send gave")

    async def _on(self, row: RunRow, routes: RouteTable) -> list[tuple[RunInfo, int]]:
        """What may be told of a run with this row, and its size; nothing if it was deleted since, or is damaged."""
        try:
            loaded = await self._store.load(row.app, row.id, max(0, row.length - 1))
        except DamagedRun as error:
            log.warning("left out of a list: %s", error)
            return []
        return [await self._measured(loaded, routes)] if loaded is not None else []

    async def _measured(self, loaded: Loaded, routes: RouteTable) -> tuple[RunInfo, int]:
        row = loaded.row
        end = await end_of(self._store, loaded)
        info = run_info(row, loaded.events, loaded.mail, end, paused=routes.is_paused(row.app, row.workflow))
        return info, told_bytes(loaded.events, loaded.mail, end)


@attrs.define
class _Part:
    """What of some rows has gone into a page, which has `size` bytes with it: `rows` of them were gone through."""

    size: int
    rows: int = 0
    passed: int = 0
    looked_at: int = 0
    items: list[RunInfo] = attrs.field(factory=list)

    def has_room(self, bytes: int) -> bool:
        """Whether so much more fits; into an empty page anything does."""
        return self.size == 0 or self.size + bytes <= PAGE_BYTES

    def add(self, info: RunInfo, bytes: int) -> None:
        self.items.append(info)
        self.size += bytes


@attrs.frozen
class _Place:
    """Where a page begins: behind a run, in the page of a store's list (by app and id) that begins at `cursor`."""

    cursor: str | None = None
    app: str = ""
    run: str = ""

    @classmethod
    def read(cls, text: str | None) -> _Place:
        """The place that a cursor means; without one, the beginning. Raises `InvalidInput`."""
        if text is None:
            return cls()
        try:
            return cls(*msgspec.json.decode(text, type=tuple[str | None, str, str]))
        except (msgspec.MsgspecError, UnicodeError):
            raise InvalidInput(f"{text!r:.100} is no cursor of this list; start without one") from None

    def written(self) -> str:
        return msgspec.json.encode((self.cursor, self.app, self.run)).decode()


def stored_status(status: str | None) -> str | None:
    """The stored status among whose runs those in this state are."""
    if status is None:
        return None
    if status not in _STORED and status not in _OPEN:
        raise InvalidInput(f"status={status!r} is none of {', '.join([*_OPEN, *_STORED])}")
    return status if status in TERMINAL or status == "parked" else "open"
