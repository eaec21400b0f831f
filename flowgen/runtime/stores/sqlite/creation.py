"""Creating runs: what a commit writes of each run that is new, table by table, for all of them at once.

One statement that is given many rows costs half of as many statements, and the numbers of the rows are known
beforehand. All checks were done (`world`): nothing here is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import Final

import attrs

from ....codec import checksum, encode_events, encode_record
from ....events import AcceptedEvent
from ....history import Record
from ....runs import RunRow
from ....transition import NewRun
from .row import control_of_new, is_controlled, row_of, write_control
from .rows import Columns, columns_of
from .transaction import Transaction
from .world import placed, promise

_INSERT_RUN: Final = (
    "insert into runs (key, app, id, workflow, created_at, seed, stored, reason, start_at, due_at, started_at, "
    "ended_at, owner, fence, length, mail, drained, cancel, strikes, life, digest, parent_app, parent_run, "
    "parent_step, parent_child, restarted_as, since, claimed_at, cancel_at, codeless_at, looks_from, rank) "
    "values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_RECORD: Final = "insert into history (run, position, fence, checksum, body) values (?, ?, ?, ?, ?)"


@attrs.define
class _Rows:
    """What is to be written, a list for each table."""

    runs: list[Columns] = attrs.Factory(list)
    inputs: list[Columns] = attrs.Factory(list)
    started: list[Columns] = attrs.Factory(list)
    history: list[Columns] = attrs.Factory(list)


def create(tx: Transaction, create: Sequence[NewRun], transition: str) -> None:
    """Create runs with their first records."""
    if not create:
        return
    rows, special = _Rows(), []
    highest: int = tx.one("select max(key) from runs") or 0
    for key, new in enumerate(create, highest + 1):
        row = _as_created(new, tx.now)
        events = tuple([placed(tx, event) for event in new.events])
        rows.runs.append((key, *columns_of(row, tx.now, _looks_from(events))))
        body = encode_events(events)
        rows.inputs.append((key, transition, checksum(key, 0, body), body))
        rows.started += [(event.id, row.app, row.id) for event in events]
        rows.history += _history(key, 0, row.fence, new.records)
        if row.holds or row.callers or is_controlled(row):
            special.append((key, row))
    _write(tx, rows)
    for key, row in special:
        _control(tx, key, row)
    tx.wakes = True


def _as_created(new: NewRun, now: int) -> RunRow:
    """The row as the store knows it better: what it holds, and until when."""
    row = copy(new.row)
    row.length = len(new.records)
    if not row.open:
        row.owner = row.due_at = None
        row.ended_at = now
    elif row.owner is not None:
        row.due_at = now + new.lease
    return row


def _looks_from(events: Iterable[AcceptedEvent]) -> int | None:
    """The lowest position of the events that a run handles."""
    return min((event.position or 0 for event in events), default=None)


def _write(tx: Transaction, rows: _Rows) -> None:
    tx.execute_many(_INSERT_RUN, rows.runs)
    tx.execute_many("insert into inputs values (?, ?, ?, ?)", rows.inputs)
    tx.execute_many("insert or ignore into started values (?, ?, ?)", rows.started)
    tx.execute_many(_INSERT_RECORD, rows.history)


def _control(tx: Transaction, key: int, row: RunRow) -> None:
    """Write down what few runs have: flow control, and promises to others."""
    if is_controlled(row):
        made = row_of(tx, row.app, row.id)
        assert made is not None
        write_control(tx, made, control_of_new(row, tx.now))
    if row.holds or row.callers:
        promise(tx, key, row)


def append(tx: Transaction, key: int, position: int, fence: int, records: Iterable[Record]) -> None:
    """Write records to the history of the run with this key, from `position` on."""
    for columns in _history(key, position, fence, records):
        tx.execute(_INSERT_RECORD, columns)


def _history(key: int, position: int, fence: int, records: Iterable[Record]) -> list[Columns]:
    rows: list[Columns] = []
    for place, record in enumerate(records, position):
        body = encode_record(record)
        rows.append((key, place, fence, checksum(key, place, body), body))
    return rows
