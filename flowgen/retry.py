"""When a step is tried again: the number of retries, and how long to wait before each.

A `Backoff` is a value; `delay(attempt, random)` is a pure function of the number of the attempt that
failed (from 1) and of a random number that its caller draws. What a body asks for itself with
`RetryAfterError` wins over it and is clamped to between one second and 24 hours.

Refuses to know what failed, and what time it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs

from .duration import HOUR, MAX_SPAN, SECOND, Instant, Micros, format_duration, instant, parse_duration
from .errors import DefinitionError, RetryAfterError

DEFAULT_RETRIES = 4
MAX_RETRIES = 20
MIN_RETRY_AFTER: Micros = SECOND
MAX_RETRY_AFTER: Micros = 24 * HOUR
MAX_FACTOR = 100.0


@attrs.frozen
class Backoff:
    """How long to wait after each failed attempt.

    Made by `Backoff.exponential`, `Backoff.fixed` or `Backoff.table`. `table` holds the first delays, in
    microseconds; after its last one each delay is `factor` times the one before, at most `maximum`.
    `jitter` shortens or lengthens each delay by up to that share of it, so that steps which failed
    together do not come back together.

    >>> Backoff.exponential("1s", factor=2, maximum="1h", jitter=0).delay(attempt=3, random=0.5)
    4000000
    """

    delays: tuple[Micros, ...]
    factor: float = 1.0
    maximum: Micros = MAX_RETRY_AFTER
    jitter: float = 0.0

    @staticmethod
    def exponential(
        first: str | float | timedelta = "1s",
        factor: float = 2,
        maximum: str | float | timedelta = "1h",
        jitter: float = 0.1,
    ) -> Backoff:
        """Delays that grow: `first`, then each `factor` (1 to 100) times the one before, up to `maximum`."""
        longest = _delay(maximum, "maximum of Backoff.exponential")
        start = _delay(first, "first of Backoff.exponential")
        if start > longest:
            raise DefinitionError(
                f"Backoff.exponential: first ({format_duration(start)}) is above maximum ({format_duration(longest)})"
            )
        growth = _number(factor, "factor of Backoff.exponential", 1, MAX_FACTOR)
        return Backoff((start,), growth, longest, _number(jitter, "jitter of Backoff.exponential", 0, 1))

    @staticmethod
    def fixed(delay: str | float | timedelta, jitter: float = 0.0) -> Backoff:
        """The same delay after each attempt."""
        every = _delay(delay, "delay of Backoff.fixed")
        return Backoff((every,), jitter=_number(jitter, "jitter of Backoff.fixed", 0, 1))

    @staticmethod
    def table(delays: Sequence[str | float | timedelta], jitter: float = 0.0) -> Backoff:
        """These delays in turn; the last one repeats."""
        if not isinstance(delays, list | tuple) or not delays:
            raise DefinitionError(f'Backoff.table: {delays!r} is not a list of durations, such as ["5s", "1m", "1h"]')
        steps = tuple(_delay(d, f"delay {n} of Backoff.table") for n, d in enumerate(delays, 1))
        return Backoff(steps, jitter=_number(jitter, "jitter of Backoff.table", 0, 1))

    def delay(self, attempt: int, random: float) -> Micros:
        """Microseconds to wait after attempt number `attempt` (from 1) failed; `random` is in [0, 1)."""
        assert attempt >= 1, f"attempts are counted from 1, not {attempt}"
        assert 0 <= random < 1, f"random must be in [0, 1), not {random}"
        repeats = attempt - len(self.delays)
        base = self.delays[attempt - 1] if repeats <= 0 else self._grown(repeats)
        return min(self.maximum, round(base * (1 + self.jitter * (2 * random - 1))))

    def _grown(self, repeats: int) -> float:
        """The last delay, `repeats` times multiplied, but never far above the maximum (no overflow)."""
        base = float(self.delays[-1])
        if self.factor == 1.0 or base == 0:
            return base
        for _ in range(repeats):
            base *= self.factor
            if base >= self.maximum:
                return float(self.maximum)
        return base


def check_retries(value: Any, what: str) -> int:
    """The number of retries if it is one from 0 to 20; `DefinitionError` otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_RETRIES:
        raise DefinitionError(f"{what}: {value!r} is not a number of retries; it is an int from 0 to {MAX_RETRIES}")
    return value


def clamp_retry_after(micros: Micros) -> Micros:
    """The delay that a body may ask for: at least one second, at most 24 hours."""
    return min(max(micros, MIN_RETRY_AFTER), MAX_RETRY_AFTER)


def retry_after_micros(error: RetryAfterError, now: Instant) -> Micros:
    """How long to wait because a body raised `error`, clamped.

    Raises `DefinitionError` when its `after` is neither a duration nor an aware `datetime`.
    """
    if isinstance(error.after, datetime):
        return clamp_retry_after(instant(error.after, "RetryAfterError") - now)
    return clamp_retry_after(parse_duration(error.after, "RetryAfterError", maximum=MAX_SPAN))


def _delay(value: str | float | timedelta, what: str) -> Micros:
    return parse_duration(value, what, maximum=MAX_RETRY_AFTER)


def _number(value: Any, what: str, low: float, high: float) -> float:
    """A real number within bounds (NaN is within none)."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise DefinitionError(f"{what}: {value!r} is not a number from {low:g} to {high:g}")
    return float(value)


DEFAULT_BACKOFF = Backoff.exponential()
