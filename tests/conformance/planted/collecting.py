"""Bugs that somebody could write into a store: debounces, batches and schedules."""

from __future__ import annotations

from .bug import bug

BUGS = (
    bug(
        "mail wakes a run that collects",
        "commits",
        'if row.stored == "collecting" and not isinstance(message.body, CancelRequested):',
        "if False:",
        "mail does not wake a run that collects",
    ),
    bug(
        "a cancel does not wake a run that collects",
        "commits",
        'if row.stored == "collecting" and not isinstance(message.body, CancelRequested):',
        'if row.stored == "collecting":',
        "a cancel wakes a run that collects",
    ),
    bug(
        "the due time of a message is for all runs",
        "commits",
        'if row.stored == "collecting" and not isinstance(message.body, CancelRequested):',
        "if message.due_at is not None and not isinstance(message.body, CancelRequested):",
        "a due time is for runs that collect",
    ),
    bug(
        "a collected event is linked when the run opens",
        "commits",
        "        state.link(run, (body.event,))\n",
        "",
        "a collected event links its run at once",
    ),
    bug(
        "a collected event has no position",
        "commits",
        "body=attrs.evolve(body, event=_placed(state, body.event))",
        "body=body",
        "an event is collected by the commit that accepts it",
    ),
    bug(
        "an opened run is not linked to its events",
        "commits",
        "    state.link(run, run.events)\n    row.priority",
        "    row.priority",
        "an opened run is linked to its events",
    ),
    bug(
        "to go on collecting gives the run back",
        "commits",
        'return progress.release or progress.stored in TERMINAL or progress.stored == "parked"',
        'return progress.release or progress.stored != "open"',
        "what collects is not released by its state",
    ),
    bug(
        "what collects is reopened",
        "commits",
        'if progress.reopen and row.open and row.stored != "parked":',
        'if progress.reopen and row.stored == "open":',
        "what collects is not reopened",
    ),
    bug(
        "schedules are listed among runs",
        "queries",
        'return row.stored != "schedule" and (status is None or row.open)',
        "return status is None or row.open",
        "schedules are not listed among runs",
    ),
    bug(
        "what is being collected is deleted",
        "queries",
        "for e in _handled(run)), default",
        "for e in run.events), default",
        "what a run collects is not deleted",
    ),
)  # fmt: skip
