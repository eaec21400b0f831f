"""Reading pages, and retention."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from heapq import nsmallest
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import msgspec

from ....errors import InvalidInput
from ....events import AcceptedEvent
from ....runs import EventCollected, Mail, RunRow
from ....transition import Cell, Key, Wait
from ...store import PAGE, Loaded, Page, RunFilter
from .indexes import RunKey
from .state import Run, State

T = TypeVar("T")


def load(state: State, app: str, id: str, start: int) -> Loaded | None:
    """A run with its records from `start` on, and its unread mail."""
    run = state.run(app, id)
    if run is None:
        return None
    mail = tuple([Mail(number, message) for number, message in sorted(run.mail.items(), key=itemgetter(0))])
    return Loaded(copy(run.row), run.events, tuple(run.records[start:]), mail, state.now())


def waits(state: State, event: AcceptedEvent, cursor: str | None) -> Page[Wait]:
    """The open waits that an event may match, by app, run and id."""
    return _page(state.waits.matching(event), lambda wait: (wait.app, wait.run, wait.id), cursor)


def open_waits(state: State, app: str, id: str) -> tuple[Wait, ...]:
    """The open waits of a run, by id."""
    run = state.run(app, id)
    return tuple([run.waits[wait] for wait in sorted(run.waits)]) if run is not None else ()


def find_keys(state: State, app: str, names: Iterable[str]) -> dict[str, Key]:
    """Those of the keys that somebody holds."""
    held = {name: state.keys.get((app, name)) for name in names}
    return {name: key for name, key in held.items() if key is not None}


def cells(state: State, app: str, names: Iterable[str]) -> dict[str, Cell]:
    """Those of the cells that are there."""
    now = state.now()
    written = {name: state.cell(app, name, now) for name in names}
    return {name: cell for name, cell in written.items() if cell is not None}


def started_by(state: State, event: str, cursor: str | None) -> Page[RunRow]:
    """The runs that an event started."""
    return _rows(state, state.started.get(event, ()), cursor)


def children(state: State, app: str, run: str, cursor: str | None) -> Page[RunRow]:
    """The runs that a run invoked."""
    return _rows(state, state.children.get((app, run), []), cursor)


def _rows(state: State, keys: Iterable[RunKey], cursor: str | None) -> Page[RunRow]:
    page = _page(keys, lambda key: key, cursor)
    return Page(tuple([copy(state.runs[key].row) for key in page.items]), page.cursor)


def _page(items: Iterable[T], key: Callable[[T], tuple[str, ...]], cursor: str | None) -> Page[T]:
    after = _decoded(cursor, tuple[str, ...]) if cursor is not None else None
    rest = items if after is None else (item for item in items if key(item) > after)
    found = nsmallest(PAGE + 1, rest, key=key)
    more = len(found) > PAGE
    return Page(tuple(found[:PAGE]), _encoded(key(found[PAGE - 1])) if more else None)


def find_runs(state: State, where: RunFilter, cursor: str | None, limit: int) -> Page[RunRow]:
    """Runs, the newest first."""
    below = _decoded(cursor, tuple[int, RunKey]) if cursor is not None else None
    rows = (state.runs[key].row for key in _newest_first(state, below) if _selects(where, state.runs[key]))
    return _newest(rows, limit, lambda row: (row.created_at, (row.app, row.id)), copy)


def _newest_first(state: State, below: tuple[int, RunKey] | None) -> Iterator[RunKey]:
    end = len(state.by_creation) if below is None else bisect_left(state.by_creation, below)
    return (state.by_creation[number][1] for number in range(end - 1, -1, -1))


def _selects(where: RunFilter, run: Run) -> bool:
    row = run.row
    return (
        where.app in (None, row.app)
        and where.workflow in (None, row.workflow)
        and _has_status(row, where.status)
        and (where.before is None or row.created_at < where.before)
        and (where.after is None or row.created_at >= where.after)
    )


def _has_status(row: RunRow, status: str | None) -> bool:
    """Whether a run is meant by a status. Schedules are meant by their own alone."""
    if status is None or status == "open":
        return row.stored != "schedule" and (status is None or row.open)
    return row.stored == status


def find_events(state: State, name: str | None, cursor: str | None, limit: int) -> Page[AcceptedEvent]:
    """Accepted events, the newest first."""
    below = _decoded(cursor, int) if cursor is not None else None
    events = (found for found in state.events.newest_first(below) if name in (None, found[1].name))
    page = _newest(events, limit, itemgetter(0), lambda found: found)
    return Page(tuple([event for _, event in page.items]), page.cursor)


def _newest(items: Iterator[T], limit: int, key: Callable[[T], Any], out: Callable[[T], T]) -> Page[T]:
    limit = min(limit, PAGE)
    found = list(islice(items, limit + 1))
    more = len(found) > limit
    return Page(tuple([out(item) for item in found[:limit]]), _encoded(key(found[limit - 1])) if more else None)


def _encoded(key: Any) -> str:
    return msgspec.json.encode(key).decode()


def _decoded(cursor: str, kind: Any) -> Any:
    try:
        return msgspec.json.decode(cursor, type=kind)
    except msgspec.MsgspecError as error:
        raise InvalidInput(f"{cursor!r} is no cursor of this list; start without one") from error


# -- retention --------------------------------------------------------------------------------------


def delete(state: State, before: int, limit: int) -> int:
    """Delete what is older than `before` and in nobody's way; returns how many runs and events went."""
    ended = [run for run in state.runs.values() if run.row.ended_at is not None and run.row.ended_at < before]
    ended = nsmallest(limit, ended, key=lambda run: (run.row.ended_at, run.key))
    for run in ended:
        _delete_run(state, run)
    horizon = min((e.position or 0 for run in state.runs.values() if run.row.open for e in _handled(run)), default=None)
    old = (e for _, e in state.events.newest_first() if e.accepted_at < before and _in_nobodys_way(state, e, horizon))
    past = nsmallest(limit - len(ended), old, key=lambda event: event.position or 0)
    for event in past:
        state.events.delete(event.id)
    _drop_expired(state, before)
    return len(ended) + len(past)


def _handled(run: Run) -> Iterator[AcceptedEvent]:
    """The events of a run; while it collects they are in its mailbox."""
    yield from run.events
    for message in run.mail.values():
        if isinstance(message.body, EventCollected):
            yield message.body.event


def _in_nobodys_way(state: State, event: AcceptedEvent, horizon: int | None) -> bool:
    if event.position is None or event.id in state.events.unrouted:
        return False
    return horizon is None or event.position < horizon


def _delete_run(state: State, run: Run) -> None:
    row = run.row
    del state.runs[run.key]
    del state.by_creation[bisect_left(state.by_creation, (row.created_at, run.key))]
    for event in run.linked:
        del state.started[event][run.key]
        if not state.started[event]:
            del state.started[event]
    if row.parent is not None:
        siblings = state.children[row.parent.app, row.parent.run]
        siblings.remove(run.key)
        if not siblings:
            del state.children[row.parent.app, row.parent.run]


def _drop_expired(state: State, before: int) -> None:
    holders = {run.row.id for run in state.runs.values() if run.row.open}
    for name, key in list(state.keys.items()):
        held = key.holder in holders or state.events.get(key.holder) is not None
        if not held and key.expires_at is not None and key.expires_at < before:
            del state.keys[name]
    for name, cell in list(state.cells.items()):
        if cell.expires_at is not None and cell.expires_at < before:
            del state.cells[name]
