"""Flow control as values: what a workflow says about when its runs start, wait and must stop.

Each option of `@app.workflow` is a frozen value that is checked where it is written (`options`). `Policies` is all
that one workflow says, refused where two options contradict each other (`policies`). What a key or a priority is for
one event is worked out in `keys`, and written so that it can name a place in a store.

Rules: durations are microseconds inside, above zero and at most 366 days. Expressions are kept as text: they compile
when the option is made, and once more, remembered, where they are evaluated. A value read back from a store is
taken as it is, because whoever wrote it has checked it.

Refuses to know: how a policy is applied (`admission`), where its state is kept, which workflows there are, what time
it is.
"""

from __future__ import annotations

from .keys import key_text, priority_of
from .options import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from .policies import Policies, check_policies

__all__ = [
    "Batch",
    "CancelOn",
    "Concurrency",
    "Debounce",
    "Policies",
    "Priority",
    "RateLimit",
    "Singleton",
    "Throttle",
    "Timeouts",
    "check_policies",
    "key_text",
    "priority_of",
]
