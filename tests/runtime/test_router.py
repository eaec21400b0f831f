"""The router: which events it looks at, and when."""

from __future__ import annotations

from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from flowgen import App, Context, Event, OnEvent, Run, Sleep, Steps, WaitFor
from flowgen.events import AcceptedEvent
from flowgen.runtime import open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.router import COURTESY_SECONDS
from flowgen.runtime.store import Page
from flowgen.runtime.stores import MemoryStore
from flowgen.transition import Wait

Data = dict[str, Any]


class _Watched(MemoryStore):
    """A store that tells when somebody first looks for the waits that an event may match."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = trio.Event()

    async def waits(self, event: AcceptedEvent, cursor: str | None = None) -> Page[Wait]:
        self.looked.set()
        return await super().waits(event, cursor)


async def _seconds_to_routing(app: App, event: Event[Any]) -> float:
    """Virtual seconds from sending an event, for which somebody waits, until its routing begins."""
    store = _Watched()
    async with open_engine(app, store, grace="0s", environment=Environment(seed=1, threads=False)) as engine:
        run = await engine.start("waiting", {"name": event.name})
        while (await engine.run(run)).status != "waiting":
            await engine.store.wait_changed(1)
        await trio.testing.wait_all_tasks_blocked()
        store.looked = trio.Event()
        began = trio.current_time()
        await engine.send(event)
        await store.looked.wait()
        return trio.current_time() - began


@pytest.fixture
def app() -> App:
    """One workflow that events called `a` start."""
    app = App("routing")

    @app.workflow(on=OnEvent("a"))
    def short(ctx: Context[Data]) -> Steps[str]:
        return (yield from Run("say", str.upper, "done"))

    @app.workflow()
    def waiting(ctx: Context[Data]) -> Steps[None]:
        yield WaitFor("it", ctx.event.data["name"], timeout="1h")

    return app


async def test_runs_that_begin_with_an_event_go_before_its_routing(app: App, autojump_clock: MockClock) -> None:
    """They have a moment to themselves."""
    assert await _seconds_to_routing(app, Event("a", {})) >= COURTESY_SECONDS


async def test_an_event_that_starts_nothing_is_routed_at_once(app: App, autojump_clock: MockClock) -> None:
    """A run may wait for it."""
    assert await _seconds_to_routing(app, Event("b", {})) == 0


async def test_an_event_that_nobody_waits_for_is_routed_by_its_acceptance(autojump_clock: MockClock) -> None:
    """The router has nothing to do with it, and the store says at once that nothing is left to be routed."""
    store = _Watched()
    async with open_engine(App("none"), store, environment=Environment(seed=1, threads=False)) as engine:
        await engine.send([Event("a", {}), Event("b", {})])
        assert await store.unrouted() == ()
        await trio.sleep(1)
    assert not store.looked.is_set()


async def test_an_event_that_starts_a_run_reaches_waits_too(autojump_clock: MockClock) -> None:
    """The moment that its own runs have is short."""
    app = App("both")

    @app.workflow(on=OnEvent("a"))
    def started(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("long", "1h")

    @app.workflow()
    def waiting(ctx: Context[Data]) -> Steps[float]:
        matched = yield from WaitFor("an a", "a", timeout="1h")
        assert matched is not None
        return float(matched.data["n"])

    async with open_engine(app, "memory://", grace="0s", environment=Environment(seed=1, threads=False)) as engine:
        run = await engine.start(waiting)
        while (await engine.run(run)).status != "waiting":
            await engine.store.wait_changed(1)
        began = trio.current_time()
        await engine.send(Event("a", {"n": 7}))
        assert await engine.result(run) == 7
        assert trio.current_time() - began < 0.1
