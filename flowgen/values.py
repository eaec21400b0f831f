"""User values as JSON: results, arguments and event data on their way into a history.

`encode` writes any supported value by its runtime type; `decoder(annotation)` (module `decoders`) reads
it back as what the annotation says. What is written:

=========================================  ==========================================================
JSON scalars, list, dict                   themselves; integers of any size up to 4,300 digits
tuple, NamedTuple, deque, set, frozenset   an array (sets sorted by their encoded members)
attrs, dataclass, pydantic, TypedDict      an object with the fields
Enum                                       the member's value
datetime, date, time, timedelta            ISO 8601 text
Decimal, UUID                              text
bytes, bytearray                           base64 text
keys of a dict                             text; int, Enum, UUID and date keys are written as text
=========================================  ==========================================================

Rules: nothing is written that would not come back. So NaN and infinity, NUL characters and lone surrogates
(no database takes them), cycles, more than 64 levels and two keys that become one are refused, each
with the path to the culprit. A `Secret` is refused in results and events, and an argument shows only
that it is there. Equal values give equal bytes in every process: with `canonical` dicts are sorted too.

The hot path is a value made of plain lists, tuples, dicts and scalars: it is looked at once by type, and
written as it is. Only what is suspicious after that takes the slow and exact way through `_lower`.

Refuses to know: what is read (`decoders`), and what an argument means (`commands`).
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
from hashlib import blake2b
from itertools import repeat
from types import NoneType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar
from uuid import UUID

import attrs
import msgspec

from .decoders import decode, decoder, has_fields, return_annotation
from .errors import UnserializableError
from .outcome import Json

__all__ = [
    "MAX_DEPTH",
    "MAX_RESULT_BYTES",
    "PREVIEW_BYTES",
    "Json",
    "Local",
    "Secret",
    "call_arguments",
    "decode",
    "decoder",
    "digest",
    "encode",
    "encode_arguments",
    "has_fields",
    "preview",
    "return_annotation",
]

T = TypeVar("T")

MAX_RESULT_BYTES = 4 * 1024 * 1024
MAX_DEPTH = 64
MAX_DIGITS = 4_300
PREVIEW_BYTES = 4 * 1024

_DIGEST_BYTES = 12
_SHOWN_BYTES = 1_900
_SCALARS = frozenset({str, int, float, bool, NoneType})
_PLAIN = _SCALARS | {list, tuple, dict}
_STRING_KEYS = frozenset({str})

_write = msgspec.json.Encoder().encode
_write_sorted = msgspec.json.Encoder(order="deterministic").encode

_HELP = "use JSON values, attrs classes, dataclasses, pydantic models, enums, dates, Decimal, UUID or bytes"
_ARGUMENT_HELP = "; open it inside the step, or mark it Local(x)"


# -- marked arguments -----------------------------------------------------------------------------


class Secret(Generic[T]):
    """A value that is never shown, logged or stored in clear: open it inside the step with `reveal()`.

    As an argument of a step it is recorded as `{"$secret": true}`; its content does not enter the
    fingerprint. As a result, or in an event, it is refused.

    >>> Secret("hunter2")
    Secret(***)
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value = value

    def reveal(self) -> T:
        """The value itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret(***)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret cannot be pickled: pass what it is made from, and open it inside the step")


class _Local(Generic[T]):
    """An argument that is passed to the step but not recorded. See `Local`."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"Local({self.value!r})"


if TYPE_CHECKING:

    def Local(value: T) -> T:
        """Mark an argument of a step as not recorded, such as a client or a connection.

        It is typed as what it marks, and the step's function gets just that. After a crash the
        workflow's code makes it again; what it is does not enter the step's fingerprint.
        """
        ...
else:
    Local = _Local


# -- encoding -------------------------------------------------------------------------------------


def encode(value: Any, what: str, *, limit: int | None = MAX_RESULT_BYTES, canonical: bool = False) -> Json:
    """The JSON of `value`, by its runtime type; see the module's text for what is written how.

    `what` names the value in errors (`"result of step 'charge'"`). `limit` is its greatest size in bytes
    (None: any). With `canonical`, dicts are sorted, so that equal dicts give equal bytes.

    Raises `UnserializableError` with the path to what cannot be written. Never changes the argument and
    keeps no reference to it.
    """
    data = _encode(value, what, canonical, False)
    if limit is not None and len(data) > limit:
        raise UnserializableError(
            what, "", f"{len(data):,} bytes of JSON; at most {limit:,} are accepted. Store it elsewhere, pass a reference"
        )
    return Json(data)


def encode_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> Json:
    """The JSON `[[positional…], {named…}]` of a step's arguments, the named ones sorted.

    `Local` and `Secret` show only that they are there. Raises `UnserializableError` with the argument
    and the path in it.
    """
    try:
        return Json(_encode((args, kwargs if type(kwargs) is dict else dict(kwargs)), what, True, True))
    except UnserializableError:
        _name_argument(args, kwargs, what)
        raise


def call_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that the step's function is called with: each `Local` replaced by its value."""
    if _is_plain(args, MAX_DEPTH) and _is_plain(kwargs, MAX_DEPTH):
        return args, dict(kwargs)
    return tuple(map(_unwrapped, args, repeat(MAX_DEPTH))), {
        name: _unwrapped(value, MAX_DEPTH) for name, value in kwargs.items()
    }


def digest(kind: str, arguments: Json) -> str:
    """The fingerprint of a step: its command kind and its encoded arguments."""
    return blake2b(b"%b\x00%b" % (kind.encode(), bytes(arguments)), digest_size=_DIGEST_BYTES).hexdigest()


def preview(arguments: Json) -> Json:
    """The arguments as they are recorded: themselves up to 4 KiB, else text that shows how they begin."""
    data = bytes(arguments)
    if len(data) <= PREVIEW_BYTES:
        return arguments
    return Json(_write(data[:_SHOWN_BYTES].decode(errors="ignore") + "…"))


def _encode(value: Any, what: str, canonical: bool, markers: bool) -> bytes:
    """The bytes of `value`: as it is if it is plain and nothing in the text is suspicious."""
    write = _write_sorted if canonical else _write
    if _is_plain(value, MAX_DEPTH):
        try:
            data = write(value)
        except ValueError:
            pass
        else:
            if b"null" not in data and b"\\u0000" not in data:
                return data
    try:
        return write(_lower(value, MAX_DEPTH, markers))
    except _Refused as refused:
        path, reason = refused.culprit()
        raise UnserializableError(what, path, reason) from None
    except Exception as error:
        reason = f"reading this {_name(type(value))} raised {type(error).__name__}: {error}"
        raise UnserializableError(what, "", reason) from error


def _name_argument(args: tuple[Any, ...], kwargs: Mapping[str, Any], what: str) -> None:
    """Raise the error of the first argument that cannot be encoded, under its name."""
    named = [(f"args[{index}]", value) for index, value in enumerate(args)]
    for name, value in [*named, *kwargs.items()]:
        try:
            _encode(value, what, True, True)
        except UnserializableError as error:
            raise UnserializableError(what, name + error.path.removeprefix("$"), error.reason + _ARGUMENT_HELP) from None


def _unwrapped(value: Any, levels: int) -> Any:
    """`value` with each `Local` in it, also inside plain containers, replaced by what it marks."""
    kind = type(value)
    if kind is _Local:
        return value.value
    if kind not in _PLAIN or levels == 0 or _is_plain(value, levels):
        return value
    if kind is dict:
        return {key: _unwrapped(item, levels - 1) for key, item in value.items()}
    return kind(_unwrapped(item, levels - 1) for item in value)


# -- the fast look --------------------------------------------------------------------------------


def _is_plain(value: Any, levels: int) -> bool:
    """Whether JSON writes `value` as it is: scalars, lists, tuples and dicts with text keys only."""
    kind = type(value)
    if kind in _SCALARS:
        return True
    if levels == 0:
        return False
    if kind is dict:
        if value and set(map(type, value)) != _STRING_KEYS:
            return False
        items = value.values()
    elif kind is list or kind is tuple:
        items = value
    else:
        return False
    kinds = set(map(type, items))
    if kinds <= _SCALARS:
        return True
    if not kinds <= _PLAIN:
        return False
    return all(map(_is_plain, items, repeat(levels - 1)))


# -- the exact way --------------------------------------------------------------------------------


class _Refused(Exception):
    """A value that cannot be written. On its way out it collects the path, from the inside."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.trail: list[tuple[str, int]] = []

    def inside(self, part: str, container: Any) -> None:
        self.trail.append((part, id(container)))

    def culprit(self) -> tuple[str, str]:
        """The path and the reason. A container met twice on the way down is a cycle, named where it closes."""
        parts = []
        seen = set()
        for part, container in reversed(self.trail):
            if container in seen:
                return "$" + "".join(parts), "it contains itself: a cycle has no JSON form"
            seen.add(container)
            parts.append(part)
        return "$" + "".join(parts) if parts else "", self.reason


_Lower = Callable[[Any, int, bool], Any]


def _lower(value: Any, levels: int, markers: bool) -> Any:
    """`value` in terms of what msgspec writes, each part of it checked.

    `levels` is how deep it may still go; with `markers`, `Local` and `Secret` are shown as marks.
    """
    if levels < 0:
        raise _Refused(f"more than {MAX_DEPTH} levels deep")
    return _lowering(type(value))(value, levels - 1, markers)


@lru_cache(maxsize=4096)
def _lowering(kind: type) -> _Lower:
    """How values of exactly this class are lowered."""
    for base, lower in _BY_CLASS:
        if issubclass(kind, base):
            return lower
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
        raise _Refused("text with a NUL character, which databases refuse")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _Refused(f"text with a lone surrogate ({value[error.start]!r}), which is no Unicode") from None
    return str.__str__(value)


def _lower_integer(value: int, levels: int, markers: bool) -> int:
    if value.bit_length() > 14_000 and abs(value) >= 10**MAX_DIGITS:
        raise _Refused(f"an integer of more than {MAX_DIGITS:,} digits")
    return int(value)


def _lower_float(value: float, levels: int, markers: bool) -> float:
    plain = float(value)
    if plain != plain or plain in (float("inf"), float("-inf")):
        raise _Refused(f"{plain} has no JSON form; return None, or text, instead")
    return plain


def _lower_decimal(value: Decimal, levels: int, markers: bool) -> str:
    if not value.is_finite():
        raise _Refused(f"Decimal {value} has no JSON form; return None, or text, instead")
    return str(value)


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
        raise _Refused(f"a time with a zone offset of {offset}: JSON's have whole minutes")
    return value


def _lower_enum(value: Enum, levels: int, markers: bool) -> Any:
    return _lower(value.value, levels, markers)


def _lower_as_is(value: Any, levels: int, markers: bool) -> Any:
    return value


def _lower_sequence(value: Iterable[Any], levels: int, markers: bool) -> list[Any]:
    index = -1
    lowered = []
    try:
        for index, item in enumerate(value):
            lowered.append(_lower(item, levels, markers))
    except _Refused as refused:
        refused.inside(f"[{index}]", value)
        raise
    return lowered


def _lower_set(value: Iterable[Any], levels: int, markers: bool) -> list[Json]:
    """Sorted by the members' bytes, which are the same in every process; hash order is not."""
    lowered = (_write_sorted(member) for member in _lower_sequence(value, levels, markers))
    return [Json(data) for data in sorted(lowered)]


def _lower_mapping(value: Mapping[Any, Any], levels: int, markers: bool) -> dict[str, Any]:
    lowered: dict[str, Any] = {}
    key: Any = None
    try:
        for key, item in value.items():
            name = _key(key)
            if name in lowered:
                raise _Refused(f"two keys are written as {name!r}")
            lowered[name] = _lower(item, levels, markers)
    except _Refused as refused:
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
    raise _Refused(f"a key of type {_name(type(key))}; keys are str, int, Enum, UUID or date")


def _fields_lowering(names: tuple[str, ...]) -> _Lower:
    """Lowers attrs classes and dataclasses: an object with their fields."""

    def lower(value: Any, levels: int, markers: bool) -> dict[str, Any]:
        lowered = {}
        name = ""
        try:
            for name in names:
                try:
                    item = getattr(value, name)
                except AttributeError:
                    raise _Refused("this field was never set") from None
                lowered[name] = item if item is None else _lower(item, levels, markers)
        except _Refused as refused:
            refused.inside(f".{name}", value)
            raise
        return lowered

    return lower


def _lower_pydantic(value: Any, levels: int, markers: bool) -> Any:
    """A model by pydantic's own JSON form; its Python form is looked at too, as JSON's hides NaN."""
    plain = value.model_dump(mode="json", round_trip=True)
    _refuse_hidden(value.model_dump(mode="python", round_trip=True), levels)
    return _lower(plain, levels, markers)


def _refuse_hidden(value: Any, levels: int) -> None:
    """Refuse what pydantic's JSON form would hide: numbers that become null, and secrets."""
    match value:
        case float() | Decimal() | Secret():
            _lower(value, levels, False)
        case dict():
            _lower_sequence_of(value.items(), levels)
        case list() | tuple() | set() | frozenset():
            _lower_sequence_of(enumerate(value), levels)


def _lower_sequence_of(items: Iterable[tuple[Any, Any]], levels: int) -> None:
    for key, item in items:
        try:
            _refuse_hidden(item, levels)
        except _Refused as refused:
            refused.inside(_step(key), item)
            raise


def _lower_secret(value: Secret[Any], levels: int, markers: bool) -> dict[str, bool]:
    if not markers:
        raise _Refused("a Secret is never stored; open it with reveal() inside the step that needs it")
    return {"$secret": True}


def _lower_local(value: _Local[Any], levels: int, markers: bool) -> dict[str, bool]:
    if not markers:
        raise _Refused("Local(x) marks an argument of a step; it has no meaning here")
    return {"$local": True}


def _refuse_generator(value: Any, levels: int, markers: bool) -> Any:
    raise _Refused(f"a {type(value).__name__} has no JSON form; return what it gives, such as list(…)")


def _refuse_coroutine(value: Any, levels: int, markers: bool) -> Any:
    raise _Refused("a coroutine has no JSON form; await it, and return what it gives")


def _refuse_unknown(value: Any, levels: int, markers: bool) -> Any:
    raise _Refused(f"a {_name(type(value))} has no JSON form; {_HELP}")


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
    ((date, timedelta, UUID, bytes, bytearray), _lower_as_is),
    (Decimal, _lower_decimal),
    (Secret, _lower_secret),
    (_Local, _lower_local),
    (Coroutine, _refuse_coroutine),
    ((Generator, AsyncGenerator), _refuse_generator),
)


def _step(key: Any) -> str:
    """One part of a path: `.name`, `[3]`, or `['odd name']`."""
    if isinstance(key, str) and key.isidentifier():
        return f".{key}"
    shown = repr(key)
    return f"[{shown if len(shown) <= 60 else shown[:59] + '…'}]"


def _name(kind: type) -> str:
    """The name of a class, with its module unless it is a builtin."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
