"""Crashes change nothing: a run ends with faults as it ends without.

What is compared is the end, without the times and the made-up ids in it. Time goes on while an engine is down: a
timeout may pass, another branch may win. A run that was told something else by the world is not compared, and one
that draws from its seed only where both runs have the same.
"""

from __future__ import annotations

import re

from ...history import (
    OUTCOMES,
    AttemptFailed,
    EndCompleted,
    Requested,
    StepFailed,
    StepSucceeded,
    effective,
)
from ...values import decode
from ...workflow import NO_POLICIES
from ..trace import RunTrace, Trace
from ..words import json_text, short
from .case import Case
from .ending import is_cancelled
from .replaying import fresh_interpreter


def survives_crashes(case: Case) -> None:
    """With faults each run ends as it does without, where the world gave both the same answers."""
    if case.faulty is None or case.stopped:
        return
    calm, faulty = _by_cause(case.calm), _by_cause(case.faulty)
    for cause, runs in calm.items():
        others = faulty.get(cause, [])
        if len(runs) != len(others):
            if not _is_paced(case.calm):
                raise AssertionError(
                    f"with faults there are {len(others)} runs of {runs[0].workflow_id}, and without there are "
                    f"{len(runs)}, on the same event"
                )
            return
        for run, other in zip(runs, others, strict=True):
            _check_same_end(run, other)


def _by_cause(trace: Trace) -> dict[tuple[str, str], list[RunTrace]]:
    """The runs by their workflow and what they started on."""
    runs: dict[tuple[str, str], list[RunTrace]] = {}
    for run in trace.runs:
        data = " ".join(f"{event.name} {bytes(event.data).decode()}" for event in run.recorded.events)
        runs.setdefault((run.workflow_id, _MADE_UP.sub("…", data)), []).append(run)
    return runs


def _is_paced(trace: Trace) -> bool:
    """Whether any workflow has flow control, which depends on when things happen."""
    return any(run.workflow is not None and run.workflow.policies != NO_POLICIES for run in trace.runs)


def _check_same_end(calm: RunTrace, faulty: RunTrace) -> None:
    if _end(calm) == _end(faulty) or not _was_told_the_same(calm, faulty):
        return
    lines = [
        f"{calm.name} ends differently when something goes wrong:",
        f"  undisturbed:  {_end(calm)}",
        f"  with faults:  {_end(faulty)}",
    ]
    outcomes = _outcomes(faulty)
    for step, outcome in _outcomes(calm).items():
        if step in outcomes and outcomes[step] != outcome:
            lines += [
                f"step {step!r} came to",
                f"  undisturbed:  {outcome}",
                f"  with faults:  {outcomes[step]}",
                "A step whose answer was lost is executed again: make it idempotent (step_info().idempotency_key).",
            ]
            break
    raise AssertionError("\n".join(lines))


_MADE_UP = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|[+-]\d\d:\d\d)?|\b[0-9A-HJKMNP-TV-Z]{26}\b|\bsimulated-\d+\b")
"""Times, and the ids that engines and careful clients make up."""


def _end(run: RunTrace) -> str:
    """How a run ended, without the times in it."""
    detail = ""
    if isinstance(run.end, EndCompleted):
        detail = f", {json_text(run.end.result)}" if run.end.restarted_as is None else ", restarted"
    elif run.error is not None:
        detail = f", {short(run.error)}"
    return _MADE_UP.sub("…", f"{run.status}{detail}")


def _outcomes(run: RunTrace, *kinds: str) -> dict[str, str]:
    """What the steps of a run came to, in the order of their records."""
    told = {}
    for _, record in effective(run.history):
        if isinstance(record, OUTCOMES) and (not kinds or record.kind in kinds):
            told[record.step] = _outcome(record)
    return told


def _outcome(record: StepSucceeded | StepFailed) -> str:
    if isinstance(record, StepFailed):
        return f"{record.failure.type}: {record.failure.message}"
    if record.kind == "wait" and bytes(record.value) != b"null":
        event = decode(record.value)
        return f"{event['name']} {event['data']}"
    return "sent" if record.kind in ("send", "send_signal") else _MADE_UP.sub("…", json_text(record.value))


_WORLD = ("sleep", "wait", "signal", "invoke", "send", "send_signal")


def _was_told_the_same(one: RunTrace, other: RunTrace) -> bool:
    """Whether the world gave both runs the same answers, in the same order where that may matter."""
    if not one.history or not other.history:
        return False
    if one.recorded.row.seed != other.recorded.row.seed and (_draws(one) or _draws(other)):
        return False
    if _outcomes(one, *_WORLD) != _outcomes(other, *_WORLD) or is_cancelled(one) != is_cancelled(other):
        return False
    if any("StepTimeout" in outcome for run in (one, other) for outcome in _outcomes(run, "run").values()):
        return False
    if _gave_up(one) or _gave_up(other):
        return list(_outcomes(one)) == list(_outcomes(other))
    return True


def _gave_up(run: RunTrace) -> bool:
    """Whether the run gave up a step: somebody else won a race, and who does is a matter of time."""
    records = [record for _, record in effective(run.history)]
    asked = {record.step for record in records if isinstance(record, Requested | AttemptFailed)}
    return bool(asked - {record.step for record in records if isinstance(record, OUTCOMES)})


def _draws(run: RunTrace) -> bool:
    """Whether a body draws numbers or uuids from its seed."""
    interpreter = fresh_interpreter(run)
    try:
        interpreter.replay(run.history)
        return interpreter.context._randoms is not None or interpreter.context._uuids is not None
    finally:
        interpreter.close()
