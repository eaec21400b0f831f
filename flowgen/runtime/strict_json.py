"""Reading JSON that a stranger sent.

Python's reader is generous: it takes NaN, infinities that a number runs into, the last of two equal keys, half of a
surrogate pair, UTF-16, and nesting until its own stack ends. Here each of these is refused, with the place,
before anything is done with the value; so is the character NUL, which some stores cannot keep.

A text is first read in C, in a few passes whose time grows with its length and with nothing else: who sends megabytes
of brackets gets no more of a server than who sends megabytes of text. Only if something is odd about it, it is looked
at again to say what and where, and of a large one only what.

Pure: bytes in, a value out or `BadJson`.
"""

from __future__ import annotations

import gc
import json
import math
import re
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final, NoReturn

import msgspec

from ..errors import InternalError

MAX_DEPTH: Final = 64
"""Values may be nested so deeply."""

LARGE: Final = 256 * 1024
"""Bytes of a text of which is said what is odd, but not where: to find the place takes seconds for a few megabytes."""

_MAX_DIGITS: Final = 4_300
"""What Python reads of an integer."""

_ODD: Final = object()
_NUL: Final = b"\\u0000"
_STEPS: Final = bytes.maketrans(b"[]{}", b"\x01\xff\x01\xff")
"""A bracket as the byte that says, read as a signed number, how many levels it goes down."""

_BLOCK: Final = 32_768
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
    value = _plain(body, depth)
    return _explained(body, what, depth) if value is _ODD else value


def _plain(body: bytes, depth: int) -> Any:
    """The value of a text about which nothing is odd, `_ODD` for any other.

    msgspec refuses all that is refused here but for three things: a key that is there twice, NUL, and nesting. It keeps
    one of two equal keys, so then the value, written again, has fewer strings than the text. Most texts were written as
    we write them.
    """
    try:
        value = _read(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _ODD
    written = _WRITE(value)
    if _NUL in body or (written != body and _strings(written) != _strings(body)) or _is_too_deep(body, depth):
        return _ODD
    return value


def _read(body: bytes) -> Any:
    """The value of a text. While a large one is read no garbage is looked for: to look at what is being made, again and
    again as it grows, takes several times as long as to make it."""
    paused = len(body) > LARGE and gc.isenabled()
    if paused:
        gc.disable()
    try:
        return _READ(body)
    finally:
        if paused:
            gc.enable()


def _strings(text: bytes) -> int:
    """Twice the number of strings in a JSON text, keys included: how many of its quotes are not escaped."""
    if b"\\" not in text:
        return text.count(b'"')
    text = text.replace(b"\\\\", b"")
    return text.count(b'"') - text.count(b'\\"')


def _without_escapes(text: bytes) -> bytes:
    """A JSON text in which each quote begins or ends a string. Escapes go from left to right, and are removed so."""
    return text.replace(b"\\\\", b"").replace(b'\\"', b"") if b"\\" in text else text


def _explained(body: bytes, what: str, depth: int) -> Any:
    """The value of a text that is odd, after all; or what is odd about it."""
    text = _text(body, what)
    if _is_too_deep(body, depth):
        raise BadJson("too_deep", f"{what} is nested too deeply: more than {depth} levels")
    if len(body) > LARGE:
        _refuse_in_short(body, what)
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


def _refuse_in_short(body: bytes, what: str) -> None:
    """What is odd about a large text, without its place; nothing if it only looked odd."""
    try:
        written = _WRITE(_read(body))
    except (msgspec.ValidationError, BadJson):
        raise BadJson("number_out_of_range", f"{what}: a number is too large, or has too many digits") from None
    except msgspec.MsgspecError as error:
        raise BadJson("invalid_json", f"{what} is not JSON: {error}") from None
    if _strings(body) != _strings(written):
        raise BadJson("duplicate_key", f"{what}: a key is there twice in one object; say it once")
    if _NUL in _without_escapes(written):
        raise BadJson("invalid_text", f"{what}: a text in it holds the character NUL, which cannot be kept")


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


def _is_too_deep(body: bytes, most: int) -> bool:
    """Whether a text is nested more deeply than it may be: one that is much more so would end Python's stack."""
    if body.count(b"[") + body.count(b"{") <= most:
        return False
    steps = memoryview(_outside_of_strings(body).translate(_STEPS)).cast("b")
    level = 0
    for begin in range(0, len(steps), _BLOCK):
        levels = list(accumulate(steps[begin : begin + _BLOCK], initial=level))
        if max(levels) > most:
            return True
        level = levels[-1]
    return False


def _outside_of_strings(body: bytes) -> bytes:
    """The brackets that are no part of a string.

    What is in a string has an odd number of quotes before it; two quotes side by side change that for nothing, so most
    strings vanish at once.
    """
    marks = _without_escapes(body).translate(None, _NO_MARKS).replace(b'""', b"")
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


_READ: Final = msgspec.json.Decoder(float_hook=_finite).decode
"""With Python's reader of fractions, because msgspec's own takes 25 microseconds for one such as `1e300`."""

_WRITE: Final = msgspec.json.Encoder().encode
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
