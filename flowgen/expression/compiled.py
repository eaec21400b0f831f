"""Compiled expressions. The only module that knows the CEL library.

The library *returns* errors, as values that are true: so results are checked by their type. Its checker refuses
loops over `event.data["x"]`, which are right: such text is compiled unchecked, if nothing else is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from cel_expr_python import cel

from ..errors import DefinitionError, ExpressionError
from .cost import cost, needs_bound
from .paths import Path, value_at
from .tree import Node, dynamic_patterns, paths_of, read_tree

MAX_TEXT = 10_000
MAX_COST = 100_000_000

_PLAIN = re.compile(r"\s*([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)\s*", re.ASCII)
_PROBLEM = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_FALSE_ALARM = "expression of type 'dyn' cannot be the range"


class Expression:
    """A compiled expression over `variables`: a plain path, or CEL.

    `text` is what was written, `paths` what it reads, each from its variable on (`("event", "data", "total")`).
    Raises `DefinitionError` for text that can never work, naming `what`, line and column.

    >>> Expression("event.data.total > 10").is_true({"event": {"data": {"total": 11}}})
    True
    """

    __slots__ = ("_plain", "_program", "_tree", "paths", "text", "variables")

    def __init__(self, text: str, variables: Sequence[str] = ("event",), what: str = "expression") -> None:
        if not isinstance(text, str):
            raise DefinitionError(f"{what}: {text!r:.100} is no expression; it is text such as 'event.data.total > 10'")
        if len(text) > MAX_TEXT:
            raise DefinitionError(f"{what}: {len(text):,} characters; an expression has at most {MAX_TEXT:,}")
        self.text = text
        self.variables = tuple(variables)
        self._plain = _plain_path(text, self.variables)
        self._program: Any = None
        self._tree: Node | None = None
        if self._plain is not None:
            self.paths: frozenset[Path] = frozenset([self._plain])
            return
        problem, compiled = _compile(text, self.variables)
        if compiled is None:
            raise DefinitionError(f"{what}: {text!r:.200}: {problem}")
        self._program, tree, self.paths = compiled
        self._tree = tree if needs_bound(tree) else None

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def scope(self, variable: str, document: Mapping[str, Any]) -> dict[str, Any]:
        """The parts of a variable's document that the expression reads: what has to be kept to evaluate it later."""
        part: dict[str, Any] = {}
        for path in self.paths:
            if path[0] == variable:
                _copy(document, part, path[1:])
        return part

    def evaluate(self, bindings: Mapping[str, Any], budget: float = MAX_COST) -> Any:
        """The expression's value, as JSON; `bindings` has a document for each variable.

        Raises `ExpressionError`, also if it could cost more than `budget` (`cost`).
        """
        if self._plain is not None:
            return value_at(bindings, self._plain)
        scopes = {variable: self.scope(variable, bindings.get(variable) or {}) for variable in self.variables}
        if self._tree is not None and cost(self._tree, scopes) > budget:
            raise ExpressionError(f"{self.text!r:.200}: evaluating it on this event would take too long; simplify it")
        try:
            value = self._program.eval(data=scopes)
        except Exception as error:
            raise ExpressionError(f"{self.text!r:.200}: {_without_code(str(error))}") from None
        if value.type() == cel.Type.ERROR:
            raise ExpressionError(f"{self.text!r:.200}: {_without_code(str(value.plain_value()))}")
        return _json(value.plain_value(), self.text)

    def is_true(self, bindings: Mapping[str, Any], budget: float = MAX_COST) -> bool:
        """Whether the expression holds. A plain path to nothing does not.

        Raises `ExpressionError` if it fails, or gives anything but true and false.
        """
        value = self.evaluate(bindings, budget)
        if value is None and self._plain is not None:
            return False
        if value is True or value is False:
            return bool(value)
        raise ExpressionError(f"{self.text!r:.200}: it gives {value!r:.100}, neither true nor false")


_Compiled = tuple[Any, Node, frozenset[Path]]


@lru_cache(maxsize=1024)
def _compile(text: str, variables: tuple[str, ...]) -> tuple[str, _Compiled | None]:
    """The program, its tree and its paths; or what is wrong."""
    environment = _environment(variables)
    try:
        program = environment.compile(text)
    except TypeError:
        return "text with a lone surrogate is no Unicode", None
    except RuntimeError as error:
        problems = _PROBLEM.findall(str(error))
        if not problems or not all(message.startswith(_FALSE_ALARM) for _, _, message in problems):
            return _worded(problems, str(error), variables), None
        program = environment.compile(text, disable_check=True)  # its checker refuses loops over event.data["x"]
    tree = read_tree(program.serialize())
    if dynamic_patterns(tree):
        return "the pattern of matches() must be written out as text; one from data could take for ever", None
    return "", (program, tree, frozenset(paths_of(tree)))


@lru_cache(maxsize=16)
def _environment(variables: tuple[str, ...]) -> Any:
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN))


def _worded(problems: list[tuple[str, str, str]], otherwise: str, variables: tuple[str, ...]) -> str:
    """The first problem that the compiler found, with its place."""
    if not problems:
        return _without_code(otherwise)
    line, column, message = problems[0]
    message = message.split(" (in container")[0].removesuffix(" [INVALID_ARGUMENT]")
    if message.startswith("undeclared reference"):
        message += f"; its variables are: {', '.join(variables)}"
    return message if line == "-1" else f"line {line}, column {column}: {message}"


def _without_code(message: str) -> str:
    """The library's message without its status codes and copies of the data, not longer than a reader wants."""
    worded = re.sub(r"^[A-Z_]+: ", "", message).split(" for 'event[")[0].split(" for 'async[")[0]
    return re.sub(r" \[[A-Z_]+\]$", "", worded)[:300]


def _plain_path(text: str, variables: tuple[str, ...]) -> Path | None:
    match = _PLAIN.fullmatch(text)
    if match is None or match[1] not in variables:
        return None
    return (match[1], *match[2].split(".")[1:])


def _copy(document: Mapping[str, Any], part: dict[str, Any], path: Path) -> None:
    """Put what `document` has along `path` into `part`, sharing nothing but the value at its end."""
    if not path:
        part.update(document)
        return
    for name in path[:-1]:
        if name not in document:
            return
        inner = document[name]
        if not isinstance(inner, Mapping):
            part[name] = inner
            return
        document, part = inner, part.setdefault(name, {})
    if path[-1] in document:
        part[path[-1]] = document[path[-1]]


def _json(value: Any, text: str) -> Any:
    """A result as JSON: times as text; what has no JSON form is an error."""
    match value:
        case None | bool() | int() | float() | str():
            return value
        case datetime():
            return value.isoformat()
        case timedelta():
            return value.total_seconds()
        case list():
            return [_json(item, text) for item in value]
        case dict():
            return {str(name): _json(item, text) for name, item in value.items()}
        case _:
            raise ExpressionError(f"{text!r:.200}: it gives a {type(value).__name__}, which has no JSON form")
