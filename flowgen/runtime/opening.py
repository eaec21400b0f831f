"""Opening an engine: its store, worker, router and heartbeat in one nursery, closed again in order."""

from __future__ import annotations

import gc
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import timedelta

import attrs
import trio

from ..app import App
from ..duration import MAX_SPAN, parse_duration
from ..errors import InvalidInput, StoreError
from .calendar import begin_schedules
from .committer import Committer
from .driving.caller import Caller, Calls
from .engine import Engine
from .environment import Environment
from .executor import Bodies, Executor
from .heartbeat import Heartbeat
from .offering import registration_of
from .retention import retain
from .router import Router
from .store import Store
from .stores import open_store
from .worker import Worker

_Span = str | float | timedelta

_SWITCH_INTERVAL = 0.0001
"""Seconds: a sync body that never lets go of the interpreter must not starve the engine for longer."""

_COLLECTION = 20_000
"""New objects between two looks for garbage: with the default of 700 it costs a fifth of a step."""


@asynccontextmanager
async def open_engine(
    app: App | Iterable[App],
    store: str | Store = "memory://",
    *,
    lease: str | float | timedelta = "10s",
    max_runs: int = 1_000,
    work: bool = True,
    grace: str | float | timedelta = "5s",
    spin_limit: str | float | timedelta = "60s",
    retention: str | float | timedelta | None = None,
    calls: Calls | None = None,
    silence: str | float | timedelta = "5m",
    environment: Environment | None = None,
    executor: Callable[[Environment], Bodies] = Executor,
) -> AsyncIterator[Engine]:
    """Open an engine for one app or several, on a store; it works until the block is left.

    `lease` is how long a run stays with an engine that died, `max_runs` how many runs it drives at
    once, `grace` how long running steps may go on when the block is left, and `spin_limit` how long
    a body may hold the event loop. With a `retention` such as `"30d"`, runs that ended longer ago are deleted,
    and the events that nobody needs any more; without, all are kept. `work=False` gives a client that drives
    nothing. `calls` is how apps that are elsewhere are called (`flowgen.runtime.driving`); without, none are, and
    `engine.offer` is refused. `silence` is how long such an app may tell nothing of a request that it answers by
    itself, before it is called. `environment` and `executor` are for simulations: where time and chance come from,
    and what runs the bodies.

    ::

        async with open_engine(app, store="sqlite:///shop.db") as engine:
            await engine.send(Event("order/placed", {"order_id": "7"}))
    """
    apps = _apps(app)
    bounds = _Bounds.checked(lease, max_runs, grace, spin_limit, retention)
    environment = Environment() if environment is None else environment
    opened = open_store(store)
    await opened.open()
    try:
        environment.saw(await opened.now())
        committer = Committer(opened, environment)
        if not work:
            with _until_closed(Engine(apps, opened, environment, committer, None)) as engine:
                yield engine
            return
        bodies = executor(environment)
        if calls is not None:
            seconds = parse_duration(silence, "silence of open_engine") / 1_000_000
            bodies = caller = Caller(bodies, calls, environment, seconds)
            committer.watchers.append(caller.committed)
        async with _working(apps, opened, environment, committer, bodies, bounds) as worker:
            with _until_closed(Engine(apps, opened, environment, committer, worker, bodies)) as engine:
                if engine.offering is not None:
                    await engine.offering.adopt()
                yield engine
            await worker.drain(bounds.grace_seconds)
        with suppress(StoreError):  # then its offers count for a while, as those of an engine that died
            await opened.retire(worker.id)
    finally:
        with trio.CancelScope(shield=True):
            await opened.close()


@attrs.frozen
class _Bounds:
    """How long an engine waits, and how much it takes on. `lease` and `kept_for` are in microseconds."""

    lease: int
    max_runs: int
    grace_seconds: float
    spin_seconds: float
    kept_for: int | None

    @classmethod
    def checked(cls, lease: _Span, max_runs: int, grace: _Span, spin_limit: _Span, retention: _Span | None) -> _Bounds:
        """What `open_engine` was told. Raises `InvalidInput`."""
        bounds = cls(
            parse_duration(lease, "lease of open_engine"),
            max_runs,
            parse_duration(grace, "grace of open_engine") / 1_000_000,
            parse_duration(spin_limit, "spin_limit of open_engine") / 1_000_000,
            None if retention is None else parse_duration(retention, "retention of open_engine", maximum=MAX_SPAN),
        )
        if bounds.lease < 100_000:
            raise InvalidInput(f"lease={lease!r} is too short: a worker must be able to extend it, say at least 100ms")
        if max_runs < 1:
            raise InvalidInput(f"max_runs={max_runs!r}: an engine drives at least one run")
        return bounds


@contextmanager
def _until_closed(engine: Engine) -> Iterator[Engine]:
    """The engine; those who wait for its end are told when the block is left."""
    try:
        yield engine
    finally:
        engine.closing.set()


@asynccontextmanager
async def _working(
    apps: dict[str, App],
    store: Store,
    environment: Environment,
    committer: Committer,
    executor: Bodies,
    bounds: _Bounds,
) -> AsyncIterator[Worker]:
    """A registered worker with its router, heartbeat and listener, running until the block is left."""
    worker = Worker(apps, store, environment, committer, executor, lease=bounds.lease, max_runs=bounds.max_runs)
    router = Router(store, environment, committer, lambda: worker.routes)
    for app in apps.values():
        await store.register(registration_of(app, worker))
    await begin_schedules(store, environment, committer, await worker.fresh_routes(), apps)
    heart = Heartbeat(worker, store.extender(), bounds.spin_seconds) if environment.threads else None
    interval, collection = sys.getswitchinterval(), gc.get_threshold()
    if environment.threads:
        sys.setswitchinterval(_SWITCH_INTERVAL)
        gc.set_threshold(_COLLECTION, *collection[1:])
    raised: BaseException | None = None
    async with trio.open_nursery() as nursery:
        try:
            if isinstance(executor, Caller):
                executor.nursery = nursery
            await nursery.start(worker.run)
            nursery.start_soon(router.run)
            nursery.start_soon(_listen, store, worker, router)
            if bounds.kept_for is not None:
                nursery.start_soon(retain, store, bounds.kept_for)
            if heart is not None:
                heart.start()
            else:
                nursery.start_soon(_beat, store, worker)
            yield worker
        except BaseException as error:
            raised = error
        finally:
            nursery.cancel_scope.cancel()
            if heart is not None:
                await heart.stop()
            executor.close()
            sys.setswitchinterval(interval)
            gc.set_threshold(*collection)
    if raised is not None:
        raise raised


async def _listen(store: Store, worker: Worker, router: Router) -> None:
    """Hear of what changes in the store, from wherever; and of what changed before the first time.

    What this process commits, its own engine hears at once from the committer; the others need not hurry, and
    a look at the store in that very moment would be in the way of what the commit began.
    """
    seconds, looked = 0.0, trio.current_time()
    while True:
        await store.wait_changed(seconds)
        busy = trio.current_time() - looked < _LISTEN_BUSY
        await trio.sleep(_LISTEN_BUSY if busy else _LISTEN_LINGER)
        looked = trio.current_time()
        worker.wake()
        router.wake()
        seconds = _LISTEN_SECONDS


async def _beat(store: Store, worker: Worker) -> None:
    """The heartbeat of a world without threads."""
    while True:
        await trio.sleep(worker.lease / 4 / 1_000_000)
        leases, asked = list(worker.leases.values()), worker.environment.asks()
        try:
            extended = await store.extend(worker.id, leases, worker.lease)
        except StoreError as error:
            worker.patient.failed(error)
        else:
            worker.extended(leases, extended, asked)


_LISTEN_SECONDS = 30.0
_LISTEN_LINGER = 0.005
_LISTEN_BUSY = 0.025
"""Seconds: changes that follow one another faster are heard of together."""


def _apps(app: App | Iterable[App]) -> dict[str, App]:
    given = [app] if isinstance(app, App) else list(app)
    apps: dict[str, App] = {}
    for each in given:
        if not isinstance(each, App):
            raise InvalidInput(f"open_engine takes an App or several, not {each!r}")
        if each.name in apps:
            raise InvalidInput(f"two apps are called {each.name!r}: names are what keeps their runs apart")
        apps[each.name] = each
    return apps
