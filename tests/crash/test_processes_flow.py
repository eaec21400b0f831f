"""Three engine processes on one file while a fourth sends: one is stopped past its lease, one is killed (I20, F16).

What executed is read from a journal that the bodies wrote; what was decided, from the store.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import trio

from flowgen import Event
from flowgen.history import EndCompleted
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.store import Loaded, RunFilter
from flowgen.values import decode

from . import flow_process as process
from . import harness

SCRIPT = Path(process.__file__)
KEYS = ("a", "b", "c")
EVENTS = 72


@attrs.frozen
class Span:
    """A body that was executed: by whom, from when to when (None: its process did not live to say so)."""

    pid: int
    run: str
    key: str
    begin: int
    end: int | None


@contextmanager
def fleet(database: Path, journal: Path, size: int = 3) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Engine processes that append to one journal."""
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[2]), "CRASH_JOURNAL": str(descriptor)}
    command = [sys.executable, "-m", "tests.crash.flow_process", str(database)]
    engines = [subprocess.Popen(command, pass_fds=[descriptor], env=environment) for _ in range(size)]
    try:
        yield engines
    finally:
        for engine in engines:
            engine.kill()
            engine.wait()
        os.close(descriptor)


def lines(journal: Path) -> list[list[str]]:
    return [line.split(" ") for line in journal.read_text().splitlines()]


async def until(journal: Path, what: str, number: int) -> None:
    """Wait until the journal has so many lines of a kind."""
    while True:
        if len([line for line in lines(journal) if line[1] == what]) >= number:
            return
        await trio.sleep(0.01)


def spans(journal: Path) -> list[Span]:
    """What was executed, in the order in which it began."""
    begun: dict[tuple[str, ...], list[Span]] = defaultdict(list)
    done: list[Span] = []
    for pid, what, at, run, _, key in lines(journal):
        if what == "begin":
            begun[pid, run].append(Span(int(pid), run, key, int(at), None))
        elif what == "end":
            done.append(attrs.evolve(begun[pid, run].pop(), end=int(at)))
    return sorted([*done, *(span for left in begun.values() for span in left)], key=lambda span: span.begin)


def crowd(executed: list[Span], limit: int) -> list[Span]:
    """The first of them that overlapped in a larger number than allowed, all at one moment."""
    for span in executed:
        at_once = [
            other for other in executed if other.begin <= span.begin and (other.end or span.begin + 1) > span.begin
        ]
        if len(at_once) > limit:
            return at_once
    return []


async def load_ended(client: Engine) -> list[Loaded]:
    """All runs, when none is open any more."""
    while True:
        if not (await client.store.find_runs(RunFilter(status="open"), None)).items:
            return await harness.load_all(client.store)
        await trio.sleep(0.02)


async def test_limits_hold_over_processes_of_which_one_is_stopped_and_one_killed(tmp_path: Path) -> None:
    """However the work is handed over, no limit is exceeded, no event lost and no singleton executed twice at once."""
    database, journal = tmp_path / "shared.db", tmp_path / "journal"
    with fleet(database, journal) as engines, trio.fail_after(120):
        await until(journal, "ready", len(engines))
        async with open_engine(process.app, f"sqlite:///{database}", work=False) as client:
            for n in range(EVENTS):
                await client.send(Event("work", {"n": n, "k": KEYS[n % 3]}, id=f"work-{n}"))
                if n == EVENTS // 3:
                    await harness.stop_between_commits(engines[0].pid, database)
                if n == EVENTS // 2:
                    engines[1].send_signal(signal.SIGKILL)
            runs = await load_ended(client)
            before = {run.row.id: run.row for run in runs}
            continued = time.monotonic_ns()
            engines[0].send_signal(signal.SIGCONT)
            await client.send(Event("work", {"n": EVENTS, "k": "last"}, id="last"))
            runs = await load_ended(client)
            assert {run.row.id: run.row for run in runs if run.row.id in before} == before
    check_executed(spans(journal), engines[0].pid, continued)
    check_decided([Seen(run) for run in runs])
    await trio.to_thread.run_sync(harness.examined, database)


def check_executed(executed: list[Span], stopped: int, continued: int) -> None:
    """Overlaps, without the bodies that stood still with their process: their slots were given to others."""
    assert len({span.pid for span in executed}) == 3, "not all processes took part"
    still = [span for span in executed if span.pid == stopped and span.begin < continued < (span.end or continued)]
    moving = [span for span in executed if span.end is not None and span not in still]
    for key in KEYS:
        assert crowd([span for span in moving if span.key == f"scarce/{key}"], process.LIMIT) == []
        assert crowd([span for span in moving if span.key == f"alone/{key}"], 1) == []
        assert crowd([span for span in moving if span.key == f"latest/{key}"], 1) == []
    assert crowd([span for span in moving if span.key.startswith("scarce")], process.SHARED) == []


@attrs.frozen
class Seen:
    """A run at the end."""

    run: Loaded

    @property
    def numbers(self) -> list[int]:
        return [decode(event.data)["n"] for event in self.run.events]

    @property
    def key(self) -> Any:
        return decode(self.run.events[-1].data)["k"]

    @property
    def completed(self) -> bool:
        return bool(self.run.records) and isinstance(self.run.records[-1], EndCompleted)


def check_decided(runs: list[Seen]) -> None:
    """What the store says: each event handled once by each workflow, as its option has it."""
    of: dict[str, list[Seen]] = defaultdict(list)
    for run in runs:
        of[run.run.row.workflow].append(run)
    everything = list(range(EVENTS + 1))
    for workflow in ("scarce", "spread", "batched"):
        assert all(run.completed for run in of[workflow]), workflow
    for workflow in ("scarce", "spread", "batched", "alone", "latest", "limited"):
        assert sorted(n for run in of[workflow] for n in run.numbers) == everything, workflow
    assert all(1 <= len(run.numbers) <= process.SIZE for run in of["batched"])
    starts = sorted(run.run.row.start_at or run.run.row.created_at for run in of["spread"])
    assert all(later - earlier >= process.SPACING_MS * 1000 for earlier, later in pairwise(starts))
    for key in KEYS:
        assert len([run for run in of["limited"] if run.key == key and run.completed]) == process.STARTS
        newest = max(n for run in of["latest"] if run.key == key for n in run.numbers)
        assert [run.completed for run in of["latest"] if newest in run.numbers] == [True]
        assert newest in [n for run in of["debounced"] if run.key == key for n in run.numbers]
