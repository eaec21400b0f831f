"""Reading what a stranger sent: bytes as JSON, JSON as objects with members of known kinds; and the errors for it.

Keys match whatever their case is, because the field's server reads them so and SDKs rely on it (`appname`). Members
that nobody knows are let pass: each SDK adds some. A member that is null counts as left out.

Every refusal is a `ProtocolError` whose `place` leads to the culprit, from the document on: `functions[2].triggers[0]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NoReturn

import msgspec

from ...outcome import Json
from ..strict_json import BadJson, parse

MAX_DEPTH: Final = 80
"""Values may be nested 64 levels deep, and stand inside of a few others."""

_SHOWN: Final = 100


class ProtocolError(Exception):
    """What came over the wire is not what the protocol says. `place` is where, `reason` what is wrong there."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason


class BadRequest(ProtocolError):
    """A server's request cannot be understood."""


class BadResponse(ProtocolError):
    """An app's answer cannot be understood."""


class BadRegistration(ProtocolError):
    """What an app says of itself cannot be understood, or is not accepted."""


class BadSignature(ProtocolError):
    """A signature that is none. The reason tells its sender what to mend, and nothing of the keys."""


class BadEvent(ProtocolError):
    """An event that is none."""


def read_json(body: bytes, what: str, error: type[ProtocolError]) -> Any:
    """The value of a JSON text that a stranger sent; `what` is its name in errors."""
    try:
        return parse(body, what, depth=MAX_DEPTH)
    except BadJson as bad:
        raise error(f"{what}{bad.path}", bad.message.removeprefix(what).lstrip(": ")) from None


def encoded(value: Any) -> Json:
    """The bytes of a plain JSON value that was read; `Json` as it is."""
    return value if isinstance(value, msgspec.Raw) else Json(_ENCODE(value))


def shown(value: Any) -> str:
    """A value for a message, shortened."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


class Members:
    """The members of an object. `place` is where it stands; refusals are of the class `error`."""

    __slots__ = ("_error", "_members", "place")

    def __init__(self, value: Any, place: str, error: type[ProtocolError]) -> None:
        if not isinstance(value, dict):
            raise error(place, f"must be an object, not {shown(value)}")
        self.place = place
        self._error = error
        self._members: dict[str, Any] = {key.lower(): member for key, member in value.items()}
        if len(self._members) < len(value):  # of names that differ in their capitals the first counts
            self._members = {key.lower(): member for key, member in reversed(value.items())}

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Refuse a member."""
        raise self._error(self.at(name), reason)

    def at(self, name: str) -> str:
        """Where a member stands; without a name, where the object does."""
        return f"{self.place}.{name}" if self.place and name else self.place or name

    def has(self, name: str) -> bool:
        """Whether a member is there, be it null."""
        return name.lower() in self._members

    def any(self, name: str) -> Any:
        """A member of any kind; None if it is left out."""
        return self._members.get(name.lower())

    def text(self, name: str, default: str | None = None, *, longest: int = 10_000) -> str | None:
        """A member that is text."""
        value = self._members.get(name.lower())
        if value is None:
            return default
        if not isinstance(value, str):
            self.refuse(name, f"must be text, not {shown(value)}")
        if len(value) > longest:
            self.refuse(name, f"has {len(value):,} characters; at most {longest:,} are accepted")
        return value

    def needed_text(self, name: str, *, longest: int = 10_000) -> str:
        """A member that is text, and must be there and not be empty."""
        value = self.text(name, longest=longest)
        if not value:
            self.refuse(name, "is missing" if value is None else "is empty")
        return value

    def number(self, name: str, default: int | None = None) -> int | None:
        """A member that is a whole number; `2.0` is one, because JavaScript knows no other."""
        value = self._members.get(name.lower())
        if value is None:
            return default
        if isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(name, f"must be a whole number, not {shown(value)}")
        return value

    def truth(self, name: str, default: bool = False) -> bool:
        """A member that is true or false."""
        value = self._members.get(name.lower())
        if value is None:
            return default
        if not isinstance(value, bool):
            self.refuse(name, f"must be true or false, not {shown(value)}")
        return value

    def items(self, name: str) -> list[Any]:
        """A member that is a list; empty if it is left out."""
        value = self._members.get(name.lower())
        if value is None:
            return []
        if not isinstance(value, list):
            self.refuse(name, f"must be a list, not {shown(value)}")
        return value

    def mapping(self, name: str) -> dict[str, Any]:
        """A member that is an object, its keys as they are written; empty if it is left out."""
        value = self._members.get(name.lower())
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.refuse(name, f"must be an object, not {shown(value)}")
        return value

    def members(self, name: str) -> Members | None:
        """A member that is an object."""
        value = self._members.get(name.lower())
        return None if value is None else Members(value, self.at(name), self._error)

    def each(self, name: str) -> Iterator[Members]:
        """The objects of a member that is a list of them."""
        for index, item in enumerate(self.items(name)):
            yield Members(item, f"{self.at(name)}[{index}]", self._error)


_ENCODE = msgspec.json.Encoder().encode
