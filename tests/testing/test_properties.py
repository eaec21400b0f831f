"""`check_workflow`: good workflows pass, and a failure tells a short story."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, seed, settings
from hypothesis import strategies as st

from flowgen import App, Context, DefinitionError, Event, Run, RunCancelled, Sleep, Steps
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
from tests.testing.checks import (
    FEW,
    MANY,
    Declined,
    OrderPlaced,
    Receipt,
    app,
    check_of,
    failure,
    fulfil,
    load,
    pack,
    step,
    swallows,
)

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
