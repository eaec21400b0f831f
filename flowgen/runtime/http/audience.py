"""Who listens to what functions publish, in this process.

A message goes to those who listen to its topic when it is told, and to nobody later: nothing is kept but what somebody
has not taken yet. A subscriber gets messages in the order in which they were told, without a gap: one that falls
behind by more than it has room for is dropped (`FellBehind`), and costs the others nothing.

Told from any thread, and taken on any loop. Refuses to know what messages say, and how they are sent.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

import attrs

from ..protocol.realtime import Topic

MOST: Final = 1_024
"""So many messages wait for one subscriber."""

ROOM: Final = 2 * 1024 * 1024
"""So many bytes of them, unless it is one that is larger."""

Wake = Callable[[], object]


class FellBehind(Exception):
    """A subscriber has not taken what was told to it."""


@attrs.frozen
class Told:
    """What is told: a message, or something `raw` that is passed on as it is."""

    text: bytes
    raw: bool = False


class Subscriber:
    """One who listens: what was told to it and that it has not taken yet."""

    def __init__(self) -> None:
        self._waiting: deque[Told] = deque()
        self._size = 0
        self._behind = False
        self._lock = threading.Lock()
        self._wake: Wake | None = None

    def tell(self, told: Told) -> None:
        """Have it wait to be taken, if there is room."""
        with self._lock:
            if self._behind:
                return
            self._size += len(told.text)
            if self._waiting and (len(self._waiting) >= MOST or self._size > ROOM):
                self._behind = True
                self._waiting.clear()
            else:
                self._waiting.append(told)
            wake = self._wake
        if wake is not None:
            wake()

    def take(self, wake: Wake) -> list[Told]:
        """All that waits; if that is nothing, `wake` is called, from any thread, when there is more.

        Raises `FellBehind` if something was told that it had no room for.
        """
        with self._lock:
            if self._behind:
                raise FellBehind
            taken = list(self._waiting)
            self._waiting.clear()
            self._size = 0
            self._wake = None if taken else wake
        return taken


class Audience:
    """All who listen, by topic."""

    def __init__(self) -> None:
        self._subscribers: dict[Topic, list[Subscriber]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def joined(self, topics: Iterable[Topic]) -> Iterator[Subscriber]:
        """One who listens to some topics while the block lasts."""
        subscriber, wanted = Subscriber(), frozenset(topics)
        with self._lock:
            for topic in wanted:
                self._subscribers.setdefault(topic, []).append(subscriber)
        try:
            yield subscriber
        finally:
            with self._lock:
                for topic in wanted:
                    self._leave(topic, subscriber)

    def tell(self, topic: Topic, told: Told) -> None:
        """Tell those who listen to a topic now. It does not wait for them."""
        with self._lock:
            there = tuple(self._subscribers.get(topic, ()))
        for subscriber in there:
            subscriber.tell(told)

    def _leave(self, topic: Topic, subscriber: Subscriber) -> None:
        there = self._subscribers[topic]
        there.remove(subscriber)
        if not there:
            del self._subscribers[topic]
