"""One connection to the file: opened, checked, its settings read back, its errors explained.

Rules:

* Nothing in the file is changed before it is known to be ours: an application id, a schema that is
  not newer than this program. A file of somebody else is never turned into WAL mode.
* Each PRAGMA is read back; one that did not take is a refusal, not a surprise after a power loss.
* SQLite never waits by itself (`busy_timeout` 0). Whoever waits for a lock does it here, `patiently`,
  for a bounded time.
* After an error of the disk a connection is not trusted again: the kernel may have dropped dirty
  pages and called the next fsync a success. Whoever sees `distrusts(error)` closes it and opens anew.

Refuses to know: what the tables mean (`schema`) and who writes when (`writer`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

import apsw

from ....errors import StoreError
from ...store import StoreUnusable

T = TypeVar("T")

OLDEST_SQLITE: Final = 3_051_003
"""Older versions can lose committed WAL frames when a checkpoint meets another one's restart."""

PATIENCE: Final = 5.0
"""For how many seconds a lock of another process is waited for."""

CHECKPOINT_PAGES: Final = 4000
"""The WAL is copied into the file when it has grown by so many pages (16 MB). That stalls one commit; with
SQLite's default of 1000 it would be more than one in a hundred, and pages written again and again would
be copied four times as often."""

_PAUSE: Final = 0.001
_STATEMENTS: Final = 200
_READ_ONLY: Final = apsw.SQLITE_OPEN_READONLY
_READ_WRITE: Final = apsw.SQLITE_OPEN_READWRITE
_CREATE: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE

_DISK_ERRORS: Final = (apsw.IOError, apsw.CantOpenError, apsw.ReadOnlyError, apsw.NotADBError, apsw.NoMemError)


def connect(path: Path, *, create: bool = False, vfs: str | None = None, read_only: bool = False) -> apsw.Connection:
    """Open `path`, with no settings changed yet. Raises `StoreUnusable` if that is hopeless."""
    if apsw.SQLITE_VERSION_NUMBER < OLDEST_SQLITE:
        raise StoreUnusable(
            f"SQLite {apsw.sqlite_lib_version()} is too old: versions before 3.51.3 can corrupt a WAL file; "
            "install a newer apsw"
        )
    if path.is_dir():
        raise StoreUnusable(f"{path} is a directory: name a file in it, such as {path / 'flowgen.db'}")
    if not path.parent.is_dir():
        raise StoreUnusable(f"{path} cannot be opened: its directory {path.parent} does not exist; create it first")
    try:
        how = _READ_ONLY if read_only else _CREATE if create else _READ_WRITE
        connection = apsw.Connection(str(path), how, vfs, _STATEMENTS)
    except apsw.Error as error:
        raise unusable(error, path) from error
    connection.set_busy_timeout(0)
    return connection


def configure_writer(connection: apsw.Connection, path: Path, patience: float) -> None:
    """Make a connection durable: WAL, and a sync at each commit."""
    patiently(lambda: _setting(connection, path, "journal_mode", "wal", "wal"), patience)
    _setting(connection, path, "synchronous", "full", 2)
    _setting(connection, path, "wal_autocheckpoint", CHECKPOINT_PAGES, CHECKPOINT_PAGES)
    _configure(connection, path)


def configure_reader(connection: apsw.Connection, path: Path) -> None:
    """Make a connection unable to write."""
    _setting(connection, path, "query_only", 1, 1)
    _configure(connection, path)


def _configure(connection: apsw.Connection, path: Path) -> None:
    _setting(connection, path, "fullfsync", 1, 1)
    _setting(connection, path, "checkpoint_fullfsync", 1, 1)
    _setting(connection, path, "trusted_schema", 0, 0)
    _setting(connection, path, "busy_timeout", 0, 0)
    if connection.pragma("mmap_size", 0) not in (0, None):
        raise StoreUnusable(f"{path}: memory-mapped access cannot be switched off, so a bad disk would kill us")


def _setting(connection: apsw.Connection, path: Path, name: str, value: str | int, expected: str | int) -> None:
    connection.pragma(name, value)
    got = connection.pragma(name)
    if got != expected:
        hint = "; is it on a network file system?" if name == "journal_mode" else ""
        raise StoreUnusable(f"{path}: SQLite did not accept {name} = {value} (it says {got!r}){hint}")


def patiently(action: Callable[[], T], patience: float = PATIENCE) -> T:
    """Do `action`, again and again while another connection holds a lock that it needs."""
    for _ in range(int(patience / _PAUSE)):
        try:
            return action()
        except (apsw.BusyError, apsw.LockedError):
            time.sleep(_PAUSE)
    return action()


def distrusts(error: BaseException) -> bool:
    """Whether a connection that raised this must be closed and opened anew."""
    return isinstance(error, _DISK_ERRORS)


def explained(error: apsw.Error, path: Path) -> StoreError:
    """What went wrong with the file, and what to do, for somebody who used an open store."""
    return StoreError(f"{path}: {_reason(error)}")


def unusable(error: apsw.Error, path: Path) -> StoreUnusable:
    """The same for somebody who wants to open it."""
    return StoreUnusable(f"{path} cannot be used: {_reason(error)}")


def _reason(error: apsw.Error) -> str:
    match error:
        case apsw.FullError():
            advice = "the disk is full; free some space, then the same can be tried again"
        case apsw.ReadOnlyError() | apsw.PermissionsError():
            advice = "it, or its directory, is read-only; make both writable for this user"
        case apsw.BusyError() | apsw.LockedError():
            advice = "another process holds a lock on it all the time; find and end it, or use another file"
        case apsw.NotADBError():
            advice = "it is not a SQLite database; name another file"
        case apsw.CorruptError():
            advice = "it is damaged; restore a backup, or save what is left with `sqlite3 FILE .recover`"
        case apsw.CantOpenError():
            advice = "it cannot be opened or created; check that it and its directory exist and are writable"
        case apsw.IOError():
            advice = "the disk failed to read or write it; whether the last write took effect is unknown"
        case _:
            advice = "an unexpected error of SQLite"
    return f"{advice} ({type(error).__name__}: {error})"
