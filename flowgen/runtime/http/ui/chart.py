"""Counts over time, as bars of a small chart.

Pure: counts in, bars out. Refuses to know who counts, and what time it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import attrs

from ....duration import moment
from ...counting import Bucket

HEIGHT: Final = 40.0
BARS: Final = 60
ORDER: Final = ("failed", "parked", "open", "ended")
"""The parts of a bar, from the bottom: what somebody should look at first."""

_PART: Final = {"failed": "failed", "parked": "parked", "open": "open"}


@attrs.frozen
class Part:
    """A part of a bar: how tall, and where it begins from the top, of `HEIGHT`."""

    kind: str
    top: float
    height: float


@attrs.frozen
class Column:
    """A bar: its place and width in percent, what it says, and the time that it stands for."""

    x: float
    width: float
    parts: tuple[Part, ...]
    text: str
    after: datetime
    before: datetime


@attrs.frozen
class Chart:
    """The bars, from the oldest, the tallest of them as tall as the chart; `most` is what that one counts."""

    columns: tuple[Column, ...]
    after: datetime
    before: datetime
    most: int
    exact: bool


def span_of(now: int, seconds: int) -> tuple[datetime, datetime]:
    """The time that a chart of the last `seconds` shows: whole bars, so that they do not change as time goes by."""
    step = max(1, seconds // BARS) * 1_000_000
    end = -(-now // step) * step
    return moment(end - step * BARS), moment(end)


def chart(buckets: Sequence[Bucket], before: datetime) -> Chart:
    """The chart of counts; the last bucket ends at `before`."""
    if not buckets:
        return Chart((), before, before, 0, exact=True)
    most = max((sum(bucket.counts.values()) for bucket in buckets), default=0)
    width = 100 / len(buckets)
    ends = [*(bucket.at for bucket in buckets[1:]), before]
    columns = tuple(
        Column(
            round(index * width, 3),
            round(width * 0.8, 3),
            _parts(bucket.counts, most),
            _text(bucket),
            bucket.at,
            end,
        )
        for index, (bucket, end) in enumerate(zip(buckets, ends, strict=True))
    )
    return Chart(columns, buckets[0].at, before, most, all(bucket.exact for bucket in buckets))


def _parts(counts: Mapping[str, int], most: int) -> tuple[Part, ...]:
    sums = dict.fromkeys(ORDER, 0)
    for state, count in counts.items():
        sums[_PART.get(state, "ended")] += count
    parts, top = [], HEIGHT
    for kind, count in sums.items():
        if count:
            height = min(top, max(1.5, HEIGHT * count / most))
            top -= height
            parts.append(Part(kind, round(top, 2), round(height, 2)))
    return tuple(parts)


def _text(bucket: Bucket) -> str:
    about = "" if bucket.exact else "about "
    counts = ", ".join(f"{about}{count:,} {state}" for state, count in bucket.counts.items())
    return f"{bucket.at:%b %d, %H:%M:%S} UTC: {counts or 'none'}"
