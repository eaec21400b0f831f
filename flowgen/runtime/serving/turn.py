"""One call, one turn: what an app does next, as a function of what it is told.

    (workflow, call, the step it is aimed at)  →  answer at once, or execute one body and answer with what came of it

Rules
-----
* At most one body is executed in a turn. It is the step that the call is aimed at; or, where a call is aimed at none,
  the only open step, if that is one to execute and the server has not asked for a plan.
* A branch's clean-up is planned, never executed where a call is aimed at no step: the server is to know of its time
  before its body runs, and that a cancel does not stop it.
* Everything else that is open is reported, and left alone.
* What a workflow logs is heard where a run is discovered, and nowhere else: calls that are aimed at its steps replay.
* A call that comes twice, or too late, changes nothing: a step that is over or was given up is answered with no op.
* Whatever goes wrong is an answer, too. Code that disagrees with history is an error that may be tried again, by other
  code; a body that has raised is not tried again, because it would raise again.

Pure. Refuses to know how a body is executed, and what HTTP is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from ...context import LogLine
from ...ends import BodyRaised
from ...errors import NondeterminismError, UndecodableError
from ...fibers import AT_ONCE
from ...outcome import Failure, Outcome, Returned, failure_of
from ...retry import Backoff
from ...tree import Step
from ...workflow import Workflow
from ..protocol import native
from ..protocol.calls import Answer, Call, Erred, Ops
from ..protocol.errors import UserError, error_of
from ..protocol.ops import Op, Opcode
from ..protocol.reading import encoded
from ..protocol.steps import DISCOVERY
from .asking import asking_op, base_op, ending, standing
from .recall import ATTEMPTS, Recalled, misfit, recall


@attrs.define(eq=False)
class Execute:
    """The body of `step` is to be executed: the answer is `came_to` of what it came to. `attempt` counts from 1.

    `lines` are what the workflow has logged and nobody has heard.
    """

    recalled: Recalled
    step: Step
    attempt: int
    before: tuple[Op, ...] = ()
    lines: Sequence[LogLine] = ()


@attrs.define(eq=False)
class Say:
    """The answer is known at once."""

    answer: Answer
    lines: Sequence[LogLine] = ()


def turn(workflow: Workflow[Any, Any], call: Call, target: str = DISCOVERY) -> Execute | Say:
    """What to do about a call; `target` is the hash of the step that it is aimed at, or `DISCOVERY`.

    Raises `BadRequest` for a call that cannot be. The recalled run of an `Execute` is to be closed by the caller.
    """
    native_form = call.flowgen is not None
    try:
        recalled = recall(workflow, call)
    except NondeterminismError as error:
        return Say(_diverged(error, native_form))
    except UndecodableError as error:
        return Say(ending(BodyRaised(failure_of(error)), native_form=native_form))
    discovers = target == DISCOVERY
    answer = _discover(recalled, call) if discovers else _aim(recalled, target)
    lines = recalled.interpreter.context.take_lines() if discovers else ()
    if isinstance(answer, Execute):
        answer.lines = lines
        return answer
    recalled.close()
    return Say(answer, lines)


def _discover(recalled: Recalled, call: Call) -> Execute | Answer:
    interpreter, native_form = recalled.interpreter, recalled.native
    if interpreter.end is not None:
        return ending(interpreter.end, native_form=native_form, seen=interpreter.seen())
    before = (standing(interpreter),) if native_form else ()
    steps = list(interpreter.pending.values())
    if len(steps) == 1 and _is_executed_here(recalled, steps[0]) and not _is_to_plan(recalled, call):
        return _execute(recalled, steps[0], before)
    asked = _fresh(steps) if native_form else steps
    return Answer(Ops((*before, *(asking_op(step, recalled) for step in asked))))


def _is_to_plan(recalled: Recalled, call: Call) -> bool:
    """Whether nothing is to be executed: the server says so, or it is to hear of a branch that cleans up."""
    return call.disable_immediate_execution or (recalled.native and any(recalled.interpreter.cleaning))


def _fresh(steps: Iterable[Step]) -> Iterator[Step]:
    """The open steps that our history does not know of, up to the first that is over as soon as the server knows it.

    With what it sends the body goes on, and may give up what is open beside it.
    """
    for step in steps:
        if step.terms is None:
            yield step
            if step.kind in AT_ONCE:
                return


def _aim(recalled: Recalled, target: str) -> Execute | Answer:
    step = recalled.open_step(target)
    if step is None:
        return Answer(Ops(() if recalled.was_asked(target) else (Op(Opcode.STEP_NOT_FOUND, target),)))
    if not _is_executed_here(recalled, step):
        return Answer(Ops((asking_op(step, recalled),)))
    return _execute(recalled, step, ())


def _is_executed_here(recalled: Recalled, step: Step) -> bool:
    """Whether the app does it. A flowgen server sends events and signals itself, with the step's commit."""
    return step.kind == "run" or (not recalled.native and step.kind in AT_ONCE)


def _execute(recalled: Recalled, step: Step, before: tuple[Op, ...]) -> Execute:
    if not recalled.native:
        step.failures = recalled.tries
    return Execute(recalled, step, step.failures + 1, before)


def _diverged(error: NondeterminismError, native_form: bool) -> Answer:
    diverged = native.Diverged(error.step_id, error.recorded, error.yields, error.where)
    member = native.diverged_member(diverged) if native_form else None
    return Answer(Erred(UserError(type(error).__name__, str(error)), member))


# -- what came of a body ---------------------------------------------------------------------------


def came_to(execute: Execute, outcome: Outcome, luck: float) -> Answer:
    """The answer that tells what the body of a step came to. `luck` in [0, 1) is the jitter of its back-off."""
    recalled, step = execute.recalled, execute.step
    if isinstance(outcome, Returned) and step.kind == "run":
        unfit = misfit(step, outcome.data)
        if unfit is not None:
            return _answer(execute, _failed_op(execute, unfit))
    if isinstance(outcome, Returned):
        member = native.returned_member(step, recalled.workflow, outcome.data) if recalled.native else None
        op = base_op(Opcode.STEP_RUN, step, recalled, member)
        op.data = None if recalled.native else outcome.data
        return _answer(execute, op)
    if not outcome.retriable or execute.attempt > _retries(recalled, step):
        return _answer(execute, _failed_op(execute, outcome.failure))
    delay = outcome.retry_after
    op = _raised_op(Opcode.STEP_ERROR, execute, outcome.failure, delay)
    if delay is None and not recalled.native:
        delay = _backoff(recalled, step).delay(execute.attempt, luck)
    return _answer(execute, op, delay)


def _backoff(recalled: Recalled, step: Step) -> Backoff:
    """How long to wait before a step is tried again, where its server does not know."""
    own: Backoff | None = step.command.backoff if step.kind == "run" else None
    return own or recalled.workflow.backoff


def _answer(execute: Execute, op: Op, retry_after: int | None = None) -> Answer:
    return Answer(Ops((*execute.before, op)), retry_after=retry_after)


def _failed_op(execute: Execute, failure: Failure) -> Op:
    return _raised_op(Opcode.STEP_FAILED, execute, failure, None)


def _raised_op(code: Opcode, execute: Execute, failure: Failure, retry_after: int | None) -> Op:
    recalled, step, attempt = execute.recalled, execute.step, execute.attempt
    if recalled.native:
        member = native.raised_member(step, recalled.workflow, failure, attempt, retry_after)
        op = base_op(code, step, recalled, member)
        op.error = UserError(failure.type, failure.message)
        return op
    op = base_op(code, step, recalled)
    op.error = attrs.evolve(error_of(failure), data=encoded({ATTEMPTS: attempt}))
    return op


def _retries(recalled: Recalled, step: Step) -> int:
    """How often a step is tried again: as it says itself, but no more often than its server does."""
    own = step.command.retries if step.kind == "run" else None
    retries: int = recalled.workflow.retries if own is None else own
    if recalled.native or recalled.most_tries is None:
        return retries
    return min(retries, recalled.most_tries - 1)
