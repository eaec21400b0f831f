"""Throttle: at most `burst` starts at once, then one each `per / limit`; what is too much is delayed, never lost."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen.flow_control import Singleton, Throttle
from flowgen.testing import Faults, simulate
from tests.flow.scenes import FAULTS, SECOND, SEEDS, at, go, numbers, played, runs, scene, started, statuses

TIMES = st.lists(st.integers(0, 120).map(lambda half: half / 2), max_size=15).map(sorted)


# -- the sentences ---------------------------------------------------------------------------------


def test_starts_are_spread() -> None:
    """One at once, then one each per / limit, in the order of the events."""
    trace = played(scene(throttle=Throttle(6, per="1m")), [go(n) for n in range(4)])
    assert numbers(trace) == [[0], [1], [2], [3]]
    assert [started(run, trace) for run in runs(trace)] == [0, 10, 20, 30]


def test_a_burst_starts_at_once() -> None:
    """Then the others one after the other."""
    trace = played(scene(throttle=Throttle(6, per="1m", burst=3)), [go(n) for n in range(5)])
    assert [started(run, trace) for run in runs(trace)] == [0, 0, 0, 10, 20]


def test_after_a_pause_a_burst_may_start_at_once_again() -> None:
    """As much of it as the pause has refilled."""
    events = [at(0, go(0)), at(0, go(1)), at(10, go(2)), at(10, go(3)), at(60, go(4)), at(60, go(5)), at(60, go(6))]
    trace = played(scene(throttle=Throttle(6, per="1m", burst=2)), events)
    assert [started(run, trace) for run in runs(trace)] == [0, 0, 10, 20, 60, 60, 70]


def test_a_delayed_run_says_so() -> None:
    """It is scheduled, with the reason, until its time."""
    trace = simulate(scene(throttle=Throttle(1, per="1h")), [go(0), go(1)], until="30m")
    assert statuses(trace) == ["completed", "scheduled"]
    assert trace.run("work", 1).reason == "throttled"
    assert trace.run("work", 1).recorded.row.start_at == trace.started_at + 3600 * SECOND


def test_each_key_is_spread_by_itself() -> None:
    """Events of another key put nothing off."""
    app = scene(throttle=Throttle(6, per="1m", key="event.data.k"))
    trace = played(app, [go(0, k="a"), go(1, k="b"), go(2, k="a"), go(3), go(4)])
    assert [started(run, trace) for run in runs(trace)] == [0, 0, 10, 0, 10]


def test_a_key_that_fails_affects_only_its_event() -> None:
    """It is skipped, and takes nobody's turn."""
    app = scene(throttle=Throttle(6, per="1m", key="event.data.k + 1"))
    trace = played(app, [go(0, k=1), go(1, k="text"), go(2, k=1)])
    assert statuses(trace) == ["completed", "skipped", "completed"]
    assert started(trace.run("work", 2), trace) == 10


def test_an_interval_that_is_no_whole_number_is_rounded_up() -> None:
    """So that no period ever holds more than it may."""
    trace = played(scene(throttle=Throttle(3, per="1s")), [go(n) for n in range(4)])
    assert [started(run, trace) for run in runs(trace)] == [0, 0.333334, 0.666668, 1.000002]


def test_one_that_takes_another_ones_place_keeps_its_turn() -> None:
    """It starts when the other has ended, and not before its own time."""
    app = scene(throttle=Throttle(6, per="1m"), singleton=Singleton(mode="cancel"))
    trace = played(app, [go(0, takes=600), at(5, go(1))])
    assert statuses(trace) == ["cancelled", "completed"]
    assert started(trace.run("work", 1), trace) == 10


# -- the rule --------------------------------------------------------------------------------------


def model(times: Sequence[float], interval: float, burst: int) -> list[float]:
    """When each event starts its run: a bucket of `burst` tokens, refilled by one each interval, taken in order."""
    starts: list[float] = []
    for time in times:
        earliest = max([time, *starts[-1:]])
        if len(starts) >= burst:
            earliest = max(earliest, _refilled(starts, interval, burst))
        starts.append(earliest)
    return starts


def _refilled(starts: Sequence[float], interval: float, burst: int) -> float:
    """When the bucket has a token again, after these starts: it fills evenly, and never above `burst`."""
    tokens, at = float(burst), starts[0]
    for start in starts:
        tokens = min(burst, tokens + (start - at) / interval) - 1
        at = start
    return at + max(0.0, 1 - tokens) * interval


@given(seed=SEEDS, workers=st.integers(1, 3), times=TIMES, burst=st.integers(1, 4))
@settings(max_examples=60)
def test_it_starts_each_at_the_earliest_time_that_it_may(
    seed: int, workers: int, times: list[float], burst: int
) -> None:
    """As a bucket of tokens says, in the order of the events, whatever the number of workers."""
    events = [(f"{int(time * 1000)}ms", go(n)) for n, time in enumerate(times)]
    trace = played(scene(throttle=Throttle(6, per="1m", burst=burst)), events, seed=seed, workers=workers)
    assert numbers(trace) == [[n] for n in range(len(times))]
    expected = model(times, 10, burst)
    actual = [started(run, trace) for run in runs(trace)]
    assert all(abs(is_ - should) < 1e-5 for is_, should in zip(actual, expected, strict=True)), (actual, expected)


@given(seed=SEEDS, workers=st.integers(1, 3), times=TIMES, burst=st.integers(1, 3), faults=FAULTS)
@settings(max_examples=60)
def test_it_loses_nothing_and_keeps_its_spacing(
    seed: int, workers: int, times: list[float], burst: int, faults: Faults
) -> None:
    """Under any faults each event is one run that completes, turns are as far apart as said, and nobody starts before
    its turn. (What was missed, because no engine was there at its turn, may get another one.)
    """
    events = [(f"{int(time * 1000)}ms", go(n)) for n, time in enumerate(times)]
    trace = played(
        scene(throttle=Throttle(6, per="1m", burst=burst)), events, seed=seed, workers=workers, faults=faults
    )
    assert sorted(numbers(trace)) == [[n] for n in range(len(times))]
    rows = [run.recorded.row for run in runs(trace)]
    turns = [row.start_at if row.start_at is not None else row.created_at for row in rows]
    assert all(row.started_at is not None and row.started_at >= turn for row, turn in zip(rows, turns, strict=True))
    slack = SECOND // 2  # how much later than decided a run is created when answers are late
    turns.sort()
    for first, last in zip(turns, turns[burst:], strict=False):
        assert last - first >= 10 * SECOND - slack
