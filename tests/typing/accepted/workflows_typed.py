"""What a workflow may be given: triggers, flow control, and what the decorator leaves in the function's place."""

from __future__ import annotations

from typing import Any, assert_type

import attrs

from flowgen import (
    App,
    Batch,
    CancelOn,
    Concurrency,
    Context,
    Debounce,
    Event,
    OnCron,
    OnEvent,
    Priority,
    RateLimit,
    Singleton,
    Sleep,
    Steps,
    Throttle,
    Timeouts,
    Workflow,
    event_type,
)
from flowgen.flow_control import Policies


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str


app = App("shop")


@app.workflow(on=OnEvent("flowgen/run.failed"))
def notify(ctx: Context[dict[str, Any]]) -> Steps[None]:
    yield Sleep("a", 1)


@app.workflow(
    on=[OnEvent(OrderPlaced), OnCron("0 9 * * MON", jitter="5m")],
    concurrency=Concurrency(10),
    throttle=Throttle(3, per="1m"),
    rate_limit=RateLimit(10, per="1h"),
    debounce=Debounce("5m"),
    priority=Priority("120"),
    singleton=Singleton(),
    idempotency="event.data.cart_id",
    cancel_on=CancelOn("order/cancelled"),
    timeouts=Timeouts(start="1h"),
    on_failure=notify,
)
def fulfil(ctx: Context[OrderPlaced | dict[str, Any]]) -> Steps[str]:
    assert_type(ctx.event.data, OrderPlaced | dict[str, Any])
    yield Sleep("a", 1)
    return "done"


assert_type(fulfil, Workflow[OrderPlaced | dict[str, Any], str])
assert_type(fulfil.policies, Policies)
assert_type(fulfil.schedules, tuple[OnCron, ...])


@app.workflow(on=OnCron("0 9 * * *"), batch=Batch(100, wait="5s"), on_failure="notify", concurrency=None)
def report(ctx: Context) -> Steps[int]:
    assert_type(ctx.events, tuple[Event[dict[str, Any]], ...])
    yield Sleep("a", 1)
    return len(ctx.events)


limits = [Concurrency(10), Concurrency(2, key="event.data.a", scope="app")]
schedules = [OnCron("0 9 * * *"), OnCron("0 18 * * *")]


@app.workflow(on=schedules, concurrency=limits, cancel_on=[CancelOn("a"), CancelOn("b")])
def several(ctx: Context) -> Steps[None]:
    yield Sleep("a", 1)
