"""Lists, pages, retention, waking up, and what a store keeps when it is closed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio
import trio.testing

from ...runs import Parent, RunRow
from ...runtime.paging import Pages
from ...runtime.store import PAGE, Conflict, Page, RunFilter, Who
from ...transition import Cell, NewRun, TakeKey, Transition
from .case import Collection
from .world import APP, LEASE, MINUTE, OFFERS, SECOND, Unavailable, World, completed, done, encoded, failed, started

case = Collection()


def needs(world: World, feature: str) -> None:
    """Skip the case unless the store has this feature."""
    if feature not in world.raw.features:
        raise Unavailable(f"the store has no feature {feature!r}")


async def _all(ask: Callable[[str | None], Awaitable[Any]]) -> list[str]:
    """The ids on all pages."""
    return [item.id async for item in Pages(ask).items()]


@case
async def children_are_found(world: World) -> None:
    """The runs that a run invoked are found, in whatever app; those of its namesake are not."""
    parent = Parent(APP, "p", "step", "c")
    await world.create("c1", parent=parent)
    await world.create("c2", app="other", parent=parent)
    await world.create("c3", parent=Parent("other", "p", "step", "c"))
    await world.create("c4")
    page = await world.store.children(APP, "p")
    world.expect("children", sorted(row.id for row in page.items), ["c1", "c2"])
    world.expect("of nobody", (await world.store.children(APP, "c4")).items, ())


@case
async def many_children_come_in_pages(world: World) -> None:
    """The children of a run are found page by page, each once."""
    parent = Parent(APP, "p", "step", "c")
    create = tuple([NewRun(await world.row(f"c{n:05}", parent=parent), ()) for n in range(PAGE + 2)])
    await world.raw.commit(Transition("t", create=create))
    ids = await _all(lambda cursor: world.raw.children(APP, "p", cursor))
    world.expect("each once", (len(ids), len(set(ids))), (PAGE + 2, PAGE + 2))


@case
async def runs_are_listed_newest_first(world: World) -> None:
    """`find_runs` goes from the newest to the oldest, page by page, each run once."""
    needs(world, "find_runs")
    now = await world.now()
    for number in range(7):
        await world.create(f"r{number}", created_at=now + number // 2)
    ids = await _all(lambda cursor: world.store.find_runs(RunFilter(), cursor, 2))
    world.expect("each once", sorted(ids), [f"r{n}" for n in range(7)])
    world.expect("newest first", [int(id[1:]) // 2 for id in ids], [3, 2, 2, 1, 1, 0, 0])


@case
async def a_list_is_stable_while_runs_come_and_go(world: World) -> None:
    """A run that is created or ends between two pages does not hide or repeat another."""
    needs(world, "find_runs")
    now = await world.now()
    for number in range(6):
        await world.create(f"r{number}", created_at=now + number)
    first = await world.store.find_runs(RunFilter(), None, 3)
    await world.create("newer", created_at=now + 10)
    rest = await _all(lambda cursor: world.store.find_runs(RunFilter(), cursor or first.cursor, 3))
    world.expect("the rest", rest, ["r2", "r1", "r0"])


@case
async def runs_are_filtered(world: World) -> None:
    """By app, workflow, status (`open` is all that has not ended) and time of creation, together too."""
    needs(world, "find_runs")
    now = await world.now()
    ended = await world.own("completed", created_at=now)
    await world.write(ended, started(), completed(), stored="completed")
    ended = await world.own("failed", created_at=now + 1)
    await world.write(ended, started(), failed(), stored="failed")
    parked = await world.own("parked", created_at=now + 2)
    await world.write(parked, stored="parked", digest="code-1")
    await world.create("open", created_at=now + 3)
    await world.create("other-app", app="other", created_at=now + 4)
    await world.create("other-workflow", workflow="else", created_at=now + 5)
    filters = {
        RunFilter(status="completed"): ["completed"],
        RunFilter(status="failed"): ["failed"],
        RunFilter(status="parked"): ["parked"],
        RunFilter(status="open"): ["other-workflow", "other-app", "open", "parked"],
        RunFilter(status="cancelled"): [],
        RunFilter(app="other"): ["other-app"],
        RunFilter(workflow="else"): ["other-workflow"],
        RunFilter(app=APP, workflow="fulfil"): ["open", "parked", "failed", "completed"],
        RunFilter(app="other", workflow="else"): [],
        RunFilter(after=now + 3): ["other-workflow", "other-app", "open"],
        RunFilter(before=now + 1): ["completed"],
        RunFilter(after=now + 1, before=now + 3): ["parked", "failed"],
        RunFilter(app=APP, status="open", before=now + 5): ["open", "parked"],
    }
    for where, expected in filters.items():
        for limit in (1, 100):
            ids = await _all(partial(_runs, world, where, limit))
            world.expect(f"{where}", ids, expected)


async def _runs(world: World, where: RunFilter, limit: int, cursor: str | None) -> Page[RunRow]:
    page: Page[RunRow] = await world.store.find_runs(where, cursor, limit)
    return page


@case
async def events_are_listed_newest_first(world: World) -> None:
    """`find_events` goes from the newest to the oldest, of one name or all; future ones too."""
    needs(world, "find_events")
    later = await world.now() + MINUTE
    await world.accept(await world.event("e1"), await world.event("e2", name="other"), await world.event("e3"))
    await world.accept(await world.event("later", ts=later))
    await world.accept(await world.event("e4"))
    ids = await _all(lambda cursor: world.store.find_events(None, cursor, 2))
    world.expect("all", ids, ["e4", "later", "e3", "e2", "e1"])
    ids = await _all(lambda cursor: world.store.find_events("paid", cursor, 1))
    world.expect("of one name", ids, ["e4", "later", "e3", "e1"])


# -- waking up --------------------------------------------------------------------------------------


async def _wakes(world: World, change: Callable[[], Awaitable[object]]) -> None:
    """`wait_changed` is waiting, and returns because of the change: long before its time is up."""
    woken = trio.Event()

    async def wait() -> None:
        await world.store.wait_changed(0)
        await world.store.wait_changed(3600)
        woken.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await trio.testing.wait_all_tasks_blocked()
        await change()
        await woken.wait()


@case
async def waiting_for_changes_ends_with_one(world: World) -> None:
    """New runs, events, messages and releases wake who waits for changes."""
    row = await world.own("r1")
    await _wakes(world, lambda: world.create("r2"))
    await _wakes(world, lambda: world.tell("r2", "m1"))
    await _wakes(world, lambda: _accept(world, "e1"))
    await _wakes(world, lambda: world.write(row, started(), release=True, due_at=None))


async def _accept(world: World, id: str) -> None:
    await world.accept(await world.event(id))


@case
async def waiting_for_changes_ends_in_time(world: World) -> None:
    """Without a change it ends after the seconds given: at once for none."""
    await world.store.wait_changed(0)
    await world.store.wait_changed(0.001)


@case
async def each_task_is_told_of_a_change(world: World) -> None:
    """A change ends the waiting of all tasks: none takes it away from another."""
    told: list[str] = []

    async def wait(task: str) -> None:
        await world.store.wait_changed(0)
        await world.store.wait_changed(3600)
        told.append(task)

    async with trio.open_nursery() as nursery:
        for task in ("one", "another"):
            nursery.start_soon(wait, task)
        await trio.testing.wait_all_tasks_blocked()
        await world.create()
    world.expect("who was told", sorted(told), ["another", "one"])


@case
async def no_change_is_missed_between_two_waits(world: World) -> None:
    """A change between two waits of a task ends the second one at once."""
    await world.store.wait_changed(0)
    await world.create()
    await world.store.wait_changed(3600)


# -- retention --------------------------------------------------------------------------------------


@case
async def old_ended_runs_are_deleted(world: World) -> None:
    """Runs that ended before a time go with all that is theirs; open and younger ones stay."""
    old = await world.own("old", parent=Parent(APP, "p", "step", "old"), created_at=await world.now() - SECOND)
    await world.write(old, started(), completed(), stored="completed")
    await world.own("open", lease=LEASE)
    world.pass_time(SECOND)
    edge = await world.own("edge")
    at = await world.now()
    await world.write(edge, started(), completed(), stored="completed")
    world.expect("one goes", await world.store.delete(at), 1)
    world.expect("no more", await world.store.delete(at), 0)
    there = [run for run in ("old", "open", "edge") if await world.store.load(APP, run) is not None]
    world.expect("there", there, ["open", "edge"])
    world.expect("children", (await world.store.children(APP, "p")).items, ())
    await world.create("old", seed=9)
    loaded = await world.store.load(APP, "old")
    world.expect("the id is free, without history", (loaded.row.seed, loaded.records), (9, ()))


@case
async def retention_goes_by_pages(world: World) -> None:
    """A call deletes no more than its limit; again and again until nothing is left."""
    event = await world.event("e0")
    await world.store.commit(Transition("e0", accept=(event, await world.event("e1")), routed=("e0", "e1")))
    for number in range(5):
        row = await world.own(f"r{number}")
        await world.write(row, started(), completed(), stored="completed")
    world.pass_time(SECOND)
    at = await world.now()
    world.expect("in pages", [await world.store.delete(at, 3) for _ in range(4)], [3, 3, 1, 0])


@case
async def unrouted_events_are_not_deleted(world: World) -> None:
    """An event goes when it is routed and older than the time given."""
    await world.accept(await world.event("unrouted"))
    await world.accept(await world.event("later", ts=await world.now() + MINUTE))
    for id in ("old", "edge"):
        await world.store.commit(Transition(id, accept=(await world.event(id),), routed=(id,)))
        world.pass_time(SECOND)
    at = await world.now() - SECOND
    world.expect("one goes", await world.store.delete(at), 1)
    events = ("unrouted", "later", "old", "edge")
    there = [id for id in events if await world.store.event(id) is not None]
    world.expect("there", there, ["unrouted", "later", "edge"])
    world.expect("by name", [e.id for e in await world.store.events("paid", 0)], ["unrouted", "edge"])


@case
async def what_an_open_run_may_look_back_to_is_not_deleted(world: World) -> None:
    """No event goes that is not older than the events of every open run."""
    events = [await world.event(f"e{number}") for number in range(4)]
    for event in events:
        await world.accept(event)
    await world.store.commit(Transition("mark", routed=("e0", "e1", "e2", "e3")))
    row = await world.own("r1", due_at=None)
    trigger = await world.store.event("e2")
    await world.create("r2", events=(trigger,), owner="w1", fence=1)
    await world.write(row, started(), completed(), stored="completed")
    world.pass_time(SECOND)
    at = await world.now()
    await world.store.delete(at)
    there = [event.id for event in events if await world.store.event(event.id) is not None]
    world.expect("there", there, ["e2", "e3"])
    world.expect("the trigger of the open run", (await world.store.load(APP, "r2")).events, (trigger,))


@case
async def positions_are_not_given_again(world: World) -> None:
    """After the newest event was deleted, the next one has a higher position all the same."""
    await world.store.commit(Transition("e1", accept=(await world.event("e1"),), routed=("e1",)))
    last = await world.store.last_position()
    world.pass_time(SECOND)
    world.expect("it goes", await world.store.delete(await world.now()), 1)
    world.expect("the last position stays", await world.store.last_position(), last)
    (position,) = await world.accept(await world.event("e2"))
    world.expect("higher", position > last, True)


@case
async def expired_keys_go_with_their_holders(world: World) -> None:
    """Retention drops keys that expired before the time, unless an event or open run holds them; cells too."""
    expired = await world.now() + SECOND
    await world.own("r1")
    await world.accept(await world.event("e1"))
    for name, holder in (("of a run", "r1"), ("of an event", "e1"), ("of nobody", "ghost")):
        await world.take(name, holder, expires_at=expired)
    await world.take("for good", "ghost")
    await world.take("later", "ghost", expires_at=expired + MINUTE)
    world.pass_time(2 * SECOND)
    await world.store.delete(await world.now())
    names = ["of a run", "of an event", "of nobody", "for good", "later"]
    there = sorted(await world.store.find_keys(APP, names))
    world.expect("there", there, ["for good", "later", "of a run", "of an event"])


@case
async def versions_outlive_retention(world: World) -> None:
    """Who saw a key or a cell before retention took it can neither take nor write over what came after it."""
    expired = await world.now() + SECOND
    old = (Cell(APP, "c1", 0, encoded(1), expired),)
    await world.store.commit(Transition("old", take=(TakeKey(APP, "k1", "ghost", "", expired),), cells=old))
    key, cell = before = await _versions(world)
    world.pass_time(2 * SECOND)
    await world.store.delete(await world.now())
    world.expect("they went", (await world.raw.find_keys(APP, ["k1"]), await world.raw.cells(APP, ["c1"])), ({}, {}))
    young = (Cell(APP, "c1", 0, encoded(2)),)
    await world.store.commit(Transition("young", take=(TakeKey(APP, "k1", "h2"),), cells=young))
    grown = [new > old for old, new in zip(before, await _versions(world), strict=True)]
    world.expect("higher versions", grown, [True, True])
    await world.refuses(Conflict("version"), world.take("k1", "h3", version=key))
    stale = Transition("stale", cells=(Cell(APP, "c1", cell, encoded(3)),))
    await world.refuses(Conflict("version"), world.store.commit(stale))


async def _versions(world: World) -> tuple[int, int]:
    key = (await world.raw.find_keys(APP, ["k1"]))["k1"]
    return key.version, (await world.raw.cells(APP, ["c1"]))["c1"].version


@case
async def a_deleted_run_leaves_nothing_to_its_namesake(world: World) -> None:
    """A run under the id of a deleted one has neither its events nor its mail: a message of an old id is a new one."""
    await world.accept(await world.event("e1"))
    trigger = await world.store.event("e1")
    old = await world.create("r1", events=(trigger,), owner="w1", fence=1)
    await world.tell("r1", "m1")
    await world.write(old, started(), completed(), stored="completed", drained=1)
    world.pass_time(SECOND)
    world.expect("it goes", await world.store.delete(await world.now()), 1)
    row = await world.create("r1")
    world.expect("what the event started", (await world.store.started_by("e1")).items, ())
    await world.tell("r1", "m1")
    world.expect("its mail", await world.mail(row), ["m1"])


# -- closing and opening --------------------------------------------------------------------------------


@case
async def what_was_committed_outlives_the_process(world: World) -> None:
    """All that a snapshot shows is there when the same data is opened again."""
    row = await world.own("r1")
    await world.write(row, started(), done())
    await world.open_wait(row)
    await world.tell("r1", "m1")
    await world.cancel("r1")
    ended = await world.own("r2")
    await world.write(ended, started(), failed(), stored="failed", reason="no")
    await world.accept(await world.event("e1", key="cart", digest="d"), await world.event("e2"))
    await world.store.commit(Transition("mark", routed=("e1",)))
    await world.take("k1", "h1", detail="x")
    before = await world.snapshot()
    now = await world.now()
    await world.reopen()
    world.expect_snapshot("all must be as before", before, await world.snapshot())
    world.expect("store time goes on", await world.now() >= now, True)
    await world.write(row, done("b"))


@case
async def counters_outlive_the_process(world: World) -> None:
    """After opening again positions, versions, fences and message ids go on where they were."""
    row = await world.own("r1")
    await world.tell("r1", "m1")
    await world.write(row, started(), drained=1)
    positions = await world.accept(await world.event("e1"))
    await world.take("k1", "h1")
    version = (await world.store.find_keys(APP, ["k1"]))["k1"].version
    await world.reopen()
    await world.unchanged(world.tell("r1", "m1"))
    (position,) = await world.accept(await world.event("e2"))
    world.expect("positions grow", position > positions[0], True)
    await world.take("k1", "h1", version=version)
    await world.write(row, done(), release=True, due_at=await world.now())
    (claimed,) = (await world.claim("w2")).runs
    world.expect("fences grow", claimed.row.fence, 2)


@case
async def two_stores_on_the_same_data_agree(world: World) -> None:
    """What one process commits the other reads at once; a run is claimed by one of them."""
    other = await world.second()
    row = await world.own("r1")
    await world.write(row, started())
    loaded = await other.load(APP, "r1")
    world.expect("the other reads it", loaded and loaded.records, (started(),))
    world.expect("the other refuses it", await _claimed(other), 0)
    await world.create("r2")
    world.expect("one of them has it", (await _claimed(other), await world.claimed("w1")), (1, []))
    await other.commit(world.progress(row, done()))
    world.expect("and back", (await world.fresh(row)).length, 2)
    await world.accept(await world.event("e1"))
    (event,) = await other.unrouted()
    await other.commit(Transition("mark", routed=(event.id,)))
    world.expect("routed by the other", await world.store.unrouted(), ())


async def _claimed(store: Any) -> int:
    return len((await store.claim(Who("other", OFFERS), 10, LEASE)).runs)
