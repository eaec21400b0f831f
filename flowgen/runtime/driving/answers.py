"""What an answer to a call means: records, steps that are open from now on, or the end of the body.

==========================  ==================================================================================
the app says                then
==========================  ==================================================================================
StepRun, Step               the step has succeeded
StepFailed                  the step has failed; its function may catch that
StepError                   one try of the step failed; the last one is its failure
StepPlanned                 a call aimed at the step is open
Sleep, WaitForEvent, …      the step is open, with a command of ours
DeferAdd, DeferAbort        a function begins when the run has ended, or not
Gateway, AIGateway          the step is open: its body is a request that is made here
RunComplete, status 200     the body has returned
an error; StepError and     one try of the call failed; the last one is the failure of the function
StepFailed of `complete`
DiscoveryRequest,           there is a discovery
StepNotFound
==========================  ==================================================================================

Rules
-----
* **An answer is taken for a call that is open**, once. What it tells of a step that has ended, or that waits for the
  world, is passed over; so is what it asks for that is open.
* **A call that reached nobody** (`absence`) is no answer, and no failed try that counts.
* **An app that never gets anywhere fails.** So many answers in a row that tell nothing new count as failed tries.
* What cannot be understood is a failed try, too.

Pure, with the pen of a draft. Refuses to know how calls travel.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import attrs
import msgspec

from ...commands import SendEvent, SendSignal
from ...ends import BodyRaised, BodyReturned
from ...errors import DefinitionError, InvalidInput, NondeterminismError, UndecodableError
from ...history import AttemptFailed, StepFailed, StepSucceeded
from ...misuse import too_many_steps
from ...outcome import NULL, Failure, Json, failure_of
from ...pen import Pen
from ...tree import Step
from ...values import decode, preview
from ..protocol import errors as wire_errors
from ..protocol.calls import Answer, Erred, Ops, Returned
from ..protocol.errors import APP_AWAY, APP_UNREACHABLE, UserError
from ..protocol.native import Asked, read_asked, read_diverged, read_end, read_seen, read_standing
from ..protocol.ops import FIRST, LAZY, Op, Opcode
from ..protocol.reading import ProtocolError, encoded
from ..protocol.steps import is_hash, step_hash
from ..protocol.terms import Defer, Fetch, Infer, Undefer, terms_of
from .asked import command_for, deferred
from .body import WAITS_FOR_GROUPS, RemoteBody
from .calling import FUNCTION, Calling
from .fetching import fetching

log = logging.getLogger("flowgen")

MOST_DEFERS: Final = 20
"""Functions that a run may defer."""

FRUITLESS: Final = 10
"""So many answers in a row may tell nothing that is recorded."""

_SETTLES: Final = frozenset({Opcode.STEP, Opcode.STEP_RUN, Opcode.STEP_FAILED})
_FAILS: Final = frozenset({Opcode.STEP_ERROR, Opcode.STEP_FAILED})
_FUNCTION: Final = step_hash("complete")
"""What SDKs say for a step where they mean the function as a whole; a step that a user calls so says its name, too."""

_DISCOVERS: Final = frozenset({Opcode.DISCOVERY_REQUEST, Opcode.STEP_NOT_FOUND})
_ENDS: Final = frozenset({Opcode.RUN_COMPLETE, Opcode.SYNC_RUN_COMPLETE})


_SILENT: Final = "the step failed, and did not say why"


def record_answer(answer: Answer, step_id: str, luck: float, pen: Pen, *, partly: bool = False) -> None:
    """Take what was answered to the call for a step. `partly`: it is under way, and this is what it told so far."""
    body = pen.interpreter
    assert isinstance(body, RemoteBody)
    step = body.take(step_id)
    if step is None:
        return
    _Reading(answer, body, step, luck, pen).take(partly)


def record_absence(reason: str, step_id: str, luck: float, pen: Pen) -> None:
    """The call for a step reached nobody, for this reason: it is made again, and costs nothing for a while."""
    body = pen.interpreter
    assert isinstance(body, RemoteBody)
    step = body.take(step_id)
    if step is None:
        return
    reading = _Reading(_NOBODY, body, step, luck, pen)
    delay = body.absence.delay(step.id, pen.at, luck)
    if delay is None:
        reading.fail_try(Failure(APP_UNREACHABLE, reason))
    else:
        reading.try_again(Failure(APP_AWAY, reason), delay)
    body.settle_down()
    if body.abandoned:
        pen.give_up(body.take_abandoned())


_NOBODY: Final = Answer(Ops(()))


class _Reading:
    """One answer being taken."""

    def __init__(self, answer: Answer, body: RemoteBody, step: Step, luck: float, pen: Pen) -> None:
        self._answer = answer
        self._body = body
        self._step = step
        self._calling: Calling = step.command
        self._luck = luck
        self._pen = pen
        self._recorded = 0
        self._opened: list[str] = []
        self._planned = False

    def take(self, partly: bool) -> None:
        body, answer = self._body, self._answer
        if answer.version is not None and body.version < 0:
            body.version = answer.version
        if partly:
            self._step.failures, self._step.retry_at = 0, None
            body.absence.forget(self._step.id)
            body.give_back(self._step)
        try:
            match answer.outcome:
                case Returned(data):
                    body.finish(BodyReturned(data))
                case Erred():
                    self._erred(answer.outcome)
                case Ops(ops):
                    self._ops(ops, partly)
        except (UndecodableError, ProtocolError, InvalidInput, DefinitionError) as error:
            self.fail_try(failure_of(error))
        body.settle_down()
        if body.abandoned:
            self._pen.give_up(body.take_abandoned())

    # -- errors -------------------------------------------------------------------------------------

    def _erred(self, erred: Erred) -> None:
        """The function failed as a whole; or its code disagrees with history."""
        if self._body.native and erred.flowgen is not None:
            diverged = read_diverged(erred.flowgen)
            if diverged is not None:
                raise NondeterminismError(diverged.step, diverged.recorded, diverged.yields, diverged.where)
        self.fail_try(wire_errors.failure_of(erred.error))

    def fail_try(self, failure: Failure, final: bool = False) -> None:
        """One try of the call failed: there is another, unless it is `final`, or the function has failed."""
        body, pen, step = self._body, self._pen, self._step
        if body.is_ending:
            return
        counted = body.counted(step) + 1
        workflow = body.workflow
        if not (final or self._answer.no_retry) and counted <= workflow.retries:
            delay = self._answer.retry_after
            delay = workflow.backoff.delay(counted, self._luck) if delay is None else delay
            self.try_again(_of_theirs(failure), delay)
            return
        culprit = _culprit(failure, body)
        if culprit is not None:
            body.finish(BodyRaised(failure, culprit))
        else:
            pen.record(StepFailed(pen.at, FUNCTION, failure, step.failures + 1))

    def try_again(self, failure: Failure, delay: int) -> None:
        """The call is made again, and not before the delay is over."""
        pen, step = self._pen, self._step
        self._body.give_back(step)
        pen.record(AttemptFailed(pen.at, step.id, step.failures + 1, failure, pen.at + delay, ""))

    # -- ops ----------------------------------------------------------------------------------------

    def _ops(self, ops: tuple[Op, ...], partly: bool) -> None:
        body = self._body
        before = body.position
        many = sum(op.op not in LAZY for op in ops) > 1
        end: Op | None = None
        for op in sorted(ops, key=lambda op: op.op not in FIRST) if many else ops:
            if op.op in _ENDS:
                end = op
            elif not body.is_ending:
                self._op(op)
        if end is not None and not body.is_ending and not partly:
            self._complete(end)
        if partly:
            body.wanted = False
        if body.is_ending or partly:
            return
        if many and self._planned and body.version >= WAITS_FOR_GROUPS:
            body.group.update(step_id for step_id in self._opened if step_id not in body.racing)
        self._note_fruit(body.position > before)

    def _note_fruit(self, recorded: bool) -> None:
        """Count the answers that told nothing new; too many of them are a failed try."""
        body = self._body
        if recorded or body.fresh:
            body.fruitless = 0 if recorded else body.fruitless + 1
        elif not body.pending:
            body.fruitless += 1
        if body.fruitless > FRUITLESS:
            message = f"{body.fruitless} calls in a row told nothing new: the app neither ends a step nor returns"
            self.fail_try(Failure("NoProgress", message))

    def _op(self, op: Op) -> None:
        asked = read_asked(op.flowgen) if self._body.native and op.flowgen and op.op is not Opcode.NONE else None
        if op.op is Opcode.NONE:
            self._stand(op)
        elif op.op in _DISCOVERS:
            self._body.wanted = True
        elif op.op in _FAILS and op.id == _FUNCTION and op.userland is None:
            failure, _ = _outcome(op, None)
            self.fail_try(failure or Failure("Error", _SILENT), final=op.op is Opcode.STEP_FAILED)
        elif op.op in _SETTLES:
            self._settled(op, asked)
        elif op.op is Opcode.STEP_ERROR:
            self._step_error(op, asked)
        elif op.op in LAZY:
            self._defer(op)
        else:
            self._open(op, asked)
        self._count(op)

    def _count(self, op: Op) -> None:
        """A function that has too many steps has failed."""
        body, most = self._body, self._body.workflow.max_steps
        if len(body.memo.stack) + len(body.pending) > most and not body.is_ending:
            body.finish(BodyRaised(failure_of(too_many_steps(body.workflow.id, most, op.step_id))))

    def _id(self, op: Op, asked: Asked | None) -> str:
        """The id of an op's step. Ours for calls of no step are nobody else's.

        One that says no name means the open step with its hash, if there is one.
        """
        step_id = op.step_id if asked is None else asked.step
        if step_id.startswith(FUNCTION):
            return op.id
        if is_hash(step_id) and step_id not in self._body.pending:
            same = (id for id in self._body.pending if step_hash(id) == step_id and not id.startswith(FUNCTION))
            return next(same, step_id)
        return step_id

    def _settled(self, op: Op, asked: Asked | None) -> None:
        """A step has ended in the app."""
        step_id = self._id(op, asked)
        if self._body.is_over(step_id) or self._is_ours(step_id):
            return
        failure, value = _outcome(op, asked)
        digest, arguments = _fingerprint(op, asked)
        if failure is None:
            self._pen.record(StepSucceeded(self._pen.at, step_id, value, "run", digest, arguments))
            return
        attempts = self._attempt(step_id) if asked is None else asked.attempts
        self._pen.record(StepFailed(self._pen.at, step_id, failure, attempts, "run", digest, arguments))

    def _is_ours(self, step_id: str) -> bool:
        """Whether a step is open that waits for the world. It is not its app's to end: what it holds would be lost."""
        step = self._body.pending.get(step_id)
        return step is not None and step.kind != "run"

    def _attempt(self, step_id: str) -> int:
        """The number of the try of a step that was made in this call."""
        return max(self._body.counted(self._step), self._tries(step_id)) + 1

    def _tries(self, step_id: str) -> int:
        """How often a step is known to have failed."""
        step = self._step if self._step.id == step_id else self._body.pending.get(step_id)
        return step.failures if step is not None else 0

    def _step_error(self, op: Op, asked: Asked | None) -> None:
        """One try of a step failed."""
        body, pen, step_id = self._body, self._pen, self._id(op, asked)
        if body.is_over(step_id) or self._is_ours(step_id):
            return
        failure, _ = _outcome(op, asked)
        failure = failure or Failure("Error", _SILENT)
        digest, arguments = _fingerprint(op, asked)
        attempt = self._attempt(step_id) if asked is None else max(asked.attempts, self._tries(step_id) + 1)
        counted = attempt - body.absence.tries(step_id)
        over = counted > (body.workflow.retries if asked is None else asked.retries)
        if over or (asked is None and self._answer.no_retry):
            pen.record(StepFailed(pen.at, step_id, failure, attempt, "run", digest, arguments))
            return
        backoff = body.workflow.backoff if asked is None or asked.backoff is None else asked.backoff
        delay = self._answer.retry_after if asked is None else asked.retry_after
        delay = backoff.delay(counted, self._luck) if delay is None else delay
        if step_id == self._step.id:
            body.give_back(self._step)
        record = AttemptFailed(pen.at, step_id, attempt, _of_theirs(failure), pen.at + delay, digest, arguments)
        pen.record(record)

    def _open(self, op: Op, asked: Asked | None) -> None:
        """The app plans a step, or asks for one."""
        body, step_id = self._body, self._id(op, asked)
        if body.knows(step_id):
            return
        if asked is not None and asked.command is None:
            body.plan(step_id, asked.arguments, asked.digest)
            self._planned = True
        elif asked is not None:
            body.ask(step_id, asked.command, asked.kind, asked.arguments, asked.digest)
            if not isinstance(asked.seen, msgspec.UnsetType):
                body.looks_back(step_id, asked.seen)
            self._planned = self._planned or isinstance(asked.command, SendEvent | SendSignal)
        elif op.op is Opcode.STEP_PLANNED:
            body.plan(step_id, _fingerprint(op, None)[1])
            self._planned = True
        elif not self._ask(op, step_id):
            return
        self._opened.append(step_id)
        if op.races:
            body.racing.add(step_id)

    def _defer(self, op: Op) -> None:
        """The app defers a function, or takes that back. What cannot be deferred is passed over, as elsewhere."""
        body, pen = self._body, self._pen
        try:
            asked = terms_of(op, pen.at)
            if isinstance(asked, Undefer):
                body.defers.pop(asked.hash, None)
            elif isinstance(asked, Defer) and len(body.defers) < MOST_DEFERS:
                body.defers.setdefault(op.id, deferred(asked, body.remote.slug, body.row.id, pen.facts.table))
        except (InvalidInput, DefinitionError, ProtocolError) as error:
            log.warning("run %s: %s", body.row.id, error)

    def _ask(self, op: Op, step_id: str) -> bool:
        """Open what the app asks for; False if it is refused, which is the step's failure."""
        body, pen = self._body, self._pen
        try:
            asked = terms_of(op, pen.at)
            command: Any
            if isinstance(asked, Fetch | Infer):
                command = fetching(asked)
            elif asked is None:
                raise InvalidInput(f"{op.op.value} asks for nothing")
            else:
                command = command_for(asked, pen.owned.events[-1], pen.facts.table)
        except (InvalidInput, DefinitionError, ProtocolError) as error:
            pen.record(StepFailed(pen.at, step_id, failure_of(error), 1, "run"))
            return False
        body.ask(step_id, command, command.kind, preview(command.arguments()))
        return True

    # -- apps of ours -------------------------------------------------------------------------------

    def _stand(self, op: Op) -> None:
        """An app of ours begins its answer with where its body stands."""
        if self._body.native and op.flowgen:
            standing = read_standing(op.flowgen)
            self._body.stand(standing.open, standing.cleaning, self._calling.known)
            self._body.telling.heard = max(self._body.telling.heard or 0, self._calling.known)

    def _complete(self, op: Op) -> None:
        """The body has ended."""
        body = self._body
        if body.native and op.flowgen:
            end, seen = read_end(op.flowgen), read_seen(op.flowgen)
            if seen is not None:
                body.has_seen(seen)
            body.finish(end)
        else:
            body.finish(BodyReturned(op.data if op.data is not None else NULL))


def _of_theirs(failure: Failure) -> Failure:
    """A failure that an app tells of: it has answered, whatever it says."""
    return attrs.evolve(failure, type="Error") if failure.type == APP_AWAY else failure


def _outcome(op: Op, asked: Asked | None) -> tuple[Failure | None, Json]:
    """What a step came to: its failure, or its value."""
    if asked is not None:
        value = asked.value if asked.value is not None else NULL
        return (asked.failure if op.op is not Opcode.STEP_RUN else None), value
    if op.op in (Opcode.STEP_FAILED, Opcode.STEP_ERROR):
        return wire_errors.failure_of(op.error or UserError("Error", "the step did not say why it failed")), NULL
    value = op.data if op.data is not None else NULL
    if op.op is Opcode.STEP:
        return _unwrapped(value)
    return None, value


def _unwrapped(data: Json) -> tuple[Failure | None, Json]:
    """What an old SDK reports: a value or an error that is wrapped already."""
    wrapped: Any = decode(data)
    if isinstance(wrapped, dict) and "error" in wrapped and wrapped["error"] is not None:
        return wire_errors.failure_of(wire_errors.read_error(wrapped["error"])), NULL
    return None, encoded(wrapped["data"]) if isinstance(wrapped, dict) and "data" in wrapped else data


def _fingerprint(op: Op, asked: Asked | None) -> tuple[str, Json]:
    """The digest of a step, if it has one, and what can be shown of its arguments."""
    if asked is not None:
        return asked.digest, asked.arguments
    given = op.opts.get("input")
    return "", NULL if given is None else preview(Json(msgspec.json.encode(given)))


def _culprit(failure: Failure, body: RemoteBody) -> str | None:
    """The step whose uncaught failure a function's failure is: then a retry begins there."""
    for step_id, record in reversed(body.failed.items()):
        if record.failure.message == failure.message and failure.message:
            return step_id
    return None
