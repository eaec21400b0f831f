"""Going through the ready order: what a worker offers, in order, whatever else stands there.

A line is one index over the runs of all apps and workflows, so to look at the first of them costs the same
whatever a worker offers. What it does not offer is passed over; but a backlog that nobody here wants must not
cost more with each run in it. So after a number of those (`patience`) the line is left, and the lists of
the workflows that are offered are merged from there on. That costs one look at each list, which is as much
as the runs that were passed over. Parked runs are only in lists: of a workflow and the digest that parked them.

Refuses to know: what is taken and why (`candidates`), and where runs stand (`row`).
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import apsw
import attrs

from .row import LATER, PLAIN, RANKED
from .rows import Columns

FOREVER: Final = 2**63 - 1

PATIENCE: Final = 20
"""So many runs are passed over for nothing, and one more for each workflow that is offered."""

CANDIDATE: Final = "app, id, 0, key, owner, strikes, workflow, iif(stored = 'parked', digest, null), line, slots "
"""The columns of a candidate after its rank."""

_IN_LINE: Final = {
    line: f"select rank, {CANDIDATE}from runs where {these} and rank <= ? order by rank, app, id"
    for line, these in {
        PLAIN: "line = 0 and stored <> 'parked'",
        LATER: "line = 1",
        RANKED: "line = 2 and stored <> 'parked'",
    }.items()
}
_OF_WORKFLOW: Final = (
    f"select rank, {CANDIDATE}from runs where app = ? and workflow = ? and line = ? and stored <> 'parked' "
    "and rank <= ? and (rank, id) > (?, ?) order by rank, id limit 1"
)
_PARKED: Final = (
    f"select rank, {CANDIDATE}from runs where app = ? and workflow = ? and stored = 'parked' and digest is ? "
    "and line = ? and rank <= ? and (rank, id) > (?, ?) order by rank, id limit 1"
)
_NEXT_PARKED: Final = (
    "select app, workflow, digest from runs where stored = 'parked' and (app, workflow, digest) > (?, ?, ?) "
    "order by app, workflow, digest limit 1"
)

Place = tuple[int, str, str]
"""Rank, app and id: where a run stands among all."""

START: Final[Place] = (-(2**63), "", "")


@attrs.frozen
class List:
    """The runs of one workflow in a line, or those of them that one digest parked."""

    names: tuple[str, ...]
    line: int

    def after(self, connection: apsw.Connection, place: Place, until: int) -> Columns | None:
        """The first run behind that place, ranked `until` at the latest."""
        rank, app, id = place
        if self.names[0] != app:
            rank, id = (rank, "") if self.names[0] > app else (rank + 1, "")
        query = _OF_WORKFLOW if len(self.names) == 2 else _PARKED
        columns: Columns | None = connection.execute(query, (*self.names, self.line, until, rank, id)).get
        return columns


class ReadyOrder:
    """The lines, as a worker goes through them that offers this code."""

    def __init__(self, connection: apsw.Connection, offers: Mapping[tuple[str, str], str]) -> None:
        self._connection = connection
        self._offers = offers
        self._patience = PATIENCE + len(offers)
        self._any_parked = bool(connection.execute("select 1 from runs where stored = 'parked' limit 1").get)
        self._parked: tuple[tuple[str, str, str], ...] | None = None

    def line(self, line: int, until: int = FOREVER) -> Iterator[Columns]:
        """The runs in a line that may be given to the worker, ranked `until` at the latest."""
        in_line = self._in_line(line, until)
        return in_line if line == LATER else heapq.merge(in_line, self._merged(self._parked_lists(line), START, until))

    def _in_line(self, line: int, until: int) -> Iterator[Columns]:
        passed = 0
        for columns in self._connection.execute(_IN_LINE[line], (until,)):
            if self._offered(columns[7], columns[1], columns[8]):
                yield columns
                continue
            passed += 1
            if passed > self._patience:
                lists = [List(name, line) for name in self._offers]
                if line == LATER:
                    lists += self._parked_lists(line)
                yield from self._merged(lists, columns[:3], until)
                return

    def _offered(self, workflow: str, app: str, parked_by: str | None) -> bool:
        """Whether the worker has the code of a run, and other code than the one that parked it."""
        digest = self._offers.get((app, workflow))
        return digest is not None and digest != parked_by

    def _merged(self, lists: Iterable[List], place: Place, until: int) -> Iterator[Columns]:
        """The runs of some lists behind that place: one look at each list, and one more for each run."""
        heads = []
        for each in lists:
            first = each.after(self._connection, place, until)
            if first is not None:
                heads.append((first, each))
        heapq.heapify(heads)
        while heads:
            columns, of = heads[0]
            yield columns
            behind = of.after(self._connection, columns[:3], until)
            if behind is None:
                heapq.heappop(heads)
            else:
                heapq.heapreplace(heads, (behind, of))

    def _parked_lists(self, line: int) -> list[List]:
        """The lists of parked runs that the worker may try: one step down the index for each that there is."""
        if not self._any_parked:
            return []
        if self._parked is None:
            self._parked = tuple(self._parked_names())
        return [List(names, line) for names in self._parked]

    def _parked_names(self) -> Iterator[tuple[str, str, str]]:
        names = self._connection.execute(_NEXT_PARKED, ("", "", "")).get
        while names is not None:
            app, workflow, digest = names
            if self._offered(workflow, app, digest):
                yield names
            names = self._connection.execute(_NEXT_PARKED, (app, workflow, digest or "")).get
