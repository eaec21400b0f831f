"""Routing by values alone: which workflows an event starts."""

from __future__ import annotations

from typing import Any

from flowgen import Event
from flowgen.events import AcceptedEvent, accept_event
from flowgen.facts import Facts, Questions
from flowgen.routing import Route, RouteTable
from flowgen.workflow import Definition, TriggerDefinition
from tests.bodies import START


def event(name: str = "order/placed", **data: Any) -> AcceptedEvent:
    return accept_event(Event(name, data), "01KE00000000000000000EVENT", START)


def route(id: str, *triggers: str | tuple[str, str], app: str = "shop") -> Route:
    made = [TriggerDefinition(t) if isinstance(t, str) else TriggerDefinition(*t) for t in triggers]
    return Route(app, Definition(id, tuple(made)))


def started(table: RouteTable, sent: AcceptedEvent) -> list[str]:
    return [route.name for route in table.triggered(sent)]


def test_an_event_starts_the_workflows_that_name_it() -> None:
    """Of all apps, in the order of their registration."""
    table = RouteTable(
        [route("a", "order/placed"), route("b", "order/paid"), route("c", "order/placed", app="mail"), route("d")]
    )
    assert started(table, event()) == ["shop/a", "mail/c"]
    assert started(table, event("order/unknown")) == []


def test_a_wildcard_matches_all_that_begins_so() -> None:
    """After `/` or `.`; deeper names too."""
    table = RouteTable([route("a", "order/*"), route("b", "order/a.*")])
    assert started(table, event("order/a.b")) == ["shop/a", "shop/b"]
    assert started(table, event("order/x")) == ["shop/a"]
    assert started(table, event("orders")) == started(table, event("order")) == []


def test_a_workflow_is_started_once_whatever_triggers_match() -> None:
    """One run for event and workflow."""
    table = RouteTable([route("a", "order/*", "order/placed", ("order/placed", "true"))])
    assert started(table, event()) == ["shop/a"]


def test_a_condition_decides() -> None:
    """CEL or a plain path over `event`; another trigger of the same workflow may still match."""
    table = RouteTable(
        [
            route("big", ("order/placed", "event.data.total > 10")),
            route("vip", ("order/placed", "event.data.vip")),
            route("either", ("order/placed", "event.data.total > 10"), ("order/placed", "event.data.vip")),
        ]
    )
    assert started(table, event(total=11, vip=False)) == ["shop/big", "shop/either"]
    assert started(table, event(total=1, vip=True)) == ["shop/vip", "shop/either"]


def test_a_condition_that_fails_skips_its_trigger_alone() -> None:
    """It is counted for its workflow, and stalls nobody."""
    table = RouteTable([route("bad", ("order/placed", "event.data.total > 10")), route("good", "order/placed")])
    assert started(table, event()) == ["shop/good"]
    assert started(table, event(total="text")) == ["shop/good"]
    assert table.errors == {"shop/bad": 2}


def test_a_condition_that_does_not_compile_is_skipped_too() -> None:
    """A registration of a newer version may say what this one does not understand."""
    table = RouteTable([route("bad", ("order/placed", "event..(")), route("good", "order/placed")])
    assert started(table, event()) == ["shop/good"]
    assert table.errors["shop/bad"] == 1


def test_a_workflow_is_found_by_app_and_id() -> None:
    """For invokes and direct starts."""
    table = RouteTable([route("a"), route("a", app="mail")], generation=4)
    found = table.find("mail", "a")
    assert found is not None
    assert found.name == "mail/a"
    assert table.find("shop", "b") is None
    assert table.generation == 4


def test_questions_are_true_when_something_is_asked() -> None:
    """Each kind of question counts."""
    assert not Questions()
    assert Questions(keys={("shop", "signal/x")})
    assert Questions(started={"e"})
    assert Questions(positions={None})
    assert Questions(successors={("shop", "r")})


def test_facts_begin_empty() -> None:
    """Nothing is known but the routes, and two of them share nothing."""
    one, other = Facts(RouteTable()), Facts(RouteTable())
    one.keys["a", "b"] = None
    one.positions[None] = 3
    assert (other.keys, other.positions, other.started, other.successors) == ({}, {}, {}, {})
