"""The linter: what in the code of workflows cannot be replayed, or does not do what it seems to.

A body is called again from the top when its run goes on elsewhere, and has to ask for just the same commands. So it may
not ask a clock, roll dice, look at the world or depend on the order of a set; and what it does beside yielding commands
is done again at each replay.

=============  ==================================================================================
`findings`     what is told, the codes, and the comments that silence them
`outside`      the functions of the outside world
`scopes`       names: what is bound where, and what an expression stands for
`order`        sets, and who looks at their order
`commands`     calls that make commands or parts of workflows
`body`         the rules, applied to one function
=============  ==================================================================================

Rules
-----
* Source in, findings out: nothing is imported or run.
* What a body calls of the user's own functions belongs to it, in whatever of their modules it is. What it only hands on
  (the function of a `Run`) is a step, and may do anything.
* Where it cannot be known what a name stands for, nothing is told: a false alarm costs more than a missed one.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator

import attrs

from .body import Body
from .findings import CODES, Finding, Ignored
from .scopes import Find, Function, Module, Package, Scope, Source, scope_of

__all__ = ["CODES", "Entry", "Find", "Finding", "Source", "lint"]


@attrs.frozen
class Entry:
    """The function of a workflow: its module, its name, and the line on which it, or its first decorator, begins."""

    module: str
    name: str
    line: int


def lint(entries: Iterable[Entry], find: Find) -> list[Finding]:
    """What is to be said of these workflows and all that their bodies call, by place. `find` gives sources."""
    package = Package(find)
    linter = _Linter()
    for entry in entries:
        module = package.module(entry.module)
        if module is not None:
            for scope in _entered(module, entry):
                linter.enter(scope, frozenset())
    return linter.findings()


class _Linter:
    """Looks at each function once, from whichever workflow it is reached."""

    def __init__(self) -> None:
        self._seen: set[Function] = set()
        self._ignored: dict[str, Ignored] = {}
        self._findings: set[Finding] = set()

    def enter(self, scope: Scope, around: frozenset[Scope]) -> None:
        """Look at a function and all that it calls."""
        todo = [(scope, around)]
        while todo:
            scope, around = todo.pop()
            assert scope.node is not None
            if scope.node in self._seen:
                continue
            self._seen.add(scope.node)
            ignored = self._ignored_in(scope.module.source)
            body = Body(scope, around)
            for line, statement, finding in body.findings():
                if (line, statement, finding.code) not in ignored:
                    self._findings.add(finding)
            todo += [(scope_of(function, parent), own) for parent, function, own in body.called]

    def _ignored_in(self, source: Source) -> Ignored:
        if source.path not in self._ignored:
            ignored = self._ignored[source.path] = Ignored(source.path, source.text)
            self._findings.update(ignored.misspelt())
        return self._ignored[source.path]

    def findings(self) -> list[Finding]:
        """All of them, by place."""
        return sorted(self._findings)


def _entered(module: Module, entry: Entry) -> Iterator[Scope]:
    """The scope of the function of a workflow, wherever in its module it is defined."""
    todo: list[tuple[ast.AST, Scope]] = [(module.tree, module.scope)]
    while todo:
        node, scope = todo.pop()
        for child in ast.iter_child_nodes(node):
            inner = scope
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                inner = scope_of(child, scope)
                first = min([child.lineno, *[decorator.lineno for decorator in child.decorator_list]])
                if child.name == entry.name and first == entry.line:
                    yield inner
                    return
            todo.append((child, inner))
