"""W8: one event against 100,000 open waits with `match` on one name.

All waits are for events of one name; each has a value of its own, but for three that share the value of the
event. The clock runs over `Store.waits`, which finds them. In turns with it the same is asked of a store with 1,000
waits: that cost must not differ, because only those that match are looked at.
"""

from __future__ import annotations

import time
from pathlib import Path

import trio

from bench.catalogue import Workload
from bench.filling import APP, LEASE, WORKFLOW, fill, make_store, new_run
from bench.timing import Sample, expect, median, percentile
from flowgen.events import AcceptedEvent
from flowgen.expression import match_key
from flowgen.outcome import Json
from flowgen.runs import RunRow
from flowgen.runtime.store import Store
from flowgen.transition import Transition, Wait

WAITS, QUICK_WAITS, FEW = 100_000, 5_000, 1_000
MATCHING = 3
ASKED, QUICK_ASKED = 1_000, 100
NAME, PATH = "order/approved", "data.order_id"


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `sqlite` or `memory`."""
    sizes = (QUICK_WAITS, QUICK_ASKED) if quick else (WAITS, ASKED)
    return trio.run(_measure, workload.variant, directory, *sizes)


async def _measure(kind: str, directory: Path, waits: int, asked: int) -> Sample:
    many, few = make_store(kind, directory, "many"), make_store(kind, directory, "few")
    event = await _prepare(many, waits)
    other = await _prepare(few, FEW)
    took: list[float] = []
    took_few: list[float] = []
    cpu = time.process_time()
    for _ in range(asked):
        took.append(await _ask(many, event))
        took_few.append(await _ask(few, other))
    cpu = (time.process_time() - cpu) / asked / 2
    await many.close()
    await few.close()
    measures = {"find": median(took) * 1e3, "growth": median(took) / median(took_few)}
    return Sample(measures, None, cpu, {"p99_ms": percentile(took, 99) * 1e3})


async def _prepare(store: Store, waits: int) -> AcceptedEvent:
    """Open a store with so many waits; an event that three of them match."""
    await store.open()
    now = await store.now()
    rows = [RunRow(APP, f"run-{number}", WORKFLOW, now, 1, started_at=now) for number in range(waits)]
    opened = [
        Wait(f"wait-{n}", APP, f"run-{n}", "approved", NAME, 0, now + LEASE, PATH, match_key(_order(n)), looked_to=0)
        for n in range(waits)
    ]
    await fill(store, map(new_run, rows), opened)
    event = AcceptedEvent("approved", NAME, Json(b'{"order_id":"wanted"}'), now, now)
    committed = await store.commit(Transition("accept", accept=(event,)))
    (found,) = await store.events(NAME, 0)
    expect(found.position == committed.positions[0], "the event has no position")
    return found


def _order(number: int) -> str:
    return "wanted" if number % 97 == 0 and number < 97 * MATCHING else f"order-{number}"


async def _ask(store: Store, event: AcceptedEvent) -> float:
    """The seconds that finding the waits takes."""
    began = time.perf_counter()
    page = await store.waits(event)
    took = time.perf_counter() - began
    expect(len(page.items) == MATCHING, f"{len(page.items)} waits were found, not {MATCHING}")
    return took
