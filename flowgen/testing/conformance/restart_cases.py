"""What outlives a process: one that closes its store, and one that dies; and the commit whose answer was lost.

Each case brings about something, lets the process end in both ways, and asks the next one. A process that dies
is one that asks its store nothing more: what was acknowledged has to be there for whoever opens the same data.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ...runs import EventCollected, Message, RunRow
from ...runtime.store import Conflict, Duplicate, Lease, LeaseLost
from ...transition import Cell, DropKey, NewRun, TakeKey, Transition
from .case import Collection
from .world import APP, CODE, LEASE, MINUTE, SECOND, World, completed, done, encoded, failed, result, started

case = Collection()

End = Callable[[World], Awaitable[None]]
ENDS: dict[str, End] = {"a close": World.reopen, "a crash": World.crash}

Restart = Callable[[World, End], Awaitable[None]]


def both(restart: Restart) -> Restart:
    """Decorator: two cases, for a process that closes its store and for one that dies."""
    for name, end in ENDS.items():
        _restart_case(restart, name.replace(" ", "_"), end)
    return restart


def _restart_case(restart: Restart, name: str, end: End) -> None:
    async def script(world: World) -> None:
        await restart(world, end)

    case.add(f"{restart.__name__}_over_{name}", restart.__doc__ or "", script)


@both
async def all_is_there(world: World, end: End) -> None:
    """A process that ends leaves all that was answered, of every kind, as it was."""
    row = await world.own("r1")
    await world.write(row, started(), done())
    await world.open_wait(row)
    await world.tell("r1", "m1")
    ended = await world.own("r2")
    await world.write(ended, started(), failed(), stored="failed", reason="no")
    await world.accept(await world.event("e1"), await world.event("e2"))
    await world.take("k1", "h1", detail="x", expires_at=await world.now() + MINUTE)
    await world.store.commit(Transition("c1", cells=(Cell(APP, "c1", 0, encoded({"n": [1, "é", None]})),)))
    before = await world.snapshot()
    await end(world)
    world.expect_snapshot("all must be as before", before, await world.snapshot())


@both
async def what_is_gone_stays_gone(world: World, end: End) -> None:
    """Keys that were dropped, cells that were removed, drained mail and closed waits do not come back."""
    row = await world.own("r1")
    await world.tell("r1", "m1")
    await world.take("k1", "h1")
    await world.store.commit(Transition("c1", cells=(Cell(APP, "c1", 0, encoded(1)),)))
    await world.open_wait(row)
    version = (await world.store.cells(APP, ["c1"]))["c1"].version
    transition = world.progress(
        row,
        done(),
        drained=1,
        close_waits=("wait-1",),
        drop=(DropKey(APP, "k1", "h1"),),
        cells=(Cell(APP, "c1", version, None),),
    )
    await world.store.commit(transition)
    await end(world)
    there = (await world.store.find_keys(APP, ["k1"]), await world.store.cells(APP, ["c1"]), await world.mail(row))
    world.expect("keys, cells and mail", there, ({}, {}, []))
    world.expect("waits", await world.store.open_waits(APP, "r1"), ())
    await world.unchanged(world.tell("r1", "m1"))


@both
async def cells_go_on_under_their_versions(world: World, end: End) -> None:
    """The version that was read before a process ended is good after it, once."""
    await world.store.commit(Transition("c1", cells=(Cell(APP, "c1", 0, encoded(1)),)))
    version = (await world.store.cells(APP, ["c1"]))["c1"].version
    await end(world)
    await world.store.commit(Transition("c2", cells=(Cell(APP, "c1", version, encoded(2)),)))
    again = Transition("c3", cells=(Cell(APP, "c1", version, encoded(3)),))
    await world.refuses(Conflict("version"), world.store.commit(again))
    world.expect("the value", (await world.store.cells(APP, ["c1"]))["c1"].value, encoded(2))


@both
async def a_lease_holds(world: World, end: End) -> None:
    """The owner's lease and fence are those of before: nobody else has the run until they end."""
    row = await world.own("r1")
    await end(world)
    world.expect("held", await world.claimed("w2"), [])
    world.expect("extended", (await world.store.extend("w1", [Lease(APP, "r1", row.fence)], LEASE)).mail, (0,))
    world.pass_time(LEASE)
    (claimed,) = (await world.claim("w2")).runs
    world.expect("taken over", (claimed.took_over, claimed.row.fence, claimed.row.strikes), (True, 2, 1))
    await world.refuses(LeaseLost(), world.store.commit(world.progress(row, done())))


@both
async def a_suspect_is_remembered(world: World, end: End) -> None:
    """The strikes of a run outlive the worker that it killed, and who was suspected with it."""
    await world.own("poison")
    for worker in ("w2", "w3"):
        world.pass_time(LEASE)
        await world.claim(worker)
    await world.own("innocent", worker="w3")
    await end(world)
    world.pass_time(LEASE)
    strikes = {claimed.row.id: claimed.row.strikes for claimed in (await world.claim("w4")).runs}
    world.expect("strikes", strikes, {"innocent": 0, "poison": 3})


@both
async def waits_are_found(world: World, end: End) -> None:
    """Open waits are found by their event and value, and know how far they looked back."""
    row = await world.own("r1")
    await world.open_wait(row, "any")
    await world.open_wait(row, "mine", path="data.id", value='"7"')
    await world.open_wait(row, "other", path="data.id", value='"8"')
    await world.store.commit(world.progress(row, done(), looked=(("any", 5),)))
    await end(world)
    (position,) = await world.accept(await world.event("e1", data={"id": "7"}))
    event = await world.store.event("e1")
    found = [wait.id for wait in (await world.store.waits(event)).items]
    world.expect("found", (position, found), (1, ["any", "mine"]))
    looked = {wait.id: wait.looked_to for wait in await world.store.open_waits(APP, "r1")}
    world.expect("looked to", looked, {"any": 5, "mine": None, "other": None})


@both
async def events_are_found(world: World, end: End) -> None:
    """Events keep their positions, values and marks; those of the future come when their time has come."""
    now = await world.now()
    later = await world.event("later", ts=now + MINUTE)
    await world.accept(await world.event("e1", data={"id": 1}), await world.event("e2", data={"id": 2}), later)
    await world.store.commit(Transition("mark", routed=("e1",)))
    await end(world)
    world.expect("unrouted", [event.id for event in await world.store.unrouted()], ["e2"])
    world.expect("by value", [e.id for e in await world.store.events("paid", 0, "data.id", "2")], ["e2"])
    world.pass_time(MINUTE)
    promoted = [(event.id, event.position) for event in await world.store.unrouted()]
    world.expect("when its time has come", promoted, [("e2", 2), ("later", 3)])


@both
async def slots_are_held_and_queued_for(world: World, end: End) -> None:
    """Who holds a slot holds it, and those that wait for it go on in their order."""
    values: dict[str, Any] = {"slots": ("k",), "wants": True, "due_at": None}
    for run in ("a", "b", "c"):
        await world.create(run, **values)
    (holder,) = (await world.claim(limits=(1,))).runs
    await end(world)
    world.expect("no room", await world.claimed("w2", limits=(1,)), [])
    await world.write(holder.row, started(), completed(), stored="completed")
    await end(world)
    world.expect("the next", await world.claimed("w2", limits=(1,)), ["b"])
    world.expect("and no more", await world.claimed("w2", limits=(1,)), [])


@both
async def what_is_collected_is_kept(world: World, end: End) -> None:
    """A run that collects has its events after the process has ended, and goes on collecting."""
    due = await world.now() + MINUTE
    await world.create("r1", stored="collecting", due_at=due)
    for id in ("e1", "e2"):
        event = await world.event(id)
        message = Message(f"collected {id}", APP, "r1", EventCollected(event))
        await world.store.commit(Transition(id, accept=(event,), messages=(message,)))
        await end(world)
    loaded = await world.store.load(APP, "r1")
    events = [mail.message.body.event.id for mail in loaded.mail]
    world.expect("collected", (loaded.row.stored, events), ("collecting", ["e1", "e2"]))
    world.expect("started by", [row.id for row in (await world.store.started_by("e2")).items], ["r1"])


@both
async def retention_is_final(world: World, end: End) -> None:
    """What was deleted is not there again, and its place is not given to another."""
    row = await world.own("r1")
    await world.write(row, started(), completed(), stored="completed")
    await world.store.commit(Transition("e1", accept=(await world.event("e1"),), routed=("e1",)))
    world.pass_time(SECOND)
    world.expect("deleted", await world.store.delete(await world.now()), 2)
    await end(world)
    world.expect("gone", (await world.store.load(APP, "r1"), await world.store.event("e1")), (None, None))
    world.expect("the next position", await world.accept(await world.event("e2")), (2,))


@both
async def store_time_does_not_go_back(world: World, end: End) -> None:
    """A clock that was set back does not bring back the time before the last commit."""
    clock = world.needs_clock()
    await world.own("r1")
    now = await world.now()
    clock.time -= MINUTE
    await end(world)
    world.expect("not earlier", await world.now() >= now, True)
    clock.time += MINUTE


# -- a commit whose answer was lost ---------------------------------------------------------------------


Lost = Callable[[World, RunRow], Awaitable[Transition]]


async def _records(world: World, row: RunRow) -> Transition:
    return world.progress(row, started(), done())


async def _release(world: World, row: RunRow) -> Transition:
    return world.progress(row, release=True, due_at=await world.now() + MINUTE)


async def _end(world: World, row: RunRow) -> Transition:
    return world.progress(row, started(), completed(), stored="completed")


async def _park(world: World, row: RunRow) -> Transition:
    return world.progress(row, stored="parked", digest=CODE)


async def _drain(world: World, row: RunRow) -> Transition:
    await world.tell()
    return world.progress(row, done(), drained=1)


async def _send(world: World, row: RunRow) -> Transition:
    return world.progress(row, done(), accept=(await world.event("sent"),))


async def _invoke(world: World, row: RunRow) -> Transition:
    return world.progress(row, done(), create=(NewRun(await world.row("child"), ()),))


async def _wait(world: World, row: RunRow) -> Transition:
    return world.progress(row, done(), open_waits=(await world.wait(row),))


async def _key_and_cell(world: World, row: RunRow) -> Transition:
    cell = Cell(APP, "c1", 0, encoded(1))
    return world.progress(row, done(), take=(TakeKey(APP, "k1", "r1"),), cells=(cell,))


async def _create(world: World, row: RunRow) -> Transition:
    return Transition("create it", create=(NewRun(await world.row("new"), ()),), take=(TakeKey(APP, "k1", "new"),))


async def _accept(world: World, row: RunRow) -> Transition:
    event = await world.event("new")
    return Transition("new", accept=(event,), create=(NewRun(await world.row("new"), (event,)),))


async def _tell(world: World, row: RunRow) -> Transition:
    cell = Cell(APP, "c1", 0, encoded(1))
    return Transition("tell it", messages=(Message("m9", APP, "r1", result()),), cells=(cell,))


def _lost_answer_case(name: str, build: Lost, how: str, end: End | None) -> None:
    async def script(world: World) -> None:
        row = await world.own()
        transition = await build(world, row)
        first = await world.store.commit(transition)
        if end is not None:
            await end(world)
        again = await world.unchanged(world.store.commit(transition))
        world.expect("the answer", (again.mail, again.positions), (first.mail, first.positions))

    about = f"Committed twice, because the answer was lost, {name} happens once and is answered alike."
    case.add(f"{name} is repeated {how}".replace(" ", "_"), about, script)


for _name, _build in {
    "appending records": _records,
    "a release": _release,
    "an end": _end,
    "a parking": _park,
    "draining": _drain,
    "sending an event": _send,
    "invoking a child": _invoke,
    "opening a wait": _wait,
    "taking a key and writing a cell": _key_and_cell,
    "a creation": _create,
    "an acceptance": _accept,
    "a message": _tell,
}.items():
    _lost_answer_case(_name, _build, "at once", None)
    for _how, _ends in ENDS.items():
        _lost_answer_case(_name, _build, f"after {_how}", _ends)


@case
async def a_lost_answer_is_not_found_under_another_name(world: World) -> None:
    """Another transition with the same content is no repetition: what it creates or takes is there."""
    await world.store.commit(Transition("first", create=(NewRun(await world.row("new"), ()),)))
    again = Transition("second", create=(NewRun(await world.row("new"), ()),))
    await world.refuses(Duplicate("new", "new"), world.store.commit(again))
