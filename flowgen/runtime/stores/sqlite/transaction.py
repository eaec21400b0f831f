"""A write transaction: the connection under the write lock, store time, and the store's counters.

Store time never goes back: not within a process, because `StoreClock` remembers the highest time that
it gave out; not across processes and restarts, because each commit writes down its time and each
transaction begins by reading what was written.

Event positions are given out under the write lock from a counter in the file, so they follow commit
order and are never used twice, even when the newest event is deleted.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import apsw

from .connection import patiently


class StoreClock:
    """Store time in microseconds: what the clock says, but never less than before."""

    def __init__(self, clock: Callable[[], int] | None) -> None:
        self._clock = clock if clock is not None else _wall_clock
        self._highest = 0
        self._lock = threading.Lock()

    def now(self, at_least: int = 0) -> int:
        """Store time, not below `at_least` (what another process wrote down)."""
        with self._lock:
            self._highest = max(self._highest, at_least, self._clock())
            return self._highest

    @property
    def behind(self) -> int:
        """By how many microseconds the clock is behind store time: it was set back, and time stands until then."""
        return self._highest - self._clock()


def _wall_clock() -> int:
    return time.time_ns() // 1000


class Transaction:
    """One write transaction. `now` is store time, the same for all that happens in it.

    `position` is the newest event position, `version` the newest version of a key or cell, `generation`
    that of the registrations; `commit` writes them back. `paths` are those that waits on an event name
    had, as far as they were read, and `awaited` whether there are waits on one. `placed` are the positions of the
    events that were accepted in it (None: of the future). `wakes` says that whoever waits for work should look.
    """

    __slots__ = (
        *("_changes", "awaited", "connection", "execute", "execute_many", "generation", "now", "paths", "placed"),
        *("position", "version", "wakes"),
    )

    def __init__(self, connection: apsw.Connection, clock: StoreClock, patience: float) -> None:
        patiently(lambda: connection.execute("begin immediate"), patience)
        self.connection = connection
        self._changes = connection.total_changes()
        cursor = connection.cursor()
        self.execute: Callable[..., apsw.Cursor] = cursor.execute
        self.execute_many: Callable[..., apsw.Cursor] = cursor.executemany
        high_water, self.position, self.version, self.generation = self.one(
            "select high_water, last_position, last_version, generation from store"
        )
        self.now = clock.now(high_water)
        self.paths: dict[str, tuple[str, ...]] = {}
        self.awaited: dict[str, bool] = {}
        self.placed: dict[str, int | None] = {}
        self.wakes = False

    def one(self, statement: str, bindings: tuple[Any, ...] = ()) -> Any:
        """The one row that a query finds: a tuple, or its value if it has one column; or None."""
        return self.execute(statement, bindings).get

    def prepare(self) -> bool:
        """Write down the counters, so that only COMMIT is missing. False if there was nothing to write: it is over."""
        if self.connection.total_changes() == self._changes:
            self.connection.execute("rollback")
            return False
        self.execute(
            "update store set high_water = ?, last_position = ?, last_version = ?, generation = ?",
            (self.now, self.position, self.version, self.generation),
        )
        return True

    def commit(self) -> None:
        """Make it durable."""
        self.connection.execute("commit")
