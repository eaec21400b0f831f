"""The SQLite store keeps the contract, on a thread and inline; its own files are the other processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowgen.runtime.stores import SqliteStore
from flowgen.testing.conformance import Case, store_cases

CASES = store_cases()


@pytest.mark.parametrize("inline", [False, True], ids=["thread", "inline"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sqlite_store(case: Case, inline: bool, tmp_path: Path) -> None:
    """The SQLite store keeps the contract; a second store on the same file is another process."""
    made = 0

    def make(clock):  # type: ignore[no-untyped-def]
        nonlocal made
        made += 1
        return SqliteStore(tmp_path / f"{made}.db", clock, inline=inline)

    def again(_, clock):  # type: ignore[no-untyped-def]
        return SqliteStore(tmp_path / f"{made}.db", clock, inline=inline)

    assert case.check(make, reopen=again) is None
