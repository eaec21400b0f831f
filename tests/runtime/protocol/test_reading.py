"""Objects that strangers sent: members of their kinds under keys in any capitals, each refusal with its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from flowgen.runtime.protocol.headers import is_flowgen, lowered
from flowgen.runtime.protocol.reading import BadEvent, BadRequest, Members, ProtocolError, encoded, read_json

from .wild import BYTES, VALUES, refusal, wire

SAID = {"Text": "a", "Number": 2.0, "TRUTH": True, "items": [{"n": 1}, {"n": 2}], "object": {"Key": 1}, "null": None}


def members(value: Any = SAID) -> Members:
    return Members(value, "here", BadRequest)


def test_members_are_found_under_any_capitals() -> None:
    """A number may have a point, as long as it is whole; what is within keeps its keys."""
    said = members()
    assert (said.text("text"), said.number("NUMBER"), said.truth("truth")) == ("a", 2, True)
    assert [each.number("N") for each in said.each("Items")] == [1, 2]
    assert said.mapping("object") == {"Key": 1}
    inner = said.members("OBJECT")
    assert inner is not None
    assert inner.number("key") == 1


@pytest.mark.parametrize("name", ["null", "nothing"])
def test_null_is_left_out(name: str) -> None:
    """But it is there, for whoever asks."""
    said = members()
    assert (said.text(name), said.text(name, "x"), said.number(name, 5), said.truth(name, True)) == (None, "x", 5, True)
    assert (said.items(name), said.mapping(name), said.members(name), said.any(name)) == ([], {}, None, None)
    assert list(said.each(name)) == []
    assert said.has(name) == (name == "null")


def test_of_two_that_are_the_same_the_first_counts() -> None:
    """Keys that differ only in capitals."""
    assert members({"a": 1, "A": 2}).number("a") == 1


@pytest.mark.parametrize(
    "ask, place, reason",
    [
        (lambda said: said.text("number"), "here.number", "must be text, not 2.0"),
        (lambda said: said.text("text", longest=0), "here.text", "has 1 characters; at most 0"),
        (lambda said: said.needed_text("nothing"), "here.nothing", "is missing"),
        (lambda said: said.needed_text("null"), "here.null", "is missing"),
        (lambda said: said.number("text"), "here.text", "must be a whole number, not 'a'"),
        (lambda said: said.number("truth"), "here.truth", "must be a whole number, not True"),
        (lambda said: said.truth("number"), "here.number", "must be true or false, not 2.0"),
        (lambda said: said.items("text"), "here.text", "must be a list, not 'a'"),
        (lambda said: said.mapping("items"), "here.items", "must be an object"),
        (lambda said: said.members("items"), "here.items", "must be an object"),
        (lambda said: list(Members({"a": [1]}, "", BadEvent).each("a")), "a[0]", "must be an object, not 1"),
        (lambda said: said.refuse("", "is wrong"), "here", "is wrong"),
    ],
)
def test_a_refusal_names_the_place(ask: Any, place: str, reason: str) -> None:
    """And shows what is there."""
    refused = refusal(lambda: ask(members()))
    assert isinstance(refused, BadRequest | BadEvent)
    assert refused.place == place
    assert reason in refused.reason
    assert str(refused) == f"{place}: {refused.reason}"


def test_what_is_shown_is_short() -> None:
    """However long it is."""
    refused = refusal(lambda: members({"a": ["x" * 10_000]}).text("a"))
    assert refused is not None
    assert len(str(refused)) < 200


@given(VALUES)
def test_a_value_is_read_and_written_as_it_is(value: Any) -> None:
    """Also integers of any size; what is encoded already stays."""
    read = read_json(wire(value), "it", BadRequest)
    assert read == value
    again = encoded(read)
    assert encoded(again) is again
    assert read_json(bytes(again), "it", BadRequest) == value


@given(BYTES)
def test_whatever_comes_in_only_the_error_that_was_asked_for_comes_out(body: bytes) -> None:
    """With the name of the document."""
    refused = refusal(lambda: read_json(body, "it", BadEvent))
    assert refused is None or (isinstance(refused, BadEvent) and refused.place.startswith("it"))


@pytest.mark.parametrize("levels, good", [(80, True), (81, False)])
def test_values_are_nested_so_deeply(levels: int, good: bool) -> None:
    """Deeper than ours are, because they stand in others."""
    body = b"[" * levels + b"]" * levels
    assert (refusal(lambda: read_json(body, "it", ProtocolError)) is None) == good


def test_headers_have_names_in_any_capitals() -> None:
    """Of one that is there twice the first counts."""
    assert lowered([("X-A", "1"), ("x-a", "2"), ("Y", "3")]) == {"x-a": "1", "y": "3"}


@pytest.mark.parametrize(
    "sdk, ours",
    [
        ("flowgen:v1.0", True),
        ("flowgen", True),
        ("flowgenius:v1", False),
        ("inngest-py:v1", False),
        ("", False),
        (None, False),
    ],
)
def test_our_own_apps_are_known_by_their_sdk(sdk: str | None, ours: bool) -> None:
    """Its name, before the version."""
    assert is_flowgen(sdk) == ours
