"""Conditions and keys over events: plain paths, read natively, and CEL for everything else.

A *path* leads to a value in an event's document (`{"name", "data", "id", "ts"}`): `data.order_id`. What is not
there is None. `match_key` writes any value as short text, equal exactly if the values are: it is
what waits are indexed by.

An *expression* is a plain path over its variables (`event.data.cart_id`, missing is None), or CEL. In CEL a missing
path is an error; ask with `has()`. Its variables are `event` and, in the `where` of a wait, `async`.

Rules: an expression is compiled where it is defined, and what can be wrong with it is said there, with the line and
column. On evaluation every failure is an `ExpressionError`; it concerns only the one trigger, wait or key. The library
*returns* errors as values that are true, so results are checked by their type. It sees only the parts of the
documents that the text names, so that an odd value elsewhere cannot poison it. Before it starts, the work is
bounded (see `expression_tree`), so a hostile expression stops before it begins.

This is the only module that knows the CEL library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
from cel_expr_python import cel

from .errors import DefinitionError, ExpressionError
from .expression_tree import Node, Path, cost, dynamic_patterns, needs_bound, paths_of, read_tree

__all__ = ["Expression", "ExpressionError", "Path", "match_key", "match_key_at", "parse_path", "value_at"]

MAX_TEXT = 10_000
MAX_COST = 100_000_000
MAX_KEY = 128

_ROOTS = ("event", "async")
_FIELDS = ("data", "name", "id", "ts")
_SEGMENT = re.compile(r"[A-Za-z0-9_$@-]+")
_PLAIN = re.compile(r"\s*([A-Za-z_]\w*)((?:\.[A-Za-z_]\w*)*)\s*", re.ASCII)
_PROBLEM = re.compile(r"ERROR: <input>:(-?\d+):(-?\d+): (.*)")
_FALSE_ALARM = "expression of type 'dyn' cannot be the range"

_write_sorted = msgspec.json.Encoder(order="sorted").encode


# -- paths ----------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def parse_path(text: str, what: str = "path") -> Path:
    """The segments of a path into an event: `data.order_id`, with or without `event.` or `async.` before it.

    Raises `DefinitionError` with the position of what is wrong.
    """
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise DefinitionError(f'{what}: {text!r:.100} is no path; write it like "data.order_id"')
    segments = text.split(".")
    position = 1
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise DefinitionError(
                f"{what}: {text!r:.100} at character {position}: {segment!r} is no field name; "
                'write a path like "data.order_id"'
            )
        position += len(segment) + 1
    if segments[0] in _ROOTS:
        del segments[0]
    if not segments or segments[0] not in _FIELDS:
        raise DefinitionError(
            f"{what}: {text!r:.100} is no path into an event; it begins with {', '.join(_FIELDS)}: "
            f'write "data.{segments[-1] if segments else "order_id"}"'
        )
    return tuple(segments)


def value_at(document: Mapping[str, Any], path: Path) -> Any:
    """The value at a path; None where there is none."""
    value: Any = document
    for name in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(name)
    return value


def match_key(value: Any) -> str:
    """A JSON value as text, equal exactly if the values are: 1 is 1.0, but neither `True` nor `"1"`.

    At most 128 characters: what is longer is hashed.
    """
    key = f'"{value}"' if type(value) is str else _write_sorted(_normal(value)).decode()
    if len(key) <= MAX_KEY:
        return key
    return "#" + blake2b(key.encode(), digest_size=24).hexdigest()


def match_key_at(document: Mapping[str, Any], path: str) -> str:
    """The match key of the value that a document (`event_document`) has at a path."""
    return match_key(value_at(document, parse_path(path)))


def _normal(value: Any) -> Any:
    """The value with each whole number as an int, so that equal numbers are written equally."""
    match value:
        case float() if value.is_integer():
            return int(value)
        case list():
            return [_normal(item) for item in value]
        case dict():
            return {name: _normal(item) for name, item in value.items()}
        case _:
            return value


# -- expressions ----------------------------------------------------------------------------------


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

    def evaluate(self, bindings: Mapping[str, Any]) -> Any:
        """The expression's value, as JSON; `bindings` has a document for each variable.

        Raises `ExpressionError`.
        """
        if self._plain is not None:
            return value_at(bindings, self._plain)
        scopes = {variable: self.scope(variable, bindings.get(variable) or {}) for variable in self.variables}
        if self._tree is not None and cost(self._tree, scopes) > MAX_COST:
            raise ExpressionError(f"{self.text!r:.200}: evaluating it on this event would take too long; simplify it")
        try:
            value = self._program.eval(data=scopes)
        except Exception as error:
            raise ExpressionError(f"{self.text!r:.200}: {_without_code(str(error))}") from None
        if value.type() == cel.Type.ERROR:
            raise ExpressionError(f"{self.text!r:.200}: {_without_code(str(value.plain_value()))}")
        return _json(value.plain_value(), self.text)

    def is_true(self, bindings: Mapping[str, Any]) -> bool:
        """Whether the expression holds. A plain path to nothing does not.

        Raises `ExpressionError` if it fails, or gives anything but true and false.
        """
        value = self.evaluate(bindings)
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
            return _worded(problems, str(error)), None
        program = environment.compile(text, disable_check=True)  # its checker refuses loops over event.data["x"]
    tree = read_tree(program.serialize())
    if dynamic_patterns(tree):
        return "the pattern of matches() must be written out as text; one from data could take for ever", None
    return "", (program, tree, frozenset(paths_of(tree)))


@lru_cache(maxsize=16)
def _environment(variables: tuple[str, ...]) -> Any:
    return cel.NewEnv(variables=dict.fromkeys(variables, cel.Type.DYN))


def _worded(problems: list[tuple[str, str, str]], otherwise: str) -> str:
    """The first problem that the compiler found, with its place."""
    if not problems:
        return _without_code(otherwise)
    line, column, message = problems[0]
    message = message.split(" (in container")[0].removesuffix(" [INVALID_ARGUMENT]")
    return message if line == "-1" else f"line {line}, column {column}: {message}"


def _without_code(message: str) -> str:
    """The library's message without its status codes, and not longer than a reader wants."""
    worded = re.sub(r"^[A-Z_]+: ", "", message)
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
