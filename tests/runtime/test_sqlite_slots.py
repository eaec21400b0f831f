"""What flow control costs in SQLite: the work of a claim, counted in instructions of SQLite's own machine.

That measure is exact and always the same, unlike time. It grows with each row that a statement looks at.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import apsw
import pytest

from flowgen.runs import RunRow
from flowgen.runtime.store import Claims, Lease
from flowgen.runtime.stores import SqliteStore
from flowgen.testing.conformance.world import APP, LEASE, SECOND, WORKFLOW, World, WorldClock, done, started
from flowgen.transition import NewRun, Transition

MANY = 2000
MARGIN = 1.2
"""By so much may the work differ between few and many: not at all by their number."""


class Meter:
    """Counts what a connection does: instructions and statements."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.instructions = 0
        self.statements: list[str] = []
        self._connection = connection

    def start(self) -> None:
        """Begin to count, from nothing."""
        self.instructions, self.statements = 0, []
        self._connection.set_progress_handler(self._step, 1)
        self._connection.exec_trace = self._trace

    def _step(self) -> bool:
        self.instructions += 1
        return False

    def _trace(self, _: apsw.Cursor, statement: str, bindings: Any) -> bool:
        self.statements.append(statement)
        return True


@asynccontextmanager
async def opened(path: Path) -> AsyncIterator[tuple[World, Meter]]:
    clock = WorldClock()
    store = SqliteStore(path, clock, inline=True)
    await store.open()
    connection = store._writer._changes._connection  # type: ignore[union-attr]
    assert connection is not None
    yield World(store, clock, None), Meter(connection)
    await store.close()


async def create(world: World, count: int, fields: Callable[[int], dict[str, Any]]) -> None:
    """Create some runs by one commit, `fields` of the n-th."""
    now = await world.now()
    rows = [RunRow(APP, f"r{number:06}", WORKFLOW, now, 0, **fields(number)) for number in range(count)]
    await world.store.commit(Transition(f"create {count}", create=tuple(NewRun(row, ()) for row in rows)))


async def claim_all(world: World, worker: str = "w1") -> list[RunRow]:
    """Claim, with one holder for each slot, until there is nothing left to look at."""
    given: list[RunRow] = []
    while (time := await world.look_again(worker, (1,))) is not None and time <= await world.now():
        claims: Claims = await world.claim(worker, 100, limits=(1,))
        given += [claimed.row for claimed in claims.runs]
    return given


async def measured(path: Path, count: int, play: Callable[[World, Meter, int], Any]) -> int:
    """The instructions that `play` has counted when it is over."""
    async with opened(path / f"{count}.db") as (world, meter):
        await play(world, meter, count)
        return meter.instructions


async def _of_many_ready(world: World, meter: Meter, count: int) -> None:
    now = await world.now()
    await create(world, count, lambda number: {"due_at": now - number, "priority": number % 7 + 1})
    meter.start()
    assert len((await world.claim(limit=10)).runs) == 10


async def _of_many_later(world: World, meter: Meter, count: int) -> None:
    now = await world.now()
    await create(world, count, lambda number: {"due_at": now + SECOND + number, "priority": 600})
    await world.create("due", priority=-600)
    meter.start()
    assert await world.claimed() == ["due"]


async def _of_many_blocked(world: World, meter: Meter, count: int) -> None:
    """The holder lets go, and the next one gets the slot."""
    await create(world, count, lambda _: {"slots": ("k",), "wants": True})
    (holder,) = await claim_all(world)
    meter.start()
    await world.write(holder, started(), release=True)
    assert await world.claimed(limits=(1,)) == ["r000001"]


async def _of_many_queues(world: World, meter: Meter, count: int) -> None:
    """The same, with two runs for each of many slots."""
    await create(world, count, lambda number: {"slots": (f"k{number // 2}",), "wants": True})
    holder, *_ = await claim_all(world)
    meter.start()
    await world.write(holder, started(), release=True)
    assert await world.claimed(limits=(1,)) == ["r000001"]


async def _of_mail_to_the_last(world: World, meter: Meter, count: int) -> None:
    await create(world, count, lambda _: {"slots": ("k",), "wants": True})
    await claim_all(world)
    last = f"r{count - 1:06}"
    meter.start()
    await world.tell(last)
    (claimed,) = (await world.claim(limits=(1,))).runs
    assert (claimed.row.id, claimed.slotless) == (last, True)


async def _of_a_heartbeat(world: World, meter: Meter, count: int) -> None:
    await create(world, count, lambda _: {"slots": ("k",), "wants": True})
    (holder,) = await claim_all(world)
    meter.start()
    await world.store.extend("w1", [Lease(APP, holder.id, holder.fence)], LEASE)


PLAYS = [_of_many_ready, _of_many_later, _of_many_blocked, _of_many_queues, _of_mail_to_the_last, _of_a_heartbeat]


@pytest.mark.parametrize("play", PLAYS, ids=lambda play: play.__name__.strip("_"))
async def test_the_work_does_not_grow(play: Callable[[World, Meter, int], Any], tmp_path: Path) -> None:
    """A claim, a release, a message, a heartbeat: none costs more because many runs are ready, blocked or wait."""
    few, many = await measured(tmp_path, 20, play), await measured(tmp_path, MANY, play)
    assert 0 < many <= MARGIN * few


async def test_who_has_to_wait_is_looked_at_once(tmp_path: Path) -> None:
    """To block a run is work once: all of it grows with their number, and no faster."""
    work = {}
    for count in (200, MANY):
        async with opened(tmp_path / f"{count}.db") as (world, meter):
            await create(world, count, lambda _: {"slots": ("k",), "wants": True})
            meter.start()
            assert len(await claim_all(world)) == 1
            work[count] = meter.instructions / count
    assert work[MANY] <= MARGIN * work[200]


async def test_a_step_costs_the_same_under_flow_control(tmp_path: Path) -> None:
    """What an owner writes with a step is the same whether its run has a slot, a priority and a deadline or not."""
    statements = []
    async with opened(tmp_path / "x.db") as (world, meter):
        deadline = await world.now() + 60 * SECOND
        controlled: dict[str, Any] = {"slots": ("k",), "priority": 5, "deadline": deadline, "wants": True}
        for run, fields in {"plain": {}, "controlled": controlled}.items():
            await world.create(run, **fields)
            (claimed,) = (await world.claim(limits=(1,))).runs
            meter.start()
            await world.raw.commit(world.progress(claimed.row, done()))
            statements.append(list(meter.statements))
    assert statements[0] == statements[1]
    assert sum(statement.startswith("update runs") for statement in statements[0]) == 1
