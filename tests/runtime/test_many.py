"""What stores have beside the contract (`Many`), and what they do at once for a transition that `routes`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from flowgen.events import AcceptedEvent
from flowgen.outcome import Json
from flowgen.runs import CancelRequested, Message, RunRow
from flowgen.runtime.store import Committed, Duplicate, Many, RunEnded, Store
from flowgen.runtime.stores import MemoryStore, SqliteStore
from flowgen.transition import NewRun, Transition, Wait

NOW = 1_700_000_000_000_000
HOUR = 3_600_000_000

Make = Callable[[Path], Store]
STORES = pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: MemoryStore(lambda: NOW), id="memory"),
        pytest.param(lambda path: SqliteStore(path / "many.db", lambda: NOW, inline=True), id="sqlite-inline"),
        pytest.param(lambda path: SqliteStore(path / "many.db", lambda: NOW), id="sqlite"),
    ],
)


def creating(run: str) -> Transition:
    """A transition that creates a run."""
    return Transition(f"create-{run}", create=(NewRun(RunRow("shop", run, "fulfil", NOW, 7, due_at=NOW), ()),))


def cancelling(run: str) -> Transition:
    """A transition that is refused if there is no such run."""
    return Transition(f"cancel-{run}", messages=(Message(run, "shop", run, CancelRequested("so"), must_be_open=True),))


def event(id: str, name: str, **changes: Any) -> AcceptedEvent:
    return attrs.evolve(AcceptedEvent(id, name, Json(b"{}"), NOW, NOW), **changes)


def wait(run: str, name: str) -> Wait:
    return Wait(f"{run}-{name}", "shop", run, "step", name, 0, NOW + HOUR)


async def unrouted(store: Store) -> list[str]:
    return [event.id for event in await store.unrouted()]


@STORES
async def test_each_of_many_is_committed_by_itself(make: Make, tmp_path: Path) -> None:
    """A refusal stands where its answer would, has changed nothing, and concerns no other; one sees those before it."""
    store = make(tmp_path)
    assert isinstance(store, Many)
    await store.open()
    transitions = [creating("a"), cancelling("nobody"), creating("b"), attrs.evolve(creating("a"), id="again")]
    first, no_run, third, twice = await store.commit_many([*transitions[:3], transitions[3]])
    assert (type(first), type(third)) == (Committed, Committed)
    assert (type(no_run), type(twice)) == (RunEnded, Duplicate)
    assert [await store.load("shop", run) is not None for run in ("a", "b", "nobody")] == [True, True, False]
    assert [type(answer) for answer in await store.commit_many(transitions[:3])] == [Committed, RunEnded, Committed]
    await store.close()


@STORES
async def test_a_name_is_awaited_while_a_wait_on_it_is_open(make: Make, tmp_path: Path) -> None:
    """Whatever the wait matches; and not any more when its run has ended."""
    store = make(tmp_path)
    assert isinstance(store, Many)
    await store.open()
    await store.commit(attrs.evolve(creating("a"), open_waits=(wait("a", "paid"), wait("a", "sent"))))
    assert await store.awaited(["paid", "lost", "sent"]) == {"paid", "sent"}
    assert await store.awaited([]) == frozenset()
    await store.close()


@STORES
async def test_what_nobody_waits_for_is_routed_by_its_acceptance(make: Make, tmp_path: Path) -> None:
    """If its transition says that it has started all that it starts; its position is that of any event."""
    store = make(tmp_path)
    await store.open()
    committed = await store.commit(Transition("e1", accept=(event("e1", "paid"), event("e2", "sent")), routes=True))
    assert (committed.positions, await unrouted(store)) == ((1, 2), [])
    await store.commit(Transition("e3", accept=(event("e3", "paid"),)))
    assert await unrouted(store) == ["e3"]
    assert [e.id for e in await store.events("paid", 0)] == ["e1", "e3"]
    await store.close()


@STORES
async def test_what_somebody_waits_for_is_left_to_the_router(make: Make, tmp_path: Path) -> None:
    """Whether the wait was there before, or is opened by the very transition that accepts the event."""
    store = make(tmp_path)
    await store.open()
    await store.commit(attrs.evolve(creating("a"), open_waits=(wait("a", "paid"),)))
    await store.commit(Transition("e1", accept=(event("e1", "paid"), event("e2", "lost")), routes=True))
    assert await unrouted(store) == ["e1"]
    both = Transition("e3", create=creating("b").create, accept=(event("e3", "sent"),), routes=True)
    await store.commit(attrs.evolve(both, open_waits=(wait("b", "sent"),)))
    assert await unrouted(store) == ["e1", "e3"]
    await store.close()


@STORES
async def test_what_is_to_start_later_is_left_to_the_router(make: Make, tmp_path: Path) -> None:
    """An event whose runs the router starts is not routed before that, and one of the future has no position yet."""
    store = make(tmp_path)
    await store.open()
    later = (event("e1", "paid", deferred=True), event("e2", "paid", ts=NOW + HOUR))
    assert (await store.commit(Transition("e1", accept=later, routes=True))).positions == (1, 0)
    assert await unrouted(store) == ["e1"]
    assert (await store.commit(Transition("e3", accept=(event("e3", "paid"),), routes=True))).positions == (2,)
    await store.close()
