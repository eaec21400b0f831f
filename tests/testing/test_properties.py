"""`check_workflow`: good workflows pass, each planted bug is caught by name, and a failure tells a short story."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    DefinitionError,
    Event,
    Invoke,
    OnCron,
    OnEvent,
    Race,
    Restart,
    Run,
    RunCancelled,
    Sleep,
    StepError,
    Steps,
    WaitFor,
    event_type,
    step_info,
)
from flowgen.testing import (
    Cancel,
    Faults,
    Scenario,
    Start,
    Trace,
    check_invariants,
    check_workflow,
    raises,
    scripted,
    simulate,
)
from flowgen.testing.properties import PROPERTIES, cancel_cleans_up, survives_crashes
from flowgen.testing.strategies import events, interleavings, workflows

FEW = settings(max_examples=25, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=120)


class Declined(Exception):
    """The card is no good."""


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str
    total: float


@attrs.frozen
class Receipt:
    number: int


app = App("shop", retries=1, backoff=Backoff.exponential("1s", jitter=0))


def load(order_id: str) -> dict[str, int]:
    raise AssertionError("never for real")


def charge(total: float) -> Receipt:
    raise AssertionError("never for real")


def pack(order_id: str) -> int:
    raise AssertionError("never for real")


def refund(number: int) -> None:
    raise AssertionError("never for real")


@app.workflow(on=OnEvent(OrderPlaced))
def fulfil(ctx: Context[OrderPlaced]) -> Steps[str]:
    order = ctx.event.data
    yield Run(load, order.order_id)
    try:
        receipt = yield from Run(charge, order.total)
    except StepError:
        return "declined"
    yield Sleep("settle", "30m")
    label, _ = yield All(Run("label", pack, order.order_id), Run(pack, order.order_id))
    approved = yield WaitFor("approval", "order/approved", match="data.order_id", timeout="7d")
    if approved is None:
        yield Run(refund, receipt.number)
        return "refunded"
    return f"packed {label}"


def failure(check: Callable[[], object]) -> tuple[str, str]:
    """What a check fails with: its message, and the story that comes with it."""
    with pytest.raises((AssertionError, DefinitionError)) as caught:
        check()
    return str(caught.value), "\n".join(getattr(caught.value, "__notes__", []))


def check_of(body: Any, **options: Any) -> Callable[[], object]:
    """The built-in properties of a body alone."""
    examples = options.pop("examples", MANY)
    planted = App("planted", backoff=Backoff.exponential("1s", jitter=0))
    workflow = planted.workflow(on=OnEvent("go"), id="planted")(body)

    @examples
    @seed(1)
    @check_workflow(workflow, **{"data": st.just({}), **options})
    def check(trace: Trace) -> None:
        """No more than what is promised anyway."""

    return check


# -- good workflows --------------------------------------------------------------------------------


@settings(FEW, max_examples=20)
@check_workflow(fulfil, steps={"charge": st.builds(Receipt, st.integers(0, 9)) | raises(Declined)})
def test_a_decorated_function_is_a_test_of_its_own(trace: Trace) -> None:
    """It is called with a trace; typed data, annotated steps and the app need not be said."""
    assert trace.run("fulfil").status == "completed"


def test_the_built_in_properties_can_be_called_alone() -> None:
    """`check_workflow(…)()` runs at once."""
    check_workflow(
        fulfil,
        data=st.builds(OrderPlaced, st.sampled_from("ab"), st.floats(0, 9)),
        events=interleavings(events("order/approved", data=st.just({"order_id": "a"})), most=2),
    )()


@given(workflows())
@settings(max_examples=25, suppress_health_check=list(HealthCheck))
def test_random_workflows_keep_all_promises(workflow: Any) -> None:
    """Whatever they are made of; those that swallow a cancel are told in another test."""
    trace = simulate(_app_of(workflow), [Event("program/started", {"id": "7"})])
    check_invariants(trace)


def _app_of(workflow: Any) -> App:
    from flowgen.testing.properties.check import app_of

    return app_of(workflow)


def test_traces_are_with_and_without_faults() -> None:
    """The assertion sees each scenario undisturbed, and some of them with what went wrong."""
    seen: list[int] = []

    @FEW
    @check_workflow(fulfil)
    def check(trace: Trace) -> None:
        seen.append(trace.faults)

    check()
    assert 0 in seen
    assert max(seen) > 0


def test_fixtures_and_other_parameters_are_passed_on() -> None:
    """The trace takes the place of one parameter; pytest fills the others."""
    seen = []

    @settings(max_examples=2)
    @check_workflow(fulfil)
    def check(name: str, trace: Trace) -> None:
        seen.append(name)

    check(name="x")
    assert set(seen) == {"x"}


# -- steps -----------------------------------------------------------------------------------------


def test_steps_are_strategies_functions_errors_and_values() -> None:
    """Found by id, by name or by function; drawn for each attempt."""
    results = set()

    @FEW
    @check_workflow(
        fulfil,
        events=st.just([]),
        steps={"load": {"a": 1}, "charge": lambda total: Receipt(7), "label": st.sampled_from([1, 2]), "pack": 3},
    )
    def check(trace: Trace) -> None:
        by_step = {body.step: body for body in trace.executions}
        assert all(body.stubbed for body in by_step.values())
        results.add(trace.run("fulfil").result)

    check()
    assert results == {"refunded"}


def test_a_factory_of_steps_is_called_for_each_world() -> None:
    """So a fake with a state begins afresh."""
    made: list[int] = []

    def steps() -> dict[str, Any]:
        made.append(0)
        numbers = itertools.count()
        return {"charge": lambda total: Receipt(next(numbers))}

    @settings(max_examples=10)
    @check_workflow(fulfil, steps=steps)
    def check(trace: Trace) -> None:
        assert {body.stubbed for body in trace.executions} == {True}

    check()
    assert len(made) >= 10


def test_attempts_fail_and_succeed_one_after_the_other() -> None:
    """What a strategy gives is drawn for each attempt, so that all sequences come up."""
    attempts = set()

    @FEW
    @check_workflow(fulfil, steps={"charge": st.just(Receipt(1)) | raises(Declined)})
    def check(trace: Trace) -> None:
        if not trace.faults:  # a crash may cost an attempt its outcome
            attempts.add(len(trace.executed("charge")))

    check()
    assert attempts == {1, 2}


# -- counter-examples ------------------------------------------------------------------------------


@FEW
@seed(7)
@check_workflow(
    fulfil,
    data=st.builds(OrderPlaced, order_id=st.text(max_size=3), total=st.floats(0, 100)),
    steps={"charge": st.builds(Receipt, st.integers(0, 99)) | raises(Declined), "load": st.just({})},
)
def never_declined(trace: Trace) -> None:
    assert trace.run("fulfil").result != "declined"


def test_a_counter_example_is_short_and_in_the_words_of_the_author() -> None:
    """Only what matters is left: the plainest order, and a charge that fails at each attempt."""
    _, story = failure(never_declined)
    told, _, timeline = story.partition("What happened:")
    assert told == (
        "The scenario:\n"
        "  starts with    OrderPlaced(order_id='', total=0.0)\n"
        "  step 'load'    gives {}\n"
        "  step 'charge'  raises Declined('simulated') each time\n"
    )
    assert "fulfil#0 'charge' attempt 1 failed: Declined: simulated; again in 1s" in timeline
    assert 'fulfil#0 ends: returned "declined"' in timeline


def test_the_regression_test_can_be_pasted() -> None:
    """The line above the test fails in the same way, and so does the call of `simulate`."""
    _, story = failure(never_declined)
    kept = next(line.strip() for line in story.splitlines() if "@example" in line)
    again = next(line.strip() for line in story.splitlines() if "simulate(" in line)
    assert kept == (
        "@example(scenario=Scenario(OrderPlaced(order_id='', total=0.0), "
        "steps={'load': [{}], 'charge': [Declined('simulated')]}))"
    )
    test = f"""
{kept}
@settings(phases=[Phase.explicit])
@check_workflow(fulfil)
def pasted(trace):
    assert trace.run("fulfil").result != "declined"
"""
    names = dict(globals())
    exec(test, names)
    with pytest.raises(AssertionError):
        names["pasted"]()
    trace = eval(again.removeprefix("print(").removesuffix(")"), names)
    assert trace.run("fulfil").result == "declined"


def charged(steps: dict[str, int]) -> Callable[[float], Receipt]:
    def charge_once(total: float) -> Receipt:
        steps["charges"] = steps.get("charges", 0) + 1
        return Receipt(steps["charges"])

    return charge_once


ORDER = OrderPlaced("a", 1.0)


def test_a_scenario_with_faults_can_be_pasted() -> None:
    """The faults are planned, so they strike where they did."""
    bills: list[dict[str, int]] = []

    def steps() -> dict[str, Any]:
        bills.append({})
        return {"charge": charged(bills[-1])}

    @MANY
    @seed(1)
    @check_workflow(fulfil, data=st.just(ORDER), steps=steps, properties=[survives_crashes])
    def charged_once(trace: Trace) -> None:
        assert len([body for body in trace.executed("charge") if body.ended is not None]) == 1

    _, story = failure(charged_once)
    kept = next(line.strip() for line in story.splitlines() if "@example" in line)
    assert "faults=Faults(at={" in kept

    scenario = eval(kept.removeprefix("@example(scenario=").removesuffix(")"), dict(globals()))
    assert eval(repr(scenario), dict(globals())) == scenario

    @example(scenario=scenario)
    @settings(phases=[Phase.explicit])
    @check_workflow(fulfil, data=st.just(ORDER), steps=steps, properties=[survives_crashes])
    def pasted(trace: Trace) -> None:
        assert len([body for body in trace.executed("charge") if body.ended is not None]) == 1

    assert failure(pasted)[1].count("FAULT") == story.count("FAULT") > 0


def test_the_story_of_a_cancel_says_when() -> None:
    """The time of the cancel, and the whole in one call of `simulate`."""

    def planted(ctx: Context) -> Steps[None]:
        try:
            yield Sleep("nap", "1h")
        except RunCancelled:
            yield Sleep("on", "10d")

    _, story = failure(check_of(planted))
    assert "planted#0 is cancelled" in story
    again = next(line.strip() for line in story.splitlines() if "simulate(" in line)
    assert "Cancel(workflow_id='planted'" in again


# -- planted bugs ----------------------------------------------------------------------------------


def step(value: Any = None) -> int:
    raise AssertionError("never for real")


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


def swallows(ctx: Context) -> Steps[str]:
    with suppress(RunCancelled):
        yield Sleep("nap", "1h")
    yield Sleep("another nap", "1h")
    return "rested"


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


# -- scenarios -------------------------------------------------------------------------------------


def test_a_scenario_can_be_told_by_hand() -> None:
    """With whatever goes wrong in it; without hypothesis drawing anything."""
    seen = []

    @example(
        scenario=Scenario(
            OrderPlaced("a", 1.0),
            events=[("1h", Event("order/approved", {"order_id": "a"}))],
            steps={"load": [{}], "charge": [Declined("no"), Receipt(1)], "label": [5], "pack": [6]},
            takes="1s",
            faults=Faults(at={4: "crash_after"}),
            cancel="5s",
        )
    )
    @settings(phases=[Phase.explicit])
    @check_workflow(fulfil)
    def check(trace: Trace) -> None:
        seen.append((trace.run("fulfil").result, trace.faults))

    check()
    assert seen == [("packed 5", 0), ("packed 5", 1)]


def test_a_scenario_may_be_older_than_a_step() -> None:
    """A step that it does not know, because the mended workflow has more of them, gives the simplest that it may."""
    seen = []

    @example(scenario=Scenario(OrderPlaced("a", 1.0), steps={"load": [{}]}))
    @settings(phases=[Phase.explicit])
    @check_workflow(fulfil, steps={"charge": st.builds(Receipt, st.integers(4, 9))})
    def check(trace: Trace) -> None:
        seen.append([body.step for body in trace.executions])
        assert b'{"number":4}' in [bytes(getattr(record, "value", b"")) for record in trace.run("fulfil").history]

    check()
    assert sorted(seen[0]) == ["charge", "label", "load", "pack", "refund"]


def test_scripted_steps_behave_as_they_are_told() -> None:
    """Attempt after attempt; the last one is what all further ones come to."""
    steps = {"load": [{}], "charge": [Declined("no"), Receipt(3)], "pack": [6]}
    trace = simulate(app, [OrderPlaced("a", 1.0)], scripted(steps, takes="2s"))
    assert [body.attempt for body in trace.executed("charge")] == [1, 2]
    assert {(body.ended_at or 0) - body.started_at for body in trace.executed("charge")} == {2_000_000}
    with pytest.raises(DefinitionError, match="say what each attempt comes to"):
        scripted({"charge": []})


# -- what is refused -------------------------------------------------------------------------------


def test_what_cannot_be_checked_is_refused() -> None:
    """At once, with what to write."""
    with pytest.raises(DefinitionError, match="it takes a workflow"):
        check_workflow(load)  # type: ignore[arg-type]
    with pytest.raises(DefinitionError, match="takes no trace"):
        check_workflow(fulfil)(lambda: None)


@pytest.mark.parametrize(
    ("name", "meant"), [("chrage", "charge"), ("lable", "label"), ("approval", None), ("refnud", "refund"), ("x", None)]
)
def test_a_misspelt_step_is_refused_with_the_nearest_name(name: str, meant: str | None) -> None:
    """If it is nearly that of a step that was met, or that the code speaks of; what is like no other is let be."""
    check = FEW(check_workflow(fulfil, steps={name: st.just(1)})(lambda trace: None))
    if meant is None:
        check()
        return
    with pytest.raises(DefinitionError, match=f"no step is called '{name}'; did you mean '{meant}'") as caught:
        check()
    assert "'charge', 'label', 'load', 'pack'" in str(caught.value)


def numbered(ctx: Context) -> Steps[None]:
    for number in range(ctx.event.data.get("lines", 0)):
        yield Run(f"line-{number}", pack, "x")


def test_a_step_that_was_never_met_is_no_mistake() -> None:
    """One that the code names on a path that no example took, or one of many that are told apart by numbers."""
    FEW(check_workflow(fulfil, steps={"refund": None, "charge": Declined("no"), "pack:7": 1})(lambda trace: None))()
    check_of(numbered, data=st.just({"lines": 2}), steps={"line-1": 3, "line-70": 3}, examples=FEW)()


def test_properties_can_be_left_out() -> None:
    """A workflow that knowingly breaks one of them is checked for the others."""
    check_of(swallows, properties=[each for each in PROPERTIES if each is not cancel_cleans_up], examples=FEW)()


def test_a_workflow_without_trigger_is_started() -> None:
    """On the data that is drawn."""
    alone = App("alone")

    @alone.workflow
    def only(ctx: Context) -> Steps[Any]:
        yield Run(step)
        return ctx.event.data

    results = []

    @settings(max_examples=3)
    @check_workflow(only, data=st.just({"a": 1}))
    def check(trace: Trace) -> None:
        results.append(trace.run("only").result)

    check()
    assert results[0] == {"a": 1}


def test_users_may_cancel_themselves() -> None:
    """`events` may hold whatever `simulate` understands."""
    statuses = set()

    @FEW
    @check_workflow(fulfil, events=interleavings(st.just(Cancel("fulfil")), within="1h", most=1))
    def check(trace: Trace) -> None:
        statuses.add(trace.run("fulfil").status)

    check()
    assert statuses == {"completed", "cancelled"}


def test_starts_are_data_too() -> None:
    """Whoever wants to say how a run starts says it."""
    check_workflow(fulfil, data=st.just(Start("fulfil", {"order_id": "x", "total": 1.0})), max_steps=50)()
