"""`check_invariants` accepts what happened, and refuses each thing that must not happen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import pytest

from flowgen import App, Context, Event, OnEvent, Run, Sleep, Steps, WaitFor
from flowgen.history import AttemptFailed, CancelAccepted, EndCancelled, Record, Requested, Retried, SleepTerms
from flowgen.outcome import Failure
from flowgen.runs import CancelRequested, Mail, Message
from flowgen.testing import Faults, RunTrace, Trace, check_invariants, simulate

app = App("shop")


def double(n: int) -> int:
    return 2 * n


@app.workflow(on=OnEvent("go"))
def work(ctx: Context) -> Steps[int]:
    n = yield Run("double", double, 4)
    yield Sleep("nap", "1h")
    yield WaitFor("never", "never", timeout="1h")
    return n


TRACE = simulate(app, [Event("go")])


def test_a_sound_trace_is_accepted() -> None:
    """Nothing is wrong with what the engine does."""
    check_invariants(TRACE)


def with_run(change: Callable[[RunTrace], RunTrace]) -> Trace:
    return attrs.evolve(TRACE, runs=(change(TRACE.run("work")),))


def with_records(change: Callable[[list[Record]], list[Record]]) -> Trace:
    def changed(run: RunTrace) -> RunTrace:
        records = tuple(change([attrs.evolve(record) for record in run.history]))
        row = attrs.evolve(run.recorded.row, length=len(records))
        return attrs.evolve(run, recorded=attrs.evolve(run.recorded, records=records, row=row), workflow=None)

    return with_run(changed)


def with_row(**changes: Any) -> Trace:
    def changed(run: RunTrace) -> RunTrace:
        return attrs.evolve(
            run, recorded=attrs.evolve(run.recorded, row=attrs.evolve(run.recorded.row, **changes)), workflow=None
        )

    return with_run(changed)


def without(kind: type) -> Callable[[list[Record]], list[Record]]:
    return lambda records: [record for record in records if not isinstance(record, kind)]


def attempts(records: list[Record]) -> list[Record]:
    failed = AttemptFailed(records[0].at, "double", 2, Failure("ValueError", "no"), records[0].at, "")
    return [records[0], failed, *records[1:]]


def twice(records: list[Record]) -> list[Record]:
    (nap,) = [record for record in records if isinstance(record, Requested) and record.step == "nap"]
    return [*records[:3], nap, *records[3:]]


def early(records: list[Record]) -> list[Record]:
    (nap,) = [record for record in records if isinstance(record, Requested) and record.step == "nap"]
    nap.terms = SleepTerms(nap.terms.due_at + 1)  # type: ignore[union-attr]
    return records


def unheeded(records: list[Record]) -> list[Record]:
    return [*records[:-1], CancelAccepted(records[-1].at, "stop", 0), records[-1]]


def reborn(records: list[Record]) -> list[Record]:
    return [*records, Retried(records[-1].at, 0, life=2)]


MAIL = (Mail(1, Message("m", "shop", "r", CancelRequested("stop"))),)

BROKEN = {
    "what was seen while it happened": (attrs.evolve(TRACE, violations=("it broke",)), "it broke"),
    "an engine logged an error": (attrs.evolve(TRACE, problems=("Traceback",)), "an engine logged an error: Traceback"),
    "an event was not routed": (attrs.evolve(TRACE, unrouted=2), "2 events were not routed"),
    "an outcome without a body": (
        attrs.evolve(TRACE, executions=()),
        "'double' has an outcome, but its body never ran",
    ),
    "a run without an end": (
        with_records(lambda records: records[:-1]),
        "it is completed, but its history ends with NoneType",
    ),
    "an open run at rest": (with_row(stored="open", started_at=1), "work#0 is waiting at rest"),
    "another state": (with_row(stored="failed"), "it is failed, but its history ends with EndCompleted"),
    "an open run with an end": (with_row(stored="open"), "it is open, but its history ends with EndCompleted"),
    "another length": (with_row(length=3), "its row says life 0 and 3 records, its history 0 and 7"),
    "another life": (with_row(life=1), "its row says life 1"),
    "a life left out": (with_records(reborn), "life 2 begins after 0"),
    "a request twice": (with_records(twice), "step 'nap' is requested twice"),
    "no request": (with_records(without(Requested)), "the outcome of step 'nap' (sleep) lacks a request"),
    "attempts that jump": (with_records(attempts), "attempt 2 of step 'double' follows 0"),
    "an early timer": (with_records(early), "sleep 'nap' is over 1 µs early"),
    "a cancel unheeded": (with_records(unheeded), "a cancel was accepted, but it ended with EndCompleted"),
    "an owner after the end": (with_row(owner="w1"), "it has ended, but its row says"),
    "a slot held at rest": (with_row(slots=("k",), owner="w1"), "work#0 holds 'k' at rest"),
    "a run blocked at rest": (with_row(slots=("k",), blocked_on="k"), "work#0 is blocked on 'k' at rest"),
    "unread mail": (
        with_run(lambda run: attrs.evolve(run, recorded=attrs.evolve(run.recorded, mail=MAIL))),
        "it has ended, but its row says",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_can_be_broken(name: str) -> None:
    """A trace that breaks one rule is refused, with the rule and the timeline."""
    trace, rule = BROKEN[name]
    with pytest.raises(AssertionError) as failure:
        check_invariants(trace)
    assert rule in str(failure.value)
    assert TRACE.timeline() in str(failure.value)


def test_a_history_that_does_not_replay_is_refused() -> None:
    """The code of each run has to ask for just what was recorded."""

    @App("shop").workflow(id="work")
    def other(ctx: Context) -> Steps[int]:
        return (yield Run("triple", double, 4))

    with pytest.raises(AssertionError, match="<Workflow shop/work> does not replay, at record 1"):
        check_invariants(with_run(lambda run: attrs.evolve(run, workflow=other)))


def test_a_cancelled_end_is_a_cancelled_state() -> None:
    """Each end has its state."""

    def cancelled(records: list[Record]) -> list[Record]:
        at = records[-1].at
        return [*records[:-1], CancelAccepted(at, "stop", 0), EndCancelled(at, "stop")]

    with pytest.raises(AssertionError, match="it is completed, but its history ends with EndCancelled"):
        check_invariants(with_records(cancelled))


def test_a_stopped_simulation_may_leave_things_open() -> None:
    """What `until` cut off is not at rest."""
    check_invariants(simulate(app, [Event("go")], until="30m"))


def test_a_body_that_is_not_deterministic_is_found_by_eviction() -> None:
    """A run that cannot be replayed is parked, and that is at rest: it waits for other code."""
    drawn = iter(range(100))
    shaky = App("shaky")

    @shaky.workflow(on=OnEvent("go"), id="shaky")
    def body(ctx: Context) -> Steps[None]:
        yield Run("first", double, next(drawn))
        yield Sleep("nap", "1h")

    trace = simulate(shaky, [Event("go")], faults=Faults(evict=1))
    check_invariants(trace)
    assert trace.run("shaky").status == "parked"
    assert "code and history disagree at step 'first'" in str(trace.run("shaky").reason)
