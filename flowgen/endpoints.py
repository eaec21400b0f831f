"""Durable endpoints as values: which requests a workflow answers, and what it answers them with.

An `Endpoint` is a method, a path and a patience: a request to it starts a run of its workflow, and is answered with
what the run returns. `Response` says more than a value can: a status, and headers.

A response is recorded like any result, as an object that a mark tells from others. A workflow may return what
strangers have sent, so an object that has the mark by itself is not taken for a response (`answered`).

Refuses to know: how requests are read and who may send them (`runtime.http`), and what a run is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

import attrs

from .duration import MINUTE, Micros, parse_duration
from .errors import DefinitionError

EndpointAccess = Literal["token", "public"]
"""Who may call: whoever may operate the server, or anybody."""

METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
LONGEST_WAIT: Final[Micros] = 5 * MINUTE
MARK: Final = "flowgen_response"

_MAX_PATH: Final = 200
_SEGMENT: Final = re.compile(r"[A-Za-z0-9._~-]+|\{[A-Za-z_][A-Za-z0-9_]*\}")


@attrs.frozen
class Endpoint:
    """Requests with `method` for `path` start a run, and wait `wait` for what it returns."""

    method: str
    path: str
    wait: Micros
    access: EndpointAccess = "token"

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of the parts of the path that a request fills in."""
        return tuple(part[1:-1] for part in self.path.split("/") if part.startswith("{"))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def make_endpoint(method: Any, path: Any, wait: Any, access: Any) -> Endpoint:
    """An endpoint as a user writes it. Raises `DefinitionError` with what is wrong with it."""
    at = f"endpoint {method} {path}" if isinstance(method, str) and isinstance(path, str) else "endpoint"
    if method not in METHODS:
        raise DefinitionError(f"{at}: {method!r:.50} is no method of an endpoint; say one of {', '.join(METHODS)}")
    flaw = _flaw_of_path(path)
    if flaw is not None:
        raise DefinitionError(f"{at:.300}: {flaw}")
    if access not in get_args(EndpointAccess):
        raise DefinitionError(f"{at}: access={access!r:.50} is neither 'token' nor 'public'")
    return Endpoint(method, path, parse_duration(wait, f"wait of {at}", maximum=LONGEST_WAIT), access)


def _flaw_of_path(path: Any) -> str | None:
    if not isinstance(path, str) or not path.startswith("/"):
        return f"{path!r:.100} is no path; it begins with a slash, such as '/checkout' or '/orders/{{id}}'"
    if len(path) > _MAX_PATH:
        return f"its path has {len(path)} characters; at most {_MAX_PATH} are accepted"
    parts = path[1:].split("/")
    for part in parts:
        if not _SEGMENT.fullmatch(part) or part in (".", ".."):
            return f"the part {part!r:.100} of its path is neither letters, digits and -._~ nor a name in braces"
    if parts[0].startswith("{"):
        return f"its path begins with {parts[0]}; begin with letters, so that it takes no requests of others"
    names = [part for part in parts if part.startswith("{")]
    twice = [name for name in names if names.count(name) > 1]
    return f"its path has {twice[0]} twice; give one of them another name" if twice else None


# -- responses -------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?|")
_MAX_HEADERS: Final = 50
_MAX_VALUE: Final = 4_096
_BODILESS: Final = (204, 205, 304)

_NOT_YOURS: Final = {
    **dict.fromkeys(
        "connection content-encoding content-length date keep-alive proxy-connection server te trailer "
        "transfer-encoding upgrade".split(),
        "the server says it",
    ),
    **dict.fromkeys(
        "content-security-policy cross-origin-resource-policy referrer-policy x-content-type-options "
        "x-frame-options".split(),
        "the server says it with every answer, so that no page can be made of one",
    ),
    **dict.fromkeys(("set-cookie", "set-cookie2"), "it would be kept in the history of the run, for all who read it"),
}


@attrs.frozen(init=False)
class Response:
    """What an endpoint answers, when a value alone would not say it all.

    `body` is sent as JSON; a text is sent as it is if `headers` say a `Content-Type` that is not JSON. None is no body.
    It is recorded as the result of the run, headers included: they are no place for secrets.

    Raises `DefinitionError` for a status that is not between 200 and 599, for a body where the status has none, and
    for headers that cannot be sent, or are not the workflow's to send (`Set-Cookie`, `Content-Length`, …).

    >>> Response(201, {"id": 7}, {"Location": "/orders/7"}).status
    201
    """

    status: int
    body: Any
    headers: dict[str, str]
    flowgen_response: int = 1

    def __init__(self, status: int = 200, body: Any = None, headers: Mapping[str, str] | None = None) -> None:
        if type(status) is not int or not 200 <= status <= 599:
            raise DefinitionError(f"Response: status {status!r:.50} is not one from 200 to 599")
        if body is not None and status in _BODILESS:
            raise DefinitionError(f"Response: an answer with status {status} has no body; leave it out")
        self.__attrs_init__(status, body, _checked_headers(headers or {}))
        if self.is_text and not isinstance(body, str | None):
            raise DefinitionError(
                f"Response: a body of type {type(body).__name__} is sent as JSON; to send it as "
                f"{self.content_type!r:.100}, make a str of it"
            )

    @property
    def content_type(self) -> str:
        """What its body is sent as."""
        for name, value in self.headers.items():
            if name.lower() == "content-type":
                return value
        return "application/json"

    @property
    def is_text(self) -> bool:
        """Whether its body is sent as it is."""
        kind = self.content_type.partition(";")[0].strip().lower()
        return not (kind == "application/json" or kind.endswith("+json"))


def _checked_headers(headers: Any) -> dict[str, str]:
    if not isinstance(headers, Mapping):
        raise DefinitionError(f"Response: headers is a {type(headers).__name__}; write {{'Name': 'value'}}")
    if len(headers) > _MAX_HEADERS:
        raise DefinitionError(f"Response: {len(headers)} headers; at most {_MAX_HEADERS} are accepted")
    seen: set[str] = set()
    for name, value in headers.items():
        if not isinstance(name, str) or not _TOKEN.fullmatch(name):
            raise DefinitionError(f"Response: {name!r:.100} is no name of a header")
        if not isinstance(value, str) or not _VALUE.fullmatch(value) or len(value) > _MAX_VALUE:
            raise DefinitionError(
                f"Response: the header {name} is {value!r:.100}; say at most {_MAX_VALUE} printable ASCII characters, "
                "without spaces around them"
            )
        plain = name.lower()
        reason = "there is no CORS here" if plain.startswith("access-control-") else _NOT_YOURS.get(plain)
        if reason is not None:
            raise DefinitionError(f"Response: the header {name} is not a workflow's to send: {reason}")
        if plain in seen:
            raise DefinitionError(f"Response: the header {name} is there twice, in other letters")
        seen.add(plain)
    return dict(headers)


def answered(value: Any) -> Any:
    """What an endpoint's workflow returned, such that only a `Response` is recorded as one."""
    return Response(200, value) if isinstance(value, Mapping) and MARK in value else value


def response_of(result: Any) -> Response:
    """The response that the recorded result of an endpoint's run is."""
    if isinstance(result, dict) and result.get(MARK) == 1:
        return Response(result["status"], result["body"], result["headers"])
    return Response(200, result)
