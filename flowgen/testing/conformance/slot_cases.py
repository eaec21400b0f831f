"""Concurrency slots: how many runs hold one, who is blocked, and who is next."""

from __future__ import annotations

from typing import Any

import trio

from ...runs import RunRow
from ...runtime.store import Lease, Who
from .case import Collection
from .world import APP, CODE, LEASE, OFFERS, SECOND, WORKFLOW, World, cancelled, done, started

case = Collection()

BOTH = {(APP, WORKFLOW): CODE, (APP, "else"): CODE}


async def line_up(world: World, *runs: str, slots: tuple[str, ...] = ("k",), **changes: Any) -> None:
    """Create runs that want a slot, a microsecond after one another where time can pass."""
    values: dict[str, Any] = {"slots": slots, "wants": True, "due_at": None}
    for run in runs:
        await world.create(run, **(values | changes))
        if world.clock is not None:
            world.clock.time += 1


async def one(world: World, worker: str = "w1", **options: Any) -> RunRow:
    """The row of the one run that a claim under the limit 1 gives, with all its slots."""
    claims = await world.claim(worker, **({"limits": (1,)} | options))
    world.expect("one run, with its slots", [claimed.slotless for claimed in claims.runs], [False])
    return claims.runs[0].row


async def blocked_on(world: World, *runs: str) -> list[str | None]:
    """At which slots these runs stand."""
    return [(await world.fresh(await world.row(run))).blocked_on for run in runs]


async def give_back(world: World, row: RunRow, **changes: Any) -> None:
    """Write a record, and give the run back."""
    await world.write(row, done(f"step {row.length}"), **({"release": True} | changes))


# -- room -------------------------------------------------------------------------------------------


@case
async def a_slot_has_as_many_holders_as_its_limit(world: World) -> None:
    """Of runs that name a slot a claim gives as many as there is room for; the next one is blocked."""
    await line_up(world, "a", "b", "c", "d")
    claims = await world.claim(limits=(2,))
    given = [(claimed.row.id, claimed.slotless, claimed.row.blocked_on) for claimed in claims.runs]
    world.expect("given", given, [("a", False, None), ("b", False, None)])
    world.expect("blocked", await blocked_on(world, "a", "b", "c", "d"), [None, None, "k", "k"])
    world.expect("another worker gets none", await world.claimed("w2", limits=(2,)), [])


@case
async def a_slot_without_limit_is_free(world: World) -> None:
    """A slot for which the worker names no limit has room for all."""
    await line_up(world, "a", "b", slots=("k", "unlimited"))
    world.expect("no limits", await world.claimed(), ["a", "b"])
    await line_up(world, "c", "d", slots=("j", "unlimited"))
    world.expect("one too few", await world.claimed(limits=(1,)), ["c"])


@case
async def runs_without_slots_are_never_blocked(world: World) -> None:
    """Limits are of slots: a run that names none is given whatever they are."""
    await line_up(world, "a", "b", slots=())
    world.expect("both", await world.claimed(limits=(0,)), ["a", "b"])


@case
async def slots_belong_to_an_app(world: World) -> None:
    """A slot that is full in one app has room in another."""
    await line_up(world, "a")
    await line_up(world, "b", app="other")
    offers = OFFERS | {("other", WORKFLOW): CODE}
    world.expect("both", await world.claimed(offers=offers, limits=(1,)), ["a", "b"])


@case
async def what_a_limit_counts_are_all_holders(world: World) -> None:
    """Workflows of an app may share a slot: each has its own limit for it, and counts the others' runs."""
    await line_up(world, "a")
    await line_up(world, "b", "c", workflow="else")
    who = Who("w1", BOTH, {(APP, WORKFLOW): (1,), (APP, "else"): (2,)})
    claims = await world.store.claim(who, 10, LEASE)
    world.expect("given", [claimed.row.id for claimed in claims.runs], ["a", "b"])
    world.expect("blocked", await blocked_on(world, "c"), ["k"])


@case
async def a_raised_limit_lets_more_in(world: World) -> None:
    """The limit is that of the claim: one that offers more room gives it, once a holder lets go."""
    await line_up(world, "a", "b", "c", "d")
    row = await one(world)
    await give_back(world, row)
    world.expect("under the new limit", await world.claimed(limits=(3,)), ["b", "c", "d"])


# -- letting go -------------------------------------------------------------------------------------


@case
async def a_slot_is_free_after_a_release(world: World) -> None:
    """A run that is given back, ends or parks makes room for the next, at once."""
    await line_up(world, "a", "b", "c", "d")
    for changes in ({"release": True}, {"stored": "completed"}, {"stored": "parked", "digest": CODE}):
        row = await one(world)
        world.expect("no room", await world.claimed("w2", limits=(1,)), [])
        await world.write(row, started(), **changes)
        time = await world.look_again(limits=(1,))
        world.expect("to look again now", time is not None and time <= await world.now(), True)
    world.expect("the last", (await one(world)).id, "d")


@case
async def a_released_slot_is_given_once(world: World) -> None:
    """One holder that lets go makes room for one, two for two, in the order of the queue."""
    await line_up(world, "a", "b", "c", "d", "e")
    first, second = [claimed.row for claimed in (await world.claim(limits=(2,))).runs]
    await give_back(world, first)
    third = await one(world, limits=(2,))
    world.expect("one", third.id, "c")
    await give_back(world, second)
    await give_back(world, third)
    world.expect("two", await world.claimed(limits=(2,)), ["d", "e"])


@case
async def a_dead_holder_holds_nothing(world: World) -> None:
    """A slot is free from the end of its holder's lease; a worker is told when to look."""
    world.needs_clock()
    await line_up(world, "a", "b")
    row = await one(world)
    world.expect("nothing else", await world.claimed("w2", limits=(1,)), [])
    world.expect("to look again", await world.look_again("w2", (1,)), row.due_at)
    world.pass_time(LEASE - 1)
    world.expect("held", await world.claimed("w2", limits=(1,)), [])
    world.pass_time(1)
    claims = await world.claim("w2", limits=(1,))
    given = [(claimed.row.id, claimed.took_over, claimed.slotless) for claimed in claims.runs]
    world.expect("the next has it, the dead one's run comes without", given, [("b", False, False), ("a", True, True)])


@case
async def a_holder_that_lives_on_holds_on(world: World) -> None:
    """An extended lease keeps the slot, and looking for room at the old end does no harm."""
    await line_up(world, "a", "b", "c")
    row = await one(world)
    await world.claim("w2", limits=(1,))
    for _ in range(3):
        world.pass_time(LEASE // 2)
        await world.store.extend("w1", [Lease(APP, "a", row.fence)], LEASE)
        world.expect("held", await world.claimed("w2", limits=(1,)), [])
    world.pass_time(LEASE)
    world.expect("until it is not extended", (await world.claimed("w2", limits=(1,)))[:1], ["b"])


@case
async def looking_again_comes_to_rest(world: World) -> None:
    """A worker that got all there is for it is never told to look again at once because of blocked runs."""
    world.needs_clock()
    await line_up(world, "a", "b", "c")
    row = await one(world)
    for _ in range(4):
        world.pass_time(LEASE // 2)
        await world.store.extend("w1", [Lease(APP, "a", row.fence)], LEASE)
        await world.claim("w2", limits=(1,))
        await _looks_later(world)
    await give_back(world, row)
    world.expect("the next", await world.claimed("w2", limits=(1,)), ["b"])
    await world.claim("w2", limits=(1,))
    await _looks_later(world)


async def _looks_later(world: World) -> None:
    time = await world.look_again("w2", (1,))
    world.expect("later", time is not None and await world.now() < time <= await world.now() + LEASE, True)


@case
async def a_lease_that_ended_is_not_waited_for(world: World) -> None:
    """Of several holders each that dies makes room, whoever takes over its run, or nobody."""
    await line_up(world, "a", "b", "c", "d", "e")
    await world.claim(limit=1, lease=LEASE, limits=(2,))
    world.pass_time(LEASE // 2)
    world.expect("the second holder", await world.claimed("w2", limits=(2,)), ["b"])
    world.pass_time(LEASE // 2)
    world.expect("for the first", await world.claimed("w3", limit=1, limits=(2,)), ["c"])
    world.pass_time(LEASE // 2)
    world.expect("for the second", await world.claimed("w3", limit=1, limits=(2,)), ["d"])


# -- the queue --------------------------------------------------------------------------------------


@case
async def blocked_runs_are_given_by_rank(world: World) -> None:
    """Of the blocked ones the first to be ready is next, less its priority in seconds."""
    world.needs_clock()
    await line_up(world, "holder", "a", "b")
    await line_up(world, "urgent", priority=5)
    await line_up(world, "unhurried", priority=-5)
    order = []
    for _ in range(5):
        row = await one(world)
        order.append(row.id)
        world.pass_time(SECOND)
        await give_back(world, row)
    world.expect("in this order", order, ["urgent", "holder", "a", "b", "unhurried"])


@case
async def a_new_run_waits_its_turn(world: World) -> None:
    """A run that comes when a slot gets free stands behind those that waited, unless its rank is lower."""
    world.needs_clock()
    await line_up(world, "a", "b", "c")
    row = await one(world)
    world.pass_time(SECOND)
    await line_up(world, "new")
    await give_back(world, row)
    row = await one(world)
    world.expect("who waited", row.id, "b")
    await line_up(world, "urgent", priority=60)
    await give_back(world, row)
    world.expect("who has priority", (await one(world)).id, "urgent")


@case
async def a_long_queue_moves_one_by_one(world: World) -> None:
    """Through a slot for one, forty runs go one after the other, each once, in their order."""
    world.needs_clock()
    runs = [f"r{number:02}" for number in range(40)]
    await line_up(world, *runs)
    order = []
    for number in range(40):
        row = await one(world, f"w{number % 3}")
        order.append(row.id)
        await give_back(world, row, stored="completed")
    world.expect("in their order", order, runs)
    world.expect("nothing is left", (await world.claimed(limits=(1,)), await world.look_again()), ([], None))


@case
async def a_workflow_is_not_blocked_by_one_that_is_not_offered(world: World) -> None:
    """Of a slot that workflows share, a worker gets the first run that it offers, though others' stand before it."""
    world.needs_clock()
    await line_up(world, "holder", "theirs")
    await line_up(world, "mine", workflow="else")
    row = await one(world, offers=BOTH)
    mine = {(APP, "else"): CODE}
    world.expect("no room", await world.claimed("w2", offers=mine, limits=(1,)), [])
    await give_back(world, row)
    row = await one(world, "w2", offers=mine)
    world.expect("the first of those", row.id, "mine")
    await give_back(world, row)
    world.expect("and the other one", (await one(world)).id, "theirs")


@case
async def a_run_that_leaves_a_queue_lets_the_next_be_first(world: World) -> None:
    """When the first of a queue is cancelled, the second is given the slot that gets free."""
    await line_up(world, "a", "b", "c")
    row = await one(world)
    await world.cancel("b")
    (claimed,) = (await world.claim("w2", limits=(1,))).runs
    world.expect("to drain", (claimed.row.id, claimed.slotless), ("b", True))
    await world.write(claimed.row, started(), cancelled(), drained=1, stored="cancelled")
    world.expect("its slot was not the slot", await world.claimed(limits=(1,)), [])
    await give_back(world, row)
    world.expect("the second", (await one(world)).id, "c")


# -- several slots ----------------------------------------------------------------------------------


@case
async def all_slots_or_none(world: World) -> None:
    """A run that finds one of its slots full holds none of them."""
    await line_up(world, "b-holder", slots=("b",))
    await one(world)
    await line_up(world, "both", slots=("a", "b"))
    await line_up(world, "a-only", slots=("a",))
    world.expect("a is free", await world.claimed(limits=(1, 1)), ["a-only"])
    world.expect("the other waits for b", await blocked_on(world, "both"), ["b"])


@case
async def a_run_waits_for_the_first_slot_that_is_full(world: World) -> None:
    """Of two full slots, the one that the run names first is that at which it stands."""
    await line_up(world, "a-holder", slots=("a",))
    await line_up(world, "b-holder", slots=("b",))
    await world.claim(limits=(1,))
    await line_up(world, "x", slots=("a", "b"))
    await line_up(world, "y", slots=("b", "a"))
    world.expect("none", await world.claimed(limits=(1, 1)), [])
    world.expect("blocked", await blocked_on(world, "x", "y"), ["a", "b"])


@case
async def who_finds_another_slot_full_moves_there(world: World) -> None:
    """The first of a queue that finds another slot full stands there, at its rank; the next of the queue is given."""
    world.needs_clock()
    await line_up(world, "a-holder", slots=("a",))
    await line_up(world, "b-holder", slots=("b",))
    holders = {claimed.row.slots[0]: claimed.row for claimed in (await world.claim(limits=(1,))).runs}
    await line_up(world, "both", slots=("a", "b"))
    await line_up(world, "a-next", slots=("a",))
    await line_up(world, "b-next", slots=("b",))
    world.expect("none", await world.claimed(limits=(1, 1)), [])
    await give_back(world, holders["a"])
    world.expect("the next of a", await world.claimed(limits=(1, 1)), ["a-next"])
    world.expect("moved", await blocked_on(world, "both", "b-next"), ["b", "b"])
    await give_back(world, await world.fresh(await world.row("a-next")))
    await give_back(world, holders["b"])
    row = await one(world, limits=(1, 1))
    world.expect("before those that came after it", (row.id, row.slots), ("both", ("a", "b")))
    world.expect("both are held", await world.claimed("w2", limits=(1, 1)), [])


@case
async def slots_in_opposite_orders_do_not_lock(world: World) -> None:
    """Runs that name two slots in different orders all get through."""
    world.needs_clock()
    for number in range(4):
        await line_up(world, f"r{2 * number}", slots=("a", "b"))
        await line_up(world, f"r{2 * number + 1}", slots=("b", "a"))
    through = []
    for _ in range(8):
        row = await one(world, limits=(1, 1))
        through.append(row.id)
        await give_back(world, row)
    world.expect("all, in their order", through, [f"r{number}" for number in range(8)])


# -- together ---------------------------------------------------------------------------------------


@case
async def no_race_gives_a_slot_twice(world: World) -> None:
    """Workers that claim and give back at the same time never hold a slot above its limit, and leave nothing over."""
    await line_up(world, *[f"r{number:02}" for number in range(24)], slots=("k", "j"))
    holding: set[str] = set()
    through: set[str] = set()

    async def work(worker: str) -> None:
        while len(through) < 24:
            claims = await world.store.claim(Who(worker, OFFERS, {(APP, WORKFLOW): (3, 2)}), 2, 1000 * LEASE)
            for claimed in claims.runs:
                holding.add(claimed.row.id)
                world.expect("holders", len(holding) <= 2, True)
            await trio.lowlevel.checkpoint()
            for claimed in claims.runs:
                holding.discard(claimed.row.id)
                await give_back(world, claimed.row, stored="completed")
                through.add(claimed.row.id)

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            for number in range(4):
                nursery.start_soon(work, f"w{number}")
    world.expect("all are through", len(through), 24)


@case
async def queues_outlive_the_process(world: World) -> None:
    """After opening again the same runs hold slots, and the same ones wait, in the same order."""
    world.needs_clock()
    await line_up(world, "a", "b")
    await line_up(world, "urgent", priority=5)
    row = await one(world)
    world.expect("the most urgent", row.id, "urgent")
    await world.claim("w2", limits=(1,))
    await world.reopen()
    world.expect("held", await world.claimed("w2", limits=(1,)), [])
    await give_back(world, row)
    row = await one(world)
    world.expect("the first", row.id, "a")
    world.expect("blocked", await blocked_on(world, "b"), ["k"])


@case
async def two_stores_share_the_slots(world: World) -> None:
    """What one process gives, the other counts."""
    other = await world.second()
    await line_up(world, "a", "b")
    row = await one(world)
    who = Who("other", OFFERS, {(APP, WORKFLOW): (1,)})
    world.expect("no room", (await other.claim(who, 10, LEASE)).runs, ())
    await give_back(world, row)
    world.expect("room", [claimed.row.id for claimed in (await other.claim(who, 10, LEASE)).runs], ["b"])
