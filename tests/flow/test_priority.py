"""Priority: rank is the time at which a run became due, less so many seconds; an error counts as 0."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from flowgen.flow_control import Concurrency, Priority, Throttle
from tests.flow.scenes import at, go, played, runs, scene, started, statuses

Events = list[Any]


def order(events: Events, expression: str = "event.data.rank") -> list[int]:
    """In which order these events start their runs, one at a time, a second each, after a first run of an hour."""
    app = scene(concurrency=Concurrency(1), priority=Priority(expression))
    waiting = [(when, attrs.evolve(event, data={**event.data, "takes": 1})) for when, event in events]
    trace = played(app, [at(0, go(-1, takes=3600)), *waiting])
    done = sorted(runs(trace)[1:], key=lambda run: started(run, trace))
    return [run.result[0] for run in done]


def test_who_has_more_goes_first() -> None:
    """Of those that wait at the same time."""
    assert order([at(1, go(n, rank=rank)) for n, rank in enumerate([-5, 0, 5])]) == [2, 1, 0]


def test_it_is_seconds_of_waiting() -> None:
    """One that came 20 seconds later with 30 seconds more goes first; with 10 it does not."""
    assert order([at(1, go(0, rank=0)), at(21, go(1, rank=30))]) == [1, 0]
    assert order([at(1, go(0, rank=0)), at(21, go(1, rank=10))]) == [0, 1]


def test_it_is_clamped() -> None:
    """To 600 seconds either way: a million does not beat who has waited for eleven minutes more."""
    assert order([at(1, go(0, rank=0)), at(662, go(1, rank=1_000_000))]) == [0, 1]
    assert order([at(1, go(0, rank=0)), at(600, go(1, rank=1_000_000))]) == [1, 0]
    assert order([at(1, go(0, rank=-1_000_000)), at(602, go(1, rank=0))]) == [0, 1]


@pytest.mark.parametrize("wrong", ["text", None, True, 1.5, [1], {"a": 1}])
def test_what_is_no_integer_counts_as_0(wrong: Any) -> None:
    """The run is neither skipped nor put off."""
    assert order([at(2, go(0, rank=wrong)), at(3, go(1, rank=0)), at(1, go(2, rank=0))]) == [2, 0, 1]


def test_an_error_counts_as_0() -> None:
    """CEL on a missing key: the run starts in its order."""
    assert order([at(1, go(0)), at(2, go(1, a={"b": 5}))], "event.data.a.b + 0") == [1, 0]
    assert order([at(1, go(0)), at(9, go(1, a={"b": 5}))], "event.data.a.b + 0") == [0, 1]


def test_a_whole_float_is_an_integer() -> None:
    """JSON does not tell 5.0 from 5."""
    assert order([at(1, go(0, rank=0)), at(2, go(1, rank=5.0))]) == [1, 0]


def test_a_throttled_run_is_due_at_its_turn() -> None:
    """Priority changes nobody's turn: rank counts from when the run may start."""
    app = scene(throttle=Throttle(6, per="1m"), priority=Priority("event.data.rank"))
    trace = played(app, [go(0, rank=0), go(1, rank=0), go(2, rank=600)])
    assert statuses(trace) == ["completed"] * 3
    assert [started(run, trace) for run in runs(trace)] == [0, 10, 20]
