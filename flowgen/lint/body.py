"""The rules, applied to one function that is part of a workflow's body.

A function is walked from top to bottom, without the insides of functions that it only hands on: those are steps. The
user's own functions that it calls, and the parts that it yields from, are part of the body: `called` names them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from .commands import command, is_generator, looked_at, part, step_id, yields
from .findings import Finding
from .order import blind, is_set, ordered
from .outside import forbidden, forbidden_method, forbidden_value
from .scopes import Binding, Function, Scope, within

_CATCH_ALL = ("builtins.BaseException", "flowgen.RunCancelled", "flowgen.errors.RunCancelled")
_HARMLESS_MANAGERS = ("contextlib.suppress", "contextlib.nullcontext")
_MUTATORS = """
append extend insert remove pop clear sort reverse add discard update setdefault popitem appendleft extendleft popleft
rotate subtract difference_update intersection_update symmetric_difference_update put put_nowait
""".split()
_UNSTABLE = ("clock", "randomness", "io")
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


class Body:
    """One function of a body. `scopes` are those of the functions around it that belong to the body too."""

    def __init__(self, scope: Scope, scopes: frozenset[Scope]) -> None:
        assert scope.node is not None
        self._scope = scope
        self._function = scope.node
        self._own = scopes | {scope}
        self._findings: list[tuple[int, int, Finding]] = []
        self._statement = scope.node.lineno
        self._loops: list[set[str]] = []
        self._in_id = False
        self.called: list[tuple[Scope, Function, frozenset[Scope]]] = []

    def findings(self) -> list[tuple[int, int, Finding]]:
        """What is wrong, each with the line and the line of its statement."""
        for statement in self._function.body:
            self._visit(statement)
        self._unused()
        return self._findings

    def _tell(self, node: ast.AST, code: str, message: str) -> None:
        if self._in_id and code in _UNSTABLE:
            code, message = (
                "unstable-id",
                f"the id of a step is made of {message.partition(' ')[0]}: it has to be the same each time",
            )
        line = getattr(node, "lineno", self._statement)
        self._findings.append((line, self._statement, Finding(self._scope.module.source.path, line, code, message)))

    # -- walking ----------------------------------------------------------------------------------

    def _visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.stmt):
            self._statement = node.lineno
        self._look(node)
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda() | ast.ClassDef():
                return
            case ast.For() | ast.While():
                self._visit_loop(node, _assigned(node))
            case _ if isinstance(node, _COMPREHENSIONS):
                self._visit_loop(node, _targets(node))
            case ast.Call():
                self._visit_call(node)
            case _:
                self._visit_children(node)

    def _visit_children(self, node: ast.AST) -> None:
        for child in ast.iter_child_nodes(node):
            self._visit(child)

    def _visit_loop(self, node: ast.AST, names: set[str]) -> None:
        self._loops.append(names)
        self._visit_children(node)
        self._loops.pop()

    def _visit_call(self, node: ast.Call) -> None:
        id_ = step_id(self._scope, node)
        lenient = blind(self._scope, node)
        for child in ast.iter_child_nodes(node):
            if id_ is not None and id_ in (child, getattr(child, "value", None)):
                self._visit_id(id_)
            elif lenient and isinstance(child, ast.GeneratorExp | ast.ListComp):
                self._visit_loop(child, _targets(child))
            else:
                self._visit(child)

    def _visit_id(self, node: ast.expr) -> None:
        self._in_id = True
        self._visit(node)
        self._in_id = False
        for part_ in within([node]):
            value = part_.value if isinstance(part_, ast.FormattedValue) else None
            if value is not None and is_set(self._scope, value):
                self._tell(node, "unstable-id", "the id of a step is made of a set, which has no order: sort it")
            elif value is not None and self._scope.function(value) is not None:
                message = f"the id of a step holds the address of {ast.unparse(value)}: take its __name__"
                self._tell(node, "unstable-id", message)

    def _look(self, node: ast.AST) -> None:
        """Apply the rules to one node."""
        for asked in looked_at(node):
            self._look_at_dropped(asked, "and looked at")
        for found in ordered(self._scope, node):
            text = ast.unparse(found)
            self._tell(found, "set-order", f"{text} is a set, and its order differs between processes: sort it")
        match node:
            case ast.Call():
                self._look_at_call(node)
            case ast.Attribute() if found_value := forbidden_value(self._scope.dotted(node) or ""):
                self._tell(node, *found_value)
            case ast.Expr(value=value):
                self._look_at_dropped(value, "and dropped")
            case ast.Return(value=value) if is_generator(self._function) and command(self._scope, value) != "Restart":
                self._look_at_dropped(value, "and returned")
            case ast.Yield(value=value) if (name := part(self._scope, value)) is not None:
                self._tell(node, "not-yielded", f"{name}(…) is a part of a workflow: write `yield from {name}(…)`")
            case ast.Try() | ast.TryStar():
                self._look_at_try(node)
            case ast.With():
                self._look_at_with(node)
            case ast.Assign(targets=targets):
                for target in targets:
                    self._look_at_target(target)
            case ast.AugAssign(target=target) | ast.AnnAssign(target=target):
                self._look_at_target(target)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._look_at_target(target)

    # -- calls ------------------------------------------------------------------------------------

    def _look_at_call(self, node: ast.Call) -> None:
        name = self._scope.dotted(node.func)
        function = self._scope.function(node.func)
        found = None
        if name is not None and function is None:
            found = forbidden(name, len(node.args) + len(node.keywords))
        if found is None and isinstance(node.func, ast.Attribute):
            found = forbidden_method(node.func.attr)
            self._look_at_method(node.func)
        if found is not None:
            self._tell(node, *found)
        if name == "builtins.next" and node.args and isinstance(node.args[0], ast.Name):
            self._look_at_shared(node, node.args[0], "next(…) moves")
        if function is not None and isinstance(function[1], ast.FunctionDef):
            scope, definition = function
            self.called.append((scope, definition, self._own if scope in self._own else frozenset()))
        if command(self._scope, node) == "Run":
            self._look_at_closures(node)

    def _look_at_closures(self, node: ast.Call) -> None:
        varying = set().union(*self._loops) if self._loops else set()
        for argument in [*node.args, *[keyword.value for keyword in node.keywords]]:
            names = sorted(_free(argument) & varying) if isinstance(argument, ast.Lambda) else []
            if names:
                message = (
                    f"the function of this step captures {names[0]!r}, which changes with the loop: "
                    "pass it as an argument of Run"
                )
                self._tell(argument, "loop-variable", message)

    # -- what is not yielded ----------------------------------------------------------------------

    def _look_at_dropped(self, value: ast.expr | None, how: str) -> None:
        made = command(self._scope, value)
        if made is not None:
            self._tell(value or self._function, "not-yielded", f"{made}(…) is made {how}, not done: yield it")
        elif (name := part(self._scope, value)) is not None:
            message = f"{name}(…) is a part of a workflow that is made {how}, not run: write `yield from {name}(…)`"
            self._tell(value or self._function, "not-yielded", message)

    def _unused(self) -> None:
        """Variables that hold a command, or a part, that nobody ever takes: to be asked about it is not to be taken."""
        asked = {value for node in ast.walk(self._function) for value in looked_at(node)}
        loaded = {
            node.id
            for node in ast.walk(self._function)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node not in asked
        }
        for node in within(self._function.body):
            match node:
                case ast.Assign(targets=[ast.Name(id=name)], value=value) if name not in loaded:
                    self._statement = node.lineno
                    self._look_at_dropped(value, f"as {name!r}")

    # -- exceptions and clean-up ------------------------------------------------------------------

    def _look_at_try(self, node: ast.Try | ast.TryStar) -> None:
        if not yields(node.body):
            return
        if yields(node.finalbody):
            message = (
                "a step in a finally block is asked for, and dropped, whenever the engine puts the run away: "
                "use except RunCancelled"
            )
            self._tell(_first_yield(node.finalbody), "yield-in-finally", message)
        for statement in within(node.finalbody):
            if (
                isinstance(statement, ast.Expr)
                and isinstance(statement.value, ast.Call)
                and not _is_logger(statement.value)
            ):
                self._tell_effect(statement, f"{ast.unparse(statement.value.func)}(…) in a finally block")
        for handler in node.handlers:
            caught = self._caught(handler)
            if caught is None:
                continue
            leaves = any(isinstance(part_, ast.Raise) for part_ in within(handler.body))
            ends = caught == "RunCancelled" and isinstance(handler.body[-1], ast.Return)
            if not leaves and not ends:
                message = f"{caught} swallows the cancellation of the run: raise it again, or catch Exception"
                self._tell(handler, "swallowed-cancel", message)
            return  # the handlers below do not see it

    def _caught(self, handler: ast.ExceptHandler) -> str | None:
        """How a handler catches a cancel; None if it does not."""
        if handler.type is None:
            return "a bare except"
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        names = [self._scope.dotted(type_) for type_ in types]
        found = next((name for name in names if name in _CATCH_ALL), None)
        return found.rpartition(".")[2] if found is not None else None

    def _look_at_with(self, node: ast.With) -> None:
        if not yields(node.body):
            return
        for item in node.items:
            manager = item.context_expr
            name = self._scope.dotted(manager.func) if isinstance(manager, ast.Call) else None
            if name == "contextlib.suppress" and isinstance(manager, ast.Call):
                if any(self._scope.dotted(argument) in _CATCH_ALL for argument in manager.args):
                    self._tell(manager, "swallowed-cancel", "suppress(…) swallows the cancellation of the run")
            elif name not in _HARMLESS_MANAGERS:
                self._tell_effect(manager, f"the exit of {ast.unparse(manager)}")

    def _tell_effect(self, node: ast.AST, what: str) -> None:
        message = f"{what} happens whenever the engine puts the run away, and again later: do it in a step"
        self._tell(node, "effect-in-finally", message)

    # -- shared state -----------------------------------------------------------------------------

    def _look_at_target(self, target: ast.expr) -> None:
        match target:
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for each in targets:
                    self._look_at_target(each)
            case ast.Subscript(value=value) | ast.Attribute(value=value):
                root = _root(value)
                if root is not None:
                    self._look_at_shared(target, root, "this changes")
            case ast.Name(id=name) if name not in self._scope.bound:
                found = self._scope.find(name)
                if found is not None and found[0] not in self._own:
                    self._tell_shared(target, name, "this changes")

    def _look_at_method(self, func: ast.Attribute) -> None:
        root = _root(func.value)
        if func.attr in _MUTATORS and root is not None and not self._is_part_of_value(func.value):
            self._look_at_shared(func, root, f".{func.attr}() changes")

    def _is_part_of_value(self, node: ast.expr) -> bool:
        """Whether a call is made on what some other call gave: that may be a fresh thing."""
        return any(isinstance(below, ast.Call) for below in ast.walk(node))

    def _look_at_shared(self, node: ast.AST, root: ast.Name, how: str) -> None:
        found = self._scope.find(root.id)
        if found is None:
            return
        scope, bindings = found
        if scope in self._own:
            if scope is self._scope and bindings == [None] and _has_mutable_default(self._function, root.id):
                self._tell_shared(node, root.id, how)
            return
        if any(self._may_be_changed(scope, binding) for binding in bindings):
            self._tell_shared(node, root.id, how)

    def _may_be_changed(self, scope: Scope, binding: Binding) -> bool:
        if isinstance(binding, str):
            binding = self._scope.module.package.value(binding)
            return isinstance(binding, ast.expr)
        return isinstance(binding, ast.expr) or (binding is None and scope.node is not None)

    def _tell_shared(self, node: ast.AST, name: str, how: str) -> None:
        message = (
            f"{how} {name!r}, which outlives the run and is changed again at each replay: "
            "keep it in the body, or change it in a step"
        )
        self._tell(node, "shared-state", message)


# -- looking at nodes ------------------------------------------------------------------------------


def _root(node: ast.expr) -> ast.Name | None:
    """The variable at the bottom of a chain of attributes and subscripts."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node if isinstance(node, ast.Name) else None


def _targets(node: ast.AST) -> set[str]:
    generators = getattr(node, "generators", [])
    return {name for generator in generators for name in _stored([generator.target])}


def _assigned(node: ast.For | ast.While) -> set[str]:
    """What has another value each time around a loop."""
    return {*_stored(list(node.body)), *(_stored([node.target]) if isinstance(node, ast.For) else ())}


def _stored(nodes: list[ast.stmt] | list[ast.expr]) -> Iterator[str]:
    for node in within(nodes):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _free(node: ast.Lambda) -> set[str]:
    arguments = node.args
    own = {argument.arg for argument in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]}
    return {name.id for name in ast.walk(node.body) if isinstance(name, ast.Name)} - own


def _is_logger(node: ast.Call) -> bool:
    """`ctx.logger.info(…)` and the like."""
    func = node.func
    return isinstance(func, ast.Attribute) and isinstance(func.value, ast.Attribute) and func.value.attr == "logger"


def _first_yield(nodes: list[ast.stmt]) -> ast.AST:
    return next(node for node in within(nodes) if isinstance(node, ast.Yield | ast.YieldFrom))


def _has_mutable_default(function: Function, name: str) -> bool:
    arguments = [*function.args.posonlyargs, *function.args.args]
    defaults: list[ast.expr | None] = list(function.args.defaults)
    pairs = zip(reversed(arguments), reversed(defaults), strict=False)
    pairs_by_name = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return any(
        argument.arg == name and isinstance(default, ast.List | ast.Dict | ast.Set | ast.Call)
        for argument, default in [*pairs, *pairs_by_name]
    )
