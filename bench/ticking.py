"""W11: 10,000 schedules that are due within one minute.

Each workflow has one schedule, at noon; with `spread` each is late by up to 59 seconds, as its jitter says, and with
`at-once` all are due in the same instant. A first engine begins the schedules, an hour before; the second one is
there when noon comes, on a store whose clock says so. Lateness is from the time at which a schedule is due to the
creation of its run. Afterwards each schedule must have started exactly one run.
"""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.filling import make_store
from bench.timing import Sample, Stopwatch, expect, median, percentile
from flowgen import App, Context, OnCron, Steps
from flowgen.runtime import open_engine
from flowgen.runtime.store import Committed, RunFilter, Store
from flowgen.transition import Transition

SCHEDULES, QUICK_SCHEDULES = 10_000, 200
JITTER, QUICK_JITTER = "59s", "2s"
NOON = int(datetime(2026, 6, 1, 12, tzinfo=UTC).timestamp() * 1_000_000)
SECOND = 1_000_000
BEFORE_SECONDS, QUICK_BEFORE_SECONDS = 30, 2
PATIENCE_SECONDS = 150


def _app(schedules: int, jitter: str | int) -> App:
    app = App("bench")
    noon = OnCron("0 12 * * *", jitter=jitter)

    def body(ctx: Context[dict[str, Any]]) -> Steps[str]:
        yield from ()
        return str(ctx.event.data["tick"])

    for number in range(schedules):
        app.workflow(on=noon, id=f"at-noon-{number}")(body)
    return app


class Ticks:
    """The runs that ticks have started: when each was created."""

    def __init__(self, schedules: int) -> None:
        self.created: list[tuple[str, int]] = []
        self.all = trio.Event()
        self._schedules = schedules

    def __call__(self, transition: Transition, _: Committed) -> None:
        self.created += [(new.row.workflow, new.row.created_at) for new in transition.create]
        if len(self.created) >= self._schedules:
            self.all.set()


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `spread` or `at-once`, on SQLite or with `-memory` on the memory store."""
    how, _, kind = workload.variant.partition("-memory")
    kind = "memory" if workload.variant.endswith("-memory") else "sqlite"
    jitter: str | int = 0 if how == "at-once" else QUICK_JITTER if quick else JITTER
    before = QUICK_BEFORE_SECONDS if quick else BEFORE_SECONDS
    return trio.run(_measure, kind, directory, QUICK_SCHEDULES if quick else SCHEDULES, jitter, before)


async def _measure(kind: str, directory: Path, schedules: int, jitter: str | int, before: int) -> Sample:
    bare = Bare(directory)
    commits = bare.back_to_back()
    app, clock = _app(schedules, jitter), Clock()
    clock.set(NOON - 3_600 * SECOND)
    store = make_store(kind, directory, clock=clock)
    began = time.perf_counter()
    async with open_engine(app, store):
        due = await _due_times(store)
    opened = time.perf_counter() - began
    expect(len(due) == schedules, f"{len(due)} schedules have begun, not {schedules}")
    clock.set(NOON - before * SECOND)
    ticks = Ticks(schedules)
    store = store if kind == "memory" else make_store(kind, directory, clock=clock)
    async with open_engine(app, store) as engine:
        engine.watch(ticks)
        expect(clock() < NOON, "opening an engine with all these schedules took too long")
        with Stopwatch() as watch, trio.fail_after(PATIENCE_SECONDS):
            await ticks.all.wait()
        await trio.sleep(1)
        await _check(engine.store, ticks, schedules)
    late = [(at - due[workflow]) / SECOND for workflow, at in ticks.created]
    expect(min(late) >= 0, "a schedule ticked before its time")
    measures = {"p99": percentile(late, 99), "worst": max(late)}
    notes = {"p50_s": median(late), "begin_seconds": opened}
    return Sample(measures, median(commits), watch.cpu / schedules, notes)


async def _due_times(store: Store) -> dict[str, int]:
    """When each schedule is due, jitter included."""
    due: dict[str, int] = {}
    cursor: str | None = None
    while True:
        page = await store.find_runs(RunFilter(status="schedule"), cursor)
        due |= {row.workflow: row.due_at for row in page.items if row.due_at is not None}
        cursor = page.cursor
        if cursor is None:
            return due


async def _check(store: Store, ticks: Ticks, schedules: int) -> None:
    """Each schedule has started one run, which is in the store."""
    counts = Counter(workflow for workflow, _ in ticks.created)
    expect(len(counts) == schedules and set(counts.values()) == {1}, "a schedule did not tick exactly once")
    seen, cursor = 0, None
    while True:
        page = await store.find_runs(RunFilter(), cursor)
        seen, cursor = seen + len(page.items), page.cursor
        if cursor is None:
            break
    expect(seen == schedules, f"there are {seen} runs, not {schedules}")


class Clock:
    """The time, moved to where somebody wants it."""

    def __init__(self) -> None:
        self._offset = 0

    def set(self, to: int) -> None:
        self._offset = to - time.time_ns() // 1_000

    def __call__(self) -> int:
        return time.time_ns() // 1_000 + self._offset
