"""Reading JSON that a stranger sent: what Python takes and we do not, and that nothing else is lost."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowgen.runtime.http import strict_json
from flowgen.runtime.http.strict_json import MAX_DEPTH, BadJson, parse

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=20,
)


@given(VALUES, st.booleans())
@example('a"b\\[', True)
@example(["[" * 100], True)
def test_every_json_value_is_read_as_it_is(value: Any, ascii: bool) -> None:
    """What is JSON is read, whatever it looks like as text."""
    assert parse(json.dumps(value, ensure_ascii=ascii).encode()) == value


@pytest.mark.parametrize(
    "body, code",
    [
        (b"", "invalid_json"),
        (b"  \n", "invalid_json"),
        (b"{", "invalid_json"),
        (b"{} {}", "invalid_json"),
        (b"{},", "invalid_json"),
        (b"nul", "invalid_json"),
        (b"'a'", "invalid_json"),
        (b"[NaN]", "number_out_of_range"),
        (b"[Infinity]", "number_out_of_range"),
        (b"[-Infinity]", "number_out_of_range"),
        (b"[1e999]", "number_out_of_range"),
        (b"[-1e999]", "number_out_of_range"),
        (b"[" + b"9" * 5000 + b"]", "number_out_of_range"),
        (b'{"a": 1, "a": 2}', "duplicate_key"),
        (b'[{"x": {"id": 1, "id": 1}}]', "duplicate_key"),
        (b"[" * 100_000, "too_deep"),
        (b'{"a":' * 100_000, "too_deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "too_deep"),
        (b'["\\ud800"]', "invalid_text"),
        (b'["\\uDC00x"]', "invalid_text"),
        (b'{"\\ud83d": 1}', "invalid_text"),
        (b'["\\u0000"]', "invalid_text"),
        (b'{"a\\u0000": 1}', "invalid_text"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b'["\xff"]', "invalid_json"),
        ('{"a": 1}'.encode("utf-16"), "invalid_json"),
        ('{"a": 1}'.encode("utf-16-le"), "invalid_json"),
        ('{"a": 1}'.encode("utf-32-be"), "invalid_json"),
    ],
    ids=repr,
)
def test_what_is_refused(body: bytes, code: str) -> None:
    """Each of these would be read by a generous reader as something else than its writer meant, or break it."""
    with pytest.raises(BadJson) as refused:
        parse(body)
    assert refused.value.code == code


def test_the_place_of_a_bad_text_is_a_json_pointer() -> None:
    """Keys with slashes and tildes are written as RFC 6901 says."""
    with pytest.raises(BadJson) as refused:
        parse(b'{"a/b": [1, {"c~d": "\\u0000"}]}')
    assert refused.value.path == "/a~1b/1/c~0d"


def test_what_only_looks_suspicious_is_read() -> None:
    """A whole surrogate pair is a character, an escaped backslash is none, and 64 levels are not too many."""
    assert parse(b'["\\ud83d\\ude00", "\\\\u0000"]') == ["😀", "\\u0000"]
    deep = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.dumps(parse(deep)).encode() == deep


@given(st.binary(max_size=200) | TEXTS.map(str.encode))
def test_no_bytes_break_the_reader(body: bytes) -> None:
    """Whatever comes is a value or `BadJson`."""
    try:
        value = parse(body)
    except BadJson:
        return
    assert json.loads(body) == value


def _both(body: bytes) -> tuple[Any, Any]:
    """What the quick reader, as far as it is sure, and the careful one make of a text."""
    found = []
    for read in (lambda: strict_json._quickly(body), lambda: strict_json._carefully(body, body.decode())):
        try:
            found.append(read())
        except BadJson as error:
            found.append(error.code)
    return found[0], found[1]


@given(
    VALUES.map(lambda value: json.dumps(value, ensure_ascii=False).encode()),
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from([b"", *[bytes([c]) for c in b'"\\:,{}[]019-+.eE tn\x01 \t/']])),
        max_size=3,
    ),
)
@example(b'{"a": 1, "a": 1}', [])
@example(b"1e999", [])
@example(b"-0", [])
@example(b"-0.0", [])
@example(b"18446744073709551616", [])
@example(b"0.1e-400", [])
@example(b'"\x01"', [])
@example(b'"\x7f"', [])
@example(b'"\\/"', [])
@example(b"\x0c1", [])
@example(b'{"a": {"b": 1}, "c": [{"d:": 2}]}', [])
def test_the_quick_reader_reads_what_the_careful_one_reads(body: bytes, changes: list[tuple[int, bytes]]) -> None:
    """Wherever it is sure; so which of them has read a text can be seen by nothing but the time."""
    for place, byte in changes:
        body = body[: place % (len(body) + 1)] + byte + body[place % (len(body) + 1) + 1 :]
    try:
        body.decode()
    except UnicodeDecodeError:
        return
    quick, careful = _both(body)
    if quick is not strict_json._DOUBT:
        assert json.dumps(quick) == json.dumps(careful)


def test_the_quick_reader_is_sure_of_plain_events() -> None:
    """Else it would be of no use."""
    body = json.dumps([{"name": "order/placed", "data": {"total": 1.5, "items": [{"n": 1}]}}] * 3).encode()
    assert strict_json._quickly(body) == json.loads(body)
