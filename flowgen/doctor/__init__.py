"""The doctor: recomputes what follows from histories, mailboxes and rows, and says what differs.

Everything that a store keeps beside a run's history and mailbox follows from them and from its neighbours: its
status, its length, when it is due, its open waits, who holds a key. Each check here is one such rule, written
down a second time, and independent of the code that keeps it.

Rules
-----
* A check is sound: what it reports is damage. It may overlook some. Without the code of a workflow nobody can tell
  whether a request was given up with a race that was decided later; so only those count as open for sure after which
  nothing was decided any more (`surely_open`).
* One run is looked at as one consistent read has it, beside keys, waits and children that were read a moment later.
  Who reads while engines work has to look twice (`runtime.checkup`).

Pure. Refuses to know how a store is read, and how damage is mended: restore a backup, or delete the run.
"""

from __future__ import annotations

from .chart import CHECKS as ROW_CHECKS
from .neighbours import CHECKS as NEIGHBOUR_CHECKS
from .patient import Finding, Patient, cell_names, invoked, key_names, surely_open
from .whole import Ready, examine_cell, examine_schedules

__all__ = [
    "Finding",
    "Patient",
    "Ready",
    "cell_names",
    "examine",
    "examine_cell",
    "examine_schedules",
    "invoked",
    "key_names",
    "surely_open",
]

_CHECKS = {**ROW_CHECKS, **NEIGHBOUR_CHECKS}


def examine(patient: Patient) -> list[Finding]:
    """What is wrong with a run."""
    row = patient.row
    return [
        Finding(code, row.app, row.id, f"run of {row.workflow}: {message}")
        for code, check in _CHECKS.items()
        for message in check(patient)
    ]
