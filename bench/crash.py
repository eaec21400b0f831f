"""W5: kill -9 half way through W1, and a restart at once.

A real process (`crash_worker`) does W1 with a short lease; when half of the bodies have begun it is
killed with SIGKILL. What the disk holds then is copied, and a second process opens the same file. The
clock runs from the kill: until the first commit of the second process that records something (it has to
wait for the leases of the dead one), and until all runs have completed.

No step that was recorded in the copy may have been called by the second process.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from pathlib import Path

import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.crash_worker import LEASE, STORE
from bench.killing import Call, calls, kill_half_way
from bench.many import QUICK_RUNS, RUNS, STEPS, all_runs, check_history
from bench.timing import Sample, expect, median
from flowgen import App
from flowgen.history import StepSucceeded
from flowgen.runtime import open_engine


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Kill, restart, and look at what came of it."""
    runs = QUICK_RUNS if quick else RUNS
    bare = Bare(directory)
    commit = median(bare.back_to_back())
    bare.close()
    killed = directory / "killed"
    earlier: Counter[Call] = Counter()

    def keep() -> None:
        killed.mkdir()
        for file in directory.glob(f"{STORE}*"):
            shutil.copy(file, killed)
        earlier.update(calls(directory))

    progress, complete = kill_half_way(_worker(directory, "first", runs), _worker(directory, "again", runs), keep)
    recorded = trio.run(_recorded, killed / STORE)
    _check(recorded, earlier, calls(directory) - earlier, runs)
    trio.run(_check_end, directory / STORE, runs)
    notes = {"lease": LEASE, "recorded_at_kill": len(recorded)}
    return Sample({"first_progress": progress, "all_complete": complete}, commit, None, notes)


def _worker(directory: Path, part: str, runs: int) -> list[str]:
    return [sys.executable, "-m", "bench.crash_worker", str(directory), part, str(runs)]


async def _recorded(path: Path) -> set[Call]:
    """The steps whose outcome is in a store."""
    recorded = set()
    async with open_engine(App("bench"), f"sqlite:///{path}", work=False) as engine:
        for run in await all_runs(engine):
            outcomes = [r for r in await engine.history(run.id) if isinstance(r, StepSucceeded)]
            recorded |= {(run.event.data["number"], value) for value in range(len(outcomes))}
    return recorded


def _check(recorded: set[Call], earlier: Counter[Call], later: Counter[Call], runs: int) -> None:
    again = recorded & set(later)
    expect(not again, f"{len(again)} recorded steps ran again, for example {sorted(again)[:3]}")
    expect(recorded <= set(earlier), "a step is recorded whose body never ran")
    expect(set(earlier) | set(later) == {(n, v) for n in range(runs) for v in range(STEPS)}, "a body never ran")
    expect(max([*earlier.values(), *later.values()]) == 1, "one process called a body twice")


async def _check_end(path: Path, runs: int) -> None:
    async with open_engine(App("bench"), f"sqlite:///{path}", work=False) as engine:
        items = await all_runs(engine)
        expect(len(items) == runs, f"there are {len(items)} runs, not {runs}")
        for item in items:
            expect(item.status == "completed" and item.result == STEPS, f"run {item.id} is {item.status}")
            check_history(await engine.history(item.id))
