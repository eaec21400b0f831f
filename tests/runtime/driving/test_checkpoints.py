"""Steps that an app tells of before it answers: committed while its call goes on, and executed once."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from flowgen.errors import NotFound, WrongState
from flowgen.runtime import Engine
from flowgen.runtime.driving.caller import AppAway, CallFailed, Reply
from flowgen.runtime.protocol.calls import Answer, Call, Ops, build_answer
from flowgen.runtime.protocol.ops import Op, Opcode, Userland
from flowgen.runtime.protocol.steps import step_hash
from flowgen.values import encode

from .driven import World, ended, finished, start, told
from .fake_app import FakeApp, Function

JS = "inngest-js:v4.24.0"


def ran(step: str, value: Any) -> Op:
    return Op(Opcode.STEP_RUN, step_hash(step), data=encode(value, "x"), userland=Userland(step, 0))


def answered(*ops: Op) -> Reply:
    status, headers, content = build_answer(Answer(Ops(ops), 2, JS))
    return Reply(status, list(headers.items()), content)


def nothing(event: Any) -> Any:
    return None
    yield


def checkpointing(tell: Any) -> tuple[World, list[Call]]:
    """A world whose app does what `tell(engine, call)` does with each call."""
    app = FakeApp(sdk=JS)
    app.functions["fn"] = Function("fn", nothing, "go", retries=1)
    world = World(app)

    async def before(target: str, call: Call) -> Reply | None:
        reply: Reply | None = await tell(world.engine, call)
        return reply

    app.before = before
    return world, [call for _, call in app.calls]


def test_steps_are_committed_while_the_call_goes_on() -> None:
    """Each is in the history when `checkpoint` returns, and the whole function is one call."""
    seen: list[list[str]] = []

    async def tell(engine: Engine, call: Call) -> Reply:
        for number in range(3):
            await engine.checkpoint(call.run_id, [ran(f"s{number}", number)], request=call.request_id)
            seen.append(told(await engine.history(call.run_id)))
        return answered(Op(Opcode.RUN_COMPLETE, "", data=encode("done", "x")))

    world, _ = checkpointing(tell)

    async def story(engine: Engine) -> Any:
        return await finished(engine, await start(engine))

    assert world.run(story) == "done"
    assert seen == [
        ["Started", "s0 = 0"],
        ["Started", "s0 = 0", "s1 = 1"],
        ["Started", "s0 = 0", "s1 = 1", "s2 = 2"],
    ]
    assert len(world.app.calls) == 1


def test_a_call_that_told_of_steps_and_asks_for_one_is_not_made_again_before() -> None:
    """What it told leads to no discovery: the app has gone on by itself."""

    async def tell(engine: Engine, call: Call) -> Reply:
        if call.stack:
            return answered(Op(Opcode.RUN_COMPLETE, "", data=encode("done", "x")))
        await engine.checkpoint(call.run_id, [ran("a", 1)], request=call.request_id)
        return answered(Op(Opcode.SLEEP, step_hash("nap"), opts={"duration": "1m"}, userland=Userland("nap", 0)))

    world, _ = checkpointing(tell)

    async def story(engine: Engine) -> Any:
        return await finished(engine, await start(engine))

    assert world.run(story) == "done"
    assert [len(call.stack) for _, call in world.app.calls] == [0, 2]


def test_what_was_told_is_not_lost_when_the_call_is() -> None:
    """The next try is told what had ended."""

    async def tell(engine: Engine, call: Call) -> Reply:
        if not call.stack:
            await engine.checkpoint(call.run_id, [ran("a", 1)], request=call.request_id)
            return Reply(502, [], b"")
        return answered(Op(Opcode.RUN_COMPLETE, "", data=encode(call.steps[step_hash("a")], "x")))

    world, _ = checkpointing(tell)

    async def story(engine: Engine) -> Any:
        return await finished(engine, await start(engine))

    assert world.run(story) == {"data": 1}


@pytest.mark.parametrize("lost", [AppAway("nobody is there"), CallFailed("it broke off")])
def test_a_call_goes_on_after_it_told_of_steps_though_tries_failed_before(lost: Exception) -> None:
    """The time for which those tries had to wait is over: the answer is awaited at once."""
    tries: list[int] = []

    async def tell(engine: Engine, call: Call) -> Reply:
        tries.append(call.attempt)
        if len(tries) == 1:
            raise lost
        await engine.checkpoint(call.run_id, [ran("s0", 0)], request=call.request_id)
        return answered(Op(Opcode.RUN_COMPLETE, "", data=encode("done", "x")))

    world, _ = checkpointing(tell)

    async def story(engine: Engine) -> Any:
        with trio.fail_after(600):
            return await finished(engine, await start(engine))

    assert world.run(story) == "done"
    assert len(tries) == 2


def test_a_checkpoint_of_no_call_is_refused() -> None:
    """Of a call that was answered, of another request, of a run that is not there: nothing is recorded."""
    refused: list[type] = []

    async def tell(engine: Engine, call: Call) -> Reply:
        with pytest.raises(WrongState) as stale:
            await engine.checkpoint(call.run_id, [ran("a", 1)], request="other")
        refused.append(stale.type)
        return answered(Op(Opcode.RUN_COMPLETE, "", data=encode(None, "x")))

    world, _ = checkpointing(tell)

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        await ended(engine, run)
        with pytest.raises(WrongState):
            await engine.checkpoint(run, [ran("a", 1)])
        with pytest.raises(NotFound):
            await engine.checkpoint("nobody", [ran("a", 1)])
        return told(await engine.history(run))

    assert world.run(story) == ["Started", "EndCompleted"]
    assert refused == [WrongState]


def test_a_cancel_ends_a_call_that_has_told_of_steps() -> None:
    """The app's next checkpoint is refused."""
    refused: list[bool] = []

    async def tell(engine: Engine, call: Call) -> Reply:
        await engine.checkpoint(call.run_id, [ran("a", 1)], request=call.request_id)
        await trio.sleep(3_600)
        refused.append(False)
        return answered()

    world, _ = checkpointing(tell)

    async def story(engine: Engine) -> Any:
        run = await start(engine)
        await trio.sleep(60)
        await engine.cancel(run)
        info = await ended(engine, run)
        with pytest.raises(WrongState):
            await engine.checkpoint(run, [ran("b", 1)])
        return info.status, told(await engine.history(run))

    assert world.run(story) == ("cancelled", ["Started", "a = 1", "CancelAccepted", "EndCancelled"])
    assert not refused
