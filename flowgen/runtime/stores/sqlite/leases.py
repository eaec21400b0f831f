"""Leases that go on, and workers that live."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ....runs import SUSPECT_STRIKES
from ...store import CODELESS_AFTER, Extended, Lease
from . import slots
from .candidates import suspect_of
from .transaction import Transaction

SEEN_EVERY: Final = 1_000_000
"""That a worker lives is written down at most so often (microseconds), unless more is to be written."""

CODELESS_LATER: Final = (
    "codeless_at = iif(codeless_at is null, null, max(?3, "
    "min(coalesce(deadline, cancel_at), iif(cancel > drained, cancel_at, deadline))) + ?5)"
)
"""When a run may be ended without its code, if its lease ends at ?3: `CODELESS_AFTER` (?5) later, or as in `row`."""

_EXTEND: Final = (
    f"update runs set due_at = ?3, rank = ?3, {CODELESS_LATER} "  # noqa: S608
    "where app = ?1 and id = ?2 and fence = ?4 and owner is not null and due_at > ?6 "
    "returning key, owner, mail, strikes, claimed_at, slots"
)


def extend(tx: Transaction, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
    """Extend those leases that are in force, and with them what their runs hold."""
    note_alive(tx, worker)
    held: set[tuple[str, str]] = set()
    mail = tuple([_extend_one(tx, each, lease, held) for each in leases])
    for app, slot in held:
        slots.refresh(tx, app, slot)
    return Extended(mail, tx.now)


def note_alive(tx: Transaction, worker: str) -> None:
    """Write down that a worker lives."""
    note_worker(tx, worker, suspect_of(tx.connection, worker))


def note_worker(tx: Transaction, worker: str, suspect: int | None) -> None:
    """Write down that a worker lives, and which suspect it holds."""
    known = tx.one("select seen_at, suspect from workers where id = ?", (worker,))
    if known is None or known[1] != suspect or known[0] <= tx.now - SEEN_EVERY:
        tx.execute("replace into workers values (?, ?, ?)", (worker, tx.now, suspect))


def _extend_one(tx: Transaction, lease: Lease, length: int, held: set[tuple[str, str]]) -> int | None:
    """Extend a lease; `held` gets the slots that go on being held."""
    until = tx.now + length
    columns = tx.one(_EXTEND, (lease.app, lease.run, until, lease.fence, CODELESS_AFTER, tx.now))
    if columns is None:
        return None
    key, owner, mail, strikes, claimed_at, named = columns
    if named is not None:
        held.update(slots.hold_on(tx, key, until))
    if strikes >= SUSPECT_STRIKES and tx.now >= claimed_at + 2 * length:
        tx.execute("update runs set strikes = 0 where key = ?", (key,))
        tx.execute("update workers set suspect = null where id = ? and suspect = ?", (owner, key))
    return int(mail)
