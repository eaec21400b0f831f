"""What fails elsewhere, and is tried again: steps, functions, and apps that are not there."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen.runtime import Engine
from flowgen.runtime.driving.caller import CallFailed, Reply
from flowgen.runtime.protocol.calls import Answer, Call, Ops, build_answer
from flowgen.runtime.protocol.ops import Op, Opcode
from flowgen.runtime.protocol.steps import step_hash

from .driven import World, app_of, boom, ended, finished, run_once, start, told
from .fake_app import Fatal, RetryIn, StepFailure, run


def test_a_step_that_fails_is_tried_again_and_then_fails_for_good() -> None:
    """Each failed try is a record, the call says which attempt it is, and the function may catch the failure."""

    def body(event: Any) -> Any:
        try:
            yield run("charge", boom)
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
