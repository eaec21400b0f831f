"""Values of an annotation: what a step may return, and the fields of an event.

As in `flowgen.values`: what is drawn can be written as JSON, and is read back as it was. So floats are
finite, text has no NUL and no half surrogates, and times know their zone.

Refuses to know constraints that are no types: a class that refuses a value is asked again with another.
"""

from __future__ import annotations

import collections
import dataclasses
import typing
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from types import NoneType
from typing import Any
from uuid import UUID

import attrs
from hypothesis import reject
from hypothesis import strategies as st

from ...errors import DefinitionError
from ...values import has_fields
from ...values.annotations import (
    DICTS,
    LISTS,
    SETS,
    bare,
    hints_of,
    is_model,
    is_named_tuple,
    is_union,
    says_nothing,
    type_name,
)

Strategy = st.SearchStrategy[Any]

MOST_ITEMS = 4
MOST_CHARACTERS = 12

_INTEGERS = st.integers(-(2**63), 2**63 - 1)
_FLOATS = st.floats(allow_nan=False, allow_infinity=False)
_TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=MOST_CHARACTERS)
_DATES = st.dates(date(1980, 1, 1), date(2099, 12, 31))

_LEAVES: dict[Any, Strategy] = {
    NoneType: st.none(),
    bool: st.booleans(),
    int: _INTEGERS,
    float: _FLOATS,
    str: _TEXT,
    bytes: st.binary(max_size=MOST_CHARACTERS),
    bytearray: st.binary(max_size=MOST_CHARACTERS).map(bytearray),
    Decimal: st.decimals(-(10**12), 10**12, allow_nan=False, allow_infinity=False, places=2),
    datetime: st.datetimes(datetime(1980, 1, 1), datetime(2099, 12, 31), timezones=st.just(UTC)),
    date: _DATES,
    time: st.times(),
    timedelta: st.timedeltas(timedelta(days=-366), timedelta(days=366)),
    UUID: st.uuids(),
}


def json_values(max_leaves: int = 4) -> Strategy:
    """Any JSON value: None, booleans, numbers, text, and lists and objects of them.

    >>> json_values().validate()
    """
    leaves = st.none() | st.booleans() | _INTEGERS | _FLOATS | _TEXT
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=MOST_ITEMS) | st.dictionaries(_TEXT, inner, max_size=MOST_ITEMS),
        max_leaves=max_leaves,
    )


def values(annotation: Any) -> Strategy:
    """What fits an annotation and goes through JSON unchanged.

    `annotation` is what a step's function, or a field of an event, may be annotated with: JSON types, classes
    with fields, enums, times, unions, containers. Without one (`Any`, `object`) any JSON value fits. A class that
    refuses what it is built with (`ValueError`, `TypeError`) is built with something else.

    Raises `DefinitionError` for a type that no strategy is known for.

    >>> values(list[int] | None).validate()
    """
    try:
        return _cached(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return _strategy(annotation)


def _strategy(annotation: Any) -> Strategy:
    if says_nothing(annotation):
        return json_values()
    kind = bare(annotation)
    if is_union(kind):
        return st.one_of([values(member) for member in _simplest_first(typing.get_args(kind))])
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin in _LEAVES:
        return _LEAVES[origin]
    if (container := _container(origin, arguments)) is not None:
        return container
    if isinstance(origin, type) and issubclass(origin, Enum):
        return st.sampled_from(list(origin))
    if typing.is_typeddict(origin):
        return st.deferred(lambda: _typed_dict(origin))
    if has_fields(origin) or is_named_tuple(origin):
        return st.deferred(lambda: _instances(origin))
    raise DefinitionError(
        f"there is no strategy for values of type {type_name(annotation)}; give one yourself, such as "
        "st.builds(…) or st.just(…)"
    )


_cached = lru_cache(maxsize=1024)(_strategy)


def _simplest_first(members: tuple[Any, ...]) -> list[Any]:
    """Shrinking leads to the first member: nothing at all, if that is one."""
    return sorted(members, key=lambda member: bare(member) is not NoneType)


def _container(origin: Any, arguments: tuple[Any, ...]) -> Strategy | None:
    item = values(arguments[0]) if arguments else json_values()
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return st.lists(item, max_size=MOST_ITEMS).map(tuple)
        return st.tuples(*map(values, arguments)) if arguments else st.lists(item, max_size=MOST_ITEMS).map(tuple)
    if origin in LISTS:
        return st.lists(item, max_size=MOST_ITEMS)
    if origin is collections.deque:
        return st.lists(item, max_size=MOST_ITEMS).map(collections.deque)
    if origin in SETS:
        hashable = item if arguments else _TEXT
        return (st.frozensets if origin is frozenset else st.sets)(hashable, max_size=MOST_ITEMS)
    if origin in DICTS:
        key, value = (item, values(arguments[1])) if arguments else (_TEXT, json_values())
        return st.dictionaries(key, value, max_size=MOST_ITEMS)
    return None


# -- classes with fields ---------------------------------------------------------------------------


def _typed_dict(kind: Any) -> Strategy:
    hints = hints_of(kind)
    required = {name: values(hints[name]) for name in kind.__required_keys__}
    return st.fixed_dictionaries(required, optional={name: values(hints[name]) for name in kind.__optional_keys__})


def _instances(kind: type) -> Strategy:
    fields = {name: values(hint) for name, hint in _arguments(kind).items()}
    return st.fixed_dictionaries(fields).map(lambda arguments: _built(kind, arguments))


def _arguments(kind: Any) -> dict[str, Any]:
    """What a class is built with, and the annotation of each."""
    hints = hints_of(kind)
    if attrs.has(kind):
        return {field.alias or field.name: hints.get(field.name, Any) for field in attrs.fields(kind) if field.init}
    if dataclasses.is_dataclass(kind):
        return {field.name: hints.get(field.name, Any) for field in dataclasses.fields(kind) if field.init}
    if is_model(kind):
        return {field.alias or name: field.annotation for name, field in kind.model_fields.items()}
    return {name: hints.get(name, Any) for name in kind._fields}


def _built(kind: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    try:
        return kind(**arguments)
    except (ValueError, TypeError):
        reject()
