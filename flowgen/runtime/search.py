"""Searching runs: which of those that a list comes to are shown.

A `Sieve` looks at runs one by one: the words of a search must all be in what is told of a run, and a condition (CEL)
must hold for it. Neither has an index, so a page looks at a bounded number of runs, newest first (`LOOKED_AT`), and may
come back short, or empty, with the cursor from where the search goes on. What a store lists by (app, workflow, state,
time of creation) narrows it down before.

Refuses to know how runs are listed (`listing`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs
import msgspec

from ..errors import ExpressionError, InvalidInput
from ..expression import Expression
from .documents import run_document
from .info import RunInfo

LOOKED_AT: Final = 250
"""A page of a search looks at so many runs at most."""

VARIABLES: Final = ("run", "event")

_LONGEST: Final = 500
_MOST_WORDS: Final = 20
_BUDGET: Final = 1_000_000
"""Evaluating a condition on one run may cost so much, about in nanoseconds."""


@attrs.frozen
class Sieve:
    """Lets runs through that have all `words` (in lower case) and fulfil the condition."""

    words: tuple[str, ...] = ()
    condition: Expression | None = None

    @classmethod
    def made(cls, search: str | None, where: str | None) -> Sieve | None:
        """The sieve of a search and a condition; None if there is neither.

        Raises `InvalidInput`, or `DefinitionError` for a condition that can never work, with its place.
        """
        words = _words(search) if search is not None else ()
        condition = Expression(where, VARIABLES, "where") if where is not None else None
        return cls(words, condition) if words or condition is not None else None

    def passes(self, run: RunInfo) -> bool:
        """Whether a run is one of those that are looked for. One on which the condition fails is not."""
        document = run_document(run)
        if self.words:
            text = "\n".join(_texts(document)).casefold()
            if not all(word in text for word in self.words):
                return False
        return self.condition is None or _holds(self.condition, document)


def _words(search: str) -> tuple[str, ...]:
    if len(search) > _LONGEST:
        raise InvalidInput(f"a search of {len(search)} characters: at most {_LONGEST} are looked for")
    words = tuple(search.casefold().split())
    if len(words) > _MOST_WORDS:
        raise InvalidInput(f"a search for {len(words)} words: at most {_MOST_WORDS} are looked for")
    return words


def _holds(condition: Expression, document: Mapping[str, Any]) -> bool:
    try:
        return condition.is_true({"run": document, "event": document["event"]}, _BUDGET)
    except ExpressionError:
        return False


_SEARCHED: Final = ("id", "app", "workflow_id", "reason", "parent_id", "restarted_as")


def _texts(document: Mapping[str, Any]) -> Iterator[str]:
    """What a search looks through: ids and names, events, the result, the error without its trace."""
    for field in _SEARCHED:
        if document[field] is not None:
            yield document[field]
    for event in document["events"]:
        yield event["name"]
        yield event["id"]
        yield from _leaves(event["data"])
    yield from _leaves(document["result"])
    error = document["error"]
    while error is not None:
        yield error["type"]
        yield error["message"]
        error = error["cause"]


def _leaves(value: Any) -> Iterator[str]:
    """Each key and value of JSON data, as it is written."""
    match value:
        case str():
            yield value
        case Mapping():
            for key, item in value.items():
                yield key
                yield from _leaves(item)
        case list() | tuple():
            for item in value:
                yield from _leaves(item)
        case None:
            return
        case _:
            yield msgspec.json.encode(value).decode()
