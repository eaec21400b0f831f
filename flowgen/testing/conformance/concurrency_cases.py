"""Many tasks at once: whatever the interleaving, runs have one owner, and nothing is lost or doubled.

The other cases ask one thing at a time; here a store that waits between its reads and its writes shows
it. Each case judges by what must be true of the result, not by the order in which it came about.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from ...runs import Message, RunRow
from ...runtime.store import Conflict, Duplicate, Lease, LeaseLost, Refused, Who
from ...transition import Cell, NewRun, TakeKey, Transition
from .case import Collection
from .world import APP, LEASE, OFFERS, World, cancelled, completed, done, encoded, result, started

case = Collection()


async def _at_once(*jobs: Callable[[], Awaitable[object]]) -> None:
    async with trio.open_nursery() as nursery:
        for job in jobs:
            nursery.start_soon(_run, job)


async def _run(job: Callable[[], Awaitable[object]]) -> None:
    await job()


@case
async def each_run_is_claimed_by_one_worker(world: World) -> None:
    """Twenty workers that claim at once share sixty due runs; none has two owners, none is left."""
    for number in range(60):
        await world.create(f"r{number:02}")
    owners: list[tuple[str, str, int]] = []

    async def work(worker: str) -> None:
        while runs := (await world.claim(worker, limit=2)).runs:
            owners.extend((claimed.row.id, worker, claimed.row.fence) for claimed in runs)

    await _at_once(*(lambda w=f"w{n}": work(w) for n in range(20)))
    world.expect("runs claimed", sorted(run for run, _, _ in owners), [f"r{n:02}" for n in range(60)])
    world.expect("fences", {fence for _, _, fence in owners}, {1})


@case
async def take_overs_leave_one_history(world: World) -> None:
    """Workers that claim, write, lose leases and write on leave dense histories, each record by its owner."""
    for number in range(6):
        await world.create(f"r{number}")
    written: list[tuple[str, int, str]] = []

    async def work(worker: str) -> None:
        for turn in range(12):
            if turn % 3 == 2:
                world.pass_time(LEASE)
            for claimed in (await world.claim(worker, limit=2)).runs:
                await drive(worker, claimed.row)

    async def drive(worker: str, row: RunRow) -> None:
        for number in range(3):
            step = f"{worker} under {row.fence}, {number}"
            position = row.length
            try:
                await world.write(row, done(step))
            except LeaseLost:
                return
            written.append((row.id, position, step))
        if row.fence % 2:
            await _ignoring(LeaseLost, lambda: world.write(row, release=True, due_at=row.created_at))

    await _at_once(*(lambda w=f"w{n}": work(w) for n in range(5)))
    for number in range(6):
        run = f"r{number}"
        loaded = await world.raw.load(APP, run)
        assert loaded is not None
        history = [(run, position, record.step) for position, record in enumerate(loaded.records)]  # type: ignore[union-attr]
        world.expect(f"the history of {run}", history, sorted(entry for entry in written if entry[0] == run))


async def _ignoring(refusal: type[Refused], job: Callable[[], Awaitable[object]]) -> None:
    try:
        await job()
    except refusal:
        return


@case
async def a_key_has_one_winner(world: World) -> None:
    """Of many who take a free key at once, one has it; the others are told who. The runs agree."""
    won: list[str] = []
    lost: list[str] = []

    async def start(number: int) -> None:
        run = f"r{number}"
        new = NewRun(await world.row(run), ())
        try:
            await world.store.commit(Transition(run, create=(new,), take=(TakeKey(APP, "single", run),)))
            won.append(run)
        except Duplicate as refusal:
            lost.append(refusal.holder)

    await _at_once(*(lambda n=n: start(n) for n in range(20)))
    world.expect("one winner, known to all others", (len(won), set(lost), len(lost)), (1, set(won), 19))
    there = [n for n in range(20) if await world.raw.load(APP, f"r{n}") is not None]
    world.expect("one run", [f"r{n}" for n in there], won)


@case
async def no_update_of_a_cell_is_lost(world: World) -> None:
    """Counting in a cell under its version, again after each conflict, counts everything."""

    async def count() -> None:
        for _ in range(4):
            while not await _add(world.store):
                await trio.lowlevel.checkpoint()

    await _at_once(*[count] * 8)
    cell = (await world.raw.cells(APP, ["count"]))["count"]
    world.expect("the count", cell.value, encoded(32))


@case
async def positions_follow_commit_order(world: World) -> None:
    """While many accept events, a reader that saw a position never finds a new event below it."""
    seen: list[int] = []
    done_accepting = trio.Event()

    async def accept(worker: int) -> None:
        for number in range(10):
            await world.accept(await world.event(f"e{worker}-{number}a"), await world.event(f"e{worker}-{number}b"))

    async def accept_all() -> None:
        await _at_once(*(lambda n=n: accept(n) for n in range(6)))
        done_accepting.set()

    async def read() -> None:
        while not done_accepting.is_set():
            newer = await world.store.events("paid", seen[-1] if seen else 0)
            seen.extend(event.position for event in newer)
            await trio.lowlevel.checkpoint()

    await _at_once(accept_all, read, read_last(world, done_accepting))
    events = await world.raw.events("paid", 0)
    rest = [event.position for event in await world.raw.events("paid", seen[-1] if seen else 0)]
    world.expect("what the reader saw, and the rest", seen + rest, [event.position for event in events])
    world.expect("all events", len(events), 120)


def read_last(world: World, until: trio.Event) -> Callable[[], Awaitable[None]]:
    """A reader of the last position: it never goes back."""

    async def read() -> None:
        last = 0
        while not until.is_set():
            position = await world.store.last_position()
            world.expect("the last position does not go back", position >= last, True)
            last = position
            await trio.lowlevel.checkpoint()

    return read


@case
async def no_wake_up_is_lost(world: World) -> None:
    """A message races with the owner's release: whoever comes last, a run with unread mail is due."""
    for number in range(24):
        run = f"r{number}"
        row = await world.own(run)
        await world.tell(run, "first")
        await _at_once(partial(_drain_and_release, world, row), partial(_tell_after, world, run, number // 2))
        kept = await world.fresh(row)
        unread = kept.mail > kept.drained
        world.expect(f"{run} has {kept.mail - kept.drained} unread, and is due", kept.due_at is not None, unread)


async def _drain_and_release(world: World, row: RunRow) -> None:
    loaded = await world.store.load(row.app, row.id)
    drained = max(mail.number for mail in loaded.mail)
    await world.write(row, done(f"drained {drained}"), drained=drained, release=True, due_at=None)


async def _tell_after(world: World, run: str, checkpoints: int) -> None:
    for _ in range(checkpoints):
        await trio.lowlevel.checkpoint()
    await world.tell(run, "second")


@case
async def a_cancel_or_an_end_wins(world: World) -> None:
    """A cancel and the end race: an accepted cancel ends the run cancelled, a refused one names the end."""
    outcomes: list[tuple[str, str]] = []

    async def race(number: int) -> None:
        run = f"r{number}"
        row = await world.own(run)
        answers: list[str] = []

        async def end() -> None:
            for _ in range(number % 4):
                await trio.lowlevel.checkpoint()
            try:
                await world.write(row, started(), completed(), stored="completed")
            except Conflict:
                await world.write(row, started(), cancelled(), stored="cancelled", drained=1)

        async def ask() -> None:
            for _ in range(number % 3):
                await trio.lowlevel.checkpoint()
            try:
                await world.cancel(run)
                answers.append("cancelled")
            except Refused:
                answers.append("completed")

        await _at_once(end, ask)
        outcomes.append((answers[0], (await world.fresh(row)).stored))

    await _at_once(*(lambda n=n: race(n) for n in range(24)))
    world.expect("the answer is what happened", [a for a, _ in outcomes], [stored for _, stored in outcomes])


@case
async def extending_and_taking_over_exclude_one_another(world: World) -> None:
    """At the moment of expiry a lease is extended or taken over, never both."""
    verdicts: list[tuple[bool, bool]] = []
    for number in range(12):
        run = f"r{number:02}"
        await world.own(run)
        world.pass_time(LEASE - (number % 2))
        extended: list[int | None] = []
        claimed: list[str] = []

        async def extend(run: str = run, extended: list[int | None] = extended) -> None:
            extended.extend((await world.store.extend("w1", [Lease(APP, run, 1)], LEASE)).mail)

        async def claim(claimed: list[str] = claimed) -> None:
            claimed.extend(await world.claimed("w2"))

        await _at_once(extend, claim)
        verdicts.append((extended == [0], run in claimed))
        row = await world.fresh(await world.row(run))
        await world.write(row, started(), completed(), stored="completed")
    world.expect("exactly one of both", [a != b for a, b in verdicts], [True] * 12)


@case
async def the_same_commit_many_times_at_once_is_one(world: World) -> None:
    """A transition that several tasks repeat at once is applied once, and all are told so."""
    row = await world.own()
    transition = world.progress(row, started(), done(), accept=(await world.event("e1"),))
    positions: list[tuple[int, ...]] = []

    async def commit() -> None:
        positions.append((await world.store.commit(transition)).positions)

    await _at_once(*[commit] * 8)
    world.expect("one answer", len(set(positions)), 1)
    world.expect("the length", (await world.fresh(row)).length, 2)


@case
async def a_cancelled_caller_leaves_the_store_whole(world: World) -> None:
    """A task that is cancelled in a commit leaves it applied or not, never in part; the store goes on."""
    await world.create("idle", due_at=None)
    for number in range(20):
        run = f"r{number}"
        row = await world.own(run)
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_commit_pair, world, row, number)
                for _ in range(number % 5):
                    await trio.lowlevel.checkpoint()
                scope.cancel()
        length = (await world.fresh(row)).length
        mail = f"m{number}" in await world.mail(await world.row("idle"))
        world.expect("both or neither", mail, length == 1)
        await world.write(await world.fresh(row), done("goes on"))


async def _commit_pair(world: World, row: RunRow, number: int) -> None:
    message = Message(f"m{number}", APP, "idle", result())
    await world.store.commit(world.progress(row, started(), messages=(message,)))


@case
async def two_stores_claim_and_count_at_once(world: World) -> None:
    """Workers of two processes share the runs, and count in one cell: none has two owners, no count is lost."""
    other = await world.second()
    for number in range(24):
        await world.create(f"r{number:02}")
    owners: list[str] = []

    async def work(store: Any, worker: str) -> None:
        while runs := (await store.claim(Who(worker, OFFERS), 1, LEASE)).runs:
            owners.extend(claimed.row.id for claimed in runs)
            while not await _add(store):
                await trio.lowlevel.checkpoint()

    await _at_once(*(partial(work, store, f"w{n} of {store}") for n in range(3) for store in (world.store, other)))
    world.expect("runs claimed", sorted(owners), [f"r{n:02}" for n in range(24)])
    world.expect("the count", (await world.raw.cells(APP, ["count"]))["count"].value, encoded(24))


async def _add(store: Any) -> bool:
    """Add one to a cell, unless somebody else was faster."""
    cell = (await store.cells(APP, ["count"])).get("count") or Cell(APP, "count", 0, encoded(0))
    assert cell.value is not None
    total = int(bytes(cell.value)) + 1
    try:
        await store.commit(Transition(f"count {total}", cells=(Cell(APP, "count", cell.version, encoded(total)),)))
    except Conflict:
        return False
    return True
