"""Runs that hold the same unique key take turns, so that a storm of them is not refused a hundred times over."""

from __future__ import annotations

from typing import Any

import trio

from flowgen import App, Context, Event, OnEvent, Sleep, Steps
from flowgen.flow_control import Singleton
from flowgen.runtime import open_engine
from flowgen.runtime.store import Committed, Refused
from flowgen.runtime.stores import MemoryStore
from flowgen.transition import Transition

STORM = 40


class Busy:
    """A store whose commits take a moment, and which counts those that it refuses."""

    def __init__(self) -> None:
        self.refused = 0
        self._store = MemoryStore()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, transition: Transition) -> Committed:
        for _ in range(5):
            await trio.lowlevel.checkpoint()
        try:
            return await self._store.commit(transition)
        except Refused:
            self.refused += 1
            raise


async def test_a_storm_of_replaced_runs_is_hardly_ever_refused() -> None:
    """Forty events at once into a singleton: all but the last are cancelled, one after the other, and it goes on."""
    app = App("storm")

    @app.workflow(on=OnEvent("go"), singleton=Singleton(mode="cancel"))
    def latest(ctx: Context) -> Steps[int]:
        yield Sleep("a moment", "1ms")
        return int(ctx.event.data["n"])

    store = Busy()
    async with open_engine(app, store) as engine:
        with trio.fail_after(50):
            ids = await engine.send([Event("go", {"n": n}) for n in range(STORM)])
            (last,) = await engine.started(ids[-1])
            assert await engine.result(last) == STORM - 1
        others = [run.status for run in (await engine.runs(limit=STORM)).items if run.id != last]
    assert others == ["cancelled"] * (STORM - 1)
    assert store.refused < STORM
