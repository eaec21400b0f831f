"""Functions that are elsewhere, driven: each kind of op, what it leaves in the history, how many calls it takes."""

from __future__ import annotations

from random import Random
from typing import Any

import msgspec
import pytest
import trio

from flowgen import App, Context, Event, Run, Steps
from flowgen.runtime import Engine
from flowgen.runtime.driving.caller import CallFailed, Reply
from flowgen.runtime.protocol.calls import Answer, Call, Ops, Returned, build_answer
from flowgen.runtime.protocol.ops import Op, Opcode, Userland
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.store import Committed
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.transition import Transition
from flowgen.values import encode

from .driven import World, ended, finished, run_once, start, told
from .fake_app import FakeApp, Fatal, Function, RetryIn, StepFailure, invoke, parallel, race, run, signal, sleep, wait

HOUR = 3_600


def app_of(body: Any, **options: Any) -> FakeApp:
    app = FakeApp(**options)
    app.functions["fn"] = Function("fn", body, "go")
    return app


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
        yield run("boom", _boom)

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


# -- errors --------------------------------------------------------------------------------------


def test_a_step_that_fails_is_tried_again_and_then_fails_for_good() -> None:
    """Each failed try is a record, the call says which attempt it is, and the function may catch the failure."""

    def body(event: Any) -> Any:
        try:
            yield run("charge", _boom)
        except StepFailure as error:
            return f"caught {error}"

    app = app_of(body)
    app.functions["fn"].retries = 2
    result, history = run_once(app)
    assert result == "caught boom"
    assert told(history) == ["Started", "charge try 1", "charge try 2", "charge fails ValueError", "EndCompleted"]
    assert [call.attempt for _, call in app.calls] == [0, 1, 2, 0]


def test_a_step_that_comes_back_after_failed_tries() -> None:
    """It is executed once for each try, and its next step begins with attempt 0."""
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        return 7

    def body(event: Any) -> Any:
        value = yield run("flaky", flaky)
        other = yield run("other", lambda: 1)
        return value + other

    app = app_of(body)
    result, history = run_once(app)
    assert result == 8
    assert len(tries) == 3
    assert told(history)[1:4] == ["flaky try 1", "flaky try 2", "flaky = 7"]


def test_retry_after_and_no_retry_are_obeyed() -> None:
    """A step's next try waits as long as the app says; a step that is not to be tried again has failed."""
    tries: list[int] = []

    def later() -> str:
        tries.append(1)
        if len(tries) == 1:
            raise RetryIn(1800)
        return "now"

    def fatal() -> None:
        raise Fatal("never")

    def body(event: Any) -> Any:
        value = yield run("later", later)
        try:
            yield run("fatal", fatal)
        except StepFailure as error:
            return [value, str(error)]

    result, history = run_once(app_of(body))
    assert result == ["now", "never"]
    failed = next(record for record in history if type(record).__name__ == "AttemptFailed")
    assert failed.retry_at - failed.at == 1800 * 1_000_000
    assert "fatal try 1" not in told(history)


def test_a_function_that_fails_is_tried_again_and_then_its_run_has_failed() -> None:
    """Outside of steps it is the whole call that is tried again."""

    def body(event: Any) -> Any:
        yield run("a")
        raise ValueError("outside")

    app = app_of(body)
    app.functions["fn"].retries = 1

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        info = await ended(engine, run)
        return info, await engine.history(run)

    info, history = World(app).run(story)
    assert info.status == "failed"
    assert info.error.message == "outside"
    assert told(history) == ["Started", "a = 'a'", "(function) try 1", "(function) fails ValueError", "EndFailed"]
    assert app.executed == ["a"]


def test_a_function_that_is_not_to_be_tried_again_has_failed_at_once() -> None:
    """One call, one failure."""

    def body(event: Any) -> Any:
        raise Fatal("no")
        yield

    app = app_of(body)

    async def story(engine: Engine) -> Any:
        return await ended(engine, await start(engine))

    assert World(app).run(story).status == "failed"
    assert len(app.calls) == 1


def test_an_uncaught_failure_of_a_step_is_the_run_s_and_a_retry_begins_at_that_step() -> None:
    """The terminal record names the step; after `retry` it is executed again, and what came before is not."""
    good: list[bool] = []

    def charge() -> str:
        if not good:
            raise Fatal("declined")
        return "paid"

    def body(event: Any) -> Any:
        yield run("before")
        paid = yield run("charge", charge)
        return paid

    app = app_of(body)

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        first = await ended(engine, run)
        good.append(True)
        await engine.retry(run)
        return first, await finished(engine, run), await engine.history(run)

    first, result, history = World(app).run(story)
    assert first.status == "failed"
    assert result == "paid"
    assert app.executed == ["before", "charge", "charge"]
    assert "charge fails Fatal" in told(history)
    assert next(r for r in history if type(r).__name__ == "EndFailed").step == "charge"


def test_a_failed_function_can_be_retried() -> None:
    """Its attempts count from 1 again."""
    good: list[bool] = []

    def body(event: Any) -> Any:
        yield run("a")
        if not good:
            raise ValueError("bad day")
        return "good day"

    app = app_of(body)
    app.functions["fn"].retries = 1

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        await ended(engine, run)
        good.append(True)
        before = len(app.calls)
        await engine.retry(run)
        return await finished(engine, run), app.calls[before][1].attempt

    assert World(app).run(story) == ("good day", 0)
    assert app.executed == ["a"]


def test_an_app_that_is_not_there_is_called_again() -> None:
    """A call that was not answered is a failed try of the function; the message says why."""

    def body(event: Any) -> Any:
        yield run("a")
        return "done"

    app = app_of(body)
    down: list[int] = []

    async def before(target: str, call: Call) -> Reply | None:
        if len(down) < 2:
            down.append(1)
            raise CallFailed("http://127.0.0.1:3000 takes no connection")
        return None

    app.before = before
    result, history = run_once(app)
    assert result == "done"
    assert told(history)[:4] == ["Started", "(function) try 1", "(function) try 2", "a = 'a'"]
    assert "takes no connection" in history[1].failure.message  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, [], b"{}"),
        Reply(206, [("X-Inngest-SDK", "x:v1")], b"{"),
        Reply(206, [("X-Inngest-SDK", "x:v1")], b'[{"op":"Nonsense","id":""}]'),
        Reply(206, [("X-Inngest-SDK", "x:v1")], b'[{"op":"StepRun","id":"short"}]'),
        Reply(302, [("Location", "http://169.254.169.254/")], b""),
        Reply(502, [], b"<html>bad gateway</html>"),
        Reply(206, [("X-Inngest-SDK", "x:v1")], b"[]"),
        Reply(206, [("X-Inngest-SDK", "x:v1")], b'[{"op":"None","id":""}]'),
        Reply(206, [("X-Inngest-SDK", "x:v1")], b'[{"op":"DiscoveryRequest","id":""}]'),
    ],
)
def test_an_app_that_answers_nonsense_fails_its_own_run(reply: Reply) -> None:
    """After as many tries as any failure, and after a bounded number of calls."""

    def body(event: Any) -> Any:
        yield run("a")

    app = app_of(body)
    app.functions["fn"].retries = 2

    async def before(target: str, call: Call) -> Reply | None:
        return reply

    app.before = before

    async def story(engine: Engine) -> Any:
        return await ended(engine, await start(engine))

    assert World(app).run(story).status == "failed"
    assert len(app.calls) <= 20


def test_an_app_that_plans_for_ever_and_never_executes_fails_its_own_run() -> None:
    """A plan is no progress: nothing of it is recorded."""

    def body(event: Any) -> Any:
        yield run("a")

    app = app_of(body)
    app.functions["fn"].retries = 1

    async def before(target: str, call: Call) -> Reply | None:
        ops = Ops((Op(Opcode.STEP_PLANNED, step_hash("a")),)) if target == "step" else Ops(())
        status, headers, content = build_answer(Answer(ops, 2, "x:v1"))
        return Reply(status, list(headers.items()), content)

    app.before = before

    async def story(engine: Engine) -> Any:
        return await ended(engine, await start(engine))

    assert World(app).run(story).status == "failed"
    assert len(app.calls) <= 40


# -- parallel groups ------------------------------------------------------------------------------


def group_of_four(event: Any) -> Any:
    yield parallel(invoke("invoke", "there-child"), run("b"), run("c"), run("d"))
    yield run("after")
    return "done"


def two_groups(event: Any) -> Any:
    def group(name: str) -> Any:
        yield run(f"{name}1")
        yield run(f"{name}2")

    yield parallel(group("a"), group("b"))
    return "done"


def child(event: Any) -> Any:
    return 1
    yield


@pytest.mark.parametrize("version", [1, 2])
def test_a_parallel_group_takes_exactly_six_calls(version: int) -> None:
    """One plans, three execute, one executes what follows at once, one ends: for `wait`, whatever their order."""
    app = app_of(group_of_four, version=2)
    app.functions["child"] = Function("child", child)
    result, _ = run_once(app)
    own = [target for target, (_, call) in zip(app.targets, app.calls, strict=True) if call.fn_id == "there-fn"]
    assert result == "done"
    assert len(own) == 6
    assert sorted(own[1:4]) == ["b", "c", "d"]
    assert own[0] == own[4] == own[5] == "step"
    assert sorted(app.executed) == ["after", "b", "c", "d"]


def test_two_sequences_beside_each_other_take_seven_calls_if_they_wait() -> None:
    """The second steps are planned when both of the first have ended."""
    app = app_of(two_groups)
    run_once(app)
    assert len(app.calls) == 7
    assert [set(app.executed[:2]), set(app.executed[2:])] == [{"a1", "b1"}, {"a2", "b2"}]


@pytest.mark.parametrize(("version", "mode"), [(2, "race"), (1, None), (1, "race")])
def test_two_sequences_beside_each_other_take_nine_calls_if_they_race(version: int, mode: str | None) -> None:
    """There is a discovery after each of the four steps, and none of them is executed twice (#4897)."""
    app = app_of(two_groups, version=version, mode=mode)

    async def before(target: str, call: Call) -> Reply | None:
        await trio.sleep(
            {step_hash("a1"): 1, step_hash("b1"): 10, step_hash("a2"): 5, step_hash("b2"): 5}.get(target, 0)
        )
        return None

    app.before = before
    run_once(app)
    assert len(app.calls) == 9
    assert app.executed == ["a1", "a2", "b1", "b2"]


@pytest.mark.parametrize("seed", range(20))
def test_steps_that_race_are_executed_once_whenever_they_end(seed: int) -> None:
    """Also when a sibling still runs while others go on (#4897), and however long each call and each commit takes."""
    dice = Random(seed)

    def chain(name: str) -> Any:
        for number in range(3):
            yield run(f"{name}{number}")

    def body(event: Any) -> Any:
        yield parallel(chain("a"), chain("b"), sleep("nap", "3s"), chain("c"))
        yield run("last")
        return "done"

    app = app_of(body, version=dice.choice([1, 2]), mode="race", plans_groups=dice.random() < 0.3)
    world = World(app)
    world.store = Slow(world.clock, dice)
    uncommitted: list[str] = []

    async def before(target: str, call: Call) -> Reply | None:
        committed = {step_hash(getattr(r, "step", "")) for r in await world.engine.history(call.run_id)}
        uncommitted.extend(set(call.stack) - committed)
        await trio.sleep(dice.random() * 3)
        return None

    async def story(engine: Engine) -> Any:
        return await finished(engine, await start(engine))

    app.before = before
    assert world.run(story) == "done"
    assert not uncommitted, "a call told what was not committed"
    assert sorted(app.executed) == sorted([f"{name}{n}" for name in "abc" for n in range(3)] + ["last"])


class Slow(MemoryStore):
    """A store whose commits take their time."""

    def __init__(self, clock: Any, dice: Random) -> None:
        super().__init__(clock=clock)
        self._dice = dice

    async def commit(self, transition: Transition) -> Committed:
        await trio.sleep(self._dice.random())
        return await super().commit(transition)


def test_the_first_to_end_wins_and_the_others_go_on() -> None:
    """The order of the stack is that of our history: so the app finds the same winner each time."""

    def body(event: Any) -> Any:
        winner = yield race(lambda: sleep("long", "1h"), lambda: run("quick"))
        yield run("after")
        return winner

    app = app_of(body, mode="race")
    result, history = run_once(app)
    assert result == "quick"
    assert "long = None" not in told(history)
    assert app.executed == ["quick", "after"]


def test_a_planned_step_that_fails_is_tried_again_by_itself() -> None:
    """Its siblings end meanwhile, and there is one discovery when all have ended."""
    tries: list[int] = []

    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("not yet")
        return 3

    def body(event: Any) -> Any:
        return (yield parallel(run("a"), run("flaky", flaky), run("c")))

    app = app_of(body)
    result, _ = run_once(app)
    assert result == ["a", 3, "c"]
    assert app.targets.count("flaky") == 3
    assert app.targets.count("step") == 2
    assert [call.attempt for target, call in app.calls if target == step_hash("flaky")] == [0, 1, 2]


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


def _boom() -> None:
    raise ValueError("boom")
