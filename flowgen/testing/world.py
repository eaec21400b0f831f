"""The world of a simulation: its clock, its dice, and a journal of everything that takes effect in it.

Engines reach the store through connections (`connection`), and bodies run in the executors of `bodies`;
both write down here what happens. As it is written down, it is checked: what no engine may ever do is a
violation, found at the moment at which it happens.

Refuses to know how engines work: it sees transitions, claims and bodies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs

from ..app import App
from ..duration import HOUR, MINUTE
from ..errors import NotFound
from ..history import ENDS, OUTCOMES, EndCompleted, Record, Retried, Started, effective
from ..runs import MAX_STRIKES, TERMINAL, CancelRequested, RunRow
from ..runtime.store import Claims, Extended, Lease
from ..transition import NewRun, Progress, Transition
from ..tree import Step
from .clock import VirtualClock
from .faults import Dice, Faults
from .trace import Entry, Execution
from .words import event_text, record_text

MANY_STRIKES = MAX_STRIKES - 1
"""An engine that owns a run with so many strikes is spared: one more would fail that run."""

JUMP = HOUR
"""So far the clock of a store is set forward or back at the most."""

MOST_RESTARTS = 1_000
"""A run that restarts more often in a row, while no time passes, will do so for ever."""

MOST_CLAIMS = 1_000
"""A run that is claimed more often, while no time passes, will be so for ever."""

_BETWEEN_ANSWERS = 2 * MINUTE
_ID_LENGTH = 26
_ID = re.compile(rf"\b[0-9A-HJKMNP-TV-Z]{{{_ID_LENGTH}}}\b")


class NeverRests(BaseException):
    """The world will not come to rest. Engines do not catch it, so it ends the simulation; it says why."""


@attrs.define(eq=False)
class Life:
    """One start of an engine: `name` says which worker, and after restarts which of its lives.

    Until `stands_until`, in seconds of trio's clock, it stands still.
    """

    name: str
    stands_until: float = 0.0


@attrs.define(eq=False)
class Request:
    """A commit or a claim, counted in the order of asking: who asked, and what (for a claim: what it got)."""

    number: int
    worker: str
    asked: Transition | Claims | None


@attrs.define(eq=False)
class Seen:
    """A run as the journal knows it: what was committed of it, who owns it, and its strikes at the most.

    It is the end of a chain of so many `restarts` since it was `created_at`: no time has passed between them. Since
    `claimed_at` it was claimed so often (`claims`), and no time has passed.
    """

    name: str
    row: RunRow
    records: list[Record] = attrs.Factory(list)
    settled: set[str] = attrs.Factory(set)
    owner: Life | None = None
    fence: int = 0
    strikes: int = 0
    parked: bool = False
    holding: tuple[str, ...] = ()
    leased_until: int = 0
    created_at: int = 0
    restarts: int = 0
    claimed_at: int = 0
    claims: int = 0


class World:
    """What everything in a simulation shares."""

    def __init__(self, apps: Iterable[App], clock: VirtualClock, dice: Dice) -> None:
        self.clock = clock
        self.dice = dice
        self.entries: list[Entry] = []
        self.executions: list[Execution] = []
        self.violations: list[str] = []
        self.problems: list[str] = []
        self.runs: dict[str, Seen] = {}
        self.requests: list[Request] = []
        self.busy = 0
        self._happenings = 0
        self._numbers: dict[str, int] = {}
        self._events: set[str] = set()
        self._messages: set[str] = set()
        self._one_app = len(list(apps)) == 1
        self._highest = 0
        self._far_ahead = _far_ahead(dice.faults)

    @contextmanager
    def working(self) -> Iterator[None]:
        """While inside, somebody is at work: the world is not at rest."""
        self.busy += 1
        try:
            yield
        finally:
            self.busy -= 1

    # -- time -------------------------------------------------------------------------------------

    @property
    def now(self) -> int:
        """True time, whatever the clock of the store is set to."""
        return self.clock.start + self.clock.elapsed

    def store_time(self) -> int:
        """The highest time that the store can have given out: it never goes back, though its clock may."""
        self._highest = max(self._highest, self.clock())
        return self._highest

    # -- writing down -----------------------------------------------------------------------------

    def note(self, who: str, what: str) -> None:
        """Put a line into the timeline."""
        self._happenings += 1
        self.entries.append(Entry(self.now, who, self.named(what)))

    def named(self, text: str) -> str:
        """A text with the names of runs instead of their ids."""
        return text if len(text) < _ID_LENGTH else _ID.sub(self._name, text)

    def count(self, what: str) -> None:
        """Something happened that a test may want to know that it was reached."""
        self.dice.counts[what] += 1

    def request(self, life: Life, asked: Transition | Claims | None) -> Request | None:
        """Number a commit or a claim (None), if there is a plan for them."""
        if self.dice.faults.at is None:
            return None
        request = Request(len(self.requests) + 1, life.name, asked)
        self.requests.append(request)
        return request

    def broken(self, rule: str) -> None:
        """An invariant does not hold."""
        self.note("VIOLATION", rule)
        self.violations.append(rule)

    def _name(self, id: re.Match[str]) -> str:
        seen = self.runs.get(id[0])
        return id[0] if seen is None else seen.name

    # -- commits ----------------------------------------------------------------------------------

    def committed(self, life: Life, transition: Transition) -> None:
        """A transition was accepted by the store: write down what is new in it (a repetition changes nothing)."""
        for event in transition.accept:
            if event.id not in self._events:
                self._events.add(event.id)
                self.note(life.name, f"{event_text(event)} is accepted")
        for new in transition.create:
            if new.row.id not in self.runs:
                self._created(life, new)
        if transition.progress is not None:
            self._progressed(life, transition.progress)
            self._check_restarts(transition.progress)
        for message in transition.messages:
            seen = self.runs.get(message.run)
            if seen is not None and message.id not in self._messages and isinstance(message.body, CancelRequested):
                self.note(life.name, f"{seen.name} is asked to end: {message.body.reason}")
            self._messages.add(message.id)

    def _created(self, life: Life, new: NewRun) -> None:
        row = new.row
        workflow = row.workflow if self._one_app else f"{row.app}/{row.workflow}"
        kind = f"schedule of {workflow}" if row.stored == "schedule" else workflow
        number = self._numbers.get(f"{row.app}/{kind}", 0)
        self._numbers[f"{row.app}/{kind}"] = number + 1
        seen = self.runs[row.id] = Seen(f"{kind}#{number}", row, fence=row.fence, created_at=self.clock.elapsed)
        seen.owner = life if row.owner is not None else None
        self.note(life.name, f"{seen.name} is created")
        self._append(life, seen, new.records)

    def _progressed(self, life: Life, progress: Progress) -> None:
        seen = self.runs[progress.run]
        if progress.records and progress.position == len(seen.records):
            self._check_owner(life, seen, progress)
            seen.strikes = 0
            self._append(life, seen, progress.records)
        elif progress.position > len(seen.records):
            self.broken(f"{seen.name}: records at {progress.position}, but it has {len(seen.records)}")
        if progress.digest is not None and progress.stored != "parked":
            self.broken(f"{seen.name}: {life.name} wrote a digest, and did not park it")
        if progress.reason is not None and progress.stored == "open" and seen.records:
            self.broken(f"{seen.name}: {life.name} gave a reason why it waits, but it has started")
        if progress.fence != seen.fence or progress.position + len(progress.records) != len(seen.records):
            return
        if progress.stored == "parked" and not seen.parked:
            self.note(life.name, f"{seen.name} is parked: {(progress.reason or '').splitlines()[0]}")
        seen.parked = progress.stored == "parked"
        if progress.release or progress.stored in TERMINAL or progress.stored == "parked":
            seen.owner, seen.holding = None, ()

    def _check_restarts(self, progress: Progress) -> None:
        """A run that does nothing but restart keeps its engine at work for ever, and time from passing."""
        end = progress.records[-1] if progress.records else None
        if not isinstance(end, EndCompleted) or end.restarted_as is None:
            return
        before, after = self.runs[progress.run], self.runs.get(end.restarted_as)
        if after is None or after.created_at != before.created_at:
            return
        after.restarts = before.restarts + 1
        if after.restarts > MOST_RESTARTS:
            raise NeverRests(
                f"the simulation does not come to rest: {after.name} comes of {after.restarts} restarts in a row of "
                f"workflow {after.row.workflow!r}, and no time has passed. Let it wait (Sleep, WaitFor) before it "
                "yields Restart, or return."
            )

    def _check_owner(self, life: Life, seen: Seen, progress: Progress) -> None:
        """Only the owner appends, under its fence; to a run without one only a reopening does."""
        if progress.fence != seen.fence:
            self.broken(f"{seen.name}: {life.name} wrote under fence {progress.fence}, while {seen.fence} is in force")
        elif seen.owner is not life and not progress.reopen:
            owner = seen.owner.name if seen.owner is not None else "nobody"
            self.broken(f"{seen.name}: {life.name} wrote, while {owner} owns it")

    def _append(self, life: Life, seen: Seen, records: Iterable[Record]) -> None:
        for record in records:
            self._check_record(seen, record)
            seen.records.append(record)
            self.note(life.name, f"{seen.name} {record_text(record)}")
            if isinstance(record, OUTCOMES):
                seen.settled.add(record.step)
            elif isinstance(record, Retried):
                kept = effective(seen.records)
                seen.settled = {entry.step for _, entry in kept if isinstance(entry, OUTCOMES)}

    def _check_record(self, seen: Seen, record: Record) -> None:
        before = seen.records[-1] if seen.records else None
        if isinstance(record, Started) != (before is None):
            self.broken(f"{seen.name}: {type(record).__name__} at position {len(seen.records)}")
        if before is not None and record.at < before.at:
            self.broken(f"{seen.name}: {type(record).__name__} is {before.at - record.at} µs older than the one before")
        ahead = record.at - self.store_time()
        if ahead > self._far_ahead:
            self.broken(f"{seen.name}: {type(record).__name__} is {ahead} µs ahead of the store")
        if isinstance(before, ENDS) and not isinstance(record, Retried):
            self.broken(f"{seen.name}: {type(record).__name__} after its end")
        if isinstance(record, OUTCOMES) and record.step in seen.settled:
            self.broken(f"{seen.name}: step {record.step!r} has a second outcome")

    # -- claims -----------------------------------------------------------------------------------

    def claimed(
        self, life: Life, claims: Claims, limits: Mapping[tuple[str, str], tuple[int, ...]] | None = None
    ) -> None:
        """The store gave runs to an engine, which has these limits of their slots."""
        for claim in claims.runs:
            seen = self.runs[claim.row.id]
            if claim.row.fence <= seen.fence:
                self.broken(f"{seen.name}: claimed under fence {claim.row.fence}, after {seen.fence}")
            seen.fence, seen.owner, seen.strikes = claim.row.fence, life, claim.row.strikes
            self._count_claim(seen)
            for rare in ("took_over", "codeless", "slotless"):
                if getattr(claim, rare):
                    self.count(rare)
            how = ", taking it over" if claim.took_over else ""
            how += ", without its code" if claim.codeless else ""
            how += ", without a slot" if claim.slotless else ""
            self.note(life.name, f"{seen.name} is claimed{how}")
            seen.holding = () if claim.slotless or claim.codeless else claim.row.slots
            seen.leased_until = claim.row.due_at or 0
            self._check_slots(seen, (limits or {}).get((claim.row.app, claim.row.workflow), ()), claims.now)

    def begun(self, life: Life, claims: Claims) -> None:
        """Some of these runs began in the commit that claimed them."""
        for claim in claims.runs:
            if claim.beginning is not None:
                self.committed(life, claim.beginning.transition)

    def _count_claim(self, seen: Seen) -> None:
        seen.claims = seen.claims + 1 if seen.claimed_at == self.now else 1
        seen.claimed_at = self.now
        if seen.claims > MOST_CLAIMS:
            raise NeverRests(
                f"the simulation does not come to rest: {seen.name} was claimed {seen.claims} times in a row, and no "
                "time has passed. Whoever has it gives it back as one that is due at once."
            )

    def extended(self, leases: Sequence[Lease], extended: Extended, lease: int) -> None:
        """The store extended leases of an engine."""
        for held, mail in zip(leases, extended.mail, strict=True):
            seen = self.runs.get(held.run)
            if seen is not None and mail is not None and seen.fence == held.fence:
                seen.leased_until = extended.now + lease

    def _check_slots(self, seen: Seen, limits: tuple[int, ...], now: int) -> None:
        """I24: a slot is held under live leases by as many runs as its limit at the most. Only claims add holders."""
        live = [other for other in self.runs.values() if other.holding and other.leased_until > now]
        for slot, limit in zip(seen.holding, limits, strict=False):
            holders = [other.name for other in live if other.row.app == seen.row.app and slot in other.holding]
            if len(holders) > limit:
                self.broken(f"slot {slot!r} is held by {', '.join(holders)}; its limit is {limit}")

    def may_fail(self, life: Life | None = None) -> bool:
        """Whether an engine, or any of them, may come to harm without a run of it failing for too many strikes."""
        return all(
            seen.strikes < MANY_STRIKES or seen.owner is None or (life is not None and seen.owner is not life)
            for seen in self.runs.values()
        )

    def run_id(self, workflow_id: str, n: int) -> str:
        """The id of the n-th run of a workflow, as an engine takes it: with its app."""
        rows = [seen.row for seen in self.runs.values() if seen.row.stored != "schedule"]
        runs = [row for row in rows if workflow_id in _workflow_names(row)]
        if not -len(runs) <= n < len(runs):
            raise NotFound(f"there is no run {workflow_id}#{n} yet")
        return f"{runs[n].app}/{runs[n].id}"

    # -- bodies -----------------------------------------------------------------------------------

    def body_begins(self, life: Life, run: str, step: Step, stubbed: bool) -> Execution:
        """A body is about to run: it must not have an outcome yet, and its time must have come."""
        seen = self.runs[run]
        zombie = seen.owner is not life
        self.note(
            life.name, f"{seen.name} {step.id!r} begins, attempt {step.failures + 1}" + (" (zombie)" if zombie else "")
        )
        if step.id in seen.settled:
            self.broken(f"{seen.name}: the body of {step.id!r} begins again after its outcome was recorded")
        now = self.store_time()
        if zombie:
            self.count("zombie")
        if step.retry_at is not None and now < step.retry_at:
            self.broken(f"{seen.name}: attempt {step.failures + 1} of {step.id!r} comes {step.retry_at - now} µs early")
        execution = Execution(
            run, step.id, step.failures + 1, life.name, self._happenings, self.now, zombie=zombie, stubbed=stubbed
        )
        self.executions.append(execution)
        return execution

    def body_ends(self, life: Life, execution: Execution, outcome: Any) -> None:
        """A body came back."""
        self.note(life.name, f"{self.runs[execution.run].name} {execution.step!r} {outcome}")
        execution.ended, execution.ended_at = self._happenings, self.now


def _far_ahead(faults: Faults) -> int:
    """How far ahead of the store an engine's idea of store time may be.

    An engine reads its own clock between two answers of the store. If that runs too fast, or the store's stands still
    because it was set back, the idea is wrong until the next answer.
    """
    return round(faults.clock_drift * _BETWEEN_ANSWERS) + (JUMP if faults.clock_jump else 0)


def _workflow_names(row: RunRow) -> tuple[str, str]:
    return row.workflow, f"{row.app}/{row.workflow}"
