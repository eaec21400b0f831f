"""What follows from the end of a run, in the same commit: keys, a failure handler, internal events.

Whichever road a run ends on (its body, a cancel, without code), the same follows: its unique keys are let
go of (`holds`), a failed one starts its `on_failure` workflow, and an internal event (`flowgen/run.completed`,
`.failed`, `.cancelled`) is accepted if a workflow in force triggers on it; otherwise nobody could see it.

A run that was itself started by such an event starts neither, and no run that it invokes or restarts as does: two
workflows that handle each other's failures would go on for ever. What follows from events that it sends is not looked
at: they are the user's own, like any others.

Pure: what has to be known is asked for (`Questions`).
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from .acceptance import starts_of
from .admission import Gate, Start
from .events import AFTER_END, RUN_ENDS, AcceptedEvent, event_document
from .facts import Facts, Questions
from .holds import LetGo, let_go
from .ids import derived_id
from .outcome import Failure, Json
from .runs import RunRow

_ENCODE = msgspec.json.Encoder()


@attrs.frozen
class Ended:
    """How a run ended: its terminal state, with the result or the failure. `step` is the one whose uncaught failure
    it was."""

    stored: str
    result: Json | None = None
    failure: Failure | None = None
    step: str | None = None


@attrs.define
class Aftermath:
    """What the terminal transition holds beside the end: keys let go of, an event accepted, runs let in."""

    keys: LetGo
    accept: list[AcceptedEvent]
    gate: Gate


def is_followed(row: RunRow, facts: Facts) -> bool:
    """Whether anything at all follows from the end of a run. From most ends nothing does."""
    return bool(row.holds) or facts.table.hears_of_ends(row.app, row.workflow)


def aftermath(
    row: RunRow, trigger: AcceptedEvent | None, ended: Ended, facts: Facts, now: int
) -> Aftermath | Questions | None:
    """What follows from the end of a run that `trigger` had started; None if nothing does."""
    if not is_followed(row, facts):
        return None
    keys = let_go(row, facts)
    if isinstance(keys, Questions):
        return keys
    after = Aftermath(keys, [], Gate(facts, now))
    if trigger is None or trigger.name not in AFTER_END:
        _announce(after, row, trigger, ended, facts, now)
    return after.gate.questions or after


def _announce(
    after: Aftermath, row: RunRow, trigger: AcceptedEvent | None, ended: Ended, facts: Facts, now: int
) -> None:
    """Start the failure handler, and accept the internal event if it starts something."""
    name = RUN_ENDS.get(ended.stored)
    if name is None:
        return
    data = Json(_ENCODE.encode(_data(row, trigger, ended)))
    handler = _handler(row, facts) if ended.stored == "failed" else None
    if handler is not None:
        run_id = derived_id(row.id, "on_failure", row.life)
        after.gate.admit(Start(handler, AcceptedEvent(run_id, name, data, now, now), run_id))
    event = AcceptedEvent(derived_id(row.id, ended.stored, row.life), name, data, now, now)
    starts = starts_of(event, facts.table)
    if starts:
        after.accept.append(event)
        for start in starts:
            after.gate.admit(start)


def _handler(row: RunRow, facts: Facts) -> Any:
    """The route of the workflow that handles failures, if one is named and in force."""
    route = facts.table.find(row.app, row.workflow)
    name = route.definition.policies.on_failure if route is not None else None
    if name is None:
        return None
    app, _, workflow = name.partition("/")
    handler = facts.table.find(app, workflow)
    if handler is None:
        facts.table.errors[f"{row.app}/{row.workflow}"] += 1
    return handler


def _data(row: RunRow, trigger: AcceptedEvent | None, ended: Ended) -> dict[str, Any]:
    """The data of an internal event: which run, what had started it, and how it ended."""
    data: dict[str, Any] = {
        "app": row.app,
        "workflow_id": row.workflow,
        "run_id": row.id,
        "event": event_document(trigger) if trigger is not None else None,
    }
    if ended.result is not None:
        data["result"] = ended.result
    if ended.failure is not None:
        data["error"] = _error(ended.failure) | {"step": ended.step}
    return data


def _error(failure: Failure) -> dict[str, Any]:
    """A failure, and what it was raised from."""
    cause = _error(failure.cause) if failure.cause is not None else None
    return {"type": failure.type, "message": failure.message, "trace": failure.trace, "cause": cause}
