"""Reading the body of a request: JSON, in UTF-8, and no more of it than the server takes.

That a body must be declared as JSON is also what keeps forms of other sites out: a browser asks before it sends
JSON elsewhere, and is told no.
"""

from __future__ import annotations

from typing import Any, Final

import attrs
from starlette.requests import Request
from starlette.types import Receive, Scope

from ..strict_json import parse
from .meter import Meter
from .problems import Problem

HELD: Final = "flowgen.held"
"""Where a scope has the `Held` of a request whose body is counted."""


@attrs.define
class Held:
    """What one request has of the room that all bodies in hand have together: `most` bytes."""

    meter: Meter
    most: int
    bytes: int = 0

    def take(self, bytes: int) -> None:
        """Count some more, which are kept until the request ends. Raises `Problem` (503) if there is no room."""
        if self.meter.open_bytes + bytes > self.most:
            raise Problem(503, "busy", "too many bodies are in hand: come again", headers={"Retry-After": "1"})
        self.meter.open_bytes += bytes
        self.bytes += bytes

    def release(self) -> None:
        """The request has ended."""
        self.meter.open_bytes -= self.bytes
        self.bytes = 0


async def read_json(request: Request, limit: int) -> Any:
    """The value in the body of a request. Raises `Problem` (400, 413, 415) or `BadJson`."""
    return parse(await read_body(request, limit))


async def read_body(request: Request, limit: int) -> bytes:
    """The body of a request that says it is JSON."""
    _check_kind(request)
    return await read_bytes(request, limit)


async def read_optional(request: Request, limit: int) -> bytes:
    """The body of a request that may have none, which is empty then, and needs not say what it is.

    Only a length says beforehand that there is one: chunks, and all of HTTP/2, end by themselves.
    """
    length = request.headers.get("content-length")
    if length == "0":
        return b""
    if length is not None:
        return await read_body(request, limit)
    body = await read_bytes(request, limit)
    if body:
        _check_kind(request)
    return body


def _check_kind(request: Request) -> None:
    """Raise the problem (415) of a body that does not say it is JSON."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() != "application/json" or _other_charset(parameters):
        raise Problem(415, "unsupported_media_type", "send the body as Content-Type: application/json, in UTF-8")
    if request.headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise Problem(415, "unsupported_media_type", "compressed bodies are not read: send it plain")


async def read_bytes(request: Request, limit: int) -> bytes:
    """The body of a request, whatever it is."""
    return await receive_bytes(request.scope, request.receive, limit)


async def receive_bytes(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The same, of a request that is still as ASGI has it."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            if value.isdigit() and int(value.lstrip(b"0")[:20] or 0) > limit:
                raise _too_large(limit)
            break
    held: Held | None = scope.get(HELD)
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Problem(400, "incomplete", "the connection ended before the body did")
        parts.append(message.get("body", b""))
        limit -= len(parts[-1])
        if limit < 0:
            raise _too_large(limit + sum(map(len, parts)))
        if held is not None:
            held.take(len(parts[-1]))
        more = message.get("more_body", False)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _other_charset(parameters: str) -> bool:
    name, _, value = parameters.strip().lower().partition("=")
    return name == "charset" and value.strip('" ') not in ("utf-8", "utf8")


def _too_large(limit: int) -> Problem:
    return Problem(413, "too_large", f"the body has more than {limit} bytes", headers={"Connection": "close"})
