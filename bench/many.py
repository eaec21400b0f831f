"""W1, W1m, W1c: 200 runs of 10 steps at once.

The clock runs from the sending of 200 events in one batch until the end of the last run is durable. A
small round of the same work before it warms the process up, as a server is warm. Afterwards every run
is read back: completed, with the right result, each step recorded once, each body called once.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.timing import Sample, Stopwatch, expect, median
from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.history import EndCompleted, Record, Started, StepSucceeded
from flowgen.runtime import Engine, RunInfo, open_engine
from flowgen.runtime.paging import Pages
from flowgen.runtime.store import Committed
from flowgen.transition import Transition

RUNS, STEPS, WARM_RUNS, QUICK_RUNS = 200, 10, 20, 20
RECORDS = [Started, *[StepSucceeded] * STEPS, EndCompleted]


class Many:
    """The app of the workload, and what its bodies count.

    `calls` counts the bodies that ran, by what they were called with: (run, step).
    """

    def __init__(self, loop: str) -> None:
        self.app = App("bench")
        self.calls: Counter[tuple[int, int]] = Counter()
        self.spins = threading.Event()
        self.stop_spinning = threading.Event()
        body = self._async_step if loop == "async" else self._sync_step

        @self.app.workflow(on=OnEvent("many/asked"))
        def ten_steps(ctx: Context[dict[str, Any]]) -> Steps[int]:
            number, value = ctx.event.data["number"], 0
            for _ in range(STEPS):
                value = yield Run("step", body, number, value)
            return value

        @self.app.workflow(on=OnEvent("spin/asked"))
        def spinning(ctx: Context[dict[str, Any]]) -> Steps[None]:
            yield Run("spin", self._spin)

    async def _async_step(self, number: int, value: int) -> int:
        self.calls[number, value] += 1
        return value + 1

    def _sync_step(self, number: int, value: int) -> int:
        self.calls[number, value] += 1
        return value + 1

    def _spin(self) -> None:
        """Use the interpreter and never wait, until told to stop."""
        self.spins.set()
        while not self.stop_spinning.is_set():
            pass


class Ends:
    """Counts runs of `ten_steps` whose end was committed, and says when all of them have."""

    def __init__(self) -> None:
        self.all = trio.Event()
        self._missing = 0

    def expect(self, runs: int) -> None:
        self._missing, self.all = runs, trio.Event()

    def __call__(self, transition: Transition, _: Committed) -> None:
        progress = transition.progress
        if progress is not None and progress.stored == "completed":
            self._missing -= 1
            if self._missing == 0:
                self.all.set()


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `async` or `sync`, with `-8` at most 8 runs at once."""
    return trio.run(_measure, workload, directory, quick)


async def _measure(workload: Workload, directory: Path, quick: bool) -> Sample:
    loop, _, at_once = workload.variant.partition("-")
    many, ends = Many(loop), Ends()
    runs = QUICK_RUNS if quick else RUNS
    store = "memory://" if workload.id == "W1m" else f"sqlite:///{directory / 'store.db'}"
    bare = Bare(directory)
    before = bare.back_to_back()
    async with AsyncExitStack() as stack:
        engine = await stack.enter_async_context(open_engine(many.app, store, max_runs=int(at_once or 1_000)))
        engine.watch(ends)
        await _round(engine, ends, range(-WARM_RUNS, 0))
        if workload.id == "W1c":
            await engine.send(Event("spin/asked", {}))
            await trio.to_thread.run_sync(many.spins.wait)
        try:
            with Stopwatch() as watch:
                await _round(engine, ends, range(runs))
        finally:
            many.stop_spinning.set()
        await _check(engine, many, runs)
    after = bare.back_to_back()
    steps = runs * STEPS
    return Sample({"rate": steps / watch.wall}, median(before + after), watch.cpu / steps)


async def _round(engine: Engine, ends: Ends, numbers: range) -> None:
    ends.expect(len(numbers))
    await engine.send([Event("many/asked", {"number": number}) for number in numbers])
    with trio.fail_after(60):
        await ends.all.wait()


async def _check(engine: Engine, many: Many, runs: int) -> None:
    """Every run completed, every step was recorded once and every body ran once."""
    expected = {(number, value): 1 for number in range(-WARM_RUNS, runs) for value in range(STEPS)}
    expect(dict(many.calls) == expected, "a body did not run exactly once")
    items = await all_runs(engine, "ten-steps")
    expect(len(items) == runs + WARM_RUNS, f"there are {len(items)} runs, not {runs + WARM_RUNS}")
    for item in items:
        expect(item.status == "completed" and item.result == STEPS, f"run {item.id} is {item.status}: {item.result}")
        check_history(await engine.history(item.id))


async def all_runs(engine: Engine, workflow: str | None = None) -> list[RunInfo]:
    """The runs in a store, all pages of them."""
    pages = Pages(lambda cursor: engine.runs(workflow=workflow, limit=500, cursor=cursor))
    return [run async for run in pages.items()]


def check_history(history: list[Record]) -> None:
    """A history of `ten_steps` is its ten outcomes, each step once, between start and end."""
    kinds = [type(record) for record in history]
    expect(kinds == RECORDS, f"a history is {[kind.__name__ for kind in kinds]}")
    steps = {record.step for record in history if isinstance(record, StepSucceeded)}
    expect(len(steps) == STEPS, f"the steps of a history are {sorted(steps)}")
