"""Workflows that between them use every option of flow control: what the crash tests kill.

Times are short, so that a life passes through waiting, collecting and being blocked; windows that must hold over
several lives are long. `note` writes to the side-effect journal, as in `workflows`.
"""

from __future__ import annotations

from typing import Any

from flowgen import App, Backoff, Context, Invoke, OnCron, OnEvent, Run, Sleep, StepError, Steps, WaitFor
from flowgen.flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)

from .workflows import note

Data = dict[str, Any]

app = App("crash-flow", backoff=Backoff.fixed("1ms"))
clockwork = App("crash-clockwork")
"""What ticks and fans out, apart: its schedule would tick beside all the others."""


def take(number: Any) -> Any:
    note()
    return number


def refuse(number: int) -> None:
    note()
    raise ValueError(f"{number} cannot be")


# -- route -----------------------------------------------------------------------------------------


@app.workflow(
    on=OnEvent("flow/limited"), rate_limit=RateLimit(2, per="300d", key="event.data.k"), idempotency="event.data.once"
)
def limited(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(take, ctx.event.data["n"]))


@app.workflow(on=OnEvent("flow/collect"), debounce=Debounce("10ms", key="event.data.k", max_wait="40ms"))
def debounced(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(take, ctx.event.data["n"]))


@app.workflow(on=OnEvent("flow/collect"), batch=Batch(3, wait="20ms"), priority=Priority("event.data.n"))
def batched(ctx: Context[Data]) -> Steps[list[int]]:
    return (yield Run(take, [event.data["n"] for event in ctx.events]))


@app.workflow(on=OnEvent("flow/invoke"))
def invoking(ctx: Context[Data]) -> Steps[list[Any]]:
    """Contributes to a batch, and hears of a run that is skipped."""
    together = yield from Invoke("batch", batched, {"n": ctx.event.data["n"]})
    try:
        yield Invoke("skipped", limited, {"n": -1, "k": "none", "once": "always"})
    except StepError as error:
        return [together, error.error_type]
    return [together, "started"]


# -- open ------------------------------------------------------------------------------------------


@app.workflow(on=OnEvent("flow/open"), throttle=Throttle(1, per="5ms"), priority=Priority("event.data.n * 60"))
def spread(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(take, ctx.event.data["n"]))


@app.workflow(on=OnEvent("flow/open"), singleton=Singleton(key="event.data.k"))
def alone(ctx: Context[Data]) -> Steps[int]:
    yield Sleep("a while", "5ms")
    return (yield Run(take, ctx.event.data["n"]))


@app.workflow(on=OnEvent("flow/open"), singleton=Singleton(mode="cancel"), throttle=Throttle(1, per="3ms", burst=3))
def latest(ctx: Context[Data]) -> Steps[int]:
    yield Sleep("a while", "5ms")
    return (yield Run(take, ctx.event.data["n"]))


# -- claim -----------------------------------------------------------------------------------------


@app.workflow(
    on=OnEvent("flow/scarce"),
    concurrency=[Concurrency(1, key="event.data.k"), Concurrency(2, key='"all"', scope="app")],
    priority=Priority("event.data.n"),
    cancel_on=CancelOn("flow/enough", match="data.n"),
)
def scarce(ctx: Context[Data]) -> Steps[int]:
    yield Run("first", take, 1)
    yield Sleep("a while", "2ms")
    return (yield Run("second", take, ctx.event.data["n"]))


@app.workflow(on=OnEvent("flow/scarce"), concurrency=Concurrency(2, key='"all"', scope="app"))
def sharing(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(take, ctx.event.data["n"]))


# -- stop ------------------------------------------------------------------------------------------


@app.workflow(on=OnEvent("flow/stop"), cancel_on=CancelOn("flow/halt", match="data.k"))
def stopped(ctx: Context[Data]) -> Steps[None]:
    yield Run(take, 1)
    yield Invoke("child", waiting)


@app.workflow
def waiting(ctx: Context[Data]) -> Steps[None]:
    yield WaitFor("never", "flow/never", timeout="90d")


@app.workflow(on=OnEvent("flow/stop"), timeouts=Timeouts(finish="20ms"))
def late(ctx: Context[Data]) -> Steps[None]:
    yield Run(take, 1)
    yield WaitFor("never", "flow/never", timeout="90d")


@app.workflow(on=OnEvent("flow/stop"), timeouts=Timeouts(start="10ms"), throttle=Throttle(1, per="300d"))
def unstarted(ctx: Context[Data]) -> Steps[int]:
    return (yield Run(take, 1))


@app.workflow(on=OnEvent("flow/stop"), retries=1, on_failure="failures")
def failing(ctx: Context[Data]) -> Steps[None]:
    yield Run(refuse, 3)


@app.workflow
def failures(ctx: Context[Data]) -> Steps[str]:
    yield Run(take, 1)
    return str(ctx.event.data["error"]["type"])


@app.workflow(on=[OnEvent("flowgen/run.cancelled"), OnEvent("flowgen/run.failed")])
def hearing(ctx: Context[Data]) -> Steps[str]:
    yield Run(take, 1)
    return str(ctx.event.data["run_id"])


# -- tick and fan out ------------------------------------------------------------------------------


@clockwork.workflow(on=OnCron("0 * * * *", catch_up="all"))
def ticking(ctx: Context[Data]) -> Steps[str]:
    return (yield Run(take, ctx.event.data["tick"]))


def _fan(number: int) -> None:
    @clockwork.workflow(id=f"fan-{number}", on=OnEvent("flow/fan"))
    def fan(ctx: Context[Data]) -> Steps[int]:
        return (yield Run(take, number))


FAN = 7
for _number in range(FAN):
    _fan(_number)
