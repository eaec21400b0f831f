"""All options together behave as the documented order says.

*Route*: idempotency, rate limit, then debounce or batch. *Open*: singleton, throttle, priority. *Claim*: concurrency.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import Event, OnEvent
from flowgen.flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from flowgen.testing import Faults, Trace
from tests.flow.scenes import FAULTS, SECOND, SEEDS, at, go, numbers, played, runs, scene, started, statuses


def test_a_duplicate_uses_no_rate_up() -> None:
    """Idempotency comes before the rate limit."""
    app = scene(idempotency="event.data.k", rate_limit=RateLimit(2, per="1h"))
    trace = played(app, [at(0, go(1, k="a")), at(1, go(2, k="a")), at(2, go(3, k="a")), at(3, go(4, k="b"))])
    assert statuses(trace) == ["completed", "skipped", "skipped", "completed"]


def test_what_the_rate_limit_refuses_takes_no_idempotency_key() -> None:
    """So the same key may pass later."""
    app = scene(idempotency="event.data.k", rate_limit=RateLimit(1, per="60s"))
    trace = played(app, [at(0, go(1, k="a")), at(1, go(2, k="b")), at(61, go(3, k="b"))])
    assert statuses(trace) == ["completed", "skipped", "completed"]


def test_the_rate_limit_counts_events_not_debounced_runs() -> None:
    """It comes before the debounce: what it refuses neither enters nor puts off."""
    app = scene(rate_limit=RateLimit(2, per="1h"), debounce=Debounce("10s"))
    trace = played(app, [at(0, go(1)), at(5, go(2)), at(9, go(3))])
    assert numbers(trace) == [[2]]
    assert statuses(trace) == ["completed", "skipped"]
    assert started(trace.run("work"), trace) == 15


def test_a_batch_is_one_start_for_the_throttle() -> None:
    """Throttle is asked when a batch opens, so it counts batches."""
    app = scene(batch=Batch(2, wait="10s"), throttle=Throttle(1, per="60s"))
    trace = played(app, [at(n, go(n)) for n in range(4)])
    assert numbers(trace) == [[0, 1], [2, 3]]
    assert [started(run, trace) for run in runs(trace)] == [1, 61]


def test_the_start_timeout_counts_from_the_opening() -> None:
    """Not while it collects; while it is throttled it does."""
    app = scene(debounce=Debounce("60s", key="event.data.n"), timeouts=Timeouts(start="30s"))
    assert statuses(played(app, [at(0, go(1))])) == ["completed"]
    slow = scene(
        debounce=Debounce("60s", key="event.data.n"), throttle=Throttle(1, per="1h"), timeouts=Timeouts(start="30s")
    )
    trace = played(slow, [at(0, go(1)), at(1, go(2))])
    assert statuses(trace) == ["completed", "cancelled"]
    assert trace.run("work", 1).recorded.row.ended_at == trace.started_at + 91 * SECOND


def test_a_run_that_waits_for_a_slot_is_open() -> None:
    """Concurrency comes last: what waits for it holds its singleton key, and has had its throttle's turn."""
    app = scene(singleton=Singleton(key="event.data.k"), concurrency=Concurrency(1))
    trace = played(app, [at(0, go(1, k="a", takes=60)), at(1, go(2, k="b")), at(2, go(3, k="b"))])
    assert statuses(trace) == ["completed", "completed", "skipped"]
    assert [round(started(run, trace)) for run in runs(trace)[:2]] == [0, 60]


def test_what_waits_for_a_slot_goes_by_priority() -> None:
    """The rank is the time it became due, less its seconds."""
    app = scene(priority=Priority("event.data.rank"), concurrency=Concurrency(1))
    ranks = enumerate([0, 120, 60], 1)
    events = [at(0, go(0, rank=0, takes=60)), *(at(n, go(n, rank=rank, takes=1)) for n, rank in ranks)]
    trace = played(app, events)
    order = sorted(runs(trace), key=lambda run: run.recorded.row.ended_at or 0)
    assert [run.result for run in order] == [[0], [2], [3], [1]]


ALL: dict[str, Any] = {
    "on": [OnEvent("go"), OnEvent("went", where="event.data.n >= 0")],
    "idempotency": "event.data.id",
    "rate_limit": RateLimit(5, per="30s"),
    "debounce": Debounce("2500ms", key="event.data.k", max_wait="5500ms"),
    "singleton": Singleton(key="event.data.k"),
    "throttle": Throttle(1, per="3300ms"),
    "priority": Priority("event.data.n % 7"),
    "concurrency": [Concurrency(2, key="event.data.k"), Concurrency(2, scope="app")],
    "cancel_on": CancelOn("stop", match="data.k"),
    "timeouts": Timeouts(start="1h", finish="1h"),
}
"""Every option that goes with the others."""

Sent = tuple[int, str, int]
SENT = st.lists(st.tuples(st.integers(0, 40), st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=14).map(
    sorted
)


def all_events(sent: list[Sent]) -> list[tuple[float, Event[dict[str, Any]]]]:
    """The events."""
    return [at(time, go(n, k=key, id=id, takes=4.1)) for n, (time, key, id) in enumerate(apart(sent))]


def apart(sent: list[Sent]) -> list[tuple[float, str, int]]:
    """The events at times of which no two, and nothing that follows from them, are equal."""
    return [(second + n * 0.007, key, id) for n, (second, key, id) in enumerate(sent)]


def model(sent: list[Sent]) -> list[list[int]]:
    """The numbers of the events whose runs complete, from the documented order alone."""
    seen: set[int] = set()
    starts: list[float] = []
    collecting: dict[str, tuple[float, float, int]] = {}
    opened: list[tuple[float, str, int]] = []
    for n, (second, key, id) in enumerate(apart(sent)):
        for other, (_, due, last) in list(collecting.items()):
            if due < second:
                opened.append((due, other, last))
                del collecting[other]
        if id in seen:
            continue
        if sum(1 for start in starts if start > second - 30) >= 5:
            continue
        seen.add(id)
        starts.append(second)
        first = collecting[key][0] if key in collecting else second
        collecting[key] = (first, min(second + 2.5, first + 5.5), n)
    opened += [(due, key, last) for key, (_, due, last) in collecting.items()]
    return _run(sorted(opened))


def _run(opened: list[tuple[float, str, int]]) -> list[list[int]]:
    """Singleton, throttle, then slots: two at a time in the whole app."""
    until: dict[str, float] = {}
    turn = 0.0
    slots = [0.0, 0.0]
    completed = []
    for due, key, n in opened:
        if due < until.get(key, 0.0):
            continue
        start = max(due, turn)
        turn = start + 3.3
        slots.sort()
        start = max(start, slots[0])
        slots[0] = until[key] = start + 4.1
        completed.append([n])
    return sorted(completed)


@given(seed=SEEDS, sent=SENT, workers=st.integers(1, 3))
@settings(max_examples=60)
def test_all_options_are_as_the_model_says(seed: int, sent: list[Sent], workers: int) -> None:
    """Which events' runs complete, when every option has its say."""
    trace = played(scene(**ALL), all_events(sent), seed=seed, workers=workers)
    assert sorted(numbers(trace)) == model(sent), trace.timeline()


def settled(trace: Trace, sent: list[Sent]) -> None:
    """Each event was decided on, and nothing is left of any run."""
    handled = [run for run in runs(trace) if run.status == "completed"]
    assert {run.status for run in runs(trace)} <= {"completed", "skipped"}
    assert len({n for run in handled for n in run.result}) == len(handled)
    ids = [sent[n][2] for run in handled for n in run.result]
    assert len(ids) == len(set(ids))


@given(seed=SEEDS, sent=SENT, faults=FAULTS, workers=st.integers(1, 3))
@settings(max_examples=40)
def test_all_options_come_to_rest_under_faults(seed: int, sent: list[Sent], faults: Faults, workers: int) -> None:
    """Each run ends, no idempotency key has two runs, and afterwards everything is free for the next event."""
    tail = [at(4000, go(1000 + n, k=key, id=1000 + n)) for n, key in enumerate("abc")]
    trace = played(scene(**ALL), [*all_events(sent), *tail], seed=seed, workers=workers, faults=faults)
    settled(trace, [*sent, *[(0, "", 0)] * (1000 - len(sent)), *[(0, key, 1000 + n) for n, key in enumerate("abc")]])
    assert [run.result for run in runs(trace, status="completed")][-3:] == [[1000], [1001], [1002]]
