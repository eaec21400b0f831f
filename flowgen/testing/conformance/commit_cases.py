"""Commits: what a transition writes, all or nothing; repeats; the order of checks."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ...history import Record
from ...outcome import Json
from ...runs import CancelRequested, Message, Parent, RunRow
from ...runtime.store import Conflict, Duplicate, LeaseLost, Refused, RunEnded
from ...transition import Cell, DropKey, NewRun, TakeKey, Transition
from .case import Collection
from .world import APP, LEASE, SECOND, World, completed, done, encoded, failed, result, started

case = Collection()


# -- creating runs ----------------------------------------------------------------------------------


@case
async def a_created_run_is_read_back(world: World) -> None:
    """A run that was created is loaded with its row, its events and its records."""
    event = await world.event(position=3)
    row = await world.row(parent=Parent("other", "p", "step", "r1"), since=(("wait", 4),), start_at=5, reason="why")
    await world.store.commit(Transition("t", create=(NewRun(row, (event,), (started(), done())),)))
    loaded = await world.store.load(APP, "r1")
    world.expect("the row", loaded.row, attrs.evolve(row, length=2))
    world.expect("its events", loaded.events, (event,))
    world.expect("its records", loaded.records, (started(), done()))
    world.expect("its mail", loaded.mail, ())


@case
async def a_run_that_is_not_there_is_none(world: World) -> None:
    """Loading a run that does not exist, or exists in another app, gives None."""
    await world.create("r1")
    world.expect("no such run", await world.store.load(APP, "r2"), None)
    world.expect("the other app's run", await world.store.load("other", "r1"), None)


@case
async def a_run_may_be_created_in_its_terminal_state(world: World) -> None:
    """A run created as skipped has ended: no owner, nothing due, an end."""
    world.needs_clock()
    row = await world.create("r1", stored="skipped", reason="too many", owner="w1")
    kept = await world.fresh(row)
    world.expect("owner, due_at, stored", (kept.owner, kept.due_at, kept.stored), (None, None, "skipped"))
    world.expect("ended_at is store time", kept.ended_at, await world.now())
    world.expect("it is never claimed", await world.claimed(), [])


@case
async def a_commit_may_claim_the_run_that_it_creates(world: World) -> None:
    """A row with an owner is claimed for its lease by the commit that creates it."""
    world.needs_clock()
    row = await world.own("r1", lease=LEASE)
    world.expect("the lease ends at now + lease", row.due_at, await world.now() + LEASE)
    world.expect("nobody else gets it", await world.claimed("w2"), [])
    await world.write(row, started())
    world.expect("its owner writes under that fence", (await world.fresh(row)).length, 1)


@case
async def equal_ids_in_two_apps_are_two_runs(world: World) -> None:
    """Runs are kept for each app."""
    await world.create("r1", seed=1)
    await world.create("r1", app="other", seed=2)
    world.expect("the first", (await world.raw.load(APP, "r1")).row.seed, 1)  # type: ignore[union-attr]
    world.expect("the second", (await world.raw.load("other", "r1")).row.seed, 2)  # type: ignore[union-attr]


@case
async def rows_are_copies(world: World) -> None:
    """Nobody outside holds a row that the store holds."""
    mine = await world.create("r1")
    mine.stored = "failed"
    loaded = await world.fresh(mine)
    loaded.fence = 99
    (claimed,) = (await world.claim()).runs
    claimed.row.fence = 98
    kept = await world.fresh(mine)
    world.expect("stored and fence", (kept.stored, kept.fence), ("open", 1))


@case
async def events_of_a_new_run_get_positions(world: World) -> None:
    """An event of a new run has the position of the event accepted with it, its own, or the last one."""
    await world.accept(await world.event("e0"))
    accepted, given, made = await world.event("e1"), await world.event("e2", position=7), await world.event("e3")
    new = NewRun(await world.row(), (accepted, given, made))
    committed = await world.store.commit(Transition("e1", accept=(accepted,), create=(new,)))
    position = committed.positions[0]
    loaded = await world.store.load(APP, "r1")
    world.expect("positions", [event.position for event in loaded.events], [position, 7, position])


# -- progress ---------------------------------------------------------------------------------------


@case
async def records_are_dense_and_in_order(world: World) -> None:
    """Each progress appends at the run's length; any part of the history can be loaded."""
    row = await world.own()
    await world.write(row, started())
    await world.write(row, done("a"), done("b"))
    await world.write(row, done("c"))
    history = (started(), done("a"), done("b"), done("c"))
    for start in range(5):
        loaded = await world.store.load(APP, "r1", start)
        world.expect(f"the records from {start} on", loaded.records, history[start:])
        world.expect("the length", loaded.row.length, 4)


@case
async def a_commit_answers_store_time_mail_and_positions(world: World) -> None:
    """The answer holds store time, the mail of the progress's run, and the positions of accepted events."""
    world.needs_clock()
    row = await world.own()
    await world.tell("r1", "m1")
    await world.tell("r1", "m2")
    committed = await world.write(row, started(), accept=(await world.event("e1"), await world.event("e2")))
    world.expect("mail", committed.mail, 2)
    world.expect("now", committed.now, await world.now())
    first, second = committed.positions
    world.expect("positions grow by one", (first > 0, second - first), (True, 1))


@case
async def what_a_progress_leaves_out_stays(world: World) -> None:
    """`started_at`, `life`, `restarted_as` and `drained` stay when a progress does not say them."""
    row = await world.own()
    await world.tell("r1", "m1")
    await world.write(row, started(), started_at=123, life=2, restarted_as="r2", drained=1)
    await world.write(row, done())
    kept = await world.fresh(row)
    world.expect("what stays", (kept.started_at, kept.life, kept.restarted_as, kept.drained), (123, 2, "r2", 1))


@case
async def a_terminal_progress_ends_the_run(world: World) -> None:
    """An ended run has no owner, no due time, no waits and no mail; its history stays."""
    world.needs_clock()
    row = await world.own()
    await world.open_wait(row)
    await world.tell("r1", "m1")
    await world.write(row, started(), completed(), stored="completed", reason="done")
    loaded = await world.store.load(APP, "r1")
    kept = loaded.row
    world.expect("stored and reason", (kept.stored, kept.reason), ("completed", "done"))
    world.expect("owner and due_at", (kept.owner, kept.due_at), (None, None))
    world.expect("ended_at is store time", kept.ended_at, loaded.now)
    world.expect("unread mail", (loaded.mail, kept.drained), ((), kept.mail))
    world.expect("waits", await world.store.open_waits(APP, "r1"), ())
    world.expect("history", loaded.records, (started(), completed()))
    world.expect("it is never claimed", await world.claimed(), [])


@case
async def parking_gives_the_run_back(world: World) -> None:
    """A parked run has no owner, and remembers the digest and the reason until a progress says otherwise."""
    world.needs_clock()
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1", reason="differs")
    kept = await world.fresh(row)
    told = (kept.stored, kept.digest, kept.reason, kept.owner, kept.due_at)
    world.expect("the parked row", told, ("parked", "code-1", "differs", None, await world.now()))
    (claimed,) = (await world.claim("w2", offers={(APP, "fulfil"): "code-2"})).runs
    await world.write(claimed.row, started())
    kept = await world.fresh(row)
    world.expect("lifted by the next progress", (kept.stored, kept.digest, kept.reason), ("open", None, None))


@case
async def a_large_transition_is_one_commit(world: World) -> None:
    """An owner's transition may be of any size."""
    row = await world.own()
    await world.create("r2")
    events = tuple([await world.event(f"e{number:04}") for number in range(300)])
    messages = tuple(Message(f"m{number}", APP, "r2", result()) for number in range(300))
    waits = tuple([await world.wait(row, f"w{number:04}", value=str(number), path="data.x") for number in range(300)])
    records: tuple[Record, ...] = (started(), *(done(f"s{number}", "x" * 100) for number in range(1000)))
    committed = await world.write(row, *records, accept=events, messages=messages, open_waits=waits)
    world.expect("positions", len(set(committed.positions)), 300)
    world.expect("records", (await world.raw.load(APP, "r1")).records, records)  # type: ignore[union-attr]
    world.expect("mail", len(await world.mail(await world.row("r2"))), 300)
    world.expect("waits", len(await world.raw.open_waits(APP, "r1")), 300)


@case
async def big_and_odd_values_survive(world: World) -> None:
    """JSON inside is kept to the byte: big integers, odd texts, the order of members, 1 MB."""
    row = await world.own()
    odd = Json('{"b":12345678901234567890123,"a":"\\u0000 \U0001f600 é \\"","c":1e-7,"b":1.0,"":[]}'.encode())
    records = (attrs.evolve(done("odd"), value=odd), done("big", "x" * 1_000_000))
    await world.write(row, *records)
    loaded = await world.raw.load(APP, "r1")
    world.expect("the records", loaded.records, records)  # type: ignore[union-attr]


# -- repeats: the answer was lost, so the same transition comes again -----------------------------------


@case
async def a_repeated_creation_changes_nothing(world: World) -> None:
    """Creating a run again by the same transition is a success that changes nothing."""
    transition = Transition("t1", create=(NewRun(await world.row(), ()),))
    await world.store.commit(transition)
    (claimed,) = (await world.claim()).runs
    await world.write(claimed.row, started())
    await world.unchanged(world.store.commit(transition))


@case
async def another_creation_of_a_run_is_a_duplicate(world: World) -> None:
    """Another transition that creates a run with that id is refused."""
    await world.create("r1")
    again = Transition("another", create=(NewRun(await world.row("r1", seed=8), ()),))
    await world.refuses(Duplicate("r1", "r1"), world.store.commit(again))
    twice = Transition("twice", create=(NewRun(await world.row("r2"), ()), NewRun(await world.row("r2"), ())))
    await world.refuses(Duplicate("r2", "r2"), world.store.commit(twice))


@case
async def a_repeated_acceptance_changes_nothing(world: World) -> None:
    """Accepting events again answers the same positions and creates nothing twice."""
    events = (await world.event("e1"), await world.event("e2"))
    transition = Transition("e1", accept=events, create=(NewRun(await world.row(), (events[0],)),))
    first = await world.store.commit(transition)
    await world.accept(await world.event("e3"))
    again = await world.unchanged(world.store.commit(transition))
    world.expect("the same positions", again.positions, first.positions)


@case
async def an_event_is_accepted_once(world: World) -> None:
    """A transition that accepts, beside a new event, one that is there already is refused."""
    await world.accept(await world.event("e1"))
    both = Transition("e2", accept=(await world.event("e2"), await world.event("e1")))
    await world.refuses(Duplicate("e1", "e1"), world.store.commit(both))


@case
async def a_repeated_progress_changes_nothing(world: World) -> None:
    """A progress is known by run, fence and position, at once and after later ones."""
    row = await world.own()
    await world.create("r2")
    transition = world.progress(
        row, started(), done(), messages=(Message("m1", APP, "r2", result()),), take=(TakeKey(APP, "k1", "h1"),)
    )
    await world.store.commit(transition)
    await world.unchanged(world.store.commit(transition))
    row.length += 2
    await world.write(row, done("b"), drop=(DropKey(APP, "k1", "h1"),))
    await world.unchanged(world.store.commit(transition))


@case
async def a_repeated_end_changes_nothing(world: World) -> None:
    """The terminal progress of an ended run is a success the second time."""
    row = await world.own()
    transition = world.progress(row, started(), completed(), stored="completed")
    await world.store.commit(transition)
    await world.unchanged(world.store.commit(transition))


@case
async def a_repeated_release_changes_nothing(world: World) -> None:
    """A release without records is a success the second time, too."""
    row = await world.own()
    await world.write(row, started())
    transition = world.progress(row, release=True, due_at=await world.now() + SECOND)
    await world.store.commit(transition)
    await world.unchanged(world.store.commit(transition))


@case
async def a_repeated_parking_changes_nothing(world: World) -> None:
    """Parking without records is a success the second time, too."""
    row = await world.own()
    transition = world.progress(row, stored="parked", digest="code-1")
    await world.store.commit(transition)
    await world.unchanged(world.store.commit(transition))


@case
async def a_repeat_succeeds_after_a_take_over(world: World) -> None:
    """Records that were written are known as such when somebody else owns the run by now."""
    row = await world.own()
    transition = world.progress(row, started())
    await world.store.commit(transition)
    world.pass_time(LEASE)
    world.expect("another worker takes the run over", await world.claimed("w2"), ["r1"])
    await world.unchanged(world.store.commit(transition))


@case
async def a_repeated_reopening_changes_nothing(world: World) -> None:
    """`retry` of a parked run, which writes no record, is a success the second time."""
    row = await world.own()
    await world.write(row, stored="parked", digest="code-1")
    transition = world.progress(row, reopen=True, due_at=await world.now())
    await world.store.commit(transition)
    await world.unchanged(world.store.commit(transition))


@case
async def a_repeated_signal_changes_nothing(world: World) -> None:
    """A message with a key is known by its first message: the key is not taken twice, nor refused."""
    await world.create("r1")
    await world.take("signal/go", "waiter")
    key = (await world.store.find_keys(APP, ["signal/go"]))["signal/go"]
    take = TakeKey(APP, "signal/go", "waiter", "delivered", version=key.version)
    cell = Cell(APP, "c1", 0, encoded(1))
    message = Message("m1", APP, "r1", result(), must_be_open=True)
    transition = Transition("request", messages=(message,), take=(take,), cells=(cell,))
    await world.store.commit(transition)
    await world.unchanged(world.store.commit(transition))


@case
async def pages_of_two_routers_complete_one_another(world: World) -> None:
    """Of a transition whose first message was put before, the other messages are put and the marks set."""
    for run in ("r1", "r2"):
        await world.create(run)
    await world.accept(await world.event("e1"))
    await world.store.commit(Transition("page", messages=(Message("m1", APP, "r1", result()),)))
    messages = (Message("m1", APP, "r1", result()), Message("m2", APP, "r2", result()))
    await world.store.commit(Transition("page", messages=messages, routed=("e1",)))
    world.expect("mail of r1", await world.mail(await world.row("r1")), ["m1"])
    world.expect("mail of r2", await world.mail(await world.row("r2")), ["m2"])
    world.expect("unrouted", await world.store.unrouted(), ())


# -- a refusal changes nothing ------------------------------------------------------------------------


@attrs.frozen
class Spoiled:
    """A transition that does everything, spoiled in one way, and the refusal that it meets."""

    name: str
    refusal: Refused
    spoil: Callable[[Transition, RunRow], None]


def _stale(transition: Transition, row: RunRow) -> None:
    assert transition.progress is not None
    transition.progress.fence -= 1


def _cancel_unread(transition: Transition, row: RunRow) -> None:
    assert transition.progress is not None
    transition.progress.drained = 0
    transition.progress.stored = "completed"


def _misplaced(transition: Transition, row: RunRow) -> None:
    assert transition.progress is not None
    transition.progress.position += 1


def _stale_key(transition: Transition, row: RunRow) -> None:
    transition.take += (TakeKey(APP, "held", "h2", version=99),)


def _stale_drop(transition: Transition, row: RunRow) -> None:
    transition.drop += (DropKey(APP, "held", "h1", version=99),)


def _stale_cell(transition: Transition, row: RunRow) -> None:
    transition.cells += (Cell(APP, "c2", 99, encoded(2)),)


def _held_key(transition: Transition, row: RunRow) -> None:
    transition.take += (TakeKey(APP, "held", "h2"),)


def _existing_run(transition: Transition, row: RunRow) -> None:
    transition.create += (NewRun(attrs.evolve(row, id="ended"), ()),)


def _existing_event(transition: Transition, row: RunRow) -> None:
    transition.accept += (attrs.evolve(transition.accept[0], id="e1"),)


def _to_ended(transition: Transition, row: RunRow) -> None:
    transition.messages += (Message("m9", APP, "ended", CancelRequested("enough"), must_be_open=True),)


SPOILED = (
    Spoiled("a_stale_fence", LeaseLost(), _stale),
    Spoiled("an_unread_cancel", Conflict("cancel"), _cancel_unread),
    Spoiled("a_wrong_position", Conflict("position"), _misplaced),
    Spoiled("a_key_that_moved_on", Conflict("version"), _stale_key),
    Spoiled("a_drop_of_a_key_that_moved_on", Conflict("version"), _stale_drop),
    Spoiled("a_cell_that_moved_on", Conflict("version"), _stale_cell),
    Spoiled("a_held_key", Duplicate("held", "h1"), _held_key),
    Spoiled("an_existing_run", Duplicate("ended", "ended"), _existing_run),
    Spoiled("an_existing_event", Duplicate("e1", "e1"), _existing_event),
    Spoiled("a_message_to_an_ended_run", RunEnded("ended", "failed"), _to_ended),
)


async def _everything(world: World) -> tuple[Transition, RunRow]:
    """A transition that does something of each kind and would be applied, and the row that it moves."""
    row = await world.own("r1")
    await world.write(row, started())
    ended = await world.own("ended")
    await world.write(ended, started(), failed(), stored="failed")
    await world.create("idle", due_at=None)
    await world.accept(await world.event("e1"))
    await world.take("held", "h1")
    await world.take("dropped", "h1")
    await world.store.commit(Transition("c2", cells=(Cell(APP, "c2", 0, encoded(1)),)))
    wait = await world.open_wait(row, "wait-1")
    await world.open_wait(row, "wait-2")
    await world.cancel("r1")
    transition = world.progress(
        row,
        done("a"),
        done("b"),
        drained=1,
        release=True,
        started_at=5,
        life=1,
        create=(NewRun(await world.row("new"), (await world.event("e2"),)),),
        accept=(await world.event("e2"),),
        messages=(Message("m1", APP, "idle", result()),),
        open_waits=(attrs.evolve(wait, id="wait-3"),),
        close_waits=("wait-1",),
        looked=(("wait-2", 1),),
        take=(TakeKey(APP, "free", "h1"),),
        drop=(DropKey(APP, "dropped", "h1"),),
        cells=(Cell(APP, "c1", 0, encoded(1)),),
        routed=("e1",),
    )
    return transition, row


@case
async def everything_at_once_is_applied(world: World) -> None:
    """A transition that does something of each kind does all of it (so the refusals below refuse something)."""
    transition, row = await _everything(world)
    await world.store.commit(transition)
    kept = await world.fresh(row)
    world.expect("the row", (kept.length, kept.owner, kept.life, kept.started_at, kept.drained), (3, None, 1, 5, 1))
    world.expect("the new run", (await world.raw.load(APP, "new")) is not None, True)
    world.expect("the idle run's mail", await world.mail(await world.row("idle")), ["m1"])
    waits = [(wait.id, wait.looked_to) for wait in await world.raw.open_waits(APP, "r1")]
    world.expect("waits", waits, [("wait-2", 1), ("wait-3", None)])
    world.expect("keys", sorted(await world.raw.find_keys(APP, ["free", "held", "dropped"])), ["free", "held"])
    world.expect("cells", sorted(await world.raw.cells(APP, ["c1", "c2"])), ["c1", "c2"])
    world.expect("unrouted", [event.id for event in await world.raw.unrouted()], ["e2"])


def _refusal_case(spoiled: Spoiled) -> None:
    async def script(world: World) -> None:
        transition, row = await _everything(world)
        spoiled.spoil(transition, row)
        await world.refuses(spoiled.refusal, world.store.commit(transition))

    case.add(
        f"{spoiled.name}_changes_nothing",
        f"A transition of every kind of change is refused for {spoiled.name.replace('_', ' ')}, and changes nothing.",
        script,
    )


def _order_case(first: Spoiled, second: Spoiled) -> None:
    async def script(world: World) -> None:
        transition, row = await _everything(world)
        second.spoil(transition, row)
        first.spoil(transition, row)
        await world.refuses(first.refusal, world.store.commit(transition))

    case.add(
        f"{first.name}_is_told_before_{second.name}",
        f"Of two reasons to refuse, {first.name.replace('_', ' ')} is the one that is told.",
        script,
    )


for _spoiled in SPOILED:
    _refusal_case(_spoiled)
_STALE, _CANCEL, _POSITION, _KEY, _, _CELL, _HELD, _RUN, _EVENT, _ENDED = SPOILED
for _first, _second in (
    (_STALE, _CANCEL),
    (_CANCEL, _POSITION),
    (_POSITION, _KEY),
    (_KEY, _HELD),
    (_CELL, _RUN),
    (_HELD, _ENDED),
    (_EVENT, _ENDED),
):
    _order_case(_first, _second)
