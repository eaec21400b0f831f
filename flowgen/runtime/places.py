"""How many runs a worker has in hand, and how many more it may take on.

Each run that a worker drives has a place. More is counted than what it drives, because what it asked the store
for may be its own before it hears of it:

* a run that was claimed and is not driven yet has *entered*, and has its place;
* for what is just being claimed, or created in this worker's name, places are *expected* to be taken;
* a run that is *leaving* (the commit that ends it, or gives it back, is on its way) still has its place, and another
  may be claimed for it. That one waits for the place to become free, and gets none if the first one stays after all.

So never more runs go on than there are places.

Refuses to know: which runs these are, and how they are claimed or given back.
"""

from __future__ import annotations

from collections.abc import Iterator, Sized
from contextlib import contextmanager

import trio


class Places:
    """`most` places, taken by what is in these collections, and by runs that have entered."""

    def __init__(self, most: int, *driven: Sized) -> None:
        self.entered = 0
        self._most = most
        self._driven = driven
        self._expected = 0
        self._leaving = 0
        self._waiting = 0
        self._closed = False
        self._changed = trio.lowlevel.ParkingLot()

    @property
    def taken(self) -> int:
        """How many runs are here: more than there are places, if some wait for theirs."""
        return sum(map(len, self._driven)) + self.entered

    @property
    def full(self) -> bool:
        return self.taken >= self._most

    @property
    def one_is_free(self) -> bool:
        """Whether the last that went made room where there was none."""
        return self.taken == self._most - 1

    @property
    def crowded(self) -> bool:
        """Whether the last that came has no place yet."""
        return self._going > self._most

    @property
    def free(self) -> int:
        """How many runs more may begin at once."""
        return self._most - self.taken - self._expected

    @property
    def claimable(self) -> int:
        """For how many runs there is a place, or will be."""
        return self.free + self._leaving

    @contextmanager
    def expecting(self, runs: int) -> Iterator[None]:
        """Keep places for so many runs, which may be this worker's when the store has answered."""
        self._expected += runs
        try:
            yield
        finally:
            self._expected -= runs

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """A run is leaving for as long as this lasts. Then it stays, or has left by the time that its task rests."""
        self._leaving += 1
        try:
            yield
        finally:
            self._leaving -= 1
            self._changed.unpark_all()

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """A run that has entered has no place for as long as this lasts."""
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1

    async def become_free(self) -> bool:
        """Wait until there is a place for a run that is waiting, or none can become free; whether there is one."""
        while self._leaving and self._going >= self._most and not self._closed:
            await self._changed.park()
        return self._going < self._most and not self._closed

    def close(self) -> None:
        """No more runs go on: those that wait get no place."""
        self._closed = True
        self._changed.unpark_all()

    @property
    def _going(self) -> int:
        """How many runs go on, or are about to: all that do not wait."""
        return self.taken - self._waiting
