"""From times to places on a picture, so that a run that sleeps for a month still shows what it did in a second.

A scale is linear, unless nothing is executed for most of the time: then the stretches of time in which everybody waits
are drawn shorter (`breaks`), and what is executed keeps most of the room. Places are percentages of the width.

Pure. Refuses to know what is drawn.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

import attrs

from ....duration import DAY, HOUR, MILLISECOND, MINUTE, SECOND

Stretch = tuple[int, int]
"""From and until, in microseconds."""

IDLE_FACTOR: Final = 4
"""A scale is broken if nothing is executed for so many times as long as something is."""

_IDLE_SHARE: Final = 1.2
_LEAST_SHARE: Final = 0.8
_LEAST_BREAK: Final = 0.12
"""In widths of what is executed: what breaks share by their length, what they share evenly, and the most of that for
one of them. So what is executed keeps a third of the picture, and a fifth of a linear one."""

_TICKS: Final = 5
_TICK_TEXT: Final = 8
_BREAK_TEXT: Final = 10
"""How wide texts are, about, in percent."""

_NICE: Final = (
    *(step * 10**power for power in range(6) for step in (1, 2, 5)),
    *(SECOND * step for step in (1, 2, 5, 10, 15, 30)),
    *(MINUTE * step for step in (1, 2, 5, 10, 15, 30)),
    *(HOUR * step for step in (1, 2, 3, 6, 12)),
    *(DAY * step for step in (1, 2, 7, 14, 30, 60, 90, 180, 365)),
)


@attrs.frozen
class Scale:
    """A growing function from times to percentages. `times` and `places` are its corners, equally many."""

    times: tuple[int, ...]
    places: tuple[float, ...]
    breaks: tuple[Stretch, ...] = ()

    def place(self, at: int) -> float:
        """Where a time is: 0 to 100; what lies outside is at the edge."""
        times, places = self.times, self.places
        if at <= times[0]:
            return places[0]
        if at >= times[-1]:
            return places[-1]
        after = bisect_right(times, at)
        begin, end = times[after - 1], times[after]
        return places[after - 1] + (places[after] - places[after - 1]) * ((at - begin) / (end - begin))


def scale_of(begin: int, end: int, busy: Iterable[Stretch]) -> Scale:
    """The scale of a picture of the time from `begin` to `end`, in `busy` stretches of which something is executed."""
    end = max(end, begin + MILLISECOND)
    united = list(_united(begin, end, busy))
    executed = sum(until - since for since, until in united)
    idle = list(_gaps(begin, end, united))
    waited = sum(until - since for since, until in idle)
    if not executed or waited <= IDLE_FACTOR * executed:
        return Scale((begin, end), (0.0, 100.0))
    widths = _widths(idle, executed)
    times, sums = [begin], [0.0]
    for since, until in sorted([*united, *idle]):
        times.append(until)
        sums.append(sums[-1] + widths.get((since, until), until - since))
    total = sums[-1]
    broken = tuple(gap for gap in idle if widths[gap] < gap[1] - gap[0])
    return Scale(tuple(times), (*(100 * place / total for place in sums[:-1]), 100.0), broken)


def _widths(idle: list[Stretch], executed: int) -> dict[Stretch, float]:
    """How wide each idle stretch is drawn: longer ones wider, but by the root of it, and none wider than it is."""
    roots = {gap: (gap[1] - gap[0]) ** 0.5 for gap in idle}
    whole = sum(roots.values())
    share, least = _IDLE_SHARE * executed, min(_LEAST_BREAK, _LEAST_SHARE / len(idle)) * executed
    return {gap: min(float(gap[1] - gap[0]), max(least, share * root / whole)) for gap, root in roots.items()}


def _united(begin: int, end: int, stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """The stretches within bounds, those that touch united, in order."""
    current: Stretch | None = None
    for since, until in sorted(stretches):
        since, until = max(since, begin), min(until, end)
        if since >= until:
            continue
        if current is not None and since <= current[1]:
            current = (current[0], max(current[1], until))
            continue
        if current is not None:
            yield current
        current = (since, until)
    if current is not None:
        yield current


def _gaps(begin: int, end: int, united: list[Stretch]) -> Iterator[Stretch]:
    place = begin
    for since, until in united:
        if since > place:
            yield place, since
        place = until
    if place < end:
        yield place, end


def ticks(scale: Scale) -> list[int]:
    """Round distances from the beginning to be marked on a linear scale; those of a broken one are its corners."""
    begin, end = scale.times[0], scale.times[-1]
    if scale.breaks:
        corners = [at - begin for gap in scale.breaks for at in gap if at < end]
        return _apart(scale, [0, *corners])
    step = next((step for step in _NICE if (end - begin) / step <= _TICKS), _NICE[-1])
    step *= max(1, -(-(end - begin) // step) // (2 * _TICKS))
    return list(range(0, end - begin, step))


def has_room(scale: Scale, gap: Stretch, marked: Iterable[int]) -> bool:
    """Whether the length of a break can be written into its middle, beside the texts that stand right of ticks."""
    left, right = scale.place(gap[0]), scale.place(gap[1])
    begin, end = (left + right - _BREAK_TEXT) / 2, (left + right + _BREAK_TEXT) / 2
    places = [scale.place(scale.times[0] + offset) for offset in marked]
    return left <= begin and all(place + _TICK_TEXT <= begin or place >= end for place in places)


def _apart(scale: Scale, offsets: list[int]) -> list[int]:
    """Those that have room for their text."""
    kept: list[int] = []
    for offset in sorted(set(offsets)):
        place = scale.place(scale.times[0] + offset)
        if place <= 92 and (not kept or place - scale.place(scale.times[0] + kept[-1]) >= 12):
            kept.append(offset)
    return kept
