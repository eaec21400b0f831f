"""Counts over time, as bars of a small chart.

Pure. Refuses to know what is counted, and who counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import attrs

HEIGHT: Final = 40.0
ORDER: Final = ("failed", "open", "other", "completed")
"""The parts of a bar, from the bottom: what somebody should look at first."""


@attrs.frozen
class Part:
    """A part of a bar: how tall, and where it begins from the top, of `HEIGHT`."""

    kind: str
    top: float
    height: float


@attrs.frozen
class Column:
    """A bar, its place and width in percent, and what it says."""

    x: float
    width: float
    parts: tuple[Part, ...]
    text: str


@attrs.frozen
class Bucket:
    """So many were created in a stretch of time that begins at `begin`, by kind."""

    begin: int
    counts: Mapping[str, int]
    label: str = ""


def columns(buckets: Sequence[Bucket]) -> tuple[Column, ...]:
    """The bars of a chart, the tallest of them as tall as it is."""
    tallest = max((sum(bucket.counts.values()) for bucket in buckets), default=0)
    if not tallest:
        return ()
    width = 100 / len(buckets)
    made = []
    for index, bucket in enumerate(buckets):
        parts, top = [], HEIGHT
        for kind in ORDER:
            count = bucket.counts.get(kind, 0)
            if count:
                height = max(1.0, HEIGHT * count / tallest)
                top = max(0.0, top - height)
                parts.append(Part(kind, top, height))
        made.append(Column(index * width, width * 0.82, tuple(parts), _text(bucket)))
    return tuple(made)


def _text(bucket: Bucket) -> str:
    counts = ", ".join(f"{bucket.counts[kind]} {kind}" for kind in ORDER if bucket.counts.get(kind))
    return f"{bucket.label}: {counts or 'none'}"
