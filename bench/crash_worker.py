"""The processes of W5: one that is killed, and one that goes on (`python -m bench.crash_worker DIR PART RUNS`).

`progress` is the first commit of the second process that records something.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import trio

from bench.killing import CallLog, say
from bench.many import STEPS, all_runs
from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.runtime import open_engine
from flowgen.runtime.store import Committed
from flowgen.transition import Transition

LEASE: Final = "2s"
STORE: Final = "store.db"


def _app(log: CallLog, half: int) -> App:
    """The app of W1, with bodies that write down that they were called; `half` of them are worth saying so."""
    app = App("bench")

    async def step(number: int, value: int) -> int:
        log.write(number, value)
        if log.called == half:
            say("half")
        return value + 1

    @app.workflow(on=OnEvent("many/asked"))
    def ten_steps(ctx: Context[dict[str, Any]]) -> Steps[int]:
        number, value = ctx.event.data["number"], 0
        for _ in range(STEPS):
            value = yield Run("step", step, number, value)
        return value

    return app


class Watcher:
    """Sees every commit: says when the first one records something, and knows which runs have not completed."""

    def __init__(self, missing: set[str]) -> None:
        self.missing = missing
        self.all = trio.Event()
        self._progressed = False

    def __call__(self, transition: Transition, _: Committed) -> None:
        progress = transition.progress
        if progress is None:
            return
        if progress.records and not self._progressed:
            self._progressed = True
            say("progress")
        if progress.stored == "completed":
            self.missing.discard(progress.run)
            if not self.missing:
                self.all.set()


async def first(directory: Path, runs: int) -> None:
    """Do W1, until killed."""
    app = _app(CallLog(directory), runs * STEPS // 2)
    async with open_engine(app, f"sqlite:///{directory / STORE}", lease=LEASE) as engine:
        await engine.send([Event("many/asked", {"number": number}) for number in range(runs)])
        await trio.sleep_forever()


async def again(directory: Path, runs: int) -> None:
    """Go on where the first process was killed, until all runs have completed."""
    url = f"sqlite:///{directory / STORE}"
    async with open_engine(App("bench"), url, work=False) as engine:
        watcher = Watcher({run.id for run in await all_runs(engine) if run.status != "completed"})
    async with open_engine(_app(CallLog(directory), 0), url, lease=LEASE) as engine:
        engine.watch(watcher)
        with trio.fail_after(60):
            await watcher.all.wait()
        say("complete")


if __name__ == "__main__":
    trio.run({"first": first, "again": again}[sys.argv[2]], Path(sys.argv[1]), int(sys.argv[3]))
