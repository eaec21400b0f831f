"""`DocumentStore`: the verbs of the contract over a shelf.

What the verbs mean is the memory store's business: the same functions, on a state that is kept as documents.
This module says which of them change something, and waits for them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Final, TypeVar
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
from ..memory import commits, counting, ownership, queries, registry
from .desk import Desk, Noted
from .shelf import Shelf

T = TypeVar("T")

POLL: Final = (0.05, 0.5)
"""Changes of other processes are looked for so often at first, and after a while (seconds)."""


def _wall_clock() -> int:
    return time.time_ns() // 1000


class DocumentStore:
    """A store that keeps its state as documents on a shelf, which several processes may share.

    `shelf` keeps the documents. `clock` gives microseconds since the epoch (default: the wall clock). With
    `inline`, the shelf is used on the calling thread instead of another one: for shelves that never wait, and for
    simulations.

    A run, its history and its mailbox are one document, so writing costs what the run has grown to; and all documents
    are in memory, and read again when another process has changed any. That suits up to some thousand runs.
    """

    features = frozenset({"find_runs", "find_events", "changes"})

    def __init__(self, shelf: Shelf, clock: Callable[[], int] | None = None, *, inline: bool = False) -> None:
        self.shelf = shelf
        self._desk = Desk(shelf, clock or _wall_clock)
        self._inline = inline
        self._turn = trio.CapacityLimiter(1)
        self._changed = trio.Event()
        self._seen: WeakKeyDictionary[trio.lowlevel.Task, int] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"DocumentStore({self.shelf!r})"

    async def open(self) -> None:
        await self._do(self._desk.open)

    async def close(self) -> None:
        with trio.CancelScope(shield=True):
            await self._do(self._desk.close)

    async def _do(self, work: Callable[[], T]) -> T:
        """Do something that may wait for the shelf. Who is cancelled is so before it began, or not at all."""
        if self._inline:
            await trio.lowlevel.checkpoint()
            return work()
        return await trio.to_thread.run_sync(work, limiter=self._turn)

    async def _look(self, read: Callable[[Noted], T]) -> T:
        return await self._do(lambda: self._desk.look(read))

    async def _change(self, verb: Callable[[Noted], T]) -> T:
        answer = await self._do(lambda: self._desk.change(verb))
        self._changed.set()
        self._changed = trio.Event()
        return answer

    async def now(self) -> int:
        return await self._look(Noted.now)

    # -- writing ------------------------------------------------------------------------------------

    async def commit(self, transition: Transition) -> Committed:
        return await self._change(lambda state: _commit(state, transition))

    async def commit_many(self, transitions: Sequence[Transition]) -> tuple[Committed | Refused, ...]:
        return await self._change(lambda state: tuple([_answered(state, transition) for transition in transitions]))

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        return await self._change(lambda state: ownership.claim(state, who, limit, lease))

    async def claim_and_begin(self, who: Who, limit: int, lease: int, begin: Begin) -> Claims:
        return await self._change(lambda state: _claim_and_begin(state, who, limit, lease, begin))

    async def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        return await self._change(lambda state: ownership.extend(state, worker, leases, lease))

    async def register(self, registration: Registration) -> int:
        return await self._change(lambda state: registry.register(state, registration))

    async def retire(self, worker: str) -> None:
        await self._change(lambda state: registry.retire(state, worker))

    async def pause(self, app: str, workflow: str, paused: bool) -> int:
        return await self._change(lambda state: registry.pause(state, (app, workflow), paused))

    async def delete(self, before: int, limit: int = PAGE) -> int:
        return await self._change(lambda state: state.note_deletions(lambda: queries.delete(state, before, limit)))

    async def unrouted(self, limit: int = PAGE) -> tuple[AcceptedEvent, ...]:
        return await self._change(lambda state: _unrouted(state, limit))

    def extender(self) -> Extender:
        return _Extender(self._desk)

    # -- reading ------------------------------------------------------------------------------------

    async def load(self, app: str, run: str, start: int = 0) -> Loaded | None:
        return await self._look(lambda state: queries.load(state, app, run, start))

    async def waits(self, event: AcceptedEvent, cursor: str | None = None) -> Page[Wait]:
        return await self._look(lambda state: queries.waits(state, event, cursor))

    async def awaited(self, names: Collection[str]) -> frozenset[str]:
        return await self._look(lambda state: state.waits.awaited(names))

    async def open_waits(self, app: str, run: str) -> tuple[Wait, ...]:
        return await self._look(lambda state: queries.open_waits(state, app, run))

    async def events(
        self,
        name: str,
        since: int,
        path: str | None = None,
        value: str | None = None,
        until: int | None = None,
        limit: int = PAGE,
    ) -> tuple[AcceptedEvent, ...]:
        limit = min(limit, PAGE)
        return await self._look(lambda state: tuple(state.events.between(name, since, until, path, value)[:limit]))

    async def event(self, id: str) -> AcceptedEvent | None:
        return await self._look(lambda state: state.events.get(id))

    async def last_position(self, before: int | None = None) -> int:
        return await self._look(lambda state: state.events.last_position(before))

    async def find_keys(self, app: str, names: Sequence[str]) -> dict[str, Key]:
        return await self._look(lambda state: queries.find_keys(state, app, names))

    async def cells(self, app: str, names: Sequence[str]) -> dict[str, Cell]:
        return await self._look(lambda state: queries.cells(state, app, names))

    async def started_by(self, event: str, cursor: str | None = None) -> Page[RunRow]:
        return await self._look(lambda state: queries.started_by(state, event, cursor))

    async def children(self, app: str, run: str, cursor: str | None = None) -> Page[RunRow]:
        return await self._look(lambda state: queries.children(state, app, run, cursor))

    async def registrations(self) -> Registrations:
        return await self._look(registry.registrations)

    async def find_runs(self, where: RunFilter, cursor: str | None = None, limit: int = PAGE) -> Page[RunRow]:
        return await self._look(lambda state: queries.find_runs(state, where, cursor, limit))

    async def count_runs(
        self, app: str | None, workflow: str | None, edges: Sequence[int]
    ) -> Sequence[Mapping[str, Count]]:
        return await self._look(lambda state: counting.count_runs(state, app, workflow, edges))

    async def find_events(
        self, name: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> Page[AcceptedEvent]:
        return await self._look(lambda state: queries.find_events(state, name, cursor, limit))

    # -- when to look again ---------------------------------------------------------------------------

    async def next_due(self, who: Who) -> int | None:
        return await self._look(lambda state: ownership.next_due(state, who))

    async def wait_changed(self, seconds: float) -> None:
        """As the contract says. This process tells itself; other ones are noticed by a poll."""
        task = trio.lowlevel.current_task()
        version = await self._do(self._desk.version)
        seen = self._seen.get(task, version)
        pause, longest = POLL
        with trio.move_on_after(seconds):
            while version == seen:
                with trio.move_on_after(pause):
                    await self._changed.wait()
                pause = min(2 * pause, longest)
                version = await self._do(self._desk.version)
        self._seen[task] = version


def _commit(state: Noted, transition: Transition) -> Committed:
    now = state.now()
    if not commits.applied(state, transition):
        commits.check(state, transition, now)
        commits.apply(state, transition, now)
        if transition.progress is not None:
            state.runs_noted.add((transition.progress.app, transition.progress.run))
        state.runs_noted.update([(wait.app, wait.run) for wait in transition.open_waits])
        state.events_noted.update([*(event.id for event in transition.accept), *transition.routed])
        state.keys_noted.update([(take.app, take.name) for take in transition.take])
        state.keys_noted.update([(drop.app, drop.name) for drop in transition.drop])
        state.cells_noted.update([(cell.app, cell.name) for cell in transition.cells])
    return commits.answer(state, transition, now)


def _claim_and_begin(state: Noted, who: Who, limit: int, lease: int, begin: Begin) -> Claims:
    claims = ownership.claim(state, who, limit, lease)
    return begun(claims, begin, partial(_commit, state), lambda p: queries.load(state, p.app, p.run, 0))


def _answered(state: Noted, transition: Transition) -> Committed | Refused:
    try:
        return _commit(state, transition)
    except Refused as refused:
        return refused


def _unrouted(state: Noted, limit: int) -> tuple[AcceptedEvent, ...]:
    before = state.events.last
    state.events.promote(state.now())
    if state.events.last > before:
        state.events_noted.update(e.id for e in state.events.unrouted.values() if (e.position or 0) > before)
    return state.events.first_unrouted(min(limit, PAGE))


@attrs.frozen
class _Extender:
    """Extends leases from the heartbeat thread: no task, and the shelf is used on that thread."""

    desk: Desk

    def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        return self.desk.change(lambda state: ownership.extend(state, worker, leases, lease))

    def close(self) -> None:
        """Nothing to let go: the shelf is the store's."""
