"""Claims: which of the runs that are ready a worker is given. First all is looked at, then it is written.

`candidates` has the runs in their order, and the strikes that each will have; `contest` decides about slots.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import apsw

from ....runs import SUSPECT_STRIKES
from ....transition import Progress
from ...store import CODELESS_AFTER, Begin, Claimed, Claims, Loaded, Who
from ..begun import begun
from . import reads, slots
from .candidates import Candidate, Lists, Pushed
from .commit import commit
from .contest import Contest
from .leases import CODELESS_LATER, note_worker
from .row import PLAIN, earliest
from .rows import inputs_of, run_of, texts_of
from .transaction import StoreClock, Transaction

_ALL: Final = 1 << 62
"""More records than any run has."""


def claim(tx: Transaction, who: Who, limit: int, lease: int) -> Claims:
    """Give ready runs to a worker."""
    lists, pushed = Lists(tx.connection, who), Pushed()
    lists.promote(tx)
    contest = Contest(tx, who, pushed)
    chosen: list[tuple[Candidate, int, bool]] = []
    noted: int | None = None
    for candidate, strikes in lists.ready(tx.now, pushed):
        if len(chosen) >= limit or contest.over:
            break
        suspicious = strikes >= SUSPECT_STRIKES and not candidate.codeless
        if suspicious and noted is not None:
            continue
        slotless = contest.look(candidate)
        if slotless is not None:
            chosen.append((candidate, strikes, slotless))
            noted = candidate.key if suspicious else noted
    claimed = _write(tx, contest, who.worker, chosen, lease)
    note_worker(tx, who.worker, noted if noted is not None else lists.suspect)
    return Claims(claimed, tx.now, tx.generation)


def claim_and_begin(tx: Transaction, who: Who, limit: int, lease: int, begin: Begin, clock: StoreClock) -> Claims:
    """Give ready runs to a worker, and begin those that can begin."""

    def load(progress: Progress) -> Loaded | None:
        """What it has recorded is known, and mostly that is all."""
        columns = tx.one("select * from runs where app = ? and id = ?", (progress.app, progress.run))
        key, row = columns[0], run_of(columns)
        if row.length != len(progress.records) or row.mail != row.drained:
            return reads.load(tx.connection, row.app, row.id, 0, clock, _ALL)
        events = inputs_of(row.id, key, *tx.one("select checksum, body from inputs where run = ?", (key,)))
        return Loaded(row, events, progress.records, (), tx.now)

    return begun(claim(tx, who, limit, lease), begin, partial(commit, tx), load)


def next_due(connection: apsw.Connection, who: Who) -> int | None:
    """When there is something for this worker, at the earliest: a run, or an event from the future."""
    event: int | None = connection.execute("select min(ts) from events where position is null").get
    return earliest(event, Lists(connection, who).first_time())


def _write(
    tx: Transaction, contest: Contest, worker: str, chosen: list[tuple[Candidate, int, bool]], lease: int
) -> tuple[Claimed, ...]:
    freed: set[tuple[str, str]] = set()
    claimed = []
    for candidate, strikes, slotless in chosen:
        if candidate.slots is not None and candidate.owner is not None:
            freed.update(slots.drop(tx, candidate.key))
        claimed.append(_take(tx, worker, lease, candidate, strikes, slotless))
    contest.block()
    contest.settle(freed)
    return tuple(claimed)


_TAKE: Final = (
    f"update runs set owner = ?2, due_at = ?3, rank = ?3, fence = fence + 1, strikes = ?4, claimed_at = ?6, "  # noqa: S608
    f"{CODELESS_LATER} where key = ?1 returning *"
)
_LEAVE: Final = "update runs set line = iif(priority = 0, 0, 1), blocked_on = null, place = ?2 where key = ?1"


def _take(tx: Transaction, worker: str, lease: int, candidate: Candidate, strikes: int, slotless: bool) -> Claimed:
    """Give a run to the worker, with all its slots or none; without, it keeps its place."""
    until = tx.now + lease
    if candidate.slots is not None or candidate.line != PLAIN:
        tx.execute(_LEAVE, (candidate.key, candidate.rank if slotless else None))
    columns = tx.one(_TAKE, (candidate.key, worker, until, strikes, CODELESS_AFTER, tx.now))
    if candidate.slots is not None and not slotless and not candidate.codeless:
        slots.hold(tx, candidate.app, texts_of(candidate.slots), candidate.key, until)
    return Claimed(run_of(columns), candidate.owner is not None, bool(candidate.codeless), slotless)
