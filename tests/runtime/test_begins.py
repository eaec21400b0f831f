"""A run that waits begins in the commit that claims it, on a store that can do that; on others with one of its own."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import trio

from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.flow_control import CancelOn, Timeouts
from flowgen.history import Record, Started
from flowgen.runtime import open_engine
from flowgen.runtime.store import Begins, Committed
from flowgen.runtime.stores import MemoryStore
from flowgen.transition import Transition


class Counted(MemoryStore):
    """Counts the commits of each run that are asked for by themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: Counter[str] = Counter()

    async def commit(self, transition: Transition) -> Committed:
        if transition.progress is not None:
            self.commits[transition.progress.run] += 1
        return await super().commit(transition)


class Plain:
    """The same store without `claim_and_begin`."""

    def __init__(self, store: Counted) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        if name == "claim_and_begin":
            raise AttributeError(name)
        return getattr(self._store, name)


def apps(**options: Any) -> App:
    """An app with a workflow of one step."""
    app = App("begins")

    @app.workflow(on=OnEvent("go"), **options)
    def work(ctx: Context) -> Steps[str]:
        return (yield from Run("one", body))

    return app


async def body() -> str:
    return "done"


async def driven(app: App, store: Any) -> tuple[str, list[Record]]:
    """A run that had to wait for another is driven to its end; its id, and the records of which the engine was told."""
    told: dict[str, list[Record]] = {}

    def note(transition: Transition, _: Committed) -> None:
        if transition.progress is not None:
            told.setdefault(transition.progress.run, []).extend(transition.progress.records)

    with trio.fail_after(30):
        async with open_engine(app, store, max_runs=1) as engine:
            engine.watch(note)
            _, second = await engine.send([Event("go", {}), Event("go", {})])
            (run,) = await engine.started(second)
            assert await engine.result(run) == "done"
            assert told[run] == await engine.history(run)
            assert (await engine.run(run)).started_at is not None
    return run, told[run]


async def test_it_costs_no_commit_of_its_own() -> None:
    """What comes of its step, and its end, are the first that its drive commits."""
    store = Counted()
    assert isinstance(store, Begins)
    run, _ = await driven(apps(), store)
    assert store.commits[run] == 1


async def test_a_store_that_cannot_do_that_is_asked_as_ever() -> None:
    """Then the drive writes down that it began."""
    store = Counted()
    run, _ = await driven(apps(), Plain(store))
    assert store.commits[run] == 2


@pytest.mark.parametrize("options", [{"cancel_on": CancelOn("stop")}, {"cancel_on": [CancelOn("a"), CancelOn("b")]}])
async def test_what_has_to_be_looked_up_is_looked_up_before(options: dict[str, Any]) -> None:
    """An event that cancels it may have come before its waits were opened."""
    store = Counted()
    run, _ = await driven(apps(**options), store)
    assert store.commits[run] == 2


async def test_one_whose_time_is_limited_begins_when_its_worker_comes_to_it() -> None:
    """Until then its time does not run."""
    store = Counted()
    run, _ = await driven(apps(timeouts=Timeouts(finish="1h")), store)
    assert store.commits[run] == 2


async def test_a_watcher_that_raises_costs_no_other_run(caplog: pytest.LogCaptureFixture) -> None:
    """The engine goes on."""
    app = apps()

    def fail(transition: Transition, _: Committed) -> None:
        if transition.progress is not None and any(isinstance(each, Started) for each in transition.progress.records):
            fail.__dict__.setdefault("runs", []).append(transition.progress.run)
            if len(fail.__dict__["runs"]) == 1:
                raise ValueError("planned by this test")

    with trio.fail_after(30):
        async with open_engine(app, Counted(), max_runs=1) as engine:
            *_, third = await engine.send([Event("go", {}) for _ in range(3)])
            engine.watch(fail)
            (run,) = await engine.started(third)
            assert await engine.result(run) == "done"
    assert "planned by this test" in caplog.text


async def test_what_fails_as_it_begins_is_claimed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """It concerns no other run, and its own drive meets it again."""

    def fail(*_: Any) -> None:
        raise ValueError("planned by this test")

    monkeypatch.setattr("flowgen.runtime.entrance.at_once", fail)
    store = Counted()
    run, _ = await driven(apps(), store)
    assert store.commits[run] == 2
