"""What a step, a branch or a run came back with, as data.

Nothing here holds an exception, a traceback or a live object: a failure is a `Failure`, made once
where the exception was caught, so that it can be recorded, sent and compared.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import attrs
import msgspec

from .errors import StepError

T = TypeVar("T")

Json = msgspec.Raw
"""An encoded value: the bytes of one JSON document, decoded afresh by each reader."""

NULL = Json(b"null")


@attrs.frozen
class Failure:
    """An error as data.

    `type` is the class name (`"ValueError"`), `message` its text, `trace` the formatted traceback
    (empty when there is none to show) and `cause` the failure that it was raised from.
    """

    type: str
    message: str
    trace: str = ""
    cause: Failure | None = None

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@attrs.frozen
class Succeeded(Generic[T]):
    """A branch of `All(on_error="collect")` that returned `value`."""

    value: T


@attrs.frozen
class Failed:
    """A branch of `All(on_error="collect")` that failed with `failure`."""

    failure: Failure


@attrs.define  # one a step: unfrozen, because building it is on the hot path
class Returned:
    """A body that came back with a value, already encoded."""

    data: Json


@attrs.define
class Raised:
    """A body that raised. `retriable=False` ends the step; `retry_after` (microseconds) delays it."""

    failure: Failure
    retriable: bool = True
    retry_after: int | None = None


Outcome = Returned | Raised


@attrs.define
class Answered:
    """A call of a function that is elsewhere came back. It may tell of several steps, and not of the one it was for.

    `record(step, luck, pen)` writes what it means with the pen of a draft, for the step that the call was for.
    """

    record: Callable[[str, float, Any], None]


_MESSAGE_LENGTH = 16_384
_TRACE_LENGTH = 16_384
_TRACE_FRAMES = 20
_CAUSES = 4
_OWN = __file__.removesuffix("outcome.py")


def failure_of(error: BaseException, causes: int = _CAUSES) -> Failure:
    """An exception as data: the only place where an exception turns into a `Failure`."""
    cause = error.__cause__
    recorded = error.failure if isinstance(error, StepError) else None
    return Failure(
        type=type(error).__name__,
        message=_storable(_message(error), _MESSAGE_LENGTH),
        trace=_storable(_trace(error), _TRACE_LENGTH),
        cause=failure_of(cause, causes - 1) if cause is not None and causes > 0 else recorded,
    )


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:
        return f"<its message could not be made: {type(broken).__name__}>"


def _trace(error: BaseException) -> str:
    """The formatted traceback, without the frames of flowgen that led to the user's code."""
    frames = traceback.extract_tb(error.__traceback__)
    while frames and frames[0].filename.startswith(_OWN):
        del frames[0]
    return "".join(traceback.format_list(frames[-_TRACE_FRAMES:]))


def _storable(text: str, length: int) -> str:
    """Text that every store can keep: no NUL, no lone surrogate, not too long (the end is kept)."""
    text = text.replace("\x00", "\ufffd").encode("utf-8", "replace").decode()
    return text if len(text) <= length else "…" + text[-length:]
