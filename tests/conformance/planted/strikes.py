"""Bugs that somebody could write into a store: strikes and suspects."""

from __future__ import annotations

from .bug import bug

BUGS = (
    bug(
        "a take-over is no strike",
        "ownership",
        "else row.strikes + 1",
        "else row.strikes",
        "a take over is a strike",
    ),
    bug(
        "a record does not clear strikes",
        "commits",
        "if row.strikes and (progress.records or progress.reopen):",
        "if row.strikes and progress.reopen:",
        "a record clears the strikes",
    ),
    bug(
        "a release clears strikes",
        "commits",
        "if row.strikes and (progress.records or progress.reopen):",
        "if row.strikes:",
        "a record clears the strikes",
    ),
    bug(
        "a worker is given all suspects",
        "ownership",
        "        claiming.suspect = run.key\n",
        "        claiming.held = claiming.held\n",
        "a worker is given one suspect at a time",
    ),
    bug(
        "a worker is given another suspect in the next claim",
        "ownership",
        "return Claiming(who, lease, now, held, held)",
        "return Claiming(who, lease, now, held, None)",
        "a worker is given one suspect at a time",
    ),
    bug(
        "a worker is told of suspects that it is not given",
        "ownership",
        "return suspect in (None, run.key) or",
        "return True or",
        "next due does not tell of a second suspect",
    ),
    bug(
        "a worker is never given its own suspect again",
        "ownership",
        "claiming.suspect not in (None, run.key)",
        "claiming.suspect is not None",
        "a worker may have its suspect again",
    ),
    bug(
        "a dead worker blames all its runs",
        "ownership",
        "row.strikes if blamed not in (None, run.key) else row.strikes + 1",
        "row.strikes + 1",
        "the others of a dead worker are innocent",
        "a suspect stays named when it is taken over first",
    ),
    bug(
        "a suspect is one for ever",
        "ownership",
        "if row.strikes >= SUSPECT_STRIKES and now >= run.claimed_at + 2 * lease:",
        "if False:",
        "a suspect that lives on is none",
    ),
)  # fmt: skip
