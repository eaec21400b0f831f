"""Functions that are elsewhere, driven: each kind of op, what it leaves in the history, how many calls it takes."""

from __future__ import annotations

from typing import Any

import msgspec
import trio

from flowgen import App, Context, Event, Run, Steps
from flowgen.runtime import Engine
from flowgen.runtime.driving.caller import Reply
from flowgen.runtime.protocol.calls import Answer, Call, Ops, Returned, build_answer
from flowgen.runtime.protocol.ops import Op, Opcode, Userland
from flowgen.runtime.protocol.steps import step_hash
from flowgen.values import encode

from .driven import World, app_of, boom, ended, finished, run_once, start, told
from .fake_app import FakeApp, StepFailure, invoke, run, signal, sleep, wait

HOUR = 3_600


# -- one step after the other ----------------------------------------------------------------------


def test_a_function_without_steps_is_one_call() -> None:
    """Its result is that of its run."""

    def body(event: Any) -> Any:
        return {"n": event["data"]["n"]}
        yield

    app = app_of(body)
    result, history = run_once(app, {"n": 7})
    assert result == {"n": 7}
    assert told(history) == ["Started", "EndCompleted"]
    assert app.targets == ["step"]


def test_steps_in_sequence_take_a_call_each_and_one_to_end() -> None:
    """Each discovery executes the one step that is new; repeats are numbered as ours are."""

    def body(event: Any) -> Any:
        first = yield run("a", lambda: 1)
        second = yield run("a", lambda: 2)
        return [first, second]

    app = app_of(body)
    result, history = run_once(app)
    assert result == [1, 2]
    assert told(history) == ["Started", "a = 1", "a:1 = 2", "EndCompleted"]
    assert app.targets == ["step"] * 3
    assert app.executed == ["a", "a:1"]


def test_a_call_tells_what_has_ended_in_its_order() -> None:
    """Memo and stack hold the ended steps, the attempt is 0, and the version that of the app's first answer."""

    def body(event: Any) -> Any:
        yield run("a", lambda: 1)
        yield sleep("nap", "1h")

    app = app_of(body)
    run_once(app)
    first, second, third = [call for _, call in app.calls]
    assert (first.version, first.stack, first.attempt, first.max_attempts) == (-1, (), 0, 5)
    assert (second.version, second.stack, second.steps) == (2, (step_hash("a"),), {step_hash("a"): {"data": 1}})
    assert third.stack == (step_hash("a"), step_hash("nap"))
    assert third.steps[step_hash("nap")] is None
    assert third.current == 2
    assert first.fn_id == "there-fn"
    assert first.events[0]["name"] == "go"


def test_a_call_tells_under_which_claim_it_is_made() -> None:
    """The number grows whenever the run is claimed again, also where its body was kept meanwhile."""

    def body(event: Any) -> Any:
        yield sleep("nap", "1h")
        yield sleep("again", "1h")

    app = app_of(body)
    run_once(app)
    generations = [call.generation_id for _, call in app.calls]
    assert generations == sorted(set(generations))
    assert len(generations) == 3


def test_a_sleep_is_ours() -> None:
    """It is recorded as one that is written here, and the app is asked again when it is over."""

    def body(event: Any) -> Any:
        yield sleep("nap", "2h")
        return "up"

    app = app_of(body)
    result, history = run_once(app)
    assert result == "up"
    assert told(history) == ["Started", "nap asks sleep", "nap = None", "EndCompleted"]
    assert history[2].at - history[1].at == 2 * HOUR * 1_000_000


def test_a_wait_gives_the_event_or_null() -> None:
    """The memo of a wait is the event itself; of one that timed out it is null. It looks back."""

    def body(event: Any) -> Any:
        yield sleep("nap", "1h")
        found = yield wait("yes", "answer", "2h", **{"if": "event.data.id == async.data.id"})
        none = yield wait("no", "never", "1h")
        return [found["data"]["text"], none]

    async def story(engine: Engine) -> Any:
        run = await start(engine, {"id": 7})
        await engine.send([Event("answer", {"id": 8, "text": "other"}), Event("answer", {"id": 7, "text": "mine"})])
        return await finished(engine, run)

    assert World(app_of(body)).run(story) == ["mine", None]


def test_a_signal_gives_its_name_and_data() -> None:
    """`{"signal", "data"}`; and who waits for the same one fails."""

    def body(event: Any) -> Any:
        found = yield signal("sig", "door")
        return found

    async def story(engine: Engine) -> Any:
        first = await start(engine)
        await trio.sleep(1)
        second = await start(engine)
        await trio.sleep(1)
        await engine.signal("door", {"open": True}, app="there")
        return await finished(engine, first), await finished(engine, second)

    result, (status, error) = World(app_of(body)).run(story)
    assert result == {"signal": "door", "data": {"open": True}}
    assert status == "failed"
    assert "door" in error.message


def test_functions_invoke_each_other_and_workflows_of_ours() -> None:
    """By `app-id`, wherever they are; a child that fails fails the step, and that can be caught."""
    here = App("here")

    @here.workflow
    def double(ctx: Context) -> Steps[int]:
        value: int = yield from Run("twice", _twice, ctx.event.data["n"])
        return value

    app = FakeApp()

    @app.function("fn", "go")
    def fn(event: Any) -> Any:
        ours = yield invoke("ours", "here-double", {"n": 4})
        theirs = yield invoke("theirs", "there-other", {"n": 1})
        try:
            yield invoke("bad", "there-bad")
        except StepFailure as error:
            caught = str(error)
        try:
            yield invoke("none", "there-nobody")
        except StepFailure as error:
            return [ours, theirs, caught, str(error)]

    @app.function("other")
    def other(event: Any) -> Any:
        value = yield run("plus", lambda: event["data"]["n"] + 1)
        return value

    @app.function("bad", retries=0)
    def bad(event: Any) -> Any:
        yield run("boom", boom)

    world = World(app, local=[here])

    async def story(engine: Engine) -> Any:
        return await finished(engine, await start(engine))

    ours, theirs, caught, unknown = world.run(story)
    assert (ours, theirs) == (8, 2)
    assert "boom" in caught
    assert "there-nobody" in unknown


def test_an_invoke_that_takes_too_long_fails_its_step() -> None:
    """With the error that SDKs know."""
    app = FakeApp()

    @app.function("fn", "go")
    def fn(event: Any) -> Any:
        try:
            yield invoke("slow", "there-slow", timeout="1h")
        except StepFailure as error:
            return str(error)

    @app.function("slow")
    def slow(event: Any) -> Any:
        yield sleep("long", "1d")

    async def story(engine: Engine) -> Any:
        return await finished(engine, await start(engine))

    assert World(app).run(story) == "Timed out waiting for invoked function to complete"
    assert any("InngestInvokeTimeoutError" in str(call.steps) for _, call in app.calls)


# -- what comes twice, or late ----------------------------------------------------------------------


def test_what_an_app_tells_twice_changes_nothing() -> None:
    """Ops about steps that have ended, or are open, are passed over."""

    def body(event: Any) -> Any:
        a = yield run("a", lambda: 1)
        yield sleep("nap", "1h")
        return a

    app = app_of(body)

    async def after(target: str, call: Call, reply: Reply) -> Reply:
        if reply.status != 206:
            return reply
        again = [
            {"op": "StepRun", "id": step_hash("a"), "data": 2, "userland": {"id": "a", "index": 0}},
            {"op": "StepFailed", "id": step_hash("a"), "error": {"name": "X", "message": "x"}},
        ]
        return Reply(206, reply.headers, msgspec.json.encode([*msgspec.json.decode(reply.body), *again]))

    app.after = after
    result, history = run_once(app)
    assert result == 1
    assert told(history).count("a = 1") == 1


def test_an_op_whose_name_does_not_lead_to_its_hash_goes_by_the_hash() -> None:
    """SDKs that make hashes in their own way are driven, too."""
    hash = "a" * 40

    def body(event: Any) -> Any:
        return None
        yield

    app = app_of(body)

    async def before(target: str, call: Call) -> Reply | None:
        done = hash in call.stack
        op = Op(Opcode.STEP_RUN, hash, data=encode(5, "x"), userland=Userland("other", 0))
        outcome = Returned(encode(call.steps[hash], "x")) if done else Ops((op,))
        status, headers, content = build_answer(Answer(outcome, 2, "x:v1"))
        return Reply(status, list(headers.items()), content)

    app.before = before
    result, history = run_once(app)
    assert result == {"data": 5}
    assert told(history)[1] == f"{hash} = 5"


def test_old_ops_and_ends_are_understood() -> None:
    """`Step` carries a wrapped value, `RunComplete` the result, `StepNotFound` asks again."""

    def body(event: Any) -> Any:
        return None
        yield

    app = app_of(body)

    async def before(target: str, call: Call) -> Reply | None:
        asked = len(app.calls)
        ops = {
            1: Op(Opcode.STEP, step_hash("old"), data=encode({"data": 4}, "x"), name="old", userland=Userland("old")),
            2: Op(Opcode.STEP_NOT_FOUND, step_hash("gone")),
        }.get(asked, Op(Opcode.RUN_COMPLETE, "", data=encode("the end", "x")))
        status, headers, content = build_answer(Answer(Ops((ops,)), 2, "x:v1"))
        return Reply(status, list(headers.items()), content)

    app.before = before
    result, history = run_once(app)
    assert result == "the end"
    assert told(history) == ["Started", "old = 4", "EndCompleted"]


# -- from outside ---------------------------------------------------------------------------------


def test_a_cancel_ends_a_run_at_once() -> None:
    """Also while a call is under way, whose answer changes nothing then."""

    def body(event: Any) -> Any:
        yield run("slow")

    app = app_of(body)

    async def before(target: str, call: Call) -> Reply | None:
        await trio.sleep(HOUR)
        return None

    app.before = before

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        await trio.sleep(60)
        await engine.cancel(run, reason="enough")
        info = await ended(engine, run)
        return info, trio.current_time()

    info, at = World(app).run(story)
    assert (info.status, info.reason) == ("cancelled", "enough")
    assert at < HOUR


def test_a_rerun_from_a_step_keeps_what_came_before() -> None:
    """The app is told the kept results, and executes the rest."""

    def body(event: Any) -> Any:
        a = yield run("a", lambda: 1)
        b = yield run("b", lambda: a + 1)
        return [a, b]

    app = app_of(body)

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        await finished(engine, run)
        again = await engine.rerun(run, from_step="b", results={"a": 10})
        return await finished(engine, again)

    assert World(app).run(story) == [10, 11]
    assert app.executed == ["a", "b", "b"]


def test_too_many_steps_fail_a_run() -> None:
    """A function that never ends ends there."""

    def body(event: Any) -> Any:
        for _ in range(10_000):
            yield run("again")

    async def story(engine: Engine) -> Any:
        return await ended(engine, await start(engine))

    app = app_of(body)
    app.functions["fn"].max_steps = 20
    info = World(app).run(story)
    assert info.status == "failed"
    assert "20" in info.error.message
    assert len(app.executed) == 21, "the app had executed it before it could be refused"


def _twice(n: int) -> int:
    return n * 2
