"""An engine that dies between any two commits: nothing is lost, and the next one goes on by itself."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from typing import Any

import attrs
import pytest
import trio

from flowgen import Event
from flowgen.errors import StoreError
from flowgen.runtime import Engine
from flowgen.runtime.store import Committed, StoreUnusable
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.transition import Transition

from .driven import World, finished, told
from .fake_app import FakeApp, StepFailure, invoke, parallel, run, sleep, wait


class Mortal:
    """A store as one engine sees it, until that dies: before or after its commit number `last` takes effect."""

    def __init__(self, store: MemoryStore, last: int, before: bool) -> None:
        self._store = store
        self._last = last
        self._before = before
        self.commits = 0
        self.died = trio.Event()

    async def commit(self, transition: Transition) -> Committed:
        self._check()
        self.commits += 1
        if self.commits == self._last and self._before:
            self._die()
        committed = await self._store.commit(transition)
        if self.commits == self._last:
            self._die()
        return committed

    def _die(self) -> None:
        self.died.set()
        raise StoreUnusable("this process is dead")

    def _check(self) -> None:
        if self.died.is_set():
            raise StoreUnusable("this process is dead")

    async def open(self) -> None:
        """It is open."""

    async def close(self) -> None:
        """It stays open for the next."""

    def __getattr__(self, name: str) -> Any:
        if name == "commit_many":  # each commit is a place to die at
            raise AttributeError(name)
        if name == "wait_changed":
            return self._store.wait_changed
        self._check()
        return getattr(self._store, name)


def story_app() -> FakeApp:
    """A function with a step of each kind, a step that fails once, and a parallel group."""
    app = FakeApp()
    tries: list[int] = []

    def flaky() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("not yet")
        return "ok"

    @app.function("fn", "go")
    def fn(event: Any) -> Any:
        a = yield run("a", lambda: 1)
        yield sleep("nap", "1m")
        b = yield run("flaky", flaky)
        group = yield parallel(run("x"), run("y"), wait("w", "word", "1d"), invoke("child", "there-child", {"n": 2}))
        with suppress(StepFailure):
            yield invoke("nobody", "there-nobody")
        last = yield run("last", lambda: "end")
        return [a, b, group[0], group[1], group[2]["data"], group[3], last]

    @app.function("child")
    def child(event: Any) -> Any:
        doubled = yield run("double", lambda: event["data"]["n"] * 2)
        return doubled

    return app


RESULT = [1, "ok", "x", "y", {"n": 5}, 4, "end"]


@attrs.frozen
class Outcome:
    result: Any
    history: list[str]
    executed: list[str]
    commits: int


def play(last: int, before: bool) -> Outcome:
    """The story, with an engine that dies at its commit number `last`, and another one after it."""
    world = World(story_app())
    mortal = Mortal(world.store, last, before)

    async def first_life() -> None:
        async with world.open_on(mortal) as engine, trio.open_nursery() as nursery:
            await engine.offer(world.app.registered())
            nursery.start_soon(_until_dead, mortal, nursery.cancel_scope)
            await finished(engine, await tell(engine))
            nursery.cancel_scope.cancel()

    async def main() -> Outcome:
        await world.store.open()
        try:
            await first_life()
        except* StoreError:
            """It has died."""
        async with world.open() as engine:
            if not await engine.remote_apps():  # it had died before it was told of any
                await engine.offer(world.app.registered())
            run = await tell(engine)
            result = await finished(engine, run)
            return Outcome(result, told(await engine.history(run)), world.app.executed, mortal.commits)

    async def tell(engine: Engine) -> str:
        (event,) = await engine.send([Event("go", {}, id="the-one")])
        await engine.send([Event("word", {"n": 5}, id="the-word")])
        while not (runs := await engine.started(event)):
            await engine.store.wait_changed(60)
        return runs[0]

    return trio.run(main, clock=world.clock)


async def _until_dead(mortal: Mortal, scope: trio.CancelScope) -> None:
    await mortal.died.wait()
    scope.cancel()


@lru_cache
def undisturbed() -> Outcome:
    return play(0, before=True)


def test_a_calm_story_ends() -> None:
    """Each body runs once when nobody dies."""
    calm = undisturbed()
    assert calm.result == RESULT
    assert sorted(calm.executed) == sorted(["a", "flaky", "flaky", "x", "y", "double", "last"])


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
@pytest.mark.parametrize("last", range(1, 22))
def test_an_engine_that_dies_loses_nothing(last: int, before: bool) -> None:
    """Whatever commit it dies at: the run ends as it does undisturbed, with each outcome once."""
    outcome = play(last, before)
    assert outcome.result == RESULT
    outcomes = [line for line in outcome.history if " = " in line]
    assert sorted(outcomes) == sorted(line for line in undisturbed().history if " = " in line)
    assert all(outcome.executed.count(step) <= 2 + (step == "flaky") for step in outcome.executed)
