"""Files of older versions open and go on: for each released schema there is one, as text, in `schemas`.

What is in `schema_1.sql`, at the time `EPOCH`: a run that is due, one with unread mail, one that is asleep for three
seconds and waits for an event, one that worker w1 owns for ten, one that code-0 parked, one that is cancelled and
whose workflow nobody has, one that has ended; an event from the future, a key, a cell, a registration.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from flowgen.runtime.store import CODELESS_AFTER, LeaseLost, RunFilter
from flowgen.runtime.stores import SqliteStore
from flowgen.runtime.stores.sqlite.connection import configure_writer, connect
from flowgen.runtime.stores.sqlite.schema import MIGRATIONS, NEWEST, check, migrate
from flowgen.testing.conformance.world import SECOND, World, WorldClock, completed, done, encoded

SCHEMAS = Path(__file__).parent / "schemas"


@asynccontextmanager
async def opened(tmp_path: Path, version: int) -> AsyncIterator[World]:
    """A store over a copy of the file of that version."""
    path = tmp_path / "x.db"
    old = sqlite3.connect(path)
    old.executescript((SCHEMAS / f"schema_{version}.sql").read_text())
    old.close()
    clock = WorldClock()
    store = SqliteStore(path, clock, inline=True)
    await store.open()
    yield World(store, clock, None)
    await store.close()


def test_each_released_schema_has_a_file() -> None:
    """Whoever appends a migration keeps a file of the schema before it."""
    kept = sorted(path.name for path in SCHEMAS.iterdir())
    assert kept == [f"schema_{version}.sql" for version in range(1, NEWEST)]


def test_a_released_migration_never_changes() -> None:
    """The first migration still makes the tables that the file of schema 1 has."""
    made, kept = sqlite3.connect(":memory:"), sqlite3.connect(":memory:")
    made.executescript(MIGRATIONS[0])
    kept.executescript((SCHEMAS / "schema_1.sql").read_text())
    assert made.execute(_OBJECTS).fetchall() == kept.execute(_OBJECTS).fetchall()


async def test_runs_of_schema_1_are_claimed_as_before(tmp_path: Path) -> None:
    """What was due is due, in its order; what slept wakes at its time; a lease ends at its time."""
    async with opened(tmp_path, 1) as world:
        assert await world.claimed("w2") == ["due", "parked", "told"]
        assert await world.look_again("w2") == await world.now() + 3 * SECOND
        world.pass_time(3 * SECOND)
        assert await world.claimed("w2") == ["asleep"]
        world.pass_time(7 * SECOND)
        claims = await world.claim("w3")
        assert ("owned", True) in [(claimed.row.id, claimed.took_over) for claimed in claims.runs]


async def test_a_parked_run_of_schema_1_is_given_to_other_code(tmp_path: Path) -> None:
    """The run that code-0 parked goes to code-1, and not to code-0."""
    async with opened(tmp_path, 1) as world:
        assert "parked" not in await world.claimed("w2", offers={("shop", "fulfil"): "code-0"})
        assert await world.claimed("w3") == ["parked"]


async def test_a_cancel_of_schema_1_is_carried_out_codeless(tmp_path: Path) -> None:
    """A cancel that was accepted before and that nobody can read is given to any worker after a while."""
    async with opened(tmp_path, 1) as world:
        world.pass_time(CODELESS_AFTER)
        (claimed,) = (await world.claim("w9", offers={})).runs
        assert (claimed.row.id, claimed.codeless) == ("cancelled", True)


async def test_an_owner_goes_on_over_the_migration(tmp_path: Path) -> None:
    """A lease that was given before is in force after: its owner writes on, from its own history."""
    async with opened(tmp_path, 1) as world:
        loaded = await world.raw.load("shop", "owned")
        assert loaded is not None
        assert (loaded.row.slots, loaded.row.priority, loaded.row.wants) == ((), 0, False)
        assert len(loaded.records) == 2
        await world.write(loaded.row, done("b"), release=True, due_at=None)
        with pytest.raises(LeaseLost):
            await world.write(loaded.row, position=3)


async def test_the_rest_of_schema_1_is_there(tmp_path: Path) -> None:
    """Ended runs, children, waits, events, keys, cells and registrations are found as before."""
    async with opened(tmp_path, 1) as world:
        store = world.raw
        ended = await store.find_runs(RunFilter(status="completed"))
        assert [row.id for row in ended.items] == ["ended"]
        assert [row.id for row in (await store.children("shop", "asleep")).items] == ["ended"]
        event = await store.event("e1")
        assert event is not None
        assert [wait.id for wait in await store.open_waits("shop", "asleep")] == ["wait-1"]
        assert [row.id for row in (await store.started_by("e1")).items] == ["due"]
        assert (await store.find_keys("shop", ["k1"]))["k1"].holder == "h1"
        assert (await store.cells("shop", ["c1"]))["c1"].value == encoded({"n": 1})
        assert [item.paused for item in (await store.registrations()).items] == [False]
        world.pass_time(5 * SECOND)
        assert [event.id for event in await store.unrouted()] == ["e2"]


async def test_flow_control_works_in_an_old_file(tmp_path: Path) -> None:
    """A file that was migrated has slots and priorities like a new one."""
    async with opened(tmp_path, 1) as world:
        await world.claim("w2")
        for run in ("a", "b"):
            await world.create(run, slots=("k",), wants=True, due_at=None)
        await world.create("urgent", priority=5)
        claims = await world.claim("w2", limits=(1,))
        assert [claimed.row.id for claimed in claims.runs] == ["urgent", "a"]
        await world.write(claims.runs[1].row, completed(), stored="completed")
        assert await world.claimed("w2", limits=(1,)) == ["b"]


def test_a_new_file_that_another_process_makes_meanwhile_is_not_taken_for_a_stranger(tmp_path: Path) -> None:
    """It is looked at as it is at one moment: before the other's commit, or after it."""
    path = tmp_path / "shared.db"
    mine, theirs = (connect(path, create=True) for _ in range(2))
    configure_writer(theirs, path, 0)

    def meanwhile(cursor: apsw.Cursor, sql: str, bindings: apsw.Bindings | None) -> bool:
        if "user_version" in sql:
            mine.exec_trace = None
            migrate(theirs, path, 0)
        return True

    mine.exec_trace = meanwhile
    assert check(mine, path) == 0
    assert check(mine, path) == NEWEST


def test_a_file_that_was_migrated_is_like_a_new_one(tmp_path: Path) -> None:
    """Tables, columns and indexes are the same, whichever version made the file."""
    old = apsw.Connection(str(tmp_path / "old.db"))
    for _ in old.execute((SCHEMAS / "schema_1.sql").read_text()):
        """A script's later statements run only when it is iterated."""
    old.close()
    found = []
    for name in ("old.db", "new.db"):
        connection = SqliteStore(tmp_path / name)._prepare()
        found.append(connection.execute(_OBJECTS).fetchall())
        assert connection.pragma("user_version") == NEWEST
        connection.close()
    assert found[0] == found[1]


_OBJECTS = "select type, name, sql from sqlite_schema where name not like 'sqlite_%' order by type, name"
