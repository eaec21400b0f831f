"""The exact way: any supported value in terms of what msgspec writes, each part of it checked.

One function for each family of classes, chosen by class and remembered. A refusal collects the path to
the culprit while it leaves, so the happy way pays nothing for it.

Refuses to know: how the result becomes bytes, except for the members of sets, which are sorted by theirs.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any
from uuid import UUID

import attrs
import msgspec

from ..outcome import Json
from .marks import LocalArgument, NotData, Secret

MAX_DEPTH = 64
MAX_DIGITS = 4_300

HELP = "use JSON values, attrs classes, dataclasses, pydantic models, enums, dates, Decimal, UUID or bytes"

_write_sorted = msgspec.json.Encoder(order="deterministic").encode


class Refused(Exception):
    """A value that cannot be written. On its way out it collects the path, from the inside."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trail: list[tuple[str, int]] = []

    def inside(self, part: str, container: Any) -> None:
        self.trail.append((part, id(container)))

    def culprit(self) -> tuple[str, str]:
        """The path and the reason. A container met twice on the way down is a cycle, named where it closes."""
        parts: list[str] = []
        seen: set[int] = set()
        for part, container in reversed(self.trail):
            if container in seen:
                return "$" + "".join(parts), "it contains itself: a cycle has no JSON form"
            seen.add(container)
            parts.append(part)
        return "$" + "".join(parts) if parts else "", self.reason


_Lower = Callable[[Any, int, bool], Any]


def lower(value: Any, levels: int, markers: bool) -> Any:
    """`value` in terms of what msgspec writes, each part of it checked.

    `levels` is how deep it may still go; with `markers`, `Local` and `Secret` are shown as marks.
    """
    kind: Any = type(value)
    return _lowering(kind)(value, levels, markers)


@lru_cache(maxsize=4096)
def _lowering(kind: type[Any]) -> _Lower:
    """How values of exactly this class are lowered."""
    for base, by_class in _BY_CLASS:
        if issubclass(kind, base):
            return by_class
    if attrs.has(kind):
        return _fields_lowering(tuple(field.name for field in attrs.fields(kind)))
    if dataclasses.is_dataclass(kind):
        return _fields_lowering(tuple(field.name for field in dataclasses.fields(kind)))
    pydantic = sys.modules.get("pydantic")
    if pydantic is not None and issubclass(kind, pydantic.BaseModel):
        return _lower_pydantic
    return _refuse_unknown


def _lower_text(value: str, levels: int, markers: bool) -> str:
    if "\x00" in value:
        raise Refused("text with a NUL character, which databases refuse")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise Refused(f"text with a lone surrogate ({value[error.start]!r}), which is no Unicode") from None
    return str.__str__(value)


def _lower_integer(value: int, levels: int, markers: bool) -> int:
    if value.bit_length() > 14_000 and abs(value) >= 10**MAX_DIGITS:
        raise Refused(f"an integer of more than {MAX_DIGITS:,} digits")
    return int(value)


def _lower_float(value: float, levels: int, markers: bool) -> float:
    plain = float(value)
    if plain != plain or plain in (float("inf"), float("-inf")):
        raise Refused(f"{plain} has no JSON form; return None, or text, instead")
    return plain


def _lower_decimal(value: Decimal, levels: int, markers: bool) -> str:
    if not value.is_finite():
        raise Refused(f"Decimal {value} has no JSON form; return None, or text, instead")
    return str(value)


def _lower_date(value: date, levels: int, markers: bool) -> date:
    return value if type(value) is date else date(value.year, value.month, value.day)


def _lower_datetime(value: datetime, levels: int, markers: bool) -> datetime:
    """JSON's datetimes have offsets of whole minutes; one with seconds is written in UTC."""
    offset = value.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        value = value.astimezone(UTC)
    if type(value) is datetime:
        return value
    return datetime.combine(
        date(value.year, value.month, value.day),
        time(value.hour, value.minute, value.second, value.microsecond, value.tzinfo, fold=value.fold),
    )


def _lower_time(value: time, levels: int, markers: bool) -> time:
    offset = value.utcoffset()
    if offset is not None and offset % timedelta(minutes=1):
        raise Refused(f"a time with a zone offset of {offset}: JSON's have whole minutes")
    return value


def _lower_duration(value: timedelta, levels: int, markers: bool) -> timedelta:
    return value if type(value) is timedelta else timedelta(value.days, value.seconds, value.microseconds)


def _lower_uuid(value: UUID, levels: int, markers: bool) -> str:
    return str(value)


def _lower_bytes(value: bytes | bytearray, levels: int, markers: bool) -> bytes:
    return bytes(value)


def _lower_enum(value: Enum, levels: int, markers: bool) -> Any:
    return lower(value.value, levels, markers)


def _lower_as_is(value: Any, levels: int, markers: bool) -> Any:
    return value


def _descend(levels: int) -> int:
    """The levels left inside a container."""
    if levels <= 0:
        raise Refused(f"more than {MAX_DEPTH} levels deep")
    return levels - 1


def _lower_sequence(value: Iterable[Any], levels: int, markers: bool) -> list[Any]:
    below = _descend(levels)
    lowered: list[Any] = []
    try:
        for item in value:
            lowered.append(lower(item, below, markers))
    except Refused as refused:
        refused.inside(f"[{len(lowered)}]", value)
        raise
    return lowered


def _lower_set(value: Iterable[Any], levels: int, markers: bool) -> list[Json]:
    """Sorted by the members' bytes, which are the same in every process; hash order is not."""
    lowered = (_write_sorted(member) for member in _lower_sequence(value, levels, markers))
    return [Json(data) for data in sorted(lowered)]


def _lower_mapping(value: Mapping[Any, Any], levels: int, markers: bool) -> dict[str, Any]:
    below = _descend(levels)
    lowered: dict[str, Any] = {}
    key: Any = None
    try:
        for key, item in value.items():
            name = _key(key)
            if name in lowered:
                raise Refused(f"two keys are written as {name!r}")
            lowered[name] = lower(item, below, markers)
    except Refused as refused:
        refused.inside(_step(key), value)
        raise
    return lowered


def _key(key: Any) -> str:
    """A key of a dict as text."""
    match key:
        case str() if not isinstance(key, Enum):
            return _lower_text(key, 0, False)
        case bool():
            pass
        case int() if not isinstance(key, Enum):
            return str(_lower_integer(key, 0, False))
        case Enum() if type(key.value) is str or type(key.value) is int:
            return _key(key.value)
        case UUID():
            return str(key)
        case date() if not isinstance(key, datetime):
            return key.isoformat()
    raise Refused(f"a key of type {class_name(type(key))}; keys are str, int, Enum, UUID or date")


def _fields_lowering(names: tuple[str, ...]) -> _Lower:
    """Lowers attrs classes and dataclasses: an object with their fields."""

    def lower_fields(value: Any, levels: int, markers: bool) -> dict[str, Any]:
        below = _descend(levels)
        lowered = {}
        name = ""
        try:
            for name in names:
                try:
                    item = getattr(value, name)
                except AttributeError:
                    raise Refused("this field was never set") from None
                lowered[name] = lower(item, below, markers)
        except Refused as refused:
            refused.inside(f".{name}", value)
            raise
        return lowered

    return lower_fields


def _lower_pydantic(value: Any, levels: int, markers: bool) -> Any:
    """A model by pydantic's own JSON form."""
    return lower(value.model_dump(mode="json", round_trip=True), levels, markers)


def _lower_secret(value: Secret[Any], levels: int, markers: bool) -> dict[str, bool]:
    if not markers:
        raise Refused("a Secret is never stored; open it with reveal() inside the step that needs it")
    return {"$secret": True}


def _lower_local(value: LocalArgument[Any], levels: int, markers: bool) -> dict[str, bool]:
    if not markers:
        raise Refused("Local(x) marks an argument of a step; it has no meaning here")
    return {"$local": True}


def _refuse_generator(value: Any, levels: int, markers: bool) -> Any:
    raise Refused(f"a {type(value).__name__} has no JSON form; return what it gives, such as list(…)")


def _refuse_not_data(value: NotData, levels: int, markers: bool) -> Any:
    raise Refused(f"a {type(value).__name__} has no JSON form; {value._instead}")


def _refuse_coroutine(value: Any, levels: int, markers: bool) -> Any:
    raise Refused("a coroutine has no JSON form; await it, and return what it gives")


def _refuse_unknown(value: Any, levels: int, markers: bool) -> Any:
    raise Refused(f"a {class_name(type(value))} has no JSON form; {HELP}")


_BY_CLASS: tuple[tuple[type | tuple[type, ...], _Lower], ...] = (
    ((bool, NoneType, msgspec.Raw), _lower_as_is),
    (Enum, _lower_enum),
    (str, _lower_text),
    (int, _lower_integer),
    (float, _lower_float),
    (Mapping, _lower_mapping),
    ((set, frozenset), _lower_set),
    ((list, tuple, deque), _lower_sequence),
    (datetime, _lower_datetime),
    (time, _lower_time),
    (date, _lower_date),
    (timedelta, _lower_duration),
    (UUID, _lower_uuid),
    ((bytes, bytearray), _lower_bytes),
    (Decimal, _lower_decimal),
    (Secret, _lower_secret),
    (LocalArgument, _lower_local),
    (NotData, _refuse_not_data),
    (Coroutine, _refuse_coroutine),
    ((Generator, AsyncGenerator), _refuse_generator),
)


def _step(key: Any) -> str:
    """One part of a path: `.name`, `[3]`, or `['odd name']`."""
    if isinstance(key, str) and key.isidentifier():
        return f".{key}"
    shown = repr(key)
    return f"[{shown if len(shown) <= 60 else shown[:59] + '…'}]"


def class_name(kind: type) -> str:
    """The name of a class, with its module unless it is a builtin."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
