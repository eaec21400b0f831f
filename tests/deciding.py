"""Workflows, events and what was decided, for tests of everyone's decisions but the owner's."""

from __future__ import annotations

from typing import Any

import attrs

from flowgen import Context, Event, Run, Steps
from flowgen.events import AcceptedEvent, accept_event
from flowgen.facts import Questions
from flowgen.routing import Route, RouteTable
from flowgen.transition import Transition
from flowgen.workflow import Definition, TriggerDefinition
from tests.bodies import START, act

TABLE = RouteTable(
    [
        Route("shop", Definition("fulfil", (TriggerDefinition("order/placed"),))),
        Route("shop", Definition("child")),
    ]
)
FULFIL = ("shop", "fulfil")


def decided(decision: Transition | Questions) -> Transition:
    """What was decided, when nothing had to be asked."""
    assert isinstance(decision, Transition)
    return decision


def step(name: str) -> Run[Any]:
    return Run(name, act)


def accepted(name: str = "order/placed", id: str = "01KE00000000000000000EVENT", **more: Any) -> AcceptedEvent:
    return attrs.evolve(accept_event(Event(name), id, START), **more)


def three(ctx: Context[Any]) -> Steps[Any]:
    a = yield step("a")
    b = yield step("b")
    return [a, b, (yield step("c"))]
