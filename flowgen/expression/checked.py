"""Expressions over events, checked where they are written: they read nothing that no event has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..errors import DefinitionError
from .compiled import Expression

EVENT_FIELDS = ("name", "data", "id", "ts")


def check_expression(value: Any, variables: Sequence[str], what: str) -> str:
    """`value` if it compiles and reads nothing that no event has.

    A plain path to nothing is null, and in CEL it fails on each event. That is meant for data: `event.customer_id`,
    where `event.data.customer_id` was meant, would be one key for all events, or a condition that never holds, and say
    nothing.
    """
    expression = Expression(value, variables, what)
    text = expression.text
    for path in sorted(expression.paths):
        if len(path) > 1 and path[1] not in EVENT_FIELDS:
            raise DefinitionError(
                f"{what}: {text!r:.200}{_place(text, path[0], path[1])}: an event has no {path[1]!r}, only "
                f"{', '.join(EVENT_FIELDS)}; write {'.'.join([path[0], 'data', *path[1:]])}"
            )
    return text


def _place(text: str, variable: str, field: str) -> str:
    """Where a text reads a field of a variable, as far as that can be found."""
    found = re.search(rf"\b{variable}\s*(?:\.\s*|\[\s*['\"]){re.escape(field)}\b", text)
    return f" at character {found.start() + 1}" if found else ""
