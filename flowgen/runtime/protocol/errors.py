"""An error on the wire (`UserError`), and as our histories have it (`Failure`).

Whatever an app sends as an error is one: nobody is helped if a step cannot fail because its error is written in an
odd way. So reading one never fails: what is left out is empty, a text alone is a message, and what is too long for a
history is cut as `failure_of` cuts it, at the front.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
import msgspec

from ...outcome import Failure, Json
from .reading import encoded

SHOWN_BODY: Final = 8 * 1024
"""Bytes that are kept of an answer which nobody understands."""

APP_AWAY: Final = "AppAway"
"""The type of the failure that a history has where a call reached nobody; nothing that an app answers is of it."""

APP_UNREACHABLE: Final = "AppUnreachable"
"""The type of the failure of a call that was not answered."""

_LONGEST: Final = 16_384
_CAUSES: Final = 4
_UNNAMED: Final = "Error"


@attrs.frozen
class UserError:
    """An error that code of an app raised. `data` is what it carries beside its message, if it does."""

    name: str
    message: str
    stack: str = ""
    data: Json | None = None
    cause: UserError | None = None


def read_error(value: Any, causes: int = _CAUSES) -> UserError:
    """The error that a JSON value means; JavaScript's `__serialized` errors are objects like any others."""
    if not isinstance(value, dict):
        return UserError(_UNNAMED, _text(value))
    members = {key.lower(): member for key, member in value.items()}
    cause = members.get("cause")
    data = members.get("data")
    return UserError(
        name=_text(members.get("name")) or _UNNAMED,
        message=_text(members.get("message")) or _text(members.get("error")),
        stack=_text(members.get("stack")),
        data=None if data is None else encoded(data),
        cause=None if cause is None or causes == 0 else read_error(cause, causes - 1),
    )


def error_to_json(error: UserError) -> dict[str, Any]:
    """The JSON of an error, for `msgspec`."""
    document: dict[str, Any] = {"name": error.name, "message": error.message, "stack": error.stack}
    if error.data is not None:
        document["data"] = error.data
    if error.cause is not None:
        document["cause"] = error_to_json(error.cause)
    return document


def failure_of(error: UserError) -> Failure:
    """What our histories keep of an error."""
    cause = None if error.cause is None else failure_of(error.cause)
    return Failure(error.name, error.message, error.stack, cause)


def error_of(failure: Failure) -> UserError:
    """A failure as the wire has it."""
    cause = None if failure.cause is None else error_of(failure.cause)
    return UserError(failure.type, failure.message, failure.trace, None, cause)


def readable(body: bytes) -> str:
    """What can be shown of a body that is no JSON: its first 8 KiB as text."""
    text = body[:SHOWN_BODY].decode(errors="replace").replace("\x00", "\ufffd")
    return text if len(body) <= SHOWN_BODY else text + "…"


def _text(value: Any) -> str:
    """A value as text, not too long: the end is kept."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= _LONGEST else "…" + text[-_LONGEST:]
