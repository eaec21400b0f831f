"""The table of routes: everything that the server answers."""

from __future__ import annotations

from typing import Final

from . import events, health, runs
from .access import Access
from .routes import PAGED, Parameter, Route

_NAME: Final = Parameter("name", "Only events of this name.")
_FILTERS: Final = (
    Parameter("workflow", "Only runs of this workflow: its id, or app/id."),
    Parameter("app", "Only runs of this app."),
    Parameter("status", "Only runs in this state.", {"type": "string", "enum": runs.STATUSES}),
)

TABLE: Final = (
    Route(
        "GET",
        "/health",
        health.health,
        Access.PUBLIC,
        "Whether the server and its store answer.",
        answers={200: "Health"},
    ),
    Route(
        "POST",
        "/e/{key}",
        events.send_events,
        Access.SEND,
        "Accept one event or a list.",
        body="Events",
        answers={200: "Accepted"},
    ),
    Route(
        "GET",
        "/v1/events",
        events.list_events,
        Access.READ,
        "Events, newest first.",
        (_NAME, *PAGED),
        answers={200: "EventPage"},
    ),
    Route("GET", "/v1/events/{id}", events.show_event, Access.READ, "One event.", answers={200: "AcceptedEvent"}),
    Route(
        "GET",
        "/v1/events/{id}/runs",
        events.runs_of_event,
        Access.READ,
        "The runs that it started.",
        answers={200: "RunPage"},
    ),
    Route(
        "GET",
        "/v1/runs",
        runs.list_runs,
        Access.READ,
        "Runs, newest first.",
        (*_FILTERS, *PAGED),
        answers={200: "RunPage"},
    ),
    Route("GET", "/v1/runs/{id}", runs.show_run, Access.READ, "One run.", answers={200: "Run"}),
    Route("GET", "/v1/runs/{id}/history", runs.show_history, Access.READ, "Its history.", answers={200: "History"}),
    Route("GET", "/v1/runs/{id}/why", runs.why_run, Access.READ, "What it does or waits for.", answers={200: "Why"}),
    Route("POST", "/v1/runs/{id}/cancel", runs.cancel_run, Access.OPERATE, "Cancel it.", answers={202: "Cancelling"}),
    Route("DELETE", "/v1/runs/{id}", runs.cancel_run, Access.OPERATE, "Cancel it.", answers={202: "Cancelling"}),
    Route(
        "POST",
        "/v1/runs/{id}/retry",
        runs.retry_run,
        Access.OPERATE,
        "Let it go on from its failing point.",
        answers={202: "Run id"},
    ),
)
