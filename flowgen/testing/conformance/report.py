"""What comes of checking all cases: a `Report`, or one error that tells the first failures and counts the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs

from .case import Case

MOST_TOLD = 10
"""So many failures are told as scenarios. Who has more of them has one reason for many, and mends it first."""


@attrs.frozen
class Report:
    """The cases that were passed, and those that could not be asked."""

    passed: tuple[Case, ...]
    skipped: tuple[Case, ...]


def examine(cases: Sequence[Case], factory: Callable[..., Any], reopen: Callable[..., Any] | None) -> Report:
    """Check all cases; raises `AssertionError` with the scenarios that fail, the first ones of many."""
    passed: list[Case] = []
    skipped: list[Case] = []
    failures: list[str] = []
    for case in cases:
        try:
            (passed if case.check(factory, reopen=reopen) is None else skipped).append(case)
        except AssertionError as failure:
            failures.append(str(failure))
    if failures:
        raise AssertionError(_told(failures, len(cases)))
    return Report(tuple(passed), tuple(skipped))


def _told(failures: Sequence[str], cases: int) -> str:
    parts = [f"{len(failures)} of {cases} cases failed", *failures[:MOST_TOLD]]
    if (more := len(failures) - MOST_TOLD) > 0:
        parts.append(
            f"… and {more} more, which are not told here. Mend these {MOST_TOLD} first: what they have in common is "
            "often why the others fail."
        )
    return "\n\n".join(parts)
