"""What a rerun keeps of the run before it, and what its caller has changed in that.

A rerun from a step begins with the outcomes that were recorded before it; a caller may replace some of them, and the
event, to see what the workflow does then. The run before is left as it is.

Rules
-----
* Only steps that have an outcome are kept, with their requests, in their order. Their fingerprints are left out:
  copied records are checked by kind and id only, because other values lead to other arguments.
* A result is replaced where one is recorded and comes from outside: of a `Run`, `Invoke`, `WaitForSignal` or
  `WaitFor`. A step that failed has succeeded then. The result of a `WaitFor` is the data of its event, or None: it
  timed out.
* An edited event keeps the id and the place of the one that it replaces: the runs of that event are found by it, and
  waits look behind the same position.

Pure: what cannot be edited is `InvalidInput`, and says what can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec

from .errors import InvalidInput
from .events import AcceptedEvent, Event, accept_event
from .history import OUTCOMES, EndFailed, Record, Requested, StepFailed, StepSucceeded, WaitTerms, effective
from .ids import derived_id
from .outcome import NULL, Json
from .runs import RunRow
from .values import encode


@attrs.frozen
class Edits:
    """What a caller changes in a rerun: its event, and the results of steps before the one from which it runs."""

    event: Event[Any] | None = None
    results: Mapping[str, Any] = attrs.field(factory=dict)


NONE: Final = Edits()

_EDITABLE: Final = ("run", "invoke", "signal", "wait")
_EVENT: Final = msgspec.json.Decoder(AcceptedEvent)


def copied(
    row: RunRow, history: Sequence[Record], from_step: str, results: Mapping[str, Any], now: int
) -> list[Record]:
    """The steps before `from_step` that have an outcome, with their requests, in their order.

    `results` has the new results of some of them, by step.
    """
    records = [record for _, record in effective(history)]
    step_of = [getattr(record, "step", None) if not isinstance(record, EndFailed) else None for record in records]
    if from_step not in step_of:
        raise InvalidInput(f"run {row.id} has no step {from_step!r:.300}; its steps are: {_named(step_of)}")
    before = records[: step_of.index(from_step)]
    settled = {record.step for record in before if isinstance(record, OUTCOMES)}
    unknown = [step for step in results if step not in settled]
    if unknown:
        raise InvalidInput(
            f"the result of step {unknown[0]!r:.300} cannot be replaced: run {row.id} has none before {from_step!r}; "
            f"the steps that have one are: {_named([step for step in step_of if step in settled])}"
        )
    kept = [r for r in before if isinstance(r, (*OUTCOMES, Requested)) and r.step in settled]
    terms = {r.step: r.terms for r in kept if isinstance(r, Requested)}
    edited: list[Record] = []
    for record in kept:
        changed = attrs.evolve(record, at=now, digest="")
        if isinstance(changed, OUTCOMES) and changed.step in results:
            changed = _with_result(changed, results[changed.step], terms.get(changed.step), row.id, now)
        edited.append(changed)
    return edited


def _named(steps: Sequence[str | None]) -> str:
    return ", ".join(repr(step) for step in dict.fromkeys(steps) if step is not None) or "none"


def _with_result(outcome: StepSucceeded | StepFailed, result: Any, terms: object, run: str, now: int) -> StepSucceeded:
    """The outcome of a step that has succeeded with this result."""
    if outcome.kind not in _EDITABLE:
        raise InvalidInput(
            f"the result of step {outcome.step!r} cannot be replaced: it is a {outcome.kind} step, which has none"
        )
    what = f"the result of step {outcome.step!r}"
    value = _event_of_wait(outcome, result, terms, run, now) if outcome.kind == "wait" else encode(result, what)
    return StepSucceeded(now, outcome.step, value, outcome.kind, "", NULL, outcome.position)


def _event_of_wait(outcome: StepSucceeded | StepFailed, data: Any, terms: object, run: str, now: int) -> Json:
    """The event that a wait gives: the one that came, with other data, or one that nobody ever sent."""
    if data is None:
        return NULL
    if not isinstance(data, Mapping):
        raise InvalidInput(
            f"the result of step {outcome.step!r} is the data of its event, an object, or null if it timed out; "
            f"not {data!r:.100}"
        )
    recorded = bytes(outcome.value) if isinstance(outcome, StepSucceeded) else bytes(NULL)
    if recorded != bytes(NULL):
        event = _EVENT.decode(recorded)
    else:
        assert isinstance(terms, WaitTerms)
        event = AcceptedEvent(derived_id(run, outcome.step, "edited"), terms.event, NULL, now, now)
    return Json(msgspec.json.encode(edited_event(event, Event(event.name, dict(data)))))


def edited_event(original: AcceptedEvent, edited: Event[Any]) -> AcceptedEvent:
    """An event with another name or other data, in the place of the original."""
    fresh = accept_event(attrs.evolve(edited, ts=None), original.id, original.accepted_at)
    return attrs.evolve(original, name=fresh.name, data=fresh.data, digest=fresh.digest)


def edited_events(row: RunRow, events: Sequence[AcceptedEvent], edited: Event[Any] | None) -> tuple[AcceptedEvent, ...]:
    """The events of a rerun: those of the run before, the only one edited."""
    if edited is None:
        return tuple(events)
    if len(events) != 1:
        raise InvalidInput(
            f"run {row.id} handles {len(events)} events: an event can be edited where it is the only one"
        )
    return (edited_event(events[0], edited),)
