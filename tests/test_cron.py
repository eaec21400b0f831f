"""Cron: what a schedule may say, how it is refused, and when it ticks where clocks change."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.cron import Cron
from flowgen.duration import DAY, HOUR, MINUTE, instant
from flowgen.errors import DefinitionError, InvalidInput

NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)  # a Thursday


def utc(text: str) -> datetime:
    """A time written like `2026-03-08 07:00`."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ticks(text: str, after: str, count: int) -> list[str]:
    """The next ticks after a time in UTC, written in UTC."""
    found = []
    at = utc(after)
    for _ in range(count):
        at = Cron(text).next_after(at)
        found.append(f"{at:%Y-%m-%d %H:%M}")
    return found


# -- the text -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("*/15 * * * *", "0,15,30,45 * * * *"),
        ("5/20 * * * *", "5,25,45 * * * *"),
        ("59/15 * * * *", "59 * * * *"),
        ("10-30/10 * * * *", "10,20,30 * * * *"),
        ("30,0,30 * * * *", "0,30 * * * *"),
        ("07 08 * * *", "7 8 * * *"),
        ("0 0 1-1 * *", "0 0 1 * *"),
        ("0 0 1 JAN *", "0 0 1 1 *"),
        ("0 0 1 jan-Mar *", "0 0 1 1,2,3 *"),
        ("0 0 1 JAN,6,DEC *", "0 0 1 1,6,12 *"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * SUN", "0 0 * * 0"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 0 * * SAT-SUN", "0 0 * * 0,6"),
        ("0 0 * * MON-SUN", "0 0 * * 0,1,2,3,4,5,6"),
        ("0 0 * * SUN-TUE", "0 0 * * 0,1,2"),
        ("0 0 * * SUN-SUN", "0 0 * * 0"),
        ("0 0 * * 1/2", "0 0 * * 1,3,5"),
        ("0 0 * * */3", "0 0 * * 0,3,6"),
        ("0 0 * * 7/2", "0 0 * * 0"),
        ("0 0 */1 * MON", "0 0 * * MON"),
        ("0 0 30 2 MON", "0 0 * 2 MON"),
        ("TZ=UTC 0 9 * * *", "0 9 * * *"),
        ("TZ=Asia/Tokyo 0 9 * * *", "0 0 * * *"),
        ("TZ=Etc/GMT-3 0 9 * * *", "0 6 * * *"),
        (" \t0  9\t* * * ", "0 9 * * *"),
    ],
)
def test_a_schedule_can_be_written_in_several_ways(text: str, same: str) -> None:
    """Both texts tick at the same times."""
    start = instant(NEW_YEAR, "start")
    assert Cron(text).ticks(start, start + 400 * DAY, 200) == Cron(same).ticks(start, start + 400 * DAY, 200) != []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cron '' is empty; write minute, hour, day of month, month and day of week"),
        ("  ", "cron '  ' is empty"),
        ("TZ=Asia/Tokyo", "is empty"),
        ("* * * *", "cron '* * * *' has 4 of 5 fields, no day of week; write minute,"),
        ("* * * * * *", "field 6 at character 11: '*': seconds and years are not supported; write minute,"),
        ("0 0 9 * * MON 2026", "field 6 at character 11: 'MON': seconds and years are not supported"),
        ("0 0 9 * * MON 2026 x", "field 6 at character 11: 'MON': there are five fields"),
        ("@daily", "nickname at character 1: '@daily': not accepted; write \"0 0 * * *\""),
        ("TZ=Asia/Tokyo @Hourly", "nickname at character 15: '@Hourly': not accepted; write \"0 * * * *\""),
        ("@every 5m", "nickname at character 1: '@every': unknown; write minute,"),
        pytest.param("x" * 5000, f"cron '{'x' * 50}'… has 5000 characters; at most 255 are accepted", id="5000"),
        (5, "cron 5 is no text"),
        (None, "cron None is no text"),
        ([], "cron [] is no text"),
        ("60 * * * *", "minute at character 1: '60': out of range; expected a number from 0 to 59"),
        ("* 24 * * *", "hour at character 3: '24': out of range; expected a number from 0 to 23"),
        ("* * 0 * *", "day of month at character 5: '0': out of range; expected a number from 1 to 31"),
        ("* * * 13 *", "month at character 7: '13': out of range; expected a number from 1 to 12, or JAN to DEC"),
        ("* * * * 8", "day of week at character 9: '8': out of range; expected a number from 0 to 7, or SUN to SAT"),
        ("0,5,61 * * * *", "minute at character 5: '61': out of range"),
        ("0 9-24 * * *", "hour at character 5: '24': out of range"),
        ("99999999999999999999 * * * *", "minute at character 1: '99999999999999999999': out of range"),
        ("-1 * * * *", "minute at character 1: '': expected a number from 0 to 59"),
        ("1.5 * * * *", "minute at character 1: '1.5': expected a number"),
        ("٣ * * * *", "minute at character 1: '٣': expected a number"),
        ("0\N{NO-BREAK SPACE}9 * * * *", "minute at character 1: '0\\xa09': expected a number"),
        ("0 9 * *\n*", "has 4 of 5 fields"),
        ("1,,2 * * * *", "minute at character 3: '': expected a number"),
        ("1, * * * *", "minute at character 3: '': expected a number"),
        ("1-2-3 * * * *", "minute at character 3: '2-3': expected a number"),
        (
            "*-5 * * * *",
            "minute at character 1: '*': expected a number from 0 to 59; * stands alone, or before a slash",
        ),
        ("5-* * * * *", "minute at character 3: '*': expected a number"),
        ("*,5 * * * *", "minute at character 1: '*': that is every minute already; write it alone"),
        ("5,*/1 * * * *", "minute at character 3: '*/1': that is every minute already"),
        ("*/0 * * * *", "minute at character 3: '0': expected a step from 1 to 60; it counts anew in each cycle"),
        ("*/90 * * * *", "minute at character 3: '90': expected a step from 1 to 60"),
        ("* */25 * * *", "hour at character 5: '25': expected a step from 1 to 24"),
        ("* * * * */8", "day of week at character 11: '8': expected a step from 1 to 7"),
        ("*/x * * * *", "minute at character 3: 'x': expected a step"),
        ("5/ * * * *", "minute at character 3: '': expected a step"),
        ("1/2/3 * * * *", "minute at character 3: '2/3': expected a step"),
        ("0 22-2 * * *", "hour at character 3: '22-2': it ends before it begins; write \"22-23,0-2\""),
        ("0 9 * * FRI-MON", "day of week at character 9: 'FRI-MON': it ends before it begins; write \"5-6,0-1\""),
        ("0 9 * * 7-1", "day of week at character 9: '7-1': it ends before it begins; write \"0-1\""),
        ("0 9 1 DEC-JAN *", "month at character 7: 'DEC-JAN': it ends before it begins; write \"12,1\""),
        ("0 22-2/2 * * *", "hour at character 3: '22-2/2': it ends before it begins; list its values instead"),
        ("0 9 ? * MON", "day of month at character 5: '?': expected a number from 1 to 31; write * for any"),
        ("0 9 L * *", "day of month at character 5: 'L': expected a number from 1 to 31; L, W, #, H and ~ are not"),
        ("0 9 15W * *", "day of month at character 5: '15W': expected a number from 1 to 31; L, W, #, H and ~ are not"),
        ("H 9 * * *", "minute at character 1: 'H': expected a number from 0 to 59; L, W, #, H and ~ are not accepted"),
        ("H(0-9) * * * *", "minute at character 1: 'H(0': expected a number from 0 to 59; L, W, #, H and ~ are not"),
        ("R * * * *", "minute at character 1: 'R': expected a number from 0 to 59"),
        ("0 9 * * 2#3", "day of week at character 9: '2#3': expected a number from 0 to 7, or SUN to SAT; L, W, #, H"),
        ("0 9 * * MONDAY", "day of week at character 9: 'MONDAY': expected a number from 0 to 7, or SUN to SAT; write"),
        ("0 9 * * FUN", "day of week at character 9: 'FUN': expected a number from 0 to 7, or SUN to SAT"),
        ("0 9 * MON *", "month at character 7: 'MON': expected a number from 1 to 12, or JAN to DEC"),
        ("0 0 30 2 *", "day of month at character 5: '30': no day 30 in FEB: it would never tick"),
        ("0 0 31 APR,6 *", "day of month at character 5: '31': no day 31 in APR and JUN: it would never tick"),
        ("0 0 30,31 2 */1", "day of month at character 5: '30,31': no day 30 in FEB: it would never tick"),
        (
            "TZ=Europe/Berln 0 9 * * *",
            "time zone at character 4: 'Europe/Berln': there is no such zone; did you mean Eur",
        ),
        ("TZ=europe/berlin 0 9 * * *", "there is no such zone; did you mean Europe/Berlin?"),
        ("TZ=Qqqqqqq 0 9 * * *", "there is no such zone; write one such as Europe/Berlin or Asia/Tokyo"),
        ("TZ= 0 9 * * *", "time zone at character 4: '': there is no such zone"),
        ("TZ=../../etc/passwd 0 9 * * *", "'../../etc/passwd': there is no such zone"),
        ("TZ=America 0 9 * * *", "'America': there is no such zone"),
        ("TZ=right/Europe/Berlin 0 9 * * *", "'right/Europe/Berlin': there is no such zone"),
        ("TZ=localtime 0 9 * * *", "'localtime': there is no such zone"),
        ("TZ=A\0B 0 9 * * *", "'A\\x00B': there is no such zone"),
        ("CRON_TZ=Asia/Tokyo 0 9 * * *", "time zone at character 1: 'CRON_TZ=Asia/Tokyo': write TZ=Asia/Tokyo"),
        ("tz=Asia/Tokyo 0 9 * * *", "time zone at character 1: 'tz=Asia/Tokyo': write TZ=Asia/Tokyo"),
        ("0 9 * * * TZ=Asia/Tokyo", "time zone at character 11: 'TZ=Asia/Tokyo': it comes first, as TZ=Area/City"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused_with_its_place(text: object, message: str) -> None:
    """The field, the place counted from 1, the value, and what to write instead."""
    with pytest.raises(DefinitionError) as caught:
        Cron(text)  # type: ignore[arg-type]
    assert str(caught.value).startswith("cron ")
    assert message in str(caught.value)


@given(st.text(max_size=20) | st.text("0123456789*/,-? LJANMO#@=TZ\t", max_size=30))
def test_any_text_is_a_schedule_or_a_definition_error(text: str) -> None:
    """No text makes anything but a schedule that ticks, or a DefinitionError."""
    try:
        schedule = Cron(text)
    except DefinitionError:
        return
    assert schedule.next_after(NEW_YEAR) > NEW_YEAR


def test_equal_texts_are_equal_schedules() -> None:
    """Spaces and the case of names do not matter; the text can be read again."""
    schedule = Cron(" TZ=Asia/Tokyo  0 9 * * mon")
    assert schedule == Cron("TZ=Asia/Tokyo 0 9 * * MON") != Cron("TZ=Asia/Tokyo 0 9 * * 1")
    assert hash(schedule) == hash(Cron("TZ=Asia/Tokyo 0 9 * * MON"))
    assert str(schedule) == schedule.text == "TZ=Asia/Tokyo 0 9 * * MON"
    assert repr(schedule) == "Cron('TZ=Asia/Tokyo 0 9 * * MON')"
    assert Cron(schedule.text).text == schedule.text
    assert schedule.zone == ZoneInfo("Asia/Tokyo")
    assert Cron("0 9 * * *").zone is UTC


# -- ticks ----------------------------------------------------------------------------------------


def test_a_tick_is_later_than_the_instant_asked_for() -> None:
    """On the tick itself the next one follows; a microsecond before, it does."""
    schedule = Cron("0 9 * * *")
    nine = utc("2026-01-05 09:00")
    assert schedule.next_after(nine) == nine + timedelta(days=1)
    assert schedule.next_after(nine - timedelta(microseconds=1)) == nine
    assert schedule.previous_before(nine) == nine - timedelta(days=1)
    assert schedule.previous_before(nine + timedelta(microseconds=1)) == nine


def test_days_of_month_and_week_are_alternatives() -> None:
    """Both restricted, either will do; one of them `*`, the other decides; steps restrict, save `*/1`."""
    either = ["2026-02-02 00:00", "2026-02-09 00:00", "2026-02-13 00:00", "2026-02-16 00:00"]
    assert ticks("0 0 13 * MON", "2026-02-01", 4) == either
    assert ticks("0 0 13 * *", "2026-02-01", 2) == ["2026-02-13 00:00", "2026-03-13 00:00"]
    assert ticks("0 0 * * MON", "2026-02-01", 2) == ["2026-02-02 00:00", "2026-02-09 00:00"]
    assert ticks("0 0 */10 * MON", "2026-02-01", 4) == [f"2026-02-{d} 00:00" for d in ("02", "09", "11", "16")]


def test_calendars_have_leap_days_and_ends_of_years() -> None:
    """The 29th of February comes every four years but not in 2100; short months are passed over."""
    assert ticks("0 12 29 2 *", "2024-02-29 12:00", 1) == ["2028-02-29 12:00"]
    assert ticks("0 12 29 2 *", "2096-03-01", 1) == ["2104-02-29 12:00"]
    assert ticks("0 0 31 * *", "2026-01-31", 3) == ["2026-03-31 00:00", "2026-05-31 00:00", "2026-07-31 00:00"]
    assert ticks("59 23 31 12 *", "2026-01-01", 2) == ["2026-12-31 23:59", "2027-12-31 23:59"]
    assert ticks("* * * * *", "2025-12-31 23:58", 2) == ["2025-12-31 23:59", "2026-01-01 00:00"]
    assert Cron("0 12 29 2 *").previous_before(utc("2104-02-29 12:00")) == utc("2096-02-29 12:00")


def test_a_skipped_fixed_time_ticks_once_right_after_the_gap() -> None:
    """In New York 2:00 to 3:00 is missing on the 8th of March 2026; from then on the hour is another one in UTC."""
    zone = "TZ=America/New_York"
    at_half_past = ["2026-03-07 07:30", "2026-03-08 07:00", "2026-03-09 06:30"]
    assert ticks(f"{zone} 30 2 * * *", "2026-03-07", 3) == at_half_past
    assert ticks(f"{zone} 0,20,40 2 * * *", "2026-03-07 07:40", 2) == ["2026-03-08 07:00", "2026-03-09 06:00"]
    assert ticks(f"{zone} 0 2,3 * * *", "2026-03-08", 2) == ["2026-03-08 07:00", "2026-03-09 06:00"]
    assert ticks(f"{zone} 30 2 8 3 *", "2026-01-01", 2) == ["2026-03-08 07:00", "2027-03-08 07:30"]


def test_a_repeated_fixed_time_ticks_the_first_time_only() -> None:
    """In New York 1:00 to 2:00 comes twice on the 1st of November 2026."""
    zone = "TZ=America/New_York"
    assert ticks(f"{zone} 30 1 * * *", "2026-11-01", 2) == ["2026-11-01 05:30", "2026-11-02 06:30"]
    assert ticks(f"{zone} 0,30 1,2 * * *", "2026-11-01 05:00", 3) == [
        f"2026-11-01 {t}" for t in ("05:30", "07:00", "07:30")
    ]
    assert ticks(f"{zone} 30 1 * * *", "2026-11-01 06:10", 1) == ["2026-11-02 06:30"]


@pytest.mark.parametrize("times", ["*/30 * * * *", "0,30 * * * *", "*/30 0-23 * * *"])
def test_a_star_in_minute_or_hour_runs_along_with_the_clock(times: str) -> None:
    """Every half hour stays every half hour, through a gap and through a repeated hour."""
    spring, autumn = instant(utc("2026-03-08 05:00"), "x"), instant(utc("2026-11-01 04:00"), "x")
    for start in (spring, autumn):
        every = list(range(start + 30 * MINUTE, start + 6 * HOUR + 1, 30 * MINUTE))
        assert Cron(f"TZ=America/New_York {times}").ticks(start, start + 6 * HOUR, 100) == every


def test_a_star_in_the_minute_waits_for_an_hour_that_exists() -> None:
    """`* 2 * * *` has nothing to do in the night without 2:00; `* 1 * * *` has twice as much where it comes twice."""
    skipped = Cron("TZ=America/New_York * 2 * * *")
    assert skipped.next_after(utc("2026-03-07 07:59")) == utc("2026-03-09 06:00")
    start = instant(utc("2026-11-01 04:00"), "x")
    assert len(Cron("TZ=America/New_York * 1 * * *").ticks(start, start + DAY, 1000)) == 120


def test_a_day_that_was_skipped_ticks_when_the_next_begins() -> None:
    """Apia had no 30th of December 2011: its nine o'clock came with midnight, and then there was another."""
    expected = ["2011-12-29 19:00", "2011-12-30 10:00", "2011-12-30 19:00", "2011-12-31 19:00"]
    assert ticks("TZ=Pacific/Apia 0 9 * * *", "2011-12-29", 4) == expected


def test_offsets_with_seconds_are_no_trouble() -> None:
    """Monrovia was 44 minutes and 30 seconds behind until 1972, and went straight to UTC."""
    schedule = Cron("TZ=Africa/Monrovia 0 * * * *")
    start = datetime(1972, 1, 6, 22, 50, tzinfo=UTC)
    assert schedule.next_after(start) == datetime(1972, 1, 6, 23, 44, 30, tzinfo=UTC)
    assert schedule.next_after(datetime(1972, 1, 6, 23, 50, tzinfo=UTC)) == datetime(1972, 1, 7, 1, tzinfo=UTC)
    assert Cron("TZ=Africa/Monrovia 30 0 * * *").next_after(start) == datetime(1972, 1, 7, 0, 44, 30, tzinfo=UTC)


def test_answers_come_in_the_zone_of_the_question() -> None:
    """Asked in Tokyo's time, answered in Tokyo's time, whatever zone the schedule is in."""
    tokyo = ZoneInfo("Asia/Tokyo")
    answer = Cron("0 0 * * *").next_after(datetime(2026, 1, 1, 12, tzinfo=tokyo))
    assert (answer.tzinfo, answer.day, answer.hour) == (tokyo, 2, 9)


def test_missed_ticks_come_in_pages() -> None:
    """`ticks` excludes its beginning, includes its end, and stops at its limit."""
    schedule = Cron("0 * * * *")
    noon = instant(utc("2026-01-01 12:00"), "x")
    assert schedule.ticks(noon, noon + 2 * HOUR, 10) == [noon + HOUR, noon + 2 * HOUR]
    assert schedule.ticks(noon - 1, noon, 10) == [noon]
    assert schedule.ticks(noon, noon + DAY, 3) == [noon + HOUR, noon + 2 * HOUR, noon + 3 * HOUR]
    assert schedule.ticks(noon, noon, 10) == schedule.ticks(noon, noon + DAY, 0) == []


@pytest.mark.parametrize(
    ("text", "interval"),
    [
        ("* * * * *", MINUTE),
        ("*/15 * * * *", 15 * MINUTE),
        ("0,50 * * * *", 10 * MINUTE),
        ("0 9-17 * * *", HOUR),
        ("50 0,23 * * *", HOUR),
        ("0 9 * * MON", DAY),
        ("0 0 29 2 *", DAY),
    ],
)
def test_the_shortest_interval_is_that_between_times_of_day(text: str, interval: int) -> None:
    """Across midnight too; a day at most, however rare the days are."""
    assert Cron(text).shortest_interval == interval


def test_questions_have_bounds() -> None:
    """A time without a zone is refused, and one that no calendar is good for."""
    schedule = Cron("0 9 * * *")
    with pytest.raises(DefinitionError, match="next_after: .* has no time zone"):
        schedule.next_after(datetime(2026, 1, 1))
    with pytest.raises(DefinitionError, match="previous_before: '2026' is not a datetime"):
        schedule.previous_before("2026")  # type: ignore[arg-type]
    for at in (datetime(1899, 12, 31, tzinfo=UTC), datetime(9900, 1, 1, tzinfo=UTC)):
        with pytest.raises(InvalidInput, match="cron: .* is not between 1900 and 9900"):
            schedule.next_after(at)
    assert schedule.next_after(datetime(9899, 12, 31, 23, 59, tzinfo=UTC)) == datetime(9900, 1, 1, 9, tzinfo=UTC)


# -- what it needs --------------------------------------------------------------------------------


def in_a_new_process(lines: str) -> str:
    """What a program prints."""
    return subprocess.run([sys.executable, "-c", lines], capture_output=True, text=True, check=True).stdout.strip()


def test_zones_are_there_where_the_system_has_none() -> None:
    """The package tzdata comes with flowgen, for Windows and bare containers."""
    lines = (
        "import zoneinfo; zoneinfo.reset_tzpath(to=[])\n"
        "from datetime import UTC, datetime\n"
        "from flowgen.cron import Cron\n"
        "print(Cron('TZ=Asia/Tokyo 0 9 * * *').next_after(datetime(2026, 1, 1, 1, tzinfo=UTC)).isoformat())"
    )
    assert in_a_new_process(lines) == "2026-01-02T00:00:00+00:00"


def test_croniter_is_loaded_by_the_first_tick() -> None:
    """Programs without schedules do not pay for it."""
    lines = (
        "import sys, flowgen.cron\n"
        "from datetime import UTC, datetime\n"
        "schedule = flowgen.cron.Cron('0 9 * * *')\n"
        "print('croniter' in sys.modules)\n"
        "schedule.next_after(datetime(2026, 1, 1, tzinfo=UTC))\n"
        "print('croniter' in sys.modules)"
    )
    assert in_a_new_process(lines).split() == ["False", "True"]
