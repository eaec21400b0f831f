"""Back-off: pure delays, within their bounds, and options that are refused by name."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.duration import DAY, HOUR, MINUTE, SECOND, instant
from flowgen.errors import DefinitionError, RetryAfterError
from flowgen.retry import (
    DEFAULT_BACKOFF,
    DEFAULT_RETRIES,
    Backoff,
    check_retries,
    clamp_retry_after,
    retry_after_micros,
)

RANDOMS = st.floats(0, 1, exclude_max=True)


def delays(backoff: Backoff, attempts: int) -> list[float]:
    """The first delays in seconds, without jitter."""
    return [backoff.delay(attempt, 0.5) / SECOND for attempt in range(1, attempts + 1)]


def test_exponential_delays_double_up_to_the_maximum() -> None:
    """Each delay is `factor` times the one before, until `maximum`."""
    assert delays(Backoff.exponential("1s", factor=2, maximum="10s"), 6) == [1, 2, 4, 8, 10, 10]


def test_the_default_begins_with_one_second() -> None:
    """Without an option: exponential from one second, and four retries."""
    assert delays(DEFAULT_BACKOFF, 3) == [1, 2, 4]
    assert DEFAULT_RETRIES == 4


def test_a_table_repeats_its_last_delay() -> None:
    """The delays of a table in turn, then the last for ever."""
    assert delays(Backoff.table(["5s", 60, timedelta(hours=1)]), 5) == [5, 60, 3600, 3600, 3600]


def test_a_fixed_delay_stays() -> None:
    """The same after each attempt; zero means at once."""
    assert delays(Backoff.fixed("250ms"), 3) == [0.25, 0.25, 0.25]
    assert delays(Backoff.fixed(0, jitter=1), 2) == [0, 0]


@given(st.integers(1, 10_000), RANDOMS, st.floats(0, 1), st.floats(1, 100))
def test_a_delay_stays_within_jitter_and_maximum(attempt: int, random: float, jitter: float, factor: float) -> None:
    """Jitter moves a delay by at most its share; no attempt number, however large, overflows."""
    plain = Backoff.exponential("1s", factor, "1h", jitter=0).delay(attempt, random)
    moved = Backoff.exponential("1s", factor, "1h", jitter).delay(attempt, random)
    assert plain * (1 - jitter) - 1 <= moved <= min(HOUR, plain * (1 + jitter) + 1)


@given(st.floats(1, 100), RANDOMS)
def test_delays_never_shrink(factor: float, random: float) -> None:
    """Under one random number, a later attempt waits at least as long."""
    backoff = Backoff.exponential("10ms", factor, "1d")
    assert all(a <= b for a, b in pairwise(backoff.delay(n, random) for n in range(1, 25)))


def test_jitter_spreads() -> None:
    """Two random numbers give two delays: what failed together does not come back together."""
    assert Backoff.fixed("10s", jitter=0.5).delay(1, 0.0) == 5 * SECOND
    assert Backoff.fixed("10s", jitter=0.5).delay(1, 0.75) == 12.5 * SECOND


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Backoff.exponential("2h", maximum="1h"), "first (2h) is above maximum (1h)"),
        (lambda: Backoff.exponential("soon"), "first of Backoff.exponential: 'soon'"),
        (lambda: Backoff.exponential(factor=0.5), "factor of Backoff.exponential: 0.5 is not a number from 1 to 100"),
        (lambda: Backoff.exponential(factor=float("nan")), "factor of Backoff.exponential: nan"),
        (lambda: Backoff.exponential(jitter=2), "jitter of Backoff.exponential: 2 is not a number from 0 to 1"),
        (lambda: Backoff.exponential(jitter=True), "jitter of Backoff.exponential: True"),
        (lambda: Backoff.fixed("2d"), "delay of Backoff.fixed: '2d' is too long; at most 1d"),
        (lambda: Backoff.fixed(-1), "delay of Backoff.fixed: -1 is negative"),
        (lambda: Backoff.table([]), "Backoff.table: [] is not a list of durations"),
        (lambda: Backoff.table("5s"), "Backoff.table: '5s' is not a list"),
        (lambda: Backoff.table(["1s", "x"]), "delay 2 of Backoff.table: 'x'"),
    ],
)
def test_a_bad_backoff_names_its_option(make: Any, message: str) -> None:
    """What can never work is refused where it is defined, with the option and its value."""
    with pytest.raises(DefinitionError) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize("value", [0, 4, 20])
def test_retries_are_counted_from_0_to_20(value: int) -> None:
    """0 to 20 retries are accepted."""
    assert check_retries(value, "retries") == value


@pytest.mark.parametrize("value", [-1, 21, True, 1.5, "3", None])
def test_other_numbers_of_retries_are_refused(value: object) -> None:
    """Anything else names the option, the value and the bounds."""
    with pytest.raises(DefinitionError, match=r"^retries of 'x': .* from 0 to 20$"):
        check_retries(value, "retries of 'x'")


@given(st.integers(-(10**18), 10**18))
def test_a_retry_after_is_clamped(micros: int) -> None:
    """At least one second, at most 24 hours, and untouched between."""
    clamped = clamp_retry_after(micros)
    assert SECOND <= clamped <= DAY
    assert clamped == micros or not SECOND <= micros <= DAY


def test_retry_after_takes_durations_and_moments() -> None:
    """A duration counts from now; an aware datetime is a point in time; both are clamped."""
    now = instant(datetime(2030, 1, 1, tzinfo=UTC), "now")
    later = datetime(2030, 1, 1, 0, 5, tzinfo=UTC)
    assert retry_after_micros(RetryAfterError("busy", "30s"), now) == 30 * SECOND
    assert retry_after_micros(RetryAfterError("busy", later), now) == 5 * MINUTE
    assert retry_after_micros(RetryAfterError("busy", datetime(2029, 1, 1, tzinfo=UTC)), now) == SECOND
    assert retry_after_micros(RetryAfterError("busy", "400d"), now) == DAY
    assert retry_after_micros(RetryAfterError("busy", 0), now) == SECOND


@pytest.mark.parametrize("after", ["soon", datetime(2030, 1, 1), float("nan"), -1, None])
def test_a_bad_retry_after_is_a_definition_error(after: Any) -> None:
    """A body that asks for nonsense is told so by name."""
    with pytest.raises(DefinitionError, match="^RetryAfterError: "):
        retry_after_micros(RetryAfterError("busy", after), 0)
