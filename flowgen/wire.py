"""The JSON form of attrs values: one msgspec struct beside each class, made from its annotations.

msgspec reads attrs classes by itself, but not unions of them, and it writes every default. So each
class gets a *mirror*: a struct with the same fields, a tag if the class belongs to a union, and
defaults left out. Encoding is `mirror(*fields)` and one call of C; decoding is one typed call of C,
which checks every field and names the path of the one that does not fit, and `cls(*fields)`.
Measured on a step's outcome against msgspec on the attrs class: encoding 0.5 µs instead of 1.2,
decoding 1.0 instead of 1.7, and a sixth fewer bytes.

Rules:

* Equal values have equal bytes. msgspec leaves a default out when the value *is* that object, so only
  defaults that exist once in a process (None, small numbers, booleans, the empty string and tuple) are
  left out; every other field is always written. A default of a mirrored class is left out by `UNSET`, when
  the value equals it.
* A field nobody knows is refused, never dropped: it may be what a newer version relies on.
* A class whose own `__init__` checks what people write (`__attrs_init__` is beside it) is read back without
  that check: whoever wrote the document has made it, and the fields are in the units that are kept.
* An optional `Json` is absent when it is None, and may itself be null.

Refuses to know: which classes there are and what their tags mean (`codec`).
"""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import attrs
import msgspec

from .errors import InternalError, UndecodableError
from .outcome import Json

T = TypeVar("T")
Convert = Callable[[Any], Any]

_ABSENT = Json(b"null")
_LEFT_OUT = (None, False, True, "", ())
_SMALL = range(-5, 257)
_SHOWN = 200


@attrs.frozen
class Mirror:
    """How values of one type are written: the type that msgspec sees, and the way there and back.

    No `there` means that msgspec writes and reads the value itself.
    """

    type: Any
    there: Convert | None = None
    back: Convert | None = None


class Mirrors:
    """The mirrors of a family of classes, made as they are asked for.

    `tags` names the members of unions. `known` holds mirrors written by hand (recursive classes).
    """

    def __init__(self, tags: Mapping[type, str], known: Mapping[type, Mirror]) -> None:
        self._tags = tags
        self._known: dict[Any, Mirror] = dict(known)

    def of(self, annotation: Any) -> Mirror:
        """The mirror of a class, a union of classes, an optional one, or a tuple of them."""
        if annotation in self._known:
            return self._known[annotation]
        if isinstance(annotation, type) and attrs.has(annotation):
            mirror = self._known[annotation] = self._of_class(annotation)
            return mirror
        origin = get_origin(annotation)
        if origin in (Union, types.UnionType):
            return self._of_union(get_args(annotation))
        if origin is tuple and get_args(annotation)[1:] == (...,):
            return _of_tuple(self.of(get_args(annotation)[0]))
        return Mirror(annotation)

    def _of_class(self, cls: Any) -> Mirror:
        hints = get_type_hints(cls)
        mirrors = {field.name: _or_default(field, self.of(hints[field.name])) for field in attrs.fields(cls)}
        fields = [(f.name, mirrors[f.name].type, *_default(f, mirrors[f.name])) for f in attrs.fields(cls)]
        fields.sort(key=len)
        struct = msgspec.defstruct(
            cls.__name__,
            fields,
            tag=self._tags.get(cls),
            omit_defaults=True,
            forbid_unknown_fields=True,
            gc=False,
        )
        there = {name: m.there for name, m in mirrors.items() if m.there}
        back = {name: m.back for name, m in mirrors.items() if m.back}
        return Mirror(struct, _copier(struct, [f[0] for f in fields], there), _copier(cls, list(mirrors), back))

    def _of_union(self, members: tuple[Any, ...]) -> Mirror:
        if set(members) == {Json, type(None)}:
            return _OPTIONAL_JSON
        classes = [m for m in members if attrs.has(m)]
        if not classes:
            return Mirror(Union[members])
        mirrors = {cls: self.of(cls) for cls in classes}
        there: dict[Any, Convert] = {cls: m.there for cls, m in mirrors.items() if m.there}
        back: dict[Any, Convert] = {m.type: m.back for m in mirrors.values() if m.back}
        kinds = tuple(m.type for m in mirrors.values())
        if type(None) in members:
            kinds += (None,)
            there[type(None)] = back[type(None)] = _same
        return Mirror(Union[kinds], _dispatch(there), _dispatch(back))


class Form(Generic[T]):
    """The JSON form of one type. `what` names it in errors ("a history record")."""

    def __init__(self, mirrors: Mirrors, annotation: Any, what: str) -> None:
        mirror = mirrors.of(annotation)
        self._what = what
        self._there: Convert = mirror.there or _same
        self._back: Convert = mirror.back or _same
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(mirror.type).decode

    def encode(self, value: T) -> bytes:
        """The JSON document of `value`, as UTF-8."""
        return self._encode(self._there(value))

    def decode(self, data: bytes) -> T:
        """The value that `data` holds; raises `UndecodableError` with the path to what does not fit."""
        try:
            return self._back(self._decode(data))  # type: ignore[no-any-return]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise UndecodableError(f"{self._what} cannot be read: {error}\n  in: {_shown(data)}") from error


def _or_default(field: attrs.Attribute[Any], mirror: Mirror) -> Mirror:
    """The mirror of a field; where its default is of a mirrored class, a value equal to that is `UNSET`."""
    default, there, back = field.default, mirror.there, mirror.back
    if there is None or back is None or not attrs.has(type(default)):
        return mirror
    return Mirror(
        Union[mirror.type, msgspec.UnsetType],
        lambda value: msgspec.UNSET if value == default else there(value),
        lambda value: default if value is msgspec.UNSET else back(value),
    )


def _default(field: attrs.Attribute[Any], mirror: Mirror) -> tuple[Any, ...]:
    if mirror is _OPTIONAL_JSON:
        return (_ABSENT,)
    if msgspec.UnsetType in get_args(mirror.type):
        return (msgspec.UNSET,)
    if any(field.default is left_out for left_out in _LEFT_OUT):
        return (field.default,)
    if type(field.default) is int and field.default in _SMALL:
        return (field.default,)
    return ()


def _copier(target: Any, names: list[str], convert: Mapping[str, Convert]) -> Convert:
    """A function that makes a `target` of the attributes `names` of a value, some of them converted.

    It is compiled from the names, as attrs compiles `__init__`: a general one takes twice as long. Where
    `target` checks nothing when it is made or changed, it is filled without calling it, which halves it again.
    """
    fields = {name: f"convert_{name}(value.{name})" if name in convert else f"value.{name}" for name in names}
    if _is_unguarded(target):
        lines = ["made = new(target)", *(f"made.{name} = {field}" for name, field in fields.items()), "return made"]
    elif hasattr(target, "__attrs_init__"):
        lines = ["made = new(target)", f"made.__attrs_init__({', '.join(fields.values())})", "return made"]
    else:
        lines = [f"return target({', '.join(fields.values())})"]
    scope: dict[str, Any] = {f"convert_{name}": function for name, function in convert.items()}
    scope.update(target=target, new=object.__new__)
    exec("\n    ".join(["def copy(value):", *lines]), scope)
    copy: Convert = scope["copy"]
    return copy


def _is_unguarded(cls: Any) -> bool:
    """Whether an attrs class is no more than its fields: not frozen, no validators, nothing after `__init__`."""
    return attrs.has(cls) and cls.__setattr__ is object.__setattr__ and not hasattr(cls, "__attrs_post_init__")


def _of_tuple(item: Mirror) -> Mirror:
    kind: Any = tuple.__class_getitem__((item.type, ...))
    there, back = item.there, item.back
    if there is None or back is None:
        return Mirror(kind)
    return Mirror(kind, lambda values: tuple(map(there, values)), lambda values: tuple(map(back, values)))


def _dispatch(table: Mapping[Any, Convert]) -> Convert:
    def convert(value: Any) -> Any:
        function = table.get(type(value))
        if function is None:
            raise InternalError(f"no JSON form for {value!r}: it is none of {', '.join(t.__name__ for t in table)}")
        return function(value)

    return convert


def _same(value: Any) -> Any:
    return value


def _absent_if_none(value: Json | None) -> Json:
    return _ABSENT if value is None else value


def _none_if_absent(value: Json) -> Json | None:
    return None if value is _ABSENT else value


_OPTIONAL_JSON = Mirror(Json, _absent_if_none, _none_if_absent)


def _shown(data: bytes) -> str:
    text = bytes(data)[: 4 * _SHOWN].decode("utf-8", "backslashreplace")
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
