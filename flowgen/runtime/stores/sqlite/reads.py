"""The reads: each a function of a connection, answered by an index.

A read sees all that was committed before it. Those of several statements run in one read transaction,
so that they see one state of the store. None of them walks rows that it does not return, except that
a page of `waits` skips those whose `after` is not below the event's position.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

import apsw
import attrs
import msgspec

from ....errors import InvalidInput
from ....events import AcceptedEvent
from ....history import Record
from ....runs import RunRow
from ....transition import Cell, Key, Wait
from ...store import PAGE, Loaded, Page, RunFilter
from .matching import values_of
from .rows import (
    EVENT,
    NUMBERED_EVENT,
    WAIT,
    Columns,
    cell_of,
    event_of,
    inputs_of,
    key_of,
    mail_of,
    records_of,
    run_of,
    wait_of,
)
from .transaction import StoreClock

T = TypeVar("T")

_LAST: Final = 2**63 - 1
_OPEN: Final = ("open", "parked", "collecting")
STATUSES: Final = (*_OPEN, "completed", "failed", "cancelled", "skipped")


def snapshot(connection: apsw.Connection, read: Callable[[apsw.Connection], T]) -> T:
    """Do `read` in one read transaction. (An error of the disk may have ended it.)"""
    connection.execute("begin")
    try:
        return read(connection)
    finally:
        if connection.in_transaction:
            connection.execute("rollback")


def high_water(connection: apsw.Connection) -> int:
    """The highest store time that any process wrote down."""
    time: int = connection.execute("select high_water from store").get
    return time


# -- runs -------------------------------------------------------------------------------------------


def opened(
    connection: apsw.Connection, app: str, run: str, start: int, clock: StoreClock
) -> tuple[Loaded, Iterator[Record]] | None:
    """A run without its records, and an iterator over those."""
    columns = connection.execute("select * from runs where app = ? and id = ?", (app, run)).get
    if columns is None:
        return None
    key, row = columns[0], run_of(columns)
    seal, body = connection.execute("select checksum, body from inputs where run = ?", (key,)).get
    letters = connection.execute(
        "select number, checksum, body from mail where run = ? and number > ? order by number", (key, row.drained)
    )
    mail = tuple([mail_of(row.id, key, *letter) for letter in letters])
    rows = connection.execute(
        "select position, checksum, body from history where run = ? and position >= ? order by position", (key, start)
    )
    now = clock.now(high_water(connection))
    return Loaded(row, inputs_of(row.id, key, seal, body), (), mail, now), records_of(row.id, key, rows)


def load(connection: apsw.Connection, app: str, run: str, start: int, clock: StoreClock, most: int) -> Loaded | None:
    """A run with its records from `start` on, and its unread mail; without records if there are more than `most`."""
    found = opened(connection, app, run, start, clock)
    if found is None:
        return None
    loaded, records = found
    return attrs.evolve(loaded, records=tuple(records)) if loaded.row.length - start <= most else loaded


def _app_and_id(columns: Columns) -> tuple[str, str]:
    return columns[1], columns[2]


def started_by(connection: apsw.Connection, event: str, cursor: str | None) -> Page[RunRow]:
    """The runs that an event started, by app and id."""
    rows = connection.execute(
        "select r.* from started s join runs r on r.app = s.app and r.id = s.run "
        "where s.event = ? and (s.app, s.run) > (?, ?) order by s.app, s.run limit ?",
        (event, *_place(cursor, 2), PAGE + 1),
    )
    return _page(rows, PAGE, run_of, _app_and_id)


def children(connection: apsw.Connection, app: str, run: str, cursor: str | None) -> Page[RunRow]:
    """The runs that a run invoked, by app and id."""
    rows = connection.execute(
        "select * from runs where parent_app = ? and parent_run = ? and (app, id) > (?, ?) order by app, id limit ?",
        (app, run, *_place(cursor, 2), PAGE + 1),
    )
    return _page(rows, PAGE, run_of, _app_and_id)


_IN_APP: Final = (
    "select * from runs where app = ?7 and stored = ?6 and created_at <= ?1 and created_at >= ?4 "
    "and (created_at, app, id) < (?1, ?2, ?3) order by created_at desc, id desc limit ?5"
)
_IN_WORKFLOW: Final = (
    "select * from runs where app = ?7 and workflow = ?8 and stored = ?6 and created_at <= ?1 and created_at >= ?4 "
    "and (created_at, app, id) < (?1, ?2, ?3) order by created_at desc, id desc limit ?5"
)


def find_runs(connection: apsw.Connection, where: RunFilter, cursor: str | None, limit: int) -> Page[RunRow]:
    """Runs, newest first: the lists of each app and status, or of one workflow in them, merged."""
    limit = min(limit, PAGE)
    newest: tuple[int, str, str] = _decoded(cursor, tuple[int, str, str]) if cursor is not None else (_LAST, "", "")
    if where.before is not None:
        newest = min(newest, (where.before, "", ""))
    bounds = (*newest, where.after if where.after is not None else 0, limit + 1)
    statuses = STATUSES if where.status is None else _OPEN if where.status == "open" else (where.status,)
    query, name = (_IN_APP, ()) if where.workflow is None else (_IN_WORKFLOW, (where.workflow,))
    apps = apps_of(connection) if where.app is None else [where.app]
    lists = [connection.execute(query, (*bounds, status, app, *name)) for app in apps for status in statuses]
    merged = heapq.merge(*lists, key=_by_creation, reverse=True)
    return _page(merged, limit, run_of, _by_creation)


def _by_creation(columns: Columns) -> tuple[int, str, str]:
    return columns[4], columns[1], columns[2]


def apps_of(connection: apsw.Connection) -> Iterator[str]:
    """The apps that have runs: one step down the index each."""
    app = connection.execute(_NEXT_APP, ("",)).get
    while app is not None:
        yield app
        app = connection.execute(_NEXT_APP, (app,)).get


_NEXT_APP: Final = "select app from runs where app > ? order by app limit 1"


# -- events and waits -------------------------------------------------------------------------------


def event(connection: apsw.Connection, id: str) -> AcceptedEvent | None:
    """One event by its internal id."""
    columns = connection.execute(EVENT + "where id = ?", (id,)).get
    return None if columns is None else event_of(columns)


def events(
    connection: apsw.Connection,
    name: str,
    since: int,
    path: str | None,
    value: str | None,
    until: int | None,
    limit: int,
) -> tuple[AcceptedEvent, ...]:
    """The events called `name` between two positions, with `path` those that have `value` there."""
    limit = min(limit, PAGE)
    end = until if until is not None else _LAST
    if path is None:
        rows = connection.execute(
            EVENT + "where name = ? and position > ? and position < ? order by position limit ?",
            (name, since, end, limit),
        )
        return tuple([event_of(columns) for columns in rows])
    covered = connection.execute("select since from match_paths where event = ? and path = ?", (name, path)).get
    start = end - 1 if covered is None else covered
    found = list(_searched(connection, name, since, min(start + 1, end), path, value, limit))
    rows = connection.execute(
        _BY_VALUE,
        (name, path, value, max(since, start), end, limit - len(found)),
    )
    return (*found, *(event_of(columns) for columns in rows))


_BY_VALUE: Final = (
    EVENT + "where position in (select position from event_values where event = ? and path = ? and value = ? "  # noqa: S608
    "and position > ? and position < ? order by position limit ?) order by position"
)


def _searched(
    connection: apsw.Connection, name: str, since: int, end: int, path: str, value: str | None, limit: int
) -> Iterator[AcceptedEvent]:
    """The same without the help of `event_values`, for positions that it does not cover."""
    if since + 1 >= end or limit <= 0:
        return
    for columns in connection.execute(
        EVENT + "where name = ? and position > ? and position < ? order by position", (name, since, end)
    ):
        candidate = event_of(columns)
        if dict(values_of(candidate, [path]))[path] == value:
            yield candidate
            limit -= 1
            if limit == 0:
                return


def last_position(connection: apsw.Connection, before: int | None) -> int:
    """The highest position given; with `before`, that of the newest event accepted earlier."""
    if before is None:
        newest = connection.execute("select last_position from store").get
    else:
        newest = connection.execute(
            "select position from events where position is not null and accepted_at < ? order by position desc limit 1",
            (before,),
        ).get
    return newest or 0


def promotes(connection: apsw.Connection, now: int) -> bool:
    """Whether the time of an event from the future has come."""
    due = connection.execute("select 1 from events where position is null and ts <= ? limit 1", (now,)).get
    return due is not None


def unrouted(connection: apsw.Connection, limit: int) -> tuple[AcceptedEvent, ...]:
    """Events that are not routed, oldest first."""
    rows = connection.execute(
        EVENT + "where routed = 0 and position is not null order by position limit ?", (min(limit, PAGE),)
    )
    return tuple([event_of(columns) for columns in rows])


_NUMBERED: Final = NUMBERED_EVENT + "where number < ? order by number desc limit ?"
_NUMBERED_NAMED: Final = NUMBERED_EVENT + "where number < ? and name = ? order by number desc limit ?"


def find_events(connection: apsw.Connection, name: str | None, cursor: str | None, limit: int) -> Page[AcceptedEvent]:
    """Events in the order in which they were accepted, newest first."""
    limit = min(limit, PAGE)
    below = _decoded(cursor, int) if cursor is not None else _LAST
    if name is None:
        rows = connection.execute(_NUMBERED, (below, limit + 1))
    else:
        rows = connection.execute(_NUMBERED_NAMED, (below, name, limit + 1))
    return _page(rows, limit, lambda columns: event_of(columns[:-1]), lambda columns: columns[-1])


def waits(connection: apsw.Connection, event: AcceptedEvent, cursor: str | None) -> Page[Wait]:
    """The open waits that an event may match, by app, run and id.

    A look-up for each path that waits on its name ever had, and one for the waits without a path.
    """
    place = _place(cursor, 3)
    rest = (*place, event.position if event.position is not None else _LAST, PAGE + 1)
    paths = [path for (path,) in connection.execute("select path from match_paths where event = ?", (event.name,))]
    lists = [connection.execute(_WITHOUT_PATH, (event.name, *rest))]
    lists += [connection.execute(_AT_PATH, (event.name, path, value, *rest)) for path, value in values_of(event, paths)]
    merged = heapq.merge(*lists, key=_by_run)
    return _page(merged, PAGE, wait_of, _by_run)


_WITHOUT_PATH: Final = (
    WAIT + "where event = ? and path is null and value is null and (app, run, id) > (?, ?, ?) and after < ? "
    "order by app, run, id limit ?"
)
_AT_PATH: Final = (
    WAIT + "where event = ? and path = ? and value = ? and (app, run, id) > (?, ?, ?) and after < ? "
    "order by app, run, id limit ?"
)


def awaited(connection: apsw.Connection, names: Iterable[str]) -> frozenset[str]:
    """Those event names on which there is a wait."""
    return frozenset(
        [name for name in names if connection.execute("select 1 from waits where event = ? limit 1", (name,)).get]
    )


_OF_RUN: Final = WAIT + "where key = (select key from runs where app = ? and id = ?) order by id"  # noqa: S608


def _by_run(columns: Columns) -> tuple[str, str, str]:
    return columns[1], columns[2], columns[0]


def open_waits(connection: apsw.Connection, app: str, run: str) -> tuple[Wait, ...]:
    """The open waits of a run, by id."""
    rows = connection.execute(_OF_RUN, (app, run))
    return tuple([wait_of(columns) for columns in rows])


# -- keys, cells, registrations -----------------------------------------------------------------------


def find_keys(connection: apsw.Connection, app: str, names: Sequence[str]) -> dict[str, Key]:
    """Who holds these keys."""
    found = {}
    for name in names:
        columns = connection.execute(
            "select name, holder, detail, expires_at, version from keys where app = ? and name = ?", (app, name)
        ).get
        if columns is not None:
            found[name] = key_of(columns)
    return found


def cells(connection: apsw.Connection, app: str, names: Sequence[str], clock: StoreClock) -> dict[str, Cell]:
    """These cells, less those that have expired."""
    now = clock.now(high_water(connection))
    found = {}
    for name in names:
        columns = connection.execute(
            "select app, name, version, value, expires_at from cells where app = ? and name = ? "
            "and (expires_at is null or expires_at > ?)",
            (app, name, now),
        ).get
        if columns is not None:
            found[name] = cell_of(columns)
    return found


# -- pages --------------------------------------------------------------------------------------------


def _page(
    rows: Iterable[Columns], limit: int, item: Callable[[Columns], T], place: Callable[[Columns], Any]
) -> Page[T]:
    """A page of at most `limit` of the rows; one row more tells that there is a next page."""
    found = list(islice(rows, limit + 1))
    shown = found[:limit]
    cursor = msgspec.json.encode(place(shown[-1])).decode() if len(found) > limit and shown else None
    return Page(tuple([item(columns) for columns in shown]), cursor)


_TEXTS: Final[dict[int, Any]] = {2: tuple[str, str], 3: tuple[str, str, str]}


def _place(cursor: str | None, length: int) -> tuple[str, ...]:
    """The place after which a page begins, in a list ordered by texts."""
    if cursor is None:
        return ("",) * length
    place: tuple[str, ...] = _decoded(cursor, _TEXTS[length])
    return place


def _decoded(cursor: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(cursor, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{cursor!r} is no cursor of this list; start without one") from error
