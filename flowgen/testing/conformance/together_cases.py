"""What a store may have beside the contract: many commits at once, which names are awaited, how many runs there are.

And what it may do at once for a transition that `routes`. A store without these is asked one by one, or leaves the work
to the router: then there is nothing to get wrong, and the case is skipped.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...runs import CancelRequested, Message
from ...runtime.counting import Count, CountsRuns
from ...runtime.store import Committed, Many
from ...transition import NewRun, Transition
from .case import Collection
from .world import APP, LEASE, MINUTE, Unavailable, World, completed, done, started, told

case = Collection()


def _needs(world: World, kind: type, verbs: str) -> None:
    if not isinstance(world.raw, kind):
        raise Unavailable(f"the store has no {verbs}")


async def _creating(world: World, run: str) -> Transition:
    return Transition(f"create {APP}/{run}", create=(NewRun(await world.row(run), ()),))


def _cancelling(run: str) -> Transition:
    return Transition(f"cancel {run}", messages=(Message(f"c-{run}", APP, run, CancelRequested("so"), True),))


async def _told(world: World, *transitions: Transition) -> list[str]:
    """What each of several transitions was answered, as far as the contract fixes it."""
    for transition in transitions:
        world.note(transition)
    answers = await world.store.commit_many(transitions)
    return ["committed" if isinstance(answer, Committed) else told(answer) for answer in answers]


# -- many at once ----------------------------------------------------------------------------------


@case
async def each_of_many_commits_has_its_answer(world: World) -> None:
    """`commit_many` answers each transition in its place, and a refusal among them concerns no other."""
    _needs(world, Many, "commit_many")
    transitions = [await _creating(world, "r1"), _cancelling("nobody"), await _creating(world, "r2")]
    got = await _told(world, *transitions)
    world.expect("the answers", got, ["committed", "RunEnded('nobody', None)", "committed"])
    there = [run for run in ("r1", "nobody", "r2") if await world.store.load(APP, run) is not None]
    world.expect("the runs", there, ["r1", "r2"])


@case
async def no_commits_at_once_are_none(world: World) -> None:
    """`commit_many` of nothing answers nothing, and changes nothing."""
    _needs(world, Many, "commit_many")
    world.expect("the answers", len(await world.unchanged(world.store.commit_many([]))), 0)


@case
async def many_commits_are_in_their_order(world: World) -> None:
    """Each transition of `commit_many` sees those before it: what an owner writes in turn is one history."""
    _needs(world, Many, "commit_many")
    row = await world.own()
    first = world.progress(row, started())
    second = world.progress(row, done(), position=1)
    third = world.progress(row, completed(), position=2, stored="completed")
    world.expect("the answers", await _told(world, first, second, third), ["committed"] * 3)
    loaded = await world.store.load(APP, "r1")
    world.expect("the history", loaded.records, (started(), done(), completed()))


@case
async def a_refusal_among_many_commits_changes_nothing(world: World) -> None:
    """What is refused within `commit_many` has changed nothing: not its records, not its events."""
    _needs(world, Many, "commit_many")
    row = await world.own()
    stale = world.progress(row, done("zombie"), fence=row.fence + 7, accept=(await world.event("e-zombie"),))
    answers = await _told(world, world.progress(row, started()), stale, await _creating(world, "r2"))
    world.expect("the answers", answers, ["committed", "LeaseLost", "committed"])
    world.expect("the event", await world.store.event("e-zombie"), None)
    loaded = await world.store.load(APP, "r1")
    world.expect("the history", loaded.records, (started(),))


@case
async def many_commits_may_be_repeated(world: World) -> None:
    """`commit_many` again, after an unknown outcome, is answered like the first time and changes nothing."""
    _needs(world, Many, "commit_many")
    transitions = [await _creating(world, "r1"), _cancelling("nobody"), await _creating(world, "r2")]
    first = await _told(world, *transitions)
    again = await world.unchanged(_told(world, *transitions))
    world.expect("the answers", again, first)


@case
async def many_commits_outlive_the_process(world: World) -> None:
    """Whatever `commit_many` has answered for is there after a crash."""
    _needs(world, Many, "commit_many")
    await _told(world, *[await _creating(world, f"r{n}") for n in range(3)])
    await world.crash()
    there = [run for run in ("r0", "r1", "r2") if await world.store.load(APP, run) is not None]
    world.expect("the runs", there, ["r0", "r1", "r2"])


# -- which names are awaited -----------------------------------------------------------------------


@case
async def a_name_is_awaited_while_a_wait_is_open(world: World) -> None:
    """`awaited` tells those of the names for which there is an open wait, whatever it matches, of whatever app."""
    _needs(world, Many, "awaited")
    await world.open_wait(await world.own("r1"), "w-1", event="paid")
    await world.open_wait(await world.own("r2", app="other"), "w-2", event="sent", path="data.id", value='"7"')
    world.expect("awaited", await world.store.awaited(["paid", "lost", "sent"]), frozenset({"paid", "sent"}))
    world.expect("of no names", await world.store.awaited([]), frozenset())


@case
async def a_name_is_awaited_until_its_last_wait_is_closed(world: World) -> None:
    """A wait that was closed, or whose run has ended, awaits nothing any more; another one on the name still does."""
    _needs(world, Many, "awaited")
    closing, ending = await world.own("r1"), await world.own("r2")
    await world.open_wait(closing, "w-1")
    await world.open_wait(ending, "w-2")
    await world.write(closing, started(), close_waits=("w-1",))
    world.expect("one is left", await world.store.awaited(["paid"]), frozenset({"paid"}))
    await world.write(ending, started(), completed(), stored="completed")
    world.expect("none is left", await world.store.awaited(["paid"]), frozenset())


# -- acceptance that routes ------------------------------------------------------------------------


async def _unrouted(world: World) -> list[str]:
    return [event.id for event in await world.store.unrouted()]


async def _accept_routed(world: World, *changes: Mapping[str, Any]) -> list[str]:
    """Accept events e1, e2, …; which of them are left to the router."""
    events = [await world.event(f"e{number}", **change) for number, change in enumerate(changes, 1)]
    await world.store.commit(Transition("e1", accept=tuple(events), routes=True))
    return await _unrouted(world)


@case
async def what_somebody_waits_for_is_left_to_the_router(world: World) -> None:
    """An acceptance that `routes` marks no event as routed for which a wait is open: it would never be delivered."""
    await world.open_wait(await world.own())
    left = await _accept_routed(world, {"name": "paid"}, {"name": "lost"})
    world.expect("the awaited one is unrouted", "e1" in left, True)


@case
async def what_its_own_commit_waits_for_is_left_to_the_router(world: World) -> None:
    """A wait that is opened by the very transition that accepts and `routes` an event counts, too."""
    row = await world.row("r1", owner="w1", fence=1)
    event, wait = await world.event("e1"), await world.wait(row)
    both = Transition("e1", create=(NewRun(row, (), (), LEASE),), accept=(event,), open_waits=(wait,), routes=True)
    await world.store.commit(both)
    world.expect("unrouted", await _unrouted(world), ["e1"])


@case
async def what_starts_later_is_left_to_the_router(world: World) -> None:
    """Deferred events are not routed by their acceptance; events of the future neither, when their time has come."""
    world.needs_clock()
    later = await world.now() + MINUTE
    left = await _accept_routed(world, {"deferred": True}, {"ts": later})
    world.expect("the deferred one is unrouted", left, ["e1"])
    world.pass_time(MINUTE)
    world.expect("the other one too", sorted(await _unrouted(world)), ["e1", "e2"])


@case
async def an_acceptance_that_does_not_route_leaves_all_to_the_router(world: World) -> None:
    """Without `routes` an accepted event is unrouted, though nobody waits for it: its runs may not have started."""
    await world.store.commit(Transition("e1", accept=(await world.event("e1"), await world.event("e2")), routes=False))
    world.expect("unrouted", await _unrouted(world), ["e1", "e2"])


@case
async def what_is_routed_at_once_can_be_looked_back_to(world: World) -> None:
    """An event keeps its place among the events, whoever routes it: a wait that is opened later finds it."""
    await _accept_routed(world, {"name": "paid"})
    await world.accept(await world.event("e2"))
    world.expect("the events", [e.id for e in await world.store.events("paid", 0)], ["e1", "e2"])
    world.expect("the last position", await world.store.last_position(), 2)


@case
async def an_acceptance_that_routes_may_be_repeated(world: World) -> None:
    """Repeated after an unknown outcome, it is answered like the first time, and what was routed stays so."""
    transition = Transition("e1", accept=(await world.event("e1"),), routes=True)
    first = await world.store.commit(transition)
    again = await world.unchanged(world.store.commit(transition))
    world.expect("the positions", again.positions, first.positions)


# -- counting --------------------------------------------------------------------------------------


async def _counts(world: World, app: str | None, workflow: str | None, *edges: int) -> list[dict[str, Count]]:
    """What was counted in each span, without what is zero."""
    spans = await world.store.count_runs(app, workflow, edges)
    return [{stored: count for stored, count in span.items() if count.runs} for span in spans]


@case
async def runs_are_counted_by_their_creation(world: World) -> None:
    """`count_runs` tells, for each span between two edges, how many runs were created in it, by what is stored of them.

    A run that was created at an edge belongs to the later span; spans without runs are there too.
    """
    _needs(world, CountsRuns, "count_runs")
    now = await world.now()
    for number, at in enumerate((0, 4, 5, 9, 20)):
        await world.create(f"r{number}", created_at=now + at)
    ended = await world.own("r5", created_at=now + 6)
    await world.write(ended, started(), completed(), stored="completed")
    got = await _counts(world, None, None, now, now + 5, now + 10, now + 15)
    world.expect("the spans", got, [{"open": Count(2)}, {"open": Count(2), "completed": Count(1)}, {}])


@case
async def runs_are_counted_of_one_app_or_workflow(world: World) -> None:
    """None means any app, and any workflow; else only runs of those are counted."""
    _needs(world, CountsRuns, "count_runs")
    now = await world.now()
    await world.create("r1", created_at=now)
    await world.create("r2", created_at=now, workflow="else")
    await world.create("r3", created_at=now, app="other")
    for app, workflow, expected in (
        (None, None, 3),
        (APP, None, 2),
        (APP, "else", 1),
        (None, "else", 1),
        ("x", None, 0),
    ):
        got = await _counts(world, app, workflow, now, now + 1)
        world.expect(f"of {app}, {workflow}", got, [{"open": Count(expected)} if expected else {}])


@case
async def schedules_are_not_counted(world: World) -> None:
    """The runs by which cron triggers tick are no runs of anybody."""
    _needs(world, CountsRuns, "count_runs")
    now = await world.now()
    await world.create("r1", created_at=now)
    await world.create("s1", created_at=now, stored="schedule")
    world.expect("the spans", await _counts(world, None, None, now, now + 1), [{"open": Count(1)}])


@case
async def what_is_counted_moves_with_its_state(world: World) -> None:
    """A run that is parked or ends is counted there, and nowhere else."""
    _needs(world, CountsRuns, "count_runs")
    now = await world.now()
    row = await world.own("r1", created_at=now)
    await world.write(row, stored="parked", digest="code-1")
    world.expect("parked", await _counts(world, None, None, now, now + 1), [{"parked": Count(1)}])
