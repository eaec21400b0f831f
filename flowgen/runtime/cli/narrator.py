"""What happened, in lines: a committed transition told to the person who watches `flowgen dev`.

Pure: transitions in, lines out. No line shows what events carry or steps return, unless `payloads` asks
for it; the messages of errors are shown, because nobody can mend what is not said. What was marked
`Secret` is not in a transition, so it cannot be shown.

Refuses to know: terminals, time zones, colours (`feed`), and where notes on runs come from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal

import attrs

from ...codec import decode_event
from ...duration import HOUR, MILLISECOND, MINUTE, SECOND, format_duration
from ...events import RESERVED_PREFIX, AcceptedEvent
from ...history import (
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
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    WaitTerms,
)
from ...outcome import Failure, Json
from ...runs import RunRow
from ...transition import Progress, Transition
from ..drive import is_hand_back
from .output import short_id, shortened

Tone = Literal["plain", "good", "bad", "quiet"]

_MESSAGE = 200
_PAYLOAD = 120


@attrs.frozen
class Line:
    """One thing that happened at `at`: to a run of a workflow, or to nobody in particular ("")."""

    at: int
    verb: str
    text: str
    run: str = ""
    workflow: str = ""
    tone: Tone = "plain"


@attrs.frozen
class Note:
    """What one must know of a run to tell of it: its workflow, what started it, and since when it runs."""

    workflow: str
    events: tuple[AcceptedEvent, ...] = ()
    parent: str | None = None
    started_at: int | None = None


def note_on(row: RunRow, events: tuple[AcceptedEvent, ...]) -> Note:
    """The note on a run that the store's values give."""
    return Note(row.workflow, events, row.parent.run if row.parent is not None else None, row.started_at)


def narrate(
    transition: Transition, now: int, note_of: Callable[[str, str], Note], payloads: bool = False
) -> list[Line]:
    """The lines of one transition that was committed at `now`; `note_of(app, run)` knows about runs."""
    lines: list[Line] = []
    progress = transition.progress
    if progress is not None:
        note = note_of(progress.app, progress.run)
        lines += _records(progress.run, note, progress.records, payloads)
        lines += _besides(progress, note, now, is_hand_back(transition))
    lines += [_event(event, payloads) for event in transition.accept]
    for new in transition.create:
        lines += _records(new.row.id, note_on(new.row, new.events), new.records, payloads)
    return lines


def heard_of(event: AcceptedEvent, payloads: bool = False) -> Line:
    """The line of an event that somebody else accepted."""
    return _event(event, payloads)


def started_by(events: tuple[AcceptedEvent, ...]) -> list[AcceptedEvent]:
    """The events among those of a run that somebody sent: a run that was started directly has none."""
    return [event for event in events if not event.name.startswith(RESERVED_PREFIX)]


def about(micros: int) -> str:
    """A duration as people say it: no more digits than they would.

    >>> about(14_200), about(2_447_000), about(12_345_678)
    ('14ms', '2.4s', '12s')
    """
    if micros < SECOND:
        return f"{max(0, micros) // MILLISECOND}ms"
    if micros < 10 * SECOND:
        return f"{micros / SECOND:.1f}s".replace(".0s", "s")
    unit = next((unit for unit in (HOUR, MINUTE) if micros >= 24 * unit), SECOND)
    return format_duration(micros // unit * unit)


def _event(event: AcceptedEvent, payloads: bool) -> Line:
    key = f" (id {event.key})" if event.key is not None else ""
    delay = f"; it counts in {about(event.ts - event.accepted_at)}" if event.ts > event.accepted_at else ""
    return Line(event.accepted_at, "event", f"{event.name}{key}{delay}{_value(event.data, payloads)}")


def _besides(progress: Progress, note: Note, now: int, handed_back: bool) -> Iterator[Line]:
    """What happened to a run without a record of it."""
    if progress.stored == "parked":
        text = "code and history disagree; it goes on when the code has changed"
        yield Line(now, "parked", text, progress.run, note.workflow, "bad")
    elif handed_back:
        yield Line(now, "given back", "any engine that has its workflow goes on with it", progress.run, note.workflow)
    elif progress.reopen and not progress.records:
        yield Line(now, "retried", "", progress.run, note.workflow)


def _records(run: str, note: Note, records: tuple[Record, ...], payloads: bool) -> Iterator[Line]:
    started = note.started_at
    for record in records:
        if isinstance(record, Started):
            started = record.at
        told = tell(record, run, note, started, payloads)
        if told is not None:
            verb, text, tone = told
            yield Line(record.at, verb, text, run, note.workflow, tone)


def tell(record: Record, run: str, note: Note, started: int | None, payloads: bool) -> tuple[str, str, Tone] | None:
    """Verb, text and tone of a run's record; None if it goes without saying. `started`: when the run began."""
    match record:
        case Started():
            return "started", f"{_cause(note)}; run {run}", "plain"
        case Requested():
            return _request(record)
        case AttemptFailed(at=at, step=step, attempt=attempt, failure=failure, retry_at=retry_at):
            return "error", f"{step}: attempt {attempt}, the next in {about(retry_at - at)}: {_failure(failure)}", "bad"
        case StepSucceeded():
            return _success(record, payloads)
        case StepFailed(step=step, failure=failure, attempts=attempts, kind="run"):
            tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
            return "gave up", f"{step}: after {tries}: {_failure(failure)}", "bad"
        case StepFailed(step=step, failure=failure):
            return "gave up", f"{step}: {_failure(failure)}", "bad"
        case CancelAccepted(reason=reason):
            return "cancelling", shortened(reason, _MESSAGE), "plain"
        case CleanupExpired(scope=scope):
            return "closed", f"{scope or 'its body'}: clean-up took too long", "bad"
        case Retried():
            return "retried", "", "plain"
        case EndCompleted(restarted_as=str(successor)):
            return "restarted", f"as run {successor}", "good"
        case EndCompleted(at=at, result=result):
            return "completed", f"after {about(at - (started or at))}{_value(result, payloads)}", "good"
        case EndFailed(failure=failure):
            return "failed", _failure(failure), "bad"
        case EndCancelled(reason=reason, cleaned_up=cleaned_up):
            clean = "" if cleaned_up else "; clean-up did not run"
            return "cancelled", shortened(reason, _MESSAGE) + clean, "plain"


def _cause(note: Note) -> str:
    names = list(dict.fromkeys(event.name for event in started_by(note.events)))
    if note.parent is not None:
        return f"by run {short_id(note.parent)}"
    return f"by {', '.join(names)}" if names else "directly"


def _request(record: Requested) -> tuple[str, str, Tone] | None:
    match record.terms:
        case SleepTerms(due_at):
            return "sleeps", f"{record.step}: for {about(due_at - record.at)}", "quiet"
        case WaitTerms(event=event, expires_at=expires_at, path=path):
            match = f" with the same {path}" if path is not None else ""
            limit = about(expires_at - record.at)
            return "waits", f"{record.step}: for event {event}{match}, at most {limit}", "quiet"
        case SignalTerms(signal=signal, expires_at=expires_at):
            return "waits", f"{record.step}: for signal {signal}, at most {about(expires_at - record.at)}", "quiet"
        case InvokeTerms(app=app, workflow=workflow, child=child):
            return "invokes", f"{record.step}: {app}/{workflow}, run {short_id(child)}", "quiet"
        case _:
            return None


def _success(record: StepSucceeded, payloads: bool) -> tuple[str, str, Tone]:
    value = _value(record.value, payloads)
    match record.kind:
        case "sleep":
            return "wakes", record.step, "quiet"
        case "wait" if record.position is None:
            return "timed out", record.step, "plain"
        case "wait":
            return "got", record.step + _value(decode_event(record.value).data, payloads), "good"
        case "signal":
            return "got", record.step + value, "good"
        case "send" | "send_signal":
            return "sent", record.step, "good"
        case _:
            return "done", record.step + value, "good"


def _failure(failure: Failure) -> str:
    return shortened(str(failure), _MESSAGE)


def _value(value: Json, payloads: bool) -> str:
    return f"  {shortened(bytes(value).decode(), _PAYLOAD)}" if payloads else ""
