"""The pen of one draft: it writes records and feeds them, and keeps what the transition will hold.

Whatever is recorded is fed to the live interpreter at once. What the interpreter gives up by that lets
go of what it holds in the store, in the same transition: waits are closed, keys dropped, children
cancelled.
"""

from __future__ import annotations

from .admission import Gate
from .effects import Effects, given_up
from .errors import UndecodableError
from .facts import Facts
from .flow_control import Policies
from .history import (
    InvokeTerms,
    Record,
    Requested,
    SignalTerms,
    StepFailed,
    StepSucceeded,
    Terms,
    WaitTerms,
)
from .outcome import Failure, Json, failure_of
from .owned import Owned
from .signals import signal_key
from .transition import DropKey, Key, TakeKey
from .tree import Step
from .values import preview


class Pen:
    """Writes for one owner at one time: `at`, microseconds, never below the newest record's.

    `records` are what it wrote, `execute` the steps whose bodies may start after the commit, `abandoned`
    those that were given up, and `effects` what changes beside the history (None: nothing).
    """

    def __init__(self, owned: Owned, facts: Facts, now: int) -> None:
        self.owned = owned
        self.interpreter = owned.interpreter
        self.facts = facts
        self.at = now if now > owned.last_at else owned.last_at
        self.records: list[Record] = []
        self.execute: list[Step] = []
        self.abandoned: list[Step] = []
        self.effects: Effects | None = None

    @property
    def effect(self) -> Effects:
        """The effects, made when there is a first one."""
        if self.effects is None:
            self.effects = Effects()
        return self.effects

    def record(self, record: Record) -> None:
        self.interpreter.feed(record)
        self.records.append(record)
        if self.interpreter.abandoned:
            self.give_up(self.interpreter.take_abandoned())

    def succeed(self, step: Step, value: Json, position: int | None = None) -> None:
        """Record a step's value. One that does not fit its annotation is the step's failure."""
        try:
            if step.kind == "run":
                self.record(StepSucceeded(self.at, step.id, value, "run", step.digest, preview(step.arguments)))
            else:
                self.record(StepSucceeded(self.at, step.id, value, step.kind, position=position))
        except UndecodableError as error:
            failure, attempts = failure_of(error), step.failures + 1
            self.record(StepFailed(self.at, step.id, failure, attempts, step.kind, step.digest, position=position))
        if isinstance(step.terms, WaitTerms):
            self._close_wait(step.id, step.terms)

    def fail(self, step: Step, failure: Failure) -> None:
        self.record(StepFailed(self.at, step.id, failure, 1, step.kind, step.digest))
        if isinstance(step.terms, WaitTerms):
            self._close_wait(step.id, step.terms)

    def _close_wait(self, step_id: str, terms: WaitTerms) -> None:
        self.owned.unlooked.pop(step_id, None)
        self.owned.looked.pop(step_id, None)
        self.effect.close_waits.append(terms.wait)

    def give_up(self, steps: list[Step]) -> None:
        """What abandoned steps hold in the store is let go of in the same commit."""
        self.abandoned.extend(steps)
        for step in steps:
            self.let_go(step.id, step.terms)
        gone = {step.id for step in steps}
        self.execute = [step for step in self.execute if step.id not in gone]

    def let_go(self, step_id: str, terms: Terms | None) -> None:
        """Close the wait, drop the key or cancel the child that a step held."""
        match terms:
            case WaitTerms():
                self._close_wait(step_id, terms)
            case SignalTerms():
                self._drop_signal(terms)
            case InvokeTerms():
                self._cancel_child(terms)

    def let_go_of_leftovers(self) -> None:
        """A body that ended holds nothing, what additive code never asked for again included."""
        for request in self.interpreter.take_leftovers():
            self.let_go(request.step, request.terms)

    def request(self, step: Step, terms: Terms) -> None:
        """Open a step that waits for the world, on absolute terms."""
        self.record(Requested(self.at, step.id, step.kind, step.digest, terms, preview(step.arguments)))

    def take_key(self, take: TakeKey) -> None:
        """Take a key in this transition; from now on it is known to be held so."""
        self.effect.take_key(take)
        known = Key(take.name, take.holder, take.detail, take.expires_at, take.version + 1)
        self.facts.keys[take.app, take.name] = known

    def let_in(self, gate: Gate) -> None:
        """What flow control made of new runs belongs into this transition; the next gate starts from there."""
        effect = self.effect
        effect.create += gate.create
        effect.messages += gate.messages
        effect.open_waits += gate.open_waits
        for take in gate.take.values():
            self.take_key(take)
        for place, cell in gate.cells.items():
            effect.write_cell(cell)
            self.facts.cells[place] = cell

    def _drop_signal(self, terms: SignalTerms) -> None:
        self.effect.drop.append(DropKey(self.owned.row.app, signal_key(terms.signal), terms.wait))

    def _cancel_child(self, terms: InvokeTerms) -> None:
        """Tell the child. One that this very transition would create is not created.

        Except if it has flow control: then it may hold keys, and others may have had to make room for it.
        """
        if terms.on_cancel != "cancel":
            return
        effect = self.effect
        others = [new for new in effect.create if new.row.id != terms.child]
        route = self.facts.table.find(terms.app, terms.workflow)
        if len(others) == len(effect.create):
            effect.cancels.append((terms.app, terms.child))
        elif route is not None and route.definition.policies != Policies():
            effect.messages.append(given_up(self.owned.row, terms.app, terms.child, terms.child))
        else:
            effect.create = others
