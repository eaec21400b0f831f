"""Commands in Python code: which calls make one, which make a part of a workflow, and who drops them."""

from __future__ import annotations

import ast

from ..commands import __all__ as _NAMES
from .scopes import Function, Scope, within

COMMANDS = frozenset(_NAMES) - {"Branch", "Command", "Loop", "StepCommand", "Steps", "Winner", "check_name"}

_SAGA = ("flowgen.Saga().do", "flowgen.Saga().compensate")


def command(scope: Scope, node: ast.expr | None) -> str | None:
    """The class of the command that a call makes, with or without options; None if it makes none."""
    if not isinstance(node, ast.Call):
        return None
    if isinstance(node.func, ast.Attribute) and node.func.attr == "options":
        return command(scope, node.func.value)
    name = scope.dotted(node.func) or ""
    home, _, last = name.rpartition(".")
    return last if last in COMMANDS and (home == "flowgen" or home.startswith("flowgen.")) else None


def part(scope: Scope, node: ast.expr | None) -> str | None:
    """What a call that makes a part of a workflow (a generator) calls; None if it makes none."""
    if not isinstance(node, ast.Call):
        return None
    name = scope.dotted(node.func) or ""
    if name in _SAGA or name.replace("flowgen.saga.", "flowgen.") in _SAGA:
        return ast.unparse(node.func)
    found = scope.function(node.func)
    return ast.unparse(node.func) if found is not None and is_generator(found[1]) else None


def is_generator(function: Function) -> bool:
    """Whether calling a function makes a generator. What its decorators make of it is not known, but for workflows."""
    decorated = any("workflow" not in ast.unparse(decorator) for decorator in function.decorator_list)
    return isinstance(function, ast.FunctionDef) and not decorated and yields(function.body)


def yields(nodes: list[ast.stmt]) -> bool:
    """Whether there is a yield among these statements."""
    return any(isinstance(node, ast.Yield | ast.YieldFrom) for node in within(nodes))


def looked_at(node: ast.AST) -> list[ast.expr]:
    """The values that a node only asks something of: whether they are true, or what they are equal to."""
    match node:
        case ast.If(test=value) | ast.While(test=value) | ast.IfExp(test=value) | ast.Assert(test=value):
            return [value]
        case ast.UnaryOp(op=ast.Not(), operand=value):
            return [value]
        case ast.Compare(left=left, comparators=others):
            return [left, *others]
        case _:
            return []


def step_id(scope: Scope, node: ast.Call) -> ast.expr | None:
    """The expression that makes the id of a step, if it is more than a literal."""
    if isinstance(node.func, ast.Attribute) and node.func.attr == "options" and command(scope, node):
        return next((keyword.value for keyword in node.keywords if keyword.arg == "id"), None)
    name = command(scope, node)
    if name is None or name in ("All", "Race", "Restart") or not node.args:
        return None
    if name == "Run" and not isinstance(node.args[0], ast.JoinedStr | ast.BinOp | ast.Call):
        return None
    return node.args[0]
