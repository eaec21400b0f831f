"""Three real processes share one SQLite file (I20, I21, I22; F16)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import trio

from flowgen.history import EndCompleted, StepSucceeded
from flowgen.runtime import Engine, open_engine
from flowgen.values import decode

from . import harness, process

SCRIPT = Path(process.__file__)


@attrs.frozen
class Started:
    """A line of the journal: this process starts the body of that step."""

    pid: int
    run: str
    step: str


class Fleet:
    """Engine processes, what they say, and the gate that holds their gated bodies."""

    def __init__(self, database: Path, size: int) -> None:
        self._read, journal = os.pipe()
        gate, self._gate = os.pipe()
        self._lines = os.fdopen(self._read, "r")
        root = SCRIPT.parents[2]
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(SCRIPT), str(database)],
                pass_fds=(journal, gate),
                env={**os.environ, "PYTHONPATH": str(root), "CRASH_JOURNAL": str(journal), "CRASH_GATE": str(gate)},
            )
            for _ in range(size)
        ]
        os.close(journal)
        os.close(gate)

    async def next(self) -> Started:
        """The next line of the journal."""
        line = await trio.to_thread.run_sync(self._lines.readline, abandon_on_cancel=True)
        assert line, "all engine processes are gone"
        pid, run, step = line.split()
        return Started(int(pid), run, step)

    async def until(self, run: str, step: str, *, not_by: int = 0) -> Started:
        """The next start of that step, by another process than `not_by`."""
        while True:
            started = await self.next()
            if (started.run, started.step) == (run, step) and started.pid != not_by:
                return started

    def open_gate(self, times: int) -> None:
        os.write(self._gate, b"." * times)

    def close(self) -> None:
        for each in self.processes:
            each.kill()
            each.wait()
        os.close(self._gate)
        self._lines.close()


@contextmanager
def fleet(database: Path, size: int = 3) -> Iterator[Fleet]:
    started = Fleet(database, size)
    try:
        yield started
    finally:
        started.close()


async def test_three_processes_share_the_work(tmp_path: Path) -> None:
    """Every run of a shared file ends once, with the right result, whichever process drove it."""
    database = tmp_path / "shared.db"
    with fleet(database) as engines, trio.fail_after(120):
        for _ in engines.processes:
            await engines.next()
        async with open_engine(process.app, f"sqlite:///{database}", work=False) as client:
            runs = [await client.start("plain", {"number": n}) for n in range(60)]
            for n, run in enumerate(runs):
                assert await client.result(run) == n + 4
            for run in runs:
                history = await client.history(run)
                assert [r.step for r in history if isinstance(r, StepSucceeded)] == [
                    "step",
                    "step:1",
                    "step:2",
                    "rest",
                    "last",
                ]


async def test_a_process_stopped_past_its_lease_changes_nothing_when_it_goes_on(tmp_path: Path) -> None:
    """The zombie finishes its step; what it returns is refused, and the run goes on under its new owner."""
    database = tmp_path / "shared.db"
    with fleet(database) as engines, trio.fail_after(120):
        for _ in engines.processes:
            await engines.next()
        async with open_engine(process.app, f"sqlite:///{database}", work=False) as client:
            run = await client.start("blocked")
            first = await engines.until(run, "gated")
            await harness.stop_between_commits(first.pid, database)
            second = await engines.until(run, "gated", not_by=first.pid)
            os.kill(first.pid, signal.SIGCONT)
            engines.open_gate(2)
            assert await client.result(run) == [second.pid, 2]
            await still_works(client, engines, first.pid)
            await check_one_owner(client, run, second.pid)


async def check_one_owner(client: Engine, run: str, pid: int) -> None:
    """The history is that of one owner: each step once, one end, the gated value of `pid`."""
    history = await client.history(run)
    outcomes = [r for r in history if isinstance(r, StepSucceeded)]
    assert [r.step for r in outcomes] == ["before", "gated", "after"]
    assert decode(outcomes[1].value) == pid
    assert [isinstance(r, EndCompleted) for r in history].count(True) == 1


async def still_works(client: Engine, engines: Fleet, pid: int) -> None:
    """The process that was stopped is alive and takes runs again."""
    for _ in range(200):
        run = await client.start("plain", {"number": 1})
        started = await engines.until(run, "last")
        if started.pid == pid:
            return
    raise AssertionError("the process that was stopped takes no runs any more")
