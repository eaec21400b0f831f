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
* What has to be known of the store first is asked for (`Questions`), never read.

Pure: the time, luck for back-offs, and facts are arguments. It raises for no error of a user.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from typing import Any

import attrs
import msgspec

from .acceptance import accept
from .commands import Invoke, SendEvent, SendSignal, Sleep, SleepUntil, WaitFor, WaitForSignal
from .commands.waits import WHERE_VARIABLES
from .context import LogLine
from .duration import MAX_DURATION, moment
from .errors import EventConflict, ExpressionError, InvalidInput, UndecodableError, UnserializableError
from .events import AcceptedEvent, accept_event, event_document
from .expression import Expression, match_key, parse_path, value_at
from .facts import Facts, Questions
from .history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndCancelled,
    EndCompleted,
    EndFailed,
    InvokeTerms,
    Record,
    Requested,
    SendSignalTerms,
    SendTerms,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    Terms,
    WaitTerms,
)
from .ids import derived_id, seed_of
from .interpreter import (
    CLEANUP_TIMEOUT,
    BodyCancelled,
    BodyRaised,
    BodyRestarted,
    BodyReturned,
    Interpreter,
)
from .outcome import NULL, Failure, Json, Outcome, Raised, Returned, failure_of
from .runs import (
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    EventMatched,
    Mail,
    Message,
    Parent,
    RunRow,
    SignalArrived,
    SignalReplaced,
    Stored,
)
from .transition import DropKey, Key, NewRun, Progress, TakeKey, Transition, Wait
from .tree import Step
from .values import encode, preview

HOLD = 20_000
"""A run whose next deadline is at most this many microseconds away keeps its lease."""

_ENCODE = msgspec.json.Encoder()


# -- what an owner holds --------------------------------------------------------------------------


@attrs.define(eq=False)
class Owned:
    """A run as its owner holds it in memory, between commits.

    `position` is that of the next record, `last_at` the time of the newest one, `drained` how much mail
    its records account for. `unlooked` are the open waits that have not looked back yet, `looked` how
    far the others have.
    """

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    interpreter: Interpreter
    position: int = 0
    last_at: int = 0
    drained: int = 0
    unlooked: dict[str, Step] = attrs.Factory(dict)
    looked: dict[str, int] = attrs.Factory(dict)


# -- inputs ---------------------------------------------------------------------------------------


@attrs.define  # one a step
class BodyEnded:
    """The body of step `step` came back. `luck` in [0, 1) is the jitter of its back-off."""

    step: str
    outcome: Outcome
    luck: float = 0.5


@attrs.frozen
class EventFound:
    """The earliest event that matches an open wait, found by look-back or by mail."""

    step: str
    event: AcceptedEvent


@attrs.frozen
class LookedBack:
    """An open wait has looked back up to position `looked_to` and found nothing."""

    step: str
    looked_to: int


@attrs.frozen
class TimePassed:
    """Look at the deadlines: the draft's `now` is store time."""


Input = BodyEnded | EventFound | LookedBack | TimePassed | Mail


@attrs.frozen
class Waiter:
    """Who waits for a signal, as kept with its key. `delivered`: the signal is in its mailbox."""

    run: str
    step: str
    wait: str
    delivered: bool = False


_WAITER = msgspec.json.Decoder(Waiter)


@attrs.define
class Decision:
    """What a draft came to: a transition to commit, then what to do.

    `execute` are the `Run` steps whose bodies may start after the commit, `abandoned` the steps that
    were given up (their bodies are to be stopped), `look` the waits that must look back before the run
    may be released. `lines` are what the body logged.
    """

    transition: Transition | None
    execute: list[Step]
    abandoned: list[Step]
    look: list[Step]
    lines: list[LogLine]
    released: bool = False
    ended: bool = False


def signal_key(signal: str) -> str:
    """The name of the unique key that the waiter of a signal holds."""
    return f"signal/{signal}"


class Draft:
    """One transition of an owner in the making. `now` is store time, microseconds."""

    def __init__(self, owned: Owned, facts: Facts, now: int) -> None:
        self._owned = owned
        self._interpreter = owned.interpreter
        self._facts = facts
        self._at = now if now > owned.last_at else owned.last_at
        self._records: list[Record] = []
        self._execute: list[Step] = []
        self._abandoned: list[Step] = []
        self._blocked: list[Step] = []
        self._effects: Effects | None = None
        self._drained = owned.drained
        self._started_at: int | None = None

    # -- taking inputs ----------------------------------------------------------------------------

    def begin(self, digest: str) -> None:
        """Begin a run that has no history yet, on code with this digest."""
        self._started_at = self._at
        self._record(Started(self._at, digest))
        self._answer_fresh()

    def resume(self) -> None:
        """Go on with a run that was just replayed: what it waits for is found again."""
        interpreter = self._interpreter
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
                    self._succeed(step, Json(_ENCODE.encode(event)), event.position)
            case LookedBack(step_id, looked_to):
                step = self._owned.unlooked.pop(step_id, None)
                if step is not None and isinstance(step.terms, WaitTerms):
                    self._owned.looked[step_id] = looked_to
                    self._effect.looked.append((step.terms.wait, looked_to))
            case TimePassed():
                self._time_passed()

    def _take_mail(self, message: Message) -> None:
        pending = self._interpreter.pending
        match message.body:
            case SignalArrived() | SignalReplaced() | ChildCompleted() | ChildFailed() as body if (
                request := self._interpreter.unmet(body.step)
            ):
                self._take_early(body, request)
            case CancelRequested(reason):
                if self._interpreter.cancelling is None:
                    self._record(CancelAccepted(self._at, reason, self._at + CLEANUP_TIMEOUT))
            case SignalArrived(wait, step_id, data):
                if (step := pending.get(step_id)) is not None and _waits_as(step, wait):
                    self._succeed(step, data)
                    self._let_go(step_id, step.terms)
            case SignalReplaced(wait, step_id, by):
                if (step := pending.get(step_id)) is not None and _waits_as(step, wait):
                    self._fail(step, _replaced(by))
            case ChildCompleted(child, step_id, result):
                if (step := pending.get(step_id)) is not None and _invoked(step, child):
                    self._succeed(step, result)
            case ChildFailed(child, step_id, failure):
                if (step := pending.get(step_id)) is not None and _invoked(step, child):
                    self._fail(step, _of_child(failure))
            case EventMatched():
                """The shell has turned it into `EventFound`, after looking for an earlier match."""

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
                self._record(StepSucceeded(self._at, request.step, value, request.kind))
            case SignalReplaced(by=by):
                self._record(StepFailed(self._at, request.step, _replaced(by), 1, request.kind, request.digest))
            case ChildFailed(failure=failure):
                self._record(StepFailed(self._at, request.step, _of_child(failure), 1, request.kind, request.digest))
        if isinstance(body, SignalArrived):
            self._let_go(request.step, terms)

    def _body_ended(self, item: BodyEnded) -> None:
        step = self._interpreter.pending.get(item.step)
        if step is None:
            return
        outcome = item.outcome
        if type(outcome) is Returned:
            self._succeed(step, outcome.data)
        else:
            assert isinstance(outcome, Raised)
            self._attempt_failed(step, outcome, item.luck)

    def _attempt_failed(self, step: Step, raised: Raised, luck: float) -> None:
        workflow, command = self._interpreter.workflow, step.command
        retries = command.retries if command.retries is not None else workflow.retries
        attempt = step.failures + 1
        if not raised.retriable or attempt > retries:
            self._record(
                StepFailed(self._at, step.id, raised.failure, attempt, "run", step.digest, preview(step.arguments))
            )
            return
        backoff = command.backoff or workflow.backoff
        delay = raised.retry_after if raised.retry_after is not None else backoff.delay(attempt, luck)
        self._record(
            AttemptFailed(
                self._at, step.id, attempt, raised.failure, self._at + delay, step.digest, preview(step.arguments)
            )
        )

    def _time_passed(self) -> None:
        interpreter = self._interpreter
        for scope, until in sorted(interpreter.cleaning.items(), key=lambda item: (item[1], item[0])):
            if until <= self._at and scope in interpreter.cleaning:
                self._record(CleanupExpired(self._at, scope))
        for step in interpreter.take_due(self._at):
            if step.id in interpreter.pending:
                self._step_due(step)

    def _step_due(self, step: Step) -> None:
        match step.terms:
            case None:
                self._execute.append(step)
            case SleepTerms() | WaitTerms():
                self._succeed(step, NULL)
            case SignalTerms():
                self._blocked.append(step)
            case InvokeTerms(child=child):
                failure = Failure("InvokeTimeout", f"run {child} did not end in time")
                self._let_go(step.id, step.terms)
                self._fail(step, failure)

    # -- records ----------------------------------------------------------------------------------

    @property
    def _effect(self) -> Effects:
        if self._effects is None:
            self._effects = Effects()
        return self._effects

    def _record(self, record: Record) -> None:
        self._interpreter.feed(record)
        self._records.append(record)
        if self._interpreter.abandoned:
            self._give_up(self._interpreter.take_abandoned())

    def _succeed(self, step: Step, value: Json, position: int | None = None) -> None:
        """Record a step's value. One that does not fit its annotation is the step's failure."""
        try:
            if step.kind == "run":
                self._record(StepSucceeded(self._at, step.id, value, "run", step.digest, preview(step.arguments)))
            else:
                self._record(StepSucceeded(self._at, step.id, value, step.kind, position=position))
        except UndecodableError as error:
            failure, attempts = failure_of(error), step.failures + 1
            self._record(StepFailed(self._at, step.id, failure, attempts, step.kind, step.digest, position=position))
        if isinstance(step.terms, WaitTerms):
            self._close_wait(step.id, step.terms)

    def _fail(self, step: Step, failure: Failure) -> None:
        self._record(StepFailed(self._at, step.id, failure, 1, step.kind, step.digest))
        if isinstance(step.terms, WaitTerms):
            self._close_wait(step.id, step.terms)

    def _close_wait(self, step_id: str, terms: WaitTerms) -> None:
        self._owned.unlooked.pop(step_id, None)
        self._owned.looked.pop(step_id, None)
        self._effect.close_waits.append(terms.wait)

    def _give_up(self, steps: list[Step]) -> None:
        """What abandoned steps hold in the store is let go of in the same commit."""
        self._abandoned.extend(steps)
        for step in steps:
            self._let_go(step.id, step.terms)
        gone = {step.id for step in steps}
        self._execute = [step for step in self._execute if step.id not in gone]

    def _let_go(self, step_id: str, terms: Terms | None) -> None:
        """Close the wait, drop the key or cancel the child that a step held."""
        match terms:
            case WaitTerms():
                self._close_wait(step_id, terms)
            case SignalTerms():
                self._drop_signal(terms)
            case InvokeTerms():
                self._cancel_child(terms)

    def _let_go_of_leftovers(self) -> None:
        """A body that ended holds nothing, what additive code never asked for again included."""
        for request in self._interpreter.take_leftovers():
            self._let_go(request.step, request.terms)

    # -- answering what the body asks for -----------------------------------------------------------

    @property
    def blocked(self) -> bool:
        """Whether something must be known before it can be finished: see `missing`."""
        return bool(self._blocked) or (self._effects is not None and bool(self._effects.cancels))

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
        if self._effects is not None:
            self._effects.ask_successors(self._facts, questions)
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
                        self._execute.append(step)
                elif not self._answer(step, Questions()):
                    self._blocked.append(step)
        if interpreter.end is not None:
            self._let_go_of_leftovers()

    def _answer(self, step: Step, questions: Questions) -> bool:
        """Request what a step asks for; False if something must be known first."""
        command = step.command
        if step.terms is not None:
            return self._time_out_signal(step, questions)
        match command:
            case Sleep():
                return self._request(step, SleepTerms(self._at + command.duration))
            case SleepUntil():
                if command.until > self._at + MAX_DURATION:
                    message = f"SleepUntil({step.name!r}): {moment(command.until)} is more than 366 days ahead"
                    return self._refuse(step, SleepTerms(command.until), Failure("DefinitionError", message))
                return self._request(step, SleepTerms(command.until))
            case WaitFor():
                return self._wait_for(step, command, questions)
            case WaitForSignal():
                return self._wait_for_signal(step, command, questions)
            case Invoke():
                return self._invoke(step, command)
            case SendEvent():
                return self._send(step, command, questions)
            case _:
                return self._send_signal(step, command, questions)

    def _request(self, step: Step, terms: Terms) -> bool:
        self._record(Requested(self._at, step.id, step.kind, step.digest, terms, preview(step.arguments)))
        return True

    def _refuse(self, step: Step, terms: Terms, failure: Failure) -> bool:
        """A request that fails at once: its request and its outcome stand side by side."""
        self._request(step, terms)
        self._fail(step, failure)
        return True

    def _wait_for(self, step: Step, command: WaitFor[Any], questions: Questions) -> bool:
        after = self._after(step, command, questions)
        if after is None:
            return False
        trigger = event_document(self._owned.events[-1])
        path = value = None
        if command.match is not None:
            path = command.match
            value = match_key(value_at(trigger, parse_path(path, "match")))
        scope = None
        if command.where is not None:
            scope = Json(_ENCODE.encode(where_expression(command.where).scope("event", trigger)))
        row = self._owned.row
        wait_id = derived_id(row.id, "wait", self._interpreter.life, step.id)
        expires_at = self._at + command.timeout
        self._request(step, WaitTerms(wait_id, command.event, expires_at, after, path, value, command.where))
        self._effect.open_waits.append(
            Wait(wait_id, row.app, row.id, step.id, command.event, after, expires_at, path, value, command.where, scope)
        )
        self._owned.unlooked[step.id] = step
        return True

    def _after(self, step: Step, command: WaitFor[Any], questions: Questions) -> int | None:
        """The position after which a wait sees events (semantics: Steps); None: not known yet."""
        trigger = self._owned.events[-1].position or 0
        since = command.since
        if since is None:
            previous = self._interpreter.looks_after(step)
            return trigger if previous is None else previous
        if since == "start":
            return trigger
        before = None if since == "now" else since
        known = self._facts.positions.get(before)
        if known is None:
            questions.positions.add(before)
        return known

    def _wait_for_signal(self, step: Step, command: WaitForSignal, questions: Questions) -> bool:
        row, name = self._owned.row, signal_key(command.signal)
        held = self._known_key(row.app, name, questions)
        if held is _UNKNOWN:
            return False
        wait_id = derived_id(row.id, "wait", self._interpreter.life, step.id)
        terms = SignalTerms(wait_id, command.signal, self._at + command.timeout)
        waiter = Waiter(row.id, step.id, wait_id)
        if (other := self._waiter(held)) is not None:
            if command.on_conflict == "fail":
                message = f"run {other.run} waits for signal {command.signal!r} already"
                return self._refuse(step, terms, Failure("SignalConflict", message))
            body = SignalReplaced(other.wait, other.step, row.id)
            self._effect.messages.append(Message(derived_id(wait_id, "replaces"), row.app, other.run, body))
        version = held.version if isinstance(held, Key) else 0
        self._take(TakeKey(row.app, name, wait_id, _ENCODE.encode(waiter).decode(), None, version))
        return self._request(step, terms)

    def _time_out_signal(self, step: Step, questions: Questions) -> bool:
        """Time is up for a signal: unless it is in the mailbox already, which the key tells."""
        terms = step.terms
        assert isinstance(terms, SignalTerms)
        row, name = self._owned.row, signal_key(terms.signal)
        held = self._known_key(row.app, name, questions)
        if held is _UNKNOWN:
            return False
        if isinstance(held, Key) and held.holder == terms.wait:
            if _WAITER.decode(held.detail).delivered:
                return True
            self._effect.drop.append(DropKey(row.app, name, terms.wait, held.version))
        self._succeed(step, NULL)
        return True

    def _drop_signal(self, terms: SignalTerms) -> None:
        self._effect.drop.append(DropKey(self._owned.row.app, signal_key(terms.signal), terms.wait))

    def _send_signal(self, step: Step, command: SendSignal, questions: Questions) -> bool:
        row, name = self._owned.row, signal_key(command.signal)
        held = self._known_key(row.app, name, questions)
        if held is _UNKNOWN:
            return False
        terms = SendSignalTerms(command.signal)
        waiter = self._waiter(held)
        if not isinstance(held, Key) or waiter is None:
            return self._refuse(step, terms, Failure("NoWaiter", f"nobody waits for signal {command.signal!r}"))
        data = encode(command.data, f"the data of signal {command.signal!r}")
        take, message = deliver_signal(row.app, held, waiter, data, derived_id(row.id, self._life, step.id))
        self._take(take)
        self._effect.messages.append(message)
        self._request(step, terms)
        self._succeed(step, NULL)
        return True

    def _waiter(self, held: Key | object | None) -> Waiter | None:
        """Who waits under the key of a signal: nobody once it was delivered, or is let go of in this transition."""
        if not isinstance(held, Key):
            return None
        if self._effects is not None and any(held.holder == drop.holder for drop in self._effects.drop):
            return None
        waiter = decode_waiter(held)
        return None if waiter.delivered else waiter

    def _take(self, take: TakeKey) -> None:
        """Take a key in this transition; from now on it is known to be held so."""
        self._effect.take_key(take)
        known = Key(take.name, take.holder, take.detail, take.expires_at, take.version + 1)
        self._facts.keys[take.app, take.name] = known

    def _send(self, step: Step, command: SendEvent, questions: Questions) -> bool:
        row = self._owned.row
        try:
            events = [
                accept_event(event, derived_id(row.id, self._life, step.id, number), self._at)
                for number, event in enumerate(command.events)
            ]
            acceptance = accept(events, self._facts, self._at)
        except (EventConflict, InvalidInput, UnserializableError) as error:
            return self._refuse(step, SendTerms(()), failure_of(error))
        if isinstance(acceptance, Questions):
            questions.keys |= acceptance.keys
            questions.started |= acceptance.started
            return False
        self._effect.accept.extend(acceptance.accept)
        self._effect.create.extend(acceptance.create)
        for take in acceptance.take:
            self._take(take)
        self._request(step, SendTerms(acceptance.ids))
        self._succeed(step, Json(_ENCODE.encode(acceptance.ids)))
        return True

    def _invoke(self, step: Step, command: Invoke[Any]) -> bool:
        row = self._owned.row
        app, _, workflow = command.workflow.rpartition("/")
        app = app or row.app
        child = derived_id(row.id, self._life, step.id)
        expires_at = self._at + command.timeout if command.timeout is not None else None
        terms = InvokeTerms(app, workflow, child, expires_at, command.on_cancel)
        if self._facts.table.find(app, workflow) is None:
            message = f"no workflow {workflow!r} is registered in app {app!r}"
            return self._refuse(step, terms, Failure("NotFound", message))
        data = encode(command.data if command.data is not None else {}, f"the data of invoke {step.id!r}")
        parent = Parent(row.app, row.id, step.id, child)
        self._effect.create.append(direct_run(app, workflow, child, data, self._at, parent=parent))
        return self._request(step, terms)

    def _cancel_child(self, terms: InvokeTerms) -> None:
        """Tell the child; one that this very transition would create is not created at all."""
        if terms.on_cancel != "cancel":
            return
        born = [new for new in self._effect.create if new.row.id != terms.child]
        if len(born) == len(self._effect.create):
            self._effect.cancels.append((terms.app, terms.child))
        self._effect.create = born

    def _known_key(self, app: str, name: str, questions: Questions) -> Key | object | None:
        if (app, name) not in self._facts.keys:
            questions.keys.add((app, name))
            return _UNKNOWN
        return self._facts.keys[app, name]

    @property
    def _life(self) -> int:
        return self._interpreter.life

    # -- the transition ---------------------------------------------------------------------------

    def finish(self, executing: Collection[str] = ()) -> Decision:
        """Make it one transition. `executing` are the steps whose bodies run at this moment."""
        owned, interpreter = self._owned, self._interpreter
        lines = interpreter.context.take_lines()
        pending = interpreter.pending
        self._execute = [step for step in self._execute if pending.get(step.id) is step]
        if interpreter.end is not None:
            return self._finish_ended(lines)
        look = list(owned.unlooked.values())
        working = bool(self._execute) or bool(look) or _any_left(executing, self._abandoned)
        due_at = None if working else interpreter.next_deadline()
        release = not working and (due_at is None or due_at > self._at + HOLD)
        transition = None
        if self._records or release or self._effects is not None or self._drained > owned.drained:
            transition = self._transition(release, due_at)
        return Decision(transition, self._execute, self._abandoned, look, lines, released=release)

    def _finish_ended(self, lines: list[LogLine]) -> Decision:
        end = self._interpreter.end
        row = self._owned.row
        stored: Stored = "completed"
        reason: str | None = None
        restarted_as: str | None = None
        match end:
            case BodyReturned(data):
                self._record(EndCompleted(self._at, data))
                self._tell_parent(ChildCompleted("", "", data))
            case BodyRestarted(data):
                successor = self._successor(data)
                restarted_as = successor.row.id
                self._effect.create.append(successor)
                self._record(EndCompleted(self._at, NULL, restarted_as))
            case BodyRaised(failure, step):
                stored, reason = "failed", str(failure)
                self._record(EndFailed(self._at, failure, step))
                self._tell_parent(ChildFailed("", "", failure))
            case BodyCancelled(cause):
                stored, reason = "cancelled", cause
                self._record(EndCancelled(self._at, cause))
                message = f"run {row.id} was cancelled: {cause}"
                self._tell_parent(ChildFailed("", "", Failure("RunCancelledError", message)))
        transition = self._transition(True, None, stored, reason, restarted_as)
        return Decision(transition, [], self._abandoned, [], lines, released=True, ended=True)

    def _tell_parent(self, body: ChildCompleted | ChildFailed) -> None:
        row = self._owned.row
        if row.parent is not None:
            self._effect.messages.append(to_parent(row, row.parent, self._life, body))

    def _successor(self, data: Json) -> NewRun:
        row = self._owned.row
        child = derived_id(row.id, "restart", self._life)
        since = tuple(sorted(self._interpreter.seen().items()))
        trigger = self._owned.events[-1].position
        return direct_run(
            row.app, row.workflow, child, data, self._at, parent=row.parent, since=since, position=trigger
        )

    def _transition(
        self,
        release: bool,
        due_at: int | None,
        stored: Stored = "open",
        reason: str | None = None,
        restarted_as: str | None = None,
    ) -> Transition:
        owned = self._owned
        row = owned.row
        progress = Progress(
            row.app,
            row.id,
            row.fence,
            owned.position,
            tuple(self._records),
            self._drained,
            release,
            due_at,
            stored,
            reason,
            None,
            self._started_at,
            self._life,
            restarted_as,
        )
        transition = Transition(f"{row.id}/{row.fence}/{owned.position}", progress)
        if self._effects is not None:
            self._effects.apply(transition, row, self._facts)
        return transition

    def committed(self) -> None:
        """The transition is in the store: the owner's place moves on."""
        owned = self._owned
        owned.position += len(self._records)
        owned.last_at = self._at
        owned.drained = self._drained


@attrs.define
class Effects:
    """What a draft changes beside its run's history. Most steps change nothing else: then there is none."""

    create: list[NewRun] = attrs.Factory(list)
    accept: list[AcceptedEvent] = attrs.Factory(list)
    messages: list[Message] = attrs.Factory(list)
    open_waits: list[Wait] = attrs.Factory(list)
    close_waits: list[str] = attrs.Factory(list)
    looked: list[tuple[str, int]] = attrs.Factory(list)
    take: list[TakeKey] = attrs.Factory(list)
    drop: list[DropKey] = attrs.Factory(list)
    cancels: list[tuple[str, str]] = attrs.Factory(list)

    def take_key(self, take: TakeKey) -> None:
        """Take a key; one that this transition takes already, or lets go of, is taken once, from there."""
        earlier = next((t for t in self.take if (t.app, t.name) == (take.app, take.name)), None)
        if earlier is not None:
            self.take.remove(earlier)
            take = attrs.evolve(take, version=earlier.version)
        self.drop = [d for d in self.drop if (d.app, d.name) != (take.app, take.name)]
        self.take.append(take)

    def ask_successors(self, facts: Facts, questions: Questions) -> None:
        """A child may have restarted as another run: the cancel has to reach the one that is open."""
        questions.successors |= {child for child in self.cancels if child not in facts.successors}

    def apply(self, transition: Transition, row: RunRow, facts: Facts) -> None:
        messages = list(self.messages)
        for app, child in self.cancels:
            target = facts.successors.get((app, child))
            if target is not None:
                reason = f"its parent {row.id} gave up on it"
                messages.append(
                    Message(
                        derived_id(child, "cancel", row.id), app, target, CancelRequested(reason), must_be_open=True
                    )
                )
        opened = {wait.id for wait in self.open_waits} & set(self.close_waits)
        transition.create = tuple(self.create)
        transition.accept = tuple(self.accept)
        transition.messages = tuple(messages)
        transition.open_waits = tuple(wait for wait in self.open_waits if wait.id not in opened)
        transition.close_waits = tuple(wait for wait in self.close_waits if wait not in opened)
        transition.looked = tuple(self.looked)
        transition.take = tuple(self.take)
        transition.drop = tuple(self.drop)


# -- shared with other decisions -------------------------------------------------------------------


def direct_run(
    app: str,
    workflow: str,
    run_id: str,
    data: Json,
    now: int,
    *,
    parent: Parent | None = None,
    since: tuple[tuple[str, int], ...] = (),
    position: int | None = None,
    seed: int | None = None,
) -> NewRun:
    """A run that no event started: by `engine.start`, `Invoke` or `Restart`. `data` is its event's."""
    event = AcceptedEvent(run_id, "flowgen/run.invoked", data, now, now, position=position)
    row = RunRow(
        app, run_id, workflow, now, seed_of(run_id) if seed is None else seed, due_at=now, parent=parent, since=since
    )
    return NewRun(row, (event,))


def to_parent(row: RunRow, parent: Parent, life: int, body: ChildCompleted | ChildFailed) -> Message:
    """The message by which a run that ended tells the step that invoked it."""
    told = attrs.evolve(body, child=parent.child, step=parent.step)
    return Message(derived_id(row.id, "ended", life), parent.app, parent.run, told)


def deliver_signal(app: str, held: Key, waiter: Waiter, data: Json, cause: str) -> tuple[TakeKey, Message]:
    """Give a signal to its waiter: into its mailbox, and marked on its key so that it is given once."""
    detail = _ENCODE.encode(attrs.evolve(waiter, delivered=True)).decode()
    take = TakeKey(app, held.name, held.holder, detail, None, held.version)
    message = Message(
        derived_id(waiter.wait, "signal", cause), app, waiter.run, SignalArrived(waiter.wait, waiter.step, data), True
    )
    return take, message


def decode_waiter(held: Key) -> Waiter:
    """Who holds the key of a signal."""
    return _WAITER.decode(held.detail)


@lru_cache(maxsize=4096)
def where_expression(text: str) -> Expression:
    """The compiled `where` of a wait: it sees the trigger as `event` and what arrives as `async`."""
    return Expression(text, WHERE_VARIABLES, "where of a WaitFor")


def matches(wait_where: str | None, scope: dict[str, Any] | None, event: AcceptedEvent) -> bool:
    """Whether an event of the right name and match value is one that a wait waits for.

    An expression that fails on this event does not match it.
    """
    if wait_where is None:
        return True
    try:
        return where_expression(wait_where).is_true({"event": scope or {}, "async": event_document(event)})
    except ExpressionError:
        return False


_UNKNOWN = object()


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
