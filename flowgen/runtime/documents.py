"""Runs and events as plain JSON data: what `--json` prints and what programs of others read.

A run has the fields of `RunInfo`, its times as ISO 8601 in UTC. An event has `ts` in milliseconds since
the epoch, like everywhere where events leave the process. Fields are only ever added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..duration import MILLISECOND, moment
from ..events import AcceptedEvent, Event
from ..outcome import Failure
from ..runs import RunRow, status_of
from ..values import decode
from .info import RunInfo

if TYPE_CHECKING:
    from .bulk import BulkResult
    from .counting import Bucket
    from .workflows import WorkflowInfo

Document = dict[str, Any]
T = TypeVar("T", covariant=True)


class _Page(Protocol[T]):
    @property
    def items(self) -> Iterable[T]: ...
    @property
    def cursor(self) -> str | None: ...


def run_document(run: RunInfo) -> Document:
    """A run as JSON data."""
    return {
        "id": run.id,
        "app": run.app,
        "workflow_id": run.workflow_id,
        "status": run.status,
        "reason": run.reason,
        "event": _event_document(run.event),
        "events": [_event_document(event) for event in run.events],
        "result": run.result,
        "error": None if run.error is None else failure_document(run.error),
        "created_at": _time(run.created_at),
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "parent_id": run.parent_id,
        "restarted_as": run.restarted_as,
    }


def accepted_document(event: AcceptedEvent) -> Document:
    """An accepted event as JSON data: `id` is the internal one, `key` the id that its sender gave."""
    return {
        "id": event.id,
        "name": event.name,
        "data": decode(event.data),
        "key": event.key,
        "ts": event.ts // MILLISECOND,
        "accepted_at": event.accepted_at // MILLISECOND,
    }


def run_row_document(row: RunRow) -> Document:
    """What is known of a run without its events and its end, as JSON data."""
    return {
        "id": row.id,
        "app": row.app,
        "workflow_id": row.workflow,
        "status": status_of(row),
        "reason": row.reason,
        "created_at": _time(moment(row.created_at)),
        "started_at": None if row.started_at is None else _time(moment(row.started_at)),
        "ended_at": None if row.ended_at is None else _time(moment(row.ended_at)),
        "parent_id": row.parent.run if row.parent is not None else None,
        "restarted_as": row.restarted_as,
    }


def event_row_document(event: AcceptedEvent) -> Document:
    """What is known of an accepted event without its data, as JSON data."""
    return {
        "id": event.id,
        "name": event.name,
        "key": event.key,
        "ts": event.ts // MILLISECOND,
        "accepted_at": event.accepted_at // MILLISECOND,
    }


def failure_document(failure: Failure) -> Document:
    """A failure and its causes as JSON data."""
    return {
        "type": failure.type,
        "message": failure.message,
        "trace": failure.trace,
        "cause": None if failure.cause is None else failure_document(failure.cause),
    }


def workflow_document(workflow: WorkflowInfo) -> Document:
    """A workflow as JSON data."""
    return {
        "app": workflow.app,
        "id": workflow.id,
        "paused": workflow.paused,
        "triggers": list(workflow.triggers),
        "schedules": [
            {
                "cron": schedule.cron,
                "catch_up": schedule.catch_up,
                "jitter": schedule.jitter,
                "next": [_time(tick) for tick in schedule.next],
            }
            for schedule in workflow.schedules
        ],
        "policies": dict(workflow.policies),
    }


def bulk_document(result: BulkResult) -> Document:
    """What a bulk verb did, or would do, as JSON data."""
    return {
        "verb": result.verb,
        "dry_run": result.dry_run,
        "selected": result.selected,
        "done": result.done,
        "refused": result.refused,
        "runs": list(result.runs),
        "refusals": [{"run": refusal.run, "reason": refusal.reason} for refusal in result.refusals],
    }


def bucket_document(bucket: Bucket) -> Document:
    """How many runs were created in a span of time, as JSON data."""
    return {"at": _time(bucket.at), "counts": dict(bucket.counts), "exact": bucket.exact}


def page_document(page: _Page[T], document: Callable[[T], Document]) -> Document:
    """A page of a list as JSON data."""
    return {"items": [document(item) for item in page.items], "cursor": page.cursor}


def _event_document(event: Event[Any]) -> Document:
    at = event.ts
    ts = None if at is None else int(at.timestamp() * 1_000)
    return {"name": event.name, "data": event.data, "id": event.id, "ts": ts}


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
