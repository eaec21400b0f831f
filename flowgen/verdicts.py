"""What becomes of a recorded run on today's code: the same, something safe, or it breaks.

`judge` feeds a history to the code, as an engine does that takes the run over, and compares what the code
then does with what the run was doing.

=========  ========================================================================================
`Same`     the code asks for just what is recorded, and waits for just that, or ends just so
`Safe`     nothing that is recorded disagrees, but the code does something else beyond it, or (with
           `changes="additive"`) beside it
`Breaks`   an engine would park the run, fail it at once, or have no code for it
=========  ========================================================================================

Rules
-----
* **The terminal record is no step.** No run that is open has one; so that an ended run would go on, or return
  something else, on today's code is safe: only what other runs may still come to can break.
* **A body that raises where the history goes on, or where the run returned, breaks**, though no engine would park
  such a run: it would fail.
* A body step that was asked for leaves no record before its first outcome. Where history cannot tell, it is the same.
* `cause` is what runs that break for one reason have in common: it holds no values, and no numbers of occurrences.

Pure. Refuses to know where histories come from, which of them are worth a look, and how a report is made.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from hashlib import blake2b
from typing import Any, Protocol

import attrs

from .context import Context
from .divergence import kind_of, line_of, now_yields, yielded
from .ends import BodyCancelled, BodyEnd, BodyRaised, BodyRestarted, BodyReturned
from .errors import FlowgenError, NondeterminismError, UndecodableError
from .events import AcceptedEvent, restore
from .history import ENDS, EndCancelled, EndCompleted, EndFailed, Record, Started, StepRecord
from .interpreter import Interpreter
from .runs import RunRow
from .tree import Step
from .workflow import Workflow


class RecordedRun(Protocol):
    """A run with its events and its history: what a store loads, and an export holds."""

    @property
    def row(self) -> RunRow: ...
    @property
    def events(self) -> tuple[AcceptedEvent, ...]: ...
    @property
    def records(self) -> Sequence[Record]: ...


@attrs.frozen
class Same:
    """Nothing differs that a history can tell."""


@attrs.frozen
class Safe:
    """Nothing that is recorded disagrees; `why` says what differs beyond."""

    why: str


@attrs.frozen
class Breaks:
    """The run cannot go on with this code from `step`: there the history has `recorded`, and the code `yields`.

    `where` is the line of the code, if it stands at one.
    """

    step: str
    recorded: str
    yields: str
    cause: str
    where: str = ""


Verdict = Same | Safe | Breaks


@attrs.frozen
class Judgement:
    """A verdict; and what the code asks for after all that is recorded, as text and as a digest of all of it."""

    verdict: Verdict
    asks: str = ""
    state: str = ""


def interpreter_of(workflow: Workflow[Any, Any], run: RecordedRun) -> Interpreter:
    """The code of a run, fed nothing yet. Raises `UndecodableError` if it cannot read the run's events."""
    row = run.row
    restored = [restore(event, workflow.class_of(event.name)) for event in run.events]
    context = Context(restored, run_id=row.id, workflow_id=row.workflow, seed=row.seed, clock=row.created_at)
    interpreter = Interpreter(workflow, context)
    interpreter.inherit(row.since)
    return interpreter


Replay = Callable[[Interpreter, Sequence[Record]], None]
"""How a history, less its terminal record, is fed to an interpreter that was fed nothing."""


def judge(
    workflow: Workflow[Any, Any] | None, run: RecordedRun, replays: Sequence[Replay] = (Interpreter.replay,)
) -> Judgement:
    """What becomes of a run on this code; None says that nobody has code for its workflow any more.

    `replays` are the ways in which an engine would try to replay it, one after the other; the first that does not
    break it counts.
    """
    if workflow is None:
        return Judgement(_removed(run))
    if workflow.declared is not None:  # what its app does nobody here can say
        return Judgement(Same())
    judgement = _judge(workflow, run, replays)
    if workflow.changes == "additive" and judgement.verdict == Same():
        strictly = _judge(attrs.evolve(workflow, changes="strict"), run, replays).verdict
        if isinstance(strictly, Breaks):
            return attrs.evolve(judgement, verdict=Safe(f"additive changes allow that {strictly.cause}"))
    return judgement


def damaged(run: str, error: Exception) -> Judgement:
    """Of a history that nobody can read: no code can go on with it."""
    return Judgement(Breaks("(history)", f"run {run} cannot be read: {error}", "", "the history is damaged"))


def _removed(run: RecordedRun) -> Verdict:
    row = run.row
    if not row.open or (row.unread_cancel and not run.records):
        return Same()
    cause = f"there is no workflow {row.workflow!r} any more"
    return Breaks("(workflow)", f"a run of {row.workflow!r}", "no such workflow", cause)


def _judge(workflow: Workflow[Any, Any], run: RecordedRun, replays: Sequence[Replay]) -> Judgement:
    """The judgement of the first replay that the code does not break, or of the first."""
    if not run.events:  # it still collects them
        return Judgement(Same())
    first = _judge_by(replays[0], workflow, run)
    if not isinstance(first.verdict, Breaks):
        return first
    others = (_judge_by(replay, workflow, run) for replay in replays[1:])
    return next((other for other in others if not isinstance(other.verdict, Breaks)), first)


def _judge_by(replay: Replay, workflow: Workflow[Any, Any], run: RecordedRun) -> Judgement:
    try:
        interpreter = interpreter_of(workflow, run)
    except UndecodableError as error:
        if _never_fitted(run):
            return Judgement(Same())
        names = ", ".join(sorted({event.name for event in run.events}))
        return Judgement(Breaks("(event)", f"event {names}", str(error), "its event does not fit its class any more"))
    records = run.records
    end = records[-1] if records and isinstance(records[-1], ENDS) else None
    try:
        replay(interpreter, records[:-1] if end is not None else records)
        return Judgement(_after(interpreter, run, end), _asks(interpreter), _state(interpreter))
    except NondeterminismError as error:
        return Judgement(_breaks(error, interpreter, records))
    except FlowgenError as error:
        return damaged(run.row.id, error)
    finally:
        interpreter.close()


def _never_fitted(run: RecordedRun) -> bool:
    """Whether the run failed by its event, before it did anything: whoever sent that is to blame, and no code."""
    match run.records:
        case [EndFailed(failure=failure)] | [Started(), EndFailed(failure=failure)]:
            return failure.type == UndecodableError.__name__
        case _:
            return False


# -- nothing that is recorded disagrees ------------------------------------------------------------


def _after(interpreter: Interpreter, run: RecordedRun, end: Record | None) -> Verdict:
    """The verdict once all but the terminal record is fed."""
    if isinstance(interpreter.end, BodyRaised) and not isinstance(end, EndFailed):
        return _raises(interpreter.end, end)
    why = _differs_open(interpreter, run) if end is None else _differs_ended(interpreter, end)
    return Same() if why is None else Safe(why)


def _differs_open(interpreter: Interpreter, run: RecordedRun) -> str | None:
    """What the code does other than wait for what the run waits for."""
    if interpreter.end is not None:
        return f"the code {_ending(interpreter.end)} here, and the run went on"
    if run.row.started_at is None:
        return None
    fresh = [step for step in interpreter.pending.values() if _is_new(step, interpreter, run.row)]
    return f"the code asks for more: {', '.join(_base(step.id) for step in fresh)}" if fresh else None


def _is_new(step: Step, interpreter: Interpreter, row: RunRow) -> bool:
    """Whether the run had certainly not asked for this step."""
    if step.kind != "run":
        return step.terms is None
    rests = row.owner is None and row.stored == "open" and not row.wants and row.mail == row.drained
    return rests and step.retry_at is None and row.due_at == interpreter.next_deadline()


def _differs_ended(interpreter: Interpreter, end: Record) -> str | None:
    """What the code does other than end as the run did. What ended it from outside says nothing of the code."""
    match end, interpreter.end:
        case EndCancelled(), _:
            return None
        case EndCompleted(restarted_as=None, result=recorded), BodyReturned(data):
            return None if bytes(recorded) == bytes(data) else "the code returns something else"
        case EndCompleted(restarted_as=str()), BodyRestarted():
            return None
        case EndFailed(failure=failure), BodyRaised(raised):
            return None if failure.type == raised.type else f"the code raises {raised.type}, the run {failure.type}"
        case EndFailed(failure=failure), None if failure.type == "WorkerLost":
            return None
        case _, None:
            some = ", ".join(_base(step) for step in interpreter.pending)
            return f"the code goes on where the run ended: {some or 'it does nothing yet'}"
        case _, ended:
            return f"the code {_ending(ended)}, and the run did not"


def _ending(end: BodyEnd) -> str:
    match end:
        case BodyReturned():
            return "returns"
        case BodyRestarted():
            return "restarts"
        case BodyRaised(failure):
            return f"raises {failure.type}"
        case BodyCancelled():
            return "ends, cancelled,"


def _raises(raised: BodyRaised, end: Record | None) -> Breaks:
    ended = {EndCompleted: "the run completed", EndCancelled: "the run ended, cancelled"}
    history_has = "the run goes on" if end is None else ended[type(end)]
    frames = re.findall(r'File "(.+)", line (\d+), in (\S+)', raised.failure.trace)
    where = "{}:{}, in {}".format(*frames[-1]) if frames else ""
    yields = now_yields(raised, ())
    return Breaks(raised.step or "(body)", history_has, yields, f"the body raises {raised.failure.type}", where)


# -- something disagrees ---------------------------------------------------------------------------


def _breaks(error: NondeterminismError, interpreter: Interpreter, records: Sequence[Record]) -> Breaks:
    cause = _cause(error, interpreter, records)
    return Breaks(error.step_id, error.recorded, error.yields, cause, error.where)


def _cause(error: NondeterminismError, interpreter: Interpreter, records: Sequence[Record]) -> str:
    name = _base(error.step_id)
    step = interpreter.pending.get(error.step_id)
    of_steps = [record for record in records if isinstance(record, StepRecord)]
    if step is not None:
        recorded_kind = next(kind_of(record) for record in of_steps if record.step == step.id)
        return _cause_at(step, recorded_kind, name, error)
    if interpreter.end is not None:
        return f"the code {_ending(interpreter.end)} before step {name!r}"
    known = {_base(record.step) for record in of_steps}
    asked = list(dict.fromkeys(_base(step) for step in interpreter.pending))
    added = [step for step in asked if step not in known]
    if added:
        return f"the code asks for {_some(added)} where the history has {name!r}"
    return f"the code does not ask for {name!r} there" + (f", but for {_some(asked)}" if asked else "")


def _cause_at(step: Step, recorded_kind: str, name: str, error: NondeterminismError) -> str:
    """The step is asked for, but it is not the one that is recorded."""
    if recorded_kind != step.kind:
        return f"{name!r} was a {recorded_kind} step and is a {step.kind} step"
    if error.yields != yielded(step):
        return f"the recorded value of {name!r} does not fit its type any more"
    return f"{name!r} has other arguments"


def _some(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _base(step_id: str) -> str:
    """A step's id without the numbers of occurrences."""
    return re.sub(r":\d+", "", step_id)


# -- what the code asks for ------------------------------------------------------------------------


def _asks(interpreter: Interpreter) -> str:
    where = line_of(None, interpreter.pending.values(), None)
    return now_yields(interpreter.end, interpreter.pending.values()) + (f" ({where})" if where else "")


def _state(interpreter: Interpreter) -> str:
    """A digest of all that the code asks for, or of how it ended, less the texts of errors."""
    state = blake2b(digest_size=16)
    for step in interpreter.pending.values():
        state.update(f"{step.id}\x00{step.kind}\x00".encode() + bytes(step.arguments))
    match interpreter.end:
        case BodyReturned(data) | BodyRestarted(data):
            state.update(bytes(data))
        case BodyRaised(failure):
            state.update(failure.type.encode())
        case _:
            pass
    return state.hexdigest()
