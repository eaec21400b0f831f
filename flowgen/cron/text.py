"""The text of a schedule: five fields, perhaps after a time zone, read into sorted values.

The fields are minute, hour, day of month, month and day of week, in UTC unless `TZ=Area/City ` comes first. A
field is `*`, a number, a name (`JAN`, `MON`), a range, or a list of those; `/n` takes every n-th value of a range
or of `*`, and `5/15` means from 5 to the end. Sunday is 0, 7 or `SUN`.

Rules: if day of month and day of week are both restricted, a day that fits either will do; only `*` (and `*/1`) is
no restriction. What other crons add (seconds, `@daily`, `?`, `L`, `W`, `#`, `H`, ranges that wrap around) is
refused, and so is a date that never comes: text that means something else to somebody else should not start
anything. Each refusal names the field, the place, counted from 1, and what to write.

Refuses to know what a tick is.
"""

from __future__ import annotations

import re
from datetime import UTC, tzinfo
from difflib import get_close_matches
from functools import cache, lru_cache
from zoneinfo import ZoneInfo, available_timezones

import attrs

from ..errors import DefinitionError

MAX_TEXT = 255


@attrs.frozen
class Written:
    """What a schedule says. `calendar` is its last three fields, with nothing in them but `*` and lists of numbers."""

    text: str
    zone: tzinfo
    runs_along: bool
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    calendar: str


@attrs.frozen
class Field:
    """One of the five: its name, and what it holds from `low` to `top`; numbers up to `high` begin again at `low`."""

    name: str
    low: int
    top: int
    high: int
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """How many different values there are."""
        return self.top - self.low + 1

    @property
    def accepted(self) -> str:
        """What may be written, for a message."""
        numbers = f"a number from {self.low} to {self.high}"
        return f"{numbers}, or {self.names[0]} to {self.names[-1]}" if self.names else numbers


MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
DAY_OF_MONTH = Field("day of month", 1, 31, 31)
FIELDS = (
    Field("minute", 0, 59, 59),
    Field("hour", 0, 23, 23),
    DAY_OF_MONTH,
    Field("month", 1, 12, 12, MONTHS),
    Field("day of week", 0, 6, 7, WEEKDAYS),
)
_SHORTER_MONTHS = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}
_EVERY = ("*", "*/1")

_HELP = 'write minute, hour, day of month, month and day of week, such as "0 9 * * MON"'
_NICKNAMES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MACHINES_OWN = frozenset({"localtime", "posixrules", "Factory"})
"""Names that zoneinfo may find, and that mean something else on each machine, or nothing."""


@attrs.frozen
class _Word:
    """A piece of the text, and where it begins, counted from 0."""

    text: str
    at: int


def read(text: str) -> Written:
    """What a schedule says; `DefinitionError` if it says nothing, or nothing that can ever happen."""
    if not isinstance(text, str):
        raise DefinitionError(f"cron {text!r:.100} is no text; {_HELP}")
    if len(text) > MAX_TEXT:
        raise DefinitionError(f"cron {text[:50]!r}… has {len(text)} characters; at most {MAX_TEXT} are accepted")
    return _read(text)


@lru_cache(maxsize=4096)
def _read(text: str) -> Written:
    words = [_Word(match[0], match.start()) for match in re.finditer(r"[^ \t]+", text)]
    prefix = [words.pop(0)] if words and "=" in words[0].text else []
    zone = _zone(text, prefix[0]) if prefix else UTC
    if len(words) != len(FIELDS):
        raise _wrong_number(text, words)
    values = [_values(text, field, word) for field, word in zip(FIELDS, words, strict=True)]
    fields = [word.text.upper() for word in words]
    return Written(
        text=" ".join([word.text for word in prefix] + fields),
        zone=zone,
        runs_along=fields[0].startswith("*") or fields[1].startswith("*"),
        minutes=values[0],
        hours=values[1],
        calendar=_calendar(text, words[2:], values[2:]),
    )


def _calendar(text: str, words: list[_Word], values: list[tuple[int, ...]]) -> str:
    """The days as plain lists; days of the month that never come are refused, or else left out."""
    fields = ["*" if word.text in _EVERY else _list(named) for word, named in zip(words, values, strict=True)]
    earliest, months = values[0][0], values[1]
    if earliest > max(_SHORTER_MONTHS.get(month, 31) for month in months):
        if fields[2] == "*":
            named = " and ".join(MONTHS[month - 1] for month in months)
            raise _refused(text, DAY_OF_MONTH.name, words[0], f"no day {earliest} in {named}: it would never tick")
        fields[0] = "*"  # croniter 6 finds no day at all where one of the two never comes
    return " ".join(fields)


def _list(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))


# -- a field --------------------------------------------------------------------------------------


def _values(text: str, field: Field, word: _Word) -> tuple[int, ...]:
    """The values that a field names, sorted."""
    values: set[int] = set()
    at = word.at
    for part in word.text.split(","):
        item = _Word(part, at)
        if part in _EVERY and part != word.text:
            raise _refused(text, field.name, item, f"that is every {field.name} already; write it alone")
        values.update(_item(text, field, item))
        at += len(part) + 1
    return tuple(sorted({value if value <= field.top else value - field.size for value in values}))


def _item(text: str, field: Field, item: _Word) -> range:
    """One member of a list: a value or a range, with or without a step."""
    span, slash, step = item.text.partition("/")
    low, high = _span(text, field, _Word(span, item.at), open_end=bool(slash))
    if high < low:
        raise _refused(text, field.name, item, f"it ends before it begins; {_unwrapped(field, low, high, slash)}")
    every = _step(text, field, _Word(step, item.at + len(span) + 1)) if slash else 1
    return range(low, high + 1, every)


def _span(text: str, field: Field, span: _Word, *, open_end: bool) -> tuple[int, int]:
    """The first and last value of what stands before a slash, or alone."""
    if span.text == "*":
        return field.low, field.top
    first, dash, last = span.text.partition("-")
    low = _value(text, field, _Word(first, span.at))
    if not dash:
        return low, max(low, field.top) if open_end else low
    high = _value(text, field, _Word(last, span.at + len(first) + 1))
    if last.upper() == WEEKDAYS[0] and low > 0:  # SAT-SUN; as a number it is written 6-7
        high = field.high
    return low, high


def _unwrapped(field: Field, low: int, high: int, slash: str) -> str:
    """How to write a range that goes past the end of its field."""
    if slash:
        return "list its values instead"
    parts = [(low, field.top), (field.low, high)]
    return f'write "{",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts if a <= b)}"'


def _value(text: str, field: Field, word: _Word) -> int:
    """A number or a name as the number it stands for."""
    capitals = word.text.upper()
    if capitals in field.names:
        return field.low + field.names.index(capitals)
    if re.fullmatch(r"[0-9]+", word.text) is None:
        raise _refused(text, field.name, word, f"expected {field.accepted}{_hint(field, capitals)}")
    value = int(word.text)
    if not field.low <= value <= field.high:
        raise _refused(text, field.name, word, f"out of range; expected {field.accepted}")
    return value


def _step(text: str, field: Field, word: _Word) -> int:
    """What comes after a slash."""
    step = int(word.text) if re.fullmatch(r"[0-9]+", word.text) else 0
    if not 1 <= step <= field.size:
        raise _refused(text, field.name, word, f"expected a step from 1 to {field.size}; it counts anew in each cycle")
    return step


def _hint(field: Field, capitals: str) -> str:
    """What somebody who writes this may have meant."""
    if capitals in ("?", ""):
        return "; write * for any"
    if "*" in capitals:
        return "; * stands alone, or before a slash"
    if capitals[:3] in field.names:
        return f"; write {capitals[:3]}"
    if re.fullmatch(r"[0-9A-Z]*[LWH#~][0-9A-Z]*|[HR]\(.*\)?", capitals):
        return "; L, W, #, H and ~ are not accepted: tick on each day it may be, and let the run look"
    return ""


# -- what is not five fields ----------------------------------------------------------------------


def _wrong_number(text: str, words: list[_Word]) -> DefinitionError:
    """The refusal of what does not have five fields, with what to write instead."""
    if not words:
        return DefinitionError(f"cron {text!r} is empty; {_HELP}")
    if words[0].text.startswith("@"):
        same = _NICKNAMES.get(words[0].text.lower())
        return _refused(text, "nickname", words[0], f'not accepted; write "{same}"' if same else f"unknown; {_HELP}")
    for word in words:
        if "=" in word.text:
            return _refused(text, "time zone", word, "it comes first, as TZ=Area/City and a space")
    if len(words) < len(FIELDS):
        return DefinitionError(f"cron {text!r} has {len(words)} of 5 fields, no {FIELDS[len(words)].name}; {_HELP}")
    known = "seconds and years are not supported" if len(words) <= 7 else "there are five fields"
    return _refused(text, f"field {len(FIELDS) + 1}", words[len(FIELDS)], f"{known}; {_HELP}")


def _zone(text: str, word: _Word) -> tzinfo:
    """The time zone of `TZ=Area/City`."""
    option, _, name = word.text.partition("=")
    if option != "TZ":
        raise _refused(text, "time zone", word, f"write TZ={name or 'Area/City'}")
    if name == "UTC":
        return UTC
    if name not in _zones():
        raise _refused(text, "time zone", _Word(name, word.at + len("TZ=")), f"there is no such zone; {_meant(name)}")
    return ZoneInfo(name)


def _meant(name: str) -> str:
    """The zones whose names come close to one that is none."""
    close = [zone for zone in _zones() if zone.lower() == name.lower()]
    close = close or get_close_matches(name, sorted(_zones()), n=3, cutoff=0.7)
    return f"did you mean {' or '.join(close)}?" if close else "write one such as Europe/Berlin or Asia/Tokyo"


@cache
def _zones() -> frozenset[str]:
    """The zones by their exact names, which a file system that ignores case would not insist on."""
    return frozenset(available_timezones() - _MACHINES_OWN)


def _refused(text: str, what: str, word: _Word, reason: str) -> DefinitionError:
    return DefinitionError(f"cron {text!r}: {what} at character {word.at + 1}: {word.text!r}: {reason}")
