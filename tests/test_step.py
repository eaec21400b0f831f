"""`step_info()`: what a step function may know about its attempt."""

from __future__ import annotations

import contextvars

import pytest

from flowgen import FlowgenError, StepInfo, step_info
from flowgen.step import NeverCancelled, enter, leave


def info(attempt: int = 1) -> StepInfo:
    return StepInfo("r", "charge", attempt, "r/charge")


def test_inside_a_step_it_is_that_attempt() -> None:
    """Between `enter` and `leave`, `step_info()` gives what was entered."""
    token = enter(info(attempt=2))
    try:
        assert (step_info().step_id, step_info().attempt, step_info().idempotency_key) == ("charge", 2, "r/charge")
    finally:
        leave(token)


def test_outside_of_a_step_it_says_so() -> None:
    """Before and after a step there is no attempt, and the error says where to call it."""
    for _ in range(2):
        with pytest.raises(FlowgenError, match="outside of a step; call it in a function given to Run"):
            step_info()
        leave(enter(info()))


def test_steps_nest() -> None:
    """Leaving an inner attempt (an engine inside a step, in a test) gives the outer one back."""
    outer = enter(info(attempt=1))
    leave(enter(info(attempt=9)))
    assert step_info().attempt == 1
    leave(outer)


def test_each_context_has_its_own() -> None:
    """An attempt is seen in copies of its context, and one entered there not outside."""
    token = enter(info(attempt=1))
    copied = contextvars.copy_context()
    assert copied.run(step_info).attempt == 1
    copied.run(enter, info(attempt=2))
    assert (copied.run(step_info).attempt, step_info().attempt) == (2, 1)
    leave(token)


def test_cancelled_reads_the_flag() -> None:
    """`cancelled` is looked up each time; without a flag it is False."""
    flag = NeverCancelled()
    attempt = StepInfo("r", "charge", 1, "r/charge", flag=flag)
    assert not attempt.cancelled
    flag.cancelled = True
    assert attempt.cancelled
    assert not info().cancelled
