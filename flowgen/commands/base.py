"""What all commands share: that they can be yielded, their ids, their repr.

**Ids.** A step's id becomes part of a path (`ship/all:1/label:2`), so a name holds no `/`, does not end
in `:digits`, is 1 to 256 characters long and has no control characters or half surrogates. Names are
checked in `check_name`, which is on the hot path: it remembers the names that it has seen.

Commands are unfrozen attrs classes, because building a frozen one takes three times as long; nobody
changes one after it was made (`options` gives a changed copy).
"""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar, cast

import attrs

from ..errors import DefinitionError
from ..history import Kind
from ..outcome import NULL, Json
from ..values import NotData

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)
C = TypeVar("C", bound="Command[Any]")

MAX_NAME_LENGTH = 256


class Command(NotData, Generic[R_co]):
    """Anything that a workflow may yield; `R_co` is the type of what comes back."""

    __slots__ = ()

    _instead: ClassVar[str] = "yield it, and use what comes back"

    def __iter__(self) -> Generator[Command[Any], Any, R_co]:
        """What makes `x = yield from command` work, with a type."""
        result: R_co = yield self
        return result


class StepCommand(Command[R_co]):
    """A command that takes a place in the history of its run, under `id`."""

    __slots__ = ()

    kind: ClassVar[Kind]
    id: str

    def arguments(self) -> Json:
        """The part of the command that must not change between recording and replay, encoded.

        Durations and timeouts are not part of it: they may be tuned while runs are open.
        """
        return NULL


Steps: TypeAlias = Generator[Command[Any], Any, T]
"""The return type of a workflow, or of a part of one, that returns `T`."""

Branch: TypeAlias = Command[T] | Generator[Any, Any, T]
"""A branch of `All` or `Race`: a command, or a generator that yields commands."""


def check_name(name: object, what: str) -> str:
    """`name` if it can be part of a step's path; `what` says in the error whose name it is."""
    if type(name) is str:
        if name in _GOOD_NAMES:
            return name
        flaw = _flaw(name)
        if flaw is None:
            if len(_GOOD_NAMES) >= _REMEMBERED:
                _GOOD_NAMES.clear()
            _GOOD_NAMES.add(name)
            return name
        raise DefinitionError(f"{what}: {shown(name)} {flaw}")
    if isinstance(name, str):  # an enum of strings, or another subclass
        return check_name(str.__str__(name), what)
    raise DefinitionError(f"{what}: {shown(name)} is not a str")


_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_OCCURRENCE = re.compile(r":[0-9]+\Z")
_REMEMBERED = 4096
_GOOD_NAMES: set[str] = set()


def _flaw(name: str) -> str | None:
    """Why this is no name, or None."""
    if not name:
        return "is empty; give it a name that says what it does"
    if len(name) > MAX_NAME_LENGTH:
        return f"has {len(name)} characters; a name has at most {MAX_NAME_LENGTH}"
    if "/" in name:
        return "holds a '/', which separates the parts of a step's path; use another character"
    if _OCCURRENCE.search(name):
        return "ends like ':2', which is how flowgen numbers repeated steps; use another separator"
    if bad := _CONTROL.search(name):
        return f"holds the character {bad[0]!r}, which cannot be shown or stored; remove it"
    return None


def changed(command: C, **changes: Any) -> C:
    """A copy of a command with other attributes; those that are None stay as they are."""
    copy = object.__new__(type(command))
    for field in attrs.fields(cast(Any, type(command))):
        value = changes.get(field.name)
        setattr(copy, field.name, getattr(command, field.name) if value is None else value)
    return copy


# -- text ------------------------------------------------------------------------------------------


def shown(value: object, limit: int = 80) -> str:
    """The repr of a value, shortened, whatever its `__repr__` does."""
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def name_of(fn: object) -> str:
    """What a function is called where it is written."""
    name = getattr(fn, "__name__", None)
    return name if isinstance(name, str) else shown(fn)


def call_text(name: str, *arguments: str, **options: object) -> str:
    """`Name(argument, …, option=value)` without the options that are None."""
    given = [f"{key}={shown(value)}" for key, value in options.items() if value is not None]
    return f"{name}({', '.join([*arguments, *given])})"
