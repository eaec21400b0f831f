"""Retry, rerun and restart with flow control: what is opened again, what is handed on."""

from __future__ import annotations

from copy import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnEvent, Restart, Run, Sleep, Steps
from flowgen.errors import RunFailed, WrongState
from flowgen.flow_control import Concurrency, Priority, RateLimit, Singleton, Throttle, Timeouts
from flowgen.runs import RunRow
from flowgen.runtime import open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import Committed
from flowgen.testing import Faults, Retry, Trace
from flowgen.transition import Transition
from tests.flow.scenes import FAULTS, SEEDS, at, ended, go, played, runs, started, statuses, take


def failing(**options: Any) -> App:
    """An app whose workflow `work` takes as long as its event says, and fails while `world["broken"]` is set."""
    app = App("flow")

    @app.workflow(id="work", on=OnEvent("go"), retries=0, **options)
    def work(ctx: Context) -> Steps[int]:
        yield Run("work", take, [], ctx.event.data.get("takes", 0))
        return (yield from Run("fail", fail, ctx.event.data["n"]))

    return app


async def fail(n: int) -> int:
    """Stubbed."""
    raise ValueError(n)


def failing_at_first() -> Any:
    """Stubs: the first attempt at `fail` of each run fails."""
    seen: set[int] = set()

    async def fail(n: int) -> int:
        if n in seen:
            return n
        seen.add(n)
        raise ValueError(n)

    return {"fail": fail}


def bodies_at_once(trace: Trace) -> int:
    """The most bodies that were at work at the same moment."""
    changes = [change for e in trace.executions if e.ended for change in ((e.began, 1), (e.ended, -1))]
    most = now = 0
    for _, change in sorted(changes):
        now += change
        most = max(most, now)
    return most


# -- retry -----------------------------------------------------------------------------------------


def test_a_retried_run_takes_its_singleton_key_again() -> None:
    """While it is open again, another one is skipped."""
    app = App("flow")

    @app.workflow(id="slow", on=OnEvent("slow"), singleton=Singleton(), retries=0)
    def slow(ctx: Context) -> Steps[int]:
        yield Run("fail", fail, 7)
        yield Sleep("long", "1m")
        return 7

    events = [Event("slow"), at(10, Retry("slow")), at(20, Event("slow")), at(90, Event("slow"))]
    trace = played(app, events, steps=failing_at_first)
    assert statuses(trace, "slow") == ["completed", "skipped", "completed"]
    assert trace.run("slow", 1).reason == f"run {trace.run('slow').id} is open (singleton)"


def test_a_retry_is_refused_while_another_run_has_the_key() -> None:
    """The refusal names that run; there are never two."""
    app = failing(singleton=Singleton())
    trace = played(app, [go(0), at(10, go(1, takes=60)), at(20, Retry("work"))], steps=failing_at_first)
    refused = [entry.what for entry in trace.entries if entry.who == "client" and "refused" in entry.what]
    assert len(refused) == 1
    assert "work#1 is open, and has its singleton key" in refused[0]
    assert statuses(trace) == ["failed", "failed"]


def test_a_retried_run_needs_its_slot() -> None:
    """It stands in line like any other."""
    app = failing(concurrency=Concurrency(1))
    trace = played(app, [go(0), at(10, go(1, takes=60)), at(20, Retry("work"))], steps=failing_at_first)
    assert statuses(trace) == ["completed", "failed"]
    assert ended(trace.run("work"), trace) >= 70
    assert bodies_at_once(trace) == 1


def test_a_retry_is_no_start() -> None:
    """Rate limit and throttle count it not, and its start limit is behind it."""
    app = failing(rate_limit=RateLimit(2, per="1h"), throttle=Throttle(1, per="1s"), timeouts=Timeouts(start="5s"))
    trace = played(app, [go(0), at(100, Retry("work")), at(200, go(1)), at(300, go(2))], steps=failing_at_first)
    assert statuses(trace) == ["completed", "failed", "skipped"]
    assert ended(trace.run("work"), trace) == 100


# -- rerun -----------------------------------------------------------------------------------------


async def outcome_of_rerun(app: App, events: list[Any], *, from_step: str | None = None) -> tuple[Any, Any]:
    """The first run as it is after the rerun, and the rerun as it was created: it may have begun since."""
    created: dict[str, RunRow] = {}

    def note(transition: Transition, _: Committed) -> None:
        created.update({new.row.id: copy(new.row) for new in transition.create})

    async with open_engine(app, "memory://", environment=Environment(seed=1, threads=False)) as engine:
        ids = await engine.send(events)
        (first,) = await engine.started(ids[0])
        with pytest.raises(RunFailed):
            await engine.result(first)
        engine.watch(note)
        again = await engine.rerun(first, from_step=from_step)
        return (await engine.load(first)).row, created[again]


async def test_a_rerun_is_opened_but_not_routed(autojump_clock: Any) -> None:
    """Slots, priority and limits are its own; idempotency and the rate limit do not refuse it."""
    app = failing(
        concurrency=Concurrency(1, key="event.data.n"),
        priority=Priority("event.data.n"),
        rate_limit=RateLimit(1, per="1h"),
        idempotency="event.data.n",
        timeouts=Timeouts(start="1h"),
    )
    first, again = await outcome_of_rerun(app, [go(7)])
    assert (again.slots, again.priority, again.open) == (first.slots, 7, True)
    assert again.deadline is not None
    assert again.seed == first.seed


async def test_a_rerun_waits_for_its_turn(autojump_clock: Any) -> None:
    """A throttle spreads reruns, too; with `from_step` as well."""
    for from_step in (None, "fail"):
        app = failing(throttle=Throttle(1, per="1h"))
        first, again = await outcome_of_rerun(app, [go(7)], from_step=from_step)
        assert again.start_at == first.created_at + 3_600_000_000
        assert again.started_at is None


async def test_a_rerun_is_skipped_while_its_singleton_is_open(autojump_clock: Any) -> None:
    """As any new run is."""
    app = App("flow")

    @app.workflow(id="work", on=OnEvent("go"), singleton=Singleton())
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("long", "1h")

    async with open_engine(app, "memory://", environment=Environment(seed=1, threads=False)) as engine:
        (event,) = await engine.send(go(0))
        (first,) = await engine.started(event)
        again = await engine.run(await engine.rerun(first))
        assert (again.status, again.reason) == ("skipped", f"run {first} is open (singleton)")
        with pytest.raises(WrongState, match="is skipped"):
            await engine.retry(again.id)


# -- restart ---------------------------------------------------------------------------------------


def looping(**options: Any) -> App:
    """Runs that execute for a second and restart until their rounds are over."""
    app = App("flow")

    @app.workflow(id="work", on=OnEvent("go"), **options)
    def work(ctx: Context) -> Steps[int]:
        data = dict(ctx.event.data)
        yield Run("work", take, [], 1)
        yield Sleep("nap", "5s")
        if data["rounds"] > 1:
            yield Restart({**data, "rounds": data["rounds"] - 1})
        return int(data["n"])

    return app


def test_a_run_that_restarts_hands_its_singleton_key_on() -> None:
    """There is no moment at which another one could come in between."""
    app = looping(singleton=Singleton())
    trace = played(app, [go(0, rounds=4), *[at(second, go(second, rounds=1)) for second in (2, 6, 7, 13, 23, 25)]])
    assert [run.status for run in runs(trace)].count("skipped") == 5
    assert trace.run("work", -1).result == 25


def test_what_replaces_a_run_that_restarted_waits_for_its_successor() -> None:
    """The newcomer cancels the run that is open, whichever of them that is."""
    app = looping(singleton=Singleton(mode="cancel"))
    trace = played(app, [go(0, rounds=4), at(8, go(1, rounds=1))])
    assert statuses(trace) == ["completed", "cancelled", "completed"]
    assert trace.run("work", 2).result == 1


def test_a_successor_needs_the_slots_of_its_own_data() -> None:
    """Limits hold across restarts."""
    app = looping(concurrency=Concurrency(1))
    trace = played(app, [go(n, rounds=3) for n in range(3)], workers=2)
    assert bodies_at_once(trace) == 1
    assert sorted(run.result for run in runs(trace) if run.restarted_as is None) == [0, 1, 2]


def test_a_successor_is_no_start() -> None:
    """Rate limit, throttle and idempotency let it be."""
    app = looping(rate_limit=RateLimit(1, per="1h"), throttle=Throttle(1, per="1h"), idempotency="'all'")
    trace = played(app, [go(0, rounds=3)])
    assert statuses(trace) == ["completed"] * 3
    assert started(trace.run("work", 2), trace) == pytest.approx(12, abs=0.1)


# -- the rule --------------------------------------------------------------------------------------


@given(
    seed=SEEDS,
    workers=st.integers(1, 3),
    faults=FAULTS,
    works=st.lists(st.tuples(st.integers(0, 40), st.integers(1, 4)), min_size=1, max_size=6),
)
@settings(max_examples=40)
def test_a_chain_of_restarts_is_one_open_run(
    seed: int, workers: int, faults: Faults, works: list[tuple[int, int]]
) -> None:
    """Under any faults: chains of one key never overlap, and what came in between was skipped."""
    app = looping(singleton=Singleton(), concurrency=Concurrency(1))
    events = [at(second, go(n, rounds=rounds)) for n, (second, rounds) in enumerate(sorted(works))]
    trace = played(app, events, seed=seed, workers=workers, faults=faults)
    done = [run for run in runs(trace) if run.status == "completed"]
    assert all(run.status in ("completed", "skipped") for run in runs(trace))
    spans = sorted((run.recorded.row.created_at, run.recorded.row.ended_at or 0) for run in done)
    assert all(before[1] <= after[0] + 500_000 for before, after in pairwise(spans))
    chains = [run for run in done if run.restarted_as is None]
    assert {run.result for run in chains} <= set(range(len(works)))
    assert len(chains) >= 1
