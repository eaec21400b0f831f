"""View models of the page of one run: its picture in place, its history as lines, what one may do to it.

A page has room for so much (`ALL_SHOWN`): what is beyond is cut, and says so. Pure: values in, frozen values out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import attrs

from ....events import RESERVED_PREFIX, AcceptedEvent
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
from ....values import decode
from .text import ALL_SHOWN, SHOWN, Json, brief, indented, is_blank, one_line, shortened, shown_json
from .timescale import Scale, has_room, ticks
from .waterfall import Row, Waterfall

MAX_RECORDS: Final = 1_000
"""So many records of a run, and as many rows of its picture, are shown on its page; the rest is told of."""


@attrs.frozen
class DrawnBar:
    """A bar in place: percent from the left, and of the width."""

    kind: str
    x: float
    width: float
    text: str
    open: bool


@attrs.frozen
class Attempt:
    """A try that failed, its trace left out if the page holds too much already."""

    number: int
    type: str
    message: str
    trace: str


@attrs.frozen
class DrawnRow:
    """A row of the picture, and what opens below it."""

    row: Row
    bars: tuple[DrawnBar, ...]
    took: str
    arguments: Json | None
    value: Json | None
    attempts: tuple[Attempt, ...]
    events: tuple[str, ...] = ()


@attrs.define
class _Room:
    """What a page has room for: so many characters of values."""

    left: int = ALL_SHOWN

    def json(self, value: Any) -> Json:
        """The value, as far as there is room for it."""
        shown = shown_json(value, min(SHOWN, max(0, self.left)))
        self.left -= len(shown.text)
        return shown

    def text(self, text: str) -> str:
        """The text, or nothing if there is no room for it."""
        if len(text) > self.left:
            return ""
        self.left -= len(text)
        return text


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
    marked = ticks(scale)
    moments = tuple(DrawnMark(scale.place(begin + at), f"+{brief(at)}" if at else "0") for at in marked)
    breaks = tuple(
        (scale.place(a), scale.place(b) - scale.place(a), brief(b - a) if has_room(scale, (a, b), marked) else "")
        for a, b in scale.breaks
    )
    marks = tuple(DrawnMark(scale.place(mark.at), mark.text) for mark in drawn.marks)
    room = _Room()
    rows = tuple(_drawn(row, scale, sent.get(row.step, ()), room) for row in shown)
    refresh = min(60_000, max(1_000, (end - begin) // 300_000)) if is_open else 0
    return Picture(rows, moments, breaks, marks, drawn.guessed, len(drawn.rows) - len(shown), refresh)


def _drawn(row: Row, scale: Scale, events: tuple[str, ...], room: _Room) -> DrawnRow:
    bars = []
    for bar in row.bars:
        x = scale.place(bar.begin)
        bars.append(DrawnBar(bar.kind, round(x, 3), round(max(0.0, scale.place(bar.end) - x), 3), bar.text, bar.open))
    arguments = None if row.arguments is None else _called(decode(row.arguments), row.kind)
    attempts = tuple(
        Attempt(number, failure.type, shortened(failure.message, 2_000), room.text(failure.trace))
        for number, failure in row.failures
    )
    return DrawnRow(
        row,
        tuple(bars),
        "kept" if row.state == "kept" else brief(row.took) if row.bars else "",
        None if arguments is None else room.json(arguments),
        None if row.value is None else room.json(decode(row.value)),
        attempts,
        events,
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
    """The steps of a run in the order of their first records; results that are too long cannot be edited on a page."""
    first: dict[str, int] = {}
    outcomes: dict[str, tuple[int, StepSucceeded | StepFailed]] = {}
    for position, record in effective(records):
        if isinstance(record, (Requested, AttemptFailed, StepSucceeded, StepFailed)):
            first.setdefault(record.step, position)
        if isinstance(record, (StepSucceeded, StepFailed)) and record.kind in EDITABLE:
            outcomes[record.step] = position, record
    room = ALL_SHOWN
    choices = []
    for step, position in list(first.items())[:MAX_RECORDS]:
        at, outcome = outcomes.get(step, (None, None))
        text = "" if outcome is None else _edited_text(outcome)
        if len(text) > min(SHOWN, room):
            at, text = None, ""
        room -= len(text)
        choices.append(StepChoice(step, repr(step) if is_blank(step) else step, position, at, text))
    return tuple(choices)


def _edited_text(outcome: StepSucceeded | StepFailed) -> str:
    """A result as one edits it: of a wait, that is the data of its event."""
    if isinstance(outcome, StepFailed):
        return ""
    value = decode(outcome.value)
    if outcome.kind == "wait" and isinstance(value, dict):
        value = value.get("data")
    return indented(value)


def may(status: str) -> frozenset[str]:
    """What one may do to a run in a state: cancel, retry, rerun."""
    verbs = {"rerun"} if status != "collecting" else set()
    if status not in TERMINAL:
        verbs.add("cancel")
    if status in ("failed", "parked"):
        verbs.add("retry")
    return frozenset(verbs)
