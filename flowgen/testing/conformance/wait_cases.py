"""Waits: found by index, opened, closed and looked up by their owner; and events that meet them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import combinations
from typing import Any

import attrs

from ...expression import match_key
from ...history import Requested, WaitTerms
from ...runs import EventMatched, Message
from ...runtime.store import PAGE
from ...transition import NewRun, Transition
from .case import Collection
from .world import APP, EPOCH, MINUTE, World, completed, encoded, started

case = Collection()


async def _found(world: World, **event: Any) -> list[str]:
    """The ids of the waits that a new event may match."""
    accepted = await world.event(**event)
    (position,) = await world.accept(accepted)
    page = await world.store.waits(attrs.evolve(accepted, position=position))
    return [wait.id for wait in page.items]


@case
async def a_wait_is_found_by_its_event(world: World) -> None:
    """A wait without a path is found by every event of its name, and by no other."""
    row = await world.own()
    wait = await world.open_wait(row, where="async.data.ok", scope=encoded({"data": {"a": 1}}), looked_to=3)
    (position,) = await world.accept(await world.event("e1"))
    page = await world.store.waits(await world.store.event("e1"))
    world.expect("the wait as it was opened", (page.items, page.cursor), ((wait,), None))
    world.expect("its position", position > (wait.after or 0), True)
    world.expect("another name", await _found(world, id="e2", name="other"), [])
    world.expect("a longer name", await _found(world, id="e3", name="paid/twice"), [])


@case
async def a_wait_is_found_by_the_value_at_its_path(world: World) -> None:
    """A wait with a path is found by events with that value there: equal as JSON, not as text."""
    row = await world.own()
    values = {"text": "7", "number": 7, "true": True, "one": 1, "null": None, "list": [7], "object": {"a": 7}}
    for name, value in values.items():
        await world.open_wait(row, name, path="data.order.id", value=match_key(value))
    await world.open_wait(row, "any")
    await world.open_wait(row, "elsewhere", path="data.customer", value=match_key(7))
    for number, (name, value) in enumerate(values.items()):
        got = await _found(world, id=f"e{number}", data={"order": {"id": value}})
        world.expect(f"waits for {value!r}", sorted(got), sorted([name, "any"]))
    world.expect("a missing path is null", sorted(await _found(world, id="m1", data={})), ["any", "null"])
    world.expect("also inside a text", sorted(await _found(world, id="m2", data={"order": "x"})), ["any", "null"])
    both = await _found(world, id="m3", data={"order": {"id": 7.0}, "customer": 7})
    world.expect("two paths, and 7.0 is 7", sorted(both), ["any", "elsewhere", "number"])


@case
async def a_wait_is_for_later_events(world: World) -> None:
    """`after` is exclusive: an event at or before it does not find the wait."""
    row = await world.own()
    events = [await world.event(f"e{number}") for number in range(3)]
    positions = await world.accept(*events)
    for number, position in enumerate(positions):
        await world.open_wait(row, f"after-{number}", after=position)
    got = []
    for event in events:
        page = await world.store.waits(await world.store.event(event.id))
        got.append([wait.id for wait in page.items])
    world.expect("found by each", got, [[], ["after-0"], ["after-0", "after-1"]])


@case
async def waits_of_all_apps_and_runs_are_found(world: World) -> None:
    """Events belong to the store: waits of any app meet them; equal ids of two runs are two waits."""
    for app, run in ((APP, "r1"), (APP, "r2"), ("other", "r1")):
        await world.open_wait(await world.own(run, app=app), "wait-1")
    await world.accept(await world.event("e1"))
    page = await world.store.waits(await world.store.event("e1"))
    got = sorted((wait.app, wait.run) for wait in page.items)
    world.expect("waits", got, [("other", "r1"), (APP, "r1"), (APP, "r2")])


@case
async def a_closed_wait_is_not_found(world: World) -> None:
    """Closing a wait takes out that wait of that run, and closing one that is not there does nothing."""
    first, second = await world.own("r1"), await world.own("r2")
    for row in (first, second):
        await world.open_wait(row, "wait-1")
        await world.open_wait(row, "wait-2")
    await world.write(first, started(), close_waits=("wait-1", "ghost"))
    world.expect("of r1", [wait.id for wait in await world.store.open_waits(APP, "r1")], ["wait-2"])
    world.expect("of r2", [wait.id for wait in await world.store.open_waits(APP, "r2")], ["wait-1", "wait-2"])
    world.expect("found", sorted(await _found(world)), ["wait-1", "wait-2", "wait-2"])


@case
async def an_ended_run_waits_no_more(world: World) -> None:
    """The end of a run removes its waits; an ended run opens none."""
    row, ended = await world.own("r1"), await world.own("r2")
    await world.open_wait(row, "wait-1")
    wait = await world.wait(row, "wait-2")
    late = await world.wait(ended, "late")
    await world.write(ended, started(), completed(), stored="completed", open_waits=(late,))
    await world.write(row, started(), completed(), stored="completed", open_waits=(wait,))
    world.expect("open waits", await world.store.open_waits(APP, "r1"), ())
    world.expect("found", await _found(world), [])


@case
async def a_wait_may_be_opened_with_its_run(world: World) -> None:
    """The commit that creates a run may open waits of it."""
    row = await world.row("r1")
    wait = await world.wait(row)
    await world.store.commit(Transition("t", create=(NewRun(row, ()),), open_waits=(wait,)))
    world.expect("open waits", await world.store.open_waits(APP, "r1"), (wait,))


@case
async def how_far_a_wait_looked_back_is_kept(world: World) -> None:
    """`looked` moves the wait's `looked_to`, and nothing else of it; of a closed wait nothing."""
    row = await world.own()
    wait = await world.open_wait(row)
    await world.write(row, looked=(("wait-1", 5), ("ghost", 6)))
    world.expect("the wait", await world.store.open_waits(APP, "r1"), (attrs.evolve(wait, looked_to=5),))


@case
async def a_wait_opened_again_is_one_wait(world: World) -> None:
    """Opening a wait id again replaces the wait, in the index too."""
    row = await world.own()
    await world.open_wait(row, path="data.a", value=match_key(1))
    again = await world.open_wait(row, path="data.b", value=match_key(2))
    world.expect("open waits", await world.store.open_waits(APP, "r1"), (again,))
    world.expect("by the old value", await _found(world, id="e1", data={"a": 1}), [])
    world.expect("by the new value", await _found(world, id="e2", data={"b": 2}), ["wait-1"])


@case
async def waits_come_in_pages(world: World) -> None:
    """Many waits are found page by page, each once, though some close between two pages."""
    row = await world.own()
    waits = tuple([await world.wait(row, f"w{number:05}") for number in range(2 * PAGE + 1)])
    await world.raw.commit(world.progress(row, open_waits=waits))
    await world.accept(await world.event("e1"))
    event = await world.raw.event("e1")
    assert event is not None
    first = await world.raw.waits(event)
    world.expect("a full page", len(first.items), PAGE)
    closed = (first.items[0].id, first.items[-1].id)
    await world.raw.commit(world.progress(row, close_waits=closed))
    got, cursor = [wait.id for wait in first.items], first.cursor
    while cursor is not None:
        page = await world.raw.waits(event, cursor)
        got += [wait.id for wait in page.items]
        cursor = page.cursor
    world.expect("each wait once", (len(got), len(set(got))), (len(waits), len(waits)))


@case
async def waits_outlive_a_release(world: World) -> None:
    """A released run goes on waiting: its waits are open until it, or its end, closes them."""
    row = await world.own()
    wait = await world.open_wait(row)
    await world.write(row, started(), release=True, due_at=None)
    world.expect("open waits", await world.store.open_waits(APP, "r1"), (wait,))
    world.expect("found", await _found(world), ["wait-1"])


@case
async def a_wait_that_comes_with_its_run_looks_from_the_runs_event_on(world: World) -> None:
    """A wait that is opened without a position, with its run, is for events after the last one of that run."""
    await world.accept(await world.event("before"))
    event = await world.event("trigger")
    row = await world.row()
    wait = await world.wait(row, after=None)
    new = NewRun(row, (event,))
    await world.store.commit(Transition("trigger", accept=(event,), create=(new,), open_waits=(wait,)))
    position = (await world.store.event("trigger")).position
    world.expect("after", [wait.after for wait in await world.store.open_waits(APP, "r1")], [position])
    await world.accept(await world.event("later"))
    found = [len((await world.store.waits(await world.store.event(id))).items) for id in ("before", "trigger", "later")]
    world.expect("found by", found, [0, 0, 1])


# -- event meets wait -----------------------------------------------------------------------------------
#
# The owner commits the wait, looks back after that commit, and then commits what it found and gives the
# run back. The router commits the event, looks up waits after that commit, and then delivers. Whatever
# the order of these six, the run has the event once, and is due.


class _Meeting:
    """The two sides of a meeting, each a list of moves in its own order."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.owner: list[Callable[[], Awaitable[None]]] = [self.open, self.look_back, self.release]
        self.router: list[Callable[[], Awaitable[None]]] = [self.accept, self.look_up, self.deliver]
        self._messages: tuple[Message, ...] = ()
        self._deliveries: tuple[Message, ...] = ()

    async def prepare(self) -> None:
        self.row = await self.world.own()
        self.wait = await self.world.wait(self.row, path="data.id", value=match_key(7))
        self.event = await self.world.event("e1", data={"id": 7})

    def _message(self) -> Message:
        return Message("wait-1 meets e1", APP, "r1", EventMatched("wait-1", "wait for it", self.event))

    async def open(self) -> None:
        terms = WaitTerms("wait-1", "paid", EPOCH + MINUTE, 0)
        request = Requested(EPOCH, "wait for it", "wait", "d", terms)
        await self.world.write(self.row, request, open_waits=(self.wait,))

    async def look_back(self) -> None:
        wait = self.wait
        found = await self.world.store.events("paid", wait.after, wait.path, wait.value)
        self._messages = (self._message(),) if found else ()

    async def release(self) -> None:
        await self.world.write(self.row, release=True, due_at=None, messages=self._messages)

    async def accept(self) -> None:
        await self.world.accept(self.event)

    async def look_up(self) -> None:
        (event,) = await self.world.store.unrouted()
        page = await self.world.store.waits(event)
        self._deliveries = tuple(self._message() for _ in page.items)

    async def deliver(self) -> None:
        transition = Transition("e1/deliver/0", messages=self._deliveries, routed=("e1",))
        await self.world.store.commit(transition)


def _meeting_case(places: tuple[int, ...]) -> None:
    """A case for the order in which the owner's moves take these of the six places."""

    async def script(world: World) -> None:
        meeting = _Meeting(world)
        await meeting.prepare()
        owner, router = iter(meeting.owner), iter(meeting.router)
        for place in range(6):
            await next(owner if place in places else router)()
        world.expect("the mailbox", await world.mail(meeting.row), ["wait-1 meets e1"])
        world.expect("unrouted", await world.store.unrouted(), ())
        (claimed,) = (await world.claim("w2")).runs
        world.expect("the run is due", (claimed.row.id, claimed.row.mail), ("r1", 1))

    order = "".join("o" if place in places else "r" for place in range(6))
    about = f"Waiting and accepting in the order {order} (o: the owner's next move, r: the router's): met once."
    case.add(f"an_event_meets_a_wait_{order}", about, script)


for _places in combinations(range(6), 3):
    _meeting_case(_places)
