"""Which runs a worker may be given, in their order.

That is a merge, each part of it in order in an index: the runs that are plainly due and those that have a rank
(see `row`), as far as it offers them (`ready`), and the runs that any worker may end. They are stepped through
only as far as runs are taken, so a claim costs what it gives, and not what is offered. While it looks nothing
is written; runs that become ready because of what it gave are `Pushed` to it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from typing import Final

import apsw
import attrs

from ....runs import SUSPECT_STRIKES
from ...store import Who
from .ready import CANDIDATE, FOREVER, ReadyOrder
from .row import LATER, PLAIN, RANKED
from .rows import Columns
from .transaction import Transaction

PROMOTED_AT_MOST: Final = 500
"""A claim ranks so many runs whose time has come: the next one goes on."""


@attrs.define(order=True)
class Candidate:
    """A run that may be given, ordered as claims are: by rank, then app and id. `slots` is as in its row."""

    rank: int
    app: str
    id: str
    codeless: bool = attrs.field(order=False)
    key: int = attrs.field(order=False)
    owner: str | None = attrs.field(order=False)
    strikes: int = attrs.field(order=False)
    workflow: str = attrs.field(order=False)
    parked_by: str | None = attrs.field(order=False)
    line: int = attrs.field(order=False)
    slots: str | None = attrs.field(order=False)


_CODELESS: Final = (
    "select codeless_at, app, id, 1, key, owner, strikes, workflow, iif(stored = 'parked', digest, null), line, slots "
    "from runs where codeless_at <= ? order by codeless_at, app, id"
)
_HAS_COME: Final = "select 1 from runs where line = 1 and rank <= ? limit 1"
_PROMOTE: Final = (
    "update runs set line = 2, rank = iif(owner is null, coalesce(place, rank - priority * 1000000), "
    "rank - priority * 1000000) where key in "
    "(select key from runs where line = 1 and rank <= ? order by rank limit ?)"
)

QUEUED: Final = (
    f"select place, {CANDIDATE}from runs "
    "where app = ? and blocked_on = ? and workflow = ? and (place, id) > (?, ?) "
    "order by place, id limit 1"
)
"""The next of a queue, as a candidate."""


class Pushed:
    """Candidates that come up while the lists are gone through, by rank."""

    def __init__(self) -> None:
        self._heap: list[Columns] = []

    def push(self, candidate: Columns) -> None:
        heapq.heappush(self._heap, candidate)

    def merged(self, others: Iterator[Columns]) -> Iterator[Columns]:
        """The others, with what is pushed meanwhile."""
        other = next(others, None)
        while other is not None or self._heap:
            if self._heap and (other is None or self._heap[0] < other):
                yield heapq.heappop(self._heap)
            else:
                assert other is not None
                yield other
                other = next(others, None)


class Lists:
    """The lists of the runs that a worker may be given; `suspect` is the one that it holds."""

    def __init__(self, connection: apsw.Connection, who: Who) -> None:
        self._connection = connection
        self._who = who
        self.suspect = suspect_of(connection, who.worker)
        self._order = ReadyOrder(connection, who.offers)

    def promote(self, tx: Transaction) -> None:
        """Rank the runs whose time has come."""
        if tx.one(_HAS_COME, (tx.now,)):
            tx.execute(_PROMOTE, (tx.now, PROMOTED_AT_MOST))

    def ready(self, now: int, pushed: Pushed) -> Iterator[tuple[Candidate, int]]:
        """What is ready, by rank, each with the strikes that it has once it is claimed."""
        lists = heapq.merge(self._codeless(now), self._order.line(PLAIN, now), self._order.line(RANKED))
        return self._claimable(pushed.merged(lists))

    def first_time(self) -> int | None:
        """The first time at which something is ready; 0 if it is so already, but stands there by its rank."""
        if next(self._claimable(self._order.line(RANKED)), None) is not None:
            return 0
        lists = heapq.merge(self._codeless(FOREVER), self._order.line(PLAIN), self._order.line(LATER))
        first, _ = next(self._claimable(lists), (None, 0))
        return first.rank if first is not None else None

    def _codeless(self, until: int) -> Iterator[Columns]:
        return self._connection.execute(_CODELESS, (until,))

    def _claimable(self, candidates: Iterable[Columns]) -> Iterator[tuple[Candidate, int]]:
        """Those that this worker may have: none without its code that it could have with it, no second suspect."""
        for columns in candidates:
            candidate = Candidate(*columns)
            strikes = self._strikes(candidate)
            if candidate.codeless:
                if self._who.offers.get((candidate.app, candidate.workflow)) in (None, candidate.parked_by):
                    yield candidate, strikes
            elif self.suspect in (None, candidate.key) or strikes < SUSPECT_STRIKES:
                yield candidate, strikes

    def _strikes(self, candidate: Candidate) -> int:
        """The strikes that a run has once it is claimed: one more, unless its owner names another as its suspect.

        A dead owner's row names whom it named when it died, though another worker may have that run by now.
        """
        if candidate.owner is None:
            return candidate.strikes
        blamed = self.suspect
        if candidate.owner != self._who.worker:
            blamed = self._connection.execute("select suspect from workers where id = ?", (candidate.owner,)).get
        return candidate.strikes + (blamed is None or blamed == candidate.key)


def suspect_of(connection: apsw.Connection, worker: str) -> int | None:
    """The run that a worker names as its suspect, if it still holds it."""
    suspect: int | None = connection.execute(
        "select w.suspect from workers w join runs r on r.key = w.suspect "
        "where w.id = ? and r.owner = w.id and r.strikes >= ?",
        (worker, SUSPECT_STRIKES),
    ).get
    return suspect
