"""What flow control says about a run that an event would start.

The seam for concurrency, throttling, rate limits, debouncing, batching, priorities, singletons and
idempotency: each is a pure function from the event, the policy and the state read from cells and keys
to an `Admission`. Today no policy is accepted by the `workflow` decorator, so every run is admitted.

Refuses to know how a run is created (`decisions`) and where state is kept (`transition`).
"""

from __future__ import annotations

import attrs

from .events import AcceptedEvent


@attrs.frozen
class Start:
    """Create the run, due at once."""


Admission = Start


def admit(event: AcceptedEvent) -> Admission:
    """Decide what becomes of the run that `event` would start."""
    return Start()
