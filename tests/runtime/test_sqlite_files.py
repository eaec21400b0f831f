"""Files that are not for us, and files that break: each is refused at once, by name, with what to do."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from flowgen.errors import StoreError
from flowgen.runtime.store import DamagedRun, StoreUnusable
from flowgen.runtime.stores import SqliteStore
from flowgen.runtime.stores.sqlite import connection as connections
from flowgen.runtime.stores.sqlite.schema import APPLICATION_ID, NEWEST
from flowgen.testing.conformance.world import World, completed, done, started
from flowgen.transition import NewRun, Transition
from tests.runtime.sqlite_faults import NAME, disk, flip_bit


async def refused(path: Path, **options: object) -> str:
    """What the refusal to open says."""
    store = SqliteStore(path, inline=True, patience=0.02, **options)  # type: ignore[arg-type]
    with pytest.raises(StoreUnusable) as refusal:
        await store.open()
    return str(refusal.value)


async def opened(path: Path, **options: object) -> World:
    """A world over a new store in `path`."""
    store = SqliteStore(path, inline=True, patience=0.02, **options)  # type: ignore[arg-type]
    await store.open()
    return World(store, None, None)


# -- files that are not for us ------------------------------------------------------------------------


async def test_a_directory(tmp_path: Path) -> None:
    """A directory is refused, with a file to name instead."""
    message = await refused(tmp_path)
    assert f"{tmp_path} is a directory" in message
    assert "flowgen.db" in message


async def test_no_directory(tmp_path: Path) -> None:
    """A file in a directory that is not there is refused, and the directory is not made."""
    message = await refused(tmp_path / "not there" / "x.db")
    assert f"its directory {tmp_path / 'not there'} does not exist" in message
    assert not (tmp_path / "not there").exists()


async def test_memory(tmp_path: Path) -> None:
    """SQLite's name for a database in memory is not a file."""
    assert "memory://" in await refused(Path(":memory:"))


async def test_no_database(tmp_path: Path) -> None:
    """A text file is refused, and left as it is."""
    path = tmp_path / "notes.txt"
    path.write_text("remember the milk\n" * 100)
    message = await refused(path)
    assert str(path) in message
    assert "not a SQLite database" in message
    assert path.read_text() == "remember the milk\n" * 100


async def test_a_database_of_somebody_else(tmp_path: Path) -> None:
    """A database of another application is refused, and not even turned into WAL mode."""
    path = tmp_path / "photos.db"
    with sqlite3.connect(path) as other:
        other.execute("create table photos (id)")
    other.close()
    before = path.read_bytes()
    message = await refused(path)
    assert "database of another application" in message
    assert path.read_bytes() == before


async def test_a_newer_schema(tmp_path: Path) -> None:
    """A file that a newer flowgen wrote is refused with both versions."""
    path = tmp_path / "x.db"
    await (await opened(path)).close()
    newer = apsw.Connection(str(path))
    newer.pragma("user_version", NEWEST + 1)
    newer.close()
    message = await refused(path)
    assert f"schema {NEWEST + 1}" in message
    assert f"up to {NEWEST}" in message
    assert "upgrade" in message


async def test_an_old_sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A SQLite with the WAL bug is refused."""
    monkeypatch.setattr(connections, "OLDEST_SQLITE", apsw.SQLITE_VERSION_NUMBER + 1)
    assert "too old" in await refused(tmp_path / "x.db")


async def test_a_file_system_without_shared_memory(tmp_path: Path) -> None:
    """Where WAL is impossible, as on network file systems, the store says so instead of losing commits."""
    message = await refused(tmp_path / "x.db", vfs="unix-dotfile")
    assert "journal_mode" in message
    assert "network" in message


# -- files that cannot be used now --------------------------------------------------------------------


async def test_a_locked_file(tmp_path: Path) -> None:
    """A file that another process has locked for itself is refused after a while; afterwards it opens."""
    path = tmp_path / "x.db"
    await (await opened(path)).close()
    other = apsw.Connection(str(path))
    other.pragma("locking_mode", "exclusive")
    other.execute("begin exclusive")
    message = await refused(path)
    assert str(path) in message
    assert "holds a lock" in message
    other.close()
    await (await opened(path)).close()


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (apsw.CantOpenError, "cannot be opened or created"),
        (apsw.ReadOnlyError, "read-only"),
        (apsw.FullError, "the disk is full"),
        (apsw.IOError, "failed to read or write"),
    ],
)
async def test_a_disk_that_refuses(tmp_path: Path, error: type[apsw.Error], hint: str) -> None:
    """A new file on a disk that is read-only, full or broken is refused with that reason."""
    with disk() as faulty:
        faulty.fault = ("write", "", error)
        message = await refused(tmp_path / "x.db", vfs=NAME)
        assert str(tmp_path / "x.db") in message
        assert hint in message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_read_only_file(tmp_path: Path) -> None:
    """A file without write permission is refused."""
    path = tmp_path / "x.db"
    await (await opened(path)).close()
    path.chmod(0o400)
    assert "read-only" in await refused(path)


async def test_what_cannot_be_opened_leaves_nothing_open(tmp_path: Path) -> None:
    """A store that was refused can be opened once the reason is gone."""
    with disk() as faulty:
        store = SqliteStore(tmp_path / "x.db", inline=True, vfs=NAME)
        faulty.fault = ("write", "", apsw.FullError)
        with pytest.raises(StoreUnusable, match="full"):
            await store.open()
        faulty.fault = None
        await store.open()
        await store.close()


# -- files that are damaged ---------------------------------------------------------------------------


async def test_a_damaged_file(tmp_path: Path) -> None:
    """A file whose header is no more is refused."""
    path = tmp_path / "x.db"
    await (await opened(path)).close()
    content = bytearray(path.read_bytes())
    content[:16] = b"0123456789abcdef"
    path.write_bytes(content)
    assert "not a SQLite database" in await refused(path)


async def damaged(path: Path, text: bytes) -> World:
    """A store with two runs, in which one bit of the first `text` was flipped."""
    world = await opened(path)
    for run in ("r1", "r2"):
        event = await world.event(f"e-{run}", data={"of": f"event-of-{run}"})
        row = await world.row(run, owner="w1", fence=1)
        await world.store.commit(Transition(f"create {run}", create=(NewRun(row, (event,), (), 10**9),)))
        await world.write(row, started(), done(f"step-of-{run}"))
        await world.tell(run, f"message-of-{run}")
    await world.close()
    flip_bit(path, text)
    return await opened(path)


@pytest.mark.parametrize(
    ("text", "what"),
    [(b"step-of-r1", "record 1"), (b"event-of-r1", "its events"), (b"message-of-r1", "message 1")],
)
async def test_a_flipped_bit(tmp_path: Path, text: bytes, what: str) -> None:
    """What was stored of a run and is not the same any more is never given out; other runs go on."""
    world = await damaged(tmp_path / "x.db", b'"' + text)
    with pytest.raises(DamagedRun, match=f"run r1 is damaged: the checksum of {what} is wrong") as error:
        await world.raw.load("shop", "r1")
    assert error.value.run == "r1"
    other = await world.raw.load("shop", "r2")
    assert other is not None
    assert len(other.records) == 2
    await world.write(other.row, completed(), release=True, stored="completed", drained=1)
    await world.close()


async def test_a_damaged_run_can_be_deleted(tmp_path: Path) -> None:
    """Retention takes a run whose events cannot be read, like any other."""
    path = tmp_path / "x.db"
    world = await opened(path)
    event = await world.event("e1")
    row = await world.row("r1", stored="skipped")
    await world.store.commit(Transition("create r1", create=(NewRun(row, (event,)),)))
    await world.close()
    flip_bit(path, b'[{"id":"e1"')
    world = await opened(path)
    assert await world.raw.delete(10**18) == 1
    assert await world.raw.load("shop", "r1") is None
    await world.close()


async def test_a_flipped_bit_in_an_event(tmp_path: Path) -> None:
    """An event whose data is not what was accepted is refused by its id."""
    path = tmp_path / "x.db"
    world = await opened(path)
    await world.accept(await world.event("e1", data={"secret": "abcdefgh"}))
    await world.accept(await world.event("e2"))
    await world.close()
    flip_bit(path, b"abcdefgh")
    world = await opened(path)
    with pytest.raises(StoreError, match="event e1 is damaged"):
        await world.raw.event("e1")
    assert await world.raw.event("e2") is not None
    await world.close()


# -- the file itself ----------------------------------------------------------------------------------


async def test_settings_are_what_durability_needs(tmp_path: Path) -> None:
    """WAL, a sync at each commit, no memory map, and a stamp that says whose file it is."""
    path = tmp_path / "x.db"
    store = SqliteStore(path)
    connection = store._prepare()
    assert connection.pragma("journal_mode") == "wal"
    assert connection.pragma("synchronous") == 2
    assert connection.pragma("mmap_size") in (0, None)
    assert connection.pragma("application_id") == APPLICATION_ID
    assert connection.pragma("user_version") == NEWEST
    connection.close()


async def test_opening_twice(tmp_path: Path) -> None:
    """An open store is not opened again; a closed one is, and refuses to work in between."""
    store = SqliteStore(tmp_path / "x.db")
    await store.open()
    with pytest.raises(StoreError, match="open already"):
        await store.open()
    await store.close()
    with pytest.raises(StoreError, match="not open"):
        await store.now()
    with pytest.raises(StoreError, match="not open"):
        await store.delete(0)
    await store.open()
    assert await store.now() > 0
    await store.close()


def test_processes_that_create_the_file_at_once(tmp_path: Path) -> None:
    """Several processes may open a file that is not there yet: one of them creates it."""
    script = (
        "import sys, trio\n"
        "from flowgen.runtime.stores import SqliteStore\n"
        "async def main():\n"
        "    store = SqliteStore(sys.argv[1])\n"
        "    await store.open()\n"
        "    assert await store.last_position() == 0\n"
        "    await store.close()\n"
        "trio.run(main)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "x.db")]
    processes = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(3)]
    for process in processes:
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors.decode()
