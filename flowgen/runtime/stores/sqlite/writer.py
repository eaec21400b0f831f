"""The one writer: every change of the store goes through it, many in one commit.

Jobs that wait at the same time are done in one transaction (`batch`), so one sync of the disk serves them all.
When it is committed, and not before, one call wakes every task whose job was among them.

The thread and the loop compete for the interpreter's lock, which each statement of SQLite drops and retakes:
two threads that both have work lose a switch interval a statement. So small jobs are done together on the loop's
own thread, and the other one has only to COMMIT; not even that, because to hand it over would cost more, on a disk that
syncs fast, or fast enough while the loop has nothing else to do. What comes while a COMMIT is in flight goes into the
next. If another process holds the lock, or the jobs are not small, the thread does it all. A job that was begun is
waited for, whether its task is cancelled or not.

A COMMIT costs the same whatever is in it, so jobs wait for company: until a turn of the loop has brought no more, for a
few turns at most. A few runs that go on step by step get into step with each other by that, and stay so. One job that
has had no company for some turns is not likely to get any, and is done at once.

Inline, the same is done on the calling thread at once, a batch a job: for simulations and tests.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import trio

from ....errors import InternalError, StoreError
from .batch import LARGE, Batch, Changes, Job
from .transaction import Transaction

T = TypeVar("T")

BATCH: Final = 500
"""One transaction takes no more jobs once it has so many."""

SMALL: Final = 400
"""So many rows at most are written on the loop's own thread in one turn: it takes some milliseconds. By the other one
it would take as long while the loop has work too, and cost half as much again."""

FAST: Final = 0.0005
"""Commits that take less than so many seconds, on the average, may be done by the loop."""

FAST_ENOUGH: Final = 0.002
"""So may those that take less than so many, while no task could run meanwhile: to wake a thread that rests, and to be
woken by it, takes a quarter of a millisecond."""

_GATHERING: Final = 4
"""For so many turns at most the first job of a batch waits for others."""

_REMEMBERED: Final = 8
"""For so many turns those who write are expected to have company again."""


class InlineWriter:
    """Does each change at once, on the calling thread."""

    def __init__(self, changes: Changes, announce: Callable[[], None]) -> None:
        self._changes = changes
        self._announce = announce

    async def write(self, change: Callable[[Transaction], T], size: int = LARGE) -> T:
        await trio.lowlevel.checkpoint()
        job = Job(change)
        if self._changes.do([job]):
            self._announce()
        answer: T = job.outcome().unwrap()
        return answer

    def others(self) -> int:
        """A number that changes when another connection commits."""
        return self._changes.look()

    async def close(self) -> None:
        self._changes.close()


class NoWriter:
    """Refuses each change: the store was opened to be looked at."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, change: Callable[[Transaction], T], size: int = LARGE) -> T:
        await trio.lowlevel.checkpoint()
        raise StoreError(f"the store {self._path} is open for reading only")

    def others(self) -> int:
        """Who only looks hears of nothing: it looks once."""
        return 0

    async def close(self) -> None:
        """There is nothing to close."""


class _Turns(trio.abc.Instrument):
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.number = 0

    def after_io_wait(self, timeout: float) -> None:
        self.number += 1


class ThreadWriter:
    """Does changes as many in one commit as wait for it, with a thread of its own for what takes long."""

    def __init__(self, changes: Changes, announce: Callable[[], None]) -> None:
        self._changes = changes
        self._announce = announce
        self._token = trio.lowlevel.current_trio_token()
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._collected: list[Job] = []
        self._in_flight = False
        self._asked = False
        self._turns = _Turns()
        self._turn = self._company_until = -1
        self._quiet = trio.Event()
        self._closed = False
        self._resting: trio.lowlevel.Task | None = None
        trio.lowlevel.add_instrument(self._turns)
        trio.lowlevel.spawn_system_task(self._serve)
        self._thread = threading.Thread(target=self._run, name="flowgen-writer", daemon=True)
        self._thread.start()

    async def write(self, change: Callable[[Transaction], T], size: int = LARGE) -> T:
        """Do a change in a transaction; `size` is that of the `Job`."""
        await trio.lowlevel.checkpoint_if_cancelled()
        job = Job(change, trio.lowlevel.current_task(), size)
        if self._without_company() and size <= SMALL and self._loop_commits():
            batch = Batch([job])
            if self._changes.begin(batch):
                if batch.tx is not None:
                    self._changes.finish(batch)
                if batch.wakes:
                    self._announce()
                await trio.lowlevel.cancel_shielded_checkpoint()
                lone: T = job.outcome().unwrap()
                return lone
        self._collected.append(job)
        self._call()
        answer: T = await trio.lowlevel.wait_task_rescheduled(_not_interrupted)
        return answer

    def others(self) -> int:
        """A number that changes when another connection commits; the thread looks if it is at work just now."""
        if not self._in_flight:
            return self._changes.look()
        self._asked = True
        return self._changes.others

    def _without_company(self) -> bool:
        """Whether this write is the only one around, as far as one can tell: in its turn, and in those before it."""
        turn = self._turns.number
        if turn == self._turn or self._in_flight or self._collected:
            self._company_until = turn + _REMEMBERED
        self._turn = turn
        return turn > self._company_until

    def _loop_commits(self) -> bool:
        """Whether a COMMIT is better done on the loop's own thread, as far as one can tell."""
        pace = self._changes.pace
        return pace < FAST or (pace < FAST_ENOUGH and not trio.lowlevel.current_statistics().tasks_runnable)

    # -- together ---------------------------------------------------------------------------------

    def _call(self) -> None:
        """Let the jobs that are collected be done in the next turn."""
        if self._resting is not None:
            task, self._resting = self._resting, None
            trio.lowlevel.reschedule(task)

    async def _serve(self) -> None:
        """Hand over what the tasks want written."""
        while not self._closed:
            if self._in_flight or not self._collected:
                self._resting = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._ended)
            if self._collected and not self._in_flight:
                await self._gather()
                self._hand_over()

    async def _gather(self) -> None:
        """Wait until all tasks of a turn have run, and none of them has brought more to be written."""
        for _ in range(_GATHERING):
            before = len(self._collected)
            await trio.lowlevel.cancel_shielded_checkpoint()
            if len(self._collected) == before:
                return

    def _ended(self, _: Any) -> trio.lowlevel.Abort:
        self._resting = None
        return trio.lowlevel.Abort.SUCCEEDED

    def _hand_over(self) -> None:
        """Begin what was collected, here if it is small; the thread does the rest, if it is worth handing over."""
        batch = Batch(self._collected[:BATCH])
        self._collected = self._collected[BATCH:]
        self._in_flight = True
        if sum(job.size for job in batch.jobs) <= SMALL and self._done_here(batch):
            self._answer(batch)
        else:
            self._batches.put(batch)

    def _done_here(self, batch: Batch) -> bool:
        """Do the statements of a batch, and the COMMIT too if the disk is fast; whether that is all."""
        try:
            begun = self._changes.begin(batch)
            if begun and batch.tx is not None and self._loop_commits():
                self._changes.finish(batch)
        except BaseException as error:
            _break(batch, error)
            return True
        return begun and batch.tx is None

    def _answer(self, batch: Batch) -> None:
        self._in_flight = False
        for job in batch.jobs:
            assert job.task is not None
            trio.lowlevel.reschedule(job.task, job.outcome())
        if batch.wakes:
            self._announce()
        if self._collected:
            self._call()
        else:
            self._quiet.set()

    async def close(self) -> None:
        """Do what waits, then end the thread."""
        with trio.CancelScope(shield=True):
            while self._in_flight or self._collected:
                self._quiet = trio.Event()
                await self._quiet.wait()
            self._closed = True
            self._call()
            self._batches.put(None)
            await trio.to_thread.run_sync(self._thread.join)
        trio.lowlevel.remove_instrument(self._turns)

    # -- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while (batch := self._batches.get()) is not None:
                self._finish(batch)
                if self._asked:
                    self._look()
                self._token.run_sync_soon(self._answer, batch)
        except trio.RunFinishedError:
            """Nobody is left to hear the answers."""
        finally:
            self._changes.close()

    def _finish(self, batch: Batch) -> None:
        try:
            self._changes.finish(batch)
        except BaseException as error:
            _break(batch, error)

    def _look(self) -> None:
        self._asked = False
        with suppress(StoreError):  # whoever writes next is told
            self._changes.look()


def _break(batch: Batch, error: BaseException) -> None:
    for job in batch.jobs:
        job.error = InternalError(f"the writer broke: {error!r}")


def _not_interrupted(_: Any) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
