"""Where the SQLite store lists runs: what it must not forget when several things change at once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from flowgen.runtime.store import CODELESS_AFTER, Lease, Who
from flowgen.runtime.stores import SqliteStore
from flowgen.testing.conformance.world import (
    APP,
    CODE,
    LEASE,
    SECOND,
    WORKFLOW,
    World,
    WorldClock,
    cancelled,
    completed,
    done,
    started,
)
from flowgen.transition import Opening

OTHER = {(APP, "else"): CODE}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    clock = WorldClock()
    store = SqliteStore(tmp_path / "x.db", clock, inline=True)
    await store.open()
    yield World(store, clock, None)
    await store.close()


async def wants(world: World, *runs: str, **changes: object) -> None:
    """Create runs that want the slot k, one after the other."""
    for run in runs:
        await world.create(run, **{"slots": ("k",), "wants": True, "due_at": None, **changes})  # type: ignore[arg-type]
        world.pass_time(1)


async def test_one_claim_does_not_hide_a_dead_holder_from_another_workflow(world: World) -> None:
    """The claim of one workflow, under its own limit, leaves the room that a dead holder made to the other's run."""
    await wants(world, "dead", "alive")
    await world.claim(limit=1, limits=(2,))
    await world.claim(limit=1, limits=(2,), lease=9 * LEASE)
    await wants(world, "theirs", workflow="else")
    both = {(APP, "else"): (2,), (APP, WORKFLOW): (1,)}
    assert (await world.raw.claim(Who("w2", OTHER, both), 9, LEASE)).runs == ()
    await wants(world, "mine")
    world.pass_time(LEASE)
    claims = await world.raw.claim(Who("w3", {(APP, WORKFLOW): CODE}, both), 9, LEASE)
    assert [(claimed.row.id, claimed.slotless) for claimed in claims.runs] == [("dead", True)]
    assert [claimed.row.id for claimed in (await world.raw.claim(Who("w2", OTHER, both), 9, LEASE)).runs] == ["theirs"]


async def test_who_takes_over_holds_once(world: World) -> None:
    """A slot that was taken over with its run is held by it once, and extended like any other."""
    await wants(world, "a")
    await world.claim(limits=(2,))
    world.pass_time(LEASE)
    (claimed,) = (await world.claim("w2", limits=(2,))).runs
    assert (claimed.took_over, claimed.slotless) == (True, False)
    for _ in range(2):
        world.pass_time(SECOND)
        extended = await world.raw.extend("w2", [Lease(APP, "a", claimed.row.fence)], LEASE)
        assert extended.mail == (0,)
    await wants(world, "b", "c")
    assert await world.claimed("w3", limits=(2,)) == ["b"]


async def test_who_takes_over_without_a_slot_holds_none(world: World) -> None:
    """What a dead owner held is not held again when the lease of a slotless one is extended."""
    await wants(world, "a", slots=("k", "j"))
    await world.claim(limits=(1, 1))
    await wants(world, "b")
    world.pass_time(LEASE)
    claims = await world.claim("w2", limits=(1, 1))
    assert [(claimed.row.id, claimed.slotless) for claimed in claims.runs] == [("b", False), ("a", True)]
    await world.raw.extend("w2", [Lease(APP, "a", claims.runs[1].row.fence)], 9 * LEASE)
    await wants(world, "c", slots=("j",))
    assert await world.claimed("w3", limits=(1,)) == ["c"]


async def test_a_codeless_end_of_the_head_lets_the_next_in(world: World) -> None:
    """The slot that was free for the head of a queue is free for the next one when the head is ended codeless."""
    await wants(world, "holder")
    (holder,) = (await world.claim(limits=(1,), lease=100 * LEASE)).runs
    await wants(world, "a", "b")
    await world.claim("w2", limits=(1,))
    await world.cancel("a")
    world.pass_time(CODELESS_AFTER)
    await world.write(holder.row, done(), release=True)
    assert await world.claimed("w9", offers={}) == ["a"]
    assert await world.claimed("w2", limits=(1,)) == ["b"]


async def test_a_place_is_not_kept_for_a_start_to_come(world: World) -> None:
    """A run that was drained before its start ranks by its start, not by the mail that it had."""
    now = await world.now()
    await wants(world, "holder")
    await world.claim(limits=(1,))
    await wants(world, "later", start_at=now + 5 * SECOND)
    await world.tell("later")
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    assert (claimed.row.id, claimed.slotless) == ("later", True)
    await world.write(claimed.row, drained=1, release=True, wants=True)
    world.pass_time(SECOND)
    await wants(world, "sooner")
    world.pass_time(4 * SECOND)
    assert await world.claimed("w2", limits=(2,)) == ["sooner"]


@pytest.mark.parametrize("cancel", [False, True])
async def test_what_is_collected_does_not_wake_at_a_release(cancel: bool, world: World) -> None:
    """A run that is given back to collect is due as its owner said, whatever is unread; but a cancel wakes it."""
    row = await world.own(stored="collecting")
    await world.collect(await world.event("e1"))
    if cancel:
        await world.cancel("r1")
    due_at = await world.now() + SECOND
    await world.write(row, release=True, stored="collecting", due_at=due_at)
    assert (await world.fresh(row)).due_at == (await world.now() if cancel else due_at)


async def test_a_deadline_outlives_a_cancel_that_was_read(world: World) -> None:
    """Once its cancel is drained, a run that nobody owns any more is still given codeless for its deadline."""
    row = await world.own(deadline=await world.now() + SECOND)
    await world.cancel("r1")
    await world.write(row, started(), drained=1)
    world.pass_time(LEASE + CODELESS_AFTER)
    (claimed,) = (await world.claim("w9", offers={})).runs
    assert claimed.codeless


async def test_a_parked_run_that_is_being_tried_is_nothing_to_wait_for(world: World) -> None:
    """A worker is not told of the end of a lease on a parked run that its own code parked."""
    row = await world.own(priority=5)
    await world.write(row, stored="parked", digest=CODE)
    assert await world.claimed("w2", offers={(APP, WORKFLOW): "newer"}) == ["r1"]
    assert await world.look_again() is None
    assert await world.raw.next_due(Who("w3", {(APP, WORKFLOW): "newer"})) == await world.now() + LEASE


async def test_nothing_is_left_of_a_run_that_collected(world: World, tmp_path: Path) -> None:
    """With a run go its links to all events that it ever collected, also those that it did not open with."""
    row = await world.own(stored="collecting")
    events = [await world.event(id, position=number) for number, id in enumerate(("e1", "e2"), 1)]
    for event in events:
        await world.collect(event)
    await world.write(row, started(), drained=2, opening=Opening((events[1],)))
    await world.write(row, completed(), stored="completed")
    world.pass_time(SECOND)
    await world.raw.delete(await world.now())
    connection = world.raw._writer._changes._connection
    for table in ("runs", "inputs", "history", "mail", "started", "collected", "held"):
        assert connection.execute(f"select count(*) from {table}").get == 0  # noqa: S608


async def test_who_ends_leaves_no_slot_behind(world: World) -> None:
    """When all runs have ended nobody holds a slot (I24), however they ended."""
    await wants(world, "a", "b", "c")
    for run in ("a", "b"):
        (claimed,) = (await world.claim(limits=(1,), limit=1)).runs
        assert claimed.row.id == run
        await world.write(claimed.row, completed(), stored="completed")
    await world.claim(limits=(1,))
    await world.cancel("c")
    world.pass_time(LEASE + CODELESS_AFTER)
    (claimed,) = (await world.claim("w9", offers={})).runs
    await world.write(claimed.row, cancelled(), drained=1, stored="cancelled")
    assert world.raw._writer._changes._connection.execute("select count(*) from held").get == 0
