"""Workflows of ours that are served elsewhere: their runs end as they do here, with the same history up to timing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import attrs
import pytest
import trio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    Event,
    Invoke,
    OnEvent,
    Race,
    Restart,
    Run,
    RunCancelled,
    SendEvent,
    Sleep,
    StepError,
    Steps,
    WaitFor,
)
from flowgen.errors import WrongState
from flowgen.history import EndCancelled
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.driving.caller import CallFailed, Headers, Reply
from flowgen.runtime.environment import Environment
from flowgen.runtime.protocol import native
from flowgen.runtime.store import Conflict
from flowgen.runtime.stores.memory import MemoryStore
from flowgen.testing.clock import VirtualClock
from flowgen.testing.strategies.programs import CHILD, PROGRAM, TRIGGER, act, blocks, body_of

from .driven import ended, told
from .served import Served

Story = Callable[[Engine, str], Any]


@attrs.frozen
class Ended:
    """How a run ended."""

    status: str
    result: Any
    error: str | None
    history: list[str]


async def pay(engine: Engine, run: str) -> Any:
    """What the world does beside a run: the event that programs wait for comes."""
    await trio.sleep(90)
    await engine.send([Event("order/paid", {"id": 7})])


def play(app: App, served: Served | None, story: Story = pay, event: str = TRIGGER) -> Ended:
    """The run that an event starts, here or (`served`) elsewhere, while `story` is told."""
    clock = VirtualClock()

    async def main() -> Ended:
        store = MemoryStore(clock=clock)
        here = [app] if served is None else []
        environment = Environment(7, threads=False)
        async with open_engine(here, store, calls=served, environment=environment, grace="0s", lease="6h") as engine:
            if served is not None:
                await engine.offer(served.registered())
            (id,) = await engine.send([Event(event, {"id": 7})])
            (run,) = await engine.started(id)
            await story(engine, run)
            info = await ended(engine, run)
            error = str(info.error) if info.error else None
            return Ended(info.status, info.result, error, told(await engine.history(run)))

    return trio.run(main, clock=clock)


def app_of(block: list[Any]) -> App:
    """A random program as an app, with the child that it may invoke."""
    app = App("generated")

    @app.workflow(id=CHILD)
    def child(ctx: Context) -> Steps[Any]:
        return (yield Run("act", act, ctx.event.data["name"]))

    def program(ctx: Context[Any]) -> Steps[list[str]]:
        seen: list[str] = []
        yield from body_of(block, lambda _, line: seen.append(line))(ctx)
        return seen

    app.workflow(on=OnEvent(TRIGGER), id=PROGRAM, retries=1)(program)
    return app


@given(blocks(2))
@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
def test_a_random_program_ends_elsewhere_as_it_does_here(block: list[Any]) -> None:
    """In the same state; and where nothing stands beside another thing, with the same result and the same history.

    Which of two bodies that begin together ends first is a matter of luck, here and there.
    """
    app = app_of(block)
    here, there = play(app, None), play(app, Served(app))
    if "race" in repr(block) or "all" in repr(block):
        assert there.status in ("completed", "failed")
    else:
        assert there == here


@given(blocks(2), st.sampled_from([None, 30, 61, 95, 150]))
@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
def test_a_random_program_that_races_or_is_cancelled_ends(block: list[Any], after: int | None) -> None:
    """Whatever is given up or cancelled at whatever time: code and history agree, and clean-up comes to its end."""
    app = app_of(block)

    async def cancel(engine: Engine, run: str) -> None:
        await trio.sleep(after or 90)
        with suppress(WrongState):  # it may have ended by then
            if after is not None:
                await engine.cancel(run)

    assert play(app, Served(app), cancel).status in ("completed", "failed", "cancelled")


# -- examples ---------------------------------------------------------------------------------------


def shop(tries: list[int]) -> App:
    app = App("shop")

    def flaky(n: int) -> int:
        tries.append(n)
        if len(tries) < 3:
            raise ValueError("not yet")
        return n * 2

    def refuse() -> None:
        raise ValueError("declined")

    @app.workflow
    def receipt(ctx: Context) -> Steps[Any]:
        yield Sleep("print", "5m")
        return {"of": ctx.event.data["n"]}

    @app.workflow(on=OnEvent("go"))
    def fulfil(ctx: Context) -> Steps[Any]:
        doubled = yield Run("double", flaky, 4).options(backoff=Backoff.fixed("10s"))
        yield SendEvent("tell", Event("order/told", {"n": doubled}))
        one, two = yield All(Run("one", act, 1), Invoke("receipt", receipt, {"n": doubled}))
        winner = yield Race(paid=WaitFor("paid", "order/paid", timeout="1h"), late=Sleep("late", "2h"))
        try:
            yield Run("refuse", refuse).options(retries=1)
        except StepError as error:
            refused = error.error_type
        return [doubled, one, two, winner.name, refused, ctx.random.random(), str(ctx.uuid())]

    return app


def test_a_story_leaves_the_same_history_there_as_here() -> None:
    """Retries with their own back-off, sends, children, races, failures that are caught; chance, too."""
    here = play(shop([]), None, event="go")
    app = shop([])
    served = Served(app)
    there = play(app, served, event="go")
    assert there == here
    assert here.status == "completed"


def test_what_a_step_that_fails_at_once_takes_with_it_is_not_asked_for() -> None:
    """A request that is refused ends its group before what stands behind it is requested: there as here."""
    app = App("shop")

    @app.workflow(on=OnEvent("go"))
    def refused(ctx: Context) -> Steps[str]:
        try:
            yield All(Sleep("before", "1h"), Invoke("nobody", "nobody"), Sleep("behind", "1h"), Run("late", act, 1))
        except StepError as error:
            return error.error_type
        return "nothing failed"

    there = play(app, Served(app), event="go")
    assert there == play(app, None, event="go")
    assert there.result == "NotFound"


def test_a_cancelled_run_cleans_up_where_its_code_is() -> None:
    """`RunCancelled` is thrown in there, and the steps of its clean-up are executed there."""
    app = App("shop")

    @app.workflow(on=OnEvent("go"))
    def careful(ctx: Context) -> Steps[None]:
        try:
            yield Sleep("long", "1h")
        except RunCancelled:
            yield Run("undo", act, "undone")
            raise

    async def cancel(engine: Engine, run: str) -> None:
        await trio.sleep(60)
        await engine.cancel(run, reason="enough")

    served = Served(app)
    there = play(app, served, cancel, event="go")
    assert there == play(app, None, cancel, event="go")
    assert there.status == "cancelled"
    assert [step for _, step in served.executed] == ["undo"]
    assert EndCancelled.__name__ in there.history


@pytest.mark.parametrize("beside", [1, 2])
def test_a_cancel_stops_what_is_executed_elsewhere(beside: int) -> None:
    """At once, whether one body is under way there or several; and clean-up has its minute."""
    app = App("shop")
    ended_at: list[float] = []

    async def work(n: int) -> None:
        await trio.sleep(3600)

    @app.workflow(on=OnEvent("go"))
    def busy(ctx: Context) -> Steps[None]:
        try:
            yield All(*[Run("work", work, n) for n in range(beside)])
        except RunCancelled:
            yield Run("undo", act, "undone")
            raise

    async def cancel(engine: Engine, run: str) -> None:
        await trio.sleep(60)
        await engine.cancel(run)
        await ended(engine, run)
        ended_at.append(trio.current_time())

    here, there = play(app, None, cancel, event="go"), play(app, Served(app), cancel, event="go")
    assert there == here
    assert there.history[1:] == ["CancelAccepted", "undo = ['undone']", "EndCancelled"]
    assert [round(seconds) for seconds in ended_at] == [60, 60]


def test_an_app_that_is_away_for_a_while_parks_nothing() -> None:
    """Failed calls are in the history of the run, and are none of its code's business: at first, and half way."""
    app = shop([])
    served = Served(app)
    send, calls = served.send, []

    async def sometimes(url: str, headers: Headers, body: bytes) -> Reply:
        if url.endswith("stepId=step"):
            calls.append(url)
        if url.endswith("stepId=step") and len(calls) in (1, 4, 6):
            raise CallFailed("nobody is there")
        return await send(url, headers, body)

    served.send = sometimes
    there = play(app, served, event="go")
    assert there.status == "completed"
    of_steps = [line for line in there.history if not line.startswith("(function)")]
    assert of_steps == play(shop([]), None, event="go").history
    assert sum(line.startswith("(function)") for line in there.history) >= 2


def test_a_run_restarts_elsewhere() -> None:
    """As its successor, with the data that it said."""
    app = App("shop")

    @app.workflow(on=OnEvent("go"))
    def count(ctx: Context) -> Steps[int]:
        n: int = ctx.event.data.get("n", 0)
        yield Run("act", act, n)
        if n < 3:
            return Restart({"n": n + 1})  # type: ignore[return-value]
        return n

    async def follow(engine: Engine, run: str) -> None:
        assert await engine.result(run, timeout="1h") == 3

    assert play(app, Served(app), follow, event="go").status == "completed"


def rounds(restarts: bool) -> App:
    """A workflow that is busy after each minute in which nobody has paid; it starts anew for that, or goes round."""
    app = App("shop")

    async def remind() -> None:
        await trio.sleep(30)

    @app.workflow(on=OnEvent("go"))
    def collect(ctx: Context) -> Steps[int]:
        first = ctx.event.data.get("round", 0)
        for number in range(first, 5):
            won = yield Race(minute=Sleep("minute", "1m"), paid=WaitFor("paid", "order/paid", timeout="1d"))
            if won.name == "paid":
                return number
            yield Run(remind)
            if restarts:
                yield Restart({"round": number + 1})
        return -1

    return app


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize("after", [30, 75, 100, 165])
def test_what_comes_after_a_lost_race_is_seen_by_the_next_wait(after: int, restarts: bool) -> None:
    """A server that has not heard yet who has won gives it to the wait that has lost, which counts for nothing."""
    app = rounds(restarts)
    results: list[int] = []

    async def pay(engine: Engine, run: str) -> None:
        await trio.sleep(after)
        await engine.send(Event("order/paid", {}))
        results.append(await engine.result(run, timeout="1h"))

    play(app, None, pay, event="go")
    play(app, Served(app), pay, event="go")
    assert results == [after // 90 if after % 90 < 60 else after // 90 + 1] * 2


def test_an_app_that_does_not_say_what_it_has_seen_sees_nothing_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one: what its server has recorded counts."""
    app, says = App("shop"), native.asked_member

    @app.workflow(on=OnEvent("go"))
    def listen(ctx: Context) -> Steps[list[int]]:
        heard = []
        for _ in range(3):
            said = yield WaitFor("said", "order/said", timeout="1h")
            heard.append(said.data["n"] if said is not None else None)
        return heard

    def older(*asked: Any) -> dict[str, Any]:
        return {key: value for key, value in says(*asked).items() if key != "seen"}

    async def say(engine: Engine, run: str) -> None:
        for n in range(2):
            await trio.sleep(10)
            await engine.send(Event("order/said", {"n": n}))

    monkeypatch.setattr(native, "asked_member", older)
    assert play(app, Served(app), say, event="go").result == [0, 1, None]


def test_code_that_disagrees_parks_the_run_until_it_agrees() -> None:
    """Nothing is lost: mended code, which registers anew, goes on."""

    def make(first: str) -> App:
        app = App("shop", version=first)

        @app.workflow(on=OnEvent("go"))
        def changing(ctx: Context) -> Steps[str]:
            yield Run(first, act, 1)
            yield Sleep("nap", "1m")
            return first

        return app

    served = Served(make("one"))

    async def change(engine: Engine, run: str) -> None:
        await trio.sleep(30)
        served.app = make("two")
        await engine.offer(served.registered())
        await trio.sleep(120)
        info = await engine.run(run)
        assert info.status == "parked"
        assert "one" in (info.reason or "")
        served.app = make("one")
        await engine.offer(served.registered())
        await trio.sleep(60)
        if (await engine.run(run)).status == "parked":  # offered before, so it is for people to say
            await engine.retry(run)

    there = play(served.app, served, change, event="go")
    assert (there.status, there.result) == ("completed", "one")


def test_a_body_elsewhere_runs_once_though_commits_are_refused() -> None:
    """A refused commit costs no body: what is under way goes on, and its outcome is kept."""
    app = App("shop")

    async def slow(n: int) -> int:
        await trio.sleep(10)
        return n

    @app.workflow(on=OnEvent("go"))
    def many(ctx: Context) -> Steps[int]:
        values = yield All(*[Run("slow", slow, n) for n in range(5)])
        return sum(values)

    served = Served(app)
    clock = VirtualClock()

    async def main() -> Any:
        store = Refusing(clock)
        environment = Environment(7, threads=False)
        async with open_engine([], store, calls=served, environment=environment, grace="0s", lease="6h") as engine:
            await engine.offer(served.registered())
            (id,) = await engine.send([Event("go", {})])
            (run,) = await engine.started(id)
            store.refuse = 4
            return (await ended(engine, run)).result

    assert trio.run(main, clock=clock) == 10
    assert sorted(step for _, step in served.executed) == sorted(["slow", *[f"slow:{n}" for n in range(1, 5)]])


class Refusing(MemoryStore):
    """A store that refuses the next few commits of owners, as if what they were based on had changed."""

    refuse = 0

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)

    async def commit(self, transition: Any) -> Any:
        if self.refuse and transition.progress is not None:
            self.refuse -= 1
            raise Conflict("version")
        return await super().commit(transition)
