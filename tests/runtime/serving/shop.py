"""Workflows of many kinds, for tests that compare how they are driven: here, and over HTTP."""

from __future__ import annotations

from typing import Any

import attrs

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    Event,
    Invoke,
    InvokeTimeout,
    NonRetriableError,
    OnEvent,
    Race,
    RetryAfterError,
    Run,
    Saga,
    SendEvent,
    SendSignal,
    Sleep,
    StepError,
    Steps,
    WaitFor,
    WaitForSignal,
    step_info,
)


@attrs.frozen
class Order:
    id: str
    total: float


class Journal:
    """What the bodies of steps have done, in the order in which they did."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __call__(self, line: str) -> str:
        self.lines.append(line)
        return line


def shop() -> tuple[App, Journal]:
    """An app, and what its steps write down."""
    app = App("shop", retries=2, backoff=Backoff.fixed("2s"))
    did = Journal()

    def load(id: str) -> Order:
        did(f"load {id}")
        return Order(id, 1.0)

    def charge(order: Order) -> int:
        did(f"charge {order.id} {order.total!r}")
        return 2**60

    async def label(order: Order) -> str:
        return did(f"label {order.id}")

    def flaky(until: int) -> int:
        attempt = step_info().attempt
        did(f"try {attempt}")
        if attempt < until:
            raise ValueError(f"try {attempt} failed")
        return attempt

    def refuse(text: str) -> None:
        did(f"refuse {text}")
        raise NonRetriableError(text)

    def later() -> str:
        did("later")
        if step_info().attempt == 1:
            raise RetryAfterError("come again", "90s")
        return "then"

    @app.workflow(on=OnEvent("test/started"))
    def sequence(ctx: Context) -> Steps[Any]:
        order = yield from Run(load, ctx.event.data["id"])
        paid = yield from Run(charge, order)
        yield Sleep("settle", "30m")
        text = yield Run(label, order)
        again = yield Run("load", load, "b")
        return [order, paid, text, again.total]

    @app.workflow
    def parallel(ctx: Context) -> Steps[Any]:
        order = Order("7", 1.0)
        both = yield All(Run(label, order), Run("pack", did, "pack"), Run("wrap", did, "wrap"))
        done = yield Run("done", did, "done")
        return [*both, done]

    def part(name: str, pause: str) -> Steps[str]:
        first = yield Run("first", did, f"{name} first")
        yield Sleep("pause", pause)
        second = yield Run("second", did, f"{name} second")
        return f"{first}, {second}"

    @app.workflow
    def nested(ctx: Context) -> Steps[Any]:
        return (
            yield All({"x": part("x", "1h"), "y": part("y", "1m"), "z": All(Run("z", did, "z"), Sleep("zz", "1s"))})
        )

    @app.workflow
    def race(ctx: Context) -> Steps[Any]:
        won = yield Race(slow=part("slow", "2h"), fast=part("fast", "5m"), late=Sleep("late", "3h"))
        after = yield Run("after", did, f"after {won.name}")
        return [won.name, won.value, after]

    @app.workflow
    def limited(ctx: Context) -> Steps[Any]:
        return (yield All(*[Run("one", did, f"one {n}") for n in range(4)], limit=2))

    @app.workflow
    def collected(ctx: Context) -> Steps[Any]:
        results = yield All(Run("bad", refuse, "no"), Run("good", did, "good"), on_error="collect")
        return [type(result).__name__ for result in results]

    @app.workflow
    def failing_fast(ctx: Context) -> Steps[Any]:
        try:
            yield All(Run("bad", refuse, "no"), WaitFor("never", "test/never", timeout="300d"))
        except StepError as error:
            return [error.step_id, error.error_type, error.message, error.attempts]

    @app.workflow
    def retried(ctx: Context) -> Steps[Any]:
        return (yield Run("flaky", flaky, 3))

    @app.workflow
    def exhausted(ctx: Context) -> Steps[Any]:
        try:
            yield Run("flaky", flaky, 9).options(retries=1)
        except StepError as error:
            return [error.error_type, error.message, error.attempts]

    @app.workflow
    def asked_later(ctx: Context) -> Steps[Any]:
        return (yield Run(later))

    @app.workflow
    def compensated(ctx: Context) -> Steps[Any]:
        saga = Saga()
        try:
            yield from saga.do(Run("book", did, "book"), undo=Run("unbook", did, "unbook"))
            yield from saga.do(Run("pay", did, "pay"), undo=Run("refund", did, "refund"))
            yield Run("ship", refuse, "lost")
        except StepError as error:
            yield from saga.compensate()
            return f"undone after {error.message}"

    @app.workflow
    def uncaught(ctx: Context) -> Steps[Any]:
        yield Run("ship", refuse, "lost")

    @app.workflow
    def broken(ctx: Context) -> Steps[Any]:
        yield Run("ship", did, "ship")
        raise KeyError("a bug")

    @app.workflow
    def waiting(ctx: Context) -> Steps[Any]:
        order = ctx.event.data["id"]
        ok = yield WaitFor("approval", "test/approved", match="data.id", timeout="1d")
        done = yield WaitFor("more", "test/more", where="async.data.n > 2", timeout="1d")
        nothing = yield WaitFor("nothing", "test/nothing", timeout="1h")
        return [order, ok.data["by"] if ok else None, done.data["n"] if done else None, nothing]

    @app.workflow
    def parent(ctx: Context) -> Steps[Any]:
        value = yield from Invoke("child", child, {"n": 20})
        try:
            yield Invoke("bad child", uncaught)
        except StepError as error:
            failed = error.error_type
        try:
            yield Invoke("slow child", sleeper, timeout="1m")
        except InvokeTimeout as error:
            slow = type(error).__name__
        return [value, failed, slow]

    @app.workflow
    def child(ctx: Context) -> Steps[int]:
        got = yield Run("add", sum, [ctx.event.data["n"], 1])
        return 2 * got

    @app.workflow
    def sleeper(ctx: Context) -> Steps[None]:
        yield Sleep("long", "10d")

    @app.workflow
    def teller(ctx: Context) -> Steps[Any]:
        ids = yield SendEvent("tell", [Event("test/heard", {"n": 1}), Event("test/other", {"n": 2}, id="mine")])
        return len(ids)

    @app.workflow(on=OnEvent("test/heard"))
    def hearer(ctx: Context) -> Steps[Any]:
        return (yield Run("hear", did, f"heard {ctx.event.data['n']}"))

    @app.workflow
    def signalled(ctx: Context) -> Steps[Any]:
        both = yield All(WaitForSignal("wait", "go", timeout="1h"), _soon_signal())
        missed = yield WaitForSignal("missed", "stay", timeout="1h")
        try:
            yield SendSignal("nobody", "gone")
        except StepError as error:
            return [*both, missed, error.error_type]

    def _soon_signal() -> Steps[str]:
        yield Sleep("soon", "1m")
        yield SendSignal("tell", "go", {"a": [1.5]})
        return "told"

    @app.workflow
    def drawn(ctx: Context) -> Steps[Any]:
        first = ctx.random.random()
        yield Run("did", did, "did")
        return [first, ctx.random.random(), str(ctx.uuid())]

    @app.workflow
    def typed(ctx: Context[Order]) -> Steps[Any]:
        loaded = yield from Run(load, ctx.event.data.id)
        return [ctx.event.data.total, loaded == Order(ctx.event.data.id, 1.0)]

    return app, did
