"""Claims, leases and strikes: who may have which run, in which order, and what a take-over means.

What a worker may be given is a merge of lists, each of them in order in an index: a list for each
workflow that it offers, one for each digest that parked runs of them, and the cancels that nobody
reads. Lists are stepped through only as far as runs are taken, so a claim costs what it gives.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apsw
import attrs

from ....runs import SUSPECT_STRIKES
from ...store import CODELESS_AFTER, Claimed, Claims, Extended, Lease, Who
from .rows import run_of
from .transaction import Transaction

SEEN_EVERY: Final = 1_000_000
"""That a worker lives is written down at most so often (microseconds), unless more is to be written."""


@attrs.define(order=True)
class _Candidate:
    """A run that may be given, ordered as claims are: by time, then app and id."""

    due_at: int
    app: str
    id: str
    codeless: bool = attrs.field(order=False)
    key: int = attrs.field(order=False)
    owner: str | None = attrs.field(order=False)
    strikes: int = attrs.field(order=False)
    workflow: str = attrs.field(order=False)
    parked_by: str | None = attrs.field(order=False)


def claim(tx: Transaction, who: Who, limit: int, lease: int) -> Claims:
    """Give due runs to a worker: choose first, then take, because lists change with each take."""
    connection = tx.connection
    suspect = _suspect(connection, who.worker)
    chosen: list[tuple[_Candidate, int]] = []
    noted: int | None = None
    for candidate, strikes in _claimable(connection, who, suspect, tx.now):
        if len(chosen) >= limit:
            break
        if strikes >= SUSPECT_STRIKES and not candidate.codeless:
            if noted is not None:
                continue
            noted = candidate.key
        chosen.append((candidate, strikes))
    claimed = tuple([_take(tx, who.worker, lease, candidate, strikes) for candidate, strikes in chosen])
    _note_worker(tx, who.worker, noted if noted is not None else suspect)
    return Claims(claimed, tx.now, tx.generation)


def next_due(connection: apsw.Connection, who: Who) -> int | None:
    """When there is something for this worker, at the earliest: a run, or an event from the future."""
    first, _ = next(_claimable(connection, who, _suspect(connection, who.worker), None), (None, 0))
    event: int | None = connection.execute("select min(ts) from events where position is null").get
    times = (event, first.due_at if first is not None else None)
    return min((time for time in times if time is not None), default=None)


def extend(tx: Transaction, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
    """Extend those leases that are in force."""
    _note_worker(tx, worker, _suspect(tx.connection, worker))
    return Extended(tuple([_extend_one(tx, held, lease) for held in leases]), tx.now)


def note_alive(tx: Transaction, worker: str) -> None:
    """Write down that a worker lives."""
    _note_worker(tx, worker, _suspect(tx.connection, worker))


# -- candidates ---------------------------------------------------------------------------------------

_DUE: Final = (
    "select due_at, app, id, 0, key, owner, strikes, workflow, null from runs "
    "where app = ? and workflow = ? and stored = 'open' and due_at <= ? order by due_at, id"
)
_PARKED: Final = (
    "select due_at, app, id, 0, key, owner, strikes, workflow, digest from runs "
    "where app = ? and workflow = ? and stored = 'parked' and digest is ? and due_at <= ? order by due_at, id"
)
_CODELESS: Final = (
    "select codeless_at, app, id, 1, key, owner, strikes, workflow, iif(stored = 'parked', digest, null) from runs "
    "where codeless_at <= ? order by codeless_at, app, id"
)
_NEXT_DIGEST: Final = (
    "select digest from runs where app = ? and workflow = ? and stored = 'parked' and digest > ? "
    "order by digest limit 1"
)
_ANY_PARKED: Final = "select 1 from runs indexed by runs_parked where stored = 'parked' limit 1"


def _claimable(
    connection: apsw.Connection, who: Who, suspect: int | None, until: int | None
) -> Iterator[tuple[_Candidate, int]]:
    """What this worker may be given and is due by `until`, in the order in which it comes due.

    With each the strikes that it has once it is claimed. `suspect` is the one that the worker holds.

    What it could have with its code it is never given without.
    """
    end = until if until is not None else 2**63 - 1
    lists: list[Iterator[Any]] = [connection.execute(_CODELESS, (end,))]
    lists += [connection.execute(_DUE, (app, workflow, end)) for app, workflow in who.offers]
    if connection.execute(_ANY_PARKED).get is not None:
        for (app, workflow), offered in who.offers.items():
            for digest in _digests(connection, app, workflow):
                if digest != offered:
                    lists.append(connection.execute(_PARKED, (app, workflow, digest, end)))
    for columns in heapq.merge(*lists):
        candidate = _Candidate(*columns)
        strikes = _strikes(connection, candidate, who.worker, suspect)
        if candidate.codeless:
            if who.offers.get((candidate.app, candidate.workflow)) in (None, candidate.parked_by):
                yield candidate, strikes
        elif suspect in (None, candidate.key) or strikes < SUSPECT_STRIKES:
            yield candidate, strikes


def _digests(connection: apsw.Connection, app: str, workflow: str) -> Iterator[str]:
    """The digests that parked runs of a workflow: one step down the index each."""
    digest = connection.execute(_NEXT_DIGEST, (app, workflow, "")).get
    while digest is not None:
        yield digest
        digest = connection.execute(_NEXT_DIGEST, (app, workflow, digest)).get


def _strikes(connection: apsw.Connection, candidate: _Candidate, worker: str, suspect: int | None) -> int:
    """The strikes that a run has once it is claimed: one more, unless its owner names another as its suspect.

    A dead owner's row names whom it named when it died, though another worker may have that run by now.
    """
    if candidate.owner is None:
        return candidate.strikes
    blamed = suspect
    if candidate.owner != worker:
        blamed = connection.execute("select suspect from workers where id = ?", (candidate.owner,)).get
    return candidate.strikes + (blamed is None or blamed == candidate.key)


def _suspect(connection: apsw.Connection, worker: str) -> int | None:
    """The run that a worker names as its suspect, if it still holds it."""
    suspect: int | None = connection.execute(
        "select w.suspect from workers w join runs r on r.key = w.suspect "
        "where w.id = ? and r.owner = w.id and r.strikes >= ?",
        (worker, SUSPECT_STRIKES),
    ).get
    return suspect


# -- taking and keeping -------------------------------------------------------------------------------


def _take(tx: Transaction, worker: str, lease: int, candidate: _Candidate, strikes: int) -> Claimed:
    columns = tx.one(
        "update runs set owner = ?2, due_at = ?3, fence = fence + 1, strikes = ?4, claimed_at = ?5, "
        "codeless_at = iif(codeless_at is null, null, ?3 + ?6) where key = ?1 returning *",
        (candidate.key, worker, tx.now + lease, strikes, tx.now, CODELESS_AFTER),
    )
    return Claimed(run_of(columns), candidate.owner is not None, bool(candidate.codeless))


def _extend_one(tx: Transaction, held: Lease, lease: int) -> int | None:
    columns = tx.one(
        "update runs set due_at = ?4, codeless_at = iif(codeless_at is null, null, max(cancel_at, ?4) + ?6) "
        "where app = ?1 and id = ?2 and fence = ?3 and owner is not null and due_at > ?5 "
        "returning key, owner, mail, strikes, claimed_at",
        (held.app, held.run, held.fence, tx.now + lease, tx.now, CODELESS_AFTER),
    )
    if columns is None:
        return None
    key, owner, mail, strikes, claimed_at = columns
    if strikes >= SUSPECT_STRIKES and tx.now >= claimed_at + 2 * lease:
        tx.execute("update runs set strikes = 0 where key = ?", (key,))
        tx.execute("update workers set suspect = null where id = ? and suspect = ?", (owner, key))
    return int(mail)


def _note_worker(tx: Transaction, worker: str, suspect: int | None) -> None:
    known = tx.one("select seen_at, suspect from workers where id = ?", (worker,))
    if known is None or known[1] != suspect or known[0] <= tx.now - SEEN_EVERY:
        tx.execute("replace into workers values (?, ?, ?)", (worker, tx.now, suspect))
