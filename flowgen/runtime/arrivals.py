"""Runs that apps elsewhere begin: of HTTP requests that they got from others, and answer by themselves.

The app leads such a run at first: it executes, and tells. This engine owns the run, so that it is nobody's to call
meanwhile, and records what it is told. When the app leaves the run to the server, or is silent for too long, the run
goes on like any other of that app.

Rules
-----
* A run is created only where this engine can own it in the same commit; otherwise it is not created at all.
* What is told again is told once: a run that there is, steps that are recorded, an end that has come change nothing.
* What is told of a run that the app does not lead any more is refused, so that it stops.
* A run's id is nobody else's: one that any other app or function has is refused.
* An idempotency key is its function's, for a day.

Refuses to know HTTP, and how a lead is taken part in (`driving.caller`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import attrs
import trio

from ..app import App
from ..decisions import ClaimAtOnce, start_run
from ..errors import FlowgenError, NotFound, WrongState
from ..facts import Facts
from ..history import OUTCOMES, AttemptFailed, Record, Requested
from ..outcome import Json
from ..runs import RunRow, status_of
from ..transition import NewRun, TakeKey, Transition
from ..values import encode
from .driving.caller import Caller
from .driving.calling import FUNCTION
from .environment import Environment
from .lookup import informed
from .naming import Names
from .offering import Offering
from .protocol.arrivals import HTTP_REQUEST, Arrival
from .protocol.ops import OF_STEPS, Op, Opcode
from .protocol.steps import step_hash
from .starting import Create
from .store import Duplicate, Refused, Store
from .worker import Worker

ONCE_FOR: Final = 24 * 3600 * 1_000_000
"""Microseconds for which an idempotency key is remembered."""


_TRIES: Final = 20
_PAUSE: Final = 0.01


class NotNow(FlowgenError):
    """This engine cannot own another run just now, or its workflow is paused."""


class Arrivals:
    """Takes what apps elsewhere begin, in the name of one engine with these apps."""

    def __init__(
        self,
        apps: Mapping[str, App],
        store: Store,
        environment: Environment,
        worker: Worker,
        offering: Offering,
        caller: Caller,
        create: Create,
    ) -> None:
        self._store = store
        self._environment = environment
        self._worker = worker
        self._offering = offering
        self._caller = caller
        self._create = create
        self._names = Names(apps, store)
        self._beginning: dict[str, trio.Event] = {}

    async def begin(self, arrival: Arrival) -> None:
        """Make a run of a request, and record what its app has done of it. It is durable when this returns.

        Raises `NotNow`, `InvalidInput`, or `WrongState` for a run id or an idempotency key that another has.
        """
        async with self._turn(arrival.run):
            if not await self._is_there(arrival):
                app = await self._offering.add(arrival.app, arrival.among_others().app)
                await self._start(attrs.evolve(arrival, app=app))
        if arrival.ops:
            await self.tell(f"{arrival.app.name}/{arrival.run}", arrival.ops)

    async def tell(self, run: str, ops: Sequence[Op]) -> None:
        """Record what an app has done of a run that it leads (`app/id`). It is durable when this returns.

        Raises `NotFound`, or `WrongState` if the app leads it no more: it is to stop.
        """
        row = (await self._names.run(run)).row
        if await self._caller.hear(row.id, f"{row.app}-{row.workflow}", ops):
            return
        loaded = await self._names.run(f"{row.app}/{row.id}", 0)
        if not _is_recorded(loaded.row, loaded.records, ops):
            status = status_of(loaded.row)
            raise WrongState(row.id, status, f"run {row.id} is not its app's to lead any more; it is {status}")

    @asynccontextmanager
    async def _turn(self, run: str) -> AsyncIterator[None]:
        """One after the other make a run with an id: so the second that says the same finds what the first has made."""
        while (other := self._beginning.get(run)) is not None:
            await other.wait()
        turn = self._beginning[run] = trio.Event()
        try:
            yield
        finally:
            del self._beginning[run]
            turn.set()

    async def _is_there(self, arrival: Arrival) -> bool:
        """Whether the run is there already: then this was told before, and its answer was lost."""
        try:
            loaded = await self._names.run(arrival.run)
        except NotFound:
            return False
        row = loaded.row
        if row.app != arrival.app.name or bytes(loaded.events[0].data) != bytes(_data(arrival)):
            raise WrongState(row.id, status_of(row), f"run {arrival.run} is that of another request already")
        return True

    async def _claim(self) -> ClaimAtOnce:
        """What it takes to own a run. There may be no room for a moment, while the engine looks for runs."""
        for _ in range(_TRIES):
            claim = self._worker.claim_at_once()
            if claim is not None:
                return claim
            await trio.sleep(_PAUSE)
        raise NotNow("this engine has its hands full: come again")

    async def _start(self, arrival: Arrival) -> None:
        claim = await self._claim()
        app, function = arrival.app.name, arrival.function
        now, request, facts = self._environment.now(), self._environment.new_id(), Facts(self._worker.routes)
        take = await self._once(arrival, now)
        started = (app, function.id, arrival.run, _data(arrival), facts, now, request, claim)
        _, transition = await informed(self._store, facts, partial(start_run, *started, name=HTTP_REQUEST))
        if not claim.claimed:
            why = "is paused" if (app, function.id) in self._worker.routes.paused else "has an app with its hands full"
            raise NotNow(f"no run can begin now: {app}/{function.id} {why}")
        transition.take += take
        if not self._caller.lead(arrival.run, function.slug):
            raise WrongState(arrival.run, "running", f"run {arrival.run} is that of another request already")
        try:
            await self._commit(arrival, transition, claim.claimed)
        except BaseException:
            self._caller.follow(arrival.run)
            raise

    async def _commit(self, arrival: Arrival, transition: Transition, claimed: list[NewRun]) -> None:
        try:
            await self._create(transition, claimed)
        except Duplicate as duplicate:
            raise _taken(arrival, duplicate.holder) from None
        except Refused as refused:
            raise NotNow(f"others are at the same: {refused}") from None

    async def _once(self, arrival: Arrival, now: int) -> tuple[TakeKey, ...]:
        """The idempotency key to take. Raises `WrongState` if a run has it."""
        if arrival.idempotency is None:
            return ()
        app, name = arrival.app.name, f"arrival/{arrival.function.id}/{arrival.idempotency}"
        held = (await self._store.find_keys(app, [name])).get(name)
        if held is not None and (held.expires_at is None or held.expires_at > now):
            raise _taken(arrival, held.holder)
        return (TakeKey(app, name, arrival.run, "", now + ONCE_FOR, 0 if held is None else held.version),)


def _taken(arrival: Arrival, holder: str) -> WrongState:
    what = "its idempotency key was used before" if holder != arrival.run else "its id was used before"
    return WrongState(holder, "running", f"run {arrival.run} is not made, because {what}: see run {holder}")


def _data(arrival: Arrival) -> Json:
    return encode(dict(arrival.data), "the event of a request")


def _is_recorded(row: RunRow, history: Iterable[Record], ops: Iterable[Op]) -> bool:
    """Whether a run has recorded all that these ops tell of steps and of its end."""
    known = {step_hash(record.step) for record in history if isinstance(record, (*OUTCOMES, AttemptFailed, Requested))}
    known |= {_WHOLE} if step_hash(FUNCTION) in known else set()
    return all(row.stored == "completed" if op.op in _ENDS else op.op not in OF_STEPS or op.id in known for op in ops)


_ENDS: Final = frozenset({Opcode.RUN_COMPLETE, Opcode.SYNC_RUN_COMPLETE})
_WHOLE: Final = step_hash("complete")
"""What SDKs say for a step where they mean the function."""
