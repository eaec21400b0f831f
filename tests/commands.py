"""Commands of every kind, for tests of what they hold and refuse."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from flowgen import (
    App,
    Context,
    Event,
    Invoke,
    Run,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    Steps,
    WaitFor,
    WaitForSignal,
    event_type,
)
from flowgen.commands import StepCommand
from flowgen.history import Kind


def load_order(order_id: str, currency: str = "usd") -> dict[str, Any]:
    return {"id": order_id, "currency": currency}


async def charge(order: dict[str, Any]) -> float:
    return 1.0


def ship(ctx: object) -> Steps[str]:
    yield Sleep("pack", 1)
    return "shipped"


async def stream() -> AsyncGenerator[int, None]:
    yield 1


@event_type("order/approved")
@attrs.frozen
class OrderApproved:
    order_id: str
    total: float


app = App("shop")


@app.workflow
def make_receipt(ctx: Context[dict[str, Any]]) -> Steps[int]:
    yield Sleep("print", 1)
    return 7


NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

STEP_COMMANDS: dict[str, tuple[Kind, Callable[[str], StepCommand[Any]]]] = {
    "Run": ("run", lambda id: Run(id, load_order, "7")),
    "Sleep": ("sleep", lambda id: Sleep(id, "30m")),
    "SleepUntil": ("sleep", lambda id: SleepUntil(id, NOON)),
    "WaitFor": ("wait", lambda id: WaitFor(id, "order/approved", match="data.order_id", timeout="7d")),
    "WaitForSignal": ("signal", lambda id: WaitForSignal(id, "go", timeout="7d")),
    "Invoke": ("invoke", lambda id: Invoke(id, "make-receipt", {"order_id": "7"})),
    "SendEvent": ("send", lambda id: SendEvent(id, Event("order/done", {"order_id": "7"}))),
    "SendSignal": ("send_signal", lambda id: SendSignal(id, "go", {"order_id": "7"})),
}

each_step_command = pytest.mark.parametrize("name", STEP_COMMANDS)


def made(name: str, id: str = "an id") -> StepCommand[Any]:
    return STEP_COMMANDS[name][1](id)


def fingerprint(command: StepCommand[Any]) -> Any:
    return json.loads(bytes(command.arguments()))
