"""What a test expects a workflow to ask for, against what it asks for.

A command matches when it is of the same class with the same id and asks the same: arguments are compared
as they are recorded, so `Local` ones do not count; settings that the expected one leaves open match any.
"""

from __future__ import annotations

from typing import Any

import attrs

from ..commands import All, Command, Race, Restart, StepCommand
from ..commands.base import shown
from ..errors import DefinitionError, UnserializableError
from ..tree import Step

Expected = Command[Any] | type[Command[Any]]

_RECORDED = frozenset({"args", "kwargs", "data", "events", "event", "match", "where", "workflow", "signal"})
"""Fields of commands that their recorded arguments stand for."""

_IGNORED = frozenset({"id", "fn", "returns", "event_class"})


def check_expected(expected: Any) -> None:
    """Refuse what can never be asked for as one step."""
    kind = expected if isinstance(expected, type) else type(expected)
    if kind in (All, Race):
        raise DefinitionError(f"expect({kind.__name__}…): expect its branches instead, in any order")
    if kind is Restart:
        raise DefinitionError("expect(Restart…): it ends the run; look at script.restarted")
    if not issubclass(kind, StepCommand):
        raise DefinitionError(f"expect({shown(expected)}): say a command, such as Run('charge', charge), or its class")


def mismatch(expected: Expected, step: Step) -> str | None:
    """Why an open step is not the expected one; None if it is."""
    command = step.command
    if isinstance(expected, type):
        return None if isinstance(command, expected) else f"it is a {type(command).__name__}"
    if not isinstance(expected, StepCommand) or type(expected) is not type(command):
        return f"it is a {type(command).__name__}, not a {type(expected).__name__}"
    if expected.id != command.id:
        return f"its id is {command.id!r}, not {expected.id!r}"
    if (difference := _function(expected, command)) is not None:
        return difference
    try:
        wanted = bytes(expected.arguments())
    except UnserializableError as error:
        raise DefinitionError(f"expect({shown(expected)}): {error}") from error
    if wanted != bytes(step.arguments):
        return f"it asks with {bytes(step.arguments).decode()}, not {wanted.decode()}"
    return _settings(expected, command)


def _function(expected: Any, command: Any) -> str | None:
    """Functions are the same if they are one, or the same definition executed twice."""
    wanted, given = getattr(expected, "fn", None), getattr(command, "fn", None)
    if wanted is given or wanted == given or getattr(wanted, "__code__", 0) is getattr(given, "__code__", 1):
        return None
    return f"it calls {shown(given)}, not {shown(wanted)}"


def _settings(expected: Any, command: Any) -> str | None:
    for field in attrs.fields(type(command)):
        if field.name in _RECORDED or field.name in _IGNORED:
            continue
        wanted, given = getattr(expected, field.name), getattr(command, field.name)
        if wanted is not None and wanted != given:
            return f"its {field.name} is different: {shown(command)}, not {shown(expected)}"
    return None
