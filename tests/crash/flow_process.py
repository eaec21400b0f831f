"""One engine process of `test_processes_flow`: works until it is killed. Argument: the database.

Each body writes to the journal when it begins and when it ends, with the machine's monotonic time, which all
processes share.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import trio

from flowgen import App, Backoff, Context, OnEvent, Run, Steps, step_info
from flowgen.flow_control import Batch, Concurrency, Debounce, RateLimit, Singleton, Throttle
from flowgen.runtime import open_engine

app = App("flow-processes", backoff=Backoff.fixed("1ms"))
JOURNAL = int(os.environ.get("CRASH_JOURNAL", "-1"))
LEASE = "800ms"
LIMIT = 2
SHARED = 3
STARTS = 5
SPACING_MS = 20
SIZE = 4

Data = dict[str, Any]


def note(what: str, key: Any) -> None:
    info = step_info()
    os.write(JOURNAL, f"{os.getpid()} {what} {time.monotonic_ns()} {info.run_id} {info.attempt} {key}\n".encode())


async def work(key: str, milliseconds: int) -> int:
    """A body that says when it begins and when it ends, also if it is cancelled."""
    note("begin", key)
    try:
        await trio.sleep(milliseconds / 1000)
    finally:
        note("end", key)
    return os.getpid()


@app.workflow(
    on=OnEvent("work"),
    concurrency=[Concurrency(LIMIT, key="event.data.k"), Concurrency(SHARED, key='"all"', scope="app")],
)
def scarce(ctx: Context[Data]) -> Steps[int]:
    yield Run("first", work, f"scarce/{ctx.event.data['k']}", 5)
    return (yield Run("second", work, f"scarce/{ctx.event.data['k']}", 5))


@app.workflow(on=OnEvent("work"), singleton=Singleton(key="event.data.k"))
def alone(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(work, f"alone/{ctx.event.data['k']}", 20))


@app.workflow(on=OnEvent("work"), singleton=Singleton(key="event.data.k", mode="cancel"))
def latest(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(work, f"latest/{ctx.event.data['k']}", 20))


@app.workflow(on=OnEvent("work"), rate_limit=RateLimit(STARTS, per="1h", key="event.data.k"))
def limited(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(work, "limited", 1))


@app.workflow(on=OnEvent("work"), throttle=Throttle(1, per=f"{SPACING_MS}ms"))
def spread(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(work, "spread", 1))


@app.workflow(on=OnEvent("work"), batch=Batch(SIZE, wait="50ms"))
def batched(ctx: Context[Data]) -> Steps[list[int]]:
    yield Run(work, "batched", 1)
    return [event.data["n"] for event in ctx.events]


@app.workflow(on=OnEvent("work"), debounce=Debounce("40ms", key="event.data.k"))
def debounced(ctx: Context[Data]) -> Steps[int]:
    yield Run(work, "debounced", 1)
    return ctx.event.data["n"]


async def main() -> None:
    async with open_engine(app, f"sqlite:///{sys.argv[1]}", lease=LEASE):
        os.write(JOURNAL, f"{os.getpid()} ready 0 - 0 -\n".encode())
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
