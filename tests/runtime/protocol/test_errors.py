"""Errors on the wire: whatever an app calls one is one."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.outcome import Failure
from flowgen.runtime.protocol.errors import UserError, error_of, error_to_json, failure_of, read_error, readable

from .wild import TEXTS, VALUES


def test_an_error_of_an_sdk_is_read() -> None:
    """Python's has a code, JavaScript's is marked as serialised; both are name, message and stack."""
    python = {"code": "unknown", "message": "no", "name": "ValueError", "stack": "Traceback …"}
    assert read_error(python) == UserError("ValueError", "no", "Traceback …")
    node = {"__serialized": True, "name": "RangeError", "message": "no", "stack": "at x", "cause": {"name": "E"}}
    assert read_error(node) == UserError("RangeError", "no", "at x", None, UserError("E", ""))


@pytest.mark.parametrize(
    "value, error",
    [
        (None, UserError("Error", "")),
        ("it broke", UserError("Error", "it broke")),
        ([1, 2], UserError("Error", "[1,2]")),
        ({}, UserError("Error", "")),
        ({"error": "Could not find step"}, UserError("Error", "Could not find step")),
        ({"Name": "E", "MESSAGE": 5, "stack": ["a"]}, UserError("E", "5", '["a"]')),
        ({"name": "E", "cause": "because"}, UserError("E", "", "", None, UserError("Error", "because"))),
    ],
)
def test_an_odd_error_is_one_too(value: Any, error: UserError) -> None:
    """Nobody is helped if a step cannot fail."""
    assert read_error(value) == error


def test_a_long_error_keeps_its_end() -> None:
    """As ours do; and the chain of causes ends somewhere."""
    error = read_error({"name": "E", "message": "x" * 50_000 + "!", "stack": "y" * 50_000 + "!"})
    assert (len(error.message), error.message[-1], len(error.stack), error.stack[-1]) == (16_385, "!", 16_385, "!")
    deep: Any = {"name": "0"}
    for n in range(1, 60):
        deep = {"name": str(n), "cause": deep}
    chain, found = [], read_error(deep)
    while found is not None:
        chain.append(found.name)
        found = found.cause
    assert chain == ["59", "58", "57", "56", "55"]


@given(VALUES)
def test_whatever_comes_in_is_an_error(value: Any) -> None:
    """With a name, for a history to keep."""
    assert failure_of(read_error(value)).type


FAILURES = st.recursive(
    st.none(),
    lambda cause: st.builds(Failure, TEXTS.filter(bool), TEXTS, TEXTS, cause),
    max_leaves=4,
).filter(lambda failure: failure is not None)


@given(FAILURES)
def test_a_failure_crosses_the_wire(failure: Failure) -> None:
    """There and back it is the same."""
    said = msgspec.json.decode(msgspec.json.encode(error_to_json(error_of(failure))))
    assert failure_of(read_error(said)) == failure


def test_what_an_error_carries_crosses_too() -> None:
    """Its data, which our histories do not keep."""
    error = read_error({"name": "E", "message": "m", "data": {"n": 1.0}})
    assert msgspec.json.decode(msgspec.json.encode(error_to_json(error)))["data"] == {"n": 1.0}


@given(st.binary(max_size=20_000))
def test_any_body_can_be_shown(body: bytes) -> None:
    """As text that every store can keep."""
    text = readable(body)
    assert "\0" not in text
    assert len(text.encode()) <= 3 * 8 * 1024 + 3
