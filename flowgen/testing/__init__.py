"""The testing kit: a runtime that lies about time, chance and luck, so that tests need not wait for them."""

from .actions import Cancel, Retry, Signal, Start
from .clock import VirtualClock
from .faults import Faults
from .replays import assert_replays
from .replies import Reply
from .script import Script, play
from .simulator import simulate
from .trace import Execution, RunTrace, Trace

__all__ = [
    "Cancel",
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
    "play",
    "simulate",
]
