"""Stores that are filled by hand: thousands of runs in one commit, without engines.

Workloads that ask what a store costs when it is large fill it here. Commits hold `AT_ONCE` runs each, so that
filling is a small part of a sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TypeVar

from flowgen.events import AcceptedEvent
from flowgen.outcome import Json
from flowgen.runs import RunRow
from flowgen.runtime.store import Store, Who
from flowgen.runtime.stores import MemoryStore, SqliteStore
from flowgen.transition import NewRun, Transition, Wait

T = TypeVar("T")

APP, WORKFLOW = "bench", "filled"
AT_ONCE = 5_000
LEASE = 3_600_000_000
DATA = Json(b'{"order_id":"7","total":12.5}')


def make_store(kind: str, directory: Path, name: str = "store", clock: Callable[[], int] | None = None) -> Store:
    """A store of a kind: `memory`, or `sqlite` on a file of that name."""
    return MemoryStore(clock) if kind == "memory" else SqliteStore(directory / f"{name}.db", clock)


def trigger(number: int, at: int) -> AcceptedEvent:
    """The event that started run `number`."""
    return AcceptedEvent(f"event-{number}", "order/placed", DATA, at, at)


def new_run(row: RunRow) -> NewRun:
    """A run that has no history yet."""
    return NewRun(row, (trigger(0, row.created_at),))


async def fill(store: Store, runs: Iterable[NewRun], waits: Iterable[Wait] = ()) -> None:
    """Create runs, and open their waits (as many of one as of the other, or none)."""
    opened = pages(waits)
    for number, page in enumerate(pages(runs)):
        await store.commit(Transition(f"fill-{page[0].row.id}-{number}", create=page, open_waits=next(opened, ())))


def pages(items: Iterable[T]) -> Iterator[tuple[T, ...]]:
    """The items, as many at a time as one commit holds."""
    rest = iter(items)
    while page := tuple(islice(rest, AT_ONCE)):
        yield page


def claimant(limits: Sequence[int] = ()) -> Who:
    """A worker that offers the workflow of the runs that are made here; `limits` are those of its slots."""
    return Who("claimant", {(APP, WORKFLOW): "digest"}, {(APP, WORKFLOW): tuple(limits)})
