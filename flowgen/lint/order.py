"""Sets in Python code: which expressions are sets, and who looks at their order."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .scopes import Scope

_MADE = ("builtins.set", "builtins.frozenset")
_ALGEBRA = (ast.BitOr, ast.BitAnd, ast.BitXor, ast.Sub)
_GIVES_SET = ("union", "intersection", "difference", "symmetric_difference", "copy")
_ANNOTATED = ("set", "frozenset", "Set", "FrozenSet", "AbstractSet", "MutableSet")
_LOOKS_AT_ORDER = frozenset(
    f"builtins.{name}" for name in "list tuple enumerate iter zip map filter reversed next dict dict.fromkeys".split()
)
_BLIND = frozenset(f"builtins.{name}" for name in "sorted sum min max any all len set frozenset bool".split())

_DEPTH = 6


def is_set(scope: Scope, node: ast.expr | None, depth: int = _DEPTH) -> bool:
    """Whether an expression is certainly a set."""
    if depth == 0:
        return False
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.BinOp(left=left, op=op, right=right) if isinstance(op, _ALGEBRA):
            return is_set(scope, left, depth - 1) or is_set(scope, right, depth - 1)
        case ast.IfExp(body=body, orelse=orelse):
            return is_set(scope, body, depth - 1) or is_set(scope, orelse, depth - 1)
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in _GIVES_SET:
            return is_set(scope, value, depth - 1)
        case ast.Call(func=func):
            return scope.dotted(func) in _MADE
        case ast.Name(id=name):
            return _names_set(scope, name, depth)
    return False


def _names_set(scope: Scope, name: str, depth: int) -> bool:
    found = scope.find(name)
    if found is None:
        return False
    where, bindings = found
    if bindings == [None] and where.node is not None:
        return _is_annotated_set(where.node, name)
    return bool(bindings) and all(
        isinstance(binding, ast.expr) and is_set(where, binding, depth - 1) for binding in bindings
    )


def _is_annotated_set(function: ast.FunctionDef | ast.AsyncFunctionDef, name: str) -> bool:
    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]:
        if argument.arg == name and argument.annotation is not None:
            annotation = argument.annotation
            root = annotation.value if isinstance(annotation, ast.Subscript) else annotation
            text = root.attr if isinstance(root, ast.Attribute) else getattr(root, "id", None)
            return text in _ANNOTATED
    return False


def blind(scope: Scope, node: ast.Call) -> bool:
    """Whether what is given to this call may come in any order."""
    return scope.dotted(node.func) in _BLIND or scope.dotted(node.func) == "collections.Counter"


def ordered(scope: Scope, node: ast.AST) -> Iterator[ast.expr]:
    """The sets whose order a node looks at, not counting what is below it."""
    match node:
        case ast.For(iter=iterated):
            yield from _if_set(scope, iterated)
        case ast.ListComp(generators=generators) | ast.DictComp(generators=generators):
            for generator in generators:
                yield from _if_set(scope, generator.iter)
        case ast.GeneratorExp(generators=generators):
            for generator in generators:
                yield from _if_set(scope, generator.iter)
        case ast.Assign(targets=[ast.Tuple() | ast.List()], value=value):
            yield from _if_set(scope, value)
        case ast.Starred(value=value):
            yield from _if_set(scope, value)
        case ast.Call():
            yield from _called(scope, node)


def _called(scope: Scope, node: ast.Call) -> Iterator[ast.expr]:
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if scope.dotted(node.func) in _LOOKS_AT_ORDER or method == "join":
        for argument in node.args:
            yield from _if_set(scope, argument)
    elif isinstance(node.func, ast.Attribute) and method == "pop" and not node.args:
        yield from _if_set(scope, node.func.value)


def _if_set(scope: Scope, node: ast.expr) -> Iterator[ast.expr]:
    if is_set(scope, node):
        yield node
