"""The testing kit: a runtime that lies about time, chance and luck, so that tests need not wait for them."""

from .clock import VirtualClock
from .replays import assert_replays
from .replies import Reply
from .script import Script, play

__all__ = ["Reply", "Script", "VirtualClock", "assert_replays", "play"]
