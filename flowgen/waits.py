"""Which events an open wait takes, beyond its name and match value: its `where` expression.

An owner that looks back and a router that delivers ask here, so they agree.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .commands.waits import WHERE_VARIABLES
from .errors import ExpressionError
from .events import AcceptedEvent, event_document
from .expression import Expression
from .transition import Wait


@lru_cache(maxsize=4096)
def where_expression(text: str) -> Expression:
    """The compiled `where` of a wait: it sees the trigger as `event` and what arrives as `async`."""
    return Expression(text, WHERE_VARIABLES, "where of a WaitFor")


def cancels_in_time(wait: Wait, event: AcceptedEvent) -> bool:
    """Whether an event comes before the time of a `cancel_on` is over; one of the future comes at its `ts`."""
    return max(event.accepted_at, event.ts) <= wait.expires_at


def matches(wait_where: str | None, scope: dict[str, Any] | None, event: AcceptedEvent) -> bool:
    """Whether an event of the right name and match value is one that a wait waits for.

    An expression that fails on this event does not match it.
    """
    if wait_where is None:
        return True
    try:
        return where_expression(wait_where).is_true({"event": scope or {}, "async": event_document(event)})
    except ExpressionError:
        return False
