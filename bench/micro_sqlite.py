"""The SQLite store by itself: owners that commit one record after the other, without an engine.

::

    python -m bench.micro_sqlite            # 200, 8 and 1 owners at once
    python -m bench.micro_sqlite 200 100    # 200 owners, 100 records each

Prints commits a second and the CPU time of one, all threads together.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import trio

from flowgen.history import StepSucceeded
from flowgen.outcome import Json
from flowgen.runs import RunRow
from flowgen.runtime.stores import SqliteStore
from flowgen.transition import NewRun, Progress, Transition

FOREVER = 10**12


async def own(store: SqliteStore, run: str, records: int) -> None:
    """Commit records to a run, one at a time."""
    value, arguments = Json(b'{"id":"abc","n":1}'), Json(b'[["7"],{}]')
    for position in range(records):
        record = StepSucceeded(position, f"charge:{position}", value, "run", "0123456789abcdef01234567", arguments)
        await store.commit(Transition(f"{run}/1/{position}", Progress("shop", run, 1, position, (record,))))


async def measure(owners: int, records: int) -> str:
    """Let so many owners commit so many records each, at once."""
    with tempfile.TemporaryDirectory(dir=".") as directory:
        store = SqliteStore(Path(directory) / "x.db")
        await store.open()
        now = await store.now()
        rows = [RunRow("shop", f"r{number}", "micro", now, 1, owner="w", fence=1) for number in range(owners)]
        await store.commit(Transition("create", create=tuple([NewRun(row, (), (), FOREVER) for row in rows])))
        wall, cpu = time.perf_counter(), time.process_time()
        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(own, store, row.id, records)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        await store.close()
    commits = owners * records
    return f"{owners:4} owners: {commits / wall:7,.0f} commits/s, {cpu / commits * 1e6:4.0f} µs of CPU each"


if __name__ == "__main__":
    sizes = [(200, 100), (8, 500), (1, 1000)]
    if len(sys.argv) == 3:
        sizes = [(int(sys.argv[1]), int(sys.argv[2]))]
    for owners, records in sizes:
        print(trio.run(measure, owners, records))
