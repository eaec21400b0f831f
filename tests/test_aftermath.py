"""What follows from the end of a run: keys, a failure handler, internal events."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen import Event
from flowgen.aftermath import Aftermath, Ended, aftermath
from flowgen.events import RUN_ENDS, AcceptedEvent, accept_event
from flowgen.facts import Facts, Questions
from flowgen.flow_control import Policies, RateLimit
from flowgen.outcome import Failure, Json
from flowgen.routing import Route, RouteTable
from flowgen.runs import RunRow
from flowgen.transition import DropKey, Key
from flowgen.values import decode
from flowgen.workflow import Definition, TriggerDefinition
from tests.bodies import SECOND, START

WORK = Definition("work", policies=Policies(on_failure="ops/handler"))
HANDLER = Definition("handler")
TRIGGER = accept_event(Event("go", {"n": 1}), "event1", START)
ROW = RunRow("shop", "run1", "work", START, 7)
FAILED = Ended("failed", failure=Failure("ValueError", "no", "a trace", Failure("OSError", "disk")), step="charge")


def table(*more: Route, work: Definition = WORK) -> RouteTable:
    """The workflow, and others."""
    return RouteTable([Route("shop", work), *more])


def after(
    ended: Ended, table: RouteTable, row: RunRow = ROW, trigger: AcceptedEvent | None = TRIGGER
) -> Aftermath | None:
    """What follows, when all is known."""
    answer = aftermath(row, trigger, ended, Facts(table), START + SECOND)
    assert not isinstance(answer, Questions)
    return answer


def created(answer: Aftermath | None) -> list[tuple[str, str, dict[str, Any]]]:
    """App, workflow and event data of each run that begins."""
    assert answer is not None
    return [(new.row.app, new.row.workflow, decode(new.events[0].data)) for new in answer.gate.create]


def test_nothing_follows_where_nobody_listens() -> None:
    """No keys, no handler, no trigger: an end writes its record and no more."""
    assert after(FAILED, table(work=Definition("work"))) is None


def test_a_failure_starts_its_handler_with_all_there_is_to_know() -> None:
    """In the same commit; the handler may be of another app."""
    assert created(after(FAILED, table(Route("ops", HANDLER)))) == [
        (
            "ops",
            "handler",
            {
                "app": "shop",
                "workflow_id": "work",
                "run_id": "run1",
                "event": {"name": "go", "data": {"n": 1}, "id": "event1", "ts": START // 1000},
                "error": {
                    "type": "ValueError",
                    "message": "no",
                    "trace": "a trace",
                    "cause": {"type": "OSError", "message": "disk", "trace": "", "cause": None},
                    "step": "charge",
                },
            },
        )
    ]


@pytest.mark.parametrize("stored", ["completed", "cancelled", "skipped"])
def test_only_a_failure_starts_the_handler(stored: str) -> None:
    """Whatever else may have been the end."""
    ended = Ended(stored, failure=Failure("X", "y"))
    assert created(after(ended, table(Route("ops", HANDLER)))) == []


def test_a_handler_that_nobody_has_registered_is_counted() -> None:
    """The end is none the worse for it."""
    routes = table()
    assert created(after(FAILED, routes)) == []
    assert routes.errors["shop/work"] == 1


@pytest.mark.parametrize("stored", list(RUN_ENDS))
def test_an_internal_event_is_accepted_if_a_workflow_triggers_on_it(stored: str) -> None:
    """And starts its runs with it, in the same commit; otherwise nobody could see it."""
    audit = Route("shop", Definition("audit", (TriggerDefinition(RUN_ENDS[stored]),)))
    ended = Ended(
        stored, Json(b"7") if stored == "completed" else None, None if stored == "completed" else Failure("X", "y")
    )
    answer = after(ended, table(audit, work=Definition("work")))
    assert answer is not None
    (event,) = answer.accept
    assert event.name == RUN_ENDS[stored]
    (run,) = created(answer)
    assert run[:2] == ("shop", "audit")
    assert run[2].get("result") == (7 if stored == "completed" else None)
    other = Route("shop", Definition("audit", (TriggerDefinition("flowgen/run.x"),)))
    nobody = after(ended, table(other, work=Definition("work")))
    assert nobody is not None
    assert (nobody.accept, nobody.gate.create) == ([], [])


def test_the_ends_of_two_lives_are_two_events() -> None:
    """A run that was retried and failed again is handled again; the same end decided again is the same."""
    routes = table(Route("ops", HANDLER))
    first, again = after(FAILED, routes), after(FAILED, routes)
    second = after(FAILED, routes, RunRow("shop", "run1", "work", START, 7, life=1))
    assert first is not None
    assert again is not None
    assert second is not None
    ids = [answer.gate.create[0].row.id for answer in (first, again, second)]
    assert ids[0] == ids[1] != ids[2]


def test_what_an_internal_event_started_starts_no_more() -> None:
    """Two workflows that handle each other's failures would go on for ever. Its keys are let go of all the same."""
    trigger = AcceptedEvent("e", "flowgen/run.failed", Json(b"{}"), START, START)
    audit = Route("shop", Definition("audit", (TriggerDefinition("flowgen/*"),)))
    facts = Facts(table(Route("ops", HANDLER), audit))
    facts.keys["shop", "single/work/"] = Key("single/work/", "run1", "[]", None, 2)
    row = RunRow("shop", "run1", "work", START, 7, holds=("single/work/",))
    answer = aftermath(row, trigger, FAILED, facts, START)
    assert isinstance(answer, Aftermath)
    assert (answer.accept, answer.gate.create) == ([], [])
    assert answer.keys.drop == [DropKey("shop", "single/work/", "run1", 2)]


def test_flow_control_has_its_say_over_a_handler() -> None:
    """What it must know is asked for."""
    handler = Definition("handler", policies=Policies(rate_limit=RateLimit(1, per="1h")))
    answer = aftermath(ROW, TRIGGER, FAILED, Facts(table(Route("ops", handler))), START)
    assert isinstance(answer, Questions)
    assert answer.cells == {("ops", "rate/handler/")}
