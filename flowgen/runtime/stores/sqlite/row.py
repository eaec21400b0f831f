"""A run's row as the writes see it, and where it stands in the ready order.

A claim wants the runs that are ready, by rank: the time at which they became ready, less their priority. That
is two orders, so a run stands in one of three lines, each of them an index on `rank`:

========  ===========================================================================================
`PLAIN`   runs without priority, by the time at which they are ready: that is their rank as well
`LATER`   others that are not ready yet, by the time at which they will be
`RANKED`  others that are ready, by rank: a claim moves them here from `LATER`, once, when their time has come
========  ===========================================================================================

A run without a `rank` is in no line: nothing makes it ready but a message, or room in a slot. `place` is the
rank that a run keeps, while it is blocked and while a slotless owner has it.

Most runs have nothing of flow control. Their row says so (`controlled`), and is then written as if there were
no such thing: their line is `PLAIN`, their rank `due_at`. The other columns are a `Control`, read and
written when a controlled run is given back or gets mail, not with each step.
"""

from __future__ import annotations

from typing import Final

import attrs

from ....runs import TERMINAL, RunRow
from ....transition import Opening
from ...store import CODELESS_AFTER
from .rows import texts_to_column
from .transaction import Transaction

PLAIN: Final = 0
LATER: Final = 1
RANKED: Final = 2

SECOND: Final = 1_000_000

Listing = tuple[int, int | None]
"""A line, and the place in it: None for a run that is in no line."""

NOWHERE: Final[Listing] = (PLAIN, None)


@attrs.define  # read for every step
class Row:
    """What of a run's row commits read and write. `key` is its number in the file."""

    key: int
    fence: int
    owner: str | None
    due_at: int | None
    stored: str
    length: int
    mail: int
    drained: int
    cancel: int
    cancel_at: int | None
    strikes: int
    life: int
    controlled: int

    @property
    def ended(self) -> bool:
        return self.stored in TERMINAL

    def codeless_at(self, deadline: int | None) -> int | None:
        """When any worker may end the run: a while after its unread cancel or deadline, and after its last lease."""
        cancelled = self.cancel > self.drained
        if not (cancelled or deadline is not None) or self.ended:
            return None
        since = earliest(self.cancel_at if cancelled else None, deadline) or 0
        lease_end = self.due_at if self.owner is not None and self.due_at is not None else 0
        return max(since, lease_end) + CODELESS_AFTER


@attrs.define
class Control:
    """What flow control says of a run, as columns: `wanted_at` is when it began to want a slot, None if it does not."""

    priority: int = 0
    slots: str | None = None
    start_at: int | None = None
    started_at: int | None = None
    deadline: int | None = None
    wanted_at: int | None = None
    blocked_on: str | None = None
    place: int | None = None

    @property
    def not_before(self) -> int | None:
        """The time before which the run is not started, if it has one and is not started."""
        return self.start_at if self.started_at is None else None

    def give_back(self, wants: bool, now: int) -> None:
        """The run has no owner any more. It keeps its place if it wants a slot, and may have it now."""
        self.wanted_at = now if wants else None
        if not wants or (self.not_before or 0) > now:
            self.place = None


_ROW: Final = (
    "select key, fence, owner, due_at, stored, length, mail, drained, cancel, cancel_at, strikes, life, controlled "
    "from runs where app = ? and id = ?"
)
_CONTROL: Final = (
    "select priority, slots, start_at, started_at, deadline, wanted_at, blocked_on, place from runs where key = ?"
)


def row_of(tx: Transaction, app: str, run: str) -> Row | None:
    """The row of a run as it is now."""
    columns = tx.one(_ROW, (app, run))
    return None if columns is None else Row(*columns)


def control_of(tx: Transaction, row: Row) -> Control:
    """What flow control says of a run."""
    return Control(*tx.one(_CONTROL, (row.key,)))


def control_of_new(row: RunRow | Opening, now: int, started_at: int | None = None) -> Control:
    """What flow control says of a run that is created, or opened, now; one that is opened may have been started."""
    wanted_at = now if row.wants else None
    return Control(row.priority, texts_to_column(row.slots), row.start_at, started_at, row.deadline, wanted_at)


def is_controlled(row: RunRow) -> bool:
    """Whether flow control says anything of a run that the ready order has to know."""
    return bool(row.slots or row.wants or row.priority) or row.deadline is not None


def write_control(tx: Transaction, row: Row, control: Control) -> None:
    """Write down what flow control says of a run, and where it is listed because of it."""
    tx.execute(
        "update runs set controlled = 1, priority = ?2, slots = ?3, start_at = ?4, deadline = ?5, wanted_at = ?6, "
        "place = ?7, line = ?8, rank = ?9, codeless_at = ?10 where key = ?1",
        (
            *(row.key, control.priority, control.slots, control.start_at, control.deadline, control.wanted_at),
            *(control.place, *listed(row, control, tx.now), row.codeless_at(control.deadline)),
        ),
    )


# -- the ready order ----------------------------------------------------------------------------------


def earliest(*times: int | None) -> int | None:
    """The first of these times, None if there is none."""
    return min((time for time in times if time is not None), default=None)


def listed(row: Row, control: Control, now: int) -> Listing:
    """Where a run stands. One that is blocked is ready because of its mail here, else `listed_blocked` says."""
    if control.blocked_on is not None:
        return RANKED, control.place
    at = _ready_at(row, control)
    if at is None:
        return NOWHERE
    kept = control.place if row.owner is None else None
    if kept is None and control.priority == 0:
        return PLAIN, at
    if at > now:
        return LATER, at
    return RANKED, at - control.priority * SECOND if kept is None else kept


def listed_blocked(place: int, at: int | None, now: int) -> Listing:
    """Where a blocked run stands that is ready at that time."""
    if at is None:
        return NOWHERE
    return (RANKED, place) if at <= now else (LATER, at)


def _ready_at(row: Row, control: Control) -> int | None:
    if row.ended:
        return None
    if control.wanted_at is None or row.owner is not None or row.stored == "parked":
        return row.due_at
    not_before = control.not_before
    return earliest(row.due_at, control.wanted_at if not_before is None else not_before)
