"""Names in Python code: what is bound where, and the dotted name of what an expression stands for.

`random.random` is the outside world only if `random` is that module here, and neither a parameter nor a variable.
So each function has a `Scope` with what is bound in it; a name is looked up from the inside to the outside, through
imports, aliases (`now = datetime.now`) and the other modules of the same package.

A dotted name of a call's result ends in `()`: that of `Path(x).exists` is `pathlib.Path().exists`.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from typing import TypeAlias

import attrs

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
Binding: TypeAlias = ast.expr | Function | str | None
"""What a name is bound to: an expression, a function, the dotted name that was imported, or something unknown."""

_DEPTH = 8
_NESTED = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)


@attrs.frozen
class Source:
    """The text of a module, and the name by which it is imported."""

    module: str
    path: str
    text: str
    is_package: bool = False


Find: TypeAlias = Callable[[str], Source | None]
"""Gives the source of a module by its name; None for one that is not the user's own."""


@attrs.define(eq=False)
class Scope:
    """What is bound in a function, or in a module. `node` is None for a module."""

    module: Module
    node: Function | None
    parent: Scope | None
    bound: dict[str, list[Binding]] = attrs.Factory(dict)

    def find(self, name: str) -> tuple[Scope, list[Binding]] | None:
        """The scope in which a name is bound, seen from here, and to what."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.bound:
                return scope, scope.bound[name]
            scope = scope.parent
        return None

    def dotted(self, node: ast.expr, depth: int = _DEPTH) -> str | None:
        """The dotted name of what an expression stands for, if that can be known."""
        match node:
            case ast.Name(id=name):
                return self._named(name, depth)
            case ast.Attribute(value=value, attr=attr):
                base = self.dotted(value, depth)
                return self.module.package.canonical(f"{base}.{attr}") if base is not None else None
            case ast.Call(func=func):
                base = self.dotted(func, depth)
                return f"{base}()" if base is not None else None
        return None

    def _named(self, name: str, depth: int) -> str | None:
        found = self.find(name)
        if found is None:
            if hasattr(builtins, name):
                return f"builtins.{name}"
            return next((f"{module}.{name}" for module in self.module.stars), None)
        scope, bindings = found
        if len(bindings) != 1 or depth == 0:
            return None
        match bindings[0]:
            case str() as imported:
                return self.module.package.canonical(imported)
            case ast.Name() | ast.Attribute() | ast.Call() as value:
                return scope.dotted(value, depth - 1)
            case ast.FunctionDef() | ast.AsyncFunctionDef() if scope.node is None:
                return f"{self.module.source.module}.{name}"
        return None

    def function(self, node: ast.expr) -> tuple[Scope, Function] | None:
        """The user's own function that an expression stands for, with the scope in which it is defined."""
        if isinstance(node, ast.Name) and (found := self.find(node.id)) is not None:
            scope, bindings = found
            if len(bindings) == 1 and isinstance(bindings[0], Function):
                return scope, bindings[0]
        name = self.dotted(node)
        return None if name is None else self.module.package.function(name)


class Module:
    """A module: its tree, and the scope of what it binds."""

    def __init__(self, source: Source, package: Package) -> None:
        self.source = source
        self.package = package
        self.tree = ast.parse(source.text)
        self.stars: list[str] = []
        self.scope = Scope(self, None, None)
        bind(self.scope, self.tree.body)

    def imported_from(self, node: ast.ImportFrom) -> str:
        """The module that an import names, wherever it stands."""
        if not node.level:
            return node.module or ""
        parts = self.source.module.split(".")
        kept = len(parts) - node.level + self.source.is_package
        return ".".join([*parts[: max(kept, 0)], *([node.module] if node.module else [])])


class Package:
    """The user's own modules, read when they are asked for."""

    def __init__(self, find: Find) -> None:
        self._find = find
        self._modules: dict[str, Module | None] = {}

    def module(self, name: str) -> Module | None:
        """A module by its name; None if it is not the user's, or cannot be parsed."""
        if name not in self._modules:
            self._modules[name] = None
            source = self._find(name)
            if source is not None:
                try:
                    self._modules[name] = Module(source, self)
                except SyntaxError:
                    return None
        return self._modules[name]

    def canonical(self, name: str, depth: int = _DEPTH) -> str:
        """A dotted name without the detours that it takes through imports of the user's own modules."""
        home, _, attribute = name.rpartition(".")
        module = self.module(home) if home and depth else None
        bindings = module.scope.bound.get(attribute, []) if module is not None else []
        if len(bindings) == 1 and isinstance(bindings[0], str):
            return self.canonical(bindings[0], depth - 1)
        return name

    def function(self, name: str) -> tuple[Scope, Function] | None:
        """The function with this dotted name, if it is the user's own."""
        home, _, attribute = name.rpartition(".")
        module = self.module(home) if home else None
        bindings = module.scope.bound.get(attribute, []) if module is not None else []
        if module is not None and len(bindings) == 1 and isinstance(bindings[0], Function):
            return module.scope, bindings[0]
        return None

    def value(self, name: str) -> Binding:
        """What is bound to a dotted name in one of the user's own modules."""
        home, _, attribute = name.rpartition(".")
        module = self.module(home) if home else None
        bindings = module.scope.bound.get(attribute, []) if module is not None else []
        return bindings[0] if len(bindings) == 1 else None


# -- what is bound ---------------------------------------------------------------------------------


def scope_of(function: Function, parent: Scope) -> Scope:
    """The scope of a function that is defined in `parent`."""
    scope = Scope(parent.module, function, parent)
    arguments = function.args
    for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]:
        if argument is not None:
            scope.bound[argument.arg] = [None]
    bind(scope, function.body)
    for node in within(function.body):
        if isinstance(node, ast.Global | ast.Nonlocal):
            for name in node.names:
                scope.bound.pop(name, None)
    return scope


def within(nodes: list[ast.stmt] | list[ast.expr]) -> Iterator[ast.AST]:
    """All nodes below these that belong to the same function: the insides of others are left out."""
    todo: list[ast.AST] = list(reversed(nodes))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _NESTED):
            todo.extend(reversed(list(ast.iter_child_nodes(node))))


def bind(scope: Scope, body: list[ast.stmt]) -> None:
    """Note what statements bind."""
    for node in within(body):
        match node:
            case ast.Import(names=names):
                for alias in names:
                    head = alias.name.partition(".")[0]
                    _add(scope, alias.asname or head, alias.name if alias.asname else head)
            case ast.ImportFrom(names=names):
                _bind_imports(scope, scope.module.imported_from(node), names)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                _add(scope, name, node)
            case ast.ClassDef(name=name) | ast.ExceptHandler(name=str(name)):
                _add(scope, name, None)
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                _add(scope, name, value)
            case ast.AnnAssign(target=ast.Name(id=name), value=value) if value is not None:
                _add(scope, name, value)
            case ast.NamedExpr(target=ast.Name(id=name), value=value):
                _add(scope, name, value)
            case ast.Name(id=name, ctx=ast.Store()) if not _is_bound_with_its_value(scope, name):
                _add(scope, name, None)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)) | ast.MatchMapping(rest=str(name)):
                _add(scope, name, None)


def _is_bound_with_its_value(scope: Scope, name: str) -> bool:
    """The name of `name = value` comes by once more, after the whole."""
    return any(binding is not None for binding in scope.bound.get(name, ()))


def _bind_imports(scope: Scope, home: str, names: list[ast.alias]) -> None:
    for alias in names:
        if alias.name == "*":
            scope.module.stars.append(home)
        else:
            _add(scope, alias.asname or alias.name, f"{home}.{alias.name}")


def _add(scope: Scope, name: str, binding: Binding) -> None:
    scope.bound.setdefault(name, []).append(binding)
