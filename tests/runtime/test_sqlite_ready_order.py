"""Going through the ready order of the SQLite store: what others offer is passed over, and then left aside."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen.runtime.store import Who
from flowgen.runtime.stores import SqliteStore
from flowgen.runtime.stores.sqlite import ready
from flowgen.testing.conformance.world import EPOCH, LEASE, SECOND, World, WorldClock, done

WORKFLOWS = [("a", "one"), ("a", "two"), ("b", "one"), ("c", "one")]
LIMIT = 4


@attrs.frozen
class Standing:
    """A run as it is to stand: due in so many seconds; or parked by that code, and so due at once."""

    workflow: tuple[str, str]
    due_in: int
    priority: int
    parked_by: str | None

    @property
    def due_at(self) -> int:
        return EPOCH + (self.due_in * SECOND if self.parked_by is None else 0)


standings = st.builds(
    Standing, st.sampled_from(WORKFLOWS), st.integers(-2, 2), st.sampled_from([0, 0, 3]), st.sampled_from([None, "x"])
)
offers = st.dictionaries(st.sampled_from(WORKFLOWS), st.sampled_from(["x", "y"]), min_size=1)


async def put(world: World, id: str, standing: Standing) -> None:
    """Create a run, and let its owner give it back as it is to stand."""
    app, workflow = standing.workflow
    row = await world.own(id, app=app, workflow=workflow, priority=standing.priority)
    stored = "open" if standing.parked_by is None else "parked"
    await world.write(row, done(), release=True, stored=stored, digest=standing.parked_by, due_at=standing.due_at)


async def given_and_next(path: Path, runs: list[Standing], who: Who) -> tuple[list[str], int | None]:
    """The runs that are given, a few at a time until there is none, and when to look again before that."""
    clock = WorldClock()
    store = SqliteStore(path / "x.db", clock, inline=True)
    await store.open()
    world = World(store, clock, None)
    for number, standing in enumerate(runs):
        await put(world, f"r{number:03}", standing)
    clock.time = EPOCH
    look_again = await store.next_due(who)
    ids: list[str] = []
    while claims := (await store.claim(who, LIMIT, LEASE)).runs:
        ids += [claimed.row.id for claimed in claims]
    await store.close()
    return ids, look_again


def expected(runs: list[Standing], who: Who) -> tuple[list[str], int | None]:
    """The same, found by looking at all runs."""
    mine = [
        (run.due_at - run.priority * SECOND, run.workflow[0], f"r{number:03}", run.due_at)
        for number, run in enumerate(runs)
        if who.offers.get(run.workflow) not in (None, run.parked_by)
    ]
    first = min((due_at for *_, due_at in mine), default=None)
    return [id for *_, id, due_at in sorted(mine) if due_at <= EPOCH], first


@pytest.mark.parametrize("patience", [-len(WORKFLOWS), -2, ready.PATIENCE])
@settings(max_examples=30)
@given(runs=st.lists(standings, max_size=30), offered=offers)
def test_the_order_is_the_same_whether_others_are_passed_over_or_left_aside(
    patience: int, runs: list[Standing], offered: dict[tuple[str, str], str]
) -> None:
    """A worker is given all that is ready and that it offers, by rank, however much of others stands before."""
    who = Who("w1", offered)
    with TemporaryDirectory() as path, pytest.MonkeyPatch.context() as patch:
        patch.setattr(ready, "PATIENCE", patience)
        ids, look_again = trio.run(given_and_next, Path(path), runs, who)
    wanted, first = expected(runs, who)
    assert ids == wanted
    if first is not None and first <= EPOCH:
        assert look_again is not None
        assert look_again <= EPOCH
    else:
        assert look_again == first


@pytest.mark.parametrize("priority", [0, 9])
async def test_what_others_offer_costs_a_bounded_number_of_looks(priority: int, tmp_path: Path) -> None:
    """A claim and a look step through no more rows, however many runs of another workflow stand before its own."""
    clock = WorldClock()
    store = SqliteStore(tmp_path / "x.db", clock, inline=True)
    await store.open()
    world = World(store, clock, None)
    who = Who("w1", {("shop", "mine"): "code-1"})
    most = 0
    for batch in range(3):
        for number in range(4 * ready.PATIENCE):
            await world.create(f"their {batch} {number}", workflow="theirs", priority=priority)
        world.pass_time(10 * SECOND)
        await world.create(f"mine {batch}", workflow="mine")
        await world.create(f"mine urgent {batch}", workflow="mine", priority=priority)
        most = max(most, *await steps(store, who))
    await store.close()
    assert most <= ready.PATIENCE + 10


async def steps(store: SqliteStore, who: Who) -> tuple[int, int]:
    """How many rows a claim of two runs, and a look, take in their hands."""
    counted = []
    writes, reads = store._writer._changes._connection, store._reader  # type: ignore[union-attr]
    for connection, verb in ((reads, store.next_due(who)), (writes, store.claim(who, 2, LEASE))):
        assert connection is not None
        rows = 0

        def count(_: object, row: tuple[object, ...]) -> tuple[object, ...]:
            nonlocal rows
            rows += 1
            return row

        connection.row_trace = count
        answer = await verb
        connection.row_trace = None
        assert answer is not None
        counted.append(rows)
    return counted[0], counted[1]
