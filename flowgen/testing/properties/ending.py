"""Runs end, or wait: they do not turn round and round, and a cancel ends them."""

from __future__ import annotations

from collections.abc import Sequence
from operator import methodcaller

from ...history import OUTCOMES, CancelAccepted, CleanupExpired, InvokeTerms, Record, Requested, effective
from ..trace import RunTrace, Trace
from .case import Case

__tracebackhide__ = methodcaller("errisinstance", AssertionError)
"""A test that fails shows its own line, not these."""


def ends_or_waits(case: Case) -> None:
    """Each run ends, or waits for something: it does not turn round and round."""
    for name, trace in case.traces.items():
        for run in trace.runs:
            error = run.error
            if error is not None and "asked for more than max_steps=" in error.message:
                raise AssertionError(
                    f"{run.name} does not come to an end: {error.message}. If it has to take so many steps, "
                    "say max_steps= to the check."
                )
            if error is not None and "commands without waiting for anything" in error.message:
                raise AssertionError(f"{run.name} does not come to an end: {error.message}")
        if case.stopped.get(name) == "spinning":
            last = trace.runs[-1] if trace.runs else None
            raise AssertionError(
                f"{case.workflow.id} does not come to an end: {len(trace.runs)} runs have started, no time passes any "
                f"more, and {last} goes on. Let it wait (Sleep, WaitFor) before it begins anew."
            )


# -- a cancel cleans up ----------------------------------------------------------------------------


def cancel_cleans_up(case: Case) -> None:
    """A run that is cancelled ends so, and its children too; its clean-up does not wait for the world."""
    if case.cancelled is None:
        return
    runs = [run for run in case.cancelled.runs if run.workflow_id == case.workflow.id]
    if not runs or not is_cancelled(runs[0]):
        return
    run = runs[0]
    _check_cleanup(run)
    if run.status != "cancelled":
        raise AssertionError(f"{run.name} was cancelled at {case.scenario.cancel}, and is {run.status} at the end")
    for child in _children(case.cancelled, run):
        if child.recorded.row.open:
            raise AssertionError(f"{run.name} was cancelled, and its child {child.name} is still {child.status}")


def _check_cleanup(run: RunTrace) -> None:
    """The time for clean-up was not used up waiting."""
    records: list[Record] = [record for _, record in effective(run.history)]
    since = next(n for n, record in enumerate(records) if isinstance(record, CancelAccepted))
    after = records[since:]
    if not any(isinstance(record, CleanupExpired) for record in after):
        return
    settled = {record.step for record in after if isinstance(record, OUTCOMES)}
    for record in after:
        if isinstance(record, Requested) and record.step not in settled:
            raise AssertionError(
                f"{run.name} was cancelled, and did not end by itself: it went on to ask for {record.step!r} "
                f"({record.kind}), and was closed when its time for clean-up was over. After RunCancelled a body has "
                "a minute to clean up; let the exception through (raise) when that is done."
            )


def _children(trace: Trace, run: RunTrace) -> Sequence[RunTrace]:
    abandoned = {
        record.terms.child
        for record in run.history
        if isinstance(record, Requested)
        and isinstance(record.terms, InvokeTerms)
        and record.terms.on_cancel != "cancel"
    }
    return [
        child
        for child in trace.runs
        if (parent := child.recorded.row.parent) is not None
        and (parent.app, parent.run) == (run.app, run.id)
        and child.id not in abandoned
    ]


def is_cancelled(run: RunTrace) -> bool:
    """Whether a cancel was accepted."""
    return any(isinstance(record, CancelAccepted) for _, record in effective(run.history))
