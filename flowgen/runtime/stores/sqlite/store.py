"""`SqliteStore`: the verbs of the contract over one file."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

import apsw
import attrs
import trio

from ....errors import StoreError
from ....events import AcceptedEvent
from ....history import Record
from ....runs import RunRow
from ....transition import Cell, Key, Transition, Wait
from ...counting import Count
from ...store import (
    PAGE,
    Begin,
    Claims,
    Committed,
    Extended,
    Extender,
    Lease,
    Loaded,
    Page,
    Refused,
    Registration,
    Registrations,
    RunFilter,
    StoreUnusable,
    Who,
)
from . import claims, counting, reads, registry, retention
from .batch import LARGE, Changes, Job
from .commit import commit, parts_of
from .connection import PATIENCE, configure_reader, configure_writer, connect, explained, patiently, unusable
from .leases import extend as extend_leases
from .presence import Presence
from .schema import check, check_newest, migrate
from .transaction import StoreClock, Transaction
from .writer import InlineWriter, NoWriter, ThreadWriter

T = TypeVar("T")

POLL: Final = (0.05, 0.5)
"""Other processes are looked for so often at first, and after a while (seconds)."""

_SET: Final = 100_000
"""The clock was set if it is so many microseconds off what passed by trio's."""

_LARGE: Final = 2000
"""A history longer than this is read a bit at a time, so that other tasks run in between."""

_BIT: Final = 500


class SqliteStore:
    """The embedded store: one SQLite file, which several processes of one machine may share.

    `path` is the file; it is created if it is not there, its directory is not. `clock` gives
    microseconds since the epoch (default: the wall clock). `patience` is for how many seconds a lock of
    another process is waited for. With `inline`, writes are done on the calling thread instead of the
    writer's: no threads, for simulations. `vfs` names an apsw VFS, for fault injection. One that is `read_only`
    changes nothing in the file, neither its schema nor its WAL, and takes no lock that a writer would wait for.
    """

    features = frozenset({"find_runs", "find_events", "changes"})

    def __init__(
        self,
        path: str | os.PathLike[str],
        clock: Callable[[], int] | None = None,
        *,
        inline: bool = False,
        patience: float = PATIENCE,
        vfs: str | None = None,
        read_only: bool = False,
    ) -> None:
        self._path = Path(path)
        self._presence = Presence(self._path)
        self._clock = StoreClock(clock)
        self._inline = inline
        self._patience = patience
        self._vfs = vfs
        self._read_only = read_only
        self._writer: InlineWriter | ThreadWriter | NoWriter | None = None
        self._reader: apsw.Connection | None = None
        self._changes = 0
        self._changed = trio.Event()
        self._seen: WeakKeyDictionary[trio.lowlevel.Task, tuple[tuple[int, int], float]] = WeakKeyDictionary()

    def __repr__(self) -> str:
        return f"SqliteStore({str(self._path)!r})"

    async def open(self) -> None:
        if self._writer is not None:
            raise StoreError(f"{self._path} is open already")
        if self._read_only:
            await trio.lowlevel.checkpoint()
            self._reader = self._open_checked_reader()
            self._writer = NoWriter(self._path)
            return
        if self._inline:
            await trio.lowlevel.checkpoint()
            connection = self._prepare()
        else:
            connection = await trio.to_thread.run_sync(self._prepare)
        changes = Changes(self._path, self._clock, self._patience, self._vfs, connection)
        self._writer = (InlineWriter if self._inline else ThreadWriter)(changes, self._announce)

    def _prepare(self) -> apsw.Connection:
        """A connection that may write, to a file that is ours and has the newest schema."""
        if str(self._path) == ":memory:":
            raise StoreUnusable("SqliteStore keeps a file; for a store in memory use MemoryStore() or memory://")
        connection = connect(self._path, create=True, vfs=self._vfs)
        try:
            patiently(lambda: check(connection, self._path), self._patience)
            configure_writer(connection, self._path, self._patience)
            migrate(connection, self._path, self._patience)
            self._presence.opened()
        except apsw.Error as error:
            connection.close(force=True)
            raise unusable(error, self._path) from error
        except BaseException:
            connection.close(force=True)
            raise
        return connection

    async def close(self) -> None:
        writer, self._writer = self._writer, None
        self._close_reader()
        if writer is not None:
            await writer.close()

    async def now(self) -> int:
        await trio.lowlevel.checkpoint()
        return self._clock.now(self._read(reads.high_water))

    # -- writing ------------------------------------------------------------------------------------

    async def _write(self, change: Callable[[Transaction], T], size: int = LARGE) -> T:
        if self._writer is None:
            raise self._closed()
        self._presence.check()
        return await self._writer.write(change, size)

    async def commit(self, transition: Transition) -> Committed:
        return await self._write(lambda tx: commit(tx, transition), parts_of(transition))

    async def commit_many(self, transitions: Sequence[Transition]) -> tuple[Committed | Refused, ...]:
        size = sum(map(parts_of, transitions))
        return await self._write(lambda tx: tuple([_answer(tx, each) for each in transitions]), size)

    async def claim(self, who: Who, limit: int, lease: int) -> Claims:
        return await self._write(lambda tx: claims.claim(tx, who, limit, lease), limit)

    async def claim_and_begin(self, who: Who, limit: int, lease: int, begin: Begin) -> Claims:
        change = partial(claims.claim_and_begin, who=who, limit=limit, lease=lease, begin=begin, clock=self._clock)
        return await self._write(change, 2 * limit)

    async def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        return await self._write(lambda tx: extend_leases(tx, worker, leases, lease))

    async def register(self, registration: Registration) -> int:
        return await self._write(lambda tx: registry.register(tx, registration))

    async def retire(self, worker: str) -> None:
        await self._write(lambda tx: registry.retire(tx, worker))

    async def pause(self, app: str, workflow: str, paused: bool) -> int:
        return await self._write(lambda tx: registry.pause(tx, app, workflow, paused))

    async def delete(self, before: int, limit: int = PAGE) -> int:
        return await self._write(lambda tx: retention.delete(tx, before, limit))

    def extender(self) -> Extender:
        return _Extender(Changes(self._path, self._clock, self._patience, self._vfs), self._presence)

    # -- reading ------------------------------------------------------------------------------------

    def _read(self, read: Callable[[apsw.Connection], T]) -> T:
        """Do a read on the connection for reads.

        After an error it is closed: a cursor that an exception keeps alive would pin its view of the file.
        """
        if self._writer is None:
            raise self._closed()
        self._presence.check()
        try:
            if self._reader is None:
                self._reader = self._open_reader()
            return reads.snapshot(self._reader, read)
        except apsw.Error as error:
            self._close_reader()
            raise explained(error, self._path) from error
        except BaseException:
            self._close_reader()
            raise

    def _open_checked_reader(self) -> apsw.Connection:
        """A connection for reads to a file that nobody has prepared."""
        try:
            connection = self._open_reader()
            try:
                patiently(lambda: check_newest(connection, self._path), self._patience)
            except BaseException:
                connection.close(force=True)
                raise
        except apsw.Error as error:
            raise unusable(error, self._path) from error
        self._presence.opened()
        return connection

    def _open_reader(self) -> apsw.Connection:
        connection = connect(self._path, vfs=self._vfs, read_only=self._read_only)
        configure_reader(connection, self._path)
        return connection

    def _close_reader(self) -> None:
        if self._reader is not None:
            reader, self._reader = self._reader, None
            reader.close(force=True)

    def _closed(self) -> StoreError:
        return StoreError(f"the store {self._path} is not open")

    async def load(self, app: str, run: str, start: int = 0) -> Loaded | None:
        await trio.lowlevel.checkpoint()
        loaded = self._read(lambda connection: reads.load(connection, app, run, start, self._clock, _LARGE))
        if loaded is not None and loaded.row.length - start > _LARGE:
            return await self._load_in_bits(app, run, start)
        return loaded

    async def _load_in_bits(self, app: str, run: str, start: int) -> Loaded | None:
        """One read transaction too, but on a connection of its own, because other tasks run meanwhile."""
        connection = self._open_reader()
        try:
            connection.execute("begin")
            found = reads.opened(connection, app, run, start, self._clock)
            if found is None:
                return None
            loaded, rows = found
            records: list[Record] = []
            while bit := list(islice(rows, _BIT)):
                records += bit
                await trio.lowlevel.checkpoint()
            return attrs.evolve(loaded, records=tuple(records))
        except apsw.Error as error:
            raise explained(error, self._path) from error
        finally:
            connection.close(force=True)

    async def waits(self, event: AcceptedEvent, cursor: str | None = None) -> Page[Wait]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.waits(connection, event, cursor))

    async def open_waits(self, app: str, run: str) -> tuple[Wait, ...]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.open_waits(connection, app, run))

    async def events(
        self,
        name: str,
        since: int,
        path: str | None = None,
        value: str | None = None,
        until: int | None = None,
        limit: int = PAGE,
    ) -> tuple[AcceptedEvent, ...]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.events(connection, name, since, path, value, until, limit))

    async def event(self, id: str) -> AcceptedEvent | None:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.event(connection, id))

    async def last_position(self, before: int | None = None) -> int:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.last_position(connection, before))

    async def awaited(self, names: Collection[str]) -> frozenset[str]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.awaited(connection, names))

    async def unrouted(self, limit: int = PAGE) -> tuple[AcceptedEvent, ...]:
        await trio.lowlevel.checkpoint()
        now = self._clock.now()
        if self._read(lambda connection: reads.promotes(connection, now)):
            await self._write(retention.promote)
        return self._read(lambda connection: reads.unrouted(connection, limit))

    async def find_keys(self, app: str, names: Sequence[str]) -> dict[str, Key]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.find_keys(connection, app, names))

    async def cells(self, app: str, names: Sequence[str]) -> dict[str, Cell]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.cells(connection, app, names, self._clock))

    async def started_by(self, event: str, cursor: str | None = None) -> Page[RunRow]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.started_by(connection, event, cursor))

    async def children(self, app: str, run: str, cursor: str | None = None) -> Page[RunRow]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.children(connection, app, run, cursor))

    async def registrations(self) -> Registrations:
        await trio.lowlevel.checkpoint()
        return self._read(registry.registrations)

    async def find_runs(self, where: RunFilter, cursor: str | None = None, limit: int = PAGE) -> Page[RunRow]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.find_runs(connection, where, cursor, limit))

    async def count_runs(
        self, app: str | None, workflow: str | None, edges: Sequence[int]
    ) -> Sequence[Mapping[str, Count]]:
        """In a thread, on a connection of its own: it may take some 50 ms, for which the loop has better use."""

        def count(connection: apsw.Connection) -> Sequence[Mapping[str, Count]]:
            return counting.count_runs(connection, app, workflow, edges)

        await trio.lowlevel.checkpoint()
        return self._read(count) if self._inline else await self._read_aside(count)

    async def _read_aside(self, read: Callable[[apsw.Connection], T]) -> T:
        if self._writer is None:
            raise self._closed()
        self._presence.check()

        def aside() -> T:
            connection = self._open_reader()
            try:
                return reads.snapshot(connection, read)
            finally:
                connection.close(force=True)

        try:
            return await trio.to_thread.run_sync(aside)
        except apsw.Error as error:
            raise explained(error, self._path) from error

    async def find_events(
        self, name: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> Page[AcceptedEvent]:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: reads.find_events(connection, name, cursor, limit))

    # -- when to look again ---------------------------------------------------------------------------

    async def next_due(self, who: Who) -> int | None:
        await trio.lowlevel.checkpoint()
        return self._read(lambda connection: claims.next_due(connection, who))

    async def wait_changed(self, seconds: float) -> None:
        """As the contract says. This process tells itself; other ones are noticed by a poll, and so is a clock that is
        set: much may be due then that was not. One that was set back is looked at until it has caught up."""
        await trio.lowlevel.checkpoint()
        task = trio.lowlevel.current_task()
        seen, ahead = self._seen.get(task) or (self._version(), self._ahead())
        pause, longest = POLL
        with trio.move_on_after(seconds):
            while self._version() == seen:
                with trio.move_on_after(pause):
                    await self._changed.wait()
                if self._ahead() > ahead + _SET or (pause == longest and self._clock.behind > _SET):
                    break
                pause = min(2 * pause, longest)
        self._seen[task] = self._version(), self._ahead()

    def _ahead(self) -> float:
        """By how many microseconds store time is ahead of trio's."""
        return self._clock.now() - trio.current_time() * 1_000_000

    def _version(self) -> tuple[int, int]:
        """What is different when this process announced something, or another connection committed."""
        if self._writer is None:
            raise self._closed()
        self._presence.check()
        return self._changes, self._writer.others()

    def _announce(self) -> None:
        self._changes += 1
        self._changed.set()
        self._changed = trio.Event()


def _answer(tx: Transaction, transition: Transition) -> Committed | Refused:
    """The answer to one of many."""
    try:
        return commit(tx, transition)
    except Refused as refused:
        return refused


class _Extender:
    """Extends leases on a connection of its own, for the heartbeat thread."""

    def __init__(self, changes: Changes, presence: Presence) -> None:
        self._changes = changes
        self._presence = presence

    def extend(self, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
        self._presence.check()
        job = Job(lambda tx: extend_leases(tx, worker, leases, lease))
        self._changes.do([job])
        extended: Extended = job.outcome().unwrap()
        return extended

    def close(self) -> None:
        self._changes.close()
