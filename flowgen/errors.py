"""Every error that flowgen raises, and whose fault it is.

::

    FlowgenError
    ├── DefinitionError          the author: a workflow, command or option that can never work
    ├── StepError                the world: a step failed for good; raised at the yield, meant to be caught
    │   ├── StepTimeout              its last attempt took longer than `timeout`
    │   └── InvokeTimeout            the invoked run took longer than `timeout`
    ├── NonRetriableError        raised by a step body: do not try this again
    ├── RetryAfterError          raised by a step body: try again, but not before that time
    ├── NondeterminismError      the author: code and history disagree; the run is parked, nothing is lost
    ├── UnserializableError      the author: a value that cannot be written as JSON; names the path to it
    ├── UndecodableError         a recorded value that no longer fits the type that reads it
    ├── ExpressionError          an expression failed on one event; only its trigger, wait or key is concerned
    ├── InvalidInput             the caller: an event, name, duration, expression or filter that is refused
    │   └── EventConflict            an event id that was used before with another payload
    ├── NotFound                 the caller: no such run, workflow, event or signal waiter
    ├── WrongState               the caller: the run's state does not allow that (cancel after the end, …)
    ├── RunFailed                `engine.result`: the run failed; carries its `Failure`
    ├── RunCancelledError        `engine.result`: the run was cancelled; carries the reason
    ├── RunSkipped               `engine.result`: the run was skipped by flow control; carries the reason
    ├── WorkerLost               the run's workers died too often while they executed it
    ├── BodySpins                a body that held the event loop past its limit
    ├── AccessDenied             the caller: a server wants a token or a key, and got none that it knows
    ├── ServerUnavailable        the world: a server was not reached, or could not answer
    ├── StoreError               the world: the store could not answer; see runtime.store for its family
    └── InternalError            us: a broken invariant. Please report it

    RunCancelled (BaseException) thrown into a body whose run or branch is cancelled; let it pass

A message names the thing, shows the value, and says what to do next.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .outcome import Failure


class FlowgenError(Exception):
    """The root of every error that flowgen raises."""


class DefinitionError(FlowgenError):
    """A workflow, command or option that can never work; raised where it is defined."""


class StepError(FlowgenError):
    """A step failed for good. Raised at its `yield`; catch it to compensate.

    Attributes: `step_id`, `error_type` (the class name of what the body raised), `message`,
    `attempts` (how many times the body was tried) and `failure` (all of it as data, with the trace).
    """

    failure: Failure | None = None

    def __init__(self, step_id: str, error_type: str, message: str, attempts: int = 1) -> None:
        tries = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        super().__init__(f"step {step_id!r} failed after {tries}: {error_type}: {message}")
        self.step_id = step_id
        self.error_type = error_type
        self.message = message
        self.attempts = attempts


class StepTimeout(StepError):
    """The last attempt of a step took longer than its `timeout`."""


class InvokeTimeout(StepError):
    """The invoked run did not end within the `timeout` of `Invoke`."""


class NonRetriableError(FlowgenError):
    """Raise it in a step body: the step fails at once, whatever attempts are left."""


class RetryAfterError(FlowgenError):
    """Raise it in a step body to say when the next attempt may start.

    `after` is a duration (`"30s"`, seconds, `timedelta`) from now, or an aware `datetime`; it is
    clamped to between one second and 24 hours (semantics: Steps).
    """

    def __init__(self, message: str, after: str | float | timedelta | datetime) -> None:
        super().__init__(message)
        self.after = after


class NondeterminismError(FlowgenError):
    """Code and history disagree: what the code yields now is not what was recorded.

    Attributes: `step_id`, `recorded` and `yields` (both sides, as text), `where` (the source line of
    the `yield`, if known). The run is parked and continues when matching code is deployed. Where it is `same_code`
    as the run was started with, it does not ask for the same each time, and is told so.
    """

    def __init__(self, step_id: str, recorded: str, yields: str, where: str = "", *, same_code: bool = False) -> None:
        at = f"\n  at:               {where}" if where else ""
        super().__init__(
            f"code and history disagree at step {step_id!r}\n"
            f"  history has:      {recorded}\n"
            f"  the code yields:  {yields}{at}\n"
            f"{_SAME_CODE if same_code else _OTHER_CODE}; the run is parked until then and nothing is lost."
        )
        self.step_id = step_id
        self.recorded = recorded
        self.yields = yields
        self.where = where


_OTHER_CODE = "Deploy the code that this run was started with, or code that agrees with its history"
_SAME_CODE = (
    "This is the code that the run was started with, so it does not ask for the same each time: look for a clock, "
    "chance, or something outside of the body that changes (`flowgen lint`), and deploy code that agrees with the "
    "history"
)


class UnserializableError(FlowgenError):
    """A value that cannot be written as JSON; `path` leads to the culprit inside it."""

    def __init__(self, what: str, path: str, reason: str) -> None:
        where = f"{what}, at {path}" if path else what
        super().__init__(f"{where}: {reason}")
        self.what = what
        self.path = path
        self.reason = reason


class UndecodableError(FlowgenError):
    """A recorded value that no longer fits the annotation that reads it."""


class ExpressionError(FlowgenError):
    """An expression failed on an event: a missing path, a wrong type, too much work."""


class InvalidInput(FlowgenError):
    """The caller's event, name, duration, expression or filter is refused; nothing was changed."""


class EventConflict(InvalidInput):
    """An event id that was used before, with another payload; nothing was changed."""

    def __init__(self, event_id: str) -> None:
        super().__init__(
            f"event id {event_id!r} was already used with another payload: send the same payload again, or use a new id"
        )
        self.event_id = event_id


class NotFound(FlowgenError):
    """No such run, workflow, event or signal waiter in this store."""


class WrongState(FlowgenError):
    """The run's state does not allow what was asked; `status` names that state."""

    def __init__(self, run_id: str, status: str, message: str) -> None:
        super().__init__(message)
        self.run_id = run_id
        self.status = status


class RunFailed(FlowgenError):
    """The run failed. `error` is its `Failure`: type, message, trace and cause, as data."""

    def __init__(self, run_id: str, error: Failure) -> None:
        super().__init__(f"run {run_id} failed: {error.type}: {error.message}")
        self.run_id = run_id
        self.error = error


class RunCancelledError(FlowgenError):
    """The run that you waited for was cancelled, for `reason`."""

    def __init__(self, reason: str, run_id: str = "") -> None:
        super().__init__(f"run {run_id} was cancelled: {reason}" if run_id else f"cancelled: {reason}")
        self.reason = reason
        self.run_id = run_id


class RunSkipped(FlowgenError):
    """The run that you waited for was skipped by flow control, for `reason`."""

    def __init__(self, reason: str, run_id: str = "") -> None:
        super().__init__(f"run {run_id} was skipped: {reason}" if run_id else f"skipped: {reason}")
        self.reason = reason
        self.run_id = run_id


class WorkerLost(FlowgenError):
    """The workers that executed this run died, again and again; the run was failed alone."""


class BodySpins(FlowgenError):
    """A body held the event loop past its limit without yielding; that run fails alone."""


class AccessDenied(FlowgenError):
    """A server wants a token or an event key, and got none that it knows; nothing was done."""


class ServerUnavailable(FlowgenError):
    """A server could not be reached, or could not answer, however often it was asked. The message says so if what was
    asked for may have been done."""


class StoreError(FlowgenError):
    """The store could not answer. Whether the write took effect may be unknown: repeat the same one."""


class InternalError(FlowgenError):
    """A broken invariant of flowgen itself. Please report it with the message."""


class RunCancelled(BaseException):
    """Thrown into a workflow body whose run, or whose branch, is cancelled.

    A `BaseException`, so that `except Exception` does not swallow it. Clean-up steps may be yielded
    in `finally` or after catching it, within the clean-up timeout; the run ends cancelled either way.
    """

    def __init__(self, reason: Any = "cancelled") -> None:
        super().__init__(reason)
        self.reason = str(reason)
