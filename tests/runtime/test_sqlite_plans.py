"""The queries use the indexes: no verb walks a table, so cost does not grow with what is not asked for.

Every statement that a verb runs is explained by SQLite itself. A plan may search an index or a key; it may
neither scan nor sort, but for the exceptions that are named here with their reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import apsw
import pytest

from flowgen.runtime.store import Lease, Offer, Registration, RunFilter, Who
from flowgen.runtime.stores import SqliteStore
from flowgen.runtime.stores.sqlite.ready import PATIENCE
from flowgen.runtime.stores.sqlite.rows import RUN_COLUMNS
from flowgen.testing.conformance.world import (
    LEASE,
    SECOND,
    World,
    WorldClock,
    completed,
    done,
    encoded,
    result,
)
from flowgen.transition import Cell, DropKey, NewRun, TakeKey, Transition

Verb = Callable[[World], Awaitable[Any]]

ONE_ROW = ("store",)
"""A table of one row may be read by scanning it."""


class Plans:
    """The plans of the statements that a connection ran."""

    def __init__(self, path: Path) -> None:
        self._explain = apsw.Connection(str(path))
        self.statements: dict[str, list[str]] = {}

    def trace(self, _: apsw.Cursor, statement: str, bindings: Any) -> bool:
        first = statement.split()[0]
        if first in ("select", "update", "delete", "insert", "replace") and statement not in self.statements:
            self.statements[statement] = []
        return True

    def explain(self) -> dict[str, list[str]]:
        for statement in self.statements:
            rows = self._explain.execute("explain query plan " + statement, _bindings(statement))
            self.statements[statement] = [row[3] for row in rows]
        return self.statements

    def close(self) -> None:
        self._explain.close()


def _bindings(statement: str) -> Any:
    """Nulls for whatever parameters a statement has."""
    numbered = [int(part[:1]) for part in statement.split("?")[1:] if part[:1].isdigit()]
    two_digits = [int(part[:2]) for part in statement.split("?")[1:] if part[:2].isdigit()]
    return [None] * (max([*numbered, *two_digits]) if numbered else statement.count("?"))


async def plans_of(path: Path, verb: Verb) -> dict[str, list[str]]:
    """The plans of what `verb` runs, on a store that has something of everything."""
    clock = WorldClock()
    store = SqliteStore(path / "x.db", clock, inline=True)
    await store.open()
    world = World(store, clock, None)
    await populate(world)
    plans = Plans(path / "x.db")
    for connection in (store._reader, store._writer._changes._connection):  # type: ignore[union-attr]
        assert connection is not None
        connection.exec_trace = plans.trace
    await verb(world)
    explained = plans.explain()
    plans.close()
    await store.close()
    assert explained
    return explained


async def populate(world: World) -> None:
    await world.store.register(Registration("shop", "w1", (Offer("fulfil", "code-1", encoded({})),)))
    event = await world.event("e1", data={"order": 7})
    await world.store.commit(Transition("e1", accept=(event,), create=(NewRun(await world.row("r0"), (event,)),)))
    await world.accept(await world.event("later", ts=await world.now() + SECOND))
    for number in range(1, 4):
        row = await world.own(f"r{number}")
        await world.open_wait(row, f"wait-{number}", path="data.order", value="7")
        await world.write(row, done(), completed(), release=True, stored="completed")
    row = await world.own("mine")
    await world.write(row, done(), release=True, stored="parked", digest="other")
    await world.cancel("mine")
    await world.own("late", lease=1)
    await world.take("k1", "h1", expires_at=1)
    await populate_slots(world)
    world.pass_time(2 * SECOND)


async def populate_slots(world: World) -> None:
    """Runs that hold slots, are blocked, urgent, or will be."""
    for run in ("a", "b", "c", "d"):
        await world.create(run, slots=("k", "j"), wants=True, due_at=None)
    await world.claim(limits=(2, 2), limit=3)
    now = await world.now()
    await world.create("urgent", priority=5, due_at=now)
    await world.create("later", priority=5, due_at=now + SECOND)
    await world.create("much later", priority=5, due_at=now + 9 * SECOND)
    await world.create("slot", slots=("k", "j"), wants=True, due_at=None)


async def give_slots_back(world: World) -> None:
    """A holder is released, and a claim with more room gives its slot and others to those in the queue."""
    for run in ("a", "b"):
        row = await world.fresh(await world.row(run))
        await world.write(row, done(), release=True)
    await world.claim(limits=(3, 3))


async def look_again(world: World) -> None:
    """When to look again once everything that is ready was given or blocked."""
    await world.claim("w2", limit=100, limits=(1, 1))
    await world.look_again("w2", (1, 1))


async def pass_over(world: World) -> None:
    """A claim and a look behind more runs of others than are passed over, in each line."""
    now = await world.now()
    others = range(PATIENCE + 2)
    for number in others:
        await world.create(f"plain {number}", workflow="else", due_at=now - 1)
        await world.create(f"ranked {number}", workflow="else", due_at=now - 1, priority=9)
        await world.create(f"later {number}", workflow="else", due_at=now + 1, priority=9)
    who = Who("w2", {("shop", "fulfil"): "newer"})
    await world.store.claim(who, 100, LEASE)
    await world.store.next_due(who)


async def commit_everything(world: World) -> None:
    """A transition that uses all of its fields."""
    row = await world.own("r9")
    event = await world.event("e9", data={"order": 7})
    key = (await world.raw.find_keys("shop", ["k1"]))["k1"]
    transition = world.progress(
        row,
        done(),
        drained=0,
        started_at=1,
        create=(NewRun(await world.row("child"), (event,)),),
        accept=(event,),
        open_waits=(await world.wait(row, path="data.order", value="7"),),
        looked=(("wait-1", 1),),
        close_waits=("wait-0",),
        take=(TakeKey("shop", "k1", "h2", version=key.version), TakeKey("shop", "k2", "h2")),
        drop=(DropKey("shop", "k1", "h1"),),
        cells=(Cell("shop", "c1", 0, encoded(1)),),
        routed=("e1",),
    )
    for _ in range(2):
        await world.store.commit(transition)
    await world.tell("r9", "m1", result())
    row.length += 1
    await world.write(row, done("b"), drained=1)
    await world.write(row, completed(), release=True, stored="completed")


async def wait_for_values(world: World) -> None:
    await world.raw.waits((await world.raw.event("e1")) or pytest.fail("no event"))
    await world.raw.events("paid", 0, "data.order", "7")
    await world.raw.events("paid", 0, "data.other", "7")
    await world.raw.events("paid", 0)


async def find_runs(world: World) -> None:
    for where in (RunFilter(), RunFilter(app="shop"), RunFilter(workflow="fulfil"), RunFilter("shop", "fulfil")):
        for status in (None, "open", "completed"):
            wanted = RunFilter(where.app, where.workflow, status, before=10**18, after=0)
            page = await world.raw.find_runs(wanted, limit=1)
            await world.raw.find_runs(wanted, page.cursor, limit=1)


VERBS: dict[str, Verb] = {
    "commit": commit_everything,
    "claim": lambda world: world.claim("w2", limits=(1, 1)),
    "give slots back": give_slots_back,
    "claim of parked runs": lambda world: world.store.claim(Who("w2", {("shop", "fulfil"): "newer"}), 10, LEASE),
    "extend": lambda world: world.store.extend("w1", [Lease("shop", "late", 1), Lease("shop", "a", 1)], LEASE),
    "load": lambda world: world.raw.load("shop", "r1"),
    "waits and look-back": wait_for_values,
    "open_waits": lambda world: world.raw.open_waits("shop", "r1"),
    "event": lambda world: world.raw.event("e1"),
    "last_position": lambda world: world.raw.last_position(before=1),
    "unrouted": lambda world: world.raw.unrouted(),
    "find_keys": lambda world: world.raw.find_keys("shop", ["k1"]),
    "cells": lambda world: world.raw.cells("shop", ["c1"]),
    "started_by": lambda world: world.raw.started_by("e1"),
    "children": lambda world: world.raw.children("shop", "r1"),
    "next_due": lambda world: world.raw.next_due(Who("w2", {("shop", "fulfil"): "newer"})),
    "next_due after a claim": look_again,
    "claim behind a backlog": pass_over,
    "delete": lambda world: world.store.delete(10**18),
    "find_runs": find_runs,
    "find_events": lambda world: world.raw.find_events("paid"),
    "find_events of any name": lambda world: world.raw.find_events(),
}

EXCEPTIONS = {
    "SCAN runs USING COVERING INDEX runs_parked": "whether anything is parked at all: it stops at the first row",
    "SCAN events USING COVERING INDEX events_by_position": "the newest event before a time: it stops at the first",
    "SCAN json_each VIRTUAL TABLE INDEX 1:": "the ids that were asked about, each of which is then looked up",
}


@pytest.mark.parametrize("verb", VERBS)
async def test_no_verb_walks_a_table(verb: str, tmp_path: Path) -> None:
    """Each statement of the verb finds its rows by an index, and has them in order from it."""
    walks = []
    for statement, plan in (await plans_of(tmp_path, VERBS[verb])).items():
        for step in plan:
            if step in EXCEPTIONS or step.split()[1] in ONE_ROW:
                continue
            if step.startswith(("SCAN", "USE TEMP B-TREE", "MULTI-INDEX")) and step != "SCAN CONSTANT ROW":
                walks.append(f"{statement}\n    {step}")
    assert not walks, "\n".join(walks)


async def plan(tmp_path: Path, verb: str, words: str) -> str:
    """The plan of the one statement of a verb that holds `words`."""
    (found,) = [" / ".join(p) for s, p in (await plans_of(tmp_path, VERBS[verb])).items() if words in s]
    return found


@pytest.mark.parametrize(
    ("verb", "words", "index"),
    [
        ("claim", "line = 0 and stored <> 'parked' and rank", "runs_plain (rank<?)"),
        ("claim", "line = 2 and stored <> 'parked' and rank", "runs_ranked (rank<?)"),
        ("claim", "update runs set line = 2", "runs_later (rank<?)"),
        ("next_due after a claim", "line = 1 and rank <= ? order by rank, app", "runs_later (rank<?)"),
        (
            "claim behind a backlog",
            "line = ? and stored <> 'parked' and rank",
            "runs_ready (app=? AND workflow=? AND line=? AND (rank,id)>(?,?) AND rank<?)",
        ),
        ("claim of parked runs", "(app, workflow, digest) > (?", "runs_parked ((app,workflow,digest)>(?,?,?))"),
        ("claim", "from held where app = ? and slot = ? and until > ?", "PRIMARY KEY (app=? AND slot=? AND until>?)"),
        ("claim", "delete from held where app", "PRIMARY KEY (app=? AND slot=? AND until<?)"),
        ("claim", "from held where app = ? and slot = ? order", "PRIMARY KEY (app=? AND slot=?)"),
        ("claim", "workflow > ? order by workflow", "runs_blocked (app=? AND blocked_on=? AND workflow>?)"),
        ("claim", "order by place, id limit 1", "runs_blocked (app=? AND blocked_on=? AND workflow=?)"),
        ("give slots back", "delete from held where run", "held_by_run (run=?)"),
        (
            "give slots back",
            "(place, id) > (?, ?)",
            "runs_blocked (app=? AND blocked_on=? AND workflow=? AND (place,id)>(?,?))",
        ),
        (
            "claim of parked runs",
            "digest is ? and line = ? and rank",
            "runs_parked (app=? AND workflow=? AND digest=? AND line=? AND (rank,id)>(?,?) AND rank<?)",
        ),
        ("claim", "codeless_at <= ?", "runs_codeless (codeless_at<?)"),
        ("waits and look-back", "path = ? and value = ? and (app", "waits_matching (event=? AND path=? AND value=?"),
        ("waits and look-back", "from event_values", "PRIMARY KEY (event=? AND path=? AND value=? AND position>?"),
        ("find_events", "and name = ?", "events_as_accepted (name=? AND rowid<?)"),
        ("load", "from history", "history_of_run (run=? AND position>?)"),
        ("find_runs", "select app from runs where app > ?", "runs_by_app (app>?)"),
        (
            "find_runs",
            "workflow = ?8 and stored = ?6",
            "runs_by_workflow (app=? AND workflow=? AND stored=? AND created_at>? AND created_at<?)",
        ),
        ("find_runs", "where app = ?7 and stored = ?6", "runs_by_app (app=? AND stored=? AND created_at>?"),
    ],
)
async def test_the_index_that_is_meant(verb: str, words: str, index: str, tmp_path: Path) -> None:
    """A query uses the index that was made for it, by all the columns that it has."""
    assert index in await plan(tmp_path, verb, words)


# -- the schema ---------------------------------------------------------------------------------------


def _connection(tmp_path: Path) -> apsw.Connection:
    return SqliteStore(tmp_path / "x.db")._prepare()


def test_columns_are_in_the_order_that_rows_expect(tmp_path: Path) -> None:
    """`select * from runs` gives what `rows.run_of` takes apart."""
    connection = _connection(tmp_path)
    assert [row[1] for row in connection.execute("pragma table_info(runs)")] == RUN_COLUMNS
    connection.close()


def test_every_table_is_strict(tmp_path: Path) -> None:
    """No table takes a value of another type than its column's."""
    connection = _connection(tmp_path)
    tables = connection.execute("pragma table_list").fetchall()
    loose = [name for _, name, kind, _, _, strict in tables if kind == "table" and not strict]
    assert [name for name in loose if not name.startswith("sqlite_")] == []
    connection.close()


def test_progress_touches_no_index_of_runs(tmp_path: Path) -> None:
    """The columns that a step's commit writes are in no index, neither as columns nor in a condition."""
    connection = _connection(tmp_path)
    indexes = connection.execute("select sql from sqlite_schema where type = 'index' and tbl_name = 'runs'").fetchall()
    assert len(indexes) >= 8
    for (sql,) in indexes:
        for column in ("length", "drained", "strikes", "mail", "fence", "cancel"):
            assert column not in sql.replace("(", " ").replace(")", " ").replace(",", " ").split()
    connection.close()
