"""The differential reaches what it has to, and sees a store that differs."""

from __future__ import annotations

import pytest

from flowgen.testing.conformance import operations as ops
from flowgen.testing.conformance.model_cases import PRELUDE, duel_of

from . import differential
from .differential import REQUIRED, Figures
from .variants import planted


def test_the_stores_agree() -> None:
    """Some hundred steps on each store; `make prove` does the rest, and checks that nothing required was missed."""
    figures = differential.differential(1000)
    assert figures.steps >= 1000
    assert len(REQUIRED - set(figures.missed)) > 15


def test_what_was_never_met_is_named() -> None:
    """A refusal that no operation met counts as missed."""
    figures = Figures(1, differential.Counter(REQUIRED - {"Tell: RunEnded"}))
    assert figures.missed == ["Tell: RunEnded"]


def test_a_store_that_differs_is_seen() -> None:
    """A planted bug in a store is told as a scenario, with both answers."""
    broken = planted([("commits", "if progress.position != row.length:", "if False:")])
    with pytest.raises(
        AssertionError, match=r"the reference says: Conflict\('position'\)\n *this store says: *Committed"
    ):
        duel_of(broken, [*PRELUDE, ops.Write(0), ops.Write(0, position=1)])


def test_a_duel_counts_what_came_of_its_operations() -> None:
    """Success and refusals are told apart, for each kind of operation."""
    operations = [*PRELUDE, ops.Create(0), ops.Write(0), ops.Write(0, fence=-1), ops.Claim(0), ops.Claim(0)]
    tally = duel_of(planted([]), operations).tally
    assert tally["Create: Duplicate"] == 1
    assert (tally["Write: done"], tally["Write: LeaseLost"]) == (1, 1)
    assert (tally["Claim: done"], tally["Claim: nothing"]) == (1, 1)
