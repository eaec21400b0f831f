"""Readers: what restores the recorded value of a step for its body.

A reader is made when its step is asked for, so that a result that could never be read is an error at the
`yield`, before anything was executed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec

from .commands import Invoke, WaitFor
from .errors import DefinitionError
from .events import AcceptedEvent, restore
from .outcome import Json
from .values import decode, decoder, return_annotation

Reader = Callable[[Json], Any]

_EVENT = msgspec.json.Decoder(AcceptedEvent)


class Readers:
    """The readers of one body's functions, each made once."""

    def __init__(self) -> None:
        self._by_function: dict[Any, Reader] = {}

    def of_function(self, fn: Any, step: str) -> Reader:
        """What restores the results of a step's function."""
        try:
            reader = self._by_function.get(fn)
        except Exception:  # a callable object without a hash
            return _decoder_of(return_annotation(fn), step)
        if reader is None:
            reader = self._by_function[fn] = _decoder_of(return_annotation(fn), step)
        return reader


def reader_of(command: Any) -> Reader:
    """What restores the recorded value of any command's step but a `Run`'s."""
    match command:
        case WaitFor(event_class=event_class):
            return partial(_event_or_none, event_class)
        case Invoke(returns=returns) if returns is not None:
            return _decoder_of(returns, command.id)
        case _:
            return decode


def _decoder_of(annotation: Any, step: str) -> Reader:
    try:
        return decoder(annotation)
    except DefinitionError as error:
        raise DefinitionError(f"the results of step {step!r}: {error}") from None
    except Exception as error:
        raise DefinitionError(f"the results of step {step!r} cannot be read: {error!r}") from error


def _event_or_none(event_class: type[Any] | None, data: Json) -> Any:
    return None if bytes(data) == b"null" else restore(_EVENT.decode(data), event_class)
