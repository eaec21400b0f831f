"""Runs that begin together: those that come to a rest need no drive, and all others go on as if they had one."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from flowgen import App, Context, Event, OnEvent, Run, Sleep, Steps, WaitFor
from flowgen.errors import StoreError
from flowgen.runs import RunRow
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import Committed, Conflict, Refused, RunFilter
from flowgen.runtime.stores import MemoryStore
from flowgen.transition import Transition

Data = dict[str, Any]


def _time() -> int:
    """Store time is the loop's, which is virtual."""
    return 1_700_000_000_000_000 + round(trio.current_time() * 1_000_000)


class _Together(MemoryStore):
    """A store that notes how many transitions came together, and may refuse them, or fail."""

    def __init__(self, answer: Refused | StoreError | None = None) -> None:
        super().__init__(_time)
        self.together: list[int] = []
        self.alone: list[str] = []
        self._answer = answer

    async def commit_many(self, transitions: Sequence[Transition]) -> tuple[Committed | Refused, ...]:
        self.together.append(len(transitions))
        if isinstance(self._answer, Refused):
            return (self._answer,) * len(transitions)
        if self._answer is not None:
            raise self._answer
        return await super().commit_many(transitions)

    async def commit(self, transition: Transition) -> Committed:
        if transition.progress is not None:
            self.alone.append(transition.progress.run)
        return await super().commit(transition)


def _app() -> App:
    app = App("begin")

    @app.workflow(on=OnEvent("go"))
    def work(ctx: Context[Data]) -> Steps[int]:
        number = int(ctx.event.data["n"])
        ctx.logger.info("number %d", number)
        match ctx.event.data["first"]:
            case "sleep":
                yield Sleep("nap", "1m")
            case "run":
                return (yield from Run("double", _double, number))
            case "wait":
                yield WaitFor("it", "never", timeout="1m")
            case "raise":
                raise ValueError("no")
        return number * 2

    return app


async def _double(number: int) -> int:
    return number * 2


def _events(*first: str) -> list[Event[Data]]:
    return [Event("go", {"n": n, "first": what}) for n, what in enumerate(first)]


async def _rows(engine: Engine) -> list[RunRow]:
    page = await engine.store.find_runs(RunFilter())
    return sorted(page.items, key=lambda row: row.id)


def _said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What bodies have logged."""
    return sorted(record.getMessage() for record in caplog.records if record.name == "flowgen.run")


def _engine(store: MemoryStore) -> Any:
    return open_engine(_app(), store, environment=Environment(seed=1, threads=False))


async def test_what_comes_to_a_rest_is_committed_together(autojump_clock: MockClock) -> None:
    """Runs that sleep or end do so in one request; they have no owner then, and know when they are due."""
    store = _Together()
    async with _engine(store) as engine:
        await engine.send(_events("sleep", "end", "sleep", "raise"))
        await trio.sleep(0.001)
        assert (store.together, store.alone) == ([4], [])
        rows = await _rows(engine)
        assert {row.stored for row in rows} == {"open", "completed", "failed"}
        assert all(row.owner is None and row.started_at is not None for row in rows)
        assert [row.due_at is None for row in rows if row.open] == [False, False]
        await trio.sleep(61)
        assert {row.stored for row in await _rows(engine)} == {"completed", "failed"}


async def test_what_goes_on_is_driven_from_where_it_is(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A body to start, or a wait that has to look back: the generator is not made a second time."""
    caplog.set_level(logging.INFO, "flowgen.run")
    store = _Together()
    async with _engine(store) as engine:
        ids = [(await engine.started(id))[0] for id in await engine.send(_events("run", "wait", "run", "sleep"))]
        results = [await engine.result(id) for id in ids]
    assert results == [0, 2, 4, 6]
    assert store.together == [1]
    assert _said(caplog) == [f"number {n}" for n in range(4)]


@pytest.mark.parametrize("answer", [Conflict("position"), StoreError("the disk has gone")])
async def test_what_is_not_committed_together_is_so_alone(
    answer: StoreError, autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A refusal, or a store that does not answer, is for a drive to deal with: each run goes on, and says it once."""
    caplog.set_level(logging.INFO, "flowgen.run")
    store = _Together(answer)
    async with _engine(store) as engine:
        ids = [(await engine.started(id))[0] for id in await engine.send(_events("sleep", "end", "raise"))]
        await trio.sleep(0.5)
        assert store.together == [3]
        assert sorted(store.alone) == sorted(ids)
        assert [(await engine.run(id)).status for id in ids] == ["waiting", "completed", "failed"]
    assert _said(caplog) == [f"number {n}" for n in range(3)]


async def test_runs_that_have_begun_are_given_back_when_the_engine_closes(autojump_clock: MockClock) -> None:
    """Though it closes in the very turn in which they were created: nobody waits for their leases to end."""
    store = MemoryStore(_time)
    async with _engine(store) as engine:
        await engine.send(_events("run", "sleep", "wait"))
    async with _engine(store) as engine:
        assert [row.owner for row in await _rows(engine)] == [None] * 3
        began = trio.current_time()
        await trio.sleep(61)
        assert {row.stored for row in await _rows(engine)} == {"completed"}
        assert trio.current_time() - began < 62
