"""Sagas: remember how to undo what was done, and undo it in reverse when it has to be.

A saga lives in the body and is made of steps like any other, so replay rebuilds it: nothing is stored
besides the steps' own records. Only what succeeded is undone; a step that failed has had no effect that
the saga could know of.

Refuses to know what a step does, and when to compensate: the body says that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs

from .commands import Command, Steps
from .commands.base import shown
from .errors import DefinitionError

R = TypeVar("R")


@attrs.define(eq=False)
class Saga:
    """Steps with their undoing.

    ::

        saga = Saga()
        try:
            seat = yield from saga.do(Run(book_seat, trip), undo=Run(free_seat, trip))
            paid = yield from saga.do(Run(charge, trip), undo=lambda paid: Run("refund", refund, paid["id"]))
        except StepError:
            yield from saga.compensate()
            raise
    """

    _undos: list[Command[Any]] = attrs.Factory(list)

    def do(self, command: Command[R], undo: Command[Any] | Callable[[R], Command[Any]]) -> Steps[R]:
        """Carry out `command` and give what it gives; once it succeeded, `undo` is remembered.

        `undo` is a command, or a function that makes one of what `command` gave.
        """
        if not isinstance(command, Command):
            raise DefinitionError(f"command of Saga.do: {shown(command)} is not a command; write Run(…)")
        if not isinstance(undo, Command) and not callable(undo):
            raise DefinitionError(f"undo of Saga.do: {shown(undo)} is not a command; write Run(…)")
        return self._do(command, undo)

    def _do(self, command: Command[R], undo: Command[Any] | Callable[[R], Command[Any]]) -> Steps[R]:
        result = yield from command
        self._undos.append(_made(undo, result))
        return result

    def compensate(self) -> Steps[None]:
        """Undo what was done, the newest first, each once.

        An undo that fails raises its `StepError` here. It counts as tried; calling `compensate` again
        goes on with the ones before it.
        """
        while self._undos:
            yield from self._undos.pop()


def _made(undo: Command[Any] | Callable[[R], Command[Any]], result: R) -> Command[Any]:
    if isinstance(undo, Command):
        return undo
    command = undo(result)
    if not isinstance(command, Command):
        raise DefinitionError(f"undo of Saga.do made {shown(command)}, which is not a command; return Run(…)")
    return command
