"""What simulations have found, each as the smallest system that shows it."""

from __future__ import annotations

import pytest
import trio

from flowgen import All, App, Backoff, Context, Event, OnEvent, Run, RunCancelled, Sleep, Steps, WaitFor, step_info
from flowgen.testing import Cancel, Faults, Start, check_invariants, simulate

app = App("found")

SEEDS = range(12)


def double(n: int) -> int:
    return 2 * n


async def ponder(seconds: int) -> int:
    await trio.sleep(seconds)
    return seconds


@app.workflow(on=OnEvent("beside"))
def beside(ctx: Context) -> Steps[int]:
    value, _ = yield All(Run("work", double, 4), Sleep("nap", 0))
    return value


@app.workflow(on=OnEvent("long"))
def long(ctx: Context) -> Steps[int]:
    return (yield from Run(ponder, 40))


def flaky(n: int) -> int:
    if step_info().attempt < 4:
        raise ValueError("not yet")
    return n


@app.workflow(on=OnEvent("retried"))
def retried(ctx: Context) -> Steps[int]:
    often = Run(flaky, 2).options(backoff=Backoff.fixed("9s"))
    pair = yield All(often, Run(ponder, 60))
    return pair[0] + pair[1]


@app.workflow(on=OnEvent("many"))
def many(ctx: Context) -> Steps[int]:
    sum = 0
    for n in range(5):
        pair = yield All(Run("left", double, n), Run("right", ponder, n))
        sum += pair[0] + pair[1]
        seen = yield WaitFor("more", "more", timeout="1h")
        sum += seen.data["n"]
    return sum


@pytest.mark.parametrize("seed", SEEDS)
def test_an_outcome_beside_a_deadline_is_not_overlooked(seed: int) -> None:
    """A body that ends while the store is asked for the time is not released away: its run would wait for ever."""
    trace = simulate(app, [Event("beside")], seed=seed, faults=Faults(delay=0.5))
    check_invariants(trace)
    assert trace.run("beside").result == 8


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_that_gets_its_own_run_again_stops_what_it_did_for_it(seed: int) -> None:
    """Its lease had expired and nobody else came: the bodies of the old ownership end, and only the new one goes on."""
    trace = simulate(app, [Event("long")], seed=seed, faults=Faults(lost_lease=1, most=1))
    check_invariants(trace)
    assert trace.run("long").result == 40
    bodies = trace.executed("ponder")
    assert [body.ended is not None for body in bodies] == [False] * (len(bodies) - 1) + [True]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_a_run_has_in_hand_survives_a_store_that_fails(seed: int) -> None:
    """Requests that fail are repeated: no body that ended is started again, and no engine gives up."""
    events = [Event("many"), *[("1m", Event("more", {"n": n})) for n in range(5)]]
    trace = simulate(app, events, seed=seed, faults=Faults(store_error=0.2))
    check_invariants(trace)
    assert trace.faults >= 5
    assert trace.run("many").result == 3 * 10 + 10
    bodies = [(body.step, body.attempt) for body in trace.executions]
    assert len(bodies) == len(set(bodies)) == 10


@pytest.mark.parametrize("seed", SEEDS)
def test_an_attempt_needs_a_lease_in_force(seed: int) -> None:
    """A retry whose time comes on a worker that has lost the run, and does not know it, does not begin there."""
    trace = simulate(app, [Event("retried")], seed=seed, workers=3, faults=Faults(lost_lease=0.5, most=3))
    check_invariants(trace)
    assert trace.run("retried").result == 62
    assert not any(body.zombie for body in trace.executions)


@app.workflow
def cleans_up(ctx: Context) -> Steps[int]:
    try:
        return (yield from Run("work", ponder, 60))
    except RunCancelled:
        yield Run("clean up", ponder, 20)
        raise


def test_a_second_cancel_stops_no_clean_up() -> None:
    """The body of a clean-up step goes on when another cancel comes, and the run ends as soon as it has ended."""
    trace = simulate(app, [Start(cleans_up), ("5s", Cancel("cleans-up")), ("10s", Cancel("cleans-up"))])
    check_invariants(trace)
    (clean_up,) = trace.executed("clean up")
    assert clean_up.ended_at == trace.run("cleans-up").recorded.row.ended_at == trace.started_at + 25_000_000


@app.workflow(on=OnEvent("paused"))
def paused(ctx: Context) -> Steps[int]:
    total = 0
    for number in range(8):
        total += yield from Run(f"step {number}", ponder, 1)
    return total


OLD_ANSWERS = [
    *[(seed, Faults(pause=0.1, most=4)) for seed in SEEDS],
    *[(142, Faults(pause=0.3, most=4)), (23, Faults(pause=0.5, most=4)), (53, Faults(pause=0.3, delay=0.2, most=4))],
]
"""The last three are of several hundred in which an answer comes to an engine whose lease has just run out."""


@pytest.mark.parametrize("seed, faults", OLD_ANSWERS)
def test_no_body_begins_on_the_strength_of_an_old_answer(seed: int, faults: Faults) -> None:
    """An engine that stood still while a commit was answered has lost its lease, whatever time the answer tells."""
    trace = simulate(app, [Event("paused")], seed=seed, workers=3, faults=faults)
    check_invariants(trace)
    assert trace.run("paused").result == 8
    assert not any(body.zombie for body in trace.executions)
