"""Apps that are slow, that lie, or that mean harm: each harms only its own runs."""

from __future__ import annotations

from threading import get_ident
from typing import Any

import msgspec
import pytest
import trio

from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.checkup import check_up
from flowgen.runtime.driving import caller
from flowgen.runtime.driving.caller import CallFailed, Headers, Reply
from flowgen.runtime.protocol.calls import Answer, Call, parse_answer
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.stores.memory import MemoryStore

from .driven import World, ended, finished, start, told
from .fake_app import FakeApp, Function
from .test_transport import Server, once, talk


def nothing(event: Any) -> Any:
    return None
    yield


def app_that_answers(reply: Reply, sdk: str = "inngest-py:v0.5.19", retries: int = 2) -> FakeApp:
    """An app that answers each call so."""
    app = FakeApp(sdk=sdk)
    app.functions["fn"] = Function("fn", nothing, "go", retries=retries)

    async def before(target: str, call: Call) -> Reply | None:
        return reply

    app.before = before
    return app


def fate(app: FakeApp) -> Any:
    """What becomes of a run of the app's function."""

    async def story(engine: Engine) -> Any:
        return await ended(engine, await start(engine))

    return World(app).run(story)


# -- how calls travel -------------------------------------------------------------------------------


def test_an_app_that_goes_on_in_another_protocol_is_a_failed_call() -> None:
    """Status 101 is the end of HTTP on a connection: for a call, which asks for no other protocol, an error."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhello"
    with pytest.raises(BaseException) as failed:
        talk(Server(lambda number: answer), once)
    assert failed.group_contains(CallFailed, match="another protocol")


def test_an_answer_in_very_small_pieces_is_put_together() -> None:
    """However small they are: what is kept of an answer is its bytes, and nothing for each piece."""
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in b"[1,2]")
    server = Server(lambda number: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + pieces + b"0\r\n\r\n")
    assert talk(server, once).body == b"[1,2]"


@pytest.mark.parametrize("sdk", ["inngest-py:v0.5.19", "js:v4.24.0", "flowgen:v1"])
def test_whatever_breaks_while_a_call_is_made_is_a_failed_try_of_that_call(sdk: str) -> None:
    """Nothing that the transport raises reaches the engine: not even an error that nobody has thought of."""

    class Breaks(FakeApp):
        async def send(self, url: str, headers: Headers, body: bytes) -> Reply:
            self.executed.append("a call")
            raise ZeroDivisionError("nobody has thought of that")

    app = Breaks(sdk=sdk)
    app.functions["fn"] = Function("fn", nothing, "go", retries=1)
    info = fate(app)
    assert (info.status, info.error.type) == ("failed", "CallBroke")
    assert "nobody has thought of that" in info.error.message
    assert app.executed == ["a call"] * 2


# -- what apps of ours may say, and strangers that call themselves one ------------------------------


def asked(kind: str = "run", **more: Any) -> dict[str, Any]:
    """The flowgen member of an op about step `a`."""
    backoff = {"delays": [1_000], "factor": 1.000_000_1, "maximum": 10_000_000, "jitter": 0.0}
    options = {"retries": 3, "backoff": backoff} if kind == "run" else {}
    return {"kind": kind, "step": "a", "name": "a", "digest": "d", **options, **more}


def failed(**more: Any) -> dict[str, Any]:
    return asked(failure={"type": "Error", "message": "no"}, **more)


def op(code: str, member: dict[str, Any]) -> dict[str, Any]:
    return {"op": code, "id": step_hash("a"), "flowgen": member}


def standing(**cleaning: int) -> dict[str, Any]:
    return {"op": "None", "id": "", "flowgen": {"open": ["a"], "cleaning": cleaning}}


NAP = op("Sleep", asked("sleep", duration=60_000_000))


def app_that_says(*ops: dict[str, Any]) -> FakeApp:
    headers = [("X-Inngest-SDK", "flowgen:v1"), ("X-Inngest-Req-Version", "2")]
    return app_that_answers(Reply(206, headers, msgspec.json.encode(ops)), "flowgen:v1", retries=1)


@pytest.mark.parametrize(
    "app",
    [
        app_that_says(op("StepError", failed(attempts=10**17))),
        app_that_says(op("StepError", failed(attempts=10**30))),
        app_that_says(op("StepError", failed(attempts=0))),
        app_that_says(op("StepFailed", failed(attempts=-4))),
        app_that_says(standing(x=10**30), NAP),
        app_that_says(standing(x=-1), NAP),
    ],
    ids=["tries without end", "too large to keep", "none", "negative", "never", "before all time"],
)
def test_numbers_that_cannot_be_are_failed_tries(app: FakeApp) -> None:
    """None of them reaches a store, which may keep 64 bits, or a loop that counts to it."""
    info = fate(app)
    assert (info.status, info.error.type) == ("failed", "UndecodableError")
    assert len(app.calls) == 2


@pytest.mark.parametrize("after", [-5, 0, 10**30])
def test_a_step_is_tried_as_often_as_it_may_be_whatever_its_app_counts(after: int) -> None:
    """An app that says "the first try" each time, to be called again at once or never, is called a few times."""
    app = app_that_says(op("StepError", failed(attempts=1, retry_after=after)))

    async def story(engine: Engine) -> list[str]:
        run = await start(engine)
        await ended(engine, run)
        return told(await engine.history(run))[:5]

    assert World(app).run(story) == ["Started", "a try 1", "a try 2", "a try 3", "a fails Error"]


def test_a_scope_cleans_up_once() -> None:
    """An app that says each time that a scope's time to clean up is over is not called again and again."""
    app = app_that_says(standing(x=1), NAP)

    async def story(engine: Engine) -> list[str]:
        run = await start(engine)
        await ended(engine, run)
        return told(await engine.history(run))[:4]

    assert World(app).run(story) == ["Started", "a asks sleep", "CleanupExpired", "a = None"]


def test_only_a_cancelled_run_cleans_up_as_a_whole() -> None:
    """Else an app could have its run end as cancelled at a time of its own."""
    app = app_that_says(standing(**{"": 1}), NAP)

    async def story(engine: Engine) -> list[str]:
        run = await start(engine)
        await ended(engine, run)
        return told(await engine.history(run))

    assert "CleanupExpired" not in World(app).run(story)


def test_an_op_that_contradicts_its_member_is_a_plan() -> None:
    """A sleep whose member says that it is a `Run` is called for, like any planned step."""
    app = app_that_says(standing(), op("Sleep", asked()))
    info = fate(app)
    assert (info.status, info.error.type) == ("failed", "NoProgress")
    assert step_hash("a") in {target for target, _ in app.calls}


WAITS = {
    "WaitForSignal": {"signal": "door", "timeout": "1h", "conflict": "fail"},
    "WaitForEvent": {"event": "never", "timeout": "1h"},
    "Sleep": {"duration": "1h"},
    "InvokeFunction": {"function_id": "there-child", "payload": {"data": {}}, "timeout": "1h"},
}


@pytest.mark.parametrize("told_of_it", ["StepRun", "StepFailed", "StepError", "Step"])
@pytest.mark.parametrize("asked_for", WAITS)
@pytest.mark.parametrize("named", [{}, {"userland": {"id": "a", "index": 0}}], ids=["by hash", "by name"])
def test_a_step_that_waits_for_the_world_is_not_its_app_s_to_end(
    named: dict[str, Any], asked_for: str, told_of_it: str
) -> None:
    """Else what it holds is held for ever: the name of a signal, for which nobody else could wait then."""
    a = {"op": asked_for, "id": step_hash("a"), "opts": WAITS[asked_for], "userland": {"id": "a", "index": 0}}
    lie = {"op": told_of_it, "id": step_hash("a"), "data": 1, "error": {"name": "E", "message": "m"}}
    b = {"id": step_hash("b"), "userland": {"id": "b", "index": 0}}
    app = FakeApp(sdk="inngest-py:v0.5.19")
    app.functions["fn"] = Function("fn", nothing, "go")
    app.functions["child"] = Function("child", nothing)

    async def before(target: str, call: Call) -> Reply | None:
        headers = [("X-Inngest-SDK", app.sdk), ("X-Inngest-Req-Version", "2")]
        if call.fn_id == "there-child":
            await trio.sleep(7_200)
        if target == step_hash("b"):
            ops = [{**lie, **named}, {**b, "op": "StepRun", "data": 2}]
            return Reply(206, headers, msgspec.json.encode(ops))
        if len(call.stack) < 2:
            return Reply(206, headers, msgspec.json.encode([a, {**b, "op": "StepPlanned"}]))
        return Reply(200, headers, b"true")

    app.before = before

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        info = await ended(engine, run)
        took = (info.ended_at - info.created_at).total_seconds()
        await trio.sleep(7_200)
        return info.result, took >= 3_600, told(await engine.history(run)), await check_up(engine.store)

    result, waited, history, report = World(app).run(story)
    assert (result, waited) == (True, True)
    assert [line.split(" ")[0] for line in history] == ["Started", "a", "b", "a", "EndCompleted"]
    assert report.findings == ()


@pytest.mark.parametrize("named", [{}, {"userland": {"id": "(function)", "index": 0}}], ids=["by hash", "by name"])
def test_no_op_means_a_call_of_no_step(named: dict[str, Any]) -> None:
    """An app that names a step like one of the server's own has a step of that hash, like any other."""
    headers = [("X-Inngest-SDK", "inngest-py:v0.5.19"), ("X-Inngest-Req-Version", "2")]
    hash = step_hash("(function)")
    app = FakeApp(sdk="inngest-py:v0.5.19")
    app.functions["fn"] = Function("fn", nothing, "go")

    async def before(target: str, call: Call) -> Reply | None:
        if not call.stack:
            return Reply(206, headers, msgspec.json.encode([{"op": "StepRun", "id": hash, "data": 1, **named}]))
        return Reply(200, headers, msgspec.json.encode(call.steps[hash]))

    app.before = before

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        return (await ended(engine, run)).result, told(await engine.history(run))

    assert World(app).run(story) == ({"data": 1}, ["Started", f"{hash} = 1", "EndCompleted"])


# -- apps that are slow -----------------------------------------------------------------------------


def test_an_app_that_never_answers_leaves_room_for_all_others() -> None:
    """Of the runs that an engine may have in hand it gets a share, however many it has; the others wait."""
    local = App("here")
    answered: list[int] = []

    @local.workflow(on=OnEvent("ours"))
    def ours(ctx: Context) -> Steps[str]:
        return (yield Run("a", lambda: "done"))

    app = app_that_answers(Reply(200, [], b""))
    gate = trio.Event()

    async def before(target: str, call: Call) -> Reply | None:
        answered.append(1)
        await gate.wait()
        return Reply(200, [("X-Inngest-SDK", "x:v1")], b"1")

    app.before = before
    world = World(app, local=[local])

    async def main() -> None:
        async with world.open(max_runs=8) as engine:
            await engine.offer(app.registered())
            theirs = [await start(engine) for _ in range(5)]
            ids = await engine.send([Event("go") for _ in range(20)])
            assert await finished(engine, await start(engine, event="ours")) == "done"
            assert 2 <= len(answered) < 8
            gate.set()
            theirs += [run for id in ids for run in await engine.started(id)]
            for run in theirs:
                assert await finished(engine, run) == 1
            assert len(theirs) == 25

    trio.run(main, clock=world.clock)


@pytest.mark.parametrize("size, beside", [(1_000, False), (300_000, True)])
def test_a_large_answer_is_read_beside_the_loop(monkeypatch: pytest.MonkeyPatch, size: int, beside: bool) -> None:
    """What takes seconds to read, because somebody made it so, keeps nobody else waiting."""
    threads: list[int] = []

    def noted(*arguments: Any) -> Answer:
        threads.append(get_ident())
        return parse_answer(*arguments)

    monkeypatch.setattr(caller, "parse_answer", noted)
    app = app_that_answers(Reply(200, [("X-Inngest-SDK", "x:v1")], b"[" + b"[]," * (size // 3) + b"1]"))

    async def main() -> None:
        async with open_engine([], MemoryStore(), grace="0s", calls=app) as engine:
            await engine.offer(app.registered())
            with trio.fail_after(50):
                assert len(await engine.result(await start(engine))) == size // 3 + 1

    trio.run(main)
    assert [thread != get_ident() for thread in threads] == [beside]
