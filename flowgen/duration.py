"""Durations and instants: `int` microseconds inside, what people write at the surface.

A duration is written `"1h30m"`, `"250ms"`, as a number of seconds, or as a `timedelta`. Zero is allowed
and means at once. An instant is an aware `datetime` outside and microseconds since the epoch inside;
the conversion is exact both ways, because it never passes through a float.

Rules: units go from large to small, each at most once (`"30m1h"` is more likely a slip than a wish); a
bare number in text is refused, because nobody can tell its unit; months and years have no fixed length.

Refuses to know what time it is.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from functools import lru_cache

from .errors import DefinitionError

Micros = int
Instant = int

MILLISECOND: Micros = 1_000
SECOND: Micros = 1_000_000
MINUTE: Micros = 60 * SECOND
HOUR: Micros = 60 * MINUTE
DAY: Micros = 24 * HOUR
WEEK: Micros = 7 * DAY
MAX_DURATION: Micros = 366 * DAY
"""The longest sleep or timeout that a command accepts."""
MAX_SPAN: Micros = 10_000 * 366 * DAY
"""Longer than any two instants are apart: the `maximum` where the limit is somebody else's."""

UNITS: dict[str, Micros] = {
    "w": WEEK,
    "d": DAY,
    "h": HOUR,
    "m": MINUTE,
    "s": SECOND,
    "ms": MILLISECOND,
    "us": 1,
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PART = re.compile(r"([0-9]{1,18}(?:\.[0-9]{1,18})?)([a-zµ]+)\s*", re.ASCII)
_HELP = 'write it like "1h30m" or "250ms", as seconds, or as a timedelta'


def parse_duration(value: str | int | float | timedelta, what: str, *, maximum: Micros = MAX_DURATION) -> Micros:
    """The microseconds of a duration as a user writes it.

    `what` names it in errors (`"timeout of 'approval'"`); `maximum` is the longest that is accepted. A
    fraction of a microsecond is rounded to the nearest one.

    Raises `DefinitionError` for anything that is negative, not finite, too long or not a duration.

    >>> parse_duration("1h30m", "timeout")
    5400000000
    >>> parse_duration(0.25, "timeout")
    250000
    """
    micros = _micros(value, what)
    if micros < 0:
        raise DefinitionError(f"{what}: {value!r} is negative; a duration is zero or more")
    if micros > maximum:
        raise DefinitionError(f"{what}: {_shown(value)} is too long; at most {format_duration(maximum)} is accepted")
    return micros


def format_duration(micros: Micros) -> str:
    """The shortest text that `parse_duration` reads back as the same duration.

    >>> format_duration(5_400_000_000)
    '1h30m'
    """
    if micros == 0:
        return "0s"
    parts = ["-"] if micros < 0 else []
    rest = abs(micros)
    for unit, size in UNITS.items():
        if unit == "w":
            continue
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts)


def instant(value: datetime, what: str) -> Instant:
    """The microseconds since the epoch of an aware `datetime`.

    Raises `DefinitionError` for a naive one: which zone it means would be a guess.
    """
    if not isinstance(value, datetime):
        raise DefinitionError(f"{what}: {value!r} is not a datetime")
    if value.utcoffset() is None:
        raise DefinitionError(
            f"{what}: {value!r} has no time zone; write datetime(…, tzinfo=UTC) or use .astimezone() on it"
        )
    return (value - _EPOCH) // _MICROSECOND


def moment(at: Instant) -> datetime:
    """The aware UTC `datetime` of an instant, exact to the microsecond."""
    return _EPOCH + timedelta(microseconds=at)


def _micros(value: object, what: str) -> Micros:
    """Any accepted spelling as microseconds, sign and length not yet checked."""
    match value:
        case bool():
            raise DefinitionError(f"{what}: {value!r} is not a duration; {_HELP}")
        case str():
            return _parse(value, what)
        case timedelta():
            return value // _MICROSECOND
        case int():
            return value * SECOND
        case float():
            if value != value or value in (float("inf"), float("-inf")):
                raise DefinitionError(f"{what}: {value!r} is not a finite number of seconds")
            return round(Fraction(value) * SECOND)
        case _:
            raise DefinitionError(f"{what}: {_shown(value)} is not a duration; {_HELP}")


@lru_cache(maxsize=1024)
def _parse(text: str, what: str) -> Micros:
    """The microseconds of a text; errors say at which character it stops making sense."""
    stripped = text.strip()
    if not stripped:
        raise DefinitionError(f"{what}: {text!r} is empty; {_HELP}")
    position = text.index(stripped)
    end = position + len(stripped)
    total = Fraction(0)
    smallest = MAX_SPAN
    while position < end:
        part = _PART.match(text, position)
        if part is None:
            raise _bad(text, what, position, f"expected a number and a unit ({', '.join(UNITS)})")
        unit = UNITS.get(part[2])
        if unit is None:
            raise _bad(text, what, part.start(2), f"unknown unit {part[2]!r}; the units are {', '.join(UNITS)}")
        if unit >= smallest:
            raise _bad(text, what, part.start(), "units go from large to small, each at most once")
        total += Fraction(part[1]) * unit
        smallest = unit
        position = part.end()
    return round(total)


def _bad(text: str, what: str, position: int, reason: str) -> DefinitionError:
    return DefinitionError(f"{what}: {_shown(text)} at character {position + 1}: {reason}")


def _shown(value: object) -> str:
    """A value for a message, however long it is."""
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= 100 else text[:99] + "…"
