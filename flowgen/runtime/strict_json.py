"""Reading JSON that a stranger sent.

Python's reader is generous: it takes NaN, infinities that a number runs into, the last of two equal keys, half of a
surrogate pair, UTF-16, and nesting until its own stack ends. Here each of these is refused, with the place,
before anything is done with the value; so is the character NUL, which some stores cannot keep.

Pure: bytes in, a value out or `BadJson`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from typing import Any, Final, NoReturn

from ..errors import InternalError

MAX_DEPTH: Final = 64
"""Values may be nested so deeply."""

_MAX_DIGITS: Final = 4_300
"""What Python reads of an integer."""

_STRING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_NO_MARKS: Final = bytes(set(_NO_BRACKETS) - set(b'"'))
_SUSPICIOUS: Final = re.compile(rb"\\u(?:[dD][89a-fA-F]|0000)")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class BadJson(ValueError):
    """A text that is no JSON as it is read here. `code` is for programs, `path` a JSON pointer to the culprit.

    `at` is the character at which it stops being JSON, where it does.
    """

    def __init__(self, code: str, message: str, path: str = "", at: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.path = path
        self.at = at


def parse(body: bytes, what: str = "the body", *, depth: int = MAX_DEPTH) -> Any:
    """The value of a JSON text in UTF-8; `what` it is, for messages. Raises `BadJson`."""
    text = _text(body, what)
    _check_depth(body, what, depth)
    try:
        value = _DECODER.decode(text)
    except BadJson as bad:
        raise BadJson(bad.code, f"{what}: {bad.message}") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise BadJson("invalid_json", f"{what} is not JSON: {error.msg} at {place}", at=error.pos) from None
    except ValueError:
        raise BadJson("number_out_of_range", f"{what}: a number has more than {_MAX_DIGITS} digits") from None
    if _SUSPICIOUS.search(body):
        for path, found in _texts(value, ""):
            _check_text(path, found, what)
    return value


def _text(body: bytes, what: str) -> str:
    if not body.strip():
        raise BadJson("invalid_json", f"{what} is empty: send a JSON document")
    if body.startswith(b"\xef\xbb\xbf"):
        raise BadJson("invalid_json", f"{what} begins with a byte order mark: send plain UTF-8")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadJson("invalid_json", f"{what} is not UTF-8: byte {error.start} is {body[error.start]:#04x}") from None
    if "\0" in text:
        raise BadJson("invalid_json", f"{what} holds NUL bytes: send it as UTF-8")
    return text


def _check_depth(body: bytes, what: str, most: int) -> None:
    """Before it is read: a text that is nested too deeply would end Python's stack."""
    if body.count(b"[") + body.count(b"{") <= most:
        return
    depth = 0
    for bracket in _outside_of_strings(body):
        depth += 1 if bracket in b"[{" else -1
        if depth > most:
            raise BadJson("too_deep", f"{what} is nested too deeply: more than {most} levels")


def _outside_of_strings(body: bytes) -> bytes:
    """The brackets that are no part of a string.

    Without backslashes, what is in a string has an odd number of quotes before it; two quotes side by side change
    that for nothing, so most strings vanish at once.
    """
    if b"\\" in body:
        return _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    marks = body.translate(None, _NO_MARKS).replace(b'""', b"")
    return b"".join(marks.split(b'"')[::2])


def _no_constant(name: str) -> NoReturn:
    raise BadJson("number_out_of_range", f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise BadJson("number_out_of_range", f"the number {text:.40} is too large for a double")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise BadJson("duplicate_key", f"the key {_said_twice(pairs)!r:.100} is there twice in one object; say it once")
    return made


def _said_twice(pairs: list[tuple[str, Any]]) -> str:
    """The first key that is there again. One look at each: who sends the keys may have sent very many."""
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise InternalError("no key is there twice")


_DECODER: Final = json.JSONDecoder(parse_constant=_no_constant, parse_float=_finite, object_pairs_hook=_object)


def _texts(value: Any, path: str) -> Iterator[tuple[str, str]]:
    match value:
        case str():
            yield path, value
        case list():
            for index, item in enumerate(value):
                yield from _texts(item, f"{path}/{index}")
        case dict():
            for key, item in value.items():
                yield path, key
                yield from _texts(item, f"{path}/{pointed(key)}")


def _check_text(path: str, text: str, what: str) -> None:
    place = f"{what}: the text at {path or '/'}"
    if "\0" in text:
        raise BadJson("invalid_text", f"{place} holds the character NUL, which cannot be kept", path)
    if _SURROGATE.search(text):
        raise BadJson("invalid_text", f"{place} holds half of a surrogate pair", path)


def pointed(key: str) -> str:
    """A key as a part of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1").encode(errors="replace").decode()
