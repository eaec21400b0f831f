"""The store contract: what a backend implements, and nothing that it decides.

A store keeps events, runs, histories, mailboxes, waits, keys, cells and registrations. Its verbs are
those of the domain. Each says what is atomic in it; everything else may interleave in any way. Prove
an implementation with `flowgen.testing.check_store`.

Rules for every backend:

* **The store owns time.** No verb takes `now`; leases are durations in microseconds, and what is due
  or expired is tested inside the store, by a clock that never goes back (`max` of what it has seen).
* **`commit` is the only write that changes a run**, besides the ownership verbs `claim`, `extend` and
  the workers' row. All or nothing; the order of its checks is in `flowgen.transition`.
* **Accepted means durable**: no answer leaves before what it reports is durable, refusals included.
* **Event positions follow commit order**: 1, 2, 3 and so on; once a reader has seen position p, nothing
  is ever added below p. An event from the future (`ts` above `accepted_at`) has no position, is found by its id and
  listed by `find_events`, but by nothing else, and is not unrouted, until `unrouted` is asked at or after its `ts`:
  that gives it the next position.
* Events belong to the store; runs, waits, cells, keys and slots are kept for each app.
* A store error means "nothing is known"; the caller repeats the same transition.

Knows nothing of generators, decisions or flow control: see the layers in the design notes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, runtime_checkable

import attrs

from ..errors import StoreError
from ..events import AcceptedEvent
from ..history import Record
from ..outcome import Json
from ..runs import Mail, RunRow
from ..transition import Cell, Key, Transition, Wait
from .paging import Page as Page

PAGE = 500
"""How many items a page of the paged verbs holds at most, unless asked for fewer."""

TAIL = 1 << 60
"""A position behind every history: to load a run without its records."""

ALIVE = 60_000_000
"""A worker is live for so many microseconds after its last claim, extension or registration, unless it has retired."""

CODELESS_AFTER = 60_000_000
"""After so many microseconds a run that was to end, cancelled or timed out, is given to any worker."""


# -- refusals: each of them changed nothing -------------------------------------------------------


class Refused(StoreError):
    """A commit was refused, and changed nothing. Never raised itself, only as one of its kinds."""


class LeaseLost(Refused):
    """The fence is stale: somebody else owns the run now, or it ended."""


class Conflict(Refused):
    """What the decision was based on has changed: read again, decide again, commit again.

    `cause` is one of `cancel` (a terminal record while a cancel is unread), `position`, `version`.
    """

    def __init__(self, cause: str, message: str = "") -> None:
        super().__init__(message or cause)
        self.cause = cause


class Duplicate(Refused):
    """A key that was seen free is held, or a run or event to create exists.

    `name` is the key's name, held by `holder`; or the id of the run or event, and so is `holder`.
    """

    def __init__(self, name: str, holder: str) -> None:
        super().__init__(f"{name} is held by {holder}")
        self.name = name
        self.holder = holder


class RunEnded(Refused):
    """A message that needs an open run (a cancel, a signal) met one that is not there or has ended.

    `status` is its terminal state, None if there is no such run.
    """

    def __init__(self, run: str, status: str | None) -> None:
        super().__init__(f"run {run} is {status or 'unknown'}")
        self.run = run
        self.status = status


class StoreUnusable(StoreError):
    """The store cannot be opened or used: not a database, read-only, full, newer schema. Says why."""


class DamagedRun(StoreError):
    """What is stored of one run is not what was written: a flipped bit. Other runs are not affected."""

    def __init__(self, run: str, what: str) -> None:
        super().__init__(
            f"run {run} is damaged: the checksum of {what} is wrong, so it is not replayed; "
            "restore a backup of the store, or delete the run"
        )
        self.run = run
        self.what = what


# -- values ---------------------------------------------------------------------------------------


@attrs.frozen
class Who:
    """A worker that asks for runs: its id (unique for each start of a process) and what it offers.

    `offers` maps (app, workflow) to the digest of the code that this worker has for it, `limits` to the
    limits of its concurrency slots: the n-th is that of a run's n-th slot, and one too few is no limit.
    """

    worker: str
    offers: Mapping[tuple[str, str], str]
    limits: Mapping[tuple[str, str], tuple[int, ...]] = attrs.Factory(dict)


@attrs.frozen
class Beginning:
    """How a run began in the commit that claimed it: by which transition, and what `load` would answer after it."""

    transition: Transition
    loaded: Loaded


@attrs.frozen
class Claimed:
    """A run that is yours until its lease ends: the row as it is now, with your fence.

    `took_over` says that the previous owner never gave it back. `codeless` says that the run must
    be ended without its code: drain, cancel children, write the terminal record. `slotless` says that a
    slot of it is not free: drain, time out, give it back, but start no body. `beginning` is there if it
    began with this claim (`Begins`).
    """

    row: RunRow
    took_over: bool = False
    codeless: bool = False
    slotless: bool = False
    beginning: Beginning | None = None


@attrs.frozen
class Claims:
    """The answer of `claim`: runs, store time, and the generation of the registrations."""

    runs: tuple[Claimed, ...]
    now: int
    generation: int = 0


@attrs.define  # one a step
class Committed:
    """The answer of `commit`.

    `now` is store time. `mail` is the mail count of the progress's run after it (0 without one).
    `positions` are those of the accepted events, in their order: 0 for one that has none yet.
    """

    now: int
    mail: int = 0
    positions: tuple[int, ...] = ()


@attrs.frozen
class Loaded:
    """One consistent read of a run: row, the events that it handles, records, unread mail."""

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    records: tuple[Record, ...]
    mail: tuple[Mail, ...]
    now: int


@attrs.frozen
class Lease:
    """A lease to extend."""

    app: str
    run: str
    fence: int


@attrs.frozen
class Extended:
    """The answer of `extend`: for each lease its mail count, or None when it is lost."""

    mail: tuple[int | None, ...]
    now: int


@attrs.frozen
class Offer:
    """One workflow of a registration: its code digest and its definition as JSON (triggers, policies)."""

    workflow: str
    digest: str
    definition: Json


@attrs.frozen
class Registration:
    """What an engine that opens offers: all workflows of one app."""

    app: str
    worker: str
    offers: tuple[Offer, ...]


@attrs.frozen
class Registered:
    """A workflow definition in force."""

    app: str
    workflow: str
    digest: str
    definition: Json
    paused: bool = False


@attrs.frozen
class Registrations:
    """All definitions in force, and their generation: it grows when any of them changes."""

    items: tuple[Registered, ...]
    generation: int


@attrs.frozen
class RunFilter:
    """What `find_runs` selects by; None means any. It selects after <= `created_at` < before.

    `status` is one of the stored states; `open` is every run that has not ended, parked and collecting
    ones too. Schedules are found by their own status alone.
    """

    app: str | None = None
    workflow: str | None = None
    status: str | None = None
    before: int | None = None
    after: int | None = None


class Extender(Protocol):
    """A blocking door for the heartbeat thread, with a connection of its own."""

    def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended: ...
    def close(self) -> None: ...


@runtime_checkable
class Store(Protocol):
    """What a backend implements. All times and durations are microseconds.

    `features` may contain `find_runs`, `find_events`, `changes`. What a store may have besides these verbs, and is
    found by having it, is in `Many` and in `flowgen.runtime.counting.CountsRuns`.
    """

    features: frozenset[str]

    async def open(self) -> None:
        """Make the store ready: connect, check or create the schema. Raises `StoreUnusable`."""

    async def close(self) -> None:
        """Let everything go. What was committed stays; leases run out by themselves."""

    async def now(self) -> int:
        """Store time: microseconds since the epoch, never lower than any answer before."""

    async def commit(self, transition: Transition) -> Committed:
        """Apply a transition, all or nothing; or raise a `Refused` that changed nothing.

        A caller that is cancelled is cancelled before anything was sent to be written, or not at all:
        once a commit is under way it is waited for (`Abort.FAILED`, or a shielded scope).

        Applied before → success. The order of checks is in `flowgen.transition`. Beyond what the
        transition says, a commit does just this: it gives accepted events their positions (an event
        in `create`, in an `opening` or collected, with position None, gets that of the event accepted
        here with the same id, else the last position given so far; a wait opened with `after` None gets
        that of its run's last event, 0 without one); it numbers messages, adds them to mailboxes (one for
        each message id), sets `mail`, `cancel` (of a run that has an unread one already it stays as it is) and
        `due_at = min(due_at, now)` of open runs that have no owner and are not parked (of one that is collecting,
        `due_at` becomes the message's, if it has one; but a cancel makes it due as any run); an event that is
        collected, and each event of an `opening`, links the run in `started_by`, once; it removes drained
        messages; a new record sets `strikes` to 0; parking makes the run due now, whatever its mail; a terminal state
        clears owner and `due_at`, sets `ended_at`, and removes the run's waits and mail (`drained` becomes
        `mail`, so that a run that is reopened does not wait for mail that is gone). `close_waits` and
        `looked` mean waits of the progress's own run; waits of runs that are not open are not opened.
        """

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        """Give at most `limit` ready runs to a worker, each with fence + 1 and a lease.

        Runs of the offered workflows that are ready, by rank: the time at which they became so, less
        their priority in seconds (then by app and id). A run that is owned is ready when its lease has
        ended, any other when its `due_at` has come; one that `wants` is so also from its `start_at` on if it
        is not started, else from the commit that created it or gave it back. A parked run (due at once)
        is given only for another digest than the one that parked it, even when its next owner died.
        Never two owners. The cost grows neither with the runs that are ready nor with those that wait or
        are blocked; where very many (`PAGE`) have become ready at one time, or would have to be blocked on
        the way, a claim may rank or give fewer of them, and `next_due` is in the past.

        **Slots.** A run that names slots gets all of them or none. A slot is held, from its claim on, by
        each run that names it and is owned under a live lease, unless it was claimed slotless, codeless or
        while it was still collecting: it is derived, never counted up and down. When a slot is held by as
        many others as the limit of the claim says, the run is given slotless if there is something to do
        without it: unread mail, a dead owner's work, other code for a parked run, a `deadline` that has come,
        or a `due_at`, except for one that `wants` and is not started (it could only start). Otherwise it is
        *blocked*: it stands in the queue of the first of its slots that is full (`blocked_on`), and only these
        make it ready again.

        A slot has a queue for each workflow, so that no run stands behind one that this worker does not
        offer. The head of a queue (lowest rank, then id) is also ready when the first lease of a holder
        ends, and at once when there may be room: after a holder was given back, ended or parked, and after
        a claim that left some. A head that finds another slot full moves there; whoever leaves a queue
        makes the next one its head, which the same claim may give. A claim clears `blocked_on`. A run
        keeps its rank while it is blocked, whatever makes it ready, and when a slotless owner gives it back
        with `wants`, unless its start is still to come.

        An owner that is still set means a take-over, which adds a strike unless the row of that
        worker names another run as its suspect (one that claims its own expired runs is judged by
        the suspect that it held when this claim began). A run that has `SUSPECT_STRIKES` with this claim is
        noted as the suspect on the claiming worker's row; a worker that has one (owns it still, and
        wrote no record) is given no other, but that one again when its lease has run out. Each claim,
        extension and registration of a worker writes its row anew, with the suspect that it holds then or none; until
        the next one the name stays, though somebody else has taken that run over. See `flowgen.runs`.

        To a worker that could not have it otherwise, an open run is given codeless when its first
        unread cancel or its deadline is `CODELESS_AFTER` old, and the end of its lease, if it was not given
        back, is so, too. Its rank is the time at which that became so. It takes no slots.
        """

    async def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        """Extend leases to now + `lease`: those of the current fence that have not expired.

        Also notes that the worker is alive. A suspect that is extended two leases after its claim is
        none any more: its strikes are forgotten.
        """

    async def load(self, app: str, run: str, start: int = 0) -> Loaded | None:
        """The run, its events, its records from position `start`, its unread mail: one read."""

    async def waits(self, event: AcceptedEvent, cursor: str | None = None) -> Page[Wait]:
        """The open waits that `event` may match: same name, `after` below its position, and either
        no path or the value at it, as `flowgen.expression.match_key_at` writes it of the `event_document`. By index:
        cost does not grow with waits that do not match."""

    async def open_waits(self, app: str, run: str) -> tuple[Wait, ...]:
        """The open waits of a run, by id."""

    async def events(
        self,
        name: str,
        since: int,
        path: str | None = None,
        value: str | None = None,
        until: int | None = None,
        limit: int = PAGE,
    ) -> tuple[AcceptedEvent, ...]:
        """Accepted events called `name`, since < position < until, in order of position; with
        `path`, those whose match key at it is `value`."""

    async def event(self, id: str) -> AcceptedEvent | None:
        """One accepted event by its internal id."""

    async def last_position(self, before: int | None = None) -> int:
        """The position of the newest event (accepted earlier than `before`); 0 if there is none."""

    async def unrouted(self, limit: int = PAGE) -> tuple[AcceptedEvent, ...]:
        """Accepted events that no transition has marked `routed`, by position.

        First gives positions to the events whose `ts` has come, the earliest first.
        """

    async def find_keys(self, app: str, names: Sequence[str]) -> dict[str, Key]:
        """Who holds these keys. A free key is absent; an expired one is reported."""

    async def cells(self, app: str, names: Sequence[str]) -> dict[str, Cell]:
        """These cells. One that was never written, or has expired, is absent."""

    async def started_by(self, event: str, cursor: str | None = None) -> Page[RunRow]:
        """The runs that the event with this internal id started, in all apps."""

    async def children(self, app: str, run: str, cursor: str | None = None) -> Page[RunRow]:
        """The runs that this run invoked."""

    async def register(self, registration: Registration) -> int:
        """Replace what an app offers, atomically; returns the new generation.

        Among the digests of a workflow that live workers offer (`ALIVE`), the one *first seen* last
        is in force, so an old process that restarts changes nothing. A workflow that this
        registration lacks is withdrawn if no live worker offers it. Looked at for this app, now.
        """

    async def retire(self, worker: str) -> None:
        """Note that a worker has gone: what it offers, of all apps, counts at no later registration.

        What is in force stays so, and so does the generation: workflows that nobody offers are routed on until an
        engine of their app opens without them. Runs that it still owns are its own until their leases end.
        """

    async def pause(self, app: str, workflow: str, paused: bool) -> int:
        """Note that the runs of a workflow are to wait, or need not any more; returns the new generation.

        Claims do not look at it: workers do not offer what is paused.
        """

    async def registrations(self) -> Registrations:
        """The definitions in force, of all apps, and which of them are paused."""

    async def next_due(self, who: Who) -> int | None:
        """When this worker should look again: the earliest time at which there is a run that it may
        claim, or an event from the future to route (any time in the past means now). None: nothing is
        due by itself. It may be too early for a blocked run whose slot's holder has extended its lease, but
        not in the past again once a claim has looked."""

    async def wait_changed(self, seconds: float) -> None:
        """Return when the store may have changed since the calling task last returned from here, or
        after `seconds`. At least: new runs, events, messages, releases and registrations."""

    async def delete(self, before: int, limit: int = PAGE) -> int:
        """Retention: delete at most `limit` runs that ended before this time, then routed events that
        were accepted before it, below the positions of all events that open runs handle. Keys and
        cells that expired before it go along, unless the holder is an event or an open run that is
        still there. Returns how many runs and events went; call again until 0."""

    async def find_runs(self, where: RunFilter, cursor: str | None = None, limit: int = PAGE) -> Page[RunRow]:
        """Runs, newest first, as the filter says."""

    async def find_events(
        self, name: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> Page[AcceptedEvent]:
        """Accepted events, newest first."""

    def extender(self) -> Extender:
        """A blocking object that extends leases on a connection of its own."""
        ...


Begin = Callable[[RunRow, int], Transition | None]
"""How a run begins that has just been claimed, at this store time: a transition of its owner; None if not at once."""


@runtime_checkable
class Begins(Protocol):
    """What a store may have besides, if it can begin runs in the commit that claims them: a commit less for each.

    A wrapper that passes the verbs of a store on may leave it out.
    """

    async def claim_and_begin(self, who: Who, limit: int, lease: int, begin: Begin) -> Claims:
        """`claim`; then for each run that is given with its code and its slots, as long as nobody else sees anything of
        it: `begin` with its row and store time, the `commit` of what that gives, and a `load`.

        `begin` is pure and quick, and may be called in any thread, and again; what it gives changes nothing but the
        run. One for which it gives None, or whose transition is refused, or that cannot be loaded, is claimed and
        no more.
        """
        ...


@runtime_checkable
class Many(Protocol):
    """What a store may have besides, if many things at once are cheaper for it. A store without it is asked one by one.

    A wrapper that passes the verbs of a store on may leave these out.
    """

    async def commit_many(self, transitions: Sequence[Transition]) -> Sequence[Committed | Refused]:
        """`commit` each of these in order; a refusal stands where its answer would, and concerns no other.

        Once it is under way it is waited for, like `commit`. Any error says that each may have been applied or not.
        """
        ...

    async def awaited(self, names: Collection[str]) -> frozenset[str]:
        """Those of these event names for which there is an open wait, whatever it matches."""
        ...
