"""What a server does on behalf of an app: requests to others, and functions that begin when a run has ended."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import trio

from flowgen.errors import InvalidInput
from flowgen.runtime import Engine
from flowgen.runtime.driving.caller import Reply
from flowgen.runtime.driving.fetching import Incoming, Outgoing, fetching
from flowgen.runtime.protocol.calls import Answer, Call, Ops, build_answer
from flowgen.runtime.protocol.ops import Op, Opcode
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.protocol.terms import Fetch
from flowgen.values import encode

from .driven import World, finished, start, told
from .fake_app import FakeApp, Function, StepFailure, fetch, infer

URL = "https://example.org/v1"


def app_of(body: Any) -> FakeApp:
    app = FakeApp()
    app.functions["fn"] = Function("fn", body, "go", retries=2)
    return app


def run_once(app: FakeApp) -> tuple[Any, list[str], list[Any]]:
    async def story(engine: Engine) -> Any:
        run = await start(engine)
        result = await finished(engine, run)
        history = await engine.history(run)
        return result, told(history), history

    result: tuple[Any, list[str], list[Any]] = World(app).run(story)
    return result


def test_a_fetch_is_made_here_and_any_answer_is_its_result() -> None:
    """Status, headers and body; only where it goes is recorded."""

    def body(event: Any) -> Any:
        found = yield fetch("ask", URL, method="post", headers={"X-Key": "secret", "Host": "evil"}, body="hello")
        return found

    app = app_of(body)
    app.answers = lambda request: Incoming(404, (("X-Answer", "no"),), b"nothing here")
    result, _, history = run_once(app)
    assert result == {"status_code": 404, "headers": {"X-Answer": "no"}, "body": "nothing here"}
    assert app.fetched == [Outgoing("POST", URL, (("X-Key", "secret"),), b"hello")]
    assert b"secret" not in b"".join(bytes(record.arguments) for record in history if hasattr(record, "arguments"))


def test_whatever_breaks_while_a_request_is_made_is_a_failed_try_of_it() -> None:
    """And no trouble of the engine's."""

    def body(event: Any) -> Any:
        return (yield fetch("ask", URL))

    app, broken = app_of(body), [True]

    def answers(request: Outgoing) -> Incoming:
        if broken:
            broken.clear()
            raise RuntimeError("by us")
        return Incoming(200, (), b"ok")

    app.answers = answers
    result, history, _ = run_once(app)
    assert result["body"] == "ok"
    assert history[:2] == ["Started", "ask try 1"]


def test_an_inference_is_a_request_with_the_provider_s_key() -> None:
    """Its result is what the provider answers; an error of the provider is tried again, a refusal is not."""
    answers = [Incoming(503, (), b"busy"), Incoming(200, (), b'{"text": "hi"}'), Incoming(401, (), b"who?")]

    def body(event: Any) -> Any:
        first = yield infer("think", URL, "openai-chat", "key", {"model": "m"})
        try:
            yield infer("refused", URL, "anthropic", "key", {"model": "m"})
        except StepFailure as error:
            return [first, str(error)]

    app = app_of(body)
    app.answers = lambda request: answers.pop(0)
    result, history, _ = run_once(app)
    assert result == [{"text": "hi"}, "the provider answered 401: who?"]
    assert "think try 1" in history
    assert "refused try 1" not in history
    assert dict(app.fetched[0].headers)["authorization"] == "Bearer key"
    assert dict(app.fetched[2].headers)["x-api-key"] == "key"
    assert msgspec.json.decode(app.fetched[0].body) == {"model": "m"}


@pytest.mark.parametrize(
    "asked",
    [
        Fetch(URL, "GET /x HTTP/1.1", {}, None),
        Fetch(URL, "CONNECT", {}, None),
        Fetch(URL, "GET", {"X": "a\r\nY: b"}, None),
        Fetch(URL, "GET", {"X\nY": "a"}, None),
    ],
)
def test_a_fetch_that_would_say_more_than_one_request_is_refused(asked: Fetch) -> None:
    """Methods and headers are what they seem to be."""
    with pytest.raises(InvalidInput):
        fetching(asked)


def test_deferred_functions_begin_when_the_run_has_ended() -> None:
    """Once each, with what they were given and by whom; one that was taken back does not."""
    app = app_of(None)
    seen: list[Any] = []

    def later(event: Any) -> Any:
        seen.append(event["data"])
        return None
        yield

    app.functions["later"] = Function("later", later)

    def defer(name: str, data: Any) -> Op:
        return Op(Opcode.DEFER_ADD, step_hash(name), opts={"fn_slug": "there-later", "input": data})

    async def before(target: str, call: Call) -> Reply | None:
        if call.fn_id != "there-fn":
            return None
        ops: tuple[Op, ...]
        if not call.stack:
            nap = Op(Opcode.SLEEP, step_hash("nap"), opts={"duration": "1m"})
            ops = (defer("kept", {"n": 1}), defer("aborted", {"n": 2}), nap)
        else:
            assert set(call.defers) == {step_hash("kept"), step_hash("aborted")}
            abort = Op(Opcode.DEFER_ABORT, "", opts={"target_hashed_id": step_hash("aborted")})
            unknown = Op(Opcode.DEFER_ADD, step_hash("x"), opts={"fn_slug": "there-nobody", "input": {}})
            ops = (defer("kept", {"n": 1}), abort, unknown, Op(Opcode.RUN_COMPLETE, "", data=encode("done", "x")))
        status, headers, content = build_answer(Answer(Ops(ops), 2, "x:v1"))
        return Reply(status, list(headers.items()), content)

    app.before = before

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        result = await finished(engine, run)
        await trio.sleep(60)
        end = (await engine.run(run)).ended_at
        (deferred,) = [info for info in (await engine.runs()).items if info.id != run]
        assert end is not None
        assert deferred.started_at is not None
        assert deferred.started_at >= end
        return run, result

    run, result = World(app).run(story)
    assert result == "done"
    assert [data["n"] for data in seen] == [1]
    assert seen[0]["_inngest"] == {"fn_slug": "there-later", "parent_fn_slug": "there-fn", "parent_run_id": run}
