"""Which events meet which waits: open waits by (event, path, value), and look-back by the same.

What an event has at a path is kept in `event_values`, but only for paths that a wait on that event
name ever had (`match_paths`). The commit that opens the first wait on a new path fills in the values
of the events after the wait's `after`; a later wait that looks further back extends them. Reads below
that mark look at the events themselves, so the index is a help and never a condition.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ....events import AcceptedEvent, event_document
from ....expression import match_key_at
from ....transition import Wait
from .rows import EVENT, event_of, inputs_of
from .transaction import Transaction


def values_of(event: AcceptedEvent, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """The match keys that an event has at some paths; the event is decoded once, if there are any."""
    document = None
    for path in paths:
        if document is None:
            document = event_document(event)
        yield path, match_key_at(document, path)


def is_awaited(tx: Transaction, name: str) -> bool:
    """Whether there may be open waits for events called so."""
    awaited = tx.awaited.get(name)
    if awaited is None:
        awaited = tx.awaited[name] = tx.one("select 1 from waits where event = ? limit 1", (name,)) is not None
    return awaited


def open_wait(tx: Transaction, wait: Wait) -> None:
    """Open a wait, if its run is there and open."""
    after = wait.after if wait.after is not None else _last_position_of(tx, wait.app, wait.run)
    tx.awaited[wait.event] = True
    if wait.path is not None:
        _cover(tx, wait.event, wait.path, after)
    tx.execute(
        "replace into waits select key, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12 from runs "
        "where app = ?1 and id = ?2 and ended_at is null",
        (
            *(wait.app, wait.run, wait.id, wait.step, wait.event, after, wait.expires_at),
            *(wait.path, wait.value, wait.where, wait.scope, wait.looked_to),
        ),
    )


def _last_position_of(tx: Transaction, app: str, run: str) -> int:
    """The position of the last event that a run handles, 0 if there is none."""
    columns = tx.one(
        "select run, checksum, body from inputs where run = (select key from runs where app = ? and id = ?)", (app, run)
    )
    events = inputs_of(run, *columns) if columns is not None else ()
    return (events[-1].position or 0) if events else 0


def close_wait(tx: Transaction, run: int, wait: str) -> None:
    """Close a wait of the run with this key."""
    tx.execute("delete from waits where id = ? and key = ?", (wait, run))


def looked_back(tx: Transaction, run: int, wait: str, looked_to: int) -> None:
    """Note how far a wait of the run with this key has looked back."""
    tx.execute("update waits set looked_to = ? where id = ? and key = ?", (looked_to, wait, run))


def add_values(tx: Transaction, event: AcceptedEvent, position: int) -> None:
    """Keep what a new event has at the paths that waits on its name have."""
    paths = tx.paths.get(event.name)
    if paths is None:
        found = tx.execute("select path from match_paths where event = ?", (event.name,))
        paths = tx.paths[event.name] = tuple([path for (path,) in found])
    for path, value in values_of(event, paths):
        _add(tx, event.name, path, value, position)


def remove_values(tx: Transaction, event: AcceptedEvent) -> None:
    """Forget the values of an event that is deleted."""
    paths = [path for (path,) in tx.execute("select path from match_paths where event = ?", (event.name,))]
    for path, value in values_of(event, paths):
        tx.execute(
            "delete from event_values where event = ? and path = ? and value = ? and position = ?",
            (event.name, path, value, event.position),
        )


def _cover(tx: Transaction, name: str, path: str, after: int) -> None:
    """Make `event_values` complete for the events called `name` above position `after`."""
    covered: int | None = tx.one("select since from match_paths where event = ? and path = ?", (name, path))
    until = tx.position if covered is None else covered
    if covered is not None and covered <= after:
        return
    rows = tx.execute(EVENT + "where name = ? and position > ? and position <= ?", (name, after, until)).fetchall()
    for event in map(event_of, rows):
        assert event.position is not None
        for _, value in values_of(event, [path]):
            _add(tx, name, path, value, event.position)
    tx.execute("replace into match_paths values (?, ?, ?)", (name, path, min(after, until)))
    tx.paths.pop(name, None)


def _add(tx: Transaction, name: str, path: str, value: str, position: int) -> None:
    tx.execute("insert or ignore into event_values values (?, ?, ?, ?)", (name, path, value, position))
