"""Names in `steps=` of a check that no step has: most likely misspelt, and then the step did as its annotation says.

Which steps a workflow has is known only from playing it, and a step may be too rare to be met in all examples. So a
name is refused only if no step was called so in any of them, the code does not say it either, and it is nearly a name
that one of both knows. Numbers do not count: who says `charge:3` means the third, which may never come.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from types import CodeType
from typing import Any

from ...errors import DefinitionError
from ...workflow import Workflow
from .replaying import functions_of

_CLOSE = 0.75
_NUMBER = re.compile(r":?\d+")


def refuse_misspelt(workflows: Iterable[Workflow[Any, Any]], given: Iterable[str], met: set[str]) -> None:
    """Raise `DefinitionError` for a given name that is nearly one of the `met`, or of those in the workflows' code."""
    unmet = [name for name in given if name not in met]
    if not unmet:
        return
    known = met | {text for workflow in workflows for text in written_in(workflow)}
    kinds = {_without_numbers(name) for name in known}
    for name in unmet:
        if _without_numbers(name) in kinds:
            continue
        if close := get_close_matches(name, sorted(known), n=1, cutoff=_CLOSE):
            raise DefinitionError(
                f"check_workflow(steps={{{name!r}: …}}): no step is called {name!r}; did you mean {close[0]!r}? "
                f"The steps that were met are called {', '.join(map(repr, sorted(met))) or '(there were none)'}"
            )


def written_in(workflow: Workflow[Any, Any]) -> Iterator[str]:
    """The names and texts in the code of a body, and of the parts that it names."""
    for function in functions_of(workflow.fn):
        yield from _texts(function.__code__)


def _texts(constant: Any) -> Iterator[str]:
    match constant:
        case str():
            yield constant
        case tuple() | frozenset():
            for item in constant:
                yield from _texts(item)
        case CodeType():
            yield from constant.co_names
            yield from _texts(constant.co_consts)


def _without_numbers(name: str) -> str:
    return _NUMBER.sub("", name)
