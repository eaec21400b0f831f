"""What a call says of a run → the run's interpreter, rebuilt: the memory of a server that keeps none.

There are two forms of memory.

* A **flowgen server** tells our history (`native`): the interpreter is fed the very records that a local one would be,
  so times, random numbers, divergence and clean-up are the same.
* **Any other server** tells a memo (results by hash) and a stack (the order in which steps ended). The records are made
  of those: each hash is the outcome of the open step that has it. What the protocol does not carry falls back: all
  records have the time at which the run was created, and `ctx.random` is seeded by the id of the run.

Rules
-----
* A hash in the stack that the code has not asked for yet is kept until it does. One that was given up (the loser of a
  race goes on elsewhere, and ends) counts for nothing. What is left then is a divergence, unless the workflow is
  additive: the code does not know that step any more.
* A record of a step that was given up before it counts for nothing either: a server learns what was given up only
  with the answer to its next discovery.
* A memo that no longer fits its annotation is the failure of its step, as it is where a step has just ended.

Pure: a call in, an interpreter out. Whoever rebuilds it closes it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec

from ...context import Context
from ...divergence import now_yields, text_of
from ...duration import MILLISECOND
from ...errors import NondeterminismError, UndecodableError
from ...events import INVOKED, AcceptedEvent, restore
from ...history import (
    STEP_RECORDS,
    AttemptFailed,
    CleanupExpired,
    Record,
    Retried,
    Started,
    StepFailed,
    StepSucceeded,
    effective,
)
from ...ids import is_id, seed_of, time_of
from ...interpreter import Interpreter
from ...outcome import NULL, Failure, Json, failure_of
from ...tree import Step
from ...values import decode
from ...workflow import Workflow
from ..protocol import native
from ..protocol.calls import Call
from ..protocol.errors import APP_AWAY, UserError, read_error
from ..protocol.errors import failure_of as failure_on_the_wire
from ..protocol.events import from_wire
from ..protocol.memo import INVOKE_TIMEOUT
from ..protocol.reading import BadRequest, encoded, shown
from ..protocol.steps import step_hash

FUNCTION: Final = "(function)"
"""What the ids of a server's calls begin with: their failed tries are in the history, too."""

ATTEMPTS: Final = "attempts"
"""In the `data` of a failed step's error: how many times its body was tried. The protocol itself does not say."""

_FAILED: Final = (AttemptFailed, StepFailed)

_EARLIEST: Final = 315_532_800_000_000
_LATEST: Final = 4_102_444_800_000_000
"""1980 and 2100 in microseconds: an id that means another time means none."""

_ENCODE: Final = msgspec.json.Encoder().encode


@attrs.define(eq=False)
class Recalled:
    """A run as a call tells it. `native` says in which form, `app` whose it is.

    `tries` and `most_tries` are those of the step that the call is about, where the server counts them; our history has
    them for each step. `left_behind` says that steps which were given up still go on at the server.
    """

    workflow: Workflow[Any, Any]
    interpreter: Interpreter
    run_id: str
    native: bool
    tries: int = 0
    most_tries: int | None = None
    left_behind: bool = False

    def open_step(self, hash: str) -> Step | None:
        """The open step with that hash."""
        return next((step for step in self.interpreter.pending.values() if step_hash(step.id) == hash), None)

    def was_asked(self, hash: str) -> bool:
        """Whether the code has ever asked for a step with that hash, whatever has become of it."""
        return any(step_hash(id) == hash for id in self.interpreter.asked())

    def close(self) -> None:
        """Drop the body."""
        self.interpreter.close()


def recall(workflow: Workflow[Any, Any], call: Call) -> Recalled:
    """The run that a call is about, as far as it has come.

    Raises `NondeterminismError` if the code disagrees with what has happened, `UndecodableError` if the event of a run
    that has just begun does not fit its class, and `BadRequest` for a call that cannot be.
    """
    if call.flowgen is None:
        return _from_memo(workflow, call)
    try:
        told = native.read_told(call.flowgen)
    except UndecodableError as error:
        raise BadRequest("flowgen", str(error)) from None
    return _from_history(workflow, told)


def _interpreter(
    workflow: Workflow[Any, Any], events: Sequence[AcceptedEvent], run_id: str, seed: int, clock: int
) -> Interpreter:
    restored = [restore(event, workflow.class_of(event.name)) for event in events]
    return Interpreter(workflow, Context(restored, run_id=run_id, workflow_id=workflow.id, seed=seed, clock=clock))


# -- our history -----------------------------------------------------------------------------------


def _from_history(workflow: Workflow[Any, Any], told: native.Told) -> Recalled:
    row, records = told.row, told.records
    if (row.app, row.workflow) != (workflow.app, workflow.id):
        raise BadRequest("flowgen.run", f"is of {row.app}/{row.workflow}, and this is {workflow.app}/{workflow.id}")
    if not records:
        raise BadRequest("flowgen.run", "has no records: a run that has not begun asks for nothing")
    if [position for position, record in enumerate(records) if isinstance(record, Started)] != [0]:
        raise BadRequest("flowgen.run", "is no history: it begins with the record that it has started, and has one")
    try:
        return Recalled(workflow, _replayed(workflow, told, late=False), row.id, native=True)
    except NondeterminismError:
        return Recalled(workflow, _replayed(workflow, told, late=True), row.id, native=True)


def replay_body(interpreter: Interpreter, records: Sequence[Record]) -> None:
    """Fold the history of a run that was driven from elsewhere, as its code is told it, in silence."""
    _replay(interpreter, records, len(records))


def replay_in_time(interpreter: Interpreter, records: Sequence[Record]) -> None:
    """The same, less what came too late: what an app tries that cannot replay all of a history."""
    _feed_in_time(interpreter, _of_the_body(records))


def is_of_elsewhere(records: Sequence[Record]) -> bool:
    """Whether a history says by itself that its run was driven from elsewhere: a call failed. Not all do."""
    return any(map(_is_of_a_call, records))


def _replayed(workflow: Workflow[Any, Any], told: native.Told, *, late: bool) -> Interpreter:
    """An interpreter that was fed a history; with `late`, all of it but what is told of steps that were given up."""
    row, records = told.row, told.records
    try:
        interpreter = _interpreter(workflow, told.events, row.id, row.seed, row.created_at)
    except UndecodableError as error:
        if len(records) <= 1:
            raise
        raise NondeterminismError("(event)", "the event that started it", str(error)) from error
    interpreter.inherit(row.since)
    try:
        if late:
            _feed_in_time(interpreter, _of_the_body(records))
        else:
            _replay(interpreter, records, told.heard)
    except BaseException:
        interpreter.close()
        raise
    return interpreter


def _replay(interpreter: Interpreter, records: Sequence[Record], heard: int | None) -> None:
    """Fold a history: in silence as far as somebody has heard it."""
    heard = len(records) - 1 if heard is None else heard
    if any(map(_is_odd, records)):
        for position, record in _of_the_body(records):
            interpreter.context._replaying = position < heard
            interpreter.position = position
            _feed(interpreter, record)
        interpreter.context._replaying = False
        return
    interpreter.replay(records[:heard])
    for record in records[heard:]:
        _feed(interpreter, record)


def _of_the_body(records: Sequence[Record]) -> list[tuple[int, Record]]:
    """The records that a body is fed with, with their positions: not those of the server's calls.

    Tries that reached nobody are numbered like others there; here those that a body has made are counted.
    """
    found: list[tuple[int, Record]] = []
    absent: dict[str, int] = {}
    for position, record in effective(records):
        if isinstance(record, AttemptFailed):
            before = absent[record.step] = 0 if record.attempt == 1 else absent.get(record.step, 0)
            if record.failure.type == APP_AWAY:
                absent[record.step] = before + 1
            elif before:
                record = attrs.evolve(record, attempt=record.attempt - before)
        if not _is_of_a_call(record):
            found.append((position, record))
    return found


def _is_odd(record: Record) -> bool:
    return isinstance(record, Retried) or _is_of_a_call(record)


def _is_of_a_call(record: Record) -> bool:
    """Whether a record says that the function itself could not be called: no step of the body's."""
    if isinstance(record, AttemptFailed) and record.failure.type == APP_AWAY:
        return True
    return isinstance(record, _FAILED) and record.step.startswith(FUNCTION)


def _feed_in_time(interpreter: Interpreter, history: Iterable[tuple[int, Record]]) -> None:
    """Fold a history, less what came too late: what is told of a step, or a scope, that was given up before.

    A server learns what was given up with the answer to its next discovery. Until then it records what comes of that.
    """
    interpreter.context._replaying = True
    for position, record in history:
        interpreter.position = position
        if not is_late(interpreter, record):
            _feed(interpreter, record)
    interpreter.context._replaying = False


def is_late(interpreter: Interpreter, record: Record) -> bool:
    """Whether a record tells of a step, or a scope, that the code has given up."""
    if isinstance(record, STEP_RECORDS):
        return record.step not in interpreter.pending and record.step in interpreter.asked()
    return isinstance(record, CleanupExpired) and record.scope not in interpreter.cleaning


def _feed(interpreter: Interpreter, record: Record) -> None:
    try:
        interpreter.feed(record)
    except UndecodableError as error:
        step = getattr(record, "step", "(end)")
        raise NondeterminismError(step, "a value that was recorded", str(error)) from error


# -- a memo and a stack ----------------------------------------------------------------------------


def _from_memo(workflow: Workflow[Any, Any], call: Call) -> Recalled:
    at = _begun_at(call)
    events = [_event(document, at, f"events[{number}]", workflow.app) for number, document in enumerate(call.events)]
    if not events:
        raise BadRequest("events", "is empty: a run has an event")
    interpreter = _interpreter(workflow, events, call.run_id, seed_of(call.run_id), at)
    interpreter.context._replaying = bool(call.stack)
    try:
        _Stack(interpreter, call.steps, at).fold(call.stack)
    except BaseException:
        interpreter.close()
        raise
    left_behind = _left_behind(interpreter, call)
    return Recalled(workflow, interpreter, call.run_id, False, call.attempt, call.max_attempts, left_behind)


def _left_behind(interpreter: Interpreter, call: Call) -> bool:
    """Whether steps were asked for that are neither open nor over."""
    pending = interpreter.pending
    return any(id not in pending and step_hash(id) not in call.steps for id in interpreter.asked())


class _Stack:
    """Feeds an interpreter with the outcomes that a memo has, in the order of a stack."""

    def __init__(self, interpreter: Interpreter, memo: Mapping[str, Any], at: int) -> None:
        self._interpreter = interpreter
        self._memo = memo
        self._at = at
        self._steps: dict[str, Step] = {}
        self._unmet: list[str] = []

    def fold(self, stack: Iterable[str]) -> None:
        """Feed the outcomes of a whole stack. Only with its last one does the body say what nobody has heard."""
        ended = [hash for hash in dict.fromkeys(stack) if hash in self._memo]
        self._feed(Started(self._at, ""))
        for number, hash in enumerate(ended, 1):
            self._interpreter.context._replaying = number < len(ended)
            self._unmet.append(hash)
            while (step := self._next()) is not None:
                self._end(step)
        self._interpreter.context._replaying = False
        self._settle_unmet()

    def _feed(self, record: Record) -> None:
        self._interpreter.feed(record)
        for step in self._interpreter.take_fresh():
            self._steps[step_hash(step.id)] = step

    def _next(self) -> Step | None:
        """The step whose outcome comes next: the first of those that ended that is open."""
        pending = self._interpreter.pending
        for hash in self._unmet:
            step = self._steps.get(hash)
            if step is not None and pending.get(step.id) is step:
                self._unmet.remove(hash)
                return step
        return None

    def _end(self, step: Step) -> None:
        outcome = outcome_in(self._memo[step_hash(step.id)], step, self._at)
        unfit = misfit(step, outcome.value) if isinstance(outcome, StepSucceeded) else None
        self._feed(outcome if unfit is None else StepFailed(self._at, step.id, unfit, 1, step.kind, step.digest))

    def _settle_unmet(self) -> None:
        """What ended and was never waited for: fine if it was given up before."""
        interpreter = self._interpreter
        if not self._unmet or interpreter.workflow.changes == "additive":
            return
        asked = {step_hash(id) for id in interpreter.asked()}
        for hash in self._unmet:
            if hash not in asked:
                history_has = f"a step with the hash {hash}, which is that of no step of the code"
                raise NondeterminismError(
                    hash, history_has, now_yields(interpreter.end, list(interpreter.pending.values()))
                )


def misfit(step: Step, value: Json) -> Failure | None:
    """Why a value cannot be what its step comes back with, by the annotation that restores it; None if it can."""
    try:
        step.reader(value)
    except UndecodableError as error:
        return failure_of(error)
    except Exception as error:  # whatever a user's class makes of it
        told = UndecodableError(f"the value {text_of(value)} of step {step.id!r} could not be restored: {error!r}")
        return failure_of(told)
    return None


def outcome_in(memo: Any, step: Step, at: int) -> StepSucceeded | StepFailed:
    """The outcome that the memo of a step means."""
    if isinstance(memo, dict) and step.kind != "wait" and isinstance(memo.get("error"), dict):
        error = read_error(memo["error"])
        return StepFailed(at, step.id, _failure(error, step), _attempts(error), step.kind, step.digest)
    value = _value(memo, step)
    if step.kind == "run":
        return StepSucceeded(at, step.id, value, "run", step.digest, step.arguments)
    return StepSucceeded(at, step.id, value, step.kind)


def _value(memo: Any, step: Step) -> Json:
    if step.kind == "sleep" or memo is None:
        return NULL
    if step.kind == "wait":
        return Json(_ENCODE(_event(memo, 0, f"the event of step {step.id!r}")))
    if not isinstance(memo, dict) or "data" not in memo:
        return encoded(memo)
    data = memo["data"]
    if step.kind == "signal" and isinstance(data, dict) and "signal" in data:
        return encoded(data.get("data"))
    return encoded(data)


def _failure(error: UserError, step: Step) -> Failure:
    failure = failure_on_the_wire(error)
    if step.kind == "invoke" and error.name == INVOKE_TIMEOUT.name:
        return attrs.evolve(failure, type="InvokeTimeout")
    return failure


def _attempts(error: UserError) -> int:
    data = decode(error.data) if error.data is not None else None
    attempts = data.get(ATTEMPTS) if isinstance(data, dict) else None
    return attempts if isinstance(attempts, int) and not isinstance(attempts, bool) and attempts > 0 else 1


def _event(document: Any, at: int, place: str, app: str = "") -> AcceptedEvent:
    event = from_wire(document, at, place, BadRequest, app=app)
    if event.name != INVOKED:
        return event
    data = {key: value for key, value in decode(event.data).items() if key != "_inngest"}
    return attrs.evolve(event, data=encoded(data))


def _begun_at(call: Call) -> int:
    """When a run was created: its id says so, or else its event does. One time for all calls of a run."""
    if is_id(call.run_id):
        at = time_of(call.run_id)
        if _EARLIEST <= at <= _LATEST:
            return at
    first = call.events[0] if call.events else None
    ts = first.get("ts") if isinstance(first, dict) else None
    if isinstance(ts, int | float) and not isinstance(ts, bool) and _EARLIEST <= ts * MILLISECOND <= _LATEST:
        return int(ts) * MILLISECOND
    raise BadRequest("ctx.run_id", f"{shown(call.run_id)} says no time, and neither does the event's ts")
