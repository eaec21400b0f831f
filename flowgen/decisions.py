"""The decisions that are not the owner's: facts in, one transition out.

An owner's decisions are in `draft`; here is what everyone else decides: accept events, start a run,
cancel, signal, retry, rerun, deliver an event to waits; and what an owner decides about a run whose
code it cannot or must not drive: park it, end it without code.

All are pure: time, ids and facts are arguments. What a caller did wrong is raised as an error of
`errors`, before anything is decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy

import attrs

from . import singleton
from .acceptance import accept
from .admission import Gate, Start
from .edits import NONE as NO_EDITS
from .edits import Edits, copied, edited_events
from .effects import direct_event
from .endings import cancelled_by
from .errors import InvalidInput, NotFound, WrongState
from .events import AcceptedEvent
from .facts import Facts, Questions
from .history import (
    OUTCOMES,
    EndFailed,
    Record,
    Retried,
    Started,
    StepFailed,
    effective,
    open_requests,
)
from .ids import derived_id
from .outcome import Json
from .routing import Route
from .runs import (
    CancelRequested,
    EventMatched,
    Message,
    RunRow,
    status_of,
)
from .signals import decode_waiter, deliver_signal
from .transition import Key, NewRun, Progress, TakeKey, Transition, Wait
from .values import decode
from .waits import cancels_in_time, matches
from .workflow import Definition


@attrs.frozen
class Accepted:
    """What `engine.send` commits, and the internal ids that it answers."""

    ids: tuple[str, ...]
    transition: Transition | None


def accept_events(
    events: Sequence[AcceptedEvent], facts: Facts, now: int, claim: ClaimAtOnce | None = None
) -> Accepted | Questions:
    """Accept events and create the runs that they start, some of them claimed at once."""
    acceptance = accept(events, facts, now)
    if isinstance(acceptance, Questions):
        return acceptance
    if not acceptance.accept:
        return Accepted(acceptance.ids, None)
    transition = _admitting(acceptance.accept[0].id, acceptance.gate, now, claim)
    transition.accept, transition.routes = acceptance.accept, True
    transition.take += acceptance.take
    return Accepted(acceptance.ids, transition)


def _admitting(id: str, gate: Gate, now: int, claim: ClaimAtOnce | None) -> Transition:
    """What flow control made of new runs, some of them claimed at once."""
    transition = gate.transition(id)
    if claim is not None:
        transition.create = tuple([claim.run(new, now) for new in transition.create])
    return transition


def start_runs(id: str, starts: Iterable[Start], facts: Facts, now: int) -> Transition | Questions:
    """Start the runs of an event that was accepted before."""
    gate = Gate(facts, now)
    for start in starts:
        gate.admit(start)
    return gate.questions or gate.transition(id)


@attrs.define
class ClaimAtOnce:
    """A worker that takes runs in the commit that creates them: at most `room` of what it offers.

    `offers` maps (app, workflow) to the digest of its code, and `finish` to the time that a run of it may
    take, if that is limited; `lease` is in microseconds.
    """

    worker: str
    offers: dict[tuple[str, str], str]
    lease: int
    room: int
    finish: Mapping[tuple[str, str], int] = attrs.Factory(dict)
    claimed: list[NewRun] = attrs.Factory(list)

    def run(self, new: NewRun, now: int) -> NewRun:
        """The run, claimed and started if this worker offers it and has room: then its row is changed."""
        row = new.row
        name = (row.app, row.workflow)
        digest = self.offers.get(name)
        if digest is None or self.room <= len(self.claimed) or not _starts_at_once(row):
            return new
        row.owner, row.fence, row.length = self.worker, 1, 1
        row.started_at, row.due_at = now, now + self.lease
        row.deadline = now + self.finish[name] if name in self.finish else None
        claimed = NewRun(row, new.events, (Started(now, digest),), self.lease)
        self.claimed.append(claimed)
        return claimed


def _starts_at_once(row: RunRow) -> bool:
    """Whether flow control has nothing against starting a new run in the commit that creates it."""
    return row.stored == "open" and row.start_at is None and not row.slots


def start_run(
    app: str,
    workflow: str,
    run_id: str,
    data: Json,
    facts: Facts,
    now: int,
    request: str,
    claim: ClaimAtOnce | None = None,
    name: str | None = None,
) -> tuple[str, Transition] | Questions:
    """Start one run directly: the run that handles its data, and what is to be committed.

    `request` is the id of this request: another one for the same run id is not it. `name` is that of the run's event,
    if something else than its start has made it.
    """
    route = facts.table.find(app, workflow)
    if route is None:
        raise NotFound(f"no workflow {workflow!r} is registered in app {app!r}")
    gate = Gate(facts, now)
    event = direct_event(run_id, data, now)
    admitted = gate.admit(Start(route, event if name is None else attrs.evolve(event, name=name), run_id))
    return gate.questions or (admitted.run, _admitting(request, gate, now, claim))


def cancel_run(app: str, run_id: str, reason: str, request: str) -> Transition:
    """Ask an open run to be cancelled. `request` is the id of this request."""
    message = Message(derived_id(request, run_id), app, run_id, CancelRequested(reason), must_be_open=True)
    return Transition(request, messages=(message,))


def send_signal(app: str, signal: str, data: Json, held: Key | None, request: str) -> Transition:
    """Give a signal to its waiter; raises `NotFound` if nobody waits for it."""
    waiter = decode_waiter(held) if held is not None else None
    if held is None or waiter is None or waiter.delivered:
        raise NotFound(f"nobody waits for signal {signal!r} in app {app!r}; a signal is not kept")
    take, message = deliver_signal(app, held, waiter, data, request)
    return Transition(request, messages=(message,), take=(take,))


def deliver(event: AcceptedEvent, waits: Iterable[Wait], page: int, last: bool) -> Transition | None:
    """Put an event into the mailboxes of the waits that it matches; the last page marks it routed.

    A message's id is (wait, event), so finding a wait twice is one message. A wait of a `cancel_on` gets a cancel
    like any other, so that it, too, beats a completion that is not committed yet. None: nothing to write.
    """
    messages = tuple(
        Message(derived_id(event.id, wait.id), wait.app, wait.run, _delivered(event, wait))
        for wait in waits
        if (wait.step or cancels_in_time(wait, event))
        and matches(wait.where, decode(wait.scope) if wait.scope is not None else None, event)
    )
    if not messages and not last:
        return None
    return Transition(f"{event.id}/deliver/{page}", messages=messages, routed=(event.id,) if last else ())


def _delivered(event: AcceptedEvent, wait: Wait) -> EventMatched | CancelRequested:
    return EventMatched(wait.id, wait.step, event) if wait.step else CancelRequested(cancelled_by(event))


# -- retry and rerun ------------------------------------------------------------------------------


def retry_run(row: RunRow, history: Sequence[Record], facts: Facts, now: int) -> Transition | Questions:
    """Let a failed run go on from its failing point, or a parked one try again on today's code.

    A failed run takes its singleton key again. Refused with `WrongState` when another open run has that, and when
    an outcome was recorded after the failing point: compensations ran, and taking them back would repeat or lose
    them.
    """
    if row.stored == "parked":
        return _reopen(row, now, ())
    if row.stored != "failed":
        status = status_of(row)
        raise WrongState(row.id, status, f"run {row.id} is {status}: only a failed or parked run can be retried")
    retried = _retried(row, history, now)
    take = _keys_again(row, facts)
    return take if isinstance(take, Questions) else _reopen(row, now, (retried,), take)


def _retried(row: RunRow, history: Sequence[Record], now: int) -> Retried:
    upto, failed_step = len(history) - 2, None
    end = history[-1]
    if isinstance(end, EndFailed) and end.step is not None:
        failed_step = end.step
        upto = _final_failure(history, failed_step) - 1
        after = [r.step for r in history[upto + 2 :] if isinstance(r, OUTCOMES)]
        if after:
            raise WrongState(
                row.id,
                "failed",
                f"run {row.id} cannot be retried: after step {failed_step!r} failed, {after[0]!r} was recorded "
                f"(a compensation ran); use rerun, or rerun from a step before it",
            )
    given_up = open_requests(history[: upto + 1])
    steps = {step for step, request in given_up.items() if request.kind in ("wait", "signal", "invoke")}
    if failed_step is not None:
        steps.add(failed_step)
    return Retried(max(now, end.at), upto, row.life + 1, tuple(sorted(steps)))


def _keys_again(row: RunRow, facts: Facts) -> tuple[TakeKey, ...] | Questions:
    """The keys that an ended run let go of and takes again; refused if an open run holds one now."""
    unknown = {(row.app, name) for name in row.holds} - facts.keys.keys()
    if unknown:
        return Questions(keys=unknown)
    take = []
    for name in row.holds:
        held = facts.keys[row.app, name]
        if held is not None:
            raise WrongState(
                row.id,
                "failed",
                f"run {row.id} cannot be retried: run {held.holder} is open, and has its singleton key; "
                "retry it when that run has ended, or cancel that run",
            )
        take.append(singleton.take_over(row.app, name, None, row.id)[0])
    return tuple(take)


def _reopen(row: RunRow, now: int, records: tuple[Record, ...], take: tuple[TakeKey, ...] = ()) -> Transition:
    progress = Progress(
        row.app,
        row.id,
        row.fence,
        row.length,
        records,
        row.drained,
        True,
        now,
        "open",
        life=row.life + len(records),
        reopen=True,
        wants=bool(row.slots),
    )
    return Transition(f"{row.id}/{row.fence}/{row.length}/reopen", progress, take=take)


def _final_failure(history: Sequence[Record], step: str) -> int:
    for position, record in reversed(effective(history)):
        if isinstance(record, StepFailed) and record.step == step:
            return position
    raise InvalidInput(f"the history has no failure of step {step!r}")


def rerun(
    row: RunRow,
    events: tuple[AcceptedEvent, ...],
    history: Sequence[Record],
    run_id: str,
    facts: Facts,
    now: int,
    from_step: str | None = None,
    edits: Edits = NO_EDITS,
) -> Transition | Questions:
    """A fresh run with the same events and seed; with `from_step`, it keeps the outcomes before it.

    `edits` are what its caller changes in that. A result can only be that of a step which it keeps.
    It is opened like any run: singleton, throttle, priority and slots have their say, and may skip it. What is
    decided when an event comes is not decided again: idempotency, rate limit, debounce, batch. Events that cancel it
    are those from now on: one that ended the first run does not end this one. Whoever claims it first starts it,
    with `from_step` too.
    """
    if not events:
        raise WrongState(row.id, status_of(row), f"run {row.id} has no events yet: it is {status_of(row)}")
    if edits.results and from_step is None:
        raise InvalidInput("results replace those of steps before another one: say from which step the run goes on")
    kept = copied(row, history, from_step, edits.results, now) if from_step is not None else []
    events = edited_events(row, events, edits.event)
    route = facts.table.find(row.app, row.workflow) or Route(row.app, Definition(row.workflow))
    if route.definition.policies.cancel_on and None not in facts.positions:
        return Questions(positions={None})
    gate = Gate(facts, now)
    gate.reopen(Start(route, events[-1], run_id), events)
    if gate.questions:
        return gate.questions
    (created,) = gate.create
    new = copy(created.row)
    records: tuple[Record, ...] = ()
    if new.open:
        new.seed, new.since = row.seed, row.since
        records = (Started(now, ""), *kept) if from_step is not None else ()
        new.length = len(records)
    transition = gate.transition(run_id)
    transition.create = (NewRun(new, events, records),)
    transition.open_waits = tuple(attrs.evolve(wait, after=facts.positions[None]) for wait in gate.open_waits)
    return transition
