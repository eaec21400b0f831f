"""The stores keep the contract, case by case: the memory store, and variants of it that wait."""

from __future__ import annotations

import doctest
from random import Random

import pytest

from flowgen.runtime.stores.memory import MemoryStore
from flowgen.testing import conformance
from flowgen.testing.conformance import Case, check_against_model, check_store, store_cases

from .variants import ExactStore, interleaved, yielding

CASES = store_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_memory_store(case: Case) -> None:
    """The memory store keeps the contract; "another process" is another user of the same object."""
    reason = case.check(lambda clock: MemoryStore(clock), reopen=lambda store: store)
    assert reason is None


def test_a_store_that_waits_around_its_verbs() -> None:
    """Waiting before and after each verb, with a clock that is hours off and jumps, breaks no promise."""
    report = check_store(yielding(0))
    assert len(report.passed) > 200


@pytest.mark.parametrize("seed", range(2))
def test_a_store_that_waits_within_its_commits(seed: int) -> None:
    """Waiting between looking and writing, under a lock, breaks no promise either."""
    report = check_store(interleaved(seed))
    assert len(report.passed) > 200


def test_a_store_that_knows_better_when_to_look_again() -> None:
    """The reference may tell too early of a blocked run; who does not is right as well."""
    check_against_model(lambda clock: ExactStore(MemoryStore(clock), Random(0)), examples=150)


def test_a_store_without_a_clock_is_checked_as_far_as_it_goes() -> None:
    """What needs time to pass, or another opening, is skipped and said to be; the rest is checked."""
    report = check_store(lambda: MemoryStore())
    assert len(report.passed) + len(report.skipped) == len(CASES)
    skipped = {case.name for case in report.skipped}
    assert {"a lease ends at its time", "what was committed outlives the process"} <= skipped
    assert len(report.passed) > 130


def test_the_kits_example_is_true() -> None:
    """What the kit's documentation shows is what it does."""
    result = doctest.testmod(conformance)
    assert (result.attempted > 1, result.failed) == (True, 0)
