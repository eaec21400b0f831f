"""Whatever the schedule, the luck and the faults: results are the same, and what must never happen does not."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnEvent, Run, Steps, WaitFor
from flowgen.runtime.stores import SqliteStore
from flowgen.testing import Cancel, Faults, Start, check_invariants, simulate
from tests.properties.worlds import WORLDS, World, app, events_of, outcomes

SEEDS = st.integers(0, 2**32)
SHARES = st.sampled_from([0.0, 0.02, 0.1])
FAULTS = st.builds(
    Faults,
    crash=SHARES,
    lost_lease=st.sampled_from([0.0, 0.2]),
    partition=st.sampled_from([0.0, 0.1]),
    pause=st.sampled_from([0.0, 0.1]),
    store_error=SHARES,
    duplicate=SHARES,
    delay=st.sampled_from([0.0, 0.2]),
    evict=st.sampled_from([0.0, 0.3]),
    slow=SHARES,
    clock_skew=st.sampled_from(["0s", "1h"]),
    clock_drift=st.sampled_from([0.0, 0.05]),
)


@lru_cache
def undisturbed(world: World) -> list[str]:
    """How the runs of a world end when nothing goes wrong."""
    trace = simulate(app, world.events)
    check_invariants(trace)
    return outcomes(trace)


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.name)
def test_each_world_comes_to_its_end(world: World) -> None:
    """Without faults all runs end, under any schedule of several workers, and end equally."""
    for seed in range(3):
        trace = simulate(app, world.events, seed=seed, workers=3)
        check_invariants(trace)
        assert outcomes(trace) == undisturbed(world)
        assert trace.faults == 0


@given(
    seed=SEEDS,
    workers=st.integers(1, 3),
    max_runs=st.sampled_from([1_000, 1, 2, 3, 8]),
    faults=FAULTS,
    worlds=st.sets(st.sampled_from(WORLDS), min_size=1, max_size=3),
)
@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
def test_faults_change_no_result(seed: int, workers: int, max_runs: int, faults: Faults, worlds: set[World]) -> None:
    """Engines are full, die, lose leases, hear twice, late or not at all: all runs end, as they do undisturbed."""
    chosen = [world for world in WORLDS if world in worlds]
    trace = simulate(app, events_of(chosen), seed=seed, workers=workers, faults=faults, max_runs=max_runs)
    check_invariants(trace)
    expected = sorted(outcome for world in chosen for outcome in undisturbed(world))
    assert outcomes(trace) == expected, trace.timeline()


@given(seed=SEEDS, world=st.sampled_from(WORLDS))
@settings(max_examples=6, suppress_health_check=[HealthCheck.too_slow])
def test_the_store_makes_no_difference(tmp_path_factory: Any, seed: int, world: World) -> None:
    """On SQLite the same holds as in memory, with the same faults."""
    file: Path = tmp_path_factory.mktemp("store") / "flowgen.db"
    faults = Faults(crash=0.03, duplicate=0.05, delay=0.1)
    traces = [
        simulate(app, world.events, seed=seed, workers=2, faults=faults, store=store)
        for store in (None, lambda clock: SqliteStore(file, clock, inline=True))
    ]
    for trace in traces:
        check_invariants(trace)
        assert outcomes(trace) == undisturbed(world)


# -- events and waits ------------------------------------------------------------------------------

small = App("small")


async def ponder(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


@small.workflow(on=OnEvent("collect"))
def collect(ctx: Context) -> Steps[list[int]]:
    """Collects until nothing comes for an hour."""
    seen: list[int] = []
    while (item := (yield WaitFor("item", "item", match="data.key", timeout="1h"))) is not None:
        seen.append(item.data["n"])
        if item.data["n"] % 3 == 0:
            yield Run(ponder, 0.01)
    return seen


@given(
    seed=SEEDS,
    times=st.lists(st.integers(0, 200), max_size=12),
    faults=st.sampled_from(
        [
            Faults(),
            Faults(delay=0.3),
            Faults(delay=0.6, crash=0.1),
            Faults(crash=0.05, duplicate=0.2, store_error=0.05, evict=0.5),
        ]
    ),
)
@example(seed=9338, times=[5, 5, 50], faults=Faults(delay=0.6, crash=0.1))
@example(seed=1893, times=[0, 0, 0, 100, 100], faults=Faults(delay=0.3, crash=0.1))
@example(seed=9359, times=[0, 0, 0, 1, 5], faults=Faults(delay=1.0, crash=0.1))
@example(seed=7364, times=[0, 0, 5, 100, 1000], faults=Faults(delay=0.6, duplicate=0.3, crash=0.1))
@settings(max_examples=60)
def test_a_loop_of_waits_sees_each_event_once_and_in_order(seed: int, times: list[int], faults: Faults) -> None:
    """Events that come before, while and after a wait registers are all seen, by position, and none twice."""
    items = [(f"{at}ms", Event("item", {"key": 1, "n": n})) for n, at in enumerate(sorted(times))]
    strangers = [(f"{at}ms", Event("item", {"key": 2, "n": -1})) for at in times[:3]]
    trace = simulate(small, [Event("collect", {"key": 1}), *items, *strangers], seed=seed, workers=2, faults=faults)
    check_invariants(trace)
    assert trace.run("collect").result == list(range(len(times)))


# -- a cancel and an end ---------------------------------------------------------------------------


@small.workflow
def work(ctx: Context) -> Steps[float]:
    first = yield Run("first", ponder, 10)
    second = yield Run("second", ponder, 0)
    return first + second


@given(seed=SEEDS, at=st.integers(9_900, 10_100), delay=st.sampled_from([0.0, 0.3, 1.0]))
@settings(max_examples=100)
def test_a_body_that_ended_is_not_started_again_because_of_a_cancel(seed: int, at: int, delay: float) -> None:
    """A cancel around the end of a body: it is accepted and wins, or it is refused; no body begins twice."""
    trace = simulate(
        small, [Start(work), (f"{at}ms", Cancel("work"))], seed=seed, workers=2, faults=Faults(delay=delay)
    )
    check_invariants(trace)
    refused = any(entry.who == "client" and "is refused" in entry.what for entry in trace.entries)
    assert trace.run("work").status == ("completed" if refused else "cancelled")
    began = [body.step for body in trace.executions]
    assert len(began) == len(set(began))


# -- stolen leases ---------------------------------------------------------------------------------


STEALING = Faults(lost_lease=0.05, partition=0.1, pause=0.1, most=8)


async def sign(seconds: int) -> int:
    raise NotImplementedError


@small.workflow
def signed(ctx: Context) -> Steps[int]:
    """Its body takes longer than a lease, and returns something else each time that it runs."""
    return (yield from Run(sign, 45))


@given(seed=SEEDS)
@settings(max_examples=60)
def test_a_worker_whose_lease_was_stolen_changes_nothing(seed: int) -> None:
    """Its body may end; the run goes on with what the new owner's body gave, and nothing else is written."""
    given_out: list[int] = []

    async def number(seconds: int) -> int:
        await trio.sleep(seconds)
        given_out.append(len(given_out))
        return given_out[-1]

    trace = simulate(small, [Start(signed)], {"sign": number}, seed=seed, workers=3, faults=STEALING)
    check_invariants(trace)
    run = trace.run("signed")
    assert run.status == "completed"
    recorded = [entry for entry in trace.entries if entry.what == f"signed#0 'sign' succeeded: {run.result}"]
    assert len(recorded) == 1
    ended = [body for body in trace.executed("sign") if body.ended is not None]
    assert ended[run.result].worker == recorded[0].who


async def steady(seconds: int) -> int:
    await trio.sleep(seconds)
    return seconds


def test_there_are_zombies_in_these_simulations() -> None:
    """Bodies do end on workers that lost the run, so the rule above is not empty."""
    late = 0
    for seed in range(20):
        trace = simulate(small, [Start(signed)], {"sign": steady}, seed=seed, workers=3, faults=STEALING)
        late += len([body for body in trace.executed("sign") if body.ended is not None]) - 1
    assert late > 5
