"""What the memory store holds, and how runs are listed for claims.

Dictionaries and indexes over values; the functions that change them are in `commits`, `ownership` and
`registry`. Rows are the only things that change in place, and never leave: they are copied at the door.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable

import attrs

from ....events import AcceptedEvent
from ....history import Record
from ....runs import SUSPECT_STRIKES, Message, RunRow
from ....transition import Cell, Key, Wait
from ...store import CODELESS_AFTER, Registered, Registration
from .indexes import Agenda, EventLog, RunKey, WaitIndex

Named = tuple[str, str]
"""App and name, of a key, a cell or a workflow."""


@attrs.define(eq=False)
class Run:
    """A run as it is kept. `fences` are those that wrote its records, one for each.

    `created_by` is the transition that did. `mail` is what is not drained, by number; `seen` every
    message id it ever got. `agenda` is where it is listed as due. `cancelled_at` is when its first unread
    cancel came, `claimed_at` when its owner got it.
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
    agenda: Agenda | None = None

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
    started: dict[str, list[RunKey]] = attrs.Factory(dict)
    children: dict[RunKey, list[RunKey]] = attrs.Factory(dict)
    due: dict[Named, Agenda] = attrs.Factory(dict)
    parked: dict[Named, dict[str | None, Agenda]] = attrs.Factory(dict)
    cancelled: Agenda = attrs.Factory(Agenda)
    waits: WaitIndex = attrs.Factory(WaitIndex)
    events: EventLog = attrs.Factory(EventLog)
    keys: dict[Named, Key] = attrs.Factory(dict)
    cells: dict[Named, Cell] = attrs.Factory(dict)
    versions: int = 0
    workers: dict[str, Worker] = attrs.Factory(dict)
    registered: dict[tuple[str, str], Registration] = attrs.Factory(dict)
    first_seen: dict[tuple[str, str, str], int] = attrs.Factory(dict)
    in_force: dict[Named, Registered] = attrs.Factory(dict)
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
        for event in run.events:
            self.started.setdefault(event.id, []).append(run.key)
        if row.parent is not None:
            self.children.setdefault((row.parent.app, row.parent.run), []).append(run.key)

    def list_run(self, run: Run) -> None:
        """List a run where claims will find it, and nowhere else; to be called when its row has changed."""
        row = run.row
        agenda = self._agenda(row) if row.due_at is not None else None
        if run.agenda is not agenda and run.agenda is not None:
            run.agenda.discard(run.key)
        run.agenda = agenda
        if agenda is not None and row.due_at is not None:
            agenda.put(run.key, row.due_at)
        if row.open and row.unread_cancel:
            last_leased = row.due_at if row.owner is not None and row.due_at is not None else 0
            self.cancelled.put(run.key, max(run.cancelled_at, last_leased) + CODELESS_AFTER)
        elif self.cancelled:
            self.cancelled.discard(run.key)

    def _agenda(self, row: RunRow) -> Agenda:
        name = (row.app, row.workflow)
        if row.stored != "parked":
            return self.due.get(name) or self.due.setdefault(name, Agenda())
        agendas = self.parked.setdefault(name, {})
        return agendas.get(row.digest) or agendas.setdefault(row.digest, Agenda())

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
