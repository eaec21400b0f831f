"""The world of one conformance case: a fresh store, a clock, and a log of what was asked and answered.

Cases speak to `world.store`, which writes everything down, so that a failure reads as a scenario: the
operations so far, what was expected, what came instead. The builders make small valid values; a case
states only what it is about.

Store time is the store's: cases read it by `now`, and let it pass by `pass_time`, which needs a store that
was given the world's clock. A case that needs what this store cannot give raises `Unavailable`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import copy
from typing import Any, NoReturn, TypeVar

import attrs
import msgspec

from ...events import AcceptedEvent
from ...history import EndCancelled, EndCompleted, EndFailed, Record, Started, StepSucceeded
from ...outcome import Failure, Json
from ...runs import Body, CancelRequested, ChildCompleted, EventCollected, Message, RunRow
from ...runtime.store import Claims, Committed, Conflict, Duplicate, LeaseLost, Refused, RunEnded, Store, Who
from ...transition import NewRun, Progress, TakeKey, Transition, Wait

T = TypeVar("T")

SECOND = 1_000_000
MINUTE = 60 * SECOND
LEASE = 10 * SECOND
EPOCH = 1_700_000_000 * SECOND
"""When a world's clock starts."""

APP, WORKFLOW, CODE = "shop", "fulfil", "code-1"
OFFERS: dict[tuple[str, str], str] = {(APP, WORKFLOW): CODE}


class Unavailable(Exception):
    """This store cannot be asked that: it takes no clock, or cannot be opened again."""


@attrs.define
class WorldClock:
    """Microseconds, moved by hand."""

    time: int = EPOCH

    def __call__(self) -> int:
        return self.time


@attrs.define
class Call:
    """A question to the store and its answer; written out only when a case fails."""

    verb: str
    args: tuple[Any, ...]
    options: dict[str, Any]
    answer: Any = "(no answer yet)"

    def __str__(self) -> str:
        said = [*map(brief, self.args), *(f"{name}={brief(value)}" for name, value in self.options.items())]
        return f"{self.verb}({', '.join(said)})\n      → {told(self.answer)}"


Entry = str | Call


class World:
    """A fresh store and everything that a case needs to talk to it."""

    def __init__(self, store: Store, clock: WorldClock | None, again: Callable[[], Store] | None) -> None:
        self.log: list[Entry] = []
        self.raw = store
        self.store: Any = Recorded(store, self)
        self.clock = clock
        self._again = again
        self._opened: list[Store] = [store]
        self._names: dict[str, set[Any]] = {"runs": set(), "keys": set(), "cells": set(), "events": set()}

    # -- time, and other processes ----------------------------------------------------------------

    async def now(self) -> int:
        """Store time."""
        return await self.raw.now()

    def needs_clock(self) -> WorldClock:
        """The clock, for a case in which time stands still or passes; without one the case is skipped."""
        if self.clock is None:
            raise Unavailable("the store takes no clock")
        return self.clock

    def pass_time(self, microseconds: int) -> None:
        """Let time pass."""
        clock = self.needs_clock()
        self.log.append(f"{microseconds / SECOND:g} s pass")
        clock.time += microseconds

    async def reopen(self) -> None:
        """Close the store and open the same data again, as after a restart."""
        if self._again is None:
            raise Unavailable("no way was given to open the same data again")
        await self.raw.close()
        self._opened.remove(self.raw)
        self.log.append("close, and open again")
        self.raw = await self._open(self._again())
        self.store = Recorded(self.raw, self)

    async def crash(self) -> None:
        """Open the same data again while the store that dies is never asked anything more."""
        if self._again is None:
            raise Unavailable("no way was given to open the same data again")
        self.log.append("the process dies; another one opens the same data")
        self.raw = await self._open(self._again())
        self.store = Recorded(self.raw, self)

    async def second(self) -> Any:
        """The same data as another process sees it: a second store, open beside the first."""
        if self._again is None:
            raise Unavailable("no way was given to open the same data again")
        self.log.append("open a second store on the same data")
        return Recorded(await self._open(self._again()), self, "second ")

    async def _open(self, store: Store) -> Store:
        await store.open()
        self._opened.append(store)
        return store

    async def close(self) -> None:
        """Close what was opened."""
        for store in reversed(self._opened):
            await store.close()

    # -- values -----------------------------------------------------------------------------------

    async def row(self, run: str = "r1", **changes: Any) -> RunRow:
        """A row to create: due now, unless told otherwise."""
        now = await self.now()
        values: dict[str, Any] = {
            "app": APP,
            "id": run,
            "workflow": WORKFLOW,
            "created_at": now,
            "seed": 7,
            "due_at": now,
        }
        return RunRow(**(values | changes))

    async def event(self, id: str = "e1", name: str = "paid", data: Any = None, **changes: Any) -> AcceptedEvent:
        """An event to accept, now."""
        now = await self.now()
        values: dict[str, Any] = {"id": id, "name": name, "data": encoded(data or {}), "ts": now, "accepted_at": now}
        return AcceptedEvent(**(values | changes))

    def progress(self, row: RunRow, *records: Record, **changes: Any) -> Transition:
        """What the owner of `row` writes next; names of `Transition` go there, others to `Progress`."""
        rest = {field.name: changes.pop(field.name) for field in attrs.fields(Transition) if field.name in changes}
        place = {"fence": row.fence, "position": row.length} | changes
        progress = Progress(row.app, row.id, records=records, **place)
        return Transition(f"{row.id}/{progress.fence}/{progress.position}", progress, **rest)

    # -- common moves -----------------------------------------------------------------------------

    async def look_again(self, worker: str = "w1", limits: tuple[int, ...] = ()) -> int | None:
        """The time at which a worker with the one workflow is to look again."""
        time: int | None = await self.store.next_due(Who(worker, OFFERS, dict.fromkeys(OFFERS, limits)))
        return time

    async def create(self, run: str = "r1", *, events: Iterable[AcceptedEvent] = (), **changes: Any) -> RunRow:
        """Create a run."""
        row = await self.row(run, **changes)
        await self.store.commit(Transition(f"create {row.app}/{run}", create=(NewRun(row, tuple(events)),)))
        return row

    async def own(self, run: str = "r1", worker: str = "w1", lease: int = LEASE, **changes: Any) -> RunRow:
        """Create a run that `worker` owns from the start; returns its row as the owner knows it."""
        row = await self.row(run, **({"owner": worker, "fence": 1} | changes))
        await self.store.commit(Transition(f"create {row.app}/{run}", create=(NewRun(row, (), (), lease),)))
        return await self.fresh(row)

    async def claim(
        self,
        worker: str = "w1",
        limit: int = 10,
        lease: int = LEASE,
        offers: Mapping[tuple[str, str], str] = OFFERS,
        limits: tuple[int, ...] = (),
    ) -> Claims:
        """Claim as a worker that offers the one workflow, with these limits of its slots, unless told otherwise."""
        who = Who(worker, offers, dict.fromkeys(offers, limits))
        claims: Claims = await self.store.claim(who, limit, lease)
        return claims

    async def claimed(self, worker: str = "w1", **options: Any) -> list[str]:
        """The ids of the runs that a claim gives."""
        return [claimed.row.id for claimed in (await self.claim(worker, **options)).runs]

    async def write(self, row: RunRow, *records: Record, **changes: Any) -> Committed:
        """Commit what the owner writes next, and move `row` on."""
        committed: Committed = await self.store.commit(self.progress(row, *records, **changes))
        row.length += len(records)
        return committed

    async def tell(self, run: str = "r1", id: str = "m1", body: Body | None = None, **changes: Any) -> Committed:
        """Put a message into a mailbox."""
        message = Message(id, **({"app": APP, "run": run, "body": body or result(id)} | changes))
        committed: Committed = await self.store.commit(Transition(f"tell {id}", messages=(message,)))
        return committed

    async def cancel(self, run: str = "r1", id: str = "c1") -> None:
        """Ask a run to be cancelled."""
        await self.tell(run, id, CancelRequested("enough"), must_be_open=True)

    async def take(self, name: str = "k1", holder: str = "h1", version: int = 0, **changes: Any) -> None:
        """Take a key."""
        take = TakeKey(APP, name, holder, version=version, **changes)
        await self.store.commit(Transition(f"take {name} for {holder}", take=(take,)))

    async def accept(self, *events: AcceptedEvent) -> tuple[int, ...]:
        """Accept events; returns their positions."""
        committed: Committed = await self.store.commit(Transition(events[0].id, accept=events))
        return committed.positions

    async def collect(self, event: AcceptedEvent, run: str = "r1", due_at: int | None = None) -> None:
        """Put an event into the mailbox of a run that collects."""
        await self.tell(run, f"collected {event.id}", EventCollected(event), due_at=due_at)

    async def open_wait(self, row: RunRow, id: str = "wait-1", **changes: Any) -> Wait:
        """Open a wait, as the owner of a run does."""
        wait = await self.wait(row, id, **changes)
        await self.store.commit(self.progress(row, open_waits=(wait,)))
        return wait

    async def wait(self, row: RunRow, id: str = "wait-1", **changes: Any) -> Wait:
        """A wait of a run for "paid"."""
        values: dict[str, Any] = {"event": "paid", "after": 0, "expires_at": await self.now() + MINUTE}
        return Wait(id, row.app, row.id, "wait for it", **(values | changes))

    async def fresh(self, row: RunRow) -> RunRow:
        """The row as the store has it."""
        loaded = await self.raw.load(row.app, row.id)
        assert loaded is not None, f"run {row.id} is gone"
        return loaded.row

    async def mail(self, row: RunRow) -> list[str]:
        """The ids of a run's unread messages."""
        loaded = await self.raw.load(row.app, row.id)
        return [mail.message.id for mail in loaded.mail] if loaded is not None else []

    # -- judging ----------------------------------------------------------------------------------

    def expect(self, what: str, got: object, expected: object) -> None:
        """`got` must equal `expected`."""
        if got != expected:
            self.fail(f"{what}\n  expected: {brief(expected)}\n  got:      {brief(got)}")

    def fail(self, message: str) -> NoReturn:
        """The case has failed."""
        raise AssertionError(message)

    async def refuses(self, refusal: Refused, answer: Awaitable[object]) -> None:
        """The store answers with this refusal, and nothing has changed."""
        before = await self.snapshot()
        try:
            got: object = await answer
        except Refused as error:
            got = error
        if told(got) != told(refusal):
            self.fail(f"a refusal was due\n  expected: {told(refusal)}\n  got:      {told(got)}")
        self.expect_snapshot("a refused commit must change nothing", before, await self.snapshot())

    async def unchanged(self, answer: Awaitable[T]) -> T:
        """The store says yes, and nothing has changed."""
        before = await self.snapshot()
        result = await answer
        self.expect_snapshot("this must change nothing", before, await self.snapshot())
        return result

    def expect_snapshot(self, what: str, before: dict[str, Any], after: dict[str, Any]) -> None:
        """Two snapshots must be equal; tells where they are not."""
        names = [name for name in before | after if before.get(name) != after.get(name)]
        expected, got = ({name: side.get(name) for name in names} for side in (before, after))
        self.expect(what, got, expected)

    async def snapshot(self) -> dict[str, Any]:
        """All that can be read of what the case has ever named."""
        state: dict[str, Any] = {}
        for app, run in sorted(self._names["runs"]):
            loaded = await self.raw.load(app, run)
            state[f"run {app}/{run}"] = loaded and attrs.evolve(loaded, now=0)
            state[f"waits of {app}/{run}"] = await self.raw.open_waits(app, run)
        for id in sorted(self._names["events"]):
            state[f"event {id}"] = await self.raw.event(id)
        for app, name in sorted(self._names["keys"]):
            state[f"key {app}/{name}"] = (await self.raw.find_keys(app, [name])).get(name)
        for app, name in sorted(self._names["cells"]):
            state[f"cell {app}/{name}"] = (await self.raw.cells(app, [name])).get(name)
        state["unrouted"] = tuple(event.id for event in await self.raw.unrouted())
        state["last position"] = await self.raw.last_position()
        state["registrations"] = await self.raw.registrations()
        return {name: value for name, value in state.items() if value not in (None, ())}

    def note(self, transition: Transition) -> None:
        """Remember what a transition names, for snapshots."""
        self._names["runs"] |= {(new.row.app, new.row.id) for new in transition.create}
        self._names["runs"] |= {(message.app, message.run) for message in transition.messages}
        if transition.progress is not None:
            self._names["runs"].add((transition.progress.app, transition.progress.run))
        self._names["events"] |= {event.id for event in transition.accept}
        self._names["keys"] |= {(take.app, take.name) for take in transition.take}
        self._names["keys"] |= {(drop.app, drop.name) for drop in transition.drop}
        self._names["cells"] |= {(cell.app, cell.name) for cell in transition.cells}


class Recorded:
    """A store whose verbs write down what was asked and what came back."""

    def __init__(self, store: Store, world: World, prefix: str = "") -> None:
        self._store = store
        self._world = world
        self._prefix = prefix

    def __getattr__(self, verb: str) -> Any:
        method = getattr(self._store, verb)
        if verb in ("features", "extender"):
            return method

        async def recorded(*args: Any, **options: Any) -> Any:
            if verb == "commit":
                self._world.note(args[0])
            call = Call(self._prefix + verb, args, options)
            self._world.log.append(call)
            try:
                answer = await method(*args, **options)
            except Exception as error:
                call.answer = error
                raise
            call.answer = _as_it_was(answer)
            return answer

        return recorded


def _as_it_was(answer: Any) -> Any:
    """An answer that stays as it was, whatever a case does with the rows that it got."""
    if not isinstance(answer, Claims):
        return answer
    return attrs.evolve(answer, runs=tuple([attrs.evolve(claimed, row=copy(claimed.row)) for claimed in answer.runs]))


# -- small values ---------------------------------------------------------------------------------


def encoded(data: object) -> Json:
    """A JSON value."""
    return Json(msgspec.json.encode(data))


def started(at: int = EPOCH) -> Started:
    return Started(at, CODE)


def done(step: str = "charge", value: object = 1, at: int = EPOCH) -> StepSucceeded:
    return StepSucceeded(at, step, encoded(value), digest="d")


def completed(at: int = EPOCH) -> EndCompleted:
    return EndCompleted(at, encoded("fine"))


def failed(at: int = EPOCH) -> EndFailed:
    return EndFailed(at, Failure("ValueError", "no"))


def cancelled(at: int = EPOCH) -> EndCancelled:
    return EndCancelled(at, "enough")


def result(of: str = "child") -> ChildCompleted:
    return ChildCompleted(of, "invoke", encoded(None))


def told(answer: object) -> str:
    """What an answer or a refusal says, as far as the contract fixes it."""
    match answer:
        case Conflict():
            return f"Conflict({answer.cause!r})"
        case Duplicate():
            return f"Duplicate({answer.name!r}, {answer.holder!r})"
        case RunEnded():
            return f"RunEnded({answer.run!r}, {answer.status!r})"
        case LeaseLost():
            return "LeaseLost"
        case Exception():
            return f"{type(answer).__name__}: {answer}"
    return brief(answer)


def brief(value: object) -> str:
    """A value on one line, without what it leaves at its defaults."""
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    cls: Any = type(value)
    if attrs.has(cls):
        shown = [(f.name, getattr(value, f.name), f.default) for f in attrs.fields(cls)]
        return f"{cls.__name__}({', '.join(f'{n}={brief(v)}' for n, v, default in shown if v != default)})"
    if isinstance(value, tuple | list):
        return f"[{', '.join(map(brief, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{brief(k)}: {brief(v)}" for k, v in value.items()) + "}"
    return repr(value)
