"""What the owner of a run does that has not started: close its collecting, wait, end it, or begin.

A run may be claimed before its time, because mail came for it or its latest start has passed. Then its
mail is read and it goes back, or ends; its generator is not made. Closing a run that collects fixes its events,
takes its key away and opens it, in one commit; it is claimed anew then, like any run.

Pure, like every decision: what has to be known is asked for (`Questions`).
"""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from .admission import NEVER, Gate, Start, cancel_waits, delay_of, due_of
from .collecting import collection_of
from .endings import cancel_reason, cancel_run_without_code, skip_run
from .events import AcceptedEvent, event_document
from .facts import Facts, Questions
from .flow_control.policies import Policies
from .history import Record, Started
from .routing import Route
from .runs import EventCollected, Freed, Mail, RunRow, read_through
from .transition import DropKey, Key, Opening, Progress, TakeKey, Transition
from .workflow import Definition

MISSED = 5_000_000
"""A start that is so many microseconds late was missed: all engines were down, or busy."""


@attrs.frozen
class Begin:
    """Nothing is in the way: the run may start."""


def before_start(
    row: RunRow,
    events: tuple[AcceptedEvent, ...],
    mail: Sequence[Mail],
    facts: Facts,
    now: int,
    *,
    slotless: bool = False,
    cancelled: str | None = None,
    history: Sequence[Record] = (),
) -> Begin | Transition | Questions:
    """Decide what an owner does with a run that has not started.

    `cancelled`: why, if an event ends it. Only a rerun from a step has a `history` by then.
    """
    reason = cancelled or cancel_reason(row, mail, now)
    if reason is not None:
        return cancel_run_without_code(row, events, history, mail, facts, now, reason)
    if row.stored == "collecting":
        return _close(row, mail, facts, now)
    start_at = row.start_at
    if start_at is not None and start_at >= NEVER and any(isinstance(m.message.body, Freed) for m in mail):
        start_at -= NEVER
    if start_at is not None and start_at > now:
        return _put_back(row, events, mail, start_at)
    if start_at is not None and start_at < now - MISSED and (anew := _turn_anew(row, events, mail, facts, now)):
        return anew
    return _put_back(row, events, mail, None) if slotless else Begin()


def at_once(row: RunRow, policies: Policies, digest: str, now: int) -> Transition | None:
    """How a run begins, on code with this digest, that was claimed for the first time and has all that it needs.

    None if more has to be known for that than its row: then its owner asks `before_start`. Nor does one begin so whose
    time is limited from its start: it might be up before the worker that claimed it comes to it.
    """
    start_at = row.start_at
    in_time = (start_at is None or now - MISSED <= start_at <= now) and (row.deadline is None or now < row.deadline)
    limited = policies.timeouts is not None and policies.timeouts.finish is not None
    if row.stored != "open" or row.fence != 1 or row.length or row.mail or policies.cancel_on or limited or not in_time:
        return None
    progress = Progress(row.app, row.id, row.fence, 0, (Started(now, digest),), 0, False, started_at=now)
    return Transition(f"{row.id}/{row.fence}/0", progress)


def _turn_anew(
    row: RunRow, events: tuple[AcceptedEvent, ...], mail: Sequence[Mail], facts: Facts, now: int
) -> Transition | Questions | None:
    """Nobody was there at its time: a throttled start takes its turn again, so that what waited is spread, too.

    It is given back even if its turn is now: only a release is known again when it is repeated.
    """
    route = facts.table.find(row.app, row.workflow)
    gate = Gate(facts, now)
    start_at = gate.next_turn(Start(route, events[-1], row.id)) if route is not None else None
    if start_at is None:
        return None
    if gate.questions:
        return gate.questions
    transition = _put_back(row, events, mail, max(start_at, now))
    transition.cells = tuple(gate.cells.values())
    return transition


def _put_back(row: RunRow, events: tuple[AcceptedEvent, ...], mail: Sequence[Mail], start_at: int | None) -> Transition:
    """Give the run back until its start, or until its slots are free."""
    opening = Opening(events, row.priority, row.slots, row.holds, start_at, row.deadline, bool(row.slots), row.callers)
    progress = Progress(
        row.app,
        row.id,
        row.fence,
        row.length,
        (),
        read_through(row, mail),
        True,
        row.deadline if start_at is None else due_of(opening, start_at),
        reason=delay_of(start_at),
        life=row.life,
        wants=bool(row.slots),
        opening=opening if start_at != row.start_at else None,
    )
    return Transition(f"{row.id}/{row.fence}/{row.length}", progress)


# -- collecting ---------------------------------------------------------------------------------------


def _close(row: RunRow, mail: Sequence[Mail], facts: Facts, now: int) -> Transition | Questions:
    """Fix the events of a run that collects, and open it; or give it back if its time has been put off."""
    (name,) = row.holds
    if (row.app, name) not in facts.keys:
        return Questions(keys={(row.app, name)})
    held = facts.keys[row.app, name]
    ours = held is not None and held.holder == row.id
    if held is not None and ours and (due_at := collection_of(held).due_at) > now:
        return _collect_on(row, held, due_at)
    route = facts.table.find(row.app, row.workflow) or Route(row.app, Definition(row.workflow))
    collected = [m.message.body for m in mail if isinstance(m.message.body, EventCollected)]
    collected.sort(key=lambda body: body.event.position or 0)
    callers = tuple(body.parent for body in collected if body.parent is not None)
    if route.definition.policies.debounce is not None:
        del collected[:-1]
    events = tuple(body.event for body in collected)
    gate = Gate(facts, now)
    start = Start(route, events[-1], row.id)
    opening = gate.opening(start, events, event_document(events[-1]))
    if gate.questions:
        return gate.questions
    drained = read_through(row, mail)
    if isinstance(opening, str):
        return skip_run(row, Opening(events, callers=callers), drained, opening, facts, now)
    progress = Progress(
        row.app,
        row.id,
        row.fence,
        row.length,
        (),
        drained,
        True,
        due_of(opening, now),
        reason=delay_of(opening.start_at),
        opening=attrs.evolve(opening, callers=callers),
        wants=opening.wants,
    )
    transition = gate.transition(f"{row.id}/{row.fence}/{row.length}", progress)
    transition.open_waits += tuple(cancel_waits(start, events[-1], now))
    transition.drop = (DropKey(row.app, name, row.id, held.version if held is not None and ours else None),)
    return transition


def _collect_on(row: RunRow, held: Key, due_at: int) -> Transition:
    """An event came between the claim and now, so its time is not over. Its key's version says that no other did."""
    progress = Progress(
        row.app, row.id, row.fence, row.length, (), row.drained, True, due_at, "collecting", life=row.life
    )
    same = TakeKey(row.app, held.name, held.holder, held.detail, held.expires_at, held.version)
    return Transition(f"{row.id}/{row.fence}/{row.length}", progress, take=(same,))
