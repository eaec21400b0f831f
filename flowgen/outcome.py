"""What a step, a branch or a run came back with, as data.

Nothing here holds an exception, a traceback or a live object: a failure is a `Failure`, made once
where the exception was caught, so that it can be recorded, sent and compared.
"""

from __future__ import annotations

from typing import Generic, TypeVar

import attrs
import msgspec

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
