"""Kill -9 at every commit point of what flow control does: limits hold, nothing is lost, nothing is doubled (I1, F1).

Each scene sends its events again in each life; their ids say that they are the same. When all has ended, the
doctor finds no difference, and the scene's own rules hold of what is in the store. The three phases take turns:
between them they kill at every commit, which is a minute's work, not three.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from flowgen import App, Event, acceptance
from flowgen.duration import moment
from flowgen.history import CancelAccepted, EndCancelled, EndCompleted, Started
from flowgen.runtime import Engine, router
from flowgen.runtime.store import RunFilter
from flowgen.values import decode

from . import flow, harness

PHASES: tuple[harness.Phase, ...] = ("before", "during", "after")
POINTS = 200
NEVER_STARTED = (Started, CancelAccepted, EndCancelled)
"""The records of a run that was cancelled before its start."""
Runs = list[harness.Ended]


# -- what is sent ----------------------------------------------------------------------------------


def event(name: str, n: int, **data: Any) -> Event[Any]:
    return Event(name, {"n": n, **data}, id=f"{name}-{n}")


async def route(engine: Engine) -> None:
    await engine.send([event("flow/collect", n, k="a" if n else "b") for n in range(4)])
    await engine.send([event("flow/limited", n, k="k", once=n // 2) for n in range(6)])
    for n in (4, 5):
        await engine.send(event("flow/invoke", n))
    await engine.send(event("flow/collect", 6, k="a"))
    await all_end(engine)


async def open_(engine: Engine) -> None:
    await engine.send([event("flow/open", n, k=n % 2) for n in range(3)])
    await engine.send(event("flow/open", 3, k=1))
    await all_end(engine)


async def claim(engine: Engine) -> None:
    await engine.send([event("flow/scarce", n, k=n % 2) for n in range(4)])
    await engine.send(event("flow/enough", 2))
    await all_end(engine)


async def stop(engine: Engine) -> None:
    await engine.send([event("flow/stop", n, k=n) for n in range(2)])
    await engine.send([event("flow/halt", n, k=n) for n in range(2)])
    await all_end(engine)


async def tick(engine: Engine) -> None:
    later = moment(harness.ORIGIN + harness.BEFORE_THE_HOUR + 10_000)
    await engine.send([event("flow/fan", 0), Event("flow/fan", {"n": 1}, id="later", ts=later)])
    await all_end(engine, {"ticking": 1, **{f"fan-{n}": 2 for n in range(flow.FAN)}})


async def all_end(engine: Engine, least: Mapping[str, int] | None = None) -> None:
    """Wait until no run is open and there are at least so many of each workflow."""
    while True:
        rows = (await engine.store.find_runs(RunFilter(), None)).items
        count = Counter(row.workflow for row in rows)
        if not any(row.open for row in rows) and all(count[name] >= number for name, number in (least or {}).items()):
            return
        await trio.sleep(0.002)


# -- what holds at the end -------------------------------------------------------------------------


def of(runs: Runs, workflow: str, *states: str) -> Runs:
    """The runs of a workflow in one of the states, the oldest first."""
    found = [run for run in runs if run.run.row.workflow == workflow and (not states or run.run.row.stored in states)]
    return sorted(found, key=lambda run: (run.run.row.created_at, run.run.row.id))


def results(runs: Runs, workflow: str) -> list[Any]:
    return [decode(run.run.records[-1].result) for run in of(runs, workflow, "completed") if _completed(run)]


def _completed(run: harness.Ended) -> bool:
    return isinstance(run.run.records[-1], EndCompleted)


def numbers(run: harness.Ended) -> list[int]:
    return [decode(event.data)["n"] for event in run.run.events]


def routed(runs: Runs) -> None:
    """Two starts within the limit and one for each key; each event in one batch; the last one after quiet."""
    assert Counter(run.run.row.stored for run in of(runs, "limited")) in (
        {"completed": 3, "skipped": 5},
        {"completed": 4, "skipped": 4},
    )
    assert len([run for run in of(runs, "limited", "completed") if numbers(run)[0] >= 0]) == 2
    assert len([run for run in of(runs, "limited", "completed") if numbers(run)[0] < 0]) == 1
    assert sorted(n for batch in results(runs, "batched") for n in batch) == [0, 1, 2, 3, 4, 5, 6]
    assert all(1 <= len(batch) <= 3 for batch in results(runs, "batched"))
    assert [n for n in results(runs, "debounced") if n in (0, 6)] in ([0, 6], [6, 0])
    assert sorted(kind for _, kind in results(runs, "invoking")) == ["RunSkipped", "started"]
    assert all(len(batch) <= 3 for batch, _ in results(runs, "invoking"))


def opened(runs: Runs) -> None:
    """Throttled starts are apart; one run of a singleton is open at a time; all of it ended as it should."""
    assert sorted(results(runs, "spread")) == [0, 1, 2, 3]
    starts = sorted(run.run.row.start_at or run.run.row.created_at for run in of(runs, "spread"))
    assert all(later - earlier >= 5_000 for earlier, later in pairwise(starts))
    assert 3 in results(runs, "latest")
    assert len(of(runs, "latest", "completed", "cancelled")) == 4
    assert {0, 1} <= set(results(runs, "alone"))
    assert len(of(runs, "alone", "completed", "skipped")) == 4
    for executed in (of(runs, "latest"), *_by_key(of(runs, "alone", "completed"))):
        started = [run for run in executed if len(run.run.records) > len(NEVER_STARTED)]
        started.sort(key=lambda run: run.first)
        assert all(earlier.last < later.first for earlier, later in pairwise(started)), started


def _by_key(runs: Runs) -> list[Runs]:
    return [[run for run in runs if decode(run.run.events[-1].data)["k"] == key] for key in (0, 1)]


def claimed(runs: Runs) -> None:
    """Every run got its slots; the cancelled one is the one that was meant."""
    assert sorted(results(runs, "sharing")) == [0, 1, 2, 3]
    assert {0, 1, 3} <= set(results(runs, "scarce"))
    assert all(numbers(run) == [2] for run in of(runs, "scarce", "cancelled"))
    assert len(of(runs, "scarce", "completed", "cancelled")) == 4


def ended(runs: Runs) -> None:
    """Each run ended as it was told to, and whoever listens heard of each end once."""
    assert [run.run.row.stored for run in of(runs, "stopped")] == ["cancelled"] * 2
    assert {run.run.row.stored for run in of(runs, "waiting")} <= {"cancelled"}
    assert [run.run.row.stored for run in of(runs, "late")] == ["cancelled"] * 2
    assert sorted(run.run.row.stored for run in of(runs, "unstarted")) == ["cancelled", "completed"]
    assert [run.run.row.stored for run in of(runs, "failing")] == ["failed"] * 2
    assert results(runs, "failures") == ["StepError"] * 2
    bad = [run.run.row.id for run in runs if run.run.row.stored in ("cancelled", "failed")]
    assert sorted(results(runs, "hearing")) == sorted(bad)


def ticked(runs: Runs) -> None:
    """No tick happened twice, none is missing between two, and each event reached each workflow once."""
    ticks = results(runs, "ticking")
    assert ticks
    assert len(set(ticks)) == len(ticks)
    assert [results(runs, f"fan-{n}") for n in range(flow.FAN)] == [[n, n] for n in range(flow.FAN)]


@attrs.frozen
class Scene:
    play: harness.Scenario
    holds: Callable[[Runs], None]
    app: App = flow.app
    at_once: int = acceptance.STARTS_AT_ONCE
    """So many runs begin with the commit of their events; the router begins the others."""


SCENES = [Scene(route, routed), Scene(open_, opened), Scene(claim, claimed), Scene(stop, ended)]
SCENES += [Scene(tick, ticked, flow.clockwork, at_once=3)]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.play.__name__)
def test_every_commit_point_survives_kill_9(
    scene: Scene, phase: harness.Phase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However early or late in a commit the process dies, flow control goes on from what is durable."""
    monkeypatch.setattr(acceptance, "STARTS_AT_ONCE", scene.at_once)
    monkeypatch.setattr(router, "STARTS_AT_ONCE", scene.at_once)
    points = 0
    for at in range(1 + PHASES.index(phase), POINTS, len(PHASES)):
        if not harness.survive(tmp_path, scene.play, at, phase, scene.app, scene.holds):
            break
        points += 1
    else:
        raise AssertionError(f"still killed at commit {POINTS}")
    assert points >= 5, f"only {points} commit points: the scenario does not exercise what it should"
