"""View models: an engine's values as pages show them. Pure: values in, frozen values out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import attrs

from ....duration import instant, moment
from ....events import INVOKED, INVOKED_AFTER_END, RESERVED_PREFIX, AcceptedEvent
from ....history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndCancelled,
    EndCompleted,
    EndFailed,
    InvokeTerms,
    Record,
    Requested,
    Retried,
    SendTerms,
    Started,
    StepFailed,
    StepSucceeded,
    effective,
)
from ....runs import TERMINAL
from ....schedules import TICK
from ....values import decode
from ...info import RunInfo
from ...workflows import WorkflowInfo
from .text import brief, is_blank, one_line, shortened
from .timescale import Scale, ticks
from .waterfall import Row, Waterfall

MAX_RECORDS: Final = 1_000
"""So many records of a run, and as many rows of its picture, are shown on its page; the rest is told of."""

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


# -- a run ----------------------------------------------------------------------------------------


@attrs.frozen
class DrawnBar:
    """A bar in place: percent from the left, and of the width."""

    kind: str
    x: float
    width: float
    text: str
    open: bool


@attrs.frozen
class DrawnRow:
    """A row of the picture, and what opens below it."""

    row: Row
    bars: tuple[DrawnBar, ...]
    took: str
    arguments: Any
    value: Any
    has_value: bool
    events: tuple[str, ...] = ()


@attrs.frozen
class DrawnMark:
    """A line across the picture."""

    x: float
    text: str


@attrs.frozen
class Picture:
    """A waterfall in place. `left_out` rows are too many to be shown; `refresh` is how often it looks different."""

    rows: tuple[DrawnRow, ...]
    ticks: tuple[DrawnMark, ...]
    breaks: tuple[tuple[float, float, str], ...]
    marks: tuple[DrawnMark, ...]
    guessed: bool
    left_out: int
    refresh: int


def picture(drawn: Waterfall, records: Sequence[Record], is_open: bool) -> Picture:
    """A waterfall with everything in its place."""
    scale = drawn.scale
    begin, end = scale.times[0], scale.times[-1]
    sent = {r.step: r.terms.events for r in records if isinstance(r, Requested) and isinstance(r.terms, SendTerms)}
    shown = drawn.rows[:MAX_RECORDS]
    moments = tuple(DrawnMark(scale.place(begin + at), f"+{brief(at)}" if at else "0") for at in ticks(scale))
    breaks = tuple((scale.place(a), scale.place(b) - scale.place(a), brief(b - a)) for a, b in scale.breaks)
    marks = tuple(DrawnMark(scale.place(mark.at), mark.text) for mark in drawn.marks)
    rows = tuple(_drawn(row, scale, sent.get(row.step, ())) for row in shown)
    refresh = min(60_000, max(1_000, (end - begin) // 300_000)) if is_open else 0
    return Picture(rows, moments, breaks, marks, drawn.guessed, len(drawn.rows) - len(shown), refresh)


def _drawn(row: Row, scale: Scale, events: tuple[str, ...]) -> DrawnRow:
    bars = []
    for bar in row.bars:
        x = scale.place(bar.begin)
        bars.append(DrawnBar(bar.kind, round(x, 3), round(max(0.0, scale.place(bar.end) - x), 3), bar.text, bar.open))
    arguments = None if row.arguments is None else _called(decode(row.arguments), row.kind)
    value = None if row.value is None else decode(row.value)
    return DrawnRow(
        row, tuple(bars), brief(row.took) if row.bars else "", arguments, value, row.value is not None, events
    )


def _called(arguments: Any, kind: str | None) -> Any:
    """What a step was called with, without the brackets of its record: only what is there."""
    match arguments:
        case [list(), dict()] if kind == "run":
            positional, named = arguments
            if positional and named:
                return {"positional": positional, "named": named}
            return positional or named or None
    return arguments


@attrs.frozen
class HistoryLine:
    """A record as text. `counts` is false for what a retry has taken back."""

    position: int
    after: str
    verb: str
    step: str
    text: str
    counts: bool


def history_lines(records: Sequence[Record]) -> tuple[HistoryLine, ...]:
    """The records of a run, oldest first, each with its time since the first."""
    counted = {position for position, _ in effective(records)}
    begin = records[0].at if records else 0
    return tuple(
        HistoryLine(position, f"+{(record.at - begin) / 1e6:.3f}s", *_told(record), position in counted)
        for position, record in enumerate(records[:MAX_RECORDS])
    )


def _told(record: Record) -> tuple[str, str, str]:
    """The verb, the step and the details of a record."""
    match record:
        case Started(digest=digest):
            return "started", "", f"on code {digest[:12]}"
        case Requested(step=step, kind=kind, terms=terms):
            child = f"run {terms.child} of {terms.app}/{terms.workflow}" if isinstance(terms, InvokeTerms) else ""
            return f"asked to {kind.replace('_', ' ')}", step, child
        case AttemptFailed(step=step, attempt=attempt, failure=failure, retry_at=retry_at, at=at):
            return "attempt failed", step, f"attempt {attempt}: {failure}; again in {brief(retry_at - at)}"
        case StepSucceeded(step=step, value=value):
            return "came back", step, one_line(decode(value), 160)
        case StepFailed(step=step, failure=failure, attempts=attempts):
            return "failed", step, f"after {attempts} attempt{'s' if attempts != 1 else ''}: {failure}"
        case CancelAccepted(reason=reason):
            return "cancelled", "", reason
        case CleanupExpired(scope=scope):
            return "clean-up expired", scope, ""
        case Retried(life=life, steps=steps):
            return "retried", "", f"life {life}" + (f"; asks anew for {', '.join(steps)}" if steps else "")
        case EndCompleted(result=result, restarted_as=successor):
            return "completed", "", f"restarted as {successor}" if successor else one_line(decode(result), 160)
        case EndFailed(failure=failure):
            return "failed", "", str(failure)
        case EndCancelled(reason=reason, cleaned_up=cleaned_up):
            return "ended cancelled", "", reason + ("" if cleaned_up else " (no clean-up ran)")


@attrs.frozen
class Origin:
    """An event that a run handles. `id` is internal, and empty where there is no page of it."""

    id: str
    name: str
    data: Any


def origin_of(event: AcceptedEvent) -> Origin:
    """An event of a run: one that flowgen made for a run that was started directly has no page."""
    return Origin("" if event.name.startswith(RESERVED_PREFIX) else event.id, event.name, decode(event.data))


@attrs.frozen
class StepChoice:
    """A step from which a run may be run again.

    `first` is the position of its first record; `outcome` that of its outcome, if a rerun from a step whose first
    record comes later may edit it: then `value` is the result as JSON text, empty if it failed.
    """

    id: str
    label: str
    first: int
    outcome: int | None
    value: str


EDITABLE: Final = ("run", "invoke", "signal", "wait")
"""The kinds of steps whose results a rerun may edit."""


def step_choices(records: Sequence[Record]) -> tuple[StepChoice, ...]:
    """The steps of a run in the order of their first records."""
    first: dict[str, int] = {}
    outcomes: dict[str, tuple[int, StepSucceeded | StepFailed]] = {}
    for position, record in effective(records):
        if isinstance(record, (Requested, AttemptFailed, StepSucceeded, StepFailed)):
            first.setdefault(record.step, position)
        if isinstance(record, (StepSucceeded, StepFailed)) and record.kind in EDITABLE:
            outcomes[record.step] = position, record
    return tuple(
        StepChoice(
            step,
            repr(step) if is_blank(step) else step,
            position,
            outcomes[step][0] if step in outcomes else None,
            _edited_text(outcomes[step][1]) if step in outcomes else "",
        )
        for step, position in list(first.items())[:MAX_RECORDS]
    )


def _edited_text(outcome: StepSucceeded | StepFailed) -> str:
    """A result as one edits it: of a wait, that is the data of its event."""
    if isinstance(outcome, StepFailed):
        return ""
    value = decode(outcome.value)
    if outcome.kind == "wait" and isinstance(value, dict):
        value = value.get("data")
    return json.dumps(value, indent=2, ensure_ascii=False)


def may(status: str) -> frozenset[str]:
    """What one may do to a run in a state: cancel, retry, rerun."""
    verbs = {"rerun"} if status != "collecting" else set()
    if status not in TERMINAL:
        verbs.add("cancel")
    if status in ("failed", "parked"):
        verbs.add("retry")
    return frozenset(verbs)


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
