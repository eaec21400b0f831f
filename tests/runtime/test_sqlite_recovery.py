"""What the SQLite store does when its own ground gives way: connections, schemas, cursors, the writer itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest
import trio

from flowgen.errors import InternalError, InvalidInput, StoreError
from flowgen.runtime.store import Lease, RunFilter, StoreUnusable
from flowgen.runtime.stores import SqliteStore
from flowgen.runtime.stores.sqlite import schema
from flowgen.runtime.stores.sqlite.batch import Batch, Job
from flowgen.testing.conformance.world import LEASE, World, done
from tests.runtime.sqlite_faults import NAME, disk


async def opened(path: Path, **options: Any) -> World:
    store = SqliteStore(path / "x.db", patience=0.02, **options)
    await store.open()
    return World(store, None, None)


def changes_of(world: World) -> Any:
    return world.raw._writer._changes  # type: ignore[attr-defined]


# -- connections ----------------------------------------------------------------------------------------


async def test_a_read_that_fails(tmp_path: Path) -> None:
    """A read on a disk that fails is a store error with the file's name; the next one has a new connection."""
    with disk() as faulty:
        world = await opened(tmp_path, vfs=NAME)
        await world.own("r1")
        world.raw._close_reader()  # type: ignore[attr-defined]
        faulty.fault = ("read", "x.db", apsw.IOError)
        with pytest.raises(StoreError, match=r"x\.db.*failed to read or write"):
            await world.raw.load("shop", "r1")
        faulty.fault = None
        assert await world.raw.load("shop", "r1") is not None
        await world.close()


async def test_a_long_read_that_fails(tmp_path: Path) -> None:
    """The same for a history that is read in bits on a connection of its own."""
    with disk() as faulty:
        world = await opened(tmp_path, vfs=NAME)
        row = await world.own("r1")
        await world.write(row, *(done(f"step-{number}") for number in range(5000)))
        await world.raw.load("shop", "r1", 4999)
        faulty.fault = ("read", "", apsw.IOError)
        with pytest.raises(StoreError, match="failed to read or write"):
            await world.raw.load("shop", "r1")
        faulty.fault = None
        found = await world.raw.load("shop", "r1")
        assert found is not None
        assert len(found.records) == 5000
        await world.close()


async def test_a_connection_that_cannot_be_opened_anew(tmp_path: Path) -> None:
    """After a failed commit the file cannot even be opened: commits fail with that reason until it can."""
    with disk() as faulty:
        world = await opened(tmp_path, vfs=NAME)
        row = await world.own("r1")
        faulty.fault = ("sync", "-wal", apsw.IOError)
        with pytest.raises(StoreError, match="unknown"):
            await world.write(row, done())
        assert changes_of(world)._connection is None
        faulty.fault = ("open", "x.db", apsw.CantOpenError)
        row.length = 0
        with pytest.raises(StoreError, match="cannot be opened"):
            await world.write(row, done())
        faulty.fault = None
        await world.write(row, done())
        await world.close()


async def test_an_extender_on_a_disk_that_fails(tmp_path: Path) -> None:
    """The heartbeat's connection is opened anew too."""
    with disk() as faulty:
        world = await opened(tmp_path, vfs=NAME)
        row = await world.own("r1", lease=LEASE)
        extender = world.raw.extender()
        leases = [Lease("shop", "r1", row.fence)]
        faulty.fault = ("sync", "-wal", apsw.IOError)
        with pytest.raises(StoreError, match="failed to read or write"):
            extender.extend("w1", leases, LEASE)
        faulty.fault = None
        assert extender.extend("w1", leases, LEASE).mail == (0,)
        extender.close()
        await world.close()


async def test_a_page_that_is_damaged(tmp_path: Path) -> None:
    """A commit that meets a damaged page fails and says so; commits that do not meet it go on."""
    world = await opened(tmp_path)
    await world.own("r1")
    await world.take("k1", "h1")
    page = changes_of(world)._connection.execute("select rootpage from sqlite_schema where name = 'keys'").get
    await world.close()
    content = bytearray((tmp_path / "x.db").read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    (tmp_path / "x.db").write_bytes(content)
    world = await opened(tmp_path)
    with pytest.raises(StoreError, match="it is damaged"):
        await world.take("k2", "h1")
    with pytest.raises(StoreError, match="it is damaged"):
        await world.raw.find_keys("shop", ["k1"])
    row = (await world.raw.load("shop", "r1") or pytest.fail("r1 is gone")).row
    await world.write(row, done())
    await world.close()


@pytest.mark.parametrize("small", [False, True], ids=["in the thread", "in the loop"])
async def test_a_change_that_breaks_the_writer(tmp_path: Path, small: bool) -> None:
    """Even what no code should raise is answered; the writer lives, and the next change is done."""
    world = await opened(tmp_path)

    def broken(_: Any) -> None:
        raise SystemExit(3)

    changes_of(world).pace = 1.0
    with pytest.raises(InternalError, match=r"the writer broke: SystemExit\(3\)"):
        await world.raw._write(broken, small)  # type: ignore[attr-defined]
    await world.own("r1")
    await world.close()


async def test_a_trio_run_that_ends_first(tmp_path: Path) -> None:
    """A store that nobody closed does not keep its thread from ending, nor the file from being opened."""
    stores = []

    async def forgetful() -> None:
        store = SqliteStore(tmp_path / "x.db")
        await store.open()
        stores.append(store)

    await trio.to_thread.run_sync(trio.run, forgetful)
    writer: Any = stores[0]._writer
    writer._batches.put(Batch([Job(lambda tx: None)]))
    await trio.to_thread.run_sync(writer._thread.join)
    await (await opened(tmp_path)).close()


# -- schemas --------------------------------------------------------------------------------------------------


def migrated(monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """From now on there are more migrations."""
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, *more))
    monkeypatch.setattr(schema, "NEWEST", schema.NEWEST + len(more))


async def test_an_older_schema_is_brought_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an older schema is migrated when it is opened, one version after the other, with its data."""
    world = await opened(tmp_path)
    await world.own("r1")
    await world.close()
    migrated(
        monkeypatch, "create table one (a integer) strict;", "alter table one rename to two; create table three (b);"
    )
    world = await opened(tmp_path)
    connection = changes_of(world)._connection
    assert connection.pragma("user_version") == schema.NEWEST
    tables = [name for (name,) in connection.execute("select name from sqlite_schema where name in ('two', 'three')")]
    assert sorted(tables) == ["three", "two"]
    assert await world.raw.load("shop", "r1") is not None
    await world.close()


async def test_a_migration_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A migration that fails changes nothing: an older flowgen still opens the file."""
    await (await opened(tmp_path)).close()
    with monkeypatch.context() as broken:
        migrated(broken, "create table one (a integer) strict; this is no SQL;")
        with pytest.raises(StoreUnusable, match="syntax error"):
            await opened(tmp_path)
    world = await opened(tmp_path)
    connection = changes_of(world)._connection
    assert connection.execute("select count(*) from sqlite_schema where name = 'one'").get == 0
    await world.close()


# -- cursors --------------------------------------------------------------------------------------------------

LISTS: dict[str, Callable[[World, str], Awaitable[Any]]] = {
    "find_runs": lambda world, cursor: world.raw.find_runs(RunFilter(), cursor),
    "find_events": lambda world, cursor: world.raw.find_events(None, cursor),
    "started_by": lambda world, cursor: world.raw.started_by("e1", cursor),
    "children": lambda world, cursor: world.raw.children("shop", "r1", cursor),
}


@pytest.mark.parametrize("cursor", ["", "nonsense", "{}", "[1]", '["a", 2, 3, 4]', "' or 1 = 1 --"])
@pytest.mark.parametrize("name", LISTS)
async def test_a_cursor_of_another_list(name: str, cursor: str, tmp_path: Path) -> None:
    """What is no cursor of a list is the caller's fault, and says so."""
    world = await opened(tmp_path, inline=True)
    with pytest.raises(InvalidInput, match="is no cursor of this list"):
        await LISTS[name](world, cursor)
    await world.close()


async def test_a_store_says_which_file_it_is(tmp_path: Path) -> None:
    """A store's repr names its file."""
    assert repr(SqliteStore(tmp_path / "x.db")) == f"SqliteStore({str(tmp_path / 'x.db')!r})"
