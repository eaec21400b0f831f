"""What an event of a class looks like: a document to begin with, and its fields with their types.

Pure, from annotations alone: nothing of a class is called, and an annotation that cannot be read is shown as it is.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final, Literal, Union, get_args, get_origin
from uuid import UUID

import attrs

from ....app import App
from ....values import has_fields

_DEPTH: Final = 4
_EXAMPLES: Final[Mapping[Any, Any]] = {
    str: "",
    int: 0,
    float: 0.0,
    bool: False,
    Decimal: "0",
    datetime: "2026-01-01T00:00:00+00:00",
    date: "2026-01-01",
    time: "00:00:00",
    timedelta: "PT0S",
    UUID: "00000000-0000-0000-0000-000000000000",
    bytes: "",
}


@attrs.frozen
class Field:
    """A field of an event's class, and the text of its type."""

    name: str
    type: str


@attrs.frozen
class Hint:
    """An event that workflows of this server start on. `example` has the fields of its class, if it has one."""

    name: str
    example: Any = None
    fields: tuple[Field, ...] = ()


def hints_of(apps: Iterable[App]) -> tuple[Hint, ...]:
    """The events that workflows of these apps start on, by name; patterns have none."""
    found: dict[str, Hint] = {}
    for app in apps:
        for workflow in app.workflows.values():
            for trigger in workflow.triggers:
                if trigger.name.endswith("*") or trigger.name.startswith("flowgen/"):
                    continue
                cls = trigger.event_class or workflow.class_of(trigger.name)
                if trigger.name not in found or found[trigger.name].example is None:
                    found[trigger.name] = _hint(trigger.name, cls)
    return tuple(found[name] for name in sorted(found))


def data_hint(cls: type[Any] | None) -> Hint:
    """The same for the data that a workflow is started with."""
    return _hint("", cls)


def _hint(name: str, cls: type[Any] | None) -> Hint:
    if cls is None or not has_fields(cls):
        return Hint(name)
    annotations = _annotations(cls)
    return Hint(name, example(cls), tuple(Field(field, type_text(of)) for field, of in annotations.items()))


def example(annotation: Any, depth: int = _DEPTH) -> Any:
    """A document that an annotation describes, with nothing in it.

    >>> example(list[int]), example(dict[str, int]), example(int | None)
    ([], {}, 0)
    """
    if annotation in _EXAMPLES if _hashable(annotation) else False:
        return _EXAMPLES[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return arguments[0]
    if origin in (Union, types.UnionType):
        return example(next(argument for argument in arguments if argument is not type(None)), depth)
    if origin is typing.Annotated:
        return example(arguments[0], depth)
    kind = origin or annotation
    if not isinstance(kind, type):
        return None
    if issubclass(kind, Enum):
        return next(iter(kind)).value if len(kind) else None
    if issubclass(kind, (list, tuple, set, frozenset)):
        return []
    if issubclass(kind, Mapping):
        return {}
    if has_fields(kind) and depth:
        return {name: example(of, depth - 1) for name, of in _annotations(kind).items()}
    return None


def type_text(annotation: Any) -> str:
    """A type as one writes it.

    >>> type_text(int | None), type_text(list[str])
    ('int | None', 'list[str]')
    """
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__name__
    return str(annotation).replace("typing.", "").replace("datetime.", "")


def _annotations(cls: type[Any]) -> dict[str, Any]:
    try:
        return {n: a for n, a in typing.get_type_hints(cls).items() if get_origin(a) is not typing.ClassVar}
    except Exception:  # an annotation that names what is not there is its author's business
        return dict(getattr(cls, "__annotations__", {}))


def _hashable(annotation: Any) -> bool:
    try:
        hash(annotation)
    except TypeError:
        return False
    return True
