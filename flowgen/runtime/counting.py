"""How many runs were created when, and what has become of them: the small chart above a list of runs.

Time is cut into buckets of equal length. A store that `CountsRuns` answers in time that does not grow with what it
holds: a cell (a bucket and a state) with more than `COUNTED` runs is estimated, and says so. Of any other store
the newest `COUNTED` runs of the span are counted, one by one.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, Protocol, runtime_checkable

import attrs

from ..duration import moment
from ..runs import RunRow
from .paging import Pages
from .store import RunFilter, Store

COUNTED: Final = 1_000
"""A cell with more runs is estimated."""

STATES: Final = ("open", "parked", "completed", "failed", "cancelled", "skipped")
"""What runs are counted by: `open` is every run that has neither ended nor is parked."""

MOST_BUCKETS: Final = 200


@attrs.frozen
class Count:
    """The runs in a cell; `exact` is false for an estimate."""

    runs: int
    exact: bool = True


@attrs.frozen
class Bucket:
    """The runs that were created from `at` on, until the next bucket begins: how many are in which state.

    States without runs are left out. `exact` is false if any of the numbers is an estimate.
    """

    at: datetime
    counts: Mapping[str, int]
    exact: bool


@runtime_checkable
class CountsRuns(Protocol):
    """What a store has beside the contract if it can count."""

    async def count_runs(
        self, app: str | None, workflow: str | None, edges: Sequence[int]
    ) -> Sequence[Mapping[str, Count]]:
        """For each span between two edges: by stored status, the runs created from the first on, before the second.

        None means any app, or any workflow (of the app). Schedules are not counted.
        """


def edges_of(after: int, before: int, buckets: int) -> list[int]:
    """The ends of `buckets` spans of equal length, to the microsecond."""
    return [after + (before - after) * number // buckets for number in range(buckets + 1)]


async def count(store: Store, app: str | None, workflow: str | None, edges: Sequence[int]) -> tuple[Bucket, ...]:
    """The buckets between the edges, oldest first."""
    if isinstance(store, CountsRuns):
        cells = await store.count_runs(app, workflow, edges)
    else:
        cells = await _one_by_one(store, app, workflow, edges)
    return tuple([_bucket(edge, cell) for edge, cell in zip(edges, cells, strict=False)])


def _bucket(edge: int, cells: Mapping[str, Count]) -> Bucket:
    counts: dict[str, int] = {}
    for stored, cell in cells.items():
        if cell.runs:
            state = _state(stored)
            counts[state] = counts.get(state, 0) + cell.runs
    return Bucket(moment(edge), counts, all(cell.exact for cell in cells.values()))


def _state(stored: str) -> str:
    return stored if stored in STATES else "open"


async def _one_by_one(
    store: Store, app: str | None, workflow: str | None, edges: Sequence[int]
) -> Sequence[Mapping[str, Count]]:
    where = RunFilter(app, workflow, None, before=edges[-1], after=edges[0])
    found: list[RunRow] = []
    pages = Pages(partial(store.find_runs, where))
    async for page in pages:
        found += page.items
        if len(found) >= COUNTED:
            break
    reached = found[-1].created_at if pages.cursor is not None else edges[0]
    tallies: list[dict[str, int]] = [{} for _ in edges[1:]]
    for row in found:
        tally = tallies[bisect_right(edges, row.created_at) - 1]
        tally[row.stored] = tally.get(row.stored, 0) + 1
    return [
        {stored: Count(runs, edge >= reached) for stored, runs in tally.items()} or {"open": Count(0, edge >= reached)}
        for edge, tally in zip(edges, tallies, strict=False)
    ]
