"""Bodies are replayed: they ask for the same each time, and change nothing but themselves."""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from operator import methodcaller
from types import CellType, CodeType
from typing import Any

from ...commands.base import shown
from ...context import Context
from ...errors import NondeterminismError
from ...events import restore
from ...history import Retried
from ...interpreter import Interpreter
from ...workflow import Workflow
from ..replays import assert_replays
from ..trace import RunTrace
from ..words import apart
from .case import Case, has_code

__tracebackhide__ = methodcaller("errisinstance", AssertionError)
"""A test that fails shows its own line, not these."""


def replays_deterministically(case: Case) -> None:
    """Given the same records, the code asks for the same, after each of them."""
    for trace in case.traces.values():
        for run in trace.runs:
            if has_code(run):
                _check_replay(run)


def _check_replay(run: RunTrace) -> None:
    if any(isinstance(record, Retried) for record in run.history):
        return
    one, other = fresh_interpreter(run), fresh_interpreter(run)
    try:
        for position, record in enumerate(run.history):
            try:
                one.feed(record)
                other.feed(record)
            except NondeterminismError as error:
                raise AssertionError(
                    f"{run.name} is not deterministic: its code does not ask for what record {position} holds.\n"
                    f"{error}\n{_ADVICE}"
                ) from None
            if _asked(one) != _asked(other):
                raise AssertionError(
                    f"{run.name} is not deterministic: replayed twice up to record {position}, it asks for\n"
                    f"  first:  {_commands(one)}\n  then:   {_commands(other)}\n{_ADVICE}"
                )
    finally:
        one.close()
        other.close()


_ADVICE = (
    "A body is replayed, so it may depend on nothing but its event and its steps: take time and chance from the "
    "context (ctx.now, ctx.random, ctx.uuid()), and read the world in a step."
)


def fresh_interpreter(run: RunTrace) -> Interpreter:
    """The body of a run, fed nothing."""
    row, workflow = run.recorded.row, run.workflow
    assert workflow is not None
    events = [restore(event, workflow.class_of(event.name)) for event in run.recorded.events]
    context = Context(events, run_id=row.id, workflow_id=row.workflow, seed=row.seed, clock=row.created_at)
    context._replaying = True
    interpreter = Interpreter(workflow, context)
    interpreter.inherit(row.since)
    return interpreter


def _asked(interpreter: Interpreter) -> list[tuple[str, str, bytes]]:
    """What a body waits for, and with which arguments."""
    return [(step.id, step.kind, bytes(step.arguments)) for step in interpreter.pending.values()]


def _commands(interpreter: Interpreter) -> str:
    return ", ".join(shown(step.command) for step in interpreter.pending.values()) or "nothing"


def leaves_the_outside_alone(case: Case) -> None:
    """Replaying a body changes no variable outside of it: what changes the world belongs into a step."""
    for run in case.calm.runs:
        if not has_code(run):
            continue
        assert run.workflow is not None
        before = _outside(run.workflow)
        if before:
            assert_replays(run.workflow, run.recorded)
            _check_unchanged(run, before, _outside(run.workflow))


def _check_unchanged(run: RunTrace, before: dict[str, Any], after: dict[str, Any]) -> None:
    for name, value in after.items():
        if name in before and not _same(before[name], value):
            left, right = apart(repr(before[name]), repr(value))
            raise AssertionError(
                f"the body of {run.name} changes {name!r}, which is defined outside of it, each time it is "
                f"replayed:\n  before: {left}\n  after:  {right}\n"
                "Change it in a step, or keep it in the body."
            )


_PLAIN = (int, float, str, bytes, bool, type(None), tuple, frozenset)
_MUTABLE = (list, dict, set, bytearray, deque)


def _outside(workflow: Workflow[Any, Any]) -> dict[str, Any]:
    """The variables that a body names and that are not its own: copies of those with plain contents."""
    found: dict[str, Any] = {}
    for function, names, cells in _variables(workflow.fn):
        values = [(name, function.__globals__.get(name)) for name in names]
        values += [(name, _contents(cell)) for name, cell in cells]
        for name, value in values:
            if isinstance(value, _MUTABLE):
                found[name] = value.copy()
            elif isinstance(value, _PLAIN):
                found[name] = value
    return found


@lru_cache(maxsize=1024)
def _variables(body: Any) -> list[tuple[Any, list[str], list[tuple[str, CellType]]]]:
    """For a body, and for each part of it: its function, the globals that it names, and what it captured."""
    return [
        (
            function,
            [name for name in dict.fromkeys(_names(function.__code__)) if name in function.__globals__],
            list(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)),
        )
        for function in functions_of(body)
    ]


def _contents(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not assigned yet
        return _UNASSIGNED


_UNASSIGNED: Any = object()


def functions_of(function: Any) -> Iterator[Any]:
    """A body, and the generators of its module that it names: parts of workflows."""
    yield function
    for name in _names(function.__code__):
        part = function.__globals__.get(name)
        if inspect.isgeneratorfunction(part) and part is not function:
            yield part


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
