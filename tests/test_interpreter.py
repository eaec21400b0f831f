"""The interpreter: step ids, the order of records, outcomes, and how a body ends.

Branches, cancellation, divergence and misuse have files of their own. Every `Fed` also compares its live
interpreter with a replayed one after each record.
"""

from __future__ import annotations

from typing import Any

import pytest

from flowgen import (
    All,
    Context,
    Event,
    Invoke,
    InvokeTimeout,
    Race,
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
)
from flowgen.duration import moment
from flowgen.history import SleepTerms, Started
from tests.bodies import SECOND, START, Fed, act, interpreter_of, replay

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
