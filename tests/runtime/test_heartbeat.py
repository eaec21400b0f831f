"""Leases outlive a blocked loop, and a body that spins fails alone.

These tests hold the loop of a real engine for real: bodies block for a moment, the test does not sleep.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing

from flowgen import App, Context, Run, RunFailed, Sleep, Steps
from flowgen.runtime import open_engine, start_engine
from flowgen.runtime.heartbeat import Heartbeat

Data = dict[str, Any]

LEASE = "400ms"
BLOCKED = 1.2
"""Seconds: three leases."""

app = App("beat", retries=0)
starts: list[str] = []
release = threading.Event()


async def block_the_loop() -> None:
    starts.append("culprit")
    if starts.count("culprit") == 1:
        time.sleep(BLOCKED)  # noqa: ASYNC251 (what this body is for)
        release.set()


def wait_in_a_thread() -> None:
    starts.append("other")
    release.wait(10)


def add(n: int) -> int:
    return n + 1


@app.workflow
def culprit(ctx: Context[Data]) -> Steps[None]:
    yield Run("block", block_the_loop)


@app.workflow
def other(ctx: Context[Data]) -> Steps[None]:
    yield Run("wait", wait_in_a_thread)


@app.workflow
def spinner(ctx: Context[Data]) -> Steps[None]:
    yield Run("add", add, 1)
    while True:
        pass


@app.workflow
def plain(ctx: Context[Data]) -> Steps[int]:
    yield Sleep("a moment", "10ms")
    return (yield from Run("add", add, ctx.event.data["n"]))


async def test_a_blocked_loop_expires_no_other_lease(tmp_path: Path) -> None:
    """While a body blocks its loop for three leases, another engine takes no run but the culprit's (F17, I22)."""
    starts.clear()
    release.clear()
    url = f"sqlite:///{tmp_path}/beat.db"
    with trio.fail_after(50):
        async with open_engine(app, url, lease=LEASE) as engine:
            waiting = await engine.start(other)
            while "other" not in starts:
                await trio.lowlevel.checkpoint()
            with start_engine(app, url, lease=LEASE):
                blocked = await engine.start(culprit)
                await engine.result(waiting)
                await engine.result(blocked)
    assert starts.count("other") == 1, "the lease of the run beside the culprit was lost"


async def test_only_a_loop_that_was_asked_to_turn_has_not_turned(caplog: pytest.LogCaptureFixture) -> None:
    """Of a process that was stopped for a minute (Ctrl-Z) nobody says that its loop was held; of one that is held, they
    do, also where C code that holds it does not let go of the interpreter."""
    now = 100.0
    async with open_engine(app, lease="10s") as engine:
        assert engine.worker is not None
        heart = Heartbeat(engine.worker, engine.store.extender(), 1_000.0, lambda: now)

        def look(after: float, late: float = 0.0, worked: float = 0.0) -> list[str]:
            """What was said at looks until this one, which comes after so many seconds."""
            nonlocal now
            now += after
            heart._excuse(late, worked)
            heart._ask_loop()
            heart._watch()
            return [message.partition("\n")[0] for message in caplog.messages]

        assert look(1.0) == []
        await trio.testing.wait_all_tasks_blocked()
        assert look(60.0) == []
        assert look(1.0) == []
        assert look(60.0, late=59.0, worked=0.1) == []
        held = "the event loop has not turned for {} s: something outside of any run holds it"
        assert look(4.0, late=1.0) == [held.format("6.0")]
        await trio.testing.wait_all_tasks_blocked()
        look(1.0)
        assert look(60.0, late=59.0, worked=58.0)[1:] == [held.format("60.0")]


async def test_a_body_that_spins_fails_alone(caplog: pytest.LogCaptureFixture) -> None:
    """Past the limit `BodySpins` is raised in it; the stack is logged; other runs go on (F24)."""
    with trio.fail_after(50):
        async with open_engine(app, lease=LEASE, spin_limit="500ms") as engine:
            beside = [await engine.start(plain, {"n": n}) for n in range(5)]
            run = await engine.start(spinner)
            with pytest.raises(RunFailed, match="BodySpins"):
                await engine.result(run)
            assert [await engine.result(each) for each in beside] == [1, 2, 3, 4, 5]
            assert await engine.result(await engine.start(plain, {"n": 9})) == 10
    assert any(run in message and "while True" in message for message in caplog.messages)
