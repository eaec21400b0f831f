"""Keys and priorities of events: canonical texts, clamped numbers, and errors for their callers to count."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import ExpressionError
from flowgen.events import Event, accept_event, event_document
from flowgen.expression import match_key
from flowgen.flow_control import Priority, key_text, priority_of
from flowgen.flow_control.options import MAX_PRIORITY

CHARACTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
TEXTS = st.text(CHARACTERS)
"""What an event may hold: neither lone surrogates nor NUL are accepted."""
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=8
)
NEAR = st.recursive(
    st.sampled_from([None, False, True, 0, 0.0, -0.0, 1, 1.0, 1.5, 2**60, 2.0**60, "", "0", "1", "true", "null"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=3,
)
"""Values of which two are often equal, or nearly so."""


def document(value: Any) -> dict[str, Any]:
    """An event that holds a value as `data.x`."""
    return event_document(accept_event(Event("a/b", {"x": value}, id="id-7"), "0" * 26, 1_700_000_000_000_000))


def priority(text: str, value: Any = None) -> tuple[int, str | None]:
    """What a priority is for an event with that value."""
    return priority_of(Priority(text), document(value))


# -- keys ------------------------------------------------------------------------------------------


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same JSON: what Python's `==` says, but no bool is a number."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[name], b[name]) for name in a)
    return bool(a == b)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("c7", '"c7"'),
        ("1", '"1"'),
        (1, "1"),
        (1.0, "1"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        ("", '""'),
        ("null", '"null"'),
        ([1, "1", {"b": 2.0, "a": None}], '[1,"1",{"a":null,"b":2}]'),
        (2**70, str(2**70)),
        ("größer als 7", '"größer als 7"'),
    ],
)
def test_a_key_is_json(value: Any, text: str) -> None:
    """Deterministic, and short enough to be read where it is short."""
    assert key_text("event.data.x", document(value)) == text


def test_what_is_not_there_is_null() -> None:
    """For a plain path; all such events have one key."""
    assert key_text("event.data.y.z", document("c7")) == "null" == key_text("event.data.x", document(None))


def test_no_key_is_no_value() -> None:
    """It is empty, and the key of nothing, not of null."""
    assert key_text(None, document(None)) == ""


def test_a_key_may_be_computed() -> None:
    """CEL gives a value that is written like any other; fields of the event are there by name."""
    assert key_text("event.data.x + '/' + event.name", document("c7")) == '"c7/a/b"'
    assert key_text("[event.id, event.data.x]", document(2)) == '["id-7",2]'
    assert key_text("has(event.data.y) ? event.data.y : 'none'", document(2)) == '"none"'


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("event.data.y + 'a'", "Key not found in map"),
        ("event.data.x / 0", "divi"),
        ("1.0 / 0.0", "'1.0 / 0.0': it gives inf, which has no JSON form"),
        ("[{'a': 0.0 / 0.0}]", "which has no JSON form"),
        ("b'bytes'", "which has no JSON form"),
        ("event.data.x.", "line 1, column"),
    ],
)
def test_a_key_that_fails_is_an_error_of_that_event(key: str, message: str) -> None:
    """Also one that no longer compiles: it is the caller's to count, and concerns nothing else."""
    with pytest.raises(ExpressionError) as caught:
        key_text(key, document(7))
    assert message in str(caught.value)


@given(VALUES | NEAR, VALUES | NEAR)
def test_keys_are_equal_exactly_if_the_values_are(a: Any, b: Any) -> None:
    """1 is 1.0, but neither `true` nor `"1"`; the order of an object's names does not count."""
    one, other = document(a), document(b)
    equal = same(one["data"]["x"], other["data"]["x"])
    assert (key_text("event.data.x", one) == key_text("event.data.x", other)) is equal


@given(st.text(CHARACTERS, max_size=300))
def test_a_key_can_be_part_of_a_name(value: str) -> None:
    """Printable and at most 128 characters long, whatever the value; a hash where its text is not."""
    text = key_text("event.data.x", document(value))
    assert text.isprintable()
    assert 1 <= len(text) <= 128
    assert text == match_key(value) or text.startswith("#")


def test_keys_that_cannot_be_shown_are_told_apart() -> None:
    """Long ones and those with control characters are hashed, also a NUL that CEL made."""
    texts = [key_text("event.data.x", document(x)) for x in ["a\n", "a\t", "a" * 200, "a" * 201, ["a\n"]]]
    texts.append(key_text(r"'a\x00'", document(None)))
    texts.append(key_text(r"'a\x01'", document(None)))
    assert len(set(texts)) == len(texts)
    assert all(text.startswith("#") for text in texts if "\\" not in text)


# -- priorities ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value", "seconds"),
    [
        ("120", None, 120),
        ("event.data.x ? 120 : 0", True, 120),
        ("event.data.x ? 120 : 0", False, 0),
        ("event.data.x", -30, -30),
        ("event.data.x", 30.0, 30),
        ("event.data.x", 601, 600),
        ("event.data.x", -601, -600),
        ("event.data.x", 2**80, 600),
        ("event.data.x", 1e300, 600),
    ],
)
def test_a_priority_is_a_whole_number_of_seconds(text: str, value: Any, seconds: int) -> None:
    """Clamped to 600 either way; a float that is whole is one."""
    assert priority(text, value) == (seconds, None)


def test_no_priority_is_zero() -> None:
    """Neither a workflow without one nor an event without the field is an error."""
    assert priority_of(None, document(7)) == (0, None)
    assert priority("event.data.y") == (0, None)


@pytest.mark.parametrize(
    ("text", "value", "error"),
    [
        ("event.data.x", "high", "'event.data.x': it gives 'high', which is no whole number"),
        ("event.data.x", True, "'event.data.x': it gives True, which is no whole number"),
        ("event.data.x", 2.5, "'event.data.x': it gives 2.5, which is no whole number"),
        ("event.data.x", [1], "'event.data.x': it gives [1], which is no whole number"),
        ("1.0 / 0.0", None, "'1.0 / 0.0': it gives inf, which is no whole number"),
        ("event.data.y + 1", None, "Key not found in map"),
        ("event.data.x + 1", "high", "'event.data.x + 1': "),
    ],
)
def test_a_priority_that_is_an_error_counts_as_zero(text: str, value: Any, error: str) -> None:
    """The run is not held up, and the caller is told what to count."""
    seconds, why = priority(text, value)
    assert seconds == 0
    assert why is not None
    assert error in why


@given(VALUES)
def test_a_priority_is_within_its_bounds_whatever_the_event(value: Any) -> None:
    """It never raises; what is out of bounds is the bound."""
    seconds, error = priority("event.data.x", value)
    assert -MAX_PRIORITY <= seconds <= MAX_PRIORITY
    assert error is None or seconds == 0
    if isinstance(value, int) and not isinstance(value, bool):
        assert seconds == sorted([-MAX_PRIORITY, value, MAX_PRIORITY])[1]
