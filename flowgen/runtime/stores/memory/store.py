"""`MemoryStore`: the verbs of the contract over one `State`.

Each verb checkpoints once, then does all its work under a plain lock without waiting. So verbs are atomic
between trio tasks, and the extender may be used from the heartbeat thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from weakref import WeakKeyDictionary

import attrs
import trio

from ....events import AcceptedEvent
from ....runs import RunRow
from ....transition import Cell, Key, Transition, Wait
from ...counting import Count
from ...store import (
    PAGE,
    Begin,
    Claims,
    Committed,
    Extended,
    Extender,
    Lease,
    Loaded,
    Page,
    Refused,
    Registration,
    Registrations,
    RunFilter,
    Who,
)
from ..begun import begun
from . import commits, counting, ownership, queries, registry
from .state import State


def _wall_clock() -> int:
    return time.time_ns() // 1000


class MemoryStore:
    """A store in memory: the contract in plain Python, and the reference for every other store.

    Engines of one process may share it; nothing outlives it. `clock` gives microseconds since the epoch
    (default: the wall clock).
    """

    features = frozenset({"find_runs", "find_events", "changes"})

    _pause = staticmethod(trio.lowlevel.checkpoint)
    """What each verb does first: others have a turn."""

    def __init__(self, clock: Callable[[], int] | None = None) -> None:
        self._state = State(clock or _wall_clock)
        self._lock = threading.Lock()
        self._changes = 0
        self._changed = trio.Event()
        self._seen: WeakKeyDictionary[trio.lowlevel.Task, int] = WeakKeyDictionary()

    async def open(self) -> None:
        await self._pause()

    async def close(self) -> None:
        await self._pause()

    async def now(self) -> int:
        await self._pause()
        with self._lock:
            return self._state.now()

    # -- writing ------------------------------------------------------------------------------------

    async def commit(self, transition: Transition) -> Committed:
        await self._pause()
        return self._commit(transition)

    async def commit_many(self, transitions: Sequence[Transition]) -> tuple[Committed | Refused, ...]:
        await self._pause()
        answers: list[Committed | Refused] = []
        for transition in transitions:
            try:
                answers.append(self._commit(transition))
            except Refused as refused:
                answers.append(refused)
        return tuple(answers)

    def _commit(self, transition: Transition) -> Committed:
        with self._lock:
            state = self._state
            now = state.now()
            if (appended := commits.append(state, transition, now)) is not None:
                return appended
            if not commits.applied(state, transition):
                commits.check(state, transition, now)
                if commits.apply(state, transition, now):
                    self._announce()
            return commits.answer(state, transition, now)

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        await self._pause()
        with self._lock:
            return ownership.claim(self._state, who, limit, lease)

    async def claim_and_begin(self, who: Who, limit: int, lease: int, begin: Begin) -> Claims:
        claims = await self.claim(who, limit, lease)
        return begun(claims, begin, self._commit, lambda progress: self._load(progress.app, progress.run))

    async def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        await self._pause()
        return self._extend(worker, leases, lease)

    def _extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        with self._lock:
            return ownership.extend(self._state, worker, leases, lease)

    def extender(self) -> Extender:
        return _Extender(self._extend)

    async def register(self, registration: Registration) -> int:
        await self._pause()
        with self._lock:
            generation = registry.register(self._state, registration)
            self._announce()
            return generation

    async def retire(self, worker: str) -> None:
        await self._pause()
        with self._lock:
            registry.retire(self._state, worker)

    async def pause(self, app: str, workflow: str, paused: bool) -> int:
        await self._pause()
        with self._lock:
            generation = registry.pause(self._state, (app, workflow), paused)
            self._announce()
            return generation

    async def delete(self, before: int, limit: int = PAGE) -> int:
        await self._pause()
        with self._lock:
            return queries.delete(self._state, before, limit)

    # -- reading ------------------------------------------------------------------------------------

    async def load(self, app: str, run: str, start: int = 0) -> Loaded | None:
        await self._pause()
        return self._load(app, run, start)

    def _load(self, app: str, run: str, start: int = 0) -> Loaded | None:
        with self._lock:
            return queries.load(self._state, app, run, start)

    async def waits(self, event: AcceptedEvent, cursor: str | None = None) -> Page[Wait]:
        await self._pause()
        with self._lock:
            return queries.waits(self._state, event, cursor)

    async def awaited(self, names: Collection[str]) -> frozenset[str]:
        await self._pause()
        with self._lock:
            return self._state.waits.awaited(names)

    async def open_waits(self, app: str, run: str) -> tuple[Wait, ...]:
        await self._pause()
        with self._lock:
            kept = self._state.run(app, run)
            return tuple([kept.waits[id] for id in sorted(kept.waits)]) if kept is not None else ()

    async def events(
        self,
        name: str,
        since: int,
        path: str | None = None,
        value: str | None = None,
        until: int | None = None,
        limit: int = PAGE,
    ) -> tuple[AcceptedEvent, ...]:
        await self._pause()
        with self._lock:
            found = self._state.events.between(name, since, until, path, value)
            return tuple(found[: min(limit, PAGE)])

    async def event(self, id: str) -> AcceptedEvent | None:
        await self._pause()
        with self._lock:
            return self._state.events.get(id)

    async def last_position(self, before: int | None = None) -> int:
        await self._pause()
        with self._lock:
            return self._state.events.last_position(before)

    async def unrouted(self, limit: int = PAGE) -> tuple[AcceptedEvent, ...]:
        await self._pause()
        with self._lock:
            self._state.events.promote(self._state.now())
            return self._state.events.first_unrouted(min(limit, PAGE))

    async def find_keys(self, app: str, names: Sequence[str]) -> dict[str, Key]:
        await self._pause()
        with self._lock:
            held = {name: self._state.keys.get((app, name)) for name in names}
            return {name: key for name, key in held.items() if key is not None}

    async def cells(self, app: str, names: Sequence[str]) -> dict[str, Cell]:
        await self._pause()
        with self._lock:
            now = self._state.now()
            written = {name: self._state.cell(app, name, now) for name in names}
            return {name: cell for name, cell in written.items() if cell is not None}

    async def started_by(self, event: str, cursor: str | None = None) -> Page[RunRow]:
        await self._pause()
        with self._lock:
            return queries.started_by(self._state, event, cursor)

    async def children(self, app: str, run: str, cursor: str | None = None) -> Page[RunRow]:
        await self._pause()
        with self._lock:
            return queries.children(self._state, app, run, cursor)

    async def registrations(self) -> Registrations:
        await self._pause()
        with self._lock:
            return registry.registrations(self._state)

    async def find_runs(self, where: RunFilter, cursor: str | None = None, limit: int = PAGE) -> Page[RunRow]:
        await self._pause()
        with self._lock:
            return queries.find_runs(self._state, where, cursor, limit)

    async def count_runs(
        self, app: str | None, workflow: str | None, edges: Sequence[int]
    ) -> Sequence[Mapping[str, Count]]:
        await self._pause()
        with self._lock:
            return counting.count_runs(self._state, app, workflow, edges)

    async def find_events(
        self, name: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> Page[AcceptedEvent]:
        await self._pause()
        with self._lock:
            return queries.find_events(self._state, name, cursor, limit)

    # -- when to look again ---------------------------------------------------------------------------

    async def next_due(self, who: Who) -> int | None:
        await self._pause()
        with self._lock:
            return ownership.next_due(self._state, who)

    async def wait_changed(self, seconds: float) -> None:
        task, changed = trio.lowlevel.current_task(), self._changed
        if self._seen.get(task, self._changes) == self._changes:
            with trio.move_on_after(seconds):
                await changed.wait()
        else:
            await self._pause()
        self._seen[task] = self._changes

    def _announce(self) -> None:
        self._changes += 1
        self._changed.set()
        self._changed = trio.Event()


@attrs.frozen
class _Extender:
    """The blocking door of the heartbeat thread: the same lock, no task."""

    extend: Callable[[str, Sequence[Lease], int], Extended]

    def close(self) -> None:
        """Nothing to let go: there is no connection."""
