"""One engine process of `test_processes`: works until it is killed. Argument: the database."""

from __future__ import annotations

import os
import sys
from typing import Any

import trio

from flowgen import App, Context, Run, Sleep, Steps, step_info
from flowgen.runtime import open_engine

app = App("processes")
JOURNAL = int(os.environ.get("CRASH_JOURNAL", "-1"))
GATE = int(os.environ.get("CRASH_GATE", "-1"))
LEASE = "800ms"


def note() -> None:
    """Tell the test which process starts which body."""
    info = step_info()
    os.write(JOURNAL, f"{os.getpid()} {info.run_id} {info.step_id}\n".encode())


def step(number: int) -> int:
    note()
    return number + 1


def gated() -> int:
    """Say who runs it, and return only when the test opens the gate."""
    note()
    os.read(GATE, 1)
    return os.getpid()


@app.workflow
def plain(ctx: Context[dict[str, Any]]) -> Steps[int]:
    number = ctx.event.data["number"]
    for _ in range(3):
        number = yield from Run("step", step, number)
    yield Sleep("rest", "5ms")
    number = yield from Run("last", step, number)
    return number


@app.workflow
def blocked(ctx: Context[dict[str, Any]]) -> Steps[list[int]]:
    first = yield from Run("before", step, 0)
    owner = yield from Run("gated", gated)
    last = yield from Run("after", step, first)
    return [owner, last]


async def main() -> None:
    async with open_engine(app, f"sqlite:///{sys.argv[1]}", lease=LEASE):
        os.write(JOURNAL, f"{os.getpid()} ready ready\n".encode())
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
