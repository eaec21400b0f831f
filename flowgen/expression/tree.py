"""The syntax tree of a compiled expression, and the paths that it reads.

The CEL library says nothing about what it compiled, but it writes it as bytes in CEL's published form
(`cel.expr.CheckedExpr`, protocol buffers). This module reads the few fields of it that are needed.
"""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from .paths import Path


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
    """The fields of one protocol buffer message by number; CEL's form has no 32-bit ones. Varints have no content."""
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
    path = path_of(tree)
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
            for part in parts_of(tree):
                yield from paths_of(part, bound)


def dynamic_patterns(tree: Node) -> bool:
    """Whether a regular expression in it comes from data."""
    if isinstance(tree, Call) and tree.function == "matches":
        pattern = tree.arguments[-1]
        if not (isinstance(pattern, Const) and pattern.text is not None):
            return True
    return any(map(dynamic_patterns, parts_of(tree)))


def parts_of(tree: Node) -> tuple[Node, ...]:
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


def path_of(tree: Node) -> Path | None:
    """The path that a node is, if it is one: names, and text in brackets."""
    match tree:
        case Ident():
            return (tree.name,)
        case Select():
            inner = path_of(tree.operand)
            return None if inner is None else (*inner, tree.field)
        case Call("_[_]", (operand, Const(_, str() as key))):
            inner = path_of(operand)
            return None if inner is None else (*inner, key)
        case _:
            return None
