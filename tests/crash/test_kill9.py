"""Kill -9 at every commit point: all runs complete, and no recorded step runs again (I1, I6, I12, I43; F1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowgen import Event
from flowgen.runtime import Engine

from . import harness

POINTS = 200
"""More than any of the scenarios has commits; each ends when a life was not killed any more."""


async def one(engine: Engine, workflow: str) -> Any:
    """The result of the only run of a workflow that was not started by a restart."""
    page = await engine.runs(workflow=f"crash/{workflow}", limit=50)
    first = min(page.items, key=lambda run: (run.created_at, run.id))
    return await engine.result(first.id)


async def fan(engine: Engine) -> None:
    await engine.send(Event("crash/fan", {"number": 5}, id="fan"))
    assert await one(engine, "fan") == {"both": [10, 24], "named": {"child": 11, "run": 14}}
    assert await one(engine, "told") == 10


async def wait(engine: Engine) -> None:
    await engine.send(Event("crash/wait", {"key": "k"}, id="wait"))
    for n in range(3):
        await engine.send([Event("crash/ping", {"key": "k", "n": n}, id=f"ping-{n}")])
        await engine.send(Event("crash/ping", {"key": "other", "n": n}, id=f"other-{n}"))
    assert await one(engine, "wait") == {"seen": [0, 1], "won": "event"}
    assert await one(engine, "listen") == {"seen": 2}


async def saga(engine: Engine) -> None:
    await engine.send(Event("crash/saga", {}, id="saga"))
    assert await one(engine, "saga") == 42


@pytest.mark.parametrize("phase", ["before", "during", "after"])
@pytest.mark.parametrize("scenario", [fan, wait, saga], ids=lambda scenario: scenario.__name__)
def test_every_commit_point_survives_kill_9(scenario: harness.Scenario, phase: harness.Phase, tmp_path: Path) -> None:
    """However early or late in a commit the process dies, the next one goes on from what is durable."""
    points = 0
    for at in range(1, POINTS):
        if not harness.survive(tmp_path, scenario, at, phase):
            break
        points += 1
    else:
        raise AssertionError(f"still killed at commit {POINTS}")
    assert points >= 6, f"only {points} commit points: the scenario does not exercise what it should"
