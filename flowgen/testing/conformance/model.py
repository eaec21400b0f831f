"""The model: random operations, asked of a store and of the memory store, answer by answer.

An operation is a small value, such as "write two records on run 1 and release it". What it comes to is
worked out when it is played, from what the reference says at that moment (fences, positions, versions), so
that any list of operations can be played, and hypothesis can shrink one that tells two stores apart.

Both stores share a clock. Answers must be equal, refusals included, but for what the contract leaves open:
the versions of keys and cells, and the numbers of generations. A side reads those from its own store. While
a run is blocked, a store may have it looked at too early: at which of its slots it stands then, and when to
look again, may differ in that way.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from ...events import AcceptedEvent
from ...expression import match_key
from ...runs import Body, CancelRequested, EventCollected, EventMatched, Message, Parent, RunRow, Stored
from ...runtime.store import (
    Claims,
    Lease,
    Loaded,
    Offer,
    Page,
    Refused,
    Registration,
    Registrations,
    RunFilter,
    Store,
    Who,
)
from ...runtime.stores.memory import MemoryStore
from ...transition import Cell, DropKey, NewRun, Opening, Progress, TakeKey, Transition, Wait
from .world import LEASE, WorldClock, brief, done, encoded, result, told

APPS = ("shop", "other")
WORKFLOWS = ("fulfil", "refund")
CODES = ("code-1", "code-2")
NAMES = ("paid", "sent")


def _run(number: int) -> tuple[str, str]:
    """The runs of the model: four ids in one app, the first of them in another app too."""
    return (APPS[1], "r0") if number == 4 else (APPS[0], f"r{number}")


LIMITS = ((1, 2), (2, 1))
"""The limits of the slots of each workflow: one run may hold "a", two may hold "b"."""


def slots(workflow: int, count: int) -> tuple[str, ...]:
    """The first slots of a run: the workflows name the same two in different orders."""
    return (("a", "b"), ("b", "a"))[workflow][:count]


def offers(number: int) -> dict[tuple[str, str], str]:
    """What a worker offers: all, with one code or the other; one workflow; nothing."""
    everything = [(app, workflow) for app in APPS for workflow in WORKFLOWS]
    chosen = (everything, everything, everything[:1], [])[number]
    return dict.fromkeys(chosen, CODES[number % 2])


# -- operations -------------------------------------------------------------------------------------


@attrs.frozen
class Create:
    """Create a run: due after `due` leases (None: never), owned at once or not, perhaps a child of run 0.

    One that names slots or wants to start bodies is never owned at once.
    """

    run: int
    workflow: int = 0
    due: int | None = 0
    owned: bool = False
    child: bool = False
    stored: Stored = "open"
    slots: int = 0
    wants: bool = False
    priority: int = 0
    start: int | None = None
    deadline: int | None = None


@attrs.frozen
class Claim:
    """A worker claims what it offers."""

    worker: int
    offers: int = 0
    limit: int = 10


@attrs.frozen
class Write:
    """An owner's progress. `fence` and `position` are relative to the row's: 0 is right.

    `stay` is to go on collecting, or as a schedule; `opens` to open with the events of the mailbox and so many
    slots, if the run collects.
    """

    run: int
    records: int = 1
    fence: int = 0
    position: int = 0
    stored: Stored = "open"
    drain: Literal["none", "first", "all"] = "none"
    release: bool = False
    due: int | None = None
    reopen: bool = False
    wait: int | None = None
    close: int | None = None
    tell: int | None = None
    accept: int | None = None
    key: int | None = None
    starts: bool = False
    deadline: int | None = None
    wants: bool = False
    stay: bool = True
    opens: int | None = None


@attrs.frozen
class Tell:
    """Put a message: a child's result, a cancel or an event that is collected."""

    run: int
    message: int
    cancel: bool = False
    must_be_open: bool = False
    event: int | None = None
    due: int | None = None


@attrs.frozen
class Accept:
    """Accept an event with this value at data.id, perhaps from the future; it may start a run."""

    event: int
    value: int = 0
    future: bool = False
    starts: int | None = None


@attrs.frozen
class Route:
    """Look up the waits of the first unrouted event, deliver it, mark it routed."""


@attrs.frozen
class Take:
    """Take a key as one who saw it free, as it is, or as it was before."""

    key: int
    holder: int
    seen: Literal["free", "current", "stale"] = "free"
    expires: int | None = None


@attrs.frozen
class Drop:
    """Let go of a key, perhaps under its version."""

    key: int
    holder: int
    seen: Literal["any", "current", "stale"] = "any"


@attrs.frozen
class Count:
    """Write a cell as one who saw it as it is, or as it was before; None removes it."""

    cell: int
    value: int | None
    stale: bool = False
    expires: int | None = None


@attrs.frozen
class Extend:
    """Extend the lease of a run, under its fence or the one before."""

    worker: int
    run: int
    fence: int = 0


@attrs.frozen
class Register:
    """A worker registers one app: the workflows that it offers, under one code."""

    worker: int
    workflows: int
    code: int


@attrs.frozen
class Pause:
    """Pause a workflow, or let it go on."""

    workflow: int
    paused: bool


@attrs.frozen
class Repeat:
    """Commit an earlier transition again."""

    back: int


@attrs.frozen
class Pass:
    """Let leases' worth of time pass, and some microseconds."""

    leases: int
    microseconds: int = 0


@attrs.frozen
class Delete:
    """Retention of what is older than so many leases."""

    leases: int
    limit: int


Operation = (
    Create
    | Claim
    | Write
    | Tell
    | Accept
    | Route
    | Take
    | Drop
    | Count
    | Extend
    | Register
    | Pause
    | Repeat
    | Pass
    | Delete
)


# -- playing ----------------------------------------------------------------------------------------


class Duel:
    """A store and the reference, asked the same."""

    def __init__(self, store: Store, clock: WorldClock) -> None:
        self._clock = clock
        self._offset = 0
        self._log: list[str | tuple[str, object]] = []
        self._sides: tuple[Store, Store] = (MemoryStore(lambda: self.now), store)
        self._committed: list[tuple[Transition, Transition]] = []

    @property
    def now(self) -> int:
        """The time of both sides: the clock's, as the store understands it."""
        return self._clock.time + self._offset

    async def play(self, operations: list[Operation]) -> None:
        """Play the operations, comparing answers; at the end compare all that can be read."""
        self._offset = await self._sides[1].now() - self._clock.time
        for operation in operations:
            self._log.append(brief(operation))
            await self._play(operation)
        self._log.append("read everything")
        await self._compare_everything()

    def story(self) -> str:
        """What was played, and what the reference answered."""
        entries = (e if isinstance(e, str) else f"    {e[0]} → {told(e[1])}" for e in self._log)
        return "\n".join(f"  {entry}" for entry in entries)

    async def _play(self, operation: Operation) -> None:
        match operation:
            case Pass(leases, microseconds):
                self._clock.time += leases * LEASE + microseconds
            case Claim(worker, number, limit):
                who = _who(worker, number)
                claims: Any = await self._both("claim", who, limit, LEASE)
                await self._look_again(who, seen_all=len(claims.runs) < limit)
            case Extend(worker, run, fence):
                row = await self._row(run)
                lease = Lease(*_run(run), (row.fence if row is not None else 1) + fence)
                await self._both("extend", f"w{worker}", [lease], LEASE)
            case Register(worker, workflows, code):
                names = [WORKFLOWS[:1], WORKFLOWS[1:], WORKFLOWS, ()][workflows]
                listed = tuple(Offer(name, CODES[code], encoded([name, code])) for name in names)
                for side in self._sides:
                    await side.register(Registration(APPS[0], f"w{worker}", listed))
                await self._both("registrations")
            case Pause(workflow, paused):
                for side in self._sides:
                    await side.pause(APPS[0], WORKFLOWS[workflow], paused)
                await self._both("registrations")
            case Delete(leases, limit):
                await self._both("delete", self.now - leases * LEASE, limit)
            case Repeat(back):
                if self._committed:
                    await self._commit(*self._committed[-1 - back % len(self._committed)])
            case Route():
                await self._route()
            case _:
                first, second = [await self._transition(operation, side) for side in self._sides]
                await self._commit(first, second)
                for number in (0, 3):
                    await self._look_again(_who(9, number), seen_all=False)

    async def _both(self, verb: str, *args: Any) -> object:
        return self._compare(verb, *[await _answer(side, verb, *args) for side in self._sides])

    async def _commit(self, first: Transition, second: Transition) -> None:
        answers = [
            await _answer(side, "commit", transition)
            for side, transition in zip(self._sides, (first, second), strict=True)
        ]
        self._compare(f"commit {first.id}", *answers)
        self._committed.append((first, second))

    def _compare(self, asked: str, expected: object, got: object) -> object:
        self._log.append((asked, expected))
        if _settled(expected) != _settled(got):
            raise AssertionError(f"{asked}\n  the reference says: {told(expected)}\n  this store says:    {told(got)}")
        return expected

    async def _look_again(self, who: Who, seen_all: bool) -> None:
        """Compare when to look again: any time in the past is now; too early is right only for blocked runs."""
        times = [await side.next_due(who) for side in self._sides]
        expected, got = [None if time is None else max(time, self.now) for time in times]
        rows = [await self._row(number) for number in range(5)]
        blocked = any(row is not None and row.blocked_on is not None for row in rows)
        if blocked and expected is not None and got is not None and got <= expected:
            got = expected if got > self.now or not seen_all else got
        self._compare(f"next_due({brief(who)})", expected, got)

    async def _row(self, run: int) -> RunRow | None:
        loaded = await self._sides[0].load(*_run(run))
        return loaded.row if loaded is not None else None

    async def _route(self) -> None:
        unrouted: Any = await self._both("unrouted", 1)
        if not unrouted:
            return
        event: AcceptedEvent = unrouted[0]
        page: Any = await self._both("waits", event)
        messages = tuple(
            Message(f"{event.id}/{wait.id}", wait.app, wait.run, EventMatched(wait.id, wait.step, event))
            for wait in page.items
        )
        transition = Transition(f"{event.id}/deliver", messages=messages, routed=(event.id,))
        await self._commit(transition, transition)

    # -- transitions ------------------------------------------------------------------------------

    async def _transition(self, operation: Operation, side: Store) -> Transition:
        now = self.now
        match operation:
            case Create():
                return Transition(f"{brief(operation)} at {now}", create=(self._new(operation),))
            case Write():
                return await self._progress(operation, side)
            case Tell():
                return Transition(f"{brief(operation)} at {now}", messages=(await self._message(operation, side),))
            case Accept(number, value, future, starts):
                event = self._event(number, value, future)
                create = () if starts is None else (self._new(Create(starts), event),)
                return Transition(event.id, accept=(event,), create=create)
            case Take():
                return Transition(f"{brief(operation)} at {now}", take=(await self._take(operation, side),))
            case Drop(number, holder, seen):
                version = None if seen == "any" else await _version(side, f"k{number}") + (seen == "stale")
                return Transition(
                    f"{brief(operation)} at {now}", drop=(DropKey(APPS[0], f"k{number}", f"h{holder}", version),)
                )
            case Count(number, value, stale, expires):
                cell = (await side.cells(APPS[0], [f"c{number}"])).get(f"c{number}")
                version = (cell.version if cell is not None else 0) + stale
                data = encoded(value) if value is not None else None
                written = Cell(APPS[0], f"c{number}", version, data, _after(now, expires))
                return Transition(f"{brief(operation)} at {now}", cells=(written,))
        raise AssertionError(f"not a transition: {operation}")

    def _new(self, operation: Create, event: AcceptedEvent | None = None) -> NewRun:
        app, id = _run(operation.run)
        now = self.now
        row = RunRow(app, id, WORKFLOWS[operation.workflow], now, operation.run, operation.stored)
        row.due_at = _after(now, operation.due)
        row.start_at, row.deadline = _after(now, operation.start), _after(now, operation.deadline)
        row.slots, row.wants = slots(operation.workflow, operation.slots), operation.wants
        row.priority = operation.priority
        if operation.owned and not row.slots and not row.wants:
            row.owner, row.fence = "w0", 1
        if operation.child:
            row.parent = Parent(APPS[0], "r0", "invoke", id)
        return NewRun(row, (event,) if event is not None else (), (), LEASE)

    async def _message(self, operation: Tell, side: Store) -> Message:
        body: Body = CancelRequested("enough") if operation.cancel else result()
        if operation.event is not None and not operation.cancel:
            event = await side.event(f"e{operation.event}")
            body = EventCollected(event or self._event(operation.event, 0, False))
        due_at = _after(self.now, operation.due)
        return Message(f"m{operation.message}", *_run(operation.run), body, operation.must_be_open, due_at)

    def _event(self, number: int, value: int, future: bool) -> AcceptedEvent:
        now = self.now
        ts = now + LEASE if future else now
        return AcceptedEvent(f"e{number}", NAMES[number % 2], encoded({"id": value}), ts, now)

    async def _take(self, operation: Take, side: Store) -> TakeKey:
        name = f"k{operation.key}"
        version = 0 if operation.seen == "free" else await _version(side, name) + (operation.seen == "stale")
        return TakeKey(APPS[0], name, f"h{operation.holder}", "", _after(self.now, operation.expires), version)

    async def _progress(self, operation: Write, side: Store) -> Transition:
        app, id = _run(operation.run)
        row = await self._row(operation.run) or RunRow(app, id, WORKFLOWS[0], 0, 0)
        now = self.now
        drained = {"none": 0, "first": min(row.drained + 1, row.mail), "all": row.mail}[operation.drain]
        position = row.length + operation.position
        progress = Progress(
            app,
            id,
            row.fence + operation.fence,
            position,
            tuple(done(f"step {position + n}", now, now) for n in range(operation.records)),
            drained,
            operation.release,
            _after(now, operation.due),
            operation.stored,
            reopen=operation.reopen,
            digest=CODES[0] if operation.stored == "parked" else None,
            started_at=now if operation.starts else None,
            deadline=_after(now, operation.deadline),
            wants=operation.wants,
        )
        if row.stored == "collecting" and operation.opens is not None:
            progress.opening = await self._opening(row, operation, side)
            progress.release = progress.release or operation.opens > 0
        elif operation.stay and operation.stored == "open" and row.stored in ("collecting", "schedule"):
            progress.stored = row.stored
        transition = Transition(f"{id}/{progress.fence}/{position}/{now}", progress)
        if operation.wait is not None:
            transition.open_waits = (self._wait(app, id, operation.wait, now),)
            transition.looked = (("wait-0", 1),)
        if operation.close is not None:
            transition.close_waits = (f"wait-{operation.close}",)
        if operation.tell is not None:
            transition.messages = (Message(f"by {id}", *_run(operation.tell), result()),)
        if operation.accept is not None:
            transition.accept = (self._event(operation.accept, 1, False),)
        if operation.key is not None:
            transition.take = (await self._take(Take(operation.key, operation.run), side),)
        return transition

    async def _opening(self, row: RunRow, operation: Write, side: Store) -> Opening:
        loaded = await side.load(row.app, row.id)
        mail = loaded.mail if loaded is not None else ()
        events = [mail.message.body.event for mail in mail if isinstance(mail.message.body, EventCollected)]
        named = slots(WORKFLOWS.index(row.workflow), operation.opens or 0)
        start_at, deadline = _after(self.now, operation.due), _after(self.now, operation.deadline)
        return Opening(tuple(events), row.priority, named, ("k0",), start_at, deadline, operation.wants)

    def _wait(self, app: str, run: str, number: int, now: int) -> Wait:
        path, value = (None, None) if number == 0 else ("data.id", match_key(number - 1))
        after = 2 if number == 1 else 0
        return Wait(f"wait-{number}", app, run, "step", NAMES[number % 2], after, now + LEASE, path, value)

    # -- reading everything -------------------------------------------------------------------------

    async def _compare_everything(self) -> None:
        for number in range(5):
            await self._both("load", *_run(number))
            await self._both("open_waits", *_run(number))
            await self._both("children", *_run(number))
        for number in range(4):
            await self._look_again(_who(9, number), seen_all=False)
            await self._both("event", f"e{number}")
            await self._both("started_by", f"e{number}")
        for name in NAMES:
            await self._both("events", name, 0)
            await self._both("events", name, 0, "data.id", match_key(0))
            await self._both("events", name, 1, None, None, 3)
        await self._both("find_keys", APPS[0], ["k0", "k1"])
        await self._both("cells", APPS[0], ["c0", "c1"])
        await self._both("registrations")
        await self._both("last_position")
        await self._both("last_position", self.now - LEASE)
        if "find_runs" in self._sides[1].features:
            for status in (None, "open", "failed", "collecting", "schedule"):
                await self._both("find_runs", RunFilter(status=status))
        if "find_events" in self._sides[1].features:
            await self._both("find_events")
        await self._both("unrouted")


async def _answer(store: Store, verb: str, *args: Any) -> object:
    try:
        answer: object = await getattr(store, verb)(*args)
    except Refused as refusal:
        return refusal
    return answer


async def _version(store: Store, name: str) -> int:
    key = (await store.find_keys(APPS[0], [name])).get(name)
    return key.version if key is not None else 7


def _after(now: int, leases: int | None) -> int | None:
    return None if leases is None else now + leases * LEASE


def _who(worker: int, number: int) -> Who:
    return Who(f"w{worker}", offers(number), {(app, w): LIMITS[n] for app in APPS for n, w in enumerate(WORKFLOWS)})


def _settled_row(row: RunRow) -> RunRow:
    return row if row.blocked_on is None else attrs.evolve(row, blocked_on="one of its slots")


def _settled(answer: object) -> object:
    """An answer without what the contract leaves open."""
    match answer:
        case RunRow():
            return _settled_row(answer)
        case Loaded():
            return attrs.evolve(answer, row=_settled_row(answer.row))
        case Refused():
            return told(answer)
        case Claims():
            return attrs.evolve(answer, generation=0)
        case Registrations():
            return answer.items
        case Page():
            return sorted(map(_settled, answer.items), key=brief), answer.cursor
        case dict():
            return {name: attrs.evolve(value, version=1) for name, value in answer.items()}
    return answer
