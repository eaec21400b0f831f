"""Singleton: one open run a key; `skip` records a skipped run, `cancel` lets the new one follow the old one's end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, Invoke, OnEvent, Restart, Run, RunCancelled, Sleep, StepError, Steps
from flowgen.flow_control import Debounce, Singleton, Throttle, Timeouts
from flowgen.history import Started
from flowgen.testing import Cancel, Faults, Retry, RunTrace, Trace
from tests.flow.scenes import (
    FAULTS,
    SECOND,
    SEEDS,
    at,
    data_of,
    ended,
    go,
    numbers,
    played,
    runs,
    scene,
    started,
    statuses,
)

SKIP = Singleton()
REPLACE = Singleton(mode="cancel")


def test_while_a_run_is_open_another_is_skipped() -> None:
    """It is recorded, with the run that is in its way."""
    trace = played(scene(singleton=SKIP), [at(0, go(1, takes=10)), at(5, go(2))])
    assert statuses(trace) == ["completed", "skipped"]
    assert trace.run("work").id in str(trace.run("work", 1).reason)


def test_after_its_end_the_next_one_starts() -> None:
    """However it ended."""
    events = [at(0, go(1, takes=10)), at(11, go(2, takes=10)), at(12, Cancel("work", 1)), at(13, go(3))]
    trace = played(scene(singleton=SKIP), events)
    assert statuses(trace) == ["completed", "cancelled", "completed"]


def test_a_run_that_waits_is_open() -> None:
    """Sleeping does not let another one in."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), singleton=SKIP)
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("long", "1d")

    trace = played(app, [at(0, go(1)), at(80_000, go(2)), at(86_401, go(3))])
    assert statuses(trace) == ["completed", "skipped", "completed"]


def test_each_key_has_its_own() -> None:
    """A run of another key is in nobody's way; what is not there is the key null."""
    events = [at(0, go(1, k="a", takes=10)), at(1, go(2, k="b")), at(2, go(3)), at(3, go(4, k="a"))]
    trace = played(scene(singleton=Singleton(key="event.data.k")), events)
    assert statuses(trace) == ["completed", "completed", "completed", "skipped"]


def test_a_key_that_fails_affects_only_its_event() -> None:
    """That event's run is skipped, and takes nothing."""
    app = scene(singleton=Singleton(key="event.data.k + 'x'"))
    trace = played(app, [at(0, go(1)), at(1, go(2, k="a"))])
    assert statuses(trace) == ["skipped", "completed"]


def test_with_cancel_the_new_run_replaces_the_old_one() -> None:
    """The old one is cancelled with the reason, and the new one starts when it has ended."""
    trace = played(scene(singleton=REPLACE), [at(0, go(1, takes=60)), at(5, go(2, takes=1))])
    assert statuses(trace) == ["cancelled", "completed"]
    assert trace.run("work", 1).id in str(trace.run("work").reason)
    assert started(trace.run("work", 1), trace) == 5


def slow_to_end() -> App:
    """`work` needs 20 seconds to clean up after it was cancelled."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), singleton=REPLACE)
    def work(ctx: Context) -> Steps[list[int]]:
        n = ctx.event.data["n"]
        try:
            yield Run("work", trio.sleep, 60)
        except RunCancelled:
            yield Run("clean up", trio.sleep, 20)
            raise
        return [n]

    return app


def test_until_the_old_one_has_ended_the_new_one_is_scheduled() -> None:
    """Its clean-up is waited for."""
    trace = played(slow_to_end(), [at(0, go(1)), at(5, go(2))])
    assert (ended(trace.run("work"), trace), started(trace.run("work", 1), trace)) == (25, 25)
    early = played(slow_to_end(), [at(0, go(1)), at(5, go(2))], until="10s")
    assert statuses(early) == ["cancelling", "scheduled"]
    assert "waits for the run that it replaces" in str(early.run("work", 1).reason)


def test_a_third_replaces_the_second() -> None:
    """The second ends without having started; the third starts when the first has ended."""
    trace = played(slow_to_end(), [at(0, go(1)), at(5, go(2)), at(10, go(3))])
    assert statuses(trace) == ["cancelled", "cancelled", "completed"]
    assert trace.executed("work", trace.run("work", 1)) == []
    assert ended(trace.run("work", 1), trace) == 10
    assert started(trace.run("work", 2), trace) == 25


def test_a_second_that_is_cancelled_gives_its_place_back() -> None:
    """While the first cleans up the key is not free: a newcomer waits for it, and starts when it has ended."""
    trace = played(slow_to_end(), [at(0, go(1)), at(5, go(2)), at(10, Cancel("work", 1)), at(12, go(3))])
    assert statuses(trace) == ["cancelled", "cancelled", "completed"]
    assert started(trace.run("work", 2), trace) == 25


def test_one_that_waits_may_run_out_of_time() -> None:
    """Its start timeout counts while it waits for the old one; then it ends, and the key with it."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), singleton=REPLACE, timeouts=Timeouts(start="10s"))
    def work(ctx: Context) -> Steps[None]:
        try:
            yield Run("work", trio.sleep, ctx.event.data.get("takes", 60))
        except RunCancelled:
            yield Run("clean up", trio.sleep, 20)
            raise

    trace = played(app, [at(0, go(1)), at(5, go(2)), at(40, go(3, takes=1))])
    assert statuses(trace) == ["cancelled", "cancelled", "completed"]
    assert "did not start in time" in str(trace.run("work", 1).reason)
    assert ended(trace.run("work", 1), trace) == 15


def test_a_successor_takes_the_key() -> None:
    """A run that restarts is open for as long as its successors are: others are skipped, until the last has ended."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), singleton=SKIP)
    def work(ctx: Context) -> Steps[Any]:
        n = ctx.event.data["n"]
        yield Sleep("a while", "10s")
        return Restart({"n": n - 1}) if n else n

    trace = played(app, [at(0, go(2)), at(15, go(0)), at(25, go(0)), at(35, go(0))])
    assert sorted(statuses(trace)) == ["completed"] * 4 + ["skipped"] * 2
    skipped = [run.recorded.row.created_at - trace.started_at for run in runs(trace, status="skipped")]
    assert skipped == [15 * SECOND, 25 * SECOND]


def test_a_successor_is_replaced_like_any_run() -> None:
    """With `cancel`, the newcomer replaces whichever run has the key now."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), singleton=REPLACE)
    def work(ctx: Context) -> Steps[Any]:
        yield Sleep("a while", "10s")
        return Restart({"n": 1}) if not ctx.event.data.get("last") else 7

    trace = played(app, [at(0, go(1)), at(25, go(2, last=True))])
    assert statuses(trace) == ["completed", "completed", "cancelled", "completed"]
    assert started(trace.run("work", 3), trace) == 25


def test_a_throttled_run_has_the_key() -> None:
    """Singleton comes before throttle: a run that has not started yet is open, and skips the next."""
    app = scene(singleton=SKIP, throttle=Throttle(1, per="10s"))
    trace = played(app, [at(0, go(1)), at(1, go(2)), at(2, go(3))])
    assert statuses(trace) == ["completed", "completed", "skipped"]
    assert started(trace.run("work", 1), trace) == 10


def test_a_skipped_run_uses_no_throttle() -> None:
    """What is skipped takes no place in the row of starts."""
    app = scene(singleton=SKIP, throttle=Throttle(1, per="10s"))
    trace = played(app, [at(0, go(1, takes=5)), at(1, go(2)), at(2, go(3)), at(6, go(4))])
    assert statuses(trace) == ["completed", "skipped", "skipped", "completed"]
    assert started(trace.run("work", 3), trace) == 10


def test_a_replacement_obeys_the_throttle() -> None:
    """It starts when the old one has ended, and not before its place in the row of starts."""
    app = scene(singleton=REPLACE, throttle=Throttle(1, per="10s"))
    trace = played(app, [at(0, go(1, takes=60)), at(4, go(2))])
    assert statuses(trace) == ["cancelled", "completed"]
    assert started(trace.run("work", 1), trace) == 10


def test_a_debounced_run_is_skipped_when_it_would_open() -> None:
    """Singleton is asked when the collecting is closed, not when the events came."""
    app = scene(singleton=SKIP, debounce=Debounce("5s"))
    trace = played(app, [at(0, go(1, takes=20)), at(10, go(2)), at(30, go(3))])
    assert statuses(trace) == ["completed", "skipped", "completed"]
    assert numbers(trace) == [[1], [3]]


def test_a_step_that_invokes_a_skipped_run_fails_at_once() -> None:
    """It does not wait for something that will not be."""
    app = scene(on=OnEvent("go"), singleton=SKIP)

    @app.workflow(on=OnEvent("call"))
    def caller(ctx: Context) -> Steps[str]:
        try:
            yield Invoke("ask", "work", {"n": 2})
        except StepError as error:
            return f"{error.error_type}: {error.message}"
        return "answered"

    trace = played(app, [at(0, go(1, takes=60)), at(1, Event("call"))])
    assert "RunSkipped" in trace.run("caller").result
    assert ended(trace.run("caller"), trace) == 1


def test_a_failed_run_that_is_retried_takes_the_key_again() -> None:
    """While it goes on, others are skipped; and once it has ended the key is free."""
    app = App("flow")
    tries = []

    def once(n: int) -> int:
        tries.append(n)
        if len(tries) == 1:
            raise ValueError("no")
        return n

    @app.workflow(on=OnEvent("go"), singleton=SKIP, retries=0)
    def work(ctx: Context) -> Steps[int]:
        n = yield from Run(once, ctx.event.data["n"])
        yield Sleep("a while", "10s")
        return n

    trace = played(app, [at(0, go(1)), at(5, Retry("work")), at(8, go(2)), at(20, go(3))])
    assert statuses(trace) == ["completed", "skipped", "completed"]


# -- against a model ---------------------------------------------------------------------------------

Sent = tuple[int, int, str]
SENT = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 30), st.sampled_from("ab")), min_size=1, max_size=12).map(
    sorted
)
"""(second, seconds that it takes, key): what takes a whole number of seconds ends half a second later."""


def sent_events(sent: Sequence[Sent]) -> list[tuple[float, Event[dict[str, object]]]]:
    """The events."""
    return [at(second, go(n, takes=takes + 0.5, k=key)) for n, (second, takes, key) in enumerate(sent)]


def skipping(sent: Sequence[Sent]) -> list[str]:
    """The state of each event's run, from the semantics alone."""
    until = {"a": 0.0, "b": 0.0}
    expected = []
    for second, takes, key in sent:
        skipped = second < until[key]
        expected.append("skipped" if skipped else "completed")
        until[key] = until[key] if skipped else second + takes + 0.5
    return expected


def replacing(sent: Sequence[Sent]) -> list[str]:
    """The state of each event's run: cancelled if the next of its key came before its end."""
    expected = []
    for n, (second, takes, key) in enumerate(sent):
        later = [other for other, _, its_key in sent[n + 1 :] if its_key == key]
        expected.append("cancelled" if later and later[0] < second + takes + 0.5 else "completed")
    return expected


@given(seed=SEEDS, sent=SENT, workers=st.integers(1, 3))
@settings(max_examples=50)
def test_skip_is_as_the_model_says(seed: int, sent: list[Sent], workers: int) -> None:
    """Which events are skipped, and which are not."""
    app = scene(singleton=Singleton(key="event.data.k"))
    trace = played(app, sent_events(sent), seed=seed, workers=workers)
    assert statuses(trace) == skipping(sent), trace.timeline()


@given(seed=SEEDS, sent=SENT)
@settings(max_examples=50)
def test_cancel_is_as_the_model_says(seed: int, sent: list[Sent]) -> None:
    """Which runs are cancelled, and that each other one completes. (With several workers a cancel may take until the
    next heartbeat to reach the run, so that the times shift.)"""
    app = scene(singleton=Singleton(key="event.data.k", mode="cancel"))
    trace = played(app, sent_events(sent), seed=seed)
    assert statuses(trace) == replacing(sent), trace.timeline()


def one_at_a_time(trace: Trace) -> None:
    """Of each key, no run's code starts before the one that started before it has ended: in the order of commits."""
    keys = {run.name: data_of(run.recorded.events[0])["k"] for run in runs(trace) if began(run)}
    at_work: dict[str, str] = {}
    for entry in trace.entries:
        name, _, rest = entry.what.partition(" ")
        if name in keys and rest == "starts":
            assert keys[name] not in at_work, trace.timeline()
            at_work[keys[name]] = name
        elif name in keys and rest.startswith("ends"):
            assert at_work.pop(keys[name]) == name, trace.timeline()


def began(run: RunTrace) -> bool:
    """Whether the run's code ran: one that is cancelled before names no code in its first record."""
    return bool(run.history) and isinstance(run.history[0], Started) and run.history[0].digest != ""


@given(seed=SEEDS, sent=SENT, faults=FAULTS, workers=st.integers(1, 3), mode=st.sampled_from(["skip", "cancel"]))
@settings(max_examples=80)
def test_no_fault_opens_two(seed: int, sent: list[Sent], faults: Faults, workers: int, mode: str) -> None:
    """Whatever happens, of each key one run at a time is started and not ended, and nobody waits for ever."""
    app = scene(singleton=Singleton(key="event.data.k", mode="skip" if mode == "skip" else "cancel"))
    trace = played(app, sent_events(sent), seed=seed, workers=workers, faults=faults)
    one_at_a_time(trace)
    assert len(runs(trace)) == len(sent)
    for key in {key for _, _, key in sent}:
        of_key = [run for run, (_, _, its_key) in zip(runs(trace), sent, strict=True) if its_key == key]
        if mode == "skip":
            assert {run.status for run in of_key} <= {"completed", "skipped"}
            assert of_key[0].status == "completed"
        else:
            assert {run.status for run in of_key} <= {"completed", "cancelled"}
            assert of_key[-1].status == "completed"
