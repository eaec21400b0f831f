"""`scripted`: stubs that say for each attempt of a step what it comes to, as a found scenario is written down."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any

import trio

from ..commands.base import shown
from ..duration import parse_duration
from ..errors import DefinitionError
from ..step import step_info


def scripted(steps: Mapping[str, Sequence[Any]], takes: str | float | timedelta = 0) -> dict[str, Callable[..., Any]]:
    """Stubs for `simulate`: for each step, what its first attempt comes to, its second, and so on.

    An exception is raised, anything else is returned; the last one is what all further attempts come to. Steps are
    named as in `steps=` of `simulate`: by id, name or function. Each attempt takes so long, in virtual time.

    ::

        trace = simulate(app, [order], scripted({"charge": [ConnectionError("down"), "receipt"]}))
    """
    seconds = parse_duration(takes, "takes of scripted") / 1_000_000
    return {name: stub(_checked(name, attempts), seconds) for name, attempts in steps.items()}


def _checked(name: str, attempts: Any) -> list[Any]:
    if not isinstance(attempts, list | tuple) or not attempts:
        raise DefinitionError(
            f"scripted({{{name!r}: {shown(attempts)}}}): say what each attempt comes to, as a list that is not empty"
        )
    return list(attempts)


def stub(attempts: Sequence[Any], seconds: float) -> Callable[..., Any]:
    """The function that behaves so."""

    def at_once(*args: Any, **kwargs: Any) -> Any:
        outcome = attempts[min(step_info().attempt, len(attempts)) - 1]
        if isinstance(outcome, BaseException):
            raise outcome.with_traceback(None)
        return outcome

    async def in_time(*args: Any, **kwargs: Any) -> Any:
        await trio.sleep(seconds)
        return at_once()

    return in_time if seconds else at_once
