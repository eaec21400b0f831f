"""A fake app driven by a real engine, on the memory store and in virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

import attrs
import trio

from flowgen import App, Event
from flowgen.history import AttemptFailed, Record, Requested, StepFailed, StepSucceeded
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.testing.clock import VirtualClock
from flowgen.values import decode

from .fake_app import FakeApp, Function

T = TypeVar("T")


@attrs.define(eq=False)
class World:
    """A store and a clock; engines come and go."""

    app: FakeApp
    clock: VirtualClock = attrs.Factory(VirtualClock)
    store: MemoryStore = attrs.field(init=False)
    engine: Engine = attrs.field(init=False)
    local: list[App] = attrs.Factory(list)
    lives: int = 0

    def __attrs_post_init__(self) -> None:
        self.store = MemoryStore(clock=self.clock)

    def open(self, **options: Any) -> AbstractAsyncContextManager[Engine]:
        """An engine on the store; the next one is another life."""
        return self.open_on(self.store, **options)

    def open_on(self, store: Any, **options: Any) -> AbstractAsyncContextManager[Engine]:
        """An engine on what it takes for the store."""
        self.lives += 1
        environment = Environment(self.lives, threads=False)
        options = {"grace": "0s", "lease": "6h", **options}  # each heartbeat is a step of virtual time
        return open_engine(self.local, store, calls=self.app, environment=environment, **options)

    def run(self, story: Callable[[Engine], Awaitable[T]]) -> T:
        """Tell a story with one engine that offers the app."""

        async def main() -> T:
            async with self.open() as self.engine:
                await self.engine.offer(self.app.registered())
                engine = self.engine
                return await story(engine)

        return trio.run(main, clock=self.clock)


def app_of(body: Any, **options: Any) -> FakeApp:
    """An app with one function, `fn`, that `go` starts."""
    app = FakeApp(**options)
    app.functions["fn"] = Function("fn", body, "go")
    return app


def boom() -> None:
    raise ValueError("boom")


def run_once(app: FakeApp, data: dict[str, Any] | None = None) -> tuple[Any, list[Record]]:
    """The result of the app's function for one event, and its history."""

    async def story(engine: Engine) -> tuple[Any, list[Record]]:
        run = await start(engine, data)
        return await finished(engine, run), await engine.history(run)

    return World(app).run(story)


async def start(engine: Engine, data: dict[str, Any] | None = None, event: str = "go") -> str:
    """The run that an event starts."""
    (id,) = await engine.send([Event(event, data or {})])
    (run,) = await engine.started(id)
    return run


async def finished(engine: Engine, run: str, days: float = 400) -> Any:
    """The result of a run, waited for by the store's news alone, so that a year costs nothing."""
    info = await ended(engine, run, days)
    return info.result if info.status == "completed" else (info.status, info.error or info.reason)


async def ended(engine: Engine, run: str, days: float = 400) -> Any:
    with trio.fail_after(days * 86_400):
        while True:
            info = await engine.run(run)
            if info.status in ("completed", "failed", "cancelled", "skipped", "parked"):
                return info
            await engine.store.wait_changed(3_600)


def told(history: list[Record]) -> list[str]:
    """A history in short: what was asked for, tried and ended, in order."""
    lines = []
    for record in history:
        match record:
            case Requested(step=step, kind=kind):
                lines.append(f"{step} asks {kind}")
            case AttemptFailed(step=step, attempt=attempt):
                lines.append(f"{step} try {attempt}")
            case StepSucceeded(step=step, value=value):
                lines.append(f"{step} = {decode(value)!r:.40}")
            case StepFailed(step=step, failure=failure):
                lines.append(f"{step} fails {failure.type}")
            case _:
                lines.append(type(record).__name__)
    return lines
