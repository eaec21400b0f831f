"""An engine's connection to the store: where a simulated engine meets its faults.

It is a `Store` that passes everything on to the real one, and writes down what took effect. In between
happens what happens to connections: answers are late, fail or never come, the engine behind it dies.

Rules
-----
* A dead engine's connection answers nothing and lets nothing through: whoever uses it meets `EngineDied`,
  which is no `Exception`, so that no handler in the engine outlives it.
* What reached the store is not undone: an engine that dies after that does not know it.
* An engine is spared while it owns a run that one more strike would fail: faults must not change results.

Refuses to know what an engine does with the answers.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import NoReturn, TypeVar

import attrs
import trio

from ..duration import format_duration
from ..errors import StoreError
from ..events import AcceptedEvent
from ..runs import RunRow
from ..runtime.store import (
    PAGE,
    Begin,
    Begins,
    Claims,
    Committed,
    Extended,
    Extender,
    Lease,
    LeaseLost,
    Loaded,
    Many,
    Page,
    Refused,
    Registration,
    Registrations,
    RunFilter,
    Store,
    Who,
)
from ..runtime.stores.memory import MemoryStore
from ..runtime.worker import Worker
from ..transition import Cell, Key, Transition, Wait
from .world import JUMP, Life, Request, World

DELAY_SECONDS = 0.1
LATE_COPY_SECONDS = 30.0

T = TypeVar("T")

_DEADLY = frozenset({"commit", "claim"})


class EngineDied(BaseException):
    """The engine behind a connection is dead."""


@attrs.frozen
class _Fate:
    """What is to happen to one request: a fault or none, before or after the request takes effect."""

    fault: str | None = None
    after: bool = False


_NOTHING = _Fate()
_PLANNED = {
    "crash_before": _Fate("crash"),
    "crash_after": _Fate("crash", after=True),
    "error_before": _Fate("store_error"),
    "error_after": _Fate("store_error", after=True),
}


class Connection:
    """The store, as one life of an engine sees it.

    `die` is called when the engine dies. `worker` is set once there is one, for evictions.
    """

    def __init__(self, world: World, store: Store, life: Life, nursery: trio.Nursery, kill: Callable[[], None]) -> None:
        self.features = store.features
        self.worker: Worker | None = None
        self.dead = False
        self._world = world
        self._dice = world.dice
        self._store = store
        self._life = life
        self._nursery = nursery
        self._kill = kill
        self._cut_off_until = 0.0
        self._lease = 0.0
        self._in_one_go = type(store) is MemoryStore
        self._commits = 0
        self._open_commits: set[int] = set()

    # -- writing ----------------------------------------------------------------------------------

    async def commit(self, transition: Transition) -> Committed:
        if self._dice.quiet:
            return await self._ask("commit", lambda: self._apply(transition))
        request = self._world.request(self._life, transition)
        self._commits += 1
        number = self._commits
        self._open_commits.add(number)
        try:
            return await self._ask("commit", lambda: self._commit(transition, number, request), request)
        finally:
            self._open_commits.discard(number)

    async def commit_many(self, transitions: Sequence[Transition]) -> list[Committed | Refused]:
        """Each is a request of its own, with its own fate; when one fails, nobody knows of any."""
        answers: list[Committed | Refused] = []
        for transition in transitions:
            try:
                answers.append(await self.commit(transition))
            except Refused as refused:
                answers.append(refused)
        return answers

    async def _commit(self, transition: Transition, number: int, request: Request | None) -> Committed:
        if min(self._open_commits, default=number) < number:
            self._world.count("overtaken")
        self._open_commits.discard(number)
        committed = await self._apply(transition)
        if request is not None and self._dice.planned(request.number) == "twice":
            self._dice.plan_happens("twice")
            return await self._repeat(transition, committed)
        if self._dice.says("duplicate"):
            if self._dice.half("duplicate"):
                return await self._repeat(transition, committed)
            self._nursery.start_soon(self._deliver_late, transition)
        return committed

    async def _apply(self, transition: Transition) -> Committed:
        try:
            committed = await self._store.commit(transition)
        except Refused as refused:
            self._world.count(f"refused: {type(refused).__name__}")
            raise
        self._world.committed(self._life, transition)
        return committed

    async def _repeat(self, transition: Transition, committed: Committed) -> Committed:
        self._note("a commit is delivered twice")
        try:
            return await self._apply(transition)
        except Refused as refused:
            if not self._moved_on(transition, refused):
                self._world.broken(
                    f"commit {transition.id} was accepted, and refused when it was repeated: {refused!r}"
                )
            return committed

    def _moved_on(self, transition: Transition, refused: Refused) -> bool:
        """Whether the run was given back without a record, and claimed since: then nothing tells the repetition."""
        progress = transition.progress
        if progress is None or progress.records or not progress.release:
            return False
        return isinstance(refused, LeaseLost) and self._world.runs[progress.run].fence > progress.fence

    async def _deliver_late(self, transition: Transition) -> None:
        """A copy of a commit that got lost on its way, and arrives after all. Whatever comes of it, nobody hears."""
        with self._world.working():
            await self._world.clock.sleep(self._dice.between("duplicate", 0, LATE_COPY_SECONDS))
            self._note("a commit is delivered once more")
            try:
                await self._apply(transition)
            except Refused:
                return

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        return await self._ask_claim(who, limit, lease)

    async def claim_and_begin(self, who: Who, limit: int, lease: int, begin: Begin) -> Claims:
        """What the store cannot begin is claimed and no more."""
        return await self._ask_claim(who, limit, lease, begin)

    async def _ask_claim(self, who: Who, limit: int, lease: int, begin: Begin | None = None) -> Claims:
        self._lease = lease / 1_000_000
        request = self._world.request(self._life, None)
        if self.worker is not None and not self._dice.quiet:
            self._evict(self.worker, request)
        return await self._ask("claim", lambda: self._claim(who, limit, lease, request, begin), request)

    def _evict(self, worker: Worker, request: Request | None) -> None:
        if request is not None and self._dice.planned(request.number) == "evict":
            self._note("its live generators are dropped")
            self._dice.plan_happens("evict")
            worker.evict(lambda key: True)
        worker.evict(lambda key: self._dice.says("evict"))

    async def _claim(
        self, who: Who, limit: int, lease: int, request: Request | None, begin: Begin | None = None
    ) -> Claims:
        if begin is not None and isinstance(self._store, Begins):
            claims = await self._store.claim_and_begin(who, limit, lease, begin)
        else:
            claims = await self._store.claim(who, limit, lease)
        self._world.claimed(self._life, claims, who.limits)
        self._world.begun(self._life, claims)
        if request is not None:
            request.asked = claims
        return claims

    async def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        self._lease = lease / 1_000_000
        if leases and not self._dice.quiet:
            await self._lose_leases()
        return await self._ask("extend", lambda: self._extend(worker, leases, lease))

    async def _extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        extended = await self._store.extend(worker, leases, lease)
        self._world.extended(leases, extended, lease)
        return extended

    async def _lose_leases(self) -> None:
        """Maybe leases are not extended: the engine stands still, nothing gets through, or no heartbeat does."""
        if self._meets("pause"):
            self._stand_still()
        elif self._meets("partition"):
            seconds = self._longer_than_a_lease("partition")
            self._note(f"it is cut off from the store for {seconds:.1f} s")
            self._cut_off_until = trio.current_time() + seconds
        elif self._meets("lost_lease"):
            seconds = self._longer_than_a_lease("lost_lease")
            self._note(f"its leases are not extended for {seconds:.1f} s")
            with self._world.working():
                await self._sit_out(trio.current_time() + seconds)

    def _stand_still(self) -> None:
        seconds = self._longer_than_a_lease("pause")
        self._note(f"the engine stands still for {seconds:.1f} s")
        self._life.stands_until = trio.current_time() + seconds

    def _longer_than_a_lease(self, fault: str) -> float:
        return self._dice.between(fault, 1.0, 3.0) * self._lease

    async def wait_while_it_stands(self) -> None:
        """Whatever an engine does, it does it after it stood still."""
        await self._sit_out(self._life.stands_until)

    async def _sit_out(self, until: float) -> None:
        """Wait for a fault to be over; at once if the engine has got a run that must not lose it once more."""
        moments = max(0, math.ceil(until - trio.current_time()))
        for _ in range(moments):
            if not self._world.may_fail(self._life):
                return
            await self._world.clock.sleep(min(1.0, until - trio.current_time()))

    async def register(self, registration: Registration) -> int:
        return await self._ask("register", lambda: self._store.register(registration))

    async def retire(self, worker: str) -> None:
        await self._ask("retire", lambda: self._store.retire(worker))

    async def pause(self, app: str, workflow: str, paused: bool) -> int:
        return await self._ask("pause", lambda: self._store.pause(app, workflow, paused))

    async def delete(self, before: int, limit: int = PAGE) -> int:
        return await self._ask("delete", lambda: self._store.delete(before, limit))

    # -- reading ----------------------------------------------------------------------------------

    async def now(self) -> int:
        return await self._ask("now", self._store.now)

    async def load(self, app: str, run: str, start: int = 0) -> Loaded | None:
        return await self._ask("load", lambda: self._store.load(app, run, start))

    async def waits(self, event: AcceptedEvent, cursor: str | None = None) -> Page[Wait]:
        return await self._ask("waits", lambda: self._store.waits(event, cursor))

    async def awaited(self, names: Collection[str]) -> frozenset[str]:
        if not isinstance(self._store, Many):
            return frozenset(names)
        many = self._store
        return await self._ask("awaited", lambda: many.awaited(names))

    async def open_waits(self, app: str, run: str) -> tuple[Wait, ...]:
        return await self._ask("open_waits", lambda: self._store.open_waits(app, run))

    async def events(
        self,
        name: str,
        since: int,
        path: str | None = None,
        value: str | None = None,
        until: int | None = None,
        limit: int = PAGE,
    ) -> tuple[AcceptedEvent, ...]:
        return await self._ask("events", lambda: self._store.events(name, since, path, value, until, limit))

    async def event(self, id: str) -> AcceptedEvent | None:
        return await self._ask("event", lambda: self._store.event(id))

    async def last_position(self, before: int | None = None) -> int:
        return await self._ask("last_position", lambda: self._store.last_position(before))

    async def unrouted(self, limit: int = PAGE) -> tuple[AcceptedEvent, ...]:
        return await self._ask("unrouted", lambda: self._store.unrouted(limit))

    async def find_keys(self, app: str, names: Sequence[str]) -> dict[str, Key]:
        return await self._ask("find_keys", lambda: self._store.find_keys(app, names))

    async def cells(self, app: str, names: Sequence[str]) -> dict[str, Cell]:
        return await self._ask("cells", lambda: self._store.cells(app, names))

    async def started_by(self, event: str, cursor: str | None = None) -> Page[RunRow]:
        return await self._ask("started_by", lambda: self._store.started_by(event, cursor))

    async def children(self, app: str, run: str, cursor: str | None = None) -> Page[RunRow]:
        return await self._ask("children", lambda: self._store.children(app, run, cursor))

    async def registrations(self) -> Registrations:
        return await self._ask("registrations", self._store.registrations)

    async def next_due(self, who: Who) -> int | None:
        return await self._ask("next_due", lambda: self._store.next_due(who))

    async def find_runs(self, where: RunFilter, cursor: str | None = None, limit: int = PAGE) -> Page[RunRow]:
        return await self._ask("find_runs", lambda: self._store.find_runs(where, cursor, limit))

    async def find_events(
        self, name: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> Page[AcceptedEvent]:
        return await self._ask("find_events", lambda: self._store.find_events(name, cursor, limit))

    async def wait_changed(self, seconds: float) -> None:
        self._check_alive()
        await self._store.wait_changed(seconds)

    # -- opening and closing: the store itself outlives its engines -------------------------------

    async def open(self) -> None:
        self._check_alive()

    async def close(self) -> None:
        """The engine is done with it."""

    def extender(self) -> Extender:
        return self._store.extender()

    # -- what happens on the way ------------------------------------------------------------------

    async def _ask(self, verb: str, ask: Callable[[], Awaitable[T]], request: Request | None = None) -> T:
        world = self._world
        world.busy += 1
        try:
            if self.dead:
                raise EngineDied
            if self._dice.quiet:
                answer = await self._uncut(ask)
            else:
                answer = await self._through_faults(verb, ask, request)
            if self.dead:
                raise EngineDied
            return answer
        finally:
            world.busy -= 1

    async def _uncut(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What took effect in the store is written down, too, also if who asked is cancelled meanwhile.

        The memory store does what it is asked for in one go, or not at all.
        """
        if self._in_one_go:
            return await ask()
        with trio.CancelScope(shield=True):
            answer = await ask()
        return answer

    async def _through_faults(self, verb: str, ask: Callable[[], Awaitable[T]], request: Request | None) -> T:
        fate = self._fate(verb, request)
        self._jump()
        late = self._dice.may("delay")
        if self._cut_off_until or self._life.stands_until:
            await self._sit_out(max(self._cut_off_until, self._life.stands_until))
        if late:
            await self._be_late()
        self._suffer(fate, verb, after=False)
        self._check_alive()
        answer = await self._uncut(ask)
        self._check_alive()
        self._suffer(fate, verb, after=True)
        if late:
            await self._be_late()
        if self._life.stands_until:
            await self.wait_while_it_stands()
        return answer

    def _fate(self, verb: str, request: Request | None) -> _Fate:
        planned = None if request is None else self._dice.planned(request.number)
        if planned == "pause":
            self._dice.plan_happens(planned)
            self._stand_still()
        elif planned in _PLANNED:
            self._dice.plan_happens(planned)
            return _PLANNED[planned]
        if verb in _DEADLY and self._meets("crash"):
            return _Fate("crash", self._dice.half("crash"))
        if self._meets("store_error"):
            return _Fate("store_error", self._dice.half("store_error"))
        return _NOTHING

    def _jump(self) -> None:
        if self._dice.may("clock_jump") and self._world.may_fail() and self._dice.says("clock_jump"):
            micros = round(self._dice.between("clock_jump", -JUMP, JUMP))
            self._note(
                f"the store's clock is set {'forward' if micros > 0 else 'back'} by {format_duration(abs(micros))}"
            )
            self._world.clock.set_wrong(micros)

    def _meets(self, fault: str) -> bool:
        """Whether a fault that may cost the engine its leases happens now."""
        return self._dice.may(fault) and self._world.may_fail(self._life) and self._dice.says(fault)

    def _suffer(self, fate: _Fate, verb: str, *, after: bool) -> None:
        if fate.fault is None or fate.after is not after or not self._world.may_fail(self._life):
            return
        when = "before its answer arrives" if after else "before it takes effect"
        if verb in _DEADLY:
            self._world.count(f"{fate.fault} {'after' if after else 'before'} {verb}")
        if fate.fault == "crash":
            self.die(f"after asking for {verb}, {when}")
        self._note(f"the store fails at {verb}, {when}")
        raise StoreError(f"simulated: the store failed at {verb}, {when}")

    async def _be_late(self) -> None:
        if self._dice.says("delay"):
            await self._world.clock.sleep(self._dice.between("delay", 0, DELAY_SECONDS))

    # -- dying ------------------------------------------------------------------------------------

    def body_kills(self) -> bool:
        """Whether the engine dies now, in a body."""
        if self.dead or not self._meets("crash"):
            return False
        self._world.count("crash in a body")
        return True

    def die(self, when: str) -> NoReturn:
        """The engine is dead from now on."""
        self._note(f"the engine dies {when}")
        self.dead = True
        self._kill()
        raise EngineDied

    def _check_alive(self) -> None:
        if self.dead:
            raise EngineDied

    def _note(self, fault: str) -> None:
        self._world.note(self._life.name, f"FAULT: {fault}")
