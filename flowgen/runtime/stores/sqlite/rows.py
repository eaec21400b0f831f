"""Values as columns and back: run rows, events, waits, keys; and the seals on what is stored as bytes.

Whatever is kept as bytes is *sealed*: a checksum over the bytes and their place stands beside them,
and reading compares it. A flipped bit is then an error about one run, never a wrong replay.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import attrs
import msgspec

from ....codec import checksum, decode_events, decode_message, decode_sealed
from ....errors import StoreError
from ....events import AcceptedEvent
from ....history import Record
from ....outcome import Json
from ....runs import Mail, Parent, RunRow
from ....transition import Cell, Key, Wait
from ...store import CODELESS_AFTER, DamagedRun

Columns = tuple[Any, ...]

RUN_COLUMNS: Final = (
    "key app id workflow created_at seed stored reason start_at due_at started_at ended_at owner fence length "
    "mail drained cancel strikes life digest parent_app parent_run parent_step parent_child restarted_as since "
    "claimed_at cancel_at codeless_at looks_from controlled priority slots holds callers deadline wanted_at "
    "blocked_on place line rank"
).split()
"""The columns of `runs`, in the order in which `select *` gives them."""

_encode = msgspec.json.Encoder().encode
_decode_since = msgspec.json.Decoder(tuple[tuple[str, int], ...]).decode
_decode_texts = msgspec.json.Decoder(tuple[str, ...]).decode
_decode_parents = msgspec.json.Decoder(tuple[tuple[str, str, str, str], ...]).decode


def run_of(columns: Columns) -> RunRow:
    """The run in a row of `runs`."""
    parent_app, parent_run, parent_step, parent_child, restarted_as, since = columns[21:27]
    parent = Parent(parent_app, parent_run, parent_step, parent_child) if parent_run is not None else None
    since = _decode_since(since) if since is not None else ()
    fields: Columns = (*columns[1:21], parent, restarted_as, since)
    row = RunRow(*fields)
    if columns[31] or columns[34] is not None or columns[35] is not None:
        priority, slots, holds, callers, deadline, wanted_at, row.blocked_on = columns[32:39]
        row.priority, row.deadline, row.wants = priority, deadline, wanted_at is not None
        row.slots, row.holds, row.callers = texts_of(slots), texts_of(holds), _callers_of(callers)
    return row


def texts_of(column: str | None) -> tuple[str, ...]:
    """Some names, from a column that is null if there are none."""
    return () if column is None else _decode_texts(column)


def texts_to_column(texts: Sequence[str]) -> str | None:
    """The column for some names."""
    return _encode(texts).decode() if texts else None


def _callers_of(column: str | None) -> tuple[Parent, ...]:
    return () if column is None else tuple([Parent(*fields) for fields in _decode_parents(column)])


def callers_to_column(callers: Sequence[Parent]) -> str | None:
    """The column for the steps that wait for a run."""
    return _encode([attrs.astuple(caller) for caller in callers]).decode() if callers else None


def columns_of(row: RunRow, now: int, looks_from: int | None) -> Columns:
    """A row of `runs` for a run that is created now, without its key and what flow control says of it.

    `looks_from` is the lowest position of the events that it handles.
    """
    parent = (None,) * 4 if row.parent is None else (row.parent.app, row.parent.run, row.parent.step, row.parent.child)
    since = _encode(row.since).decode() if row.since else None
    leased_to = row.due_at if row.owner is not None and row.due_at is not None else 0
    codeless_at = max(now, leased_to) + CODELESS_AFTER if row.open and row.unread_cancel else None
    rank = row.due_at if row.open else None
    return (
        *(row.app, row.id, row.workflow, row.created_at, row.seed, row.stored, row.reason, row.start_at, row.due_at),
        *(row.started_at, row.ended_at, row.owner, row.fence, row.length, row.mail, row.drained, row.cancel),
        *(row.strikes, row.life, row.digest, *parent, row.restarted_as, since),
        *(now, now, codeless_at, looks_from, rank),
    )


def records_of(run: str, key: int, rows: Iterable[tuple[int, int, bytes]]) -> Iterator[Record]:
    """The records in rows (position, checksum, body) of `history`."""
    return decode_sealed(key, rows, lambda position: DamagedRun(run, f"record {position}"))


def inputs_of(run: str, key: int, seal: int, body: bytes) -> tuple[AcceptedEvent, ...]:
    """The events that a run handles, from a row of `inputs`."""
    if checksum(key, 0, body) != seal:
        raise DamagedRun(run, "its events")
    return decode_events(body)


def mail_of(run: str, key: int, number: int, seal: int, body: bytes) -> Mail:
    """The message in a row of `mail`."""
    if checksum(key, number, body) != seal:
        raise DamagedRun(run, f"message {number}")
    return Mail(number, decode_message(body))


EVENT: Final = "select position, id, name, ts, accepted_at, user_key, digest, deferred, checksum, data from events "
NUMBERED_EVENT: Final = (
    "select position, id, name, ts, accepted_at, user_key, digest, deferred, checksum, data, number from events "
)


def event_of(columns: Columns) -> AcceptedEvent:
    """The event in a row of `EVENT`."""
    position, id, name, ts, accepted_at, key, digest, deferred, seal, data = columns
    if checksum(id, 0, data) != seal:
        raise StoreError(f"event {id} is damaged: the checksum of its data is wrong; restore a backup")
    return AcceptedEvent(id, name, Json(data), ts, accepted_at, key, position, digest, bool(deferred))


WAIT: Final = (
    "select id, app, run, step, event, after, expires_at, path, value, condition, scope, looked_to from waits "
)


def wait_of(columns: Columns) -> Wait:
    """The wait in a row of `WAIT`."""
    *head, scope, looked_to = columns
    fields: Columns = (*head, Json(scope) if scope is not None else None, looked_to)
    return Wait(*fields)


def key_of(columns: Columns) -> Key:
    """A unique key from name, holder, detail, expires_at, version."""
    return Key(*columns)


def cell_of(columns: Columns) -> Cell:
    """A cell from app, name, version, value, expires_at."""
    app, name, version, value, expires_at = columns
    return Cell(app, name, version, Json(value) if value is not None else None, expires_at)
