"""From a claim to a drive: what a claimed run needs before its generator goes on, or instead.

A run may be claimed only to be ended, put back or opened: it collects, it is a schedule, its time has not
come, nobody can drive it. Those decisions are made and committed here. Any other is replayed into a live
generator, unless the worker has kept the one that its claim continues.

Runs that hold the same unique key take turns in this process. Each writes the key, so of a hundred that a singleton
replaced at once one would be let through and the others refused, a hundred times over.

Refuses to know: when to claim, and what becomes of a run once it is driven.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import trio

from ..context import Context
from ..endings import cancel_run_without_code, cancelled_by, fail_run, lose_worker
from ..endings import park as park_decision
from ..errors import NondeterminismError, UndecodableError
from ..events import AcceptedEvent, restore
from ..facts import Facts, Questions
from ..history import Started
from ..interpreter import Interpreter
from ..outcome import failure_of
from ..owned import Body, Owned
from ..runs import MAX_STRIKES, Mail, RunRow
from ..schedules import tick
from ..transition import Transition, Wait
from ..unstarted import Begin, at_once, before_start
from ..values import decode
from ..waits import cancels_in_time, matches
from ..workflow import Workflow
from .drive import hand_back
from .driving.body import RemoteBody
from .lookup import answer
from .store import Claimed, Duplicate, LeaseLost, Loaded, Refused

if TYPE_CHECKING:
    from .worker import Worker

log = logging.getLogger("flowgen")

_TRIES = 20
_FIRST_OF_ALL = 1_000_000
"""So many microseconds before its creation a run is due that was the first in line: `in_order` takes one for each run
that a commit creates."""
_PARKED_AGAIN_SECONDS = 30.0

Entered = tuple[Owned, Sequence[Mail]]
Decide = Callable[[Loaded, Facts], Transition | Begin | Questions]


class Entrance:
    """Lets claimed runs in, for one worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._store = worker.store
        self._turns: WeakValueDictionary[tuple[str, ...], trio.Lock] = WeakValueDictionary()

    async def enter(self, claimed: Claimed, cached: Owned | None) -> Entered | None:
        """A claimed run, ready to go on; None if all that there was to do with it is done."""
        row = claimed.row
        if cached is not None:
            continues = cached.row.fence + 1 == row.fence and cached.position == row.length
            if continues and row.strikes < MAX_STRIKES and not claimed.codeless:
                cached.row, cached.slotless = row, claimed.slotless
                cached.interpreter.hold(row)
                return cached, await self._unread_mail(cached)
            cached.interpreter.close()
        beginning = claimed.beginning
        loaded = beginning.loaded if beginning is not None else await self._load(row)
        if loaded is None:
            return None
        if not await self._may_go_on(claimed, loaded):
            return None
        entered = await self.build(loaded, aloud=beginning is not None)
        if entered is not None:
            entered[0].slotless = claimed.slotless
        return entered

    async def in_place_of_another(self, entered: Entered) -> Entered | None:
        """A run that was claimed while another was about to leave: it goes on when that has left.

        If the other one stays after all, this one is given back, and nothing of it is lost.
        """
        owned, _ = entered
        with self._worker.places.waiting():
            try:
                if await self._worker.places.become_free():
                    return entered
                if lines := owned.interpreter.context.take_lines():
                    self._worker.emit(owned.row, lines)
                owned.interpreter.close()
                await self._worker.patient.commit(hand_back(owned, self._place_in_line(owned)))
            except Refused:
                return None
            except BaseException:
                with trio.CancelScope(shield=True):
                    await self._worker.abandon(owned)
                raise
            return None

    def _place_in_line(self, owned: Owned) -> int:
        """When a run is due that is given back as it was claimed: it was the first in line, and is so again."""
        row = owned.row
        return min(self._worker.environment.now(), max(row.created_at - _FIRST_OF_ALL, row.start_at or 0))

    def at_once(self, row: RunRow, now: int) -> Transition | None:
        """How a run begins that is being claimed, if it may at once. Whatever fails here is met again by its drive."""
        offers = self._worker.offers
        try:
            return at_once(row, offers.workflow_of(row).policies, offers.digest_of(row), now)
        except Exception:
            return None

    async def _may_go_on(self, claimed: Claimed, loaded: Loaded) -> bool:
        """Do what there is to do instead of driving the run; False if that was all."""
        row = loaded.row
        if row.stored == "schedule":
            happened: set[str] = set()
            return await self._settle(loaded, partial(_ticked, happened), happened.add)
        if claimed.codeless:
            return await self._settle(loaded, _cancelled)
        if row.strikes >= MAX_STRIKES:
            return await self._settle(loaded, _lost)
        if row.started_at is not None:
            return True
        cancelled = await self._cancelled_meanwhile(loaded) if row.stored == "open" else None
        return await self._settle(loaded, partial(_before_start, claimed.slotless, cancelled))

    async def _settle(self, loaded: Loaded, decide: Decide, exists: Callable[[str], None] = lambda name: None) -> bool:
        """Decide and commit, until that is not refused; True if it says that the run may begin.

        `exists` is told of each run, event or key that was to be made and is there already.
        """
        row = loaded.row
        if not row.holds:
            return await self._settle_in_turn(loaded, decide, exists)
        turn = self._turns.setdefault((row.app, *row.holds), trio.Lock())
        async with turn:
            return await self._settle_in_turn(loaded, decide, exists)

    async def _settle_in_turn(self, loaded: Loaded, decide: Decide, exists: Callable[[str], None]) -> bool:
        for attempt in range(_TRIES):
            decided = await self._decide(loaded, decide)
            if decided is None:
                return False
            loaded, decision = decided
            if isinstance(decision, Begin):
                return True
            try:
                await self._worker.patient.commit(decision)
            except LeaseLost:
                raise
            except Refused as refused:
                await trio.sleep(0.01 * attempt)
                again = await self._load(loaded.row)
                if again is None:
                    return False
                if isinstance(refused, Duplicate):
                    exists(refused.name)
                loaded = again
                continue
            self._worker.note_settled(loaded.row, decision)
            return False
        log.warning("run %s: others keep changing what it depends on; it is tried again later", loaded.row.id)
        return False

    async def _decide(self, loaded: Loaded, decide: Decide) -> tuple[Loaded, Transition | Begin] | None:
        """A decision with all that it asks for, and the run as it was for it; None if it is not ours any more.

        The mail of a run that collects is read after its key: else it could lack an event that the key counts.
        """
        facts = Facts(self._worker.routes)
        while isinstance(decision := decide(loaded, facts), Questions):
            await self._worker.patient.ask(partial(answer, self._store, decision, facts))
            again = await self._load(loaded.row) if loaded.row.stored == "collecting" else loaded
            if again is None:
                return None
            loaded = again
        return loaded, decision

    async def _load(self, row: RunRow) -> Loaded | None:
        """A run that is still ours, whole; None if it is not."""
        loaded = await self._worker.patient.ask(lambda: self._store.load(row.app, row.id))
        return loaded if loaded is not None and loaded.row.fence == row.fence else None

    async def _unread_mail(self, owned: Owned) -> Sequence[Mail]:
        row = owned.row
        if row.mail == row.drained:
            return ()
        try:
            loaded = await self._worker.patient.ask(lambda: self._store.load(row.app, row.id, row.length))
        except BaseException:
            owned.interpreter.close()
            raise
        return loaded.mail if loaded is not None else ()

    # -- cancel_on --------------------------------------------------------------------------------

    async def _cancelled_meanwhile(self, loaded: Loaded) -> str | None:
        """Whether an event that cancels the run came between its own event and the opening of its waits."""
        row = loaded.row
        if not self._worker.offers.workflow_of(row).policies.cancel_on:
            return None
        for wait in await self._worker.patient.ask(lambda: self._store.open_waits(row.app, row.id)):
            if wait.step == "" and (event := await self._first_match(wait)) is not None:
                return cancelled_by(event)
        return None

    async def _first_match(self, wait: Wait) -> AcceptedEvent | None:
        scope = decode(wait.scope) if wait.scope is not None else None
        since = wait.after or 0
        while True:
            page = await self._worker.patient.ask(partial(self._store.events, wait.event, since, wait.path, wait.value))
            for event in page:
                if cancels_in_time(wait, event) and matches(wait.where, scope, event):
                    return event
            if not page:
                return None
            since = page[-1].position or since

    # -- replay -----------------------------------------------------------------------------------

    async def build(self, loaded: Loaded, aloud: bool = False) -> Entered | None:
        """Replay a run into a live generator. One whose code disagrees is parked."""
        row = loaded.row
        try:
            return self.revive(loaded, aloud), loaded.mail
        except UndecodableError as error:
            if len(loaded.records) <= 1:
                await self._settle(loaded, partial(_failed, error))
            else:
                await self.park(row, NondeterminismError("(event)", "the event that started it", str(error)))
        except NondeterminismError as error:
            await self.park(row, self._judged(loaded, error))
        return None

    def _judged(self, loaded: Loaded, error: NondeterminismError) -> NondeterminismError:
        """The same difference; of code that has not changed since the run was started, it is told otherwise."""
        match loaded.records:
            case [Started(digest=began), *_] if began == self._worker.offers.digest_of(loaded.row):
                return NondeterminismError(error.step_id, error.recorded, error.yields, error.where, same_code=True)
            case _:
                return error

    def revive(self, loaded: Loaded, aloud: bool = False) -> Owned:
        """The run as its owner holds it, from a load. `aloud`: nobody has heard yet what its body logs."""
        row = loaded.row
        body = _unfed(self._worker.offers.workflow_of(row), loaded)
        body.inherit(row.since)
        try:
            body.replay(loaded.records, aloud)
        except BaseException:
            body.close()
            raise
        last_at = loaded.records[-1].at if loaded.records else row.created_at
        return Owned(row, loaded.events, body, len(loaded.records), last_at, row.drained)

    async def park(self, row: RunRow, error: NondeterminismError) -> None:
        """Give a run back whose code disagrees with its history, for other code."""
        log.warning("run %s of %s is parked: %s", row.id, row.workflow, error)
        if row.stored == "parked":  # by other code: two that disagree must not hand it to each other all the time
            await trio.sleep(_PARKED_AGAIN_SECONDS)
        try:
            await self._worker.patient.commit(park_decision(row, error, self._worker.offers.digest_of(row)))
        except Refused:
            return


def _unfed(workflow: Workflow[Any, Any], loaded: Loaded) -> Body:
    """The body of a run, fed with nothing yet: here, or what stands for one that is elsewhere."""
    row = loaded.row
    if workflow.declared is not None:
        return RemoteBody(workflow, row, loaded.events)
    events = [restore(event, workflow.class_of(event.name)) for event in loaded.events]
    context = Context(events, run_id=row.id, workflow_id=row.workflow, seed=row.seed, clock=row.created_at)
    return Interpreter(workflow, context)


def _ticked(happened: set[str], loaded: Loaded, facts: Facts) -> Transition | Questions:
    return tick(loaded.row, loaded.events, loaded.mail, facts, loaded.now, frozenset(happened))


def _cancelled(loaded: Loaded, facts: Facts) -> Transition | Questions:
    return cancel_run_without_code(loaded.row, loaded.events, loaded.records, loaded.mail, facts, loaded.now)


def _lost(loaded: Loaded, facts: Facts) -> Transition | Questions:
    return lose_worker(loaded.row, loaded.events, loaded.records, facts, loaded.now)


def _failed(error: UndecodableError, loaded: Loaded, facts: Facts) -> Transition | Questions:
    return fail_run(loaded.row, loaded.events, loaded.records, failure_of(error), facts, loaded.now)


def _before_start(
    slotless: bool, cancelled: str | None, loaded: Loaded, facts: Facts
) -> Transition | Begin | Questions:
    return before_start(
        loaded.row,
        loaded.events,
        loaded.mail,
        facts,
        loaded.now,
        slotless=slotless,
        cancelled=cancelled,
        history=loaded.records,
    )
