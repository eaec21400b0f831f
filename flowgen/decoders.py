"""Recorded JSON back into values: a decoder for each annotation, made once.

`decoder(annotation)` gives a function from JSON to what the annotation says. Most annotations are read by
a typed msgspec decoder, in one pass over the bytes. The rest (unions of classes, private fields, odd enums,
pydantic models) is read by cattrs from the plain value.

Rules:

* An annotation that says nothing (none, `Any`, `object`, a type variable) gives the plain JSON value.
* Nothing is coerced: text is no number, `1.5` is no `int`. A whole number is a `float` where one is asked for.
* A union is read by what its members look like in JSON. Members that look alike (`datetime | str`) cannot be
  told apart: that is refused when the decoder is made, not when it first guesses wrong.
* Classes of a union are told apart by their fields, which `values` always writes all of: the class that has
  just these; for a record of an older class, the one that fits and shares most. Equal fields: by a `Literal`.

Refuses to know: how values are written (`values`).
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, TypeVar
from uuid import UUID

import attrs
import cattrs
import msgspec
from cattrs.disambiguators import create_default_dis_func
from cattrs.errors import IterableValidationError, IterableValidationNote, StructureHandlerNotFoundError
from cattrs.preconf.msgspec import make_converter

from .errors import DefinitionError, UndecodableError
from .outcome import Json

Decoder = Callable[[Json], Any]
Hook = Callable[[Any, Any], Any]

_TEXT = (str, bytes, bytearray, datetime, date, time, timedelta, Decimal, UUID)
_LEAVES = frozenset({bool, int, float, NoneType, *_TEXT})
_ANYTHING = (Any, object, typing.NoReturn, typing.Never)
_LISTS = frozenset(
    {list, collections.abc.Sequence, collections.abc.MutableSequence, collections.abc.Collection, collections.abc.Iterable}
)
_SETS = frozenset({set, frozenset, collections.abc.Set, collections.abc.MutableSet})
_DICTS = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})
_ARRAYS = _LISTS | _SETS | {tuple}
_SHOWN = 200

_write = msgspec.json.Encoder().encode

decode: Decoder = msgspec.json.Decoder().decode
"""The plain JSON value: dict, list, str, int, float, bool or None."""


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
    except TypeError:
        try:
            hash(annotation)
        except TypeError:
            return _make(annotation)
        raise


def return_annotation(function: Callable[..., Any]) -> Any:
    """What a function says it returns; `Any` if it says nothing, or nothing that can be resolved.

    Knows async functions, partials, methods and callable objects. An annotation `Awaitable[T]` gives T.
    """
    try:
        return _cached_return(function)
    except TypeError:  # a callable object that cannot be hashed
        return _return_of(function)


def _return_of(function: Any) -> Any:
    while isinstance(function, functools.partial):
        function = function.func
    if not (inspect.isroutine(function) or inspect.isclass(function)):
        function = getattr(type(function), "__call__", function)  # noqa: B004
    if inspect.isclass(function):
        return function
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception:
        return Any
    annotation = hints.get("return", Any)
    if typing.get_origin(annotation) in (collections.abc.Awaitable, collections.abc.Coroutine):
        return typing.get_args(annotation)[-1]
    return annotation


_cached_return = functools.lru_cache(maxsize=4096)(_return_of)


# -- making a decoder -----------------------------------------------------------------------------


def _make(annotation: Any) -> Decoder:
    if _says_nothing(annotation):
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
    """The plain value, structured by cattrs."""
    try:
        hook = _converter.get_structure_hook(annotation)
    except StructureHandlerNotFoundError as error:
        raise DefinitionError(f"values of type {type_name(annotation)} cannot be read from JSON: {error}") from None
    except NameError as error:
        raise DefinitionError(
            f"values of type {type_name(annotation)} cannot be read: its annotations cannot be resolved ({error})"
        ) from None

    def decode_structured(data: Json) -> Any:
        try:
            return hook(decode(data), annotation)
        except Exception as error:
            raise _undecodable(data, annotation, "; ".join(cattrs.transform_error(error, format_exception=_reason))) from error

    return decode_structured


def _reason(error: BaseException, kind: type | None) -> str:
    """One failure, in words, for cattrs' list of them."""
    if isinstance(error, KeyError):
        return f"required field {error} is missing"
    return str(error) or type(error).__name__


def _undecodable(data: Json, annotation: Any, reason: str) -> UndecodableError:
    text = bytes(data)[:_SHOWN + 1].decode(errors="replace")
    shown = text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
    return UndecodableError(f"the value {shown} does not fit {type_name(annotation)}: {reason}")


def has_fields(kind: Any) -> bool:
    """Whether it is a class with fields: attrs, dataclass or pydantic model."""
    return isinstance(kind, type) and (attrs.has(kind) or dataclasses.is_dataclass(kind) or _is_model(kind))


def type_name(annotation: Any) -> str:
    """An annotation as a reader would write it."""
    return annotation.__qualname__ if isinstance(annotation, type) and not typing.get_args(annotation) else str(annotation)


# -- what msgspec reads as we write it ------------------------------------------------------------


def _says_nothing(annotation: Any) -> bool:
    return annotation in _ANYTHING or isinstance(annotation, TypeVar) and annotation.__bound__ is None


def _is_native(annotation: Any, seen: set[Any]) -> bool:
    """Whether msgspec reads every part of `annotation` just as `values` writes it."""
    annotation = _bare(annotation)
    if annotation in _LEAVES or _says_nothing(annotation) or annotation in seen:
        return True
    seen = seen | {annotation}
    origin = typing.get_origin(annotation) or annotation
    arguments = [a for a in typing.get_args(annotation) if a is not ...]
    if origin is typing.Literal:
        return True
    if origin in _ARRAYS | _DICTS or _is_union(annotation):
        return all(_is_native(a, seen) for a in arguments)
    if not isinstance(origin, type):
        return False
    if issubclass(origin, Enum):
        return True
    return _is_record(origin) and all(_is_native(a, seen) for a in [*_hints(origin).values(), *arguments])


def _is_record(kind: type) -> bool:
    """Whether it is a class with fields that msgspec reads by their names (it skips private ones of attrs)."""
    if attrs.has(kind):
        return not any(field.name.startswith("_") for field in attrs.fields(kind))
    return dataclasses.is_dataclass(kind) or typing.is_typeddict(kind) or _is_named_tuple(kind)


def _hints(kind: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(kind)
    except NameError as error:
        raise DefinitionError(
            f"values of type {type_name(kind)} cannot be read: its annotations cannot be resolved ({error})"
        ) from None


def _bare(annotation: Any) -> Any:
    """The annotation without `Annotated`, `NewType`, `Required` and aliases around it."""
    while True:
        if annotation is None:
            return NoneType
        if typing.get_origin(annotation) in (typing.Annotated, typing.Required, typing.NotRequired, typing.Final):
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeVar) and annotation.__bound__ is not None:
            annotation = annotation.__bound__
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            return annotation


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _is_named_tuple(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def _is_model(kind: Any) -> bool:
    """Whether it is a pydantic model; nothing is one unless somebody imported pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


# -- unions ---------------------------------------------------------------------------------------


def _union_hook(annotation: Any) -> Hook:
    """Reads a union by the JSON type of the value; classes among its members by their fields."""
    members: dict[type, list[Any]] = {}
    for member in typing.get_args(annotation):
        for look in _looks(member):
            members.setdefault(look, []).append(member)
    if float in members:
        members.setdefault(int, members[float])
    hooks = {look: _member_hook(annotation, look, alike) for look, alike in members.items()}
    expected = " or ".join(look.__name__ for look in hooks)

    def structure(value: Any, _: Any) -> Any:
        hook = hooks.get(type(value))
        if hook is None:
            raise ValueError(f"expected {expected}, got {type(value).__name__}")
        return hook(value, _)

    return structure


def _looks(annotation: Any) -> set[type]:
    """The types of plain JSON values that values of `annotation` are written as."""
    annotation = _bare(annotation)
    origin = typing.get_origin(annotation) or annotation
    if _says_nothing(annotation):
        return {NoneType, bool, int, float, str, list, dict}
    if _is_union(annotation):
        return set[type]().union(*map(_looks, typing.get_args(annotation)))
    if origin is typing.Literal:
        return {type(value) for value in typing.get_args(annotation)}
    if origin in (bool, int, float, NoneType):
        return {origin}
    if origin in _TEXT:
        return {str}
    if isinstance(origin, type) and issubclass(origin, Enum):
        return {list if type(m.value) is tuple else type(m.value) for m in origin}
    if _is_model(origin) and getattr(origin, "__pydantic_root_model__", False):
        return _looks(origin.model_fields["root"].annotation)
    if isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset | collections.deque):
        return {list}
    return {list} if origin in _ARRAYS else {dict}


def _member_hook(union: Any, look: type, alike: list[Any]) -> Hook:
    """Reads the members of a union that look alike in JSON: one; Literals of it; or classes."""
    if all(typing.get_origin(_bare(m)) is typing.Literal or _bare(m) is look for m in alike):
        merged = typing.Union[tuple(alike)]  # noqa: UP007
        return lambda value, _: msgspec.convert(value, merged)
    if len(alike) == 1:
        return _hook(alike[0])
    if look is dict and all(_field_names(m) for m in alike):
        return _class_hook(alike)
    names = " and ".join(type_name(m) for m in alike)
    raise DefinitionError(
        f"{type_name(union)} cannot be read back: {names} look alike in JSON. "
        "Wrap them in classes with different fields, or annotate the plain type"
    )


def _class_hook(classes: list[Any]) -> Hook:
    """Tells classes apart by the names of their fields."""
    by_fields = {_field_names(c): c for c in classes}
    if len(by_fields) < len(classes):
        return _literal_hook(classes)
    hooks = {names: _hook(c) for names, c in by_fields.items()}

    def structure(value: dict[str, Any], _: Any) -> Any:
        hook = hooks.get(frozenset(value))
        return (hook or hooks[_closest(value, by_fields)])(value, None)

    return structure


def _closest(value: dict[str, Any], by_fields: Mapping[frozenset[str], Any]) -> frozenset[str]:
    """The class whose fields are most like the keys of a value that is of none of them exactly."""
    keys = frozenset(value)
    ranked = sorted(by_fields, key=lambda names: len(names ^ keys))
    if len(names_tied := [n for n in ranked if len(n ^ keys) == len(ranked[0] ^ keys)]) > 1:
        raise ValueError("it may be any of " + ", ".join(type_name(by_fields[n]) for n in names_tied))
    return ranked[0]


def _literal_hook(classes: list[Any]) -> Hook:
    """Tells classes with the same fields apart by one that is a `Literal` in each of them."""
    try:
        choose = create_default_dis_func(_converter, *classes)
    except TypeError:
        names = " and ".join(map(type_name, classes))
        raise DefinitionError(
            f"{names} cannot be told apart in JSON: their fields have the same names. "
            'Give each a field such as `kind: Literal["a"] = "a"`'
        ) from None
    return lambda value, _: _converter.structure(value, choose(value))


def _field_names(annotation: Any) -> frozenset[str]:
    """The names of the fields of a class; empty for what is none."""
    kind = _bare(annotation)
    kind = typing.get_origin(kind) or kind
    if not isinstance(kind, type):
        return frozenset()
    if attrs.has(kind):
        return frozenset(field.name for field in attrs.fields(kind))
    if dataclasses.is_dataclass(kind):
        return frozenset(field.name for field in dataclasses.fields(kind))
    if _is_model(kind):
        return frozenset(kind.model_fields)
    return frozenset()


# -- cattrs' hooks for what it reads otherwise than we write ---------------------------------------


def _hook(annotation: Any) -> Hook:
    """The hook of an annotation, bound to it."""
    hook = _converter.get_structure_hook(annotation)
    return lambda value, _: hook(value, annotation)


def _leaf_hook(annotation: Any) -> Hook:
    return lambda value, _: msgspec.convert(value, annotation)


def _plain_hook(annotation: Any) -> Hook:
    return lambda value, _: value


def _enum_hook(annotation: Any) -> Hook:
    """Members by the JSON of their values, whatever these are; flags by their number."""
    members = {_write(member.value): member for member in annotation}

    def structure(value: Any, _: Any) -> Any:
        member = members.get(_write(value))
        return annotation(value) if member is None else member

    return structure


def _model_hook(annotation: Any) -> Hook:
    """pydantic models by pydantic, from JSON, as its rules for JSON differ from those for Python values."""
    return lambda value, _: annotation.model_validate_json(_write(value), by_alias=True, by_name=True)


def _list_hook(annotation: Any) -> Hook:
    return _hook(list[typing.get_args(annotation)[0]])  # type: ignore[misc]


def _dict_hook(annotation: Any) -> Hook:
    """Dicts: JSON's keys are text, whatever they stand for."""
    key, value = typing.get_args(annotation)
    read_keys = functools.partial(msgspec.convert, type=dict[key, Any], str_keys=True)  # type: ignore[valid-type]
    read_value = _hook(value)

    def structure(found: Any, _: Any) -> Any:
        result, errors = {}, []
        for name, item in read_keys(found).items():
            try:
                result[name] = read_value(item, None)
            except Exception as error:
                error.__notes__ = [IterableValidationNote("in a dict", name, value)]
                errors.append(error)
        if errors:
            raise IterableValidationError("in a dict", errors, annotation)
        return result

    return structure


def _generic_hook(annotation: Any) -> Hook:
    """A generic class that is named without its parameters: they may be anything."""
    return _hook(annotation[(Any,) * len(annotation.__parameters__)])


def _is_bare_generic(annotation: Any) -> bool:
    return isinstance(annotation, type) and bool(getattr(annotation, "__parameters__", ())) and has_fields(annotation)


def _is_enum(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def _has_origin(origins: frozenset[Any]) -> Callable[[Any], bool]:
    return lambda annotation: typing.get_origin(annotation) in origins


def _make_converter() -> cattrs.Converter:
    converter = make_converter()
    hooks: list[tuple[Callable[[Any], bool], Callable[[Any], Hook]]] = [
        (_says_nothing, _plain_hook),
        (_is_union, _union_hook),
        (_is_enum, _enum_hook),
        (_is_model, _model_hook),
        (_is_bare_generic, _generic_hook),
        (_has_origin(_LISTS - {list}), _list_hook),
        (_has_origin(_DICTS), _dict_hook),
    ]
    for applies, factory in hooks:
        converter.register_structure_hook_factory(applies, factory)
    for leaf in _LEAVES:
        converter.register_structure_hook(leaf, _leaf_hook(leaf))
    return converter


_converter = _make_converter()
