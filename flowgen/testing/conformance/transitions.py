"""What an operation of the model comes to: the transition that a store is asked to commit.

Fences, positions and unread mail are those that the reference has at that moment; versions of keys and cells are
each store's own, because the contract leaves open how they are counted.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from ...events import AcceptedEvent
from ...expression import match_key
from ...runs import Body, CancelRequested, EventCollected, Message, Parent, RunRow
from ...runtime.store import Store
from ...transition import Cell, DropKey, NewRun, Opening, Progress, TakeKey, Transition, Wait
from .operations import (
    APPS,
    CODES,
    NAMES,
    WORKFLOWS,
    Accept,
    Count,
    Create,
    Drop,
    Operation,
    Take,
    Tell,
    Write,
    run_of,
    slots,
)
from .world import LEASE, brief, done, encoded, result


@attrs.frozen
class Builder:
    """Builds transitions by what the reference says at that moment."""

    reference: Store
    clock: Callable[[], int]

    @property
    def now(self) -> int:
        return self.clock()

    async def row(self, run: int) -> RunRow | None:
        """A run as the reference has it."""
        loaded = await self.reference.load(*run_of(run))
        return loaded.row if loaded is not None else None

    async def transition(self, operation: Operation, side: Store) -> Transition:
        """The transition of an operation, for one of the stores."""
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
                written = Cell(APPS[0], f"c{number}", version, data, after(now, expires))
                return Transition(f"{brief(operation)} at {now}", cells=(written,))
        raise AssertionError(f"not a transition: {operation}")

    def _new(self, operation: Create, event: AcceptedEvent | None = None) -> NewRun:
        app, id = run_of(operation.run)
        now = self.now
        row = RunRow(app, id, WORKFLOWS[operation.workflow], now, operation.run, operation.stored)
        row.due_at = after(now, operation.due)
        row.start_at, row.deadline = after(now, operation.start), after(now, operation.deadline)
        row.slots, row.wants = slots(operation.workflow, operation.slots), operation.wants
        row.priority = operation.priority
        if operation.owned and not row.slots and not row.wants:
            row.owner, row.fence = "w0", 1
        if operation.child:
            row.parent = Parent(APPS[0], "r0", "invoke", id)
        return NewRun(row, (event,) if event is not None else (), (), LEASE)

    async def _message(self, operation: Tell, side: Store) -> Message:
        body: Body = CancelRequested("enough") if operation.cancel else result()
        row = await self.row(operation.run)
        if operation.event is not None and not operation.cancel and row is not None and row.stored == "collecting":
            event = await side.event(f"e{operation.event}")
            body = EventCollected(event or self._event(operation.event, 0, False))
        due_at = after(self.now, operation.due)
        return Message(f"m{operation.message}", *run_of(operation.run), body, operation.must_be_open, due_at)

    def _event(self, number: int, value: int, future: bool) -> AcceptedEvent:
        now = self.now
        ts = now + LEASE if future else now
        return AcceptedEvent(f"e{number}", NAMES[number % 2], encoded({"id": value}), ts, now)

    async def _take(self, operation: Take, side: Store) -> TakeKey:
        name = f"k{operation.key}"
        version = 0 if operation.seen == "free" else await _version(side, name) + (operation.seen == "stale")
        return TakeKey(APPS[0], name, f"h{operation.holder}", "", after(self.now, operation.expires), version)

    async def _progress(self, operation: Write, side: Store) -> Transition:
        app, id = run_of(operation.run)
        row = await self.row(operation.run) or RunRow(app, id, WORKFLOWS[0], 0, 0)
        now = self.now
        drained = {"none": 0, "first": min(row.drained + 1, row.mail), "all": row.mail}[operation.drain]
        if row.stored == "collecting" and operation.opens is None and operation.stored in ("open", "parked"):
            drained = 0  # what is collected is read by the opening, never before: stores need not unlearn it
        position = row.length + operation.position
        progress = Progress(
            app,
            id,
            row.fence + operation.fence,
            position,
            tuple(done(f"step {position + n}", now, now) for n in range(operation.records)),
            drained,
            operation.release,
            after(now, operation.due),
            operation.stored,
            reopen=operation.reopen,
            digest=CODES[0] if operation.stored == "parked" else None,
            started_at=now if operation.starts else None,
            deadline=after(now, operation.deadline),
            wants=operation.wants,
            lifts_deadline=operation.lifts,
        )
        if row.stored == "collecting" and operation.opens is not None:
            progress.opening = await self._opening(row, operation, side)
            progress.release = progress.release or operation.opens > 0
        elif operation.stored == "open" and (
            row.stored == "collecting" or (operation.stay and row.stored == "schedule")  # by an opening or not at all
        ):
            progress.stored = row.stored
        transition = Transition(f"{id}/{progress.fence}/{position}/{now}", progress)
        if operation.wait is not None:
            transition.open_waits = (self._wait(app, id, operation.wait, now),)
            transition.looked = (("wait-0", 1),)
        if operation.close is not None:
            transition.close_waits = (f"wait-{operation.close}",)
        if operation.tell is not None:
            transition.messages = (Message(f"by {id}", *run_of(operation.tell), result()),)
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
        start_at, deadline = after(self.now, operation.due), after(self.now, operation.deadline)
        return Opening(tuple(events), row.priority, named, ("k0",), start_at, deadline, operation.wants)

    def _wait(self, app: str, run: str, number: int, now: int) -> Wait:
        path, value = (None, None) if number == 0 else ("data.id", match_key(number - 1))
        after = 2 if number == 1 else 0
        return Wait(f"wait-{number}", app, run, "step", NAMES[number % 2], after, now + LEASE, path, value)


async def _version(store: Store, name: str) -> int:
    key = (await store.find_keys(APPS[0], [name])).get(name)
    return key.version if key is not None else 7


def after(now: int, leases: int | None) -> int | None:
    """So many leases from now."""
    return None if leases is None else now + leases * LEASE
