"""What only the TypeScript SDK offers: signals, races, checkpoints, experiments."""

from __future__ import annotations

from tests.sdk.stage import Stage


def waiting_for_signal(stage: Stage, **data: object) -> str:
    """The id of a run that has come to its wait for a signal."""
    [run] = stage.started(stage.send("signal", {"timeout": "1h", **data}))
    stage.waits(run["id"], "approval")
    return str(run["id"])


def test_a_signal_from_a_step(node_stage: Stage) -> None:
    """A signal that a step sends wakes the run that waits for it, with its data; the sender learns which that is."""
    run = waiting_for_signal(node_stage, signal=f"{node_stage.kind.label}-go")
    sent = node_stage.result("send-signal", {"signal": f"{node_stage.kind.label}-go", "data": {"yes": True}})
    assert sent == {"runId": run}
    assert node_stage.ended(run)["result"] == {"signal": f"{node_stage.kind.label}-go", "data": {"yes": True}}


def test_a_signal_that_never_comes(node_stage: Stage) -> None:
    """A wait for a signal that nothing meets gives nothing."""
    assert node_stage.result("signal", {"signal": "never", "timeout": "1s"}) is None


def test_two_waits_for_one_signal(node_stage: Stage) -> None:
    """The second run that waits for a signal fails, unless it says that it replaces the first."""
    signal = f"{node_stage.kind.label}-two"
    first = waiting_for_signal(node_stage, signal=signal)
    assert node_stage.ran("signal", {"signal": signal, "timeout": "1h"})["status"] == "failed"
    second = waiting_for_signal(node_stage, signal=signal, conflict="replace")
    node_stage.result("send-signal", {"signal": signal, "data": 2})
    assert node_stage.ended(second)["result"] == {"signal": signal, "data": 2}
    node_stage.post(f"/v1/runs/{first}/cancel")


def test_wait_with_a_path(node_stage: Stage) -> None:
    """A wait may name the path that is equal in both events."""
    [run] = node_stage.started(node_stage.send("wait-match", {"order": "by path"}))
    node_stage.waits(run["id"], "answer")
    node_stage.send("answer", {"order": "another"})
    node_stage.send("answer", {"order": "by path", "n": 1})
    assert node_stage.ended(run["id"])["result"] == {"order": "by path", "n": 1}


def test_cancel_with_a_path(node_stage: Stage) -> None:
    """So may a cancellation."""
    [run] = node_stage.started(node_stage.send("cancelled-match", {"order": "path"}))
    node_stage.waits(run["id"], "long")
    node_stage.send("cancel", {"order": "path"})
    assert node_stage.ended(run["id"])["status"] == "cancelled"


def test_wrap(node_stage: Stage) -> None:
    """A wrapped call is a step."""
    assert node_stage.result("wrap") == {"echoed": "hello"}


def test_a_race(node_stage: Stage) -> None:
    """The branch that ended first in the history wins, here and after all replays."""
    with node_stage.watching() as watch:
        assert node_stage.result("race") == {"won": "hare", "then": "then"}
        assert watch.bodies() == ["hare", "then"]


def test_without_optimized_parallelism(node_stage: Stage) -> None:
    """A function that answers in the protocol's first version is driven in it."""
    with node_stage.watching() as watch:
        assert node_stage.result("unoptimized") == [["a1", "a2"], ["b1", "b2"]]
        assert sorted(watch.bodies()) == ["a1", "a2", "b1", "b2"]


def test_a_fatal_step_that_is_caught(node_stage: Stage) -> None:
    """A step that is not to be tried again can be caught after its one attempt."""
    with node_stage.watching() as watch:
        assert node_stage.result("no-retry-caught") == {"caught": "never again"}
        assert watch.bodies() == ["no-retry-caught"]


def test_an_experiment(node_stage: Stage) -> None:
    """A choice between variants is a step, and the chosen one runs."""
    assert node_stage.result("experiment") == {"result": 2, "variant": "two"}


def test_a_short_runtime(node_stage: Stage) -> None:
    """A function whose time in one request is over goes on in another, and no step runs twice."""
    with node_stage.watching() as watch:
        assert node_stage.result("short-runtime") == [0, 1, 2]
        assert watch.bodies() == ["part 0", "part 1", "part 2"]


def test_buffered_checkpoints(node_stage: Stage) -> None:
    """Steps that are told together are all kept, the rest that comes with the end too."""
    with node_stage.watching() as watch:
        run = node_stage.ran("buffered")
        assert run["result"] == [0, 1, 2, 3]
        assert watch.bodies() == [f"part {n}" for n in range(4)]
    steps = [record["step"] for record in node_stage.history(run["id"]) if record.get("step")]
    assert steps == [f"part {n}" for n in range(4)]


def test_names_of_steps(node_stage: Stage) -> None:
    """A step that has a name beside its id is recorded under its id."""
    run = node_stage.ran("steps")
    steps = [record["step"] for record in node_stage.history(run["id"]) if record.get("step")]
    assert "none" in steps
