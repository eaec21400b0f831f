"""Reading JSON that a stranger sent: what Python takes and we do not, and that nothing else is lost."""

from __future__ import annotations

import gc
import json
import sys
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from flowgen.runtime import strict_json
from flowgen.runtime.strict_json import MAX_DEPTH, BadJson, parse

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


def test_a_key_that_is_there_twice_is_found_by_one_look_at_each() -> None:
    """Among very many keys: to count each of them would hold a server for hours, for one body of some megabytes."""
    looks = 0

    class Key(str):
        def __eq__(self, other: object) -> bool:
            nonlocal looks
            looks += 1
            return str.__eq__(self, other)

        __hash__ = str.__hash__

    many = 2_000
    pairs: list[tuple[str, Any]] = [(Key(f"key {number}"), None) for number in [*range(many), many - 1]]
    assert strict_json._said_twice(pairs) == f"key {many - 1}"
    assert looks <= 2 * many


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


@given(st.text('[]{}"a ', max_size=60).map(str.encode))
@example(b'["[[","]]",{"}":[]}]')
@example(b'"["""[')
def test_brackets_outside_of_strings_are_found_by_the_parity_of_quotes(body: bytes) -> None:
    """As by reading string after string."""
    found, inside = bytearray(), False
    for byte in body:
        if byte == ord('"'):
            inside = not inside
        elif not inside and byte in b"[]{}":
            found.append(byte)
    assert strict_json._outside_of_strings(body) == bytes(found)
    assert strict_json._outside_of_strings(body + b'"' * inside + b'"\\\\"') == bytes(found)
    assert strict_json._outside_of_strings(b'"\\\\"' + body) == bytes(found)


PARTS = st.sampled_from(
    ["", "a", '\\"', "\\\\", "\\u0000", "u0000", "\\ud83d\\ude00", "\\ud800", "é", "[", "}", ":", "\0"]
)
STRINGS = st.lists(PARTS, max_size=3).map(lambda parts: '"' + "".join(parts) + '"')
NUMBERS = st.sampled_from(["0", "-0", "-0.0", "1.5", "1e300", "1e999", "NaN", "-", "9007199254740993", "9" * 30])
TEXTS_OF_JSON: st.SearchStrategy[str] = st.recursive(
    STRINGS | NUMBERS | st.sampled_from(["null", " true", "nul", ""]),
    lambda inner: (
        st.lists(inner, max_size=3).map(lambda items: "[" + ", ".join(items) + "]")
        | st.lists(st.tuples(STRINGS, inner), max_size=3).map(
            lambda members: "{" + ",".join(f"{key}: {value}" for key, value in members) + "}"
        )
    ),
    max_leaves=8,
)


@given(TEXTS_OF_JSON.map(str.encode))
@example(b'{"a":1,"a":1}')
@example(b'{"a\\\\":"\\\\\\"","b":"\\\\u0000"}')
@example(b'[{"a":{"b":1,"b":"\\""}}]')
def test_what_is_read_quickly_is_what_is_read_exactly(body: bytes) -> None:
    """The quick way gives a text up, or gives the same value of the same types."""
    value = strict_json._plain(body, MAX_DEPTH)
    if value is not strict_json._ODD:
        assert repr(value) == repr(strict_json._explained(body, "the body", MAX_DEPTH))


@given(VALUES)
def test_what_is_written_as_usual_is_read_quickly(value: Any) -> None:
    """Nothing that an encoder writes is odd, unless it spells a NUL."""
    body = json.dumps(value).encode()
    assert "\\u0000" in body.decode() or strict_json._plain(body, MAX_DEPTH) == value


@pytest.mark.parametrize(
    "body, code",
    [
        (b"[1e999, %s]", "number_out_of_range"),
        (b"[" + b"9" * 5000 + b", %s]", "number_out_of_range"),
        (b'{"x": %s, "a": 1, "a": 2}', "duplicate_key"),
        (b"[%s, " + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"]", "too_deep"),
        (b'[%s, "\\u0000"]', "invalid_text"),
        (b'[%s, "\\ud800"]', "invalid_json"),
        (b"[%s, NaN]", "invalid_json"),
        (b"[%s", "invalid_json"),
        (b"[%s, '\xff']", "invalid_json"),
        (b"[%s, \0]", "invalid_json"),
    ],
)
def test_what_is_refused_of_a_large_text(body: bytes, code: str) -> None:
    """The same is refused; what is odd is said without its place."""
    padding = b'{"a": [1, "x"]}, ' * (strict_json.LARGE // 16) + b"0"
    with pytest.raises(BadJson, match="the body") as refused:
        parse(body % padding if body.startswith(b"[") else body % (b"[" + padding + b"]"))
    assert refused.value.code == code
    assert "'a'" not in refused.value.message
    assert not refused.value.path


def test_a_large_text_that_only_looks_odd_is_read() -> None:
    """An escaped backslash before `u0000` is text, in a text of any size."""
    padding = "x" * strict_json.LARGE
    assert parse(json.dumps([padding, "\\u0000", '"\\u0000']).encode()) == [padding, "\\u0000", '"\\u0000']


@pytest.mark.parametrize("before", [0, 100, strict_json._BLOCK - 2 * MAX_DEPTH, strict_json._BLOCK - 12, 40_000])
def test_levels_are_counted_wherever_they_are(before: int) -> None:
    """As many levels as may be are read, and one more is not, be they in one block of brackets or in two."""
    flat = b"[]," * (before // 2)
    deepest = b"[" * (MAX_DEPTH - 1) + b"]" * (MAX_DEPTH - 1)
    parse(b"[" + flat + deepest + b"]")
    with pytest.raises(BadJson, match="nested too deeply"):
        parse(b"[" + flat + b"[" + deepest + b"]]")


def test_a_fraction_is_read_by_python() -> None:
    """msgspec takes very long for an extreme one, and a stranger may send a million of them."""
    called: set[str] = set()
    sys.setprofile(lambda frame, event, _: called.add(frame.f_code.co_name))
    try:
        assert strict_json._plain(b"[1e300]", MAX_DEPTH) == [1e300]
    finally:
        sys.setprofile(None)
    assert "_finite" in called


@pytest.mark.parametrize("body", [b'"%s"', b'["%s"'])
def test_garbage_is_looked_for_again_after_a_large_text(body: bytes) -> None:
    """Whether it was read or refused; and not where nobody looked for it before."""
    for enabled in (False, True):
        (gc.enable if enabled else gc.disable)()
        try:
            with suppress(BadJson):
                parse(body % (b"x" * strict_json.LARGE))
            assert gc.isenabled() is enabled
        finally:
            gc.enable()
