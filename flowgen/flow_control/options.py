"""The options of flow control, each a frozen value that is checked where it is written.

What happens to a run goes through three moments, and each option belongs to one of them. *Route* (the event is
there): `idempotency`, `RateLimit`, then `Debounce` or `Batch`. *Open* (the run is there): `Singleton`, `Throttle`,
`Priority`. *Claim* (a worker may execute it): `Concurrency`. `CancelOn` and `Timeouts` end an open run.

A `key` divides what an option counts: `key="event.data.customer_id"` is a limit for each customer. Without one there
is a single count. It is a plain path over `event` (what is not there is null) or CEL.
"""

from __future__ import annotations

from typing import Any, Literal

import attrs

from ..duration import MAX_DURATION, Micros, format_duration
from ..errors import DefinitionError, InvalidInput
from ..events import Event, check_waitable, event_name
from ..expression import check_expression, parse_path
from .checks import (
    KEY_VARIABLES,
    Span,
    check_choice,
    check_count,
    check_key,
    check_span,
    shown,
    spelled,
    written,
)

Scope = Literal["workflow", "app"]
Mode = Literal["skip", "cancel"]

MAX_LIMIT = 1_000_000
"""The largest limit of those whose state does not grow with it. Above, it is a slip."""
MAX_RATE_LIMIT = 10_000
"""A rate limit is exact: it remembers the time of each start in its window."""
MAX_BATCH = 5_000
MAX_PRIORITY = 600
"""Seconds by which a run may be put before or behind the others."""

CANCEL_VARIABLES = ("event", "async")
"""What `where` of `CancelOn` reads: the event that started the run, and the one that arrives."""


@attrs.frozen(init=False, repr=False)
class Concurrency:
    """At most `limit` runs execute at a time, for each key.

    A run that sleeps or waits does not count. `scope="app"` shares the limit among all workflows of the app that
    ask for the same key; `"workflow"` keeps it to this one.

    >>> Concurrency(10, key="event.data.customer_id")
    Concurrency(10, key='event.data.customer_id')
    """

    limit: int
    key: str | None = None
    scope: Scope = "workflow"

    def __init__(self, limit: int, *, key: str | None = None, scope: Scope = "workflow") -> None:
        self.__attrs_init__(
            check_count(limit, "limit of Concurrency", MAX_LIMIT),
            check_key(key, "key of Concurrency"),
            check_choice(scope, "scope of Concurrency", ("workflow", "app")),
        )

    def __repr__(self) -> str:
        scope = None if self.scope == "workflow" else self.scope
        return written("Concurrency", self.limit, key=self.key, scope=scope)


@attrs.frozen(init=False, repr=False)
class Throttle:
    """Starts are spread: at most `burst` at once, then one each `per / limit`, for each key.

    What is too much is delayed, never lost. After a pause, `burst` may start at once again.

    >>> Throttle(3, per="1m")          # one each 20 seconds
    Throttle(3, per='1m')
    """

    limit: int
    per: Micros
    key: str | None = None
    burst: int = 1

    def __init__(self, limit: int, per: Span, *, key: str | None = None, burst: int = 1) -> None:
        limit = check_count(limit, "limit of Throttle", MAX_LIMIT)
        micros = check_span(per, "per of Throttle")
        burst = check_count(burst, "burst of Throttle", MAX_LIMIT)
        _check_spacing(limit, micros, burst)
        self.__attrs_init__(limit, micros, check_key(key, "key of Throttle"), burst)

    def __repr__(self) -> str:
        burst = None if self.burst == 1 else self.burst
        return written("Throttle", self.limit, per=spelled(self.per), key=self.key, burst=burst)


def _check_spacing(limit: int, per: Micros, burst: int) -> None:
    """Starts are at least a microsecond apart, and a burst is there again within the longest duration."""
    if per < limit:
        raise DefinitionError(
            f"limit of Throttle: {limit:,} per {format_duration(per)} is more than one start each microsecond; "
            "lower the limit or lengthen per"
        )
    refilled = burst * per // limit
    if refilled > MAX_DURATION:
        raise DefinitionError(
            f"burst of Throttle: {burst:,} at {limit:,} per {format_duration(per)} take {format_duration(refilled)} "
            f"to be there again; at most {format_duration(MAX_DURATION)} is accepted: lower burst"
        )


@attrs.frozen(init=False, repr=False)
class RateLimit:
    """At most `limit` events start a run in any window of `per`, for each key; the others are skipped.

    The window slides: there is no moment at which the count begins anew, so no burst hides across one.

    >>> RateLimit(10, per="1h", key="event.data.customer_id")
    RateLimit(10, per='1h', key='event.data.customer_id')
    """

    limit: int
    per: Micros
    key: str | None = None

    def __init__(self, limit: int, per: Span, *, key: str | None = None) -> None:
        self.__attrs_init__(
            check_count(limit, "limit of RateLimit", MAX_RATE_LIMIT),
            check_span(per, "per of RateLimit"),
            check_key(key, "key of RateLimit"),
        )

    def __repr__(self) -> str:
        return written("RateLimit", self.limit, per=spelled(self.per), key=self.key)


@attrs.frozen(init=False, repr=False)
class Debounce:
    """One run, with the last event, when `period` has passed without another one of its key.

    `max_wait` is the longest time from the first event to the run, however often more come.

    >>> Debounce("5m", key="event.data.document_id", max_wait="1h")
    Debounce('5m', key='event.data.document_id', max_wait='1h')
    """

    period: Micros
    key: str | None = None
    max_wait: Micros | None = None

    def __init__(self, period: Span, *, key: str | None = None, max_wait: Span | None = None) -> None:
        quiet = check_span(period, "period of Debounce")
        longest = None if max_wait is None else check_span(max_wait, "max_wait of Debounce")
        if longest is not None and longest < quiet:
            raise DefinitionError(
                f"max_wait of Debounce: {format_duration(longest)} is shorter than period ({format_duration(quiet)}), "
                "which would never be waited for; lengthen max_wait or shorten period"
            )
        self.__attrs_init__(quiet, check_key(key, "key of Debounce"), longest)

    def __repr__(self) -> str:
        return written("Debounce", format_duration(self.period), key=self.key, max_wait=spelled(self.max_wait))


@attrs.frozen(init=False, repr=False)
class Batch:
    """One run for up to `size` events of a key; it begins when they are there, or `wait` after the first.

    >>> Batch(100, wait="5s")
    Batch(100, wait='5s')
    """

    size: int
    wait: Micros
    key: str | None = None

    def __init__(self, size: int, wait: Span, *, key: str | None = None) -> None:
        self.__attrs_init__(
            check_count(size, "size of Batch", MAX_BATCH),
            check_span(wait, "wait of Batch"),
            check_key(key, "key of Batch"),
        )

    def __repr__(self) -> str:
        return written("Batch", self.size, wait=spelled(self.wait), key=self.key)


@attrs.frozen(init=False, repr=False)
class Priority:
    """Runs are put before others: `expression` says by how many seconds, from -600 to 600.

    It gives an integer; what is beyond is taken as the bound, and an error as 0.

    >>> Priority("event.data.vip ? 120 : 0")
    Priority('event.data.vip ? 120 : 0')
    """

    expression: str

    def __init__(self, expression: str) -> None:
        self.__attrs_init__(check_expression(expression, KEY_VARIABLES, "expression of Priority"))

    def __repr__(self) -> str:
        return written("Priority", self.expression)


@attrs.frozen(init=False, repr=False)
class Singleton:
    """At most one open run for each key.

    While there is one, a new run is skipped (`mode="skip"`), or it cancels the old one and begins when that has
    ended (`"cancel"`).

    >>> Singleton(key="event.data.tenant", mode="cancel")
    Singleton(key='event.data.tenant', mode='cancel')
    """

    key: str | None = None
    mode: Mode = "skip"

    def __init__(self, *, key: str | None = None, mode: Mode = "skip") -> None:
        self.__attrs_init__(
            check_key(key, "key of Singleton"), check_choice(mode, "mode of Singleton", ("skip", "cancel"))
        )

    def __repr__(self) -> str:
        return written("Singleton", key=self.key, mode=None if self.mode == "skip" else self.mode)


@attrs.frozen(init=False, repr=False)
class CancelOn:
    """An event that cancels an open run.

    `event` is a name, or an event class. `match="data.order_id"` means: the same value there as in the event that
    started the run. `where` is an expression over `event` (that one) and `async` (the one that arrives). With both,
    both must hold; with neither, any event of that name cancels. `timeout` is how long after the run was created it
    may still be cancelled so; without one, as long as it is open.

    >>> CancelOn("order/cancelled", match="data.order_id", timeout="7d")
    CancelOn('order/cancelled', match='data.order_id', timeout='7d')
    """

    event: str
    match: str | None = None
    where: str | None = None
    timeout: Micros | None = None

    def __init__(
        self,
        event: str | type[Any],
        *,
        match: str | None = None,
        where: str | None = None,
        timeout: Span | None = None,
    ) -> None:
        name = _event_name(event)
        what = f"CancelOn({name!r})"
        if match is not None:
            parse_path(match, f"match of {what}")
        if where is not None:
            check_expression(where, CANCEL_VARIABLES, f"where of {what}")
        self.__attrs_init__(name, match, where, None if timeout is None else check_span(timeout, f"timeout of {what}"))

    def __repr__(self) -> str:
        return written("CancelOn", self.event, match=self.match, where=self.where, timeout=spelled(self.timeout))


def _event_name(event: Any) -> str:
    """The one name that events which cancel are called."""
    match event:
        case type():
            return event_name(event)
        case Event():
            raise DefinitionError(f"event of CancelOn: got an event; write its name, {event.name!r}")
        case str() if event.endswith("*"):
            raise DefinitionError(
                f"event of CancelOn: {shown(event)} is a pattern, for triggers only; name one event, "
                "and give a list of CancelOn for several"
            )
        case str():
            try:
                return check_waitable(event)
            except InvalidInput as error:
                raise DefinitionError(f"event of CancelOn: {error}") from None
        case _:
            raise DefinitionError(f"event of CancelOn: {shown(event)} is neither an event's name nor an event class")


@attrs.frozen(init=False, repr=False)
class Timeouts:
    """A run that takes too long is cancelled: `start` is how long it may wait, `finish` how long it may take.

    `start` counts from when the run was opened to when it starts, `finish` from there to its end.

    >>> Timeouts(start="1h", finish="2d")
    Timeouts(start='1h', finish='2d')
    """

    start: Micros | None = None
    finish: Micros | None = None

    def __init__(self, *, start: Span | None = None, finish: Span | None = None) -> None:
        if start is None and finish is None:
            raise DefinitionError("Timeouts() limits nothing; give it start, finish or both, such as finish='2d'")
        self.__attrs_init__(
            None if start is None else check_span(start, "start of Timeouts"),
            None if finish is None else check_span(finish, "finish of Timeouts"),
        )

    def __repr__(self) -> str:
        return written("Timeouts", start=spelled(self.start), finish=spelled(self.finish))
