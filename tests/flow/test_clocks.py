"""Clocks that are set (I29): neither fires a timer early nor is one lost, and it is soon noticed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio

from flowgen import App, Concurrency, Context, Event, OnEvent, Run, Sleep, Steps, Throttle
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import Store
from flowgen.runtime.stores import MemoryStore, SqliteStore
from flowgen.testing import VirtualClock

MINUTE, HOUR = 60.0, 3600.0
POLL = 0.5
BEAT = 2.5
"""Every quarter of a lease an engine hears the time of its store, whatever store it is."""

Act = Callable[[Engine, VirtualClock], Awaitable[None]]


@pytest.fixture(params=["memory", "sqlite"])
def live(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[App, Act], None]:
    """Lets an engine live on virtual time, while something is done to it and to the clock of its store."""

    def live(app: App, act: Act) -> None:
        clock = VirtualClock()

        async def main() -> None:
            store: Store = MemoryStore(clock)
            if request.param == "sqlite":
                store = SqliteStore(tmp_path / "clocks.db", clock=clock, inline=True)
            async with open_engine(app, store, environment=Environment(seed=1, threads=False)) as engine:
                await act(engine, clock)

        trio.run(main, clock=clock)

    live.bound = POLL if request.param == "sqlite" else BEAT  # type: ignore[attr-defined]
    return live


def sleeper(seconds: float, woken: list[float]) -> App:
    """A workflow that sleeps, and notes when it woke up."""
    app = App("clocks")

    async def wake() -> None:
        woken.append(trio.current_time())

    @app.workflow(on=OnEvent("go"))
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("a while", seconds)
        yield Run("wake", wake)

    return app


def test_a_timer_that_a_jump_ahead_makes_due_fires_soon(live: Any) -> None:
    """Though the engine was asleep, and meant to be so for another minute."""
    woken: list[float] = []

    async def act(engine: Engine, clock: VirtualClock) -> None:
        await engine.send(Event("go"))
        await trio.sleep(10.25 * MINUTE)
        clock.start += int(HOUR * 1_000_000)
        await trio.sleep(5)

    live(sleeper(0.5 * HOUR, woken), act)
    (at,) = woken
    assert 10.25 * MINUTE <= at <= 10.25 * MINUTE + live.bound + 0.1


def test_a_timer_does_not_fire_early_after_a_jump_back(live: Any) -> None:
    """It fires when the clock has come to its time, and then soon."""
    woken: list[float] = []

    async def act(engine: Engine, clock: VirtualClock) -> None:
        await engine.send(Event("go"))
        await trio.sleep(10.25 * MINUTE)
        clock.start -= int(6 * MINUTE * 1_000_000)
        await trio.sleep(8 * MINUTE)

    live(sleeper(12 * MINUTE, woken), act)
    (at,) = woken
    assert 18 * MINUTE <= at <= 18 * MINUTE + live.bound + 0.1


def test_what_is_due_now_does_not_wait_for_a_clock_that_was_set_back(live: Any) -> None:
    """While store time stands, runs begin, one after another for a limit, and those that are delayed wait."""
    app = App("clocks")
    begun: list[tuple[str, float]] = []

    async def note(workflow: str) -> None:
        begun.append((workflow, trio.current_time()))

    @app.workflow(on=OnEvent("go"), concurrency=Concurrency(1))
    def limited(ctx: Context) -> Steps[None]:
        yield Run("note", note, "limited")

    @app.workflow(on=OnEvent("go"), throttle=Throttle(1, "2m"))
    def throttled(ctx: Context) -> Steps[None]:
        yield Run("note", note, "throttled")

    async def act(engine: Engine, clock: VirtualClock) -> None:
        await trio.sleep(10.25 * MINUTE)
        clock.start -= int(6 * MINUTE * 1_000_000)
        await trio.sleep(MINUTE)
        for _ in range(3):
            await engine.send([Event("go")])
            await trio.sleep(20)
        await trio.sleep(9 * MINUTE)

    live(app, act)
    first = 11.25 * MINUTE
    for number, at in enumerate(at for workflow, at in begun if workflow == "limited"):
        assert 0 <= at - (first + 20 * number) < live.bound + 0.1
    one, two, three = (at for workflow, at in begun if workflow == "throttled")
    assert one < first + 0.1
    assert 16.25 * MINUTE + 115 < two <= 16.25 * MINUTE + 120 + live.bound + 0.1
    assert 120 - live.bound <= three - two < 120 + live.bound + 0.1
