"""Paths into an event's document, and values as text to index them by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec

from ..errors import DefinitionError

Path = tuple[str, ...]

MAX_PATH = 1_000
MAX_KEY = 128

_ROOTS = ("event", "async")
_FIELDS = ("data", "name", "id", "ts")
_SEGMENT = re.compile(r"[A-Za-z0-9_$@-]+")

_write_sorted = msgspec.json.Encoder(order="sorted").encode


def parse_path(text: str, what: str = "path") -> Path:
    """The segments of a path into an event: `data.order_id`, with or without `event.` or `async.` before it.

    Raises `DefinitionError` with the position of what is wrong.
    """
    if not isinstance(text, str):
        raise DefinitionError(f'{what}: {text!r:.100} is no path; write it like "data.order_id"')
    return _parsed(text, what)


@lru_cache(maxsize=4096)
def _parsed(text: str, what: str) -> Path:
    if len(text) > MAX_PATH:
        raise DefinitionError(f"{what}: {len(text):,} characters; a path has at most {MAX_PATH:,}")
    segments = text.split(".")
    position = 1
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise DefinitionError(
                f"{what}: {text!r:.100} at character {position}: {segment!r} is no field name; "
                'write a path like "data.order_id"'
            )
        position += len(segment) + 1
    if segments[0] in _ROOTS:
        del segments[0]
    if not segments or segments[0] not in _FIELDS:
        raise DefinitionError(
            f"{what}: {text!r:.100} is no path into an event; it begins with {', '.join(_FIELDS)}: "
            f'write "data.{segments[-1] if segments else "order_id"}"'
        )
    return tuple(segments)


def value_at(document: Mapping[str, Any], path: Path) -> Any:
    """The value at a path; None where there is none."""
    value: Any = document
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def match_key(value: Any) -> str:
    """A JSON value as text, equal exactly if the values are: 1 is 1.0, but neither `True` nor `"1"`.

    At most 128 characters: what is longer is hashed.
    """
    key = f'"{value}"' if type(value) is str else _write_sorted(_normal(value)).decode()
    if len(key) <= MAX_KEY:
        return key
    return "#" + blake2b(key.encode(), digest_size=24).hexdigest()


def match_key_at(document: Mapping[str, Any], path: str) -> str:
    """The match key of the value that a document (`event_document`) has at a path."""
    return match_key(value_at(document, parse_path(path)))


def _normal(value: Any) -> Any:
    """The value with each whole number as an int, so that equal numbers are written equally."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_normal(item) for item in value]
        case dict():
            return {name: _normal(item) for name, item in value.items()}
        case _:
            return value
