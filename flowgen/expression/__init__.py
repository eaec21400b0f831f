"""Conditions and keys over events: plain paths, read natively, and CEL for everything else.

A *path* leads to a value in an event's document (`{"name", "data", "id", "ts"}`): `data.order_id`. What is not
there is None. `match_key` writes any value as short text, equal exactly if the values are: it is what waits are
indexed by (`paths`).

An *expression* is a plain path over its variables (`event.data.cart_id`, missing is None), or CEL. In CEL a missing
path is an error; ask with `has()`. Its variables are `event` and, in the `where` of a wait, `async` (`compiled`).

Rules: an expression is compiled where it is defined, and what can be wrong with it is said there, with line and column
(`checked`).
On evaluation every failure is an `ExpressionError`, which concerns only the one trigger, wait or key. An
expression sees only the parts of the documents that its text names (`tree`), so that an odd value elsewhere cannot
poison it, and before it starts its work is bounded (`cost`), so a hostile one stops before it begins.
"""

from __future__ import annotations

from ..errors import ExpressionError
from .checked import check_expression
from .compiled import Expression
from .paths import Path, match_key, match_key_at, parse_path, value_at

__all__ = [
    "Expression",
    "ExpressionError",
    "Path",
    "check_expression",
    "match_key",
    "match_key_at",
    "parse_path",
    "value_at",
]
