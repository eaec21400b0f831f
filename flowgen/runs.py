"""A run as a value: its row, its mailbox, and what the world may know of it.

The *row* is everything about a run that is not its history: whose it is, when it is due, what state
it is in. The *mailbox* is how everyone but the owner speaks to it. Both are written only by
`Store.commit` and the ownership verbs; this module only says what they are.

The stored status is one of `STORED`; the finer states that users see (`running`, `scheduled`,
`waiting`) follow from the row (`status_of`), so there is nothing to keep in step.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Literal

import attrs

from .events import AcceptedEvent
from .outcome import Failure, Json

Status = Literal[
    "scheduled",
    "blocked",
    "collecting",
    "running",
    "waiting",
    "cancelling",
    "parked",
    "completed",
    "failed",
    "cancelled",
    "skipped",
]
Stored = Literal["open", "parked", "collecting", "schedule", "completed", "failed", "cancelled", "skipped"]
TERMINAL: frozenset[str] = frozenset({"completed", "failed", "cancelled", "skipped"})

MAX_STRIKES = 5
SUSPECT_STRIKES = 2


@attrs.frozen
class Parent:
    """The step that invoked a run: where its end is reported.

    `child` is the id by which the parent knows it: a run that restarts hands this on to its
    successor, which then reports in its place.
    """

    app: str
    run: str
    step: str
    child: str


@attrs.define
class RunRow:
    """One run, without its history.

    Times are microseconds since the epoch by the store's clock. `due_at` is when somebody has to
    look at the run: while it is owned, the expiry of the lease; otherwise its earliest deadline, or
    None if only a message can wake it. `mail` counts the messages that were ever put into its
    mailbox and `drained` those that the owner has turned into records; `cancel` is the number of
    a cancel among them (0: none): of the first one, or of the first that came after all others were read.
    `length` is the number of records, so the position of the next. `fence` grows by one with each claim. `digest`
    is, while parked, the code that disagreed. `life` counts retries from 0. `since` holds, for a run that
    others restarted as, the event positions after which its `WaitFor` steps look, by step name.

    What flow control says of it: `start_at` is the time before which it is not started (None: at
    once), `deadline` the latest time of its start and, once it is started, of its end. `priority` is
    in seconds: among ready runs the one with the lowest (time it became ready - priority) goes first.
    `slots` names the concurrency slots that it needs to start bodies, in the order in which they are
    taken, and `wants` says that it has bodies to start: it is ready as soon as its slots are free.
    `blocked_on` is the slot at whose queue it stands; only the store writes it. `holds` names the
    unique keys that it lets go of when it ends. `callers` are the steps that wait for its end beside
    `parent`: those that invoked a debounce or a batch.

    A run that is `collecting` (a debounce or a batch) has no events yet but those in its mailbox. A
    `schedule` is the never-ending run of a cron trigger: it has neither code nor history.
    """

    app: str
    id: str
    workflow: str
    created_at: int
    seed: int
    stored: Stored = "open"
    reason: str | None = None
    start_at: int | None = None
    due_at: int | None = None
    started_at: int | None = None
    ended_at: int | None = None
    owner: str | None = None
    fence: int = 0
    length: int = 0
    mail: int = 0
    drained: int = 0
    cancel: int = 0
    strikes: int = 0
    life: int = 0
    digest: str | None = None
    parent: Parent | None = None
    restarted_as: str | None = None
    since: tuple[tuple[str, int], ...] = ()
    priority: int = 0
    slots: tuple[str, ...] = ()
    holds: tuple[str, ...] = ()
    deadline: int | None = None
    wants: bool = False
    blocked_on: str | None = None
    callers: tuple[Parent, ...] = ()

    def __copy__(self) -> RunRow:
        return RunRow(*_FIELDS(self))

    @property
    def open(self) -> bool:
        """Whether the run has not ended."""
        return self.stored not in TERMINAL

    @property
    def unread_cancel(self) -> bool:
        """Whether a cancel was accepted that the owner has not drained yet."""
        return self.cancel > self.drained


_FIELDS = attrgetter(*[field.name for field in attrs.fields(RunRow)])


def status_of(row: RunRow) -> Status:
    """The state that users see: the stored one, or what follows from the row."""
    if not row.open:
        return row.stored  # type: ignore[return-value]
    if row.cancel:
        return "cancelling"
    if row.stored in ("parked", "collecting"):
        return row.stored
    if row.owner is not None:
        return "running"
    if row.blocked_on is not None:
        return "blocked"
    return "waiting" if row.started_at is not None else "scheduled"


# -- the mailbox ----------------------------------------------------------------------------------


@attrs.frozen
class EventMatched:
    """A wait may be over: this event matched it."""

    wait: str
    step: str
    event: AcceptedEvent


@attrs.frozen
class SignalArrived:
    """The signal that a `WaitForSignal` waits for, with its data."""

    wait: str
    step: str
    data: Json


@attrs.frozen
class SignalReplaced:
    """Another run took over the signal's name; this waiter fails."""

    wait: str
    step: str
    by: str


@attrs.frozen
class ChildCompleted:
    """An invoked run returned `result`."""

    child: str
    step: str
    result: Json


@attrs.frozen
class ChildFailed:
    """An invoked run did not return: it failed, was cancelled or was skipped."""

    child: str
    step: str
    failure: Failure


@attrs.frozen
class CancelRequested:
    """Somebody asks that the run be cancelled."""

    reason: str


@attrs.frozen
class EventCollected:
    """A debounce or batch got another event; `parent` is the step that invoked it with that one."""

    event: AcceptedEvent
    parent: Parent | None = None


@attrs.frozen
class Freed:
    """The runs that this one had to wait for have ended: its singleton key is its own now."""


Body = (
    EventMatched
    | SignalArrived
    | SignalReplaced
    | ChildCompleted
    | ChildFailed
    | CancelRequested
    | EventCollected
    | Freed
)


@attrs.frozen
class Message:
    """One message for the mailbox of `run`.

    `id` is what makes it one message however often it is delivered. A message to a run that has
    ended is dropped and counts as delivered, unless `must_be_open`: then the transition is refused
    with the run's state. `due_at` is for a run that is collecting: it becomes the row's.
    """

    id: str
    app: str
    run: str
    body: Body
    must_be_open: bool = False
    due_at: int | None = None


@attrs.frozen
class Mail:
    """A message in a mailbox: number `number`, counted from 1."""

    number: int
    message: Message


def read_through(row: RunRow, mail: Iterable[Mail]) -> int:
    """How much of a run's mail is accounted for with this."""
    return max([row.drained, *(item.number for item in mail)])
