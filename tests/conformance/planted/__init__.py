"""Bugs of stores, by what they are about: edits of the memory store, each with the cases that must catch it."""

from __future__ import annotations

from . import claims, collecting, commits, events, keys, mail, reading, registrations, slots, strikes
from .bug import Bug

BUGS: tuple[Bug, ...] = (
    *commits.BUGS,
    *mail.BUGS,
    *events.BUGS,
    *claims.BUGS,
    *slots.BUGS,
    *collecting.BUGS,
    *strikes.BUGS,
    *registrations.BUGS,
    *keys.BUGS,
    *reading.BUGS,
)
