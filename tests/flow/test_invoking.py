"""Steps that invoke workflows with flow control: skipped, collecting, replaced, unknown, given up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import All, App, Context, Event, Invoke, OnEvent, Race, Run, SendEvent, Sleep, StepError, Steps
from flowgen.flow_control import Batch, CancelOn, Concurrency, Debounce, RateLimit, Singleton, Throttle
from flowgen.testing import Cancel, Faults
from tests.flow.scenes import FAULTS, SEEDS, at, ended, go, numbers, played, runs, scene, started, statuses


def calling(workflow: str = "work", **options: Any) -> App:
    """`caller` invokes `work`, and says what it answers or how it fails."""
    app = scene(**options)

    @app.workflow(on=OnEvent("call"))
    def caller(ctx: Context) -> Steps[Any]:
        try:
            return (yield Invoke("ask", workflow, dict(ctx.event.data)))
        except StepError as error:
            return f"{error.error_type}: {error.message}"

    return app


def call(n: int, **data: Any) -> Event[dict[str, Any]]:
    """An event whose run invokes `work`."""
    return Event("call", {"n": n, **data})


def test_one_that_the_rate_limit_skips_fails_the_step_at_once() -> None:
    """With the reason."""
    trace = played(calling(rate_limit=RateLimit(1, per="1h")), [at(0, call(1)), at(1, call(2))])
    first, second = runs(trace, "caller")
    assert first.result == [1]
    assert "RunSkipped" in second.result
    assert "rate limit" in second.result
    assert ended(second, trace) == 1


def test_one_with_a_used_idempotency_key_fails_the_step_at_once() -> None:
    """It names the run that has it."""
    trace = played(calling(idempotency="event.data.k"), [at(0, call(1, k="a")), at(1, call(2, k="a"))])
    assert trace.run("work").id in runs(trace, "caller")[1].result


def test_an_unknown_workflow_fails_the_step_at_once() -> None:
    """It says which."""
    trace = played(calling("nothing"), [call(1)])
    assert trace.run("caller").result == "NotFound: no workflow 'nothing' is registered in app 'flow'"


def test_a_throttled_one_is_waited_for() -> None:
    """It is delayed, not lost, and so is the answer."""
    trace = played(calling(throttle=Throttle(1, per="10s")), [at(0, call(1)), at(1, call(2))])
    assert numbers(trace, "caller") == [[1], [2]]
    assert ended(runs(trace, "caller")[1], trace) == 10


def test_each_caller_of_a_debounced_run_gets_its_result() -> None:
    """Also those whose event was not the last."""
    trace = played(calling(debounce=Debounce("10s")), [at(0, call(1)), at(5, call(2)), at(7, go(3))])
    assert numbers(trace) == [[3]]
    assert numbers(trace, "caller") == [[3], [3]]


def test_each_caller_of_a_batch_hears_that_it_failed() -> None:
    """Or that it was cancelled."""
    app = calling(batch=Batch(2, wait="10s"), cancel_on=CancelOn("stop"))
    trace = played(app, [at(0, call(1, takes=60)), at(1, call(2, takes=60)), at(5, Event("stop"))])
    answers = [run.result for run in runs(trace, "caller")]
    assert all("RunCancelledError" in answer for answer in answers)
    assert len(answers) == 2


def test_each_caller_of_a_batch_that_is_cancelled_while_it_collects_hears_it() -> None:
    """Nobody waits for a run that will not be."""
    trace = played(calling(batch=Batch(3, wait="10s")), [at(0, call(1)), at(1, call(2)), at(2, Cancel("work"))])
    assert all("RunCancelledError" in run.result for run in runs(trace, "caller"))
    assert [ended(run, trace) for run in runs(trace, "caller")] == [2, 2]


def test_callers_of_a_debounce_that_is_skipped_when_it_opens_hear_it() -> None:
    """Singleton lets it not open."""
    app = calling(debounce=Debounce("5s"), singleton=Singleton())
    trace = played(app, [at(0, go(0, takes=60)), at(10, call(1)), at(11, call(2))])
    assert ["RunSkipped" in run.result for run in runs(trace, "caller")] == [True, True]


def test_a_caller_of_a_run_that_is_replaced_hears_it() -> None:
    """The invoked run is cancelled, as any run that is replaced."""
    trace = played(calling(singleton=Singleton(mode="cancel")), [at(0, call(1, takes=60)), at(5, go(2))])
    assert "RunCancelledError" in trace.run("caller").result
    assert ended(trace.run("caller"), trace) == 5


def test_a_caller_that_gives_up_does_not_cancel_what_others_are_in() -> None:
    """A batch belongs to all that contributed: one that loses a race, or times out, leaves it to the others."""
    app = scene(batch=Batch(3, wait="10s"))

    @app.workflow(on=OnEvent("hurry"))
    def hurried(ctx: Context) -> Steps[str]:
        won = yield Race(asked=Invoke("ask", "work", {"n": 0}), late=Sleep("late", "5s"))
        return won.name

    trace = played(app, [at(0, Event("hurry")), at(1, go(1))])
    assert trace.run("hurried").result == "late"
    assert numbers(trace) == [[0, 1]]


POLICIES: list[dict[str, Any]] = [
    {"singleton": Singleton()},
    {"singleton": Singleton(mode="cancel")},
    {"idempotency": "event.data.k"},
    {"concurrency": Concurrency(1)},
    {"debounce": Debounce("1s")},
    {"batch": Batch(2, wait="1s")},
    {"throttle": Throttle(1, per="1s")},
    {"cancel_on": CancelOn("stop")},
]


@pytest.mark.parametrize("options", POLICIES, ids=lambda options: next(iter(options)))
def test_an_invoke_that_is_given_up_at_once_leaves_nothing_behind(options: dict[str, Any]) -> None:
    """It loses its race in the very transition that asks for it; the next event is handled as if it had not been."""
    app = scene(**options)

    @app.workflow(on=OnEvent("race"))
    def racing(ctx: Context) -> Steps[str]:
        won = yield Race(
            asked=Invoke("ask", "work", {"n": 0, "k": "raced"}), sent=SendEvent("sent", Event("nothing", id="x"))
        )
        return won.name

    trace = played(app, [at(0, Event("race")), at(30, go(1, k="other")), at(60, go(2, k="another"))])
    assert trace.run("racing").result == "sent"
    assert [result for result in numbers(trace) if result != [0]] in ([[1], [2]], [[1, 2]])


# -- under faults ------------------------------------------------------------------------------------


@given(
    seed=SEEDS,
    faults=FAULTS,
    options=st.sampled_from(POLICIES),
    times=st.lists(st.integers(0, 20), min_size=1, max_size=6),
)
@settings(max_examples=60)
def test_no_caller_waits_for_ever(seed: int, faults: Faults, options: dict[str, Any], times: list[int]) -> None:
    """Whatever the policy and the faults, each is answered: with a result that its event is part of, or a failure."""
    events = [at(time, call(n, k="a", takes=2)) for n, time in enumerate(sorted(times))]
    trace = played(calling(**options), events, seed=seed, workers=2, faults=faults)
    assert statuses(trace, "caller") == ["completed"] * len(times)
    for run in runs(trace, "caller"):
        assert isinstance(run.result, list) or run.result.startswith(("RunSkipped", "RunCancelledError"))


def test_a_tree_of_invokes() -> None:
    """Parents wait without a slot: a tree whose workflows share one slot of the app does not lock itself up."""
    app = App("flow")
    one = Concurrency(1, scope="app")

    @app.workflow(on=OnEvent("grow"), concurrency=one)
    def tree(ctx: Context) -> Steps[int]:
        depth = ctx.event.data["depth"]
        mine = yield Run("mine", int, 1)
        if depth == 0:
            return mine
        below = yield All(*[Invoke(f"child-{n}", "tree", {"depth": depth - 1}) for n in range(3)])
        return mine + sum(below)

    trace = played(app, [Event("grow", {"depth": 3})], workers=3)
    assert trace.run("tree").result == 1 + 3 + 9 + 27
    assert started(trace.run("tree"), trace) == 0
