"""An owner without a runtime: one run, and as much of a world as its drafts can touch, as plain values.

`Owner.decide(*inputs)` does what a drive does between two waits: a draft, the answers to its questions, one
transition, its commit. After every commit it proves

* the history is well formed: dense in time, each outcome has its one request, attempts are numbered without
  gaps, one terminal record, and it is the last (I6 to I8);
* replaying the committed history gives the state that the live interpreter has;
* what the run holds in the world (waits, signal keys, children) is what its open steps hold, and nothing
  else: whatever is given up leaves nothing behind.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import attrs
import msgspec

from flowgen import Context
from flowgen.draft import Draft
from flowgen.events import AcceptedEvent, restore
from flowgen.facts import Facts, Questions
from flowgen.history import (
    ENDS,
    OUTCOMES,
    AttemptFailed,
    CleanupExpired,
    InvokeTerms,
    Record,
    Requested,
    Retried,
    SignalTerms,
    Started,
    WaitTerms,
    effective,
)
from flowgen.interpreter import Interpreter
from flowgen.outcome import NULL, Failure, Json, Raised, Returned
from flowgen.owned import BodyEnded, Decision, EventFound, Input, LookedBack, Owned, TimePassed
from flowgen.routing import Route, RouteTable
from flowgen.runs import Body as MessageBody
from flowgen.runs import (
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    Mail,
    Message,
    Parent,
    RunRow,
    SignalArrived,
)
from flowgen.signals import decode_waiter
from flowgen.transition import Key, NewRun, Transition, Wait
from flowgen.values import encode
from flowgen.workflow import Definition, Workflow
from tests.bodies import SECOND, START, Body, picture, workflow_of

CHILD = Route("shop", Definition("child"))
RUN = "01KE00000000000000000000R1"


class Refusal(Exception):
    """The world refuses a transition, as a store would."""


@attrs.define(eq=False)
class World:
    """What a store would keep beside the run's history."""

    keys: dict[str, Key] = attrs.Factory(dict)
    waits: dict[str, Wait] = attrs.Factory(dict)
    children: dict[str, NewRun] = attrs.Factory(dict)
    created: dict[str, NewRun] = attrs.Factory(dict)
    accepted: list[AcceptedEvent] = attrs.Factory(list)
    messages: list[Message] = attrs.Factory(list)
    position: int = 100

    def apply(self, transition: Transition) -> None:
        """All of it, or a `Refusal`."""
        for take in transition.take:
            held = self.keys.get(take.name)
            if (0 if held is None else held.version) != take.version:
                raise Refusal(f"key {take.name} was seen with version {take.version}, and is {held}")
        for drop in transition.drop:
            held = self.keys.get(drop.name)
            if held is not None and held.holder == drop.holder and drop.version not in (None, held.version):
                raise Refusal(f"key {drop.name} was seen with version {drop.version}, and is {held}")
        names = [take.name for take in transition.take]
        assert len(set(names)) == len(names), f"a key is taken twice: {names}"
        for take in transition.take:
            self.keys[take.name] = Key(take.name, take.holder, take.detail, take.expires_at, take.version + 1)
        for drop in transition.drop:
            held = self.keys.get(drop.name)
            if held is not None and held.holder == drop.holder:
                del self.keys[drop.name]
        for wait in transition.open_waits:
            assert wait.id not in self.waits, wait
            self.waits[wait.id] = wait
        for wait_id in transition.close_waits:
            self.waits.pop(wait_id, None)
        for new in transition.create:
            assert new.row.id not in self.created, new.row.id
            self.created[new.row.id] = new
            if new.row.parent is not None and new.row.parent.child == new.row.id:
                self.children[new.row.id] = new
        for event in transition.accept:
            self.position += 1
            self.accepted.append(attrs.evolve(event, position=self.position))
        for message in transition.messages:
            self.messages.append(message)
            if isinstance(message.body, CancelRequested):
                self.children.pop(message.run, None)


class Owner:
    """A run in hand. `at` is store time; each decision is a second after the last, unless it is told a time."""

    def __init__(
        self,
        body: Body | Workflow[Any, Any],
        data: dict[str, Any] | None = None,
        *,
        parent: Parent | None = None,
        since: tuple[tuple[str, int], ...] = (),
        begin: bool = True,
        world: World | None = None,
        run: str = RUN,
        **options: Any,
    ) -> None:
        self.workflow = body if isinstance(body, Workflow) else workflow_of(body, **options)
        self.world = world or World()
        self.at = START
        self.history: list[Record] = []
        self.transitions: list[Transition] = []
        self.executing: dict[str, int] = {}
        self.mail: list[Mail] = []
        self.ended = False
        self.rebuilt = False
        self.row = RunRow("shop", run, self.workflow.id, START, 7, owner="w", fence=1, parent=parent, since=since)
        given = Json(encode(data or {}, "data"))
        self.events = (AcceptedEvent(RUN, "order/placed", given, START, START, position=100),)
        self.table = RouteTable([CHILD])
        self.owned, self.resumed = self.load(), True
        self._mail_count = 0
        if begin:
            self.decide()

    def load(self) -> Owned:
        """The run as an owner gets it: replayed from the committed history."""
        context = Context([restore(e) for e in self.events], run_id=self.row.id, workflow_id=self.workflow.id, seed=7)
        interpreter = Interpreter(self.workflow, context)
        interpreter.inherit(self.row.since)
        interpreter.replay(self.history)
        last = self.history[-1].at if self.history else START
        return Owned(self.row, self.events, interpreter, len(self.history), last, self.row.drained)

    def reload(self) -> None:
        """Lose everything but what was committed: bodies that run, the live generator."""
        self.owned.interpreter.close()
        self.executing.clear()
        self.owned, self.resumed = self.load(), True

    def deploy(self, body: Body | Workflow[Any, Any], **options: Any) -> None:
        """Other code for the same workflow; the run is taken up with it."""
        self.workflow = body if isinstance(body, Workflow) else workflow_of(body, id=self.workflow.id, **options)
        self.reload()

    # -- deciding ---------------------------------------------------------------------------------

    def decide(self, *inputs: Input, at: int | None = None, refuse: bool = False) -> Decision:
        """One transition for these inputs; with `refuse`, it is refused first and decided again."""
        self.at = self.at + SECOND if at is None else max(at, self.at)
        try:
            decision = self._decide(inputs, refuse)
        except Refusal:
            self.owned.interpreter.close()
            self.owned, self.resumed, self.rebuilt = self.load(), True, True
            decision = self._decide(inputs, False)
        self._act(decision, inputs)
        self.check()
        return decision

    def _decide(self, inputs: tuple[Input, ...], refuse: bool) -> Decision:
        facts = Facts(self.table)
        draft = Draft(self.owned, facts, self.at)
        if not self.history:
            draft.begin("code-1")
        elif self.resumed:
            draft.resume()
        for item in inputs:
            draft.take(item)
        rounds = 0
        while draft.blocked and (questions := draft.missing()) is not None:
            self._answer(questions, facts)
            rounds += 1
            assert rounds < 1_000, questions
        decision = draft.finish([step for step in self.executing if step not in _ended(inputs)])
        if refuse:
            raise Refusal("planted")
        if decision.transition is not None:
            self._commit(decision.transition)
            draft.committed()
        self.resumed = False
        return decision

    def _answer(self, questions: Questions, facts: Facts) -> None:
        assert questions
        for app, name in questions.keys:
            facts.keys[app, name] = self.world.keys.get(name)
        for event in questions.started:
            facts.started[event] = False
        for before in questions.positions:
            facts.positions[before] = self.world.position if before is None else 50
        for app, run in questions.successors:
            facts.successors[app, run] = run if run in self.world.children else None

    def _commit(self, transition: Transition) -> None:
        progress = transition.progress
        assert progress is not None
        assert progress.position == len(self.history)
        assert progress.drained >= self.row.drained
        self.world.apply(transition)
        self.history.extend(progress.records)
        self.transitions.append(transition)
        self.row.length, self.row.drained = len(self.history), progress.drained
        self.ended = progress.stored != "open"

    def _act(self, decision: Decision, inputs: tuple[Input, ...]) -> None:
        for step_id in _ended(inputs):
            self.executing.pop(step_id, None)
        for step in decision.abandoned:
            self.executing.pop(step.id, None)
        for step in decision.execute:
            assert self.rebuilt or step.id not in self.executing, f"{step.id} is executed twice at once"
            self.executing[step.id] = step.failures + 1
        self.rebuilt = False
        assert not (decision.released and self.executing and not decision.ended)

    # -- what may come ----------------------------------------------------------------------------

    def ok(self, step: str, value: Any = None) -> Decision:
        """The body of a step returned."""
        return self.decide(BodyEnded(step, Returned(encode(value, "a value"))))

    def fail(self, step: str, kind: str = "ValueError", retriable: bool = True) -> Decision:
        """The body of a step raised."""
        return self.decide(BodyEnded(step, Raised(Failure(kind, "no"), retriable)))

    def letter(self, body: MessageBody) -> Mail:
        """A message to this run, as it is drained."""
        self._mail_count += 1
        return Mail(self._mail_count, Message(f"m{self._mail_count}", "shop", self.row.id, body))

    def cancel(self, reason: str = "stop") -> Decision:
        return self.decide(self.letter(CancelRequested(reason)))

    def pass_time(self, until: int | None = None) -> Decision:
        """Time passes up to the next deadline, or up to `until`."""
        due = self.owned.interpreter.next_deadline() if until is None else until
        assert due is not None, "nothing is due by itself"
        return self.decide(TimePassed(), at=due)

    def event(self, step: str, data: str = "{}", position: int = 200) -> EventFound:
        """An event found for an open wait."""
        terms = self.step(step).terms
        assert isinstance(terms, WaitTerms)
        found = AcceptedEvent(f"e{position}", terms.event, Json(data.encode()), self.at, self.at, position=position)
        return EventFound(step, found)

    def looked(self, step: str, to: int = 150) -> LookedBack:
        return LookedBack(step, to)

    def signal(self, step: str, data: Any = None) -> Mail:
        """The signal of an open step arrives: its key is marked, and it is in the mailbox."""
        terms = self.step(step).terms
        assert isinstance(terms, SignalTerms)
        held = self.world.keys[f"signal/{terms.signal}"]
        assert held.holder == terms.wait
        detail = msgspec.json.encode(attrs.evolve(decode_waiter(held), delivered=True)).decode()
        self.world.keys[held.name] = attrs.evolve(held, detail=detail, version=held.version + 1)
        return self.letter(SignalArrived(terms.wait, step, encode(data, "data")))

    def child(self, step: str, result: Any = None, failure: Failure | None = None) -> Mail:
        """The child of an open step ended."""
        terms = self.step(step).terms
        assert isinstance(terms, InvokeTerms)
        self.world.children.pop(terms.child, None)
        if failure is not None:
            return self.letter(ChildFailed(terms.child, step, failure))
        return self.letter(ChildCompleted(terms.child, step, encode(result, "a result")))

    # -- looking ----------------------------------------------------------------------------------

    def step(self, step: str) -> Any:
        return self.owned.interpreter.pending[step]

    @property
    def open(self) -> list[str]:
        return list(self.owned.interpreter.pending)

    @property
    def last(self) -> Transition:
        return self.transitions[-1]

    @property
    def end(self) -> Record:
        assert self.ended
        return self.history[-1]

    def written(self) -> list[str]:
        """The history in short: `Requested a`, `StepSucceeded a`, …"""
        return [f"{type(r).__name__} {getattr(r, 'step', None) or ''}".strip() for r in self.history]

    # -- what must hold ---------------------------------------------------------------------------

    def check(self) -> None:
        """All that the module's text promises. Additive code may hold what it does not ask for until it ends."""
        check_history(self.history)
        replayed = self.load()
        live, again = picture(self.owned.interpreter), picture(replayed.interpreter)
        del live["deadline"], again["deadline"]  # the live one does not tell what it has told already
        assert again == live
        replayed.interpreter.close()
        if self.ended or self.workflow.changes == "strict":
            self._check_holdings()

    def _check_holdings(self) -> None:
        pending = self.owned.interpreter.pending.values()
        terms = [step.terms for step in pending]
        assert all(step.terms is not None for step in pending if step.kind != "run"), "a step waits without a request"
        waits = {t.wait for t in terms if isinstance(t, WaitTerms)}
        assert {w.id for w in self.world.waits.values() if w.run == self.row.id} == waits
        signals = {t.wait for t in terms if isinstance(t, SignalTerms)}
        held = {
            key.holder
            for name, key in self.world.keys.items()
            if name.startswith("signal/") and decode_waiter(key).run == self.row.id
        }
        assert held <= signals, f"keys of waits that are not open: {held - signals}"
        children = {t.child for t in terms if isinstance(t, InvokeTerms)}
        mine = {run for run, new in self.world.children.items() if new.row.parent.run == self.row.id}  # type: ignore[union-attr]
        assert mine == children
        assert set(self.executing) <= {step.id for step in pending if step.kind == "run"}


def _ended(inputs: tuple[Input, ...]) -> set[str]:
    return {item.step for item in inputs if isinstance(item, BodyEnded)}


def check_history(history: list[Record]) -> None:
    """I6 to I8, for a history without doubt about what is in it."""
    if not history:
        return
    assert isinstance(history[0], Started)
    assert all(a.at <= b.at for a, b in pairwise(history)), "time went back"
    for record, following in pairwise(history):
        assert not isinstance(record, ENDS) or isinstance(following, Retried), "a record after the terminal one"
        assert isinstance(record, ENDS) or not isinstance(following, Retried), "retried before its end"
    requested: set[str] = set()
    settled: set[str] = set()
    attempts: dict[str, int] = {}
    for _, record in effective(history):
        match record:
            case Started() if record is not history[0]:
                raise AssertionError("a second start")
            case Requested(step=step):
                assert step not in requested | settled, f"{step} is requested twice"
                assert step not in attempts
                requested.add(step)
            case AttemptFailed(step=step, attempt=attempt):
                assert step not in requested | settled
                assert attempt == attempts.get(step, 0) + 1, f"attempt {attempt} of {step}"
                attempts[step] = attempt
            case _ if isinstance(record, OUTCOMES):
                assert record.step not in settled, f"{record.step} has two outcomes"
                assert (record.step in requested) == (record.kind != "run"), f"{record.step} {record.kind}"
                settled.add(record.step)
            case CleanupExpired(scope=scope):
                assert scope is not None


__all__ = ["CHILD", "NULL", "Owner", "Refusal", "World", "check_history"]
