"""The frame of the proof: what is too little, and what goes wrong, is said and fails."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from . import run
from .run import PARTS, Result, joined, news, prove, shares_of, table, turn
from .sections import CI, FULL, SECTIONS, Budget, Row


def few(budget: Budget) -> Iterator[Row]:
    yield Row("enough", 5, 5)
    yield Row("little", 2, 3, "of something")


def broken(budget: Budget) -> Iterator[Row]:
    yield Row("before", 1, 1)
    raise AssertionError("it does not hold")


@pytest.fixture(autouse=True)
def sections(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(run, "SECTIONS", (few, broken))


def test_too_little_is_a_failure() -> None:
    """A section that did less than is wanted has proved nothing."""
    (result,) = joined([prove("few", CI)])
    assert [row.what for row in result.rows] == ["enough", "little"]
    assert result.trouble == "little: 2 are too few"


def test_what_was_never_met_is_a_failure() -> None:
    """Rare states are reached by some of the processes that share the work, or the section has proved nothing."""

    def shared(*met: str) -> Result:
        row = Row("scenarios", 5, 5, counts=Counter(met), required=frozenset({"pause", "took_over"}))
        return Result("few", (row,), 1.0)

    assert joined([shared("pause", "slow"), shared("took_over")])[0].trouble is None
    assert joined([shared("pause"), shared("slow")])[0].trouble == "scenarios: never met: took_over"


def test_shares_are_added_up() -> None:
    """What two processes did together may be enough; each scenario is one process's, and none is left out."""
    (result,) = joined([prove("few", CI), prove("few", CI)])
    assert [row.figure for row in result.rows] == [10, 4]
    assert result.trouble is None
    shares = [budget for _, budget in shares_of("simulations", CI, 3)]
    assert sorted(share.turn + n * share.turns for share in shares for n in range(4)) == list(range(12))
    assert sum(share.share(share.scenarios) for share in shares) >= CI.scenarios
    assert shares_of("few", CI, 3) == [("few", CI)]
    assert len(shares_of("simulations", FULL, 3)) == 40


def test_what_goes_wrong_is_told() -> None:
    """An error of a section is its trouble; the figures that it had are kept."""
    result = prove("broken", CI)
    assert result.rows == (Row("before", 1, 1),)
    assert result.trouble == "AssertionError: it does not hold"


def test_the_table() -> None:
    """A line for each figure, and at the end what failed."""
    text = table([Result("few", (Row("images", 2614, 2000, "all kinds"),), 3.2), Result("broken", (), 0.1, "no")])
    assert text == (
        "images      2,614  of     2,000  all kinds\n"
        "few: 3 s of a processor\nbroken: 0 s of a processor\n\nFAILED broken\nno"
    )


def test_what_has_come_of_a_share_is_said() -> None:
    """A proof that takes long says on the way what it has done; what went wrong is known at once."""
    whole, share = Budget(1, 1, 1, 1, 1, 1, 1), Budget(1, 1, 1, 1, 1, 1, 1, turn=2, turns=40)
    assert news(Result("few", (Row("images", 2614, 2000), Row("  torn", 7, 1)), 3.2), whole) == (
        "few, 3 s: 2,614 images, 7 torn"
    )
    assert news(Result("few", (), 0.0), share) == "few 3 of 40, 0 s: nothing to do"
    assert news(Result("few", (), 0.1, "no"), share) == "few 3 of 40, 0 s: no"


def test_budgets_and_turns() -> None:
    """CI wants a part of everything that the full proof wants; the planted bugs take turns."""
    assert all(getattr(CI, field) < getattr(FULL, field) for field in ("scenarios", "runs", "years", "images", "steps"))
    assert 1 <= turn() <= PARTS
    names = [section.__name__ for section in SECTIONS]
    assert len(names) == len(set(names))
