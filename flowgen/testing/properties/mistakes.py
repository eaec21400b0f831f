"""A body that raises what nobody means to raise has a mistake, and no run of it should end so.

A run may well fail: by a step that failed for good, or by an error that its author made for it. A `TypeError` or a
`KeyError` is neither; and a check of a workflow whose every run ends at such a line would say nothing of the rest.
"""

from __future__ import annotations

from operator import methodcaller

from ...history import EndFailed
from ..trace import RunTrace
from ..words import raised_at
from .case import Case, has_code

__tracebackhide__ = methodcaller("errisinstance", AssertionError)
"""A test that fails shows its own line, not these."""

MISTAKES = frozenset(
    {
        "AssertionError",
        "AttributeError",
        "DefinitionError",
        "ImportError",
        "IndexError",
        "KeyError",
        "ModuleNotFoundError",
        "NameError",
        "NotImplementedError",
        "RecursionError",
        "TypeError",
        "UnboundLocalError",
        "UnserializableError",
        "ZeroDivisionError",
    }
)
"""The classes of errors that are raised by mistake; what a step raises is a `StepError` in the body."""


def makes_no_mistake(case: Case) -> None:
    """No body ends with an error that nobody means to raise, such as a `TypeError` or a `KeyError`."""
    for trace in case.traces.values():
        for run in trace.runs:
            if has_code(run) and isinstance(run.end, EndFailed) and run.end.failure.type in MISTAKES:
                raise AssertionError(_text(run, run.end))


def _text(run: RunTrace, end: EndFailed) -> str:
    lines = [f"{run.name} fails by a mistake in its body: {end.failure}", *raised_at(end.failure), _ADVICE]
    return "\n".join(lines)


_ADVICE = (
    "If no such event is ever sent, say what there may be (data=). If the body means to fail, let it raise an error "
    "of its own; or leave makes_no_mistake out (properties=)."
)
