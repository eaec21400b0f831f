"""Bugs that somebody could write into a store: keys and cells."""

from __future__ import annotations

from .bug import bug

BUGS = (
    bug(
        "the versions of a key come back",
        "state",
        "return seen + 1 if seen else self.versions",
        "return seen + 1",
        "a version never comes back",
        "an expired cell is absent",
    ),
    bug(
        "the version of a key is not looked at",
        "commits",
        "if take.version and (held is None or held.version != take.version):",
        "if False:",
        "a key is taken over under its version",
        "a key that was dropped has moved on",
        "a key that moved on changes nothing",
    ),
    bug(
        "anybody drops a key",
        "commits",
        "if held is not None and held.holder == drop.holder:",
        "if held is not None:",
        "only its holder drops a key",
        "a key changes hands in one commit",
    ),
    bug(
        "a key is free once it has expired",
        "commits",
        "if not take.version and held is not None:",
        "if not take.version and held is not None and (held.expires_at is None or held.expires_at > state.highest):",
        "an expired key is still there",
    ),
    bug(
        "a cell does not expire",
        "state",
        "if cell is None or (cell.expires_at is not None and cell.expires_at <= now):",
        "if cell is None:",
        "an expired cell is absent",
    ),
    bug(
        "the cell's version is not looked at",
        "commits",
        "cell.version != (kept.version if kept is not None else 0) or",
        "False or",
        "a cell is changed under its version",
        "no update of a cell is lost",
    ),
)  # fmt: skip
