"""Counting runs by an index, a bounded part of it.

A cell is a range of `runs_by_app` or `runs_by_workflow`. Up to `COUNTED` entries are walked. Beyond, the share of
the cell's runs among all that were created at that time is taken from the part that was walked: the keys of the table
grow with each run, so the first key and the last one say how many runs were created between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

import apsw

from ...counting import COUNTED, Count
from .reads import STATUSES, apps_of

_OF_APP: Final = "from runs where app = ?1 and stored = ?2 and created_at >= ?3 and created_at < ?4"
_OF_WORKFLOW: Final = (
    "from runs where app = ?1 and workflow = ?5 and stored = ?2 and created_at >= ?3 and created_at < ?4"
)


def count_runs(
    connection: apsw.Connection, app: str | None, workflow: str | None, edges: Sequence[int]
) -> list[Mapping[str, Count]]:
    """See `CountsRuns`."""
    apps = list(apps_of(connection)) if app is None else [app]
    return [dict(_cells(connection, apps, workflow, span)) for span in pairwise(edges)]


def _cells(
    connection: apsw.Connection, apps: Sequence[str], workflow: str | None, span: tuple[int, int]
) -> Iterator[tuple[str, Count]]:
    rows, name = (_OF_APP, ()) if workflow is None else (_OF_WORKFLOW, (workflow,))
    for stored in STATUSES:
        counts = [_count(connection, rows, (app, stored, *span, *name)) for app in apps]
        yield stored, Count(sum(count.runs for count in counts), all(count.exact for count in counts))


def _count(connection: apsw.Connection, rows: str, of: tuple[Any, ...]) -> Count:
    counted: int = connection.execute(f"select count(*) from (select 1 {rows} limit {COUNTED + 1})", of).get  # noqa: S608
    if counted <= COUNTED:
        return Count(counted)
    return Count(_estimate(connection, rows, of), exact=False)


def _estimate(connection: apsw.Connection, rows: str, of: tuple[Any, ...]) -> int:
    def key(order: str, offset: int = 0) -> int:
        ordered = f"select key {rows} order by created_at {order}, id {order} limit 1 offset {offset}"
        found: int = connection.execute(ordered, of).get
        return found

    first, walked, last = key("asc"), key("asc", COUNTED), key("desc")
    return max(COUNTED + 1, round(COUNTED * (last - first + 1) / max(1, walked - first)))
