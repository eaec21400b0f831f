"""Events of the future, events that start more runs than one commit creates, and events that runs send."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnEvent, Run, SendEvent, Steps, WaitFor
from flowgen.acceptance import STARTS_AT_ONCE
from flowgen.duration import moment
from flowgen.flow_control import Batch, Debounce, RateLimit, Singleton
from flowgen.testing import Faults
from flowgen.testing.clock import START
from tests.flow.scenes import (
    FAULTS,
    SECOND,
    SEEDS,
    at,
    ended,
    go,
    numbers,
    played,
    runs,
    scene,
    started,
    started_at,
    watched,
)


def later(n: int, seconds: float, **data: Any) -> Event[dict[str, Any]]:
    """An event that is there so many seconds after the start."""
    return Event("go", {"n": n, **data}, ts=moment(START) + timedelta(seconds=seconds))


# -- events of the future ------------------------------------------------------------------------------


def test_an_event_of_the_future_starts_its_run_at_its_time() -> None:
    """Neither before nor much later."""
    trace = played(scene(), [at(0, later(1, 3600)), at(10, later(2, 60))])
    assert numbers(trace) == [[2], [1]]
    assert [started(run, trace) for run in runs(trace)] == [60, 3600]


def test_an_event_of_the_past_starts_its_run_at_once() -> None:
    """Its `ts` is only told."""
    trace = played(scene(), [at(10, Event("go", {"n": 1}, ts=moment(START) - timedelta(days=1)))])
    assert started(trace.run("work"), trace) == 10


def test_it_is_admitted_at_its_time() -> None:
    """Flow control is asked then: a rate limit counts it when it comes, not when it was sent."""
    app = scene(rate_limit=RateLimit(1, per="100s"))
    trace = played(app, [at(0, later(1, 150)), at(10, go(2)), at(60, later(3, 120))])
    assert [(run.status, run.recorded.row.created_at - trace.started_at) for run in runs(trace)] == [
        ("completed", 10 * SECOND),
        ("completed", 120 * SECOND),
        ("skipped", 150 * SECOND),
    ]


def test_it_is_debounced_from_its_time_on() -> None:
    """Until then it is not there."""
    trace = played(scene(debounce=Debounce("10s")), [at(0, later(1, 65)), at(60, go(2))])
    assert numbers(trace) == [[1]]
    assert started(trace.run("work"), trace) == 75


def test_a_wait_sees_it_at_its_time() -> None:
    """Not when it was sent: what is waited for since then is found all the same."""
    app = App("flow")

    @app.workflow(on=OnEvent("ask"))
    def asking(ctx: Context) -> Steps[int]:
        answer = yield WaitFor("answer", "go", timeout="1h")
        return answer.data["n"]

    trace = played(app, [at(0, later(1, 60)), at(10, Event("ask"))])
    assert trace.run("asking").result == 1
    assert ended(trace.run("asking"), trace) == 60


@given(
    seed=SEEDS,
    times=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=8).map(sorted),
    faults=FAULTS,
    workers=st.integers(1, 3),
)
@settings(max_examples=50)
def test_no_fault_loses_or_doubles_an_event_of_the_future(
    seed: int, times: list[tuple[int, int]], faults: Faults, workers: int
) -> None:
    """Each starts one run, never before its time."""
    events = [at(sent, later(n, sent + ahead)) for n, (sent, ahead) in enumerate(times)]
    trace = played(scene(), events, seed=seed, workers=workers, faults=faults)
    assert sorted(numbers(trace)) == [[n] for n in range(len(times))]
    for run in runs(trace):
        assert started_at(run, trace) >= sum(times[run.result[0]]) * SECOND


# -- many runs of one event, many events of one run ----------------------------------------------------

MANY = STARTS_AT_ONCE + 50


def test_one_event_starts_more_workflows_than_one_commit_creates() -> None:
    """Each of them once, in pages."""
    app = App("flow")
    for number in range(MANY):

        @app.workflow(id=f"work-{number}", on=OnEvent("go"))
        def work(ctx: Context) -> Steps[int]:
            return (yield Run("note", int, ctx.event.data["n"]))

    for faults in (Faults(), Faults(crash=0.02, duplicate=0.05, store_error=0.02)):
        trace = played(app, [at(0, go(7))], workers=3, faults=faults)
        assert sorted(run.workflow_id for run in trace.runs) == sorted(f"work-{number}" for number in range(MANY))
        assert {run.result for run in trace.runs} == {7}


def sending(count: int, **options: Any) -> App:
    """`sender` sends so many events in one step."""
    app = scene(**options)

    @app.workflow(on=OnEvent("send"))
    def sender(ctx: Context) -> Steps[int]:
        sent = yield SendEvent("all", [go(n) for n in range(count)])
        return len(sent)

    return app


def test_a_step_sends_five_thousand_events() -> None:
    """All are accepted by one commit, and each enters a batch once, in order."""
    trace = played(sending(5_000, batch=Batch(1_000, wait="10s")), [Event("send")], workers=2)
    assert trace.run("sender").result == 5_000
    assert numbers(trace) == [list(range(1_000 * n, 1_000 * (n + 1))) for n in range(5)]


def test_the_last_of_many_is_the_last() -> None:
    """Those that the router brings later do not come after an event that was accepted after them."""
    events = [at(0, Event("send")), at(3, go(-1))]
    trace, store = watched(sending(MANY, debounce=Debounce("60s")), events, faults=Faults(delay=1))
    (entered,) = store.collected().values()
    assert entered[-1] != -1
    assert numbers(trace) == [[-1]]


def test_one_of_many_has_the_key() -> None:
    """A singleton lets one run of a batch of events open."""
    trace = played(sending(30, singleton=Singleton()), [Event("send")])
    statuses = [run.status for run in runs(trace)]
    assert (statuses.count("completed"), statuses.count("skipped")) == (1, 29)


@given(seed=SEEDS, faults=FAULTS)
@settings(max_examples=25)
def test_no_fault_loses_or_doubles_a_sent_event(seed: int, faults: Faults) -> None:
    """What a run sends is sent once."""
    trace = played(sending(20), [Event("send")], seed=seed, workers=2, faults=faults)
    assert sorted(numbers(trace)) == [[n] for n in range(20)]
