"""How many runs were created when: exact while there are few, estimated when there are many."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from bench.filling import fill, new_run
from flowgen import App, Sleep
from flowgen.duration import moment
from flowgen.errors import InvalidInput
from flowgen.runs import RunRow
from flowgen.runtime import counting, open_engine
from flowgen.runtime.counting import Bucket, CountsRuns, count, edges_of
from flowgen.runtime.store import Page, RunFilter, Store
from flowgen.runtime.stores import MemoryStore, SqliteStore
from flowgen.transition import NewRun

HOUR = 3_600_000_000
START = 1_800_000_000_000_000


class Uncounted:
    """A store that lists runs, and has no way to count them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find_runs(self, where: RunFilter, cursor: str | None = None, limit: int = 100) -> Page[RunRow]:
        return await self._store.find_runs(where, cursor, 100)


@pytest.fixture(params=["memory", "sqlite", "sqlite inline", "uncounted"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if "sqlite" in request.param:
        yield SqliteStore(tmp_path / "s.db", lambda: START, inline="inline" in request.param)
    else:
        yield MemoryStore(lambda: START)


def runs(number: int, spread: int) -> Iterator[NewRun]:
    """Runs over a span: two of three completed, one of three of workflow `b`, one of six of the app `other`."""
    for n in range(number):
        stored = ("completed", "failed", "completed", "open", "completed", "parked")[n % 6]
        at = START + n * spread // number
        row = RunRow("other" if n % 6 == 5 else "shop", f"r{n:05}", "b" if n % 3 == 2 else "a", at, 1, stored)  # type: ignore[arg-type]
        if not row.open:
            row.ended_at = at
        yield new_run(row)


async def counted(store: Any, kind: str, app: str | None, workflow: str | None, buckets: int) -> tuple[Bucket, ...]:
    asked = Uncounted(store) if kind == "uncounted" else store
    return await count(asked, app, workflow, edges_of(START, START + HOUR, buckets))


async def test_few_runs_are_counted_exactly(store: Any, request: pytest.FixtureRequest) -> None:
    """By bucket and state, of all or of one app or workflow; those at an edge are in the later bucket."""
    kind = request.node.callspec.params["store"]
    assert isinstance(store, CountsRuns)
    await store.open()
    try:
        await fill(store, runs(60, HOUR))
        halves = await counted(store, kind, None, None, 2)
        assert [bucket.at for bucket in halves] == [moment(START), moment(START + HOUR // 2)]
        assert [bucket.counts for bucket in halves] == [{"completed": 15, "failed": 5, "open": 5, "parked": 5}] * 2
        assert all(bucket.exact for bucket in halves)
        (of_app,) = await counted(store, kind, "other", None, 1)
        assert of_app.counts == {"parked": 10}
        (of_workflow,) = await counted(store, kind, "shop", "b", 1)
        assert of_workflow.counts == {"completed": 10}
        each = await counted(store, kind, None, None, 60)
        assert [sum(bucket.counts.values()) for bucket in each] == [1] * 60
    finally:
        await store.close()


async def test_many_runs_are_estimated(
    store: Any, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells above the bound say that they are no exact numbers, and are near them."""
    kind = request.node.callspec.params["store"]
    for module in (
        counting,
        __import__("flowgen.runtime.stores.sqlite.counting", fromlist=["COUNTED"]),
        __import__("flowgen.runtime.stores.memory.counting", fromlist=["COUNTED"]),
    ):
        monkeypatch.setattr(module, "COUNTED", 300)
    await store.open()
    try:
        await fill(store, runs(6_000, HOUR))
        early, late = await counted(store, kind, None, None, 2)
        assert not early.exact
        if kind == "uncounted":
            assert sum(late.counts.values()) <= 400
            return
        assert not late.exact
        for bucket in (early, late):
            assert 1_400 <= bucket.counts["completed"] <= 1_600
            assert 450 <= bucket.counts["failed"] <= 550
    finally:
        await store.close()


async def test_the_engine_counts() -> None:
    """Between two times, of what a filter means; what makes no buckets is refused."""
    app = App("shop")

    @app.workflow
    def nap(ctx: Any) -> Any:
        yield Sleep("nap", "1h")

    async with open_engine(app, "memory://") as engine:
        for _ in range(3):
            await engine.start(nap)
        now = moment(await engine.store.now())
        span: dict[str, datetime] = {"after": now - timedelta(hours=3), "before": now + timedelta(hours=1)}
        assert [bucket.counts for bucket in await engine.counts(**span, buckets=2)] == [{}, {"open": 3}]
        (all_of_it,) = await engine.counts(**span, buckets=1, workflow=nap)
        assert (all_of_it.counts, all_of_it.exact) == ({"open": 3}, True)
        (none,) = await engine.counts(**span, buckets=1, app="other")
        assert none.counts == {}
        for buckets in (0, 201):
            with pytest.raises(InvalidInput, match=f"buckets={buckets}: say 1 to 200"):
                await engine.counts(**span, buckets=buckets)
        with pytest.raises(InvalidInput, match="swap after and before"):
            await engine.counts(after=now, before=datetime(2000, 1, 1, tzinfo=UTC))
