"""When steps began, told by the code: compared with what a simulation has seen of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import attrs
import trio

from flowgen import All as Both
from flowgen import App, Backoff, Event, Invoke, OnEvent, Race, Run, Sleep, StepError, WaitFor
from flowgen.history import Started
from flowgen.runtime.http.ui.asked import NOTHING, asked_for
from flowgen.runtime.http.ui.waterfall import waterfall
from flowgen.testing import Trace, simulate

app = App("shop", retries=1, backoff=Backoff.fixed("2s"))


async def work(seconds: float) -> float:
    await trio.sleep(seconds)
    return seconds


async def break_down() -> None:
    await trio.sleep(1)
    raise ConnectionError("gone")


@app.workflow
def child(ctx: Any) -> Any:
    yield Sleep("nap", "5s")


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Any) -> Any:
    """Bodies one after the other, beside each other in one scope and in branches, and after waits."""

    def branch() -> Any:
        yield Sleep("dry", "3s")
        yield Run("stick", work, 2)

    yield Run("load", work, 1)
    yield Both(Run("pack", work, 4), Run("label", work, 7), branch(), Invoke("child", child, {}))
    with suppress(StepError):
        yield Run("break", break_down)
    yield Race(shipped=WaitFor("shipped", "order/shipped", timeout="9d"), late=Sleep("late", "3d"))
    yield Run("end", work, 1)


def placed(until: str | None = None) -> Trace:
    return simulate(app, [Event("order/placed", {})], until=until)


def test_a_step_was_asked_for_when_its_body_first_began() -> None:
    """For each step of a run, also for those that ran beside each other."""
    trace = placed()
    run = trace.run("fulfil")
    assert run.status == "completed"
    asked = asked_for(app.workflows["fulfil"], run.recorded)
    assert asked.known
    begun = {e.step: e.started_at for e in reversed(trace.executions) if e.run == run.id}
    assert set(begun) == {"load", "pack", "label", "all/2/stick", "break", "end"}
    assert {step: asked.at[step] for step in begun} == begun


def test_the_picture_of_a_run_has_its_bodies_as_they_were() -> None:
    """Each attempt is a bar from where the simulation saw it begin to where it ended."""
    trace = placed()
    run = trace.run("fulfil")
    recorded = run.recorded
    picture = waterfall(recorded.row, recorded.records, trace.ended_at, asked_for(app.workflows["fulfil"], recorded))
    drawn = {
        (row.step, bar.begin, bar.end)
        for row in picture.rows
        for bar in row.bars
        if row.kind == "run" and bar.kind in ("attempt", "failed")
    }
    assert drawn == {(e.step, e.started_at, e.ended_at) for e in trace.executions if e.run == run.id}


def test_what_is_executing_now_is_known() -> None:
    """Two bodies and not the branch that sleeps."""
    run = placed(until="2s").run("fulfil")
    asked = asked_for(app.workflows["fulfil"], run.recorded)
    assert asked.executing == ("pack", "label")


def test_the_loser_of_a_race_was_given_up() -> None:
    """When the winner came."""
    run = placed().run("fulfil")
    asked = asked_for(app.workflows["fulfil"], run.recorded)
    late = next(
        record.at for record in run.history if getattr(record, "step", "") == "late" and hasattr(record, "value")
    )
    assert asked.abandoned == {"shipped": late}


spins = App("spins")


@spins.workflow(on=OnEvent("order/placed"))
def spin(ctx: Any) -> Any:
    yield Run("load", work, 1)
    while ctx.run_id in spinning:
        """For ever."""
    yield Run("end", work, 1)


spinning: set[str] = set()


def test_of_a_rerun_the_code_of_today_is_asked() -> None:
    """It does not say which code it began on. If that spins, it is left, and nothing is known."""
    run = simulate(spins, [Event("order/placed", {})]).run("spin")
    first = run.history[0]
    assert isinstance(first, Started)
    rerun = attrs.evolve(run.recorded, records=(attrs.evolve(first, digest=""), *run.history[1:]))
    assert asked_for(spins.workflows["spin"], rerun) == asked_for(spins.workflows["spin"], run.recorded)
    spinning.add(run.id)
    assert asked_for(spins.workflows["spin"], rerun) == NOTHING


def test_other_code_is_not_asked() -> None:
    """Nothing is known without code, on another digest, or of a run that has only begun."""
    recorded = placed().run("fulfil").recorded
    workflow = app.workflows["fulfil"]
    first = recorded.records[0]
    assert isinstance(first, Started)
    other = attrs.evolve(recorded, records=(attrs.evolve(first, digest="other"), *recorded.records[1:]))
    begun = attrs.evolve(recorded, records=recorded.records[:1])
    assert asked_for(None, recorded) == asked_for(workflow, other) == asked_for(workflow, begun) == NOTHING


def test_code_that_disagrees_is_not_asked() -> None:
    """A history that the code could not have written is no reason for a page to break."""
    recorded = placed().run("fulfil").recorded
    mixed = attrs.evolve(recorded, records=(recorded.records[0], *recorded.records[-2:0:-1]))
    assert asked_for(app.workflows["fulfil"], mixed) == NOTHING
