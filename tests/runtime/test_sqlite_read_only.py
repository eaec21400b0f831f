"""A SQLite store that is opened for reading only: it sees what others commit, and changes nothing."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from flowgen import App, Context, Sleep, Steps
from flowgen.errors import StoreError
from flowgen.runtime import open_engine
from flowgen.runtime.store import RunFilter, StoreUnusable
from flowgen.runtime.stores import MemoryStore, SqliteStore, open_store
from flowgen.runtime.stores.sqlite.schema import MIGRATIONS

app = App("shop")


@app.workflow
def nap(ctx: Context) -> Steps[None]:
    yield Sleep("nap", "1d")


async def asleep(path: Path) -> str:
    """A file with a run that sleeps."""
    async with open_engine(app, f"sqlite:///{path}", grace="0s") as engine:
        run = await engine.start(nap)
        while (await engine.run(run)).status != "waiting":
            await engine.store.wait_changed(0.02)
    return run


async def test_it_reads_what_is_there_and_refuses_to_write(tmp_path: Path) -> None:
    """Runs and histories are found; each verb that would write says why not."""
    run = await asleep(tmp_path / "a.db")
    store = open_store(f"sqlite:///{tmp_path}/a.db", read_only=True)
    await store.open()
    (row,) = (await store.find_runs(RunFilter(status="open"))).items
    loaded = await store.load(row.app, run)
    assert loaded is not None
    assert len(loaded.records) == 2
    with pytest.raises(StoreError, match=r"a\.db is open for reading only"):
        await store.pause("shop", "nap", True)
    await store.close()
    with pytest.raises(StoreError, match="is not open"):
        await store.load(row.app, run)


async def test_it_changes_no_byte_and_stops_nobody(tmp_path: Path) -> None:
    """The file is the same after it; and while it is open, engines go on committing, which it sees."""
    path = tmp_path / "a.db"
    await asleep(path)
    before = path.read_bytes()
    store = SqliteStore(path, read_only=True)
    await store.open()
    assert len((await store.find_runs(RunFilter())).items) == 1
    await store.close()
    assert path.read_bytes() == before
    await store.open()
    await asleep(path)
    assert len((await store.find_runs(RunFilter())).items) == 2
    await store.close()


async def test_what_is_not_there_or_would_need_a_migration_is_refused(tmp_path: Path) -> None:
    """No file comes into being, none is migrated, and none of another program is read."""
    missing, empty, old, other = (tmp_path / name for name in ("missing.db", "empty.db", "old.db", "other.db"))
    apsw.Connection(str(empty)).execute("create table t (x); drop table t;").fetchall()
    connection = apsw.Connection(str(old))
    connection.execute(MIGRATIONS[0]).fetchall()
    connection.pragma("application_id", int.from_bytes(b"flow"))
    connection.pragma("user_version", 1)
    connection.close()
    apsw.Connection(str(other)).execute("create table t (x)").fetchall()
    for path, message in (
        (missing, "cannot be used"),
        (empty, "is empty: no engine has ever worked on it"),
        (old, "has schema 1, this flowgen reads schema 2, and only looking may not change it"),
        (other, "of another application"),
    ):
        with pytest.raises(StoreUnusable, match=message):
            await SqliteStore(path, read_only=True).open()
    assert not missing.exists()
    assert apsw.Connection(str(old)).pragma("user_version") == 1


def test_a_store_that_cannot_be_only_read_is_opened_as_usual() -> None:
    """A memory store, and one that is given as it is."""
    assert isinstance(open_store("memory://", read_only=True), MemoryStore)
    store = MemoryStore()
    assert open_store(store, read_only=True) is store
