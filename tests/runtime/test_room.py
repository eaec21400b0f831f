"""An engine has at most `max_runs` runs in hand, however slow its store is and however many come at once."""

from __future__ import annotations

from typing import Any

import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import Claims, Committed, Loaded, RunFilter, Who
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock
from flowgen.transition import Transition

app = App("room")


@app.workflow(on=OnEvent("go"))
def work(ctx: Context[Any]) -> Steps[str]:
    yield Run("one", body)
    return (yield from Run("two", body))


async def body() -> str:
    await trio.sleep(1)
    return "done"


class Slow(MemoryStore):
    """Takes its time for claims, loads and commits, and notes the most runs that had an owner at a moment."""

    def __init__(self, clock: VirtualClock, seconds: float) -> None:
        super().__init__(clock)
        self.seconds = seconds
        self.most = 0

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        await trio.sleep(self.seconds)
        claims = await super().claim(who, limit, lease)
        await self._count()
        await trio.sleep(self.seconds)
        return claims

    async def load(self, app: str, run: str, since: int = 0) -> Loaded | None:
        await trio.sleep(self.seconds)
        return await super().load(app, run, since)

    async def commit(self, transition: Transition) -> Committed:
        await trio.sleep(self.seconds)
        committed = await super().commit(transition)
        await self._count()
        await trio.sleep(self.seconds)
        return committed

    async def _count(self) -> None:
        rows = (await self.find_runs(RunFilter(), limit=100)).items
        self.most = max(self.most, sum(row.owner is not None for row in rows))


async def finish(engine: Engine, ids: list[str]) -> None:
    for id in ids:
        (run,) = await engine.started(id)
        assert await engine.result(run) == "done"


def go(count: int) -> list[Event]:
    return [Event("go", {}) for _ in range(count)]


@given(st.integers(1, 5), st.integers(0, 12), st.sampled_from([0.0, 0.1, 2.0]))
def test_runs_that_wait_already(room: int, runs: int, seconds: float) -> None:
    """While those that were claimed are loaded, no others are claimed in their place."""
    clock = VirtualClock()

    async def main() -> None:
        store = Slow(clock, seconds)
        async with open_engine(app, store, environment=Environment(1, threads=False)):
            """Now the store knows what the event starts."""
        async with open_engine(app, store, work=False, environment=Environment(2, threads=False)) as engine:
            ids = await engine.send(go(runs)) if runs else []
        async with open_engine(
            app, store, max_runs=room, lease="1h", environment=Environment(3, threads=False)
        ) as engine:
            await finish(engine, ids)
        assert store.most == min(room, runs)

    trio.run(main, clock=clock)


@given(st.integers(1, 5), st.integers(1, 12), st.sampled_from([0.0, 0.1, 2.0]))
def test_runs_that_are_created_at_once(room: int, runs: int, seconds: float) -> None:
    """Senders that come together share the room that there is; what has none is claimed later."""
    clock = VirtualClock()

    async def main() -> None:
        store = Slow(clock, seconds)
        async with open_engine(
            app, store, max_runs=room, lease="1h", environment=Environment(1, threads=False)
        ) as engine:
            ids: list[str] = []

            async def send() -> None:
                ids.extend(await engine.send(go(1)))

            async with trio.open_nursery() as nursery:
                for _ in range(runs):
                    nursery.start_soon(send)
            await finish(engine, ids)
        assert store.most == min(room, runs)

    trio.run(main, clock=clock)
