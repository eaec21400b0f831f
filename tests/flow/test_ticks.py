"""Schedules at work: each tick starts one run, whatever happens; what was missed; what is removed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnCron, OnEvent, Run, Sleep, Steps
from flowgen.flow_control import Debounce, RateLimit, Singleton
from flowgen.runtime import open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import Faults, Trace, VirtualClock
from flowgen.testing.clock import START
from flowgen.triggers import CatchUp
from tests.flow.scenes import FAULTS, SECOND, SEEDS, at, go, played, runs, started

HOUR = 3600


def ticking(*triggers: Any, takes: float = 0, **options: Any) -> App:
    """`work` starts on these triggers, and returns its tick: seconds from the start, and the schedule."""
    app = App("flow")

    @app.workflow(on=list(triggers), **options)
    def work(ctx: Context) -> Steps[Any]:
        yield Run("rest", trio.sleep, takes)
        data = ctx.event.data
        return [seconds_of(data["tick"]), data["cron"]] if "tick" in data else ["event"]

    return app


def seconds_of(tick: str) -> float:
    """A tick's time, in seconds from the start of virtual time."""
    return datetime.fromisoformat(tick).timestamp() - START / SECOND


def ticks(trace: Trace) -> list[float]:
    """The ticks whose runs completed, in seconds, in the order of their runs."""
    return [run.result[0] for run in runs(trace, status="completed")]


def test_each_tick_starts_a_run() -> None:
    """At its time; never one from before the schedule was first there."""
    trace = played(ticking(OnCron("*/10 * * * *")), [], until="35m")
    assert ticks(trace) == [600, 1200, 1800]
    assert [started(run, trace) for run in runs(trace)] == [600, 1200, 1800]


def test_the_event_says_which_tick_it_is() -> None:
    """Its name, its time, the schedule and the workflow."""
    (run,) = runs(played(ticking(OnCron("0 1 * * *")), [], until="90m"))
    (event,) = run.recorded.events
    assert (event.name, event.ts) == ("flowgen/cron.tick", START + HOUR * SECOND)
    assert run.result == [HOUR, "0 1 * * *"]


def test_two_schedules_and_an_event_start_one_workflow() -> None:
    """Each tick of each is a run, also where they meet."""
    app = ticking(OnCron("0 * * * *"), OnCron("*/30 * * * *"), OnEvent("go"))
    trace = played(app, [at(60, go(1))], until="65m")
    results = sorted((run.result for run in runs(trace)), key=str)
    assert results == [["event"], [HOUR / 2, "*/30 * * * *"], [HOUR, "*/30 * * * *"], [HOUR, "0 * * * *"]]


def test_the_jitter_delays_each_tick_by_at_most_so_much() -> None:
    """Never earlier than the tick, never later than the jitter, and not all by the same."""
    trace = played(ticking(OnCron("0 * * * *", jitter="10m")), [], until="30h")
    late = [started(run, trace) - run.result[0] for run in runs(trace)]
    assert len(late) == 29
    assert all(0 <= seconds <= 600 for seconds in late)
    assert len(set(late)) > 20
    assert ticks(trace) == [HOUR * n for n in range(1, 30)]


def test_singleton_governs_overlap() -> None:
    """A tick while the last run is open is skipped."""
    trace = played(ticking(OnCron("*/10 * * * *"), takes=15 * 60, singleton=Singleton()), [], until="59m")
    assert ticks(trace) == [600, 1800]
    assert [run.status for run in runs(trace)] == ["completed", "skipped", "completed", "skipped", "running"]


def test_a_rate_limit_counts_ticks_too() -> None:
    """A tick is admitted like any event."""
    trace = played(ticking(OnCron("*/10 * * * *"), rate_limit=RateLimit(2, per="1h")), [], until="55m")
    assert [run.status for run in runs(trace)] == ["completed"] * 2 + ["skipped"] * 3


def test_ticks_may_be_debounced() -> None:
    """With the events of the workflow's other triggers."""
    app = ticking(OnCron("0 * * * *"), OnEvent("go"), debounce=Debounce("5m"))
    trace = played(app, [at(HOUR - 60, go(1))], until="70m")
    assert ticks(trace) == [HOUR]
    assert started(trace.run("work"), trace) == HOUR + 300


@given(
    seed=SEEDS,
    faults=FAULTS,
    workers=st.integers(1, 3),
    jitter=st.sampled_from(["0s", "2m"]),
    catch_up=st.sampled_from(["last", "all"]),
)
@settings(max_examples=40)
def test_no_fault_doubles_or_loses_a_tick(
    seed: int, faults: Faults, workers: int, jitter: str, catch_up: CatchUp
) -> None:
    """Three workers, crashes and lost leases: each tick has one run of each schedule, and runs in its time."""
    app = ticking(
        OnCron("*/10 * * * *", jitter=jitter, catch_up=catch_up), OnCron("5 * * * *", jitter=jitter, catch_up=catch_up)
    )
    trace = played(app, [], seed=seed, workers=workers, faults=faults, until="2h9m")
    results = [tuple(run.result) for run in runs(trace)]
    expected = [(600.0 * n, "*/10 * * * *") for n in range(1, 13)]
    expected += [(300.0, "5 * * * *"), (300.0 + HOUR, "5 * * * *"), (300.0 + 2 * HOUR, "5 * * * *")]
    assert sorted(results) == sorted(expected), trace.timeline()
    assert all(run.recorded.row.created_at >= run.recorded.events[0].ts for run in runs(trace))


# -- downtime ----------------------------------------------------------------------------------------

Part = tuple[App | None, float]
"""An engine with this app (none: no engine) for so many seconds."""


def lived(*parts: Part, clock: VirtualClock | None = None) -> list[tuple[float, float]]:
    """What the engines did one after the other: (tick, start) of each run, in seconds, in the order of the ticks."""
    clock = clock or VirtualClock()
    store = MemoryStore(clock)

    async def live() -> list[tuple[float, float]]:
        for app, seconds in parts:
            if app is None:
                await trio.sleep(seconds)
                continue
            async with open_engine(app, store, environment=Environment(seed=1, threads=False)):
                await trio.sleep(seconds)
        async with open_engine(next(app for app, _ in parts if app), store, work=False) as engine:
            infos = (await engine.runs(workflow="work", limit=500)).items
            return sorted((info.result[0], begun(info.started_at)) for info in infos if info.status == "completed")

    return trio.run(live, clock=clock)


def begun(moment: datetime | None) -> float:
    """Seconds from the start of virtual time."""
    assert moment is not None
    return moment.timestamp() - START / SECOND


def hourly(catch_up: CatchUp = "last", **options: Any) -> App:
    """An app whose workflow ticks each hour."""
    return ticking(OnCron("0 * * * *", catch_up=catch_up), **options)


@pytest.mark.parametrize(
    ("catch_up", "made_up"), [("none", []), ("last", [5]), ("all", [2, 3, 4, 5])], ids=["none", "last", "all"]
)
def test_what_becomes_of_missed_ticks(catch_up: CatchUp, made_up: Sequence[int]) -> None:
    """After four hours without an engine: none of them, the last, or all start when one is there again."""
    app = hourly(catch_up)
    seen = lived((app, 1.5 * HOUR), (None, 4 * HOUR), (app, 1 * HOUR))
    assert [tick / HOUR for tick, _ in seen] == [1, *made_up, 6]
    assert all(begun / HOUR == 5.5 for tick, begun in seen if tick / HOUR in made_up)


def test_a_hundred_missed_ticks_and_more() -> None:
    """All of them are made up for, in their order, each once."""
    app = ticking(OnCron("* * * * *", catch_up="all"))
    seen = lived((app, 90), (None, 250 * 60), (app, 60))
    assert [tick / 60 for tick, _ in seen] == list(range(1, 253))


def test_a_tick_that_is_a_little_late_is_not_missed() -> None:
    """An engine that is restarted within a minute loses no tick, whatever the schedule says of missed ones."""
    app = hourly("none")
    seen = lived((app, HOUR - 20), (None, 50), (app, 60))
    assert seen == [(HOUR, HOUR + 30)]


def test_a_schedule_begins_when_it_is_first_there() -> None:
    """An engine that opens with it for the first time makes up for nothing from before."""
    seen = lived((ticking(OnEvent("go")), 3.5 * HOUR), (hourly("all"), HOUR))
    assert [tick / HOUR for tick, _ in seen] == [4]


def test_a_schedule_that_was_removed_ticks_no_more() -> None:
    """Neither do ticks of its past come back when it does."""
    app, without = hourly("all"), ticking(OnEvent("go"))
    assert [tick / HOUR for tick, _ in lived((app, 1.5 * HOUR), (without, 3 * HOUR))] == [1]
    again = lived((app, 1.5 * HOUR), (without, 3 * HOUR), (app, HOUR))
    assert [tick / HOUR for tick, _ in again] == [1, 5]


def test_a_schedule_that_is_changed_is_another() -> None:
    """The old one ends, the new one begins at its first tick."""
    seen = lived((hourly(), 1.5 * HOUR), (ticking(OnCron("30 * * * *")), 2.1 * HOUR))
    assert [tick / HOUR for tick, _ in seen] == [1, 2.5, 3.5]


def test_another_engine_doubles_no_tick() -> None:
    """Two engines that open at once with the same schedule share it."""
    clock, store = VirtualClock(), None

    async def live() -> int:
        store = MemoryStore(clock)
        app = hourly()

        async def serve(seed: int) -> None:
            async with open_engine(app, store, environment=Environment(seed=seed, threads=False)):
                await trio.sleep(5.5 * HOUR)

        async with trio.open_nursery() as nursery:
            for seed in range(3):
                nursery.start_soon(serve, seed)
        async with open_engine(app, store, work=False) as engine:
            return len((await engine.runs(workflow="work", limit=500)).items)

    assert store is None
    assert trio.run(live, clock=clock) == 5


def while_running(app: App, act: Callable[[Any, VirtualClock], Awaitable[None]]) -> list[float]:
    """The ticks whose runs were started, in hours, while `act` does something to an engine and its clock."""
    clock = VirtualClock()

    async def live() -> list[float]:
        store = MemoryStore(clock)
        async with open_engine(app, store, environment=Environment(seed=1, threads=False)) as engine:
            await act(engine, clock)
            infos = (await engine.runs(workflow="work", limit=500)).items
            return sorted(info.result[0] / HOUR for info in infos if info.status == "completed")

    return trio.run(live, clock=clock)


def test_a_paused_workflow_does_not_tick_until_it_is_resumed() -> None:
    """Then its schedule makes up for what it says."""

    async def act(engine: Any, clock: VirtualClock) -> None:
        await trio.sleep(1.5 * HOUR)
        await engine.pause("work")
        await trio.sleep(3 * HOUR)
        await engine.resume("work")
        await trio.sleep(HOUR)

    assert while_running(hourly("last"), act) == [1, 4, 5]
    assert while_running(hourly("none"), act) == [1, 5]


def test_a_clock_that_jumps_ahead_loses_no_tick() -> None:
    """An hour that is skipped is an hour that was missed."""

    async def act(engine: Any, clock: VirtualClock) -> None:
        await trio.sleep(0.5 * HOUR)
        clock.start += HOUR * SECOND
        await trio.sleep(2 * HOUR)

    assert while_running(hourly("all"), act) == [1, 2, 3]


def test_a_clock_that_jumps_back_repeats_no_tick() -> None:
    """An hour that comes twice ticks once."""

    async def act(engine: Any, clock: VirtualClock) -> None:
        await trio.sleep(1.5 * HOUR)
        clock.start -= HOUR * SECOND
        await trio.sleep(2 * HOUR)

    assert while_running(hourly("all"), act) == [1, 2]


def test_a_slow_run_holds_no_tick_up() -> None:
    """Without a singleton runs of a schedule overlap."""
    app = App("flow")

    @app.workflow(on=OnCron("*/10 * * * *"))
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("long", "1h")

    trace = played(app, [at(0, Event("nothing"))], until="45m")
    assert [started(run, trace) for run in runs(trace)] == [600, 1200, 1800, 2400]
