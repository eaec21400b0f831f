"""`Case`: one example of a check, with all that came of it. The properties are functions of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from ...workflow import Workflow
from ..trace import RunTrace, Trace
from .scenario import Scenario


@attrs.define
class Case:
    """One example: a workflow, a scenario, and what came of it.

    `calm` is the trace of the scenario while nothing goes wrong; `faulty` that of the same with its faults, and
    `cancelled` that of the same with its cancel, where the scenario has them. `stopped` says of each why it was
    stopped, if it did not come to rest.
    """

    workflow: Workflow[Any, Any]
    scenario: Scenario
    calm: Trace
    faulty: Trace | None = None
    cancelled: Trace | None = None
    stopped: dict[str, str] = attrs.Factory(dict)

    @property
    def traces(self) -> dict[str, Trace]:
        """All traces, by name."""
        every = {"calm": self.calm, "faulty": self.faulty, "cancelled": self.cancelled}
        return {name: trace for name, trace in every.items() if trace is not None}

    @property
    def shown(self) -> Trace:
        """The trace that tells most."""
        return self.cancelled or self.faulty or self.calm


Property = Callable[[Case], None]


def has_code(run: RunTrace) -> bool:
    """Whether a body was executed, or may be: not of runs that were skipped or still collect."""
    return run.workflow is not None and run.recorded.row.stored not in ("collecting", "schedule", "skipped")
