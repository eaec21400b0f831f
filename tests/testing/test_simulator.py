"""`simulate`: whole engines on virtual time, from a seed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from flowgen import (
    App,
    Context,
    DefinitionError,
    Event,
    OnCron,
    OnEvent,
    Restart,
    Run,
    Sleep,
    StepError,
    Steps,
    WaitFor,
)
from flowgen.errors import InvalidInput, NotFound
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import Cancel, Faults, Signal, Start, VirtualClock, check_invariants, simulate
from flowgen.testing.faults import CHANCES
from flowgen.transition import Wait

ROOT = Path(__file__).resolve().parents[2]

app = App("shop")


@attrs.frozen
class Paid:
    cents: int


def charge(order: str) -> Paid:
    """Never to be called in a test."""
    raise AssertionError(f"{order} was charged for real")


async def ask(order: str) -> str:
    return f"{order}!"


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context) -> Steps[Any]:
    order = ctx.event.data["order"]
    ctx.logger.warning("working on %s", order)
    answer = yield from Run(ask, order)
    try:
        paid = yield from Run(charge, order)
    except StepError as error:
        return error.error_type
    approved = yield WaitFor("approval", "order/approved", match="data.order", timeout="7d")
    yield Sleep("a year", "365d")
    return [answer, paid.cents, approved is not None]


PLACED = Event("order/placed", {"order": "7"})
APPROVED = Event("order/approved", {"order": "7"})


def test_a_year_passes_at_once() -> None:
    """All runs to their end, with events at their times; steps without a stub run for real."""
    trace = simulate(app, [PLACED, ("2h", APPROVED)], {"charge": Paid(5)})
    assert trace.run("fulfil").result == ["7!", 5, True]
    assert trace.finished
    assert trace.now == datetime(2027, 1, 1, 2, tzinfo=UTC)


# -- determinism -----------------------------------------------------------------------------------

FAULTS = Faults(
    crash=0.05,
    lost_lease=0.05,
    partition=0.05,
    pause=0.05,
    store_error=0.05,
    duplicate=0.1,
    delay=0.2,
    evict=0.3,
    slow=0.2,
    clock_jump=0.01,
    clock_skew="1h",
    clock_drift=0.05,
)


def timeline(seed: int) -> str:
    events = [PLACED, Event("order/placed", {"order": "8"}), ("1h", APPROVED)]
    return simulate(app, events, {"charge": Paid(5)}, seed=seed, workers=3, faults=FAULTS).timeline()


@given(st.integers(0, 2**64))
@settings(max_examples=10, phases=(Phase.explicit, Phase.generate))
def test_an_equal_seed_gives_an_equal_timeline(seed: int) -> None:
    """Byte for byte, with every fault there is."""
    assert timeline(seed) == timeline(seed)


def test_signals_do_not_matter() -> None:
    """A profiler, a time limit or a child that ends may interrupt a simulation anywhere."""
    undisturbed, came = timeline(0), []
    with interrupted(0.001, came):
        disturbed = [timeline(0) for _ in range(5)]
    assert disturbed == [undisturbed] * 5
    assert came


@contextlib.contextmanager
def interrupted(seconds: float, came: list[int]) -> Iterator[None]:
    """Inside, a signal comes whenever so much time was spent computing."""
    before = signal.signal(signal.SIGVTALRM, lambda number, frame: came.append(number))
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_seeds_differ() -> None:
    """Another seed is another schedule, other luck and other faults."""
    assert len({timeline(seed) for seed in range(5)}) == 5


def test_the_hash_seed_does_not_matter() -> None:
    """Another process under another hash seed has the same timeline."""
    code = "from tests.testing.test_simulator import timeline; print(timeline(7))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(printed) == 1
    assert "at rest" in printed.pop()


def test_trio_is_left_as_it_was() -> None:
    """Outside, trio's shuffling goes on as before."""
    from trio._core import _run

    state, allowed = _run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING
    timeline(3)
    assert (_run._r.getstate(), _run._ALLOW_DETERMINISTIC_SCHEDULING) == (state, allowed)


# -- stubs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stub, result",
    [
        (Paid(5), ["7!", 5, False]),
        (lambda order: Paid(len(order)), ["7!", 1, False]),
        (ValueError("no"), "ValueError"),
        (TimeoutError, "TimeoutError"),
    ],
)
def test_a_stub_is_a_value_a_function_or_an_error(stub: Any, result: Any) -> None:
    """What it gives comes back as the real function's annotation says."""
    trace = simulate(app, [PLACED], {"charge": stub})
    assert trace.run("fulfil").result == result
    assert {body.stubbed for body in trace.executed("charge")} == {True}
    assert {body.stubbed for body in trace.executed("ask")} == {False}


def test_an_async_stub_takes_virtual_time() -> None:
    """It may sleep as long as it likes."""

    async def slow(order: str) -> Paid:
        await trio.sleep(3600)
        return Paid(1)

    trace = simulate(app, [PLACED], {"charge": slow}, until="2h")
    (body,) = trace.executed("charge")
    assert body.ended_at is not None
    assert body.ended_at - body.started_at == 3600 * 1_000_000


@app.workflow(on=OnEvent("many"))
def many(ctx: Context) -> Steps[list[Any]]:
    return [(yield Run("one", charge, "a")), (yield Run("one", charge, "b")), (yield Run("two", charge, "c"))]


def test_stubs_are_found_by_id_then_name_then_function() -> None:
    """The most precise one wins."""
    trace = simulate(app, [Event("many")], {"charge": Paid(1), "one": Paid(2), "one:1": Paid(3)})
    assert trace.run("many").result == [{"cents": 2}, {"cents": 3}, {"cents": 1}]


def test_stubs_may_be_made_afresh() -> None:
    """A function that makes the stubs is called once for each simulation."""

    def stubs() -> dict[str, Any]:
        cents = iter(range(1, 4))
        return {"charge": lambda order: Paid(next(cents))}

    for _ in range(2):
        assert simulate(app, [Event("many")], stubs).run("many").result == [{"cents": n} for n in (1, 2, 3)]


def test_unused_stubs_are_told() -> None:
    """A stub that nobody asked for is perhaps a slip."""
    trace = simulate(app, [PLACED], {"charge": Paid(1), "chrage": Paid(2)})
    assert trace.unused_stubs == {"chrage"}


# -- from outside ----------------------------------------------------------------------------------


def test_events_happen_in_order() -> None:
    """Those at the same time in the order given, the others by their times."""
    late = ("1h", Event("c"))
    trace = simulate(app, [late, Event("a"), ("0s", Event("b"))])
    sent = [(entry.at - trace.started_at, entry.what) for entry in trace.entries if entry.who == "client"]
    assert [what for _, what in sent] == ["sends a {}", "sends b {}", "sends c {}"]
    assert sent[2][0] == 3600 * 1_000_000


@pytest.mark.parametrize("item", ["order/placed", 7, ("1h",), ("soon", PLACED), (PLACED, "1h")])
def test_what_is_no_event_is_refused(item: Any) -> None:
    """A slip in the plan is an error before anything runs."""
    with pytest.raises((InvalidInput, DefinitionError), match="of simulate"):
        simulate(app, [item])


def test_runs_are_started_cancelled_and_refused() -> None:
    """Beside events there are the verbs of an engine; what is refused is written down."""
    trace = simulate(
        app,
        [
            Start(fulfil, {"order": "9"}),
            ("1d", Cancel("fulfil", reason="enough")),
            ("2d", Cancel("fulfil")),
            Signal("x"),
        ],
        {"charge": Paid(1)},
    )
    assert (trace.run("fulfil").status, trace.run("fulfil").reason) == ("cancelled", "enough")
    refused = [entry.what for entry in trace.entries if entry.what.startswith("is refused")]
    assert len(refused) == 2


def test_it_stops_when_it_is_told_to() -> None:
    """`until` is a duration from the start; what is open then stays open."""
    trace = simulate(app, [PLACED], {"charge": Paid(1)}, until="3d")
    assert not trace.finished
    assert trace.now - datetime(2026, 1, 1, tzinfo=UTC) == timedelta(days=3)
    assert trace.run("fulfil").status == "waiting"
    assert trace.run("fulfil").result is None


@app.workflow(on=OnEvent("loop"))
def loop(ctx: Context) -> Steps[None]:
    yield Sleep("an hour", "1h")
    yield Restart({})


def test_what_never_ends_ends_with_until() -> None:
    """An endless loop is simulated as far as one likes."""
    trace = simulate(app, [Event("loop")], until="1d")
    assert len(trace.runs) == 25
    assert trace.runs[0].restarted_as == trace.runs[1].id


def test_what_never_ends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without `until` an endless world is an error that names what is open."""
    monkeypatch.setattr("flowgen.testing.simulator.TURNS", 300)
    with pytest.raises(AssertionError, match=r"did not come to rest in 300 turns(.|\n)*loop#\d+ \("):
        simulate(app, [Event("loop")])


# -- its parameters --------------------------------------------------------------------------------


def test_it_takes_several_apps() -> None:
    """Then names of workflows may say of which app."""
    other = App("other")

    @other.workflow(on=OnEvent("order/placed"), id="fulfil")
    def also(ctx: Context) -> Steps[str]:
        yield Sleep("a", 1)
        return "also"

    trace = simulate([app, other], [PLACED], {"charge": Paid(1)})
    assert trace.run("other/fulfil").result == "also"
    assert {run.name for run in trace.runs} == {"shop/fulfil#0", "other/fulfil#0"}


def test_the_store_is_made_of_the_clock() -> None:
    """Any store that takes a clock will do; it has to be empty."""
    made: list[VirtualClock] = []

    def store(clock: VirtualClock) -> MemoryStore:
        made.append(clock)
        return MemoryStore(clock)

    trace = simulate(app, [PLACED], {"charge": Paid(1)}, store=store)
    assert made[0].now == trace.now

    used: list[MemoryStore] = []

    def again(clock: VirtualClock) -> MemoryStore:
        used.append(MemoryStore(clock))
        return used[0]

    simulate(app, [PLACED], {"charge": Paid(1)}, store=again)
    with pytest.raises(InvalidInput, match="made a store that has runs already"):
        simulate(app, [PLACED], store=again)


@pytest.mark.parametrize(
    "options, says",
    [
        ({"crash": 1.5}, "Faults(crash=1.5): say which share of occasions, from 0 to 1"),
        ({"duplicate": -0.1}, "Faults(duplicate=-0.1): say which share"),
        ({"most": -1}, "Faults(most=-1): say how many"),
        ({"clock_drift": 0.5}, "Faults(clock_drift=0.5): say by which share clocks run wrong, from 0 to 0.1"),
        ({"clock_skew": "2d"}, "clock_skew of Faults: '2d' is too long"),
        ({"at": {0: "pause"}}, "Faults(at={0: …}): commits and claims are counted from 1"),
        ({"at": {7: "crash"}}, "Faults(at={7: 'crash'}): say one of crash_before, crash_after"),
    ],
)
def test_faults_have_their_ranges(options: Any, says: str) -> None:
    """A slip is an error that shows the value and says what to write."""
    with pytest.raises(DefinitionError, match=re.escape(says)):
        Faults(**options)


def test_faults_show_what_was_said() -> None:
    """Their text can be pasted, and leaves out what nobody asked for."""
    faults = Faults(crash=0.05, clock_skew="1h", at={3: "crash_after"})
    assert repr(faults) == "Faults(crash=0.05, clock_skew='1h', at={3: 'crash_after'})"
    assert eval(repr(faults)) == faults
    assert len({faults, Faults()}) == 2


def test_there_is_at_least_one_worker() -> None:
    """Nothing would ever happen without one, nor with one that drives no run."""
    with pytest.raises(InvalidInput, match="workers=0"):
        simulate(app, workers=0)
    with pytest.raises(InvalidInput, match="max_runs=0"):
        simulate(app, max_runs=0)


@pytest.mark.parametrize(("workers", "max_runs", "at_once"), [(1, 1, 1), (1, 3, 3), (2, 2, 4), (1, 1_000, 7)])
def test_an_engine_drives_so_many_runs_at_once(workers: int, max_runs: int, at_once: int) -> None:
    """The others wait until it has a place for them."""

    async def slow(order: str) -> Paid:
        await trio.sleep(60)
        return Paid(1)

    events = [Event("order/placed", {"order": str(number)}) for number in range(7)]
    trace = simulate(app, events, {"charge": slow}, workers=workers, max_runs=max_runs, until="2h")
    bodies = [(body.started_at, body.ended_at or trace.ended_at) for body in trace.executed("charge")]
    assert len(bodies) == 7
    assert max(sum(began <= at < ended for began, ended in bodies) for at, _ in bodies) == at_once


def test_an_error_of_the_plan_is_raised_as_it_is() -> None:
    """Not inside of groups of the nurseries that it passed."""
    with pytest.raises(InvalidInput, match="reserved"):
        simulate(app, [Event("flowgen/mine")])


# -- faults ----------------------------------------------------------------------------------------


def test_what_went_wrong_is_counted() -> None:
    """By kind, and with the rare states that were reached; a set of simulations can ask that each was."""

    async def slow(order: str) -> Paid:
        await trio.sleep(20)
        return Paid(5)

    counts: Counter[str] = Counter()
    for seed in range(12):
        others = [Event("order/placed", {"order": order}) for order in "89"]
        events = [PLACED, ("1h", APPROVED), ("2h", others[0]), ("2h", others[1])]
        trace = simulate(app, events, {"charge": slow}, seed=seed, workers=3, faults=FAULTS)
        assert trace.faults <= FAULTS.most
        counts += trace.counts
    assert [kind for kind in CHANCES if not counts[kind]] == []
    rare = ("took_over", "refused: LeaseLost", "overtaken", "crash before commit", "crash after commit")
    assert [what for what in rare if not counts[what]] == []
    assert simulate(app, [PLACED], {"charge": Paid(5)}).counts == {}


def test_a_fault_can_be_planned() -> None:
    """For the n-th commit or claim; the trace lists them, with what can happen to each."""
    asked = simulate(app, [PLACED], {"charge": Paid(5)}, until="1h", faults=Faults(at={})).requests
    (charged,) = [each for each in asked if each.what.startswith("the commit that records step 'charge' ")]
    assert (charged.worker, "pause" in charged.faults) == ("worker 1", True)
    trace = simulate(app, [PLACED], {"charge": Paid(5)}, until="1h", faults=Faults(at={charged.number: "crash_after"}))
    assert trace.counts["crash"] == trace.counts["crash after commit"] == trace.faults == 1
    assert len(trace.executed("charge")) == 1
    trace = simulate(app, [PLACED], {"charge": Paid(5)}, until="1h", faults=Faults(at={charged.number: "crash_before"}))
    assert len(trace.executed("charge")) == 2
    assert trace.run("fulfil").status == "waiting"


def test_clocks_of_engines_may_be_wrong() -> None:
    """By an hour, and 5 % too fast or slow: no timer fires before its time by the store's clock (I28)."""
    faults = Faults(clock_skew="1h", clock_drift=0.05, crash=0.02)
    for seed in range(5):
        trace = simulate(app, [PLACED, ("1h", APPROVED)], {"charge": Paid(5)}, seed=seed, workers=2, faults=faults)
        check_invariants(trace)
        assert trace.run("fulfil").result == ["7!", 5, True]


def test_the_clock_of_the_store_may_jump() -> None:
    """Forward or back, by up to an hour: nothing fires early, no lease lives for ever, all ends (I29)."""
    jumps: Counter[str] = Counter()
    for seed in range(8):
        faults = Faults(clock_jump=0.05, crash=0.02, most=6)
        trace = simulate(app, [PLACED, ("1h", APPROVED)], {"charge": Paid(5)}, seed=seed, workers=2, faults=faults)
        check_invariants(trace)
        jumps.update(
            "back" if "set back" in entry.what else "on" for entry in trace.entries if "clock is" in entry.what
        )
    assert min(jumps["back"], jumps["on"]) > 3


class Littering(MemoryStore):
    """Keeps an open wait for each run, whatever the run waits for."""

    async def open_waits(self, app: str, run: str) -> tuple[Wait, ...]:
        return (Wait("left-over", app, run, "none", "order/approved", 0, 0),)


def test_a_simulation_with_faults_ends_at_the_doctor() -> None:
    """What is left in the store when all is at rest, and follows from no history, is a violation (I9, I43)."""
    trace = simulate(app, [PLACED], {"charge": TimeoutError}, store=Littering, faults=Faults(evict=0.1))
    with pytest.raises(AssertionError, match=r"the doctor: shop/fulfil#0: .* it has ended, but has 1 open waits"):
        check_invariants(trace)


# -- the trace -------------------------------------------------------------------------------------


def test_the_timeline_tells_the_story() -> None:
    """Each line has its virtual time, who, and what; runs are called by their workflow and number."""
    trace = simulate(app, [PLACED, ("2h", APPROVED)], {"charge": Paid(5)}, seed=1)
    assert str(trace) == trace.timeline()
    assert (
        trace.timeline().splitlines()
        == """\
seed 1, from 2026-01-01T00:00:00+00:00
   0d 00:00:00.000000  worker 1  opens
   0d 00:00:00.000000  client    sends order/placed {"order":"7"}
   0d 00:00:00.000000  worker 1  event order/placed {"order":"7"} is accepted
   0d 00:00:00.000000  worker 1  fulfil#0 is created
   0d 00:00:00.000000  worker 1  fulfil#0 starts
   0d 00:00:00.000000  log       WARNING working on 7
   0d 00:00:00.000000  worker 1  fulfil#0 'ask' begins, attempt 1
   0d 00:00:00.000000  worker 1  fulfil#0 'ask' returns "7!"
   0d 00:00:00.000000  worker 1  fulfil#0 'ask' succeeded: "7!"
   0d 00:00:00.000000  worker 1  fulfil#0 'charge' begins, attempt 1
   0d 00:00:00.000000  worker 1  fulfil#0 'charge' returns {"cents":5}
   0d 00:00:00.000000  worker 1  fulfil#0 'charge' succeeded: {"cents":5}
   0d 00:00:00.000000  worker 1  fulfil#0 'approval' waits for event order/approved, at most 7d
   0d 02:00:00.000000  client    sends order/approved {"order":"7"}
   0d 02:00:00.000000  worker 1  event order/approved {"order":"7"} is accepted
   0d 02:00:00.000000  worker 1  fulfil#0 is claimed
   0d 02:00:00.000000  worker 1  fulfil#0 'approval' succeeded: order/approved {"order":"7"}
   0d 02:00:00.000000  worker 1  fulfil#0 'a year' sleeps for 365d
 365d 02:00:00.000000  worker 1  fulfil#0 is claimed
 365d 02:00:00.000000  worker 1  fulfil#0 'a year' succeeded: null
 365d 02:00:00.000000  worker 1  fulfil#0 ends: returned ["7!",5,true]
 365d 02:00:00.000000  at rest, 0 faults""".splitlines()
    )


def test_runs_and_histories_are_found() -> None:
    """By workflow and number, by name, by id, or by the run itself."""
    trace = simulate(app, [PLACED, Event("order/placed", {"order": "8"})], {"charge": Paid(1)}, until="1h")
    second = trace.run("fulfil", 1)
    assert second is trace.run("shop/fulfil", -1) is trace.runs[1]
    assert trace.history(second) == trace.history("fulfil#1") == trace.history(second.id) == second.history
    assert [body.run for body in trace.executed("charge", second)] == [second.id]
    for missing in (lambda: trace.run("fulfil", 2), lambda: trace.run("other"), lambda: trace.history("fulfil#2")):
        with pytest.raises(
            NotFound, match=r"the runs of this simulation are: fulfil#0 \(waiting\), fulfil#1 \(waiting\)"
        ):
            missing()


def test_a_failed_run_has_its_error() -> None:
    """`error` is what it failed with, `result` nothing."""

    @app.workflow(on=OnEvent("broken"), id="broken")
    def broken(ctx: Context) -> Steps[None]:
        yield Sleep("a", 1)
        raise ValueError("no")

    run = simulate(app, [Event("broken")]).run("broken")
    assert (run.status, run.result) == ("failed", None)
    assert run.error is not None
    assert str(run.error) == "ValueError: no"


def test_logs_stay_inside(caplog: pytest.LogCaptureFixture) -> None:
    """What engines and bodies log is in the timeline, not in the test's output, and logging is put back."""
    with caplog.at_level(logging.DEBUG):
        trace = simulate(app, [PLACED], {"charge": Paid(1)}, until="1h")
    assert caplog.records == []
    assert any(entry.who == "log" for entry in trace.entries)
    log = logging.getLogger("flowgen")
    assert log.propagate
    assert log.handlers == []


# -- what works outside of trio --------------------------------------------------------------------


async def on_asyncio() -> float:
    await asyncio.sleep(0.001)
    return asyncio.get_running_loop().time()


async def in_a_thread() -> int:
    return await trio.to_thread.run_sync(threading.get_ident)


@app.workflow(on=OnEvent("outside"))
def outside(ctx: Context) -> Steps[bool]:
    before = ctx.now
    here = yield Run("here", threading.get_ident)
    there = yield Run(in_a_thread)
    yield Run(on_asyncio).options(loop="asyncio")
    return here != there and ctx.now == before


def test_virtual_time_stands_still_for_what_is_outside_of_trio() -> None:
    """Threads and asyncio take the time that they take, none of it virtual; sync steps need no thread."""
    trace = simulate(app, [Event("outside")], steps={})
    assert trace.run("outside").result is True
    (body,) = trace.executed("on_asyncio")
    assert body.started_at == body.ended_at


def test_stubs_of_asyncio_steps_run_on_trio() -> None:
    """So they may sleep in virtual time like all others."""

    async def slow() -> float:
        await trio.sleep(60)
        return 1.0

    trace = simulate(app, [Event("outside")], steps={"on_asyncio": slow})
    (body,) = trace.executed("on_asyncio")
    assert body.ended_at == body.started_at + 60_000_000


# -- schedules -------------------------------------------------------------------------------------


def _daily() -> App:
    """An app with a run that takes three days, and a schedule that ticks every day at noon."""
    daily = App("daily")

    @daily.workflow(on=OnCron("0 12 * * *"))
    def report(ctx: Context) -> Steps[str]:
        return (yield from Run("write", str, ctx.event.data["tick"]))

    @daily.workflow(on=OnEvent("begun"))
    def three_days(ctx: Context) -> Steps[None]:
        yield Sleep("three days", "3d")

    return daily


@pytest.mark.parametrize(
    "events, days", [([], 0), ([Event("begun")], 3), ([Event("begun", ts=VirtualClock().now + timedelta(days=2))], 5)]
)
def test_a_simulation_ends_when_nothing_but_schedules_is_due(events: list[Event[Any]], days: int) -> None:
    """Runs and events of the future are waited for, and so many ticks happen meanwhile."""
    trace = simulate(_daily(), events)
    assert (trace.finished, trace.ended_at - trace.started_at) == (True, days * 86_400_000_000)
    assert [run.status for run in trace.runs if run.workflow_id == "report"] == ["completed"] * days


def test_a_year_of_ticks_is_simulated() -> None:
    """Each tick of a year starts one run, and the world turns a few times for each: no time is spent on waiting."""
    trace = simulate(_daily(), until="365d")
    assert [run.status for run in trace.runs] == ["completed"] * 365
    assert len({run.result for run in trace.runs}) == 365
    assert len(trace.entries) < 10 * 365


def test_schedules_are_not_among_the_runs_of_a_trace() -> None:
    """The first run of a scheduled workflow is that of its first tick."""
    trace = simulate(_daily(), until="36h")
    assert (trace.run("report").result, len(trace.runs)) == ("2026-01-01T12:00:00+00:00", 2)
    assert [run.name for run in trace.schedules] == ["schedule of report#0"]
