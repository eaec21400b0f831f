"""Every example keeps all promises of `check_workflow`, and one of its own, whatever its services come to.

No step runs for real: services answer anything of their type, or fail; engines die; people answer late, or not at
all; somebody cancels.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from fastapi_app import orders
from hypothesis import HealthCheck, example, settings
from hypothesis import strategies as st
from patterns import (
    batched_writes,
    cron_report,
    debounced_reindex,
    fan_out,
    human_approval,
    map_items,
    polling,
    rate_limited_api,
    saga,
    subscription,
)
from shop import app as shop
from shop.gateway import CardDeclined
from shop.orders import LARGE

from flowgen import Event, NonRetriableError, Workflow
from flowgen.testing import Scenario, Trace, check_workflow, raises
from flowgen.testing.strategies import events, interleavings, values

PATTERNS = Path(__file__).parents[2] / "examples" / "patterns"

some = settings(max_examples=15, suppress_health_check=list(HealthCheck))


def data(**fields: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Objects with these fields, each drawn from a strategy."""
    return st.fixed_dictionaries(fields)


# -- the shop --------------------------------------------------------------------------------------

ORDERS = values(shop.Order)
APPROVED = events(shop.ApprovalGiven)
ENDINGS = {"shipped", "rejected", "refused", "declined", "refunded"}


@some
@check_workflow(
    shop.fulfil,
    events=interleavings(APPROVED, within="5s", most=2),
    steps={
        "validate": ORDERS | raises(NonRetriableError),
        "charge": values(shop.gateway.Receipt) | raises(CardDeclined, ConnectionError),
        "reserve": st.none() | raises(NonRetriableError),
    },
)
def test_an_order_is_carried_out_or_ends_orderly(trace: Trace) -> None:
    """The ledger is written once at the end, and what was reserved or charged is undone unless it is shipped."""
    run = trace.run("fulfil")
    if run.status == "completed":
        assert run.result in ENDINGS
        done = {record.step for record in run.history if type(record).__name__ == "StepSucceeded"}
        assert "write ledger" in done
        if run.result == "refunded" and "reserve" in done:
            assert "release" in done
        if run.result in ("refunded",) and "charge" in done:
            assert any(step.startswith("refund") for step in done)
        if run.result == "shipped":
            assert not any(step.startswith(("refund", "release")) for step in done)


@some
@check_workflow(shop.invoice, data=ORDERS)
def test_an_invoice_has_a_number(trace: Trace) -> None:
    """It names the year."""
    assert trace.run("invoice").result.startswith("2026-")


def test_large_orders_are_among_those_drawn() -> None:
    """Otherwise nobody would be asked for approval."""
    totals: list[Any] = []

    @settings(some, max_examples=30)
    @check_workflow(shop.fulfil, steps={"validate": ORDERS.filter(lambda order: order.total >= LARGE)})
    def check(trace: Trace) -> None:
        totals.append([record for record in trace.run("fulfil").history if getattr(record, "step", "") == "ask"])

    check()
    assert any(totals)


# -- the patterns ----------------------------------------------------------------------------------


@some
@check_workflow(batched_writes.store, data=data(plant=st.just("north"), id=st.just("n1"), value=st.integers()))
def test_batched_writes(trace: Trace) -> None:
    """Each batch is written by one step."""
    assert {body.step for body in trace.executions} == {"insert"}


@some
@check_workflow(cron_report.weekly_report, data=data(tick=st.just("2026-01-05T08:00:00+00:00")))
def test_cron_report(trace: Trace) -> None:
    """Every department is counted before the report is sent."""
    steps = [body.step for body in trace.executions if body.attempt == 1]
    assert set(steps[:2]) == {"count sales", "count stock"}


@some
@check_workflow(debounced_reindex.reindex, data=data(page=st.sampled_from(["home", "news"])))
def test_debounced_reindex(trace: Trace) -> None:
    """An index is written of what was read."""
    assert trace.run("reindex").status == "completed"


READERS = st.lists(st.sampled_from(["ann", "bob", "cid"]), max_size=3, unique=True)


@some
@check_workflow(fan_out.announce, data=data(issue=st.integers(0, 3)), steps={"load_readers": READERS})
def test_fan_out(trace: Trace) -> None:
    """There are as many deliveries as readers, and the archive knows of it too."""
    delivered = [run for run in trace.runs if run.workflow_id == "deliver"]
    assert len(delivered) == trace.run("announce").result
    assert trace.run("update-archive").status == "completed"


ANSWERS = events("expense/answered", data=data(expense=st.sampled_from(["e1", "e2"]), approved=st.booleans()))


@some
@check_workflow(
    human_approval.approve,
    data=data(expense=st.just("e1"), boss=st.just("Ada")),
    events=interleavings(ANSWERS, within="10d", most=3),
    steps={"pay": st.just("e1 is paid")},
)
def test_human_approval(trace: Trace) -> None:
    """Only what was approved is paid; the boss is asked four times at the most."""
    run = trace.run("approve")
    assert bool(trace.executed("pay")) == (run.result == "e1 is paid")
    assert len({body.step for body in trace.executions if body.step.startswith("ask")}) <= 4


PHOTOS = st.lists(st.sampled_from(["one", "two", "broken"]), max_size=5)


@some
@check_workflow(
    map_items.thumbnails, data=data(photos=PHOTOS), steps={"shrink": st.just("small") | raises(NonRetriableError)}
)
def test_map_items(trace: Trace) -> None:
    """Each photo is small or has failed."""
    result = trace.run("thumbnails").result
    steps = {body.step for body in trace.executions}
    assert result["small"] + len(result["failed"]) == len(steps)


@some
@check_workflow(polling.transcode, data=data(file=st.just("talk.mov")))
def test_polling(trace: Trace) -> None:
    """It is done when the service says so, or the job is given up."""
    run = trace.run("transcode")
    assert run.status in ("completed", "cancelled")
    assert bool(trace.executed("give_up")) == (run.status == "cancelled" and bool(trace.executed("is_done")))


@some
@check_workflow(
    rate_limited_api.plan_tour, data=data(stops=st.lists(st.sampled_from(["address 1", "address 2"]), max_size=3))
)
def test_rate_limited_api(trace: Trace) -> None:
    """All stops are found."""
    found = [run for run in trace.runs if run.workflow_id == "locate"]
    assert trace.run("plan-tour").result == len(found)


@some
@check_workflow(
    saga.arrange, data=data(trip=st.just("lake")), steps={"book": st.sampled_from(["a", "b"]) | raises(ConnectionError)}
)
def test_saga(trace: Trace) -> None:
    """What was booked before a part failed is cancelled, the last thing first."""
    steps = list(dict.fromkeys(body.step for body in trace.executions))
    booked = [step.removeprefix("book ") for step in steps if step.startswith("book ")]
    cancelled = [step.removeprefix("cancel ") for step in steps if step.startswith("cancel ")]
    if trace.run("arrange").result["booked"]:
        assert cancelled == []
    else:
        assert cancelled == booked[-2::-1]


@some
@check_workflow(
    subscription.subscription,
    data=data(customer=st.just("ada"), plan=st.just("daily")),
    events=interleavings(
        events("plan/changed", data=data(customer=st.just("ada"), plan=st.sampled_from(["weekly", "daily"]))),
        events("subscription/ended", data=data(customer=st.just("ada"))),
        within="90d",
        most=3,
    ),
    until="200d",
)
@example(
    scenario=Scenario(
        {"customer": "ada", "plan": "daily"},
        events=[("0s", Event("plan/changed", {"customer": "ada", "plan": "weekly"}))],
        takes="1s",
    )
)
def test_subscription(trace: Trace) -> None:
    """It is paid each month until it ends, with one open run at a time."""
    assert sum(run.recorded.row.open for run in trace.runs) <= 1


# -- the FastAPI app -------------------------------------------------------------------------------


@some
@check_workflow(
    orders.fulfil,
    steps={"reserve": st.text(max_size=3) | raises(ConnectionError), "confirm": st.just("confirmed")},
)
def test_an_order_is_confirmed_once_it_is_reserved(trace: Trace) -> None:
    """It ends with what the confirmation says, or fails by its reservation, and then nobody is told."""
    for run in trace.runs:
        told = {body.step for body in trace.executions if body.run == run.id}
        assert run.status in ("completed", "failed")
        assert ("confirm" in told) == (run.status == "completed")
        assert run.result in ("confirmed", None)


def test_every_example_is_checked() -> None:
    """Each module of patterns has its test, and the shop."""
    programs = sorted(path.stem for path in PATTERNS.glob("*.py") if path.stem != "__init__")
    assert [name for name in programs if f"test_{name}" not in globals()] == []
    for name in programs:
        module = import_module(f"patterns.{name}")
        assert any(isinstance(value, Workflow) for value in vars(module).values())
