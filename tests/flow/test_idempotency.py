"""Idempotency: one run per key in 24 hours, and for as long as the first one is open."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnEvent, Restart, Run, Sleep, Steps
from flowgen.flow_control import RateLimit, Singleton
from flowgen.testing import Cancel, Faults
from tests.flow.scenes import (
    FAULTS,
    SECOND,
    SEEDS,
    at,
    data_of,
    go,
    numbers,
    played,
    runs,
    scene,
    statuses,
    take,
)

HOUR = 3600
DAY = 24 * HOUR


def sleeper(**options: Any) -> App:
    """An app whose workflow `work` sleeps for as many hours as its event says (`hours`)."""
    app = App("sleeper")

    @app.workflow(id="work", on=OnEvent("go"), **options)
    def work(ctx: Context) -> Steps[list[int]]:
        yield Sleep("nap", ctx.event.data.get("hours", 0) * HOUR)
        return [ctx.event.data["n"]]

    return app


# -- the sentences ---------------------------------------------------------------------------------


def test_a_second_event_with_the_key_is_skipped_and_names_the_first_run() -> None:
    """Recorded as a run that was skipped, with the first run's id."""
    trace = played(scene(idempotency="event.data.k"), [go(0, k="a"), go(1, k="a"), go(2, k="b")])
    assert statuses(trace) == ["completed", "skipped", "completed"]
    assert trace.run("work", 1).reason == f"run {trace.run('work').id} has the same idempotency key"


def test_a_key_is_remembered_for_a_day() -> None:
    """To the microsecond: 24 hours later it is free."""
    events = [at(0, go(0)), at(DAY - 0.000001, go(1)), at(DAY, go(2)), at(DAY + 1, go(3))]
    trace = played(scene(idempotency="'all'"), events)
    assert numbers(trace) == [[0], [2]]


def test_it_is_remembered_for_as_long_as_the_first_run_is_open() -> None:
    """However long that is; and no longer, once it is older than a day."""
    trace = played(
        sleeper(idempotency="'all'"),
        [at(0, go(0, hours=72)), at(2 * DAY, go(1)), at(3 * DAY + 1, go(2)), at(3 * DAY + 2, go(3))],
    )
    assert statuses(trace) == ["completed", "skipped", "completed", "skipped"]


def test_a_run_that_restarts_is_still_open() -> None:
    """Its successor goes on with what it was started for."""
    app = App("long")

    @app.workflow(id="work", on=OnEvent("go"), idempotency="'all'")
    def work(ctx: Context) -> Steps[int]:
        yield Sleep("a night", "20h")
        left = ctx.event.data.get("left", 3)
        if left:
            yield Restart({"left": left - 1})
        return 0

    trace = played(app, [at(0, go(0)), at(70 * HOUR, go(1)), at(81 * HOUR, go(2))])
    skipped = runs(trace, status="skipped")
    assert [run.recorded.row.created_at - trace.started_at for run in skipped] == [70 * HOUR * SECOND]
    assert skipped[0].reason == f"run {trace.run('work').id} has the same idempotency key"


def test_the_end_of_the_first_run_makes_no_difference_within_the_day() -> None:
    """Failed or cancelled, it was the one run."""
    events = [at(0, go(0, takes=60)), at(30, Cancel("work")), at(120, go(1))]
    assert statuses(played(scene(idempotency="'all'"), events)) == ["cancelled", "skipped"]


def test_a_key_is_taken_only_by_an_event_that_passes() -> None:
    """What the rate limit or a singleton refuses leaves it free for the next."""
    limited = scene(idempotency="event.data.k", rate_limit=RateLimit(1, per="10s"))
    trace = played(limited, [go(0, k="a"), go(1, k="b"), at(10, go(2, k="b"))])
    assert statuses(trace) == ["completed", "skipped", "completed"]
    single = scene(idempotency="event.data.k", singleton=Singleton())
    trace = played(single, [go(0, k="a", takes=5), go(1, k="b"), at(10, go(2, k="b"))])
    assert statuses(trace) == ["completed", "skipped", "completed"]


def test_a_missing_path_is_null_and_a_key_like_any_other() -> None:
    """Events without the value are one run a day; nothing is not zero, nor the empty text."""
    trace = played(scene(idempotency="event.data.k"), [go(0), go(1, k=None), go(2, k=0), go(3, k=""), go(4, k=0.0)])
    assert numbers(trace) == [[0], [2], [3]]


def test_a_key_that_fails_affects_only_its_event() -> None:
    """It is skipped with the error, and takes no key."""
    trace = played(scene(idempotency="event.data.k + 1"), [go(0, k="text"), go(1, k=1), go(2), go(3, k=2)])
    assert statuses(trace) == ["skipped", "completed", "skipped", "completed"]


def test_a_slow_expression_affects_only_its_event() -> None:
    """One that would take too long on an event is an error there, not a halt for all."""
    loop = "event.data.items.all(a, event.data.items.all(b, event.data.items.all(c, a + b + c >= 0))) ? 1 : 2"
    trace = played(scene(idempotency=loop), [go(0, items=list(range(1000))), go(1, items=[1])])
    assert statuses(trace) == ["skipped", "completed"]
    assert "would take too long" in (trace.run("work").reason or "")


def test_a_huge_key_is_a_key() -> None:
    """Its text is hashed: equal values are one key, others are not."""
    huge = "x" * 100_000
    trace = played(scene(idempotency="event.data.k"), [go(0, k=huge), go(1, k=huge), go(2, k=huge + "y")])
    assert numbers(trace) == [[0], [2]]


def test_each_workflow_has_keys_of_its_own() -> None:
    """The same expression in another workflow is another key."""
    app = scene(idempotency="event.data.k")

    @app.workflow(id="other", on=OnEvent("go"), idempotency="event.data.k")
    def other(ctx: Context) -> Steps[Any]:
        return (yield Run(take, [ctx.event.data["n"]], 0))

    trace = played(app, [go(0, k="a"), go(1, k="a")])
    assert numbers(trace) == numbers(trace, "other") == [[0]]


# -- ids of events ---------------------------------------------------------------------------------


def test_an_event_id_is_remembered_for_as_long_as_what_it_started_is_open() -> None:
    """A day, and longer if a run of it is open, or what that restarted as."""
    app = App("long")

    @app.workflow(id="work", on=OnEvent("go"))
    def work(ctx: Context) -> Steps[int]:
        yield Sleep("a night", "20h")
        if ctx.event.data.get("left", 2):
            yield Restart({"left": ctx.event.data.get("left", 2) - 1})
        return 0

    same = Event("go", {"n": 0}, id="one")
    trace = played(app, [at(0, same), at(50 * HOUR, same), at(61 * HOUR, same)])
    firsts = [run for run in runs(trace) if not any(run.id == other.restarted_as for other in runs(trace))]
    assert [(run.recorded.row.created_at - trace.started_at) // SECOND for run in firsts] == [0, 61 * HOUR]


# -- the rule --------------------------------------------------------------------------------------


@given(
    seed=SEEDS,
    workers=st.integers(1, 3),
    faults=FAULTS,
    works=st.lists(
        st.tuples(st.integers(0, 60), st.sampled_from("ab"), st.sampled_from([0, 0, 30])), min_size=1, max_size=10
    ),
)
@settings(max_examples=50)
def test_one_run_a_key_in_a_day_and_while_the_first_is_open(
    seed: int, workers: int, faults: Faults, works: list[tuple[int, str, int]]
) -> None:
    """Whatever goes wrong: of the runs with a key that were not skipped, each begins a day after the one before it, or
    later if that took longer; and each that was skipped had another one before it."""
    app = sleeper(idempotency="event.data.k")
    events = [at(hour * HOUR, go(n, k=key, hours=hours)) for n, (hour, key, hours) in enumerate(sorted(works))]
    trace = played(app, events, seed=seed, workers=workers, faults=faults)
    assert len(runs(trace)) == len(works)
    for key in "ab":
        mine = [run for run in runs(trace) if data_of(run.recorded.events[0])["k"] == key]
        free_at = None
        for run in sorted(mine, key=lambda run: run.recorded.row.created_at):
            row = run.recorded.row
            if run.status == "skipped":
                assert free_at is not None
                assert row.created_at <= free_at + SECOND
                continue
            assert run.status == "completed"
            assert free_at is None or row.created_at >= free_at - SECOND
            assert row.ended_at is not None
            free_at = max(row.created_at + DAY * SECOND, row.ended_at)
