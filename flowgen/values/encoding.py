"""Values into bytes: the doors `encode` and `encode_exactly`, and the fast look at plain values.

The hot path is a value made of plain lists, tuples, dicts and scalars: it is looked at once by type, and
written as it is. Only what is not plain, or suspicious after that, takes the exact way of `lowering`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..errors import UnserializableError
from ..outcome import Json
from .lowering import MAX_DEPTH, Refused, class_name, lower

MAX_RESULT_BYTES = 4 * 1024 * 1024

NUL = b"\\u0000"
BACKSLASH = NUL[0]
"""Asked for before `NUL`: hardly any text has one, and a byte is found ten times as fast as six."""

write = msgspec.json.Encoder().encode
write_sorted = msgspec.json.Encoder(order="deterministic").encode


def encode(value: Any, what: str, *, limit: int | None = MAX_RESULT_BYTES, canonical: bool = False) -> Json:
    """The JSON of `value`, by its runtime type; see the module's text for what is written how.

    `what` names the value in errors (`"result of step 'charge'"`). `limit` is its greatest size in bytes
    (None: any). With `canonical`, dicts are sorted, so that equal dicts give equal bytes.

    Raises `UnserializableError` with the path to what cannot be written. Never changes the argument and
    keeps no reference to it.
    """
    data = _encode(value, what, canonical)
    if limit is not None and len(data) > limit:
        raise UnserializableError(
            what,
            "",
            f"{len(data):,} bytes of JSON; at most {limit:,} are accepted. Store it elsewhere, pass a reference",
        )
    return Json(data)


def _encode(value: Any, what: str, canonical: bool) -> bytes:
    """The bytes of `value`: as it is if it is plain and nothing in the text is suspicious."""
    writer = write_sorted if canonical else write
    if all_plain((value,), MAX_DEPTH + 1):
        try:
            data = writer(value)
        except ValueError:  # a surrogate, or an integer too long
            return encode_exactly(value, what, writer, False)
        if BACKSLASH not in data or data.find(NUL) < 0:
            return data
    return encode_exactly(value, what, writer, False)


def encode_exactly(value: Any, what: str, writer: Callable[[Any], bytes], markers: bool) -> bytes:
    """The bytes of any supported value, each part of it checked; `UnserializableError` with the path otherwise."""
    try:
        return writer(lower(value, MAX_DEPTH, markers))
    except Refused as refused:
        path, reason = refused.culprit()
        raise UnserializableError(what, path, reason) from None
    except Exception as error:
        reason = f"reading this {class_name(type(value))} raised {type(error).__name__}: {error}"
        raise UnserializableError(what, "", reason) from error


def all_plain(items: Iterable[Any], levels: int) -> bool:
    """Whether each item is plain. A chain of `is` is the fastest way to ask, the most frequent types first."""
    for item in items:
        kind = type(item)
        if kind is str or kind is int or kind is bool or item is None:
            continue
        if kind is float:
            if item - item != 0.0:  # NaN and infinity
                return False
        elif kind is dict:
            if levels <= 1 or not (_all_text(item) and all_plain(item.values(), levels - 1)):
                return False
        elif kind is list or kind is tuple:
            if levels <= 1 or not all_plain(item, levels - 1):
                return False
        else:
            return False
    return True


def _all_text(keys: Iterable[Any]) -> bool:
    for key in keys:  # noqa: SIM110 - a generator expression costs twice as much
        if type(key) is not str:
            return False
    return True
