"""Workflows that between them use every command: what the crash tests kill.

Each step function writes a line to the side-effect journal (an O_APPEND file, outside of the store)
before it does anything, so that the test can tell how often a body was started.
"""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime
from typing import Any

import trio

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    Event,
    Invoke,
    OnEvent,
    Race,
    Restart,
    Run,
    Saga,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    StepError,
    Steps,
    WaitFor,
    WaitForSignal,
    step_info,
)

app = App("crash", backoff=Backoff.fixed("1ms"))
journal = ""
"""The path of the side-effect journal; set by the test before it forks."""

Data = dict[str, Any]


def note() -> None:
    """Write that this body starts: one line, one write."""
    info = step_info()
    line = f"{info.run_id} {info.step_id} {info.attempt}\n".encode()
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, line)
    finally:
        os.close(descriptor)


def double(number: int) -> int:
    note()
    return number * 2


async def double_async(number: int) -> int:
    note()
    return number * 2


def flaky(number: int) -> int:
    note()
    if step_info().attempt == 1:
        raise RuntimeError("not the first time")
    return number


def doomed(number: int) -> int:
    note()
    raise ValueError(f"{number} cannot be")


@app.workflow
def child(ctx: Context[Data]) -> Steps[int]:
    number = yield from Run("double", double, ctx.event.data["number"])
    yield Sleep("pause", "1ms")
    return number + 1


def branch(number: int) -> Steps[int]:
    first = yield from Run("first", double, number)
    yield Sleep("between", "1ms")
    second = yield from Run("second", double_async, first)
    return second


@app.workflow(on=OnEvent("crash/fan"))
def fan(ctx: Context[Data]) -> Steps[Any]:
    """Run, All over commands and sub-generators, Invoke, SleepUntil, SendEvent, and a retry."""
    number = yield from Run(flaky, ctx.event.data["number"])
    yield SleepUntil("moment", datetime(2020, 1, 1, tzinfo=UTC))
    both = yield All(Run("left", double, number), branch(number + 1))
    named = yield All({"child": Invoke("child", child, {"number": number}), "run": Run("beside", double_async, 7)})
    yield SendEvent("tell", Event("crash/told", {"number": number}, id=f"told-{ctx.run_id}"))
    return {"both": both, "named": named}


@app.workflow(on=OnEvent("crash/told"))
def told(ctx: Context[Data]) -> Steps[int]:
    result = yield from Run("hear", double, ctx.event.data["number"])
    return result


@app.workflow(on=OnEvent("crash/wait"))
def wait(ctx: Context[Data]) -> Steps[Any]:
    """WaitFor in a loop, Race with a losing body, signals both ways."""
    seen = []
    for _ in range(2):
        event = yield from WaitFor("ping", "crash/ping", match="data.key", timeout="9d")
        assert event is not None
        seen.append(event.data["n"])
    won = yield Race(event=WaitFor("extra", "crash/ping", match="data.key", timeout="9d"), late=Sleep("late", "9d"))
    yield SendSignal("hello", f"reply-{ctx.event.data['key']}", {"seen": len(seen)})
    return {"seen": seen, "won": won.name}


@app.workflow(on=OnEvent("crash/wait"))
def listen(ctx: Context[Data]) -> Steps[Any]:
    data = yield WaitForSignal("reply", f"reply-{ctx.event.data['key']}", timeout="9d")
    return data


@app.workflow(on=OnEvent("crash/saga"))
def saga(ctx: Context[Data]) -> Steps[Any]:
    """A Saga that compensates, then a restart on fresh data."""
    if ctx.event.data.get("again"):
        last = yield from Run("last", double, 21)
        return last
    undo = Saga()
    try:
        yield from undo.do(Run("seat", double, 1), undo=Run("unseat", double, 1))
        yield from undo.do(Run("pay", double_async, 2), undo=Run("unpay", double_async, 2))
        yield Run("ship", doomed, 3).options(retries=1)
    except StepError:
        yield from undo.compensate()
    yield Restart({"again": True})


def poison() -> None:
    note()
    os.kill(os.getpid(), signal.SIGKILL)


async def harmless(number: int) -> int:
    note()
    await trio.sleep(0.03)
    return number


@app.workflow
def poisonous(ctx: Context[Data]) -> Steps[None]:
    yield Run("poison", poison)


@app.workflow
def innocent(ctx: Context[Data]) -> Steps[int]:
    number = yield from Run("harmless", harmless, ctx.event.data["number"])
    return number
