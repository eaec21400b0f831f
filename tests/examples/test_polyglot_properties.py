"""The polyglot example keeps all promises of `check_workflow`, with apps elsewhere that answer late, or fail, or never.

The shop is the example's own. The other two are written in SDKs that no simulation can run: `warehouse` and `courier`
here have the same functions at the seams, and what their steps come to is drawn.
"""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from polyglot import shop

from flowgen import App, Event, Invoke, OnEvent, Run, SendEvent, Sleep, Steps, step_info
from flowgen.history import StepSucceeded
from flowgen.testing import Faults, Trace, check_workflow, simulate
from flowgen.testing.properties import PROPERTIES, Case, Scenario
from flowgen.testing.strategies import fault_plans

some = settings(max_examples=15, suppress_health_check=list(HealthCheck))
ITEMS = st.lists(st.sampled_from(sorted(shop.PRICES)), min_size=1, max_size=3)

# -- the two apps that are elsewhere ---------------------------------------------------------------

warehouse, courier = App("warehouse"), App("courier")


def pick(items: list[str]) -> dict[str, Any]:
    raise NotImplementedError("each example says what it comes to")


@warehouse.workflow
def pack(ctx: Any) -> Steps[dict[str, Any]]:
    return (yield from Run("pick", pick, ctx.event.data["items"]))


def way(order: str) -> str:
    raise NotImplementedError("each example says how long it takes")


@courier.workflow(on=OnEvent("parcel/packed"))
def deliver(ctx: Any) -> Steps[str]:
    order = ctx.event.data["order"]
    insured = yield Invoke("insure", "shop/insure", {"items": ctx.event.data["items"]})
    yield Sleep("drive", (yield from Run("way", way, order)))
    yield SendEvent("tell", Event("parcel/delivered", {"order": order, "insured": insured}))
    return order


# -- what happens ----------------------------------------------------------------------------------


@attrs.frozen
class Elsewhere:
    """What the other apps come to: a parcel, after so many failed attempts, which is on its way for so long."""

    grams: int
    failures: int
    way: str
    """A duration; the shop stops waiting after an hour."""

    @property
    def parcel(self) -> dict[str, Any]:
        return {"grams": self.grams, "postage": 9 if self.grams > 1000 else 4}

    def pick(self, items: list[str]) -> dict[str, Any]:
        if step_info().attempt <= self.failures:
            raise ConnectionError("nobody is in the warehouse")
        return self.parcel

    def play(self, items: list[str], faults: Faults | None = None) -> Trace:
        """The whole system, on virtual time."""
        placed = Event("order/placed", {"order": "A-1", "items": items, "city": "Oslo"})
        steps = {"pick": self.pick, "way": self.way}
        return simulate([shop.app, warehouse, courier], [placed], steps, faults=faults, until="10d")


ELSEWHERE = st.builds(
    Elsewhere,
    grams=st.integers(1, 5000),
    failures=st.sampled_from([0, 0, 1, 5]),
    way=st.sampled_from(["2s", "30m", "3h"]),
)
NOBODY = 5
"""So many failed attempts are all that a step has."""


def check_order(trace: Trace, items: list[str], elsewhere: Elsewhere) -> None:
    """What an order comes to, whatever the others do."""
    run, price = trace.run("fulfil"), sum(shop.PRICES[item] for item in items)
    told = {record.step for record in run.history if isinstance(record, StepSucceeded)}
    if elsewhere.failures >= NOBODY:
        assert run.status == "failed"
        assert told == {"price"}
    elif elsewhere.way == "3h":
        assert run.result == {"order": "A-1", "price": price, "delivered": False}
    else:
        postage = elsewhere.parcel["postage"]
        expected = {"order": "A-1", "price": price, "postage": postage, "delivered": True, "insured": 2 * price}
        assert run.result == expected
    delivered = [each for each in trace.runs if each.workflow_id == "deliver"]
    assert len(delivered) == ("hand-over" in told)


# -- the tests -------------------------------------------------------------------------------------


@some
@example(["lamp"], Elsewhere(1900, 1, "30m"), Faults(at={4: "crash_after"}))
@example(["mug"], Elsewhere(350, 0, "3h"), Faults(at={2: "crash_before"}))
@example(["mug"], Elsewhere(350, NOBODY, "2s"), Faults(at={3: "crash_after"}))
@given(items=ITEMS, elsewhere=ELSEWHERE, faults=fault_plans("crash_before", "crash_after"))
def test_an_order_ends_as_its_apps_say(items: list[str], elsewhere: Elsewhere, faults: Faults) -> None:
    """It is priced, packed and brought, with one parcel; a late one is not waited for, and one never packed fails."""
    calm, faulty = elsewhere.play(items), elsewhere.play(items, faults)
    case = Case(shop.fulfil, Scenario(faults=faults), calm, faulty)
    for promise in PROPERTIES:
        promise(case)
    for trace in (calm, faulty):
        check_order(trace, items, elsewhere)


@some
@check_workflow(shop.insure, data=st.fixed_dictionaries({"items": ITEMS}), steps={"worth": st.integers(0, 200)})
def test_an_insurance_is_twice_the_worth(trace: Trace) -> None:
    """Whatever that is."""
    run = trace.run("insure")
    [worth] = [record.value for record in run.history if isinstance(record, StepSucceeded)]
    assert run.result == 2 * int(bytes(worth))


@some
@check_workflow(shop.reorder, data=st.fixed_dictionaries({"item": st.sampled_from(sorted(shop.PRICES))}))
def test_what_runs_out_is_ordered_once(trace: Trace) -> None:
    """One step, and its value is the run's."""
    run = trace.run("reorder")
    assert run.status == "completed"
    assert sum(isinstance(record, StepSucceeded) for record in run.history) == 1
