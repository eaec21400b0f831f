"""Triggers: names and patterns, conditions that compile, the index that finds them, and schedules."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.cron import Cron
from flowgen.duration import MINUTE, SECOND
from flowgen.errors import DefinitionError
from flowgen.events import event_type
from flowgen.triggers import NameIndex, OnCron, OnEvent


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
        (
            "flowgen/run.invoked",
            None,
            "OnEvent('flowgen/run.invoked'): of flowgen's own events, these start workflows: flowgen/run.completed, "
            "flowgen/run.failed, flowgen/run.cancelled, flowgen/run.*",
        ),
        ("flowgen/*", None, "OnEvent('flowgen/*'): of flowgen's own events, these start workflows"),
        ("flowgen/run.failed/*", None, "of flowgen's own events, these start workflows"),
        ("a", "event.", "where of OnEvent('a'): 'event.': line 1, column 7"),
        ("a", "async.data.x == 1", "undeclared reference to 'async.data.x'; its variables are: event"),
        ("a", 5, "where of OnEvent('a'): 5 is no expression"),
        (
            "a",
            "event.total > 5",
            "at character 1: an event has no 'total', only name, data, id, ts; write event.data.total",
        ),
    ],
)
def test_a_trigger_that_can_never_match_is_refused(event: Any, where: Any, message: str) -> None:
    """What is wrong is said where it is written, with its place."""
    with pytest.raises(DefinitionError) as caught:
        OnEvent(event, where=where)
    assert message in str(caught.value)


@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "*"])
def test_the_ends_of_runs_start_workflows(end: str) -> None:
    """Each of the three by its name, or all of them."""
    assert OnEvent(f"flowgen/run.{end}").name == f"flowgen/run.{end}"


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
    assert NameIndex([(pattern, 1)]).find(name) == ([1] if matches else [])


def matches_name(pattern: str, name: str) -> bool:
    """What the index must agree with."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


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


# -- schedules ------------------------------------------------------------------------------------


def test_a_schedule_holds_its_text_jitter_and_catch_up() -> None:
    """The text as `Cron` would write it; no jitter and the last missed tick unless said otherwise."""
    plain = OnCron(" 0  9 * * mon")
    assert (plain.schedule, plain.jitter, plain.catch_up) == ("0 9 * * MON", 0, "last")
    assert plain.cron == Cron("0 9 * * MON")
    full = OnCron("TZ=Asia/Tokyo 0 9 * * 1", jitter="5m", catch_up="all")
    assert (full.schedule, full.jitter, full.catch_up) == ("TZ=Asia/Tokyo 0 9 * * 1", 5 * MINUTE, "all")
    assert OnCron("0 9 * * *", timedelta(seconds=90)) == OnCron("0 9 * * *", 90) == OnCron("0 9 * * *", "1m30s")
    assert len({OnCron("0 9 * * MON"), plain, OnCron("0 9 * * MON", catch_up="none")}) == 2


def test_a_schedule_shows_how_it_was_written() -> None:
    """Its repr can be pasted."""
    assert repr(OnCron("0 9 * * *")) == "OnCron('0 9 * * *')"
    full = OnCron("0 9 * * *", jitter=90, catch_up="none")
    assert repr(full) == "OnCron('0 9 * * *', jitter='1m30s', catch_up='none')"
    assert eval(repr(full), {"OnCron": OnCron}) == full


@pytest.mark.parametrize(
    ("schedule", "options", "message"),
    [
        ("0 0 30 2 *", {}, "cron '0 0 30 2 *': day of month at character 5: '30': no day 30 in FEB"),
        (5, {}, "cron 5 is no text"),
        (
            "*/15 * * * *",
            {"jitter": "15m"},
            "jitter of OnCron('*/15 * * * *'): 15m is not shorter than the 15m between two ticks, so they would meet",
        ),
        ("0 9 * * MON", {"jitter": "1d"}, "jitter of OnCron('0 9 * * MON'): 1d is not shorter than the 1d between"),
        ("* * * * *", {"jitter": -1}, "jitter of OnCron('* * * * *'): -1 is negative"),
        ("* * * * *", {"jitter": "soon"}, "jitter of OnCron('* * * * *'): 'soon' at character 1: expected a number"),
        ("* * * * *", {"jitter": True}, "jitter of OnCron('* * * * *'): True is not a duration"),
        ("* * * * *", {"catch_up": "some"}, "catch_up of OnCron('* * * * *'): 'some' is not 'none', 'last' or 'all'"),
        ("* * * * *", {"catch_up": None}, "catch_up of OnCron('* * * * *'): None is not 'none', 'last' or 'all'"),
        ("* * * * *", {"catch_up": ["all"]}, "['all'] is not 'none', 'last' or 'all'"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_refused(schedule: Any, options: dict[str, Any], message: str) -> None:
    """Text, jitter and catch-up are checked where they are written."""
    with pytest.raises(DefinitionError) as caught:
        OnCron(schedule, **options)
    assert message in str(caught.value)


def test_the_longest_jitter_is_just_short_of_the_next_tick() -> None:
    """Ticks that are late never meet."""
    assert OnCron("* * * * *", jitter="59s").jitter == 59 * SECOND
