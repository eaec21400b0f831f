"""The syntax tree of a compiled expression: which paths it reads, and what evaluating it may cost.

The CEL library says nothing about either, but it writes a compiled expression as bytes in CEL's published form
(`cel.expr.CheckedExpr`, protocol buffers). This module reads the few fields of it that it needs.

**Cost.** The library counts iterations (10,000 an evaluation) but not bytes, and frees nothing before the end: a
loop that doubles text, or that compares a large value again and again, would take all memory or minutes. So before an
expression with loops, sums or regular expressions is evaluated, `cost` bounds the bytes that it may touch, from the tree and
from the actual values. The unit is about a nanosecond. Sizes are totals over all executions of a
node: a loop's variable has, over all its rounds, the size of what the loop ranges over; anything
from outside the loop counts once for each round.

Refuses to know: how an expression is compiled or evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs
import msgspec

MAX_ITERATIONS = 10_000
_SCALAR = 8.0
_REGEX_BYTE = 60.0
_REGEX_COMPILE = 3_400.0
_REPETITION = re.compile(r"\{\d*,?(\d*)\}|\{(\d+)\}")
_SMALL_RESULTS = frozenset(
    "_==_ _!=_ _<_ _<=_ _>_ _>=_ @in _in_ !_ _&&_ _||_ @not_strictly_false contains startsWith endsWith matches size "
    "int uint double bool".split()
)

Path = tuple[str, ...]


@attrs.frozen
class Const:
    """A literal; `text` is its value if it is text."""

    size: int
    text: str | None = None


@attrs.frozen
class Ident:
    """A name: a variable of the expression, or of a loop."""

    name: str


@attrs.frozen
class Select:
    """`operand.field`, or `has(operand.field)`."""

    operand: Node
    field: str


@attrs.frozen
class Call:
    """A function or operator and all its arguments, the target of a method first."""

    function: str
    arguments: tuple[Node, ...]


@attrs.frozen
class Collect:
    """A list, map or message literal; a map's keys and values one after the other."""

    items: tuple[Node, ...]
    is_list: bool


@attrs.frozen
class Loop:
    """What the macros `all`, `exists`, `filter`, `map` become."""

    variables: tuple[str, ...]
    over: Node
    accumulator: str
    start: Node
    condition: Node
    step: Node
    result: Node


Node = Const | Ident | Select | Call | Collect | Loop


# -- reading --------------------------------------------------------------------------------------


def read_tree(serialized: bytes) -> Node:
    """The tree in what the library writes: an `Any` that holds a `CheckedExpr` or a `ParsedExpr`."""
    fields = _fields(serialized)
    root = 4 if fields[1][0].endswith(b"CheckedExpr") else 2
    return _node(_fields(fields[2][0])[root][0])


def _node(data: bytes) -> Node:
    fields = _fields(data)
    if 4 in fields:
        return Ident(_text(_fields(fields[4][0]), 1))
    if 5 in fields:
        select = _fields(fields[5][0])
        return Select(_node(select[1][0]), _text(select, 2))
    if 6 in fields:
        call = _fields(fields[6][0])
        return Call(_text(call, 2), tuple(map(_node, [*call.get(1, []), *call.get(3, [])])))
    if 7 in fields:
        return Collect(tuple(map(_node, _fields(fields[7][0]).get(1, []))), True)
    if 8 in fields:
        entries = map(_fields, _fields(fields[8][0]).get(2, []))
        return Collect(tuple(_node(part) for entry in entries for key in (3, 4) for part in entry.get(key, [])), False)
    if 9 in fields:
        return _loop(_fields(fields[9][0]))
    return _const(fields.get(3, [b""])[0])


def _loop(fields: dict[int, list[bytes]]) -> Loop:
    variables = tuple(_text(fields, number) for number in (1, 8) if number in fields)
    over, start, condition, step, result = (_node(fields[number][0]) for number in (2, 4, 5, 6, 7))
    return Loop(variables, over, _text(fields, 3), start, condition, step, result)


def _const(data: bytes) -> Const:
    fields = _fields(data)
    return Const(len(data), _text(fields, 6) if 6 in fields else None)


def _text(fields: dict[int, list[bytes]], number: int) -> str:
    return fields.get(number, [b""])[0].decode()


def _fields(data: bytes) -> dict[int, list[bytes]]:
    """The fields of one protocol buffer message by number; only those with a length have content."""
    found: dict[int, list[bytes]] = {}
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        length = 0
        match tag & 7:
            case 0:
                _, position = _varint(data, position)
            case 1:
                length = 8
            case 2:
                length, position = _varint(data, position)
            case 5:
                length = 4
        found.setdefault(tag >> 3, []).append(data[position : position + length])
        position += length
    return found


def _varint(data: bytes, position: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[position]
        position += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, position


# -- asking ---------------------------------------------------------------------------------------


def paths_of(tree: Node, bound: frozenset[str] = frozenset()) -> Iterator[Path]:
    """The paths that the tree reads, each from its variable on, as far down as it is fixed by the text."""
    path = _path(tree)
    if path is not None:
        if path[0] not in bound:
            yield path
        return
    match tree:
        case Loop():
            yield from paths_of(tree.over, bound)
            inside = bound | {*tree.variables, tree.accumulator}
            for part in (tree.start, tree.condition, tree.step, tree.result):
                yield from paths_of(part, inside)
        case _:
            for part in _parts(tree):
                yield from paths_of(part, bound)


def dynamic_patterns(tree: Node) -> bool:
    """Whether a regular expression in it comes from data."""
    if isinstance(tree, Call) and tree.function == "matches":
        pattern = tree.arguments[-1]
        if not (isinstance(pattern, Const) and pattern.text is not None):
            return True
    return any(map(dynamic_patterns, _parts(tree)))


def needs_bound(tree: Node) -> bool:
    """Whether its cost can be more than a small multiple of its values."""
    if isinstance(tree, Loop) or isinstance(tree, Call) and tree.function in ("matches", "_+_"):
        return True
    return any(map(needs_bound, _parts(tree)))


def cost(tree: Node, bindings: Mapping[str, Any]) -> float:
    """About how many nanoseconds evaluating the tree on these values takes at most; bytes, too."""
    return _Bound(bindings).total(tree)


def _parts(tree: Node) -> tuple[Node, ...]:
    match tree:
        case Select():
            return (tree.operand,)
        case Call():
            return tree.arguments
        case Collect():
            return tree.items
        case Loop():
            return (tree.over, tree.start, tree.condition, tree.step, tree.result)
        case _:
            return ()


def _path(tree: Node) -> Path | None:
    """The path that a node is, if it is one: names, and text in brackets."""
    match tree:
        case Ident():
            return (tree.name,)
        case Select():
            inner = _path(tree.operand)
            return None if inner is None else (*inner, tree.field)
        case Call("_[_]", (operand, Const(_, str() as key))):
            inner = _path(operand)
            return None if inner is None else (*inner, key)
        case _:
            return None


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
        path = _path(tree)
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
        size = _SCALAR * _product(rounds) + sum(self.visit(part, variables, rounds) for part in _parts(tree))
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
        path = _path(over)
        if path is not None and path[0] in self.bindings:
            value = self._value(path)
            return float(len(value)) if isinstance(value, list | dict) else 0.0
        if isinstance(over, Collect):
            return float(len(over.items))
        if isinstance(over, Loop):
            return self._length(over.over, size)
        return size

    def _value(self, path: Path) -> Any:
        value: Any = self.bindings
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        return value

    def _size(self, path: Path) -> float:
        if path not in self._sizes:
            self._sizes[path] = _SCALAR + len(msgspec.json.encode(self._value(path)))
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
