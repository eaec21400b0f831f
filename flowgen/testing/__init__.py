"""The testing kit: a runtime that lies about time, chance and luck, so that tests need not wait for them."""

from typing import TYPE_CHECKING, Any

from .actions import Cancel, Retry, Signal, Start
from .clock import VirtualClock
from .crashes import CrashPoint, CrashReport, CrashViolation, explore_crashes
from .faults import Faults
from .invariants import check_invariants
from .replays import assert_replays
from .replies import Reply
from .script import Script, play
from .simulator import simulate
from .trace import Asked, Execution, RunTrace, Trace

if TYPE_CHECKING:
    from .conformance import check_store, store_cases

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
    "Script",
    "Signal",
    "Start",
    "Trace",
    "VirtualClock",
    "assert_replays",
    "check_invariants",
    "check_store",
    "explore_crashes",
    "play",
    "simulate",
    "store_cases",
]


def __getattr__(name: str) -> Any:
    """The conformance kit is read when it is used: it is large, and needs hypothesis."""
    if name in ("check_store", "store_cases"):
        from . import conformance

        return getattr(conformance, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
