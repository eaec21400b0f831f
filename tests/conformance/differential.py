"""Stores against the reference: random operations, answer by answer, until there are so many steps.

Two stores are compared with the memory store: SQLite, and a store that keeps nothing in memory but reads its
documents anew before each verb. Each step is one operation of the conformance model, of which many ask several
things; after each list of them everything is read and compared. `REQUIRED` says what must have been met on the way:
a differential that never sees a refusal proves little about refusals.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import attrs
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from flowgen.runtime.stores import SqliteStore
from flowgen.testing.conformance.case import Factory
from flowgen.testing.conformance.model_cases import CONTEST, FRAGMENT, PRELUDE, duel_of
from tests.power.disk import NAME, disk
from tests.runtime.shelves import MemoryShelf, forgetful

REQUIRED = frozenset(
    {
        "Accept: done",
        "Accept: Duplicate",
        "Claim: codeless",
        "Claim: done",
        "Claim: nothing",
        "Claim: slotless",
        "Count: Conflict(version)",
        "Count: done",
        "Create: Duplicate",
        "Create: done",
        "Delete: done",
        "Drop: Conflict(version)",
        "Drop: done",
        "Extend: done",
        "Extend: lost",
        "Pause: done",
        "Register: done",
        "Repeat: LeaseLost",
        "Repeat: done",
        "Retire: done",
        "Route: done",
        "Take: Conflict(version)",
        "Take: Duplicate",
        "Take: done",
        "Tell: RunEnded",
        "Tell: done",
        "Write: Conflict(cancel)",
        "Write: Conflict(position)",
        "Write: Duplicate",
        "Write: LeaseLost",
        "Write: done",
    }
)
"""What has to come of each kind of operation at least once: success, and each refusal."""


@attrs.define
class Figures:
    """How many operations were played, and what came of them."""

    steps: int = 0
    tally: Counter[str] = attrs.Factory(Counter)

    @property
    def missed(self) -> list[str]:
        """What was never met, though it has to be."""
        return sorted(REQUIRED - self.tally.keys())


def differential(steps: int, number: int = 0) -> Figures:
    """Compare the stores with the reference in so many steps; raises `AssertionError` with a scenario."""
    figures = Figures()
    while figures.steps < steps:
        number += 1
        with _sqlite() if number % 2 else _documents() as factory:
            _some(factory, figures, steps, number)
    return figures


def _some(factory: Factory, figures: Figures, steps: int, number: int) -> None:
    @seed(number)
    @settings(
        max_examples=20,
        deadline=None,
        database=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from((PRELUDE, CONTEST)), st.lists(FRAGMENT, min_size=8, max_size=24))
    def play(first: Any, fragments: Any) -> None:
        if figures.steps < steps:
            operations = [*first, *(operation for fragment in fragments for operation in fragment)]
            duel = duel_of(factory, operations)
            figures.steps += len(operations)
            figures.tally += duel.tally

    play()


@contextmanager
def _sqlite() -> Any:
    """Makes SQLite stores on a disk that need not be waited for."""
    made = 0
    with TemporaryDirectory() as directory:

        def make(clock: Callable[[], int]) -> SqliteStore:
            nonlocal made
            made += 1
            return SqliteStore(Path(directory) / f"{made}.db", clock, inline=True, vfs=NAME)

        with disk():
            yield make


@contextmanager
def _documents() -> Any:
    yield lambda clock: forgetful(MemoryShelf(), clock)
