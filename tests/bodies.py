"""Bodies fed by hand: for each verb the record that an owner would have written.

`Fed` holds a live interpreter and the history that it was fed. After every record it replays that history
into a second interpreter and compares all that can be seen from outside: so each test that uses it also
proves, at every prefix of its history, that *live == replayed*.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

import msgspec

from flowgen import App, Context, Event
from flowgen.ends import BodyCancelled, BodyEnd, BodyRaised, BodyRestarted, BodyReturned
from flowgen.events import AcceptedEvent
from flowgen.fibers import CLEANUP_TIMEOUT
from flowgen.history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndCompleted,
    Record,
    Requested,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    Terms,
)
from flowgen.interpreter import Interpreter
from flowgen.outcome import Failure, Json
from flowgen.tree import Step
from flowgen.values import decode, encode, preview
from flowgen.workflow import Workflow

Body = Callable[[Context[Any]], Generator[Any, Any, Any]]

SECOND = 1_000_000
START = 1_800_000_000 * SECOND


def act(*args: Any, **kwargs: Any) -> Any:
    """The function of steps whose body is never called."""
    raise AssertionError("no body runs here")


def workflow_of(body: Body, **options: Any) -> Workflow[Any, Any]:
    """The body as a workflow of an app of its own."""
    made: Workflow[Any, Any] = App("shop").workflow(**options)(body)
    return made


def interpreter_of(body: Body | Workflow[Any, Any], data: Any = None, seed: int = 7, **options: Any) -> Interpreter:
    """A body that has been fed nothing yet."""
    workflow = body if isinstance(body, Workflow) else workflow_of(body, **options)
    event = Event("order/placed", {} if data is None else data)
    return Interpreter(workflow, Context([event], run_id="run-1", workflow_id=workflow.id, seed=seed, clock=START))


def picture(interpreter: Interpreter) -> dict[str, Any]:
    """All that can be seen of an interpreter from outside."""
    return {
        "pending": [
            (s.id, s.name, s.kind, s.digest, bytes(s.arguments), s.failures, s.retry_at, s.terms, s.deadline)
            for s in interpreter.pending.values()
        ],
        "end": interpreter.end,
        "cancelling": interpreter.cancelling,
        "cleaning": dict(interpreter.cleaning),
        "deadline": interpreter.next_deadline(),
        "seen": interpreter.seen(),
        "position": interpreter.position,
        "life": interpreter.life,
        "now": interpreter.context.now,
    }


def fingerprint(step: Step) -> tuple[str, Json]:
    """What a record carries of what was asked."""
    return step.digest, preview(step.arguments)


class Fed:
    """A body, live, and the history that it was fed. Times grow by a second with each record."""

    def __init__(self, body: Body | Workflow[Any, Any], data: Any = None, seed: int = 7, **options: Any) -> None:
        self.workflow = body if isinstance(body, Workflow) else workflow_of(body, **options)
        self.history: list[Record] = []
        self.at = START
        self._data, self._seed = data, seed
        self.interpreter = self.fresh()
        self.feed(Started(self.at, "code-1"))

    def fresh(self) -> Interpreter:
        """Another interpreter of the same run, fed nothing."""
        return interpreter_of(self.workflow, self._data, self._seed)

    # -- feeding ----------------------------------------------------------------------------------

    def feed(self, record: Record) -> Fed:
        self.interpreter.feed(record)
        self.history.append(record)
        self.at += SECOND
        replayed = self.fresh()
        replayed.replay(self.history)
        assert self.look(replayed) == self.look(self.interpreter)
        replayed.close()
        return self

    def ok(self, step_id: str, value: Any = None, position: int | None = None) -> Fed:
        """The step succeeded with this value."""
        step = self.step(step_id)
        data = value if isinstance(value, Json) else encode(value, "a value")
        asked = fingerprint(step) if step.kind == "run" else ()
        return self.feed(StepSucceeded(self.at, step_id, data, step.kind, *asked, position=position))

    def fail(self, step_id: str, kind: str = "ValueError", message: str = "no", attempts: int = 1) -> Fed:
        """The step failed for good."""
        step = self.step(step_id)
        asked = fingerprint(step) if step.kind == "run" else ()
        return self.feed(StepFailed(self.at, step_id, Failure(kind, message), attempts, step.kind, *asked))

    def try_failed(self, step_id: str, retry_at: int) -> Fed:
        """One attempt of the step failed."""
        step = self.step(step_id)
        return self.feed(
            AttemptFailed(self.at, step_id, step.failures + 1, Failure("OSError", "down"), retry_at, *fingerprint(step))
        )

    def request(self, step_id: str, terms: Terms | None = None) -> Fed:
        """The step's request is recorded; without terms, a sleep of a minute."""
        step = self.step(step_id)
        return self.feed(
            Requested(self.at, step_id, step.kind, step.digest, terms or SleepTerms(self.at + 60 * SECOND))
        )

    def cancel(self, reason: str = "stop") -> Fed:
        return self.feed(CancelAccepted(self.at, reason, self.at + CLEANUP_TIMEOUT))

    def expire(self, scope: str = "") -> Fed:
        return self.feed(CleanupExpired(self.at, scope))

    def complete(self) -> Fed:
        return self.feed(EndCompleted(self.at, Json(b"null")))

    # -- looking ----------------------------------------------------------------------------------

    def look(self, interpreter: Interpreter) -> dict[str, Any]:
        """What is compared of the live interpreter and the replayed one."""
        return picture(interpreter)

    def step(self, step_id: str) -> Step:
        assert step_id in self.interpreter.pending, f"{step_id!r} is not among {self.asked}"
        return self.interpreter.pending[step_id]

    @property
    def asked(self) -> list[str]:
        """The ids of the open steps, in the order of their requests."""
        return list(self.interpreter.pending)

    @property
    def end(self) -> BodyEnd | None:
        return self.interpreter.end

    @property
    def returned(self) -> Any:
        assert isinstance(self.end, BodyReturned), self.end
        return decode(self.end.data)

    @property
    def raised(self) -> Failure:
        assert isinstance(self.end, BodyRaised), self.end
        return self.end.failure

    @property
    def cancelled(self) -> str:
        assert isinstance(self.end, BodyCancelled), self.end
        return self.end.reason

    @property
    def restarted(self) -> Any:
        assert isinstance(self.end, BodyRestarted), self.end
        return decode(self.end.data)

    def dropped(self) -> list[str]:
        """The ids of the steps given up since the last call."""
        return [step.id for step in self.interpreter.take_abandoned()]

    def taken(self) -> list[str]:
        """The ids of the steps requested since the last call."""
        return [step.id for step in self.interpreter.take_fresh()]


def replay(body: Body | Workflow[Any, Any], history: Sequence[Record], **options: Any) -> Interpreter:
    """Another body on a given history."""
    interpreter = interpreter_of(body, **options)
    interpreter.replay(history)
    return interpreter


def occurrence(data: str, position: int = 5) -> Json:
    """What a matched wait records."""
    event = AcceptedEvent("01H", "order/approved", Json(data.encode()), START, START, position=position)
    return Json(msgspec.json.encode(event))
