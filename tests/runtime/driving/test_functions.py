"""Apps that are elsewhere, as the store keeps them: offered, changed, withdrawn, and found again."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
import trio

from flowgen import App, Context, Run, Steps
from flowgen.codec import decode_definition, encode_definition
from flowgen.errors import InvalidInput
from flowgen.routing import Route
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.driving.functions import app_of, apps_of, remote_app_of, remote_digest
from flowgen.workflow import Definition, Remote, ScheduleDefinition, TriggerDefinition

from .driven import World, finished, start
from .fake_app import FakeApp, run, sleep


def an_app() -> FakeApp:
    app = FakeApp()

    @app.function("fn", "go", retries=2)
    def fn(event: Any) -> Any:
        first = yield run("a", lambda: "a")
        yield sleep("nap", "1h")
        return first

    return app


def test_definitions_of_old_stores_read_as_before() -> None:
    """A definition without an app elsewhere is written as it always was, and one with it reads back."""
    plain = Definition("fn", (TriggerDefinition("go"),))
    assert b"remote" not in bytes(encode_definition(plain))
    assert decode_definition(b'{"id":"fn","triggers":[{"pattern":"go"}]}') == plain
    remote = attrs.evolve(plain, remote=Remote("http://127.0.0.1:1/api", "there-fn", "Fn", 3, sdk="py:v1"))
    assert decode_definition(bytes(encode_definition(remote))) == remote


def test_an_app_is_found_again_in_what_the_store_keeps() -> None:
    """All that it said of itself, its fingerprint too."""
    said = an_app().registered("7")
    definitions = [workflow.definition() for workflow in app_of(said).workflows.values()]
    found = apps_of([Route("there", definition) for definition in definitions])
    assert {name: remote_app_of(app) for name, app in found.items()} == {"there": said}


def test_what_an_app_says_of_itself_stands_for_its_code() -> None:
    """So a parked run is tried again when it says something else."""
    first, again, other = (app_of(an_app().registered(version)).workflows["fn"] for version in ("1", "1", "2"))
    assert remote_digest(first) == remote_digest(again) != remote_digest(other)


def test_an_app_that_says_the_same_again_changes_nothing() -> None:
    """The generation of the registrations stays; another fingerprint is a change."""
    app = an_app()

    async def story(engine: Engine) -> Any:
        before = (await engine.store.registrations()).generation
        same = await engine.offer(app.registered("1"))
        after = (await engine.store.registrations()).generation
        other = await engine.offer(app.registered("2"))
        return same, after - before, other, [each.fingerprint for each in await engine.remote_apps()]

    assert World(app).run(story) == (False, 0, True, ["2"])


def test_a_run_goes_on_with_an_engine_that_was_never_told_of_the_app() -> None:
    """The store keeps what it takes to call it."""
    world = World(an_app())

    async def main() -> Any:
        await world.store.open()
        async with world.open() as engine:
            await engine.offer(world.app.registered())
            run = await start(engine)
            await trio.sleep(60)
        async with world.open() as engine:
            apps = [app.name for app in await engine.remote_apps()]
            return apps, await finished(engine, run)

    assert trio.run(main, clock=world.clock) == (["there"], "a")
    assert world.app.executed == ["a"]


def test_open_runs_of_an_app_that_is_withdrawn_wait_until_it_is_offered_again() -> None:
    """Nothing starts its functions meanwhile."""
    app = an_app()

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        await trio.sleep(60)
        gone = await engine.withdraw("there")
        again = await engine.withdraw("there")
        await trio.sleep(7_200)
        waiting = (await engine.run("there/" + run)).status
        calls = len(app.calls)
        with pytest.raises(ValueError, match="not enough values"):
            await start(engine)  # no run is started
        await engine.offer(app.registered())
        return gone, again, waiting, calls, await finished(engine, run)

    assert World(app).run(story) == (True, False, "waiting", 2, "a")


def test_a_name_is_one_app_s_and_only_an_engine_that_calls_offers() -> None:
    """An app that is written here keeps its name; an engine without calls refuses."""
    here = App("there")

    @here.workflow
    def fn(ctx: Context) -> Steps[None]:
        yield Run("nothing", print)

    app = an_app()
    world = World(app, local=[here])

    async def main() -> None:
        async with world.open() as engine:
            with pytest.raises(InvalidInput, match="is written here"):
                await engine.offer(app.registered())
            assert not await engine.withdraw("there")
        async with open_engine(here, "memory://") as engine:
            assert await engine.remote_apps() == ()
            with pytest.raises(InvalidInput, match="calls="):
                await engine.offer(app.registered())

    trio.run(main, clock=world.clock)


def test_a_function_with_a_schedule_runs_by_it() -> None:
    """Its schedule begins when the app is offered, and ends when the app says no more of it."""
    app = an_app()
    app.functions["fn"].definition = Definition("fn", schedules=(ScheduleDefinition("0 * * * *"),))

    async def story(engine: Engine) -> Any:
        await trio.sleep(2 * 3_600 + 60)
        ran = len(app.executed)
        app.functions["fn"].definition = Definition("fn")
        await engine.offer(app.registered("2"))
        await trio.sleep(3 * 3_600)
        return ran, len(app.executed)

    assert World(app).run(story) == (2, 2)
