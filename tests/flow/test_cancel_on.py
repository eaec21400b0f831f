"""cancel_on: events that cancel an open run, by `match` or `where`, within `timeout`."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnEvent, Restart, Run, RunCancelled, Sleep, Steps
from flowgen.duration import moment
from flowgen.flow_control import CancelOn, Debounce, Singleton, Throttle
from flowgen.testing import Faults
from flowgen.testing.clock import START
from tests.flow.scenes import (
    FAULTS,
    SECOND,
    SEEDS,
    at,
    ended,
    go,
    number_of,
    numbers,
    played,
    runs,
    scene,
    started,
    statuses,
    take,
)

STOP = CancelOn("stop", match="data.k")


def stop(k: object = "a", **data: object) -> Event[dict[str, object]]:
    """An event that cancels runs."""
    return Event("stop", {"k": k, **data})


def test_an_event_that_matches_cancels_the_run() -> None:
    """At once, with the event in the reason; a run of another value goes on."""
    events = [at(0, go(1, k="a", takes=60)), at(0, go(2, k="b", takes=60)), at(20, stop("a"))]
    trace = played(scene(cancel_on=STOP), events)
    assert statuses(trace) == ["cancelled", "completed"]
    assert ended(trace.run("work"), trace) == 20
    assert "stop" in str(trace.run("work").reason)


def test_its_clean_up_runs() -> None:
    """It is a cancel like any other: `RunCancelled` is thrown in, and clean-up steps may run."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), cancel_on=STOP)
    def work(ctx: Context) -> Steps[None]:
        try:
            yield Sleep("long", "1d")
        except RunCancelled as cancelled:
            yield Run("clean up", take, [len(cancelled.reason)], 5)
            raise

    trace = played(app, [at(0, go(1, k="a")), at(20, stop())])
    assert statuses(trace) == ["cancelled"]
    assert ended(trace.run("work"), trace) == 25


def test_without_match_and_where_any_event_of_that_name_cancels() -> None:
    """All open runs of the workflow."""
    events = [at(0, go(1, takes=60)), at(1, go(2, takes=60)), at(20, stop())]
    trace = played(scene(cancel_on=CancelOn("stop")), events)
    assert statuses(trace) == ["cancelled", "cancelled"]


def test_where_compares_both_events() -> None:
    """`event` is the one that started the run, `async` the one that arrives."""
    app = scene(cancel_on=CancelOn("stop", where="async.data.least > event.data.n"))
    events = [at(0, go(1, takes=60)), at(0, go(5, takes=60)), at(20, stop(least=3))]
    assert statuses(played(app, events)) == ["cancelled", "completed"]


def test_with_both_both_must_hold() -> None:
    """An event that matches, but for which `where` is not true, cancels nothing."""
    app = scene(cancel_on=CancelOn("stop", match="data.k", where="async.data.sure == true"))
    events = [at(0, go(1, k="a", takes=60)), at(10, stop(sure=False)), at(20, stop("b", sure=True))]
    assert statuses(played(app, events)) == ["completed"]
    assert statuses(played(app, [*events, at(30, stop(sure=True))])) == ["cancelled"]


def test_an_expression_that_fails_cancels_nothing() -> None:
    """An event that lacks what the expression names is not one; other waits and later events are not affected."""
    app = scene(cancel_on=[CancelOn("stop", where="async.data.least > event.data.n"), CancelOn("halt")])
    events = [at(0, go(1, takes=60)), at(10, stop())]
    assert statuses(played(app, events)) == ["completed"]
    assert statuses(played(app, [*events, at(20, stop(least=3))])) == ["cancelled"]
    assert statuses(played(app, [*events, at(20, Event("halt"))])) == ["cancelled"]


def test_nothing_matches_nothing() -> None:
    """A run whose event has no value there is not cancelled by events that have none either."""
    trace = played(scene(cancel_on=STOP), [at(0, go(1, takes=60)), at(20, Event("stop")), at(21, stop(None))])
    assert statuses(trace) == ["completed"]


def test_after_its_timeout_it_cancels_nothing() -> None:
    """The time counts from the creation of the run."""
    app = scene(cancel_on=CancelOn("stop", match="data.k", timeout="30s"))
    assert statuses(played(app, [at(0, go(1, k="a", takes=60)), at(29, stop())])) == ["cancelled"]
    assert statuses(played(app, [at(0, go(1, k="a", takes=60)), at(31, stop())])) == ["completed"]


def test_an_event_before_the_run_cancels_nothing() -> None:
    """Only what comes after the run's own event does."""
    trace = played(scene(cancel_on=STOP), [at(0, stop()), at(1, go(1, k="a", takes=5))])
    assert statuses(trace) == ["completed"]


def test_a_run_that_has_ended_is_not_cancelled() -> None:
    """Nothing happens, and nothing is left to be routed."""
    trace = played(scene(cancel_on=STOP), [at(0, go(1, k="a")), at(5, stop())])
    assert statuses(trace) == ["completed"]


def test_a_run_that_waits_for_its_start_is_cancelled() -> None:
    """Its body never runs, and what comes after it is not delayed by it any more than it was."""
    app = scene(cancel_on=STOP, throttle=Throttle(1, per="60s"))
    trace = played(app, [at(0, go(1, k="b")), at(1, go(2, k="a")), at(20, stop())])
    assert statuses(trace) == ["completed", "cancelled"]
    assert ended(trace.run("work", 1), trace) == 20
    assert trace.executed("take", trace.run("work", 1)) == []


def test_a_run_that_waits_for_the_one_it_replaces_is_cancelled() -> None:
    """And the key is free after both."""
    app = scene(cancel_on=STOP, singleton=Singleton(mode="skip"))
    trace = played(app, [at(0, go(1, k="a", takes=60)), at(10, stop()), at(11, go(2, k="a"))])
    assert statuses(trace) == ["cancelled", "completed"]


def test_a_debounced_run_is_cancelled_by_what_came_after_its_last_event() -> None:
    """Nobody watches while it collects; when it opens it looks back, to just after its last event."""
    app = scene(cancel_on=STOP, debounce=Debounce("10s"))
    collected = played(app, [at(0, go(1, k="a")), at(2, stop()), at(4, go(2, k="a"))])
    assert numbers(collected) == [[2]]
    cancelled = played(app, [at(0, go(1, k="a")), at(4, go(2, k="a")), at(6, stop())])
    assert statuses(cancelled) == ["cancelled"]
    assert ended(cancelled.run("work"), cancelled) == 14
    assert cancelled.executions == ()


def test_a_delayed_run_is_cancelled_from_its_time_on() -> None:
    """An event with a future `ts` is there from then on: what came before it is not seen, what comes after is."""
    app = scene(cancel_on=STOP)
    later = Event("go", {"n": 1, "k": "a", "takes": 60}, ts=moment(START) + timedelta(seconds=30))
    before = played(app, [at(0, later), at(10, stop())])
    assert statuses(before) == ["completed"]
    assert started(before.run("work"), before) == 30
    after = played(app, [at(0, later), at(40, stop())])
    assert statuses(after) == ["cancelled"]
    assert ended(after.run("work"), after) == 40


def test_a_successor_is_cancelled_by_what_its_own_event_says() -> None:
    """A run that restarts watches on, with the data that it restarted with."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), cancel_on=STOP)
    def work(ctx: Context) -> Steps[Any]:
        yield Sleep("a while", "30s")
        return Restart({"k": "b"}) if ctx.event.data["k"] == "a" else None

    trace = played(app, [at(0, go(1, k="a")), at(40, stop("b"))])
    assert statuses(trace) == ["completed", "cancelled"]
    assert statuses(played(app, [at(0, go(1, k="a")), at(40, stop("a"))])) == ["completed", "completed"]


# -- against a model ---------------------------------------------------------------------------------

Sent = tuple[int, str, str]
SENT = st.lists(
    st.tuples(st.integers(0, 60), st.sampled_from(["go", "stop"]), st.sampled_from("ab")), min_size=1, max_size=15
).map(sorted)
TAKES = 20.5


def model(sent: list[Sent]) -> list[str]:
    """The state of each run, from the semantics alone: cancelled if a later stop of its key comes before its end."""
    return [
        "cancelled"
        if any(kind == "stop" and k == key and second < since + TAKES for second, kind, k in sent[number + 1 :])
        else "completed"
        for number, (since, what, key) in enumerate(sent)
        if what == "go"
    ]


def happenings(sent: list[Sent]) -> list[tuple[float, Event[dict[str, object]]]]:
    """The events."""
    return [
        at(second, go(n, k=key, takes=TAKES) if what == "go" else stop(key))
        for n, (second, what, key) in enumerate(sent)
    ]


@given(seed=SEEDS, sent=SENT, workers=st.integers(1, 3))
@settings(max_examples=50)
def test_it_is_as_the_model_says(seed: int, sent: list[Sent], workers: int) -> None:
    """Which runs are cancelled, also by an event of the same second."""
    trace = played(scene(cancel_on=STOP), happenings(sent), seed=seed, workers=workers)
    assert statuses(trace) == model(sent), trace.timeline()


LOST_AND_ENDED = [(5, "go", "b"), *[(second, "stop", "a") for second in (11, 11, 18)], (24, "stop", "b")]
LOST_AND_ENDED += [(28, "stop", "a"), (30, "stop", "b"), (36, "stop", "a"), (39, "stop", "b")]
LOST_AND_ENDED += [(49, "stop", "b"), (59, "stop", "b")]
"""A worker has lost the run and stopped its body for the cancel, while another one ended the run: it has to let go."""


@given(seed=SEEDS, sent=SENT, faults=FAULTS, workers=st.integers(1, 3), collect=st.booleans())
@example(1056, LOST_AND_ENDED, Faults(0.03, 0.2, 0.1, 0.03, 0.2), 3, False)
@settings(max_examples=50)
def test_no_fault_lets_a_cancelled_run_complete(
    seed: int, sent: list[Sent], faults: Faults, workers: int, collect: bool
) -> None:
    """A run during whose life a matching event was accepted, well before its end, ends cancelled."""
    app = scene(cancel_on=STOP, debounce=Debounce("100ms", key="event.data.k") if collect else None)
    trace = played(app, happenings(sent), seed=seed, workers=workers, faults=faults)
    stops = [
        (entry.at, entry.what.split('"k":"')[1][0])
        for entry in trace.entries
        if "event stop" in entry.what and "is accepted" in entry.what
    ]
    for run in runs(trace):
        row = run.recorded.row
        key = sent[number_of(run.recorded.events[0])][2]
        hit = [time for time, k in stops if k == key and row.created_at < time < (row.ended_at or 0) - SECOND]
        if row.stored == "cancelled":
            assert any(k == key and row.created_at <= time <= (row.ended_at or 0) for time, k in stops)
        elif hit and not collect:
            raise AssertionError(f"{run.name} completed, though it was to be cancelled\n{trace.timeline()}")
