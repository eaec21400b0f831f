"""Operations: pause and resume, bulk verbs, retention. In virtual time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import trio

from flowgen import App, Concurrency, Context, Event, OnCron, OnEvent, Run, RunCancelledError, Sleep, Steps, Throttle
from flowgen.errors import InvalidInput, NotFound, StoreError
from flowgen.runtime import Engine, open_engine, start_engine
from flowgen.runtime.bulk import SHOWN
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import PAGE
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock
from tests.runtime.operations import Data, Weather, broken, make_app, only, play


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
