"""Clean-up: of a branch that lost, of a run that is cancelled, and of both at once."""

from __future__ import annotations

import pytest
import trio

from flowgen import All, App, Context, OnEvent, Race, Run, RunCancelled, Sleep, Steps
from flowgen.testing import Cancel

from .scenes import SECOND, at, ended, go, played


async def tidy(seconds: float) -> str:
    """Clean-up that takes so long."""
    await trio.sleep(seconds)
    return "tidied"


def losing(seconds: float) -> App:
    """An app whose run has a branch that loses after a second, and cleans up for so many."""
    app = App("flow")

    def branch() -> Steps[None]:
        try:
            yield Sleep("long", "1h")
        finally:
            yield Run("tidy", tidy, seconds)

    @app.workflow(on=OnEvent("go"))
    def work(ctx: Context) -> Steps[str]:
        yield Race(nap=Sleep("nap", "1s"), branch=branch())
        return "raced"

    return app


def busy(*branches: float) -> App:
    """An app whose run has bodies that take so many seconds beside each other, and cleans up if it is cancelled."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"))
    def work(ctx: Context) -> Steps[list[str]]:
        try:
            return (yield All(*[Run("body", tidy, seconds) for seconds in branches]))
        except RunCancelled:
            yield Run("undo", tidy, 0)
            raise

    return app


def test_the_clean_up_of_a_loser_goes_on_when_its_run_is_cancelled() -> None:
    """Its body is not stopped, and is recorded; only then the run ends."""
    trace = played(losing(30), [at(0, go(1)), at(10, Cancel("work"))])
    (run,) = trace.runs
    assert run.status == "cancelled"
    assert [body.ended is not None for body in trace.executed("race/branch/tidy")] == [True]
    assert ended(run, trace) == 31


def test_a_clean_up_has_a_minute() -> None:
    """Also one whose only open step is a body: that is stopped."""
    trace = played(losing(100), [at(0, go(1))])
    (run,) = trace.runs
    assert run.result == "raced"
    assert [body.ended for body in trace.executed("race/branch/tidy")] == [None]
    assert ended(run, trace) == 61


@pytest.mark.parametrize("branches", [(60,), (60, 70)], ids=["one", "two"])
def test_what_runs_is_stopped_by_a_cancel(branches: tuple[float, ...]) -> None:
    """At once, whether it runs alone or beside another; and clean-up begins."""
    trace = played(busy(*branches), [at(0, go(1)), at(10, Cancel("work"))])
    (run,) = trace.runs
    assert run.status == "cancelled"
    assert all(body.ended is None for body in trace.executions if body.step != "undo")
    assert [body.started_at - trace.started_at for body in trace.executed("undo")] == [10 * SECOND]
    assert ended(run, trace) == 10
