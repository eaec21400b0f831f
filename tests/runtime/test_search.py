"""Searching runs: words, conditions, times, ids; and how much of a store a page looks at."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

import pytest

from flowgen import All, App, Event, Invoke, OnEvent, Run, Sleep
from flowgen.errors import DefinitionError, InvalidInput, RunFailed
from flowgen.runtime import Engine, open_engine
from flowgen.runtime import listing as listing_module
from flowgen.runtime.paging import Pages
from flowgen.runtime.search import LOOKED_AT, Sieve

app = App("shop")

MUCH = 990_099
"""A total that is in no id by chance."""


def charge(total: float) -> dict[str, Any]:
    if total > 90:
        raise ValueError("Überzogen: no money left")
    return {"receipt": f"R-{total:g}", "paid": True}


@app.workflow(on=OnEvent("order/placed"), retries=0)
def fulfil(ctx: Any) -> Any:
    paid = yield Run("charge", charge, ctx.event.data["total"])
    return paid


@app.workflow
def nap(ctx: Any) -> Any:
    yield Sleep("nap", "1h")


@asynccontextmanager
async def shop(totals: list[int]) -> AsyncIterator[tuple[Engine, list[str]]]:
    """An engine with a finished run for each total, oldest first."""
    async with open_engine(app, "memory://") as engine:
        runs = []
        for total in totals:
            (event,) = await engine.send(Event("order/placed", {"total": total, "who": {"name": f"Ann{total}"}}))
            runs += await engine.started(event)
        for run in runs:
            with suppress(RunFailed):
                await engine.result(run)
        yield engine, runs


@pytest.mark.parametrize(
    "search, found",
    [
        ("ann7", [7]),
        ("ANN", [MUCH, 8, 7]),
        ("r-8", [8]),
        ("receipt paid", [8, 7]),
        ("überzogen", [MUCH]),
        ("ValueError", [MUCH]),
        (f"order/placed {MUCH}", [MUCH]),
        ("fulfil shop ann8", [8]),
        ("true", [8, 7]),
        ("ann7 ann8", []),
        ("nowhere", []),
        ("%", []),
        ("", [MUCH, 8, 7]),
    ],
)
async def test_words(search: str, found: list[int]) -> None:
    """All must occur somewhere in ids, names, event, result or error, in any case."""
    async with shop([7, 8, MUCH]) as (engine, _):
        page = await engine.runs(search=search)
        assert [run.event.data["total"] for run in page.items] == found
        assert page.cursor is None


@pytest.mark.parametrize(
    "where, found",
    [
        ("event.data.total > 7", [99, 8]),
        ("run.status == 'failed'", [99]),
        ("run.result.paid", [8, 7]),
        ("event.data.who.name.startsWith('Ann') && run.status == 'completed'", [8, 7]),
        ("run.error.message.contains('money')", [99]),
        ("timestamp(run.created_at) < timestamp('2000-01-01T00:00:00Z')", []),
        ("run.nothing == 1", []),
        ("event.data.total", []),
    ],
)
async def test_conditions(where: str, found: list[int]) -> None:
    """A run on which the condition fails, or is neither true nor false, is not meant."""
    async with shop([7, 8, 99]) as (engine, _):
        page = await engine.runs(where=where)
        assert [run.event.data["total"] for run in page.items] == found


async def test_a_search_and_a_condition_and_a_state_must_all_hold() -> None:
    """Each narrows the others down."""
    async with shop([7, 8, 99]) as (engine, _):
        page = await engine.runs(search="ann", where="event.data.total < 90", status="completed", workflow="fulfil")
        assert [run.event.data["total"] for run in page.items] == [8, 7]
        assert not (await engine.runs(search="ann", status="failed", where="event.data.total < 90")).items


async def test_times_of_creation() -> None:
    """From `after` on, and before `before`."""
    async with shop([1, 2, 3]) as (engine, runs):
        created = [(await engine.run(run)).created_at for run in runs]
        page = await engine.runs(after=created[1])
        assert [run.id for run in page.items] == [runs[2], runs[1]]
        page = await engine.runs(before=created[1])
        assert [run.id for run in page.items] == [runs[0]]
        with pytest.raises(InvalidInput, match="swap after and before"):
            await engine.runs(before=created[0], after=created[1])
        with pytest.raises(DefinitionError, match="has no time zone"):
            await engine.runs(before=created[0].replace(tzinfo=None))


async def test_an_id_finds_its_runs_at_once_however_old_they_are() -> None:
    """That of a run, or of the event that started it, as far as the other filters let it."""
    async with shop([1, 2, 3]) as (engine, runs):
        oldest = await engine.run(runs[0])
        for id in (oldest.id, oldest.event.id, f"  {oldest.id} "):
            assert [run.id for run in (await engine.runs(search=id, limit=1)).items] == [oldest.id]
        assert not (await engine.runs(search=oldest.id, status="failed")).items
        assert not (await engine.runs(search=oldest.id, where="event.data.total > 1")).items
        later = oldest.created_at + timedelta(microseconds=1)
        assert not (await engine.runs(search=oldest.id, after=later)).items


async def test_a_page_of_a_search_looks_at_a_bounded_number_of_runs() -> None:
    """It may be empty, and its cursor goes on where it stopped."""
    async with shop([99] + [1] * (LOOKED_AT + 9)) as (engine, runs):
        page = await engine.runs(search="überzogen")
        assert not page.items
        assert page.cursor is not None
        page = await engine.runs(search="überzogen", cursor=page.cursor)
        assert [run.id for run in page.items] == [runs[0]]
        assert page.cursor is None


async def test_a_state_that_the_store_does_not_know_passes_a_bounded_number_of_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So a page of running runs among many that wait is soon there, if not full."""
    monkeypatch.setattr(listing_module, "PASSED", 4)
    async with open_engine(app, "memory://") as engine:
        for _ in range(9):
            await engine.start(nap)
        while any(run.status != "waiting" for run in (await engine.runs()).items):
            await engine.store.wait_changed(0.05)
        pages = [page async for page in Pages(lambda cursor: engine.runs(status="running", limit=2, cursor=cursor))]
        assert [page.items for page in pages] == [()] * 3


@pytest.mark.parametrize(
    "options, message",
    [
        ({"search": "x" * 501}, "a search of 501 characters"),
        ({"search": "x " * 21}, "a search for 21 words"),
        ({"where": "event.data."}, "where: 'event.data.': .*line 1, column"),
        ({"where": "async.data"}, "its variables are: run, event"),
        ({"where": "x" * 10_001}, "an expression has at most"),
        ({"event": "e", "search": "x"}, "the runs of an event are all there are"),
        ({"event": "e", "where": "true"}, "the runs of an event are all there are"),
    ],
    ids=str,
)
async def test_what_is_refused(options: dict[str, Any], message: str) -> None:
    """Before anything is looked at, with what is wrong and where."""
    async with open_engine(app, "memory://") as engine:
        with pytest.raises((InvalidInput, DefinitionError), match=message):
            await engine.runs(**options)


async def test_a_condition_that_would_take_long_is_not_evaluated() -> None:
    """A run whose data make it dear is not found, and the others are."""
    hostile = "event.data.list.all(x, event.data.list.all(y, event.data.list.all(z, x + y + z >= 0)))"
    async with open_engine(app, "memory://") as engine:
        for size in (500, 3):
            await engine.send(Event("order/placed", {"total": size, "list": [1] * size}))
        page = await engine.runs(where=hostile)
        assert [run.event.data["total"] for run in page.items] == [3]


def test_no_search_and_no_condition_is_no_sieve() -> None:
    """So a list without them costs nothing more."""
    assert Sieve.made(None, None) is None
    assert Sieve.made("  ", None) is None


async def test_children() -> None:
    """The runs that a run invoked, a page of them."""
    family = App("family")

    @family.workflow
    def child(ctx: Any) -> Any:
        yield Run("charge", charge, 1)

    @family.workflow
    def parent(ctx: Any) -> Any:
        yield All(*[Invoke(f"call {number}", child, {"n": number}) for number in range(3)])

    async with open_engine(family, "memory://") as engine:
        run = await engine.start(parent)
        await engine.result(run)
        page = await engine.children(run)
        assert sorted(info.event.data["n"] for info in page.items) == [0, 1, 2]
        assert {info.parent_id for info in page.items} == {run}
        assert not (await engine.children(page.items[0].id)).items
