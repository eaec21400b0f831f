"""When a run is ready, and which of several goes first: starts, priorities, deadlines."""

from __future__ import annotations

from typing import Any

from ...runs import Parent
from ...runtime.store import CODELESS_AFTER, Lease, Who
from .case import Collection
from .world import APP, LEASE, SECOND, World, completed, done, failed, started

case = Collection()


async def _is_now(world: World, time: int | None) -> None:
    world.expect("to look again now", time is not None and time <= await world.now(), True)


@case
async def what_flow_control_says_of_a_run_is_kept(world: World) -> None:
    """The row of a run has its priority, slots, keys to let go of, start, deadline and wish, as it was created."""
    now = await world.now()
    said: dict[str, Any] = {"priority": -7, "slots": ("b", "a"), "holds": ("k2", "k1"), "wants": True, "due_at": None}
    said |= {"start_at": now + 5 * SECOND, "deadline": now + 9 * SECOND, "callers": (Parent(APP, "p", "s", "c"),)}
    row = await world.create(**said, created_at=now)
    world.expect("the row", await world.fresh(row), row)


@case
async def a_run_that_wants_to_start_is_ready(world: World) -> None:
    """A run that wants to start bodies is ready from the commit that created it, though nothing is due."""
    await world.create("wants", wants=True, due_at=None)
    await world.create("waits", due_at=None)
    await _is_now(world, await world.look_again())
    world.expect("ready", await world.claimed(), ["wants"])


@case
async def a_run_is_not_started_before_its_time(world: World) -> None:
    """A run with a start time is ready at it, never before; a worker is told of it."""
    world.needs_clock()
    start_at = await world.now() + 5 * SECOND
    await world.create(wants=True, start_at=start_at, due_at=None)
    world.expect("to look again", await world.look_again(), start_at)
    world.pass_time(5 * SECOND - 1)
    world.expect("too early", await world.claimed(), [])
    world.pass_time(1)
    world.expect("on time", await world.claimed(), ["r1"])


@case
async def mail_is_read_before_the_start(world: World) -> None:
    """A message makes a run ready whose start is still to come; given back, it waits for its start again."""
    world.needs_clock()
    start_at = await world.now() + 5 * SECOND
    await world.create(wants=True, start_at=start_at, due_at=None)
    await world.tell()
    (claimed,) = (await world.claim()).runs
    await world.write(claimed.row, drained=1, release=True, wants=True)
    world.expect("not before its start", (await world.claimed(), await world.look_again()), ([], start_at))
    world.pass_time(5 * SECOND)
    world.expect("at its start", await world.claimed(), ["r1"])


@case
async def the_start_time_of_a_started_run_means_nothing(world: World) -> None:
    """A run that is started and wants more bodies is ready at once, whatever its start time was."""
    row = await world.own(start_at=await world.now() + 5 * SECOND)
    await world.write(row, started(), started_at=await world.now(), release=True, wants=True)
    world.expect("ready", await world.claimed(), ["r1"])


@case
async def a_release_says_whether_the_run_wants_more(world: World) -> None:
    """With each release the run wants what the release says, and is ready or not because of it."""
    row = await world.own(wants=True)
    await world.write(row, started(), release=True, wants=True)
    (claimed,) = (await world.claim()).runs
    world.expect("it wants more", claimed.row.wants, True)
    await world.write(claimed.row, done(), release=True)
    world.expect("it wants nothing", ((await world.fresh(row)).wants, await world.claimed()), (False, []))


@case
async def an_open_commit_leaves_the_wish_alone(world: World) -> None:
    """What an owner writes without giving the run back does not change what it wants."""
    row = await world.own(wants=True)
    await world.write(row, started())
    world.expect("it wants", (await world.fresh(row)).wants, True)


# -- rank -------------------------------------------------------------------------------------------


@case
async def priority_is_a_head_start_in_seconds(world: World) -> None:
    """Ready runs go by the time at which they became ready less their priority; the limit cuts the rest off."""
    now = await world.now()
    for run, age, priority in (("a", 3, 0), ("b", 1, 5), ("c", 9, -8), ("d", 2, 1), ("e", 0, 2)):
        await world.create(run, due_at=now - age * SECOND, priority=priority)
    for expected in (["b", "a"], ["d", "e"], ["c"]):
        world.expect("the next two", await world.claimed(limit=2), expected)


@case
async def urgent_is_not_early(world: World) -> None:
    """The most urgent run is not given before it is ready, nor is it in the way of others."""
    now = await world.now()
    world.needs_clock()
    await world.create("urgent", due_at=now + 5 * SECOND, priority=600)
    await world.create("throttled", wants=True, start_at=now + 6 * SECOND, due_at=None, priority=600)
    await world.create("other")
    world.expect("the others", await world.claimed(limit=1), ["other"])
    world.expect("not yet", (await world.claimed(), await world.look_again()), ([], now + 5 * SECOND))
    await world.create("late", due_at=now + 5 * SECOND)
    world.pass_time(6 * SECOND)
    world.expect("then first", await world.claimed(), ["urgent", "throttled", "late"])


@case
async def unhurried_is_not_late(world: World) -> None:
    """A run of low priority is given when it is ready and nobody else is, and a worker is told so."""
    await world.create(priority=-600)
    await _is_now(world, await world.look_again())
    world.expect("ready", await world.claimed(), ["r1"])


@case
async def a_run_that_was_claimed_queues_anew(world: World) -> None:
    """Given back with a wish, a run ranks by the time at which it was given back."""
    world.needs_clock()
    await world.create("first", wants=True, due_at=None)
    (claimed,) = (await world.claim()).runs
    world.pass_time(SECOND)
    await world.create("second", wants=True, due_at=None)
    world.pass_time(SECOND)
    await world.write(claimed.row, started(), release=True, wants=True)
    world.expect("in the order of becoming ready", await world.claimed(), ["second", "first"])


@case
async def a_dead_owners_run_ranks_by_the_end_of_its_lease(world: World) -> None:
    """A run that is taken over was ready since the end of its lease, less its priority."""
    world.needs_clock()
    now = await world.now()
    await world.own("plain", lease=4 * SECOND)
    await world.own("urgent", lease=5 * SECOND, priority=3)
    await world.create("due", due_at=now + 3 * SECOND)
    world.pass_time(LEASE)
    world.expect("by rank", await world.claimed("w2"), ["urgent", "due", "plain"])


@case
async def mail_does_not_cost_a_place(world: World) -> None:
    """A message to a run that is ready, or has been, leaves it where it stands."""
    now = await world.now()
    await world.create("a", due_at=now - 2 * SECOND)
    await world.create("b", due_at=now - 3 * SECOND)
    await world.create("wants", wants=True, due_at=None, priority=60)
    for run in ("b", "wants"):
        await world.tell(run, f"to {run}")
    world.expect("as before", await world.claimed(), ["wants", "b", "a"])


# -- deadlines --------------------------------------------------------------------------------------


@case
async def the_deadline_of_the_start_gives_way_to_that_of_the_end(world: World) -> None:
    """With its start a run gets another deadline, or none; nothing else that is written touches it."""
    now = await world.now()
    first, second = await world.own("r1", deadline=now + SECOND), await world.own("r2", deadline=now + SECOND)
    await world.write(first, done(), deadline=now + 3 * SECOND)
    world.expect("no start, no other deadline", (await world.fresh(first)).deadline, now + SECOND)
    await world.write(first, started_at=now, deadline=now + 2 * SECOND, release=True)
    await world.write(second, started_at=now, release=True)
    deadlines = [(await world.fresh(row)).deadline for row in (first, second)]
    world.expect("deadlines", deadlines, [now + 2 * SECOND, None])


@case
async def a_deadline_is_lifted_by_itself(world: World) -> None:
    """`lifts_deadline` takes the deadline away and nothing else; who has none lifts nothing."""
    now = await world.now()
    first, second = await world.own("r1", deadline=now + SECOND), await world.own("r2")
    await world.write(first, started_at=now, deadline=now + SECOND)
    await world.write(first, done(), lifts_deadline=True)
    await world.write(second, lifts_deadline=True)
    rows = [await world.fresh(row) for row in (first, second)]
    told = [(row.started_at, row.deadline, row.owner is not None) for row in rows]
    world.expect("start, deadline, owned", told, [(now, None, True), (None, None, True)])
    await world.write(first, release=True)
    world.pass_time(2 * SECOND)
    world.expect("not due", await world.claimed("w2"), [])


@case
async def a_reopened_run_has_no_deadline(world: World) -> None:
    """`retry` lifts the deadline, which may be what the run ended by; it may want to start bodies at once."""
    row = await world.own(deadline=await world.now())
    await world.write(row, started(), failed(), stored="failed")
    await world.write(row, reopen=True, wants=True)
    world.expect("no deadline", (await world.fresh(row)).deadline, None)
    world.expect("ready", await world.claimed(), ["r1"])


@case
async def a_missed_deadline_is_given_codeless_after_a_while(world: World) -> None:
    """A run past its deadline that nobody offers goes, after a minute, to any worker, marked codeless."""
    world.needs_clock()
    deadline = await world.now() + SECOND
    await world.create(wants=True, due_at=None, deadline=deadline)
    world.expect("to look again", await world.store.next_due(Who("w9", {})), deadline + CODELESS_AFTER)
    world.pass_time(SECOND + CODELESS_AFTER - 1)
    world.expect("not before its time", await world.claimed("w9", offers={}), [])
    world.pass_time(1)
    (claimed,) = (await world.claim("w9", offers={})).runs
    world.expect("codeless", (claimed.codeless, claimed.slotless), (True, False))


@case
async def a_parked_run_is_timed_out_codeless(world: World) -> None:
    """A parked run that misses its deadline goes to a worker with the same code, but codeless."""
    row = await world.own(deadline=await world.now() + SECOND)
    await world.write(row, started(), stored="parked", digest="code-1")
    world.pass_time(SECOND + CODELESS_AFTER)
    (claimed,) = (await world.claim("w1")).runs
    world.expect("codeless", claimed.codeless, True)


@case
async def a_deadline_is_its_owners_business(world: World) -> None:
    """No deadline makes a run codeless under a live lease, for a worker that has the code, or after its end."""
    now = await world.now()
    row = await world.own("owned", deadline=now + SECOND)
    ended = await world.own("ended", deadline=now + SECOND)
    await world.write(ended, started(), completed(), stored="completed")
    await world.create("offered", deadline=now + SECOND)
    for _ in range(10):
        world.pass_time(LEASE - SECOND)
        await world.store.extend("w1", [Lease(APP, "owned", row.fence)], LEASE)
    (claimed,) = (await world.claim()).runs
    world.expect("with its code", (claimed.row.id, claimed.codeless), ("offered", False))
    world.expect("nobody else gets one", await world.claimed("w9", offers={}), [])


@case
async def a_deadline_that_was_lifted_is_forgotten(world: World) -> None:
    """Once a run is started without another deadline, or its own was lifted, it is not given codeless for that."""
    now = await world.now()
    first, second = await world.own("r1", deadline=now + SECOND), await world.own("r2", deadline=now + SECOND)
    await world.write(first, started(), started_at=now)
    await world.write(second, lifts_deadline=True)
    world.pass_time(2 * CODELESS_AFTER)
    world.expect("nobody gets it", await world.claimed("w9", offers={}), [])
