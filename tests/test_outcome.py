"""Failures as data: whatever was raised, a failure can be made of it, stored and read."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import StepError
from flowgen.outcome import NULL, Failed, Failure, Json, Raised, Returned, Succeeded, failure_of


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class Odd(Exception):
    def __str__(self) -> str:
        return 5  # type: ignore[return-value]


class Bearing(Exception):
    """With an attribute that is called like one of ours."""

    failure = "not a Failure"


def test_type_message_and_trace() -> None:
    """The class's name, the text, and where it was raised."""
    failure = failure_of(raised(KeyError("order")))
    assert (failure.type, failure.message, failure.cause) == ("KeyError", "'order'", None)
    assert "test_outcome.py" in failure.trace
    assert "in raised" in failure.trace
    assert str(failure) == "KeyError: 'order'"
    assert str(Failure("ValueError", "")) == "ValueError"


def test_an_error_that_was_never_raised_has_no_trace() -> None:
    """There is nothing to show."""
    assert failure_of(ValueError("x")).trace == ""


@pytest.mark.parametrize("error, name", [(Mute(), "ValueError"), (Odd(), "TypeError")])
def test_a_message_that_cannot_be_made(error: Exception, name: str) -> None:
    """What is wrong with it stands in its place."""
    assert failure_of(error).message == f"<its message could not be made: {name}>"


@given(st.text())
def test_any_text_can_be_stored(text: str) -> None:
    """No NUL, no lone surrogate, whatever was in the message."""
    failure = failure_of(ValueError(text))
    failure.message.encode()
    assert "\x00" not in failure.message


def test_a_long_message_keeps_its_end() -> None:
    """The end is what says what happened."""
    message = failure_of(ValueError("x" * 100_000 + "the end")).message
    assert len(message) < 17_000
    assert message.startswith("…")
    assert message.endswith("the end")


def test_a_deep_trace_is_cut() -> None:
    """A recursion of thousands of frames is not stored whole."""

    def down(n: int) -> None:
        if n == 0:
            raise ValueError("bottom")
        down(n - 1)

    try:
        down(500)
    except ValueError as error:
        trace = failure_of(error).trace
    assert len(trace) < 17_000


def test_causes_are_kept_to_a_depth() -> None:
    """What it was raised from, and a chain without end is cut."""
    error: BaseException = ValueError("0")
    for n in range(1, 10):
        following = ValueError(str(n))
        following.__cause__ = error
        error = following
    failure: Failure | None = failure_of(error)
    chain = []
    while failure is not None:
        chain.append(failure.message)
        failure = failure.cause
    assert chain == ["9", "8", "7", "6", "5"]


def test_a_cause_that_is_itself() -> None:
    """A circle of causes ends."""
    error = ValueError("x")
    error.__cause__ = error
    assert failure_of(error).cause is not None


def test_the_failure_of_a_step_is_the_cause_of_its_error() -> None:
    """A run that fails of a step shows what the step raised."""
    error = StepError("a", "OSError", "disk", 3)
    error.failure = Failure("OSError", "disk", "the trace")
    assert failure_of(error).cause == error.failure


def test_a_users_attribute_is_not_taken_for_ours() -> None:
    """Only a `StepError` has a failure."""
    assert failure_of(Bearing("x")).cause is None


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), GeneratorExit()])
def test_base_exceptions_are_failures_too(error: BaseException) -> None:
    """Whatever a body raises is its outcome."""
    assert failure_of(error).type == type(error).__name__


def test_outcomes_compare_by_value() -> None:
    """They are data."""
    values: list[Any] = [Returned(Json(b"1")), Raised(Failure("E", "e")), Succeeded(1), Failed(Failure("E", "e"))]
    again: list[Any] = [Returned(Json(b"1")), Raised(Failure("E", "e")), Succeeded(1), Failed(Failure("E", "e"))]
    assert values == again
    assert Returned(NULL) != Returned(Json(b"1"))
