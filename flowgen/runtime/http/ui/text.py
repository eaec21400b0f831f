"""Values as people read them: durations, JSON in colours, and text in which nothing hides.

Pure: values in, text out.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from typing import Any, Final

import attrs
import msgspec

from ....duration import DAY, HOUR, MILLISECOND, MINUTE, SECOND

SHOWN: Final = 64 * 1024
"""So many characters of one value are shown on a page."""

ALL_SHOWN: Final = 512 * 1024
"""So many characters of all the values of a run's steps are shown on its page."""

COLOURED: Final = 16 * 1024
"""Longer JSON is shown without colours: a page of a hundred thousand spans helps nobody."""

_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]"
    "|[\ud800-\udfff]|[\U000e0000-\U000e007f]"
)

_UNITS: Final = ((DAY, "d", HOUR, "h"), (HOUR, "h", MINUTE, "m"), (MINUTE, "m", SECOND, "s"))


def brief(micros: int) -> str:
    """A duration with no more digits than people would say.

    >>> brief(850), brief(14_200), brief(2_447_000), brief(200_000_000), brief(90_000_000_000)
    ('<1ms', '14ms', '2.45s', '3m 20s', '1d 1h')
    """
    micros = max(0, micros)
    if micros < MILLISECOND:
        return "<1ms" if micros else "0ms"
    if micros < SECOND:
        return f"{micros // MILLISECOND}ms"
    if micros < MINUTE:
        digits = 2 if micros < 10 * SECOND else 1
        return f"{micros / SECOND:.{digits}f}".rstrip("0").rstrip(".") + "s"
    for unit, name, part, part_name in _UNITS:
        if micros >= unit:
            rest = micros % unit // part
            return f"{micros // unit}{name}" + (f" {rest}{part_name}" if rest else "")
    raise AssertionError(micros)


def visible(text: str) -> str:
    r"""The text with its invisible characters, and those that turn its direction, written as escapes.

    >>> visible("invoice\u202efdp.exe")
    'invoice\\u202efdp.exe'
    """
    return _HIDDEN.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def is_blank(text: str) -> bool:
    """Whether nothing of a text would be seen.

    >>> is_blank("  "), is_blank("\u3164"), is_blank("a")
    (True, True, False)
    """
    return all(unicodedata.category(c) in ("Zs", "Zl", "Zp") or c in "\u3164\u115f\u1160\uffa0 \t\n" for c in text)


def shortened(text: str, length: int) -> str:
    """The beginning of a text, if it is too long, with an ellipsis.

    >>> shortened("workflow", 5)
    'work…'
    """
    return text if len(text) <= length else text[: length - 1] + "…"


def one_line(value: Any, length: int = 120) -> str:
    """JSON data in one line, shortened; nothing for nothing.

    >>> one_line({"order": 7, "paid": True}), one_line({})
    ('order: 7, paid: true', '')
    """
    if isinstance(value, dict):
        parts, size = [], 0
        for key, item in value.items():
            part = f"{key}: {item if isinstance(item, str) else _compact(item, length)}"
            parts.append(part)
            size += len(part) + 2
            if size > length:
                break
        return shortened(", ".join(parts), length)
    return "" if value is None else shortened(value if isinstance(value, str) else _compact(value, length), length)


def compact(value: Any) -> str:
    """JSON data in one line, whole."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _compact(value: Any, length: int) -> str:
    if isinstance(value, (list, dict)) and len(value) > length:
        return f"[{len(value)} items]" if isinstance(value, list) else f"{{{len(value)} fields}}"
    return compact(value)


@attrs.frozen
class Token:
    """A piece of JSON text. `kind` is key, string, number, literal or plain."""

    kind: str
    text: str


@attrs.frozen
class Json:
    """A value as a page shows it. `cut` says that it is longer than what is shown."""

    text: str
    tokens: tuple[Token, ...]
    cut: bool = False


def indented(value: Any) -> str:
    """JSON data, indented. (`json` would take a second for what this does in a fiftieth of one.)"""
    return msgspec.json.format(compact(value), indent=2)


def shown_json(value: Any, longest: int = SHOWN) -> Json:
    """A value as JSON, indented, its tokens told apart."""
    text = indented(value)
    if len(text) > longest:
        return Json(text[:longest], (Token("plain", text[:longest]),), cut=True)
    if len(text) > COLOURED:
        return Json(text, (Token("plain", text),))
    return Json(text, tuple(_tokens(text)))


_TOKEN: Final = re.compile(
    r'(?P<key>"(?:[^"\\]|\\.)*"(?=\s*:))|(?P<string>"(?:[^"\\]|\\.)*")'
    r"|(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(?P<literal>true|false|null)"
)


def _tokens(text: str) -> Iterator[Token]:
    place = 0
    for found in _TOKEN.finditer(text):
        if found.start() > place:
            yield Token("plain", text[place : found.start()])
        yield Token(found.lastgroup or "plain", found[0])
        place = found.end()
    if place < len(text):
        yield Token("plain", text[place:])
