"""Retry and rerun: what ended goes on, or begins once more. In virtual time."""

from __future__ import annotations

import pytest
import trio

from flowgen import (
    App,
    CancelOn,
    Concurrency,
    Context,
    Event,
    OnEvent,
    RateLimit,
    Run,
    RunCancelledError,
    RunSkipped,
    Singleton,
    Sleep,
    Steps,
    Throttle,
    Timeouts,
)
from flowgen.errors import WrongState
from flowgen.runtime import Engine
from tests.runtime.operations import Data, Weather, broken, only, play, sleeper


@pytest.fixture(autouse=True)
def bad_weather() -> None:
    Weather.good = False


def test_a_retried_run_takes_its_singleton_key_again() -> None:
    """While it goes on nobody else begins; while another has the key it cannot go on, and the refusal names that."""
    app = App("t")

    @app.workflow(on=OnEvent("go"), singleton=Singleton())
    def w(ctx: Context[Data]) -> Steps[None]:
        yield Run("break", broken)
        yield Sleep("s", "5m")

    async def scenario(engine: Engine) -> None:
        first = await engine.start("w")
        await trio.sleep(1)
        Weather.good = True
        other = await engine.start("w")
        await trio.sleep(1)
        with pytest.raises(WrongState, match=f"run {other} is open, and has its singleton key"):
            await engine.retry(first)
        assert (await engine.retry_all()).refused == 1
        await trio.sleep(2 * 3600)
        await engine.retry(first)
        assert (await engine.store.find_keys("t", ["single/w/"]))["single/w/"].holder == first
        with pytest.raises(RunSkipped, match=f"run {first} is open"):
            await engine.result(await engine.start("w"), timeout="1s")
        await engine.result(first, timeout="2h")
        assert (await engine.store.find_keys("t", ["single/w/"])) == {}

    play(app, scenario)


def test_a_rerun_is_opened_like_any_run() -> None:
    """Singleton skips it, a throttle spreads it; a rate limit and an idempotency key are for events."""

    async def skipped(engine: Engine) -> None:
        run = await engine.start("w")
        again = await engine.rerun(run)
        with pytest.raises(RunSkipped, match=f"run {run} is open"):
            await engine.result(again)

    async def throttled(engine: Engine) -> None:
        run = await engine.start("w")
        again = await engine.rerun(run)
        await trio.sleep(1)
        assert "throttled until" in await engine.why(again)
        await engine.result(again, timeout="2h")

    async def let_in(engine: Engine) -> None:
        await engine.send(Event("go", {}))
        again = await engine.rerun(await only(engine, "w"))
        assert await engine.result(again, timeout="2h") is None

    play(sleeper(singleton=Singleton()), skipped)
    play(sleeper(throttle=Throttle(1, per="1m")), throttled)
    play(sleeper(rate_limit=RateLimit(1, per="1d"), idempotency="event.name"), let_in)


def test_what_cancelled_a_run_does_not_cancel_its_rerun() -> None:
    """Events that cancel it are those from now on."""
    app = sleeper(cancel_on=CancelOn("stop"))

    async def scenario(engine: Engine) -> None:
        await engine.send(Event("go", {}))
        run = await only(engine, "w")
        await engine.send(Event("stop", {}))
        await trio.sleep(1)
        assert (await engine.run(run)).status == "cancelled"
        again, other = await engine.rerun(run), await engine.rerun(run)
        assert await engine.result(again, timeout="2h") is None
        third = await engine.rerun(other)
        await engine.send(Event("stop", {}))
        with pytest.raises(RunCancelledError, match="event stop"):
            await engine.result(third, timeout="1s")

    play(app, scenario)


def test_a_rerun_from_a_step_waits_like_any_run_and_its_time_runs_from_its_start() -> None:
    """It has a history before it starts: throttle and slots delay it all the same."""
    app = App("t")
    journal: list[str] = []

    async def note(what: str) -> str:
        journal.append(what)
        await trio.sleep(10)
        return what

    @app.workflow(
        id="w", throttle=Throttle(1, per="1m"), concurrency=Concurrency(1), timeouts=Timeouts(start="10m", finish="30s")
    )
    def w(ctx: Context[Data]) -> Steps[str]:
        yield Run("a", note, "a")
        return (yield from Run("b", note, "b"))

    async def scenario(engine: Engine) -> None:
        run = await engine.start("w")
        again = await engine.rerun(run, from_step="b") if (await finished(engine, run)) else ""
        assert (await engine.run(again)).status == "scheduled"
        assert (await engine.run(again)).started_at is None
        assert await engine.result(again, timeout="2m") == "b"
        info = await engine.run(again)
        assert info.started_at is not None
        assert (info.started_at - info.created_at).total_seconds() > 30
        assert journal == ["a", "b", "b"]

    play(app, scenario)


async def finished(engine: Engine, run: str) -> bool:
    await engine.result(run)
    return True


def test_a_rerun_from_a_step_that_is_cancelled_before_it_starts() -> None:
    """Its history is kept, and gets a terminal record."""
    app = App("t")

    @app.workflow(id="w", throttle=Throttle(1, per="10m"))
    def w(ctx: Context[Data]) -> Steps[str]:
        yield Run("a", str.upper, "a")
        return (yield from Run("b", str.upper, "b"))

    async def scenario(engine: Engine) -> None:
        run = await engine.start("w")
        await finished(engine, run)
        again = await engine.rerun(run, from_step="b")
        await engine.cancel(again, reason="enough")
        with pytest.raises(RunCancelledError, match="enough"):
            await engine.result(again, timeout="1m")
        kinds = [type(record).__name__ for record in await engine.history(again)]
        assert kinds == ["Started", "StepSucceeded", "CancelAccepted", "EndCancelled"]

    play(app, scenario)
