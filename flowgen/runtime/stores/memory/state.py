"""What the memory store holds, and how runs are listed for claims.

Dictionaries and indexes over values; the functions that change them are in `commits`, `ownership` and
`registry`. Rows are the only things that change in place, and never leave: they are copied at the door.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Iterable

import attrs

from ....events import AcceptedEvent
from ....history import Record
from ....runs import SUSPECT_STRIKES, Message, RunRow
from ....transition import Cell, Key, Wait
from ...store import CODELESS_AFTER, Registered, Registration
from .indexes import Agenda, EventLog, RunKey, WaitIndex
from .order import Lines, ReadyOrder, chores_at, earliest, rank, ready_at
from .slots import Slots

Named = tuple[str, str]
"""App and name, of a key, a cell or a workflow."""


@attrs.define(eq=False)
class Run:
    """A run as it is kept. `fences` are those that wrote its records, one for each.

    `created_by` is the transition that did. `mail` is what is not drained, by number; `seen` every
    message id it ever got. `cancelled_at` is when its first unread cancel came, `claimed_at` when its
    owner got it, `wanted_at` when it began to want a slot.

    `order` is where it is listed, `holding` the slots that it got with its claim, `queue` that in whose queue
    it stands. `rank` is what it keeps of its place in the ready order: while it is blocked, and while a
    slotless owner has it.
    """

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    created_by: str
    claimed_at: int
    cancelled_at: int
    records: list[Record] = attrs.Factory(list)
    fences: list[int] = attrs.Factory(list)
    mail: dict[int, Message] = attrs.Factory(dict)
    seen: set[str] = attrs.Factory(set)
    waits: dict[str, Wait] = attrs.Factory(dict)
    linked: dict[str, None] = attrs.Factory(dict)
    wanted_at: int = 0
    order: ReadyOrder | None = None
    holding: tuple[str, ...] = ()
    queue: str | None = None
    rank: int | None = None

    @property
    def key(self) -> RunKey:
        return self.row.app, self.row.id


@attrs.define(eq=False)
class Worker:
    """A worker that was seen: when it was last alive, and which run it names as its suspect."""

    seen_at: int = 0
    suspect: RunKey | None = None


@attrs.define(eq=False)
class State:
    """Everything. `versions` counts the writes of keys and cells, so that no version comes back."""

    clock: Callable[[], int]
    highest: int = 0
    runs: dict[RunKey, Run] = attrs.Factory(dict)
    by_creation: list[tuple[int, RunKey]] = attrs.Factory(list)
    started: dict[str, dict[RunKey, None]] = attrs.Factory(dict)
    children: dict[RunKey, list[RunKey]] = attrs.Factory(dict)
    lines: Lines = attrs.Factory(Lines)
    codeless: Agenda = attrs.Factory(Agenda)
    slots: Slots = attrs.Factory(Slots)
    waits: WaitIndex = attrs.Factory(WaitIndex)
    events: EventLog = attrs.Factory(EventLog)
    keys: dict[Named, Key] = attrs.Factory(dict)
    cells: dict[Named, Cell] = attrs.Factory(dict)
    versions: int = 0
    workers: dict[str, Worker] = attrs.Factory(dict)
    registered: dict[tuple[str, str], Registration] = attrs.Factory(dict)
    first_seen: dict[tuple[str, str, str], int] = attrs.Factory(dict)
    in_force: dict[Named, Registered] = attrs.Factory(dict)
    paused: set[Named] = attrs.Factory(set)
    generation: int = 0

    def now(self) -> int:
        """Store time: what the clock says, but never less than before."""
        self.highest = max(self.highest, self.clock())
        return self.highest

    def run(self, app: str, id: str) -> Run | None:
        """A run, if there is one with this id."""
        return self.runs.get((app, id))

    def cell(self, app: str, name: str, now: int) -> Cell | None:
        """A cell, if it was written and has not expired."""
        cell = self.cells.get((app, name))
        if cell is None or (cell.expires_at is not None and cell.expires_at <= now):
            return None
        return cell

    def position_of(self, event: str) -> int:
        """The position of an event, 0 if it has none yet."""
        kept = self.events.get(event)
        return (kept.position or 0) if kept is not None else 0

    def next_version(self, seen: int) -> int:
        """The version of a key or cell that is written when `seen` was the one before (0: there was none)."""
        self.versions += 1
        return seen + 1 if seen else self.versions

    def note_creation(self, run: Run) -> None:
        """Make a new run findable by its time, its events and its parent."""
        row = run.row
        insort(self.by_creation, (row.created_at, run.key))
        self.link(run, run.events)
        if row.parent is not None:
            self.children.setdefault((row.parent.app, row.parent.run), []).append(run.key)

    def link(self, run: Run, events: Iterable[AcceptedEvent]) -> None:
        """These events started the run."""
        for event in events:
            run.linked[event.id] = None
            self.started.setdefault(event.id, {})[run.key] = None

    # -- a state that was kept elsewhere ------------------------------------------------------------

    def restore_run(self, run: Run) -> None:
        """Make a run that is in `runs` again findable, as it was when it was put away; all others are there too."""
        linked, holding = list(run.linked), run.holding
        self.note_creation(run)
        for event in linked:
            self.started.setdefault(event, {})[run.key] = None
        for wait in run.waits.values():
            self.waits.put(wait)
        self.list_run(run)
        if holding and run.row.owner is not None and run.row.due_at is not None:
            run.holding = holding
            self.slots.hold(run.key, holding, run.row.due_at)

    def restore_queues(self, freed: Iterable[tuple[str, str, str, int]]) -> None:
        """In these queues (app, slot, workflow) there is room since then; to be called when all runs are restored."""
        self.slots.restore(freed)
        for app, slot in {(run.row.app, run.queue) for run in self.runs.values() if run.queue is not None}:
            self.relist_heads(app, [slot])

    # -- where claims find a run --------------------------------------------------------------------

    def list_run(self, run: Run) -> None:
        """List a run where claims will find it, and nowhere else; to be called when its row has changed."""
        row = run.row
        if row.slots:
            self._list_slots(run)
        self._list_ready(run)
        codeless_at = self._codeless_at(run)
        if codeless_at is not None:
            self.codeless.put(run.key, codeless_at)
        elif self.codeless:
            self.codeless.discard(run.key)

    def relist_heads(self, app: str, names: Iterable[str]) -> None:
        """List the heads of the queues of these slots again: it has changed when there may be room."""
        for head in tuple(self.slots.heads(app, names)):
            self._list_ready(self.runs[head])

    def _list_slots(self, run: Run) -> None:
        """Hold the slots that the owner of a run got, and stand in the queue where it is blocked."""
        row, key, slots = run.row, run.key, self.slots
        heads = tuple(slots.heads(row.app, row.slots))
        if run.holding and row.owner is not None and row.due_at is not None and row.due_at > self.highest:
            slots.hold(key, run.holding, row.due_at)
        else:
            slots.let_go(key, row.slots, self.highest)
            run.holding = ()
        if run.queue != row.blocked_on:
            if run.queue is not None:
                slots.leave(key, run.queue, row.workflow)
            if row.blocked_on is not None and run.rank is not None:
                slots.join(key, row.blocked_on, row.workflow, run.rank)
            run.queue = row.blocked_on
        for head in heads:
            self._list_ready(self.runs[head])
        self.relist_heads(row.app, row.slots)

    def _list_ready(self, run: Run) -> None:
        ready_at = self._ready_at(run)
        order = self.lines.of(run.row) if ready_at is not None else None
        if run.order is not order and run.order is not None:
            run.order.discard(run.key)
        run.order = order
        if order is not None and ready_at is not None:
            order.put(run.key, ready_at, self.rank_of(run), self.highest)

    def _ready_at(self, run: Run) -> int | None:
        row = run.row
        if not row.open:
            return None
        if run.queue is None:
            return ready_at(row, run.wanted_at)
        return earliest(chores_at(row), self.slots.ready_at(run.key, run.queue, row.workflow))

    def rank_of(self, run: Run) -> int:
        """The rank of a run: the one that it keeps, or that of the time at which it is ready."""
        row = run.row
        if run.rank is not None and row.owner is None:
            return run.rank
        return rank(row, ready_at(row, run.wanted_at) or 0)

    def _codeless_at(self, run: Run) -> int | None:
        """When a run may be ended without its code: a while after a cancel or its deadline, and its last lease."""
        row = run.row
        if not row.open or not (row.unread_cancel or row.deadline is not None):
            return None
        since = earliest(run.cancelled_at if row.unread_cancel else None, row.deadline) or 0
        last_leased = row.due_at if row.owner is not None and row.due_at is not None else 0
        return max(since, last_leased) + CODELESS_AFTER

    def suspect_of(self, worker: str) -> RunKey | None:
        """The run that a worker names as its suspect, if it still holds it."""
        named = self.workers[worker].suspect if worker in self.workers else None
        run = self.runs.get(named) if named is not None else None
        held = run is not None and run.row.owner == worker and run.row.strikes >= SUSPECT_STRIKES
        return named if held else None

    def note_alive(self, worker: str, now: int, suspect: RunKey | None) -> None:
        """A worker is alive, and names this suspect."""
        self.workers[worker] = Worker(now, suspect)

    def clear_suspect(self, run: Run) -> None:
        """The owner of this run has shown that it survives it, or gives it back."""
        owner = self.workers.get(run.row.owner or "")
        if owner is not None and owner.suspect == run.key:
            owner.suspect = None
