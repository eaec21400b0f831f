"""Runs that collect events, what they open as, and schedules."""

from __future__ import annotations

from ...runs import Body, CancelRequested, EventCollected, Freed, Message, Parent
from ...runtime.store import CODELESS_AFTER, Conflict, RunFilter, Who
from ...transition import NewRun, Opening, Transition
from .case import Collection
from .query_cases import needs
from .world import APP, LEASE, OFFERS, SECOND, World, cancelled, completed, done, started

case = Collection()


async def _collecting(world: World, due_in: int = 5 * SECOND, run: str = "r1") -> int:
    """Create a run that collects, and is due in a while; returns when."""
    due_at = await world.now() + due_in
    await world.create(run, stored="collecting", due_at=due_at)
    return due_at


async def _due_at(world: World, run: str = "r1") -> int | None:
    return (await world.fresh(await world.row(run))).due_at


async def _started_by(world: World, event: str) -> list[str]:
    return [row.id for row in (await world.store.started_by(event)).items]


# -- collecting -------------------------------------------------------------------------------------


@case
async def mail_does_not_wake_a_run_that_collects(world: World) -> None:
    """An event that is collected leaves the due time alone, unless its message says another."""
    world.needs_clock()
    due_at = await _collecting(world)
    await world.collect(await world.event("e1"))
    world.expect("as it was", await _due_at(world), due_at)
    await world.collect(await world.event("e2"), due_at=due_at + SECOND)
    world.expect("later", await _due_at(world), due_at + SECOND)
    await world.collect(await world.event("e3"), due_at=due_at - SECOND)
    world.expect("earlier", await _due_at(world), due_at - SECOND)
    world.expect("to look again", await world.look_again(), due_at - SECOND)
    world.expect("unread, but not due", await world.claimed(), [])
    world.pass_time(5 * SECOND)
    world.expect("due", await world.claimed(), ["r1"])


@case
async def a_repeated_message_does_not_change_the_due_time(world: World) -> None:
    """A message that is in the mailbox already says nothing new, its due time neither."""
    due_at = await _collecting(world)
    event = await world.event("e1")
    await world.collect(event, due_at=due_at + SECOND)
    await world.collect(await world.event("e2"), due_at=due_at + 2 * SECOND)
    await world.collect(event, due_at=due_at + SECOND)
    world.expect("what the newest message says", await _due_at(world), due_at + 2 * SECOND)


@case
async def a_due_time_is_for_runs_that_collect(world: World) -> None:
    """The due time of a message means nothing to an open run, nor while the run that collects is owned."""
    world.needs_clock()
    now = await world.now()
    await world.create("open", due_at=None)
    await world.tell("open", due_at=now + SECOND)
    world.expect("an open run is due now", await _due_at(world, "open"), now)
    await world.own("owned", stored="collecting")
    await world.collect(await world.event(), "owned", due_at=now + SECOND)
    world.expect("a lease is a lease", await _due_at(world, "owned"), now + LEASE)


@case
async def a_cancel_wakes_a_run_that_collects(world: World) -> None:
    """Cancelled, a run that collects is due now, as any run is, whatever due time the message has."""
    await _collecting(world)
    await world.tell("r1", "c1", CancelRequested("enough"), due_at=await _collecting(world, run="r2"))
    world.expect("now", await world.claimed(), ["r1"])


@case
async def what_collects_is_cancelled_codeless(world: World) -> None:
    """A cancelled run that collects goes, after a minute, to any worker, marked codeless."""
    await _collecting(world)
    await world.cancel()
    world.pass_time(CODELESS_AFTER)
    (claimed,) = (await world.claim("w9", offers={})).runs
    world.expect("codeless", (claimed.codeless, claimed.row.stored), (True, "collecting"))


@case
async def a_collected_event_links_its_run_at_once(world: World) -> None:
    """The run is among those that the event started as soon as the message is put; no other message does that."""
    await _collecting(world)
    await world.collect(await world.event("e1"))
    await world.collect(await world.event("e1"))
    await world.tell("r1", "freed", Freed())
    world.expect("the run", await _started_by(world, "e1"), ["r1"])
    world.expect("its events, until it opens", (await world.store.load(APP, "r1")).events, ())


@case
async def an_ended_run_collects_nothing(world: World) -> None:
    """An event for a run that has ended is dropped, and does not link it."""
    row = await world.own(stored="collecting")
    await world.write(row, started(), completed(), stored="completed")
    await world.collect(await world.event("e1"))
    world.expect("nothing", await _started_by(world, "e1"), [])


@case
async def mail_of_flow_control_is_read_as_it_was_put(world: World) -> None:
    """Collected events, with whom they were invoked by, and the news that a key is free, come as they were sent."""
    await _collecting(world)
    await world.accept(await world.event("e1"))
    event = await world.store.event("e1")
    bodies: list[Body] = [EventCollected(event), EventCollected(event, Parent(APP, "p", "step", "c")), Freed()]
    for number, body in enumerate(bodies):
        await world.tell("r1", f"m{number}", body)
    loaded = await world.store.load(APP, "r1")
    world.expect("the mail", [mail.message.body for mail in loaded.mail], bodies)


@case
async def an_event_is_collected_by_the_commit_that_accepts_it(world: World) -> None:
    """An event without a position gets the one that this commit gave it, in the mailbox too."""
    await _collecting(world)
    event = await world.event("e1")
    message = Message("m1", APP, "r1", EventCollected(event))
    await world.store.commit(Transition("e1", accept=(event,), messages=(message,)))
    loaded = await world.store.load(APP, "r1")
    world.expect("placed", loaded.mail[0].message.body, EventCollected(await world.store.event("e1")))


@case
async def a_run_collects_for_as_long_as_it_says_so(world: World) -> None:
    """A run that is given back as collecting goes on; nothing else keeps it so."""
    world.needs_clock()
    row = await world.own(stored="collecting")
    due_at = await world.now() + SECOND
    back = world.progress(row, release=True, stored="collecting", due_at=due_at)
    await world.store.commit(back)
    kept = await world.fresh(row)
    world.expect("it goes on", (kept.stored, kept.due_at, kept.owner), ("collecting", due_at, None))
    await world.unchanged(world.store.commit(back))
    world.pass_time(SECOND)
    (claimed,) = (await world.claim()).runs
    await world.write(claimed.row, release=True)
    world.expect("it is open", (await world.fresh(row)).stored, "open")


@case
async def what_it_has_collected_does_not_make_a_run_due(world: World) -> None:
    """It is given back with its events unread, and is due when that says; at once if there is a cancel."""
    world.needs_clock()
    row = await world.own(stored="collecting")
    await world.collect(await world.event("e1"))
    due_at = await world.now() + SECOND
    await world.store.commit(world.progress(row, release=True, stored="collecting", due_at=due_at))
    world.expect("it waits", (await world.fresh(row)).due_at, due_at)
    world.pass_time(SECOND)
    claimed = (await world.claim()).runs[0]
    await world.tell("r1", "c1", CancelRequested("stop"))
    later = await world.now() + SECOND
    await world.store.commit(world.progress(claimed.row, release=True, stored="collecting", due_at=later))
    world.expect("it is to be cancelled", (await world.fresh(row)).due_at, await world.now())


@case
async def what_collects_is_not_released_by_its_state(world: World) -> None:
    """To say that a run goes on collecting does not give it back: only the release does."""
    row = await world.own(stored="collecting")
    await world.write(row, started(), stored="collecting")
    world.expect("owned", (await world.fresh(row)).owner, "w1")


@case
async def what_collects_is_not_reopened(world: World) -> None:
    """A run that collects has neither ended nor parked; nor has a schedule."""
    for run, stored in (("r1", "collecting"), ("r2", "schedule")):
        row = await world.create(run, stored=stored)
        await world.refuses(Conflict("position"), world.write(row, reopen=True))


# -- opening ----------------------------------------------------------------------------------------


@case
async def a_run_opens_with_its_events(world: World) -> None:
    """What an opening says becomes the row's; its events become the run's, in their order, at their positions."""
    await _collecting(world, 0)
    await world.accept(*[await world.event(id) for id in ("e1", "e2", "e3")])
    events = [await world.store.event(id) for id in ("e2", "e3")]
    for event in events:
        await world.collect(event)
    (claimed,) = (await world.claim()).runs
    now = await world.now()
    callers = (Parent(APP, "p", "step", "c"),)
    opening = Opening(tuple(events), 3, ("k", "j"), ("key",), now + SECOND, now + 5 * SECOND, True, callers)
    await world.write(claimed.row, drained=2, release=True, due_at=now + 5 * SECOND, opening=opening)
    loaded = await world.store.load(APP, "r1")
    row = loaded.row
    said = (row.priority, row.slots, row.holds, row.start_at, row.deadline, row.wants, row.callers)
    expected = (3, ("k", "j"), ("key",), now + SECOND, now + 5 * SECOND, True, callers)
    world.expect("the row", said, expected)
    told = (row.stored, row.due_at, row.owner, row.drained)
    world.expect("open, and nobody's", told, ("open", now + 5 * SECOND, None, 2))
    world.expect("its events", (loaded.events, loaded.mail), (tuple(events), ()))


@case
async def an_opened_run_is_linked_to_its_events(world: World) -> None:
    """Each event of an opening started the run, once, whether it was collected or not."""
    await _collecting(world, 0)
    await world.accept(*[await world.event(id) for id in ("e1", "e2", "e3")])
    events = {id: await world.store.event(id) for id in ("e1", "e2", "e3")}
    await world.collect(events["e1"])
    (claimed,) = (await world.claim()).runs
    opening = Opening((events["e1"], events["e2"]))
    await world.write(claimed.row, drained=1, release=True, opening=opening)
    linked = [await _started_by(world, id) for id in events]
    world.expect("linked", linked, [["r1"], ["r1"], []])


@case
async def an_opened_run_waits_for_its_slots(world: World) -> None:
    """Once it is open it is ready as any run that wants to start, at its rank, and needs its slots."""
    world.needs_clock()
    await _collecting(world, 0)
    await world.create("holder", slots=("k",), wants=True, due_at=None, priority=1)
    claims = await world.claim(limits=(1,))
    world.expect("both", [claimed.row.id for claimed in claims.runs], ["holder", "r1"])
    opening = Opening((), slots=("k",), wants=True)
    await world.write(claims.runs[1].row, release=True, opening=opening)
    world.expect("no room", await world.claimed(limits=(1,)), [])
    world.expect("blocked", (await world.fresh(claims.runs[1].row)).blocked_on, "k")
    await world.write(claims.runs[0].row, release=True)
    world.expect("room", await world.claimed(limits=(1,)), ["r1"])


@case
async def a_run_may_go_on_from_its_opening(world: World) -> None:
    """One that needs no slot may be kept by the owner that opened it, and is started by the same commit."""
    row = await world.own(stored="collecting")
    now = await world.now()
    opening = Opening((await world.event("e1", position=1),), deadline=now + SECOND)
    await world.write(row, started(), opening=opening, started_at=now, deadline=now + 9 * SECOND)
    kept = await world.fresh(row)
    told = (kept.stored, kept.owner, kept.started_at, kept.deadline)
    world.expect("the row", told, ("open", "w1", now, now + 9 * SECOND))
    await world.write(row, done())


@case
async def a_started_run_is_not_held_back_by_its_opening(world: World) -> None:
    """`start_at` is for a run that is not started: one that was while it collected may have its slot when it opens."""
    row = await world.own(stored="collecting")
    now = await world.now()
    await world.write(row, started(), started_at=now, stored="collecting")
    opening = Opening((), start_at=now + SECOND, wants=True)
    await world.write(row, release=True, due_at=now + SECOND, opening=opening)
    world.expect("started", (await world.fresh(row)).started_at, now)
    world.expect("ready", await world.claimed(), ["r1"])


# -- schedules --------------------------------------------------------------------------------------


@case
async def a_schedule_ticks(world: World) -> None:
    """It is claimed when it is due, accepts its event and is given back in one commit, and remains a schedule."""
    world.needs_clock()
    await world.create(stored="schedule")
    row = (await world.claim()).runs[0].row
    world.expect("claimed", row.stored, "schedule")
    for number in range(3):
        due_at = await world.now() + SECOND
        event = await world.event(f"tick-{number}")
        tick = world.progress(row, release=True, stored="schedule", due_at=due_at, accept=(event,))
        await world.store.commit(tick)
        await world.unchanged(world.store.commit(tick))
        kept = await world.fresh(row)
        told = (kept.stored, kept.due_at, kept.owner, kept.ended_at)
        world.expect("given back", told, ("schedule", due_at, None, None))
        world.expect("not before its time", (await world.claimed(), await world.look_again()), ([], due_at))
        world.pass_time(SECOND)
        (claimed,) = (await world.claim()).runs
        row = claimed.row
    world.expect("all ticks", [e.id for e in await world.store.unrouted()], ["tick-0", "tick-1", "tick-2"])


@case
async def a_schedule_can_be_ended(world: World) -> None:
    """A cancel wakes it, and its owner ends it."""
    await world.create(stored="schedule", due_at=None)
    await world.cancel()
    (claimed,) = (await world.claim()).runs
    await world.write(claimed.row, cancelled(), drained=1, stored="cancelled")
    kept = await world.fresh(claimed.row)
    world.expect("ended", (kept.stored, kept.due_at, await world.claimed()), ("cancelled", None, []))


# -- lists and retention ----------------------------------------------------------------------------


@case
async def schedules_are_not_listed_among_runs(world: World) -> None:
    """`find_runs` shows schedules only to those who ask for them; a run that collects is open, too."""
    needs(world, "find_runs")
    await world.create("open", created_at=1)
    await world.create("collecting", created_at=2, stored="collecting")
    await world.create("schedule", created_at=3, stored="schedule")
    expected = {
        None: ["collecting", "open"],
        "open": ["collecting", "open"],
        "collecting": ["collecting"],
        "schedule": ["schedule"],
    }
    for status, runs in expected.items():
        for app in (None, APP):
            page = await world.store.find_runs(RunFilter(app=app, status=status))
            world.expect(f"status {status}", [row.id for row in page.items], runs)


@case
async def what_a_run_collects_is_not_deleted(world: World) -> None:
    """No event goes that is not older than those in the mailbox of a run that collects; nor does that run."""
    ids = [f"e{number}" for number in range(5)]
    await world.accept(*[await world.event(id) for id in ids])
    await world.store.commit(Transition("mark", routed=tuple(ids)))
    await _collecting(world)
    for id in ("e3", "e2"):
        await world.collect(await world.store.event(id))
    await world.create("schedule", stored="schedule", due_at=None)
    world.pass_time(SECOND)
    world.expect("older ones", await world.store.delete(await world.now()), 2)
    there = [id for id in ids if await world.store.event(id) is not None]
    world.expect("there", there, ["e2", "e3", "e4"])
    runs = [await world.store.load(APP, run) is not None for run in ("r1", "schedule")]
    world.expect("runs", runs, [True, True])


@case
async def what_collected_and_ended_is_deleted(world: World) -> None:
    """With a run go its links to the events that it collected, and the events."""
    await world.accept(await world.event("e1"))
    await world.store.commit(Transition("mark", routed=("e1",)))
    row = await world.own(stored="collecting")
    event = await world.store.event("e1")
    await world.collect(event)
    await world.write(row, started(), opening=Opening((event,)), drained=1)
    await world.write(row, completed(), stored="completed")
    world.pass_time(SECOND)
    world.expect("run and event", await world.store.delete(await world.now()), 2)
    world.expect("no link", await _started_by(world, "e1"), [])


@case
async def what_collects_outlives_the_process(world: World) -> None:
    """After opening again a run goes on collecting, its mail and links are there, and a schedule is still one."""
    due_at = await _collecting(world)
    await world.accept(await world.event("e1"))
    event = await world.store.event("e1")
    await world.collect(event, due_at=due_at + SECOND)
    await world.create("schedule", stored="schedule", due_at=due_at)
    before = await world.snapshot()
    await world.reopen()
    world.expect_snapshot("all must be as before", before, await world.snapshot())
    world.expect("linked", await _started_by(world, "e1"), ["r1"])
    world.expect("to look again", await world.store.next_due(Who("w1", OFFERS)), due_at)


@case
async def runs_of_one_commit_may_be_of_all_kinds(world: World) -> None:
    """One transition creates open runs, ones that collect, and schedules."""
    rows = [
        await world.row("open", due_at=None, slots=("k",), wants=True),
        await world.row("collecting", stored="collecting", due_at=await world.now() + SECOND),
        await world.row("schedule", stored="schedule", due_at=await world.now()),
    ]
    await world.store.commit(Transition("t", create=tuple(NewRun(row, ()) for row in rows)))
    world.expect("rows", [await world.fresh(row) for row in rows], rows)
    world.expect("ready", sorted(await world.claimed(limits=(1,))), ["open", "schedule"])
