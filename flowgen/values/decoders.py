"""Recorded JSON back into values: a decoder for each annotation, made once.

`decoder(annotation)` gives a function from JSON to what the annotation says. Most annotations are read by
a typed msgspec decoder, in one pass over the bytes. The rest (unions of classes, private fields, odd enums,
pydantic models) is read by cattrs from the plain value.

Rules:

* An annotation that says nothing (none, `Any`, `object`, a type variable) gives the plain JSON value.
* Nothing is coerced: text is no number, `1.5` is no `int`. A whole number is a `float` where one is asked for.
* A union whose members cannot be told apart in JSON is refused when its decoder is made (`structuring`).

Refuses to know: how values are written (`encoding`).
"""

from __future__ import annotations

import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from enum import Enum
from typing import Any

import attrs
import msgspec

from ..errors import DefinitionError, UndecodableError
from ..outcome import Json
from .annotations import ARRAYS, DICTS, LEAVES, bare, hints_of, is_named_tuple, is_union, says_nothing, type_name

Decoder = Callable[[Json], Any]

_SHOWN = 200


def _fraction(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise msgspec.ValidationError(f"Number out of range: {text:.40}")
    return number


decode: Decoder = msgspec.json.Decoder(float_hook=_fraction).decode
"""The plain JSON value: dict, list, str, int, float, bool or None.

Fractions are read by Python, because msgspec takes a hundred times as long for one such as `1e300`.
"""


# -- the public doors -----------------------------------------------------------------------------


def decoder(annotation: Any) -> Decoder:
    """A function that reads JSON as `annotation` says; made once for each annotation.

    It raises `UndecodableError`, with the path and the value, for a value that does not fit. Raises
    `DefinitionError` at once for an annotation whose values cannot be read, or not be told apart.

    >>> sorted(decoder(set[int])(Json(b"[2,1]")))
    [1, 2]
    """
    try:
        return _cached_decoder(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return _make(annotation)


# -- making a decoder -----------------------------------------------------------------------------


def _make(annotation: Any) -> Decoder:
    if says_nothing(annotation):
        return decode
    if _is_native(annotation, set()):
        try:
            return _native(annotation)
        except TypeError:
            pass  # a combination that msgspec does not read: cattrs may
    return _structured(annotation)


_cached_decoder = functools.lru_cache(maxsize=4096)(_make)


def _native(annotation: Any) -> Decoder:
    """A typed msgspec decoder."""
    read = msgspec.json.Decoder(annotation).decode

    def decode_native(data: Json) -> Any:
        try:
            return read(data)
        except msgspec.ValidationError as error:
            raise _undecodable(data, annotation, str(error)) from None

    return decode_native


def _structured(annotation: Any) -> Decoder:
    """The plain value, structured by cattrs. Most programs never need it, so it is imported here."""
    import cattrs
    from cattrs.errors import StructureHandlerNotFoundError

    from .structuring import converter

    try:
        hook = converter.get_structure_hook(annotation)
    except StructureHandlerNotFoundError as error:
        reason = f"{type_name(error.type_)} has no JSON form that could be read back"
        raise DefinitionError(f"values of type {type_name(annotation)} cannot be read: {reason}") from None
    except (NameError, TypeError) as error:
        raise DefinitionError(f"values of type {type_name(annotation)} cannot be read: {error}") from None

    def decode_structured(data: Json) -> Any:
        try:
            return hook(decode(data), annotation)
        except Exception as error:
            raise _undecodable(
                data, annotation, "; ".join(cattrs.transform_error(error, format_exception=_reason))
            ) from error

    return decode_structured


def _reason(error: BaseException, kind: type | None) -> str:
    """One failure, in words, for cattrs' list of them."""
    if isinstance(error, KeyError):
        return f"required field {error} is missing"
    return str(error) or type(error).__name__


def _undecodable(data: Json, annotation: Any, reason: str) -> UndecodableError:
    text = bytes(data)[: _SHOWN + 1].decode(errors="replace")
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return UndecodableError(f"the value {shown} does not fit {type_name(annotation)}: {reason}")


# -- what msgspec reads as we write it ------------------------------------------------------------


def _is_native(annotation: Any, seen: set[Any]) -> bool:
    """Whether msgspec reads every part of `annotation` just as `encoding` writes it."""
    annotation = bare(annotation)
    if annotation in LEAVES or says_nothing(annotation) or annotation in seen:
        return True
    seen = seen | {annotation}
    origin = typing.get_origin(annotation) or annotation
    arguments = [a for a in typing.get_args(annotation) if a is not ...]
    if origin is typing.Literal:
        return True
    if origin in ARRAYS | DICTS or is_union(annotation):
        return all(_is_native(a, seen) for a in arguments)
    if not isinstance(origin, type):
        return False
    if issubclass(origin, Enum):
        return True
    return _is_record(origin) and all(_is_native(a, seen) for a in [*hints_of(origin).values(), *arguments])


def _is_record(kind: type) -> bool:
    """Whether it is a class with fields that msgspec reads by their names (it skips private ones of attrs)."""
    if attrs.has(kind):
        return not any(field.name.startswith("_") for field in attrs.fields(kind))
    return dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or is_named_tuple(kind)
