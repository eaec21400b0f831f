"""Triggers: names and patterns, conditions that compile, and the index that finds them."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import DefinitionError
from flowgen.events import event_type
from flowgen.triggers import NameIndex, OnEvent, matches_name


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str


SEGMENTS = st.lists(st.sampled_from(["a", "b", "ab", ""]), min_size=1, max_size=3)
NAMES = st.tuples(SEGMENTS, st.sampled_from("/.")).map(lambda t: t[1].join(t[0]) or "a")
PATTERNS = NAMES | st.tuples(NAMES, st.sampled_from(["/*", ".*"])).map("".join)


def test_a_trigger_holds_its_name_condition_and_class() -> None:
    """Written by name or by class; equal if they say the same."""
    assert OnEvent("order/placed").name == "order/placed"
    assert OnEvent("order/placed").event_class is None
    assert OnEvent(OrderPlaced).name == "order/placed"
    assert OnEvent(OrderPlaced).event_class is OrderPlaced
    assert OnEvent("a", where="event.data.total > 0").where == "event.data.total > 0"
    assert OnEvent("a", "event.data.x") == OnEvent("a", where="event.data.x") != OnEvent("a")
    assert len({OnEvent("a"), OnEvent("a"), OnEvent("b")}) == 2


def test_a_trigger_shows_how_it_was_written() -> None:
    """Its repr can be pasted."""
    assert repr(OnEvent("order/*")) == "OnEvent('order/*')"
    assert repr(OnEvent(OrderPlaced, where="event.data.x")) == "OnEvent(OrderPlaced, where='event.data.x')"


@pytest.mark.parametrize(
    ("event", "where", "message"),
    [
        (
            "order*",
            None,
            'OnEvent(\'order*\'): a * may only be the last character, after "/" or "."; it is at character 6',
        ),
        ("*", None, "it is at character 1"),
        ("a/*/b", None, "it is at character 3"),
        ("a/**", None, "it is at character 3"),
        ("", None, "OnEvent: event name '' has 0 characters"),
        ("x" * 257, None, "has 257 characters"),
        ("a\n", None, "has a control character at 2"),
        (5, None, "OnEvent(5): it is neither an event's name nor a class with @event_type"),
        (int, None, "OnEvent(int): it is neither"),
        ("a", "event.", "where of OnEvent('a'): 'event.': line 1, column 7"),
        ("a", "async.data.x == 1", "undeclared reference to 'async.data.x'; its variables are: event"),
        ("a", 5, "where of OnEvent('a'): 5 is no expression"),
    ],
)
def test_a_trigger_that_can_never_match_is_refused(event: Any, where: Any, message: str) -> None:
    """What is wrong is said where it is written, with its place."""
    with pytest.raises(DefinitionError) as caught:
        OnEvent(event, where=where)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("order/placed", "order/placed", True),
        ("order/placed", "order/placed.eu", False),
        ("order/*", "order/placed", True),
        ("order/*", "order/a.b", True),
        ("order/*", "order/", True),
        ("order/*", "order", False),
        ("order/*", "orders/placed", False),
        ("order.*", "order.placed/x", True),
        ("order.*", "order/placed", False),
    ],
)
def test_a_pattern_matches_what_begins_with_it(pattern: str, name: str, matches: bool) -> None:
    """`order/*` is everything that begins with `order/`; a name is only itself."""
    assert matches_name(pattern, name) is matches
    assert NameIndex([(pattern, 1)]).find(name) == ([1] if matches else [])


@given(st.lists(PATTERNS, max_size=12), NAMES)
def test_the_index_finds_just_what_matches_in_order(patterns: list[str], name: str) -> None:
    """Looking up is the same as asking each pattern in turn."""
    numbered = [(pattern, number) for number, pattern in enumerate(patterns)]
    expected = [number for pattern, number in numbered if matches_name(pattern, name)]
    assert NameIndex(numbered).find(name) == expected


def test_items_are_found_in_the_order_they_were_added() -> None:
    """Whether by name or by pattern, short or long."""
    index = NameIndex([("a.*", 0), ("a.b/*", 1), ("a.b/c", 2), ("a.*", 3), ("a.b/c", 4), ("x", 5)])
    assert index.find("a.b/c") == [0, 1, 2, 3, 4]
