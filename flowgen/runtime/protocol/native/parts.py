"""What the members are made of: structs read with care, JSON as text, failures."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from ....errors import UndecodableError
from ....outcome import Failure, Json
from ...strict_json import parse
from ..reading import MAX_DEPTH

Member = dict[str, Any]
T = TypeVar("T")


class FailureSaid(msgspec.Struct, omit_defaults=True):
    """A failure, whole, as our records have it."""

    type: str
    message: str
    trace: str = ""
    cause: FailureSaid | None = None


def failure_said(failure: Failure) -> FailureSaid:
    cause = None if failure.cause is None else failure_said(failure.cause)
    return FailureSaid(failure.type, failure.message, failure.trace, cause)


def failure_meant(said: FailureSaid) -> Failure:
    cause = None if said.cause is None else failure_meant(said.cause)
    return Failure(said.type, said.message, said.trace, cause)


def member_of(said: msgspec.Struct) -> Member:
    """The member that a struct stands for."""
    member: Member = msgspec.to_builtins(said)
    return member


def read(member: Any, kind: Any, what: str) -> Any:
    """A member as a struct of that kind; `what` it is, in errors."""
    try:
        return msgspec.convert(member, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise UndecodableError(f"{what} cannot be read: {error}") from error


def check_position(position: int, what: str) -> int:
    """The position of an event, if it can be one; `what` says so, in errors."""
    if not 0 <= position < 2**63:
        raise UndecodableError(f"{what} has {position} as the position of an event")
    return position


def text_of(value: Json) -> str:
    """JSON as text."""
    return bytes(value).decode()


def json_of(text: str) -> Json:
    """JSON that came as text: looked at here, because nobody looks at it again before it is kept."""
    try:
        data = text.encode()
        parse(data, "it", depth=MAX_DEPTH)
    except ValueError as error:
        raise UndecodableError(f"{text!r:.100} is not JSON: {error}") from error
    return Json(data)
