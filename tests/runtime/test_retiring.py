"""What an engine that closes leaves behind: its workflows stay in force, but it holds none of them up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio

from flowgen import App, Context, Event, OnEvent, Sleep, Steps
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.store import Store
from flowgen.runtime.stores import MemoryStore, SqliteStore
from flowgen.testing import VirtualClock

MakeStore = Callable[[], Store]


@pytest.fixture(params=["memory", "sqlite"])
def make_store(request: pytest.FixtureRequest, tmp_path: Path) -> MakeStore:
    """The same data each time, of each store that comes with flowgen; its clock stands still."""
    clock = VirtualClock(jumps=False)
    memory = MemoryStore(clock)
    return lambda: memory if request.param == "memory" else SqliteStore(tmp_path / "shop.db", clock=clock)


def shop(*workflows: str) -> App:
    """An app whose workflows start with the event `go`, and end."""
    app = App("shop")
    for name in workflows:

        @app.workflow(id=name, on=OnEvent("go"))
        def work(ctx: Context) -> Steps[None]:
            yield Sleep("a moment", "1us")

    return app


async def in_force(engine: Engine) -> list[str]:
    """The ids of the workflows that events start."""
    return [workflow.id for workflow in await engine.workflows()]


async def test_a_workflow_that_was_removed_is_withdrawn_by_the_next_engine(make_store: MakeStore) -> None:
    """At once, since the engine that offered it has said that it goes; events start no run of it any more."""
    async with open_engine(shop("kept", "removed"), make_store()):
        pass
    async with open_engine(shop("kept"), make_store()) as engine:
        assert await in_force(engine) == ["kept"]
        (event,) = await engine.send(Event("go"))
        assert len(await engine.started(event)) == 1


async def test_while_no_engine_is_open_workflows_stay(make_store: MakeStore) -> None:
    """A client without a worker starts their runs; the next engine with them takes these up."""
    async with open_engine(shop("kept", "removed"), make_store()):
        pass
    async with open_engine((), make_store(), work=False) as client:
        assert await in_force(client) == ["kept", "removed"]
        (event,) = await client.send(Event("go"))
        runs = await client.started(event)
        assert len(runs) == 2


async def test_what_another_engine_offers_stays(make_store: MakeStore) -> None:
    """One of two that offer a workflow closes, and a third opens without it: the second counts."""
    async with open_engine(shop("kept", "removed"), make_store()):
        async with open_engine(shop("kept", "removed"), make_store()):
            pass
        async with open_engine(shop("kept"), make_store()) as engine:
            assert await in_force(engine) == ["kept", "removed"]


async def test_an_engine_that_is_cancelled_has_not_said_that_it_goes(make_store: MakeStore) -> None:
    """It counts as any that died: until a minute has passed, its workflows are not withdrawn."""
    with trio.CancelScope() as scope:
        async with open_engine(shop("kept", "removed"), make_store()):
            scope.cancel()
            await trio.sleep_forever()
    async with open_engine(shop("kept"), make_store()) as engine:
        assert await in_force(engine) == ["kept", "removed"]
