"""Batch: one run with up to `size` events, after `wait`, or 10 MiB."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, Invoke, OnEvent, Run, Steps
from flowgen.flow_control import Batch, CancelOn, Priority
from flowgen.testing import Cancel, Faults
from tests.flow.scenes import (
    FAULTS,
    SECOND,
    SEEDS,
    at,
    go,
    number_of,
    numbers,
    played,
    runs,
    scene,
    started,
    started_at,
    statuses,
    take,
    watched,
)


def test_a_full_batch_starts_at_once() -> None:
    """It does not wait when there is nothing to wait for."""
    trace = played(scene(batch=Batch(3, wait="10s")), [at(0, go(1)), at(1, go(2)), at(2, go(3))])
    assert numbers(trace) == [[1, 2, 3]]
    assert started(trace.run("work"), trace) == 2


def test_one_that_is_not_full_starts_after_its_wait() -> None:
    """The wait counts from the first event, whatever comes after it."""
    trace = played(scene(batch=Batch(3, wait="10s")), [at(0, go(1)), at(9, go(2))])
    assert numbers(trace) == [[1, 2]]
    assert started(trace.run("work"), trace) == 10


def test_the_event_after_a_full_batch_begins_another() -> None:
    """No batch exceeds its size, and none of its events is lost: also if they all come at once."""
    trace = played(scene(batch=Batch(3, wait="10s")), [at(0, go(n)) for n in range(7)])
    assert sorted(numbers(trace)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert sorted(started(run, trace) for run in runs(trace)) == [0, 0, 10]


def test_a_batch_of_one_is_a_run_for_each_event() -> None:
    """Nothing is waited for."""
    trace = played(scene(batch=Batch(1, wait="10s")), [at(0, go(1)), at(0, go(2))])
    assert sorted(numbers(trace)) == [[1], [2]]
    assert [started(run, trace) for run in runs(trace)] == [0, 0]


def test_each_key_has_its_own_batch() -> None:
    """Events with another value of the key neither fill a batch nor enter it."""
    events = [at(0, go(1, k="a")), at(1, go(2, k="b")), at(2, go(3, k="a")), at(3, go(4, k="b"))]
    trace = played(scene(batch=Batch(2, wait="10s", key="event.data.k")), events)
    assert numbers(trace) == [[1, 3], [2, 4]]


def test_events_are_in_their_order() -> None:
    """`ctx.events` is in the order in which they were accepted; `ctx.event` is the first."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), batch=Batch(10, wait="10s"))
    def work(ctx: Context) -> Steps[list[int]]:
        yield Run("nothing", take, [], 0)
        return [*(event.data["n"] for event in ctx.events), ctx.event.data["n"]]

    trace = played(app, [at(n / 10, go(n)) for n in range(5)])
    assert numbers(trace) == [[0, 1, 2, 3, 4, 0]]


def test_a_batch_is_at_most_ten_mebibytes() -> None:
    """The event that would exceed them begins another batch, and the first starts at once."""
    events = [at(0, go(n, text="x" * 500_000)) for n in range(25)]
    trace = played(scene(batch=Batch(100, wait="1h")), events)
    assert sorted(numbers(trace)) == [list(range(20)), list(range(20, 25))]
    assert sorted(started(run, trace) for run in runs(trace)) == [0, 3600]


def test_it_combines_with_cancel_on() -> None:
    """An event that comes when the batch is open cancels it, by what its last event says."""
    app = scene(batch=Batch(2, wait="10s"), cancel_on=CancelOn("stop", match="data.k"))
    events = [
        at(0, go(1, k="a", takes=60)),
        at(1, go(2, k="b", takes=60)),
        at(5, Event("stop", {"k": "a"})),
        at(20, Event("stop", {"k": "b"})),
    ]
    trace = played(app, events)
    assert statuses(trace) == ["cancelled"]
    assert "stop" in str(trace.run("work").reason)
    assert (trace.run("work").recorded.row.ended_at or 0) - trace.started_at == 20 * SECOND


def test_it_combines_with_idempotency() -> None:
    """An event that repeats another's key does not enter the batch."""
    app = scene(batch=Batch(3, wait="10s"), idempotency="event.data.k")
    trace = played(app, [at(0, go(1, k="a")), at(1, go(2, k="a")), at(2, go(3, k="b"))])
    assert numbers(trace) == [[1, 3]]
    (skipped,) = runs(trace, status="skipped")
    assert trace.run("work").id in str(skipped.reason)


def test_it_combines_with_priority() -> None:
    """The last event says with which priority the batch runs."""
    app = scene(batch=Batch(2, wait="10s"), priority=Priority("event.data.rank"))
    trace = played(app, [at(0, go(1, rank=7)), at(0, go(2, rank=120))])
    assert trace.run("work").recorded.row.priority == 120


def test_a_cancelled_batch_can_be_looked_at() -> None:
    """A batch that is cancelled while it collects keeps its events."""
    trace = played(scene(batch=Batch(3, wait="10s")), [at(0, go(1)), at(1, go(2)), at(2, Cancel("work"))])
    assert statuses(trace) == ["cancelled"]
    assert len(trace.run("work").recorded.events) == 2


def test_a_key_that_fails_affects_only_its_event() -> None:
    """It is skipped, and the others are a batch."""
    app = scene(batch=Batch(2, wait="10s", key="event.data.k + 'x'"))
    trace = played(app, [at(0, go(1, k="a")), at(1, go(2)), at(2, go(3, k="a"))])
    assert numbers(trace) == [[1, 3]]
    assert statuses(trace) == ["completed", "skipped"]


# -- against a model ---------------------------------------------------------------------------------

WAIT = 10_100_000
"""Microseconds; no whole seconds, as the times of events are, so nothing falls on a boundary."""

Sent = tuple[int, str]
SENT = st.lists(st.tuples(st.integers(0, 60), st.sampled_from("ab")), min_size=1, max_size=20).map(sorted)


def model(sent: Sequence[Sent], size: int) -> list[tuple[list[int], int]]:
    """(the numbers of the events, the microsecond of the start) of each run, from the semantics alone."""
    expected = []
    for key in "ab":
        batch: list[int] = []
        due = 0
        for n, (second, its_key) in enumerate(sent):
            if its_key != key:
                continue
            time = second * SECOND
            if batch and time > due:
                expected.append((batch, due))
                batch = []
            due = due if batch else time + WAIT
            batch.append(n)
            if len(batch) == size:
                expected.append((batch, time))
                batch = []
        if batch:
            expected.append((batch, due))
    return sorted(expected)


def batched(sent: Sequence[Sent]) -> list[tuple[float, Event[dict[str, object]]]]:
    """The events."""
    return [at(second, go(n, k=key)) for n, (second, key) in enumerate(sent)]


@given(seed=SEEDS, sent=SENT, size=st.integers(1, 5), workers=st.integers(1, 3))
@settings(max_examples=60)
def test_it_is_as_the_model_says(seed: int, sent: list[Sent], size: int, workers: int) -> None:
    """Which batches there are, with which events, and when each starts."""
    app = scene(batch=Batch(size, wait=f"{WAIT}us", key="event.data.k"))
    trace = played(app, batched(sent), seed=seed, workers=workers)
    got = [(run.result, started_at(run, trace)) for run in runs(trace)]
    assert sorted(got) == model(sent, size), trace.timeline()


@given(seed=SEEDS, sent=SENT, size=st.integers(1, 5), faults=FAULTS, workers=st.integers(1, 3))
@settings(max_examples=60)
def test_no_fault_loses_or_doubles_an_event(
    seed: int, sent: list[Sent], size: int, faults: Faults, workers: int
) -> None:
    """Each event is in one batch, of one key, at most so large; each batch runs once with all that entered it."""
    app = scene(batch=Batch(size, wait=f"{WAIT}us", key="event.data.k"))
    trace, store = watched(app, batched(sent), seed=seed, workers=workers, faults=faults)
    results = numbers(trace)
    assert sorted(n for batch in results for n in batch) == list(range(len(sent))), trace.timeline()
    assert statuses(trace) == ["completed"] * len(results)
    collected = store.collected()
    for run in runs(trace):
        assert len(run.result) <= size
        assert len({sent[n][1] for n in run.result}) == 1
        assert run.result == collected[run.id] == sorted(run.result)


# -- steps that invoke it ----------------------------------------------------------------------------


def calling(size: int, **options: object) -> App:
    """`caller` invokes `work`, which is batched, and says what it answers."""
    app = scene(batch=Batch(size, wait="10s"), on=None, **options)

    @app.workflow(on=OnEvent("call"))
    def caller(ctx: Context) -> Steps[list[int]]:
        return (yield Invoke("ask", "work", {"n": ctx.event.data["n"]}))

    return app


def test_every_contributing_parent_gets_the_result() -> None:
    """Each step that invoked the workflow with one of the batch's events is answered with what the batch returned."""
    trace = played(calling(3), [at(n, Event("call", {"n": n})) for n in range(4)])
    assert numbers(trace) == [[0, 1, 2], [3]]
    assert numbers(trace, "caller") == [[0, 1, 2]] * 3 + [[3]]


@given(seed=SEEDS, times=st.lists(st.integers(0, 30), min_size=1, max_size=10), faults=FAULTS)
@settings(max_examples=40)
def test_no_parent_waits_in_vain(seed: int, times: list[int], faults: Faults) -> None:
    """Whatever happens, each gets the result of the batch that its event is in."""
    events = [at(time, Event("call", {"n": n})) for n, time in enumerate(sorted(times))]
    trace = played(calling(3), events, seed=seed, workers=2, faults=faults)
    answers = {number_of(run.recorded.events[0]): run.result for run in runs(trace, "caller")}
    assert answers == {n: batch for batch in numbers(trace) for n in batch}
    assert sorted(answers) == list(range(len(times)))
