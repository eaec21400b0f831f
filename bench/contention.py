"""W12: what a claim costs when very many runs are blocked, or due.

`keys`: 64 runs for each of 1,000 keys of a `Concurrency(1)`, so 1,000 execute and 63,000 are blocked. One of those
that execute ends, and a claim gives the one that stood behind it: the clock runs over that claim. `priority`: 100,000
runs are due, with all sorts of priorities; the clock runs over claims of ten of them.

In turns with each the same is done in a store with few: 2 runs for each key, or 1,000 runs that are due. The cost must
not differ. Afterwards everything is claimed and ended, as many at once as there may be: never two of one key at a
time, each exactly once; and priorities come in their order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import attrs
import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.filling import APP, LEASE, WORKFLOW, claimant, fill, make_store, new_run
from bench.timing import Sample, Stopwatch, expect, median
from flowgen.history import EndCompleted, Started
from flowgen.outcome import Json
from flowgen.runs import RunRow
from flowgen.runtime.store import Claimed, Store
from flowgen.transition import Progress, Transition

KEYS, QUICK_KEYS, PER_KEY, FEW_PER_KEY = 1_000, 50, 64, 2
DUE, QUICK_DUE, FEW_DUE = 100_000, 3_000, 1_000
TIMES, QUICK_TIMES = 80, 20
AT_ONCE = 10
ENDED_AT_ONCE = 500
END = Json(b"null")


@attrs.define
class Contended:
    """A store full of runs that want something, the claims of a worker that can have it, and who holds what."""

    store: Store
    limits: tuple[int, ...]
    held: dict[str, Claimed] = attrs.Factory(dict)
    ended: int = 0

    async def claim(self, limit: int) -> tuple[list[RunRow], float]:
        """Claim runs; they and the seconds that it took."""
        began = time.perf_counter()
        claims = await self.store.claim(claimant(self.limits), limit, LEASE)
        took = time.perf_counter() - began
        for claimed in claims.runs:
            expect(not claimed.slotless and claimed.row.id not in self.held, f"{claimed.row.id} was given wrongly")
            self.held[claimed.row.id] = claimed
        slots = [slot for claimed in self.held.values() for slot in claimed.row.slots]
        expect(len(slots) == len(set(slots)), "two runs of one key are executing")
        return [claimed.row for claimed in claims.runs], took

    async def settle(self) -> None:
        """Claim until claims find nothing to do: they rank and block what has become ready in pages."""
        while (due := await self.store.next_due(claimant(self.limits))) is not None and due <= await self.store.now():
            await self.claim(AT_ONCE)

    async def end(self, run: str) -> None:
        """A run that is held ends."""
        row = self.held[run].row
        now = row.created_at
        records = (Started(now, "digest"), EndCompleted(now, END))
        progress = Progress(APP, run, row.fence, 0, records, stored="completed", started_at=now)
        await self.store.commit(Transition(f"{run}/end", progress))
        del self.held[run]
        self.ended += 1

    async def end_all(self) -> None:
        """Claim and end until nothing is left."""
        while True:
            await self.claim(ENDED_AT_ONCE)
            if not self.held:
                return
            async with trio.open_nursery() as nursery:
                for run in list(self.held)[:ENDED_AT_ONCE]:
                    nursery.start_soon(self.end, run)


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `keys` or `priority`, on SQLite or with `-memory` on the memory store."""
    what, _, kind = workload.variant.partition("-")
    return trio.run(_MEASURES[what], kind or "sqlite", directory, quick)


# -- keys ----------------------------------------------------------------------------------------------


async def _keys(kind: str, directory: Path, quick: bool) -> Sample:
    commits = Bare(directory).back_to_back()
    keys, times = (QUICK_KEYS, QUICK_TIMES) if quick else (KEYS, TIMES)
    many = await _contended(make_store(kind, directory, "many"), keys, PER_KEY)
    few = await _contended(make_store(kind, directory, "few"), keys, FEW_PER_KEY)
    took: dict[str, list[float]] = {"many": [], "few": []}
    for number in range(min(times, keys)):
        for name, contended in (("many", many), ("few", few)):
            took[name].append(await _next_of_key(contended, number))
    with Stopwatch() as watch:
        left = keys * PER_KEY - many.ended
        await many.end_all()
    expect(many.ended == keys * PER_KEY, f"{many.ended} runs have ended, not {keys * PER_KEY}")
    await many.store.close()
    await few.store.close()
    measures = {
        "claim": median(took["many"]) * 1e6,
        "growth": median(took["many"]) / median(took["few"]),
        "drained": left / watch.wall,
    }
    return Sample(measures, median(commits), watch.cpu / left)


async def _contended(store: Store, keys: int, per_key: int) -> Contended:
    """A store in which one run of each key executes and the others are blocked."""
    await store.open()
    now = await store.now()
    await fill(store, map(new_run, _of_keys(now, keys, per_key)))
    contended = Contended(store, (1,))
    while len(contended.held) < keys:
        await contended.claim(keys)
    await contended.settle()
    expect(len(contended.held) == keys, "a run was given whose key is held")
    return contended


def _of_keys(now: int, keys: int, per_key: int) -> Iterator[RunRow]:
    for number in range(keys * per_key):
        slot = f"{WORKFLOW}#0/{number % keys}"
        yield RunRow(APP, f"run-{number:06}", WORKFLOW, now + number, 1, due_at=now, slots=(slot,), wants=True)


async def _next_of_key(contended: Contended, number: int) -> float:
    """Let one run end; the seconds of the claim that gives the next one of its key."""
    first = next(iter(contended.held))
    (slot,) = contended.held[first].row.slots
    await contended.end(first)
    given, took = await contended.claim(AT_ONCE)
    expect([row.slots for row in given] == [(slot,)], f"claim {number} gave {len(given)} runs")
    return took


# -- priorities ----------------------------------------------------------------------------------------


async def _priority(kind: str, directory: Path, quick: bool) -> Sample:
    commits = Bare(directory).back_to_back()
    due, times = (QUICK_DUE, QUICK_TIMES) if quick else (DUE, TIMES)
    many = await _due(make_store(kind, directory, "many"), due)
    few = await _due(make_store(kind, directory, "few"), FEW_DUE)
    took: dict[str, list[float]] = {"many": [], "few": []}
    ranks: list[int] = []
    for _ in range(times):
        for name, contended in (("many", many), ("few", few)):
            given, seconds = await contended.claim(AT_ONCE)
            expect(len(given) == AT_ONCE, f"a claim gave {len(given)} runs")
            took[name].append(seconds)
            if name == "many":
                ranks += [-row.priority for row in given]
    expect(ranks == sorted(ranks), "runs did not come in the order of their priorities")
    await many.store.close()
    await few.store.close()
    measures = {"claim": median(took["many"]) * 1e6, "growth": median(took["many"]) / median(took["few"])}
    return Sample(measures, median(commits))


async def _due(store: Store, runs: int) -> Contended:
    """A store in which so many runs are due; one claim has ranked them, as claims do."""
    await store.open()
    now = await store.now()
    rows = (
        RunRow(APP, f"run-{n:06}", WORKFLOW, now, 1, due_at=now, priority=n * 7_919 % 1_201 - 600) for n in range(runs)
    )
    await fill(store, map(new_run, rows))
    contended = Contended(store, ())
    await contended.claim(AT_ONCE)
    return contended


_MEASURES = {"keys": _keys, "priority": _priority}
