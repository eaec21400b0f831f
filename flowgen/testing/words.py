"""Records and events in the words of a timeline: short, on one line."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..duration import format_duration
from ..events import AcceptedEvent
from ..history import (
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
    SendSignalTerms,
    SendTerms,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    Terms,
    WaitTerms,
)
from ..outcome import Failure, Json

_SHOWN = 100
_OURS = f'"{Path(__file__).parents[1]}'
"""How the line of a traceback begins that is about flowgen itself."""

_EVENT = msgspec.json.Decoder(AcceptedEvent)


def record_text(record: Record) -> str:
    """What a record says, as the predicate of a sentence about its run."""
    match record:
        case Started():
            return "starts"
        case Requested(at=at, step=step, terms=terms):
            return f"{step!r} {_terms_text(terms, at)}"
        case AttemptFailed(at=at, step=step, attempt=attempt, failure=failure, retry_at=retry_at):
            return f"{step!r} attempt {attempt} failed: {short(failure)}; again in {format_duration(retry_at - at)}"
        case StepSucceeded(step=step, kind="wait", value=value) if bytes(value) != b"null":
            event = _EVENT.decode(value)
            return f"{step!r} succeeded: {event.name} {json_text(event.data)}"
        case StepSucceeded(step=step, value=value):
            return f"{step!r} succeeded: {json_text(value)}"
        case StepFailed(step=step, failure=failure):
            return f"{step!r} failed: {short(failure)}"
        case CancelAccepted(reason=reason):
            return f"is being cancelled: {short(reason)}"
        case CleanupExpired(scope=scope):
            return f"clean-up of {scope or 'the body'} is over"
        case Retried(life=life):
            return f"goes on, in life {life}"
        case EndCompleted(restarted_as=str(successor)):
            return f"ends: restarted as {successor}"
        case EndCompleted(result=result):
            return f"ends: returned {json_text(result)}"
        case EndFailed(failure=failure):
            return f"ends: failed: {short(failure)}"
        case EndCancelled(reason=reason):
            return f"ends: cancelled: {short(reason)}"


def _terms_text(terms: Terms, at: int) -> str:
    match terms:
        case SleepTerms(due_at):
            return f"sleeps for {_span(at, due_at)}"
        case WaitTerms(event=event, expires_at=expires_at):
            return f"waits for event {event}, at most {_span(at, expires_at)}"
        case SignalTerms(signal=signal, expires_at=expires_at):
            return f"waits for signal {signal!r}, at most {_span(at, expires_at)}"
        case InvokeTerms(child=child):
            return f"invokes {child}"
        case SendTerms(events=events):
            return f"sends {len(events)} event{'s' * (len(events) != 1)}"
        case SendSignalTerms(signal=signal):
            return f"sends signal {signal!r}"


def event_text(event: AcceptedEvent) -> str:
    """An event: its name and data."""
    return f"event {event.name} {json_text(event.data)}"


def json_text(value: Json) -> str:
    """A JSON value on one line, not too long."""
    return short(bytes(value).decode())


def short(value: object) -> str:
    """Text on one line, not too long."""
    line = " ".join(str(value).split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


def _span(start: int, end: int) -> str:
    return format_duration(max(0, end - start))


def raised_at(failure: Failure) -> list[str]:
    """The line of the body that raised, out of its traceback; nothing if there is none."""
    lines = failure.trace.splitlines() if failure.trace else []
    frames = [number for number, line in enumerate(lines) if line.startswith("  File ") and _OURS not in line]
    return lines[frames[-1] : frames[-1] + 2] if frames else []


def apart(one: str, other: str) -> tuple[str, str]:
    """Two texts on one line each, not too long, such that one sees where they differ."""
    same = next((at for at, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), 0)
    same = same or min(len(one), len(other))
    cut = same - _SHOWN // 2
    if cut <= 0:
        return short(one), short(other)
    return short(f"…{one[cut:]}"), short(f"…{other[cut:]}")
