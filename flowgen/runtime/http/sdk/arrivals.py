"""Endpoints of apps elsewhere: requests that they got from others, and made runs of.

An app tells of such a run by itself (`begin`, `tell`), as any SDK calls us. Who has sent the request to the app is a
stranger here: if the app sends him on to the output of the run, he has the token for that, and nothing else.

* A token is for one run. It is made with the server's first signing key, and good while that is one of its keys;
  without one, as in development, with a key that this server makes when it starts, so that links last as long as it.
* What is replayed comes from an app, and is shown from this server's address: its headers are those that a workflow
  of ours may send, but for those that tell a browser something about all of a site (`_OF_THE_SITE`), and a browser
  gives it no rights here.
"""

from __future__ import annotations

import hmac
import time
from datetime import timedelta
from functools import partial
from typing import Any, Final

from starlette.responses import Response

from ....endpoints import Response as Given
from ....errors import DefinitionError, NotFound
from ...arrivals import Arrivals, NotNow
from ...info import RunInfo
from ...protocol.arrivals import parse_arrival
from ...protocol.headers import SDK
from ...protocol.ops import parse_ops
from ...protocol.reading import BadRequest
from ...protocol.realtime import RAW, token_for, topic_of
from ..problems import Problem
from ..routes import LONGEST_WAIT, Call, answer
from ..runs import until_ended
from .envelope import enveloped
from .members import members_of
from .registering import check_kind, check_urls

_LONGEST: Final = timedelta(microseconds=LONGEST_WAIT)
_CONFINED: Final = {"content-security-policy": "sandbox; default-src 'none'", "cache-control": "no-store"}
_OF_THE_SITE: Final = frozenset(
    {
        *("accept-ch", "alt-svc", "clear-site-data", "nel", "origin-agent-cluster"),
        *("report-to", "reporting-endpoints", "service-worker-allowed", "strict-transport-security"),
        *("proxy-authenticate", "www-authenticate"),
    }
)
"""Headers that a browser takes for this server as a whole: whose login they end, whose calls they have reported."""

_RUNNING: Final = {"status": "running", "message": "run did not end within 5 minutes"}
_ENDED: Final = {
    "failed": (500, "the run of this request has failed; what went wrong is in its history"),
    "cancelled": (409, "the run of this request was cancelled"),
}


async def begin(call: Call) -> Response:
    """A run for a request that an app has got, with the steps until now."""
    settings, service = call.service.settings, call.service
    members = await members_of(call)
    check_kind(call, settings)
    arrival = parse_arrival(members, call.request.headers.get(SDK, "unknown:v0"))
    await service.ask(check_urls, service.dialer, arrival.app)
    try:
        await service.ask(_arrivals(call).begin, arrival)
    except NotNow as error:
        raise Problem(503, "busy", str(error), headers={"Retry-After": "1"}) from None
    key = service.token_keys[0]
    tokens = {
        "token": _token(key, arrival.app.name, arrival.run),
        "realtime_token": token_for([topic_of(arrival.run, RAW)], key, int(time.time())),
    }
    return enveloped({"fn_id": arrival.function.slug, "app_id": arrival.app.name, "run_id": arrival.run, **tokens})


async def tell(call: Call) -> Response:
    """Steps of such a run that have ended, its end, or what is left to the server."""
    members = await members_of(call, optional=True)
    app, run = members.text("app_id"), call.path("id")
    ops = parse_ops(members.items("steps"), "steps", BadRequest)
    await call.service.ask(_arrivals(call).tell, f"{app}/{run}" if app else run, ops)
    return answer({"status": 200})


async def show_output(call: Call) -> Response:
    """What the request was answered in the end, for whoever has the token."""
    id, token = call.path("id"), call.query("token") or ""
    app = token.partition(".")[2]
    good = False
    for key in call.service.token_keys:
        good |= hmac.compare_digest(token.encode(), _token(key, app, id).encode())
    if not good:
        raise NotFound("there is no run with this id and this token")
    with call.service.patience_with_strangers.place():
        run = await _ended(call, app, id)
    if run.status == "completed":
        return _replayed(run.result)
    if run.status in _ENDED:
        status, message = _ENDED[run.status]
        return answer({"status": run.status, "message": message}, status)
    return answer(_RUNNING)


def _arrivals(call: Call) -> Arrivals:
    arrivals = call.service.engine.arrivals
    if arrivals is None:
        raise NotFound("this server calls no apps that are elsewhere")
    return arrivals


def _token(key: str, app: str, run: str) -> str:
    """The token for the output of a run, which says the run's app, too."""
    mac = hmac.new(key.encode(), f"output of {app}/{run}".encode(errors="surrogatepass"), "sha256")
    return f"{mac.hexdigest()}.{app}"


async def _ended(call: Call, app: str, id: str) -> RunInfo:
    """The run, or what it was restarted as, as it is when it has ended or the time is over."""
    await until_ended(call, f"{app}/{id}", _LONGEST)
    run: RunInfo = await call.service.ask(partial(call.service.engine.run, f"{app}/{id}"))
    return run


def _replayed(result: Any) -> Response:
    """The recorded answer as the endpoint has given it; a result of another form as JSON."""
    if not (isinstance(result, dict) and isinstance(result.get("status"), int) and isinstance(result.get("body"), str)):
        return answer(result, headers=_CONFINED)
    body, headers = result["body"], result.get("headers")
    given = headers if isinstance(headers, dict) else {}
    try:
        status = Given(result["status"], body or None, {"Content-Type": "text/plain"}).status
    except DefinitionError:
        status = 200
    return Response(body, status, {**_sendable(given), **_CONFINED}, media_type=None)


def _sendable(headers: dict[Any, Any]) -> dict[str, str]:
    """Those of its headers that a workflow of ours might send, and that are of this answer alone."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        try:
            Given(200, None, {name: value})
            kept[name.lower()] = value
        except DefinitionError:
            """It is of the connection, of this server's, or none at all."""
    return {name: value for name, value in kept.items() if name not in _OF_THE_SITE}
