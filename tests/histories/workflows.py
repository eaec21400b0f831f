"""The code of the golden histories, which replay with it for ever.

Change nothing here that a history would notice: a body that must change for its history's sake means that
replay has changed, and that runs of released versions would be parked. New workflows and new histories may be
added (`make.py`), and old ones stay.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import attrs

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    Event,
    Invoke,
    Local,
    Race,
    Restart,
    Run,
    RunCancelled,
    Saga,
    Secret,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    StepError,
    Steps,
    StepTimeout,
    WaitFor,
    WaitForSignal,
    event_type,
)

app = App("golden")


@event_type("order/approved")
@attrs.frozen
class Approved:
    order_id: str
    by: str


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@attrs.frozen
class Label:
    text: str
    colour: Colour
    printed: datetime
    price: Decimal


@attrs.frozen
class Parcel:
    labels: tuple[Label, ...]
    due: date
    within: timedelta
    id: UUID
    content: bytes
    tags: frozenset[str]


def load(order_id: str) -> dict[str, Any]:
    raise NotImplementedError


def charge(order: Any, *, currency: str, token: Any = None) -> int:
    raise NotImplementedError


def print_label(text: str) -> Label:
    raise NotImplementedError


def pack(*labels: Label) -> Parcel:
    raise NotImplementedError


def note(*what: Any) -> Any:
    raise NotImplementedError


def maybe(n: int) -> Label | None:
    raise NotImplementedError


@app.workflow
def order(ctx: Context[dict[str, Any]]) -> Steps[list[Any]]:
    """Every command, one after the other."""
    order_id = ctx.event.data["order_id"]
    loaded = yield Run("load order", load, order_id)
    paid = yield from Run(charge, loaded, currency="eur", token=Secret("t-1"))
    yield Sleep("settle", "30m")
    yield SleepUntil("new year", datetime(2028, 1, 1, tzinfo=UTC))
    approved = yield WaitFor("approval", Approved, match="data.order_id", timeout="7d")
    refused = yield WaitFor("refusal", "order/refused", where="async.data.n > event.data.n", timeout="1h")
    signal = yield WaitForSignal("go", "go ahead", timeout="1h")
    nobody = yield WaitForSignal("never", "never sent", timeout="1h")
    try:
        yield SendSignal("tell", "somebody", {"n": 1})
    except StepError as error:
        told: str = error.error_type
    receipt = yield Invoke("receipt", "child", {"order_id": order_id}, timeout="1h")
    sent = yield SendEvent("done", [Event("order/done", {"order_id": order_id}), Event("order/kept", {})])
    by = approved.data.by if approved is not None else None
    return [loaded["id"], paid, by, refused, signal, nobody, told, receipt, len(sent), ctx.now]


@app.workflow
def fan_out(ctx: Context[dict[str, Any]]) -> Steps[Any]:
    """Groups of all shapes, and what is drawn in their scopes."""

    def part(name: str, times: int) -> Steps[list[Any]]:
        seen = []
        for _ in range(times):
            seen.append((yield Run(name, note, ctx.random.random(), ctx.uuid())))
        return seen

    pair = yield All(Run("a", note, 1), Run("a", note, 2))
    named = yield All({"x": part("p", 2), "y": part("p", 1), "z": Sleep("s", 5)}, limit=2)
    collected = yield All(part("q", 1), Run("bad", note), All(Run("c", note), part("r", 1)), on_error="collect")
    kinds = [type(item).__name__ for item in collected]
    yield Run("drawn", note, ctx.random.random(), ctx.now)
    return [pair, named, kinds]


@app.workflow
def race(ctx: Context[dict[str, Any]]) -> Steps[Any]:
    """Races in races, losers that clean up, and one that does not finish in time."""

    def guarded(name: str) -> Steps[None]:
        try:
            yield Run(name, note)
        finally:
            yield Run(f"free {name}", note)

    first = yield Race(fast=Run("fast", note), slow=guarded("slow"), late=Sleep("late", "1h"))
    second = yield Race(
        inner=All(guarded("left"), Race(a=Run("a", note), b=WaitFor("b", "order/paid", timeout="1h"))),
        outer=WaitForSignal("outer", "stop", timeout="1h"),
    )
    try:
        yield Race(x=Run("x", note), y=guarded("y"))
    except StepError as error:
        return [first.name, second.name, error.step_id]
    return None


@app.workflow
def trip(ctx: Context[dict[str, Any]]) -> Steps[str]:
    """A saga that is undone."""
    saga = Saga()
    try:
        seat = yield from saga.do(Run("book seat", note, "seat"), undo=Run("free seat", note, "seat"))
        yield from saga.do(Run("book room", note, seat), undo=lambda room: Run("free room", note, room))
        yield from saga.do(Run("charge", note).options(retries=1), undo=Run("refund", note))
    except StepError as error:
        yield from saga.compensate()
        return f"undone: {error.error_type}"
    return "booked"


@app.workflow
def cancelled(ctx: Context[dict[str, Any]]) -> Steps[None]:
    """Cancelled in the middle of branches, with clean-up steps; one of them runs out of time."""

    def branch(name: str) -> Steps[None]:
        try:
            yield Run(name, note)
        except RunCancelled as stop:
            yield Run(f"tidy {name}", note, stop.reason)
            raise

    try:
        yield All(branch("a"), branch("b"), Invoke("child", "child"), WaitFor("w", "order/paid", timeout="1h"))
    finally:
        yield Run("tidy all", note)


@app.workflow(retries=2, backoff=Backoff.fixed("10s"))
def retrying(ctx: Context[dict[str, Any]]) -> Steps[Any]:
    """Attempts that failed, a time-out, and a failure that is final."""
    flaky = yield Run("flaky", note, Local(object()))
    try:
        yield Run("slow", note).options(timeout="1s", retries=0)
    except StepTimeout as error:
        slow = error.attempts
    try:
        yield Run("broken", note)
    except StepError as error:
        return [flaky, slow, error.attempts, str(error)]


@app.workflow
def retried(ctx: Context[dict[str, Any]]) -> Steps[Any]:
    """Failed, retried, failed again, retried again, and done."""
    a = yield Run("a", note)
    got = yield All(Run("b", note), Sleep("s", "1h"), WaitFor("w", "order/paid", timeout="2h"))
    return [a, got]


@app.workflow
def restarting(ctx: Context[dict[str, Any]]) -> Steps[None]:
    """One turn of an endless loop."""
    page = yield Run("page", note, ctx.event.data["cursor"])
    yield WaitFor("next", "order/paid", timeout="1h")
    yield Restart({"cursor": page})


def additive_before(ctx: Context[dict[str, Any]]) -> Steps[Any]:
    """What `additive` was when its history was made."""
    a = yield Run("a", note, 1)
    yield Run("removed", note)
    b = yield Run("b", note, 2)
    c = yield Run("c", note, 3)
    return [a, b, c]


@app.workflow(changes="additive")
def additive(ctx: Context[dict[str, Any]]) -> Steps[Any]:
    """A step was removed, two have changed places, one has other arguments, and one was added."""
    b = yield Run("b", note, 2)
    a = yield Run("a", note, "other arguments")
    added = yield Run("added", note)
    c = yield Run("c", note, 3)
    return [a, b, c, added]


@app.workflow
def typed(ctx: Context[dict[str, Any]]) -> Steps[Any]:
    """Values of many types, as results and as arguments."""
    label = yield Run("label", print_label, "fragile")
    parcel = yield Run("parcel", pack, label, label)
    nothing = yield Run("nothing", maybe, 0)
    something = yield Run("something", maybe, 1)
    yield Run("note", note, parcel.due, parcel.id, sorted(parcel.tags), parcel.within, {Colour.RED: parcel.content})
    return [type(label).__name__, parcel, nothing, type(something).__name__]
