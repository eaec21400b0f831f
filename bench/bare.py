"""The physical limit: one row, one commit, one sync of the disk, through apsw, as durable as the store.

Each workload measures it in its own process, in the same directory, on a file as new as the store's (a
write-ahead log that still grows syncs slower than one that is written over), right before and right
after its own work, or in turns with it. So noise of the disk meets both.
"""

from __future__ import annotations

import time
from pathlib import Path

import apsw

from bench.timing import expect

COMMITS = 150


class Bare:
    """A file of its own with one table. `commit` adds one row, durably."""

    def __init__(self, directory: Path) -> None:
        self._connection = apsw.Connection(str(directory / "bare.db"))
        self._setting("journal_mode", "wal", "wal")
        self._setting("synchronous", "full", 2)
        self._connection.execute("create table rows (id integer primary key, body blob) strict")
        self._body = b"x" * 100
        self.commit()

    def _setting(self, name: str, value: str, expected: object) -> None:
        self._connection.pragma(name, value)
        expect(self._connection.pragma(name) == expected, f"SQLite did not accept {name} = {value}")

    def commit(self) -> float:
        """The seconds that one durable row takes."""
        began = time.perf_counter()
        self._connection.execute("insert into rows (body) values (?)", (self._body,))
        return time.perf_counter() - began

    def back_to_back(self, commits: int = COMMITS) -> list[float]:
        """The seconds of each of so many commits in a row."""
        return [self.commit() for _ in range(commits)]

    def close(self) -> None:
        self._connection.close()
