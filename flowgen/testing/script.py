"""`play`: a workflow's body alone, step by step, with every outcome given by the test.

No engine, no store, nothing is executed: the body says what it wants, the test expects that and says
what comes of it. What it is given goes through JSON, as it would in earnest, so it comes back as the
step's annotation says; time is virtual and moves with the sleeps and time-outs that are replied to.

Rules
-----
* `expect` picks among the steps that are open now, in any order: the branches of an `All` or a `Race`
  are open side by side.
* A retry is the engine's affair: `fail` means that the last attempt failed, `fail_attempt` that there is another.
* Whatever is not as expected is an `AssertionError` with the transcript so far, what was expected and
  what is open.

Refuses to know: who executes steps, and how anything is stored.
"""

from __future__ import annotations

from datetime import datetime
from operator import methodcaller
from typing import Any

from ..commands.base import shown
from ..context import Context
from ..duration import moment
from ..ends import BodyCancelled, BodyRaised, BodyRestarted, BodyReturned
from ..errors import InvalidInput, UndecodableError
from ..events import restore
from ..fibers import CLEANUP_TIMEOUT
from ..history import CancelAccepted, Record, Requested, Started
from ..interpreter import Interpreter
from ..outcome import Failure
from ..tree import Step
from ..values import decode, decoder, preview
from ..workflow import Workflow
from .clock import START
from .events import trigger_event
from .expectations import Expected, check_expected, mismatch
from .replies import Reply, request_terms
from .words import raised_at

__tracebackhide__ = methodcaller("errisinstance", AssertionError)
"""A test that fails shows its own line, not these."""


def play(workflow: Workflow[Any, Any], data: Any = None, *, seed: int = 0) -> Script:
    """Start `workflow` on an event with this data, and give the script that says how it goes on.

    `data` is what a trigger of the workflow would bring: a dict, an instance of an event class, or an
    `Event`; for a workflow of many events (`batch=`), a list of them. `seed` is that of `ctx.random` and
    `ctx.uuid()`.

    ::

        script = play(fulfil, {"order_id": "7"})
        script.expect(Run("load order", load_order, "7")).reply({"id": "7", "total": 20})
        script.expect(Sleep).reply()
        script.expect(WaitFor).time_out()
        assert script.returned == "nobody approved"
    """
    if not isinstance(workflow, Workflow):
        raise TypeError(f"play({shown(workflow)}): it takes a workflow, a function decorated with @app.workflow")
    return Script(workflow, data, seed)


class Script:
    """A workflow that is being played. Made by `play`; its text is the transcript so far.

    `history` holds the records that a store would: `assert_replays` takes them.
    """

    def __init__(self, workflow: Workflow[Any, Any], data: Any, seed: int) -> None:
        self.workflow = workflow
        self.history: list[Record] = []
        self.time = START
        events = [trigger_event(workflow, each, START) for each in (data if isinstance(data, list) else [data])]
        if not events:
            raise InvalidInput(f"play({workflow!r}, []): a run has at least one event")
        self.event = events[-1]
        self._picked: set[str] = set()
        on = ", ".join(f"{event.name} {bytes(event.data).decode()}" for event in events)
        self._lines = [f"{workflow.app}/{workflow.id} on {on}"]
        context = Context(
            [restore(event, workflow.class_of(event.name)) for event in events],
            run_id="test-run",
            workflow_id=workflow.id,
            seed=seed,
            clock=START,
        )
        self._interpreter = Interpreter(workflow, context)
        self.feed(Started(START, ""))

    # -- what the test says -----------------------------------------------------------------------

    def expect(self, expected: Expected) -> Reply:
        """Expect that the body has asked for this and waits for it: a command, or the class of one.

        Of several that match, the one that was asked for first. Raises `AssertionError` if there is none.
        """
        check_expected(expected)
        reasons = []
        for step in self._interpreter.pending.values():
            if step.id in self._picked:
                reasons.append("it is expected already, and waits for its reply")
            elif (reason := mismatch(expected, step)) is None:
                self._picked.add(step.id)
                return Reply(self, step)
            else:
                reasons.append(reason)
        wanted = f"any {expected.__name__}" if isinstance(expected, type) else repr(expected)
        raise self.failure(f"expected {wanted}", reasons)

    def cancel(self, reason: str = "cancelled by request") -> Script:
        """Cancel the run: `RunCancelled` is thrown into the body, which may ask for clean-up steps."""
        self.check_open("cancel")
        self._lines.append(f"cancelled: {reason}")
        self.feed(CancelAccepted(self.time, reason, self.time + CLEANUP_TIMEOUT))
        return self

    # -- what came of it --------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """Virtual time."""
        return moment(self.time)

    @property
    def waiting(self) -> tuple[Any, ...]:
        """The commands that are open now, in the order in which they were asked for."""
        return tuple(step.command for step in self._interpreter.pending.values())

    @property
    def returned(self) -> Any:
        """What the body returned, as its annotation says."""
        match self._interpreter.end:
            case BodyReturned(data):
                returns = self.workflow.returns
                return decode(data) if returns is None else decoder(returns)(data)
        raise self.failure("expected that it returned")

    @property
    def raised(self) -> Failure:
        """The failure that the body raised: `type`, `message`, `trace`, `cause`."""
        match self._interpreter.end:
            case BodyRaised(failure):
                return failure
        raise self.failure("expected that it raised")

    @property
    def cancelled(self) -> str:
        """The reason for which the run ended cancelled."""
        match self._interpreter.end:
            case BodyCancelled(reason):
                return reason
        raise self.failure("expected that it ended cancelled")

    @property
    def restarted(self) -> Any:
        """The data that the body restarted with."""
        match self._interpreter.end:
            case BodyRestarted(data):
                return decode(data)
        raise self.failure("expected that it restarted")

    def __str__(self) -> str:
        return "\n".join([*self._lines, self._standing()])

    # -- for its replies --------------------------------------------------------------------------

    def feed(self, record: Record) -> None:
        """Move the body past a record, and request what it then asks for."""
        interpreter = self._interpreter
        interpreter.feed(record)
        self.history.append(record)
        for step in interpreter.take_abandoned():
            self._lines.append(f"  given up: {step_text(step)}")
        while fresh := interpreter.take_fresh():
            for step in fresh:
                if step.id in interpreter.pending and step.kind != "run":
                    terms = request_terms(step, self.event, self.time)
                    self.feed(Requested(self.time, step.id, step.kind, step.digest, terms, preview(step.arguments)))

    def settle(self, step: Step, record: Record, outcome: str, at: int | None = None) -> Script:
        """Give a step its outcome. `at` is when, if time has to pass for it."""
        self.check_pending(step)
        self._pass_time(step, max(at or self.time, step.retry_at or 0))
        record.at = self.time
        try:
            self._lines.append(f"{step_text(step)} → {outcome}")
            self.feed(record)
        except UndecodableError as error:
            self._lines.pop()
            raise self.failure(f"the reply {outcome} does not fit step {step.id!r}: {error}") from None
        return self

    def check_pending(self, step: Step) -> None:
        """Refuse a second outcome, and one that comes too late."""
        if self._interpreter.pending.get(step.id) is not step:
            raise self.failure(f"step {step.id!r} is not open any more: it has its outcome, or was given up")

    def _pass_time(self, step: Step, until: int) -> None:
        """Let time pass for a step; nothing else may be due before that."""
        for other in self._interpreter.pending.values():
            if other is not step and other.deadline is not None and other.deadline < until:
                raise self.failure(f"{step_text(step)} is due only after {step_text(other)}: reply to that one first")
        self.time = max(self.time, until)

    def check_open(self, what: str) -> None:
        """Refuse to go on after the end."""
        if self._interpreter.end is not None:
            raise self.failure(f"{what}: the run has ended")

    def failure(self, message: str, reasons: list[str] | None = None) -> AssertionError:
        """What fails the test, with the transcript."""
        standing = [self._standing()]
        if isinstance(end := self._interpreter.end, BodyRaised):
            standing += raised_at(end.failure)
        if reasons:
            steps = list(self._interpreter.pending.values())
            standing = ["it waits for:"]
            standing += [f"  {step_text(step)}: {reason}" for step, reason in zip(steps, reasons, strict=True)]
        return AssertionError("\n".join([message, *(f"  {line}" for line in [*self._lines, *standing])]))

    def _standing(self) -> str:
        match self._interpreter.end:
            case BodyReturned(data):
                return f"it returned {bytes(data).decode()}"
            case BodyRaised(failure):
                return f"it raised {failure}"
            case BodyRestarted(data):
                return f"it restarted with {bytes(data).decode()}"
            case BodyCancelled(reason):
                return f"it ended cancelled: {reason}"
        return "it waits for: " + ", ".join(map(step_text, self._interpreter.pending.values()))


def step_text(step: Step) -> str:
    """A step as the transcript shows it: its command, and its place if that is more than its name."""
    place = "" if step.id == step.name else f"  [{step.id}]"
    return f"{shown(step.command, 200)}{place}"
