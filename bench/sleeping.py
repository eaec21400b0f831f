"""W6: 100,000 runs that sleep, asleep and durable.

Events come from 32 senders, one each, or in batches of 100; each starts a run that sleeps for a month. The clock runs
from the first `send` until the sleep of the last run is committed and the run is given back. Then the engine is left
alone for a while: what its process holds in memory, and what it uses of the processor, is what sleeping costs.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path
from typing import Any

import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.timing import Sample, Stopwatch, expect, median
from flowgen import App, Context, Event, OnEvent, Sleep, Steps
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.store import Committed, RunFilter
from flowgen.transition import Transition

RUNS, QUICK_RUNS, WARM_RUNS = 100_000, 2_000, 200
SENDERS, BATCH = 32, 100
SETTLE_SECONDS, IDLE_SECONDS, QUICK_SECONDS = 2.0, 3.0, 0.3
PATIENCE_SECONDS = 120


def _app() -> App:
    app = App("bench")

    @app.workflow(on=OnEvent("sleep/asked"))
    def sleeping(ctx: Context[dict[str, Any]]) -> Steps[None]:
        yield Sleep("month", "30d")

    return app


class Asleep:
    """Counts the runs that were given back to sleep, and says when so many have been."""

    def __init__(self) -> None:
        self.all = trio.Event()
        self._missing = 0

    def expect(self, runs: int) -> None:
        self._missing, self.all = runs, trio.Event()

    def __call__(self, transition: Transition, _: Committed) -> None:
        progress = transition.progress
        if progress is not None and progress.release and progress.stored == "open":
            self._missing -= 1
            if self._missing == 0:
                self.all.set()


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `batches` or `senders`."""
    return trio.run(_measure, workload.variant, directory, quick)


async def _measure(variant: str, directory: Path, quick: bool) -> Sample:
    runs = QUICK_RUNS if quick else RUNS
    bare = Bare(directory)
    before = bare.back_to_back()
    send = _in_batches if variant == "batches" else _by_senders
    async with open_engine(_app(), f"sqlite:///{directory / 'store.db'}") as engine:
        asleep = Asleep()
        engine.watch(asleep)
        await _round(engine, asleep, send, WARM_RUNS)
        with Stopwatch() as watch:
            await _round(engine, asleep, send, runs)
        await trio.sleep(QUICK_SECONDS if quick else SETTLE_SECONDS)
        resident = resident_bytes()
        with Stopwatch() as idle:
            await trio.sleep(QUICK_SECONDS if quick else IDLE_SECONDS)
        await _check(engine, runs + WARM_RUNS)
    measures = {
        "rate": runs / watch.wall,
        "resident": resident / 1e6,
        "idle": 100 * idle.cpu / idle.wall,
    }
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Sample(measures, median(before + bare.back_to_back()), watch.cpu / runs, {"peak_resident_mb": peak})


async def _round(engine: Engine, asleep: Asleep, send: Any, runs: int) -> None:
    asleep.expect(runs)
    with trio.fail_after(PATIENCE_SECONDS):
        await send(engine, runs)
        await asleep.all.wait()


async def _in_batches(engine: Engine, runs: int) -> None:
    for _ in range(runs // BATCH):
        await engine.send([Event("sleep/asked", {"number": number}) for number in range(BATCH)])


async def _by_senders(engine: Engine, runs: int) -> None:
    async def send(events: int) -> None:
        for number in range(events):
            await engine.send(Event("sleep/asked", {"number": number}))

    async with trio.open_nursery() as nursery:
        for number in range(SENDERS):
            nursery.start_soon(send, runs // SENDERS + (number < runs % SENDERS))


async def _check(engine: Engine, runs: int) -> None:
    """There are so many runs, and all of them sleep."""
    seen, cursor = 0, None
    while True:
        page = await engine.store.find_runs(RunFilter(status="open"), cursor)
        expect(all(row.owner is None and row.started_at is not None for row in page.items), "a run does not sleep")
        seen, cursor = seen + len(page.items), page.cursor
        if cursor is None:
            break
    expect(seen == runs, f"{seen} runs sleep, not {runs}")


def resident_bytes() -> int:
    """What this process holds in memory now; its peak where the system does not say."""
    if sys.platform == "linux":
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
