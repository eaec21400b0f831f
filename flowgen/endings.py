"""Ends that an owner writes without driving the code: nobody can, nobody must, or the run has not begun.

A run that is parked or that nobody offers is cancelled so, one whose workers died is failed so, and so is
one whose event does not fit. What it holds in the store is let go of as its body would have: children
are cancelled, signals and keys dropped, those who wait for its end are told.

Pure: histories, mail and facts are arguments. What has to be known of keys is asked for (`Questions`).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .admission import Gate
from .aftermath import Ended, aftermath
from .effects import callers_of, to_parent
from .errors import NondeterminismError
from .events import AcceptedEvent
from .facts import Facts, Questions
from .history import (
    CancelAccepted,
    EndCancelled,
    EndFailed,
    InvokeTerms,
    Record,
    SignalTerms,
    Started,
    effective,
    open_requests,
)
from .holds import LetGo
from .ids import derived_id
from .outcome import Failure
from .runs import (
    MAX_STRIKES,
    CancelRequested,
    ChildFailed,
    EventCollected,
    Mail,
    Message,
    Parent,
    RunRow,
    Stored,
    read_through,
)
from .signals import signal_key
from .transition import DropKey, Opening, Progress, Transition

Events = tuple[AcceptedEvent, ...]


def park(row: RunRow, error: NondeterminismError, digest: str) -> Transition:
    """Code and history disagree: give the run back, for another digest to try."""
    progress = Progress(
        row.app,
        row.id,
        row.fence,
        row.length,
        (),
        row.drained,
        True,
        None,
        "parked",
        str(error),
        digest,
        life=row.life,
    )
    return Transition(f"{row.id}/{row.fence}/{row.length}/park", progress)


def lose_worker(
    row: RunRow, events: Events, history: Sequence[Record], facts: Facts, now: int
) -> Transition | Questions:
    """A run that killed its workers too often is failed alone."""
    message = (
        f"the workers of run {row.id} died {row.strikes} times (limit {MAX_STRIKES}) while they executed it: "
        "a step may crash or exhaust the process; retry the run once that is mended"
    )
    return fail_run(row, events, history, Failure("WorkerLost", message), facts, now)


def fail_run(
    row: RunRow, events: Events, history: Sequence[Record], failure: Failure, facts: Facts, now: int
) -> Transition | Questions:
    """End a run that cannot be driven: its event does not fit its workflow's event class, its workers died."""
    end = EndFailed(_after(history, now), failure)
    records: tuple[Record, ...] = (end,) if history else (Started(end.at, ""), end)
    return _end(row, events, history, _Ended(records, row.drained, "failed", str(failure), failure), facts, end.at)


def cancel_run_without_code(
    row: RunRow,
    events: Events,
    history: Sequence[Record],
    mail: Sequence[Mail],
    facts: Facts,
    now: int,
    reason: str | None = None,
) -> Transition | Questions:
    """End a cancelled run whose code is not asked: it is parked, not offered, or has not begun.

    Without a `reason` it is the one that was accepted, or asked for in the mail.
    """
    at = _after(history, now)
    records: list[Record] = [] if history else [Started(at, "")]
    accepted = next((record.reason for _, record in effective(history) if isinstance(record, CancelAccepted)), None)
    why = accepted or reason or cancel_reason(row, mail, now) or "cancelled"
    if accepted is None:
        records.append(CancelAccepted(at, why, at))
    records.append(EndCancelled(at, why, cleaned_up=False))
    drained = read_through(row, mail)
    failure = Failure("RunCancelledError", f"run {row.id} was cancelled: {why}")
    if row.stored != "collecting":
        return _end(row, events, history, _Ended(tuple(records), drained, "cancelled", why, failure), facts, at)
    collected = [m.message.body for m in mail if isinstance(m.message.body, EventCollected)]
    events = tuple(body.event for body in collected)
    callers = tuple(body.parent for body in collected if body.parent is not None)
    opening = Opening(events, callers=callers)
    ended = _Ended(tuple(records), drained, "cancelled", why, failure, callers, opening)
    return _end(row, events, history, ended, facts, at)


def skip_run(
    row: RunRow, opening: Opening, drained: int, reason: str, facts: Facts, now: int
) -> Transition | Questions:
    """End a run that was collecting and that flow control does not let open."""
    failure = Failure("RunSkipped", f"run {row.id} was skipped: {reason}")
    ended = _Ended((), drained, "skipped", reason, failure, opening.callers, opening)
    return _end(row, opening.events, (), ended, facts, now)


def cancel_reason(row: RunRow, mail: Sequence[Mail], now: int) -> str | None:
    """Why a run is to be cancelled: somebody or something asked for it, or its own deadline passed."""
    for item in mail:
        if isinstance(item.message.body, CancelRequested):
            return item.message.body.reason
    if row.deadline is not None and row.deadline <= now:
        return overdue(row)
    return None


def cancelled_by(event: AcceptedEvent) -> str:
    """The reason of a cancel by `cancel_on`."""
    return f"event {event.name} ({event.key or event.id}) cancels it (cancel_on)"


def overdue(row: RunRow) -> str:
    """The reason of a cancel by a run's own deadline."""
    return "it did not start in time (timeouts)" if row.started_at is None else "it did not end in time (timeouts)"


@attrs.frozen
class _Ended:
    records: tuple[Record, ...]
    drained: int
    stored: Stored
    reason: str
    failure: Failure
    callers: tuple[Parent, ...] = ()
    opening: Opening | None = None


def _end(
    row: RunRow, events: Events, history: Sequence[Record], ended: _Ended, facts: Facts, now: int
) -> Transition | Questions:
    trigger = events[-1] if events else None
    after = aftermath(row, trigger, Ended(ended.stored, failure=ended.failure), facts, now)
    if isinstance(after, Questions):
        return after
    gate, keys = (after.gate, after.keys) if after is not None else (Gate(facts, now), LetGo())
    messages: list[Message] = []
    drop: list[DropKey] = []
    for request in open_requests(history).values():
        match request.terms:
            case InvokeTerms(app, _, child, _, "cancel"):
                body = CancelRequested(f"its parent {row.id} ended: {ended.reason}")
                messages.append(Message(derived_id(child, "cancel", row.id), app, child, body))
            case SignalTerms(wait, signal):
                drop.append(DropKey(row.app, signal_key(signal), wait))
    parents = (*callers_of(row), *ended.callers)
    messages += [to_parent(row, parent, row.life, ChildFailed("", "", ended.failure)) for parent in parents]
    progress = Progress(
        row.app,
        row.id,
        row.fence,
        row.length,
        ended.records,
        ended.drained,
        True,
        None,
        ended.stored,
        ended.reason,
        started_at=ended.records[0].at if ended.stored == "failed" and not history else None,
        life=row.life,
        opening=ended.opening,
    )
    transition = gate.transition(f"{row.id}/{row.fence}/{row.length}", progress)
    transition.accept = tuple(after.accept) if after is not None else ()
    transition.messages = (*keys.messages, *transition.messages, *messages)
    transition.take = (*keys.take, *transition.take)
    transition.drop = (*keys.drop, *drop)
    return transition


def _after(history: Sequence[Record], now: int) -> int:
    return max(now, history[-1].at) if history else now
