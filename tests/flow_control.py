"""Strategies of flow-control options, each within its bounds."""

from __future__ import annotations

from hypothesis import strategies as st

from flowgen.duration import DAY, MAX_DURATION
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
)
from flowgen.flow_control.options import MAX_BATCH, MAX_LIMIT, MAX_RATE_LIMIT

KEYS = st.sampled_from([None, "event.data.a", "event.data.b.c", "event.name + event.data.a", "string(event.ts)"])
SPANS = st.integers(1, MAX_DURATION).map(lambda micros: f"{micros}us")
SOME_SPANS = st.none() | SPANS
NAMES = st.sampled_from(["a", "order/cancelled", "späte.post"])

CONCURRENCIES = st.builds(Concurrency, st.integers(1, MAX_LIMIT), key=KEYS, scope=st.sampled_from(["workflow", "app"]))
THROTTLES = st.builds(
    Throttle, st.integers(1, MAX_LIMIT), st.integers(1, 366).map(lambda days: days * DAY / 1e6), key=KEYS
) | st.builds(Throttle, st.integers(1, 1_000), st.just("1m"), key=KEYS, burst=st.integers(1, 1_000))
RATE_LIMITS = st.builds(RateLimit, st.integers(1, MAX_RATE_LIMIT), SPANS, key=KEYS)
DEBOUNCES = st.builds(
    lambda period, more, key: Debounce(
        f"{period}us", key=key, max_wait=None if more is None else f"{min(period + more, MAX_DURATION)}us"
    ),
    st.integers(1, MAX_DURATION),
    st.none() | st.integers(0, DAY),
    KEYS,
)
BATCHES = st.builds(Batch, st.integers(1, MAX_BATCH), SPANS, key=KEYS)
PRIORITIES = st.builds(Priority, st.sampled_from(["120", "event.data.vip ? 120 : 0", "event.data.rank"]))
SINGLETONS = st.builds(Singleton, key=KEYS, mode=st.sampled_from(["skip", "cancel"]))
CANCELS = st.builds(
    CancelOn,
    NAMES,
    match=st.sampled_from([None, "data.order_id", "event.data.a"]),
    where=st.sampled_from([None, "async.data.x == event.data.x"]),
    timeout=SOME_SPANS,
)
TIMEOUTS = st.builds(Timeouts, start=SPANS, finish=SOME_SPANS) | st.builds(Timeouts, finish=SPANS)

OPTIONS = st.one_of(
    CONCURRENCIES, THROTTLES, RATE_LIMITS, DEBOUNCES, BATCHES, PRIORITIES, SINGLETONS, CANCELS, TIMEOUTS
)

POLICIES = st.builds(
    Policies,
    concurrency=st.lists(CONCURRENCIES, max_size=2).map(tuple),
    throttle=st.none() | THROTTLES,
    rate_limit=st.none() | RATE_LIMITS,
    debounce=st.none() | DEBOUNCES,
    batch=st.none() | BATCHES,
    priority=st.none() | PRIORITIES,
    singleton=st.none() | SINGLETONS,
    idempotency=KEYS,
    cancel_on=st.lists(CANCELS, max_size=3).map(tuple),
    timeouts=st.none() | TIMEOUTS,
    on_failure=st.sampled_from([None, "shop/notify-ops"]),
)
"""Any values, also of options that do not go together."""
