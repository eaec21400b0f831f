"""An HTTP request that an app has got from elsewhere, as the app tells of it: an arrival.

The app answers the request by itself, and executes steps while it does. It makes a run of that with the first
*checkpoint*, which says what the request was, the id that the app has given to the run, and the steps until then.

The function that the run is of becomes known with it. Its app is named after the host and port at which the request
came, and the function after the request: `GET /carts/7` is `GET carts.7`, unless the app gives it a name of its own.
Where the function is called is said by each run, because paths have ids in them: one name may hold for many paths. So
an app may be asked for any number of paths; when too many are known, further ones are `GET *` together.

An arrival says nothing about where its app may be: that is looked at by whoever takes it (`addresses`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import attrs

from ...commands import check_name
from ...errors import DefinitionError
from ...events import MAX_EVENT_BYTES
from ...ids import is_id
from ...retry import DEFAULT_RETRIES, MAX_RETRIES
from ...workflow import Definition
from ..addresses import AppUrl, UrlRefused
from .headers import is_flowgen
from .ops import Op, parse_ops
from .reading import BadRequest, Members, encoded, shown
from .registration import RemoteApp, RemoteFunction

HTTP_REQUEST: Final = "inngest/http.request"
"""The name of the event of such a run."""

METHOD: Final = re.compile(r"(?!CONNECT$|TRACE$)[A-Z]{1,20}")
"""The method of a request to an app; the two others are for who stands between."""

_KEPT: Final = ("domain", "method", "path", "fn", "ip", "content_type", "query_params", "body")
"""What the event says of the request; all of it is text."""


@attrs.frozen
class Arrival:
    """A request, and how far its app has come. `app` has one function; `data` is that of the run's event."""

    run: str
    app: RemoteApp
    data: Mapping[str, str]
    ops: tuple[Op, ...]
    idempotency: str | None

    @property
    def function(self) -> RemoteFunction:
        """What it is a run of."""
        return self.app.functions[0]

    def among_others(self) -> Arrival:
        """The same, as one of all the paths that have no function of their own."""
        id = f"{self.data['method']} *"
        function = attrs.evolve(self.function, id=id, slug=f"{self.app.name}-{id}", name=id, definition=Definition(id))
        return attrs.evolve(self, app=attrs.evolve(self.app, functions=(function,)))


def parse_arrival(said: Members, sdk: str) -> Arrival:
    """What a first checkpoint says; `sdk` is what its sender is made with. Raises `BadRequest` with the place."""
    run = said.needed_text("run_id", longest=26).upper()
    if not is_id(run):
        said.refuse("run_id", f"{shown(run)} is no ULID")
    if is_flowgen(sdk):
        said.refuse("run_id", "an app of flowgen has endpoints of its own: @app.endpoint")
    event = said.members("event")
    data = None if event is None else event.members("data")
    if event is None or data is None:
        said.refuse("event", "is missing, or has no data: it says what the request was")
    if event.text("name") != HTTP_REQUEST:
        event.refuse("name", f"is {shown(event.text('name'))}; the event of a request is {HTTP_REQUEST!r}")
    request = {name: data.text(name) or "" for name in _KEPT if name != "body"}
    request["body"] = data.text("body", longest=MAX_EVENT_BYTES) or ""
    if len(encoded(request)) > MAX_EVENT_BYTES:
        data.refuse("body", f"is too large: the event of a request has at most {MAX_EVENT_BYTES:,} bytes as JSON")
    return Arrival(
        run=run,
        app=_app(data, request, sdk, _retries(said)),
        data=request,
        ops=parse_ops(said.items("steps"), "steps", BadRequest),
        idempotency=said.text("idempotency", longest=255) or None,
    )


def target_of(data: Mapping[str, Any]) -> str:
    """The path and query of a request."""
    query = data.get("query_params")
    return f"{data.get('path') or '/'}{f'?{query}' if query else ''}"


def _app(said: Members, request: Mapping[str, str], sdk: str, retries: int) -> RemoteApp:
    try:
        origin = AppUrl.parse(request["domain"])
    except UrlRefused as error:
        said.refuse("domain", str(error))
    try:
        url = AppUrl.parse(request["domain"] + target_of(request))
    except UrlRefused as error:
        said.refuse("path", str(error))
    if origin.target != "/" or url.origin != origin.origin or not request["path"].startswith("/"):
        said.refuse("path", f"{shown(request['path'])} is no path of {shown(request['domain'])}")
    if not METHOD.fullmatch(request["method"]):
        said.refuse("method", f"{shown(request['method'])} is no method of a request to an app")
    name, id = f"{origin.host}-{origin.port}", _id(said, request)
    function = RemoteFunction(id, f"{name}-{id}", id, str(origin), retries, Definition(id), endpoint=True)
    return RemoteApp(name, "", sdk, str(origin), "endpoint", (function,), "")


def _id(said: Members, request: Mapping[str, str]) -> str:
    """The workflow's id: a name has no slashes."""
    path = request["path"].strip("/").replace("/", ".")
    try:
        return check_name(request["fn"].replace("/", ".") or f"{request['method']} {path or '.'}", "id")
    except DefinitionError as error:
        said.refuse("fn", f"{error}: give the endpoint a functionId")


def _retries(said: Members) -> int:
    retries = said.number("retries")
    return DEFAULT_RETRIES if retries is None else min(max(retries, 0), MAX_RETRIES)
