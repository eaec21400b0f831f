"""Lists are bounded by bytes: pages end early, and whoever goes on has seen all of them, each once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import All, App, Event, Invoke, OnEvent
from flowgen.errors import InvalidInput, RunFailed
from flowgen.runtime import Engine, Page, listing, open_engine
from flowgen.runtime.documents import run_document
from flowgen.runtime.paging import Pages
from flowgen.runtime.stores.memory import queries
from flowgen.values import encode

app = App("large", retries=0)
EVENT = "large/asked"


@app.workflow
def give(ctx: Any) -> Any:
    """Returns a text of so many characters."""
    return "x" * ctx.event.data["size"]
    yield


@app.workflow
def refuse(ctx: Any) -> Any:
    raise ValueError("x" * ctx.event.data["size"])
    yield


@app.workflow
def parent(ctx: Any) -> Any:
    yield All(*[Invoke(f"child-{size}", give, {"size": size}) for size in ctx.event.data["sizes"]])


def listener(number: int) -> None:
    @app.workflow(on=OnEvent(EVENT), id=f"hear-{number}")
    def hear(ctx: Any) -> Any:
        return "x" * ctx.event.data["size"]
        yield


for each in range(4):
    listener(each)

Next = Callable[[str | None], Awaitable[Page[Any]]]


async def pages_of(ask: Next) -> list[tuple[Any, ...]]:
    """All pages of a list."""
    return [page.items async for page in Pages(ask)]


def bytes_of(run: Any) -> int:
    """What is counted of a run: its events, the first of them once more, and what it came to."""
    told = run_document(run)
    data = [len(encode(each["data"], "data")) for each in [*told["events"], told["event"]]]
    if run.error is not None:
        return sum(data) + len(run.error.message) + len(run.error.trace)
    return sum(data) + len(encode(run.result, "a result"))


def check(pages: list[tuple[Any, ...]], room: int, longest: int) -> None:
    """Each page fits or has one run; and no page ends before it must."""
    for page, after in zip(pages, [*pages[1:], ()], strict=True):
        size = sum(map(bytes_of, page))
        assert len(page) <= longest
        assert size <= room or len(page) == 1
        if after:
            assert len(page) == longest or size + bytes_of(after[0]) > room


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 400), max_size=12),
    room=st.integers(1, 1_200),
    limit=st.integers(1, 8),
)
def test_pages_of_runs_are_bounded_by_bytes(sizes: list[int], room: int, limit: int) -> None:
    """Whatever the sizes of results are: all runs are there once, newest first; pages are as full as they may be."""

    async def scenario() -> None:
        async with open_engine(app, "memory://") as engine:
            runs = [await engine.start(give, {"size": size}) for size in sizes]
            for run in runs:
                await engine.result(run)
            pages = await pages_of(lambda cursor: engine.runs(limit=limit, cursor=cursor))
            assert [run.id for page in pages for run in page] == runs[::-1]
            check(pages, room, limit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "PAGE_BYTES", room)
        trio.run(scenario)


async def bounded(monkeypatch: pytest.MonkeyPatch, ask: Next, room: int) -> tuple[list[Any], list[int]]:
    """The same list twice: as a whole, and in pages of so many bytes. Gives its runs and how long the pages are."""
    (whole,) = await pages_of(ask)
    monkeypatch.setattr(listing, "PAGE_BYTES", room)
    pages = await pages_of(ask)
    assert [run.id for page in pages for run in page] == [run.id for run in whole]
    check(pages, room, 500)
    return list(whole), [len(page) for page in pages]


async def test_the_runs_of_an_event_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """They have a cursor, too, which is of no other list."""
    async with open_engine(app, "memory://") as engine:
        (event,) = await engine.send(Event(EVENT, {"size": 100}))
        for run in await engine.started(event):
            await engine.result(run)
        runs, lengths = await bounded(monkeypatch, lambda cursor: engine.runs(event=event, cursor=cursor), 300)
        assert ([run.id for run in runs], lengths) == (await engine.started(event), [2, 2])
        assert (await engine.runs(search=event)).cursor is not None
        found = await pages_of(lambda cursor: engine.runs(search=event, cursor=cursor))
        assert {run.id for page in found for run in page} == {run.id for run in runs}
        for cursor in ("", "1", "[]", '["a"]', '[null, "a", 1]', "\ud800"):
            with pytest.raises(InvalidInput, match="is no cursor of this list"):
                await engine.runs(event=event, cursor=cursor)


async def test_the_children_of_a_run_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the store has them in several pages of its own."""
    async with open_engine(app, "memory://") as engine:
        run = await engine.start(parent, {"sizes": [10, 20, 300, 40, 700, 50]})
        await engine.result(run)
        ask = partial(_children, engine, run)
        whole, lengths = await bounded(monkeypatch, ask, 400)
        assert (len(whole), len(lengths) > 2) == (6, True)
        monkeypatch.setattr(queries, "PAGE", 2)
        pages = await pages_of(ask)
        assert [run.id for page in pages for run in page] == [run.id for run in whole]


async def test_errors_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their messages may be as long as they like."""
    async with open_engine(app, "memory://") as engine:
        for _ in range(3):
            with pytest.raises(RunFailed):
                await engine.result(await engine.start(refuse, {"size": 5_000}))
        _, lengths = await bounded(monkeypatch, lambda cursor: engine.runs(cursor=cursor), 9_000)
        assert lengths == [1, 1, 1]


async def test_pages_of_events_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By bytes to within a few events, and by their number."""
    async with open_engine(app, "memory://") as engine:
        sent = [(await engine.send(Event("nobody", {"text": "x" * 1_000})))[0] for _ in range(40)]
        whole = await engine.events()
        assert ([event.id for event in whole.items], whole.cursor) == (sent[::-1], None)
        assert [len(page) for page in await pages_of(lambda cursor: engine.events(limit=20, cursor=cursor))] == [20, 20]
        monkeypatch.setattr(listing, "PAGE_BYTES", 10_000)
        pages = await pages_of(lambda cursor: engine.events(cursor=cursor))
        assert [event.id for page in pages for event in page] == sent[::-1]
        assert max(map(len, pages)) == 16
        with pytest.raises(InvalidInput, match="limit=501: a page has 1 to 500 events"):
            await engine.events(limit=501)


async def test_what_changes_between_two_looks_is_on_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that is created while a page is cut short neither takes the place of another nor brings it twice."""
    async with open_engine(app, "memory://") as engine:
        runs = [await engine.start(give, {"size": 300}) for _ in range(4)]
        for run in runs:
            await engine.result(run)
        monkeypatch.setattr(listing, "PAGE_BYTES", 700)
        find, looks = engine.store.find_runs, 0

        async def find_runs(*arguments: Any) -> Any:
            nonlocal looks
            looks += 1
            if looks == 2:
                runs.append(await engine.start(give, {"size": 0}))
                await engine.result(runs[-1])
            return await find(*arguments)

        monkeypatch.setattr(engine.store, "find_runs", find_runs)
        pages = await pages_of(partial(_runs, engine))
        assert [run.id for page in pages for run in page] == runs[::-1]


async def _children(engine: Engine, run: str, cursor: str | None) -> Page[Any]:
    return await engine.children(run, cursor=cursor)


async def _runs(engine: Engine, cursor: str | None) -> Page[Any]:
    return await engine.runs(cursor=cursor)
