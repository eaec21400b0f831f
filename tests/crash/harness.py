"""Kills an engine with SIGKILL at its k-th commit: before it, while it is written, right after it.

The parent has imported everything and forks a child for each life of the engine, so a life costs
milliseconds. In the child the store does its writes on the calling thread, so the commit that dies is
the one that was counted. "While it is written" is in the `xSync` of the write-ahead log: the bytes are
in the file and not yet durable. The next life opens the file with a clock that is further on, so leases
of the dead have run out and nobody waits. Each life begins a moment before a full hour, for those who tick then.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any, Literal

import apsw
import attrs
import trio

from flowgen import App
from flowgen.history import OUTCOMES
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.checkup import check_up
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import Loaded, RunFilter
from flowgen.runtime.stores import SqliteStore
from flowgen.transition import Transition

from . import workflows

Phase = Literal["before", "during", "after"]
Scenario = Callable[[Engine], Awaitable[None]]

End = Literal["killed", "lived", "spared"]
"""A life was killed, came to its end before its commit, or had a commit that wrote nothing to die in."""

_FAILED, _SPARED = 1, 3
VFS_NAME = "flowgen-kill"
LIVES = 6
LEASE = "60s"
SHIFT = 3600 * 1_000_000
"""Each life begins so many microseconds later than the one before: all leases and back-offs are over."""
BEFORE_THE_HOUR = 30_000
ORIGIN = time.time_ns() // 1000 // SHIFT * SHIFT - BEFORE_THE_HOUR
"""When the first life begins, by its clock."""


class _KillFile(apsw.VFSFile):
    armed = False

    def xSync(self, flags: int) -> None:
        if _KillFile.armed:
            os.kill(os.getpid(), signal.SIGKILL)
        super().xSync(flags)


class _KillVFS(apsw.VFS):
    def __init__(self) -> None:
        super().__init__(VFS_NAME, "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _KillFile("", name, flags)


class KillingStore:
    """A store whose process dies at commit number `at` (from 1), in `phase`."""

    def __init__(self, store: SqliteStore, at: int, phase: Phase) -> None:
        self._store = store
        self.at = at
        self._phase = phase
        self.count = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, transition: Transition) -> Any:
        self.count += 1
        mine = self.count == self.at
        if mine and self._phase == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        _KillFile.armed = mine and self._phase == "during"
        committed = await self._store.commit(transition)
        if mine and self._phase == "after":
            os.kill(os.getpid(), signal.SIGKILL)
        return committed


@attrs.frozen
class Recorded:
    """What the store knew at one moment: the settled steps, and how often each body had started."""

    settled: frozenset[tuple[str, str]]
    starts: Counter[tuple[str, str]]


def life(
    database: Path, number: int, scenario: Scenario, kill: tuple[int, Phase] | None, app: App = workflows.app
) -> End:
    """One life of the engine in a forked child, and how it ended."""
    child = os.fork()
    if child == 0:
        code = _FAILED
        try:
            code = trio.run(_live, database, number, scenario, kill, app)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
        return "killed"
    code = os.waitstatus_to_exitcode(status)
    assert code != _FAILED, f"life {number} failed: see its trace above"
    return "spared" if code == _SPARED else "lived"


async def _live(database: Path, number: int, scenario: Scenario, kill: tuple[int, Phase] | None, app: App) -> int:
    _VFS.append(_KillVFS())
    clock = _LifeClock(number)
    store = SqliteStore(database, clock, inline=True, vfs=VFS_NAME)
    used: Any = store if kill is None else KillingStore(store, *kill)
    async with open_engine(app, used, lease=LEASE, grace="0s", environment=Environment(threads=False)) as engine:
        clock.begin()
        with trio.fail_after(120):
            await scenario(engine)
    return _SPARED if isinstance(used, KillingStore) and used.count >= used.at else 0


_VFS: list[_KillVFS] = []


class _LifeClock:
    """The clock of one life: it stands still until the engine is open, however long that takes."""

    def __init__(self, number: int) -> None:
        self._from = ORIGIN + number * SHIFT
        self._begun: int | None = None

    def begin(self) -> None:
        self._begun = time.monotonic_ns()

    def __call__(self) -> int:
        return self._from if self._begun is None else self._from + (time.monotonic_ns() - self._begun) // 1000


async def stop_between_commits(pid: int, database: Path) -> None:
    """Stop a child process when it does not hold the file's write lock: with it, it would stop all the others too.

    It is asked for when all threads have stopped, and not before: one that is in the kernel may just be given it.
    """
    with closing(apsw.Connection(str(database))) as connection:
        connection.set_busy_timeout(100)
        while True:
            os.kill(pid, signal.SIGSTOP)
            await trio.to_thread.run_sync(os.waitid, os.P_PID, pid, os.WSTOPPED)
            try:
                connection.execute("begin immediate")
                connection.execute("rollback")
                return
            except apsw.BusyError:
                os.kill(pid, signal.SIGCONT)
                await trio.lowlevel.checkpoint()


async def load_all(store: Any) -> list[Loaded]:
    """Everything about every run of a store, schedules excepted; the newest first."""
    loaded = []
    cursor = None
    while True:
        page = await store.find_runs(RunFilter(), cursor)
        loaded += [await store.load(row.app, row.id) for row in page.items]
        cursor = page.cursor
        if cursor is None:
            return loaded


@attrs.frozen
class Ended:
    """A run at the end of all lives. `first` and `last` say when its first and last records were written.

    They are numbers, which grow with each commit of the store: the times of two records may be a few
    milliseconds off, because an engine estimates the store's clock.
    """

    run: Loaded
    first: int
    last: int


_SPANS = "select r.id, min(h.number), max(h.number) from history h join runs r on r.key = h.run group by r.id"


def examined(database: Path) -> list[Ended]:
    """All runs of a store that no engine uses any more, and in which the doctor finds no difference."""

    async def examine() -> list[Loaded]:
        store = SqliteStore(database, inline=True)
        await store.open()
        try:
            report = await check_up(store)
            assert not report.findings, report.findings
            return await load_all(store)
        finally:
            await store.close()

    runs = trio.run(examine)
    with closing(apsw.Connection(str(database))) as connection:
        spans = {run: (first, last) for run, first, last in connection.execute(_SPANS)}
    return [Ended(run, *spans.get(run.row.id, (0, 0))) for run in runs]


def recorded(database: Path) -> Recorded:
    """Read the store and the journal from outside, while no engine lives."""
    settled: set[tuple[str, str]] = set()

    async def read() -> None:
        store = SqliteStore(database, inline=True)
        await store.open()
        for loaded in await load_all(store):
            settled.update(
                (loaded.row.id, r.step) for r in loaded.records if isinstance(r, OUTCOMES) and r.kind == "run"
            )
        await store.close()

    if database.exists():
        trio.run(read)
    lines = Path(workflows.journal).read_text().splitlines() if Path(workflows.journal).exists() else []
    starts = Counter((run, step) for run, step, _ in (line.split(" ") for line in lines))
    return Recorded(frozenset(settled), starts)


def survive(
    directory: Path,
    scenario: Scenario,
    at: int,
    phase: Phase,
    app: App = workflows.app,
    holds: Callable[[list[Ended]], None] = lambda runs: None,
) -> bool:
    """Kill at commit `at` in `phase`, then go on until the end. False if the run has no such commit.

    Asserts that no step body was started again after its outcome was in the store, that the doctor finds
    nothing in what is there at the end, and what `holds` asserts of it.
    """
    database = directory / f"{phase}-{at}.db"
    workflows.journal = str(directory / f"{phase}-{at}.journal")
    end = life(database, 0, scenario, (at, phase), app)
    if end != "killed":
        holds(examined(database))
        return end == "spared"
    before = recorded(database)
    for number in range(1, LIVES):
        if life(database, number, scenario, None, app) == "lived":
            break
    else:
        raise AssertionError(f"the runs did not end in {LIVES} lives")
    after = recorded(database)
    again = {key for key in before.settled if after.starts[key] > before.starts[key]}
    assert not again, f"killed {phase} commit {at}: recorded steps ran again: {sorted(again)}"
    holds(examined(database))
    return True
