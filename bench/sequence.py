"""W2: one run of 1,000 steps in sequence.

Each body notes when it began, so the time of a step is the distance between two bodies: result, commit,
next body. The budget is what a step costs beyond a bare commit, and that the last 100 steps cost as
much as the first 100: cost does not grow with the history.
"""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.timing import Sample, Stopwatch, expect, median
from flowgen import App, Context, Run, Steps
from flowgen.history import StepSucceeded
from flowgen.runtime import open_engine

STEPS, QUICK_STEPS, EDGE, WARM = 1_000, 300, 100, 50


class Sequence:
    """The app; `began` is when each body began, by a clock in seconds."""

    def __init__(self, loop: str) -> None:
        self.app = App("bench")
        self.began: list[float] = []
        body = self._async_step if loop == "async" else self._sync_step

        @self.app.workflow
        def in_sequence(ctx: Context[dict[str, Any]]) -> Steps[int]:
            value = 0
            for _ in range(ctx.event.data["steps"]):
                value = yield Run("step", body, value)
            return value

    async def _async_step(self, value: int) -> int:
        self.began.append(time.perf_counter())
        return value + 1

    def _sync_step(self, value: int) -> int:
        self.began.append(time.perf_counter())
        return value + 1


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `async` or `sync` bodies."""
    return trio.run(_measure, workload.variant, directory, QUICK_STEPS if quick else STEPS)


async def _measure(loop: str, directory: Path, steps: int) -> Sample:
    sequence = Sequence(loop)
    bare = Bare(directory)
    before = bare.back_to_back()
    async with open_engine(sequence.app, f"sqlite:///{directory / 'store.db'}") as engine:
        warm = await engine.start("in-sequence", {"steps": WARM})
        await engine.result(warm, timeout="30s")
        sequence.began.clear()
        with Stopwatch() as watch:
            run = await engine.start("in-sequence", {"steps": steps})
            result = await engine.result(run, timeout="60s")
        history = await engine.history(run)
    after = bare.back_to_back()
    recorded = [record.step for record in history if isinstance(record, StepSucceeded)]
    expect(result == steps, f"the run returned {result}")
    expect(len(sequence.began) == steps, f"{len(sequence.began)} bodies ran for {steps} steps")
    expect(len(set(recorded)) == len(recorded) == steps, f"{len(recorded)} outcomes are recorded")
    return _judged(sequence.began, watch, before + after)


def _judged(began: list[float], watch: Stopwatch, commits: list[float]) -> Sample:
    """Means are compared with means: what a checkpoint costs now and then is part of a step, and of a commit."""
    each = [later - earlier for earlier, later in pairwise(began)]
    first, last = sum(each[:EDGE]), sum(each[-EDGE:])
    measures = {
        "total": watch.wall,
        "over_bare": (fmean(each) - fmean(commits)) * 1e6,
        "growth": last / first,
    }
    notes = {"median_step_us": median(each) * 1e6, "mean_bare_us": fmean(commits) * 1e6}
    return Sample(measures, median(commits), watch.cpu / len(began), notes)
