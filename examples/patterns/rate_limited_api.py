"""Rate-limited API: a partner takes five calls a second, whoever calls.

Each call is a run of a workflow with a throttle, and whoever needs one invokes it: so the pace is that of all
workflows together, and of all processes. A caller waits without holding anything. When the partner says "slow down"
all the same, `RetryAfterError` says when to try again.
"""

from __future__ import annotations

from typing import Any

from flowgen import All, App, Context, Event, Invoke, OnEvent, RetryAfterError, Run, Steps, Throttle, step_info
from flowgen.testing import Trace, simulate

app = App("geo")


def ask_partner(address: str) -> list[float]:
    if address == "address 3" and step_info().attempt == 1:
        raise RetryAfterError("429 too many requests", "30s")
    return [52.5, float(address.split()[1])]


@app.workflow(throttle=Throttle(5, per="1s"))
def locate(ctx: Context) -> Steps[list[float]]:
    return (yield from Run(ask_partner, ctx.event.data["address"]))


@app.workflow(on=OnEvent("tour/planned"))
def plan_tour(ctx: Context) -> Steps[int]:
    stops = ctx.event.data["stops"]
    places = yield All(
        *[Invoke(f"locate {n}", locate, {"address": stop}, timeout="1h") for n, stop in enumerate(stops)]
    )
    return len(places)


def story(**how: Any) -> Trace:
    """Two tours with twenty stops each are planned at once: forty calls take eight seconds, and one 30 more."""
    stops = [f"address {number}" for number in range(20)]
    return simulate(app, [Event("tour/planned", {"stops": stops}), Event("tour/planned", {"stops": stops})], **how)


if __name__ == "__main__":
    print(story().timeline())
