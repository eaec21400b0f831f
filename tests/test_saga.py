"""Sagas: what was done is undone in reverse, and only that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import DefinitionError, Run, Saga, Sleep, StepError, Steps
from flowgen.commands import Command, StepCommand


def act(name: str) -> str:
    return name


def run(body: Steps[Any], failing: frozenset[str] = frozenset()) -> tuple[list[str], Any]:
    """Drive a body: each step gives its id back, or fails. Returns the ids asked for, and the end."""
    asked: list[str] = []
    send: Any = None
    error: StepError | None = None
    while True:
        try:
            command = body.send(send) if error is None else body.throw(error)
        except StopIteration as stop:
            return asked, stop.value
        except StepError as raised:
            return asked, raised
        assert isinstance(command, StepCommand)
        asked.append(command.id)
        send, error = command.id, StepError(command.id, "ValueError", "no") if command.id in failing else None


def booking(names: list[str]) -> Steps[list[str]]:
    saga = Saga()
    done = []
    try:
        for name in names:
            done.append((yield from saga.do(Run(name, act, name), undo=Run(f"undo {name}", act, name))))
    except StepError:
        yield from saga.compensate()
        raise
    return done


def test_do_gives_what_the_step_gives() -> None:
    """`do` is its command, as far as the body can tell."""
    assert run(booking(["a", "b"])) == (["a", "b"], ["a", "b"])


@given(before=st.integers(0, 6), after=st.integers(0, 3))
def test_what_succeeded_is_undone_in_reverse(before: int, after: int) -> None:
    """When a step fails, the ones before it are undone, newest first; it and later ones are not."""
    names = [str(n) for n in range(before + 1 + after)]
    asked, end = run(booking(names), failing=frozenset({str(before)}))
    undone = [f"undo {n}" for n in reversed(range(before))]
    assert asked == [*names[: before + 1], *undone]
    assert isinstance(end, StepError)
    assert end.step_id == str(before)


def test_undo_may_use_the_result() -> None:
    """`undo` may be a function that makes the command from what the step gave."""

    def body() -> Steps[None]:
        saga = Saga()
        yield from saga.do(Run("charge", act, "x"), undo=lambda paid: Run(f"refund {paid}", act, paid))
        yield from saga.compensate()

    assert run(body()) == (["charge", "refund charge"], None)


def test_each_step_is_undone_once() -> None:
    """A second `compensate` has nothing to undo."""

    def body() -> Steps[None]:
        saga = Saga()
        yield from saga.do(Run("a", act, "a"), undo=Run("undo a", act, "a"))
        yield from saga.compensate()
        yield from saga.compensate()

    assert run(body())[0] == ["a", "undo a"]


def test_a_failed_undo_is_raised_and_not_repeated() -> None:
    """An undo that fails stops there; calling again goes on with the ones before it."""

    def body() -> Steps[str]:
        saga = Saga()
        for name in ("a", "b", "c"):
            yield from saga.do(Run(name, act, name), undo=Run(f"undo {name}", act, name))
        try:
            yield from saga.compensate()
        except StepError as error:
            yield from saga.compensate()
            return error.step_id
        return "none"

    expected = ["a", "b", "c", "undo c", "undo b", "undo a"]
    assert run(body(), failing=frozenset({"undo b"})) == (expected, "undo b")


def test_any_command_may_be_undone() -> None:
    """Not only `Run`: every command can be done, and be the undoing."""

    def body() -> Steps[None]:
        saga = Saga()
        yield from saga.do(Sleep("a", 1), undo=Sleep("b", 1))
        yield from saga.compensate()

    assert run(body())[0] == ["a", "b"]


@pytest.mark.parametrize("wrong", [7, None, "refund", act("x")])
def test_what_is_no_command_is_refused_at_once(wrong: Any) -> None:
    """`do` checks both before anything is done."""
    saga, good = Saga(), Run("a", act, "a")
    with pytest.raises(DefinitionError, match="command of Saga.do: .* is not a command"):
        saga.do(wrong, undo=good)
    with pytest.raises(DefinitionError, match="undo of Saga.do: .* is not a command"):
        saga.do(good, undo=wrong)


def test_an_undo_that_makes_no_command_is_refused() -> None:
    """A function for `undo` has to return a command."""

    def body(undo: Any) -> Steps[None]:
        yield from Saga().do(Run("a", act, "a"), undo=undo)

    with pytest.raises(DefinitionError, match="undo of Saga.do made 'a', which is not a command"):
        run(body(act))


def test_a_saga_belongs_to_its_body() -> None:
    """Two sagas in one body do not undo each other's steps."""

    def body() -> Steps[None]:
        first, second = Saga(), Saga()
        commands: list[tuple[Saga, Command[str], Command[str]]] = [
            (first, Run("a", act, "a"), Run("undo a", act, "a")),
            (second, Run("b", act, "b"), Run("undo b", act, "b")),
        ]
        for saga, command, undo in commands:
            yield from saga.do(command, undo=undo)
        yield from first.compensate()

    assert run(body())[0] == ["a", "b", "undo a"]
