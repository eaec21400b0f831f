"""Checks of a run's row against its own history and mailbox. See the package's rules."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ..collecting import collection_of
from ..history import (
    AttemptFailed,
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
    effective,
)
from ..runs import CancelRequested
from .patient import DECIDING, Patient, is_held_by, surely_open


def _status(patient: Patient) -> Iterator[str]:
    row, end = patient.row, patient.records[-1] if patient.records else None
    match end:
        case EndCompleted():
            says = "completed"
        case EndFailed():
            says = "failed"
        case EndCancelled():
            says = "cancelled"
        case _:
            says = "skipped" if row.stored == "skipped" else "open"
    has = "open" if row.open else row.stored
    if has != says:
        yield f"it is {row.stored}, but its history says {says}"
    if isinstance(end, EndCompleted) and end.restarted_as != row.restarted_as:
        yield f"its row says that it restarted as {row.restarted_as}, its history {end.restarted_as}"


def _length(patient: Patient) -> Iterator[str]:
    row, lives = patient.row, sum(isinstance(record, Retried) for record in patient.records)
    if row.length != len(patient.records):
        yield f"its row says {row.length} records, there are {len(patient.records)}"
    if row.life != lives:
        yield f"its row says life {row.life}, its history {lives}"
    if patient.records and not isinstance(patient.records[0], Started):
        yield f"its history begins with {type(patient.records[0]).__name__}, not with its start"
    if row.started_at is not None and not patient.records:
        yield "it has started, but has no history"
    for before, record in zip(patient.records, patient.records[1:], strict=False):
        if record.at < before.at:
            yield f"its history goes back in time, from {before.at} to {record.at}"
            return


def _steps(patient: Patient) -> Iterator[str]:
    """Each step has one outcome, and its request before it."""
    requested: set[str] = set()
    settled: set[str] = set()
    for _, record in effective(patient.records):
        match record:
            case Requested(step=step):
                if step in requested:
                    yield f"step {step!r} is requested twice"
                requested.add(step)
            case StepSucceeded(step=step) | StepFailed(step=step):
                if step in settled:
                    yield f"step {step!r} has two outcomes"
                if record.kind != "run" and step not in requested:
                    yield f"step {step!r} ({record.kind}) has an outcome, but no request"
                settled.add(step)


def _mailbox(patient: Patient) -> Iterator[str]:
    row = patient.row
    numbers = [item.number for item in patient.mail]
    if row.drained > row.mail:
        yield f"its row says that {row.drained} messages were read, and {row.mail} came"
    if numbers != list(range(row.drained + 1, row.mail + 1)):
        yield f"its row says messages {row.drained + 1} to {row.mail} are unread, its mailbox has {numbers or 'none'}"
    cancels = [m.number for m in patient.mail if isinstance(m.message.body, CancelRequested)]
    if cancels and row.cancel != cancels[0] and not 0 < row.cancel <= row.drained:
        yield f"its first unread cancel is message {cancels[0]}, its row says {row.cancel}"
    if row.unread_cancel and not cancels:
        yield f"its row says that message {row.cancel} is an unread cancel, but there is none"


def _at_rest(patient: Patient) -> Iterator[str]:
    """An ended run has let go of everything."""
    row = patient.row
    if row.open:
        return
    left = {"an owner": row.owner, "a time at which it is due": row.due_at, "a queue": row.blocked_on}
    yield from (f"it has ended, but has {what}: {value}" for what, value in left.items() if value is not None)
    if row.ended_at is None:
        yield "it has ended, but not at any time"
    if patient.waits:
        yield f"it has ended, but has {len(patient.waits)} open waits"
    for held in patient.keys.values():
        if is_held_by(held, row):
            yield f"it has ended, but holds key {held.name!r}"


# -- when it is due -------------------------------------------------------------------------------


def _due(patient: Patient) -> Iterator[str]:
    row = patient.row
    if row.open and row.owner is not None and row.due_at is None:
        yield f"it is owned by {row.owner}, but its lease never ends"
    if not patient.idle:
        return
    latest, reason = _latest(patient)
    if latest is not None and (row.due_at is None or row.due_at > latest):
        yield f"it is due at {row.due_at}, but {reason} at {latest}"
    elif latest is None and row.due_at is None and not row.wants and not _is_awaited(patient):
        yield "it is never due, and waits for nothing"


def _latest(patient: Patient) -> tuple[int | None, str]:
    """The time by which an idle run must be due, and why."""
    row = patient.row
    if row.stored == "parked":
        return patient.now, "it is parked, which is due at once"
    if row.stored == "schedule":
        return (patient.now, "it has no next tick") if row.due_at is None else (None, "")
    if row.stored != "collecting" and row.mail > row.drained:
        return patient.now, "it has unread mail"
    times = [*_deadlines(patient)]
    return min(times, default=(None, ""), key=lambda time: time[0] or 0)


def _deadlines(patient: Patient) -> Iterator[tuple[int, str]]:
    row = patient.row
    if row.unread_cancel:
        yield patient.now, "it has an unread cancel"
    if row.stored == "collecting":
        held = next((patient.keys[name] for name in row.holds if name in patient.keys), None)
        ours = held is not None and held.holder == row.id
        yield (collection_of(held).due_at if held is not None and ours else patient.now), "it is to be closed"
        return
    if row.deadline is not None and not row.cancel:
        yield row.deadline, "its own deadline is"
    if row.started_at is None and not row.wants:
        yield (row.start_at if row.start_at is not None else patient.now), "it is to be started"
    for request in surely_open(patient.records):
        match request.terms:
            case SleepTerms(due_at=at):
                yield at, f"step {request.step!r} is over"
            case WaitTerms(expires_at=at) | SignalTerms(expires_at=at):
                yield at, f"step {request.step!r} times out"
            case InvokeTerms(expires_at=at) if at is not None:
                yield at, f"step {request.step!r} times out"
    for record in reversed(patient.records):
        if isinstance(record, DECIDING):
            break
        if isinstance(record, AttemptFailed) and _is_last_attempt(record, patient.records) and not row.wants:
            yield record.retry_at, f"step {record.step!r} is to be tried again"


def _is_last_attempt(record: AttemptFailed, records: Iterable[Record]) -> bool:
    return all(r.attempt <= record.attempt for r in records if isinstance(r, AttemptFailed) and r.step == record.step)


def _is_awaited(patient: Patient) -> bool:
    """Whether anything but time may wake the run: a message of somebody else."""
    return bool(patient.waits) or any(isinstance(r, Requested) for r in patient.records)


def _blocked(patient: Patient) -> Iterator[str]:
    row = patient.row
    if row.blocked_on is None:
        return
    if row.blocked_on not in row.slots:
        yield f"it is blocked on slot {row.blocked_on!r}, which is none of its slots {row.slots}"
    if not patient.idle or not row.wants:
        yield f"it is blocked on slot {row.blocked_on!r}, though it is {row.stored} and wants no slot"


CHECKS: dict[str, Callable[[Patient], Iterator[str]]] = {
    "status": _status,
    "length": _length,
    "steps": _steps,
    "mailbox": _mailbox,
    "at-rest": _at_rest,
    "due": _due,
    "blocked": _blocked,
}
