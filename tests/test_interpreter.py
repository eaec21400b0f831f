"""The interpreter: step ids, the order of records, outcomes, and how a body ends.

Branches, cancellation, divergence and misuse have files of their own. Every `Fed` also compares its live
interpreter with a replayed one after each record.
"""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import attrs
import pytest

from flowgen import (
    All,
    Context,
    Event,
    Invoke,
    InvokeTimeout,
    Race,
    Restart,
    Run,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    StepError,
    Steps,
    StepTimeout,
    WaitFor,
    WaitForSignal,
    event_type,
)
from flowgen.duration import moment
from flowgen.ends import BodyReturned
from flowgen.errors import InternalError, NondeterminismError, UndecodableError
from flowgen.events import AcceptedEvent
from flowgen.history import EndFailed, Retried, SleepTerms, Started, StepSucceeded
from flowgen.misuse import COMMANDS_PER_ADVANCE
from flowgen.outcome import Failure, Json
from flowgen.runs import RunRow
from flowgen.values import encode
from tests.bodies import SECOND, START, Fed, act, interpreter_of, picture, replay, workflow_of

# -- steps and their ids ---------------------------------------------------------------------------


def test_a_body_begins_with_started_and_not_before() -> None:
    """Nothing of a body runs before its first record."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Run("a", act)

    interpreter = interpreter_of(body)
    assert (list(interpreter.pending), interpreter.end) == ([], None)
    interpreter.feed(Started(START, "code"))
    assert list(interpreter.pending) == ["a"]


def test_steps_follow_one_another() -> None:
    """A step is asked for when the one before has an outcome, and gets what that gave."""

    def body(ctx: Context[Any]) -> Steps[int]:
        x = yield Run("a", act)
        y = yield Run("b", act, x)
        return x + y

    fed = Fed(body)
    assert fed.ok("a", 1).asked == ["b"]
    assert bytes(fed.step("b").arguments) == b"[[1],{}]"
    assert fed.ok("b", 2).returned == 3


def test_a_repeated_name_is_numbered_in_its_scope() -> None:
    """The same id again becomes `id:1`, `id:2`."""

    def body(ctx: Context[Any]) -> Steps[list[Any]]:
        got = []
        for n in range(3):
            got.append((yield Run("a", act, n)))
        return got

    fed = Fed(body)
    for step_id in ("a", "a:1", "a:2"):
        assert fed.asked == [step_id]
        fed.ok(step_id, step_id)
    assert fed.returned == ["a", "a:1", "a:2"]


def test_every_kind_of_command_is_a_step_of_its_kind() -> None:
    """Each leaf command is asked for under its own kind, whatever name it has."""
    commands = [
        Run("x", act),
        Sleep("x", 1),
        SleepUntil("x", moment(START)),
        WaitFor("x", "a/b", timeout=1),
        WaitForSignal("x", "s", timeout=1),
        SendSignal("x", "s"),
        Invoke("x", "other"),
        SendEvent("x", Event("a/b")),
    ]

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(*commands)

    kinds = [step.kind for step in Fed(body).interpreter.pending.values()]
    assert kinds == ["run", "sleep", "sleep", "wait", "signal", "send_signal", "invoke", "send"]
    assert Fed(body).asked == ["x", *(f"x:{n}" for n in range(1, 8))]


def test_yield_and_yield_from_are_the_same() -> None:
    """Both ways of yielding a command give its value."""

    def body(ctx: Context[Any]) -> Steps[list[Any]]:
        return [(yield Run("a", act)), (yield from Run("b", act))]

    assert Fed(body).ok("a", 1).ok("b", 2).returned == [1, 2]


def test_yield_from_a_part_is_plain_composition() -> None:
    """A part of a body that is yielded from has no scope of its own."""

    def part(n: int) -> Steps[int]:
        got = yield Run("a", act, n)
        return got * 2

    def body(ctx: Context[Any]) -> Steps[list[Any]]:
        return [(yield from part(1)), (yield from part(2))]

    assert Fed(body).ok("a", 1).ok("a:1", 5).returned == [2, 10]


def test_a_step_is_fresh_once() -> None:
    """What was asked for since the last look is given once; replaying gives all that is still open."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(Run("a", act), Run("b", act))
        yield Run("c", act)

    fed = Fed(body)
    assert fed.taken() == ["a", "b"]
    assert fed.ok("b").taken() == []
    assert [step.id for step in replay(body, fed.history).take_fresh()] == ["a"]
    assert fed.ok("a").taken() == ["c"]


def test_durations_are_not_part_of_the_fingerprint() -> None:
    """Two sleeps of the same name differ in nothing that replay compares; two runs with other arguments do."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(Sleep("s", 1), Sleep("s", 2), Run("r", act, 1), Run("r", act, 2))

    digests = {step.id: step.digest for step in Fed(body).interpreter.pending.values()}
    assert digests["s"] == digests["s:1"]
    assert digests["r"] != digests["r:1"]


def test_the_digest_is_taken_at_the_yield() -> None:
    """What a sibling later does to a shared argument changes nothing."""

    def body(ctx: Context[Any]) -> Steps[None]:
        shared = [1]

        def other() -> Steps[None]:
            yield Run("b", act)
            shared.append(2)
            yield Run("c", act, shared)

        yield All(Run("a", act, shared), other())

    fed = Fed(body)
    before = fed.step("a").digest
    fed.ok("all/1/b")
    assert fed.step("a").digest == before
    assert bytes(fed.step("a").arguments) == b"[[[1]],{}]"


# -- values ----------------------------------------------------------------------------------------


@attrs.frozen
class Order:
    id: str
    total: float


@event_type("order/approved")
@attrs.frozen
class Approved:
    by: str


def load() -> Order:
    return Order("7", 1.5)


async def load_async() -> Order:
    return Order("7", 1.5)


def plain(x):  # type: ignore[no-untyped-def]
    return x


def occurrence(data: str, position: int = 5) -> Json:
    """What a matched wait records."""
    import msgspec

    event = AcceptedEvent("01H", "order/approved", Json(data.encode()), START, START, position=position)
    return Json(msgspec.json.encode(event))


@pytest.mark.parametrize("fn", [load, load_async, functools.partial(load)])
def test_a_result_comes_back_as_its_annotation_says(fn: Any) -> None:
    """Sync, async and partial functions: the recorded JSON is restored to the annotated class."""

    def body(ctx: Context[Any]) -> Steps[str]:
        order = yield Run("load", fn)
        return f"{type(order).__name__} {order.total}"

    assert Fed(body).ok("load", Order("7", 1.5)).returned == "Order 1.5"


def test_a_result_without_annotation_is_plain() -> None:
    """Tuples have become lists: what replay gives is what the body gets the first time, too."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        return (yield Run("a", plain, (1, 2)))

    assert Fed(body).ok("a", (1, {"b": (2,)})).returned == [1, {"b": [2]}]


class Odd:
    """A callable without a hash."""

    __hash__ = None  # type: ignore[assignment]
    __name__ = "odd"

    def __eq__(self, other: object) -> bool:
        return self is other

    def __call__(self) -> Order:
        return Order("7", 1.0)


def test_a_callable_without_a_hash_can_be_a_step() -> None:
    """A function is looked up by what it is, not by its hash."""

    def body(ctx: Context[Any]) -> Steps[str]:
        order = yield Run("a", Odd())
        return str(order.id)

    assert Fed(body).ok("a", {"id": "7", "total": 1.0}).returned == "7"


def test_a_matched_event_comes_typed_and_a_timeout_as_none() -> None:
    """A wait gives the event with its data as the class that it names, or None."""

    def body(ctx: Context[Any]) -> Steps[list[Any]]:
        one = yield WaitFor("w", Approved, timeout=1)
        two = yield WaitFor("w", Approved, timeout=1)
        assert one is not None
        return [one.name, one.data.by, two]

    fed = Fed(body).ok("w", occurrence('{"by":"ann"}'), position=5)
    assert fed.interpreter.seen() == {"w": 5}
    assert fed.ok("w:1", None).returned == ["order/approved", "ann", None]


def test_an_invoked_workflow_gives_what_it_is_annotated_with() -> None:
    """The result of a child is restored by the child's annotation."""

    def child(ctx: Context[Any]) -> Steps[Order]:
        yield Sleep("s", 1)
        return Order("7", 1.0)

    made = workflow_of(child)

    def body(ctx: Context[Any]) -> Steps[str]:
        order = yield Invoke("c", made)
        return type(order).__name__

    assert Fed(body).ok("c", {"id": "7", "total": 2}).returned == "Order"


def test_a_value_that_does_not_fit_is_told_and_changes_nothing() -> None:
    """Live, a value that does not fit is the caller's to record as a failure: the step stays open."""

    def body(ctx: Context[Any]) -> Steps[str]:
        try:
            yield Run("load", load)
        except StepError as error:
            return error.error_type
        return "fine"

    fed = Fed(body)
    with pytest.raises(UndecodableError, match="does not fit Order"):
        fed.interpreter.feed(StepSucceeded(fed.at, "load", Json(b'{"id": 7}'), digest=fed.step("load").digest))
    assert fed.asked == ["load"]
    assert fed.fail("load", "UndecodableError").returned == "UndecodableError"


@attrs.frozen
class Picky:
    n: int

    def __attrs_post_init__(self) -> None:
        {}[self.n]


def picky() -> Picky:
    raise AssertionError


def test_a_class_whose_making_fails_is_a_value_that_does_not_fit() -> None:
    """Whatever a user's class raises while it is restored, the run goes on with a failure of that step."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Run("a", picky)

    fed = Fed(body)
    with pytest.raises(UndecodableError):
        fed.interpreter.feed(StepSucceeded(fed.at, "a", Json(b'{"n": 7}'), digest=fed.step("a").digest))


# -- failures --------------------------------------------------------------------------------------


def test_a_failed_step_raises_step_error_at_the_yield() -> None:
    """The error says which step, what kind of error, its message and how often it was tried."""

    def body(ctx: Context[Any]) -> Steps[list[Any]]:
        try:
            yield Run("a", act)
        except StepError as error:
            return [type(error).__name__, error.step_id, error.error_type, error.message, error.attempts]
        return []

    fed = Fed(body).fail("a", "OSError", "disk", attempts=3)
    assert fed.returned == ["StepError", "a", "OSError", "disk", 3]


@pytest.mark.parametrize(
    "command, kind, error",
    [
        (Run("a", act), "StepTimeout", StepTimeout),
        (Invoke("a", "child", timeout=1), "InvokeTimeout", InvokeTimeout),
        (WaitForSignal("a", "s", timeout=1), "SignalConflict", StepError),
    ],
)
def test_time_outs_have_classes_of_their_own(command: Any, kind: str, error: type[StepError]) -> None:
    """A step timeout and an invoke timeout can be told apart by `except`."""

    def body(ctx: Context[Any]) -> Steps[bool]:
        try:
            yield command
        except StepError as raised:
            return type(raised) is error
        return False

    assert Fed(body).fail("a", kind).returned is True


def test_failed_attempts_are_counted_and_armed() -> None:
    """A failed attempt leaves the step open, with its next time; the next outcome settles it."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        return (yield Run("a", act))

    fed = Fed(body).try_failed("a", retry_at=START + 90 * SECOND)
    assert (fed.step("a").failures, fed.interpreter.next_deadline()) == (1, START + 90 * SECOND)
    fed.try_failed("a", retry_at=START + 300 * SECOND)
    assert (fed.step("a").failures, fed.interpreter.next_deadline()) == (2, START + 300 * SECOND)
    assert fed.ok("a", 1).returned == 1
    assert fed.interpreter.next_deadline() is None


def test_an_uncaught_step_error_names_its_step() -> None:
    """The end of the run says whose failure it was, so that `retry` can go on from there."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Run("a", act)
        yield Run("b", act)

    fed = Fed(body).ok("a").fail("b")
    assert (fed.raised.type, fed.interpreter.end.step) == ("StepError", "b")  # type: ignore[union-attr]


def test_an_error_of_the_body_names_no_step() -> None:
    """A body that raises by itself, or another error from a step's, has no failing step."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield Run("a", act)
        except StepError as error:
            raise RuntimeError("cannot go on") from error

    fed = Fed(body).fail("a", "OSError", "disk")
    assert (fed.raised.type, fed.raised.message) == ("RuntimeError", "cannot go on")
    assert fed.raised.cause is not None
    assert fed.raised.cause.type == "StepError"
    assert "cannot go on" in fed.raised.trace
    assert fed.interpreter.end.step is None  # type: ignore[union-attr]


# -- deadlines -------------------------------------------------------------------------------------


def test_deadlines_are_those_of_open_steps_only() -> None:
    """The earliest deadline of what is open; what was settled or given up has none."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Race(late=Sleep("late", 30), soon=Sleep("soon", 10), work=Run("work", act))

    fed = Fed(body)
    assert fed.interpreter.next_deadline() is None
    fed.request("late", SleepTerms(START + 30 * SECOND)).request("soon", SleepTerms(START + 10 * SECOND))
    assert fed.interpreter.next_deadline() == START + 10 * SECOND
    assert fed.ok("work").interpreter.next_deadline() is None


def test_what_is_due_comes_once_earliest_first() -> None:
    """Due steps are given in the order of their deadlines; equal ones in the order of their requests."""
    names = ["d", "b", "a", "c"]

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(*(Sleep(name, 1) for name in names))

    fed = Fed(body)
    for name, due in zip(names, (20, 10, 10, 40), strict=True):
        fed.request(name, SleepTerms(START + due * SECOND))
    take = fed.interpreter.take_due
    assert [step.id for step in take(START + 9 * SECOND)] == []
    assert [step.id for step in take(START + 20 * SECOND)] == ["b", "a", "d"]
    assert [step.id for step in take(START + 20 * SECOND)] == []
    assert fed.interpreter.next_deadline() == START + 40 * SECOND


# -- the context -----------------------------------------------------------------------------------


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
        return Order("7", 1.5)

    fed = Fed(body).ok("a")
    assert fed.end.data == encode(Order("7", 1.5), "x")  # type: ignore[union-attr]


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
