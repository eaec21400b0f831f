"""The environment: the only door through which an engine gets time, chance and threads.

`now()` is the store's time as far as this process knows it: the last answer that it has seen, plus the
monotonic time since. It is good enough to stamp a record; before something fires because time has
passed, the store is asked. In a simulated world the same door opens on virtual time and seeded dice.

The clock of a store may be set. Set forward, store time is ahead of the estimate. Set back, it stands still until the
clock has caught up: then the estimate stands, too, because what is made "due now" must be due by the store's time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random

import trio

from ..ids import ENTROPY_BYTES, new_id

_FRESH = 20_000
"""Microseconds for which an answer of the store is not worth looking at again."""

_STANDS = 200_000
"""Store time stands still if the same time is answered so many microseconds later."""

_SET = 100_000
"""Store time was set forward if it is so many microseconds ahead of the estimate."""

_PACE = 1_000_000


class Environment:
    """Time, chance and ids of one engine. Made inside trio, whose clock it reads.

    With a `seed` all randomness follows from it, and with `threads=False` nothing runs in a thread of
    its own: sync steps are called where they are asked for, and leases are extended by a task. `clock` is this
    engine's own, in seconds, where it is not trio's: one that runs wrong.
    """

    def __init__(self, seed: int | None = None, threads: bool = True, clock: Callable[[], float] | None = None) -> None:
        self.threads = threads
        self._seeded = Random(seed) if seed is not None else None
        self._luck = self._seeded or Random()
        self._clock = trio.lowlevel.current_clock().current_time if clock is None else clock
        self._offset: float | None = None
        self._latest = 0.0
        self._pace = _PACE
        self._seen = 0
        self._seen_at = 0.0

    def asks(self) -> float:
        """The moment before the store is asked something, for `saw`."""
        return self._clock()

    def saw(self, store_now: int, asked: float | None = None) -> bool:
        """Store time has just been answered: microseconds since the epoch. Whether it was set forward meanwhile.

        `asked` is when the question was put; without, that was a moment ago. Between the two this process may have
        stood still for long, and the answer be old.
        """
        since = store_now - self._seen
        if 0 < since <= _FRESH and self._pace:
            return False
        at = self._clock() * _PACE
        if since == 0 and self._offset is not None:
            if at - self._seen_at > _STANDS:
                self._offset, self._pace = store_now, 0
            return False
        was_set = self._offset is not None and store_now - self.now() > _SET
        self._offset, self._pace = store_now - at, _PACE
        self._latest = store_now - (at if asked is None else asked * _PACE)
        self._seen, self._seen_at = store_now, at
        return was_set

    def now(self) -> int:
        """Store time, estimated: microseconds since the epoch."""
        assert self._offset is not None, "the store was not asked yet"
        return int(self._offset + self._clock() * self._pace)

    def latest(self) -> int:
        """Store time, at the latest that it can be: what is in force now by this time is in force."""
        return int(self._latest + self._clock() * _PACE)

    def luck(self) -> float:
        """A number in [0, 1), for jitter."""
        return self._luck.random()

    def new_id(self) -> str:
        """An id for something that is made now."""
        entropy = self._seeded.randbytes(ENTROPY_BYTES) if self._seeded is not None else os.urandom(ENTROPY_BYTES)
        return new_id(self.now(), entropy)
