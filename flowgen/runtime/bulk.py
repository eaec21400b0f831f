"""Bulk verbs: cancel, retry or rerun all runs that a filter selects.

Runs are read in pages, newest first, and steered one by one, some of them at a time; so memory is bounded, each run
is its own commit, and one that refuses costs the others nothing. Runs that are created meanwhile are not met. A
dry run decides everything and changes nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Literal

import attrs
import trio

from ..duration import instant
from ..errors import FlowgenError, InvalidInput, StoreError
from ..runs import TERMINAL, RunRow, status_of
from .paging import Pages
from .steering import Steering
from .store import DamagedRun, RunFilter, Store

Verb = Literal["cancel", "retry", "rerun"]

SHOWN = 100
"""A result names so many of its runs, and so many refusals; it counts all of them."""

_AT_A_TIME = 32

OPEN = ("scheduled", "blocked", "collecting", "running", "waiting", "parked")
"""The states of runs that have not ended and are not asked to."""
ENDED = ("completed", "failed", "cancelled", "skipped")
ALLOWED: dict[Verb, tuple[str, ...]] = {"cancel": OPEN, "retry": ("failed", "parked"), "rerun": ENDED}
"""The states that each verb is for: without a `status` it means all of them."""


@attrs.frozen
class Refusal:
    """A run that a verb could not be done to, and why."""

    run: str
    reason: str


@attrs.frozen
class BulkResult:
    """What a bulk verb did or, if `dry_run`, would do.

    `selected` runs were meant, `done` of them were steered (would be) and `refused` were not. `runs` names some of
    those done, `refusals` some of those refused, up to 100 each. A store that fails half way is an error: then some
    are done, and doing it again does the others.
    """

    verb: Verb
    dry_run: bool
    selected: int
    done: int
    refused: int
    runs: tuple[str, ...]
    refusals: tuple[Refusal, ...]


@attrs.frozen
class Selection:
    """Which runs are meant: created from `after` on and before `before`, in one of these states."""

    app: str | None
    workflow: str | None
    statuses: tuple[str, ...]
    before: int | None
    after: int | None

    def filters(self) -> list[RunFilter]:
        """What the store is asked for, one listing after the other."""
        stored = [s for s in self.statuses if s in TERMINAL or s == "parked"]
        if any(s not in stored for s in self.statuses):
            stored = [*[s for s in stored if s in TERMINAL], "open"]
        return [RunFilter(self.app, self.workflow, status, self.before, self.after) for status in stored]


def select(
    verb: Verb,
    app: str | None,
    workflow: str | None,
    status: str | None,
    before: datetime | None,
    after: datetime | None,
) -> Selection:
    """The selection of a bulk verb. Raises `InvalidInput` for a state that it is not for, or an empty span."""
    allowed = ALLOWED[verb]
    if status is not None and status not in allowed:
        raise InvalidInput(f"status={status!r}: {verb} is for runs that are {' or '.join(allowed)}")
    until, since = check_span(before, after)
    return Selection(app, workflow, allowed if status is None else (status,), until, since)


def check_span(before: datetime | None, after: datetime | None) -> tuple[int | None, int | None]:
    """The two times in microseconds. Raises `InvalidInput` for a span that is empty, or without a time zone."""
    until = None if before is None else instant(before, "before")
    since = None if after is None else instant(after, "after")
    if until is not None and since is not None and until <= since:
        raise InvalidInput(f"no run is created from {after} on and before {before}: swap after and before")
    return until, since


class Bulk:
    """Does one verb to all runs of a selection."""

    def __init__(self, store: Store, steering: Steering, reason: str = "cancelled by request") -> None:
        self._store = store
        self._steering = steering
        self._reason = reason

    async def do(self, verb: Verb, selection: Selection, *, dry_run: bool) -> BulkResult:
        """Do it, or find out what it would do."""
        tally = _Tally(self._one(verb, dry_run))
        for where in selection.filters():
            async for page in Pages(partial(self._store.find_runs, where)):
                await tally.take([row for row in page.items if status_of(row) in selection.statuses])
        return tally.result(verb, dry_run)

    def _one(self, verb: Verb, dry_run: bool) -> Callable[[RunRow], Awaitable[object]]:
        async def cancel(row: RunRow) -> None:
            if not dry_run:
                await self._steering.cancel(row, self._reason)

        async def retry(row: RunRow) -> None:
            await self._steering.retry(row.app, row.id, dry_run=dry_run)

        async def rerun(row: RunRow) -> None:
            await self._steering.rerun(row.app, row.id, dry_run=dry_run)

        return {"cancel": cancel, "retry": retry, "rerun": rerun}[verb]


class _Tally:
    """Steers pages of runs and counts what came of it."""

    def __init__(self, steer: Callable[[RunRow], Awaitable[object]]) -> None:
        self._steer = steer
        self._done = self._refused = 0
        self._broken: StoreError | None = None
        self._runs: list[str] = []
        self._refusals: list[Refusal] = []

    async def take(self, rows: Sequence[RunRow]) -> None:
        """Steer these runs, `_AT_A_TIME` of them at once. They are named in their order, whichever was first."""
        limit = trio.CapacityLimiter(_AT_A_TIME)
        done: set[tuple[str, str]] = set()
        async with trio.open_nursery() as nursery:
            for row in rows:
                nursery.start_soon(self._take, row, limit, nursery.cancel_scope, done)
        if self._broken is not None:
            raise self._broken
        self._done += len(done)
        self._runs += [row.id for row in rows if (row.app, row.id) in done][: SHOWN - len(self._runs)]

    async def _take(
        self, row: RunRow, limit: trio.CapacityLimiter, scope: trio.CancelScope, done: set[tuple[str, str]]
    ) -> None:
        async with limit:
            try:
                await self._steer(row)
            except FlowgenError as error:
                if isinstance(error, StoreError) and not isinstance(error, DamagedRun):
                    self._broken = error
                    scope.cancel()
                else:
                    self._refuse(row, error)
            else:
                done.add((row.app, row.id))

    def _refuse(self, row: RunRow, error: FlowgenError) -> None:
        self._refused += 1
        if len(self._refusals) < SHOWN:
            self._refusals.append(Refusal(row.id, str(error)))

    def result(self, verb: Verb, dry_run: bool) -> BulkResult:
        """What came of it."""
        return BulkResult(
            verb,
            dry_run,
            self._done + self._refused,
            self._done,
            self._refused,
            tuple(self._runs),
            tuple(self._refusals),
        )
