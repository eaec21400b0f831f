"""Properties of workflows: `check_workflow`, the scenarios that it plays, and what every workflow promises.

=============  ==================================================================================
`check`        `check_workflow`: strategies in, a hypothesis test out
`scenario`     `Scenario`: one story as a value, how it is told and pasted
`steps`        what steps do while a workflow is checked
`case`         `Case`: what came of a scenario
`promises`     the built-in properties; the larger ones are in `replaying`, `ending`, `mistakes` and `equivalence`
=============  ==================================================================================
"""

from __future__ import annotations

from .case import Case, Property
from .check import check_workflow
from .ending import cancel_cleans_up, ends_or_waits
from .equivalence import survives_crashes
from .mistakes import makes_no_mistake
from .promises import PROPERTIES, keeps_the_invariants, records_each_step_once
from .replaying import leaves_the_outside_alone, replays_deterministically
from .scenario import Scenario

__all__ = [
    "PROPERTIES",
    "Case",
    "Property",
    "Scenario",
    "cancel_cleans_up",
    "check_workflow",
    "ends_or_waits",
    "keeps_the_invariants",
    "leaves_the_outside_alone",
    "makes_no_mistake",
    "records_each_step_once",
    "replays_deterministically",
    "survives_crashes",
]
