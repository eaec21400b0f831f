"""Registrations: which definitions are in force when several workers offer several digests."""

from __future__ import annotations

from ...runtime.store import ALIVE, Offer, Registration, Who
from .case import Collection
from .world import LEASE, World, encoded, started

case = Collection()


async def _register(world: World, worker: str, app: str = "shop", **offers: str) -> int:
    """A worker registers workflows, each under a digest; the definition names both."""
    values = tuple(Offer(name, digest, encoded([name, digest])) for name, digest in offers.items())
    generation: int = await world.store.register(Registration(app, worker, values))
    return generation


async def _in_force(world: World) -> dict[str, str]:
    registrations = await world.store.registrations()
    for item in registrations.items:
        world.expect("a definition goes with its digest", item.definition, encoded([item.workflow, item.digest]))
    return {f"{item.app}/{item.workflow}": item.digest for item in registrations.items}


async def _beat(world: World, *workers: str) -> None:
    for worker in workers:
        await world.store.extend(worker, [], LEASE)


@case
async def what_is_registered_is_in_force(world: World) -> None:
    """A registration puts its workflows in force; apps are apart; an empty store has none."""
    world.expect("none", await _in_force(world), {})
    await _register(world, "w1", fulfil="d1", refund="d1")
    await _register(world, "w2", app="other", fulfil="d9")
    expected = {"other/fulfil": "d9", "shop/fulfil": "d1", "shop/refund": "d1"}
    world.expect("in force", await _in_force(world), expected)


@case
async def the_generation_grows_with_each_change(world: World) -> None:
    """It is the same in `register`, `registrations` and `claim`, and stays when nothing changes."""
    first = await _register(world, "w1", fulfil="d1")
    second = await _register(world, "w2", fulfil="d1")
    third = await _register(world, "w2", fulfil="d2")
    world.expect("grows with a change only", (first == second, second < third), (True, True))
    told = (await world.store.registrations()).generation
    claims = await world.store.claim(Who("w1", {}), 1, LEASE)
    world.expect("told alike", (told, claims.generation), (third, third))


@case
async def the_digest_first_seen_last_is_in_force(world: World) -> None:
    """New code takes over from old code that still runs; old code that starts again changes nothing."""
    await _register(world, "old", fulfil="d1")
    await _register(world, "new", fulfil="d2")
    world.expect("the new code", await _in_force(world), {"shop/fulfil": "d2"})
    generation = await _register(world, "old-again", fulfil="d1")
    world.expect("still the new code", await _in_force(world), {"shop/fulfil": "d2"})
    world.expect("nothing has changed", generation, (await world.store.registrations()).generation)


@case
async def dead_code_is_not_in_force(world: World) -> None:
    """When the workers with the newest digest are gone, the next registration goes by those that live."""
    await _register(world, "old", fulfil="d1")
    await _register(world, "new", fulfil="d2")
    world.pass_time(ALIVE - 1)
    await _beat(world, "old")
    await _register(world, "old-2", fulfil="d1")
    world.expect("the newest worker is alive", await _in_force(world), {"shop/fulfil": "d2"})
    world.pass_time(1)
    await _register(world, "old-3", fulfil="d1")
    world.expect("it is gone", await _in_force(world), {"shop/fulfil": "d1"})


@case
async def heartbeats_and_claims_keep_a_worker_alive(world: World) -> None:
    """A worker that extends or claims, even nothing, is live."""
    await _register(world, "extends", fulfil="d1")
    await _register(world, "claims", refund="d1")
    for _ in range(4):
        world.pass_time(ALIVE // 2)
        await _beat(world, "extends")
        await world.store.claim(Who("claims", {}), 1, LEASE)
    await _register(world, "third", audit="d1")
    expected = {"shop/audit": "d1", "shop/fulfil": "d1", "shop/refund": "d1"}
    world.expect("in force", await _in_force(world), expected)


@case
async def a_workflow_is_withdrawn_when_nobody_offers_it(world: World) -> None:
    """An app that opens without a workflow withdraws it, unless a live worker offers it."""
    await _register(world, "w1", fulfil="d1", refund="d1")
    await _register(world, "w2", fulfil="d1")
    world.expect("w1 lives", await _in_force(world), {"shop/fulfil": "d1", "shop/refund": "d1"})
    world.pass_time(ALIVE)
    world.expect("nobody has looked", await _in_force(world), {"shop/fulfil": "d1", "shop/refund": "d1"})
    await _register(world, "w3", fulfil="d1")
    world.expect("w1 is gone", await _in_force(world), {"shop/fulfil": "d1"})


@case
async def a_worker_replaces_what_it_offers(world: World) -> None:
    """A worker that registers an app again offers what it says now, and no more."""
    await _register(world, "w1", fulfil="d1", refund="d1")
    await _register(world, "w1", app="other", fulfil="d1")
    await _register(world, "w1", fulfil="d2")
    world.expect("in force", await _in_force(world), {"other/fulfil": "d1", "shop/fulfil": "d2"})


@case
async def who_retires_withdraws_nothing(world: World) -> None:
    """Its workflows stay in force, in all its apps, and the generation is the same."""
    await _register(world, "w1", fulfil="d1", refund="d1")
    generation = await _register(world, "w1", app="other", fulfil="d9")
    await world.store.retire("w1")
    expected = {"other/fulfil": "d9", "shop/fulfil": "d1", "shop/refund": "d1"}
    world.expect("in force", await _in_force(world), expected)
    world.expect("the generation", (await world.store.registrations()).generation, generation)


@case
async def what_the_retired_offered_counts_no_more(world: World) -> None:
    """The next registration goes by those that live, at once; other workers and apps are not concerned."""
    await _register(world, "w1", fulfil="d1", refund="d1")
    await _register(world, "w2", fulfil="d2", audit="d2")
    await _register(world, "w2", app="other", fulfil="d9")
    await world.store.retire("w2")
    await world.store.retire("nobody")
    await _register(world, "w3", app="third", fulfil="d1")
    expected = {
        "other/fulfil": "d9",
        "shop/audit": "d2",
        "shop/fulfil": "d2",
        "shop/refund": "d1",
        "third/fulfil": "d1",
    }
    world.expect("nobody has looked", await _in_force(world), expected)
    await _register(world, "w4", fulfil="d1")
    expected = {"other/fulfil": "d9", "shop/fulfil": "d1", "shop/refund": "d1", "third/fulfil": "d1"}
    world.expect("w2 has gone", await _in_force(world), expected)


@case
async def who_registers_again_is_back(world: World) -> None:
    """A worker that has retired and registers is live like any other."""
    await _register(world, "w1", fulfil="d1", refund="d1")
    await world.store.retire("w1")
    await _register(world, "w1", fulfil="d1", refund="d1")
    await _register(world, "w2", fulfil="d1")
    world.expect("in force", await _in_force(world), {"shop/fulfil": "d1", "shop/refund": "d1"})


@case
async def who_retires_keeps_its_runs(world: World) -> None:
    """A run that it owns stays its own until the lease ends; then another takes it over, as from any that is gone."""
    row = await world.own()
    await world.store.retire("w1")
    await world.write(row, started())
    world.expect("it is owned", await world.claimed("w2"), [])
    world.pass_time(LEASE)
    world.expect("it is taken over", await world.claimed("w2"), ["r1"])


@case
async def an_app_touches_only_itself(world: World) -> None:
    """A registration withdraws nothing of other apps, dead as their workers may be."""
    await _register(world, "w1", app="other", fulfil="d1")
    world.pass_time(2 * ALIVE)
    await _register(world, "w2", fulfil="d1")
    world.expect("in force", await _in_force(world), {"other/fulfil": "d1", "shop/fulfil": "d1"})


@case
async def an_equal_digest_may_bring_another_definition(world: World) -> None:
    """Of two definitions under one digest the one registered last is in force, and the generation grows."""
    await world.store.register(Registration("shop", "w1", (Offer("fulfil", "d1", encoded("first")),)))
    before = (await world.store.registrations()).generation
    await world.store.register(Registration("shop", "w2", (Offer("fulfil", "d1", encoded("second")),)))
    after = await world.store.registrations()
    world.expect("the definition", [item.definition for item in after.items], [encoded("second")])
    world.expect("the generation", after.generation > before, True)


# -- pausing ----------------------------------------------------------------------------------------


async def _paused(world: World) -> list[str]:
    items = (await world.store.registrations()).items
    return [f"{item.app}/{item.workflow}" for item in items if item.paused]


@case
async def a_paused_workflow_is_listed_as_such(world: World) -> None:
    """A workflow is paused until it is told to go on; others, and its namesake in another app, are not."""
    await _register(world, "w1", fulfil="d1", refund="d1")
    await _register(world, "w2", app="other", fulfil="d1")
    world.expect("none", await _paused(world), [])
    await world.store.pause("shop", "fulfil", True)
    world.expect("one", await _paused(world), ["shop/fulfil"])
    world.expect("all are in force", len(await _in_force(world)), 3)
    await world.store.pause("shop", "fulfil", False)
    world.expect("none again", await _paused(world), [])


@case
async def the_generation_grows_when_a_workflow_is_paused(world: World) -> None:
    """Workers learn from the generation that a workflow is paused or goes on; saying it again changes nothing."""
    first = await _register(world, "w1", fulfil="d1")
    paused = [await world.store.pause("shop", "fulfil", True) for _ in range(2)]
    goes_on = [await world.store.pause("shop", "fulfil", False) for _ in range(2)]
    world.expect("once each", (paused[0] == paused[1], goes_on[0] == goes_on[1]), (True, True))
    world.expect("higher each time", first < paused[0] < goes_on[0], True)
    claims = await world.store.claim(Who("w1", {}), 1, LEASE)
    told = ((await world.store.registrations()).generation, claims.generation)
    world.expect("told alike", told, (goes_on[0], goes_on[0]))


@case
async def new_code_is_paused_like_the_old(world: World) -> None:
    """A workflow stays paused whatever is registered, withdrawn and registered again, known to the store or not."""
    await world.store.pause("shop", "fulfil", True)
    await _register(world, "w1", fulfil="d1")
    world.expect("paused before it was known", await _paused(world), ["shop/fulfil"])
    await _register(world, "w1", fulfil="d2")
    world.expect("with new code", await _paused(world), ["shop/fulfil"])
    await _register(world, "w1")
    world.expect("withdrawn", (await _in_force(world), await _paused(world)), ({}, []))
    await _register(world, "w1", fulfil="d3")
    world.expect("offered again", await _paused(world), ["shop/fulfil"])


@case
async def claims_do_not_look_at_pauses(world: World) -> None:
    """Who offers a paused workflow all the same is given its runs: to leave it out is for the worker."""
    await _register(world, "w1", fulfil="d1")
    await world.store.pause("shop", "fulfil", True)
    await world.create()
    world.expect("given", await world.claimed(), ["r1"])


@case
async def pauses_outlive_the_process(world: World) -> None:
    """A paused workflow is paused when the same data is opened again."""
    await _register(world, "w1", fulfil="d1")
    generation = await world.store.pause("shop", "fulfil", True)
    await world.reopen()
    world.expect("still paused", await _paused(world), ["shop/fulfil"])
    world.expect("and nothing new", (await world.store.registrations()).generation, generation)
