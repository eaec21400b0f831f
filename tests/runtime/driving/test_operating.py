"""Operating runs of functions elsewhere: cancel, retry, rerun, pause, delete; and the store is in order afterwards."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from flowgen import Event
from flowgen.codec import export_lines, import_runs
from flowgen.runtime import Engine
from flowgen.runtime.checkup import check_up
from flowgen.runtime.driving.caller import AppAway, Reply
from flowgen.runtime.protocol.calls import Call

from .driven import World, ended, finished, start, told
from .fake_app import FakeApp, Function, parallel, run, sleep, wait

HOUR = 3_600


async def take_long() -> str:
    await trio.sleep(600)
    return "long"


def stages(event: Any) -> Any:
    """A step that takes ten minutes, two beside each other, a nap of an hour, a wait, and a step."""
    yield run("long", take_long)
    yield parallel(run("left", take_long), run("right", take_long))
    yield sleep("nap", "1h")
    yield wait("paid", "paid", "10h")
    return (yield run("last", lambda: "done"))


def an_app(body: Any = stages, **options: Any) -> FakeApp:
    app = FakeApp()
    app.functions["fn"] = Function("fn", body, "go", **options)
    return app


def tell(app: FakeApp, story: Callable[[Engine], Awaitable[Any]]) -> Any:
    """Tell a story, and look whether the store is in order when it has been told."""

    async def looked_at(engine: Engine) -> Any:
        answer = await story(engine)
        assert (await check_up(engine.store)).findings == ()
        return answer

    return World(app).run(looked_at)


STAGES = {"at once": 0.0, "called": 60, "in parallel": 900, "napping": 1_800, "waiting": 3 * HOUR}


# -- cancel --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", STAGES.values(), ids=STAGES)
def test_a_run_is_cancelled_at_any_stage(after: float) -> None:
    """It ends at once, and its app is not called for it again."""
    app = an_app()

    async def story(engine: Engine) -> Any:
        id = await start(engine)
        await trio.sleep(after)
        asked = trio.current_time()
        await engine.cancel(id, reason="enough")
        info = await ended(engine, id)
        calls, took = len(app.calls), trio.current_time() - asked
        await trio.sleep(4 * HOUR)
        return info.status, info.reason, took < 60, len(app.calls) - calls

    assert tell(app, story) == ("cancelled", "enough", True, 0)


def test_a_run_of_an_app_that_is_away_is_cancelled() -> None:
    """It does not wait for the app."""
    app = an_app()

    async def away(target: str, call: Call) -> Reply | None:
        raise AppAway("nobody is there")

    app.before = away

    async def story(engine: Engine) -> str:
        id = await start(engine)
        await trio.sleep(2 * HOUR)
        await engine.cancel(id)
        status: str = (await ended(engine, id, days=0.01)).status
        return status

    assert tell(app, story) == "cancelled"


def test_many_are_cancelled_together() -> None:
    """Whatever stage they are at; those that have ended are left alone."""
    app = an_app()

    async def story(engine: Engine) -> Any:
        runs = []
        for _ in range(8):
            runs.append(await start(engine))
            await trio.sleep(900)
        await engine.send([Event("paid", {})])
        await trio.sleep(HOUR)
        done = [id for id in runs if (await engine.run(id)).status == "completed"]
        result = await engine.cancel_all(workflow="there/fn", dry_run=False)
        statuses = {(await ended(engine, id)).status for id in runs if id not in done}
        return bool(done), result.done == len(runs) - len(done), statuses

    assert tell(app, story) == (True, True, {"cancelled"})


# -- retry and rerun -----------------------------------------------------------------------------------


def failing(times: int) -> Any:
    """A body whose last step fails so many times."""
    left = [times]

    def flaky() -> str:
        if left[0] > 0:
            left[0] -= 1
            raise ValueError("flaky")
        return "done"

    def body(event: Any) -> Any:
        first = yield run("first", lambda: event["data"].get("n", 1))
        yield sleep("nap", "1m")
        second = yield run("second", lambda: first + 1)
        last = yield run("last", flaky)
        return [first, second, last]

    return body


def test_a_failed_run_is_retried_from_where_it_failed() -> None:
    """What has ended is not executed again."""
    app = an_app(failing(2), retries=1)

    async def story(engine: Engine) -> Any:
        id = await start(engine)
        failed = (await ended(engine, id)).status
        await engine.retry(id)
        while (await engine.run(id)).status == "failed":
            await engine.store.wait_changed(60)
        return failed, await finished(engine, id)

    assert tell(app, story) == ("failed", [1, 2, "done"])
    assert app.executed == ["first", "second", "last", "last", "last"]


def test_a_run_is_run_anew_from_a_step_with_other_results() -> None:
    """And with another event, as a whole."""
    app = an_app(failing(0))

    async def story(engine: Engine) -> Any:
        id = await start(engine)
        whole = await finished(engine, id)
        edited = await engine.rerun(id, from_step="second", results={"first": 41})
        anew = await engine.rerun(id, event=Event("go", {"n": 7}))
        return whole, await finished(engine, edited), await finished(engine, anew)

    assert tell(app, story) == ([1, 2, "done"], [41, 42, "done"], [7, 8, "done"])
    assert app.executed.count("first") == 2


# -- pause ---------------------------------------------------------------------------------------------


def test_a_paused_function_is_not_called() -> None:
    """Runs that wait go on when it is resumed; what its app says of itself meanwhile changes nothing of that."""
    app = an_app(failing(0))

    async def story(engine: Engine) -> Any:
        first = await start(engine)
        await trio.sleep(30)
        await engine.pause("there/fn")
        second = await start(engine)
        await trio.sleep(HOUR)
        await engine.offer(app.registered("2"))
        await trio.sleep(HOUR)
        executed = list(app.executed)
        await engine.resume("there/fn")
        return executed, await finished(engine, first), await finished(engine, second)

    executed, first, second = tell(app, story)
    assert executed == ["first"]
    assert first == second == [1, 2, "done"]


# -- what is kept --------------------------------------------------------------------------------------


def test_runs_that_have_ended_are_deleted_and_others_are_not() -> None:
    """Nothing of an app elsewhere is in the way of that."""
    app = an_app(failing(0))
    app.functions["other"] = Function("other", stages, "other")

    async def story(engine: Engine) -> Any:
        done, open_ = await start(engine), await start(engine, event="other")
        await finished(engine, done)
        await trio.sleep(2 * HOUR)
        deleted = await engine.purge("1h")
        left = [info.id for info in (await engine.runs()).items]
        return deleted > 0, left == [open_]

    assert tell(app, story) == (True, True)


def test_a_run_is_exported_and_read_again() -> None:
    """With all that its history says."""
    app = an_app(failing(1))

    async def story(engine: Engine) -> Any:
        id = await start(engine)
        await finished(engine, id)
        loaded = await engine.load(id)
        (read,) = import_runs(export_lines(loaded.row, loaded.events, loaded.records))
        return told(list(read.records)), told(await engine.history(id))

    read, history = tell(app, story)
    assert read == history
    assert "last try 1" in history
