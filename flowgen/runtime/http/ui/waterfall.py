"""A run's history as a picture: what it did and waited for, when, and beside what.

`history -> rows of bars`, and the scale that places them. A row is a step, or the heading of a branch; the first is the
run itself, with the time in which it waited to be started. Bars are stretches of time of one kind:

===========  ==========================================================================
`queue`      created, and not yet started
`run`        the run itself, from its start to its end
`attempt`    a try of a `Run` step that came back with a value, or is going on
`failed`     a try that failed
`backoff`    between a failed try and the next
`sleep`      a sleep
`wait`       a wait for an event or a signal
`invoke`     a child run
`send`       events or a signal left; they take no time
===========  ==========================================================================

What a rerun kept of the run before it is `kept`, and has no bars: it took no time here.

Rules: bars begin no earlier than the run was created and end no earlier than they begin; what is open lasts until
now. When a `Run` step began is known only from the code (`asked`); without it, it is taken to have begun
when the step before it, in its branch, came back, and the picture says that it guesses (`guessed`).

Pure. Refuses to know how it is drawn.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Literal

import attrs

from ....duration import moment
from ....history import (
    AttemptFailed,
    CancelAccepted,
    InvokeTerms,
    Kind,
    Record,
    Requested,
    Retried,
    SendSignalTerms,
    SendTerms,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    Terms,
    WaitTerms,
    effective,
)
from ....outcome import Failure, Json
from ....runs import RunRow
from .asked import NOTHING, Asked
from .text import brief
from .timescale import Scale, Stretch, scale_of

BarKind = Literal["queue", "run", "attempt", "failed", "backoff", "sleep", "wait", "invoke", "send"]
State = Literal["done", "kept", "failed", "open", "retrying", "abandoned", "heading"]

_OF: Final[dict[Kind, BarKind]] = {
    "run": "attempt",
    "sleep": "sleep",
    "wait": "wait",
    "signal": "wait",
    "invoke": "invoke",
    "send": "send",
    "send_signal": "send",
}


@attrs.frozen
class Bar:
    """A stretch of time. `text` says what it was; `open` that it goes on."""

    kind: BarKind
    begin: int
    end: int
    text: str
    open: bool = False


@attrs.frozen
class Row:
    """A line of the picture. `step` is a step's id, or the scope of a branch; `note` what is to be said beside it."""

    step: str
    name: str
    depth: int
    state: State
    bars: tuple[Bar, ...] = ()
    kind: Kind | None = None
    attempts: int = 0
    note: str = ""
    child: str = ""
    child_app: str = ""
    arguments: Json | None = None
    value: Json | None = None
    failures: tuple[tuple[int, Failure], ...] = ()

    @property
    def took(self) -> int:
        """From its first bar to its last."""
        return max((bar.end for bar in self.bars), default=0) - min((bar.begin for bar in self.bars), default=0)


@attrs.frozen
class Mark:
    """A moment of the whole run: it was cancelled, or retried."""

    at: int
    text: str


@attrs.frozen
class Waterfall:
    """The picture: its rows, from top to bottom, and its scale."""

    scale: Scale
    rows: tuple[Row, ...]
    marks: tuple[Mark, ...] = ()
    guessed: bool = False


def waterfall(row: RunRow, records: Sequence[Record], now: int, asked: Asked = NOTHING) -> Waterfall:
    """The picture of a run, at a time in microseconds."""
    counted = [record for _, record in effective(records)]
    steps = _collected(row, counted, now, asked)
    end = row.ended_at if row.ended_at is not None else max(now, row.created_at)
    rows = [_whole(row, end), *_flattened(steps)]
    busy = [(bar.begin, bar.end) for each in rows for bar in each.bars if bar.kind in ("attempt", "failed", "queue")]
    marks = tuple(_marks(records))
    scale = scale_of(row.created_at, max([end, *(bar.end for each in rows for bar in each.bars)]), _seen(busy))
    guessed = not asked.known and any(step.kind == "run" for step in steps.values())
    return Waterfall(scale, tuple(rows), marks, guessed)


def _seen(busy: Iterable[Stretch]) -> list[Stretch]:
    """What is executed in no time gets some, to be seen beside sleeps."""
    return [(begin, max(end, begin + 1_000)) for begin, end in busy]


def _whole(row: RunRow, end: int) -> Row:
    """The run itself."""
    started = row.started_at if row.started_at is not None else end
    state: State = "open" if row.open else "failed" if row.stored == "failed" else "done"
    bars = [
        Bar("queue", row.created_at, started, f"queued for {brief(started - row.created_at)}", row.started_at is None)
    ]
    if row.started_at is not None:
        bars.append(Bar("run", started, max(started, end), f"ran for {brief(end - started)}", row.open))
    if started == row.created_at and len(bars) > 1:
        del bars[0]
    return Row("", row.workflow, 0, state, tuple(bars))


def _marks(records: Iterable[Record]) -> Iterator[Mark]:
    for record in records:
        if isinstance(record, CancelAccepted):
            yield Mark(record.at, f"cancelled: {record.reason}")
        elif isinstance(record, Retried):
            yield Mark(record.at, f"retried (life {record.life})")


# -- steps ----------------------------------------------------------------------------------------


@attrs.define
class _Step:
    """A step while its records are read."""

    id: str
    kind: Kind
    begin: int
    bars: list[Bar] = attrs.Factory(list)
    state: State = "open"
    attempts: int = 0
    terms: Terms | None = None
    arguments: Json | None = None
    value: Json | None = None
    failures: list[tuple[int, Failure]] = attrs.Factory(list)
    retry_at: int | None = None


def _collected(row: RunRow, records: Sequence[Record], now: int, asked: Asked) -> dict[str, _Step]:
    """The steps that a history and the code tell of, by id, in the order of their requests."""
    started = records[0].at if records else row.created_at
    begun = records[0] if records and isinstance(records[0], Started) else None
    guess = _Guess(started)
    began = max(row.created_at, row.started_at or 0)
    steps: dict[str, _Step] = {}
    for record in records:
        if not isinstance(record, (Requested, AttemptFailed, StepSucceeded, StepFailed)):
            continue
        step = steps.get(record.step)
        if step is None:
            kind = record.kind if not isinstance(record, AttemptFailed) else "run"
            begin = record.at if isinstance(record, Requested) else min(record.at, guess.begin(record.step))
            begin = min(record.at, asked.at.get(record.step, begin))
            step = steps[record.step] = _Step(record.step, kind, max(begin, min(record.at, began)))
        _take(step, record)
        if isinstance(record, (StepSucceeded, StepFailed)):
            guess.came_back(record.step, record.at)
            if begun is not None and not (begun.digest or record.digest) and record.at == begun.at:
                step.state, step.bars = "kept", []
    last = records[-1].at if records else started
    for id in asked.executing:
        if id not in steps:
            steps[id] = _Step(id, "run", asked.at.get(id, last))
    end = row.ended_at if row.ended_at is not None else now
    for step in steps.values():
        if step.state in ("open", "retrying"):
            _leave_open(step, row.open, end, asked)
    return dict(sorted(steps.items(), key=lambda item: item[1].begin))


def _take(step: _Step, record: Requested | AttemptFailed | StepSucceeded | StepFailed) -> None:
    match record:
        case Requested():
            step.begin, step.terms, step.state, step.arguments = record.at, record.terms, "open", record.arguments
            return
        case AttemptFailed():
            step.attempts = record.attempt
            step.arguments = record.arguments
            step.state = "retrying"
            step.bars.append(_bar("failed", _next_begin(step, record.at), record.at, str(record.failure)))
            step.failures.append((record.attempt, record.failure))
            step.retry_at = record.retry_at
            return
        case StepSucceeded():
            step.state, step.value = "done", record.value
            text = ""
        case StepFailed():
            step.state, text = "failed", str(record.failure)
            step.failures.append((record.attempts, record.failure))
    if step.terms is None:
        step.arguments = record.arguments
    step.attempts = record.attempts if isinstance(record, StepFailed) else step.attempts + 1
    kind = "failed" if step.state == "failed" and step.kind == "run" else _OF[step.kind]
    step.bars.append(_bar(kind, _next_begin(step, record.at), record.at, text))


def _next_begin(step: _Step, at: int) -> int:
    """When the try that ended at `at` began; what lay between the failed one and it is drawn as a back-off."""
    if not step.bars:
        return min(step.begin, at)
    failed_at = step.bars[-1].end
    begin = min(step.retry_at if step.retry_at is not None else failed_at, at)
    if begin > failed_at:
        step.bars.append(Bar("backoff", failed_at, begin, f"waited {brief(begin - failed_at)} before the next attempt"))
    return max(begin, failed_at)


def _bar(kind: BarKind, begin: int, end: int, text: str) -> Bar:
    end = max(begin, end)
    return Bar(kind, begin, end, f"{brief(end - begin)}{': ' + text if text else ''}")


def _leave_open(step: _Step, goes_on: bool, end: int, asked: Asked) -> None:
    """A step without an outcome: it goes on, or was given up."""
    given_up = asked.abandoned.get(step.id)
    if given_up is not None or not goes_on:
        step.state = "abandoned"
        end = given_up if given_up is not None else end
    begin = step.begin
    if step.retry_at is not None:
        last = step.bars[-1].end
        begin = max(last, min(step.retry_at, end))
        if begin > last:
            step.bars.append(
                Bar("backoff", last, begin, f"waits {brief(step.retry_at - last)} before the next attempt")
            )
    if step.retry_at is None or step.retry_at < end:
        text = "given up" if step.state == "abandoned" else "goes on"
        step.bars.append(Bar(_OF[step.kind], begin, max(begin, end), text, open=step.state != "abandoned"))


class _Guess:
    """When a step began, told from what came back before it: in its branch, or before its branches opened."""

    def __init__(self, started: int) -> None:
        self._last = {"": started}
        self._opened: dict[str, int] = {}

    def begin(self, step: str) -> int:
        scope = _scope(step)
        return self._scope_begin(scope)

    def _scope_begin(self, scope: str) -> int:
        if scope in self._last:
            return self._last[scope]
        group, _, _ = scope.rpartition("/")
        outer = group.rpartition("/")[0]
        if group not in self._opened:
            self._opened[group] = self._scope_begin(outer)
        self._last[scope] = self._opened[group]
        return self._last[scope]

    def came_back(self, step: str, at: int) -> None:
        scope = _scope(step)
        while True:
            self._last[scope] = at
            if not scope:
                return
            scope = scope.rpartition("/")[0].rpartition("/")[0]


def _scope(step: str) -> str:
    return step.rpartition("/")[0]


# -- rows -----------------------------------------------------------------------------------------


def _flattened(steps: dict[str, _Step]) -> Iterator[Row]:
    """The rows, each branch below its heading, where its first step stands."""
    children: dict[str, list[str]] = {"": []}
    for id in steps:
        _place(id, _scope(id), children)
    yield from _below("", 0, children, steps)


def _place(id: str, scope: str, children: dict[str, list[str]]) -> None:
    if scope not in children:
        children[scope] = []
        group = scope.rpartition("/")[0]
        _place(scope, group.rpartition("/")[0], children)
    children[scope].append(id)


def _below(scope: str, depth: int, children: dict[str, list[str]], steps: dict[str, _Step]) -> Iterator[Row]:
    for id in children[scope]:
        step = steps.get(id)
        if step is not None:
            yield _row(step, depth)
        if id in children and id != "":
            group, _, key = id.rpartition("/")
            yield Row(id, f"{group.rpartition('/')[2]} · {key}", depth, "heading")
            yield from _below(id, depth + 1, children, steps)


def _row(step: _Step, depth: int) -> Row:
    child = step.terms if isinstance(step.terms, InvokeTerms) else None
    return Row(
        step.id,
        step.id.rpartition("/")[2],
        depth,
        step.state,
        tuple(step.bars),
        step.kind,
        step.attempts,
        _note(step),
        child.child if child is not None else "",
        child.app if child is not None else "",
        step.arguments,
        step.value,
        tuple(step.failures),
    )


def _note(step: _Step) -> str:
    """What a step is about, beside its name."""
    match step.terms:
        case SleepTerms(due_at):
            return f"until {_when(due_at)}"
        case WaitTerms():
            terms = step.terms
            match = f" with {terms.path} = {terms.value}" if terms.path is not None else ""
            where = f" where {terms.where}" if terms.where is not None else ""
            return f"for event {terms.event}{match}{where}, until {_when(terms.expires_at)}"
        case SignalTerms(_, signal, expires_at):
            return f"for signal {signal}, until {_when(expires_at)}"
        case InvokeTerms(app, workflow):
            return f"run of {app}/{workflow}"
        case SendTerms(events):
            return f"{len(events)} event{'s' if len(events) != 1 else ''}"
        case SendSignalTerms(signal):
            return f"signal {signal}"
    if step.state == "retrying" and step.retry_at is not None:
        return f"attempt {step.attempts + 1} at {_when(step.retry_at)}"
    return f"{step.attempts} attempts" if step.attempts > 1 else ""


def _when(at: int) -> str:
    return moment(at).strftime("%Y-%m-%d %H:%M:%S UTC")
