"""What the options of flow control have in common: numbers, durations, expressions, and how they are shown.

Each check gives the value as it is kept, or raises a `DefinitionError` that begins with `what`, the option's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, TypeAlias

from ..duration import Micros, format_duration, parse_duration
from ..errors import DefinitionError
from ..expression import check_expression

Span: TypeAlias = str | float | timedelta
"""A duration as users write it: `"1h30m"`, seconds, or a `timedelta`."""

KEY_VARIABLES = ("event",)
"""What keys and priorities read: the event that starts the run."""

_SHOWN = 100


def check_count(value: Any, what: str, greatest: int) -> int:
    """`value` if it is an int from 1 to `greatest`."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= greatest:
        raise DefinitionError(f"{what}: {shown(value)} is not an int from 1 to {greatest:,}")
    return value


def check_span(value: Any, what: str) -> Micros:
    """The microseconds of a duration that is not zero."""
    micros = parse_duration(value, what)
    if micros == 0:
        raise DefinitionError(f"{what}: {shown(value)} is no time at all; write a duration above zero, such as '30s'")
    return micros


def check_key(value: Any, what: str) -> str | None:
    """`value`, without space around it, if it is a key: an expression over `event`, or None."""
    return None if value is None else check_expression(value, KEY_VARIABLES, what).strip()


def check_choice(value: Any, what: str, choices: Sequence[str]) -> Any:
    """`value` if it is one of `choices`."""
    if not isinstance(value, str) or value not in choices:
        raise DefinitionError(f"{what}: {shown(value)} is neither {' nor '.join(map(repr, choices))}")
    return value


# -- text ------------------------------------------------------------------------------------------


def shown(value: object) -> str:
    """The repr of a value, shortened, whatever its `__repr__` does."""
    try:
        text = repr(value)
    except Exception:
        text = object.__repr__(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def written(name: str, *arguments: object, **options: object) -> str:
    """`Name(argument, …, option=value)`, as it can be pasted, without the options that are None."""
    given = [f"{option}={value!r}" for option, value in options.items() if value is not None]
    return f"{name}({', '.join([*map(repr, arguments), *given])})"


def spelled(micros: Micros | None) -> str | None:
    """A duration as text, for `written`."""
    return None if micros is None else format_duration(micros)
