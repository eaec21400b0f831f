"""Both ends together: an app that is served to an engine comes to what it comes to in one, record by record."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, Race, Restart, Run, RunCancelled, Sleep, Steps, WaitFor
from flowgen.duration import SECOND
from flowgen.ends import BodyCancelled, BodyEnd, BodyRaised, BodyReturned
from flowgen.errors import WrongState
from flowgen.events import AcceptedEvent
from flowgen.history import EndCancelled, EndCompleted, EndFailed, Record
from flowgen.ids import seed_of
from flowgen.outcome import Json
from flowgen.runs import RunRow
from flowgen.runtime import Engine, RunInfo
from flowgen.runtime.protocol import native
from flowgen.runtime.protocol.calls import Call
from flowgen.runtime.serving.recall import recall
from flowgen.testing import simulate
from flowgen.testing.actions import Start
from flowgen.testing.strategies.programs import CHILD, PROGRAM, act, blocks, workflow_of
from flowgen.workflow import Workflow

from .own import story
from .shop import shop
from .test_foreign import DATA, EVENTS
from .together import Wire, driven

WORKFLOWS = (
    "sequence parallel nested race limited collected failing-fast retried exhausted asked-later compensated uncaught "
    "broken waiting parent teller signalled typed"
).split()
OVERLAPPING = "parallel nested race limited collected signalled".split()


async def finished(engine: Engine, run: str) -> RunInfo:
    """A run that has ended, waited for by the store's news alone, so that a year costs nothing."""
    with trio.fail_after(400 * 86_400):
        while True:
            info = await engine.run(run)
            if info.ended_at is not None or info.status == "parked":
                return info
            await engine.store.wait_changed(3_600)


def served(workflow: str) -> tuple[RunInfo, list[Record], list[str], Wire]:
    """A run that a server has driven: how it ended, its history, what its steps did, and the calls."""
    app, did = shop()
    wire = Wire(app)

    async def tell(engine: Engine) -> tuple[RunInfo, list[Record]]:
        run = await engine.start(f"shop/{workflow}", DATA)
        async with trio.open_nursery() as nursery:
            for after, name, data in EVENTS.get(workflow, []):
                nursery.start_soon(_send, engine, after, Event(name, data))
            info = await finished(engine, run)
        await trio.sleep(60)  # for what it has started, and does not wait for
        return info, await engine.history(run)

    info, history = driven(app, tell, wire)
    return info, history, did.lines, wire


async def _send(engine: Engine, after: int, event: Event[Any]) -> None:
    await trio.sleep(after / SECOND)
    await engine.send([event])


@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_it_is_as_with_an_engine_here(workflow: str) -> None:
    """The same end, and the same history up to timing; in what overlaps, up to the order of neighbours."""
    app, did = shop()
    later = [(f"{after // SECOND}s", Event(name, data)) for after, name, data in EVENTS.get(workflow, [])]
    here = simulate(app, [Start(workflow, DATA), *later], until="40d").run(workflow)
    info, history, there, _ = served(workflow)
    assert (info.status, info.result) == (here.status, here.result)
    assert sorted(there) == sorted(did.lines)
    told, known = story(history), story(here.history)
    if workflow in OVERLAPPING:
        told, known = sorted(told), sorted(known)
    if workflow in ("teller", "waiting"):  # the ids of events are those of another world
        told, known = [line[:3] for line in told], [line[:3] for line in known]
    assert told == known


def test_a_sequence_is_one_call_a_step() -> None:
    """And one more for the sleep, and one for the end."""
    _, _, _, wire = served("sequence")
    assert len(wire.calls) == 6


# -- what only a flowgen server can do -------------------------------------------------------------


def small() -> App:
    """An app whose runs are cancelled, restart, fail and wait."""
    app = App("small")

    @app.workflow
    def tidy(ctx: Context) -> Steps[None]:
        try:
            yield Race(nap=Sleep("nap", "1h"), part=_part())
        except RunCancelled as cancelled:
            yield Run("tidy", str, cancelled.reason)
            raise

    def _part() -> Steps[None]:
        try:
            yield WaitFor("never", "test/never", timeout="2h")
        finally:
            yield Run("part tidy", str, "up")

    @app.workflow
    def counting(ctx: Context) -> Steps[int]:
        left = ctx.event.data["left"]
        yield Run("count", int, left)
        if left:
            yield Restart({"left": left - 1})
        return 0

    @app.workflow
    def handler(ctx: Context) -> Steps[Any]:
        return [ctx.event.data["error"]["type"], ctx.event.data["workflow_id"]]
        yield

    @app.workflow(on_failure=handler)
    def failing(ctx: Context) -> Steps[Any]:
        raise KeyError("no")
        yield

    @app.workflow
    def hearing(ctx: Context) -> Steps[list[int]]:
        heard = []
        for _ in range(3):
            event = yield WaitFor("number", "test/number", timeout="1d")
            heard.append(event.data["n"])
            yield Sleep("nap", "1h")
        return heard

    return app


def test_a_cancelled_run_cleans_up() -> None:
    """Its branches first, and within its time; then it ends as cancelled."""

    async def tell(engine: Engine) -> tuple[RunInfo, list[Record]]:
        run = await engine.start("small/tidy", {})
        await trio.sleep(60)
        await engine.cancel(run)
        return await finished(engine, run), await engine.history(run)

    info, history = driven(small(), tell)
    assert info.status == "cancelled"
    assert [line[0] for line in story(history)] == ["race/part/part tidy", "tidy"]


def test_a_run_that_restarts_is_followed() -> None:
    """To the result of its last successor."""

    async def tell(engine: Engine) -> Any:
        run = await engine.start("small/counting", {"left": 2})
        while (info := await finished(engine, run)).restarted_as is not None:
            run = info.restarted_as
        return info.result

    assert driven(small(), tell) == 0


def test_the_handler_of_failures_is_started_once() -> None:
    """By our own definition, which a registration carries; the trigger that it has for others is not looked at."""

    async def tell(engine: Engine) -> list[Any]:
        run = await engine.start("small/failing", {})
        assert (await finished(engine, run)).status == "failed"
        await trio.sleep(60)
        page = await engine.runs(workflow="small/handler")
        return [(await finished(engine, info.id)).result for info in page.items]

    assert driven(small(), tell) == [["KeyError", "failing"]]


def test_waits_look_back_from_where_the_one_before_them_was() -> None:
    """Each event is seen once, also those that came while nobody waited."""

    async def tell(engine: Engine) -> Any:
        run = await engine.start("small/hearing", {})
        for n in range(3):
            await engine.send([Event("test/number", {"n": n})])
        return (await finished(engine, run)).result

    assert driven(small(), tell) == [0, 1, 2]


def test_code_that_disagrees_parks_the_run_and_old_code_goes_on() -> None:
    """Nothing of it is executed meanwhile."""
    old, new = App("changing"), App("changing", version="2")

    @old.workflow(id="flow")
    def before(ctx: Context) -> Steps[str]:
        yield Run("first", str, 1)
        yield Sleep("nap", "1h")
        return (yield Run("last", str, 2))

    @new.workflow(id="flow")
    def after(ctx: Context) -> Steps[str]:
        yield Run("other", str, 1)
        return "new"

    wire, changed = Wire(old), Wire(new)

    async def tell(engine: Engine) -> list[Any]:
        run = await engine.start("changing/flow", {})
        await trio.sleep(60)
        served, wire.client = wire.client, changed.client
        await trio.sleep(2 * 3600)
        parked = await engine.run(run)
        wire.client = served
        await engine.retry(run)
        return [parked.status, parked.reason, (await finished(engine, run)).result, await engine.history(run)]

    status, reason, result, history = driven(old, tell, wire)
    assert (status, result) == ("parked", "2")
    assert "'first'" in reason
    assert [line[0] for line in story(history)] == ["first", "nap", "last"]


# -- any workflow ----------------------------------------------------------------------------------


@settings(max_examples=25)
@given(
    blocks(2),
    st.lists(st.tuples(st.integers(0, 7200), st.sampled_from(["1", "2"])), max_size=4),
    st.none() | st.integers(1, 7200),
)
def test_what_a_server_has_driven_replays(
    block: Any, payments: list[tuple[int, str]], cancel_after: int | None
) -> None:
    """Whatever a body does, and whatever happens to it: its history is one that an engine could have written."""
    program = workflow_of(block)
    app = App("generated")
    app._workflows[PROGRAM] = program

    @app.workflow(id=CHILD)
    def child(ctx: Context) -> Steps[Any]:
        return (yield Run("act", act, ctx.event.data["name"]))

    async def tell(engine: Engine) -> tuple[RunInfo, list[Record]]:
        run = await engine.start(f"generated/{PROGRAM}", {"id": "1"})
        async with trio.open_nursery() as nursery:
            for after, id in payments:
                nursery.start_soon(_send, engine, after * SECOND, Event("order/paid", {"id": id}))
            if cancel_after is not None:
                nursery.start_soon(_cancel, engine, run, cancel_after)
            info = await finished(engine, run)
        return info, await engine.history(run)

    info, history = driven(app, tell)
    assert info.status in ("completed", "failed", "cancelled"), info.reason
    end = _end_of(program, info, history)
    match history[-1]:
        case EndCompleted(result=result):
            assert end == BodyReturned(result)
        case EndFailed(failure=failure):
            assert isinstance(end, BodyRaised)
            assert (end.failure.type, end.failure.message) == (failure.type, failure.message)
        case EndCancelled(reason=reason):
            assert end == BodyCancelled(reason)


def _end_of(workflow: Workflow[Any, Any], info: RunInfo, history: list[Record]) -> BodyEnd | None:
    """How the body ends on a history that has been recorded."""
    row = RunRow(workflow.app, info.id, workflow.id, history[0].at, seed_of(info.id))
    event = AcceptedEvent(info.id, "flowgen/run.invoked", Json(b'{"id":"1"}'), row.created_at, row.created_at)
    told = native.Told(row, (event,), tuple(history[:-1]))
    recalled = recall(workflow, Call(info.id, flowgen=native.told_member(told)))
    recalled.close()
    return recalled.interpreter.end


async def _cancel(engine: Engine, run: str, after: int) -> None:
    await trio.sleep(after)
    with suppress(WrongState):
        await engine.cancel(run)
