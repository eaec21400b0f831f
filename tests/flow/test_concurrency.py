"""Concurrency: `limit` runs execute at a time for each key; who waits or sleeps does not count."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import All, App, Context, Invoke, OnEvent, Run, Sleep, Steps, WaitFor
from flowgen.errors import DefinitionError
from flowgen.flow_control import Concurrency, Priority
from flowgen.testing import Faults, RunTrace, Trace, simulate
from tests.flow.scenes import (
    FAULTS,
    SEEDS,
    at,
    data_of,
    ended,
    go,
    numbers,
    played,
    runs,
    scene,
    started,
    statuses,
    take,
)


def busiest(trace: Trace, chosen: Iterable[RunTrace] | None = None) -> int:
    """How many bodies of these runs (all) were at work at once at the most, on workers that owned their run."""
    ids = {run.id for run in (trace.runs if chosen is None else chosen)}
    changes = []
    for body in trace.executions:
        if body.run in ids and not body.zombie and body.ended is not None and body.ended > body.began:
            changes += [(body.began, 1), (body.ended, -1)]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


# -- the sentences ---------------------------------------------------------------------------------


def test_so_many_execute_at_a_time() -> None:
    """The others wait their turn, and all are done."""
    trace = played(scene(concurrency=Concurrency(2)), [go(n, takes=10) for n in range(5)], workers=3)
    assert busiest(trace) == 2
    assert sorted(numbers(trace)) == [[n] for n in range(5)]
    assert sorted(ended(run, trace) for run in runs(trace)) == [10, 10, 20, 20, 30]


def test_each_key_has_a_limit_of_its_own() -> None:
    """A missing path is null, and a key like any other."""
    app = scene(concurrency=Concurrency(1, key="event.data.k"))
    trace = played(app, [go(0, k="a", takes=10), go(1, k="a", takes=10), go(2, k="b", takes=10), go(3, takes=10)])
    assert [ended(run, trace) for run in runs(trace)].count(10) == 3
    assert busiest(trace) == 3


def test_two_limits_hold_both() -> None:
    """Two at a time for each key, three in all."""
    app = scene(concurrency=[Concurrency(2, key="event.data.k"), Concurrency(3)])
    events = [go(n, k=key, takes=10) for n, key in enumerate("aaaabbbbcc")]
    trace = played(app, events, workers=2)
    assert busiest(trace) == 3
    for key in "abc":
        mine = [run for run in runs(trace) if data_of(run.recorded.events[0])["k"] == key]
        assert busiest(trace, mine) <= 2
    assert len(numbers(trace)) == 10


def test_more_than_two_limits_are_refused() -> None:
    """At the definition."""
    limits = [Concurrency(n, key=f"event.data.k{n}") for n in (1, 2, 3)]
    with pytest.raises(DefinitionError, match="at most 2 are accepted"):
        scene(concurrency=limits)


def test_a_run_that_sleeps_holds_none() -> None:
    """While it sleeps another one executes."""
    app = App("sleepers")

    @app.workflow(id="work", on=OnEvent("go"), concurrency=Concurrency(1))
    def work(ctx: Context) -> Steps[None]:
        yield Run("before", take, [], 1)
        yield Sleep("long", "1h")
        yield Run("after", take, [], 1)

    trace = played(app, [go(n) for n in range(3)])
    assert busiest(trace) == 1
    assert max(ended(run, trace) for run in runs(trace)) < 3600 + 7


def test_a_run_that_waits_holds_none() -> None:
    """Neither for an event nor for a child, which may need the very same slot."""
    app = App("waiters")
    one = Concurrency(1, key="'all'", scope="app")

    @app.workflow(id="work", on=OnEvent("go"), concurrency=one)
    def work(ctx: Context) -> Steps[Any]:
        yield WaitFor("approval", "approved", timeout="1h")
        return (yield Invoke("child", child))

    @app.workflow(id="child", concurrency=one)
    def child(ctx: Context) -> Steps[int]:
        yield Run(take, [], 5)
        return 7

    trace = played(app, [go(0), go(1)])
    assert [run.result for run in runs(trace)] == [7, 7]
    assert max(ended(run, trace) for run in runs(trace)) == 3610


@pytest.mark.parametrize("timeout", ["2s", "1h"])
def test_a_run_that_waits_beside_its_step_is_not_forgotten(timeout: str) -> None:
    """It asks for both without its slot: the wait looks back first, and then the run still wants the slot."""
    app = App("flow")

    @app.workflow(id="work", on=OnEvent("go"), concurrency=Concurrency(1))
    def work(ctx: Context) -> Steps[Any]:
        if ctx.event.data["n"] == 0:
            return (yield Run("take", take, [0], 10))
        yield Sleep("nap", "500ms")
        taken, _ = yield All(Run("take", take, [1], 1), WaitFor("wait", "more", timeout=timeout))
        return taken

    trace = played(app, [at(0, go(1)), at(0.1, go(0))])
    assert sorted(numbers(trace)) == [[0], [1]]
    step = next(body for run in runs(trace) for body in trace.executions if body.run == run.id and run.result == [1])
    assert step.started_at == trace.started_at + 10_100_000


def test_the_app_shares_a_limit() -> None:
    """All workflows that ask for the same key with scope="app"; without it each has a limit of its own."""
    for scope, most in (("app", 1), ("workflow", 2)):
        app = App("shared")
        for name in ("one", "two"):

            @app.workflow(id=name, on=OnEvent("go"), concurrency=Concurrency(1, scope=scope))  # type: ignore[arg-type]
            def work(ctx: Context) -> Steps[Any]:
                yield Run(take, [], 10)

        assert busiest(played(app, [go(0)], workers=2)) == most


def test_steps_of_one_run_execute_beside_each_other() -> None:
    """The limit is of runs, not of steps."""
    app = App("parallel")

    @app.workflow(id="work", on=OnEvent("go"), concurrency=Concurrency(1))
    def work(ctx: Context) -> Steps[Any]:
        yield All({str(n): Run(f"step {n}", take, [], 10) for n in range(3)})

    trace = played(app, [go(0), go(1)])
    assert busiest(trace) == 3
    assert sorted(round(ended(run, trace)) for run in runs(trace)) == [10, 20]


def test_a_blocked_run_says_so() -> None:
    """It is `blocked`, by its slot."""
    trace = simulate(scene(concurrency=Concurrency(1)), [go(0, takes=100), go(1)], until="50s")
    assert statuses(trace) == ["running", "blocked"]


def test_a_key_that_fails_affects_only_its_event() -> None:
    """It is skipped with the error."""
    trace = played(scene(concurrency=Concurrency(1, key="event.data.k + 1")), [go(0, k="x"), go(1, k=1)])
    assert statuses(trace) == ["skipped", "completed"]


def test_the_slot_of_a_dead_worker_is_free_when_its_lease_ends() -> None:
    """Nothing is counted up and down, so nothing stays taken."""
    for seed in range(10):
        trace = played(
            scene(concurrency=Concurrency(1)), [go(n, takes=5) for n in range(6)], seed=seed, workers=2,
            faults=Faults(crash=0.2, most=6),
        )  # fmt: skip
        assert sorted(numbers(trace)) == [[n] for n in range(6)]


# -- the rule --------------------------------------------------------------------------------------


def bouncing(limits: list[Concurrency]) -> App:
    """Runs that execute, sleep, and execute again, with some of it at once."""
    app = App("bouncing")

    @app.workflow(id="work", on=OnEvent("go"), concurrency=limits)
    def work(ctx: Context) -> Steps[int]:
        for n in range(ctx.event.data["rounds"]):
            yield Run(f"first {n}", take, [], ctx.event.data["takes"])
            yield All({"nap": Sleep(f"nap {n}", "3s"), "work": Run(f"second {n}", take, [], 1)})
        return int(ctx.event.data["n"])

    return app


@given(
    seed=SEEDS,
    workers=st.integers(1, 3),
    faults=FAULTS,
    works=st.lists(
        st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.integers(1, 2), st.integers(0, 15)),
        min_size=1,
        max_size=8,
    ),
)
@settings(max_examples=60)
def test_no_moment_has_more_than_the_limit_and_all_is_done(
    seed: int, workers: int, faults: Faults, works: list[tuple[int, str, int, int]]
) -> None:
    """Under any faults: slots are held within their limits (`check_invariants`), nothing is lost or done twice, and at
    rest nobody holds or waits for one."""
    app = bouncing([Concurrency(1, key="event.data.k"), Concurrency(2)])
    events = [
        at(second, go(n, k=key, rounds=rounds, takes=takes))
        for n, (second, key, rounds, takes) in enumerate(sorted(works))
    ]
    trace = played(app, events, seed=seed, workers=workers, faults=faults)
    assert sorted(run.result for run in runs(trace)) == list(range(len(works)))
    for run in runs(trace):
        row = run.recorded.row
        assert (row.owner, row.blocked_on, row.wants) == (None, None, False)
    if faults.lost_lease == 0 and faults.crash == 0:
        assert busiest(trace) <= 2


@given(seed=SEEDS, workers=st.integers(1, 3), ranks=st.lists(st.integers(-3, 3), min_size=1, max_size=10))
@settings(max_examples=40)
def test_of_those_that_wait_the_first_by_rank_goes_first(seed: int, workers: int, ranks: list[int]) -> None:
    """Rank is the time it became due less its priority in seconds."""
    app = scene(concurrency=Concurrency(1), priority=Priority("event.data.rank"))
    events = [
        at(0, go(-1, takes=60, rank=0)),
        *[at(1 + n, go(n, takes=1, rank=10 * rank)) for n, rank in enumerate(ranks)],
    ]
    trace = played(app, events, seed=seed, workers=workers)
    order = sorted(runs(trace)[1:], key=lambda run: started(run, trace))
    assert [run.result for run in order] == [
        [n] for n in sorted(range(len(ranks)), key=lambda n: 1 + n - 10 * ranks[n])
    ]
    assert busiest(trace) == 1
    assert max(started(run, trace) for run in runs(trace)) <= 60 + len(ranks)
