"""Rate limit: at most `limit` starts in any window (t - per, t]; what is too much is recorded as skipped."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import Event
from flowgen.flow_control import RateLimit, Singleton
from flowgen.testing import Faults, RunTrace, Trace
from tests.flow.scenes import FAULTS, SECOND, SEEDS, at, go, numbers, played, runs, scene, statuses

LIMIT, PER = 3, 10
TIMES = st.lists(st.integers(0, 80).map(lambda half: half / 2), max_size=20).map(sorted)


# -- the sentences ---------------------------------------------------------------------------------


def test_what_is_too_much_is_skipped_with_the_reason() -> None:
    """It is a run that says so, not an event that vanished; it executes nothing."""
    trace = played(scene(rate_limit=RateLimit(2, per="10s")), [go(1), go(2), go(3)])
    assert statuses(trace) == ["completed", "completed", "skipped"]
    assert trace.run("work", 2).reason == "the rate limit is used up: RateLimit(2, per='10s')"
    assert len(trace.executions) == 2


def test_the_window_slides() -> None:
    """No burst hides across the end of a fixed window: four in two seconds are never let in."""
    events = [at(second, go(n)) for n, second in enumerate([9, 9.5, 10.5, 11])]
    trace = played(scene(rate_limit=RateLimit(2, per="10s")), events)
    assert numbers(trace) == [[0], [1]]


def test_the_window_is_half_open() -> None:
    """(t - per, t]: exactly one period later there is room again, a microsecond before there is not."""
    events = [at(0, go(0)), at(9.999999, go(1)), at(10, go(2)), at(19.999999, go(3))]
    trace = played(scene(rate_limit=RateLimit(1, per="10s")), events)
    assert numbers(trace) == [[0], [2]]


def test_what_is_skipped_uses_nothing_up() -> None:
    """However many are refused, the next one is let in as soon as the first of the window is out of it."""
    events = [at(second, go(second)) for second in range(12)]
    trace = played(scene(rate_limit=RateLimit(1, per="10s")), events)
    assert numbers(trace) == [[0], [10]]


def test_each_key_has_a_window_of_its_own() -> None:
    """A missing path is null, and a key like any other."""
    events = [go(0, k="a"), go(1, k="b"), go(2, k="a"), go(3), go(4), go(5, k=None)]
    trace = played(scene(rate_limit=RateLimit(1, per="10s", key="event.data.k")), events)
    assert numbers(trace) == [[0], [1], [3]]


def test_a_repeated_event_uses_nothing_up() -> None:
    """An event with an id that was accepted before is the same event."""
    event = Event("go", {"n": 0}, id="one")
    trace = played(scene(rate_limit=RateLimit(2, per="10s")), [event, event, event, go(1), go(2)])
    assert statuses(trace) == ["completed", "completed", "skipped"]


def test_a_duplicate_by_idempotency_uses_nothing_up() -> None:
    """Idempotency comes first; a run that it refuses is not counted."""
    app = scene(rate_limit=RateLimit(2, per="10s"), idempotency="event.data.k")
    trace = played(app, [go(0, k="a"), go(1, k="a"), go(2, k="b"), go(3, k="c")])
    assert statuses(trace) == ["completed", "skipped", "completed", "skipped"]


def test_a_key_that_fails_affects_only_its_event() -> None:
    """It is skipped with the error; the others are counted as if it had not been."""
    app = scene(rate_limit=RateLimit(1, per="10s", key="event.data.k + 1"))
    trace = played(app, [go(0, k=1), go(1, k="text"), go(2), go(3, k=1)])
    assert statuses(trace) == ["completed", "skipped", "skipped", "skipped"]
    reasons = [run.reason or "" for run in runs(trace)]
    assert [reason.startswith("a key could not be worked out") for reason in reasons] == [False, True, True, False]


def test_a_later_key_that_fails_uses_nothing_up() -> None:
    """An event that could not have started a run anyway takes nobody's place in the window."""
    app = scene(rate_limit=RateLimit(1, per="10s"), singleton=Singleton(key="event.data.k + 1"))
    trace = played(app, [go(0, k="text"), go(1, k=1)])
    assert statuses(trace) == ["skipped", "completed"]


# -- the rule --------------------------------------------------------------------------------------


def model(times: Sequence[float], limit: int, per: float) -> list[bool]:
    """Which events start a run, by the words of the semantics alone."""
    admitted: list[float] = []
    answers = []
    for time in times:
        fits = len([earlier for earlier in admitted if time - per < earlier <= time]) < limit
        admitted += [time] if fits else []
        answers.append(fits)
    return answers


@given(seed=SEEDS, workers=st.integers(1, 3), times=TIMES, keys=st.lists(st.sampled_from("ab"), min_size=20))
@settings(max_examples=60)
def test_it_admits_whenever_it_may_and_never_else(seed: int, workers: int, times: list[float], keys: list[str]) -> None:
    """Without delays, with any number of workers, it decides as the model does for each key."""
    app = scene(rate_limit=RateLimit(LIMIT, per=f"{PER}s", key="event.data.k"))
    events = [(f"{int(time * 1000)}ms", go(n, k=keys[n])) for n, time in enumerate(times)]
    trace = played(app, events, seed=seed, workers=workers)
    expected: dict[int, bool] = {}
    for key in "ab":
        mine = [n for n in range(len(times)) if keys[n] == key]
        expected |= dict(zip(mine, model([times[n] for n in mine], LIMIT, PER), strict=True))
    assert [run.status == "completed" for run in runs(trace)] == [expected[n] for n in range(len(times))]


@given(seed=SEEDS, workers=st.integers(1, 3), times=TIMES, faults=FAULTS)
@settings(max_examples=60)
def test_no_window_ever_holds_too_many(seed: int, workers: int, times: list[float], faults: Faults) -> None:
    """Under any faults each event is one run; none of them is let in twice, and no window holds more than the limit.

    A run is created up to the delay of an answer after it was let in, so windows are measured that much shorter.
    """
    app = scene(rate_limit=RateLimit(LIMIT, per=f"{PER}s"))
    events = [(f"{int(time * 1000)}ms", go(n)) for n, time in enumerate(times)]
    trace = played(app, events, seed=seed, workers=workers, faults=faults)
    assert len(runs(trace)) == len(times)
    assert {run.status for run in runs(trace)} <= {"completed", "skipped"}
    let_in = sorted(created(run, trace) for run in runs(trace, status="completed"))
    for time in let_in:
        assert len([other for other in let_in if time - PER + 0.5 < other <= time]) <= LIMIT
    if times:
        assert let_in, "the first of all is let in"


def created(run: RunTrace, trace: Trace) -> float:
    """Seconds from the start to the creation of a run."""
    return (run.recorded.row.created_at - trace.started_at) / SECOND
