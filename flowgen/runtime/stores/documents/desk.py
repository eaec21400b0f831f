"""A state, and the shelf that it is kept on: every change is put there before anybody hears of it.

The rules of the contract are the memory store's own functions, which work on a state in memory. A *desk* has
such a state at hand, and goes by optimism: it does what it is asked on its own state, collects the documents
that have changed, and asks the shelf to take them, under the version that it had read. If somebody else
was faster, the state is thrown away, read anew, and the same is done again. So there is no lock between
processes, and a process that dies leaves nothing behind.

Used from the threads of one process, one at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

import attrs

from ....errors import StoreError
from ...store import ALIVE, Refused
from ..memory.indexes import RunKey
from ..memory.state import Named, Run, State, Worker
from . import papers
from .shelf import Shelf

T = TypeVar("T")

_GRAIN: Final = ALIVE // 6
"""A worker that is merely alive is written down again after this time: else each idle claim would be a change."""


@attrs.define(eq=False)
class Noted(State):
    """A state that remembers what a verb has changed of it."""

    runs_noted: set[RunKey] = attrs.Factory(set)
    events_noted: set[str] = attrs.Factory(set)
    keys_noted: set[Named] = attrs.Factory(set)
    cells_noted: set[Named] = attrs.Factory(set)

    def list_run(self, run: Run) -> None:
        """Wherever a row changes, it is listed anew."""
        self.runs_noted.add(run.key)
        super().list_run(run)

    def note_deletions(self, delete: Callable[[], T]) -> T:
        """Note whatever is gone afterwards."""
        runs, keys, cells = list(self.runs), list(self.keys), list(self.cells)
        events = [event.id for _, event in self.events.newest_first()]
        answer = delete()
        self.runs_noted.update(key for key in runs if key not in self.runs)
        self.keys_noted.update(name for name in keys if name not in self.keys)
        self.cells_noted.update(name for name in cells if name not in self.cells)
        self.events_noted.update(id for id in events if self.events.get(id) is None)
        return answer

    def forget_notes(self) -> None:
        """What was noted is written down."""
        for noted in (self.runs_noted, self.events_noted, self.keys_noted, self.cells_noted):
            noted.clear()


class Desk:
    """The state of a shelf at hand, to be looked at and changed."""

    def __init__(self, shelf: Shelf, clock: Callable[[], int]) -> None:
        self._shelf = shelf
        self._clock = clock
        self._lock = threading.Lock()
        self._state: Noted | None = None
        self._version = 0
        self._time = 0
        self._seen: dict[str, Worker] = {}
        self._shared: dict[str, bytes] = {}
        self._workers: dict[str, Worker] = {}

    def open(self) -> None:
        """Open the shelf, and read it."""
        with self._lock:
            self._asked(self._shelf.open)
            self._fresh()

    def close(self) -> None:
        """Close the shelf."""
        with self._lock:
            self._forget()
            self._shelf.close()

    def version(self) -> int:
        """The number of the last change, whoever made it."""
        with self._lock:
            return self._asked(self._shelf.version)

    def look(self, read: Callable[[Noted], T]) -> T:
        """Read something."""
        with self._lock:
            return read(self._fresh())

    def change(self, verb: Callable[[Noted], T]) -> T:
        """Do something that changes the state, durably. What a verb refuses has changed nothing."""
        with self._lock:
            while True:
                state = self._fresh()
                answer = self._tried(state, verb)
                if self._put_away(state):
                    return answer
                self._forget()

    def _tried(self, state: Noted, verb: Callable[[Noted], T]) -> T:
        try:
            return verb(state)
        except Refused:
            raise
        except BaseException:
            self._forget()
            raise

    def _put_away(self, state: Noted) -> bool:
        """Put what a verb has changed on the shelf; returns False if somebody else was faster."""
        workers = self._workers_to_write(state)
        shared = dict(papers.shared_papers(state, workers))
        changes: dict[str, bytes | None] = {
            name: paper for name, paper in shared.items() if self._shared.get(name) != paper
        }
        changes |= _papers(state)
        if changes:
            name, counted = papers.counters(state)
            changes[name] = counted
            if not (done := self._asked(lambda: self._shelf.write(self._version, changes))):
                self._check_refusal(done)
                return False
            self._version += 1
            self._shared, self._workers = shared, workers
        state.forget_notes()
        return True

    def _check_refusal(self, answer: object) -> None:
        """Somebody was faster, says the shelf: then there is another version. Else this would go on for ever."""
        if self._asked(self._shelf.version) == self._version:
            self._forget()
            raise StoreError(
                f"{self._shelf!r}: write({self._version}, …) returned {answer!r}, and version() is still "
                f"{self._version}: a shelf returns True when it has made the changes, and False when version() "
                "has become another one"
            )

    def _workers_to_write(self, state: Noted) -> dict[str, Worker]:
        """The workers as they are to be written: those that are merely alive, now and then."""

        def as_written(name: str, worker: Worker) -> Worker:
            written = self._workers.get(name)
            if written is None or written.suspect != worker.suspect or worker.seen_at >= written.seen_at + _GRAIN:
                return Worker(worker.seen_at, worker.suspect)
            return written

        return {name: as_written(name, worker) for name, worker in state.workers.items()}

    def _fresh(self) -> Noted:
        """The state as it is on the shelf now."""
        if self._state is None or self._asked(self._shelf.version) != self._version:
            self._forget()
            self._read()
        assert self._state is not None
        return self._state

    def _read(self) -> None:
        reading = self._asked(self._shelf.read)
        state = Noted(self._clock, highest=self._time)
        papers.restore(state, reading.documents)
        state.forget_notes()
        self._workers = {name: Worker(worker.seen_at, worker.suspect) for name, worker in state.workers.items()}
        for name, worker in state.workers.items():
            worker.seen_at = max(worker.seen_at, self._seen.get(name, worker).seen_at)
        self._version = reading.version
        self._shared = {name: data for name, data in reading.documents.items() if name.startswith("store/")}
        self._state = state

    def _forget(self) -> None:
        """The state is not that of the shelf any more. The time that was told, and who was seen, stays known."""
        if self._state is not None:
            self._time, self._seen = self._state.highest, self._state.workers
        self._state = None

    def _asked(self, question: Callable[[], T]) -> T:
        """What the shelf answers. After an error nothing is known of it, so all is read anew."""
        try:
            return question()
        except StoreError:
            self._forget()
            raise
        except Exception as error:
            self._forget()
            raise StoreError(f"{self._shelf!r}: {type(error).__name__}: {error}") from error


def _papers(state: Noted) -> dict[str, bytes | None]:
    """The documents of everything that a verb has noted."""

    def of(paper: Callable[[State, T], tuple[str, bytes | None]], noted: Iterable[T]) -> dict[str, bytes | None]:
        return dict(paper(state, key) for key in noted)

    return {
        **of(papers.paper_of_run, state.runs_noted),
        **of(papers.paper_of_event, state.events_noted),
        **of(papers.paper_of_key, state.keys_noted),
        **of(papers.paper_of_cell, state.cells_noted),
    }
