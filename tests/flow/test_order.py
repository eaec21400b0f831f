"""Runs that one commit creates are claimed in its order: the events of a list, the children of an `All`.

Where nothing else decides (a priority, a time), who was asked for first goes first.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import All, App, Context, Event, Invoke, OnEvent, Run, SendEvent, Steps
from flowgen.flow_control import Concurrency
from flowgen.runs import RunRow
from flowgen.runtime import open_engine
from flowgen.testing import simulate
from flowgen.transition import NewRun, in_order
from tests.flow.scenes import SEEDS, at


class Line:
    """An app in which one run at a time does its work, and the order in which they did. `burst` sends a list of
    events, and `family` invokes a list of children."""

    def __init__(self, limit: int = 1) -> None:
        self.app = App("line")
        self.done: list[int] = []
        self.expected = 0
        self.all = trio.Event()

        @self.app.workflow(on=OnEvent("go"), concurrency=Concurrency(limit))
        def work(ctx: Context) -> Steps[None]:
            yield Run("work", self._do, ctx.event.data["n"])

        @self.app.workflow(on=OnEvent("burst"))
        def burst(ctx: Context) -> Steps[None]:
            yield SendEvent("all", [Event("go", {"n": n}) for n in ctx.event.data["numbers"]])

        @self.app.workflow(on=OnEvent("family"))
        def family(ctx: Context) -> Steps[None]:
            yield All(*[Invoke(f"child-{n}", work, {"n": n}) for n in ctx.event.data["numbers"]])

    async def _do(self, n: int) -> None:
        self.done.append(n)
        if len(self.done) == self.expected:
            self.all.set()
        await trio.sleep(0.001)


async def sent(line: Line, store: str, lists: list[list[int]], max_runs: int = 1_000) -> None:
    """An engine is given lists of events, one after the other, and ends its runs."""
    line.expected = sum(map(len, lists))
    async with open_engine(line.app, store, max_runs=max_runs) as engine:
        for numbers in lists:
            await engine.send([Event("go", {"n": n}) for n in numbers])
        with trio.fail_after(60):
            await line.all.wait()


@pytest.mark.parametrize("store", ["memory://", "sqlite:///{}/s.db"])
@pytest.mark.parametrize(("limit", "max_runs"), [(1, 1_000), (100, 1)], ids=["slots", "max_runs"])
def test_the_runs_of_a_list_go_in_its_order(store: str, limit: int, max_runs: int, tmp_path: Path) -> None:
    """Whatever they wait for: a slot, or a place in the engine."""
    line = Line(limit)
    trio.run(sent, line, store.format(tmp_path), [list(range(15)), list(range(15, 30))], max_runs)
    assert line.done == list(range(30))


def test_so_they_do_when_they_are_too_many_for_one_commit() -> None:
    """What one commit does not create the next ones do."""
    line = Line()
    trio.run(sent, line, "memory://", [list(range(700))])
    assert line.done == list(range(700))


@settings(max_examples=50)
@given(seed=SEEDS, workers=st.integers(1, 3), sizes=st.lists(st.integers(1, 12), min_size=1, max_size=4))
@pytest.mark.parametrize("event", ["burst", "family"])
def test_of_many_lists_the_first_goes_first(event: str, seed: int, workers: int, sizes: list[int]) -> None:
    """Lists come a millisecond after each other, faster than their runs are done."""
    line, number = Line(), 0
    happens = []
    for index, size in enumerate(sizes):
        happens.append(at(index / 1_000, Event(event, {"numbers": list(range(number, number + size))})))
        number += size
    simulate(line.app, happens, seed=seed, workers=workers)
    assert line.done == list(range(number))


@given(delays=st.lists(st.sampled_from([None, 0, 1, 5_000_000]), max_size=40))
def test_only_what_is_due_at_once_is_put_in_order(delays: list[int | None]) -> None:
    """The last of them is due now, none later; what is due later, or never, stays as it is."""
    now = 1_800_000_000_000_000
    rows = [RunRow("a", str(number), "w", now, 0) for number in range(len(delays))]
    for row, delay in zip(rows, delays, strict=True):
        row.due_at = None if delay is None else now + delay
    assert [new.row for new in in_order(NewRun(row, ()) for row in rows)] == rows
    due = [row.due_at for row, delay in zip(rows, delays, strict=True) if delay == 0]
    assert due == list(range(now - len(due) + 1, now + 1))
    assert all(row.due_at == now + delay for row, delay in zip(rows, delays, strict=True) if delay)
