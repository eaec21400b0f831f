"""In and out: a token, once given, stays in a cookie that no script can read and no other site can send.

The cookie is the token itself; whether it is still in force is looked at with each request. A page for which it
is missing answers 401 with the form in its place, so that nobody is sent anywhere, and comes back where they
wanted to go.
"""

from __future__ import annotations

import math
from typing import Final

from starlette.responses import Response

from ....duration import SECOND
from ..access import COOKIE
from ..problems import Problem
from ..routes import Call, answer
from ..settings import is_one_of
from .render import page

_LONGEST: Final = 4_096
_YEAR: Final = 365 * 24 * 3600


async def login_page(call: Call) -> Response:
    return page(call, "login.html", needs_token=bool(call.service.settings.auth_tokens))


async def log_in(call: Call) -> Response:
    """`{"token": TOKEN}`: 200 and the cookie, or 401; 429 where too many were wrong (`tries`)."""
    document = await call.json()
    token = document.get("token") if isinstance(document, dict) else None
    if not isinstance(token, str) or not 1 <= len(token) <= _LONGEST:
        raise Problem(400, "invalid_login", 'send {"token": "…"}', "/token")
    settings = call.service.settings
    if not settings.auth_tokens:
        raise Problem(409, "no_tokens", "this server has no tokens: everything is open to this machine already")
    address = call.request.client.host if call.request.client is not None else ""
    wait = call.service.tries.begin(address)
    if wait > 0:
        seconds = math.ceil(wait / SECOND)
        message = f"too many wrong tokens were tried: wait {seconds} s, and try again"
        raise Problem(429, "too_many_tries", message, headers={"Retry-After": str(seconds)})
    if not is_one_of(token, settings.auth_tokens):
        raise Problem(401, "unauthorized", "this token is not one of this server's", "/token")
    call.service.tries.right(address)
    response = answer({"status": "ok"})
    response.set_cookie(COOKIE, token, max_age=_YEAR, httponly=True, samesite="strict", secure=_is_secure(call))
    return response


async def log_out(call: Call) -> Response:
    response = answer({"status": "ok"})
    response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=_is_secure(call))
    return response


def _is_secure(call: Call) -> bool:
    """Whether the browser came by TLS: to this server, or to a proxy in front of it, which the page's origin tells."""
    return call.request.url.scheme == "https" or call.request.headers.get("origin", "").startswith("https://")
