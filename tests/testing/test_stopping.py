"""Simulations that are stopped in the midst of things."""

from __future__ import annotations

from typing import Any

from flowgen import App, Context, Event, OnEvent, Run, Sleep, Steps
from flowgen.testing import Faults, simulate

app = App("stopped")


@app.workflow(on=OnEvent("go"))
def long(ctx: Context[Any]) -> Steps[None]:
    for _ in range(20):
        yield Run("work", work)
        yield Sleep("pause", "5s")


async def work() -> None:
    """Nothing to do."""


def test_a_world_that_is_stopped_while_a_fault_is_sat_out_ends() -> None:
    """An engine gives its runs back at the end, and what it then asks of the store may be delayed, too."""
    faults = Faults(delay=0.5, lost_lease=0.5)
    for seed in range(10):
        events = [(f"{n}s", Event("go", {})) for n in range(5)]
        assert simulate(app, events, seed=seed, workers=3, until=f"{7 + seed}.3s", faults=faults).runs
