"""What a program may see of a run: `RunInfo`, made from the store's values."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import attrs

from ..duration import moment
from ..events import AcceptedEvent, Event, restore
from ..history import EndCompleted, EndFailed, Record
from ..outcome import Failure
from ..runs import EventCollected, Mail, RunRow, Status, status_of
from ..values import decode


@attrs.frozen
class RunInfo:
    """A run as it was when you asked.

    `event` is the event that started it and `events` all of them (so far, while it collects); `result` is
    what it returned (plain JSON), `error` why it failed; `reason` says why it is in its state, where there is
    something to say.
    Times are aware and in UTC.
    """

    id: str
    app: str
    workflow_id: str
    status: Status
    reason: str | None
    event: Event[Any]
    events: tuple[Event[Any], ...]
    result: Any
    error: Failure | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    parent_id: str | None
    restarted_as: str | None = None


def run_info(
    row: RunRow,
    events: tuple[AcceptedEvent, ...],
    mail: tuple[Mail, ...],
    end: Record | None,
    *,
    paused: bool = False,
) -> RunInfo:
    """The info of a run, from its row, its events, its unread mail and its newest record. `paused`: its workflow is."""
    restored = tuple(restore(event) for event in _collected(events, mail))
    return RunInfo(
        id=row.id,
        app=row.app,
        workflow_id=row.workflow,
        status=status_of(row),
        reason="its workflow is paused" if paused and waits_for_code(row) else row.reason,
        event=restored[0],
        events=restored,
        result=decode(end.result) if isinstance(end, EndCompleted) else None,
        error=end.failure if isinstance(end, EndFailed) else None,
        created_at=moment(row.created_at),
        started_at=_moment(row.started_at),
        ended_at=_moment(row.ended_at),
        parent_id=row.parent.run if row.parent is not None else None,
        restarted_as=row.restarted_as,
    )


def told_bytes(events: tuple[AcceptedEvent, ...], mail: tuple[Mail, ...], end: Record | None) -> int:
    """How many bytes of JSON users and workflows have put into what is told of a run; the first event is told twice."""
    told = [len(event.data) for event in _collected(events, mail)]
    size = sum(told) + sum(told[:1])
    match end:
        case EndCompleted():
            return size + len(end.result)
        case EndFailed():
            failure: Failure | None = end.failure
            while failure is not None:
                size += len(failure.message) + len(failure.trace)
                failure = failure.cause
    return size


def _collected(events: tuple[AcceptedEvent, ...], mail: tuple[Mail, ...]) -> tuple[AcceptedEvent, ...]:
    """The events of a run; of one that collects, those in its mailbox."""
    return events or tuple(m.message.body.event for m in mail if isinstance(m.message.body, EventCollected))


def waits_for_code(row: RunRow) -> bool:
    """Whether a run is open and in nobody's hands: while its workflow is paused, it stays so."""
    return row.open and row.owner is None


def _moment(at: int | None) -> datetime | None:
    return None if at is None else moment(at)
