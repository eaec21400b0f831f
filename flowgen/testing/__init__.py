"""The testing kit: a runtime that lies about time, chance and luck, so that tests need not wait for them."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .actions import Cancel, Retry, Signal, Start
from .clock import VirtualClock
from .crashes import CrashPoint, CrashReport, CrashViolation, explore_crashes
from .faults import Faults
from .invariants import check_invariants
from .replays import assert_replays
from .replies import Reply
from .script import Script, play
from .scripted import scripted
from .simulator import simulate
from .trace import Asked, Execution, RunTrace, Trace

if TYPE_CHECKING:
    from . import strategies
    from .conformance import check_shelf, check_store, store_cases
    from .properties import Scenario, check_workflow
    from .strategies import raises

__all__ = [
    "Asked",
    "Cancel",
    "CrashPoint",
    "CrashReport",
    "CrashViolation",
    "Execution",
    "Faults",
    "Reply",
    "Retry",
    "RunTrace",
    "Scenario",
    "Script",
    "Signal",
    "Start",
    "Trace",
    "VirtualClock",
    "assert_replays",
    "check_invariants",
    "check_shelf",
    "check_store",
    "check_workflow",
    "explore_crashes",
    "play",
    "raises",
    "scripted",
    "simulate",
    "store_cases",
    "strategies",
]


_LAZY = {
    "Scenario": "properties",
    "check_shelf": "conformance",
    "check_store": "conformance",
    "check_workflow": "properties",
    "raises": "strategies",
    "store_cases": "conformance",
}


def __getattr__(name: str) -> Any:
    """What needs hypothesis is read when it is used."""
    if name == "strategies":
        return import_module(".strategies", __name__)
    if name in _LAZY:
        return getattr(import_module(f".{_LAZY[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
