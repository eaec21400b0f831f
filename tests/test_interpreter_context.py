"""The interpreter: the context of a body, which is the same in each replay."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from flowgen import (
    All,
    Context,
    Run,
    Steps,
)
from flowgen.duration import moment
from flowgen.ends import BodyReturned
from flowgen.errors import InternalError, NondeterminismError
from flowgen.history import Started, StepSucceeded
from flowgen.misuse import COMMANDS_PER_ADVANCE
from flowgen.values import encode
from tests.bodies import START, Fed, act, interpreter_of, picture, replay


def test_now_is_the_time_of_the_newest_record() -> None:
    """`ctx.now` moves with the records, those of other branches included."""

    def body(ctx: Context[Any]) -> Steps[list[int]]:
        times = [ctx.now]
        yield All(Run("a", act), Run("b", act))
        times.append(ctx.now)
        return [(time - moment(START)) // timedelta(seconds=1) for time in times]

    assert Fed(body).ok("b").ok("a").returned == [0, 2]


def test_draws_belong_to_their_scope() -> None:
    """The n-th draw in a scope is the same whichever branch goes first, and whatever steps are added."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        def branch(name: str) -> Steps[list[Any]]:
            drawn = [ctx.random.random()]
            yield Run(name, act)
            return [*drawn, ctx.random.random(), str(ctx.uuid())]

        before = ctx.random.random()
        drawn = yield All(branch("a"), branch("b"))
        return [before, *drawn, ctx.random.random()]

    def longer(ctx: Context[Any]) -> Steps[Any]:
        yield Run("added", act)
        return (yield from body(ctx))

    drawn = Fed(body).ok("all/0/a").ok("all/1/b").returned
    assert drawn == Fed(body).ok("all/1/b").ok("all/0/a").returned
    assert drawn == Fed(longer).ok("added").ok("all/0/a").ok("all/1/b").returned
    assert drawn[1] != drawn[2]
    assert drawn != Fed(body, seed=8).ok("all/0/a").ok("all/1/b").returned


def test_the_logger_speaks_once() -> None:
    """Live, the lines are there after the record that made them; replayed, they are not."""

    def body(ctx: Context[Any]) -> Steps[None]:
        ctx.logger.info("begin")
        yield Run("a", act)
        ctx.logger.info("done")

    fed = Fed(body)
    context = fed.interpreter.context
    assert [line.message for line in context.take_lines()] == ["begin"]
    assert [line.message for line in fed.ok("a").interpreter.context.take_lines()] == ["done"]
    again = replay(body, fed.history[:1])
    assert again.context.take_lines() == []
    again.feed(fed.history[1])
    assert [line.message for line in again.context.take_lines()] == ["done"]


def test_a_first_replay_may_be_aloud() -> None:
    """A run that was started by the commit that created it: its first record is fed by a replay, its lines are new."""

    def body(ctx: Context[Any]) -> Steps[None]:
        ctx.logger.info("begin")
        yield Run("a", act)

    interpreter = interpreter_of(body)
    interpreter.replay([Started(START, "")], aloud=True)
    assert [line.message for line in interpreter.context.take_lines()] == ["begin"]


def looping(ctx: Context[Any]) -> Steps[int]:
    """Nothing but one step after the other; returns what they gave together."""
    total: int = 0
    for _ in range(ctx.event.data["steps"]):
        total += yield Run("a", act)
    return total


def outcomes(count: int) -> list[Any]:
    """A history of so many of these steps; the n-th gave n."""
    return [Started(START, ""), *(outcome(f"a:{n}" if n else "a", n, START + n) for n in range(count))]


def outcome(step_id: str, value: int, at: int = START) -> StepSucceeded:
    return StepSucceeded(at, step_id, encode(value, "a value"), arguments=Run("a", act).arguments())


def folded(workflow: Any, data: Any, history: list[Any], **options: Any) -> Any:
    """What a replay comes to; feeding the records one by one comes to the same."""
    fed, replayed = (interpreter_of(workflow, data, **options) for _ in range(2))
    for record in history:
        fed.feed(record)
    replayed.replay(history)
    assert picture(replayed) == picture(fed)
    return replayed.end


def test_a_long_replay_is_no_spinning_body() -> None:
    """A body waited for each step, though a replay has all outcomes at hand."""
    count = COMMANDS_PER_ADVANCE + 2
    end = folded(looping, {"steps": count}, outcomes(count), max_steps=count)
    assert end == BodyReturned(encode(count * (count - 1) // 2, "the sum"))


def test_a_replay_does_not_go_past_max_steps() -> None:
    """It may have been lowered since: the step that is one too many is refused, whether or not it has an outcome."""
    end = folded(looping, {"steps": 5}, outcomes(4), max_steps=2, changes="additive")
    assert "the last one 'a:2'" in end.failure.message


def test_what_was_remembered_of_a_step_comes_before_the_next_record() -> None:
    """In additive code the first record of a step counts, whenever the step is asked for."""
    history = [Started(START, ""), outcome("a:1", 10), outcome("a", 1), outcome("a:1", 20)]
    assert folded(looping, {"steps": 2}, history, changes="additive") == BodyReturned(encode(11, "the sum"))


def test_an_outcome_of_another_kind_is_no_outcome_of_a_run() -> None:
    """Whatever else fits: one by one, and in a replay."""
    history = [*outcomes(1), attrs.evolve(outcome("a:1", 1), kind="invoke")]
    fed, replayed = (interpreter_of(looping, {"steps": 2}) for _ in range(2))
    fed.replay(history[:2])
    with pytest.raises(NondeterminismError, match="invoke 'a:1'"):
        fed.feed(history[2])
    with pytest.raises(NondeterminismError, match="invoke 'a:1'"):
        replayed.replay(history)
    assert picture(replayed) == picture(fed)


def test_a_replay_that_fails_does_not_leave_the_logger_silent() -> None:
    """The context speaks again after a replay, however that ended."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Run("a", act)

    interpreter = interpreter_of(body)
    with pytest.raises(InternalError, match="two Started"):
        interpreter.replay([Started(START, ""), Started(START, "")])
    assert interpreter.context._replaying is False
