"""Each step method that the SDKs offer, from unmodified apps: what it gives, and that its body ran once."""

from __future__ import annotations

import time

from tests.sdk.stage import Stage


def test_a_function_without_steps(stage: Stage) -> None:
    """A function gets its event's data, runs once, and its value is the run's result."""
    with stage.watching() as watch:
        assert stage.result("hello", {"name": "Ada ☂"}) == {"greeting": "hello Ada ☂"}
        assert watch.bodies() == ["hello"]
        assert watch.calls("hello") == ["step"]


def test_a_function_may_return_nothing(stage: Stage) -> None:
    """Nothing is null."""
    assert stage.result("nothing") is None


def test_steps(stage: Stage) -> None:
    """Steps run once each, in order, and give their values to the code behind them, whatever JSON they are."""
    with stage.watching() as watch:
        assert stage.result("steps") == [{"nested": [1, 2.5, "three", None, True]}, 3, None]
        assert watch.bodies() == ["a", "add", "none"]


def test_the_history_names_the_users_steps(stage: Stage) -> None:
    """A run of a remote function has a history like any other: its records name the steps as the app names them."""
    run = stage.ran("steps")
    steps = [record["step"] for record in stage.history(run["id"]) if record.get("step")]
    assert steps == ["a", "add", "none"]


def test_repeated_ids(stage: Stage) -> None:
    """Steps of one id are told apart by their turn."""
    with stage.watching() as watch:
        assert stage.result("repeats") == [0, 1, 2]
        assert watch.bodies() == ["same 0", "same 1", "same 2"]


def test_events_are_sent_once(stage: Stage) -> None:
    """A step that sends events gives their ids, and each of them starts what listens to it."""
    sent = stage.result("send")
    told = [stage.ended(stage.started(id)[0]["id"])["result"] for id in sent["ids"]]
    assert sorted(told) == [0, 1]


def test_sleep(stage: Stage) -> None:
    """A run sleeps as long as it says, and what ran before does not run again."""
    with stage.watching() as watch:
        begun = time.monotonic()
        assert stage.result("sleep") == "rested"
        assert time.monotonic() - begun >= 0.9
        assert watch.bodies() == ["before", "after"]


def test_sleep_until(stage: Stage) -> None:
    """A run sleeps until a moment; one that is over is over at once."""
    assert stage.result("sleep-until", {"until": int(time.time()) + 1}) == "rested"
    assert stage.result("sleep-until", {"until": int(time.time()) - 3600}) == "rested"


def waiting(stage: Stage, function: str, data: dict[str, object]) -> str:
    """The id of a run that has come to its wait for an answer."""
    [run] = stage.started(stage.send(function, data))
    stage.waits(run["id"], "answer")
    return str(run["id"])


def test_wait_for_an_event(stage: Stage) -> None:
    """A wait gives the whole event that its expression matches, and no other."""
    run = waiting(stage, "wait", {"order": "right", "timeout": 60_000})
    stage.send("answer", {"order": "wrong"})
    stage.send("answer", {"order": "right", "answer": 42}, id="answer-to-everything", ts=1_700_000_000_000)
    result = stage.ended(run)["result"]
    assert result["name"] == f"{stage.kind.app}/answer"
    assert result["data"] == {"order": "right", "answer": 42}
    assert result["ts"] == 1_700_000_000_000
    assert result["id"]


def test_a_wait_times_out(stage: Stage) -> None:
    """A wait that nothing meets gives nothing."""
    assert stage.result("wait", {"order": "none", "timeout": 1000}) is None


def test_invoke(stage: Stage) -> None:
    """A function runs another one and gets its value."""
    with stage.watching() as watch:
        assert stage.result("invoke", {"number": 21}) == 42
        assert watch.bodies() == ["double"]


def test_invoke_by_id(stage: Stage) -> None:
    """A function is invoked by the names of its app and its own."""
    data = {"app": stage.kind.app, "function": "double", "data": {"number": 4}, "timeout": 60_000}
    assert stage.result("invoke-by-id", data) == 8


def test_an_invoked_function_fails(stage: Stage) -> None:
    """What an invoked function fails with is raised where it was invoked."""
    assert "this function fails" in stage.result("invoke-fails")["caught"]


def test_an_invocation_of_nobody(stage: Stage) -> None:
    """A function that does not exist is an error of the step that invoked it: the run does not hang."""
    data = {"app": stage.kind.app, "function": "no-such-function", "data": {}, "timeout": 60_000}
    run = stage.ran("invoke-by-id", data)
    assert run["status"] == "failed"
    assert "no-such-function" in run["error"]["message"]


def test_an_invocation_times_out(stage: Stage) -> None:
    """A step that invoked stops waiting when its time is over, with the error that SDKs know."""
    result = stage.result("invoke-times-out")
    assert result["message"] == "Timed out waiting for invoked function to complete"


def test_parallel_steps(stage: Stage) -> None:
    """Steps side by side give their values in the order in which they were written, and each body runs once."""
    with stage.watching() as watch:
        assert stage.result("parallel") == [8, 1, 2, 1, "last"]
        assert sorted(watch.bodies()) == ["double", "first", "last", "second"]


def test_the_context(stage: Stage) -> None:
    """A function is told its run, its attempt, and its event as it was sent."""
    event = stage.send("ctx", {"n": 1}, id=f"{stage.kind.label}-ctx", ts=1_700_000_000_123)
    [run] = stage.started(event)
    told = stage.ended(run["id"])["result"]
    assert told["run_id"] == run["id"]
    assert told["attempt"] == 0
    assert told["events"] == 1
    assert told["event"]["name"] == f"{stage.kind.app}/ctx"
    assert told["event"]["data"] == {"n": 1}
    assert told["event"]["ts"] == 1_700_000_000_123
    assert told["event"]["id"]


def test_an_event_sent_twice_starts_one_run(stage: Stage) -> None:
    """Two events with one id are one event."""
    with stage.watching() as watch:
        stage.send("hello", {"name": "once"}, id=f"{stage.kind.label}-once")
        assert stage.result("hello", {"name": "twice"}) == {"greeting": "hello twice"}
        again = stage.send("hello", {"name": "once"}, id=f"{stage.kind.label}-once")
        stage.ended(stage.started(again)[0]["id"])
        assert watch.bodies() == ["hello", "hello"]


def test_sending_outside_of_steps(stage: Stage) -> None:
    """The SDK's client sends events to the server that calls the app."""
    assert len(stage.result("outside")["ids"]) == 1


def test_a_state_that_is_too_big_for_a_request(stage: Stage) -> None:
    """Where all results together are too big for one request, the app fetches them."""
    with stage.watching() as watch:
        assert stage.result("big", {"pieces": 4}) == [1_500_000] * 4
        assert watch.bodies() == [f"piece {n}" for n in range(4)]
