"""Every store that comes with flowgen keeps the contract, case by case."""

from __future__ import annotations

import pytest

from flowgen.runtime.stores.memory import MemoryStore
from flowgen.testing.conformance import Case, store_cases

CASES = store_cases()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_memory_store(case: Case) -> None:
    """The memory store keeps the contract; "another process" is another user of the same object."""
    reason = case.check(lambda clock: MemoryStore(clock), reopen=lambda store: store)
    assert reason is None
