"""What the clocks on walls showed, minute by minute, and which minutes a schedule names: an oracle for `Cron`.

It shares nothing with `flowgen.cron`, neither a parser nor arithmetic. A `Window` is the wall clock of a zone over
a few days, read off `zoneinfo` once for each UTC minute. A schedule ticks in a window

* if its minute or hour begins with `*`: at each minute whose wall time it names;
* otherwise at each minute whose wall time it names and that has not been on this wall before, and at the first
  minute after the wall jumped over a time that it names.

Refuses to know what happens between minutes: zones and years where offsets have seconds are for examples.
"""

from __future__ import annotations

from bisect import bisect_right
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import attrs
from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

NAMES = (
    {},
    {},
    {},
    dict(zip("jan feb mar apr may jun jul aug sep oct nov dec".split(), range(1, 13), strict=True)),
    dict(zip("sun mon tue wed thu fri sat".split(), range(7), strict=True)),
)
LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


# -- a schedule, read the slow way ----------------------------------------------------------------


def named(item: str, value: int, names: dict[str, int], low: int, high: int) -> bool:
    """Whether one member of a field's list names the value."""
    span, _, step = item.lower().partition("/")
    begin, _, end = span.partition("-")
    first = low if begin == "*" else int(names.get(begin, begin))
    last = int(names.get(end, end)) if end else high if step or begin == "*" else first
    return first <= value <= last and (value - first) % int(step or 1) == 0


@attrs.frozen
class Plan:
    """The values that each of the five fields names, and what only the text tells."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    any_weekday: bool
    runs_along: bool

    @staticmethod
    def of(text: str) -> Plan:
        """The plan of five fields, without a time zone."""
        fields = text.split()
        values = []
        for field, names, (low, high) in zip(fields, NAMES, LIMITS, strict=True):
            spellings = {
                value: (value, 7) if names is NAMES[4] and value == 0 else (value,) for value in range(high + 1)
            }
            values.append(
                frozenset(
                    value
                    for value in range(low, high + 1)
                    for spelt in spellings[value]
                    if any(named(item, spelt, names, low, high) for item in field.split(","))
                )
            )
        every = [field in ("*", "*/1") for field in fields]
        return Plan(*values, every[2], every[4], fields[0][0] == "*" or fields[1][0] == "*")

    def names(self, wall: datetime) -> bool:
        """Whether this is a time of the plan."""
        if wall.minute not in self.minutes or wall.hour not in self.hours or wall.month not in self.months:
            return False
        day, weekday = wall.day in self.days, wall.isoweekday() % 7 in self.weekdays
        return (day or weekday) if not self.any_day and not self.any_weekday else (day and weekday)


# -- walls ----------------------------------------------------------------------------------------


@attrs.frozen(eq=False)
class Window:
    """A wall clock over a few days: for each UTC minute its time, whether it is new, and what it jumped over."""

    zone: str
    start: datetime
    walls: tuple[tuple[datetime, bool, tuple[datetime, ...]], ...]

    @property
    def end(self) -> datetime:
        return self.start + len(self.walls) * MINUTE

    def ticks(self, text: str) -> list[datetime]:
        """The minutes of the window, in UTC, at which five fields tick."""
        plan = Plan.of(text)
        if plan.runs_along:
            hits = (plan.names(wall) for wall, _, _ in self.walls)
        else:
            hits = ((new and plan.names(wall)) or any(map(plan.names, over)) for wall, new, over in self.walls)
        return [self.start + number * MINUTE for number, hit in enumerate(hits) if hit]

    def __repr__(self) -> str:
        return f"<{self.zone} from {self.start:%Y-%m-%d %H:%M}Z>"


@cache
def window(zone: str, around: datetime, days: float = 1.5) -> Window:
    """The wall of a zone, so many days before and after an instant."""
    start = around - timedelta(days=days)
    known = ZoneInfo(zone)
    seen: set[datetime] = set()
    walls = []
    last = None
    for number in range(int(-2 * DAY / MINUTE), int(2 * days * DAY / MINUTE)):  # what was on the wall before counts too
        wall = (start + number * MINUTE).astimezone(known).replace(tzinfo=None, fold=0)
        over = []
        while last is not None and (last := last + MINUTE) < wall:
            over.append(last)
        if number >= 0:
            walls.append((wall, wall not in seen, tuple(over)))
        seen.add(wall)
        last = wall
    return Window(zone, start, tuple(walls))


@cache
def changes(zone: str, year: int) -> tuple[datetime, ...]:
    """The hours of a year in which the clocks of a zone change."""
    known = ZoneInfo(zone)
    hours = [datetime(year, 1, 1, tzinfo=UTC) + number * HOUR for number in range(366 * 24)]
    offsets = [hour.astimezone(known).utcoffset() for hour in hours]
    return tuple(hours[n] for n in range(1, len(hours)) if offsets[n] != offsets[n - 1])


CHANGING = {
    "Africa/Cairo": 2024,  # at midnight, on a Friday
    "Africa/Casablanca": 2026,  # an hour less in Ramadan
    "America/Caracas": 2007,  # half an hour back, for good
    "America/Havana": 2026,  # one o'clock becomes midnight
    "America/New_York": 2026,
    "America/Santiago": 2026,  # at midnight
    "America/Sao_Paulo": 2018,  # at midnight
    "America/St_Johns": 2006,  # one minute past midnight
    "Antarctica/Casey": 2020,  # three hours at once
    "Antarctica/Troll": 2026,  # two hours at once
    "Antarctica/Vostok": 1994,  # seven hours at once
    "Asia/Gaza": 2024,  # several times a year
    "Asia/Pyongyang": 2018,  # half an hour forward, for good
    "Asia/Tehran": 2022,  # at midnight, for the last time
    "Australia/Lord_Howe": 2026,  # half an hour
    "Europe/Dublin": 2026,  # winter is the exception there
    "Europe/London": 2026,
    "Pacific/Apia": 2011,  # without the 30th of December
    "Pacific/Chatham": 2026,  # at a quarter to three
    "Pacific/Kwajalein": 1993,  # without the 21st of August
}
QUIET = (
    ("UTC", datetime(2026, 1, 1, tzinfo=UTC)),
    ("Asia/Kolkata", datetime(2025, 12, 31, 18, 30, tzinfo=UTC)),
    ("Asia/Kathmandu", datetime(2024, 2, 29, tzinfo=UTC)),
    ("America/New_York", datetime(2100, 3, 1, tzinfo=UTC)),  # no leap year
    ("Europe/London", datetime(2000, 2, 29, tzinfo=UTC)),  # a leap year
)


@cache
def windows() -> tuple[Window, ...]:
    """Three days around each change of a clock, and around days that calendars stumble over."""
    changing = [window(zone, at) for zone, year in CHANGING.items() for at in changes(zone, year)]
    return (*changing, *(window(zone, at) for zone, at in QUIET))


def following(ticks: list[datetime], after: datetime) -> list[datetime]:
    """Those of the ticks that are later."""
    return ticks[bisect_right(ticks, after) :]


# -- texts ----------------------------------------------------------------------------------------


def spelt(index: int, value: int) -> st.SearchStrategy[str]:
    """A value as a number, or by its name in any case."""
    by_name = [name for name, number in NAMES[index].items() if number == value]
    return st.sampled_from([str(value), f"{value:02}", *by_name, *map(str.upper, by_name), *map(str.title, by_name)])


@st.composite
def items(draw: st.DrawFn, index: int, values: st.SearchStrategy[int]) -> str:
    """One member of a field's list."""
    low, high = LIMITS[index]
    first, last = sorted((draw(values), draw(values)))
    begin = draw(spelt(index, first))
    span = draw(st.sampled_from(["value", "value", "range", "open", "*"]))
    if span == "value" or (span == "range" and first == last):
        return begin
    step = f"/{draw(st.integers(2, max(2, high - low)))}"
    match span:
        case "range":
            return f"{begin}-{draw(spelt(index, last))}{draw(st.sampled_from(['', step]))}"
        case "open":
            return begin + step
        case _:
            return "*" + step


def fields(index: int, values: st.SearchStrategy[int] | None = None) -> st.SearchStrategy[str]:
    """A field: `*`, or a list."""
    within = items(index, st.integers(*LIMITS[index]) if values is None else values)
    return st.just("*") | st.lists(within, min_size=1, max_size=3).map(",".join)


MINUTES = st.integers(0, 59) | st.sampled_from([0, 1, 15, 30, 44, 45, 59])
EVENTFUL_HOURS = st.sampled_from([0, 1, 2, 3, 4, 22, 23]) | st.integers(0, 23)
TIMES = st.tuples(fields(0, MINUTES), fields(1, EVENTFUL_HOURS)).map(" ".join)
SOME_DAYS = st.tuples(fields(2), fields(3), fields(4)).map(" ".join)
DAYS = st.just("* * *") | SOME_DAYS
TEXTS = st.tuples(TIMES, DAYS).map(" ".join)
"""Five fields. Those whose days never come are among them."""
