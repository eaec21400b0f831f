"""The ready order: which runs may be claimed, and which of them goes first.

A run is *ready* from a time on. Among those that are, the one with the lowest *rank* goes first: the time
at which it became ready, less its priority in seconds. Ready time and rank are different orders: an urgent
run that is not ready yet must not be in the way of the others, and one that has long been ready may still
have to let others pass. So a run stands in one of two lines, `later` by its ready time, and `ready` by its
rank; `promote` moves it from the one to the other when its time has come. Each run is moved once, so a claim
costs what it gives, however many runs are ready or wait.

What a worker offers is known by workflow, so each has such an order of its own, and parked runs have one for
each digest that parked them. The `Lines` are all of them, by their first runs: a claim or a look costs the same
however many workflows a worker offers, and passes over one entry for each that has runs and that it does not.

When a run is ready follows from its row, and from when it began to want a slot:

* one that is owned, at the end of its lease: then its owner is gone;
* one that is parked or has no bodies to start, when it is due (`due_at`);
* one that wants to start bodies also as soon as it may: from its `start_at` on while it is not started,
  else from the write that said so;
* one that is blocked, when there is something to do for it that needs no slot (`chores_at`), and as the head
  of its queue when its slot may have room: that is the business of `slots`.
"""

from __future__ import annotations

from ....runs import RunRow
from .indexes import Agenda, Ordered, RunKey

SECOND = 1_000_000

LineName = tuple[str, str, bool, str]
"""App and workflow, whether the runs are parked, and by which digest."""


class ReadyOrder:
    """Runs by the time at which they are ready, and those that are by rank."""

    def __init__(self, lines: Lines, name: LineName) -> None:
        self.name = name
        self._lines = lines
        self.later = Agenda()
        self.ready = Agenda()
        self._ranks: dict[RunKey, int] = {}

    def put(self, run: RunKey, ready_at: int, rank: int, now: int) -> None:
        """The run is ready at that time, under that rank, whatever was said before."""
        if ready_at <= now:
            self.later.discard(run)
            self.ready.put(run, rank)
        else:
            self.ready.discard(run)
            self._ranks[run] = rank
            self.later.put(run, ready_at)
        self._lines.note(self)

    def discard(self, run: RunKey) -> None:
        """The run is not ready at any time."""
        self.later.discard(run)
        self.ready.discard(run)
        self._ranks.pop(run, None)
        self._lines.note(self)

    def promote(self, now: int) -> None:
        """Rank the runs whose time has come."""
        while (first := self.later.first()) is not None and first[0] <= now:
            self.later.discard(first[1])
            self.ready.put(first[1], self._ranks.pop(first[1]))
        self._lines.note(self)


class Lines:
    """The ready orders of all workflows, and of those the ones that have runs by their first."""

    def __init__(self) -> None:
        self.later: Ordered[LineName, tuple[int, RunKey]] = Ordered()
        self.ready: Ordered[LineName, tuple[int, RunKey]] = Ordered()
        self._orders: dict[LineName, ReadyOrder] = {}

    def __getitem__(self, name: LineName) -> ReadyOrder:
        return self._orders[name]

    def of(self, row: RunRow) -> ReadyOrder:
        """Where a run is listed."""
        parked = row.stored == "parked"
        name = (row.app, row.workflow, parked, (row.digest or "") if parked else "")
        return self._orders.get(name) or self._orders.setdefault(name, ReadyOrder(self, name))

    def note(self, order: ReadyOrder) -> None:
        """The first runs of that order may have changed."""
        for lines, runs in ((self.later, order.later), (self.ready, order.ready)):
            first = runs.first() if runs else None
            if first is None:
                lines.discard(order.name)
            else:
                lines.put(order.name, first)

    def promote(self, now: int) -> None:
        """Rank the runs whose time has come."""
        while (first := self.later.first()) is not None and first[0][0] <= now:
            self._orders[first[1]].promote(now)


def rank(row: RunRow, ready_at: int) -> int:
    """The rank of a run that is ready at that time."""
    return ready_at - row.priority * SECOND


def ready_at(row: RunRow, wanted_at: int) -> int | None:
    """When a run is ready that stands in no queue; `wanted_at` is when it began to want a slot."""
    if not row.wants or row.owner is not None or row.stored == "parked":
        return row.due_at
    start_at = may_not_start_before(row)
    return earliest(row.due_at, wanted_at if start_at is None else start_at)


def chores_at(row: RunRow) -> int | None:
    """When there is something to do for a run that needs no slot: mail to drain, a time out, a dead owner's work.

    One that waits for its first slot has nothing to do at its `due_at`: it would only start. If it is parked it is
    tried with other code first.
    """
    only_starts = row.wants and row.started_at is None
    if only_starts and row.owner is None and row.mail <= row.drained and row.stored != "parked":
        return row.deadline
    return earliest(row.due_at, row.deadline)


def may_not_start_before(row: RunRow) -> int | None:
    """The time before which a run is not started, if it has one and is not started."""
    return row.start_at if row.started_at is None else None


def earliest(*times: int | None) -> int | None:
    """The first of these times, None if there is none."""
    return min((time for time in times if time is not None), default=None)
