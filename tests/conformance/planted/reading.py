"""Bugs that somebody could write into a store: lists, counts and retention."""

from __future__ import annotations

from .bug import Bug, bug

BUGS = (
    bug(
        "rows are handed out",
        "queries",
        "return Loaded(copy(run.row),",
        "return Loaded(run.row,",
        "rows are copies",
    ),
    bug(
        "retention takes what open runs may look back to",
        "queries",
        "return horizon is None or event.position < horizon",
        "return True",
        "what an open run may look back to is not deleted",
    ),
    bug(
        "retention takes unrouted events",
        "queries",
        "if event.position is None or event.id in state.events.unrouted:",
        "if event.position is None:",
        "unrouted events are not deleted",
    ),
    bug(
        "retention forgets the versions of what it takes",
        "queries",
        "            del state.keys[name]",
        "            del state.keys[name]\n            state.versions = 0",
        "versions outlive retention",
    ),
    bug(
        "a deleted run stays linked to its events",
        "queries",
        "    for event in run.linked:\n",
        "    for event in ():\n",
        "a deleted run leaves nothing to its namesake",
    ),
    Bug(
        "a deleted run leaves its messages behind",
        ("a deleted run leaves nothing to its namesake",),
        (
            ("state", "    generation: int = 0", "    generation: int = 0\n    told: dict = attrs.Factory(dict)"),
            ("commits", "        run.seen.clear()\n", ""),
            (
                "commits",
                "    state.runs[run.key] = run\n",
                "    state.runs[run.key] = run\n    run.seen = state.told.setdefault(run.key, run.seen)\n",
            ),
        ),
    ),
    bug(
        "who was created at an edge is counted before it",
        "counting",
        "[bisect_left(state.by_creation",
        "[__import__('bisect').bisect_right(state.by_creation",
        "runs are counted by their creation",
    ),
    bug(
        "schedules are counted",
        "counting",
        'if row.stored != "schedule" and app',
        "if app",
        "schedules are not counted",
    ),
    bug(
        "runs of all workflows are counted",
        "counting",
        " and workflow in (None, row.workflow)",
        "",
        "runs are counted of one app or workflow",
    ),
    bug(
        "a page begins with the last of the one before",
        "queries",
        "if key(item) > after)",
        "if key(item) >= after)",
        "waits come in pages",
        "many runs of an event come in pages",
        "many children come in pages",
    ),
)  # fmt: skip
