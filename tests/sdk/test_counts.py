"""How often an app is called: the exact numbers that the SDKs' own tests assert."""

from __future__ import annotations

import pytest

from tests.sdk.stage import KINDS, Stage, Watch


def test_one_call_a_step(stage: Stage) -> None:
    """A function with three steps is called four times, or once where it makes checkpoints."""
    with stage.watching() as watch:
        stage.result("steps")
        assert watch.calls("steps") == ["step"] * (1 if stage.kind.checkpoints else 4)


def test_a_group_of_four(stage: Stage) -> None:
    """One call that plans, one for each of the three steps that the app runs, one that goes on, one that ends.

    An invocation is the server's own business. Where the app makes checkpoints the call that goes on ends the run too.
    """
    with stage.watching() as watch:
        stage.result("parallel")
        calls = watch.calls("parallel")
        assert len(calls) == (5 if stage.kind.checkpoints else 6)
        assert len([step for step in calls if step != "step"]) == 3


def test_two_groups_that_wait(stage: Stage) -> None:
    """Two steps beside two steps: both first ones end before one call plans both second ones. Seven calls."""
    with stage.watching() as watch:
        assert stage.result("parallel-wait") == [["a1", "a2"], ["b1", "b2"]]
        assert len(watch.calls("parallel-wait")) == 7
        bodies = watch.bodies()
        assert sorted(bodies[:2]) == ["a1", "b1"]
        assert sorted(bodies[2:]) == ["a2", "b2"]


def test_two_groups_that_race(stage: Stage) -> None:
    """Two steps beside two steps, each group at its own pace: each end of a step has a call of its own. Nine calls."""
    with stage.watching() as watch:
        assert stage.result("parallel-race") == [["a1", "a2"], ["b1", "b2"]]
        assert len(watch.calls("parallel-race")) == 9
        assert sorted(watch.bodies()) == ["a1", "a2", "b1", "b2"]


def test_a_race_of_uneven_steps(stage: Stage) -> None:
    """The call that follows the fast step is made while the slow one runs, and does not run that a second time."""
    with stage.watching() as watch:
        assert stage.result("uneven") == ["fast", "slow"]
        assert sorted(watch.bodies()) == ["fast", "slow"]
        assert len(watch.calls("uneven")) == 5


def test_a_discovery_beside_a_step_that_runs(node_stage: Stage) -> None:
    """It is told to plan only (`disable_immediate_execution`): it finds the step that runs, and leaves it alone.

    A function of the protocol's first version has no other guard. One call that plans, two that are aimed, and one
    after the end of each.
    """
    key = f"crossed-{node_stage.kind.label}"
    with node_stage.watching() as watch:
        [run] = node_stage.started(node_stage.send("crossed", {"key": key}))
        node_stage.patiently("the step that was fast has ended, and a call follows", lambda: len(calls_of(watch)) == 4)
        node_stage.open_gate(key, 0)
        assert node_stage.ended(run["id"])["result"] == ["fast", "slow"]
        assert sorted(watch.bodies()) == ["fast", "slow"]
        assert len(calls_of(watch)) == 5
        assert len([step for step in calls_of(watch) if step != "step"]) == 2


def calls_of(watch: Watch) -> list[str]:
    return watch.calls("crossed")


@pytest.mark.parametrize("function", ["parallel", "parallel-wait", "parallel-race"])
def test_no_step_is_called_twice(stage: Stage, function: str) -> None:
    """However a group is driven, each of its steps is called once, and its body runs once."""
    with stage.watching() as watch:
        stage.result(function)
        aimed = [step for step in watch.calls(function) if step != "step"]
        assert len(aimed) == len(set(aimed))
        assert len(watch.bodies()) == len(set(watch.bodies()))


def test_every_kind_is_here() -> None:
    """Both SDKs, both of Python's frameworks, and both ways of the TypeScript SDK are in the matrix."""
    assert set(KINDS) == {"fastapi", "flask", "ts", "ts-plain"}
