"""A store on a shelf keeps the contract, whoever else writes there, and says what is wrong with its documents."""

from __future__ import annotations

import re
from typing import Any

import pytest
import trio
import trio.lowlevel
from hypothesis import given
from hypothesis import strategies as st

from flowgen import App, Context, Event, Run, Steps, WaitFor
from flowgen.errors import StoreError
from flowgen.runtime import open_engine
from flowgen.runtime.store import Lease, RunFilter
from flowgen.runtime.stores import DocumentStore
from flowgen.runtime.stores.documents.papers import name_of
from flowgen.testing.conformance import Case, store_cases
from flowgen.testing.conformance.world import LEASE, World, WorldClock, done, started

from .shelves import MemoryShelf, forgetful

CASES = store_cases()


def again(store: Any, clock: Any) -> DocumentStore:
    return DocumentStore(store.shelf, clock, inline=True)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_all_that_matters_is_on_the_shelf(case: Case) -> None:
    """It keeps the contract even if it reads everything anew before each verb."""
    assert case.check(lambda clock: forgetful(MemoryShelf(), clock), reopen=again) is None


def world_of(shelf: MemoryShelf, **options: Any) -> World:
    clock = WorldClock()
    return World(DocumentStore(shelf, clock, **options), clock, None)


async def test_who_comes_second_looks_again() -> None:
    """A change that meets another one is done again on what that one left; so nobody's is lost."""
    shelf = MemoryShelf()
    world, other = world_of(shelf, inline=True), world_of(shelf, inline=True)
    await world.raw.open()
    await other.raw.open()
    row = await world.own()
    desk = other.raw._desk  # type: ignore[attr-defined]
    shelf.before_write = lambda: desk.change(lambda state: state.cells_noted.add(("shop", "nothing")))
    await world.write(row, started())
    assert (await other.fresh(row)).length == 1
    shelf.before_write = lambda: desk.change(lambda state: state.runs_noted.add(("shop", "r1")))
    await world.write(row, done())
    assert (await other.fresh(row)).length == 2


async def test_an_error_of_the_shelf_is_a_store_error() -> None:
    """It names the shelf; nothing is known then, and the next verb reads everything."""
    shelf = MemoryShelf()
    world = world_of(shelf, inline=True)
    await world.raw.open()
    row = await world.own()

    def fail() -> None:
        raise OSError("disk full")

    shelf.before_write = fail
    reads = shelf.reads
    with pytest.raises(StoreError, match="a shelf in memory: OSError: disk full"):
        await world.write(row, started())
    assert (await world.fresh(row)).length == 0
    assert shelf.reads == reads + 1


async def test_documents_are_sealed() -> None:
    """A flipped bit, a document under another's name and one of somebody else are refused by name."""
    shelf = MemoryShelf()
    world = world_of(shelf, inline=True)
    await world.raw.open()
    await world.own("r1")
    await world.own("r2")
    sound = dict(shelf.documents)
    name, second = name_of("run", "shop", "r1"), name_of("run", "shop", "r2")
    for documents, message in (
        (sound | {name: sound[name].replace(b"fulfil", b"fulfim")}, f"document {name} is damaged"),
        (sound | {second: sound[name]}, f"document {second} is damaged"),
        (sound | {"cart/7": b"{}"}, "document 'cart/7' is none of ours"),
    ):
        shelf.documents, shelf.number = documents, shelf.number + 1
        with pytest.raises(StoreError, match=re.escape(message)):
            await world.raw.load("shop", "r1")
    shelf.documents, shelf.number = sound, shelf.number + 1
    assert await world.raw.load("shop", "r1") is not None


async def test_an_idle_claim_writes_nothing() -> None:
    """Looking for work where there is none changes nothing, so idle processes do not wake one another."""
    shelf = MemoryShelf()
    world = world_of(shelf, inline=True)
    await world.raw.open()
    await world.claim()
    version = shelf.number
    await world.claim()
    world.pass_time(LEASE // 2)
    await world.claim()
    assert shelf.number == version


async def test_leases_are_extended_without_a_task() -> None:
    """The heartbeat thread's door uses the shelf by itself, and what it extends is on it."""
    shelf = MemoryShelf()
    world = world_of(shelf)
    await world.raw.open()
    row = await world.own()
    world.pass_time(LEASE // 2)
    extender = world.raw.extender()
    assert extender.extend("w1", [Lease("shop", "r1", row.fence)], LEASE).mail == (0,)
    extender.close()
    world.pass_time(LEASE // 2)
    assert await world.claimed("w2") == []
    await world.raw.close()


text = st.text(st.characters(codec="utf-8"), max_size=300) | st.sampled_from(["", ".", "..", "a.b", "A", "a"])


@given(st.lists(st.tuples(text, text), min_size=2, max_size=2, unique=True))
def test_names_of_documents_may_be_names_of_files(names: list[tuple[str, str]]) -> None:
    """Two things have two names, also where case does not count, of letters that every file system takes."""
    first, second = (name_of("run", *pair) for pair in names)
    assert first != second
    for name in (first, second):
        assert re.fullmatch(r"run/[a-z0-9_.%-]{1,200}", name), name
        assert name not in ("run/.", "run/..")


async def test_an_engine_works_on_a_shelf() -> None:
    """A run waits for an event and ends; another store on the same shelf knows its history."""
    shelf = MemoryShelf()
    app = App("sums")

    @app.workflow
    def adds(ctx: Context[Any]) -> Steps[int]:
        total = yield Run("first", sum, [1, 2])
        more = yield WaitFor("more", "more", timeout="1h")
        return (yield Run("again", sum, [total, more.data["more"]]))

    with trio.fail_after(50):
        async with open_engine(app, DocumentStore(shelf), grace="0s") as engine:
            run = await engine.start("adds", {})
            while (await engine.run(run)).status != "waiting":
                await engine.store.wait_changed(0.02)
            await engine.send(Event("more", {"more": 4}))
            assert await engine.result(run) == 7
    store = DocumentStore(shelf, inline=True)
    await store.open()
    (row,) = (await store.find_runs(RunFilter())).items
    assert row.stored == "completed"


@pytest.mark.parametrize("answer", [None, False])
async def test_a_shelf_that_refuses_without_a_reason_is_named(answer: bool | None) -> None:
    """A shelf that says "too late" though its version is still the same would be asked for ever: it is an error."""

    class Vague(MemoryShelf):
        def write(self, version: int, changes: Any) -> bool:
            return answer  # type: ignore[return-value]

    world = world_of(Vague(), inline=True)
    await world.raw.open()
    with pytest.raises(StoreError, match=rf"returned {answer}, and version\(\) is still 0: a shelf returns True"):
        await world.own()
