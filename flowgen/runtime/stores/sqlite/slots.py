"""Concurrency slots: who holds them, and who stands in line for them.

**Holders** are rows of `held`, from the claim that gave a run its slots until it is given back, ends, parks or
is claimed again. Such a row counts until its time, the end of the lease: it is moved when the lease is
extended, and a dead holder's is as good as gone. So nothing is counted up and down.

**Queues.** A run that a claim found without room is blocked: its row names the slot, and it stands in the queue
of its workflow there, an index by `place`. A slot has a queue for each workflow because a worker is given only
what it offers: a run whose workflow is paused must not stand before the others'.

**Heads.** Only the first of a queue is ever looked at again. It is listed as ready when a holder lets go, else at
the end of the holders' first lease; the others only when there is something to do for them that needs no slot
(`chores`). Whoever changes holders or queues lists the heads again (`refresh`), by one look at each queue. To
list one that will find no room costs one look of one claim; not to list one that would find it, loses it. So a
head that is listed as ready stays so until a claim has looked.

Refuses to know: limits, which come with each claim (`contest`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import apsw
import attrs

from .row import RANKED, earliest, listed_blocked
from .transaction import Transaction


@attrs.define
class Standing:
    """What of a run's row says where it stands while it has no slot, as columns."""

    key: int
    id: str
    stored: str
    owner: str | None
    due_at: int | None
    deadline: int | None
    started_at: int | None
    wanted_at: int | None
    mail: int
    drained: int
    blocked_on: str | None
    place: int
    line: int
    rank: int | None

    @property
    def chores_at(self) -> int | None:
        """When there is something to do that needs no slot: mail to drain, a time out, a dead owner's work.

        A run that waits for its first slot has nothing to do at its `due_at`: it would only start.
        """
        only_starts = self.wanted_at is not None and self.started_at is None
        if only_starts and self.owner is None and self.mail <= self.drained and self.stored != "parked":
            return self.deadline
        return earliest(self.due_at, self.deadline)


_STANDING: Final = (
    "select key, id, stored, owner, due_at, deadline, started_at, wanted_at, mail, drained, blocked_on, "
    "place, line, rank from runs "
)
_BY_KEY: Final = _STANDING + "where key = ?"
_FIRST: Final = _STANDING + "where app = ? and blocked_on = ? and workflow = ? order by place, id limit 1"
_NEXT_QUEUE: Final = (
    "select workflow from runs where app = ? and blocked_on = ? and workflow > ? order by workflow limit 1"
)


def standing(connection: apsw.Connection, key: int) -> Standing:
    """Where the run with this key stands."""
    return Standing(*connection.execute(_BY_KEY, (key,)).get)


# -- holders ------------------------------------------------------------------------------------------


def hold(tx: Transaction, app: str, slots: Iterable[str], key: int, until: int) -> None:
    """The run holds these slots until then, if it does not let go before."""
    for slot in slots:
        tx.execute("insert or ignore into held values (?, ?, ?, ?)", (app, slot, until, key))


def hold_on(tx: Transaction, key: int, until: int) -> list[tuple[str, str]]:
    """The run goes on holding what it holds, until then; returns which slots."""
    slots: Any = tx.execute("update held set until = ?2 where run = ?1 returning app, slot", (key, until)).fetchall()
    return list(slots)


def drop(tx: Transaction, key: int) -> list[tuple[str, str]]:
    """The run holds nothing any more; returns the slots that it held."""
    slots: Any = tx.execute("delete from held where run = ? returning app, slot", (key,)).fetchall()
    return list(slots)


def drop_expired(tx: Transaction, app: str, slot: str) -> bool:
    """Forget the holders of a slot whose leases have ended; returns whether there were any."""
    tx.execute("delete from held where app = ? and slot = ? and until <= ?", (app, slot, tx.now))
    return bool(tx.connection.changes())


def let_go(tx: Transaction, key: int) -> None:
    """The run holds nothing any more: there may be room for the heads of those queues."""
    for app, slot in drop(tx, key):
        refresh(tx, app, slot, freed=True)


def holders(connection: apsw.Connection, app: str, slot: str, now: int) -> int:
    """How many runs hold a slot."""
    number: int = connection.execute(
        "select count(*) from held where app = ? and slot = ? and until > ?", (app, slot, now)
    ).get
    return number


# -- queues -------------------------------------------------------------------------------------------


def head(connection: apsw.Connection, app: str, slot: str, workflow: str) -> Standing | None:
    """The first of a queue."""
    columns = connection.execute(_FIRST, (app, slot, workflow)).get
    return None if columns is None else Standing(*columns)


def refresh(
    tx: Transaction, app: str, slot: str, rooms: Mapping[str, bool] | None = None, *, freed: bool = False
) -> None:
    """List the heads of the queues of a slot where they belong now.

    `rooms` says for which workflows it is known whether there is room; `freed`, that there may be for any.
    """
    first_end = None
    for workflow in _queues(tx.connection, app, slot):
        first = head(tx.connection, app, slot, workflow)
        assert first is not None
        ready = rooms[workflow] if rooms and workflow in rooms else freed or first.line == RANKED
        if not ready and first_end is None:
            first_end = _first_end(tx, app, slot)
        relist(tx, first, tx.now if ready else earliest(first.chores_at, first_end))


def relist(tx: Transaction, blocked: Standing, at: int | None) -> None:
    """List a blocked run as ready at that time."""
    line, rank = listed_blocked(blocked.place, at, tx.now)
    if (line, rank) != (blocked.line, blocked.rank):
        tx.execute("update runs set line = ?2, rank = ?3 where key = ?1", (blocked.key, line, rank))


def _queues(connection: apsw.Connection, app: str, slot: str) -> Iterator[str]:
    """The workflows that have runs in line for a slot: one step down the index each."""
    workflow = connection.execute(_NEXT_QUEUE, (app, slot, "")).get
    while workflow is not None:
        yield workflow
        workflow = connection.execute(_NEXT_QUEUE, (app, slot, workflow)).get


def _first_end(tx: Transaction, app: str, slot: str) -> int | None:
    end: int | None = tx.one("select until from held where app = ? and slot = ? order by until limit 1", (app, slot))
    return end
