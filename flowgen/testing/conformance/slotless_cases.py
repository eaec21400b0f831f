"""Blocked runs without a slot: what is done for them all the same, and what is not."""

from __future__ import annotations

from ...runtime.store import CODELESS_AFTER
from .case import Collection
from .slot_cases import blocked_on, give_back, line_up, one
from .world import LEASE, SECOND, World, started

case = Collection()


@case
async def mail_is_read_without_a_slot(world: World) -> None:
    """A blocked run with mail is given slotless, and holds nothing while it is drained."""
    await line_up(world, "a", "b", "c")
    row = await one(world)
    await world.claim("w2", limits=(1,))
    await world.tell("b")
    time = await world.look_again("w2", (1,))
    world.expect("to look again now", time is not None and time <= await world.now(), True)
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    world.expect("slotless", (claimed.row.id, claimed.slotless, claimed.row.blocked_on), ("b", True, None))
    await give_back(world, row)
    world.expect("the slot is free", (await one(world)).id, "c")


@case
async def mail_with_room_is_read_with_the_slot(world: World) -> None:
    """A run with mail that finds room gets its slots like any other."""
    await line_up(world, "a")
    await world.tell("a")
    world.expect("with its slot", (await one(world)).id, "a")
    await line_up(world, "b")
    world.expect("held", await world.claimed(limits=(1,)), [])


@case
async def who_was_drained_keeps_its_place(world: World) -> None:
    """A run that is given back by a slotless owner, and wants bodies, stands where it stood."""
    world.needs_clock()
    await line_up(world, "holder", "a", "b")
    row = await one(world)
    await world.claim("w2", limits=(1,))
    world.pass_time(SECOND)
    await world.tell("a")
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    world.pass_time(SECOND)
    await give_back(world, claimed.row, drained=1, wants=True)
    world.expect("blocked again", (await world.claimed("w2", limits=(1,)), await blocked_on(world, "a")), ([], ["k"]))
    await give_back(world, row)
    world.expect("the first", (await one(world)).id, "a")


@case
async def a_timer_that_ends_ranks_for_the_slot(world: World) -> None:
    """A run that woke without a slot, and now has bodies to start, waits for it since its timer ended."""
    world.needs_clock()
    await line_up(world, "holder")
    row = await one(world)
    sleeper = await world.own("sleeper", slots=("k",))
    due_at = await world.now() + SECOND
    await world.write(sleeper, started(), started_at=await world.now(), release=True, due_at=due_at)
    world.pass_time(2 * SECOND)
    await line_up(world, "later")
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    world.expect("the timer", (claimed.row.id, claimed.slotless), ("sleeper", True))
    world.pass_time(SECOND)
    await give_back(world, claimed.row, wants=True)
    await give_back(world, row)
    world.expect("the first", (await one(world)).id, "sleeper")


@case
async def what_is_not_drained_is_drained_again(world: World) -> None:
    """A slotless owner that gives a run back with unread mail finds it ready at once, slotless again."""
    await line_up(world, "holder", "a")
    await one(world)
    await world.tell("a")
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    await world.write(claimed.row, release=True, wants=True)
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    world.expect("again", (claimed.row.id, claimed.slotless), ("a", True))


@case
async def a_timer_ends_without_a_slot(world: World) -> None:
    """A started run that is blocked is given slotless when it is due."""
    world.needs_clock()
    await line_up(world, "holder")
    row = await one(world)
    blocked = await world.own("a", slots=("k",))
    due_at = await world.now() + SECOND
    await world.write(blocked, started(), started_at=due_at, release=True, wants=True, due_at=due_at)
    world.expect("blocked", (await world.claimed("w2", limits=(1,)), await blocked_on(world, "a")), ([], ["k"]))
    world.expect("to look again", await world.look_again("w2", (1,)), due_at)
    world.pass_time(SECOND)
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    world.expect("slotless", (claimed.row.id, claimed.slotless), ("a", True))
    await give_back(world, row)


@case
async def a_run_without_a_slot_is_not_started(world: World) -> None:
    """That it is due does not give a blocked run that is not started: it could only start. Its deadline does."""
    world.needs_clock()
    await line_up(world, "holder")
    await one(world, lease=60 * SECOND)
    now = await world.now()
    await line_up(world, "a", due_at=now, deadline=now + 5 * SECOND)
    world.expect(
        "due, but blocked", (await world.claimed("w2", limits=(1,)), await blocked_on(world, "a")), ([], ["k"])
    )
    world.expect("to look again", await world.look_again("w2", (1,)), now + 5 * SECOND)
    world.pass_time(5 * SECOND)
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    world.expect("timed out", (claimed.row.id, claimed.slotless), ("a", True))


@case
async def a_slotless_owner_that_dies_leaves_no_slot(world: World) -> None:
    """What was claimed slotless holds nothing, so nothing gets free when its lease ends."""
    world.needs_clock()
    await line_up(world, "a", "b")
    await one(world, lease=10 * LEASE)
    await world.tell("b")
    await world.claim("w2", limits=(1,))
    world.pass_time(LEASE)
    (claimed,) = (await world.claim("w3", limits=(1,))).runs
    told = (claimed.row.id, claimed.took_over, claimed.slotless)
    world.expect("taken over, slotless again", told, ("b", True, True))


@case
async def a_parked_run_is_tried_without_a_slot(world: World) -> None:
    """Other code is given a parked run though its slot is full: slotless."""
    row = await world.own("parked", slots=("k",))
    await world.write(row, stored="parked", digest="code-0")
    await line_up(world, "holder", priority=1)
    claims = await world.claim(limits=(1,))
    given = [(claimed.row.id, claimed.slotless) for claimed in claims.runs]
    world.expect("both", given, [("holder", False), ("parked", True)])


@case
async def a_parked_run_that_never_started_is_tried_without_a_slot(world: World) -> None:
    """Whether other code can go on with it is found out first; it wants its slot then."""
    row = await world.own("parked", slots=("k",))
    await world.write(row, stored="parked", digest="code-0", wants=True)
    await line_up(world, "holder", priority=1)
    claims = await world.claim(limits=(1,))
    given = [(claimed.row.id, claimed.slotless) for claimed in claims.runs]
    world.expect("both", given, [("holder", False), ("parked", True)])


@case
async def a_codeless_end_needs_no_slot(world: World) -> None:
    """A run that is ended without its code takes no slots, and is not blocked by any."""
    await line_up(world, "holder", "a")
    await one(world, lease=100 * LEASE)
    await world.claim("w2", limits=(1,))
    await world.cancel("a")
    world.pass_time(CODELESS_AFTER)
    (claimed,) = (await world.claim("w9", offers={})).runs
    told = (claimed.row.id, claimed.codeless, claimed.slotless, claimed.row.blocked_on)
    world.expect("codeless", told, ("a", True, False, None))


@case
async def a_codeless_owner_holds_no_slot(world: World) -> None:
    """While a run is ended without its code, its slot is free for others."""
    await line_up(world, "a")
    await world.cancel("a")
    world.pass_time(CODELESS_AFTER)
    await world.claim("w9", offers={})
    await line_up(world, "b")
    world.expect("given", (await one(world)).id, "b")
