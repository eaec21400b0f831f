"""Each line marked `# refused` is an error for both checkers, and no other line is."""

from __future__ import annotations

from typing import Any

import attrs

from flowgen import (
    All,
    App,
    Context,
    Event,
    Invoke,
    OnEvent,
    Race,
    Run,
    Saga,
    SendSignal,
    Sleep,
    SleepUntil,
    Steps,
    WaitFor,
    WaitForSignal,
    event_type,
)


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str


def load(order_id: str, *, currency: str = "usd") -> int:
    return 1


async def charge(amount: float) -> dict[str, int]:
    return {}


app = App("shop")


@app.workflow(on=OnEvent(OrderPlaced))
def fulfil(ctx: Context[OrderPlaced]) -> Steps[str]:
    ctx.event.data.total  # refused
    ctx.event = Event("a", OrderPlaced("7"))
    yield Run("load", load, 7)  # refused
    yield Run("load", load)  # refused
    yield Run(load, "7", "eur")  # refused
    yield Run(load, "7", colour="red")  # refused
    yield Run("load")  # refused
    yield Run("load", 7)  # refused
    yield Run(charge, "7")  # refused
    yield Run(charge, 7).options(retry=3)  # refused
    yield Run(charge, 7).options(loop="curio")  # refused
    wrong: str = yield from Run(load, "7")  # refused
    paid: int = yield from Run(charge, 1)  # refused
    yield Sleep("a")  # refused
    yield Sleep("a", [1])  # refused
    yield SleepUntil("a", "noon")  # refused
    yield 7  # refused
    yield load("7")  # refused
    yield charge(1)  # refused
    yield part(1)  # refused
    return 7  # refused


def waits() -> Steps[None]:
    yield WaitFor("w", "a")  # refused
    yield WaitFor("w", 7, timeout=1)  # refused
    yield WaitFor("w", "a", timeout=1, since="yesterday")  # refused
    event = yield from WaitFor("w", OrderPlaced, timeout=1)
    event.data  # refused
    yield WaitForSignal("w", "a", timeout=1, on_conflict="wait")  # refused
    yield Invoke("i", load)  # refused
    yield Invoke("i", fulfil, on_cancel="kill")  # refused
    child: int = yield from Invoke("i", fulfil)  # refused
    yield SendSignal("s", 7)  # refused


def part(n: int) -> Steps[float]:
    yield Sleep("a", n)
    return 1.5


def branches() -> Steps[None]:
    a, b, c = yield from All(Run(load, "7"), part(1))  # refused
    x, y = yield from All(Run(load, "7"), part(1))
    wrong: str = x  # refused
    yield All(Run(load, "7"), on_error="ignore")  # refused
    yield All(Run(load, "7"), limit="2")  # refused
    yield All(part)  # refused
    yield All(7)  # refused
    yield All({"a": 7})  # refused
    yield Race(a=7)  # refused
    yield Race(Sleep("a", 1))  # refused
    yield from Saga().do(Run(load, "7"))  # refused
    yield from Saga().do(Run(load, "7"), undo=7)  # refused


@app.workflow  # refused
def plain(ctx: Context[dict[str, Any]]) -> str:
    return "no generator"


@app.workflow  # refused
async def asynchronous(ctx: Context[dict[str, Any]]) -> str:
    return "no generator"


@app.workflow(retry=3)  # refused
def misspelled(ctx: Context[dict[str, Any]]) -> Steps[None]:
    yield Sleep("a", 1)


app.workflow(on="order/placed")  # refused
app.workflow(changes="loose")  # refused
App("shop", loop="curio")  # refused
fulfil(Context.of({"order_id": "7"}))  # refused
