"""Each error that the SDKs offer, from unmodified apps: what is tried again, what can be caught, what ends a run."""

from __future__ import annotations

from tests.sdk.stage import Stage


def test_a_step_is_tried_again(stage: Stage) -> None:
    """A step that fails once is tried again, is told its attempt, and succeeds."""
    with stage.watching() as watch:
        assert stage.result("flaky") == 1
        assert watch.attempts("flaky") == [0, 1]


def test_a_failed_attempt_is_in_the_history(stage: Stage) -> None:
    """Attempts of a remote step are records like those of a local one."""
    run = stage.ran("flaky")
    kinds = [record["type"] for record in stage.history(run["id"]) if record.get("step") == "flaky"]
    assert kinds == ["attempt_failed", "succeeded"]


def test_a_step_that_failed_for_good_is_caught(stage: Stage) -> None:
    """After its last attempt a step raises, with the name and message of what it raised; the code goes on."""
    with stage.watching() as watch:
        result = stage.result("caught")
        assert result["name"] in ("ValueError", "RangeError")
        assert result["message"] == "broken fails in attempt 1"
        assert result["then"] == "fallback"
        assert watch.attempts("broken") == [0, 1]


def test_a_step_that_nobody_catches(stage: Stage) -> None:
    """It fails the run, with its own error, and no attempt of the function is made beside those of the step."""
    with stage.watching() as watch:
        run = stage.ran("uncaught")
        assert run["status"] == "failed"
        assert "broken fails in attempt 1" in run["error"]["message"]
        assert watch.attempts("broken") == [0, 1]


def test_a_function_that_fails(stage: Stage) -> None:
    """Without retries the first error of a function is the run's."""
    run = stage.ran("fails")
    assert run["status"] == "failed"
    assert run["error"]["message"] == "this function fails"
    assert run["error"]["type"] in ("ValueError", "RangeError")


def test_a_function_is_tried_again(stage: Stage) -> None:
    """An error outside of the steps is tried again; steps that ended keep their values."""
    with stage.watching() as watch:
        assert stage.result("body-retries") == 1
        assert watch.attempts("once") == [0]
        assert watch.attempts("tail")[-2:] == [0, 1]


def test_an_error_that_is_not_to_be_tried_again(stage: Stage) -> None:
    """It ends the run in its first attempt."""
    with stage.watching() as watch:
        run = stage.ran("no-retry")
        assert run["status"] == "failed"
        assert run["error"]["message"] == "never again"
        assert watch.attempts("no-retry") == [0]


def test_a_step_that_is_not_to_be_tried_again(stage: Stage) -> None:
    """Its body runs once, and the run fails with its error."""
    with stage.watching() as watch:
        run = stage.ran("no-retry-step")
        assert run["status"] == "failed"
        assert "never again" in run["error"]["message"]
        assert watch.attempts("no-retry-step") == [0]


def test_a_time_to_try_again(stage: Stage) -> None:
    """A function says when it wants to be tried again."""
    with stage.watching() as watch:
        assert stage.result("retry-after") == 1
        assert watch.attempts("retry-after") == [0, 1]


def test_a_step_with_a_time_to_try_again(stage: Stage) -> None:
    """A step says it too."""
    with stage.watching() as watch:
        assert stage.result("retry-after-step") == 1
        assert watch.attempts("retry-after-step") == [0, 1]


def test_a_handler_of_failures(stage: Stage) -> None:
    """The function that is to run when another one failed gets its error, its run and its event."""
    known = len(stage.seen("failure"))
    with stage.watching() as watch:
        run = stage.ran("mourned")
        assert run["status"] == "failed"
        stage.patiently("the failure is handled", lambda: len(stage.seen("failure")) > known)
        assert watch.bodies() == ["mourn"]
        assert stage.seen("failure")[-1]["name"] == f"{stage.kind.app}-mourned: to be mourned"


def test_a_result_of_a_step_that_is_no_json(python_stage: Stage) -> None:
    """What cannot be written as JSON fails its step, and is not tried again."""
    with python_stage.watching() as watch:
        run = python_stage.ran("unserializable")
        assert run["status"] == "failed"
        assert "unserializable" in run["error"]["message"]
        assert watch.bodies() == ["object"]


def test_a_step_within_a_step(python_stage: Stage) -> None:
    """It is refused by the SDK, and the run fails with that."""
    run = python_stage.ran("nested")
    assert run["status"] == "failed"
    assert "Nested steps are not supported" in run["error"]["message"]
