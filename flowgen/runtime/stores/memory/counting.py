"""Counting runs in the order of their creation: all of a span, or evenly spaced ones of a large one."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from operator import itemgetter

from ...counting import COUNTED, Count
from .state import State


def count_runs(state: State, app: str | None, workflow: str | None, edges: Sequence[int]) -> list[Mapping[str, Count]]:
    """See `CountsRuns`."""
    places = [bisect_left(state.by_creation, edge, key=itemgetter(0)) for edge in edges]
    return [_span(state, app, workflow, start, end) for start, end in pairwise(places)]


def _span(state: State, app: str | None, workflow: str | None, start: int, end: int) -> Mapping[str, Count]:
    stride = 1 + (end - start) // COUNTED
    rows = [state.runs[state.by_creation[place][1]].row for place in range(start, end, stride)]
    found = Counter(
        row.stored
        for row in rows
        if row.stored != "schedule" and app in (None, row.app) and workflow in (None, row.workflow)
    )
    return {stored: Count(runs * stride, stride == 1) for stored, runs in found.items()}
