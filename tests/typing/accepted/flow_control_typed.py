"""What flow control is written with, and what it holds."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal, assert_type

import attrs

from flowgen import event_type
from flowgen.flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Policies,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    check_policies,
    key_text,
    priority_of,
)


@event_type("order/cancelled")
@attrs.frozen
class OrderCancelled:
    order_id: str


assert_type(Concurrency(10, key="event.data.a", scope="app").scope, Literal["workflow", "app"])
assert_type(Throttle(3, per="1m", burst=2).per, int)
assert_type(RateLimit(3, 60).limit, int)
assert_type(Debounce(timedelta(minutes=5), max_wait="1h").max_wait, int | None)
assert_type(Batch(100, wait=0.5, key="event.data.a").key, str | None)
assert_type(Priority("120").expression, str)
assert_type(Singleton(mode="cancel").mode, Literal["skip", "cancel"])
assert_type(CancelOn(OrderCancelled, match="data.order_id").event, str)
assert_type(CancelOn("order/cancelled", where="async.data.all", timeout="7d").timeout, int | None)
assert_type(Timeouts(finish="2d").start, int | None)

policies = check_policies("workflow fulfil", "shop/fulfil", concurrency=[Concurrency(10)], on_failure="notify")
assert_type(policies, Policies)
assert_type(policies.concurrency, tuple[Concurrency, ...])
assert_type(policies.throttle, Throttle | None)
assert_type(key_text(policies.idempotency, {"data": {}}), str)
assert_type(priority_of(policies.priority, {"data": {}}), tuple[int, str | None])
