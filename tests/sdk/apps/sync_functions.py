"""The functions of the matrix in the official Python SDK, as plain functions: what users of Flask write."""

from __future__ import annotations

import datetime
import os
import time
from collections.abc import Callable
from typing import Any

import inngest
from inngest.experimental import ai, realtime

from .seen import seen

APP = os.environ.get("SDK_APP", "flask")
client = inngest.Inngest(app_id=APP, app_version="v1", is_production=bool(os.environ.get("INNGEST_SIGNING_KEY")))
functions: list[inngest.Function[Any]] = []


def function(fn_id: str, **options: Any) -> Callable[[Callable[[inngest.ContextSync], Any]], Any]:
    """A function that `<app>/<its id>` starts, in the list that the app serves."""
    trigger = options.pop("trigger", inngest.TriggerEvent(event=f"{APP}/{fn_id}"))

    def made(handler: Callable[[inngest.ContextSync], Any]) -> inngest.Function[Any]:
        created = client.create_function(fn_id=fn_id, trigger=trigger, **options)(handler)
        functions.append(created)
        return created

    return made


def body(name: str, value: object = None) -> Callable[[], Any]:
    """The body of a step: it leaves a trace, and gives its value."""

    def run() -> object:
        seen("body", name)
        return value

    return run


@function("hello")
def hello(ctx: inngest.ContextSync) -> object:
    seen("body", "hello")
    return {"greeting": f"hello {ctx.event.data['name']}"}


@function("nothing")
def nothing(ctx: inngest.ContextSync) -> None:
    return None


@function("steps")
def steps(ctx: inngest.ContextSync) -> object:
    def add(left: int, right: int) -> int:
        seen("body", "add")
        return left + right

    a = ctx.step.run("a", body("a", {"nested": [1, 2.5, "three", None, True]}))
    b = ctx.step.run("add", add, 1, 2)
    c = ctx.step.run("none", body("none"))
    return [a, b, c]


@function("repeats")
def repeats(ctx: inngest.ContextSync) -> object:
    return [ctx.step.run("same", body(f"same {n}", n)) for n in range(3)]


@function("send")
def send(ctx: inngest.ContextSync) -> object:
    events = [inngest.Event(name=f"{APP}/told", data={"n": n}) for n in range(2)]
    return {"ids": ctx.step.send_event("tell", events)}


@function("told")
def told(ctx: inngest.ContextSync) -> object:
    return ctx.event.data["n"]


@function("sleep")
def sleep(ctx: inngest.ContextSync) -> object:
    ctx.step.run("before", body("before"))
    ctx.step.sleep("nap", datetime.timedelta(seconds=1))
    return ctx.step.run("after", body("after", "rested"))


@function("sleep-until")
def sleep_until(ctx: inngest.ContextSync) -> object:
    at = datetime.datetime.fromtimestamp(ctx.event.data["until"], datetime.UTC)
    ctx.step.sleep_until("nap", at)
    return "rested"


@function("wait")
def wait(ctx: inngest.ContextSync) -> object:
    got = ctx.step.wait_for_event(
        "answer",
        event=f"{APP}/answer",
        if_exp="event.data.order == async.data.order",
        timeout=ctx.event.data["timeout"],
    )
    return None if got is None else {"name": got.name, "data": got.data, "id": got.id, "ts": got.ts}


@function("double")
def double(ctx: inngest.ContextSync) -> object:
    seen("body", "double")
    return 2 * ctx.event.data["number"]  # type: ignore[operator]


@function("invoke")
def invoke(ctx: inngest.ContextSync) -> object:
    return ctx.step.invoke("doubled", function=double, data={"number": ctx.event.data["number"]})


@function("invoke-by-id")
def invoke_by_id(ctx: inngest.ContextSync) -> object:
    data = ctx.event.data
    return ctx.step.invoke_by_id(
        "other",
        app_id=str(data["app"]),
        function_id=str(data["function"]),
        data=data["data"],  # type: ignore[arg-type]
        timeout=data.get("timeout"),  # type: ignore[arg-type]
    )


@function("invoke-fails")
def invoke_fails(ctx: inngest.ContextSync) -> object:
    try:
        ctx.step.invoke_by_id("doomed", function_id="fails", data={})
    except inngest.StepError as error:
        return {"caught": error.message}
    return "not reached"


@function("invoke-times-out")
def invoke_times_out(ctx: inngest.ContextSync) -> object:
    try:
        ctx.step.invoke_by_id("slow", function_id="wait", data={"timeout": 3_600_000, "order": 0}, timeout=1000)
    except inngest.StepError as error:
        return {"name": error.name, "message": error.message}
    return "not reached"


@function("parallel")
def parallel(ctx: inngest.ContextSync) -> object:
    group = ctx.group.parallel(
        (
            lambda: ctx.step.invoke("invoke", function=double, data={"number": 4}),
            lambda: ctx.step.run("first", body("first", 1)),
            lambda: ctx.step.run("second", body("second", 2)),
            lambda: ctx.step.send_event("tell", inngest.Event(name=f"{APP}/noted", data={})),
        )
    )
    last = ctx.step.run("last", body("last", "last"))
    return [*group[:3], len(group[3]), last]  # type: ignore[arg-type]


def two_groups(mode: inngest.ParallelMode) -> Callable[[inngest.ContextSync], Any]:
    def handler(ctx: inngest.ContextSync) -> object:
        def sequence(name: str) -> list[object]:
            return [ctx.step.run(f"{name}{n}", body(f"{name}{n}", f"{name}{n}")) for n in (1, 2)]

        return ctx.group.parallel((lambda: sequence("a"), lambda: sequence("b")), parallel_mode=mode)

    return handler


function("parallel-wait")(two_groups(inngest.ParallelMode.WAIT))
function("parallel-race")(two_groups(inngest.ParallelMode.RACE))


@function("uneven")
def uneven(ctx: inngest.ContextSync) -> object:
    def slow() -> object:
        seen("body", "slow")
        time.sleep(0.3)
        return "slow"

    group = ctx.group.parallel(
        (lambda: ctx.step.run("fast", body("fast", "fast")), lambda: ctx.step.run("slow", slow)),
        parallel_mode=inngest.ParallelMode.RACE,
    )
    return list(group)


def failing(ctx: inngest.ContextSync, name: str, failures: int) -> Callable[[], Any]:
    """A step that fails in its first attempts."""

    def run() -> object:
        seen("body", name, ctx.attempt)
        if ctx.attempt < failures:
            raise ValueError(f"{name} fails in attempt {ctx.attempt}")
        return ctx.attempt

    return run


@function("flaky", retries=2)
def flaky(ctx: inngest.ContextSync) -> object:
    return ctx.step.run("flaky", failing(ctx, "flaky", 1))


@function("caught", retries=1)
def caught(ctx: inngest.ContextSync) -> object:
    try:
        ctx.step.run("broken", failing(ctx, "broken", 99))
    except inngest.StepError as error:
        fallback = ctx.step.run("fallback", body("fallback", "fallback"))
        return {"name": error.name, "message": error.message, "then": fallback}
    return "not reached"


@function("uncaught", retries=1)
def uncaught(ctx: inngest.ContextSync) -> object:
    return ctx.step.run("broken", failing(ctx, "broken", 99))


@function("fails", retries=0)
def fails(ctx: inngest.ContextSync) -> object:
    raise ValueError("this function fails")


@function("body-retries", retries=2)
def body_retries(ctx: inngest.ContextSync) -> object:
    ctx.step.run("once", body("once"))
    seen("body", "tail", ctx.attempt)
    if ctx.attempt == 0:
        raise RuntimeError("the first attempt fails")
    return ctx.attempt


@function("no-retry", retries=3)
def no_retry(ctx: inngest.ContextSync) -> object:
    seen("body", "no-retry", ctx.attempt)
    raise inngest.NonRetriableError("never again")


@function("no-retry-step", retries=3)
def no_retry_step(ctx: inngest.ContextSync) -> object:
    def run() -> object:
        seen("body", "no-retry-step", ctx.attempt)
        raise inngest.NonRetriableError("never again")

    return ctx.step.run("fatal", run)


@function("retry-after", retries=3)
def retry_after(ctx: inngest.ContextSync) -> object:
    seen("body", "retry-after", ctx.attempt)
    if ctx.attempt == 0:
        raise inngest.RetryAfterError("soon", datetime.timedelta(seconds=1))
    return ctx.attempt


@function("retry-after-step", retries=3)
def retry_after_step(ctx: inngest.ContextSync) -> object:
    def run() -> object:
        seen("body", "retry-after-step", ctx.attempt)
        if ctx.attempt == 0:
            raise inngest.RetryAfterError("soon", 1000)
        return ctx.attempt

    return ctx.step.run("later", run)


def failed(ctx: inngest.ContextSync) -> object:
    event = ctx.event.data
    ctx.step.run("mourn", body("mourn"))
    error = event["error"]
    assert isinstance(error, dict)
    seen("failure", f"{event['function_id']}: {error['message']}")
    return {"of": event["run_id"], "event": event["event"]["name"]}  # type: ignore[call-overload,index]


@function("mourned", retries=0, on_failure=failed)
def mourned(ctx: inngest.ContextSync) -> object:
    raise ValueError("to be mourned")


@function("ctx")
def context(ctx: inngest.ContextSync) -> object:
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
def cancelled(ctx: inngest.ContextSync) -> object:
    ctx.step.run("begin", body("begin"))
    ctx.step.sleep("long", datetime.timedelta(hours=1))
    return "not reached"


@function("batched", batch_events=inngest.Batch(max_size=3, timeout=60_000, key="event.data.shop"))
def batched(ctx: inngest.ContextSync) -> object:
    return sorted(int(event.data["n"]) for event in ctx.events)  # type: ignore[arg-type]


@function("debounced", debounce=inngest.Debounce(period=1000, key="event.data.key", timeout=60_000))
def debounced(ctx: inngest.ContextSync) -> object:
    return ctx.event.data["n"]


@function("rate-limited", rate_limit=inngest.RateLimit(limit=1, period=3_600_000, key="event.data.key"))
def rate_limited(ctx: inngest.ContextSync) -> object:
    return ctx.event.data["n"]


@function("throttled", throttle=inngest.Throttle(limit=1, period=1000, key="event.data.key"))
def throttled(ctx: inngest.ContextSync) -> object:
    return ctx.event.data["n"]


@function("idempotent", idempotency="event.data.key")
def idempotent(ctx: inngest.ContextSync) -> object:
    return ctx.event.data["n"]


@function("singleton-skip", singleton=inngest.Singleton(mode="skip", key="event.data.key"))
def singleton_skip(ctx: inngest.ContextSync) -> object:
    ctx.step.sleep("nap", 1000)
    return ctx.event.data["n"]


@function("singleton-cancel", singleton=inngest.Singleton(mode="cancel", key="event.data.key"))
def singleton_cancel(ctx: inngest.ContextSync) -> object:
    ctx.step.sleep("nap", 1000)
    return ctx.event.data["n"]


@function(
    "concurrent",
    concurrency=[inngest.Concurrency(limit=1, key="event.data.key"), inngest.Concurrency(limit=5)],
)
def concurrent(ctx: inngest.ContextSync) -> object:
    def run() -> object:
        seen("enter", str(ctx.event.data["n"]))
        time.sleep(0.05)
        seen("leave", str(ctx.event.data["n"]))
        return ctx.event.data["n"]

    return ctx.step.run("alone", run)


@function("urgent", priority=inngest.Priority(run="event.data.urgent ? 100 : 0"))
def urgent(ctx: inngest.ContextSync) -> object:
    return ctx.event.data["urgent"]


@function("timed-out", timeouts=inngest.Timeouts(finish=1000))
def timed_out(ctx: inngest.ContextSync) -> object:
    ctx.step.sleep("long", datetime.timedelta(hours=1))
    return "not reached"


@function("start-timed-out", timeouts=inngest.Timeouts(start=1000), throttle=inngest.Throttle(limit=1, period=60_000))
def start_timed_out(ctx: inngest.ContextSync) -> object:
    return "started"


@function(
    "nightly",
    trigger=[inngest.TriggerCron(cron="TZ=Europe/Berlin 0 3 * * *"), inngest.TriggerEvent(event=f"{APP}/nightly")],
)
def nightly(ctx: inngest.ContextSync) -> object:
    return ctx.event.name


@function("filtered", trigger=inngest.TriggerEvent(event=f"{APP}/filtered", expression="event.data.total > 100"))
def filtered(ctx: inngest.ContextSync) -> object:
    return ctx.event.data["total"]


@function("any", trigger=inngest.TriggerEvent(event=f"{APP}/kind/*"))
def anything(ctx: inngest.ContextSync) -> object:
    return ctx.event.name


@function("big")
def big(ctx: inngest.ContextSync) -> object:
    sizes = []
    for n in range(ctx.event.data["pieces"]):  # type: ignore[arg-type]
        piece = ctx.step.run(f"piece {n}", body(f"piece {n}", "x" * 1_500_000))
        sizes.append(len(piece))
    return sizes


@function("nested", retries=0)
def nested(ctx: inngest.ContextSync) -> object:
    def outer() -> object:
        return ctx.step.run("inner", body("inner"))

    return ctx.step.run("outer", outer)


@function("unserializable", retries=0)
def unserializable(ctx: inngest.ContextSync) -> object:
    return ctx.step.run("object", body("object", object()))


@function("infer")
def infer(ctx: inngest.ContextSync) -> object:
    adapter = ai.openai.Adapter(auth_key="a-key", base_url=str(ctx.event.data["url"]), model="a-model")
    return ctx.step.ai.infer("think", adapter=adapter, body={"messages": [{"role": "user", "content": "hello"}]})


@function("outside")
def outside(ctx: inngest.ContextSync) -> object:
    return {"ids": client.send_sync(inngest.Event(name=f"{APP}/noted", data={}))}


@function("publish")
def publish(ctx: inngest.ContextSync) -> object:
    def run() -> object:
        realtime.publish_sync(client, f"run:{ctx.event.data['key']}", "progress", {"percent": 50})
        return "told"

    return ctx.step.run("tell", run)


@function("token")
def token(ctx: inngest.ContextSync) -> object:
    return realtime.get_subscription_token_sync(client, f"run:{ctx.event.data['key']}", ["progress", "log"])


@function("slow")
def slow(ctx: inngest.ContextSync) -> object:
    """For tests that kill: each step says that it began, then waits for its gate to open."""

    def gated(n: int) -> int:
        seen("body", f"slow {n}")
        gate = os.path.join(os.environ["SEEN_GATES"], f"{ctx.event.data['key']}-{n}")
        while not os.path.exists(gate):
            time.sleep(0.01)
        seen("done", f"slow {n}")
        return n

    return [ctx.step.run(f"slow {n}", gated, n) for n in range(3)]


served = os.environ.get("SDK_FUNCTIONS", "").split()
functions[:] = [each for each in functions if not served or each.local_id in served]
