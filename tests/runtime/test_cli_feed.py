"""The feed: what an engine commits and logs, as printed lines."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from flowgen import App, Context, Event, OnEvent, Sleep, Steps
from flowgen.events import AcceptedEvent
from flowgen.history import EndFailed
from flowgen.ids import new_id
from flowgen.outcome import NULL, Failure
from flowgen.runs import RunRow
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.cli import feed as feed_module
from flowgen.runtime.cli.faults import ReaderGone
from flowgen.runtime.cli.feed import Feed, FeedHandler
from flowgen.runtime.cli.output import short_id
from flowgen.runtime.store import Committed
from flowgen.transition import NewRun, Progress, Transition

Data = dict[str, Any]
AT = 1_800_000_000_000_000
ID = new_id(AT, bytes(10))


@asynccontextmanager
async def feeding(
    app: App | None = None, write: Any = None, colours: bool = False
) -> AsyncIterator[tuple[Engine, Feed, list[str]]]:
    """An engine (a client if there is no app) with a feed, and what the feed has written."""
    written: list[str] = []
    with trio.fail_after(50):
        async with open_engine(app or (), "memory://", work=app is not None, grace="0s") as engine:
            feed = Feed(engine, write or written.append, width=5, colours=colours, payloads=False)
            engine.watch(feed.committed)
            yield engine, feed, written


def lines(written: list[str]) -> list[str]:
    """What was written without the times."""
    return [re.sub(r"^\d\d:\d\d:\d\d\.\d\d\d  ", "", line) for text in written for line in text.splitlines()]


async def test_a_run_is_told_from_its_event_to_its_end() -> None:
    """One line each, in the order of the commits."""
    app = App("shop")

    @app.workflow(on=OnEvent("order/placed"), id="nap")
    def nap(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("no time", 0)

    async with feeding(app) as (engine, feed, written):
        await engine.send(Event("order/placed"))
        (run,) = (await engine.runs()).items
        await engine.result(run.id)
        await feed.close()
    short = short_id(run.id)
    assert [re.sub(r"after \d+ms", "after", line) for line in lines(written)] == [
        "               event       order/placed",
        f"{short}  nap    started     by order/placed; run {run.id}",
        f"{short}  nap    sleeps      no time: for 0ms",
        f"{short}  nap    wakes       no time",
        f"{short}  nap    completed   after",
    ]


async def test_a_run_that_nothing_is_known_of_is_looked_up() -> None:
    """A run that ends without its code is driven by nobody here: the store knows its workflow."""
    async with feeding() as (engine, feed, written):
        row = RunRow("shop", ID, "pay", AT, 1)
        event = AcceptedEvent("e", "order/placed", NULL, AT, AT)
        await engine.store.commit(Transition("e", create=(NewRun(row, (event,)),), accept=(event,)))
        end = EndFailed(AT, Failure("WorkerLost", "they died"))
        feed.committed(Transition("t", Progress("shop", ID, 1, 0, (end,))), Committed(AT))
        feed.committed(Transition("t", Progress("shop", "unknown", 1, 0, (end,))), Committed(AT))
        await feed.close()
    assert lines(written) == [
        f"{ID[-6:]}  pay    failed      WorkerLost: they died",
        "unknown         failed      WorkerLost: they died",
    ]


async def test_an_event_of_somebody_else_is_told_once_when_it_is_routed() -> None:
    """Also if it was told before, or is routed twice; one that is gone is not told."""
    async with feeding() as (engine, feed, written):
        event = AcceptedEvent("e", "order/placed", NULL, AT, AT)
        await engine.store.commit(Transition("e", accept=(event,)))
        feed.committed(Transition("r", routed=("e", "gone")), Committed(AT))
        feed.committed(Transition("r", routed=("e",)), Committed(AT))
        feed.committed(Transition("a", accept=(AcceptedEvent("f", "order/paid", NULL, AT, AT),)), Committed(AT))
        feed.committed(Transition("r", routed=("f",)), Committed(AT))
        await feed.close()
    assert [line.split()[-1] for line in lines(written)] == ["order/placed", "order/paid"]


async def test_what_comes_too_fast_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is bounded: a slow reader costs lines, not memory."""
    monkeypatch.setattr(feed_module, "QUEUE", 3)
    async with feeding() as (_, feed, written):
        for number in range(5):
            feed.say(f"line {number}")
        await feed.close()
        feed.say("next")
        await feed.close()
    assert lines(written) == [
        "line 0",
        "line 1",
        "line 2",
        "… not shown, because it came faster than it could be printed: 2 commits",
        "next",
    ]


async def test_log_lines_are_part_of_the_feed() -> None:
    """With run and workflow where they are known, from any thread; each line without control characters."""
    async with feeding() as (_, feed, written):
        handler = FeedHandler(feed)
        record = logging.LogRecord("flowgen.run", logging.INFO, "", 0, "hello\n  \x1b[31mred", (), None)
        record.flowgen = {"run": ID, "workflow": "pay"}
        handler.emit(record)
        await trio.to_thread.run_sync(
            handler.emit, logging.LogRecord("flowgen", logging.WARNING, "", 0, "slow %s", ("disk",), None)
        )
        await trio.testing.wait_all_tasks_blocked()
        await feed.close()
    assert lines(written) == [
        f"{ID[-6:]}  pay    info        hello",
        "                \\x1b[31mred",
        "               warning     slow disk",
    ]
    handler.emit(record)  # after the end: nobody is left to hear it, and nothing is raised


async def test_colours_say_what_is_good_and_bad() -> None:
    """Only the words of the feed itself are coloured."""
    async with feeding(colours=True) as (_, feed, written):
        end = EndFailed(AT, Failure("Error", "\x1b[32mno"))
        feed.committed(Transition("t", Progress("shop", ID, 1, 0, (end,))), Committed(AT))
        await feed.close()
    (line,) = lines(written)
    assert "\x1b[31mfailed    \x1b[0m" in line
    assert line.endswith("Error: \\x1b[32mno")


async def test_a_reader_that_takes_nothing_is_not_waited_for(autojump_clock: object) -> None:
    """`close` gives up after a while."""
    never = trio.Event()
    token = trio.lowlevel.current_trio_token()

    def stuck(_: str) -> None:
        trio.from_thread.run(never.wait, trio_token=token)

    async with feeding(write=stuck) as (_, feed, _written):
        feed.say("a line")
        began = trio.current_time()
        await feed.close()
        assert 0 < trio.current_time() - began < 10
        never.set()


async def test_a_reader_that_has_gone_ends_the_feed() -> None:
    """So that the process can end."""

    def gone(_: str) -> None:
        raise ReaderGone

    async with feeding(write=gone) as (_, feed, _written):
        feed.say("a line")
        with pytest.raises(ReaderGone):
            await feed.run()
