"""Values: what is written how, what comes back as what, and what is refused where."""

from __future__ import annotations

import copy
import json
from collections import defaultdict, deque
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final, Literal, TypeVar

import attrs
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from flowgen.errors import UndecodableError
from flowgen.outcome import NULL, Json
from flowgen.values import decode, decoder, encode
from tests.shapes import PLAIN, TYPES, Box, Colour, Large, Level, Line, Odd, Pair, Point, Private, Small, Strict, T

# -- there and back -------------------------------------------------------------------------------


@settings(max_examples=50)
@pytest.mark.parametrize(
    ("annotation", "values"), TYPES, ids=lambda given: "" if isinstance(given, st.SearchStrategy) else str(given)[:60]
)
@given(data=st.data())
def test_a_value_comes_back_as_its_annotation_says(
    annotation: Any, values: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    """Each supported type survives the way into a history and out of it, with its class."""
    value = data.draw(values)
    back = decoder(annotation)(encode(value, "value"))
    assert back == value
    assert type(back) is type(value)


@given(PLAIN)
def test_plain_values_are_plain_json(value: Any) -> None:
    """What has no annotation comes back as JSON; the bytes are what any JSON reader reads."""
    data = bytes(encode(value, "value"))
    assert decode(Json(data)) == value
    assert json.loads(data) == value


@given(PLAIN)
def test_the_two_ways_of_writing_agree(value: Any) -> None:
    """The fast look and the exact way give the same bytes."""
    fast = bytes(encode([value], "value"))
    exact = bytes(encode(deque([value]), "value"))
    assert fast == exact


@given(PLAIN)
def test_encoding_changes_nothing_and_keeps_nothing(value: Any) -> None:
    """The argument is the same afterwards, and changing it later does not change what was encoded."""
    holder = [value, {"list": [1]}]
    before = copy.deepcopy(holder)
    data = bytes(encode(holder, "value"))
    assert holder == before
    holder[1]["list"].append(2)
    assert data == bytes(encode(before, "value"))


def test_none_is_null() -> None:
    """The commonest result."""
    assert encode(None, "value") == NULL


@given(st.permutations([0, 256, 512, 1024, 2048, 10, "b", "a", Colour.RED]))
def test_sets_are_written_in_one_order(members: list[Any]) -> None:
    """However a set was built, and whatever its members hash to, its bytes are the same: sorted."""
    expected = b'["a","b","red",0,10,1024,2048,256,512]'
    assert bytes(encode(set(members), "value")) == expected
    assert bytes(encode([frozenset(members)], "value", canonical=True)) == b"[" + expected + b"]"


def test_canonical_dicts_are_sorted_and_others_keep_their_order() -> None:
    """Equal dicts give equal bytes where that matters; a result keeps the order that the step gave it."""
    assert bytes(encode({"b": 1, "a": {"d": 1, "c": 2}}, "value", canonical=True)) == b'{"a":{"c":2,"d":1},"b":1}'
    assert bytes(encode({"b": 1, "a": 2}, "value")) == b'{"b":1,"a":2}'


def test_an_offset_with_seconds_keeps_its_instant() -> None:
    """JSON has no such offsets, so the datetime is written in UTC."""
    odd = datetime(1890, 1, 1, 12, tzinfo=timezone(timedelta(minutes=9, seconds=21)))
    assert decoder(datetime)(encode(odd, "value")) == odd


def test_subclasses_of_what_json_has_are_written_as_that() -> None:
    """A text, number, dict, list or date of the user's own class is written as what it is."""

    class Text(str):
        __slots__ = ()

        def __str__(self) -> str:
            return "misleading"

    class Day(date):
        pass

    class Moment(datetime):
        pass

    values = [Text("a"), Level.LOW, defaultdict(int, a=1), Day(2030, 1, 2), Moment(2030, 1, 2, tzinfo=UTC)]
    expected = b'["a",1,{"a":1},"2030-01-02","2030-01-02T00:00:00Z"]'
    assert bytes(encode(values, "value")) == expected


def one_more(n: int) -> int:
    return n + 1


def test_a_converter_is_not_run_again() -> None:
    """Fields hold converted values; restoring them does not convert twice."""

    @attrs.frozen
    class Counted:
        n: int = attrs.field(converter=one_more)

    assert decoder(Counted)(encode(Counted(1), "value")) == Counted(1)


def test_a_model_is_read_by_alias_or_by_name() -> None:
    """pydantic models are written by field name, whatever their aliases."""
    model = Strict(when=datetime(2030, 1, 1, tzinfo=UTC), Label="x")
    assert b'"label":"x"' in bytes(encode(model, "value"))
    assert decoder(Strict)(Json(b'{"when":"2030-01-01T00:00:00Z","Label":"x"}')) == model


def test_a_field_that_was_added_later_takes_its_default() -> None:
    """Old records are read by newer classes: missing fields with defaults, and fields that are gone."""
    assert decoder(Point)(Json(b'{"x":1,"gone":true}')) == Point(1, 0)
    assert decoder(Private)(Json(b'{"_token":"t","gone":true}')) == Private("t")


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a":1}', Small(1)),
        (b'{"a":1,"b":2,"c":3}', Large(1, 2, 3)),
        (b'{"a":1,"b":2}', None),
        (b'{"a":1,"b":2,"c":3,"gone":4}', Large(1, 2, 3)),
    ],
)
def test_classes_of_a_union_are_told_apart_by_their_fields(data: bytes, value: Any) -> None:
    """The class with exactly these fields; for an older record the closest one; never a guess between two."""
    read = decoder(Small | Large)
    if value is None:
        with pytest.raises(UndecodableError, match="it may be any of Small, Large"):
            read(Json(data))
    else:
        assert read(Json(data)) == value


Bound = TypeVar("Bound", bound=Point)
Alias = TypeAliasType("Alias", Point | Private)
Root = pydantic.RootModel[list[int]]


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (Private | float, b"1", 1.0),
        (Private | float | int, b"1", 1),
        (Private | Level, b"2", Level.HIGH),
        (Private | Colour, b'"red"', Colour.RED),
        (Private | Odd | int, b"[1,2]", Odd.PAIR),
        (Private | bool, b"true", True),
        (Private | Pair, b'[{"x":1},3]', Pair(Point(1), 3)),
        (Private | Root, b"[1,2]", Root([1, 2])),
        (Private | deque[int], b"[1,2]", deque([1, 2])),
        (Private | Literal["a", 1], b'"a"', "a"),
        (Private | (Line | None), b"null", None),
        (Private | Any, b'{"_token":"t"}', {"_token": "t"}),
        (list[Private | Any], b"[5]", [5]),
        (list[Bound], b'[{"x":1}]', [Point(1)]),  # type: ignore[valid-type]
        (Alias, b'{"_token":"t","plain":0}', Private("t")),
        (list[Alias], b'[{"x":1,"y":0}]', [Point(1)]),
        (Final[int], b"1", 1),
        (Private | Sequence[int], b"[1]", [1]),
        (tuple[Private, T, Box], b'[{"_token":"t"},[1],{"item":[]}]', (Private("t"), [1], Box([]))),  # type: ignore[valid-type, type-arg]
        (Sequence[Private], b'[{"_token":"t"}]', [Private("t")]),
    ],
    ids=str,
)
def test_unions_and_what_wraps_types(annotation: Any, data: bytes, value: Any) -> None:
    """Members of a union by how they look in JSON; bounds, aliases and qualifiers as what they stand for."""
    back = decoder(annotation)(Json(data))
    assert back == value
    assert type(back) is type(value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_fraction_comes_back_however_it_is_written(number: float) -> None:
    """Its shortest form, and an exponent; it is the same number, and no other type."""
    for text in (repr(number), f"{number:e}", f"{number:.17e}"):
        read = decode(Json(text.encode()))
        assert (type(read), read) == (float, float(text))
