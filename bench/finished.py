"""W9: a store with 1,000,000 finished runs, beside one with 100.

In turns on both: one due run is created and claimed, the newest 50 runs are listed (of all, and of one workflow and
state), and one finished run is shown with its history. Work must not cost more because much has been done.

What is counted is work, not the disk: the files are read once before, so that their pages are in the operating
system's cache, where the filling left them, even on a machine that empties that cache by itself. A finished run
whose pages are not there costs about eight reads of the disk on top.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.filling import APP, LEASE, WORKFLOW, claimant, fill, make_store, new_run, trigger
from bench.timing import Sample, expect, median
from flowgen.history import EndCompleted, Record, Started, StepSucceeded
from flowgen.outcome import Json
from flowgen.runs import RunRow
from flowgen.runtime.store import RunFilter, Store
from flowgen.transition import NewRun, Progress, Transition

FINISHED, QUICK_FINISHED, FEW = 1_000_000, 5_000, 100
TIMES, QUICK_TIMES = 200, 20
LIMIT = 50
STEPS = 1


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `sqlite` or `memory`."""
    sizes = (QUICK_FINISHED, QUICK_TIMES) if quick else (FINISHED, TIMES)
    return trio.run(_measure, workload.variant, directory, *sizes)


async def _measure(kind: str, directory: Path, finished: int, times: int) -> Sample:
    bare = Bare(directory)
    commit = median(bare.back_to_back())
    sizes = {"full": finished, "empty": FEW}
    stores = {name: make_store(kind, directory, name) for name in sizes}
    began = time.perf_counter()
    for name, store in stores.items():
        await store.open()
        await fill(store, _finished(await store.now(), sizes[name]))
    filled = time.perf_counter() - began
    read_whole(directory)
    took: dict[str, dict[str, list[float]]] = {name: {verb: [] for verb in _VERBS} for name in stores}
    for number in range(times):
        for name, store in stores.items():
            look = Look(store, number, sizes[name])
            await look.prepare()
            for verb, do in _VERBS.items():
                took[name][verb].append(await _timed(do, look))
            await look.end()
    for store in stores.values():
        await store.close()
    medians = {name: {verb: median(values) for verb, values in verbs.items()} for name, verbs in took.items()}
    ratios = {verb: medians["full"][verb] / medians["empty"][verb] for verb in _VERBS}
    notes: dict[str, Any] = {f"{verb}_us": value * 1e6 for verb, value in medians["full"].items()}
    return Sample(ratios, commit, None, {**notes, "fill_seconds": filled})


def read_whole(directory: Path) -> None:
    """Read all files of a directory, so that the operating system has them in its cache."""
    for path in directory.iterdir():
        with path.open("rb") as file:
            while file.read(1 << 20):
                pass


def _finished(now: int, runs: int) -> Iterator[NewRun]:
    """Runs that have ended, each created a millisecond after the one before."""
    for number in range(runs):
        at = now - (runs - number) * 1_000
        records: list[Record] = [Started(at, "digest")]
        records += [
            StepSucceeded(at, f"step:{n}", Json(b'"done"'), "run", "0" * 24, Json(b"[[],{}]")) for n in range(STEPS)
        ]
        records.append(EndCompleted(at, Json(b'"done"')))
        row = RunRow(APP, f"done-{number:07}", WORKFLOW, at, 1, "completed", started_at=at, ended_at=at)
        yield NewRun(row, (trigger(0, at),), tuple(records))


@attrs.define
class Look:
    """What is done once to one store: a run of its own that is due, and a finished one to be shown."""

    store: Store
    number: int
    finished: int
    row: RunRow | None = None

    async def prepare(self) -> None:
        """Create a run that is due."""
        now = await self.store.now()
        row = RunRow(APP, f"due-{self.number}", WORKFLOW, now, 1, due_at=now)
        await self.store.commit(Transition(f"due-{self.number}", create=(new_run(row),)))

    async def claim(self) -> None:
        """Claim it."""
        (claimed,) = (await self.store.claim(claimant(), 10, LEASE)).runs
        expect(claimed.row.id == f"due-{self.number}", f"claimed is {claimed.row.id}")
        self.row = claimed.row

    async def list(self) -> None:
        """The newest runs."""
        page = await self.store.find_runs(RunFilter(), limit=LIMIT)
        expect(len(page.items) == LIMIT, f"{len(page.items)} runs are listed")

    async def list_some(self) -> None:
        """The newest runs of a workflow in a state."""
        where = RunFilter(app=APP, workflow=WORKFLOW, status="completed")
        page = await self.store.find_runs(where, limit=LIMIT)
        expect(len(page.items) == LIMIT, f"{len(page.items)} runs are listed")

    async def show(self) -> None:
        """A finished run with its history: each time another one."""
        loaded = await self.store.load(APP, f"done-{self.number * 7_919 % self.finished:07}")
        expect(loaded is not None and len(loaded.records) == STEPS + 2, "a finished run is not what it was")

    async def end(self) -> None:
        """The run of our own ends too."""
        assert self.row is not None
        now = await self.store.now()
        records = (Started(now, "digest"), EndCompleted(now, Json(b"null")))
        progress = Progress(APP, self.row.id, self.row.fence, 0, records, stored="completed", started_at=now)
        await self.store.commit(Transition(f"{self.row.id}/end", progress))


_VERBS: dict[str, Callable[[Look], Awaitable[None]]] = {
    "claim": Look.claim,
    "list": Look.list,
    "list_some": Look.list_some,
    "show": Look.show,
}


async def _timed(do: Callable[[Look], Awaitable[None]], look: Look) -> float:
    began = time.perf_counter()
    await do(look)
    return time.perf_counter() - began
