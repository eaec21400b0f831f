"""What the testing kit costs, in seconds of CPU: `check_workflow`, simulations, and a year of cron.

Run it: `python -m bench.checking`. A typical workflow of six steps is checked with 200 examples; its budget is two
seconds. A year of a daily schedule is to pass in seconds. All is printed and not asserted, because machines differ.
Where others use the machine, the least of several is nearest to what it costs; so that is printed beside the median.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from flowgen import All, App, Context, Event, OnCron, OnEvent, Run, Sleep, Steps, WaitFor
from flowgen.testing import check_workflow, simulate
from flowgen.testing.strategies import events, interleavings

EXAMPLES = 200
DAYS = 365
TIMES = 5
app = App("shop")


def load(order: str) -> dict[str, str]:
    return {"id": order}


def charge(order: dict[str, str]) -> float:
    return 1.0


def label(order: dict[str, str]) -> str:
    return "label"


def pack(order: dict[str, str]) -> int:
    return 1


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context) -> Steps[str]:
    order = yield from Run(load, ctx.event.data["id"])
    yield from Run(charge, order)
    yield Sleep("settle", "30m")
    yield All(Run(label, order), Run(pack, order))
    yield WaitFor("approval", "order/approved", match="data.id", timeout="7d")
    return "done"


DATA = st.fixed_dictionaries({"id": st.sampled_from(["7", "8"])})


@settings(max_examples=EXAMPLES, database=None)
@check_workflow(fulfil, data=DATA, events=interleavings(events("order/approved", data=DATA), within="2d", most=2))
def check(trace: Any) -> None:
    """The built-in properties are all that is asked."""


def simulated() -> None:
    """The same number of simulations, without faults and properties."""
    for seed in range(EXAMPLES):
        simulate(app, [Event("order/placed", {"id": "7"}), ("1h", Event("order/approved", {"id": "7"}))], seed=seed)


reports = App("reports")


@reports.workflow(on=OnCron("0 6 * * *"))
def report(ctx: Context) -> Steps[str]:
    return (yield from Run(label, {}))


def a_year() -> None:
    """A schedule that ticks each day for a year, and the runs that it starts."""
    assert len(simulate(reports, until="365d").runs) == DAYS


def seconds(work: Any) -> str:
    """The CPU time of some work: the least and the middle one of several."""
    spent = []
    for _ in range(TIMES):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return f"{min(spent):.2f} s of CPU (median {median(spent):.2f})"


if __name__ == "__main__":
    check()
    print(f"check_workflow, {EXAMPLES} examples:   {seconds(check)}")
    print(f"simulate, {EXAMPLES} times:            {seconds(simulated)}")
    print(f"a year of cron, {DAYS} runs:      {seconds(a_year)}")
