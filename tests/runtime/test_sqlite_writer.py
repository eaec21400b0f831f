"""The one writer: what shares a commit, what does not sink its neighbours, and what a failed commit means."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from flowgen.errors import InternalError, StoreError
from flowgen.runs import RunRow
from flowgen.runtime.store import Committed, Duplicate, LeaseLost, Loaded
from flowgen.runtime.stores import SqliteStore
from flowgen.runtime.stores.sqlite import batch
from flowgen.runtime.stores.sqlite.writer import SMALL
from flowgen.testing.conformance.world import World, done
from flowgen.transition import NewRun, TakeKey, Transition
from tests.runtime.sqlite_faults import NAME, Disk, disk


@asynccontextmanager
async def world_on(path: Path, *, inline: bool = False, **options: Any) -> AsyncIterator[World]:
    """A world over a store in `path`, closed afterwards."""
    store = SqliteStore(path, inline=inline, patience=0.02, **options)
    await store.open()
    world = World(store, None, None)
    try:
        yield world
    finally:
        with trio.CancelScope(shield=True):
            await world.close()


@asynccontextmanager
async def faulty_world(path: Path, *, inline: bool = False) -> AsyncIterator[tuple[World, Disk]]:
    """The same, on a disk that can be told to fail."""
    with disk() as faulty:
        async with world_on(path / "x.db", inline=inline, vfs=NAME) as world:
            yield world, faulty


async def answers(world: World, *transitions: Transition) -> list[Committed | Exception]:
    """What a store answers to transitions that are committed at once."""
    got: list[Committed | Exception] = [InternalError("no answer")] * len(transitions)

    async def commit(place: int, transition: Transition) -> None:
        try:
            got[place] = await world.raw.commit(transition)
        except Exception as error:
            got[place] = error

    async with trio.open_nursery() as nursery:
        for place, transition in enumerate(transitions):
            nursery.start_soon(commit, place, transition)
    return got


async def loaded(world: World, run: str) -> Loaded:
    found = await world.raw.load("shop", run)
    assert found is not None
    return found


async def owned(world: World, count: int) -> list[RunRow]:
    return [await world.own(f"r{number}") for number in range(count)]


# -- what shares a commit -------------------------------------------------------------------------------


async def test_commits_at_once_share_a_sync(tmp_path: Path) -> None:
    """A hundred runs that progress at the same time cost a few syncs of the disk, not a hundred."""
    async with faulty_world(tmp_path) as (world, faulty):
        rows = await owned(world, 100)
        faulty.syncs = 0
        got = await answers(world, *(world.progress(row, done()) for row in rows))
        assert all(isinstance(answer, Committed) for answer in got)
        assert 1 <= faulty.syncs <= 10


async def test_no_answer_before_the_sync(tmp_path: Path) -> None:
    """Ten want one key at once. Until the disk has the winner's commit, nobody is told: the losers neither."""
    async with faulty_world(tmp_path) as (world, faulty):
        takes = [Transition(f"take {n}", take=(TakeKey("shop", "k1", f"h{n}"),)) for n in range(10)]
        world.raw._writer._changes.pace = 1.0  # type: ignore[attr-defined]  # all by the thread, so in one batch
        told: list[type] = []
        seen: list[int] = []
        faulty.on_sync = lambda _: seen.append(len(told))

        async def commit(transition: Transition) -> None:
            try:
                told.append(type(await world.raw.commit(transition)))
            except Duplicate as refusal:
                told.append(type(refusal))

        async with trio.open_nursery() as nursery:
            for take in takes:
                nursery.start_soon(commit, take)
        assert seen == [0]
        assert sorted(told, key=str) == sorted([Committed] + [Duplicate] * 9, key=str)


async def test_a_refusal_does_not_sink_its_neighbours(tmp_path: Path) -> None:
    """In one commit, every second transition is refused; the others are applied, the refused ones not."""
    async with world_on(tmp_path / "x.db") as world:
        rows = await owned(world, 20)
        fences = [row.fence + number % 2 for number, row in enumerate(rows)]
        transitions = [world.progress(row, done(), fence=fence) for row, fence in zip(rows, fences, strict=True)]
        got = await answers(world, *transitions)
        assert [type(answer) for answer in got] == [Committed, LeaseLost] * 10
        assert [(await loaded(world, row.id)).row.length for row in rows] == [1, 0] * 10


async def test_what_cannot_be_written_does_not_sink_its_neighbours(tmp_path: Path) -> None:
    """A transition with a number that no column holds is the fault of whoever made it, and theirs alone."""
    async with world_on(tmp_path / "x.db") as world:
        rows = await owned(world, 5)
        good = [world.progress(row, done()) for row in rows]
        bad = Transition("bad", take=(TakeKey("shop", "k1", "h1", expires_at=2**70),))
        got = await answers(world, *good[:3], bad, *good[3:])
        assert isinstance(got[3], InternalError)
        assert all(isinstance(answer, Committed) for answer in got[:3] + got[4:])
        assert [(await loaded(world, row.id)).row.length for row in rows] == [1] * 5
        assert await world.raw.find_keys("shop", ["k1"]) == {}


async def test_half_a_transition_is_undone(tmp_path: Path) -> None:
    """What a transition wrote before it met its impossible part is not there afterwards."""
    async with world_on(tmp_path / "x.db") as world:
        row = await world.own("r1")
        transition = world.progress(row, done(), take=(TakeKey("shop", "k1", "h1", expires_at=2**70),))
        (answer,) = await answers(world, transition)
        assert isinstance(answer, InternalError)
        assert (await loaded(world, "r1")).row == await world.fresh(row)
        assert (await loaded(world, "r1")).records == ()


# -- a commit that fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize("inline", [False, True], ids=["thread", "inline"])
@pytest.mark.parametrize("operation", ["write", "sync"])
async def test_a_commit_that_fails(tmp_path: Path, operation: str, inline: bool) -> None:
    """All of the batch get a store error; none is applied; the same transitions succeed on a new connection."""
    async with faulty_world(tmp_path, inline=inline) as (world, faulty):
        rows = await owned(world, 10)
        transitions = [world.progress(row, done()) for row in rows]
        before = world.raw._writer._changes._connection  # type: ignore[attr-defined]
        faulty.fault = (operation, "-wal", apsw.IOError)
        got = await answers(world, *transitions)
        assert [type(answer) for answer in got] == [StoreError] * 10
        assert len({id(answer) for answer in got}) == 10
        assert all("x.db" in str(answer) and "unknown" in str(answer) for answer in got)
        faulty.fault = None
        assert [(await loaded(world, row.id)).row.length for row in rows] == [0] * 10
        got = await answers(world, *transitions)
        assert all(isinstance(answer, Committed) for answer in got)
        assert [(await loaded(world, row.id)).row.length for row in rows] == [1] * 10
        assert world.raw._writer._changes._connection is not before  # type: ignore[attr-defined]


async def test_a_commit_whose_effect_is_unknown(tmp_path: Path) -> None:
    """The sync fails after the bytes were written, the process dies: repeating the transition is right anyway."""
    async with faulty_world(tmp_path) as (world, faulty):
        row = await world.own("r1")
        transition = world.progress(row, done())
        faulty.fault = ("sync", "-wal", apsw.IOError)
        (answer,) = await answers(world, transition)
        assert isinstance(answer, StoreError)
        faulty.fault = None
        for _ in range(2):
            (answer,) = await answers(world, transition)
            assert isinstance(answer, Committed)
        assert len((await loaded(world, "r1")).records) == 1


async def test_a_full_disk(tmp_path: Path) -> None:
    """While the disk is full commits fail and say so, reads answer; with space again all goes on."""
    async with faulty_world(tmp_path) as (world, faulty):
        rows = await owned(world, 3)
        faulty.fault = ("write", "-wal", apsw.FullError)
        for _ in range(2):
            got = await answers(world, *(world.progress(row, done()) for row in rows))
            assert all(isinstance(answer, StoreError) and "the disk is full" in str(answer) for answer in got)
        assert (await loaded(world, "r0")).row.length == 0
        faulty.fault = None
        got = await answers(world, *(world.progress(row, done()) for row in rows))
        assert all(isinstance(answer, Committed) for answer in got)


async def test_what_does_not_fit_does_not_sink_what_does(tmp_path: Path) -> None:
    """In a file that may not grow, a big transition fails and the small ones beside it succeed."""
    async with world_on(tmp_path / "x.db") as world:
        rows = await owned(world, 4)
        connection = world.raw._writer._changes._connection  # type: ignore[attr-defined]
        connection.pragma("max_page_count", connection.pragma("page_count") + 20)
        small = [world.progress(row, done()) for row in rows]
        event = await world.event("big", data={"text": "x" * 400_000})
        big = Transition("big", create=(NewRun(await world.row("big"), (event,)),))
        got = await answers(world, *small[:2], big, *small[2:])
        assert isinstance(got[2], StoreError)
        assert "the disk is full" in str(got[2])
        assert all(isinstance(answer, Committed) for answer in got[:2] + got[3:])
        connection.pragma("max_page_count", 10**9)
        assert isinstance((await answers(world, big))[0], Committed)


async def test_a_lock_that_is_never_given_back(tmp_path: Path) -> None:
    """While another process holds the write lock, commits fail after a while; all of a batch together."""
    async with world_on(tmp_path / "x.db") as world:
        rows = await owned(world, 3)
        other = apsw.Connection(str(tmp_path / "x.db"))
        other.execute("begin immediate")
        got = await answers(world, *(world.progress(row, done()) for row in rows))
        assert all(isinstance(answer, StoreError) and "holds a lock" in str(answer) for answer in got)
        other.execute("rollback")
        other.close()
        got = await answers(world, *(world.progress(row, done()) for row in rows))
        assert all(isinstance(answer, Committed) for answer in got)


# -- the loop and the thread -------------------------------------------------------------------------------


async def syncing_threads(world: World, faulty: Disk, *transitions: Transition) -> set[int]:
    """The threads that synced the disk for these transitions, committed at once."""
    threads: set[int] = set()
    faulty.on_sync = lambda _: threads.add(threading.get_ident())
    got = await answers(world, *transitions)
    faulty.on_sync = None
    assert all(isinstance(answer, Committed) for answer in got)
    return threads


async def test_small_commits_are_done_by_the_loop(tmp_path: Path) -> None:
    """On a fast disk handing them to the thread costs more than they do; those of one turn share a sync."""
    async with faulty_world(tmp_path) as (world, faulty):
        rows = await owned(world, 20)
        world.raw._writer._changes.pace = -1.0  # type: ignore[attr-defined]  # fast, whatever the next syncs take
        loop = {threading.get_ident()}
        assert await syncing_threads(world, faulty, world.progress(rows[0], done())) == loop
        rows[0].length = 1
        before = faulty.syncs
        many = await syncing_threads(world, faulty, *(world.progress(row, done("b")) for row in rows))
        assert many == loop
        assert faulty.syncs - before <= 2


@pytest.mark.parametrize("late", [0, 1, 2, 3], ids="{} turns late".format)
async def test_who_writes_all_the_time_gets_into_step(tmp_path: Path, late: int) -> None:
    """A few that write one thing after another, and rest for a few turns now and then, share nearly all syncs."""
    rounds = 40
    async with faulty_world(tmp_path) as (world, faulty):
        rows = await owned(world, 4)
        world.raw._writer._changes.pace = -1.0  # type: ignore[attr-defined]  # fast, whatever the next syncs take

        async def write_on(row: RunRow, place: int) -> None:
            for number in range(rounds):
                for _ in range(late * (number % 10 == place)):
                    await trio.lowlevel.checkpoint()
                await world.store.commit(world.progress(row, done(f"step-{number}")))
                row.length += 1

        before = faulty.syncs
        async with trio.open_nursery() as nursery:
            for number, row in enumerate(rows):
                nursery.start_soon(write_on, row, number)
        assert faulty.syncs - before <= rounds + 2 * len(rows)


async def test_the_loop_does_nothing_large(tmp_path: Path) -> None:
    """A large transition is done by the thread, even alone."""
    async with faulty_world(tmp_path) as (world, faulty):
        row = await world.own("r1")
        large = world.progress(row, *(done(f"step-{number}") for number in range(SMALL + 1)))
        assert threading.get_ident() not in await syncing_threads(world, faulty, large)


async def test_the_loop_does_not_wait_for_a_slow_disk(tmp_path: Path) -> None:
    """When commits take long, the thread does them all; the loop takes over again when they are fast."""
    async with faulty_world(tmp_path) as (world, faulty):
        row = await world.own("r1")
        world.raw._writer._changes.pace = 1.0  # type: ignore[attr-defined]
        assert threading.get_ident() not in await syncing_threads(world, faulty, world.progress(row, done()))
        row.length = 1
        world.raw._writer._changes.pace = 0.0  # type: ignore[attr-defined]
        assert threading.get_ident() in await syncing_threads(world, faulty, world.progress(row, done()))


@pytest.mark.parametrize("busy", [True, False], ids=["busy", "idle"])
async def test_a_loop_with_nothing_to_do_waits_for_a_disk_that_is_fast_enough(
    tmp_path: Path, busy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that has other tasks to run leaves such syncs to the thread, as far as it knows of them in its turn."""
    monkeypatch.setattr(batch, "_WEIGHT", 0.0)  # whatever the syncs take
    threads: set[int] = set()
    async with faulty_world(tmp_path) as (world, faulty), trio.open_nursery() as nursery:
        rows = await owned(world, 3)
        if busy:
            nursery.start_soon(_turn_on)
        world.raw._writer._changes.pace = 0.001  # type: ignore[attr-defined]
        for number in range(20):
            threads |= await syncing_threads(world, faulty, world.progress(rows[0], done(f"step-{number}")))
            rows[0].length += 1
            at_once = [world.progress(row, done(f"beside-{number}")) for row in rows[1:]]
            threads |= await syncing_threads(world, faulty, *at_once)
            for row in rows[1:]:
                row.length += 1
        nursery.cancel_scope.cancel()
    assert (threads == {threading.get_ident()}) == (not busy)


async def _turn_on() -> None:
    while True:
        await trio.lowlevel.checkpoint()


async def test_the_loop_does_not_wait_for_a_lock(tmp_path: Path) -> None:
    """While another process holds the write lock, the thread waits for it and the loop goes on turning."""
    store = SqliteStore(tmp_path / "x.db")
    await store.open()
    world = World(store, None, None)
    row = await world.own("r1")
    other = apsw.Connection(str(tmp_path / "x.db"))
    other.execute("begin immediate")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(store.commit, world.progress(row, done()))
        for _ in range(10):
            await trio.lowlevel.checkpoint()
        assert (await loaded(world, "r1")).row.length == 0
        other.execute("rollback")
    assert (await loaded(world, "r1")).row.length == 1
    other.close()
    await store.close()


# -- tasks and threads -------------------------------------------------------------------------------------


async def test_a_cancelled_task_does_not_hang(tmp_path: Path) -> None:
    """Tasks that are cancelled while their commits are in flight end, and the store goes on."""
    async with faulty_world(tmp_path) as (world, faulty):
        rows = await owned(world, 50)
        with trio.CancelScope() as scope:
            token = trio.lowlevel.current_trio_token()
            faulty.on_sync = lambda _: token.run_sync_soon(scope.cancel)
            async with trio.open_nursery() as nursery:
                for row in rows:
                    nursery.start_soon(world.raw.commit, world.progress(row, done()))
        faulty.on_sync = None
        lengths = [(await loaded(world, row.id)).row.length for row in rows]
        assert set(lengths) <= {0, 1}
        again = [row for row, length in zip(rows, lengths, strict=True) if length == 0]
        got = await answers(world, *(world.progress(row, done()) for row in again))
        assert all(isinstance(answer, Committed) for answer in got)


async def test_a_task_cancelled_before_it_commits(tmp_path: Path) -> None:
    """A commit in a scope that is cancelled already does not happen."""
    async with world_on(tmp_path / "x.db") as world:
        row = await world.own("r1")
        with trio.CancelScope() as scope:
            scope.cancel()
            await world.raw.commit(world.progress(row, done()))
        assert scope.cancelled_caught
        assert (await loaded(world, "r1")).row.length == 0


async def test_closing_does_what_waits(tmp_path: Path) -> None:
    """Commits that are in flight when the store is closed are done and answered."""
    store = SqliteStore(tmp_path / "x.db")
    await store.open()
    world = World(store, None, None)
    rows = await owned(world, 20)
    got: list[Committed] = []

    async def commit(row: RunRow) -> None:
        got.append(await store.commit(world.progress(row, done())))

    async with trio.open_nursery() as nursery:
        for row in rows:
            nursery.start_soon(commit, row)
        await trio.testing.wait_all_tasks_blocked()
        await store.close()
    assert len(got) == 20


async def test_opened_and_closed_again_and_again(tmp_path: Path) -> None:
    """A store object may be opened and closed many times; what was committed stays."""
    store = SqliteStore(tmp_path / "x.db")
    for number in range(5):
        await store.open()
        world = World(store, None, None)
        await world.own(f"r{number}")
        assert len((await store.children("shop", "nobody")).items) == 0
        await store.close()
    await store.open()
    assert [row is not None for row in [await store.load("shop", f"r{number}") for number in range(5)]] == [True] * 5
    await store.close()


async def test_a_large_history_lets_others_run(tmp_path: Path) -> None:
    """A long history is read in bits: other tasks turn in between, and what they commit is not in it."""
    async with world_on(tmp_path / "x.db", inline=True) as world:
        row = await world.own("r1")
        await world.write(row, *(done(f"step-{number}") for number in range(5000)))
        turns = 0

        async def others() -> None:
            nonlocal turns
            while True:
                turns += 1
                await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(others)
            await trio.lowlevel.checkpoint()
            nursery.start_soon(world.write, row, done("late"))
            found = await loaded(world, "r1")
            nursery.cancel_scope.cancel()
        assert [record.step for record in found.records[:3]] == ["step-0", "step-1", "step-2"]  # type: ignore[union-attr]
        assert len(found.records) == found.row.length
        assert turns > 5
        rest = await world.raw.load("shop", "r1", 4990)
        assert rest is not None
        assert len(rest.records) in (10, 11)
