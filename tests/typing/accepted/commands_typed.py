"""`yield from` a command gives what it stands for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, assert_type

import attrs

from flowgen import (
    App,
    Backoff,
    Context,
    Event,
    Invoke,
    Local,
    OnEvent,
    Race,
    Restart,
    Run,
    Saga,
    Secret,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    Steps,
    WaitFor,
    WaitForSignal,
    Winner,
    Workflow,
    event_type,
    step_info,
)


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str
    total: float


@attrs.frozen
class Order:
    id: str


class Client: ...


def load(order_id: str, *, currency: str = "usd") -> Order:
    return Order(order_id)


async def charge(order: Order, amount: float) -> dict[str, int]:
    return {"paid": 1}


def store(client: Client, key: Secret[str]) -> None:
    assert_type(key.reveal(), str)
    assert_type(step_info().attempt, int)


def generic(value: list[int]) -> list[int]:
    return value


app = App("shop")


@app.workflow(on=OnEvent(OrderPlaced), retries=2, backoff=Backoff.exponential("1s"), changes="additive")
def fulfil(ctx: Context[OrderPlaced]) -> Steps[str]:
    assert_type(ctx.event, Event[OrderPlaced])
    assert_type(ctx.event.data.total, float)
    assert_type(ctx.now, datetime)

    order = yield from Run("load order", load, ctx.event.data.order_id)
    assert_type(order, Order)
    assert_type((yield from Run(load, "7", currency="eur")), Order)
    paid = yield from Run("charge", charge, order, 1.5)
    assert_type(paid, dict[str, int])
    assert_type((yield from Run(charge, order, amount=2)), dict[str, int])
    assert_type((yield from Run(charge, order, 2).options(retries=1, timeout="5s", loop="asyncio")), dict[str, int])
    yield from Run(store, Local(Client()), Secret("key"))
    assert_type((yield from Run("sum", sum, [1, 2])), int)
    assert_type((yield from Run("partial", partial(load, "7"))), Order)
    assert_type((yield from Run("make", Order, "7")), Order)

    plain = yield Run(load, "7")
    assert_type(plain, Any)

    yield Sleep("a", "30m")
    yield from Sleep("a", timedelta(minutes=1))
    yield SleepUntil("b", datetime(2026, 1, 1, tzinfo=UTC))

    ok = yield from WaitFor("w", "order/approved", match="data.order_id", timeout="7d")
    assert_type(ok, Event[dict[str, Any]] | None)
    placed = yield from WaitFor("w", OrderPlaced, where="async.data.total > 1.0", timeout="7d", since="start")
    assert_type(placed, Event[OrderPlaced] | None)
    if placed is not None:
        assert_type(placed.data.order_id, str)
    assert_type((yield from WaitForSignal("s", "go", timeout=5)), Any)
    assert_type((yield from SendEvent("tell", [Event("a"), OrderPlaced("7", 1.0)])), list[str])
    yield from SendSignal("signal", "go", {"x": 1})

    assert_type((yield from Invoke("child", receipt, {"x": 1}, timeout="1h", on_cancel="leave")), int)
    assert_type((yield from Invoke("child", "receipt")), Any)
    assert_type((yield from part(ctx, 2)), float)
    return order.id


@app.workflow
def receipt(ctx: Context[dict[str, Any]]) -> Steps[int]:
    assert_type(ctx.event.data, dict[str, Any])
    yield Sleep("a", 1)
    return 7


def part(ctx: Context[Any], factor: int) -> Steps[float]:
    yield Sleep("a", factor)
    return 1.5


assert_type(fulfil, Workflow[OrderPlaced, str])
assert_type(receipt, Workflow[dict[str, Any], int])
assert_type(fulfil(Context.of(OrderPlaced("7", 1.0))), Steps[str])
assert_type(Context.of({"x": 1}), Context[dict[str, Any]])
assert_type(Context.of(OrderPlaced("7", 1.0)), Context[OrderPlaced])
assert_type(Context.of(Event("a", OrderPlaced("7", 1.0))), Context[OrderPlaced])


assert_type(Event("a"), Event[dict[str, Any]])


def untyped(ctx: Context) -> Steps[None]:
    assert_type(ctx.event.data, dict[str, Any])
    yield Sleep("a", 1)


def compensated(ctx: Context[Any]) -> Steps[Order]:
    saga = Saga()
    order = yield from saga.do(Run(load, "7"), undo=Run("forget", load, "7"))
    assert_type(order, Order)
    paid = yield from saga.do(Run(charge, order, 1), undo=lambda paid: Run("refund", generic, [paid["paid"]]))
    assert_type(paid, dict[str, int])
    yield from saga.compensate()
    return order


def forever(ctx: Context[dict[str, Any]]) -> Steps[None]:
    won = yield from Race(stop=WaitForSignal("stop", "stop", timeout="1d"), tick=Sleep("tick", "1h"))
    assert_type(won, Winner[Any])
    yield Restart({"n": 1})


checked: Callable[[Context[OrderPlaced]], Steps[str]] = fulfil
