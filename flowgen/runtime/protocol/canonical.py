"""Canonical JSON (RFC 8785): the bytes of a document that are signed, however it was written on the way.

Numbers are those of JavaScript: an integer beyond 2**53 becomes the nearest double, as in the field's server and
SDKs. So what is sent need not be canonical; its signature is made of what is.

Most documents have neither fractions nor keys beyond ASCII. Their canonical form is what the JSON encoder writes with
sorted keys, at a tenth of the cost; only the others take the exact way.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import rfc8785

from .reading import ProtocolError, read_json

_EXACT: Final = 2**53


def canonical(body: bytes, what: str = "the body", error: type[ProtocolError] = ProtocolError) -> bytes:
    """The canonical form of a JSON text. An empty one stays empty.

    Raises `error` for what is no JSON, or has a number that no double can hold.
    """
    if not body:
        return body
    value = read_json(body, what, error)
    if _is_plain(value):
        return _SORTED(value)
    try:
        return rfc8785.dumps(_in_doubles(value))
    except (rfc8785.CanonicalizationError, OverflowError) as bad:
        raise error(what, f"has no canonical form: {bad}") from None


def _is_plain(value: Any) -> bool:
    """Whether a value has only keys of ASCII, and only numbers that are written as their digits."""
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if kind is dict:
        return all(map(str.isascii, value)) and all(map(_is_plain, value.values()))
    if kind is list:
        return all(map(_is_plain, value))
    return kind is int and -_EXACT < value < _EXACT


def _in_doubles(value: Any) -> Any:
    """A value with its large integers as doubles."""
    match value:
        case bool():
            return value
        case int():
            return value if -_EXACT < value < _EXACT else float(value)
        case list():
            return [_in_doubles(item) for item in value]
        case dict():
            return {key: _in_doubles(item) for key, item in value.items()}
        case _:
            return value


_SORTED: Final = msgspec.json.Encoder(order="deterministic").encode
