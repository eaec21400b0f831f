"""Driving one run that this worker owns: decide, commit, act; until it is released or ends.

Everything that happens to the run arrives as an input (a body ended, mail came, time passed). A
`Draft` turns inputs into one transition; after its commit the bodies that it asks for start. Rules:

* A body's outcome is kept until a commit that holds it has succeeded. When a commit is refused, the
  run is rebuilt from its history and the kept outcomes are taken again: a body that ended is never
  started again because a commit was refused.
* After a store error of unknown effect the *same* transition is repeated until it is answered; reads are too.
* A body begins after a commit, or under a lease that is known to be in force.
* `LeaseLost` ends it all: bodies are stopped, nothing more is written.
* A single open step is awaited in the run's own task (a task of its own would double its cost). Only bodies
  beside each other get tasks, in a nursery that is open for as long as there are some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import trio

from ..draft import Draft
from ..errors import InternalError, NondeterminismError
from ..events import AcceptedEvent
from ..facts import Facts
from ..history import WaitTerms
from ..outcome import Answered, Outcome, Returned
from ..owned import BodyEnded, Decision, EventFound, Input, LookedBack, Owned, TimePassed
from ..runs import CancelRequested, EventMatched, Mail
from ..transition import Progress, Transition
from ..tree import Step
from ..values import decode
from ..waits import matches
from .store import Committed, LeaseLost, Loaded, Refused

if TYPE_CHECKING:
    from .beginnings import Begun
    from .worker import Worker

_FIRST_PAUSE = 0.01
_DECISIONS = 100
_BACK = "/back"


class Drive:
    """One owned run in the hands of a worker; `begun` if its first advance was made and is not committed."""

    def __init__(self, worker: Worker, owned: Owned, mail: Sequence[Mail] = (), begun: Begun | None = None) -> None:
        self.owned = owned
        self.released = False
        self.ended = False
        self.over = trio.Event()
        self.leased_until = owned.row.due_at or 0
        self._worker = worker
        self._store = worker.store
        self._environment = worker.environment
        self._app, self._id = owned.row.app, owned.row.id
        self._arrived: list[BodyEnded] = []
        self._mail = mail
        self._begun = begun
        self._fresh_mail = False
        self._rebuilt = False
        self._bodies: dict[str, trio.CancelScope] = {}
        self._scope = trio.CancelScope()
        self._in_body = False
        self._interrupted = False
        self._facts: Facts | None = None
        self._wake: trio.Event | None = None
        self._nursery: trio.Nursery | None = None
        self._beside: Sequence[Step] = ()
        self._stopped = False
        self._resumed = True

    # -- what others do to it ---------------------------------------------------------------------

    def mail_came(self) -> None:
        """There is mail: it is drained beside whatever runs."""
        self._fresh_mail = True
        if self._in_body:
            self._worker.beside(self._look_for_cancel)
        elif self._wake is not None:
            self._wake.set()

    def stop(self) -> None:
        """Stop the bodies and give up: the lease is lost, or the worker ends."""
        self._stopped = True
        self._interrupt()

    def _interrupt(self) -> None:
        self._interrupted = True
        self._scope.cancel()

    # -- the loop ---------------------------------------------------------------------------------

    @trio.lowlevel.enable_ki_protection
    async def run(self) -> None:
        """Drive the run until it is released, ends, is lost or is stopped.

        Ctrl-C is for the program, not for the body that happens to run: it is not raised in here.
        """
        try:
            await self._loop()
        except LeaseLost:
            self._worker.note_lost(self)
        except NondeterminismError as error:
            self.released = True
            await self._worker.park(self.owned, error)

    async def _loop(self) -> None:
        """Decide, commit, act, until the run is not ours any more.

        One cancel scope serves all the bodies that are awaited alone, one after the other (a scope for
        each costs as much as the step); once it was used, the next body gets a new one.
        """
        mail = await (self._read_mail() if self._fresh_mail else self._translate(self._mail))
        inputs: list[Input] | None = [*mail, *await self._time_passed()]
        while not self._stopped and not self.released:
            self._interrupted = self._in_body = False
            with trio.CancelScope() as self._scope:
                now, inputs = inputs, None
                inputs = await self._advance(now)

    async def _advance(self, inputs: list[Input] | None) -> list[Input] | None:
        """Go on until the run is released, or the scope was used, or the last body in the nursery has ended.

        No `inputs` means to wait for some; the answer is what is still to be decided.
        """
        if inputs is None:
            inputs = await self._wait()
        while True:
            decision = await self._decide(inputs)
            if self._bodies:
                self._stop_bodies(decision)
            if self.released:
                return None
            if decision.execute:
                await self._check_lease()
            inputs = await self._next_inputs(decision)
            if self._interrupted or (self._nursery is not None and not self._nursery.child_tasks):
                return inputs
            if self._beside:
                left = await self._advance_beside(inputs)
                if left is None:
                    return None
                inputs = left

    async def _advance_beside(self, inputs: list[Input]) -> list[Input] | None:
        """Start bodies beside each other, and go on until none of them is left."""
        left: list[Input] | None = None
        end: LeaseLost | NondeterminismError | None = None
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            steps, self._beside = self._beside, ()
            self._start(steps)
            try:
                left = await self._advance(inputs or None)
            except (LeaseLost, NondeterminismError) as error:
                end = error
            nursery.cancel_scope.cancel()
        self._nursery = None
        if end is not None:
            raise end
        return left

    async def _check_lease(self) -> None:
        """Bodies that begin need a lease in force; else somebody may have done them.

        So after a commit, too: its answer may have come long ago, to a process that stood still.
        """
        if self.leased_until > self._environment.latest():
            return
        loaded = await self._load()
        if loaded is not None and loaded.row.fence == self.owned.row.fence and loaded.row.owner is not None:
            self.leased_until = loaded.row.due_at or 0
            if self.leased_until > loaded.now:
                return
        self.stop()
        await trio.lowlevel.checkpoint()

    def _stop_bodies(self, decision: Decision) -> None:
        """Stop the bodies of steps that were given up, or are not asked for any more."""
        if decision.abandoned or self._rebuilt:
            self._rebuilt = False
            pending = self.owned.interpreter.pending
            for step_id, scope in list(self._bodies.items()):
                if step_id not in pending:
                    del self._bodies[step_id]
                    scope.cancel()

    async def _decide(self, inputs: list[Input]) -> Decision:
        """Commit what has come of `inputs`; whatever is refused is decided again."""
        facts = self._known_facts()
        arrived = inputs
        begun, self._begun = self._begun, None
        for attempt in range(_DECISIONS):
            draft = begun.draft if begun is not None else self._draft(inputs, facts)
            if draft.blocked:
                self._facts = None
                await self._worker.inform(draft, draft.facts)
            decision = draft.finish(self._bodies) if begun is None or begun.decision is None else begun.decision
            begun = None
            if decision.transition is None:
                self._resumed = False
                if decision.lines:
                    self._emit(decision)
                return decision
            try:
                leaves = decision.released and self._nursery is None
                commit = self._worker.commit_last if leaves else self._worker.patient.commit
                committed = await commit(decision.transition)
            except LeaseLost:
                raise
            except Refused:
                await trio.sleep(_FIRST_PAUSE * attempt)
                outcomes = [item for item in arrived if type(item) is BodyEnded]
                inputs = [*outcomes, *await self._rebuild([item.step for item in outcomes])]
                await self._worker.fresh_routes()
                facts = self._known_facts()
                continue
            draft.committed()
            self._resumed = False
            self._after_commit(decision, committed)
            return decision
        raise InternalError(f"run {self._id}: {_DECISIONS} decisions in a row were refused")

    def _draft(self, inputs: Sequence[Input], facts: Facts) -> Draft:
        """What comes of inputs, in the making."""
        draft = Draft(self.owned, facts, self._environment.now())
        if self._resumed:
            self._resume(draft)
        for item in inputs:
            draft.take(item)
        return draft

    def _known_facts(self) -> Facts:
        """Facts without answers: the same ones for each decision that asks nothing."""
        if self._facts is None or self._facts.table is not self._worker.routes:
            self._facts = Facts(self._worker.routes)
        return self._facts

    def _resume(self, draft: Draft) -> None:
        if self.owned.position == 0:
            draft.begin(self._worker.offers.digest_of(self.owned.row))
        else:
            draft.resume()

    def _after_commit(self, decision: Decision, committed: Committed) -> None:
        if decision.lines:
            self._emit(decision)
        if decision.released:
            self.released, self.ended = True, decision.ended
            self._worker.note_released(self.owned, decision)
        elif committed.mail > self.owned.drained:
            self._fresh_mail = True

    def _emit(self, decision: Decision) -> None:
        """What the body logged leaves when all that it follows from is committed."""
        self._worker.emit(self.owned.row, decision.lines)

    async def _rebuild(self, ended: Sequence[str]) -> list[Input]:
        """Replay the run as the store has it now; the answer is its unread mail. `ended` are the steps whose outcomes
        are kept."""
        self.owned.interpreter.close()
        rebuilt = await self._worker.reload(self.owned.row, self.owned.interpreter, [*self._bodies, *ended])
        if rebuilt is None:
            raise LeaseLost(f"run {self._id} is not ours any more")
        self.owned, mail = rebuilt
        self._resumed = self._rebuilt = True
        self._fresh_mail = False
        return [*await self._translate(mail), *await self._time_passed()]

    # -- inputs -----------------------------------------------------------------------------------

    async def _next_inputs(self, decision: Decision) -> list[Input]:
        """Do what was decided until there is something to decide; at once, if bodies are to begin in a nursery."""
        if decision.look and (found := await self._look_back(decision.look)):
            self._start(decision.execute)
            return found
        execute = decision.execute
        if (
            len(execute) == 1
            and not self._bodies
            and self._nursery is None
            and len(self.owned.interpreter.pending) == 1
            and not self._fresh_mail
            and self.owned.row.deadline is None
            and not self.owned.interpreter.cleaning
        ):
            return await self._run_alone(execute[0])
        self._start(execute)
        return await self._wait() if not self._beside else []

    async def _run_alone(self, step: Step) -> list[Input]:
        """Await the body of the only open step here, in a run without deadline or clean-up; a cancel stops it."""
        self._in_body = True
        outcome = await self._worker.execute(self.owned, step)
        self._in_body = False
        ended = self._ended(step, outcome)
        return [ended] if not self._fresh_mail else [ended, *await self._read_mail_whatever()]

    async def _read_mail_whatever(self) -> list[Input]:
        """Read the mail even if a cancel has just used the scope: the outcome beside it must not be lost."""
        inputs: list[Input] = []
        with trio.CancelScope(shield=True):
            inputs = await self._read_mail()
        return inputs

    async def _look_for_cancel(self) -> None:
        """Mail came while a body is awaited alone, which no clean-up is: stop it if that cancels the run."""
        loaded = await self._load()
        if loaded is None or not self._in_body:
            return
        drained = self.owned.drained
        if any(item.number > drained and isinstance(item.message.body, CancelRequested) for item in loaded.mail):
            self._interrupt()

    def _start(self, steps: Sequence[Step]) -> None:
        """Start bodies in the nursery; what cannot begin because there is none yet is kept for when there is."""
        if self._nursery is None:
            self._beside = steps
            return
        for step in steps:
            if step.id not in self._bodies:
                scope = self._bodies[step.id] = trio.CancelScope()
                self._nursery.start_soon(self._body, step, scope)

    async def _body(self, step: Step, scope: trio.CancelScope) -> None:
        """Run a body. It counts as executing until its outcome is taken, so that no release overlooks it."""
        with scope:
            outcome = await self._worker.execute(self.owned, step)
            if self._bodies.get(step.id) is scope:
                self._arrived.append(self._ended(step, outcome))
        if scope.cancelled_caught and self._bodies.get(step.id) is scope:
            del self._bodies[step.id]
        if self._wake is not None:
            self._wake.set()

    def _take_arrived(self) -> list[Input]:
        """The outcomes of bodies that have ended since the last time."""
        arrived = self._arrived
        self._arrived = []
        for ended in arrived:
            self._bodies.pop(ended.step, None)
        return [*arrived]

    def _ended(self, step: Step, outcome: Outcome | Answered) -> BodyEnded:
        luck = 0.0 if type(outcome) is Returned else self._environment.luck()
        return BodyEnded(step.id, outcome, luck)

    async def _wait(self) -> list[Input]:
        """Wait until something has happened: bodies ended, mail came, a deadline passed."""
        while True:
            inputs = self._take_arrived()
            if self._fresh_mail:
                inputs += await self._read_mail()
            inputs += await self._time_passed()
            if inputs:
                return inputs
            deadline = self.owned.next_deadline()
            self._wake = trio.Event()
            if self._arrived or self._fresh_mail:
                continue
            seconds = None if deadline is None else max(0.001, (deadline - self._environment.now()) / 1_000_000)
            with trio.move_on_after(seconds if seconds is not None else float("inf")):
                await self._wake.wait()
            self._wake = None

    async def _time_passed(self) -> list[Input]:
        """Whether a deadline has come, by the store's clock.

        It must be seen before bodies begin or the run is released: one that was claimed without its slots would be
        given back, and be due again at once.
        """
        deadline = self.owned.next_deadline() if self.owned.position else None
        if deadline is None or deadline > self._environment.now():
            return []
        now = await self._worker.store_now()
        return [TimePassed(now)] if now >= deadline else []

    async def _read_mail(self) -> list[Input]:
        self._fresh_mail = False
        loaded = await self._load()
        return await self._translate(loaded.mail) if loaded is not None else []

    async def _load(self) -> Loaded | None:
        """The run with its unread mail, and with what was appended to it."""
        return await self._worker.patient.ask(lambda: self._store.load(self._app, self._id, self.owned.position))

    async def _translate(self, mail: Sequence[Mail]) -> list[Input]:
        """Mail as inputs: a matched event is preceded by the earliest one that the wait must take."""
        inputs: list[Input] = []
        for item in mail:
            if item.number <= self.owned.drained:
                continue
            body = item.message.body
            if isinstance(body, EventMatched):
                step = self.owned.interpreter.pending.get(body.step)
                if step is not None and isinstance(step.terms, WaitTerms) and step.terms.wait == body.wait:
                    inputs.append(EventFound(body.step, await self._earliest(step, body.event)))
            inputs.append(item)
        return inputs

    # -- looking back -----------------------------------------------------------------------------

    async def _look_back(self, steps: Sequence[Step]) -> list[Input]:
        """For each wait that was just opened: the earliest event that it has missed, or how far it looked."""
        inputs: list[Input] = []
        for step in steps:
            looked_to = await self._worker.patient.ask(self._store.last_position)
            event = await self._first_match(step, until=None)
            if event is not None:
                inputs.append(EventFound(step.id, event))
            else:
                inputs.append(LookedBack(step.id, looked_to))
        return inputs

    async def _earliest(self, step: Step, event: AcceptedEvent) -> AcceptedEvent:
        return await self._first_match(step, until=event.position) or event

    async def _first_match(self, step: Step, until: int | None) -> AcceptedEvent | None:
        terms = step.terms
        assert isinstance(terms, WaitTerms)
        scope = None
        if terms.where is not None:
            scope = decode(self._worker.scope_of(self.owned, terms.where))
        since = max(terms.after, self.owned.looked.get(step.id, 0))
        while True:
            page = await self._events(terms, since, until)
            for event in page:
                if matches(terms.where, scope, event):
                    return event
            if not page:
                return None
            last = page[-1].position
            assert last is not None
            since = last

    async def _events(self, terms: WaitTerms, since: int, until: int | None) -> Sequence[AcceptedEvent]:
        return await self._worker.patient.ask(
            lambda: self._store.events(terms.event, since, terms.path, terms.value, until)
        )


def hand_back(owned: Owned, now: int) -> Transition:
    """Give a run back at once, for anybody to go on with."""
    row = owned.row
    progress = Progress(
        row.app, row.id, row.fence, owned.position, (), owned.drained, True, now, life=owned.interpreter.life
    )
    return Transition(f"{row.id}/{row.fence}/{owned.position}{_BACK}", progress)


def is_hand_back(transition: Transition) -> bool:
    """Whether a transition does nothing but give a run back half way (`hand_back`)."""
    return transition.id.endswith(_BACK)
