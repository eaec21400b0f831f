"""Durable endpoints: a request starts a run, and is answered with what the run comes to.

The run is durable before it begins, so what happens to the connection after that loses nothing. An answer that takes
longer than the endpoint waits is fetched later (202, with `Location`); so is that of a client that went away, if it
sent an `Idempotency-Key`: the same request again gives the same run.

Rules
-----
* A key is one of its workflow's. With another method, path, query or body it is refused (409); headers may differ, as
  they do from try to try. It is known for as long as its run is kept.
* The place of a result cannot be found out from a key alone: it says what the request was, too (`_proof`). Whoever
  knows all of the request would get the answer by sending it again.
* Headers that carry credentials are not recorded, nor those that are about the connection.
* Who fails to look (HEAD), or is sent by a page of another site, starts nothing.
* There must be room to wait before a request is accepted; strangers, who call public endpoints, have a room apart.

Refuses to know: how a run is driven, and what is in a body.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from functools import partial
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response

from ...app import App
from ...endpoints import Endpoint, response_of
from ...errors import DefinitionError, InvalidInput, NotFound
from ...ids import derived_id, is_id
from ...values import encode
from ...workflow import Workflow
from ..info import RunInfo
from ..strict_json import parse
from .access import Access, check_access, is_known
from .bodies import read_optional
from .patience import Patience
from .problems import Problem
from .routes import Call, Parameter, Route, answer
from .runs import until_ended

LONGEST_KEY: Final = 255

_KEY_PARAMETER: Final = Parameter(
    "Idempotency-Key",
    "The same request with the same key again is the same run.",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY},
    "header",
)
RESULTS: Final = "/v1/endpoints/results/{result}"

_ACCESS: Final = {"token": Access.OPERATE, "public": Access.PUBLIC}
_MICROSECOND: Final = timedelta(microseconds=1)
_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")

_NOT_RECORDED: Final = frozenset(
    "connection content-length expect keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)
_CREDENTIAL: Final = re.compile(
    r"auth(?!ors?\b)|cookie|credential|csrf|xsrf|jwt|key|passw|secret|session|signature|token", re.IGNORECASE
)


def endpoint_routes(apps: Iterable[App], others: Sequence[Route]) -> tuple[Route, ...]:
    """The routes of the endpoints of some apps. Raises `DefinitionError` for one whose requests are for others."""
    found = [each for app in apps for each in app.workflows.values() if each.endpoint is not None]
    if not found:
        return ()
    taken = {route.path.split("/")[1] for route in others} - {""}
    routes: list[Route] = [_RESULT_ROUTE]
    shapes: dict[tuple[str, str], Workflow[Any, Any]] = {}
    for workflow in found:
        endpoint = _endpoint(workflow)
        if endpoint.path.split("/")[1] in taken:
            raise DefinitionError(
                f"endpoint {endpoint} of {workflow!r}: paths that begin so are the server's own, as are those with "
                f"{', '.join(sorted(taken))}; take another"
            )
        shape = re.sub(r"\{\w+\}", "{}", endpoint.path)
        other = shapes.setdefault((endpoint.method, shape), workflow)
        if other is not workflow:
            raise DefinitionError(
                f"endpoint {endpoint} of {workflow!r} has the same requests as that of {other!r}; give one of them "
                "another path"
            )
        routes.append(_route(workflow, endpoint))
    return tuple(routes)


def _endpoint(workflow: Workflow[Any, Any]) -> Endpoint:
    assert workflow.endpoint is not None, f"{workflow!r} is not an endpoint"
    return workflow.endpoint


def _route(workflow: Workflow[Any, Any], endpoint: Endpoint) -> Route:
    return Route(
        endpoint.method,
        endpoint.path,
        partial(_serve, workflow),
        _ACCESS[endpoint.access],
        f"The endpoint of workflow {workflow.id}.",
        (_KEY_PARAMETER,),
        "" if endpoint.method == "GET" else "Anything?",
        {202: "Later", 409: "Error", 429: "Error", 500: "Error"},
        any_query=True,
        any_answer=True,
    )


async def _serve(workflow: Workflow[Any, Any], call: Call) -> Response:
    """Start the run of a request, or find it, and answer with what it comes to."""
    _check_meant(call.request)
    endpoint = _endpoint(workflow)
    data = await _data(call, endpoint)
    with _patience(call, endpoint).place():
        id = await _start(call, workflow, data)
        if endpoint.wait:
            await until_ended(call, f"{workflow.app}/{id}", endpoint.wait * _MICROSECOND)
    return await _answer(call, workflow, id, data)


def _patience(call: Call, endpoint: Endpoint) -> Patience:
    """Where there is room for a request to wait."""
    service = call.service
    if endpoint.access == "public" and not is_known(call.request, service.settings, call.signed):
        return service.patience_with_strangers
    return service.patience


def _check_meant(request: Request) -> None:
    """Refuse what starts something though nobody meant to."""
    if request.method == "HEAD":
        raise Problem(405, "method_not_allowed", "HEAD is not for this path", headers={"Allow": "GET"})
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise Problem(403, "cross_origin", "a page of another site sent this")


# -- what is asked ---------------------------------------------------------------------------------


async def _data(call: Call, endpoint: Endpoint) -> dict[str, Any]:
    """The data of the event: what a run gets to know of its request."""
    request = call.request
    body = await read_optional(request, call.service.settings.max_body)
    data: dict[str, Any] = {
        "method": request.method,
        "path": _path(request),
        "query": _query(request),
        "headers": recorded_headers(request.headers.items()),
        "body": parse(body) if body else None,
    }
    if endpoint.parameters:
        data["params"] = {name: call.path(name) for name in endpoint.parameters}
    return data


def _path(request: Request) -> str:
    """The path as the endpoint has it, wherever the server is mounted."""
    path, root = str(request.scope["path"]), str(request.scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(root + "/") else path


def _query(request: Request) -> dict[str, str | list[str]]:
    """The parameters by their names; one that is there several times is a list."""
    given: dict[str, str | list[str]] = {}
    for name, value in request.query_params.multi_items():
        match given.get(name):
            case None:
                given[name] = value
            case str() as first:
                given[name] = [first, value]
            case list() as several:
                several.append(value)
    return given


def recorded_headers(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The headers that a history may have, by their names in lower case; those that come again are joined by commas.

    Left out: what carries a credential by its name, what is about the connection, and what is not printable.
    """
    kept: dict[str, str] = {}
    for name, value in headers:
        name = name.lower()
        if name == "idempotency-key" or not (name in _NOT_RECORDED or _CREDENTIAL.search(name)):
            kept[name] = f"{kept[name]}, {value}" if name in kept else value
    return {name: value for name, value in kept.items() if value.isprintable()}


def _key(request: Request) -> str | None:
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or len(keys[0]) > LONGEST_KEY or not _PRINTABLE.fullmatch(keys[0]):
        raise Problem(
            400,
            "invalid_idempotency_key",
            f"Idempotency-Key is said once: 1 to {LONGEST_KEY} printable ASCII characters without spaces",
            "Idempotency-Key",
        )
    return keys[0]


# -- the run ---------------------------------------------------------------------------------------


async def _start(call: Call, workflow: Workflow[Any, Any], data: dict[str, Any]) -> str:
    """The id of the run of a request: it is durable."""
    key = _key(call.request)
    id = None if key is None else derived_id("endpoint", workflow.app, workflow.id, key)
    try:
        return await call.service.ask(partial(call.service.engine.start, workflow, data, run_id=id))
    except InvalidInput as error:
        if id is None:
            raise _unusable(error) from None
        try:
            known = await _run(call, workflow.app, id)
        except NotFound:
            raise _unusable(error) from None
        if not _is_proof(known.event.data, _proof(data)):
            raise Problem(
                409,
                "idempotency_conflict",
                "this Idempotency-Key was used with another request: use a new one for each request, and the same only "
                "to send it again",
                "Idempotency-Key",
            ) from None
        return id


def _unusable(error: InvalidInput) -> Problem:
    return Problem(400, "invalid_request", f"this request cannot be recorded: {error}")


async def _run(call: Call, app: str, id: str) -> RunInfo:
    return await call.service.ask(call.service.engine.run, f"{app}/{id}")


def _proof(data: Any) -> str:
    """A digest of what a request asks: of all that must be the same when it is sent again."""
    asked = [data[name] for name in ("method", "path", "query", "body")]
    return blake2b(encode(asked, "a request", limit=None, canonical=True), digest_size=16).hexdigest()


# -- the answer ------------------------------------------------------------------------------------


async def _answer(call: Call, workflow: Workflow[Any, Any], id: str, data: Any) -> Response:
    """What the run has come to, as things stand; 202 while it goes on."""
    run = await _run(call, workflow.app, id)
    while run.restarted_as is not None:
        run = await _run(call, workflow.app, run.restarted_as)
    match run.status:
        case "completed":
            return _sent(run.result)
        case "failed":
            raise Problem(500, "run_failed", f"this could not be done; what went wrong is in the history of run {id}")
        case "cancelled":
            raise Problem(409, "run_cancelled", f"run {id} of this request was cancelled")
        case "skipped" if (run.reason or "").startswith("the rate limit"):
            raise Problem(429, "rate_limited", "too many requests of this kind: come again later, with a new key")
        case "skipped":
            raise Problem(409, "run_skipped", f"run {id} of this request was skipped: another one has its place")
        case _:
            return _later(call, id, data)


def _later(call: Call, id: str, data: Any) -> Response:
    root = quote(str(call.request.scope.get("root_path", "")).rstrip("/"))
    place = root + RESULTS.replace("{result}", f"{id}-{_proof(data)}")
    return answer({"id": id, "status": "running", "result": place}, 202, {"Location": place, "Retry-After": "1"})


def _sent(result: Any) -> Response:
    """A recorded result as it is sent."""
    if result is None:
        return answer(None)
    response = response_of(result)
    headers = dict(response.headers)
    if response.is_text or response.body is None:
        return Response(response.body or "", response.status, headers, media_type=None)
    sent = answer(response.body, response.status)
    sent.headers.update(headers)
    return sent


async def _show_result(call: Call) -> Response:
    """The answer to a request, as soon as there is one, or as far as it is when that takes too long.

    Whoever may not look at everything is told nothing of a result but that of a public endpoint.
    """
    try:
        check_access(Access.READ, call.request, call.service.settings, call.signed)
        denied = None
    except Problem as problem:
        denied = problem
    found = await _result(call, call.path("result"))
    if found is None or (denied is not None and _endpoint(found[0]).access != "public"):
        raise denied or Problem(404, "not_found", "there is no such result")
    workflow, run = found
    wait = call.wait()
    if wait is None:
        wait = _endpoint(workflow).wait * _MICROSECOND
    if run.ended_at is None or run.restarted_as is not None:
        with _patience(call, _endpoint(workflow)).place():
            await until_ended(call, f"{workflow.app}/{run.id}", wait)
    return await _answer(call, workflow, run.id, run.event.data)


async def _result(call: Call, result: str) -> tuple[Workflow[Any, Any], RunInfo] | None:
    """The run of an endpoint that a place means, and its workflow."""
    id, _, proof = result.rpartition("-")
    if not is_id(id):
        return None
    for name, app in call.service.apps.items():
        try:
            run = await _run(call, name, id)
        except NotFound:
            continue
        workflow = app.workflows.get(run.workflow_id)
        if workflow is not None and workflow.endpoint is not None and _is_proof(run.event.data, proof):
            return workflow, run
    return None


def _is_proof(data: Any, proof: str) -> bool:
    """Whether it proves that its sender knows the request; that of a run which no request started is nobody's."""
    if not isinstance(data, dict) or not {"method", "path", "query", "body"} <= data.keys():
        return False
    return hmac.compare_digest(_proof(data).encode(), proof.encode(errors="surrogatepass"))


_RESULT_ROUTE: Final = Route(
    "GET",
    RESULTS,
    _show_result,
    Access.PUBLIC,
    "The answer to a request that took longer than its endpoint waits.",
    (
        Parameter(
            "wait", "Wait so long at most: a duration such as 30s, up to 5m; as long as the endpoint unless said."
        ),
    ),
    answers={202: "Later", 401: "Error", 404: "Error", 409: "Error", 429: "Error", 500: "Error"},
    any_answer=True,
)
