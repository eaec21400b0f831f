"""Batches of changes, each batch in one transaction on one connection.

A batch is done in two parts, which may be done by two threads, one after the other: its statements, and COMMIT.
Nobody has an answer before COMMIT is over; refusals wait for it too, because what they report must be durable.

Failures:

* A refusal has written nothing (`commit`), so its neighbours go on.
* Any other error while jobs are done undoes the transaction; each job is then done in a transaction of
  its own, so that what one of them cannot do does not sink the others.
* If COMMIT itself fails, nobody knows what is on the disk: every job of the batch gets a `StoreError`,
  and the connection is closed and opened anew. So after any error of the disk.

Refuses to know: which thread does what, and who waits for the answers (`writer`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import apsw
import attrs
import outcome
import trio

from ....errors import FlowgenError, InternalError, StoreError
from ...store import Refused
from .connection import configure_writer, connect, distrusts, explained
from .transaction import StoreClock, Transaction

LARGE: Final = 1 << 30
"""The size of a change that may be of any size."""

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
    """One change to make, and who waits for it. `task` is None inline; `size` says about how many rows it writes."""

    change: Callable[[Transaction], Any]
    task: trio.lowlevel.Task | None = None
    size: int = LARGE
    answer: Any = None
    error: BaseException | None = None

    def outcome(self) -> outcome.Outcome[Any]:
        return outcome.Value(self.answer) if self.error is None else outcome.Error(self.error)


@attrs.define(eq=False)
class Batch:
    """Jobs that share a commit. `tx` is there while their statements are done and only COMMIT is missing.

    `wakes` says that there may be work for somebody.
    """

    jobs: Sequence[Job]
    tx: Transaction | None = None
    wakes: bool = False


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
        self._version: int | None = None
        self.pace = 0.0
        """How many seconds a COMMIT has taken lately, on the average."""
        self.others = 0
        """How often `look` has found that somebody else committed."""

    def do(self, jobs: Sequence[Job]) -> bool:
        """Give every job an answer or an error; returns whether there may be work for somebody."""
        batch = Batch(jobs)
        self.finish(batch)
        return batch.wakes

    def begin(self, batch: Batch) -> bool:
        """Do all but the COMMIT, if any; False, and nothing is done, if that would have to wait for another process."""
        if self._connection is None:
            return False
        try:
            tx = Transaction(self._connection, self._clock, 0)
        except apsw.BusyError:
            return False
        except apsw.Error:
            self.close()
            return False
        self._apply(batch, tx)
        return True

    def finish(self, batch: Batch) -> None:
        """Do what is not done of a batch, and make it durable."""
        try:
            if batch.tx is None:
                self._apply(batch, self._begin())
            if batch.tx is not None:
                self._commit(batch, batch.tx)
        except _AllFailed as failed:
            self._fail(batch.jobs, failed.cause)

    def look(self) -> int:
        """Look whether another connection has committed: a number that is different when one has.

        The connection that writes is asked because it does not count its own commits. Raises `StoreError`.
        """
        try:
            version = self._opened().pragma("data_version")
        except apsw.BusyError:
            return self.others
        except apsw.Error as error:
            self.close()
            raise explained(error, self._path) from error
        if version != self._version:
            self._version = version
            self.others += 1
        return self.others

    def close(self) -> None:
        """Let the connection go."""
        self._version = None
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close(force=True)

    def _apply(self, batch: Batch, tx: Transaction) -> None:
        """Do the statements of a batch. Jobs that cannot be done together are done one after the other."""
        try:
            self._change(batch.jobs, tx)
            batch.tx = tx if tx.prepare() else None
        except Exception as error:
            self._undo()
            if len(batch.jobs) > 1 and not distrusts(error):
                wakes = [self.do([job]) for job in batch.jobs]
                batch.wakes = any(wakes)
            else:
                self._fail(batch.jobs, error)
        except BaseException:
            self._undo()
            raise

    @staticmethod
    def _change(jobs: Sequence[Job], tx: Transaction) -> None:
        for job in jobs:
            job.error = None
            try:
                job.answer = job.change(tx)
            except Refused as refusal:
                job.error = refusal

    def _commit(self, batch: Batch, tx: Transaction) -> None:
        began = time.perf_counter()
        try:
            tx.commit()
        except apsw.Error as error:
            self.close()
            raise _AllFailed(error) from error
        finally:
            batch.tx = None
            self.pace += _WEIGHT * (time.perf_counter() - began - self.pace)
        batch.wakes = tx.wakes

    def _begin(self) -> Transaction:
        try:
            return Transaction(self._opened(), self._clock, self._patience)
        except (apsw.Error, StoreError) as error:
            self.close()
            raise _AllFailed(error) from error

    def _opened(self) -> apsw.Connection:
        if self._connection is None:
            self._connection = open_writer(self._path, self._vfs, self._patience)
        return self._connection

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
