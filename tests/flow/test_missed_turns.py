"""Throttled starts whose time passed while no engine was there."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import trio

from flowgen import App, Context, Event, OnEvent, Run, Steps, Throttle
from flowgen.runtime import open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock

app = App("missed")


@app.workflow(on=OnEvent("mail"), throttle=Throttle(1, per="10s"))
def send_mail(ctx: Context[Any]) -> Steps[int]:
    n: int = yield Run("send", deliver, ctx.event.data["n"])
    return n


async def deliver(n: int) -> int:
    return n


def test_starts_that_all_engines_missed_are_spread_again() -> None:
    """Six starts, ten seconds apart; all engines are down for the last five of them; those do not begin at once."""
    clock = VirtualClock()
    store = MemoryStore(clock=clock)

    async def main() -> None:
        async with open_engine(app, store, environment=Environment(seed=1, threads=False)) as engine:
            await engine.send([Event("mail", {"n": n}) for n in range(6)])
            await trio.sleep(1)
        await trio.sleep(3600)
        async with open_engine(app, store, environment=Environment(seed=2, threads=False)) as engine:
            await trio.sleep(120)
            runs = (await engine.runs(workflow="send-mail", limit=10)).items
        assert [run.status for run in runs] == ["completed"] * 6
        started = sorted(run.started_at for run in runs if run.started_at is not None)
        late = [(b - a).total_seconds() for a, b in pairwise(started[1:])]
        assert len(late) == 4
        assert min(late) >= 9.9
        assert max(late) <= 11

    trio.run(main, clock=clock)
