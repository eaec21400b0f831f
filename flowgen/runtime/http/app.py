"""`http_app`: the server as an ASGI app, to serve or to mount.

The router is made from the tables of routes. Around each handler stand, in this order: the signature of the request
if it has one, who may use the route, its query parameters, and what its errors are for the caller. Whatever is in no
table is 404, or 405 with the methods that the path has; these answers tell nothing else. The handshake of a web socket
is a `GET` with all of this.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any, overload

import attrs
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from ...app import App
from ...errors import InvalidInput
from ..client import LocalClient, start_engine
from ..engine import Engine
from ..store import Store
from .access import check_access
from .endpoints import endpoint_routes
from .guard import ROUTE, Guard
from .mounting import MountedApp
from .problems import Problem, problem_of
from .routes import Call, Route, check_query
from .sdk.envelope import is_sdk
from .sdk.table import VIEWS
from .service import Service
from .settings import Settings
from .shortcut import Shortcut
from .signed import read_signed
from .table import TABLE
from .ui.table import UI


@overload
def http_app(
    app: App | Iterable[App], engine: Engine | LocalClient, *, settings: Settings | None = None
) -> ASGIApp: ...
@overload
def http_app(
    app: App | Iterable[App], *, store: str | Store, settings: Settings | None = None, **options: Any
) -> MountedApp: ...
def http_app(
    app: App | Iterable[App],
    engine: Engine | LocalClient | None = None,
    *,
    store: str | Store | None = None,
    settings: Settings | None = None,
    **options: Any,
) -> ASGIApp:
    """The ASGI app of an engine: event API, REST, pages, endpoints. Serve it, or mount it in an app of your own.

    `app` is the app, or the apps, whose workflows it describes; `engine` what `open_engine` or `start_engine` gave. The
    server may run on another loop, in another thread. With a `store` in its place it opens an engine of its own, in a
    thread, when the server starts (options as for `open_engine`); see `MountedApp`. `settings` default to what the
    environment says (`Settings.from_environment`). Without a token it serves loopback names only.

    ::

        with start_engine(app, store="sqlite:///shop.db") as client:
            uvicorn.run(http_app(app, client), port=8288)

        flows = http_app(app, store="sqlite:///shop.db")
        api = FastAPI(lifespan=flows.lifespan)
        api.mount("/flows", flows)
    """
    apps = [app] if isinstance(app, App) else list(app)
    settings = Settings.from_environment() if settings is None else settings
    if (engine is None) == (store is None):
        raise InvalidInput("http_app takes an engine, or the store that it opens one on: one of the two")
    if engine is not None:
        if options:
            raise InvalidInput(f"http_app: {', '.join(options)}: options are for the engine that it opens on a store")
        return _served(apps, _engine_of(engine), settings)
    assert store is not None
    return MountedApp(
        partial(start_engine, apps, store, **options), lambda client: _served(apps, client.engine, settings)
    )


def _served(apps: list[App], engine: Engine, settings: Settings) -> ASGIApp:
    """The app of an engine that is open."""
    service = Service(engine, {each.name: each for each in apps}, settings)
    made = Starlette(routes=_router(service), exception_handlers={HTTPException: _unknown})
    made.router.redirect_slashes = False
    made.router.default = _nowhere
    return Guard(Shortcut(made, service), settings, service.meter)


def _engine_of(engine: Engine | LocalClient) -> Engine:
    return engine if isinstance(engine, Engine) else engine.engine


def _router(service: Service) -> list[BaseRoute]:
    """One Starlette route for each path: so one that is called with another method knows all that it has."""
    paths: dict[str, dict[str, Route]] = {}
    for route in (*TABLE, *UI, *endpoint_routes(service.apps.values(), (*TABLE, *UI))):
        paths.setdefault(route.path, {})[route.method] = route
    sockets = [_web_socket(route, service) for route in TABLE if route.talk is not None]
    return [*(_path(path, routes, service) for path, routes in paths.items()), *sockets]


def _path(path: str, routes: dict[str, Route], service: Service) -> StarletteRoute:
    async def serve(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        route = routes[method]
        if (view := VIEWS.get((method, path))) is not None and is_sdk(request.scope["headers"]):
            route = view
        call = Call(request, service, route)
        request.scope[ROUTE] = path
        try:
            call = await _checked(call)
            return await route.handler(call)
        except Exception as error:
            return route.refused(call, problem_of(error))

    return StarletteRoute(path, serve, methods=list(routes), name=path)


def _web_socket(route: Route, service: Service) -> WebSocketRoute:
    async def serve(socket: WebSocket) -> None:
        call = Call(Request({**socket.scope, "type": "http", "method": "GET"}, _no_body), service, route)
        socket.scope[ROUTE] = route.path
        assert route.talk is not None
        try:
            await route.talk(await _checked(call), socket)
        except WebSocketDisconnect:
            """It is gone."""
        except Exception as error:
            problem = problem_of(error)
            if socket.application_state is WebSocketState.CONNECTING:
                await socket.send_denial_response(route.refused(call, problem))
            else:
                await socket.close(1011, problem.code)

    return WebSocketRoute(route.path, serve)


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _checked(call: Call) -> Call:
    """The call, if it may be made as it is; with its signature, if that is good."""
    service = call.service
    signed = await read_signed(call.request, service)
    if signed is not None:
        call = attrs.evolve(call, request=signed, signed=True)
    check_access(call.route.access, call.request, service.settings, call.signed)
    check_query(call)
    return call


async def _nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Where no path of the table leads, with a request or with the handshake of a web socket."""
    await _not_found().response()(scope, receive, send)


async def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = dict(error.headers or {})
        return Problem(405, "method_not_allowed", f"{request.method} is not for this path", headers=allowed).response()
    return _not_found().response()


def _not_found() -> Problem:
    return Problem(404, "not_found", "nothing is served here")
