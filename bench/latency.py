"""W3: event sent → 1 step → result known, on an engine that has been idle.

One event at a time: a gap in which nothing happens, then the clock runs from `send` until the result
of the run that the event started is known. In turns with it, after the same gap, a bare commit: a disk
and a processor that have been idle are slower, and both sides shall meet them. The gap is long enough
for what an engine does after the answer: it routes the event, marks it some 25 ms later, and looks once
more for what others may have changed. With half the gap that met one of the two sides, always the same.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.timing import Sample, expect, median, percentile
from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.runtime import Engine, open_engine

GAP_SECONDS = 0.1
EVENTS, QUICK_EVENTS, WARM = 200, 20, 10


def _app() -> App:
    app = App("bench")

    async def answer(number: int) -> int:
        return number + 1

    @app.workflow(on=OnEvent("latency/asked"))
    def one_step(ctx: Context[dict[str, Any]]) -> Steps[int]:
        answered = yield from Run("answer", answer, ctx.event.data["number"])
        return answered

    return app


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure the latency of single events, and of bare commits in turns with them."""
    return trio.run(_measure, directory, QUICK_EVENTS if quick else EVENTS)


async def _measure(directory: Path, events: int) -> Sample:
    bare = Bare(directory)
    took, commits = [], []
    async with open_engine(_app(), f"sqlite:///{directory / 'store.db'}") as engine:
        for number in range(WARM):
            await _ask(engine, number)
        before = os.times()
        for number in range(events):
            await trio.sleep(GAP_SECONDS)
            took.append(await _ask(engine, number))
            await trio.sleep(GAP_SECONDS)
            commits.append(bare.commit())
        after = os.times()
    cpu = (after.user + after.system - before.user - before.system) / events
    p50, p99 = median(took), percentile(took, 99)
    bare_p50, bare_p99 = median(commits), percentile(commits, 99)
    measures = {
        "p50": p50 * 1e3,
        "p50_ratio": p50 / bare_p50,
        "p99": p99 * 1e3,
        "p99_ratio": p99 / bare_p99,
    }
    return Sample(measures, bare_p50, cpu, {"bare_p50_ms": bare_p50 * 1e3, "bare_p99_ms": bare_p99 * 1e3})


async def _ask(engine: Engine, number: int) -> float:
    """Send one event; the seconds until the result of its run is known."""
    began = time.perf_counter()
    (event,) = await engine.send(Event("latency/asked", {"number": number}))
    (run,) = await engine.started(event)
    result = await engine.result(run, timeout="30s")
    took = time.perf_counter() - began
    expect(result == number + 1, f"the run of event {number} returned {result}")
    return took
