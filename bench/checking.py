"""What `check_workflow` costs: a typical workflow of six steps, 200 examples, in seconds of CPU.

Run it: `python -m bench.checking`. The budget is two seconds. It is printed and not asserted: machines differ.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from flowgen import All, App, Context, Event, OnEvent, Run, Sleep, Steps, WaitFor
from flowgen.testing import check_workflow, simulate
from flowgen.testing.strategies import events, interleavings

EXAMPLES = 200
TIMES = 3
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


def seconds(work: Any) -> float:
    """The CPU time of some work, the middle one of several."""
    spent = []
    for _ in range(TIMES):
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return median(spent)


if __name__ == "__main__":
    simulated()
    print(f"check_workflow, {EXAMPLES} examples:  {seconds(check):.2f} s of CPU")
    print(f"simulate, {EXAMPLES} times:           {seconds(simulated):.2f} s of CPU")
