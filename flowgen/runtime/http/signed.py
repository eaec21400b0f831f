"""Signed requests: what they have to prove before they are let in, and in which order.

The signature covers the body, so the body is read here, and read again from memory by whatever the request is for. What
is wrong with the header alone is refused before that. A signature that is not good is refused even where none is
needed: whoever sends one means to be known.
"""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.types import Message, Receive

from .bodies import HELD, read_bytes
from .problems import Problem
from .service import Service
from .signatures import HEADER, BadSignature, TooManyNonces, read_signature


async def read_signed(request: Request, service: Service) -> Request | None:
    """The request, to be read again, if it has a good signature; None if it has none, or this server no keys.

    Raises the problem (401) of one that has a bad one.
    """
    keys = service.settings.signing_keys
    headers = request.headers.getlist(HEADER) if keys else []
    if not headers:
        return None
    try:
        if len(headers) > 1:
            raise BadSignature("say it once")
        signature = read_signature(headers[0], time.time())
        body = await read_bytes(request, service.settings.max_body)
        signature.check(keys, request.method.encode(), _target(request), body)
        service.nonces.use(signature, time.time())
    except BadSignature as bad:
        raise Problem(401, "bad_signature", f"{HEADER}: {bad}") from None
    except TooManyNonces:
        raise Problem(
            503, "busy", "too many signed requests in the last minutes: come again", headers={"Retry-After": "60"}
        ) from None
    request.scope[HELD] = None  # what is read again is the same bytes: they count once
    return Request(request.scope, _again(body, request.receive))


def _target(request: Request) -> bytes:
    """Path and query as they stand in the request line."""
    scope = request.scope
    query: bytes = scope.get("query_string", b"")
    path: bytes = scope.get("raw_path") or b""
    return path + b"?" + query if query else path


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives the body first, and then what comes after it."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
