"""Apps come and go: `/fn/register`, `/fn/remove`, and what a server says of itself and them, `/dev`.

An app says which functions it has and where they are called. Before anything of it is kept, all its URLs are checked,
and all the addresses that they lead to (`dialing`); they are checked again whenever a connection is opened. An app that
says the same as before changes nothing.

A server that is not for development calls apps with signed requests, so without a signing key it takes none.
"""

from __future__ import annotations

from typing import Final

import trio
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from .... import __version__
from ....errors import NotFound
from ...addresses import AppUrl, UrlRefused
from ...dialing import CannotDial, Dialer
from ...engine import Engine
from ...protocol.headers import EXPECTED_SERVER_KIND
from ...protocol.reading import MAX_DEPTH
from ...protocol.registration import RemoteApp, parse_registration
from ...strict_json import parse
from ..bodies import read_body
from ..problems import Problem
from ..routes import Call, answer
from ..settings import Settings

_LARGE: Final = 32 * 1024
"""Bytes of a registration that takes so long to read that others would notice: a thousand functions take a second."""

KINDS: Final = {True: "dev", False: "cloud"}
"""What a server calls itself, for development or not."""


async def register(call: Call) -> Response:
    settings, engine = call.service.settings, call.service.engine
    body = await read_body(call.request, settings.max_body)
    parse(body, depth=MAX_DEPTH)
    app = await run_in_threadpool(parse_registration, body) if len(body) > _LARGE else parse_registration(body)
    check_kind(call, settings)
    await call.service.ask(check_urls, call.service.dialer, app)
    modified = await call.service.ask(engine.offer, app)
    return answer({"ok": True, "modified": modified, "app_id": app.name, "status": 200})


async def remove(call: Call) -> Response:
    """Withdraw the apps at a URL, or the one with a name. Runs that are open wait until it is back."""
    url, name, engine = call.query("url"), call.query("app"), call.service.engine
    if (url is None) == (name is None):
        raise Problem(400, "invalid_parameter", "say which app: url=URL, or app=NAME", "url")
    apps = [app.name for app in await call.service.ask(_remote_apps, engine) if name == app.name or url == app.url]
    if not apps:
        raise NotFound(f"no app is registered {f'at {url!r:.200}' if name is None else f'as {name!r:.100}'}")
    for app in apps:
        await call.service.ask(engine.withdraw, app)
    return answer({"ok": True, "removed": apps})


async def describe(call: Call) -> Response:
    """What SDKs look at to find a server, and people to see what it knows."""
    settings = call.service.settings
    apps = await call.service.ask(_remote_apps, call.service.engine)
    return answer(
        {
            "version": __version__,
            "kind": KINDS[settings.dev],
            "isSingleNodeService": not settings.dev,
            "isMissingSigningKey": not settings.dev and not settings.app_keys,
            "isMissingEventKeys": not settings.dev and not settings.event_keys,
            "functions": [
                {
                    "id": function.slug,
                    "slug": function.slug,
                    "name": function.name,
                    "app": app.name,
                    "url": function.url,
                }
                for app in apps
                for function in app.functions
            ],
            "handlers": [
                {
                    "sdk": {
                        "appName": app.name,
                        "sdk": app.sdk,
                        "url": app.url,
                        "framework": app.framework,
                        "functions": len(app.functions),
                    },
                    "errors": [],
                }
                for app in apps
            ],
        }
    )


async def check_urls(dialer: Dialer, app: RemoteApp) -> None:
    """Raise the problem (400) of an app with a URL that this server does not call."""
    urls = {f"functions[{index}]": function.url for index, function in enumerate(app.functions)} | {"url": app.url}
    checked: set[str] = set()
    for place, text in urls.items():
        try:
            url = AppUrl.parse(text)
            if url.origin not in checked:
                await _look_up(dialer, url)
                checked.add(url.origin)
        except (UrlRefused, CannotDial) as error:
            raise Problem(400, "invalid_url", f"{place}: {error}", f"/{place}") from None


async def _look_up(dialer: Dialer, url: AppUrl) -> None:
    with trio.move_on_after(dialer.seconds):
        await dialer.addresses(url)
        return
    raise CannotDial(f"{url.host} was not found within {dialer.seconds:g} s")


def check_kind(call: Call, settings: Settings) -> None:
    """Raise the problem of an app that means a server of another kind, or that this server could not call."""
    kind, expected = KINDS[settings.dev], call.request.headers.get(EXPECTED_SERVER_KIND, "")
    if expected and expected != kind:
        raise Problem(400, "wrong_server_kind", f"the app expects a server of kind {expected!r:.50}; this is {kind!r}")
    if not settings.dev and not settings.app_keys:
        raise Problem(
            403,
            "no_signing_key",
            "this server has no signing key to call apps with: set FLOWGEN_SIGNING_KEY to signkey-NAME-HEX, with an "
            "even number of hex digits, and the app's INNGEST_SIGNING_KEY to the same",
        )


async def _remote_apps(engine: Engine) -> tuple[RemoteApp, ...]:
    return await engine.remote_apps()
