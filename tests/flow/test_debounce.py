"""Debounce: one run with the last event after a period of quiet; `max_wait` caps it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import Event, OnEvent
from flowgen.flow_control import Debounce
from flowgen.testing import Cancel, Faults
from tests.flow.scenes import (
    FAULTS,
    SECOND,
    SEEDS,
    at,
    go,
    numbers,
    played,
    runs,
    scene,
    started,
    started_at,
    statuses,
    watched,
)


def test_one_run_with_the_last_event() -> None:
    """Events within the period of each other are one run, and its event is the last of them."""
    trace = played(scene(debounce=Debounce("10s")), [at(0, go(1)), at(5, go(2)), at(14, go(3))])
    assert numbers(trace) == [[3]]
    assert statuses(trace) == ["completed"]


def test_it_starts_after_the_period_of_quiet() -> None:
    """Each event puts the run off again: it starts one period after the last."""
    trace = played(scene(debounce=Debounce("10s")), [at(0, go(1)), at(9, go(2)), at(18, go(3))])
    assert started(trace.run("work"), trace) == 28


def test_after_the_run_it_begins_again() -> None:
    """An event that comes when the period is over begins another run."""
    trace = played(scene(debounce=Debounce("10s")), [at(0, go(1)), at(10.5, go(2))])
    assert numbers(trace) == [[1], [2]]
    assert [started(run, trace) for run in runs(trace)] == [10, 20.5]


def test_an_event_while_the_run_executes_begins_another() -> None:
    """No event enters a run whose event is fixed."""
    trace = played(scene(debounce=Debounce("1s")), [at(0, go(1, takes=60)), at(5, go(2))])
    assert numbers(trace) == [[1], [2]]


def test_max_wait_caps_it() -> None:
    """However often events come, the run starts at the latest so long after the first."""
    events = [at(3 * n, go(n)) for n in range(10)]
    trace = played(scene(debounce=Debounce("5s", max_wait="10s")), events)
    assert numbers(trace) == [[3], [7], [9]]
    assert [started(run, trace) for run in runs(trace)] == [10, 22, 32]


def test_each_key_is_quiet_by_itself() -> None:
    """Events of another key neither put a run off nor enter it."""
    events = [at(0, go(1, k="a")), at(6, go(2, k="b")), at(8, go(3, k="a"))]
    trace = played(scene(debounce=Debounce("10s", key="event.data.k")), events)
    assert numbers(trace) == [[3], [2]]
    assert [started(run, trace) for run in runs(trace)] == [18, 16]


def test_a_missing_path_is_null() -> None:
    """Events without the key's value are debounced together, and apart from the others."""
    events = [at(0, go(1)), at(1, go(2, k="a")), at(2, go(3))]
    trace = played(scene(debounce=Debounce("10s", key="event.data.k")), events)
    assert sorted(numbers(trace)) == [[2], [3]]


def test_a_key_that_fails_affects_only_its_event() -> None:
    """CEL on a missing field is an error: that event is skipped, with the reason, and puts nothing off."""
    app = scene(debounce=Debounce("10s", key="event.data.k + 'x'"))
    trace = played(app, [at(0, go(1, k="a")), at(5, go(2))])
    assert numbers(trace) == [[1]]
    (skipped,) = runs(trace, status="skipped")
    assert "a key could not be worked out" in str(skipped.reason)
    assert started(trace.run("work"), trace) == 10


def test_until_it_starts_the_run_collects() -> None:
    """It can be seen, and says that it collects."""
    trace = played(scene(debounce=Debounce("10s")), [go(1)], until="5s")
    assert statuses(trace) == ["collecting"]


def test_a_run_that_collects_may_be_cancelled() -> None:
    """It ends, none of its events start anything, and the next event begins another."""
    events = [at(0, go(1)), at(1, go(2)), at(2, Cancel("work")), at(3, go(3))]
    trace = played(scene(debounce=Debounce("10s")), events)
    assert statuses(trace) == ["cancelled", "completed"]
    assert numbers(trace) == [[3]]
    assert started(runs(trace)[1], trace) == 13
    assert trace.executed("take", runs(trace)[0]) == []


def test_all_triggers_of_a_workflow_are_debounced_together() -> None:
    """Debounce is of the workflow, not of one of its triggers."""
    app = scene(on=[OnEvent("go"), OnEvent("went")], debounce=Debounce("10s"))
    trace = played(app, [at(0, go(1)), at(5, Event("went", {"n": 2}))])
    assert numbers(trace) == [[2]]


def test_a_hundred_events_at_once_are_one_run() -> None:
    """In one batch of events, too, the last one counts, by its place there."""
    trace = played(scene(debounce=Debounce("10s")), [at(0, go(n)) for n in range(100)])
    assert numbers(trace) == [[99]]


# -- against a model ---------------------------------------------------------------------------------

LATENESS = 200_000
"""Answers of the store may be late by 100 ms, before and after it acts: so old may an engine's idea of the time be."""

PERIOD, MAX_WAIT = 10_100_000, 25_300_000
"""Microseconds; no sum of them is a whole second, as the times of events are, so nothing falls on a boundary."""

Sent = tuple[int, str]
SENT = st.lists(st.tuples(st.integers(0, 90), st.sampled_from("ab")), min_size=1, max_size=15).map(sorted)


def model(sent: Sequence[Sent], max_wait: int | None) -> list[tuple[int, int]]:
    """(the number of the last event, the microsecond of the start) of each run, from the semantics alone."""
    expected = []
    keyed = sorted((key, second * SECOND, n) for n, (second, key) in enumerate(sent))
    for _, events in groupby(keyed, key=lambda item: item[0]):
        first = due = last = -1
        for _, time, n in events:
            if time > due:
                if last >= 0:
                    expected.append((last, due))
                first = time
            due, last = time + PERIOD, n
            if max_wait is not None:
                due = min(due, first + max_wait)
        expected.append((last, due))
    return sorted(expected)


@given(seed=SEEDS, sent=SENT, max_wait=st.sampled_from([None, MAX_WAIT]), workers=st.integers(1, 3))
@settings(max_examples=60)
def test_it_is_as_the_model_says(seed: int, sent: list[Sent], max_wait: int | None, workers: int) -> None:
    """Which runs there are, with which event, and when each starts."""
    debounce = Debounce(f"{PERIOD}us", key="event.data.k", max_wait=None if max_wait is None else f"{max_wait}us")
    events = [at(second, go(n, k=key)) for n, (second, key) in enumerate(sent)]
    trace = played(scene(debounce=debounce), events, seed=seed, workers=workers)
    got = [(run.result[0], started_at(run, trace)) for run in runs(trace)]
    assert sorted(got) == model(sent, max_wait), trace.timeline()


@given(seed=SEEDS, sent=SENT, faults=FAULTS, workers=st.integers(1, 3))
@settings(max_examples=60)
def test_no_fault_loses_the_last_event(seed: int, sent: list[Sent], faults: Faults, workers: int) -> None:
    """Each event enters one run; a run starts once, with the last that entered it, after its time of quiet."""
    debounce = Debounce(f"{PERIOD}us", key="event.data.k", max_wait=f"{MAX_WAIT}us")
    events = [at(second, go(n, k=key)) for n, (second, key) in enumerate(sent)]
    trace, store = watched(scene(debounce=debounce), events, seed=seed, workers=workers, faults=faults)
    collected = store.collected()
    assert sorted(n for entered in collected.values() for n in entered) == list(range(len(sent)))
    for run in runs(trace):
        entered = collected[run.id]
        assert len({sent[n][1] for n in entered}) == 1
        assert run.result == [entered[-1]], trace.timeline()
        first, last = entered[0], entered[-1]
        due = min(sent[last][0] * SECOND + PERIOD, sent[first][0] * SECOND + MAX_WAIT)
        assert started_at(run, trace) >= due - LATENESS
