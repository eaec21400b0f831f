"""What every workflow promises, whatever it is for: the built-in properties of `check_workflow`.

Each is a plain function of a `Case`: it raises `AssertionError`, and says what happened in the words of the
workflow's author. A check may leave some out (`properties=`), or add others of its own.

Refuses to know how cases are made.
"""

from __future__ import annotations

from operator import methodcaller

import attrs

from ...history import OUTCOMES, effective
from ..invariants import broken_invariants
from .case import Case, Property
from .ending import cancel_cleans_up, ends_or_waits
from .equivalence import survives_crashes
from .mistakes import makes_no_mistake
from .replaying import leaves_the_outside_alone, replays_deterministically

__tracebackhide__ = methodcaller("errisinstance", AssertionError)
"""A test that fails shows its own line, not these."""


def keeps_the_invariants(case: Case) -> None:
    """What holds in every simulation (`check_invariants`) holds in these."""
    for name, trace in case.traces.items():
        judged = attrs.evolve(trace, finished=trace.finished and name not in case.stopped)
        if broken := broken_invariants(judged):
            shown = [] if trace is case.shown else ["", trace.timeline()]
            raise AssertionError("\n".join([*broken, *shown]))


def records_each_step_once(case: Case) -> None:
    """A step has one outcome at the most, and while nothing goes wrong each attempt runs once."""
    for trace in case.traces.values():
        for run in trace.runs:
            settled: set[str] = set()
            for _, record in effective(run.history):
                if isinstance(record, OUTCOMES):
                    if record.step in settled:
                        raise AssertionError(f"{run.name}: step {record.step!r} has two outcomes")
                    settled.add(record.step)
    begun: set[tuple[str, str, int]] = set()
    for body in case.calm.executions:
        attempt = (body.run, body.step, body.attempt)
        if attempt in begun and case.calm.faults == 0:
            raise AssertionError(f"attempt {body.attempt} of step {body.step!r} ran twice, though nothing went wrong")
        begun.add(attempt)


PROPERTIES: tuple[Property, ...] = (
    replays_deterministically,
    leaves_the_outside_alone,
    ends_or_waits,
    makes_no_mistake,
    records_each_step_once,
    keeps_the_invariants,
    survives_crashes,
    cancel_cleans_up,
)
"""All of them, in the order in which they are asked."""
