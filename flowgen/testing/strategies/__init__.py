"""Hypothesis strategies for what workflows meet: events, outcomes, faults, and whole workflows.

=====================================  =======================================================================
`values(annotation)`, `json_values()`  what fits an annotation and goes through JSON unchanged
`events(…)`, `data_of(workflow)`       events of classes or of names; what starts a workflow
`interleavings(…)`                     `[(at, event), …]`, in the order of their times
`failures(…)`, `raises(…)`             exceptions; `raises(Timeout)` goes into an `|` with values
`outcomes(…)`, `retry_sequences(…)`    what one attempt comes to; what the attempts of one step come to
`fault_shares(…)`, `fault_plans(…)`    `Faults`, by chance or by plan
`expressions()`, `paths()`             CEL and plain paths over an event
`policies()`                           options of flow control that are accepted together
`workflows()`, `histories(workflow)`   random workflows; what a store may hold of a run
=====================================  =======================================================================

Rules: whatever is drawn is accepted by what it is for. The simplest draw is the plainest case (nothing fails,
nothing is late), so a failing example shrinks to what matters. No strategy is registered for all the world.

Refuses to know what is done with what is drawn.
"""

from __future__ import annotations

from .events import data_of, durations, events, interleavings
from .expressions import expressions, paths
from .faults import fault_plans, fault_shares
from .flow import policies
from .histories import histories
from .outcomes import Raise, failures, outcomes, raises, retry_sequences
from .programs import workflows
from .values import json_values, values

__all__ = [
    "Raise",
    "data_of",
    "durations",
    "events",
    "expressions",
    "failures",
    "fault_plans",
    "fault_shares",
    "histories",
    "interleavings",
    "json_values",
    "outcomes",
    "paths",
    "policies",
    "raises",
    "retry_sequences",
    "values",
    "workflows",
]
