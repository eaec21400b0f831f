"""Strikes: a run that kills its workers is found out and isolated, and others do not suffer for it."""

from __future__ import annotations

from ...runs import MAX_STRIKES
from ...runtime.store import Lease, Who
from .case import Collection
from .world import APP, LEASE, OFFERS, SECOND, World, done, failed, started

case = Collection()


async def _die_with(world: World, worker: str, limit: int = 10) -> dict[str, int]:
    """A worker claims, and its lease runs out: what it had, with the strikes that this claim found."""
    claims = await world.claim(worker, limit=limit)
    world.pass_time(LEASE)
    return {claimed.row.id: claimed.row.strikes for claimed in claims.runs}


@case
async def a_take_over_is_a_strike(world: World) -> None:
    """Each claim that finds an owner still set adds one strike; a first claim adds none."""
    await world.create()
    found = [(await _die_with(world, f"w{number}"))["r1"] for number in range(MAX_STRIKES + 2)]
    world.expect("strikes at each claim", found, list(range(MAX_STRIKES + 2)))


@case
async def a_run_at_the_limit_is_still_given(world: World) -> None:
    """The store does not judge: a run with all its strikes is claimed, and its row says so."""
    await world.create()
    for number in range(MAX_STRIKES):
        await _die_with(world, f"w{number}")
    (claimed,) = (await world.claim("last")).runs
    world.expect("strikes", claimed.row.strikes, MAX_STRIKES)
    await world.write(claimed.row, started(), failed(), stored="failed")


@case
async def a_release_is_no_strike(world: World) -> None:
    """A run that is given back, even late, and claimed again has no strike."""
    row = await world.own()
    world.pass_time(LEASE + SECOND)
    await world.write(row, release=True, due_at=await world.now())
    (claimed,) = (await world.claim("w2")).runs
    world.expect("strikes", (claimed.row.strikes, claimed.took_over), (0, False))


@case
async def a_record_clears_the_strikes(world: World) -> None:
    """A run that made progress is no suspect; a release without a record leaves the strikes."""
    await world.create()
    for worker in ("w1", "w2"):
        await _die_with(world, worker)
    (claimed,) = (await world.claim("w3")).runs
    row = claimed.row
    await world.write(row, release=True, due_at=await world.now())
    (claimed,) = (await world.claim("w3")).runs
    world.expect("a release leaves them", claimed.row.strikes, 2)
    await world.write(claimed.row, done())
    world.expect("a record clears them", (await world.fresh(row)).strikes, 0)


@case
async def reopening_clears_the_strikes(world: World) -> None:
    """`retry` forgets the strikes: the code may be another."""
    await world.create()
    await _die_with(world, "w1")
    (claimed,) = (await world.claim("w2")).runs
    await world.write(claimed.row, stored="parked", digest="code-1")
    world.expect("before", (await world.fresh(claimed.row)).strikes, 1)
    await world.write(claimed.row, reopen=True, due_at=await world.now())
    world.expect("after", (await world.fresh(claimed.row)).strikes, 0)


@case
async def a_worker_is_given_one_suspect_at_a_time(world: World) -> None:
    """Of several runs that would be suspects, a claim gives one; of others, as many as it likes."""
    for run in ("r1", "r2", "r3"):
        await world.create(run)
    world.expect("together, without strikes", await _die_with(world, "w1"), {"r1": 0, "r2": 0, "r3": 0})
    world.expect("together, with one strike", await _die_with(world, "w2"), {"r1": 1, "r2": 1, "r3": 1})
    await world.create("fresh")
    first = await world.claim("w3")
    world.expect("one suspect, and the fresh run", [c.row.id for c in first.runs], ["fresh", "r1"])
    world.expect("no second suspect for that worker", await world.claimed("w3"), [])
    world.expect("but for another worker", await world.claimed("w4"), ["r2"])


@case
async def a_suspect_that_is_settled_makes_room(world: World) -> None:
    """Once its suspect has a record, or is given back, a worker may have the next one."""
    for run in ("r1", "r2", "r3"):
        await world.create(run)
    await _die_with(world, "w1")
    await _die_with(world, "w2")
    (first,) = (await world.claim("w3")).runs
    await world.write(first.row, done())
    (second,) = (await world.claim("w3")).runs
    await world.write(second.row, release=True, due_at=None)
    world.expect("in turn", [first.row.id, second.row.id, *await world.claimed("w3")], ["r1", "r2", "r3"])


@case
async def a_worker_may_have_its_suspect_again(world: World) -> None:
    """A worker that let its suspect's lease run out is given it once more, and is told when: it may be the only one."""
    await world.create()
    for worker in ("w1", "w2"):
        await _die_with(world, worker)
    world.expect("the suspect", await _die_with(world, "w3"), {"r1": 2})
    world.expect("due for w3", await world.store.next_due(Who("w3", OFFERS)), await world.now())
    world.expect("the same again", await _die_with(world, "w3"), {"r1": 3})


@case
async def the_others_of_a_dead_worker_are_innocent(world: World) -> None:
    """Taking over from a worker that names a suspect adds a strike to the suspect alone."""
    await world.create("bad")
    for worker in ("w1", "w2"):
        await _die_with(world, worker)
    await world.create("good")
    world.expect("w3 has both", await _die_with(world, "w3"), {"bad": 2, "good": 0})
    claims = await world.claim("w4")
    strikes = {claimed.row.id: claimed.row.strikes for claimed in claims.runs}
    world.expect("strikes", strikes, {"bad": 3, "good": 0})


@case
async def a_suspect_stays_named_when_it_is_taken_over_first(world: World) -> None:
    """The dead worker's row goes on naming its suspect, for those of its runs that are found later."""
    await world.create("bad")
    for worker in ("w1", "w2"):
        await _die_with(world, worker)
    (claimed,) = (await world.claim("w3")).runs
    world.expect("w3's suspect", (claimed.row.id, claimed.row.strikes), ("bad", 2))
    world.pass_time(LEASE // 2)
    await world.own("good", worker="w3")
    world.pass_time(LEASE // 2)
    world.expect("the suspect is taken over first", await world.claimed("w4"), ["bad"])
    world.pass_time(LEASE // 2)
    (claimed,) = (await world.claim("w4")).runs
    world.expect("the other has no strike", (claimed.row.id, claimed.row.strikes), ("good", 0))


@case
async def a_suspect_that_lives_on_is_none(world: World) -> None:
    """A suspect whose lease is extended two leases after its claim has no strikes any more."""
    await world.create("r1")
    for worker in ("w1", "w2"):
        await _die_with(world, worker)
    (claimed,) = (await world.claim("w3")).runs
    lease = Lease(APP, "r1", claimed.row.fence)
    for strikes in (2, 2, 2, 0):
        world.pass_time(LEASE // 2)
        await world.store.extend("w3", [lease], LEASE)
        world.expect("strikes", (await world.fresh(claimed.row)).strikes, strikes)


@case
async def next_due_does_not_tell_of_a_second_suspect(world: World) -> None:
    """A worker that holds a suspect is told when that one's lease ends, not of another that it would not be given."""
    for run in ("r1", "r2"):
        await world.create(run)
    await _die_with(world, "w1")
    await _die_with(world, "w2")
    world.expect("the first", await world.claimed("w3"), ["r1"])
    now = await world.now()
    world.expect("next_due for its holder", await world.store.next_due(Who("w3", OFFERS)), now + LEASE)
    world.expect("next_due for another", await world.store.next_due(Who("w4", OFFERS)), now)
