"""The finish timeout of a run whose body is at work when it passes."""

from __future__ import annotations

import pytest
import trio

from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.flow_control import Timeouts
from flowgen.testing import Start, check_invariants, simulate

LIMIT = Timeouts(finish="1h")


async def _two_hours() -> str:
    await trio.sleep(7200)
    return "too late"


@pytest.mark.parametrize("begin", [Event("asked"), Start("slow")], ids=["by an event", "directly"])
def test_a_body_that_is_awaited_alone_does_not_outlive_the_finish_timeout(begin: object) -> None:
    """The only open step of a run is cancelled when the run's time is over, and the run ends then."""
    app = App("app")

    @app.workflow(on=OnEvent("asked"), timeouts=LIMIT)
    def slow(ctx: Context) -> Steps[str]:
        return (yield from Run(_two_hours))

    trace = simulate(app, [begin])
    check_invariants(trace)
    run = trace.run("slow")
    assert (run.status, run.reason) == ("cancelled", "it did not end in time (timeouts)")
    assert (trace.ended_at - trace.started_at) // 1_000_000 == 3600
