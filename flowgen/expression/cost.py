"""What evaluating an expression may cost, known before it is evaluated.

The CEL library counts iterations (10,000 an evaluation) but not bytes, and frees nothing before the end: a loop
that doubles text, or compares a large value again and again, would take all memory or minutes. So before
an expression with loops, sums or regular expressions is evaluated, `cost` bounds the bytes that it may touch, from
its tree and from the actual values.

The unit is about a nanosecond, or a byte. Sizes are totals over all executions of a node: a loop's variable
has, over all its rounds, the size of what the loop ranges over; anything from outside the loop
counts once for each round.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from .paths import Path, value_at
from .tree import Call, Collect, Const, Loop, Node, parts_of, path_of

MAX_ITERATIONS = 10_000
_SCALAR = 8.0
_REGEX_BYTE = 60.0
_REGEX_COMPILE = 3_400.0
_REPETITION = re.compile(r"\{\d*,?(\d*)\}|\{(\d+)\}")
_COMPARISONS = frozenset({"_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "@in", "contains", "startsWith", "endsWith"})
_LOGIC = frozenset({"!_", "_&&_", "_||_", "@not_strictly_false"})
_NUMBERS = frozenset({"size", "int", "uint", "double", "bool"})
_SMALL_RESULTS = _COMPARISONS | _LOGIC | _NUMBERS
_COSTLY = frozenset({"matches", "_+_"})


def needs_bound(tree: Node) -> bool:
    """Whether its cost can be more than a small multiple of its values."""
    costly = isinstance(tree, Loop) or (isinstance(tree, Call) and tree.function in _COSTLY)
    return costly or any(map(needs_bound, parts_of(tree)))


def cost(tree: Node, bindings: Mapping[str, Any]) -> float:
    """About how many nanoseconds evaluating the tree on these values takes at most; bytes, too."""
    return _Bound(bindings).total(tree)


_Variable = tuple[float, int]
"""The total size of a loop's variable, and the number of loops around its meaning."""


class _Bound:
    """One walk over the tree that adds up the work."""

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        self.bindings = bindings
        self.work = 0.0
        self._sizes: dict[Path, float] = {}

    def total(self, tree: Node) -> float:
        return self.visit(tree, {}, ()) + self.work

    def visit(self, tree: Node, variables: Mapping[str, _Variable], rounds: tuple[float, ...]) -> float:
        """The total size of the node's values over all its executions; its work is added on the way."""
        path = path_of(tree)
        if path is not None:
            return self._read(path, variables, rounds)
        match tree:
            case Const():
                return (tree.size + _SCALAR) * _product(rounds)
            case Loop():
                return self._loop(tree, variables, rounds)
            case Call("matches", (target, Const(_, str() as pattern))):
                compiling = _REGEX_COMPILE * _pattern_weight(pattern) * _product(rounds)
                self.work += compiling + _REGEX_BYTE * self.visit(target, variables, rounds)
                return _SCALAR * _product(rounds)
        size = _SCALAR * _product(rounds) + sum(self.visit(part, variables, rounds) for part in parts_of(tree))
        self.work += size
        return _SCALAR * _product(rounds) if isinstance(tree, Call) and tree.function in _SMALL_RESULTS else size

    def _read(self, path: Path, variables: Mapping[str, _Variable], rounds: tuple[float, ...]) -> float:
        if path[0] in variables:
            size, depth = variables[path[0]]
            return size * _product(rounds[depth:])
        return self._size(path) * _product(rounds)

    def _loop(self, loop: Loop, variables: Mapping[str, _Variable], rounds: tuple[float, ...]) -> float:
        size = self.visit(loop.over, variables, rounds)
        inside = (*rounds, min(self._length(loop.over, size), MAX_ITERATIONS))
        ranged = dict.fromkeys(loop.variables, (size, len(inside)))
        self.visit(loop.start, variables, rounds)
        known = {**variables, **ranged, loop.accumulator: (_SCALAR * _product(inside), len(inside))}
        self.visit(loop.condition, known, inside)
        grown = self.visit(loop.step, known, inside)
        return self.visit(loop.result, {**variables, loop.accumulator: (grown, len(rounds))}, rounds)

    def _length(self, over: Node, size: float) -> float:
        """How many rounds a loop over this makes at most."""
        path = path_of(over)
        if path is not None and path[0] in self.bindings:
            value = value_at(self.bindings, path)
            return float(len(value)) if isinstance(value, list | dict) else 0.0
        if isinstance(over, Collect):
            return float(len(over.items))
        if isinstance(over, Loop):
            return self._length(over.over, size)
        return size

    def _size(self, path: Path) -> float:
        if path not in self._sizes:
            self._sizes[path] = _SCALAR + len(msgspec.json.encode(value_at(self.bindings, path)))
        return self._sizes[path]


def _product(rounds: tuple[float, ...]) -> float:
    product = 1.0
    for count in rounds:
        product *= max(count, 1.0)
    return product


def _pattern_weight(pattern: str) -> float:
    """About how large the compiled pattern is: its length, times its counted repetitions."""
    weight = float(len(pattern) + 1)
    for match in _REPETITION.finditer(pattern):
        weight *= max(1, *(int(number or 0) for number in match.groups("0")))
    return weight
