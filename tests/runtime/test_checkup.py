"""The doctor finds each kind of damage that is planted in a store, and nothing where there is none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from flowgen import (
    All,
    App,
    Batch,
    Concurrency,
    Context,
    Debounce,
    Event,
    Invoke,
    NonRetriableError,
    OnCron,
    OnEvent,
    RateLimit,
    Restart,
    Run,
    RunCancelled,
    Singleton,
    Sleep,
    StepError,
    Steps,
    Throttle,
    Timeouts,
    WaitFor,
    WaitForSignal,
)
from flowgen.events import AcceptedEvent
from flowgen.history import EndCompleted, StepSucceeded
from flowgen.outcome import NULL, Json
from flowgen.runs import EventMatched, Message
from flowgen.runtime import open_engine
from flowgen.runtime.checkup import Report, check_up
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import DamagedRun, Loaded, Store
from flowgen.runtime.stores import MemoryStore, SqliteStore
from flowgen.testing import Faults, VirtualClock, simulate
from flowgen.transition import Key, Wait

Data = dict[str, Any]


def refuse() -> None:
    raise NonRetriableError("no")


async def busy() -> None:
    await trio.sleep(5)


app = App("shop")


@app.workflow(on=OnEvent("go"))
def sleeps(ctx: Context[Data]) -> Steps[str]:
    yield Sleep("s", "1h")
    return "awake"


@app.workflow(on=OnEvent("go"))
def waits(ctx: Context[Data]) -> Steps[None]:
    yield WaitFor("w", "never", match="data.k", timeout="1h")


@app.workflow(on=OnEvent("go"))
def signalled(ctx: Context[Data]) -> Steps[None]:
    yield WaitForSignal("w", f"signal {ctx.run_id}", timeout="1h")


@app.workflow(on=OnEvent("go"))
def parent(ctx: Context[Data]) -> Steps[Any]:
    return (yield All(Invoke("child", "child", {}), Invoke("batched", "batches", {})))


@app.workflow
def child(ctx: Context[Data]) -> Steps[str]:
    yield Sleep("s", "30m")
    return "child"


@app.workflow(on=OnEvent("go"), batch=Batch(50, wait="2h"))
def batches(ctx: Context[Data]) -> Steps[int]:
    yield Sleep("s", 1)
    return len(ctx.events)


@app.workflow(on=OnEvent("go"), debounce=Debounce("1h"))
def bounces(ctx: Context[Data]) -> Steps[None]:
    yield Sleep("s", 1)


@app.workflow(on=OnEvent("go"), singleton=Singleton(mode="cancel"), timeouts=Timeouts(finish="1d"))
def single(ctx: Context[Data]) -> Steps[None]:
    try:
        yield Sleep("s", "1h")
    except RunCancelled:
        yield Sleep("clean up", "5s")
        raise


@app.workflow(on=OnEvent("go"), throttle=Throttle(1, per="2h"), rate_limit=RateLimit(9, per="1h"))
def limited(ctx: Context[Data]) -> Steps[None]:
    yield Run("r", str.upper, "x")


@app.workflow(on=OnEvent("go"), concurrency=Concurrency(1))
def narrow(ctx: Context[Data]) -> Steps[None]:
    yield Run("busy", busy)


@app.workflow(on=OnEvent("go"))
def fails(ctx: Context[Data]) -> Steps[None]:
    try:
        yield Run("refuse", refuse)
    except StepError:
        yield Run("undo", str.upper, "x")
        raise


@app.workflow(on=OnEvent("go"))
def restarts(ctx: Context[Data]) -> Steps[Any]:
    yield Sleep("s", "1m")
    return Restart({"n": 1}) if not ctx.event.data.get("n") else "enough"


@app.workflow(on=OnCron("*/20 * * * *"))
def ticks(ctx: Context[Data]) -> Steps[None]:
    yield Sleep("s", 1)


class Patched(MemoryStore):
    """A store one of whose runs cannot be read, once it is named."""

    damaged = ""

    async def load(self, app: str, run: str, start: int = 0) -> Loaded | None:
        if run == self.damaged:
            raise DamagedRun(run, "record 1")
        return await super().load(app, run, start)


def nothing(store: Any) -> None:
    """No damage."""


def world(
    then: Callable[[Any], None] = nothing, after: float = 60, make: Callable[[VirtualClock], Store] = Patched
) -> Report:
    """What the doctor says of a busy world after so many seconds, and after `then` has done something to it."""
    clock = VirtualClock()
    store = make(clock)

    async def main() -> Report:
        environment = Environment(seed=1, threads=False)
        async with open_engine(app, store, environment=environment, grace="0s", lease="1h") as engine:
            await engine.send([Event("go", {"k": n}) for n in range(4)])
            await trio.sleep(after)
            if then is nothing:
                return await check_up(store)
        then(store)
        return await check_up(store)

    return trio.run(main, clock=clock)


AGES = [0, 0.01, 3, 60, 1_800, 7_300, 20_000]


@pytest.mark.parametrize("after", AGES)
def test_a_sound_store_has_no_differences(after: float) -> None:
    """At any moment, beside an engine that works: while runs sleep, wait, collect, are blocked, throttled, replaced."""
    report = world(after=after)
    assert report.findings == ()
    assert report.runs > 20
    assert report.events >= 4


@pytest.mark.parametrize("after", AGES[:4])
def test_a_sound_file_has_no_differences(after: float, tmp_path: Path) -> None:
    """On SQLite the same holds."""
    report = world(after=after, make=lambda clock: SqliteStore(tmp_path / "it.db", clock, inline=True))
    assert report.findings == ()
    assert report.runs > 20


# -- damage -------------------------------------------------------------------------------------------


def run_of(store: MemoryStore, workflow: str, stored: str = "open") -> Any:
    """The first run of a workflow that is in that state, as the memory store keeps it."""
    return next(run for run in store._state.runs.values() if run.row.workflow == workflow and run.row.stored == stored)


def set_row(workflow: str, state: str = "open", /, **fields: Any) -> Callable[[Patched], None]:
    """Damage that writes fields of a row."""

    def plant(store: Patched) -> None:
        run = run_of(store, workflow, state)
        for name, value in fields.items():
            setattr(run.row, name, value)

    return plant


def drop_wait(store: Patched) -> None:
    run = run_of(store, "waits")
    (wait,) = run.waits.values()
    run.waits.clear()
    store._state.waits.discard(wait)


def change_wait(store: Patched) -> None:
    run = run_of(store, "waits")
    (wait,) = run.waits.values()
    run.waits[wait.id] = attrs.evolve(wait, value='"other"')


def add_wait(store: Patched) -> None:
    run = run_of(store, "sleeps")
    run.waits["x"] = Wait("x", "shop", run.row.id, "ghost", "e", 0, 1 << 60)


def change_key(prefix: str, *, free: bool = False, **fields: Any) -> Callable[[Patched], None]:
    """Damage of the first key whose name begins so."""

    def plant(store: Patched) -> None:
        name = next(name for name in store._state.keys if name[1].startswith(prefix))
        if free:
            del store._state.keys[name]
        else:
            store._state.keys[name] = attrs.evolve(store._state.keys[name], **fields)

    return plant


def leave_key(store: Patched) -> None:
    run = run_of(store, "fails", "failed")
    run.row.holds = ("single/fails/x",)
    store._state.keys["shop", "single/fails/x"] = Key("single/fails/x", run.row.id)


def lose_collected(store: Patched) -> None:
    run = run_of(store, "batches", "collecting")
    number = max(run.mail)
    del run.mail[number]
    run.row.mail -= 1


def lose_mail(store: Patched) -> None:
    run = run_of(store, "sleeps")
    run.row.mail += 1


def strange_mail(store: Patched) -> None:
    """Unread mail, and nobody is told."""
    run = run_of(store, "sleeps")
    event = AcceptedEvent("e", "e", Json(b"{}"), 0, 0, position=1)
    run.mail[run.row.mail + 1] = Message("m", "shop", run.row.id, EventMatched("w", "w", event))
    run.row.mail += 1


def lose_from_order(store: Patched) -> None:
    for run in store._state.runs.values():
        if run.row.workflow == "sleeps" and run.order is not None:
            run.order.discard(run.key)


def lose_from_queue(store: Patched) -> None:
    for run in store._state.runs.values():
        if run.row.workflow == "narrow" and run.order is not None:
            run.order.discard(run.key)


def add_record(record: Any) -> Callable[[Patched], None]:
    def plant(store: Patched) -> None:
        run = run_of(store, "sleeps")
        run.records.append(attrs.evolve(record, at=run.records[-1].at + record.at))
        run.row.length = len(run.records)

    return plant


def drop_record(store: Patched) -> None:
    run_of(store, "sleeps").records.pop()


def spoil_cell(value: Any, kind: str) -> Callable[[Patched], None]:
    def plant(store: Patched) -> None:
        name = next(name for name in store._state.cells if name[1].startswith(kind))
        cell = store._state.cells[name]
        store._state.cells[name] = attrs.evolve(cell, value=Json(json.dumps(value).encode()))

    return plant


def end_schedule(store: Patched) -> None:
    run = run_of(store, "ticks", "schedule")
    run.row.stored, run.row.due_at, run.row.ended_at = "cancelled", None, 1


def damage(store: Patched) -> None:
    store.damaged = run_of(store, "sleeps").row.id


PLANTS: list[tuple[str, str, Callable[[Patched], None]]] = [
    ("an open run that says completed", "status", set_row("sleeps", stored="completed", due_at=None, ended_at=1)),
    ("a failed run that says open", "status", set_row("fails", "failed", stored="open")),
    ("a terminal record on an open run", "status", add_record(EndCompleted(0))),
    ("a length that is not the history's", "length", set_row("sleeps", length=9)),
    ("a record that is gone", "length", drop_record),
    ("a life that is not the history's", "length", set_row("sleeps", life=2)),
    ("a record from the past", "length", add_record(StepSucceeded(-9, "x", NULL, "run"))),
    ("two outcomes of a step", "steps", add_record(StepSucceeded(0, "ghost", NULL, "wait"))),
    ("mail that is not there", "mailbox", lose_mail),
    ("more drained than came", "mailbox", set_row("sleeps", drained=3)),
    ("an unread cancel that is not there", "mailbox", set_row("sleeps", cancel=7)),
    ("an ended run with an owner", "at-rest", set_row("fails", "failed", owner="w")),
    ("an ended run that is due", "at-rest", set_row("fails", "failed", due_at=1)),
    ("an ended run with a key", "at-rest", leave_key),
    ("a sleep that is due too late", "due", set_row("sleeps", due_at=1 << 60)),
    ("a run that is never due", "due", set_row("sleeps", due_at=None)),
    ("unread mail that wakes nobody", "due", strange_mail),
    ("a throttled run that is never due", "due", set_row("limited", due_at=None)),
    ("a batch that is never closed", "due", set_row("batches", "collecting", due_at=None)),
    ("a schedule that is never due", "due", set_row("ticks", "schedule", due_at=None)),
    ("a deadline that wakes nobody", "due", set_row("sleeps", deadline=1)),
    ("a run in the queue of another slot", "blocked", set_row("narrow", blocked_on="elsewhere")),
    ("a wait that is gone", "waits", drop_wait),
    ("a wait for something else", "waits", change_wait),
    ("a wait that nobody asked for", "waits", add_wait),
    ("a signal's key that is free", "signals", change_key("signal/", free=True)),
    ("a signal's key that another holds", "signals", change_key("signal/", holder="nobody")),
    ("a singleton's key that is free", "keys", change_key("single/", free=True)),
    ("a singleton's key that another holds", "keys", change_key("single/", holder="nobody", detail="[]")),
    ("an event of a batch that is gone", "collection", lose_collected),
    ("a child whose end nobody was told", "children", set_row("child", stored="cancelled", due_at=None, ended_at=1)),
    ("a schedule without a run", "schedule", change_key("schedule/", free=True)),
    ("a schedule whose run has ended", "schedule", end_schedule),
    ("runs that no worker is told of", "ready", lose_from_order),
    ("a queue whose head nobody looks at", "ready", lose_from_queue),
    ("a throttle's cell that is no time", "cell", spoil_cell({"x": 1}, "throttle/")),
    ("a rate limit's cell out of order", "cell", spoil_cell([3, 1], "rate/")),
    ("a run that cannot be read", "unreadable", damage),
]


@pytest.mark.parametrize(("code", "plant"), [pytest.param(code, plant, id=name) for name, code, plant in PLANTS])
def test_damage_is_found(code: str, plant: Callable[[Patched], None]) -> None:
    """Each kind under the name of the rule that it breaks."""
    found = world(plant, after=3).findings
    assert code in {finding.code for finding in found}, found


@pytest.mark.parametrize("seed", range(6))
def test_simulated_crashes_leave_no_differences(seed: int) -> None:
    """Several workers that crash, lose commits and leases: what is derived still follows from what is recorded."""
    stores: list[MemoryStore] = []

    def make(clock: VirtualClock) -> MemoryStore:
        stores.append(MemoryStore(clock=clock))
        return stores[0]

    events = [(f"{n}s", Event("go", {"k": n})) for n in range(3)]
    simulate(app, events, seed=seed, workers=2, store=make, until="3h", faults=Faults(crash=0.02, duplicate=0.05))
    report = trio.run(check_up, stores[0])
    assert report.findings == ()
    assert report.runs > 20
