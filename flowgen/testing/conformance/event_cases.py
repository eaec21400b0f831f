"""Events: positions, look-back, routing, and events from the future."""

from __future__ import annotations

import attrs

from ...expression import match_key
from ...runtime.store import PAGE, Who
from ...transition import NewRun, Transition
from .case import Collection
from .world import OFFERS, SECOND, World, started

case = Collection()


@case
async def an_accepted_event_is_read_back(world: World) -> None:
    """All of an event survives, with the position that acceptance gave it, and that it was deferred."""
    event = await world.event("e1", data={"b": 1, "a": [10**30, "é"]}, key="cart-7", digest="abc", ts=5)
    event = attrs.evolve(event, deferred=True)
    (position,) = await world.accept(event)
    kept = attrs.evolve(event, position=position)
    world.expect("among what is not routed", await world.store.unrouted(), (kept,))
    world.expect("by its id", await world.store.event("e1"), kept)
    world.expect("by its name", await world.store.events("paid", 0), (kept,))
    world.expect("one that is not there", await world.store.event("e2"), None)


@case
async def positions_grow_with_each_commit(world: World) -> None:
    """Positions are above 0, grow within a commit and from commit to commit; the last one is told."""
    world.expect("no event yet", await world.store.last_position(), 0)
    positions: list[int] = []
    for number in range(4):
        batch = [await world.event(f"e{number}{letter}", name=letter) for letter in "ab"]
        positions += await world.accept(*batch)
        world.expect("the last position", await world.store.last_position(), positions[-1])
    world.expect("growing from above 0", positions, sorted({position for position in positions if position > 0}))


@case
async def a_refused_commit_leaves_no_gap_that_fills(world: World) -> None:
    """Nothing is ever added below a position that was seen."""
    await world.accept(await world.event("e1"))
    seen = await world.store.last_position()
    row = await world.row("ghost", fence=1)
    try:
        await world.store.commit(world.progress(row, started(), accept=(await world.event("e2"),)))
    except Exception as refusal:
        world.log.append(f"refused: {type(refusal).__name__}")
    (position,) = await world.accept(await world.event("e3"))
    world.expect("above what was seen", position > seen, True)
    world.expect("events", [e.id for e in await world.store.events("paid", 0)], ["e1", "e3"])


@case
async def the_last_position_before_a_time(world: World) -> None:
    """Asked for a time, it is that of the newest event accepted earlier (`since=` a time)."""
    (first,) = await world.accept(await world.event("e1"))
    world.pass_time(SECOND)
    at = await world.now()
    (second,) = await world.accept(await world.event("e2"))
    world.expect("before both", await world.store.last_position(at - SECOND), 0)
    world.expect("exclusive", await world.store.last_position(at), first)
    world.expect("after both", await world.store.last_position(at + 1), second)


@case
async def looking_back_is_between_positions(world: World) -> None:
    """`since` and `until` are exclusive; the order is that of positions; other names are not seen."""
    events = [await world.event(f"e{n}", name=("paid", "other")[n % 2]) for n in range(8)]
    positions = await world.accept(*events)
    world.expect("all", [e.id for e in await world.store.events("paid", 0)], ["e0", "e2", "e4", "e6"])
    got = await world.store.events("paid", positions[0], until=positions[6])
    world.expect("between", [e.id for e in got], ["e2", "e4"])
    got = await world.store.events("paid", positions[1], until=positions[5])
    world.expect("between others", [e.id for e in got], ["e2", "e4"])
    world.expect("none", await world.store.events("ghost", 0), ())


@case
async def looking_back_is_limited(world: World) -> None:
    """At most `limit` events come, the earliest first, so that one goes on from the last."""
    positions = await world.accept(*[await world.event(f"e{n}") for n in range(7)])
    got: list[str] = []
    since = 0
    while page := await world.store.events("paid", since, limit=3):
        got += [event.id for event in page]
        since = page[-1].position
    world.expect("all, three at a time", got, [f"e{n}" for n in range(7)])
    world.expect("positions", since, positions[-1])


@case
async def looking_back_finds_values(world: World) -> None:
    """With a path, only events with that value there are found: those from before the first question, too."""
    for number in range(3):
        await world.accept(await world.event(f"old-{number}", data={"id": number}))
    key = match_key(1)
    found = [e.id for e in await world.store.events("paid", 0, "data.id", key)]
    world.expect("before", found, ["old-1"])
    row = await world.own()
    await world.open_wait(row, path="data.id", value=key)
    for number in range(3):
        await world.accept(await world.event(f"new-{number}", data={"id": number}))
    await world.accept(await world.event("float", data={"id": 1.0}), await world.event("text", data={"id": "1"}))
    found = [e.id for e in await world.store.events("paid", 0, "data.id", key)]
    world.expect("after", found, ["old-1", "new-1", "float"])
    await world.accept(await world.event("missing", data={}), await world.event("null", data={"id": None}))
    found = [e.id for e in await world.store.events("paid", 0, "data.id", match_key(None))]
    world.expect("a missing value is null", found, ["missing", "null"])
    world.expect("another path", await world.store.events("paid", 0, "data.other", key), ())


@case
async def routed_events_are_not_unrouted(world: World) -> None:
    """An event is unrouted from its acceptance until a transition says otherwise; by position; paged."""
    await world.accept(*[await world.event(f"e{n}") for n in range(5)])
    await world.store.commit(Transition("mark", routed=("e1", "e3", "ghost")))
    world.expect("unrouted", [e.id for e in await world.store.unrouted()], ["e0", "e2", "e4"])
    world.expect("limited", [e.id for e in await world.store.unrouted(2)], ["e0", "e2"])
    await world.store.commit(Transition("mark again", routed=("e0", "e1", "e2", "e4")))
    world.expect("none", await world.store.unrouted(), ())
    world.expect("but all are there", len(await world.store.events("paid", 0)), 5)


@case
async def an_event_may_be_accepted_routed(world: World) -> None:
    """A transition may accept an event and mark it routed."""
    event = await world.event("e1")
    await world.store.commit(Transition("e1", accept=(event,), routed=("e1",)))
    world.expect("unrouted", await world.store.unrouted(), ())


@case
async def an_event_from_the_future_waits(world: World) -> None:
    """An event with a later `ts` has no position, and is seen by its id only, until its time has come."""
    later = await world.now() + SECOND
    positions = await world.accept(await world.event("later", ts=later), await world.event("now"))
    world.expect("no position yet", (positions[0], positions[1] > 0), (0, True))
    kept = await world.store.event("later")
    world.expect("by its id", (kept.id, kept.position), ("later", None))
    world.expect("by its name", [e.id for e in await world.store.events("paid", 0)], ["now"])
    world.expect("unrouted", [e.id for e in await world.store.unrouted()], ["now"])
    world.expect("a router is told when", await world.store.next_due(Who("w1", OFFERS)), later)
    world.pass_time(SECOND - 1)
    world.expect("a microsecond too early", [e.id for e in await world.store.unrouted()], ["now"])
    world.pass_time(1)
    world.expect("unrouted", [e.id for e in await world.store.unrouted()], ["now", "later"])
    kept = await world.store.event("later")
    world.expect("the next position", kept.position, await world.store.last_position())
    world.expect("above the others", kept.position > positions[1], True)
    world.expect("by its name", [e.id for e in await world.store.events("paid", 0)], ["now", "later"])
    world.expect("nothing more to tell", await world.store.next_due(Who("w1", OFFERS)), None)


@case
async def events_from_the_future_come_in_order_of_time(world: World) -> None:
    """Those whose time has come get their positions in the order of their times, whatever their ids are."""
    now = await world.now()
    for id, delay in (("b in 3 s", 3), ("c in 1 s", 1), ("a in 2 s", 2), ("d in 4 s", 4)):
        await world.accept(await world.event(id, ts=now + delay * SECOND))
    world.pass_time(3 * SECOND)
    world.expect("unrouted", [e.id for e in await world.store.unrouted()], ["c in 1 s", "a in 2 s", "b in 3 s"])


@case
async def a_run_knows_what_started_it(world: World) -> None:
    """The runs of an event are found in all apps; those of another event are not."""
    one, two = await world.event("e1"), await world.event("e2")
    create = (
        NewRun(await world.row("r1"), (one,)),
        NewRun(await world.row("r1", app="other"), (one,)),
        NewRun(await world.row("r2"), (two, one)),
        NewRun(await world.row("r3"), (two,)),
    )
    await world.store.commit(Transition("e1", accept=(one, two), create=create))
    page = await world.store.started_by("e1")
    got = sorted((row.app, row.id) for row in page.items)
    world.expect("runs of e1", got, [("other", "r1"), ("shop", "r1"), ("shop", "r2")])
    world.expect("runs of another", (await world.store.started_by("ghost")).items, ())


@case
async def many_runs_of_an_event_come_in_pages(world: World) -> None:
    """The runs of an event are found page by page, each once."""
    event = await world.event("e1")
    create = tuple([NewRun(await world.row(f"r{n:05}"), (event,)) for n in range(PAGE + 3)])
    await world.raw.commit(Transition("e1", accept=(event,), create=create))
    first = await world.raw.started_by("e1")
    second = await world.raw.started_by("e1", first.cursor)
    ids = [row.id for row in (*first.items, *second.items)]
    world.expect("each once", (len(ids), len(set(ids)), second.cursor), (PAGE + 3, PAGE + 3, None))
