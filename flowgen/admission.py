"""What flow control says of the runs that events would start: start, delay, collect, replace or skip.

The order is fixed (semantics, "Flow control"). *Route*, when the event is there: idempotency, rate limit,
then debounce or batch. *Open*, when the run is there, at once or when its collecting is closed: singleton,
throttle, priority. (*Claim*, the third moment, is the store's: concurrency.) Each policy is a function of
its own (`limits`, `singleton`, `collecting`); this module reads the state of each, hands it the next one's, and
keeps what has to be written.

Rules
-----
* A `Gate` folds admission over the starts of one transition: a start sees what the one before it has left.
* What is refused is created all the same, as a run that is `skipped` and says why. What is delayed says why, too.
* A key whose expression fails concerns its own start alone: that one is skipped with the error, and counted, before
  it has used anything up or entered a collecting run.
* An idempotency key is taken only if the start then passes the rate limit; what was a duplicate uses nothing up.
* A run that collects belongs to all whose events it has: the step that happens to open it does not know it by its id,
  so that giving up on it cancels nothing.
* What must be known of the store is asked for first (`Questions`), never read.

Pure: time, ids and facts are arguments. Refuses to know how events are accepted (`acceptance`), and who
executes a run.
"""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from . import collecting, limits, singleton
from .errors import ExpressionError
from .events import AcceptedEvent, event_document
from .expression import match_key, parse_path, value_at
from .facts import Facts, Questions
from .flow_control import CancelOn, Policies, Throttle, key_text, priority_of
from .ids import derived_id, seed_of
from .outcome import Json
from .routing import Route
from .runs import Message, Parent, RunRow
from .transition import Cell, Key, NewRun, Opening, Progress, TakeKey, Transition, Wait, in_order
from .waits import where_expression

ONCE_FOR = 24 * 3600 * 1_000_000
"""Microseconds for which an idempotency key is remembered at least."""

LINGER = 60_000_000
"""A cell is kept so many microseconds longer than what it says matters: what a decision takes for the time may be
behind the store's, and what it says is exact by itself."""

NEVER = 1 << 62
"""The time of what has no time: a subscription that does not expire. A start that waits for another run is put off by
so much, and keeps the time that it may have then."""

_ENCODE = msgspec.json.Encoder()


@attrs.frozen
class Start:
    """A run that somebody wants: `event` is to start `run_id` of a workflow. `parent` is the step that invokes it."""

    route: Route
    event: AcceptedEvent
    run_id: str
    parent: Parent | None = None

    @property
    def app(self) -> str:
        return self.route.app

    @property
    def workflow(self) -> str:
        return self.route.definition.id

    @property
    def policies(self) -> Policies:
        return self.route.definition.policies


@attrs.frozen
class Admitted:
    """What became of a start: the run that handles its event, and why it was skipped, if it was."""

    run: str
    skipped: str | None = None


class Gate:
    """Folds admission over starts, for one transition at `now` (microseconds).

    Whoever uses it asks `admit` for each start, in order. If `questions` is not empty then, nothing of the answer
    counts: put the answers into the facts and begin again with a new gate. Otherwise the collected effects
    belong into the transition, all of them.
    """

    def __init__(self, facts: Facts, now: int) -> None:
        self.questions = Questions()
        self.create: list[NewRun] = []
        self.messages: list[Message] = []
        self.open_waits: list[Wait] = []
        self.take: dict[tuple[str, str], TakeKey] = {}
        self.cells: dict[tuple[str, str], Cell] = {}
        self._facts = facts
        self._now = now

    def transition(self, id: str, progress: Progress | None = None) -> Transition:
        """The collected effects as a transition; who asks puts in what else it changes."""
        return Transition(
            id,
            progress,
            create=in_order(self.create),
            messages=tuple(self.messages),
            open_waits=tuple(self.open_waits),
            take=tuple(self.take.values()),
            cells=tuple(self.cells.values()),
        )

    # -- route ------------------------------------------------------------------------------------

    def admit(self, start: Start) -> Admitted:
        """Decide what becomes of a start."""
        policies = start.policies
        if policies == _NONE:
            return self._create_plain(start)
        document = event_document(start.event)
        try:
            return self._route(start, policies, document)
        except ExpressionError as error:
            return self._skip(start, self._without_key(start, error))

    def _route(self, start: Start, policies: Policies, document: dict[str, Any]) -> Admitted:
        once = self._once(start, policies, document)
        if isinstance(once, str):
            return self._skip(start, f"run {once} has the same idempotency key")
        collects = policies.debounce or policies.batch
        if policies.rate_limit is not None or collects is not None:
            _check_later_keys(policies, document)
        if not self._within_rate(start, policies, document):
            limit = policies.rate_limit
            return self._skip(start, f"the rate limit is used up: {limit}")
        if collects is None:
            admitted = self._open(start, (start.event,), document)
        else:
            admitted = self._collect(start, collects, document)
        if once is not None and admitted.skipped is None:
            self._take(attrs.evolve(once, holder=admitted.run))
        return admitted

    def _once(self, start: Start, policies: Policies, document: dict[str, Any]) -> TakeKey | str | None:
        """The idempotency key to take; or the run that has it."""
        if policies.idempotency is None:
            return None
        name = f"once/{start.workflow}/{key_text(policies.idempotency, document)}"
        held = self._key(start.app, name)
        if held is not None:
            remembered = held.expires_at is None or held.expires_at > self._now
            if remembered or self._is_open(start.app, held.holder):
                return held.holder
        version = held.version if held is not None else 0
        return TakeKey(start.app, name, start.run_id, "", self._now + ONCE_FOR, version)

    def _within_rate(self, start: Start, policies: Policies, document: dict[str, Any]) -> bool:
        limit = policies.rate_limit
        if limit is None:
            return True
        name = f"rate/{start.workflow}/{key_text(limit.key, document)}"
        said = limits.rate_limit(self._state(start.app, name), self._now, limit.limit, limit.per)
        if said.at is not None:
            self._keep(start.app, name, said)
        return said.at is not None

    def _collect(self, start: Start, policy: Any, document: dict[str, Any]) -> Admitted:
        name = collecting.collecting_key(start.workflow, key_text(policy.key, document))
        held = self._key(start.app, name)
        run = start.run_id if start.parent is None else derived_id(start.run_id, "collecting")
        joined = collecting.join(policy, start.app, name, held, start.event, run, start.parent, self._now)
        if joined.opened:
            row = RunRow(start.app, run, start.workflow, self._now, seed_of(run), "collecting")
            row.due_at, row.holds = joined.due_at, (name,)
            self.create.append(NewRun(row, ()))
        self._take(joined.take)
        self.messages += joined.messages
        return Admitted(joined.run)

    # -- open -------------------------------------------------------------------------------------

    def reopen(self, start: Start, events: tuple[AcceptedEvent, ...]) -> Admitted:
        """Create a run with events that were let in before: it is opened, not routed."""
        return self._open(start, events, event_document(start.event))

    def _open(self, start: Start, events: tuple[AcceptedEvent, ...], document: dict[str, Any]) -> Admitted:
        """Create the run, as far as singleton, throttle and priority have it."""
        opening = self.opening(start, events, document)
        return self._skip(start, opening) if isinstance(opening, str) else self._create(start, opening)

    def opening(self, start: Start, events: tuple[AcceptedEvent, ...], document: dict[str, Any]) -> Opening | str:
        """What the run opens with; or why it does not. `document` is that of its last event."""
        try:
            return self._opening(start, events, document)
        except ExpressionError as error:
            return self._without_key(start, error)

    def _opening(self, start: Start, events: tuple[AcceptedEvent, ...], document: dict[str, Any]) -> Opening | str:
        policies = start.policies
        slots = slots_of(start.workflow, policies, document)
        throttled = _throttle_name(start, policies.throttle, document)
        holds: tuple[str, ...] = ()
        start_at: int | None = None
        if policies.singleton is not None:
            name = singleton.singleton_key(start.workflow, key_text(policies.singleton.key, document))
            held = self._key(start.app, name)
            if held is not None and policies.singleton.mode == "skip":
                return f"run {held.holder} is open (singleton)"
            take, after = singleton.take_over(start.app, name, held, start.run_id)
            if held is not None:
                self.messages.append(singleton.replaced(start.app, held, start.run_id))
            self._take(take)
            holds = (name,)
            start_at = NEVER if after else None
        if policies.throttle is not None:
            turn = self._turn(start.app, policies.throttle, throttled)
            if turn > self._now or start_at is not None:
                start_at = turn + (start_at or 0)
        priority, error = priority_of(policies.priority, document)
        if error is not None:
            self._facts.table.errors[start.route.name] += 1
        timeouts = policies.timeouts
        latest = timeouts.start if timeouts is not None else None
        return Opening(
            events,
            priority,
            slots,
            holds,
            start_at,
            self._now + latest if latest is not None else None,
            wants=bool(slots),
        )

    def next_turn(self, start: Start) -> int | None:
        """When a start that was missed may happen after all, by its throttle; None if it has none that applies."""
        limit = start.policies.throttle
        if limit is None:
            return None
        try:
            name = _throttle_name(start, limit, event_document(start.event))
        except ExpressionError as error:
            self._without_key(start, error)
            return None
        return self._turn(start.app, limit, name)

    def _turn(self, app: str, limit: Throttle, name: str) -> int:
        """When the next start happens under a throttle."""
        said = limits.throttle(self._state(app, name), self._now, limit.limit, limit.per, limit.burst)
        self._keep(app, name, said)
        assert said.at is not None
        return said.at

    def _create_plain(self, start: Start) -> Admitted:
        """Create a run of which flow control says nothing: what `_create` comes to then."""
        row = RunRow(start.app, start.run_id, start.workflow, self._now, seed_of(start.run_id), parent=start.parent)
        row.due_at = self._now
        self.create.append(NewRun(row, (start.event,)))
        return Admitted(start.run_id)

    def _create(self, start: Start, opening: Opening) -> Admitted:
        row = RunRow(start.app, start.run_id, start.workflow, self._now, seed_of(start.run_id), parent=start.parent)
        row.priority, row.slots, row.holds = opening.priority, opening.slots, opening.holds
        row.start_at, row.deadline, row.wants = opening.start_at, opening.deadline, opening.wants
        row.due_at = due_of(opening, self._now)
        row.reason = delay_of(opening.start_at)
        self.create.append(NewRun(row, opening.events))
        self.open_waits += cancel_waits(start, opening.events[-1], self._now)
        return Admitted(start.run_id)

    def _skip(self, start: Start, reason: str) -> Admitted:
        row = RunRow(start.app, start.run_id, start.workflow, self._now, seed_of(start.run_id), "skipped", reason)
        row.parent = start.parent
        self.create.append(NewRun(row, (start.event,)))
        return Admitted(start.run_id, reason)

    def _without_key(self, start: Start, error: ExpressionError) -> str:
        """Count a key whose expression failed; gives why the run does not open."""
        self._facts.table.errors[start.route.name] += 1
        return f"a key could not be worked out: {error}"

    # -- what is known, and what this gate has changed of it ------------------------------------------

    def _key(self, app: str, name: str) -> Key | None:
        taken = self.take.get((app, name))
        if taken is not None:
            return Key(name, taken.holder, taken.detail, taken.expires_at, taken.version)
        if (app, name) not in self._facts.keys:
            self.questions.keys.add((app, name))
            return None
        return self._facts.keys[app, name]

    def _take(self, take: TakeKey) -> None:
        self.take[take.app, take.name] = take

    def _is_open(self, app: str, run: str) -> bool:
        if any(new.row.id == run for new in self.create):
            return True
        if (app, run) not in self._facts.open_runs:
            self.questions.runs.add((app, run))
            return False
        return self._facts.open_runs[app, run]

    def _state(self, app: str, name: str) -> Json | None:
        cell = self._cell(app, name)
        return cell.value if cell is not None else None

    def _cell(self, app: str, name: str) -> Cell | None:
        if (app, name) in self.cells:
            return self.cells[app, name]
        if (app, name) not in self._facts.cells:
            self.questions.cells.add((app, name))
            return None
        return self._facts.cells[app, name]

    def _keep(self, app: str, name: str, said: limits.Limited) -> None:
        known = self._cell(app, name)
        version = known.version if known is not None else 0
        self.cells[app, name] = Cell(app, name, version, said.state, said.expires_at + LINGER)


_NONE = Policies()


def _throttle_name(start: Start, throttle: Throttle | None, document: dict[str, Any]) -> str:
    """The cell of a throttle. Raises `ExpressionError`."""
    return f"throttle/{start.workflow}/{key_text(throttle.key, document)}" if throttle is not None else ""


def _check_later_keys(policies: Policies, document: dict[str, Any]) -> None:
    """Work out the keys that are used after the rate limit. Raises `ExpressionError`."""
    for option in (policies.debounce, policies.batch, policies.singleton, policies.throttle, *policies.concurrency):
        if option is not None and option.key is not None:
            key_text(option.key, document)


def slots_of(workflow: str, policies: Policies, document: dict[str, Any]) -> tuple[str, ...]:
    """The names of the concurrency slots that a run needs. Raises `ExpressionError`.

    A limit of the whole app is shared by all that ask for the same key, by its text and its value.
    """
    names = []
    for number, limit in enumerate(policies.concurrency):
        value = key_text(limit.key, document)
        names.append(f"{workflow}#{number}/{value}" if limit.scope == "workflow" else f"#{limit.key or ''}/{value}")
    return tuple(names)


def limits_of(policies: Policies) -> tuple[int, ...]:
    """The limits of the slots that `slots_of` names, in that order."""
    return tuple(limit.limit for limit in policies.concurrency)


def due_of(opening: Opening, now: int) -> int:
    """When a run that has just been opened has to be looked at: at its start, or at the latest time for that."""
    starts = now if opening.start_at is None else opening.start_at
    return starts if opening.deadline is None else min(starts, opening.deadline)


def delay_of(start_at: int | None) -> str | None:
    """Why a run that was opened is not started yet, if flow control has it wait."""
    if start_at is None:
        return None
    return "waits for the run that it replaces (singleton)" if start_at >= NEVER else "throttled"


def cancel_waits(start: Start, trigger: AcceptedEvent, now: int) -> list[Wait]:
    """The waits that cancel the run. A `match` on what its event does not have matches nothing, so there is no wait."""
    waits = []
    document = event_document(trigger) if start.policies.cancel_on else {}
    for number, cancel in enumerate(start.policies.cancel_on):
        path = value = scope = None
        if cancel.match is not None:
            wanted = value_at(document, parse_path(cancel.match, "match"))
            if wanted is None:
                continue
            path, value = cancel.match, match_key(wanted)
        if cancel.where is not None:
            scope = Json(_ENCODE.encode(where_expression(cancel.where).scope("event", document)))
        waits.append(
            Wait(
                derived_id(start.run_id, "cancel_on", number),
                start.app,
                start.run_id,
                "",
                cancel.event,
                trigger.position,
                _expiry(cancel, now),
                path,
                value,
                cancel.where,
                scope,
            )
        )
    return waits


def _expiry(cancel: CancelOn, now: int) -> int:
    return NEVER if cancel.timeout is None else now + cancel.timeout
