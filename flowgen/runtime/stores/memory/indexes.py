"""What the memory store finds things by: when runs are due, which waits an event may match, past events.

Each is a plain structure over values that others own. None of them knows what a run is, nor the time.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Generator, Hashable, Iterable, Iterator
from heapq import heapify, heappop, heappush
from itertools import islice
from operator import attrgetter
from typing import Generic, TypeVar

from ....events import AcceptedEvent, event_document
from ....expression import match_key, parse_path, value_at
from ....transition import Wait

RunKey = tuple[str, str]
"""App and id of a run."""

WaitKey = tuple[str, str, str]
"""App, run and id of a wait."""

_position = attrgetter("position")


Key = TypeVar("Key", bound=Hashable)
Number = TypeVar("Number")


class Ordered(Generic[Key, Number]):
    """Some runs, or lines of them, in the order of a number (a time, a rank), then of their names.

    A heap whose entries go stale when a run gets another number, and are dropped when they are met; it is
    made anew when most of it is stale.
    """

    def __init__(self) -> None:
        self._numbers: dict[Key, Number] = {}
        self._heap: list[tuple[Number, Key]] = []

    def __len__(self) -> int:
        return len(self._numbers)

    def put(self, run: Key, number: Number) -> None:
        """The run has that number, whatever was said before."""
        if self._numbers.get(run) == number:
            return
        self._numbers[run] = number
        heappush(self._heap, (number, run))
        if len(self._heap) > 2 * len(self._numbers) + 64:
            self._heap = [(number, run) for run, number in self._numbers.items()]
            heapify(self._heap)

    def discard(self, run: Key) -> bool:
        """The run is not listed any more; returns whether it was."""
        return self._numbers.pop(run, None) is not None

    def first(self) -> tuple[Number, Key] | None:
        """The first entry."""
        while self._heap:
            entry = self._heap[0]
            if self._numbers.get(entry[1]) == entry[0]:
                return entry
            heappop(self._heap)
        return None

    def upcoming(self) -> Generator[tuple[Number, Key], None, None]:
        """The entries in order. They stay; nothing may be put or discarded before this is closed."""
        met: list[tuple[Number, Key]] = []
        try:
            while self._heap:
                entry = heappop(self._heap)
                if self._numbers.get(entry[1]) == entry[0] and (not met or met[-1] != entry):
                    met.append(entry)
                    yield entry
        finally:
            for entry in met:
                heappush(self._heap, entry)


class Agenda(Ordered[RunKey, int]):
    """Some runs in the order of a time or a rank, then of app and id."""


class WaitIndex:
    """Open waits by event name, path and value: finding those of an event costs what it finds."""

    def __init__(self) -> None:
        self._waits: dict[str, dict[str | None, dict[str | None, dict[WaitKey, Wait]]]] = {}

    def put(self, wait: Wait) -> None:
        """Add a wait."""
        values = self._waits.setdefault(wait.event, {}).setdefault(wait.path, {})
        values.setdefault(wait.value, {})[wait.app, wait.run, wait.id] = wait

    def discard(self, wait: Wait) -> None:
        """Take it out again, and what has become empty."""
        paths = self._waits[wait.event]
        values = paths[wait.path]
        del values[wait.value][wait.app, wait.run, wait.id]
        if not values[wait.value]:
            del values[wait.value]
        if not values:
            del paths[wait.path]
        if not paths:
            del self._waits[wait.event]

    def awaited(self, names: Iterable[str]) -> frozenset[str]:
        """Those event names on which there is a wait."""
        return frozenset([name for name in names if name in self._waits])

    def matching(self, event: AcceptedEvent) -> Iterator[Wait]:
        """The waits for events of that name, at lower positions, whose value is the event's."""
        assert event.position is not None, f"event {event.id} has no position yet"
        document = None
        for path, values in self._waits.get(event.name, {}).items():
            value = None
            if path is not None:
                document = document or event_document(event)
                value = match_key(value_at(document, parse_path(path)))
            for wait in values.get(value, {}).values():
                if (wait.after or 0) < event.position:
                    yield wait


class EventLog:
    """Accepted events: by id, by name and position, and by the values at paths that were asked for.

    `last` is the highest position ever given, `accepted` the number of events that were ever added. Events from
    the future have no position, until `promote`.
    """

    def __init__(self) -> None:
        self.last = 0
        self.unrouted: dict[str, AcceptedEvent] = {}
        self.accepted = 0
        self._by_id: dict[str, tuple[int, AcceptedEvent]] = {}
        self._by_number: dict[int, str] = {}
        self._by_name: dict[str, list[AcceptedEvent]] = {}
        self._by_value: dict[tuple[str, str], dict[str, list[AcceptedEvent]]] = {}
        self._future: list[tuple[int, int, str]] = []

    def get(self, id: str) -> AcceptedEvent | None:
        """The event with this id."""
        found = self._by_id.get(id)
        return found[1] if found is not None else None

    def add(self, event: AcceptedEvent, position: int | None) -> AcceptedEvent:
        """Add an event at the next position, or (None) one from the future; returns it as it is kept."""
        self.accepted += 1
        self._by_number[self.accepted] = event.id
        if position is None:
            heappush(self._future, (event.ts, self.accepted, event.id))
        return self._keep(self.accepted, event, position)

    def restore(self, number: int, event: AcceptedEvent, routed: bool) -> None:
        """Add an event as it was kept before, after those with lower positions."""
        self._by_id[event.id] = (number, event)
        self._by_number[number] = event.id
        if event.position is None:
            heappush(self._future, (event.ts, number, event.id))
            return
        self._by_name.setdefault(event.name, []).append(event)
        if not routed:
            self.unrouted[event.id] = event

    def number_of(self, id: str) -> int:
        """The how manieth an event was to be added."""
        return self._by_id[id][0]

    def promote(self, now: int) -> None:
        """Give positions to the events whose time has come."""
        while self._future and self._future[0][0] <= now:
            number, event = self._by_id[heappop(self._future)[2]]
            self._keep(number, event, self.last + 1)

    def last_position(self, before: int | None) -> int:
        """The highest position given; with `before`, that of the newest event accepted earlier."""
        if before is None:
            return self.last
        earlier = (e.position for _, e in self._by_id.values() if e.position and e.accepted_at < before)
        return max(earlier, default=0)

    def first_unrouted(self, limit: int) -> tuple[AcceptedEvent, ...]:
        """The events that nobody has marked routed, by position."""
        return tuple(islice(self.unrouted.values(), limit))

    def next_promotion(self) -> int | None:
        """When the next event from the future becomes routable."""
        return self._future[0][0] if self._future else None

    def between(
        self, name: str, since: int, until: int | None, path: str | None, value: str | None
    ) -> list[AcceptedEvent]:
        """The events of that name, since < position < until, whose value at `path` is `value`."""
        events = self._by_name.get(name, []) if path is None else self._values(name, path).get(value or "", [])
        start = bisect_right(events, since, key=_position)
        end = len(events) if until is None else bisect_left(events, until, key=_position)
        return events[start:end]

    def newest_first(self, below: int | None = None) -> Iterator[tuple[int, AcceptedEvent]]:
        """All events with the numbers in which they were accepted, the newest first."""
        for number in sorted((n for n in self._by_number if below is None or n < below), reverse=True):
            yield self._by_id[self._by_number[number]]

    def delete(self, id: str) -> None:
        """Forget an event."""
        number, event = self._by_id.pop(id)
        del self._by_number[number]
        self._by_name[event.name].remove(event)
        for (name, path), values in self._by_value.items():
            if name == event.name:
                values[_value(event, path)].remove(event)

    def _keep(self, number: int, event: AcceptedEvent, position: int | None) -> AcceptedEvent:
        kept = event if position is None else event.placed(position)
        self._by_id[event.id] = (number, kept)
        if position is not None:
            self.last = position
            self.unrouted[event.id] = kept
            self._by_name.setdefault(event.name, []).append(kept)
            for (name, path), values in self._by_value.items():
                if name == event.name:
                    values.setdefault(_value(kept, path), []).append(kept)
        return kept

    def _values(self, name: str, path: str) -> dict[str, list[AcceptedEvent]]:
        if (name, path) not in self._by_value:
            values: dict[str, list[AcceptedEvent]] = {}
            for event in self._by_name.get(name, []):
                values.setdefault(_value(event, path), []).append(event)
            self._by_value[name, path] = values
        return self._by_value[name, path]


def _value(event: AcceptedEvent, path: str) -> str:
    return match_key(value_at(event_document(event), parse_path(path)))
