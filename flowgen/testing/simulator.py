"""`simulate`: the whole engine on virtual time, with scheduling, luck and faults that follow from a seed.

Real engines (`open_engine`) share one store. What is not real is what they wait for and what they roll:
trio's clock and its shuffling of tasks, the environment's dice, the connection to the store, and the step
bodies that are stubbed. So a failure that is found is found again with the same seed.

How it goes: engines are opened, a client does what the plan says, time jumps from one moment at which
something is due to the next, engines that die are started again. When nothing is due any more, nobody
is at work and all is routed, the world is healed: nothing goes wrong from there, and all engines look once more.
When they are at rest again, the doctor looks at the store, and the trace is taken.

Refuses to know what is right: see `invariants`.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from random import Random
from typing import Any

import trio
import trio.testing

from ..app import App
from ..duration import MAX_SPAN, parse_duration
from ..errors import InvalidInput, StoreError
from ..runtime.checkup import check_up
from ..runtime.digest import code_digest
from ..runtime.engine import Engine
from ..runtime.environment import Environment
from ..runtime.opening import open_engine
from ..runtime.paging import Pages
from ..runtime.store import RunFilter, Store, Who
from ..runtime.stores.memory import MemoryStore
from .bodies import SimulatedExecutor, Stubbed, Stubs
from .client import Client, plan
from .clock import VirtualClock
from .connection import Connection, EngineDied
from .faults import Dice, Faults
from .logs import captured_logs
from .quiet import QuietStore
from .scheduling import seeded_scheduling
from .trace import RunTrace, Trace
from .wishes import asked
from .world import Life, NeverRests, World

LEASE = "10s"
MAX_RUNS = 1_000
TURNS = 100_000
"""A world that has not come to rest after so many jumps of its clock never will."""

_LOST = 4 * sys.float_info.epsilon
"""What a deadline loses at most, in relation, when it is said as a distance."""

_COLLECTION = 20_000
_DOWN_SECONDS, _DOWN_LEASES = 0.1, 2
"""How long a dead engine is down: from so many seconds to so many leases."""
_BLINK_SECONDS = 0.001
_NO_FAULTS = Faults()


def simulate(
    app: App | Iterable[App],
    events: Any = (),
    steps: Stubs | Callable[[], Stubs] | Stubbed | None = None,
    *,
    seed: int = 0,
    workers: int = 1,
    store: Callable[[VirtualClock], Store] | None = None,
    until: str | float | timedelta | None = None,
    faults: Faults | None = None,
    lease: str | float | timedelta = LEASE,
    max_runs: int = MAX_RUNS,
) -> Trace:
    """Run a whole system on virtual time until nothing is due any more, and give the trace of it.

    `events` is what happens from outside, one thing or a list of them: each an `Event` (or instance of an event class),
    sent at the start, or `(at, event)` with `at` a duration from there; beside events, `Start`, `Cancel`,
    `Signal` and `Retry` are understood. `steps` maps steps to stubs (see `bodies`), or makes such a mapping.
    An equal `seed` gives an equal `trace.timeline()`. `workers` engines work side by side on the store that `store`
    makes of the clock (default: a `MemoryStore`). `until` is when to stop at the latest, from the start; without it,
    a simulation also ends when nothing but schedules is due, which tick for ever. `lease` is how long runs stay with
    an engine that died, `max_runs` how many an engine drives at once.

    ::

        trace = simulate(app, [Event("order/placed", {"order_id": "7"})], {"charge": 42}, seed=7,
                         workers=2, faults=Faults(crash=0.05, duplicate=0.05))
        assert trace.run("fulfil-order").result == "done"
    """
    faults = faults or _NO_FAULTS
    apps = [app] if isinstance(app, App) else list(app)
    if workers < 1:
        raise InvalidInput(f"workers={workers!r}: a simulation has at least one engine")
    clock = VirtualClock(jumps=False)
    world = World(apps, clock, Dice(faults, seed))
    stubs = steps if isinstance(steps, Stubbed) else Stubbed(steps() if callable(steps) else steps or {})
    stop_at = None if until is None else parse_duration(until, "until of simulate", maximum=MAX_SPAN)
    simulation = Simulation(apps, world, stubs, _store(world, store, workers), seed, workers, stop_at, lease, max_runs)
    tasks = plan(events, faults.lossy)
    with seeded_scheduling(f"{seed}/scheduling"), captured_logs(world), rare_collections():
        try:
            return trio.run(simulation.run, tasks, clock=clock)
        except BaseExceptionGroup as group:
            error = _single(group)
            raise (AssertionError(str(error)) if isinstance(error, NeverRests) else error) from None


class Simulation:
    """One simulation, from its start to its rest."""

    def __init__(
        self,
        apps: Sequence[App],
        world: World,
        stubs: Stubbed,
        store: Store,
        seed: int,
        workers: int,
        stop_at: int | None,
        lease: str | float | timedelta,
        max_runs: int,
    ) -> None:
        self._apps = apps
        self._world = world
        self._clock = world.clock
        self._stubs = stubs
        self._store = store
        self._seed = seed
        self._workers = workers
        self._stop_at = stop_at
        self._lease = parse_duration(lease, "lease of simulate") / 1_000_000
        self._max_runs = max_runs
        self._engines: dict[str, Engine] = {}
        self._opened = trio.Event()
        self._healed = False
        self._workflows = {(app.name, w.id): w for app in apps for w in app.workflows.values()}
        self._who = Who("observer", {key: code_digest(w) for key, w in self._workflows.items()})
        self._ticks_for_ever = stop_at is None and any(w.schedules for w in self._workflows.values())

    async def run(self, tasks: Sequence[Any]) -> Trace:
        """Simulate, and take the trace."""
        await self._store.open()
        try:
            if (await self._store.find_runs(RunFilter(), limit=1)).items:
                raise InvalidInput(
                    "store= of simulate made a store that has runs already: a simulation begins with an empty one"
                )
            client = Client(self._world, tasks, self._open_engines, self._seed)
            async with trio.open_nursery() as nursery:
                for number in range(1, self._workers + 1):
                    nursery.start_soon(self._work, f"worker {number}", nursery)
                nursery.start_soon(client.run)
                try:
                    finished = await self._pass_time(client)
                    if finished and not self._world.dice.quiet:
                        await self._examine()
                    trace = await self._trace(finished)
                finally:
                    nursery.cancel_scope.cancel()
                    self._clock.run_on()  # an engine that gives its runs back may still sit out a fault
            return trace
        finally:
            with trio.CancelScope(shield=True):
                await self._store.close()

    # -- engines ----------------------------------------------------------------------------------

    async def _open_engines(self) -> list[Engine]:
        """The engines that are up; waits until there is one."""
        while not self._engines:
            await self._opened.wait()
        if isinstance(self._store, QuietStore):
            await self._store.give_way()
        return list(self._engines.values())

    async def _work(self, worker: str, nursery: trio.Nursery) -> None:
        """An engine, and after it died another one, until the simulation ends."""
        number = 0
        while True:
            number += 1
            life = Life(worker if number == 1 else f"{worker}.{number}")
            try:
                await self._live(life, nursery)
            except* EngineDied:
                pass
            except* StoreError as errors:
                self._world.note(life.name, f"ends: {errors.exceptions[0]}")
            with self._world.working():
                await self._clock.sleep(self._world.dice.between("crash", _DOWN_SECONDS, _DOWN_LEASES * self._lease))

    async def _live(self, life: Life, nursery: trio.Nursery) -> None:
        """One life of an engine."""
        environment = Environment(_number(f"{self._seed}/{life.name}"), threads=False, clock=self._clock_of(life))
        with trio.CancelScope() as scope:
            connection = self._connection(life, nursery, scope.cancel)
            store = self._store if connection is None else connection

            def bodies(environment: Environment) -> SimulatedExecutor:
                return SimulatedExecutor(environment, self._world, life, connection, self._stubs)

            self._world.note(life.name, "opens")
            async with open_engine(
                self._apps,
                store,
                lease=self._lease,
                max_runs=self._max_runs,
                environment=environment,
                executor=bodies,
            ) as engine:
                if connection is not None:
                    connection.worker = engine.worker
                self._engines[life.name] = engine
                self._opened.set()
                self._opened = trio.Event()
                try:
                    await trio.sleep_forever()
                finally:
                    del self._engines[life.name]

    def _connection(self, life: Life, nursery: trio.Nursery, kill: Callable[[], None]) -> Connection | None:
        """What stands between an engine and the store; nothing does where nothing goes wrong."""
        if isinstance(self._store, QuietStore):
            self._store.life = life
            return None
        return Connection(self._world, self._store, life, nursery, kill)

    # -- time -------------------------------------------------------------------------------------

    def _clock_of(self, life: Life) -> Callable[[], float] | None:
        """The clock of an engine, if clocks of engines are wrong: by so much, and by so much more each second."""
        faults = self._world.dice.faults
        if not (faults.clock_drift or faults.skew_seconds):
            return None
        dice = Random(f"{self._seed}/{life.name}/clock")
        ahead = dice.uniform(-faults.skew_seconds, faults.skew_seconds)
        pace = 1 + dice.uniform(-faults.clock_drift, faults.clock_drift)
        return lambda: ahead + pace * trio.current_time()

    async def _pass_time(self, client: Client) -> bool:
        """Let time pass until all is at rest (true), or it is time to stop."""
        for _ in range(TURNS):
            await trio.testing.wait_all_tasks_blocked()
            if self._clock.standing:
                await trio.to_thread.run_sync(_blink)
                continue
            if self._stubs.enough(self._clock.elapsed):
                return False
            deadline = self._next_deadline()
            at = self._clock.next_wake(deadline)
            assert at is not None, "everybody waits, and nobody for time"
            if self._idle():
                due = await self._next_due(client)
                if due is None and not self._heal():
                    return True
                if due is None:
                    continue
                at = max(at, due) if due > self._clock.elapsed else at
            if self._stop_at is not None and at > self._stop_at:
                self._clock.elapsed = self._stop_at
                return False
            self._clock.pass_to(at)
            self._clock.reach(deadline)
        await trio.testing.wait_all_tasks_blocked()
        raise AssertionError(f"the simulation did not come to rest in {TURNS} turns\n{await self._open_runs()}")

    def _heal(self) -> bool:
        """From here on nothing goes wrong, and all engines look once more; whether they had to be told."""
        if self._healed or self._world.dice.quiet:
            return False
        self._healed = self._world.dice.healed = True
        for engine in self._engines.values():
            assert engine.worker is not None
            engine.worker.wake()
        return True

    def _next_deadline(self) -> float:
        """When trio has to wake the next task, or by what its arithmetic loses later; infinity if never."""
        seconds = trio.lowlevel.current_statistics().seconds_to_next_deadline
        return (trio.current_time() + seconds) * (1 + _LOST)

    def _idle(self) -> bool:
        """Whether nobody is at work: engines are up, and have no run in hand."""
        if self._world.busy or len(self._engines) < self._workers:
            return False
        return not any(engine.worker.places.taken for engine in self._engines.values() if engine.worker is not None)

    async def _next_due(self, client: Client) -> int | None:
        """When something is due, microseconds since the start (now, if it is overdue); None if nothing ever is."""
        times = [client.next_at]
        if await self._store.unrouted(1):
            times.append(self._clock.elapsed)
        due = await self._store.next_due(self._who)
        if due is not None and not (self._ticks_for_ever and await self._only_schedules()):
            times.append(self._clock.elapsed + max(0, due - self._clock()))
        return min((time for time in times if time is not None), default=None)

    async def _only_schedules(self) -> bool:
        """Whether schedules are all that will ever be due: no run, and no event of the future."""
        if await self._store.next_due(Who("observer", {})) is not None:
            return False
        async for row in Pages(partial(self._store.find_runs, RunFilter(status="open"))).items():
            if row.due_at is not None:
                return False
        return True

    # -- the end ----------------------------------------------------------------------------------

    async def _examine(self) -> None:
        """I9, I43: at rest, what the store keeps beside the histories is what follows from them.

        Time passes by itself: what the doctor finds, it looks at again a moment later.
        """
        self._clock.run_on()
        for finding in (await check_up(self._store)).findings:
            self._world.broken(self._world.named(f"the doctor: {finding}"))

    async def _trace(self, finished: bool) -> Trace:
        world = self._world
        runs: list[RunTrace] = []
        schedules: list[RunTrace] = []
        for id, seen in list(world.runs.items()):
            loaded = await self._store.load(seen.row.app, id)
            if loaded is None:
                world.broken(f"{seen.name}: it was created, and is not in the store")
                continue
            if list(loaded.records) != seen.records:
                world.broken(f"{seen.name}: its history is not what was committed")
            workflow = self._workflows.get((seen.row.app, seen.row.workflow))
            kind = schedules if seen.row.stored == "schedule" else runs
            kind.append(RunTrace(seen.name, loaded, workflow))
        return Trace(
            seed=self._seed,
            started_at=self._clock.start,
            ended_at=self._clock(),
            finished=finished,
            runs=tuple(runs),
            schedules=tuple(schedules),
            executions=tuple(world.executions),
            entries=tuple(world.entries),
            faults=world.dice.happened,
            counts=world.dice.counts,
            requests=tuple(asked(request, world.named) for request in world.requests),
            violations=tuple(world.violations),
            problems=tuple(world.problems),
            unrouted=len(await self._store.unrouted()),
            unused_stubs=frozenset(self._stubs.unused),
        )

    async def _open_runs(self) -> str:
        trace = await self._trace(False)
        return "\n".join(f"  {run}" for run in trace.runs if run.end is None)


def _store(world: World, make: Callable[[VirtualClock], Store] | None, workers: int) -> Store:
    """The store of a simulation, if need be one that has all that can happen in this world."""
    if make is not None:
        return make(world.clock)
    return QuietStore(world) if workers == 1 and world.dice.quiet else MemoryStore(world.clock)


def _single(error: BaseException) -> BaseException:
    """The one error inside of groups of one."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _number(text: str) -> int:
    """A seed from a text, the same in every process."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest())


@contextmanager
def rare_collections() -> Iterator[None]:
    """Inside, garbage is looked for less often: it costs a fifth of a small world."""
    thresholds = gc.get_threshold()
    gc.set_threshold(max(_COLLECTION, thresholds[0]), *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)


def _blink() -> None:
    """Wait a moment, really: somebody works outside of trio."""
    time.sleep(_BLINK_SECONDS)
