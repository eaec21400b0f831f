"""Kills an engine with SIGKILL at its k-th commit: before it, while it is written, right after it.

The parent has imported everything and forks a child for each life of the engine, so a life costs
milliseconds. In the child the store does its writes on the calling thread, so the commit that dies is
the one that was counted. "While it is written" is in the `xSync` of the write-ahead log: the bytes are
in the file and not yet durable. The next life opens the file with a clock that is further on, so leases
of the dead have run out and nobody waits.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Literal

import apsw
import attrs
import trio

from flowgen.history import OUTCOMES
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import RunFilter
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


def life(database: Path, number: int, scenario: Scenario, kill: tuple[int, Phase] | None) -> End:
    """One life of the engine in a forked child, and how it ended."""
    child = os.fork()
    if child == 0:
        code = _FAILED
        try:
            code = trio.run(_live, database, number, scenario, kill)
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


async def _live(database: Path, number: int, scenario: Scenario, kill: tuple[int, Phase] | None) -> int:
    _VFS.append(_KillVFS())
    store = SqliteStore(database, _clock(number), inline=True, vfs=VFS_NAME)
    used: Any = store if kill is None else KillingStore(store, *kill)
    async with open_engine(
        workflows.app, used, lease=LEASE, grace="0s", environment=Environment(threads=False)
    ) as engine:
        with trio.fail_after(20):
            await scenario(engine)
    return _SPARED if isinstance(used, KillingStore) and used.count >= used.at else 0


_VFS: list[_KillVFS] = []


def _clock(number: int) -> Callable[[], int]:
    return lambda: time.time_ns() // 1000 + number * SHIFT


def recorded(database: Path) -> Recorded:
    """Read the store and the journal from outside, while no engine lives."""
    settled: set[tuple[str, str]] = set()

    async def read() -> None:
        store = SqliteStore(database, inline=True)
        await store.open()
        cursor = None
        while True:
            page = await store.find_runs(RunFilter(), cursor)
            for row in page.items:
                loaded = await store.load(row.app, row.id)
                assert loaded is not None
                settled.update((row.id, r.step) for r in loaded.records if isinstance(r, OUTCOMES) and r.kind == "run")
            cursor = page.cursor
            if cursor is None:
                break
        await store.close()

    if database.exists():
        trio.run(read)
    lines = Path(workflows.journal).read_text().splitlines() if Path(workflows.journal).exists() else []
    starts = Counter((run, step) for run, step, _ in (line.split(" ") for line in lines))
    return Recorded(frozenset(settled), starts)


def survive(directory: Path, scenario: Scenario, at: int, phase: Phase) -> bool:
    """Kill at commit `at` in `phase`, then go on until the end. False if the run has no such commit.

    Asserts that no step body was started again after its outcome was in the store.
    """
    database = directory / f"{phase}-{at}.db"
    workflows.journal = str(directory / f"{phase}-{at}.journal")
    end = life(database, 0, scenario, (at, phase))
    if end != "killed":
        return end == "spared"
    before = recorded(database)
    for number in range(1, LIVES):
        if life(database, number, scenario, None) == "lived":
            break
    else:
        raise AssertionError(f"the runs did not end in {LIVES} lives")
    after = recorded(database)
    again = {key for key in before.settled if after.starts[key] > before.starts[key]}
    assert not again, f"killed {phase} commit {at}: recorded steps ran again: {sorted(again)}"
    return True
