"""Runs that begin in the commit that claims them (`Begins`), in stores that can do that."""

from __future__ import annotations

from ...runs import RunRow
from ...runtime.store import Begin, Begins, Claimed, Who
from ...transition import Progress, Transition
from .case import Collection
from .slot_cases import line_up
from .world import APP, LEASE, OFFERS, Unavailable, World, done, started

case = Collection()


def _beginning(row: RunRow, now: int) -> Transition:
    """What the new owner of a run writes first."""
    progress = Progress(row.app, row.id, row.fence, row.length, (started(now),), started_at=now)
    return Transition(f"{row.id}/{row.fence}/{row.length}", progress)


async def _claim(
    world: World, begin: Begin = _beginning, limits: tuple[int, ...] = (), worker: str = "w1"
) -> list[Claimed]:
    """What a worker is given that lets runs begin so."""
    if not isinstance(world.raw, Begins):
        raise Unavailable("the store has no claim_and_begin")
    who = Who(worker, OFFERS, dict.fromkeys(OFFERS, limits))
    claims = await world.store.claim_and_begin(who, 10, LEASE, begin)
    return list(claims.runs)


def _begun(claimed: list[Claimed]) -> list[tuple[str, bool]]:
    return [(each.row.id, each.beginning is not None) for each in claimed]


@case
async def a_run_begins_with_its_claim(world: World) -> None:
    """It has been claimed, what `begin` gave is committed, and what is answered is what a `load` answers."""
    event = await world.event("e1")
    await world.accept(event)
    await world.create("r1", events=(event,))
    (claimed,) = await _claim(world)
    assert claimed.beginning is not None, "it has not begun"
    loaded = await world.store.load(APP, "r1")
    world.expect("the row", claimed.row, loaded.row)
    world.expect("fence, length", (loaded.row.fence, loaded.row.length), (1, 1))
    world.expect("what was loaded", claimed.beginning.loaded.row, loaded.row)
    world.expect("its events", claimed.beginning.loaded.events, loaded.events)
    world.expect("its history", claimed.beginning.loaded.records, loaded.records)
    world.expect("by", claimed.beginning.transition, _beginning_of(claimed))
    world.expect("started at", loaded.row.started_at, loaded.records[0].at)


def _beginning_of(claimed: Claimed) -> Transition:
    """What was written of a run that began with its first claim."""
    assert claimed.row.started_at is not None
    at = claimed.row.started_at
    progress = Progress(APP, claimed.row.id, 1, 0, (started(at),), started_at=at)
    return Transition(f"{claimed.row.id}/1/0", progress)


@case
async def it_goes_on_under_its_claim(world: World) -> None:
    """Whoever was given it writes what follows; and nobody else is given it."""
    await world.create("r1")
    (claimed,) = await _claim(world)
    world.expect("for others", await world.claimed("w2"), [])
    await world.write(claimed.row, done())
    loaded = await world.store.load(APP, "r1")
    world.expect("the history", len(loaded.records), 2)


@case
async def a_run_for_which_there_is_no_beginning_is_claimed_and_no_more(world: World) -> None:
    """`begin` is asked for each run; one for which it gives nothing is given as by `claim`."""
    await world.create("r1")
    await world.create("r2")
    claimed = await _claim(world, lambda row, now: None if row.id == "r1" else _beginning(row, now))
    world.expect("begun", sorted(_begun(claimed)), [("r1", False), ("r2", True)])
    world.expect("the lengths", sorted((each.row.id, each.row.length) for each in claimed), [("r1", 0), ("r2", 1)])
    (row,) = [each.row for each in claimed if each.row.id == "r1"]
    await world.write(row, started())


@case
async def a_beginning_that_is_refused_changes_nothing(world: World) -> None:
    """The run is claimed all the same, and concerns no other."""

    def refused(row: RunRow, now: int) -> Transition:
        if row.id == "r2":
            return _beginning(row, now)
        progress = Progress(row.app, row.id, row.fence + 1, row.length, (started(now),), started_at=now)
        return Transition(f"{row.id}/{progress.fence}/0", progress)

    await world.create("r1")
    await world.create("r2")
    claimed = await _claim(world, refused)
    world.expect("begun", sorted(_begun(claimed)), [("r1", False), ("r2", True)])
    (row,) = [each.row for each in claimed if each.row.id == "r1"]
    world.expect("its row", await world.fresh(row), row)
    world.expect("its length", row.length, 0)


@case
async def without_its_slots_no_run_begins(world: World) -> None:
    """A run that is given slotless starts no body, so `begin` is not asked."""
    await line_up(world, "a", "b")
    first = await _claim(world, limits=(1,))
    world.expect("the first", _begun(first), [("a", True)])
    await world.cancel("b")
    second = await _claim(world, limits=(1,), worker="w2")
    world.expect("the second", [(each.row.id, each.slotless, each.beginning) for each in second], [("b", True, None)])


@case
async def what_has_begun_outlives_the_process(world: World) -> None:
    """Claim and beginning are durable when they are answered."""
    await world.create("r1")
    (claimed,) = await _claim(world)
    await world.crash()
    world.expect("its row", await world.fresh(claimed.row), claimed.row)
    loaded = await world.store.load(APP, "r1")
    world.expect("its history", len(loaded.records), 1)
