"""Steps as ops, for a server that knows nothing of flowgen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flowgen import (
    All,
    App,
    Context,
    Event,
    Invoke,
    Race,
    Run,
    SendEvent,
    Sleep,
    SleepUntil,
    Steps,
    WaitFor,
    WaitForSignal,
)
from flowgen.commands.base import Command
from flowgen.runtime.protocol.calls import Call, Ops, build_answer
from flowgen.runtime.protocol.ops import Op, Opcode
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.serving.turn import Say, turn

AT = 1_800_000_000_000
EVENT = {"id": "e", "name": "test/started", "data": {}, "ts": AT}


def asked(command: Command[Any], *, plan: bool = True) -> tuple[Op, ...]:
    """The ops of a body that yields one command."""
    app = App("shop")

    @app.workflow
    def body(ctx: Context) -> Steps[Any]:
        return (yield command)

    taken = turn(body, Call("r", (EVENT,), disable_immediate_execution=plan))
    assert isinstance(taken, Say)
    assert isinstance(taken.answer.outcome, Ops)
    return taken.answer.outcome.ops


def only(command: Command[Any]) -> Op:
    (op,) = asked(command)
    return op


MOMENT = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)

WORDS: list[tuple[Command[Any], Opcode, str | None, dict[str, Any]]] = [
    (Run("a", str, 1), Opcode.STEP_PLANNED, None, {"type": "step.run"}),
    (Sleep("a", "1h30m"), Opcode.SLEEP, "1h30m", {"type": "step.sleep", "duration": "1h30m"}),
    (Sleep("a", 0), Opcode.SLEEP, "0s", {"type": "step.sleep", "duration": "0s"}),
    (
        SleepUntil("a", MOMENT),
        Opcode.SLEEP,
        "2026-05-01T12:00:00Z",
        {"type": "step.sleepUntil", "duration": "2026-05-01T12:00:00Z"},
    ),
    (
        SleepUntil("a", MOMENT + timedelta(microseconds=1)),
        Opcode.SLEEP,
        "2026-05-01T12:00:01Z",
        {"type": "step.sleepUntil", "duration": "2026-05-01T12:00:01Z"},
    ),
    (
        WaitFor("a", "x/y", timeout="7d"),
        Opcode.WAIT_FOR_EVENT,
        "x/y",
        {"type": "step.waitForEvent", "event": "x/y", "timeout": "7d"},
    ),
    (
        WaitFor("a", "x/y", match="data.id", timeout="250ms"),
        Opcode.WAIT_FOR_EVENT,
        "x/y",
        {
            "type": "step.waitForEvent",
            "event": "x/y",
            "timeout": "250ms",
            "if": "event.data.id == async.data.id",
        },
    ),
    (
        WaitFor("a", "x/y", match="data.id", where="async.data.n > 1 || true", timeout="1h"),
        Opcode.WAIT_FOR_EVENT,
        "x/y",
        {
            "type": "step.waitForEvent",
            "event": "x/y",
            "timeout": "1h",
            "if": "(event.data.id == async.data.id) && (async.data.n > 1 || true)",
        },
    ),
    (
        WaitForSignal("a", "go", timeout="1h", on_conflict="replace"),
        Opcode.WAIT_FOR_SIGNAL,
        "go",
        {"type": "step.waitForSignal", "signal": "go", "timeout": "1h", "conflict": "replace"},
    ),
    (
        Invoke("a", "child", {"n": 1}, timeout="1h"),
        Opcode.INVOKE_FUNCTION,
        None,
        {"type": "step.invoke", "function_id": "shop-child", "payload": {"data": {"n": 1}}, "timeout": "1h"},
    ),
    (
        Invoke("a", "other/child"),
        Opcode.INVOKE_FUNCTION,
        None,
        {"type": "step.invoke", "function_id": "other-child", "payload": {"data": {}}},
    ),
]


@pytest.mark.parametrize("command, code, name, opts", WORDS, ids=lambda value: str(value)[:30])
def test_what_is_asked_for(command: Command[Any], code: Opcode, name: str | None, opts: dict[str, Any]) -> None:
    """In the words of the protocol; a date is never before the moment that is meant."""
    op = only(command)
    assert (op.op, op.name, dict(op.opts)) == (code, name, opts)
    assert (op.id, op.display_name, op.step_id, op.flowgen) == (step_hash("a"), "a", "a", None)


def test_repeats_are_told_by_their_number() -> None:
    """As other SDKs do, so their hashes are ours."""
    ops = asked(All(Run("a", str, 1), Run("a", str, 2), Run("a", str, 3)))
    assert [(op.userland.id, op.userland.index) for op in ops if op.userland] == [("a", 0), ("a", 1), ("a", 2)]
    assert [op.id for op in ops] == [step_hash("a"), step_hash("a:1"), step_hash("a:2")]
    assert [op.step_id for op in ops] == ["a", "a:1", "a:2"]


def test_steps_of_branches_are_told_with_their_scope() -> None:
    """Where the code asks for them."""

    def branch() -> Steps[None]:
        yield Run("a", str, 1)

    ops = asked(All({"x": branch(), "y": branch()}))
    assert [op.step_id for op in ops] == ["all/x/a", "all/y/a"]


def _branch() -> Steps[None]:
    yield Run("b", str, 1)


RACES: list[tuple[Any, bool]] = [
    (lambda: All(Run("a", str, 1), Run("b", str, 1)), False),
    (lambda: All(Run("a", str, 1), SendEvent("b", Event("x/y"))), False),
    (lambda: All(Run("a", str, 1), Run("b", str, 1), on_error="collect"), False),
    (lambda: All(Run("a", str, 1), Run("b", str, 1), limit=2), True),
    (lambda: All(Run("a", str, 1), Sleep("b", "1h")), True),
    (lambda: All(Run("a", str, 1), _branch()), True),
    (lambda: Race(a=Run("a", str, 1), b=Run("b", str, 1)), True),
    (lambda: Race(a=All(Run("a", str, 1), Run("b", str, 1)), c=Sleep("c", "1h")), True),
]


@pytest.mark.parametrize("group, races", RACES)
def test_a_group_is_asked_after_each_step_unless_all_of_it_is_short(group: Any, races: bool) -> None:
    """Then once, when all have ended: in any other a step may be what the next one waits for."""
    assert [op.races for op in asked(group())] == [races] * len(asked(group()))


def test_a_step_alone_is_in_no_group() -> None:
    """So nothing is said of one."""
    assert not only(Run("a", str, 1)).races


def test_ops_are_written_as_the_protocol_has_them() -> None:
    """Names, numbers and kinds."""
    taken = turn(_fulfil(), Call("r", (EVENT,), disable_immediate_execution=True))
    assert isinstance(taken, Say)
    status, headers, body = build_answer(taken.answer)
    assert (status, headers["X-Inngest-Req-Version"]) == (206, "2")
    assert body == (
        b'[{"op":"StepPlanned","id":"86f7e437faa5a7fce15d1ddcb9eaeaea377667b8","displayName":"a",'
        b'"opts":{"type":"step.run"},"userland":{"id":"a","index":0}}]'
    )


def _fulfil() -> Any:
    app = App("shop")

    @app.workflow
    def fulfil(ctx: Context) -> Steps[Any]:
        return (yield Run("a", str, 1))

    return fulfil
