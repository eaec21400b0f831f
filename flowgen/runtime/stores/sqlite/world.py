"""What a transition changes besides its own run: events, new runs, mailboxes, keys and cells.

Its checks only read; they are all done before the first write.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import attrs

from ....codec import checksum, encode_events, encode_message
from ....events import AcceptedEvent
from ....runs import TERMINAL, EventCollected, Message, RunRow
from ....transition import Cell, DropKey, Opening, TakeKey, Transition
from ...store import Conflict, Duplicate, RunEnded
from .matching import add_values, is_awaited
from .rows import callers_to_column, texts_to_column
from .transaction import Transaction


def applied(tx: Transaction, transition: Transition) -> bool:
    """Whether a transition without a progress was applied before, as its first event or run tells."""
    if transition.accept:
        return _known_event(tx, transition.accept[0].id)
    if transition.create:
        row = transition.create[0].row
        by = tx.one(
            "select transition from inputs where run = (select key from runs where app = ? and id = ?)",
            (row.app, row.id),
        )
        return bool(by == transition.id)
    return False


def positions(tx: Transaction, events: Iterable[AcceptedEvent]) -> tuple[int, ...]:
    """The positions of accepted events; 0 for one from the future."""
    return tuple([_position(tx, event.id) or 0 for event in events])


def _position(tx: Transaction, id: str) -> int | None:
    """The position of an event, None if it has none, or is none that was accepted."""
    if id in tx.placed:
        return tx.placed[id]
    position: int | None = tx.one("select position from events where id = ?", (id,))
    return position


# -- checks -----------------------------------------------------------------------------------------


def check(tx: Transaction, transition: Transition, repeated: bool = False) -> None:
    """Refuse what cannot be applied. `repeated`: its keys and cells were written before."""
    if not repeated:
        if transition.take or transition.drop or transition.cells:
            _check_versions(tx, transition)
        if transition.take:
            _check_keys_free(tx, transition.take)
        if transition.create or transition.accept:
            _check_new(tx, transition)
    for message in transition.messages:
        if message.must_be_open:
            stored = tx.one("select stored from runs where app = ? and id = ?", (message.app, message.run))
            if stored is None or stored in TERMINAL:
                raise RunEnded(message.run, stored)


def _check_versions(tx: Transaction, transition: Transition) -> None:
    for take in transition.take:
        _, version = _held(tx, take)
        if take.version and version != take.version:
            raise _moved("key", take)
    for drop in transition.drop:
        if drop.version is not None and _held(tx, drop)[1] != drop.version:
            raise _moved("key", drop)
    written = set()
    for cell in transition.cells:
        version = tx.one(
            "select version from cells where app = ? and name = ? and (expires_at is null or expires_at > ?)",
            (cell.app, cell.name, tx.now),
        )
        if cell.version != (version or 0) or (cell.app, cell.name) in written:
            raise _moved("cell", cell)
        written.add((cell.app, cell.name))


def _moved(kind: str, seen: TakeKey | DropKey | Cell) -> Conflict:
    return Conflict("version", f"{kind} {seen.name!r} has moved on from version {seen.version}")


def _held(tx: Transaction, key: TakeKey | DropKey) -> tuple[str | None, int]:
    columns = tx.one("select holder, version from keys where app = ? and name = ?", (key.app, key.name))
    return columns if columns is not None else (None, 0)


def _check_keys_free(tx: Transaction, takes: Iterable[TakeKey]) -> None:
    taken: dict[tuple[str, str], str] = {}
    for take in takes:
        holder, _ = _held(tx, take)
        if not take.version and holder is not None:
            raise Duplicate(take.name, holder)
        if (take.app, take.name) in taken:
            raise Duplicate(take.name, taken[take.app, take.name])
        taken[take.app, take.name] = take.holder


def _check_new(tx: Transaction, transition: Transition) -> None:
    runs = [(new.row.app, new.row.id) for new in transition.create]
    known = _known_runs(tx, [id for _, id in runs])
    for run in runs:
        if run in known:
            raise Duplicate(run[1], run[1])
        known.add(run)
    events = [event.id for event in transition.accept]
    found = _known_events(tx, events)
    for id in events:
        if id in found:
            raise Duplicate(id, id)
        found.add(id)


def _known_runs(tx: Transaction, ids: list[str]) -> set[tuple[str, str]]:
    """The (app, id) pairs of the runs that have one of these ids."""
    if not ids:
        return set()
    columns: Any
    if len(ids) == 1:
        columns = tx.execute("select app, id from runs where id = ?", (ids[0],))
    else:
        listed = (texts_to_column(ids),)
        columns = tx.execute("select app, id from runs where id in (select value from json_each(?))", listed)
    return set(columns)


def _known_events(tx: Transaction, ids: list[str]) -> set[str]:
    """Those of these ids that an event has."""
    if not ids:
        return set()
    columns: Any = tx.execute(
        "select id from events where id in (select value from json_each(?))", (texts_to_column(ids),)
    )
    return {id for (id,) in columns}


def _known_event(tx: Transaction, id: str) -> bool:
    return tx.one("select number from events where id = ?", (id,)) is not None


# -- writes -----------------------------------------------------------------------------------------


_INSERT_EVENT: Final = (
    "insert into events (id, position, name, ts, accepted_at, user_key, digest, deferred, routed, checksum, data) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def accept(tx: Transaction, transition: Transition) -> None:
    """Keep events, each at the next position; one from the future without a position."""
    rows = []
    for event in transition.accept:
        position = None
        if event.ts <= event.accepted_at:
            tx.position += 1
            position = tx.position
        tx.placed[event.id] = position
        routed = transition.routes and position is not None and not event.deferred and not _heard(tx, event, transition)
        rows.append(
            (
                *(event.id, position, event.name, event.ts, event.accepted_at, event.key, event.digest),
                *(event.deferred, routed, checksum(event.id, 0, event.data), event.data),
            )
        )
        if position is not None:
            add_values(tx, event, position)
        tx.wakes = tx.wakes or not routed
    if rows:
        tx.execute_many(_INSERT_EVENT, rows)


def _heard(tx: Transaction, event: AcceptedEvent, transition: Transition) -> bool:
    """Whether anybody waits for events called so, or will with this very transition."""
    return is_awaited(tx, event.name) or any(wait.event == event.name for wait in transition.open_waits)


def mark_routed(tx: Transaction, events: Iterable[str]) -> None:
    """Mark events as routed."""
    for event in events:
        tx.execute("update events set routed = 1 where id = ? and position is not null", (event,))


def open_collecting(tx: Transaction, key: int, app: str, run: str, opening: Opening) -> None:
    """Give a run that was collecting its events, and its promises to others."""
    events = tuple([placed(tx, event) for event in opening.events])
    body = encode_events(events)
    tx.execute("update inputs set checksum = ?, body = ? where run = ?", (checksum(key, 0, body), body, key))
    looks_from = min((event.position or 0 for event in events), default=None)
    tx.execute("update runs set looks_from = ? where key = ?", (looks_from, key))
    promise(tx, key, opening)
    _link(tx, app, run, events)


def collect(tx: Transaction, key: int, message: Message, body: EventCollected) -> Message:
    """Link a run to an event that it collects, which retention then leaves alone; the message as it is kept."""
    event = placed(tx, body.event)
    _link(tx, message.app, message.run, (event,))
    tx.execute("insert or ignore into collected values (?, ?)", (key, event.id))
    tx.execute(
        "update runs set looks_from = min(coalesce(looks_from, ?2), ?2) where key = ?1", (key, event.position or 0)
    )
    return attrs.evolve(message, body=attrs.evolve(body, event=event))


def promise(tx: Transaction, key: int, row: RunRow | Opening) -> None:
    """Write down the keys that a run lets go of when it ends, and who waits for that."""
    tx.execute(
        "update runs set holds = ?, callers = ? where key = ?",
        (texts_to_column(row.holds), callers_to_column(row.callers), key),
    )


def _link(tx: Transaction, app: str, run: str, events: Iterable[AcceptedEvent]) -> None:
    """These events started the run."""
    for event in events:
        tx.execute("insert or ignore into started values (?, ?, ?)", (event.id, app, run))


def placed(tx: Transaction, event: AcceptedEvent) -> AcceptedEvent:
    """The event with a position: its own, that of its acceptance, or the last one given so far."""
    if event.position is not None:
        return event
    return event.placed(_position(tx, event.id) or tx.position)


def keep_message(tx: Transaction, key: int, number: int, message: Message) -> None:
    """Put a message into the mailbox of the run with this key."""
    body = encode_message(message)
    tx.execute("insert into mail values (?, ?, ?, ?, ?)", (key, number, message.id, checksum(key, number, body), body))


def write_keys(tx: Transaction, transition: Transition) -> None:
    """Take and drop keys, write cells."""
    for take in transition.take:
        tx.execute(
            "replace into keys values (?, ?, ?, ?, ?, ?)",
            (take.app, take.name, take.holder, take.detail, take.expires_at, _next_version(tx, take.version)),
        )
    for drop in transition.drop:
        tx.execute("delete from keys where app = ? and name = ? and holder = ?", (drop.app, drop.name, drop.holder))
    for cell in transition.cells:
        if cell.value is None:
            tx.execute("delete from cells where app = ? and name = ?", (cell.app, cell.name))
        else:
            tx.execute(
                "replace into cells values (?, ?, ?, ?, ?)",
                (cell.app, cell.name, _next_version(tx, cell.version), cell.value, cell.expires_at),
            )


def _next_version(tx: Transaction, version: int) -> int:
    """A version above all that this name ever had, though the name may have been free in between."""
    tx.version += 1
    return version + 1 if version else tx.version
