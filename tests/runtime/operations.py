"""An app, and a world in virtual time, for tests of what is done to runs from outside."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import trio

from flowgen import App, Context, NonRetriableError, OnEvent, Run, Sleep, Steps
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock

Data = dict[str, Any]
Scenario = Callable[[Engine], Awaitable[None]]


def play(app: App, scenario: Scenario, store: type[MemoryStore] = MemoryStore, **options: Any) -> None:
    """Run a scenario with an engine whose time passes only when everybody waits. (Long leases: fewer heartbeats.)"""
    clock = VirtualClock()
    kept = {"grace": "0s", "lease": "1h", **options}

    async def main() -> None:
        environment = Environment(seed=1, threads=False)
        async with open_engine(app, store(clock=clock), environment=environment, **kept) as engine:
            await scenario(engine)

    trio.run(main, clock=clock)


async def only(engine: Engine, workflow: str) -> str:
    """The id of the newest run of a workflow."""
    return (await engine.runs(workflow=workflow)).items[0].id


def make_app() -> App:
    app = App("shop")

    @app.workflow(on=OnEvent("order"))
    def order(ctx: Context[Data]) -> Steps[str]:
        yield Sleep("rest", "5m")
        return (yield from Run("say", str.upper, "done"))

    @app.workflow(on=OnEvent("boom"))
    def boom(ctx: Context[Data]) -> Steps[None]:
        yield Run("break", broken)

    return app


class Weather:
    good = False


def broken() -> str:
    if Weather.good:
        return "mended"
    raise NonRetriableError("it rains")


def sleeper(**options: Any) -> App:
    app = App("t")

    @app.workflow(on=OnEvent("go"), id="w", **options)
    def w(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("s", "5m")

    return app
