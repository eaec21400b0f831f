"""`Reply`: what the test lets come of a step, as the record that a store would hold of it."""

from __future__ import annotations

from operator import methodcaller
from typing import TYPE_CHECKING, Any

import msgspec

from ..commands import Invoke, Run, SendEvent, SendSignal, Sleep, SleepUntil, WaitFor, WaitForSignal
from ..commands.base import shown
from ..duration import format_duration
from ..errors import NonRetriableError, RetryAfterError, UnserializableError
from ..events import AcceptedEvent, Event, accept_event, as_event, event_document, is_event_class
from ..expression import match_key_at
from ..history import (
    AttemptFailed,
    InvokeTerms,
    Record,
    SendSignalTerms,
    SendTerms,
    SignalTerms,
    SleepTerms,
    StepFailed,
    StepSucceeded,
    Terms,
    WaitTerms,
)
from ..outcome import NULL, Failure, Json, failure_of
from ..retry import retry_after_micros
from ..tree import Step
from ..values import encode, preview
from ..waits import matches, where_expression

if TYPE_CHECKING:
    from .script import Script

__tracebackhide__ = methodcaller("errisinstance", AssertionError)
"""A test that fails shows its own line, not these."""

_UNSET: Any = object()
_NO_JITTER = 0.5


class Reply:
    """An expected step that waits for its outcome: `reply`, `fail`, `event` or `time_out`.

    Each gives the script back. Before that, attempts of a `Run` may fail and be made again: `fail_attempt`.
    """

    def __init__(self, script: Script, step: Step) -> None:
        self._script = script
        self._step = step

    @property
    def command(self) -> Any:
        """The command that was expected, as the body made it."""
        return self._step.command

    def reply(self, value: Any = _UNSET) -> Script:
        """The step succeeds: with this value, which has to fit its annotation.

        A sleep is over, and a `SendEvent` or `SendSignal` done, without a value.
        """
        match self._step.command:
            case Sleep() | SleepUntil():
                self._no_value(value)
                return self._succeed(NULL, "slept", self._step.deadline)
            case SendSignal():
                self._no_value(value)
                return self._succeed(NULL, "sent")
            case SendEvent():
                ids = list(_sent(self._step)) if value is _UNSET else value
                return self._succeed(self._encoded(ids))
            case WaitFor():
                raise self._script.failure(
                    f"step {self._step.id!r} waits for an event: use .event(Event(…)) or .time_out()"
                )
        return self._succeed(self._encoded(None if value is _UNSET else value))

    def fail(self, error: BaseException | type[BaseException]) -> Script:
        """The step fails for good with this error: `StepError` is raised at the yield."""
        step, command = self._step, self._step.command
        if not isinstance(command, (Run, Invoke, SendSignal, SendEvent, WaitForSignal)):
            raise self._script.failure(f"step {step.id!r} cannot fail: it is a {type(command).__name__}")
        raised = error() if isinstance(error, type) else error
        attempts = 1
        if isinstance(command, Run) and not isinstance(raised, NonRetriableError):
            attempts = max(step.failures + 1, self._retries(command) + 1)
        elif isinstance(command, Run):
            attempts = step.failures + 1
        return self._fail(failure_of(raised), attempts)

    def fail_attempt(self, error: BaseException | type[BaseException]) -> Reply:
        """One attempt of a `Run` fails with this error, and there will be another one; gives this reply back.

        The body hears nothing of it. Time will have passed until then, as the backoff says (without its jitter).
        """
        step, script, command = self._step, self._script, self._step.command
        if not isinstance(command, Run):
            raise script.failure(f"step {step.id!r} has no attempts: it is a {type(command).__name__}")
        raised = error() if isinstance(error, type) else error
        attempt, last = step.failures + 1, self._retries(command) + 1
        if attempt >= last or isinstance(raised, NonRetriableError):
            why = (
                f"attempt {attempt} of {last} is the last one" if attempt >= last else f"{shown(raised)} is not retried"
            )
            raise script.failure(f"step {step.id!r} is not tried again: {why}; use .fail(…)")
        at = max(script.time, step.retry_at or 0)
        backoff = command.backoff or script.workflow.backoff
        delay = backoff.delay(attempt, _NO_JITTER)
        if isinstance(raised, RetryAfterError):
            delay = retry_after_micros(raised, at)
        failure = failure_of(raised)
        record = AttemptFailed(at, step.id, attempt, failure, at + delay, step.digest, preview(step.arguments))
        script.settle(step, record, f"attempt {attempt} failed: {failure}; again in {format_duration(delay)}")
        return self

    def event(self, event: Any) -> Script:
        """The event arrives that the step waits for: an `Event`, an instance of its class, or its data."""
        step, script = self._step, self._script
        terms = step.terms
        if not isinstance(terms, WaitTerms):
            raise script.failure(
                f"step {step.id!r} waits for no event: it is a {type(step.command).__name__}; use .reply(…)"
            )
        given: Event[Any] = (
            as_event(event) if isinstance(event, Event) or is_event_class(type(event)) else Event(terms.event, event)
        )
        position = len(script.history)
        accepted = accept_event(given, f"test-event-{position}", script.time)
        self._check_match(terms, accepted)
        return self._succeed(Json(msgspec.json.encode(accepted)), bytes(accepted.data).decode(), position=position)

    def time_out(self) -> Script:
        """The step's timeout passes: a wait gives None, the last attempt of a `Run`, and an `Invoke`, fail."""
        step, command = self._step, self._step.command
        match command:
            case WaitFor() | WaitForSignal():
                return self._succeed(NULL, "timed out", step.deadline)
            case Invoke(timeout=int()):
                return self._fail(Failure("InvokeTimeout", "the run did not end in time"), 1, step.deadline)
            case Run(timeout=int(timeout)):
                late = Failure("StepTimeout", f"it took longer than {timeout / 1_000_000:g} s")
                return self._fail(
                    late, self._retries(command) + 1, max(self._script.time, step.retry_at or 0) + timeout
                )
        raise self._script.failure(f"step {step.id!r} has no timeout: {shown(command)}")

    def _retries(self, command: Any) -> int:
        retries: int = self._script.workflow.retries if command.retries is None else command.retries
        return retries

    # -- records ----------------------------------------------------------------------------------

    def _succeed(
        self, value: Json, text: str | None = None, at: int | None = None, position: int | None = None
    ) -> Script:
        step = self._step
        record: Record = StepSucceeded(0, step.id, value, step.kind, position=position)
        if step.kind == "run":
            record = StepSucceeded(0, step.id, value, "run", step.digest, preview(step.arguments))
        return self._script.settle(step, record, bytes(value).decode() if text is None else text, at)

    def _fail(self, failure: Failure, attempts: int, at: int | None = None) -> Script:
        step = self._step
        record = StepFailed(0, step.id, failure, attempts, step.kind, step.digest, preview(step.arguments))
        return self._script.settle(step, record, f"failed: {failure}", at)

    def _encoded(self, value: Any) -> Json:
        try:
            return encode(value, f"the reply to step {self._step.id!r}")
        except UnserializableError as error:
            raise self._script.failure(str(error)) from error

    def _no_value(self, value: Any) -> None:
        if value is not _UNSET and value is not None:
            raise self._script.failure(
                f"step {self._step.id!r} gives no value, but was replied to with {shown(value)}: say .reply()"
            )

    def _check_match(self, terms: WaitTerms, event: AcceptedEvent) -> None:
        """An event that the wait would never see is a mistake of the test."""
        what = f"step {self._step.id!r} does not see event {event.name!r} {bytes(event.data).decode()}"
        if event.name != terms.event:
            raise self._script.failure(f"{what}: it waits for {terms.event!r}")
        if terms.path is not None:
            value = match_key_at(event_document(event), terms.path)
            if value != terms.value:
                raise self._script.failure(
                    f"{what}: its {terms.path} is {value}, and the trigger event has {terms.value}"
                )
        if not matches(terms.where, _scope(terms, self._script.event), event):
            raise self._script.failure(f"{what}: where {terms.where!r} is not true of it")


def request_terms(step: Step, trigger: AcceptedEvent, now: int) -> Terms:
    """What an engine would record as the terms of a request made now."""
    command, wait = step.command, f"test-wait/{step.id}"
    match command:
        case Sleep():
            return SleepTerms(now + command.duration)
        case SleepUntil():
            return SleepTerms(command.until)
        case WaitFor():
            value = None if command.match is None else match_key_at(event_document(trigger), command.match)
            return WaitTerms(wait, command.event, now + command.timeout, 0, command.match, value, command.where)
        case WaitForSignal():
            return SignalTerms(wait, command.signal, now + command.timeout)
        case Invoke():
            app, _, workflow = command.workflow.rpartition("/")
            expires_at = None if command.timeout is None else now + command.timeout
            return InvokeTerms(app, workflow, f"test-child/{step.id}", expires_at, command.on_cancel)
        case SendEvent():
            return SendTerms(tuple(f"test-event/{step.id}/{number}" for number, _ in enumerate(command.events)))
        case _:
            return SendSignalTerms(command.signal)


def _scope(terms: WaitTerms, trigger: AcceptedEvent) -> dict[str, Any] | None:
    return None if terms.where is None else where_expression(terms.where).scope("event", event_document(trigger))


def _sent(step: Step) -> tuple[str, ...]:
    assert isinstance(step.terms, SendTerms)
    return step.terms.events
