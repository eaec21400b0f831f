"""What a transition changes besides its own run: events, new runs, mailboxes, keys and cells.

Its checks only read; they are all done before the first write.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from typing import Final

import attrs

from ....codec import checksum, encode_events, encode_message
from ....events import AcceptedEvent
from ....runs import TERMINAL, EventCollected, Message, RunRow
from ....transition import Cell, DropKey, NewRun, Opening, TakeKey, Transition
from ...store import Conflict, Duplicate, RunEnded
from .matching import add_values
from .row import control_of_new, is_controlled, row_of, write_control
from .rows import callers_to_column, columns_of, texts_to_column
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
    return tuple([tx.one("select position from events where id = ?", (event.id,)) or 0 for event in events])


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
    created = set()
    for new in transition.create:
        row = new.row
        known = tx.one("select key from runs where app = ? and id = ?", (row.app, row.id)) is not None
        if known or (row.app, row.id) in created:
            raise Duplicate(row.id, row.id)
        created.add((row.app, row.id))
    accepted = set()
    for event in transition.accept:
        if _known_event(tx, event.id) or event.id in accepted:
            raise Duplicate(event.id, event.id)
        accepted.add(event.id)


def _known_event(tx: Transaction, id: str) -> bool:
    return tx.one("select number from events where id = ?", (id,)) is not None


# -- writes -----------------------------------------------------------------------------------------


def accept(tx: Transaction, events: Iterable[AcceptedEvent]) -> None:
    """Keep events, each at the next position; one from the future without a position."""
    for event in events:
        future = event.ts > event.accepted_at
        if not future:
            tx.position += 1
        position = None if future else tx.position
        tx.execute(
            "insert into events "
            "(id, position, name, ts, accepted_at, user_key, digest, deferred, routed, checksum, data) values "
            "(?, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
            (
                *(event.id, position, event.name, event.ts, event.accepted_at, event.key, event.digest),
                *(event.deferred, checksum(event.id, 0, event.data), event.data),
            ),
        )
        if position is not None:
            add_values(tx, event, position)
        tx.wakes = True


def mark_routed(tx: Transaction, events: Iterable[str]) -> None:
    """Mark events as routed."""
    for event in events:
        tx.execute("update events set routed = 1 where id = ? and position is not null", (event,))


_INSERT_RUN: Final = (
    "insert into runs (app, id, workflow, created_at, seed, stored, reason, start_at, due_at, started_at, ended_at, "
    "owner, fence, length, mail, drained, cancel, strikes, life, digest, parent_app, parent_run, parent_step, "
    "parent_child, restarted_as, since, claimed_at, cancel_at, codeless_at, looks_from, rank) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def create(tx: Transaction, new: NewRun, transition: str) -> int:
    """Create a run, without its records; returns its key."""
    row = copy(new.row)
    row.length = len(new.records)
    if not row.open:
        row.owner = row.due_at = None
        row.ended_at = tx.now
    elif row.owner is not None:
        row.due_at = tx.now + new.lease
    events = tuple([placed(tx, event) for event in new.events])
    looks_from = min((event.position or 0 for event in events), default=None)
    tx.execute(_INSERT_RUN, columns_of(row, tx.now, looks_from))
    key = tx.connection.last_insert_rowid()
    if is_controlled(row):
        made = row_of(tx, row.app, row.id)
        assert made is not None
        write_control(tx, made, control_of_new(row, tx.now))
    if row.holds or row.callers:
        _promise(tx, key, row)
    body = encode_events(events)
    tx.execute("insert into inputs values (?, ?, ?, ?)", (key, transition, checksum(key, 0, body), body))
    _link(tx, row.app, row.id, events)
    tx.wakes = True
    return key


def open_collecting(tx: Transaction, key: int, app: str, run: str, opening: Opening) -> None:
    """Give a run that was collecting its events, and its promises to others."""
    events = tuple([placed(tx, event) for event in opening.events])
    body = encode_events(events)
    tx.execute("update inputs set checksum = ?, body = ? where run = ?", (checksum(key, 0, body), body, key))
    looks_from = min((event.position or 0 for event in events), default=None)
    tx.execute("update runs set looks_from = ? where key = ?", (looks_from, key))
    _promise(tx, key, opening)
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


def _promise(tx: Transaction, key: int, row: RunRow | Opening) -> None:
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
    position: int | None = tx.one("select position from events where id = ?", (event.id,))
    return event.placed(position or tx.position)


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
