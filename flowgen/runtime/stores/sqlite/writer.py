"""The one writer: every change of the store goes through it, many in one commit.

A thread blocks for the first job, takes the others that wait too, and does them all in one transaction,
so one sync of the disk serves them all. When it is committed, and not before, one call wakes every
task whose job was among them; refusals wait for the same sync, because what they report must be durable.

Failures:

* A refusal has written nothing (`commit`), so its neighbours go on.
* Any other error while jobs are done undoes the transaction; each job is then done in a transaction of
  its own, so that what one of them cannot do does not sink the others.
* If COMMIT itself fails, nobody knows what is on the disk: every job of the batch gets a `StoreError`,
  and the connection is closed and opened anew. So after any error of the disk.

The thread and the loop compete for the interpreter's lock, which SQLite's statements drop and retake, so
jobs are handed over once a turn of the loop, all at once: the thread then works while the loop has nothing
to do. A job that was handed over is waited for, whether its task is cancelled or not.

On a disk that syncs fast even that costs more than it gains. So small jobs are done on the loop's own
thread, one that has no company at once and the others at the end of their turn, if commits have been fast
lately, nothing is in flight and no other process holds the lock.

Inline, the same is done on the calling thread at once, a batch a job: for simulations and tests.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw
import attrs
import outcome
import trio

from ....errors import FlowgenError, InternalError, StoreError
from ...store import Refused
from .connection import configure_writer, connect, distrusts, explained
from .transaction import StoreClock, Transaction

T = TypeVar("T")

BATCH: Final = 500
"""One transaction takes no more jobs once it has so many."""

FAST: Final = 0.0005
"""Commits that take less than so many seconds, on the average, may be done by the loop."""

_WEIGHT: Final = 0.2

_WORLD_ERRORS: Final = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.CorruptError,
    apsw.FullError,
    apsw.IOError,
    apsw.LockedError,
    apsw.NoMemError,
    apsw.NotADBError,
    apsw.PermissionsError,
    apsw.ProtocolError,
    apsw.ReadOnlyError,
    apsw.TooBigError,
)


@attrs.define(eq=False)
class Job:
    """One change to make, and who waits for it. `task` is None inline."""

    change: Callable[[Transaction], Any]
    task: trio.lowlevel.Task | None = None
    small: bool = False
    answer: Any = None
    error: BaseException | None = None

    def outcome(self) -> outcome.Outcome[Any]:
        return outcome.Value(self.answer) if self.error is None else outcome.Error(self.error)


class Changes:
    """Does batches of changes on one connection, which it opens when needed."""

    def __init__(
        self,
        path: Path,
        clock: StoreClock,
        patience: float,
        vfs: str | None,
        connection: apsw.Connection | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._patience = patience
        self._vfs = vfs
        self._connection = connection
        self.pace = 0.0
        """How many seconds a COMMIT has taken lately, on the average."""

    def do_at_once(self, jobs: Sequence[Job]) -> bool | None:
        """As `do`; but None, and nothing is done, if that would have to wait for another process."""
        if self._connection is None:
            return None
        try:
            tx = Transaction(self._connection, self._clock, 0)
        except apsw.BusyError:
            return None
        except apsw.Error:
            self.close()
            return None
        return self._do(jobs, tx)

    def do(self, jobs: Sequence[Job]) -> bool:
        """Give every job an answer or an error; returns whether there may be work for somebody."""
        return self._do(jobs, None)

    def _do(self, jobs: Sequence[Job], tx: Transaction | None) -> bool:
        try:
            return self._transact(jobs, tx or self._begin())
        except _AllFailed as failed:
            self._fail(jobs, failed.cause)
        except Exception as error:
            if len(jobs) > 1 and not distrusts(error):
                wakes = [self.do([job]) for job in jobs]
                return any(wakes)
            self._fail(jobs, error)
        return False

    def close(self) -> None:
        """Let the connection go."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close(force=True)

    def _transact(self, jobs: Sequence[Job], tx: Transaction) -> bool:
        try:
            for job in jobs:
                job.error = None
                try:
                    job.answer = job.change(tx)
                except Refused as refusal:
                    job.error = refusal
        except BaseException:
            self._undo()
            raise
        began = time.perf_counter()
        try:
            changed = tx.commit()
        except apsw.Error as error:
            self.close()
            raise _AllFailed(error) from error
        finally:
            self.pace += _WEIGHT * (time.perf_counter() - began - self.pace)
        return changed and tx.wakes

    def _begin(self) -> Transaction:
        try:
            if self._connection is None:
                self._connection = open_writer(self._path, self._vfs, self._patience)
            return Transaction(self._connection, self._clock, self._patience)
        except (apsw.Error, StoreError) as error:
            self.close()
            raise _AllFailed(error) from error

    def _undo(self) -> None:
        assert self._connection is not None
        try:
            if self._connection.in_transaction:
                self._connection.execute("rollback")
        except apsw.Error:
            self.close()

    def _fail(self, jobs: Sequence[Job], error: Exception) -> None:
        if distrusts(error):
            self.close()
        for job in jobs:
            job.answer, job.error = None, self._worded(error)

    def _worded(self, error: Exception) -> FlowgenError:
        """The error as one job sees it: each gets its own, because raising changes it."""
        worded: FlowgenError
        match error:
            case StoreError():
                worded = StoreError(str(error))
            case FlowgenError():
                return error
            case apsw.Error() if isinstance(error, _WORLD_ERRORS):
                worded = explained(error, self._path)
            case _:
                worded = InternalError(f"{self._path}: a change could not be applied: {type(error).__name__}: {error}")
        worded.__cause__ = error
        return worded


class _AllFailed(Exception):
    """No job of the batch can be known to have happened, because of `cause`."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(str(cause))
        self.cause = cause


def open_writer(path: Path, vfs: str | None, patience: float) -> apsw.Connection:
    """A connection that may write, to a file that is ready."""
    connection = connect(path, vfs=vfs)
    try:
        configure_writer(connection, path, patience)
    except BaseException:
        connection.close()
        raise
    return connection


class InlineWriter:
    """Does each change at once, on the calling thread."""

    def __init__(self, changes: Changes, announce: Callable[[], None]) -> None:
        self._changes = changes
        self._announce = announce

    async def write(self, change: Callable[[Transaction], T], small: bool = False) -> T:
        await trio.lowlevel.checkpoint()
        job = Job(change)
        if self._changes.do([job]):
            self._announce()
        answer: T = job.outcome().unwrap()
        return answer

    async def close(self) -> None:
        self._changes.close()


class _Turns(trio.abc.Instrument):
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.number = 0

    def after_io_wait(self, timeout: float) -> None:
        self.number += 1


class ThreadWriter:
    """Does changes in a thread of its own, as many in one commit as wait for it."""

    def __init__(self, changes: Changes, announce: Callable[[], None]) -> None:
        self._changes = changes
        self._announce = announce
        self._token = trio.lowlevel.current_trio_token()
        self._jobs: queue.SimpleQueue[list[Job] | None] = queue.SimpleQueue()
        self._collected: list[Job] = []
        self._in_flight = 0
        self._turns = _Turns()
        self._turn = self._writes = 0
        trio.lowlevel.add_instrument(self._turns)
        self._thread = threading.Thread(target=self._run, name="flowgen-writer", daemon=True)
        self._thread.start()

    async def write(self, change: Callable[[Transaction], T], small: bool = False) -> T:
        """Do a change in a transaction. `small` says that it takes no longer than a sync of the disk."""
        await trio.lowlevel.checkpoint_if_cancelled()
        if self._without_company() and small and self._changes.pace < FAST:
            job = Job(change)
            wakes = self._changes.do_at_once([job])
            if wakes is not None:
                if wakes:
                    self._announce()
                await trio.lowlevel.cancel_shielded_checkpoint()
                lone: T = job.outcome().unwrap()
                return lone
        self._collected.append(Job(change, trio.lowlevel.current_task(), small))
        if len(self._collected) == 1:
            self._token.run_sync_soon(self._hand_over)
        answer: T = await trio.lowlevel.wait_task_rescheduled(_not_interrupted)
        return answer

    def _without_company(self) -> bool:
        """Whether this write is the only one around, as far as one can tell."""
        if self._turns.number == self._turn:
            self._writes += 1
            return False
        alone = self._writes <= 1 and self._in_flight == 0 and not self._collected
        self._turn, self._writes = self._turns.number, 1
        return alone

    def _hand_over(self) -> None:
        """Do what the tasks of one turn of the loop want written, here or in the thread.

        Here, if a sync of this disk costs less than two threads that compete for the interpreter: each
        statement lets go of its lock, and to get it back from a busy loop takes longer than to sync.
        """
        collected, self._collected = self._collected, []
        if not collected:
            return
        if self._in_flight == 0 and self._changes.pace < FAST and all(job.small for job in collected):
            wakes = self._changes.do_at_once(collected)
            if wakes is not None:
                self._in_flight = len(collected)
                self._answer(collected, wakes)
                return
        self._in_flight += len(collected)
        self._jobs.put(collected)

    async def close(self) -> None:
        """Do what waits, then end the thread."""
        self._hand_over()
        self._jobs.put(None)
        with trio.CancelScope(shield=True):
            await trio.to_thread.run_sync(self._thread.join)
        trio.lowlevel.remove_instrument(self._turns)

    # -- in the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while jobs := self._take():
                wakes = self._do(jobs)
                self._token.run_sync_soon(self._answer, jobs, wakes)
        except trio.RunFinishedError:
            """Nobody is left to hear the answers."""
        finally:
            self._changes.close()

    def _take(self) -> list[Job]:
        """All jobs that wait, at least one; none means the end."""
        jobs: list[Job] = []
        handed = self._jobs.get()
        while handed is not None:
            jobs += handed
            if len(jobs) >= BATCH:
                return jobs
            try:
                handed = self._jobs.get_nowait()
            except queue.Empty:
                return jobs
        if jobs:
            self._jobs.put(None)
        return jobs

    def _do(self, jobs: list[Job]) -> bool:
        try:
            return self._changes.do(jobs)
        except BaseException as error:
            for job in jobs:
                job.error = InternalError(f"the writer broke: {error!r}")
            return False

    # -- in the loop ------------------------------------------------------------------------------

    def _answer(self, jobs: list[Job], wakes: bool) -> None:
        self._in_flight -= len(jobs)
        for job in jobs:
            assert job.task is not None
            trio.lowlevel.reschedule(job.task, job.outcome())
        if wakes:
            self._announce()


def _not_interrupted(_: Any) -> trio.lowlevel.Abort:
    return trio.lowlevel.Abort.FAILED
