"""Annotations as data: what they wrap, what they say, and what they would look like in JSON."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from types import NoneType
from typing import Any, TypeVar
from uuid import UUID

import attrs

from ..errors import DefinitionError

TEXT = (str, bytes, bytearray, datetime, date, time, timedelta, Decimal, UUID)
LEAVES: frozenset[Any] = frozenset({bool, int, float, NoneType, *TEXT})
LISTS: frozenset[Any] = frozenset(
    {
        list,
        collections.abc.Sequence,
        collections.abc.MutableSequence,
        collections.abc.Collection,
        collections.abc.Iterable,
    }
)
SETS: frozenset[Any] = frozenset({set, frozenset, collections.abc.Set, collections.abc.MutableSet})
DICTS: frozenset[Any] = frozenset({dict, collections.abc.Mapping, collections.abc.MutableMapping})
ARRAYS = LISTS | SETS | {tuple}

_ANYTHING = (Any, object, typing.NoReturn, typing.Never)
_WRAPPERS = (typing.Annotated, typing.Required, typing.NotRequired, typing.Final, typing.ClassVar)
_AWAITABLES = (collections.abc.Awaitable, collections.abc.Coroutine)


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
    if typing.get_origin(annotation) in _AWAITABLES:
        return typing.get_args(annotation)[-1]
    return annotation


_cached_return = functools.lru_cache(maxsize=4096)(_return_of)


def has_fields(kind: Any) -> bool:
    """Whether it is a class with fields: attrs, dataclass or pydantic model."""
    return isinstance(kind, type) and (attrs.has(kind) or dataclasses.is_dataclass(kind) or is_model(kind))


def type_name(annotation: Any) -> str:
    """An annotation as a reader would write it."""
    is_class = isinstance(annotation, type) and not typing.get_args(annotation)
    return annotation.__qualname__ if is_class else str(annotation)


def says_nothing(annotation: Any) -> bool:
    """Whether any value fits: `Any`, a type variable without a bound, or a union with one of these."""
    if is_union(annotation):
        return any(map(says_nothing, typing.get_args(annotation)))
    return annotation in _ANYTHING or (isinstance(annotation, TypeVar) and annotation.__bound__ is None)


def bare(annotation: Any) -> Any:
    """The annotation without `Annotated`, `NewType`, `Required` and aliases around it."""
    while True:
        if annotation is None:
            return NoneType
        if typing.get_origin(annotation) in _WRAPPERS:
            annotation = typing.get_args(annotation)[0]
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeVar) and annotation.__bound__ is not None:
            annotation = annotation.__bound__
        elif is_alias(annotation):
            annotation = annotation.__value__
        else:
            return annotation


def is_alias(annotation: Any) -> bool:
    """Whether it is a `type` statement's alias (Python 3.12, or typing_extensions)."""
    return type(annotation).__name__ == "TypeAliasType"


def is_union(annotation: Any) -> bool:
    """Whether it is `A | B`, however it is written."""
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def is_named_tuple(kind: Any) -> bool:
    """Whether it is a class of named tuples."""
    return isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields")


def is_model(kind: Any) -> bool:
    """Whether it is a pydantic model; nothing is one unless somebody imported pydantic."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def hints_of(kind: Any) -> dict[str, Any]:
    """The annotations of a class's fields, resolved; `DefinitionError` if they cannot be."""
    try:
        return typing.get_type_hints(kind)
    except NameError as error:
        raise DefinitionError(
            f"values of type {type_name(kind)} cannot be read: its annotations cannot be resolved ({error})"
        ) from None


def looks_of(annotation: Any) -> set[type]:
    """The types of plain JSON values that values of `annotation` are written as."""
    annotation = bare(annotation)
    origin = typing.get_origin(annotation) or annotation
    if is_union(annotation):
        return set[type]().union(*map(looks_of, typing.get_args(annotation)))
    if origin is typing.Literal:
        return {type(value) for value in typing.get_args(annotation)}
    if origin in (bool, int, float, NoneType):
        return {origin}
    if origin in TEXT:
        return {str}
    if isinstance(origin, type) and issubclass(origin, Enum):
        return {list if type(member.value) is tuple else type(member.value) for member in origin}
    if is_model(origin) and getattr(origin, "__pydantic_root_model__", False):
        return looks_of(typing.cast(Any, origin).model_fields["root"].annotation)
    if isinstance(origin, type) and issubclass(origin, list | tuple | set | frozenset | collections.deque):
        return {list}
    return {list} if origin in ARRAYS else {dict}


def field_names(annotation: Any) -> frozenset[str]:
    """The names of the fields of a class; empty for what is none."""
    kind = bare(annotation)
    kind = typing.get_origin(kind) or kind
    if not isinstance(kind, type):
        return frozenset()
    if attrs.has(kind):
        return frozenset(field.name for field in attrs.fields(kind))
    if dataclasses.is_dataclass(kind):
        return frozenset(field.name for field in dataclasses.fields(kind))
    return frozenset(getattr(kind, "model_fields", ())) if is_model(kind) else frozenset()
