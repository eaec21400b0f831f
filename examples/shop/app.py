"""The workflows of the shop: what happens to an order, from the form to the parcel.

Read `fulfil` from top to bottom: that is all there is to it. Each `yield` is a place where the process
may be killed, and where the run goes on afterwards, in another process if need be.
"""

from __future__ import annotations

from decimal import Decimal

import attrs
import trio

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    Invoke,
    NonRetriableError,
    OnEvent,
    Run,
    Saga,
    SendEvent,
    Sleep,
    StepError,
    Steps,
    WaitFor,
    event_type,
    step_info,
)

from . import gateway, ledger, warehouse
from .orders import LARGE, Order, OrderPlaced, validate

app = App("shop", retries=8, backoff=Backoff.exponential("200ms", maximum="2s"))

CARRIERS = {"AT", "BE", "CH", "DE", "DK", "ES", "FI", "FR", "GB", "IE", "IT", "NL", "NO", "PL", "PT", "SE"}


@event_type("approval/asked")
@attrs.frozen
class ApprovalAsked:
    """An order is so large that somebody should look at it."""

    order_id: str
    customer: str
    total: Decimal


@event_type("approval/given")
@attrs.frozen
class ApprovalGiven:
    """Somebody has looked at it."""

    order_id: str
    approved: bool
    by: str


# -- the workflows ---------------------------------------------------------------------------------


@app.workflow(on=OnEvent(OrderPlaced))
def fulfil(ctx: Context[OrderPlaced]) -> Steps[ledger.Ending]:
    """Carry an order out, or end it in an orderly way; the ledger has the last word."""
    placed = ctx.event.data
    try:
        order = yield from Run(validate, placed)
    except StepError as error:
        return (yield from close(placed.order_id, "rejected", error.message))

    if order.total >= LARGE:
        yield SendEvent("ask", ApprovalAsked(order.id, order.customer, order.total))
        answer = yield from WaitFor("approval", ApprovalGiven, match="data.order_id", timeout="5s")
        if answer is None or not answer.data.approved:
            return (yield from close(order.id, "refused", "nobody answered" if answer is None else answer.data.by))

    saga = Saga()
    try:
        yield from saga.do(Run(charge, order), undo=Run(refund, order.id))
        yield Sleep("let the payment settle", "1s")
        yield from saga.do(Run(reserve, order), undo=Run("release", warehouse.release, order.id))
        label, weight, number = yield from All(
            Run(print_label, order), Run(pack, order), Invoke("invoice", invoice, order)
        )
        yield Run(send_mail, order.email, f"{weight} g with invoice {number} are on their way as {label}")
    except StepError as error:
        if error.step_id == "charge" and error.error_type != "CardDeclined":
            yield Run(refund, order.id)  # it failed without an answer, so it may have been done
        yield from saga.compensate()
        ending: ledger.Ending = "declined" if error.step_id == "charge" else "refunded"
        return (yield from close(order.id, ending, error.message))
    return (yield from close(order.id, "shipped", label, order.total))


@app.workflow
def invoice(ctx: Context[Order]) -> Steps[str]:
    """Write an invoice; gives its number. A run of its own, so anybody may ask for one."""
    order = ctx.event.data
    number = f"{ctx.now:%Y}-{order.id}"
    yield Run("typeset", typeset, number, order)
    yield Sleep("let the ink dry", "100ms")
    return number


def close(order_id: str, ending: ledger.Ending, detail: str, paid: Decimal = Decimal(0)) -> Steps[ledger.Ending]:
    """A part of a workflow: the last step of each order."""
    yield Run("write ledger", write_ledger, order_id, ending, detail, paid)
    return ending


# -- the steps -------------------------------------------------------------------------------------


def charge(order: Order) -> gateway.Receipt:
    return gateway.charge(step_info().idempotency_key, order.id, order.card, order.total)


def refund(order_id: str) -> gateway.Receipt:
    return gateway.refund(step_info().idempotency_key, order_id)


def reserve(order: Order) -> None:
    warehouse.reserve(order.id, order.sku, order.quantity)


async def print_label(order: Order) -> str:
    await trio.sleep(0.05)
    if order.country not in CARRIERS:
        raise NonRetriableError(f"no carrier goes to {order.country}")
    return f"{order.country}-{step_info().run_id[-8:].upper()}"


async def pack(order: Order) -> int:
    await trio.sleep(0.02 * min(order.quantity, 10))
    return 350 * order.quantity


async def typeset(number: str, order: Order) -> str:
    await trio.sleep(0.01)
    return f"Invoice {number}: {order.quantity} × {order.sku}, {order.total} EUR, to {order.customer}, {order.address}"


async def send_mail(address: str, text: str) -> None:
    await trio.sleep(0.02)


def write_ledger(order_id: str, ending: ledger.Ending, detail: str, paid: Decimal) -> None:
    ledger.write(ledger.Entry(order_id, step_info().run_id, ending, paid, detail))
