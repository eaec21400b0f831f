"""The ticks of a schedule: from an instant to the next one at which its text fits.

Rules of the clocks, as in vixie cron. A schedule whose minute or hour begins with `*` *runs along*: it ticks
whenever the clock on the wall fits, so not in an hour that is skipped, and in both passes of one that is repeated.
Any other is a list of *fixed times*, and each ticks once: at the first instant at which the wall shows that time or
a later one. That is the first pass of a repeated hour, and the end of a gap for a time inside it; several times in
one gap are one tick.

croniter finds the days, which is the hard part of a calendar; the times within a day are two sorted tuples
(docs/decisions/cron.md has the figures). No zone has ever changed its clocks twice within three days, or set them
back by more than one: `_change` and `_next_running` rely on that.

Refuses to know what time it is, what a tick starts, and which ticks were missed.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise, product
from typing import cast

import attrs

from ..duration import MINUTE, Instant, Micros, instant, moment
from ..errors import InvalidInput
from .text import read

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
_LATEST = datetime(9900, 1, 1, tzinfo=UTC)


@attrs.frozen(init=False, repr=False)
class Cron:
    """A schedule such as `"0 9 * * MON"` or `"TZ=Asia/Tokyo */15 8-18 * * 1-5"`.

    `text` is as written, with single spaces and names in capitals; two schedules are equal if it is. `zone` is
    the time zone, `runs_along` whether the schedule runs along with the clock (`flowgen.cron.ticks`).

    Raises `DefinitionError` for text that is no schedule or can never tick: it names the field, the place and
    what to write.

    >>> Cron("TZ=Asia/Tokyo 0 9 * * MON").next_after(datetime(2026, 1, 1, tzinfo=UTC))
    datetime.datetime(2026, 1, 5, 0, 0, tzinfo=datetime.timezone.utc)
    """

    text: str
    zone: tzinfo = attrs.field(eq=False)
    runs_along: bool = attrs.field(eq=False)
    _minutes: tuple[int, ...] = attrs.field(eq=False)
    _hours: tuple[int, ...] = attrs.field(eq=False)
    _calendar: str = attrs.field(eq=False)

    def __init__(self, text: str) -> None:
        written = read(text)
        self.__attrs_init__(
            written.text, written.zone, written.runs_along, written.minutes, written.hours, written.calendar
        )

    def __repr__(self) -> str:
        return f"Cron({self.text!r})"

    def __str__(self) -> str:
        return self.text

    # -- for people: aware datetimes -------------------------------------------------------------

    def next_after(self, at: datetime) -> datetime:
        """The first tick later than `at`, in the time zone of `at`.

        Raises `DefinitionError` for a datetime without a zone, `InvalidInput` for one outside 1900 to 9900.
        """
        return moment(self.next_tick(instant(at, "next_after"))).astimezone(at.tzinfo)

    def previous_before(self, at: datetime) -> datetime:
        """The last tick earlier than `at`, in the time zone of `at`; errors as of `next_after`."""
        return moment(self.previous_tick(instant(at, "previous_before"))).astimezone(at.tzinfo)

    # -- for engines: microseconds since the epoch -----------------------------------------------

    def next_tick(self, after: Instant) -> Instant:
        """The first tick later than `after`."""
        return instant(self._next(_in_bounds(moment(after))), "tick")

    def previous_tick(self, before: Instant) -> Instant:
        """The last tick earlier than `before`."""
        return instant(self._previous(_in_bounds(moment(before))), "tick")

    def ticks(self, after: Instant, until: Instant, limit: int) -> list[Instant]:
        """The ticks later than `after` and not later than `until`, the earliest `limit` of them."""
        found: list[Instant] = []
        while len(found) < limit and (after := self.next_tick(after)) <= until:
            found.append(after)
        return found

    @property
    def shortest_interval(self) -> Micros:
        """The least time between two ticks while no clock changes; at most a day."""
        times = [hour * 60 + minute for hour, minute in product(self._hours, self._minutes)]
        times.append(times[0] + 24 * 60)
        return min(later - earlier for earlier, later in pairwise(times)) * MINUTE

    # -- from the wall to the world; all instants here are UTC and at whole seconds ---------------

    def _next(self, at: datetime) -> datetime:
        after = at.replace(microsecond=0)
        return self._next_running(after) if self.runs_along else self._next_fixed(after)

    def _next_fixed(self, after: datetime) -> datetime:
        """Fixed times tick when the wall first shows them or a later time; those already shown are skipped."""
        wall = self._wall(after)
        while True:
            wall = self._next_time(wall)
            if (tick := self._first_shown(wall)) > after:
                return tick

    def _next_running(self, after: datetime) -> datetime:
        """The next instant whose wall time fits; a clock set back before it may show one that comes earlier."""
        tick = self._next_shown(self._wall(after), after)
        soon = min(tick, after + _DAY)
        if self._offset(soon) < self._offset(after):
            back = self._change(after, soon)
            return self._next_shown(self._wall(back) - _SECOND, back - _SECOND)
        return tick

    def _next_shown(self, wall: datetime, after: datetime) -> datetime:
        """The first instant later than `after` at which the wall shows the first time past `wall` that it can."""
        while True:
            wall = self._next_time(wall)
            for fold in (0, 1):
                at = wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC)
                if at > after and self._wall(at) == wall:
                    return at

    def _first_shown(self, wall: datetime) -> datetime:
        """The first instant at which the wall shows this time or a later one."""
        at = wall.replace(tzinfo=self.zone).astimezone(UTC)
        if self._wall(at) == wall:
            return at
        return self._change(wall.replace(tzinfo=self.zone, fold=1).astimezone(UTC), at)

    def _previous(self, at: datetime) -> datetime:
        """By halving, so that there is only one direction in which the clocks have rules."""
        high, back = at, _MINUTE
        while (tick := self._next(_in_bounds(at - back))) >= at:
            high, back = at - back, back * 2
        while (later := self._next(tick)) < at:
            middle = later + (high - later) // 2
            if (beyond := self._next(middle)) < at:
                tick = beyond
            else:
                tick, high = later, middle
        return tick

    def _wall(self, at: datetime) -> datetime:
        """What the clock on the wall shows at an instant."""
        return at.astimezone(self.zone).replace(tzinfo=None, fold=0)

    def _offset(self, at: datetime) -> timedelta:
        return cast(timedelta, at.astimezone(self.zone).utcoffset())

    def _change(self, low: datetime, high: datetime) -> datetime:
        """The instant in (low, high] at which the clock changes, which it does there once."""
        offset = self._offset(low)
        while high - low > _SECOND:
            middle = low + timedelta(seconds=(high - low) // _SECOND // 2)
            low, high = (middle, high) if self._offset(middle) == offset else (low, middle)
        return high

    # -- on the wall: naive datetimes at whole minutes --------------------------------------------

    def _next_time(self, wall: datetime) -> datetime:
        """The first time later than `wall` that the five fields name."""
        start = wall.replace(second=0) + _MINUTE
        today = start.date()
        day = _first_day(self._calendar, today)
        if day == today:
            if (found := self._time_from(start.hour, start.minute)) is not None:
                return datetime.combine(day, found)
            day = _first_day(self._calendar, today + _DAY)
        return datetime.combine(day, time(self._hours[0], self._minutes[0]))

    def _time_from(self, hour: int, minute: int) -> time | None:
        """The first time of a day that is not earlier than this one."""
        hours, minutes = self._hours, self._minutes
        at = bisect_left(hours, hour)
        if at < len(hours) and hours[at] == hour:
            if minute <= minutes[-1]:
                return time(hour, minutes[bisect_left(minutes, minute)])
            at += 1
        return time(hours[at], minutes[0]) if at < len(hours) else None


@lru_cache(maxsize=8192)
def _first_day(calendar: str, start: date) -> date:
    """The first day from `start` on that fits day of month, month and day of week."""
    from croniter import croniter  # noqa: TID251 - here it is at home, and loading it takes 35 ms

    before = datetime.combine(start, time()) - _MINUTE
    return cast(datetime, croniter(f"0 0 {calendar}", before).get_next(datetime)).date()


def _in_bounds(at: datetime) -> datetime:
    if not _EARLIEST <= at < _LATEST:
        raise InvalidInput(f"cron: {at.isoformat()} is not between {_EARLIEST.year} and {_LATEST.year}")
    return at
