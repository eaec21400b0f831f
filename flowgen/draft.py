"""The owner's decision: what has come of its run's steps → one transition.

A `Draft` collects what one commit of an owner holds. It takes inputs (a body ended, mail came, time
passed), turns each into records, feeds them to the live interpreter, and answers what the body then
asks for: requests of sleeps, waits, signals, invokes and sends become records with absolute terms; a
`Run` step becomes a body to execute after the commit. `finish` makes it one `Transition`.

Rules
-----
* One transition for all that is taken, in the order in which it is taken.
* The generator runs ahead of the commit; nothing that it asked for starts before. A draft that is
  refused is thrown away together with its interpreter; its inputs are kept and taken again.
* An input about a step that is not pending any more is dropped: its position came too late.
* Time passes for nobody while a wait has still to look back: what came in time must not lose to a look that was late.
* What has to be known of the store first is asked for (`Questions`), never read.

Pure: the time, luck for back-offs, and facts are arguments. It raises for no error of a user.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from .context import LogLine
from .endings import overdue
from .ends import BodyEnd
from .facts import Facts, Questions
from .fibers import CLEANUP_TIMEOUT
from .finish import Closing, Finish
from .history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    InvokeTerms,
    Requested,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    WaitTerms,
)
from .outcome import NULL, Answered, Failure, Json, Raised, Returned
from .owned import BodyEnded, Decision, EventFound, Input, LookedBack, Owned, TimePassed
from .pen import Pen
from .requests import Requests
from .runs import (
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    EventCollected,
    EventMatched,
    Freed,
    Mail,
    Message,
    SignalArrived,
    SignalReplaced,
)
from .transition import Progress, Transition
from .tree import Step
from .values import preview

_OPEN = Closing("open")

HOLD = 20_000
"""A run whose next deadline is at most this many microseconds away keeps its lease."""

_ENCODE = msgspec.json.Encoder()


class Draft:
    """One transition of an owner in the making. `now` is store time, microseconds."""

    def __init__(self, owned: Owned, facts: Facts, now: int) -> None:
        self._pen = Pen(owned, facts, now)
        self._owned = owned
        self._interpreter = owned.interpreter
        self._requests: Requests | None = None
        self._blocked: list[Step] = []
        self._drained = owned.drained
        self._started_at: int | None = None
        self._deadline: int | None = None
        self._lifts_deadline = False

    @property
    def facts(self) -> Facts:
        """What is known to this draft."""
        return self._pen.facts

    # -- taking inputs ----------------------------------------------------------------------------

    def begin(self, digest: str) -> None:
        """Begin a run that has no history yet, on code with this digest."""
        self._start()
        self._pen.record(Started(self._pen.at, digest))
        self._answer_fresh()

    def _start(self) -> None:
        """The run starts now, and its time runs."""
        self._started_at = self._pen.at
        timeouts = self._interpreter.workflow.policies.timeouts
        if timeouts is not None and timeouts.finish is not None:
            self._deadline = self._pen.at + timeouts.finish

    def resume(self) -> None:
        """Go on with a run that was just replayed: what it waits for is found again.

        A rerun that was created with the outcomes of another run starts so.
        """
        interpreter = self._interpreter
        if self._owned.row.started_at is None:
            self._start()
        for step in interpreter.pending.values():
            if step.kind == "wait" and step.terms is not None:
                self._owned.unlooked.setdefault(step.id, step)
        self._answer_fresh()

    def take(self, item: Input) -> None:
        """Take one input: the records that it makes are fed, and what the body then asks is answered."""
        if type(item) is BodyEnded:
            self._body_ended(item)
        else:
            self._take_other(item)
        if self._interpreter.fresh or self._interpreter.end is not None:
            self._answer_fresh()

    def _take_other(self, item: Input) -> None:
        match item:
            case Mail(number, message):
                self._drained = max(self._drained, number)
                self._take_mail(message)
            case EventFound(step_id, event):
                step = self._interpreter.pending.get(step_id)
                if step is not None and step.terms is not None:
                    self._pen.succeed(step, Json(_ENCODE.encode(event)), event.position)
            case LookedBack(step_id, looked_to):
                step = self._owned.unlooked.pop(step_id, None)
                if step is not None and isinstance(step.terms, WaitTerms):
                    self._owned.looked[step_id] = looked_to
                    self._pen.effect.looked.append((step.terms.wait, looked_to))
            case TimePassed(at):
                if not self._owned.unlooked:
                    self._time_passed(self._pen.at if at is None else at)

    def _take_mail(self, message: Message) -> None:
        pending = self._interpreter.pending
        match message.body:
            case SignalArrived() | SignalReplaced() | ChildCompleted() | ChildFailed() as body if (
                request := self._interpreter.unmet(body.step)
            ):
                self._take_early(body, request)
            case CancelRequested(reason):
                self._cancel(reason)  # even if the body has ended: it was accepted before that is committed
            case SignalArrived(wait, step_id, data):
                if (step := pending.get(step_id)) is not None and _waits_as(step, wait):
                    self._pen.succeed(step, data)
                    self._pen.let_go(step_id, step.terms)
            case SignalReplaced(wait, step_id, by):
                if (step := pending.get(step_id)) is not None and _waits_as(step, wait):
                    self._pen.fail(step, _replaced(by))
            case ChildCompleted(child, step_id, result):
                if (step := pending.get(step_id)) is not None and _invoked(step, child):
                    self._pen.succeed(step, result)
            case ChildFailed(child, step_id, failure):
                if (step := pending.get(step_id)) is not None and _invoked(step, child):
                    self._pen.fail(step, _of_child(failure))
            case EventMatched() | EventCollected() | Freed():
                """The shell has turned a match into `EventFound`; the others were for before the start."""

    def _cancel(self, reason: str) -> None:
        """Accept a cancel; a second one changes nothing."""
        if self._interpreter.cancelling is None:
            self._pen.record(CancelAccepted(self._pen.at, reason, self._pen.at + CLEANUP_TIMEOUT))

    def _take_early(
        self, body: SignalArrived | SignalReplaced | ChildCompleted | ChildFailed, request: Requested
    ) -> None:
        """Mail for a step that additive code has not asked for yet: its outcome is recorded for when it does."""
        terms = request.terms
        if getattr(terms, "wait", None) != getattr(body, "wait", None) or (
            getattr(terms, "child", None) != getattr(body, "child", None)
        ):
            return
        match body:
            case SignalArrived(data=value) | ChildCompleted(result=value):
                self._pen.record(StepSucceeded(self._pen.at, request.step, value, request.kind))
            case SignalReplaced(by=by):
                self._pen.record(StepFailed(self._pen.at, request.step, _replaced(by), 1, request.kind, request.digest))
            case ChildFailed(failure=failure):
                self._pen.record(
                    StepFailed(self._pen.at, request.step, _of_child(failure), 1, request.kind, request.digest)
                )
        if isinstance(body, SignalArrived):
            self._pen.let_go(request.step, terms)

    def _body_ended(self, item: BodyEnded) -> None:
        step = self._interpreter.pending.get(item.step)
        outcome = item.outcome
        if step is not None and type(outcome) is Returned:
            self._pen.succeed(step, outcome.data)
        elif type(outcome) is Answered:
            outcome.record(item.step, item.luck, self._pen)
        elif step is not None:
            assert isinstance(outcome, Raised)
            self._attempt_failed(step, outcome, item.luck)

    def _attempt_failed(self, step: Step, raised: Raised, luck: float) -> None:
        workflow, command = self._interpreter.workflow, step.command
        retries = command.retries if command.retries is not None else workflow.retries
        attempt = step.failures + 1
        if not raised.retriable or attempt > retries:
            self._pen.record(
                StepFailed(self._pen.at, step.id, raised.failure, attempt, "run", step.digest, preview(step.arguments))
            )
            return
        backoff = command.backoff or workflow.backoff
        delay = raised.retry_after if raised.retry_after is not None else backoff.delay(attempt, luck)
        self._pen.record(
            AttemptFailed(
                self._pen.at,
                step.id,
                attempt,
                raised.failure,
                self._pen.at + delay,
                step.digest,
                preview(step.arguments),
            )
        )

    def _time_passed(self, now: int) -> None:
        self._pen.at = max(self._pen.at, now)  # an estimate may be behind, too: nothing is over before it is due
        interpreter = self._interpreter
        row = self._owned.row
        if row.deadline is not None and row.deadline <= now and interpreter.end is None:
            self._cancel(overdue(row))
        for scope, until in sorted(interpreter.cleaning.items(), key=lambda item: (item[1], item[0])):
            if until <= now and scope in interpreter.cleaning:
                self._pen.record(CleanupExpired(self._pen.at, scope))
        for step in interpreter.take_due(now):
            if step.id in interpreter.pending:
                self._step_due(step)

    def _step_due(self, step: Step) -> None:
        match step.terms:
            case None:
                self._pen.execute.append(step)
            case SleepTerms() | WaitTerms():
                self._pen.succeed(step, NULL)
            case SignalTerms():
                self._blocked.append(step)
            case InvokeTerms(child=child):
                failure = Failure("InvokeTimeout", f"run {child} did not end in time")
                self._pen.let_go(step.id, step.terms)
                self._pen.fail(step, failure)

    # -- answering what the body asks for -----------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether something must be known before it can be finished: see `missing`."""
        return (
            bool(self._blocked)
            or (self._pen.effects is not None and bool(self._pen.effects.cancels))
            or (self._interpreter.end is not None and self._unknown_at_the_end() is not None)
        )

    def _unknown_at_the_end(self) -> Questions | None:
        end = self._interpreter.end
        return Finish(self._pen, end).unknown() if end is not None else None

    def missing(self) -> Questions | None:
        """What has to be known before this draft can be finished; None if nothing."""
        blocked, self._blocked = self._blocked, []
        questions = Questions()
        for step in blocked:
            if step.id in self._interpreter.pending and not self._answer(step, questions):
                self._blocked.append(step)
        if self._interpreter.fresh:
            self._answer_fresh()
            if not questions:
                return self.missing()
        if self._pen.effects is not None:
            self._pen.effects.ask_successors(self._pen.facts, questions)
        if not questions and (unknown := self._unknown_at_the_end()) is not None:
            questions.add(unknown)
        return questions if questions else None

    def _answer_fresh(self) -> None:
        interpreter = self._interpreter
        while interpreter.fresh:
            for step in interpreter.take_fresh():
                if step.id not in interpreter.pending:
                    continue
                if step.terms is not None:  # recorded before additive code asked for it
                    if step.kind == "wait":
                        self._owned.unlooked.setdefault(step.id, step)
                    continue
                if step.kind == "run":
                    if step.retry_at is None:
                        self._pen.execute.append(step)
                elif not self._answer(step, Questions()):
                    self._blocked.append(step)
        if interpreter.end is not None:
            self._pen.let_go_of_leftovers()

    def _answer(self, step: Step, questions: Questions) -> bool:
        if self._requests is None:
            self._requests = Requests(self._pen)
        return self._requests.answer(step, questions)

    # -- the transition ---------------------------------------------------------------------------

    def finish(self, executing: Collection[str] = ()) -> Decision:
        """Make it one transition. `executing` are the steps whose bodies run at this moment."""
        owned, interpreter = self._owned, self._interpreter
        lines = interpreter.context.take_lines()
        pending = interpreter.pending
        self._pen.execute = [step for step in self._pen.execute if pending.get(step.id) is step]
        if interpreter.end is not None:
            return self._finish_ended(interpreter.end, lines)
        if interpreter.cancelling is not None:
            self._lift_deadline()
        look = list(owned.unlooked.values()) if owned.unlooked else []
        wants = owned.slotless and self._withhold()
        working = bool(self._pen.execute or look) or _any_left(executing, self._pen.abandoned)
        own = self._deadline if self._started_at is not None or self._lifts_deadline else owned.row.deadline
        due_at = None if working else owned.earliest_deadline(own)
        release = not working and (due_at is None or due_at > self._pen.at + HOLD)
        transition = None
        changed = self._pen.records or self._pen.effects is not None or self._drained > owned.drained
        if changed or release or self._started_at is not None or self._lifts_deadline:
            transition = self._transition(release, due_at, wants=wants)
        return Decision(
            transition, self._pen.execute, self._pen.abandoned, look, lines, released=release, resumable=not wants
        )

    def _withhold(self) -> bool:
        """Without its slots no body of the run begins; whether it wants them.

        It is not given back at once if a wait has to look back first. So what was withheld is remembered.
        """
        owned, pending = self._owned, self._interpreter.pending
        held = [step for step in owned.withheld if pending.get(step.id) is step]
        wanted = [*held, *self._pen.execute]
        wants = self._interpreter.need_slots(wanted)
        owned.withheld, self._pen.execute = (wanted, []) if wants else ([], wanted)
        return wants

    def _lift_deadline(self) -> None:
        """Who is cancelled has met its limit, or needs it no more: while its clean-up stands in line for a slot, the
        run must not be given to an owner for that again and again."""
        if self._started_at is not None:
            self._deadline = None
        else:
            self._lifts_deadline = self._owned.row.deadline is not None

    def _finish_ended(self, end: BodyEnd, lines: list[LogLine]) -> Decision:
        closing = Finish(self._pen, end).write()
        transition = self._transition(True, None, closing)
        return Decision(transition, [], self._pen.abandoned, [], lines, released=True, ended=True)

    def _transition(
        self, release: bool, due_at: int | None, closing: Closing = _OPEN, wants: bool = False
    ) -> Transition:
        owned = self._owned
        row = owned.row
        progress = Progress(
            row.app,
            row.id,
            row.fence,
            owned.position,
            tuple(self._pen.records),
            self._drained,
            release,
            due_at,
            closing.stored,
            closing.reason,
            None,
            self._started_at,
            self._interpreter.life,
            closing.restarted_as,
            False,
            self._deadline,
            wants,
            None,
            self._lifts_deadline,
        )
        transition = Transition(f"{row.id}/{row.fence}/{owned.position}", progress)
        if self._pen.effects is not None:
            self._pen.effects.apply(transition, row, self._pen.facts)
        return transition

    def committed(self) -> None:
        """The transition is in the store: the owner's place moves on."""
        owned = self._owned
        owned.position += len(self._pen.records)
        owned.last_at = self._pen.at
        owned.drained = self._drained
        if self._started_at is not None:
            owned.row.started_at, owned.row.deadline = self._started_at, self._deadline
        elif self._lifts_deadline:
            owned.row.deadline = None


def _any_left(executing: Collection[str], abandoned: list[Step]) -> bool:
    if not executing:
        return False
    gone = {step.id for step in abandoned}
    return any(step not in gone for step in executing)


def _waits_as(step: Step, wait: str) -> bool:
    return getattr(step.terms, "wait", None) == wait


def _replaced(by: str) -> Failure:
    return Failure("SignalReplaced", f"run {by} took over the signal")


def _of_child(failure: Failure) -> Failure:
    """A child's failure as its parent sees it: `InvokeTimeout` there would mean the parent's own timeout."""
    return Failure("StepError", str(failure), cause=failure) if failure.type == "InvokeTimeout" else failure


def _invoked(step: Step, child: str) -> bool:
    return getattr(step.terms, "child", None) == child
