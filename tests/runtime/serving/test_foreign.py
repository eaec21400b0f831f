"""Served to a server that knows nothing of flowgen: the same results as with an engine here, in the fewest requests."""

from __future__ import annotations

import logging
from typing import Any

import httpx
import pytest
import trio

from flowgen import All, App, Context, Event, Invoke, Restart, Run, Sleep, StepError, Steps
from flowgen.duration import SECOND
from flowgen.runtime.protocol.calls import Call, build_call
from flowgen.runtime.protocol.steps import DISCOVERY, step_hash
from flowgen.runtime.serving import ServeSettings, serve_app
from flowgen.testing import simulate
from flowgen.testing.actions import Start

from .foreign import START, ForeignRun, ForeignServer
from .shop import shop

KEY = "signkey-test-0123456789abcdef"
MINUTE = 60 * SECOND

START_OF_RUN = START / 1e6

EVENTS: dict[str, list[tuple[int, str, dict[str, Any]]]] = {
    "waiting": [
        (MINUTE, "test/approved", {"id": "other", "by": "Bob"}),
        (2 * MINUTE, "test/approved", {"id": "7", "by": "Ada"}),
        (3 * MINUTE, "test/more", {"n": 1}),
        (4 * MINUTE, "test/more", {"n": 3}),
    ],
}
DATA = {"id": "7", "total": 2.5}
SAME = (
    "sequence parallel nested race limited collected failing-fast retried exhausted asked-later compensated waiting "
    "parent teller signalled typed"
).split()


def here(workflow: str) -> tuple[Any, list[str]]:
    """The result with an engine here, and what its steps did."""
    app, did = shop()
    later = [(f"{after // SECOND}s", Event(name, data)) for after, name, data in EVENTS.get(workflow, [])]
    trace = simulate(app, [Start(workflow, DATA), *later], until="40d")
    run = trace.run(workflow)
    assert run.status == "completed", f"{trace}"
    return run.result, did.lines


def driven(workflow: str, data: dict[str, Any] = DATA, **options: Any) -> tuple[ForeignRun, ForeignServer, list[str]]:
    """A run that was driven to its end over HTTP, its server, and what its steps did."""
    app, did = shop()

    async def drive() -> tuple[ForeignRun, ForeignServer]:
        async with ForeignServer(app, **options) as server:
            return await server.run(f"shop-{workflow}", data, *EVENTS.get(workflow, [])), server

    return *trio.run(drive), did.lines


@pytest.mark.parametrize("workflow", SAME)
@pytest.mark.parametrize("options", [{}, {"use_api": True}, {"key": KEY}], ids=["open", "use-api", "signed"])
def test_results_are_those_of_an_engine(workflow: str, options: dict[str, Any]) -> None:
    """Whatever a workflow is made of; and each step's body is executed as often as there."""
    result, did = here(workflow)
    run, _, there = driven(workflow, **options)
    assert (run.status, run.error) == ("completed", None)
    assert run.result == result
    assert sorted(there) == sorted(did)


def targets(run: ForeignRun) -> list[str]:
    """What its calls were aimed at, by names."""
    return [run.names.get(target, target) for target in run.requests]


# -- requests --------------------------------------------------------------------------------------


def test_a_sequence_takes_one_request_a_step_and_one_more() -> None:
    """The call that finds a step executes it."""
    run, _, _ = driven("sequence")
    assert run.requests == [DISCOVERY] * 6


def test_a_group_of_short_steps_is_planned_once_and_discovered_once() -> None:
    """A plan, its steps, one discovery that executes the next step, and the end: six requests for three beside."""
    run, _, _ = driven("parallel")
    assert targets(run) == [DISCOVERY, "label", "pack", "wrap", DISCOVERY, DISCOVERY]
    assert run.order == ["label", "pack", "wrap", "done"]


def test_a_race_goes_on_as_soon_as_it_is_decided() -> None:
    """After each of its steps it is asked; what it has given up may still end, and changes nothing."""
    run, _, _ = driven("race")
    assert run.order[-1] == "after"
    assert "race/slow/second" not in run.order
    assert "late" not in run.order[: run.order.index("race/fast/second")]


def test_a_branch_does_not_wait_for_its_neighbours() -> None:
    """Though one of them sleeps for an hour, the other goes on when its own minute is over."""
    run, _, _ = driven("nested")
    assert run.order.index("all/y/second") < run.order.index("all/x/pause")


@pytest.mark.parametrize("workflow", [workflow for workflow in SAME if workflow != "signalled"])
def test_a_call_that_comes_twice_changes_no_result(workflow: str) -> None:
    """Each is sent two times here, and only the second answer is heard. (A signal has one waiter, and no id.)"""
    once, _, _ = driven(workflow)
    twice, _, _ = driven(workflow, twice=True)
    assert (twice.result, twice.order, twice.requests) == (once.result, once.order, once.requests)


# -- failures --------------------------------------------------------------------------------------


def test_a_step_is_tried_again_when_its_back_off_says() -> None:
    """Not when the server would; the number of the attempt is the server's."""
    run, server, did = driven("retried")
    assert did == ["try 1", "try 2", "try 3"]
    assert [answer.retry_after for answer in run.answers] == [2 * SECOND, 2 * SECOND, None, None]
    assert server.now - START == 4 * SECOND


def test_a_step_that_asks_for_time_gets_it() -> None:
    """`RetryAfterError` is the header that the protocol has for it."""
    run, _, _ = driven("asked-later")
    assert run.answers[0].retry_after == 90 * SECOND


@pytest.mark.parametrize("attempt, op", [(0, "StepError"), (1, "StepFailed")])
def test_the_server_has_the_last_word_on_how_often_a_step_is_tried(attempt: int, op: str) -> None:
    """A step may want less, not more: after the last try it has failed, so that the body can catch that."""
    app = App("shop")

    def refuse() -> None:
        raise ValueError("no")

    @app.workflow
    def fulfil(ctx: Context) -> Steps[None]:
        yield Run("refuse", refuse).options(retries=9)

    event = {"id": "e", "name": "test/started", "data": {}, "ts": START // 1000}
    status, body = posted(app, Call("r", (event,), attempt=attempt, max_attempts=2), "shop-fulfil")
    assert (status, [said["op"] for said in body]) == (206, [op])


def test_a_failed_step_says_how_often_it_was_tried() -> None:
    """The protocol has no word for it, so its error carries it."""
    run, _, _ = driven("exhausted")
    assert run.result == ["ValueError", "try 2 failed", 2]


@pytest.mark.parametrize("workflow, error", [("uncaught", "StepError"), ("broken", "KeyError")])
def test_a_body_that_raises_fails_its_run_at_once(workflow: str, error: str) -> None:
    """It would raise again."""
    run, _, _ = driven(workflow)
    assert run.status == "failed"
    assert run.error is not None
    assert run.error.name == error
    assert "shop.py" in run.error.stack
    assert run.requests == [DISCOVERY] * 2


def test_restart_needs_a_flowgen_server() -> None:
    """No other can start a successor, so it is an error that says so."""
    app = App("again")

    @app.workflow
    def again(ctx: Context) -> Steps[None]:
        yield Restart({})

    run = drive(app, "again-again")
    assert run.error is not None
    assert "needs a flowgen server" in run.error.message


# -- what the protocol does not carry --------------------------------------------------------------


def test_time_is_when_the_run_was_created_and_chance_follows_from_its_id() -> None:
    """`ctx.now` is one time for all of a run, and each call draws the same numbers."""
    app = App("clock")

    @app.workflow
    def clock(ctx: Context) -> Steps[Any]:
        first = [ctx.now.timestamp(), ctx.random.random(), str(ctx.uuid())]
        yield Sleep("nap", "1h")
        return [first, ctx.now.timestamp()]

    run = drive(app, "clock-clock")
    assert (run.result[0][0], run.result[1]) == (START_OF_RUN, START_OF_RUN)
    assert run.result[0][1:] == drive(app, "clock-clock").result[0][1:]


def test_a_run_without_a_time_in_its_id_has_that_of_its_event() -> None:
    """And one without either is refused."""
    event = {"id": "e", "name": "test/started", "data": {}, "ts": START // 1000}
    app = App("clock")

    @app.workflow
    def clock(ctx: Context) -> Steps[Any]:
        return ctx.now.timestamp()
        yield

    (status, body) = posted(app, Call("no-ulid", (event,)), "clock-clock")
    assert (status, body) == (200, START_OF_RUN)
    status, body = posted(app, Call("no-ulid", ({"id": "e", "name": "x", "data": {}},)), "clock-clock")
    assert (status, body["error"]["code"]) == (400, "invalid_call")
    assert "says no time" in body["message"]


def test_events_and_signals_are_sent_by_the_app() -> None:
    """Each once, also when its step is tried again: its id follows from the run and the step."""
    app, did = shop()

    async def tell() -> ForeignServer:
        async with ForeignServer(app) as server:
            server.refuse_events = 1
            await server.run("shop-teller", {})
            return server

    server = trio.run(tell)
    assert [(event["name"], event["data"]) for event in server.sent] == [
        ("test/heard", {"n": 1}),
        ("test/other", {"n": 2}),
    ]
    assert server.sent[1]["id"] == "mine"
    assert [run.function.id for run in server.runs] == ["teller", "hearer"]
    assert did.lines == ["heard 1"]


def test_what_a_body_logs_is_heard_where_it_is_discovered(caplog: pytest.LogCaptureFixture) -> None:
    """Not by the calls that are aimed at its steps, which replay it."""
    app = App("talk")

    @app.workflow
    def talk(ctx: Context) -> Steps[None]:
        ctx.logger.info("before")
        yield All(Run("a", str, 1), Run("b", str, 2))
        ctx.logger.info("after")

    with caplog.at_level(logging.INFO, "flowgen.run"):
        run = drive(app, "talk-talk")
    assert len(run.requests) == 4
    assert [record.message for record in caplog.records] == ["before", "after"]


def test_what_an_invoked_function_is_told_is_its_data_alone() -> None:
    """What the server adds for itself is taken away."""
    app = App("told")

    @app.workflow
    def parent(ctx: Context) -> Steps[Any]:
        return (yield Invoke("child", child, {"n": 1}))

    @app.workflow
    def child(ctx: Context) -> Steps[Any]:
        return [ctx.event.name, ctx.event.data]
        yield

    assert drive(app, "told-parent").result == ["flowgen/run.invoked", {"n": 1}]
    for event in ({"data": None}, {}, {"DATA": {"_inngest": {}}}):
        said = {"id": "e", "name": "inngest/function.invoked", "ts": START // 1000, **event}
        assert posted(app, Call("r", (said,)), "told-child") == (200, ["flowgen/run.invoked", {}])


def test_a_run_that_fails_starts_its_handler() -> None:
    """With the failure as our own events have it."""
    app = App("handled")

    @app.workflow
    def handler(ctx: Context) -> Steps[Any]:
        data = ctx.event.data
        return [ctx.event.name, data["workflow_id"], data["run_id"], data["error"]["type"], data["error"]["message"]]
        yield

    @app.workflow(on_failure=handler)
    def fails(ctx: Context) -> Steps[Any]:
        raise ValueError("no")
        yield

    failed = {
        "function_id": "handled-fails",
        "run_id": "r",
        "event": {},
        "error": {"name": "ValueError", "message": "no"},
    }
    event = {"id": "e", "name": "inngest/function.failed", "data": failed, "ts": START // 1000}
    status, body = posted(app, Call("r2", (event,)), "handled-handler")
    assert (status, body) == (200, ["flowgen/run.failed", "fails", "r", "ValueError", "no"])


# -- code that has changed -------------------------------------------------------------------------


def changed(changes: str) -> tuple[int, Any]:
    """The answer for a run in which a step has ended that the code does not have any more."""
    app = App("shop")

    @app.workflow(changes=changes)  # type: ignore[arg-type]
    def fulfil(ctx: Context) -> Steps[Any]:
        return (yield Run("kept", str, 1))

    steps = {step_hash("removed"): {"data": 1}, step_hash("kept"): {"data": "2"}}
    event = {"id": "e", "name": "test/started", "data": {}, "ts": START // 1000}
    return posted(app, Call("r", (event,), steps, tuple(steps)), "shop-fulfil")


def test_a_step_that_the_code_does_not_have_is_a_divergence() -> None:
    """Which may be tried again: other code may know it."""
    status, body = changed("strict")
    assert (status, body["name"]) == (500, "NondeterminismError")
    assert step_hash("removed") in body["message"]


def test_additive_code_may_leave_steps_out() -> None:
    """What it does not ask for is ignored."""
    assert changed("additive") == (200, "2")


def test_a_memo_that_does_not_fit_fails_its_step() -> None:
    """In each call alike, so that the body sees the same."""
    app = App("shop")

    def number() -> int:
        return 1

    @app.workflow
    def fulfil(ctx: Context) -> Steps[Any]:
        try:
            yield Run(number)
        except StepError as error:
            return error.error_type + str((yield Run("next", str, 1)))

    event = {"id": "e", "name": "test/started", "data": {}, "ts": START // 1000}
    steps: dict[str, Any] = {step_hash("number"): {"data": "one"}, step_hash("next"): {"data": "2"}}
    assert posted(app, Call("r", (event,), steps, tuple(steps)), "shop-fulfil") == (200, "UndecodableError2")


# -- a call by hand --------------------------------------------------------------------------------


def posted(app: App, call: Call, slug: str, target: str = DISCOVERY) -> tuple[int, Any]:
    """Status and body of the answer to one call."""

    async def post() -> tuple[int, Any]:
        served = serve_app(app, settings=ServeSettings())
        transport = httpx.ASGITransport(served)
        try:
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                answer = await client.post(
                    f"/api/inngest?fnId={slug}&stepId={target}",
                    content=build_call(call),
                    headers={"Content-Type": "application/json"},
                )
                return answer.status_code, answer.json()
        finally:
            served.close()

    return trio.run(post)


def drive(app: App, slug: str) -> ForeignRun:
    async def go() -> ForeignRun:
        async with ForeignServer(app) as server:
            return await server.run(slug, {})

    return trio.run(go)


def test_a_loser_that_ends_later_counts_for_nothing() -> None:
    """Its hash comes after the race was decided, and nobody asks for it any more."""
    app, _ = shop()
    event = {"id": "e", "name": "test/started", "data": {}, "ts": START // 1000}
    ended = ["race/fast/first", "race/fast/pause", "race/fast/second", "race/slow/first", "late"]
    steps = {step_hash(id): None if id in ("late", "race/fast/pause") else {"data": id} for id in ended}
    status, body = posted(app, Call("r", (event,), steps, tuple(steps)), "shop-race")
    assert status == 206
    assert [(op["op"], op["displayName"]) for op in body] == [("StepRun", "after")]
    status, body = posted(app, Call("r", (event,), steps, tuple(steps)), "shop-race", step_hash("late"))
    assert (status, body) == (206, [])


def test_an_unknown_function_is_an_error_that_may_be_tried_again() -> None:
    """It may be there after the next deployment."""
    status, body = posted(shop()[0], Call("r"), "shop-unknown")
    assert (status, body["name"]) == (500, "FunctionNotFound")
