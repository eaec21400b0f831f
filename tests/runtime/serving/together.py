"""A served app and an engine that drives it, in one process and on virtual time: both ends, and no network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import httpx
import trio

from flowgen import App
from flowgen.duration import SECOND
from flowgen.outcome import Outcome
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.driving.caller import Headers, Reply
from flowgen.runtime.environment import Environment
from flowgen.runtime.executor import Executor
from flowgen.runtime.protocol.announcement import registration_of
from flowgen.runtime.protocol.registration import RemoteApp, parse_registration
from flowgen.runtime.serving import ServedApp, ServeSettings
from flowgen.runtime.serving.upstream import Upstream
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.testing.clock import VirtualClock
from flowgen.tree import Step

T = TypeVar("T")

PLACE = "http://127.0.0.1:8000/api/inngest"
JSON = ("Content-Type", "application/json")
START = 1_800_000_000 * SECOND


class InlineBodies:
    """Executes bodies on the loop of whoever calls: a thread would let virtual time run away."""

    async def run(self, step: Step, run_id: str, default_loop: str) -> Outcome:
        environment = Environment(1, threads=False)
        environment.saw(START)
        return await Executor(environment).run(step, run_id, default_loop)

    def close(self) -> None:
        pass


class Wire:
    """Carries an engine's calls to a served app, and counts them. What it refuses is lost on the way."""

    def __init__(self, app: App) -> None:
        settings = ServeSettings()
        bodies: Any = InlineBodies()
        served = ServedApp(
            app, "/api/inngest", settings, bodies, Upstream(settings, "flowgen:v1", httpx.MockTransport(_no))
        )
        self.client = httpx.AsyncClient(transport=httpx.ASGITransport(served))
        self.calls: list[str] = []

    async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
        self.calls.append(url)
        answer = await self.client.post(url, headers=[*headers, JSON], content=body)
        return Reply(answer.status_code, list(answer.headers.items()), answer.content)

    async def aclose(self) -> None:
        await self.client.aclose()


def _no(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"a flowgen server does {request.url} itself")


def remote(app: App) -> RemoteApp:
    """The app as a server knows it."""
    import msgspec

    return parse_registration(msgspec.json.encode(registration_of(app, PLACE, version="1")))


def driven(app: App, story: Callable[[Engine], Awaitable[T]], wire: Wire | None = None) -> T:
    """Tell a story with an engine that has nothing but the served app."""
    clock = VirtualClock()
    wire = wire or Wire(app)

    async def main() -> T:
        store = MemoryStore(clock=clock)
        environment = Environment(7, threads=False)
        async with open_engine([], store, calls=wire, environment=environment, grace="0s", lease="6h") as engine:
            await engine.offer(remote(app))
            return await story(engine)

    return trio.run(main, clock=clock)
