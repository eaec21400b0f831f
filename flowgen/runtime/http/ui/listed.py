"""Lists of runs as the pages have them: lines, which are small, from pages of runs, which may be large.

A page of runs ends when it has some megabytes of events and results; of those a line shows a hundred characters. So
several are read for one list, and only the lines are kept. How many is bounded: each takes its time on the engine's
loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from ...engine import Engine
from ...info import RunInfo
from ...listing import stored_status
from ...paging import Page, Pages
from . import pages

READ: Final = 16
"""So many pages of runs are read for one list."""

Find = Callable[[int, str | None], Awaitable[Page[RunInfo]]]
"""A page of at most so many runs, from a cursor on."""


async def lines(
    engine: Engine, find: Find, most: int, cursor: str | None = None, read: int = READ
) -> Page[pages.RunLine]:
    """At most so many lines, and the cursor from where the list goes on."""
    items: list[pages.RunLine] = []
    found = Pages(lambda cursor: find(most - len(items), cursor), cursor)
    async for page in found:
        now = await engine.store.now()
        items += [pages.run_line(run, now) for run in page.items]
        read -= 1
        if len(items) >= most or read == 0:
            break
    return Page(tuple(items), found.cursor)


def readings(status: str | None, searched: bool) -> int:
    """How many pages of runs to read for a list: one, if it comes short because others had to be looked at."""
    return 1 if searched or stored_status(status) != status else READ
