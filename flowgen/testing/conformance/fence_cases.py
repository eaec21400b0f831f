"""Fences: at most one owner writes, and a zombie's writes change nothing anywhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ...runs import Message, RunRow
from ...runtime.store import Conflict, Lease, LeaseLost
from ...transition import Cell, DropKey, NewRun, Opening, TakeKey, Transition
from .case import Collection
from .world import APP, LEASE, MINUTE, SECOND, World, completed, done, encoded, failed, result, started

case = Collection()

Write = Callable[[World, RunRow], Awaitable[Transition]]
Stale = Callable[[World], Awaitable[RunRow]]
"""Leads to a fence that is not in force, and gives the row as somebody knows it who believes that it is."""


async def _taken_over_by_another(world: World) -> RunRow:
    row = await world.own()
    await world.write(row, started())
    world.pass_time(LEASE)
    world.expect("another worker takes the run over", await world.claimed("w2"), ["r1"])
    return row


async def _given_back(world: World) -> RunRow:
    row = await world.own()
    await world.write(row, started(), release=True, due_at=None)
    return row


async def _ended(world: World) -> RunRow:
    row = await world.own()
    await world.write(row, started(), completed(), stored="completed")
    return row


async def _parked(world: World) -> RunRow:
    row = await world.own()
    await world.write(row, started(), stored="parked", digest="code-1")
    return row


async def _not_claimed_yet(world: World) -> RunRow:
    row = await world.own()
    await world.write(row, started())
    row.fence += 1
    return row


async def _never_there(world: World) -> RunRow:
    return await world.row("ghost", fence=1)


async def _records(world: World, row: RunRow) -> Transition:
    return world.progress(row, done())


async def _release(world: World, row: RunRow) -> Transition:
    return world.progress(row, release=True)


async def _end(world: World, row: RunRow) -> Transition:
    return world.progress(row, completed(), stored="completed")


async def _park(world: World, row: RunRow) -> Transition:
    return world.progress(row, stored="parked", digest="code-1")


async def _drain(world: World, row: RunRow) -> Transition:
    await world.tell()
    return world.progress(row, drained=1)


async def _send(world: World, row: RunRow) -> Transition:
    return world.progress(row, accept=(await world.event(),))


async def _invoke(world: World, row: RunRow) -> Transition:
    return world.progress(row, create=(NewRun(await world.row("child"), ()),))


async def _message(world: World, row: RunRow) -> Transition:
    await world.create("r2")
    return world.progress(row, messages=(Message("m1", APP, "r2", result()),))


async def _wait(world: World, row: RunRow) -> Transition:
    return world.progress(row, open_waits=(await world.wait(row),))


async def _key(world: World, row: RunRow) -> Transition:
    return world.progress(row, take=(TakeKey(APP, "k1", "h1"),))


async def _cell(world: World, row: RunRow) -> Transition:
    return world.progress(row, cells=(Cell(APP, "c1", 0, encoded(1)),))


async def _reopen(world: World, row: RunRow) -> Transition:
    return world.progress(row, reopen=True)


async def _close_wait(world: World, row: RunRow) -> Transition:
    return world.progress(row, close_waits=("wait-1",))


async def _look_back(world: World, row: RunRow) -> Transition:
    return world.progress(row, looked=(("wait-1", 7),))


async def _drop(world: World, row: RunRow) -> Transition:
    await world.take("k2", "r1")
    return world.progress(row, drop=(DropKey(APP, "k2", "r1"),))


async def _route(world: World, row: RunRow) -> Transition:
    await world.accept(await world.event("e2"))
    return world.progress(row, routed=("e2",))


async def _begin(world: World, row: RunRow) -> Transition:
    return world.progress(row, done(), started_at=await world.now(), deadline=await world.now() + MINUTE)


async def _open(world: World, row: RunRow) -> Transition:
    return world.progress(row, opening=Opening((await world.event(),), slots=("k",)), release=True)


def _fence_case(who: str, stale: Stale, name: str, write: Write) -> None:
    async def script(world: World) -> None:
        row = await stale(world)
        transition = await write(world, row)
        await world.refuses(LeaseLost(), world.store.commit(transition))

    about = f"{STALE[who][1]} cannot {name}: its lease is lost, and nothing changes."
    case.add(f"{who}_cannot_{name.replace(' ', '_')}", about, script)


STALE: dict[str, tuple[Stale, str]] = {
    "a_zombie": (_taken_over_by_another, "A worker whose run was taken over"),
    "who_gave_back": (_given_back, "A worker that gave the run back"),
    "who_ended": (_ended, "A worker that has ended the run"),
    "who_parked": (_parked, "A worker that has parked the run"),
    "who_comes_early": (_not_claimed_yet, "Whoever names a fence that was never given out"),
    "who_sees_ghosts": (_never_there, "Whoever owns a run that is not there"),
}


WRITES: dict[str, Write] = {
    "append records": _records,
    "release the run": _release,
    "end the run": _end,
    "park the run": _park,
    "begin the run": _begin,
    "open what is collected": _open,
    "drain mail": _drain,
    "send events": _send,
    "create children": _invoke,
    "put messages": _message,
    "route events": _route,
    "open waits": _wait,
    "close waits": _close_wait,
    "note how far it looked back": _look_back,
    "take keys": _key,
    "drop keys": _drop,
    "write cells": _cell,
}
"""Everything that an owner's commit can do."""

APPLIED_BEFORE = {
    ("who_gave_back", "release the run"),
    ("who_gave_back", "open what is collected"),
    ("who_ended", "release the run"),
    ("who_ended", "end the run"),
    ("who_ended", "open what is collected"),
    ("who_parked", "release the run"),
    ("who_parked", "park the run"),
    ("who_parked", "open what is collected"),
    ("who_gave_back", "end the run"),
    ("who_gave_back", "park the run"),
    ("who_ended", "park the run"),
    ("who_parked", "end the run"),
}
"""Not refused: without a record, one that gives up a run is known by fence and length alone, and was applied."""

for _who, (_stale, _) in STALE.items():
    for _name, _write in WRITES.items():
        if (_who, _name) not in APPLIED_BEFORE:
            _fence_case(_who, _stale, _name, _write)
_fence_case("a_zombie", _taken_over_by_another, "reopen the run", _reopen)


@case
async def a_zombie_cannot_extend(world: World) -> None:
    """A lease under a stale fence is not extended, and the new owner's stays as it is."""
    row = await _taken_over_by_another(world)
    lease = Lease(APP, "r1", row.fence)
    extended = await world.unchanged(world.store.extend("w1", [lease], LEASE))
    world.expect("the zombie's lease", extended.mail, (None,))


@case
async def the_fence_grows_with_each_claim(world: World) -> None:
    """Each claim has a higher fence than all before, whoever makes it."""
    await world.create()
    fences: list[int] = []
    for worker in ("w1", "w2", "w1"):
        (claimed,) = (await world.claim(worker)).runs
        fences.append(claimed.row.fence)
        await world.write(claimed.row, release=True, due_at=await world.now())
    world.expect("fences grow", fences, sorted(set(fences)))


@case
async def nothing_is_written_after_the_release(world: World) -> None:
    """Who gave a run back owns it no more, though nobody has claimed it."""
    row = await world.own()
    await world.write(row, started(), release=True, due_at=await world.now() + MINUTE)
    await world.refuses(LeaseLost(), world.store.commit(world.progress(row, done())))


@case
async def nothing_is_written_after_the_end(world: World) -> None:
    """An ended run has no owner: its last one loses its lease."""
    row = await world.own()
    await world.write(row, started(), completed(), stored="completed")
    await world.refuses(LeaseLost(), world.store.commit(world.progress(row, done())))


@case
async def an_expired_lease_that_nobody_took_still_holds(world: World) -> None:
    """Expiry alone takes nothing away: the fence decides. The late owner commits and releases."""
    row = await world.own()
    world.pass_time(LEASE + SECOND)
    await world.write(row, started())
    await world.write(row, done(), release=True, due_at=None)
    world.expect("both records are there", (await world.fresh(row)).length, 2)


@case
async def a_run_that_is_not_there_has_no_owner(world: World) -> None:
    """A progress on a run that does not exist loses its lease."""
    await world.refuses(LeaseLost(), world.store.commit(world.progress(await world.row("ghost", fence=1), started())))


@case
async def positions_must_fit(world: World) -> None:
    """A position below or above the run's length is a conflict for its owner."""
    row = await world.own()
    await world.write(row, started())
    (again,) = await _taken_over(world)
    for position in (0, 2):
        transition = world.progress(again, done(), position=position)
        await world.refuses(Conflict("position"), world.store.commit(transition))


async def _taken_over(world: World) -> list[RunRow]:
    world.pass_time(LEASE)
    return [claimed.row for claimed in (await world.claim("w2")).runs]


@case
async def a_failed_run_can_be_reopened(world: World) -> None:
    """Reopening lifts a run out of its end: open, due, no owner; the next claim goes on with the history."""
    row = await world.own()
    await world.write(row, started(), failed(), stored="failed", reason="no")
    await world.write(row, done("retried"), reopen=True, release=True, life=1, due_at=await world.now())
    kept = await world.fresh(row)
    world.expect(
        "the row", (kept.stored, kept.reason, kept.owner, kept.ended_at, kept.life), ("open", None, None, None, 1)
    )
    (claimed,) = (await world.claim()).runs
    world.expect("claimed with its whole history", (claimed.row.length, claimed.took_over), (3, False))
    await world.write(claimed.row, done())


@case
async def a_reopening_meets_a_run_that_went_on(world: World) -> None:
    """Of two who reopen a run, the one who comes after its next owner's claim is refused."""
    row = await world.own()
    await world.write(row, started(), failed(), stored="failed")
    late = world.progress(row, done("retried"), done("late"), reopen=True)
    await world.write(row, done("retried"), reopen=True, due_at=await world.now())
    (claimed,) = (await world.claim()).runs
    await world.write(claimed.row, done())
    late.progress.position = 4  # type: ignore[union-attr]
    await world.refuses(LeaseLost(), world.store.commit(late))


@case
async def an_open_run_is_not_reopened(world: World) -> None:
    """Reopening is for ended and parked runs: an open one refuses it, owned or not."""
    row = await world.own()
    await world.refuses(LeaseLost(), world.store.commit(world.progress(row, done(), reopen=True)))
    await world.write(row, started(), release=True, due_at=None)
    await world.refuses(Conflict("position"), world.store.commit(world.progress(row, done(), reopen=True)))
