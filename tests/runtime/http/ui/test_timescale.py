"""From times to places: growing, within the picture, and with room for what was executed."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flowgen.duration import DAY, MILLISECOND, SECOND
from flowgen.runtime.http.ui.timescale import has_room, scale_of, ticks

times = st.integers(0, 400 * DAY)


@st.composite
def pictures(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]]]:
    """A span, and stretches of it and beyond in which something is executed."""
    begin = draw(times)
    end = begin + draw(times)
    stretch = st.tuples(st.integers(-SECOND, end - begin), st.integers(0, DAY))
    return begin, end, [(begin + at, begin + at + length) for at, length in draw(st.lists(stretch, max_size=8))]


@given(pictures(), st.lists(times, min_size=2))
def test_a_scale_grows_from_one_edge_to_the_other(
    picture: tuple[int, int, list[tuple[int, int]]], at: list[int]
) -> None:
    """Later is never further left, and nothing is outside."""
    begin, end, busy = picture
    scale = scale_of(begin, end, busy)
    places = [scale.place(begin - SECOND + each) for each in sorted(at)]
    assert places == sorted(places)
    assert all(0 <= place <= 100 for place in places)
    assert (scale.place(begin), scale.place(max(end, begin + MILLISECOND))) == (0.0, 100.0)


@given(pictures())
def test_what_is_executed_keeps_its_room(picture: tuple[int, int, list[tuple[int, int]]]) -> None:
    """A fifth of the width at least, and no stretch of it is narrower than it would be on a linear scale."""
    begin, end, busy = picture
    scale = scale_of(begin, end, busy)
    inside = sorted((max(a, begin), min(b, end)) for a, b in busy if max(a, begin) < min(b, end))
    room, reached = 0.0, begin
    for since, until in inside:
        width = scale.place(until) - scale.place(since)
        assert width >= 100 * (until - since) / max(MILLISECOND, end - begin) - 1e-6
        room += max(0.0, scale.place(until) - scale.place(max(since, reached)))
        reached = max(reached, until)
    if inside:
        assert room >= 20 - 1e-6 or not scale.breaks


@given(pictures())
def test_breaks_are_idle(picture: tuple[int, int, list[tuple[int, int]]]) -> None:
    """Where a scale is broken, nothing is executed, and breaks do not overlap."""
    begin, end, busy = picture
    scale = scale_of(begin, end, busy)
    for since, until in scale.breaks:
        assert begin <= since < until
        assert not any(a < until and b > since for a, b in busy if max(a, begin) < min(b, end) and a < b)
    assert all(a[1] <= b[0] for a, b in zip(scale.breaks, scale.breaks[1:], strict=False))


@given(pictures())
def test_ticks_are_few_and_in_order(picture: tuple[int, int, list[tuple[int, int]]]) -> None:
    """They begin with the beginning."""
    begin, end, busy = picture
    scale = scale_of(begin, end, busy)
    offsets = ticks(scale)
    assert offsets[0] == 0
    assert offsets == sorted(set(offsets))
    assert len(offsets) <= 12
    assert begin + offsets[-1] <= max(end, begin + MILLISECOND)


def test_a_run_that_sleeps_for_a_month_still_shows_its_seconds() -> None:
    """The second that it worked gets a third of the picture or more; the month is one break."""
    scale = scale_of(0, 30 * DAY + SECOND, [(0, SECOND // 2), (30 * DAY + SECOND // 2, 30 * DAY + SECOND)])
    assert scale.breaks == ((SECOND // 2, 30 * DAY + SECOND // 2),)
    assert scale.place(SECOND // 2) > 20


def test_a_run_that_works_most_of_the_time_is_linear() -> None:
    """Then half the time is half the way."""
    scale = scale_of(0, 10 * SECOND, [(0, 4 * SECOND)])
    assert scale.breaks == ()
    assert scale.place(5 * SECOND) == 50
    assert ticks(scale) == [0, 2 * SECOND, 4 * SECOND, 6 * SECOND, 8 * SECOND]


@given(st.integers(1_000, 400 * DAY))
def test_a_linear_scale_has_some_ticks(length: int) -> None:
    """Two at least, and not many more than five, however long it is."""
    assert 2 <= len(ticks(scale_of(0, length, [(0, length)]))) <= 11


def test_the_length_of_a_break_is_written_where_it_has_room() -> None:
    """Not over the text of the tick at which it begins."""
    wide = scale_of(0, DAY, [(0, SECOND), (DAY - SECOND, DAY)])
    assert [has_room(wide, gap, ticks(wide)) for gap in wide.breaks] == [True]
    bodies = [(0, SECOND), (20 * SECOND, 21 * SECOND), (3 * DAY - SECOND, 3 * DAY)]
    narrow = scale_of(0, 3 * DAY, bodies)
    assert [has_room(narrow, gap, ticks(narrow)) for gap in narrow.breaks] == [False, True]


@given(pictures())
def test_no_text_of_the_axis_stands_over_another(picture: tuple[int, int, list[tuple[int, int]]]) -> None:
    """Neither of ticks nor of breaks."""
    scale = scale_of(*picture)
    marked = ticks(scale)
    texts = [(place, place + 8) for place in (scale.place(scale.times[0] + offset) for offset in marked)]
    for since, until in scale.breaks:
        if has_room(scale, (since, until), marked):
            middle = (scale.place(since) + scale.place(until)) / 2
            texts.append((middle - 5, middle + 5))
    texts.sort()
    assert all(one[1] <= two[0] + 1e-6 for one, two in pairwise(texts))
