"""What bodies log comes out once, in order, when what it follows from is committed."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import trio

from flowgen import App, Context, Event, OnEvent, Run, Sleep, Steps
from flowgen.runtime import open_engine

app = App("logging")


def act() -> int:
    return 1


@app.workflow(on=OnEvent("log/it"))
def talkative(ctx: Context[dict[str, Any]]) -> Steps[None]:
    ctx.logger.info("begin")
    yield Run("a", act)
    ctx.logger.info("after a")
    yield Sleep("s", 0.03)
    ctx.logger.warning("done", extra={"n": 7})


@pytest.mark.parametrize("start", ["send", "start"])
@pytest.mark.parametrize("work", ["at once", "claimed"])
async def test_lines_come_out_once_and_in_order(caplog: pytest.LogCaptureFixture, start: str, work: str) -> None:
    """Also those before the first step, whether the run was claimed by the commit that created it or later."""
    caplog.set_level(logging.INFO, "flowgen.run")
    with trio.fail_after(50):
        async with open_engine(app, "memory://", max_runs=1) as engine:
            blocker = await engine.start(talkative, {}) if work == "claimed" else None
            if start == "start":
                run = await engine.start(talkative, {})
            else:
                await engine.send(Event("log/it"))
                (run, *_) = [info.id for info in (await engine.runs()).items if info.id != blocker]
            await engine.result(run)
    lines = [record for record in caplog.records if getattr(record, "flowgen", {}).get("run") == run]
    assert [line.getMessage() for line in lines] == ["begin", "after a", "done"]
    assert lines[-1].flowgen["n"] == 7  # type: ignore[attr-defined]
