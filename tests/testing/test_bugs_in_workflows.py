"""`check_workflow` catches each planted bug by name, and takes nothing for one that is none."""

from __future__ import annotations

import itertools
import random
from datetime import datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st

from flowgen import All, App, Context, Invoke, OnCron, OnEvent, Race, Restart, Run, Sleep, Steps, WaitFor, step_info
from flowgen.testing import Trace, check_workflow
from flowgen.testing.strategies import events, interleavings
from tests.testing.checks import FEW, Declined, check_of, failure, step, swallows

# -- planted bugs ----------------------------------------------------------------------------------


def rolls_dice(ctx: Context) -> Steps[None]:
    yield Run(step, random.random())


def looks_at_the_clock(ctx: Context) -> Steps[None]:
    yield Run(step, datetime.now().isoformat())


numbers = itertools.count()


def counts_on(ctx: Context) -> Steps[None]:
    yield Run(f"step {next(numbers)}", step)


def flips_a_coin(ctx: Context) -> Steps[None]:
    if random.random() < 0.5:
        yield Run("heads", step)
    else:
        yield Sleep("tails", "1s")
    yield Run(step)


@pytest.mark.parametrize("body", [rolls_dice, looks_at_the_clock, counts_on, flips_a_coin])
def test_a_body_that_is_not_deterministic_is_caught(body: Any) -> None:
    """The message shows both sides, the line, and what to do."""
    message, story = failure(check_of(body))
    assert "planted#0 is not deterministic" in message
    assert "ctx.random" in message
    assert "The scenario:" in story


mails: list[str] = []
calls = 0


def sends_mail_itself(ctx: Context) -> Steps[None]:
    mails.append("hello")
    yield Run(step)


def counts_its_calls(ctx: Context) -> Steps[None]:
    global calls
    calls += 1
    yield Run(step)


def part() -> Steps[None]:
    mails.append("from a part")
    yield Run(step)


def has_a_part_that_sends(ctx: Context) -> Steps[None]:
    yield from part()


@pytest.mark.parametrize(
    "body, name", [(sends_mail_itself, "mails"), (counts_its_calls, "calls"), (has_a_part_that_sends, "mails")]
)
def test_a_side_effect_outside_of_steps_is_caught(body: Any, name: str) -> None:
    """The variable is named, with what became of it."""
    mails.clear()
    message, _ = failure(check_of(body))
    assert f"the body of planted#0 changes {name!r}, which is defined outside of it" in message
    mails.clear()


def never_ends(ctx: Context) -> Steps[None]:
    while True:
        yield Run(step)


def never_waits(ctx: Context) -> Steps[None]:
    yield Run(step)
    yield Restart({})


@pytest.mark.parametrize("body", [never_ends, never_waits])
def test_what_never_ends_is_caught(body: Any) -> None:
    """Loops without end, within one run or from run to run."""
    message, _ = failure(check_of(body, max_steps=30))
    assert "does not come to an end" in message


def test_what_goes_on_but_waits_is_fine() -> None:
    """A loop that restarts now and then, and sleeps in between, may go on for ever."""

    def daily(ctx: Context) -> Steps[None]:
        for _ in range(20):
            yield Sleep("a day", "1d")
        yield Run(step)
        yield Restart({})

    check_of(daily, until="50d", examples=settings(FEW, max_examples=6))()


def waits_while_cleaning_up(ctx: Context) -> Steps[None]:
    try:
        yield Run(step)
        yield Sleep("nap", "1h")
    finally:
        yield WaitFor("somebody", "somebody/helps", timeout="1d")


@pytest.mark.parametrize("body, asked", [(swallows, "another nap"), (waits_while_cleaning_up, "somebody")])
def test_a_cancel_that_is_swallowed_is_caught(body: Any, asked: str) -> None:
    """The run is closed when its clean-up takes too long, and the check says what it asked for."""
    message, story = failure(check_of(body))
    assert "planted#0 was cancelled, and did not end by itself" in message
    assert repr(asked) in message
    assert "planted#0 is cancelled" in story


def test_a_step_that_is_not_idempotent_is_caught() -> None:
    """A charge that was done and not recorded is refused the second time."""

    def planted(ctx: Context) -> Steps[str]:
        return (yield Run(charge_card, "7"))

    def steps() -> dict[str, Any]:
        charged: set[str] = set()

        def charge_card(order: str) -> str:
            if order in charged:
                raise Declined(f"{order} is charged already")
            charged.add(order)
            return "charged"

        return {"charge_card": charge_card}

    message, story = failure(check_of(planted, steps=steps))
    assert "planted#0 ends differently when something goes wrong" in message
    assert 'undisturbed:  completed, "charged"' in message
    assert "make it idempotent (step_info().idempotency_key)" in message
    assert "Faults(at={" in story


def charge_card(order: str) -> str:
    raise AssertionError("never for real")


def test_a_step_that_is_idempotent_passes() -> None:
    """The same, with the key that all attempts of a step share."""

    def planted(ctx: Context) -> Steps[str]:
        return (yield Run(charge_card, "7"))

    def steps() -> dict[str, Any]:
        charged: dict[str, str] = {}

        def charge_card(order: str) -> str:
            return charged.setdefault(step_info().idempotency_key, "charged")

        return {"charge_card": charge_card}

    check_of(planted, steps=steps, examples=FEW)()


# -- what is no bug --------------------------------------------------------------------------------


def races(ctx: Context) -> Steps[Any]:
    """Who is first is a matter of time, and of luck."""
    won = yield Race(work=Run("work", step), other=Run("other", step), late=Sleep("late", "3s"))
    return won.name


def tells_the_time(ctx: Context) -> Steps[str]:
    yield Run(step)
    return f"{ctx.now.isoformat()} {ctx.run_id}"


def draws(ctx: Context) -> Steps[list[Any]]:
    yield Run(step)
    return [ctx.random.random(), str(ctx.uuid())]


def cleans_up(ctx: Context) -> Steps[None]:
    try:
        yield Sleep("nap", "1h")
    finally:
        yield Run("tidy", step)


def waits_briefly(ctx: Context) -> Steps[bool]:
    """With faults the event may come too late."""
    return (yield WaitFor("hello", "hello", timeout="2s")) is not None


@pytest.mark.parametrize("body", [races, tells_the_time, draws, cleans_up, waits_briefly])
def test_time_and_luck_are_no_bugs(body: Any) -> None:
    """What may differ when time passes is not held against a workflow."""
    check_of(body, events=interleavings(events("hello"), within="3s", most=2), examples=FEW)()


family = App("family")


@family.workflow
def child(ctx: Context) -> Steps[int]:
    yield Sleep("nap", "1h")
    return (yield Run("childs work", step, ctx.event.data))


@family.workflow(on=[OnEvent("go"), OnCron("* * * * *")])
def parent(ctx: Context) -> Steps[Any]:
    return (yield All(Invoke("one", child, {"n": 1}), Invoke("two", child, {"n": 2})))


@settings(FEW, max_examples=20)
@check_workflow(parent, data=st.just({}))
def test_children_are_played_too(trace: Trace) -> None:
    """The whole app is there, its steps are drawn, and no schedule ticks."""
    assert [run.workflow_id for run in trace.runs] == ["parent", "child", "child"]
    assert trace.run("parent").result == [trace.run("child").result] * 2
