"""The life of an app elsewhere while its runs are under way: it changes, moves, goes, comes back; who hears of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import attrs
import pytest
import trio

from flowgen import App, Context, Run, Steps
from flowgen.flow_control import Concurrency, Policies
from flowgen.runtime import Engine
from flowgen.runtime.driving.caller import AppAway, Headers, Reply
from flowgen.runtime.protocol.registration import RemoteApp
from flowgen.workflow import Definition, TriggerDefinition

from .driven import World, ended, finished, start
from .fake_app import FakeApp, parallel, run, sleep

HOUR = 3_600


def an_app(*functions: str) -> FakeApp:
    """An app with functions of one step before a nap and one after, each started by the event of its name."""
    app = FakeApp()
    for name in functions or ("fn",):

        @app.function(name, f"{name}/go" if functions else "go")
        def body(event: Any, name: str = name) -> Any:
            first = yield run("a", lambda: name)
            yield sleep("nap", "1h")
            second = yield run("b", lambda: name)
            return [first, second]

    return app


def at(app: RemoteApp, port: int) -> RemoteApp:
    """The same app at another port."""

    def moved(url: str) -> str:
        return url.replace(":3000", f":{port}")

    functions = tuple(attrs.evolve(function, url=moved(function.url)) for function in app.functions)
    return attrs.evolve(app, url=moved(app.url), functions=functions, fingerprint=f"at {port}")


def less(app: RemoteApp, gone: str, fingerprint: str = "less") -> RemoteApp:
    """The same app without one of its functions."""
    functions = tuple(function for function in app.functions if function.id != gone)
    return attrs.evolve(app, functions=functions, fingerprint=fingerprint)


def together(world: World, story: Callable[[Engine, Engine], Awaitable[Any]]) -> Any:
    """Tell a story with two engines on one store, neither of which was ever told of an app."""

    async def main() -> Any:
        await world.store.open()
        async with AsyncExitStack() as stack:
            one = await stack.enter_async_context(world.open())
            other = await stack.enter_async_context(world.open())
            return await story(one, other)

    return trio.run(main, clock=world.clock)


async def known(engine: Engine) -> list[tuple[str, list[str], str]]:
    """Which apps an engine offers: name, functions and fingerprint."""
    apps = await engine.remote_apps()
    return [(app.name, sorted(function.id for function in app.functions), app.fingerprint) for app in apps]


# -- who hears of it -----------------------------------------------------------------------------------


def test_an_engine_that_is_open_hears_of_an_app_that_was_offered_to_another() -> None:
    """And drives its runs when the other has gone."""
    world = World(an_app())

    async def main() -> Any:
        await world.store.open()
        async with world.open() as other:
            async with world.open() as one:
                await one.offer(world.app.registered())
                run = await start(one)
                await trio.sleep(60)
                heard = await known(other)
            return heard, await finished(other, run)

    heard, result = trio.run(main, clock=world.clock)
    assert heard == [("there", ["fn"], "1")]
    assert result == ["fn", "fn"]
    assert world.app.executed == ["a", "b"]


def test_what_was_said_last_holds_whichever_engine_it_was_said_to() -> None:
    """A change, its roll-back at the other engine, and the change again."""
    app = an_app("one", "two")

    async def story(one: Engine, other: Engine) -> Any:
        seen = []
        first, second = app.registered("1"), less(app.registered(), "two", "2")
        for engine, said in ((one, first), (other, second), (one, first), (one, second), (other, first)):
            assert await engine.offer(said)
            await trio.sleep(60)
            seen.append((await known(one), await known(other)))
        return seen

    seen = together(World(app), story)
    before, after = [("there", ["one", "two"], "1")], [("there", ["one"], "2")]
    assert seen == [(each, each) for each in (before, after, before, after, before)]


def test_an_app_that_is_withdrawn_is_withdrawn_everywhere() -> None:
    """Whichever engine is told so; and it is there again for all when it is back."""
    app = an_app()

    async def story(one: Engine, other: Engine) -> Any:
        await one.offer(app.registered())
        await trio.sleep(60)
        run = await start(one)
        await trio.sleep(60)
        assert await other.withdraw("there")
        await trio.sleep(2 * HOUR)
        gone = await known(one), await known(other), (await one.run("there/" + run)).status, len(app.executed)
        await one.offer(app.registered())
        return gone, await finished(other, "there/" + run)

    gone, result = together(World(app), story)
    assert gone == ([], [], "waiting", 1)
    assert result == ["fn", "fn"]


def test_an_app_that_is_written_here_is_not_taken_from_here() -> None:
    """What is offered to another engine under its name is none of this one's."""
    here = App("there")

    @here.workflow
    def mine(ctx: Context) -> Steps[str]:
        return (yield Run("here", str, "here"))

    world = World(an_app())

    async def main() -> Any:
        await world.store.open()
        async with world.open() as one:
            world.local = [here]
            async with world.open() as other:
                await one.offer(world.app.registered())
                await trio.sleep(60)
                return await known(other), await finished(other, await other.start(mine))

    assert trio.run(main, clock=world.clock) == ([], "here")


# -- functions come and go -----------------------------------------------------------------------------


def test_open_runs_of_a_function_that_was_removed_wait_until_it_is_back() -> None:
    """Nothing of them is called meanwhile, and nothing is lost; other functions go on."""
    app = an_app("one", "two")

    async def story(engine: Engine) -> Any:
        first, second = await start(engine, event="one/go"), await start(engine, event="two/go")
        await trio.sleep(60)
        await engine.offer(less(app.registered(), "two"))
        other = await finished(engine, first)
        await trio.sleep(30 * HOUR)
        waiting = (await engine.run("there/" + second)).status
        await engine.offer(app.registered())
        return other, waiting, await finished(engine, second)

    assert World(app).run(story) == (["one", "one"], "waiting", ["two", "two"])
    assert sorted(app.executed) == ["a", "a", "b", "b"]


def test_a_run_that_is_under_way_ends_though_its_app_has_changed() -> None:
    """With other triggers and flow control: these hold for runs that begin later."""
    app = an_app()

    async def story(engine: Engine) -> Any:
        first = await start(engine)
        await trio.sleep(60)
        policies = Policies(concurrency=(Concurrency(1),))
        app.functions["fn"].definition = Definition("fn", (TriggerDefinition("other"),), policies)
        await engine.offer(app.registered("2"))
        with pytest.raises(ValueError, match="not enough values"):
            await start(engine)  # nothing is started
        second = await start(engine, event="other")
        return await finished(engine, first), await finished(engine, second)

    assert World(app).run(story) == (["fn", "fn"], ["fn", "fn"])
    assert sorted(app.executed) == ["a", "a", "b", "b"]


# -- places --------------------------------------------------------------------------------------------


@attrs.define(eq=False)
class Place(FakeApp):
    """An app that is reached at one port; whoever calls another one reaches nobody."""

    port: int = 3000
    ports: list[int] = attrs.Factory(list)

    async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
        called = int(url.split(":")[2].split("/")[0])
        self.ports.append(called)
        if called != self.port:
            raise AppAway(f"nobody is at {called}")
        return await FakeApp.send(self, url, headers, body)


@pytest.mark.parametrize("when, late", [(0.5, 0), (60, 0), (60, 3 * HOUR)], ids=["called", "napping", "away"])
def test_runs_follow_an_app_that_has_moved(when: float, late: float) -> None:
    """Those that are in hand, that wait, and whose calls reach nobody meanwhile: the next call goes where it is now."""
    app = Place()

    async def take_long() -> str:
        await trio.sleep(2)
        return "long"

    @app.function("fn", "go", retries=0)
    def fn(event: Any) -> Any:
        yield parallel(run("long", take_long), run("short"))
        yield sleep("nap", "1h")
        return (yield run("b"))

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        await trio.sleep(when)
        app.port = 3001
        await trio.sleep(late)
        await engine.offer(at(app.registered(), 3001))
        moved = len(app.ports)
        return await finished(engine, run), moved

    result, moved = World(app).run(story)
    assert result == "b"
    assert set(app.ports[moved:]) == {3001}
    assert app.executed.count("long") == app.executed.count("b") == 1


def test_two_apps_of_one_name_are_told_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """An app may move; that it moves back and forth is a mistake of whoever has named them."""
    app = an_app()

    async def story(engine: Engine) -> Any:
        for _ in range(3):
            await engine.offer(at(app.registered(), 3001))
            await engine.offer(at(app.registered(), 3002))
        return await ended(engine, await start(engine))

    with caplog.at_level(logging.INFO, "flowgen.apps"):
        assert World(app).run(story).status == "completed"
    said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(said) == 1
    assert "two apps are called there" in said[0]
    assert ":3001" in said[0]
    assert ":3002" in said[0]
