"""A server asks apps to register: those whose URLs it was given, and those that it finds on this machine.

An app is asked (`PUT`) every few seconds, for as long as the server is there. It then says by itself which functions it
has, at `/fn/register`; one that has changed is taken over with that, and one that says the same changes nothing. With a
signing key the request is signed, and the app may answer with what it would have said there (*in band*).

An app that is gone stays registered: calls to it are tried again as its functions say. What has changed for an app is
told once, not each time.

Looking for apps is polite to whatever else runs on this machine: a port that nobody listens at is only knocked at, one
where something listens is asked for what every app shows to anybody (`GET`), and when no app is there, more and more
rarely, until that something has been away.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeVar

import attrs
import msgspec
import trio

from ....errors import FlowgenError
from ...addresses import AppUrl, UrlRefused
from ...dialing import CannotDial, Dialer
from ...protocol import headers as names
from ...protocol.reading import ProtocolError
from ...protocol.registration import RemoteApp, parse_registration
from ...protocol.signatures import sign
from ..problems import Problem
from .asking import Reply, ask
from .registering import check_urls

log = logging.getLogger("flowgen.apps")

EVERY: Final = 5.0
"""Seconds between two rounds of a server for development."""

RARELY: Final = 60.0
"""Seconds between two rounds of any other."""

PORTS: Final = (3000, 3001, 3002, 4321, 5000, 5173, 8000, 8080, 8081, 8787, 8888, 8910)
PATHS: Final = (
    "/api/inngest",
    "/api/inngest/",
    "/x/inngest",
    "/.netlify/functions/inngest",
    "/.redwood/functions/inngest",
)
"""Where the servers of web frameworks are while one works on them, and where they usually serve functions."""

_SECONDS: Final = 10.0
_KNOCK_SECONDS: Final = 1.0
_MOST_ROUNDS: Final = 12
"""A port where something else listens is looked at in one of so many rounds, at least."""

_SHOWN: Final = 300

T = TypeVar("T")
Offer = Callable[[RemoteApp], Awaitable[bool]]
Known = Callable[[], Awaitable[Iterable[RemoteApp]]]


@attrs.define
class Syncing:
    """Asks the apps at some URLs to register, and looks for others at `ports`. `key` signs, if there is one.

    `here` is this server's own address, for messages; `offer` takes an app that has answered in band, and `known` says
    which are registered.
    """

    dialer: Dialer
    offer: Offer
    known: Known
    here: str
    dev: bool
    urls: tuple[AppUrl, ...] = ()
    ports: tuple[int, ...] = ()
    key: str | None = None
    every: float = EVERY
    _found: dict[int, AppUrl] = attrs.field(factory=dict, init=False)
    _resting: dict[int, tuple[int, int]] = attrs.field(factory=dict, init=False)
    _told: dict[str, str] = attrs.field(factory=dict, init=False)

    async def run(self) -> None:
        """Round after round, until it is cancelled."""
        while True:
            await self.round()
            await trio.sleep(self.every)

    async def round(self) -> None:
        """Ask every app once, and look once at every port at which none was found."""
        async with trio.open_nursery() as nursery:
            for url in self.urls:
                nursery.start_soon(self._guarded, self._sync, url)
            for port in self.ports:
                if all(port != url.port for url in self.urls):
                    nursery.start_soon(self._guarded, self._look, port)

    async def _guarded(self, verb: Callable[[T], Awaitable[None]], what: T) -> None:
        """Whatever breaks here breaks for one app, and for this round: the engine at work has no part in it."""
        try:
            await verb(what)
        except Exception:
            log.exception("%s could not be asked to register", what)

    # -- apps whose URL is known --------------------------------------------------------------------

    async def _sync(self, url: AppUrl) -> None:
        try:
            reply = await self._asked(url)
            await self._understood(url, reply)
        except (UrlRefused, CannotDial, Problem, ProtocolError, FlowgenError) as error:
            self._tell(url, logging.WARNING, f"{url}: {error}")

    async def _asked(self, url: AppUrl) -> Reply:
        headers = {names.SERVER_KIND: "dev" if self.dev else "cloud"}
        body = b""
        if self.key is not None:
            body = msgspec.json.encode({"url": str(url)})
            headers[names.SYNC_KIND] = names.IN_BAND
            headers[names.SIGNATURE] = sign(self.key, body, int(time.time()))
            headers["Content-Type"] = "application/json"
        return await ask(self.dialer, "PUT", url, headers, body, seconds=_SECONDS)

    async def _understood(self, url: AppUrl, reply: Reply) -> None:
        sdk = reply.headers.get(names.SDK.lower())
        if reply.status != 200 or sdk is None:
            self._tell(url, logging.WARNING, f"{url} {_refused(reply) if sdk is not None else _no_app(reply)}")
            return
        if reply.headers.get(names.SYNC_KIND.lower()) == names.IN_BAND:
            app = parse_registration(reply.body)
            await check_urls(self.dialer, app)
            await self.offer(app)
        registered = [app for app in await self.known() if _is_at(app, url)]
        if registered:
            app = registered[0]
            self._tell(url, logging.INFO, f"app {app.name} at {url} ({sdk}, {_functions(app)})")
        else:
            self._tell(
                url, logging.WARNING, f"{url} registered with another server; start it with INNGEST_DEV={self.here}"
            )

    def _tell(self, url: AppUrl, level: int, message: str) -> None:
        """Say it unless it was the last that was said of that app."""
        if self._told.get(str(url)) != message:
            self._told[str(url)] = message
            log.log(level, "%s", message)

    # -- apps that are looked for -------------------------------------------------------------------

    async def _look(self, port: int) -> None:
        found = self._found.get(port)
        if found is not None:
            await self._sync(found)
        elif not await self._knock(port):
            self._resting.pop(port, None)
        elif self._rested(port):
            for path in PATHS:
                url = AppUrl("http", "localhost", port, path)
                if await self._is_app(url):
                    self._found[port] = url
                    await self._sync(url)
                    return

    async def _knock(self, port: int) -> bool:
        """Whether something listens at a port."""
        with trio.move_on_after(_KNOCK_SECONDS):
            try:
                stream = await self.dialer.connect(AppUrl("http", "localhost", port, "/"))
            except (UrlRefused, CannotDial):
                return False
            await trio.aclose_forcefully(stream)
            return True
        return False

    def _rested(self, port: int) -> bool:
        """Whether a port where something else was is to be looked at again in this round: ever more rarely."""
        left, pause = self._resting.get(port, (0, 1))
        if left > 0:
            self._resting[port] = left - 1, pause
            return False
        self._resting[port] = pause - 1, min(pause * 2, _MOST_ROUNDS)
        return True

    async def _is_app(self, url: AppUrl) -> bool:
        try:
            reply = await ask(self.dialer, "GET", url, {names.SERVER_KIND: "dev"}, seconds=_KNOCK_SECONDS)
        except (UrlRefused, CannotDial):
            return False
        return names.SDK.lower() in reply.headers


def _is_at(app: RemoteApp, url: AppUrl) -> bool:
    """Whether an app has registered from a URL: at the same port, be the host called as it may, with the same path."""
    try:
        its = AppUrl.parse(app.url)
    except UrlRefused:
        return False
    return (its.port, its.target.partition("?")[0]) == (url.port, url.target.partition("?")[0])


def _functions(app: RemoteApp) -> str:
    return "1 function" if len(app.functions) == 1 else f"{len(app.functions)} functions"


def _no_app(reply: Reply) -> str:
    """What came from a URL where no app is."""
    if 300 <= reply.status < 400:
        where = _printable(reply.headers.get("location", "nowhere"))
        return f"leads on to {where} (status {reply.status}), which is not followed: say where the functions are"
    return f"answered status {reply.status}, and not as an app does: are its functions served there?"


def _refused(reply: Reply) -> str:
    """What an app says is wrong."""
    try:
        document: Any = json.loads(reply.body)
    except (ValueError, RecursionError):
        document = None
    said = document.get("message") or document.get("error") if isinstance(document, dict) else None
    text = _printable(said if isinstance(said, str) else reply.body.decode(errors="replace"))
    return f"answered status {reply.status}: {text or 'no reason given'}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text[:_SHOWN]).strip()
