"""Claims and leases: due runs, in order, to one owner each; parked and codeless ones."""

from __future__ import annotations

import threading

from ...runtime.store import CODELESS_AFTER, Extended, Lease, Who
from .case import Collection
from .world import APP, CODE, LEASE, MINUTE, OFFERS, SECOND, WORKFLOW, World, completed, done, started

case = Collection()

NEWER = {(APP, WORKFLOW): "code-2"}
ELSEWHERE = {("other", "else"): "code-9"}


@case
async def a_due_run_is_claimed_once(world: World) -> None:
    """A claim gives owner, fence and lease; nobody else gets the run while the lease lasts."""
    await world.create()
    claims = await world.claim("w1")
    (claimed,) = claims.runs
    row = claimed.row
    world.expect("the row", (row.owner, row.fence, row.due_at), ("w1", 1, claims.now + LEASE))
    world.expect("neither taken over nor codeless", (claimed.took_over, claimed.codeless), (False, False))
    world.expect("another worker gets nothing", await world.claimed("w2"), [])
    world.expect("nor the same one", await world.claimed("w1"), [])


@case
async def what_is_not_due_is_not_claimed(world: World) -> None:
    """A run is claimed at its due time, never before; one without due time never."""
    await world.create("never", due_at=None)
    await world.create("later", due_at=await world.now() + SECOND)
    world.expect("nothing yet", await world.claimed(), [])
    world.pass_time(SECOND - 1)
    world.expect("a microsecond too early", await world.claimed(), [])
    world.pass_time(1)
    world.expect("on time", await world.claimed(), ["later"])


@case
async def only_offered_workflows_are_claimed(world: World) -> None:
    """A worker gets runs of the workflows that it offers, in the apps in which it offers them."""
    await world.create("r1")
    await world.create("r2", workflow="else")
    await world.create("r3", app="other", workflow=WORKFLOW)
    world.expect("nothing offered, nothing given", await world.claimed(offers={}), [])
    world.expect("other app", await world.claimed(offers={("other", WORKFLOW): "x"}), ["r3"])
    world.expect("both", await world.claimed(offers=OFFERS | {(APP, "else"): "x"}), ["r1", "r2"])


@case
async def of_those_due_at_once_the_first_by_app_is_given(world: World) -> None:
    """Among runs that are due since the same time the app decides, and then the id."""
    due_at = await world.now()
    for app, run in ((APP, "a"), ("other", "b"), (APP, "c"), ("other", "d")):
        await world.create(run, app=app, due_at=due_at)
    offers = OFFERS | {("other", WORKFLOW): CODE}
    given = [await world.claimed(f"w{number}", limit=1, offers=offers) for number in range(4)]
    world.expect("by app, then by id", given, [["b"], ["d"], ["a"], ["c"]])


@case
async def the_earliest_due_run_is_claimed_first(world: World) -> None:
    """Claims go by due time across workflows, then by app and id; the limit is kept."""
    now = await world.now()
    dues = {"c": now - 1, "a": now - 3, "b": now - 2, "e": now, "d": now}
    for number, (run, due_at) in enumerate(dues.items()):
        await world.create(run, due_at=due_at, workflow=(WORKFLOW, "else")[number % 2])
    offers = OFFERS | {(APP, "else"): "x"}
    for expected in (["a", "b"], ["c", "d"], ["e"], []):
        world.expect("the next two", await world.claimed(limit=2, offers=offers), expected)


@case
async def a_limit_of_zero_gives_nothing(world: World) -> None:
    """A worker without room gets nothing, and takes nothing from others."""
    await world.create()
    world.expect("no room", await world.claimed(limit=0), [])
    world.expect("another has room", await world.claimed("w2"), ["r1"])


@case
async def a_lease_ends_at_its_time(world: World) -> None:
    """An expired lease makes the run due again, as a take-over; a microsecond earlier it does not."""
    await world.own()
    world.pass_time(LEASE - 1)
    world.expect("still owned", await world.claimed("w2"), [])
    world.pass_time(1)
    (claimed,) = (await world.claim("w2")).runs
    row = claimed.row
    world.expect("taken over", (claimed.took_over, row.owner, row.fence), (True, "w2", 2))


@case
async def an_extended_lease_lasts(world: World) -> None:
    """Extending counts from now, again and again."""
    row = await world.own()
    for _ in range(5):
        world.pass_time(LEASE - SECOND)
        extended = await world.store.extend("w1", [Lease(APP, "r1", row.fence)], LEASE)
        world.expect("extended", extended, Extended((0,), await world.now()))
        world.expect("nobody else gets it", await world.claimed("w2"), [])
    world.expect("due_at", (await world.fresh(row)).due_at, await world.now() + LEASE)
    world.pass_time(LEASE)
    world.expect("until it is not extended", await world.claimed("w2"), ["r1"])


@case
async def an_expired_lease_is_not_extended(world: World) -> None:
    """From the moment of its expiry a lease is lost, though nobody has taken the run over."""
    row = await world.own()
    world.pass_time(LEASE)
    extended = await world.unchanged(world.store.extend("w1", [Lease(APP, "r1", row.fence)], LEASE))
    world.expect("lost", extended.mail, (None,))


@case
async def a_released_or_ended_run_is_not_extended(world: World) -> None:
    """There is no lease to extend on a run that has no owner, or is not there."""
    first, second = await world.own("r1"), await world.own("r2")
    await world.write(first, started(), release=True, due_at=None)
    await world.write(second, started(), completed(), stored="completed")
    leases = [Lease(APP, run, 1) for run in ("r1", "r2", "ghost")]
    extended = await world.unchanged(world.store.extend("w1", leases, LEASE))
    world.expect("all lost", extended.mail, (None, None, None))


@case
async def leases_are_extended_one_by_one(world: World) -> None:
    """Of several leases those in force are extended; the answers are in the order of the question."""
    world.needs_clock()
    await world.own("r1")
    await world.own("r2")
    await world.own("r1", app="other")
    await world.tell("r2", "m1")
    leases = [Lease(APP, "r2", 1), Lease(APP, "r1", 7), Lease("other", "r1", 1)]
    extended = await world.store.extend("w1", leases, 2 * LEASE)
    world.expect("answers", extended.mail, (1, None, 0))
    dues = [(await world.fresh(await world.row(*run))).due_at for run in (("r1",), ("r2",))]
    world.expect("due times", dues, [await world.now() + LEASE, await world.now() + 2 * LEASE])


@case
async def the_extender_extends_from_another_thread(world: World) -> None:
    """The heartbeat thread's door does what `extend` does, without a task."""
    row = await world.own()
    extender = world.store.extender()
    answers: list[Extended] = []
    leases = [Lease(APP, "r1", row.fence), Lease(APP, "r1", 99)]
    thread = threading.Thread(target=lambda: answers.append(extender.extend("w1", leases, 3 * LEASE)))
    thread.start()
    thread.join()
    extender.close()
    world.expect("answers", [extended.mail for extended in answers], [(0, None)])
    world.expect("due_at", (await world.fresh(row)).due_at, answers[0].now + 3 * LEASE)


@case
async def store_time_never_goes_back(world: World) -> None:
    """A clock that is set back does not: no lease becomes longer, nothing becomes due again."""
    await world.own()
    world.pass_time(LEASE)
    before = await world.now()
    world.pass_time(-3600 * SECOND)
    world.expect("store time", await world.now(), before)
    world.expect("the lease has ended all the same", await world.claimed("w2"), ["r1"])


# -- parked runs ------------------------------------------------------------------------------------


@case
async def a_parked_run_is_for_other_code(world: World) -> None:
    """A parked run is due at once for every digest but the one that parked it."""
    row = await world.own()
    await world.write(row, started(), stored="parked", digest="code-1", due_at=None)
    world.expect("not for the same code", await world.claimed("w1"), [])
    (claimed,) = (await world.claim("w2", offers=NEWER)).runs
    told = (claimed.row.stored, claimed.row.digest, claimed.took_over, claimed.codeless)
    world.expect("for other code, still parked", told, ("parked", "code-1", False, False))


@case
async def a_parked_run_parks_again(world: World) -> None:
    """When the other code disagrees too, the run is for any code but that."""
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1")
    (claimed,) = (await world.claim("w2", offers=NEWER)).runs
    await world.write(claimed.row, stored="parked", digest="code-2")
    world.expect("not for the second", await world.claimed("w2", offers=NEWER), [])
    world.expect("for the first", await world.claimed("w1"), ["r1"])


@case
async def a_parked_run_whose_owner_died_is_still_for_other_code(world: World) -> None:
    """Taking over a parked run from a dead owner minds the digest, too."""
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1")
    world.expect("other code has it", await world.claimed("w2", offers=NEWER), ["r1"])
    world.pass_time(LEASE)
    world.expect("not for the same code", await world.claimed("w1"), [])
    (claimed,) = (await world.claim("w3", offers=NEWER)).runs
    world.expect("for other code", claimed.took_over, True)


@case
async def a_run_that_agreed_with_other_code_is_for_all_again(world: World) -> None:
    """Once other code has written on it, a run that was parked is due for any code when its owner dies."""
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1")
    (claimed,) = (await world.claim("w2", offers=NEWER)).runs
    await world.write(claimed.row)
    world.pass_time(LEASE)
    world.expect("for the code that once disagreed", await world.claimed("w1"), ["r1"])


@case
async def a_reopened_parked_run_is_for_all(world: World) -> None:
    """`retry` of a parked run lets the same code try again, and forgets strikes."""
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1")
    await world.write(row, reopen=True, due_at=await world.now())
    kept = await world.fresh(row)
    world.expect("the row", (kept.stored, kept.digest, kept.strikes), ("open", None, 0))
    world.expect("for the same code", await world.claimed("w1"), ["r1"])


# -- ending needs no code -----------------------------------------------------------------------------


@case
async def an_unread_cancel_is_given_codeless_after_a_while(world: World) -> None:
    """A run that nobody offers and that is cancelled goes, after a minute, to any worker, marked codeless."""
    await world.create()
    world.pass_time(MINUTE)
    world.expect("no cancel, no claim", await world.claimed("w9", offers=ELSEWHERE), [])
    await world.cancel()
    world.pass_time(CODELESS_AFTER - 1)
    world.expect("not before its time", await world.claimed("w9", offers=ELSEWHERE), [])
    world.pass_time(1)
    (claimed,) = (await world.claim("w9", offers={})).runs
    world.expect("codeless", (claimed.codeless, claimed.row.owner, claimed.row.fence), (True, "w9", 1))
    world.expect("to one worker", await world.claimed("w8", offers=ELSEWHERE), [])


@case
async def a_parked_run_is_cancelled_codeless(world: World) -> None:
    """A cancel of a parked run goes to a worker with the same code, but codeless."""
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1")
    await world.cancel()
    world.expect("not at once", await world.claimed("w1"), [])
    world.pass_time(CODELESS_AFTER)
    (claimed,) = (await world.claim("w1")).runs
    world.expect("codeless", claimed.codeless, True)


@case
async def who_has_the_code_is_never_given_a_run_codeless(world: World) -> None:
    """However old the cancel is, and however low its rank, a worker that offers the workflow gets the run as usual."""
    await world.create(priority=-600)
    await world.cancel()
    world.pass_time(2 * CODELESS_AFTER)
    (claimed,) = (await world.claim()).runs
    world.expect("with its code", claimed.codeless, False)


@case
async def an_owned_run_is_not_given_codeless(world: World) -> None:
    """A cancel is its owner's to read while the lease lasts; after a minute without one it is anybody's."""
    row = await world.own()
    await world.cancel()
    for _ in range(10):
        world.pass_time(LEASE - SECOND)
        await world.store.extend("w1", [Lease(APP, "r1", row.fence)], LEASE)
    world.expect("it is owned", await world.claimed("w9", offers={}), [])
    world.pass_time(LEASE + CODELESS_AFTER)
    (claimed,) = (await world.claim("w9", offers={})).runs
    world.expect("taken over, codeless", (claimed.codeless, claimed.took_over), (True, True))


@case
async def a_cancel_that_was_drained_is_not_given_codeless(world: World) -> None:
    """Once the cancel is read the run is its owner's, or due for those with its code, given back or not."""
    released, kept = await world.own("r1"), await world.own("r2")
    await world.cancel("r1", "c1")
    await world.cancel("r2", "c2")
    await world.write(released, started(), drained=1, release=True, due_at=None)
    await world.write(kept, drained=1)
    world.pass_time(2 * CODELESS_AFTER)
    world.expect("nobody gets them", await world.claimed("w9", offers={}), [])
    world.expect("nor is told to look", await world.store.next_due(Who("w9", {})), None)


# -- when to look again -------------------------------------------------------------------------------


@case
async def next_due_is_the_earliest_time(world: World) -> None:
    """A worker is told when its next run is due: leases that end count, other workflows do not."""
    world.needs_clock()
    who = Who("w1", OFFERS)
    world.expect("an empty store", await world.store.next_due(who), None)
    now = await world.now()
    await world.create("r1", due_at=None)
    await world.create("r2", due_at=now + 5 * SECOND, workflow="else")
    world.expect("nothing for this worker", await world.store.next_due(who), None)
    row = await world.own("r3", lease=LEASE)
    world.expect("the end of a lease", await world.store.next_due(who), now + LEASE)
    await world.create("r4", due_at=now + 3 * SECOND)
    world.expect("the earliest", await world.store.next_due(who), now + 3 * SECOND)
    await world.create("r5", due_at=now - SECOND)
    overdue = await world.store.next_due(who)
    world.expect("overdue: any time in the past", overdue is not None and overdue <= now, True)
    await world.write(row, started(), completed(), stored="completed")
    world.expect("and claimed", await world.claimed(), ["r5"])


@case
async def next_due_tells_of_parked_runs_and_cancels(world: World) -> None:
    """A parked run is due now for other code only; a cancelled one, codeless, after a minute."""
    world.needs_clock()
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1")
    now = await world.now()
    world.expect("the same code", await world.store.next_due(Who("w1", OFFERS)), None)
    world.expect("other code", await world.store.next_due(Who("w2", NEWER)), now)
    await world.cancel()
    world.expect("codeless", await world.store.next_due(Who("w1", OFFERS)), now + CODELESS_AFTER)


@case
async def nothing_that_has_ended_is_in_the_way(world: World) -> None:
    """After many runs ended, claims give exactly what is due."""
    world.needs_clock()
    for number in range(50):
        row = await world.own(f"ended-{number}")
        await world.write(row, started(), completed(), stored="completed")
    await world.create("waiting", due_at=None)
    await world.create("due")
    row = await world.own("released")
    await world.write(row, done(), release=True, due_at=await world.now())
    world.expect("what is due", await world.claimed(limit=100), ["due", "released"])
    world.expect("and no more", await world.store.next_due(Who("w2", OFFERS)), await world.now() + LEASE)
