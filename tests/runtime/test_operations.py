"""Operations: pause and resume, bulk verbs, retention, and what `why` says of flow control. In virtual time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
import trio

from flowgen import (
    App,
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Debounce,
    Event,
    Invoke,
    NonRetriableError,
    OnCron,
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
from flowgen.errors import InvalidInput, NotFound, StoreError, WrongState
from flowgen.runtime import Engine, open_engine, start_engine
from flowgen.runtime.bulk import SHOWN
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import PAGE
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock

Data = dict[str, Any]
Scenario = Callable[[Engine], Awaitable[None]]


def play(app: App, scenario: Scenario, store: type[MemoryStore] = MemoryStore, **options: Any) -> None:
    """Run a scenario with an engine whose time passes only when everybody waits. (Long leases: fewer heartbeats.)"""
    clock = VirtualClock()
    kept = {"grace": "0s", "lease": "1h", **options}

    async def main() -> None:
        environment = Environment(seed=1, threads=False)
        async with open_engine(app, store(clock=clock), environment=environment, **kept) as engine:
            await scenario(engine)

    trio.run(main, clock=clock)


async def only(engine: Engine, workflow: str) -> str:
    """The id of the newest run of a workflow."""
    return (await engine.runs(workflow=workflow)).items[0].id


def make_app() -> App:
    app = App("shop")

    @app.workflow(on=OnEvent("order"))
    def order(ctx: Context[Data]) -> Steps[str]:
        yield Sleep("rest", "5m")
        return (yield from Run("say", str.upper, "done"))

    @app.workflow(on=OnEvent("boom"))
    def boom(ctx: Context[Data]) -> Steps[None]:
        yield Run("break", broken)

    return app


class Weather:
    good = False


def broken() -> str:
    if Weather.good:
        return "mended"
    raise NonRetriableError("it rains")


@pytest.fixture(autouse=True)
def bad_weather() -> None:
    Weather.good = False


# -- pause and resume -------------------------------------------------------------------------------


def test_runs_of_a_paused_workflow_wait_and_go_on_when_it_is_resumed() -> None:
    """None begins and none goes on; RunInfo and why say so; resuming needs nothing else."""

    async def scenario(engine: Engine) -> None:
        begun = await engine.start("order")
        await trio.sleep(60)
        await engine.pause("order")
        await engine.send(Event("order", {}))
        fresh = await only(engine, "order")
        await trio.sleep(3 * 3600)
        for run, status in [(begun, "waiting"), (fresh, "scheduled")]:
            info = await engine.run(run)
            assert (info.status, info.reason) == (status, "its workflow is paused")
            assert await engine.why(run) == (
                f"run {run} of order is {status}: its workflow is paused (flowgen workflows resume shop/order)"
            )
        await engine.resume("order")
        assert await engine.result(begun, timeout="1s") == "DONE"
        assert await engine.result(fresh, timeout="2h") == "DONE"
        assert (await engine.run(fresh)).reason is None

    play(make_app(), scenario)


def test_another_engine_hears_of_a_pause_and_of_its_end() -> None:
    """What is paused belongs to the store: a client without a worker pauses the workflows of others."""
    clock = VirtualClock()

    async def main() -> None:
        store = MemoryStore(clock=clock)
        seeded = Environment(seed=1, threads=False)
        async with (
            open_engine(make_app(), store, environment=seeded, grace="0s", lease="1h") as engine,
            open_engine((), store, environment=Environment(seed=2, threads=False), work=False) as client,
        ):
            await client.pause("shop/order")
            await trio.sleep(60)
            run = await engine.start("order")
            await trio.sleep(2 * 3600)
            assert (await client.run(run)).status == "scheduled"
            await client.resume("shop/order")
            await trio.sleep(1)
            assert (await client.run(run)).status == "waiting", "it is begun at once, not when somebody happens to look"

    trio.run(main, clock=clock)


def test_other_workflows_do_not_notice_a_pause() -> None:
    """A pause is for one workflow."""

    async def scenario(engine: Engine) -> None:
        await engine.pause("boom")
        assert await engine.result(await engine.start("order"), timeout="2h") == "DONE"

    play(make_app(), scenario)


def test_a_paused_run_can_be_cancelled() -> None:
    """Nobody may drive it, so it ends without its code, a minute later."""

    async def scenario(engine: Engine) -> None:
        await engine.pause("order")
        run = await engine.start("order")
        await engine.cancel(run, reason="not now")
        with pytest.raises(RunCancelledError, match="not now"):
            await engine.result(run, timeout="5m")

    play(make_app(), scenario)


def test_pausing_an_unknown_workflow_is_refused() -> None:
    """A slip in a name must not look like a success."""

    async def scenario(engine: Engine) -> None:
        with pytest.raises(NotFound, match="'orders'"):
            await engine.pause("orders")
        with pytest.raises(NotFound, match="no workflow 'orders' of app 'shop'"):
            await engine.resume("shop/orders")

    play(make_app(), scenario)


def test_workflows_tell_triggers_policies_and_next_ticks() -> None:
    """Each as its author wrote it; the ticks of a schedule from now on."""
    app = App("shop")

    @app.workflow(
        on=[OnEvent("a/*", where="event.data.n > 1"), OnCron("TZ=Asia/Tokyo 0 9 * * *", jitter="5m", catch_up="none")],
        throttle=Throttle(3, per="1m"),
        concurrency=[Concurrency(2), Concurrency(9, scope="app")],
    )
    def report(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("s", 1)

    async def scenario(engine: Engine) -> None:
        await engine.pause("report")
        (told,) = await engine.workflows()
        assert (told.app, told.id, told.paused) == ("shop", "report", True)
        assert told.triggers == ("a/* where event.data.n > 1",)
        assert told.policies == {
            "concurrency": "Concurrency(2), Concurrency(9, scope='app')",
            "throttle": "Throttle(3, per='1m')",
        }
        (schedule,) = told.schedules
        assert (schedule.jitter, schedule.catch_up) == ("5m", "none")
        assert [at.isoformat() for at in schedule.next] == [f"2026-01-0{day}T00:00:00+00:00" for day in (2, 3, 4)] or [
            at.isoformat() for at in schedule.next
        ] == [f"2026-01-0{day}T00:00:00+00:00" for day in (1, 2, 3)]

    play(app, scenario)


def test_the_blocking_client_has_the_same_verbs() -> None:
    """For scripts and programs without trio."""
    with start_engine(make_app()) as client:
        client.pause("order")
        run = client.start("order")
        assert [w.paused for w in client.workflows() if w.id == "order"] == [True]
        assert client.run(run).reason == "its workflow is paused"
        client.resume("order")
        assert client.cancel_all(workflow="order").done == 1
        assert client.cancel_all(workflow="order", dry_run=False, reason="enough").done == 1
        with pytest.raises(RunCancelledError, match="enough"):
            client.result(run, timeout="5s")
        assert client.rerun_all(status="cancelled").done == 1
        assert client.retry_all().selected == 0
        assert client.purge("0s") == 1


# -- bulk ---------------------------------------------------------------------------------------------


def test_a_bulk_verb_changes_nothing_unless_it_is_told_to() -> None:
    """The dry run, which is the default, counts what would be done and names some of it."""

    async def scenario(engine: Engine) -> None:
        runs = {await engine.start("order") for _ in range(3)}
        await trio.sleep(1)
        dry = await engine.cancel_all(workflow="order")
        assert (dry.dry_run, dry.selected, dry.done, dry.refused, set(dry.runs)) == (True, 3, 3, 0, runs)
        assert {run.status for run in (await engine.runs()).items} == {"waiting"}
        wet = await engine.cancel_all(workflow="order", dry_run=False, reason="flood")
        assert (wet.dry_run, wet.selected, wet.done, set(wet.runs)) == (False, 3, 3, runs)
        await trio.sleep(1)
        assert {(run.status, run.reason) for run in (await engine.runs()).items} == {("cancelled", "flood")}
        assert (await engine.cancel_all(dry_run=False)).selected == 0

    play(make_app(), scenario)


def test_a_bulk_verb_selects_by_workflow_status_and_time() -> None:
    """From `after` on and before `before`, by when runs were created."""

    async def scenario(engine: Engine) -> None:
        for _ in range(3):
            await engine.start("order")
            await engine.start("boom")
            await trio.sleep(3600)
        newest, middle, _ = [run.created_at for run in (await engine.runs(workflow="boom")).items]
        assert (await engine.retry_all(workflow="boom")).selected == 3
        assert (await engine.retry_all(workflow="order")).selected == 0
        assert (await engine.retry_all(after=middle)).selected == 2
        assert (await engine.retry_all(before=middle)).selected == 1
        assert (await engine.retry_all(after=middle, before=newest)).selected == 1
        assert (await engine.rerun_all(status="failed")).selected == 3
        assert (await engine.rerun_all()).selected == 3 + len((await engine.runs(status="completed")).items)

    play(make_app(), scenario)


def test_what_refuses_is_counted_and_told_and_hinders_nothing() -> None:
    """A retry that is refused says why, in a dry run too; the others are retried."""
    app = make_app()

    @app.workflow
    def undone(ctx: Context[Data]) -> Steps[None]:
        try:
            yield Run("charge", broken)
        except Exception:
            yield Run("refund", str.upper, "x")
            raise

    async def scenario(engine: Engine) -> None:
        refuses, fails = await engine.start("undone"), await engine.start("boom")
        await trio.sleep(1)
        for dry_run in (True, False):
            Weather.good = not dry_run
            result = await engine.retry_all(dry_run=dry_run)
            assert (result.selected, result.done, result.refused, result.runs) == (2, 1, 1, (fails,))
            (refusal,) = result.refusals
            assert refusal.run == refuses
            assert "'refund' was recorded" in refusal.reason
            await trio.sleep(1)
        assert (await engine.run(fails)).status == "completed"

    play(app, scenario)


def test_more_runs_than_a_page() -> None:
    """Pages are done one after the other; only so many runs are named, all of them are counted."""

    async def scenario(engine: Engine) -> None:
        many = PAGE + 20
        await engine.send([Event("order", {"n": n}) for n in range(many)])
        await trio.sleep(1)
        result = await engine.cancel_all(dry_run=False)
        assert (result.selected, result.done, len(result.runs)) == (many, many, SHOWN)
        await trio.sleep(1)
        again = await engine.rerun_all(dry_run=False)
        assert again.done == many, "the runs that it creates are not met"

    play(make_app(), scenario)


def test_a_bulk_verb_refuses_what_it_is_not_for() -> None:
    """A state that makes no sense and a span that holds nothing are slips."""

    async def scenario(engine: Engine) -> None:
        with pytest.raises(InvalidInput, match="cancel is for runs that are scheduled or blocked or"):
            await engine.cancel_all(status="completed")
        with pytest.raises(InvalidInput, match="retry is for runs that are failed or parked"):
            await engine.retry_all(status="waiting")
        run = await engine.run(await engine.start("order"))
        with pytest.raises(InvalidInput, match="swap after and before"):
            await engine.cancel_all(after=run.created_at, before=run.created_at)

    play(make_app(), scenario)


def test_a_store_that_fails_ends_a_bulk_verb_with_its_error() -> None:
    """Not with a group of errors, and not as if those runs had refused."""

    class Failing(MemoryStore):
        async def load(self, *arguments: Any, **named: Any) -> Any:
            if Weather.good:
                raise StoreError("the disk is gone")
            return await super().load(*arguments, **named)

    async def scenario(engine: Engine) -> None:
        await engine.start("boom")
        await trio.sleep(1)
        Weather.good = True
        with pytest.raises(StoreError, match="the disk is gone"):
            await engine.retry_all()
        Weather.good = False

    play(make_app(), scenario, Failing)


# -- retention ----------------------------------------------------------------------------------------


def test_purge_deletes_what_ended_long_ago() -> None:
    """And nothing that is open or younger."""

    async def scenario(engine: Engine) -> None:
        old = await engine.start("boom")
        await trio.sleep(3600)
        young, open_run = await engine.start("boom"), await engine.start("order")
        await trio.sleep(60)
        assert await engine.purge("30m") == 1
        with pytest.raises(NotFound):
            await engine.run(old)
        assert {run.id for run in (await engine.runs()).items} == {young, open_run}

    play(make_app(), scenario)


def test_an_engine_with_a_retention_deletes_by_itself() -> None:
    """A run is there for as long as it says, and gone an hour later."""

    async def scenario(engine: Engine) -> None:
        run = await engine.start("boom")
        await trio.sleep(timedelta(days=1).total_seconds() - 60)
        assert (await engine.run(run)).status == "failed"
        await trio.sleep(2 * 3600)
        with pytest.raises(NotFound):
            await engine.run(run)

    play(make_app(), scenario, retention="1d")


def test_without_a_retention_all_is_kept() -> None:
    """Deleting is something that one asks for."""

    async def scenario(engine: Engine) -> None:
        run = await engine.start("boom")
        await trio.sleep(timedelta(days=2).total_seconds())
        assert (await engine.run(run)).status == "failed"

    play(make_app(), scenario)


# -- why ----------------------------------------------------------------------------------------------


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


def sleeper(**options: Any) -> App:
    app = App("t")

    @app.workflow(on=OnEvent("go"), id="w", **options)
    def w(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("s", "5m")

    return app


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


# -- retry and rerun ----------------------------------------------------------------------------------


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
