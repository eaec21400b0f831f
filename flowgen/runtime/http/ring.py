"""The newest messages of a stream, numbered, in bounded memory.

One thread adds, any number of readers elsewhere read from where they are: a reader holds only the number of the last
message that it has seen, so a slow one costs nothing, and one that was away goes on where it was if that is not too
long ago. Numbers begin at the time at which the ring was made, in microseconds: those of an older ring are lower.

Refuses to know what the messages say.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

ROOM: Final = 4_096
"""So many messages are kept."""

Wake = Callable[[], None]


class Ring:
    """Messages with growing numbers; the oldest go when there is no more room."""

    def __init__(self, start: int, room: int = ROOM) -> None:
        self._next = start
        self._first = start
        self._kept: deque[bytes] = deque(maxlen=room)
        self._sleepers: set[Wake] = set()
        self._lock = threading.Lock()
        self.closed = False

    @property
    def last(self) -> int:
        """The number of the newest message; of a ring without any, the one below the first."""
        return self._next - 1

    def add(self, messages: Sequence[Callable[[int], bytes]]) -> None:
        """Add messages, each made with its number, and wake all sleepers."""
        with self._lock:
            for message in messages:
                self._kept.append(message(self._next))
                self._next += 1
            self._first = self._next - len(self._kept)
        self._wake()

    def since(self, seen: int, most: int = 256) -> tuple[list[bytes], int] | None:
        """The messages after number `seen`, at most so many, and the number of the last of them.

        None: they are gone, or have never been.
        """
        with self._lock:
            if not self._first - 1 <= seen < self._next:
                return None
            start = seen + 1 - self._first
            found = [self._kept[place] for place in range(start, min(len(self._kept), start + most))]
            return found, seen + len(found)

    def sleep(self, wake: Wake) -> None:
        """Have `wake` called, from any thread, when there is more or the ring is closed."""
        self._sleepers.add(wake)

    def forget(self, wake: Wake) -> None:
        """Not any more."""
        self._sleepers.discard(wake)

    def close(self) -> None:
        """There will be no more."""
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        for wake in tuple(self._sleepers):
            wake()
