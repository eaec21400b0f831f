"""What the steps of a checked workflow come to: all that its author has to reckon with, and often enough."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st

from flowgen import App, Context, OnEvent, Run, Sleep, StepError, Steps, WaitFor
from flowgen.testing import Trace, check_workflow, raises
from flowgen.testing.strategies import events, interleavings

GENERATED = settings(max_examples=100, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
"""The default number of examples, none of which was ever seen before."""

app = App("billing")


class Declined(Exception):
    """The card is no good."""


def charge(cents: int) -> str:
    raise AssertionError("never for real")


def remind(cents: int) -> None:
    raise AssertionError("never for real")


@app.workflow(on=OnEvent("bill/due"))
def bill(ctx: Context) -> Steps[str]:
    for _ in range(2):  # planted: it is meant to try three times
        try:
            return (yield from Run(charge, 900))
        except StepError:
            yield Run(remind, 900)
            yield Sleep("some days", "3d")
    return "given up"


MAY_FAIL = {"charge": st.just("paid") | raises(Declined)}


@pytest.mark.parametrize("number", range(8))
def test_a_service_that_is_down_for_good_is_met_within_the_default_examples(number: int) -> None:
    """With the default retries, several steps in a row that fail at each attempt are nothing rare."""

    @GENERATED
    @seed(number)
    @check_workflow(bill, st.just({}), steps=MAY_FAIL)
    def tries_three_times(trace: Trace) -> None:
        run = trace.run("bill")
        steps = {body.step for body in trace.executions if body.step.startswith("charge")}
        assert run.result != "given up" or len(steps) == 3

    with pytest.raises(AssertionError) as caught:
        tries_three_times()
    assert caught.value.__notes__[0].count("raises Declined('simulated') each time") == 2


def test_what_has_failed_may_be_mended_fail_for_good_or_be_down() -> None:
    """An attempt later, in the next step of the name, or never: all of it comes up, and not only once."""
    attempts: list[tuple[int, int]] = []

    @GENERATED
    @seed(1)
    @check_workflow(bill, st.just({}), steps=MAY_FAIL)
    def noted(trace: Trace) -> None:
        if not trace.faults:
            attempts.append((len(trace.executed("charge")), len(trace.executed("charge:1"))))

    noted()
    assert sum(1 < first < 5 for first, _ in attempts) >= 5, "mended by a later attempt"
    assert sum(first == 5 and second < 5 for first, second in attempts) >= 5, "mended in the next step of the name"
    assert sum(first == second == 5 for first, second in attempts) >= 5, "down"


def test_a_counter_example_fails_no_more_often_than_it_must() -> None:
    """Where one failed attempt makes the difference, the story has one, and then a value."""

    @settings(max_examples=100, database=None)
    @seed(1)
    @check_workflow(bill, st.just({}), steps=MAY_FAIL)
    def charges_at_once(trace: Trace) -> None:
        assert len(trace.executed("charge")) == 1 or trace.faults

    with pytest.raises(AssertionError) as caught:
        charges_at_once()
    assert "step 'charge'  raises Declined('simulated'), then gives 'paid'\n" in caught.value.__notes__[0]


orders = App("orders")


@orders.workflow(on=OnEvent("order/placed"))
def order(ctx: Context) -> Steps[str]:
    yield Run("reserve", remind, 900)
    paid = yield WaitFor("paid", "order/paid", since="now", timeout="1h")
    return "expired" if paid is None else "paid"


def test_events_come_while_steps_are_busy() -> None:
    """Where events happen beside, steps take their time, also in examples in which nothing goes wrong."""
    busy: list[bool] = []

    @settings(GENERATED, max_examples=300)
    @seed(1)
    @check_workflow(order, st.just({}), interleavings(events("order/paid"), within="1m", most=3))
    def noted(trace: Trace) -> None:
        if not trace.faults:
            busy.append(came_meanwhile(trace))

    noted()
    assert sum(busy) >= 28


def came_meanwhile(trace: Trace) -> bool:
    """Whether a payment came while the step was busy."""
    (body,) = trace.executed("reserve")
    assert body.ended_at is not None
    came = [entry.at for entry in trace.entries if entry.what.startswith("event order/paid")]
    return any(body.started_at < at < body.ended_at for at in came)
