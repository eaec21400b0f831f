"""Facts: what decisions must know of the store, asked for when they turn out to need it.

A decision is pure, so it cannot look anything up. It returns *questions* instead; the shell that
called it reads the answers from the store, puts them here, and lets it go on. What was read may be out
of date by the time of the commit: then the commit is refused, the facts are forgotten and all is
decided again.
"""

from __future__ import annotations

import attrs

from .routing import RouteTable
from .transition import Cell, Key


@attrs.define
class Questions:
    """What is not known yet.

    `keys` and `cells` are (app, name) pairs; `started` internal ids of events of whose runs we must know
    whether one is open; `runs` (app, run id) pairs of which we must know whether they are open;
    `positions` times before which the newest event's position is wanted (None: now); `successors`
    (app, run id) pairs whose open successor is wanted.
    """

    keys: set[tuple[str, str]] = attrs.Factory(set)
    cells: set[tuple[str, str]] = attrs.Factory(set)
    runs: set[tuple[str, str]] = attrs.Factory(set)
    started: set[str] = attrs.Factory(set)
    positions: set[int | None] = attrs.Factory(set)
    successors: set[tuple[str, str]] = attrs.Factory(set)

    def __bool__(self) -> bool:
        return any((self.keys, self.cells, self.runs, self.started, self.positions, self.successors))

    def add(self, others: Questions) -> None:
        """Ask these, too."""
        for name in (field.name for field in attrs.fields(Questions)):
            getattr(self, name).update(getattr(others, name))


@attrs.define
class Facts:
    """What is known: the routes in force, and the answers to questions.

    `keys` maps a free key to None, `cells` one that was never written or has expired; `successors` an
    ended run without an open successor to None.
    """

    table: RouteTable
    keys: dict[tuple[str, str], Key | None] = attrs.Factory(dict)
    cells: dict[tuple[str, str], Cell | None] = attrs.Factory(dict)
    open_runs: dict[tuple[str, str], bool] = attrs.Factory(dict)
    started: dict[str, bool] = attrs.Factory(dict)
    positions: dict[int | None, int] = attrs.Factory(dict)
    successors: dict[tuple[str, str], str | None] = attrs.Factory(dict)
