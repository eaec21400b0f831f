"""What happened, told from the histories of all runs: one line for each step, in the order of their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs
import msgspec

from flowgen.history import AttemptFailed, EndCompleted, EndFailed, Record, Requested, StepSucceeded
from flowgen.runtime import Client, RunInfo


@attrs.frozen(order=True)
class Line:
    """One thing that happened, `at` microseconds since the epoch."""

    at: int
    number: int
    who: str
    what: str


def tell(client: Client) -> list[str]:
    """The whole story; moments are seconds since its first line."""
    lines = sorted(line for run in _runs(client) for line in _lines(client, run))
    first = lines[0].at if lines else 0
    return [f"{(line.at - first) / 1e6:8.3f} s  {line.who:18} {line.what}" for line in lines]


def repeated(client: Client) -> list[str]:
    """The steps that have more than one outcome in a history."""
    found = []
    for run in _runs(client):
        outcomes = Counter(record.step for record in client.history(run.id) if isinstance(record, StepSucceeded))
        found += [f"{run.app}/{run.workflow_id} {step}" for step, count in outcomes.items() if count > 1]
    return found


def asked(client: Client, app: str) -> set[str]:
    """What the runs of an app have asked the world for, sleeps among it."""
    runs = [run for run in _runs(client) if run.app == app]
    return {record.step for run in runs for record in client.history(run.id) if isinstance(record, Requested)}


def _runs(client: Client) -> tuple[RunInfo, ...]:
    return client.runs(limit=100).items


def _lines(client: Client, run: RunInfo) -> Iterator[Line]:
    who = f"{run.app}/{run.workflow_id}"
    started = int(run.created_at.timestamp() * 1e6)
    yield Line(started, 0, who, f"begins: {run.event.name} {_short(run.event.data)}")
    for number, record in enumerate(client.history(run.id), 1):
        told = _told(record)
        if told is not None:
            yield Line(record.at, number, who, told)


def _told(record: Record) -> str | None:
    match record:
        case Requested(step=step, kind=kind):
            return f"  {step}: {kind} …"
        case StepSucceeded(step=step, kind="wait", value=value):
            event = msgspec.json.decode(value)
            return f"  {step} → {_short(event and event['data'])}"
        case StepSucceeded(step=step, value=value):
            return f"  {step} → {_short(msgspec.json.decode(value))}"
        case AttemptFailed(step=step, failure=failure):
            return f"  {step} ✗ {failure.message} (again later)"
        case EndCompleted(result=result):
            return f"ends: {_short(msgspec.json.decode(result))}"
        case EndFailed(failure=failure):
            return f"fails: {failure.message}"
        case _:
            return None


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 70 else text[:69] + "…"
