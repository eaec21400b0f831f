"""Leaving an engine: it waits for the steps in hand, and not a moment longer."""

from __future__ import annotations

import pytest
import trio

from flowgen import App, Context, Run, Sleep, Steps
from flowgen.runtime import open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock

app = App("drained")


async def ponder(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


@app.workflow
def think(ctx: Context) -> Steps[float]:
    return (yield from Run(ponder, 3))


@app.workflow
def nap(ctx: Context) -> Steps[None]:
    yield Sleep("nap", 2)


@pytest.mark.parametrize("others", [[], [nap], [nap, nap]], ids=len)
def test_draining_ends_with_the_last_step(others: list[object]) -> None:
    """Also when another run becomes due meanwhile: the grace is a bound, and not the time that it takes."""
    clock = VirtualClock()

    async def main() -> float:
        environment = Environment(seed=1, threads=False)
        async with open_engine(app, MemoryStore(clock=clock), grace="100s", environment=environment) as engine:
            await engine.start(think)
            for other in others:
                await engine.start(other)  # type: ignore[arg-type]
            await trio.sleep(0.5)
        return trio.current_time()

    assert trio.run(main, clock=clock) == pytest.approx(3, abs=0.1)
