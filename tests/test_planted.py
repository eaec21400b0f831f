"""The planted bugs can still be planted; that they are caught is for `make planted`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.planted.bugs import BUGS, Bug

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_has_one_place_and_tests(bug: Bug) -> None:
    """Its text occurs exactly once in the code of today, and the tests that must catch it are there."""
    assert (ROOT / bug.file).read_text().count(bug.find) == 1
    assert all((ROOT / test.partition("::")[0]).exists() for test in bug.tests)
