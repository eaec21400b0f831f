"""The functions of the matrix in the official Python SDK, as coroutines: what its users write, nothing adapted."""

from __future__ import annotations

import asyncio
import datetime
import os
from collections.abc import Awaitable, Callable
from typing import Any

import inngest
from inngest.experimental import ai, realtime

from .seen import seen

APP = os.environ.get("SDK_APP", "py")
client = inngest.Inngest(app_id=APP, app_version="v1", is_production=bool(os.environ.get("INNGEST_SIGNING_KEY")))
functions: list[inngest.Function[Any]] = []


def function(fn_id: str, **options: Any) -> Callable[[Callable[[inngest.Context], Awaitable[Any]]], Any]:
    """A function that `<app>/<its id>` starts, in the list that the app serves."""
    trigger = options.pop("trigger", inngest.TriggerEvent(event=f"{APP}/{fn_id}"))

    def made(handler: Callable[[inngest.Context], Awaitable[Any]]) -> inngest.Function[Any]:
        created = client.create_function(fn_id=fn_id, trigger=trigger, **options)(handler)
        functions.append(created)
        return created

    return made


def body(name: str, value: object = None) -> Callable[[], Awaitable[Any]]:
    """The body of a step: it leaves a trace, and gives its value."""

    async def run() -> object:
        seen("body", name)
        return value

    return run


@function("hello")
async def hello(ctx: inngest.Context) -> object:
    seen("body", "hello")
    return {"greeting": f"hello {ctx.event.data['name']}"}


@function("nothing")
async def nothing(ctx: inngest.Context) -> None:
    return None


@function("steps")
async def steps(ctx: inngest.Context) -> object:
    async def add(left: int, right: int) -> int:
        seen("body", "add")
        return left + right

    a = await ctx.step.run("a", body("a", {"nested": [1, 2.5, "three", None, True]}))
    b = await ctx.step.run("add", add, 1, 2)
    c = await ctx.step.run("none", body("none"))
    return [a, b, c]


@function("repeats")
async def repeats(ctx: inngest.Context) -> object:
    return [await ctx.step.run("same", body(f"same {n}", n)) for n in range(3)]


@function("send")
async def send(ctx: inngest.Context) -> object:
    events = [inngest.Event(name=f"{APP}/told", data={"n": n}) for n in range(2)]
    return {"ids": await ctx.step.send_event("tell", events)}


@function("told")
async def told(ctx: inngest.Context) -> object:
    return ctx.event.data["n"]


@function("sleep")
async def sleep(ctx: inngest.Context) -> object:
    await ctx.step.run("before", body("before"))
    await ctx.step.sleep("nap", datetime.timedelta(seconds=1))
    return await ctx.step.run("after", body("after", "rested"))


@function("sleep-until")
async def sleep_until(ctx: inngest.Context) -> object:
    at = datetime.datetime.fromtimestamp(ctx.event.data["until"], datetime.UTC)
    await ctx.step.sleep_until("nap", at)
    return "rested"


@function("wait")
async def wait(ctx: inngest.Context) -> object:
    got = await ctx.step.wait_for_event(
        "answer",
        event=f"{APP}/answer",
        if_exp="event.data.order == async.data.order",
        timeout=ctx.event.data["timeout"],
    )
    return None if got is None else {"name": got.name, "data": got.data, "id": got.id, "ts": got.ts}


@function("double")
async def double(ctx: inngest.Context) -> object:
    seen("body", "double")
    return 2 * ctx.event.data["number"]  # type: ignore[operator]


@function("invoke")
async def invoke(ctx: inngest.Context) -> object:
    return await ctx.step.invoke("doubled", function=double, data={"number": ctx.event.data["number"]})


@function("invoke-by-id")
async def invoke_by_id(ctx: inngest.Context) -> object:
    data = ctx.event.data
    return await ctx.step.invoke_by_id(
        "other",
        app_id=str(data["app"]),
        function_id=str(data["function"]),
        data=data["data"],  # type: ignore[arg-type]
        timeout=data.get("timeout"),  # type: ignore[arg-type]
    )


@function("invoke-fails")
async def invoke_fails(ctx: inngest.Context) -> object:
    try:
        await ctx.step.invoke_by_id("doomed", function_id="fails", data={})
    except inngest.StepError as error:
        return {"caught": error.message}
    return "not reached"


@function("invoke-times-out")
async def invoke_times_out(ctx: inngest.Context) -> object:
    try:
        await ctx.step.invoke_by_id("slow", function_id="wait", data={"timeout": 3_600_000, "order": 0}, timeout=1000)
    except inngest.StepError as error:
        return {"name": error.name, "message": error.message}
    return "not reached"


@function("parallel")
async def parallel(ctx: inngest.Context) -> object:
    group = await ctx.group.parallel(
        (
            lambda: ctx.step.invoke("invoke", function=double, data={"number": 4}),
            lambda: ctx.step.run("first", body("first", 1)),
            lambda: ctx.step.run("second", body("second", 2)),
            lambda: ctx.step.send_event("tell", inngest.Event(name=f"{APP}/noted", data={})),
        )
    )
    last = await ctx.step.run("last", body("last", "last"))
    return [*group[:3], len(group[3]), last]  # type: ignore[arg-type]


def two_groups(mode: inngest.ParallelMode) -> Callable[[inngest.Context], Awaitable[Any]]:
    async def handler(ctx: inngest.Context) -> object:
        async def sequence(name: str) -> list[object]:
            return [await ctx.step.run(f"{name}{n}", body(f"{name}{n}", f"{name}{n}")) for n in (1, 2)]

        return await ctx.group.parallel((lambda: sequence("a"), lambda: sequence("b")), parallel_mode=mode)

    return handler


function("parallel-wait")(two_groups(inngest.ParallelMode.WAIT))
function("parallel-race")(two_groups(inngest.ParallelMode.RACE))


@function("uneven")
async def uneven(ctx: inngest.Context) -> object:
    async def slow() -> object:
        seen("body", "slow")
        await asyncio.sleep(0.3)
        return "slow"

    group = await ctx.group.parallel(
        (lambda: ctx.step.run("fast", body("fast", "fast")), lambda: ctx.step.run("slow", slow)),
        parallel_mode=inngest.ParallelMode.RACE,
    )
    return list(group)


def failing(ctx: inngest.Context, name: str, failures: int) -> Callable[[], Awaitable[Any]]:
    """A step that fails in its first attempts."""

    async def run() -> object:
        seen("body", name, ctx.attempt)
        if ctx.attempt < failures:
            raise ValueError(f"{name} fails in attempt {ctx.attempt}")
        return ctx.attempt

    return run


@function("flaky", retries=2)
async def flaky(ctx: inngest.Context) -> object:
    return await ctx.step.run("flaky", failing(ctx, "flaky", 1))


@function("caught", retries=1)
async def caught(ctx: inngest.Context) -> object:
    try:
        await ctx.step.run("broken", failing(ctx, "broken", 99))
    except inngest.StepError as error:
        fallback = await ctx.step.run("fallback", body("fallback", "fallback"))
        return {"name": error.name, "message": error.message, "then": fallback}
    return "not reached"


@function("uncaught", retries=1)
async def uncaught(ctx: inngest.Context) -> object:
    return await ctx.step.run("broken", failing(ctx, "broken", 99))


@function("fails", retries=0)
async def fails(ctx: inngest.Context) -> object:
    raise ValueError("this function fails")


@function("body-retries", retries=2)
async def body_retries(ctx: inngest.Context) -> object:
    await ctx.step.run("once", body("once"))
    seen("body", "tail", ctx.attempt)
    if ctx.attempt == 0:
        raise RuntimeError("the first attempt fails")
    return ctx.attempt


@function("no-retry", retries=3)
async def no_retry(ctx: inngest.Context) -> object:
    seen("body", "no-retry", ctx.attempt)
    raise inngest.NonRetriableError("never again")


@function("no-retry-step", retries=3)
async def no_retry_step(ctx: inngest.Context) -> object:
    async def run() -> object:
        seen("body", "no-retry-step", ctx.attempt)
        raise inngest.NonRetriableError("never again")

    return await ctx.step.run("fatal", run)


@function("retry-after", retries=3)
async def retry_after(ctx: inngest.Context) -> object:
    seen("body", "retry-after", ctx.attempt)
    if ctx.attempt == 0:
        raise inngest.RetryAfterError("soon", datetime.timedelta(seconds=1))
    return ctx.attempt


@function("retry-after-step", retries=3)
async def retry_after_step(ctx: inngest.Context) -> object:
    async def run() -> object:
        seen("body", "retry-after-step", ctx.attempt)
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("soon", 1000)
        return ctx.attempt

    return await ctx.step.run("later", run)


async def failed(ctx: inngest.Context) -> object:
    event = ctx.event.data
    await ctx.step.run("mourn", body("mourn"))
    error = event["error"]
    assert isinstance(error, dict)
    seen("failure", f"{event['function_id']}: {error['message']}")
    return {"of": event["run_id"], "event": event["event"]["name"]}  # type: ignore[call-overload,index]


@function("mourned", retries=0, on_failure=failed)
async def mourned(ctx: inngest.Context) -> object:
    raise ValueError("to be mourned")


@function("ctx")
async def context(ctx: inngest.Context) -> object:
    return {
        "attempt": ctx.attempt,
        "run_id": ctx.run_id,
        "event": {"id": ctx.event.id, "name": ctx.event.name, "data": ctx.event.data, "ts": ctx.event.ts},
        "events": len(ctx.events),
    }


@function(
    "cancelled",
    cancel=[inngest.Cancel(event=f"{APP}/cancel", if_exp="event.data.order == async.data.order", timeout=3_600_000)],
)
async def cancelled(ctx: inngest.Context) -> object:
    await ctx.step.run("begin", body("begin"))
    await ctx.step.sleep("long", datetime.timedelta(hours=1))
    return "not reached"


@function("batched", batch_events=inngest.Batch(max_size=3, timeout=60_000, key="event.data.shop"))
async def batched(ctx: inngest.Context) -> object:
    return sorted(int(event.data["n"]) for event in ctx.events)  # type: ignore[arg-type]


@function("debounced", debounce=inngest.Debounce(period=1000, key="event.data.key", timeout=60_000))
async def debounced(ctx: inngest.Context) -> object:
    return ctx.event.data["n"]


@function("rate-limited", rate_limit=inngest.RateLimit(limit=1, period=3_600_000, key="event.data.key"))
async def rate_limited(ctx: inngest.Context) -> object:
    return ctx.event.data["n"]


@function("throttled", throttle=inngest.Throttle(limit=1, period=1000, key="event.data.key"))
async def throttled(ctx: inngest.Context) -> object:
    return ctx.event.data["n"]


@function("idempotent", idempotency="event.data.key")
async def idempotent(ctx: inngest.Context) -> object:
    return ctx.event.data["n"]


@function("singleton-skip", singleton=inngest.Singleton(mode="skip", key="event.data.key"))
async def singleton_skip(ctx: inngest.Context) -> object:
    await ctx.step.sleep("nap", 1000)
    return ctx.event.data["n"]


@function("singleton-cancel", singleton=inngest.Singleton(mode="cancel", key="event.data.key"))
async def singleton_cancel(ctx: inngest.Context) -> object:
    await ctx.step.sleep("nap", 1000)
    return ctx.event.data["n"]


@function(
    "concurrent",
    concurrency=[inngest.Concurrency(limit=1, key="event.data.key"), inngest.Concurrency(limit=5)],
)
async def concurrent(ctx: inngest.Context) -> object:
    async def run() -> object:
        seen("enter", str(ctx.event.data["n"]))
        await asyncio.sleep(0.05)
        seen("leave", str(ctx.event.data["n"]))
        return ctx.event.data["n"]

    return await ctx.step.run("alone", run)


@function("urgent", priority=inngest.Priority(run="event.data.urgent ? 100 : 0"))
async def urgent(ctx: inngest.Context) -> object:
    return ctx.event.data["urgent"]


@function("timed-out", timeouts=inngest.Timeouts(finish=1000))
async def timed_out(ctx: inngest.Context) -> object:
    await ctx.step.sleep("long", datetime.timedelta(hours=1))
    return "not reached"


@function("start-timed-out", timeouts=inngest.Timeouts(start=1000), throttle=inngest.Throttle(limit=1, period=60_000))
async def start_timed_out(ctx: inngest.Context) -> object:
    return "started"


@function(
    "nightly",
    trigger=[inngest.TriggerCron(cron="TZ=Europe/Berlin 0 3 * * *"), inngest.TriggerEvent(event=f"{APP}/nightly")],
)
async def nightly(ctx: inngest.Context) -> object:
    return ctx.event.name


@function("filtered", trigger=inngest.TriggerEvent(event=f"{APP}/filtered", expression="event.data.total > 100"))
async def filtered(ctx: inngest.Context) -> object:
    return ctx.event.data["total"]


@function("any", trigger=inngest.TriggerEvent(event=f"{APP}/kind/*"))
async def anything(ctx: inngest.Context) -> object:
    return ctx.event.name


@function("big")
async def big(ctx: inngest.Context) -> object:
    sizes = []
    for n in range(ctx.event.data["pieces"]):  # type: ignore[arg-type]
        piece = await ctx.step.run(f"piece {n}", body(f"piece {n}", "x" * 1_500_000))
        sizes.append(len(piece))
    return sizes


@function("nested", retries=0)
async def nested(ctx: inngest.Context) -> object:
    async def outer() -> object:
        return await ctx.step.run("inner", body("inner"))

    return await ctx.step.run("outer", outer)


@function("unserializable", retries=0)
async def unserializable(ctx: inngest.Context) -> object:
    return await ctx.step.run("object", body("object", object()))


@function("infer")
async def infer(ctx: inngest.Context) -> object:
    adapter = ai.openai.Adapter(auth_key="a-key", base_url=str(ctx.event.data["url"]), model="a-model")
    return await ctx.step.ai.infer("think", adapter=adapter, body={"messages": [{"role": "user", "content": "hello"}]})


@function("outside")
async def outside(ctx: inngest.Context) -> object:
    return {"ids": await client.send(inngest.Event(name=f"{APP}/noted", data={}))}


@function("publish")
async def publish(ctx: inngest.Context) -> object:
    async def run() -> object:
        await realtime.publish(client, f"run:{ctx.event.data['key']}", "progress", {"percent": 50})
        return "told"

    return await ctx.step.run("tell", run)


@function("token")
async def token(ctx: inngest.Context) -> object:
    return await realtime.get_subscription_token(client, f"run:{ctx.event.data['key']}", ["progress", "log"])


@function("slow")
async def slow(ctx: inngest.Context) -> object:
    """For tests that kill: each step says that it began, then waits for its gate to open."""

    async def gated(n: int) -> int:
        seen("body", f"slow {n}")
        gate = os.path.join(os.environ["SEEN_GATES"], f"{ctx.event.data['key']}-{n}")
        while not os.path.exists(gate):  # noqa: ASYNC110, ASYNC240
            await asyncio.sleep(0.01)
        seen("done", f"slow {n}")
        return n

    return [await ctx.step.run(f"slow {n}", gated, n) for n in range(3)]


served = os.environ.get("SDK_FUNCTIONS", "").split()
functions[:] = [each for each in functions if not served or each.local_id in served]
