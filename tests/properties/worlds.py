"""Small systems that between them use every command, each with what happens to it from outside.

Results depend on nothing but the events: not on timing, interleaving, retries or faults, as long as nothing
takes longer than some minutes. So a simulation with faults must end as one without.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import trio

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    Event,
    Failed,
    Invoke,
    InvokeTimeout,
    OnEvent,
    Race,
    Restart,
    Run,
    RunCancelled,
    Saga,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    StepError,
    Steps,
    Succeeded,
    WaitFor,
    WaitForSignal,
    step_info,
)
from flowgen.testing import Cancel, Retry, Signal, Start, Trace

app = App("worlds", backoff=Backoff.exponential("1s", jitter=0.5))


def double(n: int) -> int:
    return 2 * n


async def ponder(n: int) -> int:
    """Takes a while."""
    await trio.sleep(n)
    return n


def flaky(n: int) -> int:
    """Fails twice."""
    if step_info().attempt < 3:
        raise ValueError(f"attempt {step_info().attempt}")
    return n


def refuse(n: int) -> int:
    """Fails always."""
    raise ValueError(f"no {n}")


# -- one after the other ---------------------------------------------------------------------------


@app.workflow(on=OnEvent("sequence"))
def sequence(ctx: Context) -> Steps[Any]:
    start = ctx.now
    drawn, uuid = ctx.random.random(), str(ctx.uuid())
    kept = yield Run("keep", list, [drawn, uuid])
    sum = 0
    for n in range(3):
        sum += yield Run("add", double, n)
    sum += yield Run(flaky, 5)
    yield Sleep("a week", "7d")
    yield SleepUntil("a date", datetime(2026, 3, 1, tzinfo=UTC))
    late = yield from Run(ponder, 30)
    return [kept == [drawn, uuid], sum, late, ctx.now - start >= timedelta(days=7)]


# -- side by side ----------------------------------------------------------------------------------


def branch(ctx: Context, n: int) -> Steps[int]:
    first = yield Run("first", ponder, n)
    inner = yield All(Run("left", double, first), Sleep("nap", n), Run("right", flaky, 1))
    return first + inner[0] + inner[2]


@app.workflow(on=OnEvent("parallel"))
def parallel(ctx: Context) -> Steps[Any]:
    named = yield All({f"b{n}": branch(ctx, n) for n in range(4)}, limit=2)
    mixed = yield All(Run("ok", double, 1), Run("bad", refuse, 2).options(retries=1), on_error="collect")
    kinds = [type(each) for each in mixed]
    try:
        yield All(branch(ctx, 3), Run("breaks", refuse, 1).options(retries=0), Sleep("long", "30d"))
    except StepError as error:
        message = error.message
    winner = yield Race(slow=branch(ctx, 3600), fast=All(Run("quick", double, 4), Sleep("short", "1m")))
    return [named, kinds == [Succeeded, Failed], message, winner.name, winner.value[0]]


# -- events ----------------------------------------------------------------------------------------

ITEMS = 6


@app.workflow(on=OnEvent("collect"))
def collect(ctx: Context) -> Steps[list[Any]]:
    """A loop of one wait sees each event once, in their order, whenever they were sent."""
    seen = []
    for n in range(ITEMS):
        item = yield WaitFor("item", "item", match="data.key", timeout="1d")
        seen.append(item.data["n"])
        if n % 2:
            yield Run("work", ponder, 2)
    nothing = yield WaitFor("item", "item", match="data.key", timeout="1d")
    return [*seen, nothing]


@app.workflow(on=OnEvent("approve"))
def approve(ctx: Context) -> Steps[Any]:
    """An event ends a race against a body that takes hours; a wait with `where` takes the first that fits."""
    won = yield Race(
        approved=WaitFor("approved", "approved", match="data.key", timeout="30d"),
        work=Run("work", ponder, 24 * 3600),
    )
    big = yield WaitFor("big", "bid", where="async.data.sum > event.data.limit", timeout="5d", since="start")
    return [won.name, won.value.data["by"], None if big is None else big.data["sum"]]


# -- children --------------------------------------------------------------------------------------


@app.workflow
def child(ctx: Context) -> Steps[int]:
    n = ctx.event.data["n"]
    yield Sleep("nap", n)
    if n == 3:
        raise ValueError("three")
    return (yield Run("double", double, n))


@app.workflow
def sleeper(ctx: Context) -> Steps[str]:
    try:
        yield Sleep("for long", "30d")
    finally:
        yield Run("tidy up", double, 1)
    return "rested"


@app.workflow(on=OnEvent("family"))
def family(ctx: Context) -> Steps[Any]:
    results = yield All(*[Invoke(f"child {n}", child, {"n": n}) for n in range(5)], on_error="collect")
    values = [each.value if isinstance(each, Succeeded) else each.failure.message for each in results]
    try:
        late = yield Invoke("sleeper", sleeper, timeout="1d")
    except InvokeTimeout:
        late = "late"
    won = yield Race(child=Invoke("loser", sleeper), time=Sleep("an hour", "1h"))
    return [values, late, won.name]


@app.workflow(on=OnEvent("saga"))
def booking(ctx: Context) -> Steps[Any]:
    saga = Saga()
    try:
        for n in range(3):
            yield from saga.do(Run(f"book {n}", double, n), undo=lambda booked: Run(f"free {booked}", ponder, booked))
        yield from saga.do(Run("pay", refuse, 7).options(retries=2), undo=Run("refund", double, 7))
    except StepError as error:
        yield from saga.compensate()
        return error.attempts
    return "paid"


# -- talking to each other -------------------------------------------------------------------------


@app.workflow(on=OnEvent("talk"))
def listener(ctx: Context) -> Steps[Any]:
    heard = []
    for n in range(3):
        heard.append((yield WaitForSignal("hear", f"signal {n}", timeout="2d")))
    return heard


@app.workflow(on=OnEvent("talk"))
def speaker(ctx: Context) -> Steps[Any]:
    yield Sleep("first listen", "1h")
    yield SendSignal("speak", "signal 0", {"n": 0})
    try:
        yield SendSignal("too early", "signal 2")
    except StepError as error:
        return error.error_type
    return "heard"


@app.workflow(on=OnEvent("chain"))
def chain(ctx: Context) -> Steps[int]:
    n = ctx.event.data["n"]
    if n > 0:
        both = [Event("chain", {"n": n - 1}), Event("chain", {"n": 0}, id=f"leaf-{n}")]
        ids = yield SendEvent("both", both)
        again = yield SendEvent("again", both[1])
        return 1 if ids[1] == again[0] else 0
    return 1


# -- endless and cancelled -------------------------------------------------------------------------


@app.workflow
def counter(ctx: Context) -> Steps[int]:
    data = ctx.event.data
    tick = yield WaitFor("tick", "tick", timeout="10d")
    if tick is None:
        return data["sum"]
    yield Restart({"sum": data["sum"] * 10 + tick.data["n"]})
    raise AssertionError("nothing after Restart is executed")


@app.workflow(on=OnEvent("count"))
def counting(ctx: Context) -> Steps[int]:
    return (yield Invoke("count", counter, {"sum": 0}))


@app.workflow
def stubborn(ctx: Context) -> Steps[str]:
    try:
        yield All(Sleep("for long", "300d"), Invoke("child", sleeper), WaitFor("never", "never", timeout="300d"))
    except RunCancelled as cancelled:
        yield Run("clean up", ponder, 5)
        return cancelled.reason
    return "never"


@app.workflow
def second_try(ctx: Context) -> Steps[int]:
    """Fails at its end the first time; a retry goes on from there."""
    first = yield Run("once", double, 4)
    again = yield Run("gate", gate, ctx.run_id).options(retries=0)
    return first + again


def gate(run_id: str) -> int:
    """Closed during the first hours of 2026."""
    if trio.current_time() < 2 * 3600:
        raise ValueError("closed")
    return 1


# -- what happens from outside ---------------------------------------------------------------------


@attrs.frozen(eq=False)
class World:
    """A part of the app with its events."""

    name: str
    events: tuple[Any, ...]


def _items() -> tuple[Any, ...]:
    """Before, while and after the waits are registered; others are for somebody else."""
    items = [("0s", 0), ("0s", 1), ("1ms", 2), ("1s", 3), ("30m", 4), ("30m", 5)]
    mine = [(at, Event("item", {"key": "mine", "n": n}, id=f"item-{n}")) for at, n in items]
    others = [(at, Event("item", {"key": "other", "n": n})) for at, n in items]
    return (Event("collect", {"key": "mine"}), *mine, *others)


WORLDS = (
    World("sequence", (Event("sequence"),)),
    World("parallel", (Event("parallel"),)),
    World("collect", _items()),
    World(
        "approve",
        (
            Event("approve", {"key": 1, "limit": 10}),
            ("10s", Event("bid", {"sum": 5})),
            ("20s", Event("approved", {"key": 2, "by": "nobody"})),
            ("5m", Event("approved", {"key": 1, "by": "ann"})),
            ("2h", Event("bid", {"sum": 11})),
            ("2h", Event("bid", {"sum": 12})),
        ),
    ),
    World("family", (Event("family"),)),
    World("saga", (Event("saga"),)),
    World("talk", (Event("talk"), ("2h", Signal("signal 1", {"n": 1})), ("4h", Signal("signal 1", "nobody waits")))),
    World("chain", (Event("chain", {"n": 3}), Event("chain", {"n": 0}, id="leaf-3"))),
    World("count", (Event("count"), *[(f"{n}h", Event("tick", {"n": n})) for n in range(1, 5)])),
    World("cancel", (Start(stubborn), ("3h", Cancel("stubborn", reason="enough")), ("4h", Cancel("stubborn")))),
    World("retry", (Start(second_try), ("3h", Retry("second-try")), ("4h", Retry("second-try")))),
)


def events_of(worlds: Sequence[World]) -> list[Any]:
    """Everything that happens to these worlds."""
    return [event for world in worlds for event in world.events]


def outcomes(trace: Trace) -> list[str]:
    """How all runs ended, in an order that does not depend on when."""
    ends = [
        [run.workflow_id, run.status, run.result, run.error.message if run.error is not None else None]
        for run in trace.runs
    ]
    return sorted(json.dumps(end) for end in ends)
