"""What a key or a priority is for one event.

`key_text` writes the value of a key so that it can be part of a name in a store: short, printable, and the same text
exactly for the same value. `priority_of` never fails, because a priority that cannot be worked out holds no run up;
it says what went wrong instead, for its caller to count.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import blake2b
from math import isfinite
from typing import Any

from ..errors import DefinitionError, ExpressionError
from ..expression import Expression, match_key
from .checks import KEY_VARIABLES
from .options import MAX_PRIORITY, Priority

Document = Mapping[str, Any]
"""An event as expressions see it (`events.event_document`)."""


def key_text(key: str | None, document: Document) -> str:
    """The value that the expression `key` has for an event, as text: JSON, or a hash of what is longer than 128.

    Equal exactly if the values are: 1 is 1.0, but neither `true` nor `"1"`. Without a key it is empty, which no value
    is. Raises `ExpressionError` when the expression fails on this event.

    >>> key_text("event.data.customer", {"data": {"customer": "c7"}})
    '"c7"'
    """
    if key is None:
        return ""
    value = _value(key, document)
    if not _is_json(value):
        raise ExpressionError(f"{key!r:.200}: it gives {value!r:.100}, which has no JSON form")
    text = match_key(value)
    return text if text.isprintable() else "#" + blake2b(text.encode(), digest_size=24).hexdigest()


def priority_of(priority: Priority | None, document: Document) -> tuple[int, str | None]:
    """The seconds by which an event's run goes first, from -600 to 600, and why they are 0 if that is an error.

    Nothing (a plain path to a field that is not there) is 0, and no error.

    >>> priority_of(Priority("event.data.rank"), {"data": {"rank": 1000}})
    (600, None)
    """
    if priority is None:
        return 0, None
    try:
        value = _value(priority.expression, document)
    except ExpressionError as error:
        return 0, str(error)
    match value:
        case None:
            return 0, None
        case int() if not isinstance(value, bool):
            return _clamped(value), None
        case float() if value.is_integer():
            return _clamped(int(value)), None
        case _:
            return 0, f"{priority.expression!r:.200}: it gives {value!r:.100}, which is no whole number"


def _clamped(seconds: int) -> int:
    return min(max(seconds, -MAX_PRIORITY), MAX_PRIORITY)


def _value(text: str, document: Document) -> Any:
    try:
        return _compiled(text).evaluate({"event": document})
    except DefinitionError as error:  # written by a flowgen that could read it
        raise ExpressionError(str(error)) from None


@lru_cache(maxsize=4096)
def _compiled(text: str) -> Expression:
    return Expression(text, KEY_VARIABLES, "expression")


def _is_json(value: Any) -> bool:
    """Whether a value has neither NaN nor infinity in it: CEL divides by zero, and JSON would call both null."""
    match value:
        case float():
            return isfinite(value)
        case list():
            return all(map(_is_json, value))
        case dict():
            return all(map(_is_json, value.values()))
        case _:
            return True
