"""A workflow to be checked, and what a check says, for tests of `check_workflow`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    DefinitionError,
    OnEvent,
    Run,
    RunCancelled,
    Sleep,
    StepError,
    Steps,
    WaitFor,
    event_type,
)
from flowgen.testing import Trace, check_workflow

FEW = settings(max_examples=25, database=None, suppress_health_check=list(HealthCheck))
MANY = settings(FEW, max_examples=120)


class Declined(Exception):
    """The card is no good."""


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str
    total: float


@attrs.frozen
class Receipt:
    number: int


app = App("shop", retries=1, backoff=Backoff.exponential("1s", jitter=0))


def load(order_id: str) -> dict[str, int]:
    raise AssertionError("never for real")


def charge(total: float) -> Receipt:
    raise AssertionError("never for real")


def pack(order_id: str) -> int:
    raise AssertionError("never for real")


def refund(number: int) -> None:
    raise AssertionError("never for real")


@app.workflow(on=OnEvent(OrderPlaced))
def fulfil(ctx: Context[OrderPlaced]) -> Steps[str]:
    order = ctx.event.data
    yield Run(load, order.order_id)
    try:
        receipt = yield from Run(charge, order.total)
    except StepError:
        return "declined"
    yield Sleep("settle", "30m")
    label, _ = yield All(Run("label", pack, order.order_id), Run(pack, order.order_id))
    approved = yield WaitFor("approval", "order/approved", match="data.order_id", timeout="7d")
    if approved is None:
        yield Run(refund, receipt.number)
        return "refunded"
    return f"packed {label}"


def failure(check: Callable[[], object]) -> tuple[str, str]:
    """What a check fails with: its message, and the story that comes with it."""
    with pytest.raises((AssertionError, DefinitionError)) as caught:
        check()
    return str(caught.value), "\n".join(getattr(caught.value, "__notes__", []))


def check_of(body: Any, **options: Any) -> Callable[[], object]:
    """The built-in properties of a body alone."""
    examples = options.pop("examples", MANY)
    planted = App("planted", backoff=Backoff.exponential("1s", jitter=0))
    workflow = planted.workflow(on=OnEvent("go"), id="planted")(body)

    @examples
    @seed(1)
    @check_workflow(workflow, **{"data": st.just({}), **options})
    def check(trace: Trace) -> None:
        """No more than what is promised anyway."""

    return check


def step(value: Any = None) -> int:
    raise AssertionError("never for real")


def swallows(ctx: Context) -> Steps[str]:
    with suppress(RunCancelled):
        yield Sleep("nap", "1h")
    yield Sleep("another nap", "1h")
    return "rested"
