"""Each line marked `# refused` is an error for both checkers, and no other line is."""

from __future__ import annotations

from flowgen.flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
    key_text,
)

Concurrency()  # refused
Concurrency("10")  # refused
Concurrency(10, "event.data.a")  # refused
Concurrency(10, scope="account")  # refused
Concurrency(10).limit = 11  # refused
Throttle(3)  # refused
Throttle(3, per="1m", burst="2")  # refused
Throttle(3, per=None)  # refused
RateLimit(3)  # refused
RateLimit(3, per="1m", burst=2)  # refused
Debounce()  # refused
Debounce("5m", "event.data.a")  # refused
Batch(100)  # refused
Batch(100, wait="5s", key=7)  # refused
Priority(120)  # refused
Singleton("event.data.a")  # refused
Singleton(mode="wait")  # refused
CancelOn()  # refused
CancelOn(7)  # refused
CancelOn("a", "data.a")  # refused
Timeouts("1h")  # refused
Timeouts(begin="1h")  # refused
key_text("event.data.a")  # refused
