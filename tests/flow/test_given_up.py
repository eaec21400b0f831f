"""What has lost a race is given up for good, whoever goes on with the run."""

from __future__ import annotations

from typing import Any

from flowgen import App, Context, Event, OnEvent, Race, Sleep, Steps, WaitFor
from flowgen.history import StepSucceeded
from flowgen.testing import Faults

from .scenes import at, go, played


def test_what_lost_a_race_stays_lost_for_another_engine() -> None:
    """Its time passes, its event comes: the history says nothing of that."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"))
    def work(ctx: Context) -> Steps[list[Any]]:
        first = yield Race(nap=Sleep("nap", "1s"), late=Sleep("late", "90m"))
        yield Sleep("long", "2h")
        second = yield Race(nap=Sleep("nap", "1s"), heard=WaitFor("heard", "news", timeout="1h"))
        yield Sleep("long", "2h")
        return [first.name, second.name]

    trace = played(app, [at(0, go(1)), at(10_000, Event("news", {}))], faults=Faults(evict=1.0))
    run = trace.run("work")
    assert run.result == ["nap", "nap"]
    outcomes = [record.step for record in run.history if isinstance(record, StepSucceeded)]
    assert outcomes == ["nap", "long", "nap:1", "long:1"]


def test_what_has_not_lost_is_found_by_another_engine() -> None:
    """An event that came between two of them, and a time that passed."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"))
    def work(ctx: Context) -> Steps[list[Any]]:
        heard = []
        for _ in range(3):
            won = yield Race(heard=WaitFor("heard", "news", timeout="1d"), nap=Sleep("nap", "1h"))
            heard.append(won.name)
        return heard

    events = [at(0, go(1)), at(1_000, Event("news", {})), at(1_001, Event("news", {}))]
    trace = played(app, events, faults=Faults(evict=1.0))
    assert trace.run("work").result == ["heard", "heard", "nap"]
