"""Several connections and several processes on one file, and what survives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import trio
import trio.testing

from flowgen.runtime.store import Lease, Registration, Who
from flowgen.runtime.stores import SqliteStore
from flowgen.testing.conformance.world import LEASE, MINUTE, OFFERS, SECOND, World, WorldClock, done


async def worlds(path: Path, *clocks: WorldClock) -> list[World]:
    """Worlds over as many stores on one file, each with its own clock."""
    stores = [SqliteStore(path / "x.db", clock, inline=True) for clock in clocks]
    for store in stores:
        await store.open()
    return [World(store, clock, None) for store, clock in zip(stores, clocks, strict=True)]


# -- store time ---------------------------------------------------------------------------------------


async def test_time_never_goes_back_across_a_restart(tmp_path: Path) -> None:
    """The clock is set back by an hour while nothing runs: store time stands still instead."""
    clock = WorldClock()
    (world,) = await worlds(tmp_path, clock)
    await world.create("r1")
    latest = await world.now()
    await world.close()
    clock.time -= 60 * MINUTE
    (world,) = await worlds(tmp_path, clock)
    assert await world.now() == latest
    assert (await world.raw.load("shop", "r1")).now == latest  # type: ignore[union-attr]
    clock.time = latest + 1
    assert await world.now() == latest + 1
    await world.close()


async def test_time_never_goes_back_between_processes(tmp_path: Path) -> None:
    """What a process whose clock is ahead wrote down is the least that others answer; no lease is cut short."""
    ahead, behind = WorldClock(), WorldClock()
    ahead.time += 30 * SECOND
    fast, slow = await worlds(tmp_path, ahead, behind)
    row = await fast.own("r1", lease=LEASE)
    assert await slow.now() == ahead.time
    assert await slow.claimed("w2") == []
    committed = await slow.raw.commit(slow.progress(row, done()))
    assert committed.now == ahead.time
    await fast.close()
    await slow.close()


# -- hearing of one another -----------------------------------------------------------------------------


@pytest.mark.parametrize("other", [False, True], ids=["this process", "another"])
async def test_changes_are_noticed(tmp_path: Path, other: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Who waits is told at once by this process, and within half a second by another."""
    first, second = await worlds(tmp_path, WorldClock(), WorldClock())
    actor = second if other else first

    async def act() -> None:
        await trio.sleep(100)
        await actor.create("r1")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(act)
        await first.raw.wait_changed(1000)
    assert trio.current_time() <= (100.5 if other else 100)
    await first.close()
    await second.close()


async def test_nothing_is_missed_between_two_waits(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    """What changed after this task last waited ends its next wait at once; other tasks have their own memory."""
    (world,) = await worlds(tmp_path, WorldClock())
    await world.raw.wait_changed(1)
    before = trio.current_time()
    await world.create("r1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.raw.wait_changed, 10)
        await world.raw.wait_changed(1000)
        assert trio.current_time() == before
    await world.raw.wait_changed(5)
    assert trio.current_time() == before + 15
    await world.close()


async def test_an_owner_that_only_progresses_wakes_nobody_here(
    tmp_path: Path, autojump_clock: trio.testing.MockClock
) -> None:
    """A step's record is no work for others: whoever waits in this process does not hear of it, a release it does."""
    (world,) = await worlds(tmp_path, WorldClock())
    row = await world.own("r1")
    await world.raw.wait_changed(0)
    before = world.raw._changes  # type: ignore[attr-defined]
    await world.write(row, done())
    assert world.raw._changes == before  # type: ignore[attr-defined]
    began = trio.current_time()
    await world.raw.wait_changed(5)
    assert trio.current_time() == began + 5
    await world.write(row, done("b"), release=True)
    assert world.raw._changes == before + 1  # type: ignore[attr-defined]
    await world.close()


async def test_the_extender_works_in_another_thread(tmp_path: Path) -> None:
    """A thread extends leases on its own connection while the loop is blocked."""
    clock = WorldClock()
    store = SqliteStore(tmp_path / "x.db", clock)
    await store.open()
    world = World(store, clock, None)
    row = await world.own("r1", lease=LEASE)
    extender = store.extender()
    got = []
    clock.time += LEASE // 2
    thread = threading.Thread(target=lambda: got.append(extender.extend("w1", [Lease("shop", "r1", row.fence)], LEASE)))
    thread.start()
    thread.join()
    assert got[0].mail == (0,)
    assert (await world.fresh(row)).due_at == clock.time + LEASE
    extender.close()
    await store.close()


async def test_offers_of_another_process(tmp_path: Path) -> None:
    """A registration of one process is in force for the other, with its generation."""
    first, second = await worlds(tmp_path, WorldClock(), WorldClock())
    generation = await first.raw.register(Registration("shop", "w1", ()))
    assert (await second.raw.registrations()).generation == generation
    assert (await second.raw.claim(Who("w2", OFFERS), 1, LEASE)).generation == generation
    await first.close()
    await second.close()


# -- real processes ----------------------------------------------------------------------------------------

_COMMITTER = """
import sys, trio
from flowgen.runtime.stores import SqliteStore
from flowgen.testing.conformance.world import World, done

async def progress(world, run):
    row = await world.own(run, lease=10**12)
    while True:
        await world.write(row, done(f"step-{row.length}"))
        print(run, row.length, flush=True)

async def main(path, name):
    store = SqliteStore(path)
    await store.open()
    world = World(store, None, None)
    async with trio.open_nursery() as nursery:
        for number in range(8):
            nursery.start_soon(progress, world, f"{name}-{number}")

trio.run(main, *sys.argv[1:])
"""


def committer(path: Path, name: str) -> subprocess.Popen[str]:
    """A process that progresses with eight runs, and prints each record once it is acknowledged."""
    return subprocess.Popen(
        [sys.executable, "-c", _COMMITTER, str(path), name], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
    )


def acknowledged(process: subprocess.Popen[str], lines: int | None) -> dict[str, int]:
    """The highest length that was printed for each run: of some lines, or of all that are left."""
    assert process.stdout is not None
    lengths: dict[str, int] = {}
    for number, line in enumerate(process.stdout, 1):
        if line.endswith("\n") and len(line.split()) == 2:
            run, length = line.split()
            lengths[run] = int(length)
        if number == lines:
            break
    return lengths


async def test_kill_9_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    """Two processes commit to one file and are killed: each record that was acknowledged is there, once."""
    path = tmp_path / "x.db"
    store = SqliteStore(path)
    await store.open()
    for life in range(3):
        processes = [committer(path, f"life-{life}-{name}") for name in ("a", "b")]
        known: dict[str, int] = {}
        for process in processes:
            known |= acknowledged(process, 100)
        for process in processes:
            os.kill(process.pid, signal.SIGKILL)
        for process in processes:
            known |= acknowledged(process, None)
            process.wait()
            assert process.stdout is not None
            process.stdout.close()
        for run, length in known.items():
            found = await store.load("shop", run)
            assert found is not None
            steps = [record.step for record in found.records]  # type: ignore[union-attr]
            assert len(steps) == found.row.length >= length
            assert steps == [f"step-{number}" for number in range(len(steps))]
    await store.close()


async def test_the_file_is_whole_after_kill_9(tmp_path: Path) -> None:
    """SQLite itself finds nothing wrong with a file whose writer was killed."""
    path = tmp_path / "x.db"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    process = committer(path, "a")
    acknowledged(process, 200)
    os.kill(process.pid, signal.SIGKILL)
    acknowledged(process, None)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()
    connection = SqliteStore(path)._prepare()
    assert connection.execute("pragma integrity_check").fetchall() == [("ok",)]
    connection.close()


async def test_three_processes_share_the_work(tmp_path: Path) -> None:
    """Three processes write at once; each is patient with the others' locks and none is refused."""
    path = tmp_path / "x.db"
    store = SqliteStore(path)
    await store.open()
    await store.close()
    processes = [committer(path, name) for name in ("a", "b", "c")]
    lengths = [acknowledged(process, 300) for process in processes]
    for process in processes:
        os.kill(process.pid, signal.SIGKILL)
        acknowledged(process, None)
        assert process.wait() == -signal.SIGKILL
        assert process.stdout is not None
        process.stdout.close()
    assert all(len(progressed) == 8 for progressed in lengths)
