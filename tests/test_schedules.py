"""Schedule runs: which ticks happen when one is due, and what is committed together."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.cron import Cron
from flowgen.duration import instant
from flowgen.facts import Facts, Questions
from flowgen.flow_control import Policies, RateLimit
from flowgen.routing import Route, RouteTable
from flowgen.runs import RunRow
from flowgen.schedules import AT_ONCE, LATE, TICK, new_schedule, schedule_key, tick
from flowgen.transition import NewRun, TakeKey, Transition
from flowgen.values import decode
from flowgen.workflow import Definition, ScheduleDefinition
from tests.bodies import SECOND

MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
NOON = instant(datetime(2026, 5, 4, 12, 0, tzinfo=UTC), "noon")
HOURLY = Cron("0 * * * *").text


def routed(schedule: ScheduleDefinition | None, **policies: Any) -> RouteTable:
    """A workflow with this schedule."""
    schedules = (schedule,) if schedule is not None else ()
    return RouteTable([Route("shop", Definition("work", policies=Policies(**policies), schedules=schedules))])


def begun(schedule: ScheduleDefinition, now: int = NOON) -> NewRun:
    """Its schedule run, as it is created."""
    transition = new_schedule(Route("shop", Definition("work")), schedule, "schedule1", now)
    (new,) = transition.create
    assert transition.take == (TakeKey("shop", schedule_key("work", schedule.text), "schedule1"),)
    return new


def ticked(new: NewRun, schedule: ScheduleDefinition, now: int, happened: frozenset[str] = frozenset()) -> Transition:
    """What its owner commits when it is claimed at this time."""
    answer = tick(new.row, new.events, [], Facts(routed(schedule)), now, happened)
    assert isinstance(answer, Transition)
    return answer


def ticks(transition: Transition) -> list[int]:
    """The ticks that happen."""
    return [instant(datetime.fromisoformat(decode(event.data)["tick"]), "tick") for event in transition.accept]


def following(transition: Transition) -> int:
    """The next tick."""
    assert transition.progress is not None
    assert transition.progress.opening is not None
    assert transition.progress.opening.start_at is not None
    return transition.progress.opening.start_at


def later(new: NewRun, transition: Transition) -> NewRun:
    """The schedule run after that commit."""
    row = RunRow("shop", new.row.id, "work", new.row.created_at, 7, "schedule", start_at=following(transition))
    row.holds = new.row.holds
    return NewRun(row, new.events)


def test_the_first_tick_is_the_first_after_the_registration() -> None:
    """Never one from before; one at that very moment is from before."""
    new = begun(ScheduleDefinition(HOURLY))
    assert (new.row.stored, new.row.start_at, new.row.due_at) == ("schedule", NOON + HOUR, NOON + HOUR)
    assert new.row.holds == (schedule_key("work", HOURLY),)


def test_a_tick_is_an_event_and_its_run() -> None:
    """Committed together with the next tick; the run stays a schedule."""
    schedule = ScheduleDefinition(HOURLY)
    transition = ticked(begun(schedule), schedule, NOON + HOUR)
    (event,) = transition.accept
    (created,) = transition.create
    assert (event.name, event.ts) == (TICK, NOON + HOUR)
    assert decode(event.data) == {"cron": HOURLY, "tick": "2026-05-04T13:00:00+00:00", "workflow_id": "work"}
    assert (created.row.workflow, created.events) == ("work", (event,))
    assert following(transition) == NOON + 2 * HOUR
    assert transition.progress is not None
    assert (transition.progress.stored, transition.progress.due_at) == ("schedule", NOON + 2 * HOUR)


def test_a_tick_is_one_event_whoever_decides_it() -> None:
    """Its id derives from app, workflow, schedule and tick; of another workflow or schedule it is another."""
    schedule = ScheduleDefinition(HOURLY)
    new = begun(schedule)
    one, two = ticked(new, schedule, NOON + HOUR), ticked(new, schedule, NOON + HOUR + 5)
    assert one.accept[0].id == two.accept[0].id
    assert one.create[0].row.id == two.create[0].row.id
    other = ScheduleDefinition(Cron("0 13 * * *").text)
    assert ticked(begun(other), other, NOON + HOUR).accept[0].id != one.accept[0].id


def test_a_tick_that_has_happened_does_not_again() -> None:
    """The schedule goes on behind it."""
    schedule = ScheduleDefinition(HOURLY)
    new = begun(schedule)
    first = ticked(new, schedule, NOON + HOUR).accept[0]
    again = ticked(new, schedule, NOON + HOUR, frozenset({first.id}))
    assert (again.accept, again.create) == ((), ())
    assert following(again) == NOON + 2 * HOUR


def test_nothing_happens_before_its_time() -> None:
    """A claim for another reason gives it back."""
    schedule = ScheduleDefinition(HOURLY)
    for catch_up in ("none", "last", "all"):
        early = ticked(begun(schedule), ScheduleDefinition(HOURLY, catch_up=catch_up), NOON + HOUR - 1)
        assert ticks(early) == []
        assert following(early) == NOON + HOUR


@pytest.mark.parametrize(
    ("catch_up", "expected"),
    [("none", []), ("last", [5]), ("all", [1, 2, 3, 4, 5])],
)
def test_what_was_missed_is_caught_up_as_configured(catch_up: Any, expected: list[int]) -> None:
    """After more than five hours without an engine."""
    schedule = ScheduleDefinition(HOURLY, catch_up=catch_up)
    transition = ticked(begun(schedule), schedule, NOON + 5 * HOUR + 30 * MINUTE)
    assert ticks(transition) == [NOON + n * HOUR for n in expected]
    assert following(transition) == NOON + 6 * HOUR


def test_a_tick_that_is_a_little_late_was_not_missed() -> None:
    """A minute is a busy worker, not a downtime."""
    schedule = ScheduleDefinition(HOURLY, catch_up="none")
    assert ticks(ticked(begun(schedule), schedule, NOON + HOUR + LATE)) == [NOON + HOUR]
    assert ticks(ticked(begun(schedule), schedule, NOON + HOUR + LATE + 1)) == []


def test_all_that_was_missed_happens_in_pages() -> None:
    """A bounded number in one commit, none twice, none left out."""
    schedule = ScheduleDefinition(Cron("* * * * *").text, catch_up="all")
    new, now = begun(schedule), NOON + 250 * MINUTE
    happened: list[int] = []
    for _ in range(4):
        transition = ticked(new, schedule, now)
        assert len(transition.accept) <= AT_ONCE
        happened += ticks(transition)
        new = later(new, transition)
    assert happened == [NOON + n * MINUTE for n in range(1, 251)]
    assert new.row.start_at == NOON + 251 * MINUTE


def test_a_schedule_that_is_not_named_any_more_ends() -> None:
    """And so does one whose workflow is gone. Its key is let go of."""
    schedule = ScheduleDefinition(HOURLY)
    new = begun(schedule)
    for table in (routed(None), RouteTable()):
        facts = Facts(table)
        answer = tick(new.row, new.events, [], facts, NOON + HOUR)
        if isinstance(answer, Questions):
            facts.keys.update(dict.fromkeys(answer.keys))
            answer = tick(new.row, new.events, [], facts, NOON + HOUR)
        assert isinstance(answer, Transition)
        assert answer.progress is not None
        assert answer.progress.stored == "cancelled"
        assert f"the schedule {HOURLY!r} was removed" in (answer.progress.reason or "")


def test_flow_control_has_its_say_over_a_tick() -> None:
    """It is admitted like any event."""
    schedule = ScheduleDefinition(HOURLY)
    new = begun(schedule)
    table = routed(schedule, rate_limit=RateLimit(1, per="1h"))
    answer = tick(new.row, new.events, [], Facts(table), NOON + HOUR)
    assert isinstance(answer, Questions)
    assert answer.cells == {("shop", "rate/work/")}


@given(st.integers(0, 600), st.integers(0, 10**6))
def test_jitter_stays_within_its_bounds(jitter: int, moment: int) -> None:
    """A tick is due at its time or up to so much later, the same for all who ask; its event has the tick's time."""
    schedule = ScheduleDefinition(HOURLY, jitter=jitter * SECOND)
    new = begun(schedule, NOON + moment * SECOND)
    tick_at = new.row.start_at
    assert tick_at is not None
    assert new.row.due_at is not None
    assert tick_at <= new.row.due_at <= tick_at + jitter * SECOND
    assert begun(schedule, NOON + moment * SECOND).row.due_at == new.row.due_at
    transition = ticked(new, schedule, new.row.due_at)
    assert ticks(transition) == [tick_at]
    assert transition.accept[0].ts == tick_at
