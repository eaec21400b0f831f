"""Timeouts: `start` from opened to started, `finish` from started to end; the run is cancelled with that reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnEvent, Run, RunCancelled, Sleep, Steps
from flowgen.flow_control import CancelOn, Concurrency, Debounce, Singleton, Throttle, Timeouts
from flowgen.testing import Cancel, Faults, Trace
from tests.flow.scenes import FAULTS, SEEDS, at, ended, go, numbers, played, runs, scene, started, statuses, take

NOT_STARTED = "it did not start in time (timeouts)"
NOT_ENDED = "it did not end in time (timeouts)"


def reasons(trace: Trace) -> list[str | None]:
    """Why each run is in its state."""
    return [run.reason for run in runs(trace)]


# -- start -----------------------------------------------------------------------------------------


def test_a_run_that_does_not_start_in_time_is_cancelled() -> None:
    """Throttled for longer than it may wait; the one that was in time is not touched."""
    app = scene(throttle=Throttle(1, per="1h"), timeouts=Timeouts(start="30m"))
    trace = played(app, [go(1), go(2)])
    assert statuses(trace) == ["completed", "cancelled"]
    assert reasons(trace) == [None, NOT_STARTED]
    assert ended(trace.run("work", 1), trace) == 1800


def test_it_counts_until_the_first_claim_with_all_slots() -> None:
    """A run that stands in line for its slot has not started."""
    app = scene(concurrency=Concurrency(1), timeouts=Timeouts(start="30s"))
    trace = played(app, [go(1, takes=60), go(2), at(40, go(3))])
    assert statuses(trace) == ["completed", "cancelled", "completed"]
    assert reasons(trace) == [None, NOT_STARTED, None]
    assert ended(trace.run("work", 1), trace) == 30
    assert started(trace.run("work", 2), trace) == 60


def test_a_run_that_has_started_is_not_stopped_by_it() -> None:
    """However long it then takes."""
    trace = played(scene(timeouts=Timeouts(start="1s")), [go(1, takes=3600)])
    assert numbers(trace) == [[1]]


def test_a_run_that_collects_counts_from_its_opening() -> None:
    """The time of quiet is not time that it waits for its start."""
    app = scene(debounce=Debounce("1h"), timeouts=Timeouts(start="10s"))
    trace = played(app, [go(1), at(1800, go(2))])
    assert numbers(trace) == [[2]]


def test_a_replacement_that_waits_too_long_is_cancelled() -> None:
    """The run whose place it took needs longer to clean up than the newcomer may wait."""
    app = App("slow")

    @app.workflow(
        id="work", on=OnEvent("go"), singleton=Singleton(mode="cancel"), timeouts=Timeouts(start="10s", finish="1h")
    )
    def work(ctx: Context) -> Steps[Any]:
        try:
            yield Sleep("long", "1h")
        except RunCancelled:
            yield Run("clean up", take, [], 30)
            raise

    trace = played(app, [go(1), at(5, go(2)), at(120, go(3)), at(130, Cancel("work", 2))])
    assert reasons(trace)[1] == NOT_STARTED
    assert ended(trace.run("work", 1), trace) == 15
    assert started(trace.run("work", 2), trace) == 120


# -- finish ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"concurrency": Concurrency(1)}, {"throttle": Throttle(1, per="1m")}, {"debounce": Debounce("10s")}],
    ids=["at once", "with slots", "throttled", "collected"],
)
def test_a_run_that_does_not_end_in_time_is_cancelled(options: dict[str, Any]) -> None:
    """From its start on, not from its creation, whatever its first step is and however it came to start."""
    app = App("late")

    @app.workflow(id="work", on=OnEvent("go"), timeouts=Timeouts(finish="10m"), **options)
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("long", "1h")

    trace = played(app, [go(1), at(15, go(2))])
    for run in runs(trace):
        assert (run.status, run.reason) == ("cancelled", NOT_ENDED)
        assert ended(run, trace) - started(run, trace) == 600
    if "throttle" in options:
        assert started(trace.run("work", 1), trace) == 60


def test_a_body_that_executes_is_stopped() -> None:
    """The limit comes while a step is at work."""
    trace = played(scene(timeouts=Timeouts(finish="10s")), [go(1, takes=3600)])
    assert reasons(trace) == [NOT_ENDED]
    assert ended(trace.run("work"), trace) == 10


def test_clean_up_steps_run_after_the_limit() -> None:
    """It is a cancel like any other: thrown in, and cleaned up after."""
    app = App("tidy")

    @app.workflow(id="work", on=OnEvent("go"), timeouts=Timeouts(finish="10s"))
    def work(ctx: Context) -> Steps[None]:
        try:
            yield Sleep("long", "1h")
        finally:
            yield Run("tidy", take, [], 5)

    trace = played(app, [go(1)])
    assert reasons(trace) == [NOT_ENDED]
    assert ended(trace.run("work"), trace) == 15
    assert len(trace.executed("tidy")) == 1


def test_a_run_that_stands_in_line_again_is_cancelled_in_time() -> None:
    """Its limit does not wait for a slot: whoever is given it without one ends it, and executes nothing."""
    app = App("again")
    one = Concurrency(1, key="'all'", scope="app")

    @app.workflow(id="work", on=OnEvent("go"), concurrency=one, timeouts=Timeouts(finish="30s"))
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("a moment", "1s")
        yield Run(take, [], 1)

    @app.workflow(id="other", on=OnEvent("go"), concurrency=one)
    def other(ctx: Context) -> Steps[None]:
        yield Sleep("a shorter moment", "0.5s")
        yield Run(take, [], 100)

    trace = played(app, [go(1)])
    assert reasons(trace) == [NOT_ENDED]
    assert ended(trace.run("work"), trace) == 30
    assert trace.executed("take", trace.run("work")) == []
    assert ended(trace.run("other"), trace) == 100.5


@pytest.mark.parametrize("events", [[], [at(10, Event("stop", {}))]], ids=["overdue", "cancelled before"])
def test_a_clean_up_stands_in_line_after_the_limit(events: list[Any]) -> None:
    """It gets its slot within the time of a clean-up, and until then nobody is given the run again and again."""
    app = App("again")
    one = Concurrency(1, key="'all'", scope="app")
    limit = Timeouts(finish="30s")

    @app.workflow(id="work", on=OnEvent("go"), concurrency=one, timeouts=limit, cancel_on=CancelOn("stop"))
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("a moment", "1s")
        try:
            yield Run(take, [], 1)
        finally:
            yield Run("tidy", take, [], 1)

    @app.workflow(id="other", on=OnEvent("go"), concurrency=one)
    def other(ctx: Context) -> Steps[None]:
        yield Sleep("a shorter moment", "0.5s")
        yield Run(take, [], 60)

    trace = played(app, [go(1), *events])
    run = trace.run("work")
    assert run.status == "cancelled"
    assert trace.executed("take", run) == []
    assert len(trace.executed("tidy", run)) == 1
    assert ended(run, trace) == 61.5


# -- the rule --------------------------------------------------------------------------------------


@given(
    seed=SEEDS,
    workers=st.integers(1, 3),
    faults=FAULTS,
    works=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8),
)
@settings(max_examples=40)
def test_no_run_outlives_its_limits(seed: int, workers: int, faults: Faults, works: list[tuple[int, int]]) -> None:
    """Under any faults a run has started in time or is cancelled for that, and ends in time or is cancelled for that.

    Who is cancelled for its start never executed anything; who completed did so within both limits.
    """
    app = scene(
        concurrency=Concurrency(1), timeouts=Timeouts(start="60s", finish="30s"), throttle=Throttle(6, per="1m")
    )
    events = [at(second, go(n, takes=takes)) for n, (second, takes) in enumerate(sorted(works))]
    trace = played(app, events, seed=seed, workers=workers, faults=faults)
    assert len(runs(trace)) == len(works)
    for run in runs(trace):
        row = run.recorded.row
        bodies = trace.executed("take", run)
        if run.reason == NOT_STARTED:
            assert bodies == []
            assert row.ended_at is not None
            assert row.ended_at >= row.created_at + 60_000_000
            continue
        assert row.started_at is not None
        assert row.started_at < row.created_at + 60_000_000
        if run.reason == NOT_ENDED:
            assert row.ended_at is not None
            assert row.ended_at >= row.started_at + 30_000_000
        else:
            assert run.status == "completed"
            assert run.history[-1].at < row.started_at + 31_000_000
