"""`why`: what an open run is waiting for, flow control included. In virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio

from flowgen import (
    App,
    Batch,
    Concurrency,
    Context,
    Debounce,
    Event,
    Invoke,
    OnCron,
    OnEvent,
    RateLimit,
    Run,
    Singleton,
    Sleep,
    Steps,
    Throttle,
    Timeouts,
)
from flowgen.errors import NotFound
from flowgen.runtime import Engine
from tests.runtime.operations import Data, only, play, sleeper


def told(app: App, *, after: float = 1, count: int = 2, events: list[Event[Any]] | None = None) -> list[str]:
    """What `why` says of the runs that some events have started, the oldest first, without their names."""
    said: list[str] = []

    async def scenario(engine: Engine) -> None:
        for event in events or [Event("go", {"n": n}) for n in range(count)]:
            await engine.send(event)
            await trio.sleep(0.01)
        await trio.sleep(after)
        for run in reversed((await engine.runs()).items):
            said.append((await engine.why(run.id)).removeprefix(f"run {run.id} of {run.workflow_id} is "))

    play(app, scenario)
    return said


def test_why_a_run_is_throttled() -> None:
    """Until when, and by what."""
    sleeping, throttled = told(sleeper(throttle=Throttle(1, per="1m")))
    assert sleeping.startswith("sleeping at step 's' until 2026-01-01T00:05:00")
    assert throttled == ("scheduled: throttled until 2026-01-01T00:01:00+00:00 (in 58s) (Throttle(1, per='1m'))")


def test_why_a_run_was_skipped() -> None:
    """The terminal reason names the policy, and the run that was there before."""
    (_, limited) = told(sleeper(rate_limit=RateLimit(1, per="1h")))
    assert limited == "skipped: the rate limit is used up: RateLimit(1, per='1h')"
    (_, single) = told(sleeper(singleton=Singleton()))
    assert single.startswith("skipped: run ")
    assert single.endswith(" is open (singleton)")


def test_why_a_run_collects() -> None:
    """Until when, and how many events it has."""
    (debounced,) = told(sleeper(debounce=Debounce("5m")), count=3)
    assert debounced == "collecting until 2026-01-01T00:05:00+00:00 (in 4m58s) (3 events so far; Debounce('5m'))"
    (batched,) = told(sleeper(batch=Batch(9, wait="5m")), count=1)
    assert batched == "collecting until 2026-01-01T00:05:00+00:00 (in 4m58s) (1 event so far; Batch(9, wait='5m'))"


def test_why_a_run_waits_for_a_batch() -> None:
    """It names the run that has taken in what it invoked, not the one that there would have been."""
    app = sleeper(batch=Batch(9, wait="5m"))

    @app.workflow
    def parent(ctx: Context[Data]) -> Steps[None]:
        yield Invoke("child", "w")

    async def scenario(engine: Engine) -> None:
        run = await engine.start("parent")
        await trio.sleep(1)
        assert await engine.why(run) == (
            f"run {run} of parent is waiting at step 'child' for run {await only(engine, 'w')} of t/w"
        )

    play(app, scenario)


def test_a_run_that_is_cancelled_before_it_begins_has_not_started() -> None:
    """Its history says what became of it; a time of its start would be a lie."""

    async def scenario(engine: Engine) -> None:
        for n in range(2):
            await engine.send(Event("go", {"n": n}))
        await trio.sleep(1)
        throttled, begun = (await engine.runs()).items
        for run in (throttled, begun):
            await engine.cancel(run.id)
        await trio.sleep(1)
        assert (await engine.run(throttled.id)).started_at is None
        assert (await engine.run(throttled.id)).status == "cancelled"
        assert (await engine.run(begun.id)).started_at is not None

    play(sleeper(throttle=Throttle(1, per="1m")), scenario)


def test_a_run_that_collects_shows_its_events() -> None:
    """It has no events of its own yet: those in its mailbox are shown."""

    async def scenario(engine: Engine) -> None:
        for n in range(3):
            await engine.send(Event("go", {"n": n}))
        run = await engine.run(await only(engine, "w"))
        assert run.status == "collecting"
        assert [event.data["n"] for event in run.events] == [0, 1, 2]
        await engine.cancel(run.id)
        await trio.sleep(1)
        ended = await engine.run(run.id)
        assert ended.status == "cancelled"
        assert [event.data["n"] for event in ended.events] == [0, 1, 2]

    play(sleeper(batch=Batch(9, wait="5m")), scenario)


def test_why_a_run_waits_for_the_one_that_it_replaces() -> None:
    """By name: that run is still cleaning up."""
    app = App("t")

    @app.workflow(on=OnEvent("go"), id="w", singleton=Singleton(mode="cancel"))
    def w(ctx: Context[Data]) -> Steps[None]:
        try:
            yield Sleep("s", "5m")
        finally:
            yield Sleep("clean up", "30s")

    first, second = told(app)
    assert first.startswith("being cancelled; meanwhile it is sleeping at step 'clean up' until")
    assert second.startswith("scheduled: it waits for run ")
    assert "to end, whose place it takes (singleton)" in second


def test_why_a_run_is_blocked() -> None:
    """Which slot it waits for, and how many hold it."""
    app = App("t")

    async def busy() -> None:
        await trio.sleep(600)

    @app.workflow(on=OnEvent("go"), id="w", concurrency=Concurrency(1, key="event.data.k"))
    def w(ctx: Context[Data]) -> Steps[None]:
        yield Run("busy", busy)

    first, second = told(app)
    assert first.startswith("running on worker ")
    assert second == (
        "blocked: it waits for concurrency slot 'w#0/null'; the one run that may hold it executes "
        "(Concurrency(1, key='event.data.k'))"
    )


def test_why_names_the_deadline_of_a_run() -> None:
    """Until when it has to have started, or ended."""
    app = sleeper(throttle=Throttle(1, per="1m"), timeouts=Timeouts(start="30s", finish="2h"))
    started, waiting = told(app)
    assert started.endswith(
        "; it is cancelled if it does not end before 2026-01-01T02:00:00+00:00 (in 1h59m58s) (timeouts)"
    )
    assert "it is cancelled if it does not start before 2026-01-01T00:00:30+00:00 (in 28s)" in waiting
    (_, late) = told(app, after=40)
    assert late == "cancelled: it did not start in time (timeouts)"


def test_why_an_event_from_the_future_has_started_nothing() -> None:
    """`why` takes the id of an event, too."""

    async def scenario(engine: Engine) -> None:
        now = (await engine.run(await engine.start("w"))).created_at
        [later] = await engine.send(Event("go", {}, ts=now + timedelta(hours=2)))
        assert await engine.why(later) == (
            f"event {later} (go) is scheduled for 2026-01-01T02:00:00+00:00 (in 2h): it starts its runs then"
        )
        await trio.sleep(3 * 3600)
        assert (await engine.why(later)).startswith(f"event {later} (go) was accepted at 2026-01-01T00:00:0")
        with pytest.raises(NotFound, match="there is no run 'nothing'"):
            await engine.why("nothing")

    play(sleeper(), scenario)


def test_why_a_schedule_waits() -> None:
    """For its next tick."""
    app = App("t")

    @app.workflow(on=OnCron("0 9 * * *"))
    def report(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("s", 1)

    async def scenario(engine: Engine) -> None:
        schedule = (await engine.store.find_keys("t", ["schedule/report/0 9 * * *"]))["schedule/report/0 9 * * *"]
        assert (await engine.why(schedule.holder)).endswith(
            "is a schedule: its next tick is at 2026-01-01T09:00:00+00:00 (in 9h)"
        )

    play(app, scenario)
