"""The routes of SDKs: those that are theirs alone, and how they see routes that are ours, too (`VIEWS`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..access import Access
from ..routes import LIMIT_PARAMETER, PAGED, Handler, Parameter, Route
from . import (
    arrivals,
    checkpoints,
    graph,
    listening,
    looking,
    realtime,
    registering,
    sending,
    state,
    steering,
)
from .envelope import refused_as_sdk

_TIME: Final = {"type": "string", "format": "date-time"}
_WINDOW: Final = (
    Parameter("received_after", "Of a page, only events accepted at this time or later.", _TIME),
    Parameter("received_before", "Of a page, only events accepted before this time.", _TIME),
)


def _route(method: str, path: str, handler: Handler, about: str, gives: Mapping[int, str], **more: Any) -> Route:
    return Route(method, path, handler, Access.SDK, about, answers=gives, refused=refused_as_sdk, **more)


_CHECKPOINTS: Final = ("/v1/checkpoint", "/v1/http/runs")
"""Where checkpoints are, and where they once were: SDKs still send people there for an output."""


def _of_endpoints(place: str) -> tuple[Route, ...]:
    return (
        _route(
            "POST",
            place,
            arrivals.begin,
            "Make a run of a request that an app has got from elsewhere.",
            {200: "Begun", 404: "SdkError", 409: "SdkError"},
            body="Arrival",
        ),
        _route(
            "POST",
            f"{place}/{{id}}/steps",
            arrivals.tell,
            "What an app has done of such a run.",
            {200: "Ok", 404: "SdkError", 409: "SdkError"},
            body="Steps?",
        ),
        Route(
            "GET",
            f"{place}/{{id}}/output",
            arrivals.show_output,
            Access.PUBLIC,
            "What such a request was answered in the end; waits up to five minutes for it.",
            (Parameter("token", "What the server gave the app for this run."),),
            answers={200: "Output", 404: "Error", 409: "Output", 500: "Output"},
            any_answer=True,
        ),
    )


def _listen(path: str, handler: Handler, gives: Mapping[int, str], **more: Any) -> Route:
    token = Parameter("token", "What gives the right to listen.")
    return Route("GET", path, handler, Access.LISTEN, "What functions publish.", (token,), answers=gives, **more)


SDK: Final[tuple[Route, ...]] = (
    _route(
        "POST",
        "/fn/register",
        registering.register,
        "An app says which functions it has, and where they are called.",
        {200: "Registered"},
        body="Registration",
        any_query=True,
    ),
    _route(
        "DELETE",
        "/fn/remove",
        registering.remove,
        "Withdraw the apps at a URL, or the one with a name.",
        {200: "Removed", 404: "SdkError"},
        query=(
            Parameter("url", "Where the app was registered to be."),
            Parameter("app", "The app's name."),
        ),
    ),
    _route("GET", "/dev", registering.describe, "What this server is, and which apps it knows.", {200: "Dev"}),
    _route(
        "POST",
        "/invoke/{id}",
        steering.invoke,
        "Start a run of a function, which is named app-id.",
        {200: "Started", 404: "SdkError"},
        body="SdkInvoke?",
    ),
    _route(
        "GET",
        "/v0/runs/{id}/batch",
        state.show_events,
        "The events of a run, for a call that is too large to carry them.",
        {200: "SdkEvents", 404: "SdkError"},
    ),
    _route(
        "GET",
        "/v0/runs/{id}/actions",
        state.show_steps,
        "What each ended step of a run came to, by its hash.",
        {200: "SdkSteps", 404: "SdkError"},
    ),
    _route("POST", "/v0/gql", graph.ask, "The questions in GraphQL that tools ask.", {200: "GraphQl"}, body="Query"),
    _route(
        "POST",
        "/v1/checkpoint/{id}/async",
        checkpoints.checkpoint,
        "Steps of a run that ended while a call is still going on.",
        {200: "Ok", 404: "SdkError", 409: "SdkError"},
        body="Checkpoint?",
    ),
    *(route for place in _CHECKPOINTS for route in _of_endpoints(place)),
    _route(
        "POST",
        "/v1/realtime/token",
        realtime.make_token,
        "A token for listening to some topics.",
        {201: "RealtimeToken"},
        body="RealtimeTopics",
    ),
    _listen("/v1/realtime/connect", listening.connect_plainly, {101: "Messages", 426: "Error"}, talk=listening.connect),
    _listen("/v1/realtime/sse", listening.listen, {200: "Stream"}),
    _route(
        "POST",
        "/v1/realtime/publish",
        realtime.publish,
        "Tell a message to who listens now.",
        {200: "Ok", 413: "SdkError"},
        query=(
            Parameter("channel", "Where it is published."),
            Parameter("topic", "What it is about; again for more."),
            Parameter("run_id", "The run that publishes it."),
        ),
        any_query=True,
    ),
    _route(
        "POST",
        "/v1/realtime/publish/tee",
        realtime.tee,
        "Pass a body on, as it comes, to who listens to a channel.",
        {200: "Ok", 413: "SdkError"},
        query=(Parameter("channel", "Where it is published."),),
        any_query=True,
    ),
    _route(
        "POST",
        "/v1/cancellations",
        steering.cancel_runs,
        "Cancel the open runs of a function that were begun in a span of time.",
        {201: "Cancelled", 404: "SdkError"},
        body="Cancellation",
    ),
    _route(
        "GET",
        "/v1/apps/{name}/functions",
        looking.list_functions,
        "The functions of an app.",
        {200: "SdkFunctions"},
    ),
)

VIEWS: Final[Mapping[tuple[str, str], Route]] = {
    (route.method, route.path): route
    for route in (
        Route(
            "POST",
            "/e/{key}",
            sending.send_events,
            Access.SEND,
            "Accept one event or a list.",
            refused=refused_as_sdk,
            any_query=True,
        ),
        _route(
            "GET", "/v1/events", looking.list_events, "Events.", {}, query=(Parameter("name", ""), *PAGED, *_WINDOW)
        ),
        _route("GET", "/v1/events/{id}", looking.show_event, "One event.", {}),
        _route("GET", "/v1/events/{id}/runs", looking.runs_of_event, "Its runs.", {}, query=(LIMIT_PARAMETER,)),
        _route("GET", "/v1/runs/{id}", looking.show_run, "One run.", {}),
        _route("DELETE", "/v1/runs/{id}", steering.cancel_run, "Cancel it.", {}),
        _route("POST", "/v1/signals", steering.send_signal, "Give a signal to its waiter.", {}),
    )
}
