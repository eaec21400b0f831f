"""What is done with an order, durably: it goes on after a crash where it was."""

from __future__ import annotations

import attrs

from flowgen import App, Context, OnEvent, Run, Steps, event_type

app = App("orders", retries=3)


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    """A customer has ordered."""

    order_id: str
    quantity: int


def reserve(order_id: str, quantity: int) -> str:
    """Take the goods off the shelf."""
    return f"{quantity} reserved for {order_id}"


def confirm(order_id: str, reservation: str) -> str:
    """Tell the customer."""
    return f"order {order_id}: {reservation}"


@app.workflow(on=OnEvent(OrderPlaced))
def fulfil(ctx: Context[OrderPlaced]) -> Steps[str]:
    """Reserve, then confirm."""
    order = ctx.event.data
    reservation = yield from Run(reserve, order.order_id, order.quantity)
    return (yield from Run(confirm, order.order_id, reservation))
