"""The kit sees bugs: each planted one is caught by the cases that are named beside it."""

from __future__ import annotations

import pytest

from flowgen.testing.conformance import check_against_model, check_store, store_cases
from flowgen.testing.conformance.case import Factory

from .planted import BUGS
from .planted.bug import Bug
from .variants import hasty, interleaved, planted

CASES = {case.name: case for case in store_cases()}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    """Each case named beside a bug fails on a store that has it."""
    factory = planted(bug.edits)
    assert [name for name in bug.caught_by if not fails(name, factory)] == []


def test_a_store_without_a_planted_bug_passes() -> None:
    """Planting nothing breaks nothing: the cases above fail because of the edits."""
    named = {name for bug in BUGS for name in bug.caught_by}
    factory = planted(())
    for name in named:
        CASES[name].check(factory)


@pytest.mark.parametrize("bug", BUGS[:1], ids=lambda bug: bug.name)
def test_a_failure_reads_as_a_scenario(bug: Bug) -> None:
    """It says which promise was broken, what was asked and answered, what was due and what came."""
    with pytest.raises(AssertionError) as caught:
        CASES["a zombie cannot append records"].check(planted(bug.edits))
    story = str(caught.value)
    assert "A worker whose run was taken over cannot append records" in story
    assert "claim(Who(worker='w2'" in story
    assert "10 s pass" in story
    assert "expected: LeaseLost\n  got:      Committed(" in story


def test_check_store_tells_all_that_fails() -> None:
    """One call, one error: how many cases failed, and the scenario of each."""
    bug = BUGS[-1]
    with pytest.raises(AssertionError, match=f"^{len(bug.caught_by)} of {len(CASES)} cases failed") as caught:
        check_store(planted(bug.edits))
    for name in bug.caught_by:
        assert f"\n\n{name}: " in str(caught.value)


def test_the_model_shrinks_what_it_finds() -> None:
    """A difference from the reference comes as a short list of operations, whatever it was found with."""
    (edit,) = next(bug for bug in BUGS if bug.name == "the fence alone decides, though the run was given back").edits
    with pytest.raises(AssertionError) as caught:
        check_against_model(planted([edit]))
    story = str(caught.value)
    assert "the reference says:" in story
    assert "this store says:" in story


def test_several_differences_from_the_reference_are_one_failure() -> None:
    """A store that answers wrongly here and breaks down there fails the case, and `check_store` tells of the others."""
    breaks_down = ("ownership", "row.blocked_on = strikes,", "row.blocked_on = strikes // (strikes < 2),")
    answers_wrongly = ("commits", "run.created_by == transition.id", "True")
    with pytest.raises(AssertionError, match="^it answers as the memory store does: "):
        CASES["it answers as the memory store does"].check(planted([breaks_down, answers_wrongly]))


@pytest.mark.parametrize(
    "race",
    [
        "each run is claimed by one worker",
        "take overs leave one history",
        "a key has one winner",
        "no update of a cell is lost",
        "a cancel or an end wins",
        "the same commit many times at once is one",
    ],
)
def test_a_store_that_lets_others_in_is_caught(race: str) -> None:
    """A store that waits between looking and writing, without a lock, loses the race (trio's own dice play along)."""
    assert any(fails(race, interleaved(seed, locked=False)) for seed in range(20))


def test_a_change_that_one_task_takes_from_another_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that tells a change to whoever asks first leaves another task waiting for ever."""
    monkeypatch.setattr("flowgen.testing.conformance.case.PATIENCE", 1)
    takes_it_away = (
        ("store", "self._changes = 0", "self._changes = self._told = 0"),
        (
            "store",
            "                await changed.wait()\n",
            "                while self._told == self._changes:\n"
            "                    await self._changed.wait()\n"
            "        self._told = self._changes\n        if False:\n            pass\n",
        ),
    )
    assert fails("each task is told of a change", planted(takes_it_away))


def test_a_release_that_looks_too_early_is_caught() -> None:
    """A release decided by a mailbox that was read before the row was locked loses a wake-up."""
    assert any(fails("no wake up is lost", hasty(seed)) for seed in range(20))


def fails(name: str, factory: Factory) -> bool:
    """Whether a store fails a case."""
    try:
        CASES[name].check(factory)
    except AssertionError:
        return True
    return False
