"""Accepting events: deduplication by the user's id, and the runs that an event starts.

Both roads into the store use it: `engine.send` and the `SendEvent` of a workflow. The rules are those of
the semantics, "Events and triggers": an id dedupes for 24 hours *and* for as long as a run that it
started is open; the same id with the same payload answers the same internal id and starts nothing; with
another payload it is a conflict. Within one batch an equal id is a duplicate of the earlier item.

Pure: events have got their internal ids and times already.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from .admission import Gate, Start
from .errors import EventConflict
from .events import AcceptedEvent
from .facts import Facts, Questions
from .ids import derived_id
from .routing import RouteTable
from .transition import TakeKey

DEDUPE_WINDOW = 24 * 3600 * 1_000_000
"""Microseconds for which an event's id is remembered at least."""

STARTS_AT_ONCE = 500
"""So many runs are started at most by the commit that accepts their events; the router starts the others."""

STORE = ""
"""The app under which keys of the store as a whole are kept: those of events."""


@attrs.frozen
class Acceptance:
    """What a batch of events comes to: the internal id of each, what is new, and what it starts."""

    ids: tuple[str, ...]
    accept: tuple[AcceptedEvent, ...]
    take: tuple[TakeKey, ...]
    gate: Gate


def event_key(event_id: str) -> str:
    """The name of the unique key that a user's event id takes."""
    return f"event/{event_id}"


def accept(events: Iterable[AcceptedEvent], facts: Facts, now: int) -> Acceptance | Questions:
    """Decide what becomes of a batch; or say what must be known first.

    Raises `EventConflict` when an id was used before with another payload.
    """
    batch = list(events)
    if any(event.key is not None for event in batch) and (questions := _questions(batch, facts, now)):
        return questions
    ids: list[str] = []
    accepted: list[AcceptedEvent] = []
    take: dict[str, TakeKey] = {}
    for event in batch:
        known = _earlier(event, facts, take, now)
        if known is not None:
            ids.append(known)
            continue
        ids.append(event.id)
        accepted.append(event)
        if event.key is not None:
            name = event_key(event.key)
            held = facts.keys.get((STORE, name))
            take[name] = TakeKey(
                STORE, name, event.id, event.digest, now + DEDUPE_WINDOW, held.version if held is not None else 0
            )
    gate = Gate(facts, now)
    number = 0
    for index, event in enumerate(accepted):
        if is_delayed(event):
            continue
        starts = starts_of(event, facts.table)
        number += len(starts)
        if number > STARTS_AT_ONCE:
            accepted[index] = attrs.evolve(event, deferred=True)
            continue
        for start in starts:
            gate.admit(start)
    if gate.questions:
        return gate.questions
    return Acceptance(tuple(ids), tuple(accepted), tuple(take.values()), gate)


def is_delayed(event: AcceptedEvent) -> bool:
    """Whether the event is of the future: it starts and resumes nothing before its `ts`."""
    return event.ts > event.accepted_at


def starts_of(event: AcceptedEvent, table: RouteTable) -> list[Start]:
    """What an event is to start: run ids derive from the event, so routing again changes nothing."""
    return [
        Start(route, event, derived_id(event.id, route.app, route.definition.id)) for route in table.triggered(event)
    ]


def _questions(batch: list[AcceptedEvent], facts: Facts, now: int) -> Questions:
    questions = Questions()
    for event in batch:
        if event.key is None:
            continue
        at = (STORE, event_key(event.key))
        if at not in facts.keys:
            questions.keys.add(at)
            continue
        held = facts.keys[at]
        if held is not None and _expired(held.expires_at, now) and held.holder not in facts.started:
            questions.started.add(held.holder)
    return questions


def _earlier(event: AcceptedEvent, facts: Facts, taken: dict[str, TakeKey], now: int) -> str | None:
    """The internal id of the earlier event that this one repeats, if it does."""
    if event.key is None:
        return None
    name = event_key(event.key)
    held = taken.get(name) or facts.keys.get((STORE, name))
    if held is None:
        return None
    if name not in taken and _expired(held.expires_at, now) and not facts.started.get(held.holder, False):
        return None
    if held.detail != event.digest:
        raise EventConflict(event.key)
    return held.holder


def _expired(expires_at: int | None, now: int) -> bool:
    return expires_at is not None and expires_at <= now
