"""Crashes change nothing: a run ends with faults as it ends without.

What is compared is the end, without the times and the made-up ids in it. Time goes on while an engine is down: a
timeout may pass, another branch may win. A run that was told something else by the world is not compared, and one
that draws from its seed only where both runs have the same.
"""

from __future__ import annotations

import re
from operator import methodcaller

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

__tracebackhide__ = methodcaller("errisinstance", AssertionError)
"""A test that fails shows its own line, not these."""


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
            _check_same_end(Told(run, case.calm), Told(other, case.faulty))


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


def _check_same_end(calm: Told, faulty: Told) -> None:
    if _end(calm.run) == _end(faulty.run):
        return
    culprit = next((step for step in calm.done if faulty.done.get(step, calm.done[step]) != calm.done[step]), None)
    if not _are_comparable(calm, faulty, culprit):
        return
    lines = [
        f"{calm.run.name} ends differently when something goes wrong:",
        f"  undisturbed:  {_end(calm.run)}",
        f"  with faults:  {_end(faulty.run)}",
    ]
    if culprit is not None:
        lines += [
            f"step {culprit!r} came to",
            f"  undisturbed:  {calm.done[culprit]}",
            f"  with faults:  {faulty.done[culprit]}",
            "A step whose answer was lost is executed again: make it idempotent (step_info().idempotency_key).",
        ]
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


def _outcome(record: StepSucceeded | StepFailed) -> str:
    if isinstance(record, StepFailed):
        return f"{record.failure.type}: {record.failure.message}"
    if record.kind == "wait" and bytes(record.value) != b"null":
        event = decode(record.value)
        return f"{event['name']} {event['data']}"
    return "sent" if record.kind in ("send", "send_signal") else _MADE_UP.sub("…", json_text(record.value))


# -- what a run was told ---------------------------------------------------------------------------


class Told:
    """A run and what it was told: `every` outcome of its steps in their order, of the world's and of its own (`done`).

    `begun` are the steps whose bodies were started.
    """

    def __init__(self, run: RunTrace, trace: Trace) -> None:
        records = [record for _, record in effective(run.history)]
        outcomes = [record for record in records if isinstance(record, OUTCOMES)]
        self.run = run
        self.every = {record.step: _outcome(record) for record in outcomes}
        self.done = {record.step: _outcome(record) for record in outcomes if record.kind == "run"}
        self.begun = {body.step for body in trace.executions if body.run == run.id}
        self.begun |= {record.step for record in records if isinstance(record, Requested | AttemptFailed)}

    def before(self, step: str | None) -> dict[str, str]:
        """The outcomes before that of a step; all of them, if there is none."""
        steps = list(self.every)
        return {name: self.every[name] for name in (steps if step is None else steps[: steps.index(step)])}


def _are_comparable(one: Told, other: Told, culprit: str | None) -> bool:
    """Whether the world gave both the same answers up to a step, in the same order where that may matter.

    It may where a step was given up: somebody else has won a race, and who does is a matter of time.
    """
    if not one.run.history or not other.run.history or is_cancelled(one.run) != is_cancelled(other.run):
        return False
    if one.run.recorded.row.seed != other.run.recorded.row.seed and (_draws(one.run) or _draws(other.run)):
        return False
    if any("StepTimeout" in outcome for told in (one, other) for outcome in told.done.values()):
        return False
    first, second = one.before(culprit), other.before(culprit)
    if any(told.begun - told.every.keys() for told in (one, other)):
        return list(first) == list(second)
    return _of_world(one, first) == _of_world(other, second)


def _of_world(told: Told, outcomes: dict[str, str]) -> dict[str, str]:
    """The outcomes that are not those of bodies."""
    return {step: outcome for step, outcome in outcomes.items() if step not in told.done}


def _draws(run: RunTrace) -> bool:
    """Whether a body draws numbers or uuids from its seed."""
    interpreter = fresh_interpreter(run)
    try:
        interpreter.replay(run.history)
        return interpreter.context._randoms is not None or interpreter.context._uuids is not None
    finally:
        interpreter.close()
