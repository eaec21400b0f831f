"""The table of routes: everything that the server answers to programs.

Those of SDKs are in a table of their own, which is a part of this one (`sdk.table`); the pages for people in another
(`ui.table`). Where two paths could mean the same request, the one that stands first is meant, if it has the method.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response

from ..counting import MOST_BUCKETS
from . import events, health, metrics, openapi, runs, signals, stream, workflows
from .access import Access
from .endpoints import endpoint_routes
from .routes import CURSOR_PARAMETER, PAGED, Call, Handler, Parameter, Route, answer
from .sdk.table import SDK

_TIME: Final = {"type": "string", "format": "date-time"}
_APP: Final = Parameter("app", "The app that it is of, where more than one could be meant.")
_NAME: Final = Parameter("name", "Only events of this name.")
_OF_WORKFLOW: Final = Parameter("workflow", "Only runs of this workflow: its id, or app/id.")
_OF_APP: Final = Parameter("app", "Only runs of this app.")
_BEFORE: Final = Parameter("before", "Only runs created before this time.", _TIME)
_AFTER: Final = Parameter("after", "Only runs created at this time or later.", _TIME)
_WAIT: Final = Parameter("wait", "Wait so long at most for its end: a duration such as 30s, up to 5m.")
_FILTERS: Final = (
    _OF_WORKFLOW,
    _OF_APP,
    Parameter("status", "Only runs in this state.", {"type": "string", "enum": runs.STATUSES}),
    _BEFORE,
    _AFTER,
    Parameter(
        "q",
        "Only runs that have all these words somewhere in ids, names, events, result or error. The id of a run or of "
        "an event finds its runs at once.",
        {"type": "string", "maxLength": 500},
    ),
    Parameter(
        "where",
        "Only runs for which this CEL condition holds: over `run` (as it is answered) and `event` (its event).",
        {"type": "string", "maxLength": 10_000},
    ),
)
_COUNTED: Final = (
    _OF_WORKFLOW,
    _OF_APP,
    Parameter("after", "The beginning of the span; a day before its end unless said.", _TIME),
    Parameter("before", "The end of the span; now unless said.", _TIME),
    Parameter(
        "buckets",
        "Into how many parts the span is cut.",
        {"type": "integer", "minimum": 1, "maximum": MOST_BUCKETS, "default": runs.BUCKETS},
    ),
)


def _look(path: str, handler: Handler, about: str, gives: str, *query: Parameter, **more: Any) -> Route:
    """A route that shows something and changes nothing."""
    missing = {404: "Error"} if "{" in path or _OF_WORKFLOW in query else {}
    return Route("GET", path, handler, Access.READ, about, query, answers={200: gives, **missing}, **more)


def _do(path: str, handler: Handler, about: str, body: str, answers: dict[int, str], *query: Parameter) -> Route:
    """A route that changes something."""
    return Route("POST", path, handler, Access.OPERATE, about, query, body, answers)


_GONE: Final = {404: "Error", 409: "Error"}
_BULK: Final = {200: "Bulk", 404: "Error"}
_PAUSED: Final = {200: "Paused", 404: "Error"}


async def _show_openapi(call: Call) -> Response:
    """With the endpoints of the apps, as their authors cannot describe them to it."""
    return answer(openapi.document((*TABLE, *endpoint_routes(call.service.apps.values(), TABLE))))


TABLE: Final[tuple[Route, ...]] = (
    Route(
        "GET",
        "/health",
        health.health,
        Access.PUBLIC,
        "Whether the server and its store answer.",
        answers={200: "Health"},
    ),
    _look("/metrics", metrics.show_metrics, "Counters and gauges, as Prometheus reads them.", "Metrics"),
    _look("/openapi.json", _show_openapi, "This description.", "OpenApi"),
    _look("/v1/stream", stream.stream, "What happens, as server-sent events.", "Stream"),
    Route(
        "POST",
        "/e/{key}",
        events.send_events,
        Access.SEND,
        "Accept one event or a list, all or none of them.",
        body="Events",
        answers={200: "Accepted", 409: "Error"},
    ),
    _look("/v1/events", events.list_events, "Events, newest first.", "EventPage", _NAME, *PAGED),
    _look("/v1/events/{id}", events.show_event, "One event.", "AcceptedEvent"),
    _look("/v1/events/{id}/runs", events.runs_of_event, "The runs that it started.", "RunPage", CURSOR_PARAMETER),
    _look("/v1/runs", runs.list_runs, "Runs, newest first.", "RunPage", *_FILTERS, *PAGED),
    _look("/v1/runs/counts", runs.count_runs, "How many runs were created when.", "Counts", *_COUNTED),
    _do("/v1/runs/cancel", runs.cancel_runs, "Cancel all open runs that are selected.", "BulkCancel", _BULK),
    _do("/v1/runs/retry", runs.retry_runs, "Retry all failed and parked runs selected.", "BulkRetry", _BULK),
    _do("/v1/runs/rerun", runs.rerun_runs, "Rerun all ended runs that are selected.", "BulkRerun", _BULK),
    _look("/v1/runs/{id}", runs.show_run, "One run, as it is now or when it has ended.", "Run", _APP, _WAIT),
    _look("/v1/runs/{id}/history", runs.show_history, "Its history, oldest record first.", "History", _APP, *PAGED),
    _look("/v1/runs/{id}/export", runs.export_run, "It and its history, to be replayed elsewhere.", "Export", _APP),
    _look("/v1/runs/{id}/children", runs.list_children, "Runs that it invoked.", "RunPage", _APP, CURSOR_PARAMETER),
    _look("/v1/runs/{id}/why", runs.why_run, "What it does or waits for.", "Why", _APP),
    _do("/v1/runs/{id}/cancel", runs.cancel_run, "Cancel it.", "Cancel?", {202: "Cancelling", **_GONE}, _APP),
    _do(
        "/v1/runs/{id}/retry", runs.retry_run, "Let it go on from where it failed.", "None?", {202: "Id", **_GONE}, _APP
    ),
    _do("/v1/runs/{id}/rerun", runs.rerun_run, "Run it again, as another run.", "Rerun?", {202: "Id", **_GONE}, _APP),
    Route(
        "DELETE",
        "/v1/runs/{id}",
        runs.cancel_run,
        Access.OPERATE,
        "Cancel it.",
        (_APP,),
        "Cancel?",
        {202: "Cancelling", **_GONE},
    ),
    _do("/v1/signals", signals.send_signal, "Give a signal to its waiter.", "Signal", {200: "Signalled", 404: "Error"}),
    _look("/v1/workflows", workflows.list_workflows, "The workflows in force.", "WorkflowPage", _OF_APP),
    _look("/v1/workflows/{id}", workflows.show_workflow, "One workflow.", "Workflow", _APP),
    _do(
        "/v1/workflows/{id}/invoke",
        workflows.invoke_workflow,
        "Start a run of it.",
        "Invoke?",
        {200: "Invoked", 202: "Invoked", 404: "Error"},
        _APP,
        _WAIT,
    ),
    _do("/v1/workflows/{id}/pause", workflows.pause_workflow, "Let its runs wait.", "None?", _PAUSED, _APP),
    _do("/v1/workflows/{id}/resume", workflows.resume_workflow, "Let them go on.", "None?", _PAUSED, _APP),
    *SDK,
)
