"""The guard at the door: what it lets through is a request that a program or a person meant for this server.

In this order, each with the reason in its refusal:

1. **Room.** Over `max_open` requests in hand the next is told to come again (503) before anything of it is read; so is
   a body that does not fit into what is left of `max_open_bytes`. Bodies count as they come (`Held`), not as they are
   said to: whoever says much and sends nothing takes no room of others. Those of up to `SMALL` bytes always have room.
2. **Host.** A page of a stranger can make a browser call `127.0.0.1` under a name of its own (DNS rebinding): only
   names that the server is known by are served (421). With a token set, and only loopback names known, any name is
   served: the token is what a stranger's page does not have.
3. **Origin.** What a browser sends on behalf of another site is refused (403), be it a form, a fetch or an image.
4. **Headers** that say how to read an answer safely go with every response.

The handshake of a web socket is a request like any other: so it passes the same, and is refused with the same. But it
may come from a page that another port of one of the server's own names serves, as apps on one machine do: what a web
socket is for takes a token in its address (`Access.LISTEN`), and nothing that a browser would add by itself counts.

Who may do what is asked of each route (`access`); how large a body may be when it is read (`bodies`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .bodies import HELD, Held
from .meter import Meter
from .problems import Problem
from .settings import Settings

POLICY: Final = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)

SMALL: Final = 16 * 1024
"""Bytes of a body that has room wherever its request has."""

ROUTE: Final = "flowgen.route"
"""Where a scope says which route of the table it was found to be for."""

_ALWAYS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", POLICY.encode()),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)

_ANSWERS: Final = frozenset({"http.response.start", "websocket.http.response.start"})
_KIND: Final = b"x-inngest-server-kind"
_NAMES: Final = frozenset((_KIND, *(name for name, _ in _ALWAYS)))
_TOLD: Final = frozenset(
    {
        b"host",
        b"origin",
        b"sec-fetch-site",
        b"sec-fetch-mode",
        b"sec-fetch-dest",
        b"content-length",
        b"transfer-encoding",
    }
)
"""The headers that tell who means a request, for whom, and how large it is."""


class Guard:
    """ASGI middleware around the whole server."""

    def __init__(self, app: ASGIApp, settings: Settings, meter: Meter) -> None:
        self._app = app
        self._settings = settings
        self._meter = meter
        self._always = (*_ALWAYS, (_KIND, b"dev" if settings.dev else b"cloud"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] in _ANSWERS:
                headers = message["headers"]
                said = [name for name, _ in headers]
                missing: Iterable[tuple[bytes, bytes]] = self._always
                if not _NAMES.isdisjoint(said):
                    missing = [header for header in missing if header[0] not in said]
                message["headers"] = [*headers, *missing]
                self._meter.answered(scope.get("method", "GET"), scope.get(ROUTE, ""), message["status"])
            elif message["type"] == "websocket.accept":
                self._meter.answered("GET", scope.get(ROUTE, ""), 101)
            await send(message)

        said: dict[bytes, str] = {}
        hosts = 0
        for name, value in scope["headers"]:
            if name in _TOLD:
                hosts += name == b"host"
                said.setdefault(name, value.decode("latin-1"))
        size = _size(said, scope, self._settings.max_body)
        refusal = self._refusal(scope, said, hosts, size)
        if refusal is not None:
            await refusal.response()(scope, receive, answer)
            return
        counted = size > SMALL or _may_have_more(said, scope)
        held = Held(self._meter, self._settings.max_open_bytes) if counted else None
        scope[HELD] = held
        self._meter.open += 1
        try:
            await self._app(scope, receive, answer)
        finally:
            self._meter.open -= 1
            if held is not None:
                held.release()

    def _refusal(self, scope: Scope, said: Mapping[bytes, str], hosts: int, size: int) -> Problem | None:
        meter, settings = self._meter, self._settings
        if meter.open >= settings.max_open or (size > SMALL and meter.open_bytes + size > settings.max_open_bytes):
            return Problem(503, "busy", "too many requests are in hand: come again", headers={"Retry-After": "1"})
        if hosts != 1:
            return Problem(400, "invalid_host", "a request names one Host")
        host = said[b"host"]
        name = host_of(host)
        if name is None:
            return Problem(400, "invalid_host", f"{host!r:.100} is no name of a host")
        if not self._knows(name):
            return Problem(
                421,
                "unknown_host",
                f"this server is not known as {host!r:.100}; if that is its name, start it with that host allowed "
                "(FLOWGEN_HOSTS)",
            )
        origin = said.get(b"origin")
        if origin is not None and scope["type"] == "websocket" and self._is_neighbour(origin):
            return None
        if origin is not None and not _same_site(origin, host):
            return Problem(
                403, "cross_origin", f"requests from {origin!r:.100} are refused: only this server's own pages"
            )
        if said.get(b"sec-fetch-site", "none") not in ("none", "same-origin") and not _is_visit(said, scope):
            return Problem(403, "cross_origin", "a page of another site sent this")
        return None

    def _is_neighbour(self, origin: str) -> bool:
        """Whether a page is of a name of this server's own, be it on another port."""
        scheme, _, rest = origin.lower().partition("://")
        name = host_of(rest)
        return scheme in ("http", "https") and name is not None and self._settings.is_named(name)

    def _knows(self, host: str) -> bool:
        settings = self._settings
        return settings.may_be_called(host) or bool(settings.auth_tokens and not settings.hosts)


def _size(said: Mapping[bytes, str], scope: Scope, most: int) -> int:
    """How many bytes of body may have to be kept; of one that does not say, all that are taken."""
    if b"transfer-encoding" in said:
        return most
    length = said.get(b"content-length")
    if length is None:
        return 0 if scope["http_version"][:1] == "1" or scope.get("method", "GET") in ("GET", "HEAD") else most
    return min(int(length.lstrip("0")[:20] or 0), most) if length.isascii() and length.isdigit() else most


def _may_have_more(said: Mapping[bytes, str], scope: Scope) -> bool:
    """Whether a body may come that nothing has said: in HTTP/2 even with a GET, of which nobody expects one."""
    return b"content-length" not in said and bool(scope["http_version"][:1] != "1")


_HOST: Final = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]*)(?::[0-9]{1,5})?")


@lru_cache(maxsize=64)
def host_of(header: str) -> str | None:
    """The name in a `Host` header, without the port and in lower case; None if it is none."""
    form = _HOST.fullmatch(header.strip().lower())
    return None if form is None else form[1]


def _same_site(origin: str, host: str) -> bool:
    scheme, separator, rest = origin.lower().partition("://")
    return bool(separator) and scheme in ("http", "https") and rest == host.strip().lower()


def _is_visit(said: Mapping[bytes, str], scope: Scope) -> bool:
    """Whether a person follows a link to a page: that changes nothing and shows nothing to whoever linked."""
    return (
        scope.get("method") == "GET"
        and said.get(b"sec-fetch-mode") == "navigate"
        and said.get(b"sec-fetch-dest") in ("document", None)
    )
