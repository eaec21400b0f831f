"""`explore_crashes`: every crash point of a run, with a report."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import trio

from flowgen import App, Context, Event, OnEvent, Race, Run, Sleep, Steps, WaitFor, step_info
from flowgen.errors import InvalidInput
from flowgen.runtime.store import Committed, LeaseLost
from flowgen.runtime.stores import MemoryStore, SqliteStore
from flowgen.testing import CrashReport, Faults, Trace, explore_crashes, simulate
from flowgen.testing.faults import PLANNED, Planned
from flowgen.transition import Transition

app = App("shop", retries=1)


def charge(order: str) -> int:
    if step_info().attempt == 1:
        raise ConnectionError("not at first")
    return len(order)


async def pack(order: str) -> str:
    await trio.sleep(5)
    return order.upper()


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Context) -> Steps[Any]:
    order = ctx.event.data["order"]
    paid = yield from Run(charge, order)
    yield Sleep("settle", "1h")
    won = yield Race(
        approved=WaitFor("approval", "order/approved", match="data.order", timeout="7d"), late=Sleep("late", "9d")
    )
    return [paid, won.name, (yield from Run(pack, order))]


EVENTS = [Event("order/placed", {"order": "abc"}), ("2h", Event("order/approved", {"order": "abc"}))]


quick = App("quick", retries=1)


@quick.workflow(on=OnEvent("order/placed"))
def pay(ctx: Context) -> Steps[int]:
    paid = yield from Run(charge, ctx.event.data["order"])
    yield Sleep("settle", "1m")
    return paid


@lru_cache
def explored() -> CrashReport:
    """Explored once for all tests that look at it."""
    return explore_crashes(app, EVENTS)


def test_a_workflow_survives_a_crash_at_every_point() -> None:
    """Before and after each commit, between them, and whatever else can happen there; all ends as without a crash."""
    report = explored()
    assert not report.violations, report
    assert report.undisturbed.run("fulfil").result == [3, "approved", "ABC"]
    asked = {(request.number, fault) for request in report.undisturbed.requests for fault in request.faults}
    assert {(point.number, point.fault) for point in report.points if point.after is None} == asked
    assert {point.fault for point in report.points} == set(PLANNED)


def test_a_full_engine_survives_a_crash_at_every_point() -> None:
    """It claims the next run beside the commit that ends one, or gives it back: each of the two may be the last."""
    events = [Event("order/placed", {"order": "a" * length}) for length in (1, 2, 3)]
    report = explore_crashes(quick, events, workers=1, max_runs=1)
    assert not report.violations, report
    assert [run.result for run in report.undisturbed.runs] == [1, 2, 3]


def test_the_points_have_their_words() -> None:
    """Each says who meets what, at which commit or claim."""
    texts = [re.sub(r"^worker \d", "worker #", str(point)) for point in explored().points]
    for text in (
        "worker # dies before the commit that accepts order/placed and creates fulfil#0",
        "worker # dies after the commit that records failed attempt 1 of step 'charge' of fulfil#0, before its answer",
        "the store fails at the commit that records step 'charge' and the request of step 'settle' (sleep) of fulfil#0",
    ):
        assert any(each.startswith(text) for each in texts), "\n".join(texts)


def test_what_only_a_crash_leads_to_is_explored_too() -> None:
    """A claim that takes a run over is in no world without a crash; it has crash points, too."""
    report = explored()
    recovery = [point for point in report.points if point.after is not None]
    assert any(point.what == "the claim of fulfil#0, taken over" for point in recovery)
    assert {point.fault for point in recovery} >= {"crash_after", "error_after"}
    assert all("; then " in str(point) and len(point.plan) == 2 for point in recovery)


def test_pairs_are_explored_up_to_a_bound() -> None:
    """More of them beside the single points, spread over all there are; as many as there are, if one asks for more."""
    crash: list[Planned] = ["crash_before", "crash_after"]
    none, few, all_ = (explore_crashes(quick, EVENTS[0], pairs=pairs, faults=crash) for pairs in (0, 5, 10_000))
    assert few.pairs == none.pairs + 5
    assert none.possible_pairs == few.possible_pairs == all_.possible_pairs == all_.pairs > 50
    assert not all_.violations, all_


def test_only_the_faults_that_are_asked_for_happen() -> None:
    """A name that is none of them is refused."""
    report = explore_crashes(app, EVENTS, faults=["crash_after"])
    assert {point.fault for point in report.points} == {"crash_after"}
    with pytest.raises(InvalidInput, match="'crash' is none of crash_before, "):
        explore_crashes(app, EVENTS, faults=["crash"])  # type: ignore[list-item]


def test_it_runs_on_other_stores(tmp_path: Path) -> None:
    """On SQLite the points are the same, and each world has a file of its own."""
    files = (tmp_path / f"{number}.db" for number in count())
    report = explore_crashes(quick, EVENTS[0], store=lambda clock: SqliteStore(next(files), clock, inline=True))
    memory = explore_crashes(quick, EVENTS[0])
    assert not report.violations, report
    single = [{(each.what, each.fault) for each in it.points if each.after is None} for it in (report, memory)]
    assert single[0] == single[1]
    assert len(list(tmp_path.glob("*.db"))) == 1 + len(report.points)


def test_a_story_is_explored_as_well() -> None:
    """A function that simulates is called with what makes each world."""

    def story(**how: Any) -> Trace:
        return simulate(quick, EVENTS[:1], **how)

    assert explore_crashes(story).points == explore_crashes(quick, EVENTS[0]).points


# -- what it finds ---------------------------------------------------------------------------------


def test_a_result_that_depends_on_crashes_is_found() -> None:
    """The violation has the point in words, both ends, and a call that shows it again."""
    numbers = {"given": 0}

    def number(order: str) -> int:
        numbers["given"] += 1
        return numbers["given"]

    def steps() -> dict[str, Any]:
        numbers["given"] = 0
        return {"charge": number}

    report = explore_crashes(quick, EVENTS[0], steps, faults=["crash_before", "crash_after"])
    (violation,) = [each for each in report.violations if each.point.after is None]
    assert str(report).endswith(str(report.violations[-1]))
    assert (
        str(violation)
        == """\
worker 1 dies before the commit that records step 'charge' and the request of step 'settle' (sleep) of pay#0
  the runs do not end as without a crash:
    without:  pay completed: 1
    with it:  pay completed: 2
  to see it: print(simulate(app, [Event(name='order/placed', data={'order': 'abc'}, id=None, ts=None)], steps, \
workers=2, faults=Faults(at={4: 'crash_before'})))"""
    )
    trace = simulate(quick, EVENTS[:1], steps, workers=2, faults=Faults(at={4: "crash_before"}))
    assert trace.run("pay").result == 2


class Forgetful(MemoryStore):
    """Commits once more what it has committed already, instead of knowing it again."""

    async def commit(self, transition: Transition) -> Committed:
        committed = await super().commit(transition)
        if transition.progress is not None and transition.id in self._state_seen:
            raise LeaseLost("it does not know that it was there")
        self._state_seen.add(transition.id)
        return committed

    @property
    def _state_seen(self) -> set[str]:
        return self.__dict__.setdefault("seen", set())


def test_a_store_that_does_not_know_a_commit_again_is_found() -> None:
    """What was done and reported as lost is repeated; a store that refuses the repetition breaks a rule."""
    report = explore_crashes(app, EVENTS, store=Forgetful, faults=["twice"])
    assert "was accepted, and refused when it was repeated" in str(report)


def test_a_broken_world_is_a_violation_and_not_the_end() -> None:
    """What a simulation raises is told, with its point, and the others are explored all the same."""

    class Refusing(MemoryStore):
        async def load(self, app: str, run: str, start: int = 0) -> Any:
            loaded = await super().load(app, run, start)
            if loaded is not None and loaded.row.strikes:
                raise ZeroDivisionError("planted")
            return loaded

    report = explore_crashes(quick, EVENTS[0], store=Refusing, faults=["crash_after"])
    assert len(report.points) > len(report.violations) > 0
    assert "planted" in str(report)
