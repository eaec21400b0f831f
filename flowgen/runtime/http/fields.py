"""Reading the fields of a JSON object that a stranger sent: each is of its kind, and none is unknown.

A field that is misspelt must not be taken for one that was left out. Every refusal has the JSON pointer of its culprit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final

from ..strict_json import pointed
from .problems import Problem

_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)


class Fields:
    """An object of a body. `allowed` are the fields that it may have; `path` is the pointer to it."""

    def __init__(self, document: Any, allowed: Iterable[str], path: str = "") -> None:
        names = list(allowed)
        if not isinstance(document, dict):
            raise _refused(f"this must be an object, not {kind_of(document)}", path)
        for name in document:
            if name not in names:
                raise _refused(f"there is no {name!r:.50} here: it takes {', '.join(names)}", f"{path}/{pointed(name)}")
        self._document: dict[str, Any] = document
        self._path = path

    def __contains__(self, name: str) -> bool:
        return name in self._document

    def place(self, name: str) -> str:
        """The pointer to a field."""
        return f"{self._path}/{name}"

    def any(self, name: str, default: Any = None) -> Any:
        """A field that may be anything."""
        return self._document.get(name, default)

    def text(self, name: str, longest: int = 1_000) -> str | None:
        """A field that is text, if it is there and not null."""
        value = self._document.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise _refused(f"{name} is text of 1 to {longest} characters, not {kind_of(value)}", self.place(name))
        return value

    def needed_text(self, name: str, longest: int = 1_000) -> str:
        """A field that is text, and must be there."""
        value = self.text(name, longest)
        if value is None:
            raise _refused(f"{name} is missing", self.place(name))
        return value

    def truth(self, name: str, default: bool) -> bool:
        """A field that is true or false."""
        value = self._document.get(name, default)
        if not isinstance(value, bool):
            raise _refused(f"{name} is true or false, not {kind_of(value)}", self.place(name))
        return value

    def mapping(self, name: str) -> dict[str, Any] | None:
        """A field that is an object, if it is there and not null."""
        value = self._document.get(name)
        if value is not None and not isinstance(value, dict):
            raise _refused(f"{name} is an object, not {kind_of(value)}", self.place(name))
        return value

    def time(self, name: str) -> datetime | None:
        """A field that is a time, if it is there and not null."""
        text = self.text(name, 64)
        return None if text is None else time_of(text, name, self.place(name))


def time_of(text: str, name: str, path: str) -> datetime:
    """A time with its zone, in ISO 8601."""
    with suppress(ValueError):
        time = datetime.fromisoformat(text)
        if time.utcoffset() is not None and _EARLIEST <= time <= _LATEST:
            return time
    message = f"{name}={text!r:.50}: say a time of 1970 to 2200 with its zone, such as 2026-01-31T12:00:00Z"
    raise Problem(400, "invalid_parameter", message, path)


def kind_of(value: Any) -> str:
    """What kind of JSON value it is, in words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a text" if value else "an empty text"
        case Mapping():
            return "an object"
        case _:
            return "a list"


def _refused(message: str, path: str) -> Problem:
    return Problem(400, "invalid_body", message, path)
