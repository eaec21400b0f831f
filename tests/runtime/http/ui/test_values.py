"""The small values of pages: text, JSON, hints, charts, lines of lists."""

from __future__ import annotations

import doctest
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import App, OnEvent, event_type
from flowgen.duration import DAY, MILLISECOND
from flowgen.history import EndCompleted, Record, Requested, Retried, SleepTerms, Started, StepFailed, StepSucceeded
from flowgen.outcome import NULL, Failure, Json
from flowgen.runs import RunRow
from flowgen.runtime.counting import Bucket
from flowgen.runtime.http.ui import chart, hints, pages, run_detail, text
from flowgen.runtime.http.ui.waterfall import waterfall


@pytest.mark.parametrize("module", [chart, hints, pages, text])
def test_the_examples_hold(module: Any) -> None:
    """What docstrings show is so."""
    assert doctest.testmod(module).failed == 0


# -- text ------------------------------------------------------------------------------------------


@given(st.integers(0, 400 * DAY))
def test_a_duration_is_short(micros: int) -> None:
    """Never more than two units, and longer never sounds like nothing."""
    told = text.brief(micros)
    assert len(told) <= 9
    assert len(told.split()) <= 2
    assert (told == "0ms") == (micros == 0)
    assert told.startswith("<") == (0 < micros < MILLISECOND)


@given(st.text())
def test_visible_text_hides_nothing(given: str) -> None:
    """No character that is not seen, or turns what is seen around, is left; and what can be seen is left alone."""
    shown = text.visible(given)
    assert text.visible(shown) == shown
    assert not any(0x202A <= ord(c) <= 0x202E or 0x2066 <= ord(c) <= 0x2069 or c in "\u200b\ufeff\x00" for c in shown)
    if given.isascii() and given.isprintable():
        assert shown == given


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(json_values)
def test_json_in_colours_is_the_same_json(value: Any) -> None:
    """Its tokens, put together, are the text; and no token but a text or a key holds a quotation mark."""
    shown = text.shown_json(value)
    assert "".join(token.text for token in shown.tokens) == shown.text
    assert all(token.kind in ("key", "string") for token in shown.tokens if '"' in token.text)
    assert not shown.cut


def test_long_values_are_cut() -> None:
    """And say so: a page does not grow with what it shows."""
    shown = text.shown_json(["x" * 100] * 10_000)
    assert shown.cut
    assert len(shown.text) == text.SHOWN
    assert len(shown.tokens) == 1


@given(json_values)
def test_a_value_in_one_line_is_short(value: Any) -> None:
    """Whatever it is."""
    assert len(text.one_line(value, 40)) <= 40


# -- hints -----------------------------------------------------------------------------------------


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


@attrs.frozen
class Item:
    sku: str
    size: Size


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str
    total: Decimal
    at: datetime
    items: list[Item]
    first: Item
    way: Literal["post", "bike"]
    note: str | None = None


def test_a_hint_is_a_document_of_the_class() -> None:
    """An event with the example as its data could be sent; patterns and flowgen's own events have no hint."""
    app = App("shop")

    @app.workflow(on=[OnEvent(OrderPlaced), OnEvent("order/*"), OnEvent("flowgen/run.failed")])
    def fulfil(ctx: Any) -> Any:
        yield from ()

    @app.workflow(on=OnEvent("cart/left"))
    def remind(ctx: Any) -> Any:
        yield from ()

    cart, order = hints.hints_of([app])
    assert (cart.name, cart.example, cart.fields) == ("cart/left", None, ())
    assert order.example == {
        "order_id": "",
        "total": "0",
        "at": "2026-01-01T00:00:00+00:00",
        "items": [],
        "first": {"sku": "", "size": "small"},
        "way": "post",
        "note": "",
    }
    assert [(field.name, field.type) for field in order.fields][4:] == [
        ("first", "Item"),
        ("way", "Literal['post', 'bike']"),
        ("note", "str | None"),
    ]


def test_a_class_that_holds_itself_has_an_end() -> None:
    """The example stops after some levels."""

    @attrs.define
    class Tree:
        left: Any
        right: Any

    Tree.__annotations__ = {"left": Tree, "right": Tree}
    assert hints.example(Tree) is not None


# -- charts ----------------------------------------------------------------------------------------

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
counts = st.dictionaries(st.sampled_from(["open", "parked", "completed", "failed", "cancelled"]), st.integers(1, 10**6))


@given(st.lists(counts, min_size=1, max_size=60))
def test_bars_fit_into_the_chart(found: list[dict[str, int]]) -> None:
    """Parts of a bar stand on each other, and none is taller than the chart; nothing is drawn of nothing."""
    buckets = [Bucket(NOON + timedelta(minutes=n), each, True) for n, each in enumerate(found)]
    drawn = chart.chart(buckets, NOON + timedelta(minutes=len(found)))
    assert drawn.most == max(sum(each.values()) for each in found)
    assert len(drawn.columns) == len(found)
    for column, each in zip(drawn.columns, found, strict=True):
        assert 0 <= column.x < column.x + column.width <= 100.1
        assert bool(column.parts) == bool(each)
        below = chart.HEIGHT
        for part in column.parts:
            assert part.top >= -0.01
            assert part.top + part.height <= below + 0.02
            below = part.top


def test_a_chart_of_nothing_is_empty() -> None:
    """What is not counted is not drawn."""
    assert chart.chart((), NOON).columns == ()
    assert chart.chart((), NOON).most == 0


@given(st.integers(10**15, 2 * 10**15), st.sampled_from(sorted(pages.PERIODS.values())))
def test_a_chart_moves_in_whole_bars(now: int, seconds: int) -> None:
    """It holds now, spans the period, and an instant later it is the same."""
    after, before = chart.span_of(now, seconds)
    assert (before - after).total_seconds() == seconds
    assert chart.span_of(now + 1, seconds)[1] - before in (timedelta(0), timedelta(seconds=seconds / chart.BARS))
    assert before.timestamp() * 1e6 >= now > after.timestamp() * 1e6


# -- lines and choices -----------------------------------------------------------------------------

BOOM = Failure("ValueError", "boom")


def test_results_that_a_rerun_may_edit() -> None:
    """Those of steps that came back, by position; of a wait, the data of its event; of a failed step, nothing yet."""
    records: list[Record] = [
        Started(0, "d"),
        StepSucceeded(1, "load", Json(b'{"x": 1}')),
        StepFailed(2, "charge", BOOM),
        StepSucceeded(3, "approval", Json(b'{"name": "a", "data": {"by": "ada"}}'), "wait"),
        Requested(4, "nap", "sleep", "", SleepTerms(9)),
        StepSucceeded(9, "nap", NULL, "sleep"),
    ]
    choices = run_detail.step_choices(records)
    assert [(c.id, c.first, c.outcome, c.value) for c in choices] == [
        ("load", 1, 1, '{\n  "x": 1\n}'),
        ("charge", 2, 2, ""),
        ("approval", 3, 3, '{\n  "by": "ada"\n}'),
        ("nap", 4, None, ""),
    ]


def test_the_history_tells_what_a_retry_took_back() -> None:
    """Each record is a line; those that do not count any more are marked."""
    records: list[Record] = [
        Started(0, "d"),
        StepFailed(2_500_000, "charge", BOOM),
        Retried(3_000_000, 0, 1, ("charge",)),
        EndCompleted(4_000_000, Json(b'"ok"')),
    ]
    lines = run_detail.history_lines(records)
    assert [(line.after, line.verb, line.counts) for line in lines] == [
        ("+0.000s", "started", True),
        ("+2.500s", "failed", False),
        ("+3.000s", "retried", True),
        ("+4.000s", "completed", True),
    ]


@pytest.mark.parametrize(
    "status, verbs",
    [
        ("running", {"cancel", "rerun"}),
        ("collecting", {"cancel"}),
        ("parked", {"cancel", "retry", "rerun"}),
        ("failed", {"retry", "rerun"}),
        ("completed", {"rerun"}),
        ("skipped", {"rerun"}),
    ],
)
def test_what_one_may_do_to_a_run(status: str, verbs: set[str]) -> None:
    """Nothing is offered that would be refused for its state."""
    assert run_detail.may(status) == verbs


def test_the_page_of_a_run_has_only_so_much_room() -> None:
    """A thousand steps with large results are a page like any other: what is beyond is cut, and cannot be edited."""
    large = Json(b'"' + b"x" * 20_000 + b'"')
    records: list[Record] = [Started(0, "d"), *(StepSucceeded(n, f"step:{n}", large) for n in range(1, 1_001))]
    row = RunRow("shop", "r", "fulfil", 0, 0, started_at=0, length=len(records))
    picture = run_detail.picture(waterfall(row, records, 2_000), records, is_open=True)
    shown = [drawn.value for drawn in picture.rows if drawn.value is not None]
    assert sum(len(value.text) for value in shown) <= text.ALL_SHOWN
    assert [value.cut for value in shown] == sorted(value.cut for value in shown)
    assert picture.left_out == 1
    choices = run_detail.step_choices(records)
    assert sum(len(choice.value) for choice in choices) <= text.ALL_SHOWN
    assert {choice.outcome is None for choice in choices} == {True, False}
