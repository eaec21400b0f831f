"""In a sentence: what a run is doing, or waits for. From the store's values, without its code."""

from __future__ import annotations

from ..duration import format_duration, moment
from ..history import (
    AttemptFailed,
    CancelAccepted,
    InvokeTerms,
    Requested,
    SignalTerms,
    SleepTerms,
    StepFailed,
    StepSucceeded,
    WaitTerms,
    effective,
    open_requests,
)
from ..runs import RunRow, status_of
from .store import Loaded


def why(loaded: Loaded, *, offered: bool) -> str:
    """Why the run is in its state. `offered`: some engine of the store offers its workflow."""
    row = loaded.row
    status = status_of(row)
    who = f"run {row.id} of {row.workflow}"
    if not row.open:
        successor = f", and restarted as run {row.restarted_as}" if row.restarted_as else ""
        return f"{who} is {status}{successor}" + (f": {row.reason}" if row.reason else "")
    if status == "parked":
        return f"{who} is parked: {row.reason}"
    if not offered:
        return f"{who} is {status}: no engine offers its workflow; start one that has it"
    cancelled_at = next((p for p, record in effective(loaded.records) if isinstance(record, CancelAccepted)), 0)
    since = {getattr(record, "step", None) for record in loaded.records[cancelled_at:]}
    requests = open_requests(loaded.records).values()
    parts = [_request(request, loaded.now) for request in requests if request.step in since]
    parts += _retries(loaded)
    if status == "cancelling":
        return f"{who} is being cancelled" + (f"; meanwhile it is {_listed(parts)}" if parts else "")
    if parts:
        return f"{who} is {_listed(parts)}"
    return f"{who} is {_idle(row, status, loaded.now)}"


def _idle(row: RunRow, status: str, now: int) -> str:
    if status == "running":
        return f"running on worker {row.owner}"
    if row.due_at is not None and row.due_at <= now:
        return f"{status}: it is due, and the next free worker takes it"
    return status


def _request(request: Requested, now: int) -> str:
    match request.terms:
        case SleepTerms(due_at):
            return f"sleeping at step {request.step!r} until {_when(due_at, now)}"
        case WaitTerms():
            terms = request.terms
            match = f" with {terms.path} = {terms.value}" if terms.path is not None else ""
            where = f" where {terms.where}" if terms.where is not None else ""
            until = _when(terms.expires_at, now)
            return f"waiting at step {request.step!r} for event {terms.event!r}{match}{where} until {until}"
        case SignalTerms(_, signal, expires_at):
            return f"waiting at step {request.step!r} for signal {signal!r} until {_when(expires_at, now)}"
        case InvokeTerms(app, workflow, child):
            return f"waiting at step {request.step!r} for run {child} of {app}/{workflow}"
        case _:
            return f"at step {request.step!r}"


def _retries(loaded: Loaded) -> list[str]:
    failed: dict[str, AttemptFailed] = {}
    for _, record in effective(loaded.records):
        if isinstance(record, AttemptFailed):
            failed[record.step] = record
        elif isinstance(record, (StepSucceeded, StepFailed)):
            failed.pop(record.step, None)
    return [
        f"going to try step {step!r} again at {_when(record.retry_at, loaded.now)}, after attempt "
        f"{record.attempt} failed: {record.failure}"
        for step, record in failed.items()
    ]


def _when(at: int, now: int) -> str:
    """A time, and how far away it is."""
    shown = moment(at).isoformat(timespec="seconds")
    return f"{shown} (in {format_duration((at - now) // 1_000_000 * 1_000_000)})" if at - now > 1_000_000 else shown


def _listed(parts: list[str]) -> str:
    shown = parts[:5]
    more = f"; and {len(parts) - 5} more" if len(parts) > 5 else ""
    return "; ".join(shown) + more
