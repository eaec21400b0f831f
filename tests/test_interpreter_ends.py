"""The interpreter: how a body ends, and goes on when its run is retried."""

from __future__ import annotations

from typing import Any

from flowgen import (
    All,
    Context,
    Race,
    Restart,
    Run,
    Sleep,
    Steps,
    WaitFor,
)
from flowgen.duration import moment
from flowgen.history import EndFailed, Retried, Started, StepSucceeded
from flowgen.outcome import Failure, Json
from flowgen.runs import RunRow
from flowgen.values import encode
from tests.bodies import START, Fed, act, interpreter_of, occurrence, picture, replay, workflow_of

# -- how a body ends -------------------------------------------------------------------------------


def test_a_body_that_waits_for_nothing_ends_at_once() -> None:
    """A workflow may return before its first step."""

    def body(ctx: Context[Any]) -> Steps[str]:
        if ctx.event.data.get("wait"):
            yield Sleep("s", 1)
        return "done"

    assert Fed(body).returned == "done"
    assert Fed(body, {"wait": True}).asked == ["s"]


def test_restart_ends_the_body_with_data() -> None:
    """Yielded or returned, `Restart` is the end; nothing after it is executed."""

    def yields(ctx: Context[Any]) -> Steps[None]:
        yield Run("a", act)
        yield Restart({"cursor": 7})
        raise AssertionError("executed after Restart")

    def returns(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act)
        return Restart({"cursor": 7})

    assert Fed(yields).ok("a").restarted == {"cursor": 7}
    assert Fed(returns).ok("a").restarted == {"cursor": 7}


def test_restart_runs_the_finally_of_the_body_and_drops_what_that_does() -> None:
    """Code that resists being ended by a `Restart` is dropped: it can neither ask nor fail any more."""
    seen: list[str] = []

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield Restart({"n": 1})
        finally:
            seen.append("finally")
            try:
                yield Run("too late", act)
            finally:
                raise ValueError("resists")

    fed = Fed(body)
    assert (fed.restarted, fed.asked, seen[:1]) == ({"n": 1}, [], ["finally"])


def test_restart_without_data_is_an_empty_object() -> None:
    """The successor's `ctx.event.data` is an object, whatever was given."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Restart()

    assert Fed(body).restarted == {}


# -- retried histories -----------------------------------------------------------------------------


def test_retried_takes_back_what_came_after_its_position() -> None:
    """A fold over a retried history ignores the failed end; the failing step is open again, from attempt 1."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act)
        return (yield Run("b", act))

    fed = Fed(body).ok("a").try_failed("b", START).fail("b", attempts=2)
    history = [*fed.history, EndFailed(fed.at, Failure("StepError", "no"), "b")]
    history.append(Retried(fed.at, 2, 1, ("b",)))
    again = replay(fed.workflow, history)
    assert (list(again.pending), again.life, again.position) == (["b"], 1, 6)
    assert (again.pending["b"].failures, again.end) == (0, None)
    again.feed(StepSucceeded(fed.at, "b", Json(b"5"), digest=again.pending["b"].digest))
    assert again.end is not None


def test_a_replay_gives_up_nothing_anew() -> None:
    """What was abandoned in the past was let go of in the past."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Race(a=Run("a", act), b=Sleep("b", 1))
        yield Run("c", act)

    fed = Fed(body).request("b")
    fed.interpreter.take_fresh()
    assert fed.ok("a").dropped() == ["b"]
    assert replay(body, fed.history).take_abandoned() == []


def test_seen_positions_are_inherited() -> None:
    """The run that another restarted as looks on from where that one had come to."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield WaitFor("w", "a/b", timeout=1)

    interpreter = interpreter_of(body)
    interpreter.inherit((("w", 9),))
    interpreter.feed(Started(START, ""))
    assert interpreter.looks_after(interpreter.pending["w"]) == 9
    assert interpreter.seen() == {"w": 9}


def test_a_wait_looks_after_what_its_last_occurrence_gave() -> None:
    """Scope and name count: another wait, and one of another scope, has its own position."""

    def part() -> Steps[None]:
        yield WaitFor("w", "a/b", timeout=1)

    def body(ctx: Context[Any]) -> Steps[None]:
        yield WaitFor("w", "a/b", timeout=1)
        yield All(WaitFor("w", "a/b", timeout=1), WaitFor("v", "a/b", timeout=1), part())

    fed = Fed(body).ok("w", occurrence("{}", 5), position=5)
    after = {step.id: fed.interpreter.looks_after(step) for step in fed.interpreter.pending.values()}
    assert after == {"w:1": 5, "v": None, "all/2/w": None}


def test_a_result_that_cannot_be_written_fails_the_body() -> None:
    """What a body returns must have a JSON form; the error names the workflow and the path."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act)
        return {"ok": [float("nan")]}

    raised = Fed(body).ok("a").raised
    assert raised.type == "UnserializableError"
    assert "the result of workflow 'body', at $.ok[0]" in raised.message


def test_encoded_results_are_those_of_encode() -> None:
    """The end holds the bytes that are recorded."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act)
        return moment(START)

    fed = Fed(body).ok("a")
    assert fed.end.data == encode(moment(START), "x")  # type: ignore[union-attr]


def test_every_step_that_was_asked_for_is_known() -> None:
    """Those that are open, that are over and that were given up; also where replay never made them pending."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Run("a", act)
        yield Race(b=Run("b", act), c=Sleep("c", "1h"))
        yield Run("a", act)

    fed = Fed(body)
    fed.ok("a")
    fed.ok("b")
    assert sorted(fed.interpreter.asked()) == ["a", "a:1", "b", "c"]
    assert sorted(replay(fed.workflow, fed.history).asked()) == ["a", "a:1", "b", "c"]


def test_a_body_that_is_here_asks_nothing_of_its_owner() -> None:
    """Who owns its run, what its app says and what an earlier body had begun: all that it knows was recorded."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Run("a", act)
        yield Run("b", act)

    fed, earlier = Fed(body), Fed(body).ok("a")
    before = picture(fed.interpreter)
    fed.interpreter.go_on(earlier.interpreter, ["b"])
    fed.interpreter.hold(RunRow("shop", "r1", "work", START, 7))
    fed.interpreter.move(workflow_of(body, retries=9))
    assert picture(fed.interpreter) == before
    assert fed.interpreter.workflow is fed.workflow
