"""View models of lists: runs, events and workflows as pages show them. Pure: values in, frozen values out."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import attrs

from ....duration import instant, moment
from ....events import INVOKED, INVOKED_AFTER_END, RESERVED_PREFIX, AcceptedEvent
from ....schedules import TICK
from ....values import decode
from ...info import RunInfo
from ...workflows import WorkflowInfo
from .text import brief, one_line, shortened

PERIODS: Final = {"15m": 900, "1h": 3_600, "6h": 21_600, "24h": 86_400, "7d": 604_800, "30d": 2_592_000}
"""What the list of runs may be limited to, in seconds."""


@attrs.frozen
class RunLine:
    """A run in a list."""

    id: str
    app: str
    workflow: str
    status: str
    cause: str
    preview: str
    created_at: datetime
    queued: str
    took: str
    note: str

    @property
    def short_id(self) -> str:
        """The id as lists show it: of a long one, the end tells more than the middle."""
        return self.id if len(self.id) <= 14 else f"…{self.id[-10:]}"


def run_line(run: RunInfo, now: int) -> RunLine:
    """A run in a list, at a time in microseconds."""
    started, ended = run.started_at, run.ended_at
    until = now if ended is None else instant(ended, "ended_at")
    began = until if started is None else instant(started, "started_at")
    queued = began - instant(run.created_at, "created_at")
    note = str(run.error) if run.error is not None else run.reason or ""
    if run.restarted_as is not None:
        note = f"restarted as {run.restarted_as}"
    return RunLine(
        id=run.id,
        app=run.app,
        workflow=run.workflow_id,
        status=run.status,
        cause=cause_of(run.event.name, run.parent_id, len(run.events)),
        preview=one_line(run.event.data, 100),
        created_at=run.created_at,
        queued=brief(queued) if queued >= 1_000_000 else "",
        took=brief(until - began) if started is not None else "",
        note=shortened(note.partition("\n")[0], 160),
    )


def cause_of(event: str, parent: str | None, count: int = 1) -> str:
    """What started a run, in a word."""
    if parent is not None:
        return "invoked by a run"
    if event in (INVOKED, INVOKED_AFTER_END):
        return "started directly"
    if event == TICK:
        return "its schedule"
    return f"{count} × {event}" if count > 1 else event


def reason_of(why: str) -> str:
    """What `why` says of a run, without naming it once more.

    >>> reason_of("run 7 of ship is sleeping at step 'nap'")
    "Sleeping at step 'nap'"
    """
    told = why.partition(" is ")[2] or why
    return told[:1].upper() + told[1:]


# -- events and workflows -------------------------------------------------------------------------


@attrs.frozen
class EventLine:
    """An event in a list."""

    id: str
    name: str
    key: str
    preview: str
    accepted_at: datetime
    waits_until: datetime | None
    own: bool


def event_line(event: AcceptedEvent, now: int) -> EventLine:
    """An event in a list, at a time in microseconds."""
    return EventLine(
        event.id,
        event.name,
        event.key or "",
        one_line(decode(event.data), 140),
        moment(event.accepted_at),
        moment(event.ts) if event.position is None and event.ts > now else None,
        event.name.startswith(RESERVED_PREFIX),
    )


@attrs.frozen
class WorkflowLine:
    """A workflow in a list. `sentence` is the first line of its docstring, if its code is here."""

    info: WorkflowInfo
    sentence: str
    where: str


# -- links ----------------------------------------------------------------------------------------


def query(current: Mapping[str, str | None], **changes: str | None) -> str:
    """The query of a page with some parameters changed, and the cursor gone: it begins with "?", or is empty.

    >>> query({"status": "failed", "cursor": "x"}, workflow="a/b")
    '?status=failed&workflow=a%2Fb'
    """
    merged = {**current, "cursor": None, **changes}
    kept = {name: value for name, value in merged.items() if value}
    return f"?{urlencode(kept)}" if kept else ""
