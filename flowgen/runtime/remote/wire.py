"""Requests and answers as httpx has them: what both clients share."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

import httpx

from ... import __version__
from ...errors import InvalidInput
from .talk import Answer, Broken, Request

_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)

_HERE: Final = ("localhost", "127.0.0.1", "::1")


def options(url: str, key: str | None) -> dict[str, Any]:
    """The arguments of an httpx client for the server at `url`. Raises `InvalidInput` for what is no such URL."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise InvalidInput(f"url {url!r}: say http://host:port, as flowgen dev prints it")
    if parts.username is not None or parts.password is not None:
        raise InvalidInput("a URL is no place for secrets: give the token as key")
    headers = {"User-Agent": f"flowgen/{__version__}", "Accept": "application/json"}
    if key is not None:
        if not key.isascii() or not key.isprintable() or " " in key or not key:
            raise InvalidInput("key: a token is printable ASCII without spaces")
        headers["Authorization"] = f"Bearer {key}"
    proxied = parts.hostname not in _HERE  # a proxy that the environment names is not for this machine
    return {"base_url": url.rstrip("/"), "headers": headers, "follow_redirects": False, "trust_env": proxied}


def arguments_of(request: Request, timeout: float) -> dict[str, Any]:
    """The arguments of httpx's `request`."""
    arguments: dict[str, Any] = {
        "method": request.method,
        "url": request.path,
        "params": dict(request.query),
        "timeout": httpx.Timeout(timeout, read=timeout + request.patience),
    }
    if request.body is not None:
        arguments["content"] = request.content()
        arguments["headers"] = {"Content-Type": "application/json"}
    return arguments


def answer_of(response: httpx.Response) -> Answer:
    """What came back."""
    return Answer(response.status_code, response.content, response.headers.get("retry-after"))


def broken_by(error: httpx.TransportError) -> Broken:
    """That nothing came back."""
    what = str(error) or type(error).__name__
    return Broken(f"the server cannot be reached ({what})", not isinstance(error, _NEVER_SENT))
