"""Schedules tick when the wall clock says so: `Cron` against an almanac that looks at each minute.

No tick is lost and none is doubled, in twenty zones with odd rules, over leap days and year ends.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from flowgen.cron import Cron
from flowgen.duration import instant, moment
from flowgen.errors import DefinitionError
from tests.properties.almanac import (
    CHANGING,
    DAY,
    HOUR,
    MINUTE,
    QUIET,
    SOME_DAYS,
    TEXTS,
    TIMES,
    Plan,
    Window,
    following,
    windows,
)

MICROSECOND = timedelta(microseconds=1)
YEARS = 8

starts = st.integers(0, 3 * 24 * 3600 * 1_000_000 - 1).map(lambda n: n * MICROSECOND) | st.integers(
    0, 3 * 24 * 60 - 1
).map(lambda n: n * MINUTE)
walls = st.sampled_from(range(43)).map(lambda number: windows()[number])


def cron(text: str, zone: str = "UTC") -> Cron:
    """A schedule, or no example if its days never come."""
    try:
        return Cron(text if zone == "UTC" else f"TZ={zone} {text}")
    except DefinitionError as error:
        assume("it would never tick" not in str(error))
        raise


def ticks_within(schedule: Cron, after: datetime, until: datetime, limit: int) -> list[datetime]:
    """The first ticks in (after, until], in UTC."""
    return [moment(tick) for tick in schedule.ticks(instant(after, "after"), instant(until, "until"), limit)]


def test_there_are_walls_of_all_sorts() -> None:
    """The windows have jumps forward and back, short ones and long ones, and calm."""
    assert len(windows()) == 43
    assert len({each.zone for each in windows()}) == len(CHANGING) + 3
    gaps = {len(over) for each in windows() for _, _, over in each.walls if over}
    folds = {sum(not new for _, new, _ in each.walls) for each in windows()}
    assert gaps == {30, 60, 120, 3 * 60, 7 * 60, 24 * 60}
    assert folds >= {0, 30, 60, 120, 7 * 60}


@settings(max_examples=400)
@given(walls, TEXTS, starts)
def test_a_schedule_ticks_when_the_almanac_says(wall: Window, text: str, offset: timedelta) -> None:
    """Whatever the five fields, the zone and the start: the same ticks, in the same order, each once."""
    after = wall.start + offset
    expected = following(wall.ticks(text), after)[:150]
    assert ticks_within(cron(text, wall.zone), after, wall.end - MINUTE, 150) == expected


@settings(max_examples=150)
@given(walls, TIMES, st.integers(-180, 180))
def test_a_schedule_ticks_right_where_the_clock_changes(wall: Window, times: str, minutes: int) -> None:
    """From any minute near the change, the next ticks are the almanac's."""
    after = wall.start + timedelta(days=1.5, minutes=minutes)
    text = f"{times} * * *"
    expected = following(wall.ticks(text), after)[:30]
    assert ticks_within(cron(text, wall.zone), after, wall.end - MINUTE, 30) == expected


@pytest.mark.parametrize("text", ["30 0 * * *", "*/20 * * * *", "15,45 0-3,21-23 * * *", "* 1 * * *", "0 */2 * * *"])
@pytest.mark.parametrize("zone", sorted({*CHANGING, *(zone for zone, _ in QUIET)}))
def test_common_schedules_tick_through_every_change(zone: str, text: str) -> None:
    """The whole of every window, for schedules as people write them."""
    for wall in windows():
        if wall.zone == zone:
            found = ticks_within(cron(text, zone), wall.start - MICROSECOND, wall.end - MINUTE, 10_000)
            assert found == wall.ticks(text), wall


@settings(max_examples=150)
@given(walls, TEXTS, starts)
def test_the_previous_tick_is_the_last_one_before(wall: Window, text: str, offset: timedelta) -> None:
    """`previous_tick` finds what going forward would have found last."""
    before = wall.start + offset
    schedule = cron(text, wall.zone)
    earlier = [tick for tick in wall.ticks(text) if tick < before]
    previous = moment(schedule.previous_tick(instant(before, "before")))
    if earlier:
        assert previous == earlier[-1]
    else:
        assert previous < wall.start
        assert moment(schedule.next_tick(instant(previous, "previous"))) >= before


@settings(max_examples=150)
@given(walls, TEXTS, starts, st.floats(0, 1, exclude_max=True))
def test_every_instant_between_two_ticks_has_the_same_next_one(
    wall: Window, text: str, offset: timedelta, share: float
) -> None:
    """Ticks strictly increase; a tick is the next one of every instant since the one before, itself excluded."""
    schedule = cron(text, wall.zone)
    first = schedule.next_tick(instant(wall.start + offset, "start"))
    second = schedule.next_tick(first)
    assert first < second
    between = first + int(share * (second - first))
    assert schedule.next_tick(between) == schedule.next_tick(second - 1) == second
    assert schedule.previous_tick(second) == first
    assert schedule.previous_tick(between + 1) == first


@settings(max_examples=150)
@given(SOME_DAYS, st.dates(date(2023, 1, 1), date(2031, 12, 31)))
@example("29 2 *", date(2024, 3, 1))
@example("31 12 *", date(2025, 12, 31))
def test_calendars_are_right_over_years(days: str, day: date) -> None:
    """Days of the month, months and weekdays, against a look at each day: leap days and year ends too."""
    text = f"17 5 {days}"
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    plan = Plan.of(text)
    times = (start + number * DAY + 5 * HOUR + 17 * MINUTE for number in range(365 * YEARS))
    expected = list(islice(filter(plan.names, times), 20))
    assert ticks_within(cron(text), start, start + YEARS * 365 * DAY, 20) == expected


@settings(max_examples=100)
@given(TEXTS, st.datetimes(datetime(2020, 1, 1), datetime(2040, 1, 1)))
@example("0 0 29 2 *", datetime(2096, 3, 1))
@example("0 0 */2 * MON", datetime(2026, 1, 1))
def test_in_utc_the_ticks_are_croniters(text: str, start: datetime) -> None:
    """Where no clock changes, a schedule means what croniter takes it for."""
    schedule = cron(text)
    theirs = croniter(text, start, ret_type=datetime)
    expected = [next(theirs).replace(tzinfo=UTC) for _ in range(5)]
    first = start.replace(tzinfo=UTC)
    assert ticks_within(schedule, first, datetime(2500, 1, 1, tzinfo=UTC), 5) == expected


@given(walls, TEXTS, starts, st.integers(-14 * 60, 14 * 60))
def test_the_zone_of_the_question_changes_nothing(wall: Window, text: str, offset: timedelta, minutes: int) -> None:
    """The answer is the same instant in whatever zone it is asked for, and comes in that zone."""
    schedule = cron(text, wall.zone)
    at = wall.start + offset
    in_utc = schedule.next_after(at)
    assert instant(in_utc, "x") == schedule.next_tick(instant(at, "x"))
    for zone in (timezone(timedelta(minutes=minutes)), ZoneInfo(wall.zone)):
        answer = schedule.next_after(at.astimezone(zone))
        assert answer.tzinfo is zone
        assert answer.astimezone(UTC) == in_utc
        assert schedule.previous_before(answer).tzinfo is zone


@pytest.mark.parametrize("zone", CHANGING)
def test_a_daily_job_runs_once_for_each_day_of_the_wall(zone: str) -> None:
    """At any hour, over a whole year: as many ticks as days, skipped ones included."""
    year = CHANGING[zone]
    for hour in (0, 2, 23):
        schedule = Cron(f"TZ={zone} 30 {hour} * * *")
        first = datetime(year, 1, 1, tzinfo=ZoneInfo(zone))
        last = datetime(year + 1, 1, 1, tzinfo=ZoneInfo(zone))
        ticks = ticks_within(schedule, first.astimezone(UTC) - MINUTE, last.astimezone(UTC) - MINUTE, 1000)
        assert len(ticks) == (datetime(year + 1, 1, 1) - datetime(year, 1, 1)).days
        assert all(a < b for a, b in pairwise(ticks))
