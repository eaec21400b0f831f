"""Documents back into values: the other side of `runtime.documents`.

Fields that are not known are left alone: an older client reads what a newer server says.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar, get_args

import msgspec

from ...codec import decode_record
from ...duration import MILLISECOND
from ...errors import ServerUnavailable
from ...events import AcceptedEvent, Event
from ...history import Record
from ...outcome import Failure
from ...runs import Status
from ...values import encode
from ..bulk import BulkResult, Refusal
from ..info import RunInfo
from ..paging import Page
from ..workflows import ScheduleInfo, WorkflowInfo

T = TypeVar("T")
Document = Any

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def read(document: Document, reader: Callable[[Document], T]) -> T:
    """The value in a document. Raises `ServerUnavailable` for one that no server of this kind sends."""
    try:
        return reader(document)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        shown = repr(document)[:60]
        raise ServerUnavailable(f"the answer cannot be read ({type(error).__name__}: {error}): {shown}") from error


def page_of(item: Callable[[Document], T]) -> Callable[[Document], Page[T]]:
    """The reader of a page of a list."""
    return lambda document: Page(tuple(item(each) for each in document["items"]), document["cursor"])


def run_info(document: Document) -> RunInfo:
    """A run."""
    status: Status = document["status"]
    if status not in get_args(Status):
        raise ValueError(f"no run is {status!r}")
    return RunInfo(
        id=document["id"],
        app=document["app"],
        workflow_id=document["workflow_id"],
        status=status,
        reason=document["reason"],
        event=event(document["event"]),
        events=tuple(event(each) for each in document["events"]),
        result=document["result"],
        error=None if document["error"] is None else failure(document["error"]),
        created_at=_needed_time(document["created_at"]),
        started_at=_time(document["started_at"]),
        ended_at=_time(document["ended_at"]),
        parent_id=document["parent_id"],
        restarted_as=document["restarted_as"],
    )


def event(document: Document) -> Event[Any]:
    """An event of a run."""
    ts = document["ts"]
    at = None if ts is None else _EPOCH + timedelta(milliseconds=ts)
    return Event(document["name"], document["data"], document["id"], at)


def accepted(document: Document) -> AcceptedEvent:
    """An accepted event."""
    return AcceptedEvent(
        id=document["id"],
        name=document["name"],
        data=encode(document["data"], "the data of an event"),
        ts=document["ts"] * MILLISECOND,
        accepted_at=document["accepted_at"] * MILLISECOND,
        key=document["key"],
    )


def failure(document: Document) -> Failure:
    """Why a run failed."""
    cause = document["cause"]
    return Failure(
        type=document["type"],
        message=document["message"],
        trace=document["trace"],
        cause=None if cause is None else failure(cause),
    )


def record(document: Document) -> Record:
    """A record of a history."""
    return decode_record(msgspec.json.encode(document))


def workflow(document: Document) -> WorkflowInfo:
    """A workflow in force."""
    schedules = tuple(
        ScheduleInfo(each["cron"], each["catch_up"], each["jitter"], tuple(_needed_time(tick) for tick in each["next"]))
        for each in document["schedules"]
    )
    return WorkflowInfo(
        document["app"],
        document["id"],
        document["paused"],
        tuple(document["triggers"]),
        schedules,
        dict(document["policies"]),
    )


def bulk(document: Document) -> BulkResult:
    """What a bulk verb did."""
    return BulkResult(
        document["verb"],
        document["dry_run"],
        document["selected"],
        document["done"],
        document["refused"],
        tuple(document["runs"]),
        tuple(Refusal(each["run"], each["reason"]) for each in document["refusals"]),
    )


def _time(text: str | None) -> datetime | None:
    return None if text is None else _needed_time(text)


def _needed_time(text: str) -> datetime:
    return datetime.fromisoformat(text)
