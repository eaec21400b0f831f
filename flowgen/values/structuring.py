"""cattrs' hooks for what is read otherwise than msgspec does: unions, and classes with something special.

A union is read by what its members look like in JSON. Members that look alike (`datetime | str`) cannot be
told apart: that is refused when the hook is made, not when it first guesses wrong. Classes of a union are
told apart by their fields, which are always all written: the class that has just these; for a record of
an older class, the one most like it. Classes with equal fields need a `Literal` in each.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, cast

import cattrs
import msgspec
from cattrs.disambiguators import create_default_dis_func
from cattrs.errors import IterableValidationError, IterableValidationNote
from cattrs.preconf.msgspec import make_converter

from ..errors import DefinitionError
from .annotations import (
    DICTS,
    LEAVES,
    LISTS,
    bare,
    field_names,
    has_fields,
    hints_of,
    is_alias,
    is_model,
    is_named_tuple,
    is_union,
    looks_of,
    says_nothing,
    type_name,
)

Hook = Callable[[Any, Any], Any]

_write = msgspec.json.Encoder().encode


# -- unions ---------------------------------------------------------------------------------------


def _union_hook(annotation: Any) -> Hook:
    """Reads a union by the JSON type of the value; classes among its members by their fields."""
    members: dict[type, list[Any]] = {}
    for member in typing.get_args(annotation):
        for look in looks_of(member):
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


def _member_hook(union: Any, look: type, alike: list[Any]) -> Hook:
    """Reads the members of a union that look alike in JSON: one; Literals of it; or classes."""
    if all(typing.get_origin(bare(m)) is typing.Literal or bare(m) is look for m in alike):
        return _leaf_hook(typing.Union[tuple(alike)])
    if len(alike) == 1:
        return _hook(alike[0])
    if look is dict and all(field_names(m) for m in alike):
        return _class_hook(alike)
    names = " and ".join(type_name(m) for m in alike)
    raise DefinitionError(
        f"{type_name(union)} cannot be read back: {names} look alike in JSON. "
        "Wrap them in classes with different fields, or annotate the plain type"
    )


def _class_hook(classes: list[Any]) -> Hook:
    """Tells classes apart by the names of their fields."""
    by_fields = {field_names(c): c for c in classes}
    if len(by_fields) < len(classes):
        return _literal_hook(classes)
    hooks = {names: _hook(c) for names, c in by_fields.items()}

    def structure(value: dict[str, Any], _: Any) -> Any:
        hook = hooks.get(frozenset(value))
        return (hook or hooks[_closest(value, by_fields)])(value, None)

    return structure


def _closest(value: dict[str, Any], by_fields: Mapping[frozenset[str], Any]) -> frozenset[str]:
    """The class whose fields are most like the keys of a value that is of none of them exactly."""
    differences = {names: len(names ^ value.keys()) for names in by_fields}
    least = min(differences.values())
    closest = [names for names, difference in differences.items() if difference == least]
    if len(closest) > 1:
        raise ValueError("it may be any of " + ", ".join(type_name(by_fields[names]) for names in closest))
    return closest[0]


def _literal_hook(classes: list[Any]) -> Hook:
    """Tells classes with the same fields apart by one that is a `Literal` in each of them."""
    try:
        choose = create_default_dis_func(converter, *classes)
    except TypeError:
        names = " and ".join(map(type_name, classes))
        raise DefinitionError(
            f"{names} cannot be told apart in JSON: their fields have the same names. "
            'Give each a field such as `kind: Literal["a"] = "a"`'
        ) from None
    return lambda value, _: converter.structure(value, cast(Any, choose(value)))


# -- cattrs' hooks for what it reads otherwise than we write ---------------------------------------


def _hook(annotation: Any) -> Hook:
    """The hook of an annotation, bound to it."""
    hook = converter.get_structure_hook(annotation)
    return lambda value, _: hook(value, annotation)


def _leaf_hook(annotation: Any) -> Hook:
    return lambda value, _: msgspec.convert(value, annotation)


def _convert(value: Any, kind: Any) -> Any:
    """A leaf by msgspec, which coerces nothing. cattrs asks here for subclasses too, such as enums of int."""
    return msgspec.convert(value, kind)


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


def _named_tuple_hook(annotation: Any) -> Hook:
    """Named tuples, whose annotations cattrs would not resolve."""
    hints = hints_of(annotation)
    hooks = [_hook(hints.get(name, Any)) for name in annotation._fields]

    def structure(value: Any, _: Any) -> Any:
        if not isinstance(value, list) or len(value) > len(hooks):
            raise ValueError(f"expected an array of at most {len(hooks)}")
        return annotation(*(hook(item, None) for hook, item in zip(hooks, value, strict=False)))

    return structure


def _alias_hook(annotation: Any) -> Hook:
    return _hook(bare(annotation))


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
        (says_nothing, _plain_hook),
        (is_union, _union_hook),
        (_is_enum, _enum_hook),
        (is_model, _model_hook),
        (is_named_tuple, _named_tuple_hook),
        (is_alias, _alias_hook),
        (_is_bare_generic, _generic_hook),
        (_has_origin(LISTS - {list}), _list_hook),
        (_has_origin(DICTS), _dict_hook),
    ]
    for applies, factory in hooks:
        converter.register_structure_hook_factory(applies, factory)
    for leaf in LEAVES:
        converter.register_structure_hook(leaf, _convert)
    return converter


converter = _make_converter()
