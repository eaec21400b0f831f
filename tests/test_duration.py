"""Durations and instants: what people write, exact microseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.duration import (
    DAY,
    HOUR,
    MAX_DURATION,
    MAX_SPAN,
    MINUTE,
    SECOND,
    format_duration,
    instant,
    moment,
    parse_duration,
)
from flowgen.errors import DefinitionError


@pytest.mark.parametrize(
    ("written", "micros"),
    [
        ("1h30m", HOUR + 30 * MINUTE),
        ("250ms", 250_000),
        ("7us", 7),
        ("2d", 2 * DAY),
        ("1w", 7 * DAY),
        ("1.5h", HOUR + 30 * MINUTE),
        (" 1h 30m ", HOUR + 30 * MINUTE),
        ("0s", 0),
        ("366d", MAX_DURATION),
        (0, 0),
        (90, 90 * SECOND),
        (0.25, 250_000),
        (1e-6, 1),
        (1.9e-6, 2),
        ("0.6us", 1),
        (timedelta(days=1, microseconds=3), DAY + 3),
        (timedelta(0), 0),
    ],
)
def test_a_duration_is_exact_microseconds(written: str | float | timedelta, micros: int) -> None:
    """Text, seconds and timedeltas become microseconds, without an error of rounding."""
    assert parse_duration(written, "timeout") == micros


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("", "'' is empty"),
        ("   ", "is empty"),
        ("5", "'5' at character 1: expected a number and a unit"),
        ("P1Y", "'P1Y' at character 1"),
        ("1x", "'1x' at character 2: unknown unit 'x'; the units are w, d, h, m, s, ms, us"),
        ("1h 30", "'1h 30' at character 4"),
        ("30m1h", "'30m1h' at character 4: units go from large to small"),
        ("1h1h", "'1h1h' at character 3"),
        ("-1s", "'-1s' at character 1"),
        ("1e9s", "'1e9s' at character 2"),
        ("1٣s", "at character 1"),
        ("9" * 19 + "s", "at character 1"),
        ("367d", "'367d' is too long; at most 366d is accepted"),
        (-1, "-1 is negative"),
        (timedelta(seconds=-1), "is negative"),
        (10**12, "1000000000000 is too long"),
        pytest.param(10**5000, "is too long", id="5000 digits"),
        (1e300, "1e+300 is too long"),
        (float("nan"), "nan is not a finite number of seconds"),
        (float("inf"), "inf is not a finite number of seconds"),
        (float("-inf"), "-inf is not a finite number of seconds"),
        (True, "True is not a duration"),
        (None, "None is not a duration"),
        ([1], "[1] is not a duration"),
    ],
)
def test_a_bad_duration_says_what_where_and_why(written: object, message: str) -> None:
    """A duration that cannot be is a DefinitionError that names what it is for, the value and the place."""
    with pytest.raises(DefinitionError) as caught:
        parse_duration(written, "timeout of 'approval'")  # type: ignore[arg-type]
    assert str(caught.value).startswith("timeout of 'approval': ")
    assert message in str(caught.value)


def test_the_maximum_is_the_callers_to_say() -> None:
    """`maximum` replaces the 366 days."""
    assert parse_duration("400d", "x", maximum=MAX_SPAN) == 400 * DAY
    with pytest.raises(DefinitionError, match="at most 1m is accepted"):
        parse_duration("61s", "x", maximum=MINUTE)


@given(st.integers(0, MAX_DURATION))
def test_a_formatted_duration_reads_back(micros: int) -> None:
    """`parse_duration` undoes `format_duration`."""
    assert parse_duration(format_duration(micros), "x") == micros


@given(st.integers(0, MAX_DURATION))
def test_a_timedelta_loses_nothing(micros: int) -> None:
    """A timedelta is read to the microsecond."""
    assert parse_duration(timedelta(microseconds=micros), "x") == micros


@given(st.text(max_size=12) | st.text("0123456789hdmsu. -", max_size=12))
def test_any_text_is_a_duration_or_a_definition_error(text: str) -> None:
    """No text makes anything but a duration in bounds or a DefinitionError."""
    try:
        micros = parse_duration(text, "x")
    except DefinitionError:
        return
    assert 0 <= micros <= MAX_DURATION


def test_a_negative_span_is_formatted_with_its_sign() -> None:
    """A lateness below zero can be shown."""
    assert format_duration(-90 * SECOND) == "-1m30s"
    assert format_duration(0) == "0s"


@given(st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)), st.integers(-14 * 60, 14 * 60))
def test_an_instant_keeps_every_microsecond(naive: datetime, offset_minutes: int) -> None:
    """`moment` undoes `instant`, in any zone, for any year."""
    aware = naive.replace(tzinfo=timezone(timedelta(minutes=offset_minutes)))
    back = moment(instant(aware, "x"))
    assert back == aware
    assert back.tzinfo is UTC


def test_an_instant_is_counted_from_the_epoch() -> None:
    """The epoch is 0, and zones are taken into account."""
    assert instant(datetime(1970, 1, 1, tzinfo=UTC), "x") == 0
    assert instant(datetime(1970, 1, 1, 1, tzinfo=ZoneInfo("Europe/Berlin")), "x") == 0
    assert moment(1_234_567_890_123_456) == datetime(2009, 2, 13, 23, 31, 30, 123_456, tzinfo=UTC)


@pytest.mark.parametrize("value", [datetime(2030, 1, 1), "2030-01-01", 5, None])
def test_a_naive_datetime_is_no_instant(value: object) -> None:
    """A datetime without a zone, or no datetime at all, is refused with what to do."""
    with pytest.raises(DefinitionError, match=r"^until: .*(time zone|not a datetime)"):
        instant(value, "until")  # type: ignore[arg-type]
