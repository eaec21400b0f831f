"""The model: random operations, asked of a store and of a reference, answer by answer.

An operation is a small value (`operations`), and what it comes to is worked out when it is played (`transitions`),
so that any list of operations can be played, and hypothesis can shrink one that tells two stores apart.

Both stores share a clock. Answers must be equal, refusals included, but for what the contract leaves open:
the versions of keys and cells, and the numbers of generations. A side reads those from its own store. While
a run is blocked, a store may have it looked at too early: at which of its slots it stands then, and when to
look again, may differ in that way.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import attrs

from ...events import AcceptedEvent
from ...expression import match_key
from ...runs import EventMatched, Message, RunRow
from ...runtime.store import (
    Claims,
    Conflict,
    Extended,
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
from ...transition import Transition
from .operations import (
    APPS,
    CODES,
    LIMITS,
    NAMES,
    WORKFLOWS,
    Claim,
    Delete,
    Extend,
    Operation,
    Pass,
    Pause,
    Register,
    Repeat,
    Retire,
    Route,
    offers,
    run_of,
)
from .transitions import Builder
from .world import LEASE, WorldClock, brief, encoded, told


class Duel:
    """A store and the reference, asked the same.

    `tally` counts what came of each kind of operation: `"Write: LeaseLost"`, `"Claim: nothing"`.
    """

    def __init__(self, store: Store, clock: WorldClock, reference: Store | None = None) -> None:
        self._clock = clock
        self._offset = 0
        self._log: list[str | tuple[str, object]] = []
        self._sides: tuple[Store, Store] = (reference or MemoryStore(lambda: self.now), store)
        self._builder = Builder(self._sides[0], lambda: self.now)
        self._playing = ""
        self.tally: Counter[str] = Counter()
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
            self._playing = type(operation).__name__
            await self._play(operation)
        self._log.append("read everything")
        self._playing = "Read"
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
                row = await self._builder.row(run)
                lease = Lease(*run_of(run), (row.fence if row is not None else 1) + fence)
                await self._both("extend", f"w{worker}", [lease], LEASE)
            case Register(worker, workflows, code):
                names = [WORKFLOWS[:1], WORKFLOWS[1:], WORKFLOWS, ()][workflows]
                listed = tuple(Offer(name, CODES[code], encoded([name, code])) for name in names)
                for side in self._sides:
                    await side.register(Registration(APPS[0], f"w{worker}", listed))
                await self._both("registrations")
            case Retire(worker):
                for side in self._sides:
                    await side.retire(f"w{worker}")
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
                first, second = [await self._builder.transition(operation, side) for side in self._sides]
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

    def _note(self, answer: object) -> None:
        """Count what came of the operation that is being played."""
        self.tally[f"{self._playing}: {_kind_of(answer)}"] += 1

    def _compare(self, asked: str, expected: object, got: object) -> object:
        self._log.append((asked, expected))
        if not asked.startswith("next_due"):
            self._note(expected)
        if _settled(expected) != _settled(got):
            raise AssertionError(f"{asked}\n  the reference says: {told(expected)}\n  this store says:    {told(got)}")
        return expected

    async def _look_again(self, who: Who, seen_all: bool) -> None:
        """Compare when to look again: any time in the past is now; too early is right only for blocked runs.

        The reference may be the one that is too early: then a claim, by both, shows that there was nothing to give.
        """
        times = [await side.next_due(who) for side in self._sides]
        expected, got = [None if time is None else max(time, self.now) for time in times]
        rows = [await self._builder.row(number) for number in range(5)]
        blocked = any(row is not None and row.blocked_on is not None for row in rows)
        if blocked and expected is not None and got is not None and got <= expected:
            got = expected if got > self.now or not seen_all else got
        if not seen_all and got != expected == self.now:
            claims: Any = await self._both("claim", who, 10, LEASE)
            if not claims.runs:
                await self._look_again(who, True)
                return
        self._compare(f"next_due({brief(who)})", expected, got)

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

    # -- reading everything -------------------------------------------------------------------------

    async def _compare_everything(self) -> None:
        for number in range(5):
            await self._both("load", *run_of(number))
            await self._both("open_waits", *run_of(number))
            await self._both("children", *run_of(number))
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


def _who(worker: int, number: int) -> Who:
    return Who(f"w{worker}", offers(number), {(app, w): LIMITS[n] for app in APPS for n, w in enumerate(WORKFLOWS)})


def _kind_of(answer: object) -> str:
    """What an answer comes to."""
    match answer:
        case Conflict():
            return f"Conflict({answer.cause})"
        case Refused():
            return type(answer).__name__
        case Claims(runs=()) | Page(items=()) | () | None | 0:
            return "nothing"
        case Claims():
            kinds = {"codeless": answer.runs[0].codeless, "slotless": answer.runs[0].slotless}
            return next((kind for kind, applies in kinds.items() if applies), "done")
        case Extended(mail=(None,)):
            return "lost"
    return "done"


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
