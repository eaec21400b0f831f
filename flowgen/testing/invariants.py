"""What holds in every simulation, whatever the workflows, the seed and the faults.

Some rules are checked while things happen, in `world`: histories are dense, only grow, and only under the
fence of the owner (I6, I20, I21); times never go back and never run ahead of the store; there is one
outcome a step (I12) and one end a life (I7); no slot has more holders than its limit (I24); no body begins
after its outcome was recorded, and no attempt before its time (I12, I26). The others are checked here, on
the finished trace. The numbers are those of the reliability notes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..history import (
    OUTCOMES,
    AttemptFailed,
    CancelAccepted,
    EndCancelled,
    Requested,
    Retried,
    SleepTerms,
    StepSucceeded,
    effective,
)
from .replays import assert_replays
from .trace import RunTrace, Trace


def check_invariants(trace: Trace) -> None:
    """Assert that nothing happened which must never happen. Raises `AssertionError` with the timeline."""
    if broken := broken_invariants(trace):
        raise AssertionError("\n".join([*broken, "", trace.timeline()]))


def broken_invariants(trace: Trace) -> list[str]:
    """What happened that must never happen, a line each below a heading; nothing if all is well."""
    broken = [*trace.violations, *(f"an engine logged an error: {problem}" for problem in trace.problems)]
    broken += [rule for check in _OF_TRACE for rule in check(trace)]
    broken += [f"{run.name}: {rule}" for run in trace.runs for check in _OF_RUN for rule in check(run)]
    many = f"{len(broken)} invariants are" if len(broken) != 1 else "1 invariant is"
    return [f"{many} broken:", *broken] if broken else []


# -- of one run ------------------------------------------------------------------------------------


def _ends_as_its_row_says(run: RunTrace) -> Iterator[str]:
    """I7, I9: one terminal record in each life, and the row agrees with it. One that was skipped has no history."""
    row, lives = run.recorded.row, 0
    for record in run.history:
        lives += isinstance(record, Retried)
        if isinstance(record, Retried) and record.life != lives:
            yield f"life {record.life} begins after {lives - 1}"
    if row.life != lives or row.length != len(run.history):
        yield f"its row says life {row.life} and {row.length} records, its history {lives} and {len(run.history)}"
    states = {"EndCompleted": "completed", "EndFailed": "failed", "EndCancelled": "cancelled"}
    state = states[type(run.end).__name__] if run.end is not None else None
    if row.stored == "skipped" and not run.history:
        state = "skipped"
    if (None if row.open else row.stored) != state:
        yield f"it is {row.stored}, but its history ends with {type(run.end).__name__}"


def _is_well_formed(run: RunTrace) -> Iterator[str]:
    """I8: what waits for the world is requested once before its outcome; attempts are counted from 1."""
    requested: set[str] = set()
    attempts: dict[str, int] = {}
    for _, record in effective(run.history):
        match record:
            case Requested(step=step):
                if step in requested:
                    yield f"step {step!r} is requested twice"
                requested.add(step)
            case AttemptFailed(step=step, attempt=attempt):
                if attempt != attempts.get(step, 0) + 1:
                    yield f"attempt {attempt} of step {step!r} follows {attempts.get(step, 0)}"
                attempts[step] = attempt
        if isinstance(record, OUTCOMES) and (record.kind == "run") == (record.step in requested):
            has = "has" if record.kind == "run" else "lacks"
            yield f"the outcome of step {record.step!r} ({record.kind}) {has} a request"


def _fires_on_time(run: RunTrace) -> Iterator[str]:
    """I26: no timer fires early, by the store's clock."""
    due: dict[str, int] = {}
    for _, record in effective(run.history):
        match record:
            case Requested(step=step, terms=SleepTerms(due_at)):
                due[step] = due_at
            case StepSucceeded(step=step, kind="sleep", at=at) if at < due.get(step, at):
                yield f"sleep {step!r} is over {due[step] - at} µs early"


def _is_cancelled_if_accepted(run: RunTrace) -> Iterator[str]:
    """I34: an accepted cancel beats every other end."""
    accepted = any(isinstance(record, CancelAccepted) for _, record in effective(run.history))
    if accepted and run.end is not None and not isinstance(run.end, EndCancelled):
        yield f"a cancel was accepted, but it ended with {type(run.end).__name__}"


def _replays(run: RunTrace) -> Iterator[str]:
    """I16, I17: the code asks for just what was recorded, at each prefix."""
    if run.workflow is None or run.recorded.row.stored in ("parked", "collecting", "schedule"):
        return
    try:
        assert_replays(run.workflow, run.recorded)
    except AssertionError as error:
        yield str(error)


def _leaves_nothing(run: RunTrace) -> Iterator[str]:
    """I43: an ended run has no owner, is not due and has no unread mail."""
    row = run.recorded.row
    if not row.open and (row.owner is not None or row.due_at is not None or run.recorded.mail):
        yield f"it has ended, but its row says {row} and it has mail {run.recorded.mail}"


_OF_RUN: tuple[Callable[[RunTrace], Iterator[str]], ...] = (
    _ends_as_its_row_says,
    _is_well_formed,
    _fires_on_time,
    _is_cancelled_if_accepted,
    _replays,
    _leaves_nothing,
)


# -- of the whole ----------------------------------------------------------------------------------


def _comes_to_rest(trace: Trace) -> Iterator[str]:
    """I43, I2: at rest nothing is due, in hand or unrouted, and all runs have ended but those that are parked."""
    if not trace.finished:
        return
    if trace.unrouted:
        yield f"{trace.unrouted} events were not routed"
    for run in trace.runs:
        if run.recorded.row.open and run.status != "parked":
            yield f"{run.name} is {run.status} at rest"


def _holds_no_slot(trace: Trace) -> Iterator[str]:
    """I24: at rest nobody holds a slot, nor waits for one."""
    for run in trace.runs if trace.finished else ():
        row = run.recorded.row
        if row.slots and row.owner is not None:
            yield f"{run.name} holds {', '.join(map(repr, row.slots))} at rest"
        if row.blocked_on is not None:
            yield f"{run.name} is blocked on {row.blocked_on!r} at rest"


def _acts_on_what_it_records(trace: Trace) -> Iterator[str]:
    """I11: each recorded outcome of a body comes from a body that ran."""
    ran = {(execution.run, execution.step) for execution in trace.executions if execution.ended is not None}
    for run in trace.runs:
        for record in run.history:
            if isinstance(record, OUTCOMES) and record.kind == "run" and (run.id, record.step) not in ran:
                yield f"{run.name}: step {record.step!r} has an outcome, but its body never ran to its end"


_OF_TRACE: tuple[Callable[[Trace], Iterator[str]], ...] = (_comes_to_rest, _holds_no_slot, _acts_on_what_it_records)
