"""What a step function may know about the attempt that it is: `step_info()`.

The executor calls `enter` before the body and `leave` after it; in between, in that task or thread and
in those it starts with a copied context, `step_info()` answers.

Refuses to know how steps are executed, and how one is cancelled: it reads a flag.
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from datetime import datetime
from typing import Protocol

import attrs

from .errors import FlowgenError


class Flag(Protocol):
    """Something that is set once this attempt's result is no longer wanted."""

    @property
    def cancelled(self) -> bool: ...


@attrs.define(eq=False)
class NeverCancelled:
    """The flag of an attempt that nobody can cancel."""

    cancelled: bool = False


NEVER_CANCELLED: Flag = NeverCancelled()


@attrs.define(eq=False)  # one an attempt
class StepInfo:
    """The attempt that is running.

    `attempt` counts from 1. `idempotency_key` is one for the step: equal in all its attempts, on all
    workers, so it can be given to a service that should do a thing once. `deadline` is when the attempt
    times out, if it does.
    """

    run_id: str
    step_id: str
    attempt: int
    idempotency_key: str
    deadline: datetime | None = None
    _flag: Flag = NEVER_CANCELLED

    @property
    def cancelled(self) -> bool:
        """Whether the attempt has timed out or is cancelled: long sync bodies should look and stop."""
        return self._flag.cancelled


_current: ContextVar[StepInfo] = ContextVar("flowgen_step")


def step_info() -> StepInfo:
    """The attempt that is running, for the code of a step function.

    Raises `FlowgenError` outside of one, and in a workflow's own body, which is replayed.
    """
    try:
        return _current.get()
    except LookupError:
        raise FlowgenError("step_info() was called outside of a step; call it in a function given to Run") from None


def enter(info: StepInfo) -> Token[StepInfo]:
    """From here on, in this context, `step_info()` gives `info`."""
    return _current.set(info)


def leave(token: Token[StepInfo]) -> None:
    """Undo `enter`."""
    _current.reset(token)
