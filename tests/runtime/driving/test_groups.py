"""Steps beside each other in functions that are elsewhere: how many calls they take, and who wins."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio

from flowgen.runtime import Engine
from flowgen.runtime.driving.caller import Reply
from flowgen.runtime.protocol.calls import Call
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.store import Committed
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.transition import Transition

from .driven import World, app_of, finished, run_once, start, told
from .fake_app import Function, invoke, parallel, race, run, sleep


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
