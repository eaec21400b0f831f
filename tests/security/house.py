"""What the tests of security share: an app with secrets in every place, and a server with every kind of key."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from flowgen import App, Context, Event, NonRetriableError, OnEvent, Response, Run, Secret, Steps, WaitForSignal
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.endpoints import endpoint_routes
from flowgen.runtime.http.routes import Route
from flowgen.runtime.http.table import TABLE
from flowgen.runtime.http.ui.table import UI

TOKEN: Final = "canary-auth-token-91c2"
EVENT_KEY: Final = "canary-event-key-55ab"
SIGNING_KEY: Final = "canary-signing-key-07fe"
VAULT: Final = "canary-from-the-vault-3d4e"
ENVIRONMENT: Final = "canary-of-the-environment-b610"
CANARIES: Final = (TOKEN, EVENT_KEY, SIGNING_KEY, VAULT, ENVIRONMENT)

BEARER: Final = {"authorization": f"Bearer {TOKEN}"}
LOCKED: Final = Settings(auth_tokens=(TOKEN,), event_keys=(EVENT_KEY,), signing_keys=(SIGNING_KEY,))

app: Final = App("vault")


def use(secret: Secret[str], number: int) -> int:
    assert secret.reveal() == VAULT
    return number + 1


def lose(secret: Secret[str]) -> None:
    raise NonRetriableError(f"could not log in with {secret}")


@app.workflow(on=OnEvent("order/placed"))
def keep(ctx: Context) -> Steps[int]:
    ctx.logger.info("using the secret", extra={"secret": Secret(VAULT)})
    return (yield from Run(use, Secret(VAULT), 1))


@app.workflow(on=OnEvent("order/lost"))
def drop(ctx: Context) -> Steps[None]:
    yield Run(lose, Secret(VAULT))


@app.workflow
def sleeper(ctx: Context) -> Steps[Any]:
    return (yield WaitForSignal("wake", "wake", timeout="1h"))


@app.endpoint("POST", "/closed")
def closed(ctx: Context) -> Steps[Any]:
    yield Run(use, Secret(VAULT), 1)
    return ctx.event.data


@app.endpoint("GET", "/open/{id}", access="public")
def opened(ctx: Context) -> Steps[Response]:
    yield Run(use, Secret(VAULT), 1)
    return Response(200, {"id": ctx.event.data["params"]["id"]})


@app.endpoint("POST", "/broken", access="public")
def broken(ctx: Context) -> Steps[None]:
    yield Run(lose, Secret(VAULT))


ROUTES: Final[tuple[Route, ...]] = (*TABLE, *UI, *endpoint_routes([app], (*TABLE, *UI)))
PATHS: Final = tuple(dict.fromkeys(route.path for route in ROUTES))
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "QUERY", "X")


def filled(path: str, **parts: str) -> str:
    """A path of the table with its parts filled in."""
    known = {"key": "any", "id": "nothing", "name": "flowgen.css", "app": "vault", "result": "nothing", **parts}
    for name, value in known.items():
        path = path.replace("{" + name + "}", value)
    assert "{" not in path, path
    return path


@asynccontextmanager
async def serving(
    settings: Settings = LOCKED, headers: Mapping[str, str] | None = None, apps: App | list[App] = app
) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    """An engine, and a client of its server on the same loop."""
    async with open_engine(apps, "memory://") as engine:
        transport = httpx.ASGITransport(http_app(apps, engine, settings=settings))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288", headers=headers) as client:
            yield engine, client


async def furnished(engine: Engine) -> list[str]:
    """Runs that completed, failed and wait."""
    ids = await engine.send([Event("order/placed", {"number": 1}), Event("order/lost", {})])
    runs = [run for id in ids for run in await engine.started(id)]
    for run in runs:
        while (await engine.run(run)).ended_at is None:
            await engine.store.wait_changed(0.05)
    waiting = await engine.start(sleeper)
    while (await engine.run(waiting)).status != "waiting":
        await engine.store.wait_changed(0.05)
    return [*runs, waiting]
