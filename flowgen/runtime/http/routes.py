"""A route as a value: what it answers, who may use it, and what it says of itself.

The server is the table of its routes (`table`): the router, the check of who may do what, the refusals of other methods
and the OpenAPI document are all made from it, so none can know a route that another forgot. A route names
the query parameters that it reads; any other is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal

import attrs
import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from ...duration import MINUTE, parse_duration
from ...errors import DefinitionError
from ..strict_json import parse
from .access import Access
from .bodies import read_json, read_optional
from .problems import Problem
from .service import Service

LIMIT: Final = 50
LONGEST_PAGE: Final = 500
LONGEST_WAIT: Final = 5 * MINUTE


@attrs.frozen
class Call:
    """One request to one route. `signed`: it has a signature that is good."""

    request: Request
    service: Service
    route: Route
    signed: bool = False

    def path(self, name: str) -> str:
        """A part of the path."""
        return str(self.request.path_params[name])

    def query(self, name: str) -> str | None:
        """A query parameter, if it was given, once."""
        assert any(parameter.name == name for parameter in self.route.query), f"{name} is not in the route's table"
        given = self.request.query_params.getlist(name)
        if len(given) > 1:
            raise Problem(400, "invalid_parameter", f"say {name} once", name)
        return given[0] if given else None

    def number(self, name: str, default: int, least: int, most: int) -> int:
        """A query parameter that is a number between two others, both included."""
        given = self.query(name)
        if given is None:
            return default
        if not (given.isascii() and given.isdigit() and len(given) <= 9 and least <= int(given) <= most):
            raise Problem(400, "invalid_parameter", f"{name}={given!r:.50}: say a number from {least} to {most}", name)
        return int(given)

    def wait(self) -> timedelta | None:
        """For how long the request would wait, if it says so: `wait=30s`."""
        given = self.query("wait")
        if given is None:
            return None
        try:
            return timedelta(microseconds=parse_duration(given[:50], "wait", maximum=LONGEST_WAIT))
        except DefinitionError as error:
            raise Problem(400, "invalid_parameter", str(error), "wait") from None

    async def json(self) -> Any:
        """The body."""
        return await read_json(self.request, self.service.settings.max_body)

    async def optional_json(self) -> Any:
        """The body, or an empty object if there is none."""
        body = await read_optional(self.request, self.service.settings.max_body)
        return parse(body) if body else {}


Handler = Callable[[Call], Awaitable[Response]]
Refused = Callable[[Call, Problem], Response]
Talk = Callable[[Call, WebSocket], Awaitable[None]]


@attrs.frozen
class Parameter:
    """A query parameter of a route, or a header that it reads. `schema` is JSON Schema."""

    name: str
    about: str
    schema: Mapping[str, Any] = {"type": "string"}
    place: Literal["query", "header"] = "query"


def refused_as_json(call: Call, problem: Problem) -> Response:
    """How programs are refused."""
    return problem.response()


@attrs.frozen
class Route:
    """One method on one path. `body` and the values of `answers` name schemas (`schemas`); "" is no body.

    `refused` makes the answer of a request that is refused: pages for people have their own. With `any_query` it reads
    its query by itself, whatever that has. With `any_answer` a workflow makes the answer: its status and its shape.
    With `talk` it can be opened as a web socket, too: that accepts the handshake, or raises what it is refused with.
    """

    method: str
    path: str
    handler: Handler
    access: Access
    about: str
    query: tuple[Parameter, ...] = ()
    body: str = ""
    answers: Mapping[int, str] = attrs.field(factory=dict)
    refused: Refused = refused_as_json
    any_query: bool = False
    any_answer: bool = False
    talk: Talk | None = None


LIMIT_PARAMETER: Final = Parameter(
    "limit", "How many items a page has.", {"type": "integer", "minimum": 1, "maximum": LONGEST_PAGE, "default": LIMIT}
)
CURSOR_PARAMETER: Final = Parameter("cursor", "Where the page before said that this one begins.")
PAGED: Final = (LIMIT_PARAMETER, CURSOR_PARAMETER)


def answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(document), status, headers=headers, media_type="application/json")


def check_query(call: Call) -> None:
    """Refuse parameters that the route does not have: a filter that is misspelt must not select everything."""
    if call.route.any_query:
        return
    known = {parameter.name for parameter in call.route.query}
    for name in call.request.query_params:
        if name not in known:
            takes = f"it takes {', '.join(sorted(known))}" if known else "it takes none"
            raise Problem(400, "unknown_parameter", f"no parameter is called {name!r:.50}: {takes}", name)
