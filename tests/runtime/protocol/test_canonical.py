"""Canonical JSON: the same bytes for the same document, as everybody else makes them."""

from __future__ import annotations

import json
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from flowgen.runtime.protocol.canonical import canonical
from flowgen.runtime.protocol.reading import BadSignature, ProtocolError

from .wild import BYTES, VALUES, refusal

SDKS = (
    '{"\u20ac": 1.0, "\U0001f600": [true, null, "x\\n\\u001f\\u00e9"], "b": 1e21, "a": 0.000001, "c": 4.50, '
    '"d": 1152921504606846976, "e": -0.0, "f": 1e-7, "\ufb33": "\u2028/\\\\\\""}',
    '{"a":0.000001,"b":1e+21,"c":4.5,"d":1152921504606847000,"e":0,"f":1e-7,"\u20ac":1,'
    '"\U0001f600":[true,null,"x\\n\\u001f\u00e9"],"\ufb33":"\u2028/\\\\\\""}',
)
"""A document, and what the official Python SDK's own function makes of it."""


@pytest.mark.parametrize(
    "body, form",
    [
        SDKS,
        ("", ""),
        (' { "b" : 1 , "a" : [ ] } ', '{"a":[],"b":1}'),
        ('{"\ufb33":1,"\U0001f600":2,"\u20ac":3,"a":4}', '{"a":4,"\u20ac":3,"\U0001f600":2,"\ufb33":1}'),
        ("333333333.33333329", "333333333.3333333"),
        ("1E30", "1e+30"),
        ("2e-3", "0.002"),
        ("0.000000000000000000000000001", "1e-27"),
        ("9007199254740993", "9007199254740992"),
        ("1180591620717411303424", "1.1805916207174113e+21"),
        ("-9223372036854775808", "-9223372036854776000"),
        ('"\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/"', '"\u20ac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"'),
    ],
)
def test_a_document_has_one_form(body: str, form: str) -> None:
    """Vectors of RFC 8785 and of the official SDK: keys by UTF-16, numbers as JavaScript writes them."""
    assert canonical(body.encode()) == form.encode()


@given(VALUES)
def test_how_it_was_written_does_not_matter(value: Any) -> None:
    """Spaces, escapes and the order of keys go; making it canonical again changes nothing."""
    form = canonical(json.dumps(value, indent=1).encode())
    assert form == canonical(json.dumps(value, ensure_ascii=False, sort_keys=True).encode())
    assert form == canonical(form)


@given(VALUES)
def test_the_form_is_the_same_document(value: Any) -> None:
    """Up to what a double can hold."""
    assert in_doubles(json.loads(canonical(json.dumps(value).encode()))) == in_doubles(value)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(1 - 2**53, 2**53 - 1)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(min_codepoint=1, max_codepoint=127), max_size=5), inner, max_size=6)
    ),
    max_leaves=12,
)


@given(PLAIN)
@example({'\x7f/"\\': "\x01\x08\x09\x0a\x0b\x0c\x0d\x1f\x7f\x80\u2028\ufffe\U0010ffff", "b": 1, "B": 2, "a": 3})
def test_the_short_way_gives_what_the_long_way_gives(value: Any) -> None:
    """For each document that may take it."""
    assert canonical(json.dumps(value).encode()) == rfc8785.dumps(value)


def in_doubles(value: Any) -> Any:
    match value:
        case bool():
            return value
        case int():
            return float(value)
        case list():
            return [in_doubles(item) for item in value]
        case dict():
            return {key: in_doubles(item) for key, item in value.items()}
        case _:
            return value


@given(BYTES)
def test_whatever_comes_in_only_our_error_comes_out(body: bytes) -> None:
    """And it is of the class that was asked for."""
    refused = refusal(lambda: canonical(body, "the body", BadSignature))
    assert refused is None or (isinstance(refused, BadSignature) and refused.place.startswith("the body"))


@pytest.mark.parametrize("body", [b"{", b"NaN", b"1e999", b'{"a":1,"a":2}', b"[" * 100 + b"]" * 100, b"1" * 400])
def test_what_has_no_form_is_refused(body: bytes) -> None:
    """No JSON, no number that a double holds, a key twice, or nesting that ends nowhere."""
    with pytest.raises(ProtocolError):
        canonical(body)
