"""W4: 1,000 parallel steps and a join in one run, from `start` until the result is known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.timing import Sample, Stopwatch, expect, median
from flowgen import All, App, Context, Run, Steps
from flowgen.history import StepSucceeded
from flowgen.runtime import open_engine

STEPS, QUICK_STEPS, WARM = 1_000, 100, 20


async def _async_step(value: int) -> int:
    return value + 1


def _sync_step(value: int) -> int:
    return value + 1


def _app(loop: str) -> App:
    app = App("bench")
    body: Any = _async_step if loop == "async" else _sync_step

    @app.workflow
    def fan_out(ctx: Context[dict[str, Any]]) -> Steps[int]:
        values = yield All(*[Run("step", body, number) for number in range(ctx.event.data["steps"])])
        return sum(values)

    return app


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `async` or `sync` bodies."""
    return trio.run(_measure, workload.variant, directory, QUICK_STEPS if quick else STEPS)


async def _measure(loop: str, directory: Path, steps: int) -> Sample:
    bare = Bare(directory)
    before = bare.back_to_back()
    async with open_engine(_app(loop), f"sqlite:///{directory / 'store.db'}") as engine:
        warm = await engine.start("fan-out", {"steps": WARM})
        await engine.result(warm, timeout="30s")
        with Stopwatch() as watch:
            run = await engine.start("fan-out", {"steps": steps})
            result = await engine.result(run, timeout="60s")
        history = await engine.history(run)
    after = bare.back_to_back()
    recorded = [record.step for record in history if isinstance(record, StepSucceeded)]
    expect(result == steps * (steps + 1) // 2, f"the run returned {result}")
    expect(len(set(recorded)) == len(recorded) == steps, f"{len(recorded)} outcomes are recorded")
    return Sample({"total": watch.wall}, median(before + after), watch.cpu / steps)
