"""The arithmetic of rate limits and throttles, against the words of the semantics."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from flowgen.limits import Limited, rate_limit, throttle
from flowgen.outcome import Json
from tests.bodies import SECOND, START

TIMES = st.lists(st.integers(0, 50), max_size=40).map(sorted)
CLOCKS = st.lists(st.integers(0, 50), max_size=40)
"""Times that also go back: decisions of processes whose clocks differ."""


def admitted(times: list[int], limit: int, per: int) -> list[int]:
    """The times at which a rate limit lets a start through."""
    state: Json | None = None
    through = []
    for now in times:
        said = rate_limit(state, now, limit, per)
        if said.at is not None:
            state = said.state
            through.append(said.at)
    return through


def turns(times: list[int], limit: int, per: int, burst: int) -> list[int]:
    """The times at which a throttle has starts happen."""
    state: Json | None = None
    starts = []
    for now in times:
        said = throttle(state, now, limit, per, burst)
        assert said.at is not None
        state = said.state
        starts.append(said.at)
    return starts


# -- rate limit ------------------------------------------------------------------------------------


def test_the_first_start_is_let_through_now() -> None:
    """Its time is kept for as long as it counts."""
    assert rate_limit(None, START, 1, SECOND) == Limited(START, Json(b"[%d]" % START), START + SECOND)


def test_a_refusal_leaves_the_state_alone() -> None:
    """What is refused uses nothing up."""
    state = rate_limit(None, START, 1, SECOND).state
    said = rate_limit(state, START + 1, 1, SECOND)
    assert (said.at, bytes(said.state)) == (None, bytes(state))


def test_the_window_is_half_open() -> None:
    """(now - per, now]: a start exactly one period ago does not count any more."""
    state = rate_limit(None, START, 1, SECOND).state
    assert rate_limit(state, START + SECOND - 1, 1, SECOND).at is None
    assert rate_limit(state, START + SECOND, 1, SECOND).at == START + SECOND


def test_a_clock_that_is_behind_counts_as_the_newest_time() -> None:
    """So nothing is let through because a clock was late."""
    state = rate_limit(None, START, 2, SECOND).state
    late = rate_limit(state, START - 10 * SECOND, 2, SECOND)
    assert late.at == START
    assert rate_limit(late.state, START + SECOND - 1, 2, SECOND).at is None


def test_only_what_counts_is_kept() -> None:
    """The state does not grow beyond the limit."""
    state: Json | None = None
    for n in range(100):
        said = rate_limit(state, START + n * SECOND, 3, 3 * SECOND)
        state = said.state
    assert state is not None
    assert len(bytes(state)) == len(f"[{START},{START},{START}]")


def test_a_limit_that_was_lowered_holds_at_once() -> None:
    """Even though more were let through before."""
    state = rate_limit(rate_limit(None, START, 5, SECOND).state, START, 5, SECOND).state
    assert rate_limit(state, START + 1, 1, SECOND).at is None


@given(CLOCKS, st.integers(1, 5), st.integers(1, 10))
def test_no_window_holds_more_than_the_limit(times: list[int], limit: int, per: int) -> None:
    """Whatever the clocks say."""
    through = admitted(times, limit, per)
    assert through == sorted(through)
    for end in range(60):
        assert len([at for at in through if end - per < at <= end]) <= limit


@given(TIMES, st.integers(1, 5), st.integers(1, 10))
def test_it_lets_through_whatever_it_may(times: list[int], limit: int, per: int) -> None:
    """Each start is let through exactly if its window has room."""
    through: list[int] = []
    for now in times:
        if len([at for at in through if now - per < at <= now]) < limit:
            through.append(now)
    assert admitted(times, limit, per) == through


# -- throttle --------------------------------------------------------------------------------------


def test_a_burst_happens_at_once_and_the_others_one_by_one() -> None:
    """Then one each per / limit."""
    assert turns([0] * 5, 2, 20, 3) == [0, 0, 0, 10, 20]


def test_a_pause_refills_the_burst_and_no_more() -> None:
    """However long it is."""
    assert turns([0, 0, 100, 100, 100], 2, 20, 2) == [0, 0, 100, 100, 110]


def test_a_part_of_a_microsecond_is_rounded_up() -> None:
    """Three per ten are one each four, so that no ten hold four."""
    assert turns([0] * 4, 3, 10, 1) == [0, 4, 8, 12]


def test_a_state_that_has_expired_is_no_state() -> None:
    """From its expiry on both say the same: that is when it may be forgotten."""
    said = throttle(None, 0, 1, 10, 2)
    for burst in (1, 2):
        for now in range(said.expires_at, said.expires_at + 20):
            assert throttle(said.state, now, 1, 10, burst) == throttle(None, now, 1, 10, burst)


@given(CLOCKS, st.integers(1, 5), st.integers(5, 20), st.integers(1, 4))
def test_nobody_is_early_and_nobody_overtakes(times: list[int], limit: int, per: int, burst: int) -> None:
    """Each start happens at its time or later, in the order in which they were asked for if clocks agree."""
    starts = turns(times, limit, per, burst)
    assert all(start >= now for start, now in zip(starts, times, strict=True))
    if times == sorted(times):
        assert starts == sorted(starts)


@given(TIMES, st.integers(1, 5), st.integers(5, 20), st.integers(1, 4))
def test_starts_keep_their_spacing(times: list[int], limit: int, per: int, burst: int) -> None:
    """Of any burst + n starts the last is n intervals after the first; without a burst all are an interval apart."""
    starts = turns(times, limit, per, burst)
    interval = -(-per // limit)
    for first in range(len(starts)):
        for last in range(first + burst, len(starts)):
            assert starts[last] - starts[first] >= (last - first - burst + 1) * interval
    if burst == 1:
        assert all(after - before >= interval for before, after in pairwise(starts))


@given(TIMES, st.integers(1, 5), st.integers(5, 20), st.integers(1, 4))
def test_nobody_waits_longer_than_that(times: list[int], limit: int, per: int, burst: int) -> None:
    """A start that is delayed is exactly as far behind some earlier one as the spacing says."""
    starts = turns(times, limit, per, burst)
    interval = -(-per // limit)
    for n, (now, start) in enumerate(zip(times, starts, strict=True)):
        tight = any(start - starts[first] == (n - first - burst + 1) * interval for first in range(n))
        assert start == now or tight
