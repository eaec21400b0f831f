"""Bugs that somebody could write, and the tests that must catch them: a table for each part of the house.

Add one for each guarantee: a test that nobody has seen fail proves little.
"""

from __future__ import annotations

from . import core, engine, flow, kit, served, stores
from .bug import Bug

__all__ = ["BUGS", "Bug"]

BUGS = (*core.BUGS, *stores.BUGS, *engine.BUGS, *flow.BUGS, *served.BUGS, *kit.BUGS)
