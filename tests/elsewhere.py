"""The same apps elsewhere: engines that have of an app what it says of itself, and call it over HTTP once a step.

`open_engine` takes what that of flowgen takes, and its engine drives the same workflows. But they are *served*
(`flowgen.runtime.serving`): what the engine has in their place are remote functions, made of the registration that the
app sends, and each step is a request, whole and as bytes, to the ASGI app. Only the socket is missing, so that this
works on virtual time, too. Bodies are executed by what the engine would have used, for whom it is nothing new: stubs,
journals, threads and faults are where they were.

`elsewhere` makes a test, or a whole module of them, open its engines here. `twice` is how a suite is run a second time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

import attrs
import httpx
import msgspec
import pytest

from flowgen import App, Workflow, verdicts
from flowgen.history import Record
from flowgen.interpreter import Interpreter
from flowgen.runtime import Engine
from flowgen.runtime import open_engine as open_engine_here
from flowgen.runtime.digest import code_digest
from flowgen.runtime.driving.caller import Headers, Reply
from flowgen.runtime.driving.fetching import Incoming, Outgoing
from flowgen.runtime.driving.functions import app_of, remote_digest
from flowgen.runtime.environment import Environment
from flowgen.runtime.executor import Bodies, Executor
from flowgen.runtime.protocol.announcement import registration_of
from flowgen.runtime.protocol.registration import RemoteApp, parse_registration
from flowgen.runtime.serving import ServedApp, ServeSettings
from flowgen.runtime.serving.recall import is_late
from flowgen.runtime.serving.upstream import Upstream
from flowgen.testing import simulator
from flowgen.testing.properties import replaying

HOST = "127.0.0.1:3000"
SETTINGS = ServeSettings()


# -- apps ------------------------------------------------------------------------------------------

_registered: WeakKeyDictionary[App, tuple[tuple[Workflow[Any, Any], ...], RemoteApp]] = WeakKeyDictionary()


def registered(app: App) -> RemoteApp:
    """What a server knows of an app: what it says of itself."""
    workflows = tuple(app.workflows.values())
    known = _registered.get(app)
    if known is None or known[0] != workflows:
        said = msgspec.json.encode(registration_of(app, f"http://{HOST}/{app.name}", version="1"))
        known = _registered[app] = (workflows, parse_registration(said))
    return known[1]


def digest_elsewhere(workflow: Workflow[Any, Any]) -> str:
    """The digest of a workflow's code, as an engine offers it that calls it elsewhere."""
    for app, (_, remote) in _registered.items():
        if app.workflows.get(workflow.id) is workflow:
            return remote_digest(app_of(remote).workflows[workflow.id])
    return code_digest(workflow)


# -- the way there ---------------------------------------------------------------------------------


class Wire:
    """Carries the requests of an engine to apps that are served in this process."""

    def __init__(self, apps: Iterable[App], bodies: Callable[[], Bodies]) -> None:
        executes: Any = _Bodies(bodies)
        upstream = Upstream(SETTINGS, "flowgen:v1", httpx.MockTransport(_refuse))
        self._served = {app.name: ServedApp(app, f"/{app.name}", SETTINGS, executes, upstream) for app in apps}

    async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
        """One request and its answer."""
        parts = urlsplit(url)
        said = [*headers, ("Host", parts.netloc), ("Content-Type", "application/json"), ("Content-Length", len(body))]
        scope = {
            "type": "http",
            "method": "POST",
            "scheme": "http",
            "path": parts.path,
            "root_path": "",
            "query_string": parts.query.encode(),
            "headers": [(name.lower().encode(), str(value).encode()) for name, value in said],
        }
        exchange = _Exchange(body)
        await self._served[parts.path.removeprefix("/")](scope, exchange.receive, exchange.send)
        return Reply(exchange.status, exchange.headers, bytes(exchange.answer))

    async def fetch(self, request: Outgoing) -> Incoming:
        """Nothing of ours asks for it."""
        raise AssertionError(f"a flowgen app makes the request {request!r} itself")

    async def aclose(self) -> None:
        """Nothing is open."""


@attrs.define
class _Exchange:
    """A request and its answer as an ASGI server sees them."""

    body: bytes
    status: int = 0
    headers: list[tuple[str, str]] = attrs.Factory(list)
    answer: bytearray = attrs.Factory(bytearray)

    async def receive(self) -> Mapping[str, Any]:
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = [(name.decode(), value.decode()) for name, value in message["headers"]]
        else:
            self.answer += message["body"]


@attrs.define
class _Bodies:
    """What executes the bodies of served steps: that of the engine, once there is one."""

    bodies: Callable[[], Bodies]

    def run(self, *step: Any) -> Any:
        return self.bodies().run(*step)


def _refuse(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"a flowgen server does {request.url} itself")


# -- engines ---------------------------------------------------------------------------------------


@asynccontextmanager
async def open_engine(
    app: App | Iterable[App],
    *args: Any,
    work: bool = True,
    executor: Callable[[Environment], Bodies] = Executor,
    **options: Any,
) -> AsyncIterator[Engine]:
    """Open an engine that has the apps elsewhere; one that does no work has no app anywhere."""
    apps = [app] if isinstance(app, App) else list(app)
    if not work:
        async with open_engine_here(apps, *args, work=False, **options) as engine:
            yield engine
        return
    made: list[Bodies] = []

    def make(environment: Environment) -> Bodies:
        made.append(executor(environment))
        return made[0]

    served = [each for each in apps if each.workflows]
    wire = Wire(served, lambda: made[0])
    others = [each for each in apps if not each.workflows]
    async with open_engine_here(others, *args, calls=wire, executor=make, **options) as engine:
        for each in served:
            await engine.offer(registered(each))
            for id, workflow in engine._apps[each.name].workflows.items():
                workflow.returns = each.workflows[id].returns  # for who asks for a result: no server knows of it
        yield engine


@contextmanager
def elsewhere(*modules: Any) -> Iterator[None]:
    """Inside, these modules and simulations open engines that have their apps elsewhere."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simulator, "open_engine", open_engine)
        patch.setattr(simulator, "code_digest", digest_elsewhere)
        patch.setattr(simulator, "Simulation", _Simulation)
        patch.setattr(verdicts, "Interpreter", _Told)
        patch.setattr(replaying, "Interpreter", _Told)
        for module in modules:
            if hasattr(module, "open_engine"):
                patch.setattr(module, "open_engine", open_engine)
        yield


class _Told(Interpreter):
    """A body that is told what an app tells its own: not what came too late, after a race was lost."""

    def feed(self, record: Record) -> None:
        """Move past one record."""
        if is_late(self, record):
            self.position += 1
        else:
            super().feed(record)


class _Simulation(simulator.Simulation):
    """A simulation that knows its apps as a server does before it asks for the digests of their code."""

    def __init__(self, apps: Iterable[App], *args: Any) -> None:
        for app in apps:
            if app.workflows:
                registered(app)
        super().__init__(list(apps), *args)
