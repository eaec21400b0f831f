"""The verbs of an engine, on every store: send, start, result, cancel, signal, retry, rerun, and looking."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    Event,
    Invoke,
    NonRetriableError,
    OnEvent,
    Restart,
    Run,
    RunCancelled,
    RunCancelledError,
    RunFailed,
    SendEvent,
    SendSignal,
    Sleep,
    StepError,
    StepInfo,
    Steps,
    WaitFor,
    WaitForSignal,
    event_type,
    step_info,
)
from flowgen.errors import EventConflict, InvalidInput, NotFound, WrongState
from flowgen.flow_control import Batch, Debounce
from flowgen.history import EndFailed, Retried, StepSucceeded
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.paging import Pages

Data = dict[str, Any]
OpenApp = Callable[[App], AbstractAsyncContextManager[Engine]]


@pytest.fixture(params=["memory", "sqlite"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> OpenApp:
    """Opens an engine for an app, on each store that comes with flowgen."""
    url = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/engine.db"

    @asynccontextmanager
    async def open_app(app: App) -> AsyncIterator[Engine]:
        with trio.fail_after(50):
            async with open_engine(app, url, grace="0s") as engine:
                yield engine

    return open_app


def add(a: int, b: int = 0) -> int:
    return a + b


@event_type("order/placed")
@attrs.frozen
class Placed:
    order_id: str
    total: int = 0


async def only(engine: Engine, workflow: str) -> str:
    """The id of the only run of a workflow."""
    page = await engine.runs(workflow=workflow)
    assert len(page.items) == 1, page
    return page.items[0].id


async def until(engine: Engine, run: str, status: str) -> None:
    """Wait until a run is in a state."""
    while (await engine.run(run)).status != status:
        await engine.store.wait_changed(0.02)


# -- events ---------------------------------------------------------------------------------------


async def test_an_event_starts_the_workflows_that_it_triggers(opened: OpenApp) -> None:
    """One run for each workflow that matches; typed data comes typed; a `where` that is false starts none."""
    app = App("events")

    @app.workflow(on=OnEvent(Placed, where="event.data.total > 10"))
    def large(ctx: Context[Placed]) -> Steps[str]:
        yield Sleep("no time", 0)
        return ctx.event.data.order_id

    @app.workflow(on=[OnEvent("order/*"), OnEvent(Placed)])
    def every(ctx: Context[Data]) -> Steps[str]:
        yield Sleep("no time", 0)
        return ctx.event.name

    async with opened(app) as engine:
        await engine.send([Placed("small", 1), Event("order/cancelled", {"order_id": "x"})])
        await engine.send(Placed("big", 11))
        runs = await engine.runs(workflow="large")
        assert [await engine.result(run.id) for run in runs.items] == ["big"]
        names = [await engine.result(run.id) for run in (await engine.runs(workflow="every")).items]
        assert sorted(names) == ["order/cancelled", "order/placed", "order/placed"]


async def test_an_event_id_starts_its_runs_once(opened: OpenApp) -> None:
    """The same id and payload answer the same ids and start nothing; another payload is a conflict."""
    app = App("dedupe")

    @app.workflow(on=OnEvent("a"))
    def flow(ctx: Context[Data]) -> Steps[int]:
        return (yield from Run(add, 1))

    async with opened(app) as engine:
        first = await engine.send(Event("a", {"n": 1}, id="x"))
        assert await engine.send([Event("a", {"n": 1}, id="x"), Event("a", {"n": 1}, id="x")]) == first * 2
        with pytest.raises(EventConflict, match="'x' was already used with another payload"):
            await engine.send(Event("a", {"n": 2}, id="x"))
        assert len((await engine.runs()).items) == 1


async def test_concurrent_senders_of_one_id_start_one_run(opened: OpenApp) -> None:
    """A hundred at once: all get the same answer, one run exists (I4)."""
    app = App("race")

    @app.workflow(on=OnEvent("a"))
    def flow(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("no time", 0)

    answers: set[str] = set()

    async with opened(app) as engine:

        async def send() -> None:
            answers.update(await engine.send(Event("a", {}, id="same")))

        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(send)
        assert len(answers) == 1
        assert len((await engine.runs()).items) == 1


async def test_a_bad_event_refuses_the_whole_batch(opened: OpenApp) -> None:
    """All or none, with a reason for each bad item."""
    app = App("bad")
    async with opened(app) as engine:
        with pytest.raises(InvalidInput, match="event 1: .*flowgen/.*event 2: "):
            await engine.send([Event("fine", {}), Event("flowgen/x", {}), Event("nan", {"x": float("nan")})])
        assert (await engine.events()).items == ()


async def test_an_event_of_the_future_waits_for_its_time(opened: OpenApp) -> None:
    """`ts` in the future delays everything: nothing starts before."""
    from datetime import UTC, datetime, timedelta

    app = App("delayed")

    @app.workflow(on=OnEvent("later"))
    def flow(ctx: Context[Data]) -> Steps[str]:
        yield Sleep("no time", 0)
        return ctx.now.isoformat()

    async with opened(app) as engine:
        at = datetime.now(UTC) + timedelta(milliseconds=300)
        await engine.send(Event("later", {}, ts=at))
        assert (await engine.runs()).items == ()
        while not (await engine.runs()).items:
            await engine.store.wait_changed(0.02)
        assert await engine.result(await only(engine, "flow")) >= at.isoformat()


# -- waiting --------------------------------------------------------------------------------------


async def test_a_loop_of_waits_sees_each_event_once_whenever_it_was_sent(opened: OpenApp) -> None:
    """Events sent before, while and after the wait is registered are all seen, in order (I31, I32)."""
    app = App("loop")

    def slowly() -> None:
        """A step between two waits."""

    @app.workflow(on=OnEvent("start"))
    def flow(ctx: Context[Data]) -> Steps[list[int]]:
        seen: list[int] = []
        while len(seen) < 10:
            event = yield from WaitFor("next", "tick", match="data.key", timeout="1h")
            assert event is not None
            seen.append(event.data["n"])
            yield Run("work", slowly)
        return seen

    async with opened(app) as engine:
        await engine.send(
            [Event("start", {"key": 1}), Event("tick", {"key": 1, "n": 0}), Event("tick", {"key": 2, "n": 0})]
        )
        for n in range(1, 10):
            await engine.send([Event("tick", {"key": 2, "n": n}), Event("tick", {"key": 1, "n": n})])
        assert await engine.result(await only(engine, "flow")) == list(range(10))


async def test_signals_find_their_waiter_or_nobody(opened: OpenApp) -> None:
    """One waiter a name; a signal without one is refused, from outside and from a workflow."""
    app = App("signals")

    @app.workflow
    def waiter(ctx: Context[Data]) -> Steps[Any]:
        data = yield WaitForSignal("go", "green", timeout="1h")
        return data

    @app.workflow
    def sender(ctx: Context[Data]) -> Steps[str]:
        try:
            yield SendSignal("nobody", "red", 1)
        except StepError as error:
            return error.error_type
        return "delivered"

    async with opened(app) as engine:
        with pytest.raises(NotFound, match="nobody waits for signal 'green'"):
            await engine.signal("green")
        run = await engine.start(waiter)
        await until(engine, run, "waiting")
        await engine.signal("green", {"x": [1]})
        assert await engine.result(run) == {"x": [1]}
        assert await engine.result(await engine.start(sender)) == "NoWaiter"


# -- cancel, retry, rerun -------------------------------------------------------------------------


async def test_cancel_ends_a_waiting_run_with_its_clean_up(opened: OpenApp) -> None:
    """`RunCancelled` is thrown in, clean-up steps run, the state is final; a second cancel says so."""
    app = App("cancel")
    cleaned: list[str] = []

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[None]:
        try:
            yield Sleep("long", "1d")
        except RunCancelled as cancelled:
            yield Run("clean", cleaned.append, cancelled.reason)
            raise

    async with opened(app) as engine:
        run = await engine.start(flow)
        await until(engine, run, "waiting")
        await engine.cancel(run, reason="changed my mind")
        with pytest.raises(RunCancelledError, match="changed my mind"):
            await engine.result(run)
        assert cleaned == ["changed my mind"]
        with pytest.raises(WrongState, match="is cancelled already"):
            await engine.cancel(run)
        with pytest.raises(NotFound):
            await engine.cancel("nothing")


async def test_cancel_stops_a_running_body_and_its_children(opened: OpenApp) -> None:
    """The async body is cancelled; the invoked run is cancelled too."""
    app = App("cancel-running")
    stopped = trio.Event()
    begun = trio.Event()

    async def forever() -> None:
        begun.set()
        try:
            await trio.sleep_forever()
        finally:
            stopped.set()

    @app.workflow
    def inner(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("long", "1d")

    @app.workflow
    def outer(ctx: Context[Data]) -> Steps[None]:
        yield All(Run("body", forever), Invoke("child", inner))

    async with opened(app) as engine:
        run = await engine.start(outer)
        await begun.wait()
        while not (await engine.runs(workflow="inner", status="waiting")).items:
            await engine.store.wait_changed(0.02)
        await engine.cancel(run)
        await stopped.wait()
        for each in (run, await only(engine, "inner")):
            with pytest.raises(RunCancelledError):
                await engine.result(each)


async def test_retry_goes_on_from_the_step_that_failed(opened: OpenApp) -> None:
    """Steps before keep their outcomes; the failed one runs again, attempts counted from 1."""
    app = App("retry", backoff=Backoff.fixed("1ms"))
    seen: list[tuple[str, int]] = []
    broken = [True]

    def note(name: str) -> str:
        info: StepInfo = step_info()
        seen.append((name, info.attempt))
        if name == "second" and broken[0]:
            raise ValueError("not yet")
        return name

    @app.workflow(retries=1)
    def flow(ctx: Context[Data]) -> Steps[list[str]]:
        first = yield from Run("first", note, "first")
        second = yield from Run("second", note, "second")
        return [first, second]

    async with opened(app) as engine:
        run = await engine.start(flow)
        with pytest.raises(RunFailed, match="ValueError: not yet"):
            await engine.result(run)
        broken[0] = False
        await engine.retry(run)
        assert await engine.result(run) == ["first", "second"]
        assert seen == [("first", 1), ("second", 1), ("second", 2), ("second", 1)]
        history = await engine.history(run)
        assert [type(r) for r in history].count(EndFailed) == 1
        assert any(isinstance(r, Retried) for r in history)
        with pytest.raises(WrongState, match="only a failed or parked run"):
            await engine.retry(run)


async def test_retry_is_refused_after_a_compensation(opened: OpenApp) -> None:
    """What was undone is not undone again: the answer names rerun."""
    app = App("compensated")

    def fail() -> None:
        raise NonRetriableError("no")

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[None]:
        try:
            yield Run("charge", fail)
        except StepError:
            yield Run("undo", add, 1)
            raise

    async with opened(app) as engine:
        run = await engine.start(flow)
        with pytest.raises(RunFailed):
            await engine.result(run)
        with pytest.raises(WrongState, match="'undo' was recorded .*use rerun"):
            await engine.retry(run)


async def test_rerun_from_a_step_keeps_what_was_before_it(opened: OpenApp) -> None:
    """The same event and seed; outcomes before the step are copied, the rest runs again."""
    app = App("rerun")
    calls: list[str] = []

    def note(name: str) -> str:
        calls.append(name)
        return name

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[list[Any]]:
        a = yield from Run("a", note, "a")
        b = yield from Run("b", note, "b")
        return [a, b, ctx.event.data["n"], str(ctx.uuid())]

    async with opened(app) as engine:
        first = await engine.start(flow, {"n": 7})
        result = await engine.result(first)
        again = await engine.rerun(first, from_step="b")
        assert await engine.result(again) == result
        assert calls == ["a", "b", "b"]
        afresh = await engine.rerun(first)
        assert await engine.result(afresh) == result
        assert calls == ["a", "b", "b", "a", "b"]
        with pytest.raises(InvalidInput, match="has no step 'c'; its steps are: 'a', 'b'"):
            await engine.rerun(first, from_step="c")


async def test_restart_is_followed(opened: OpenApp) -> None:
    """`result` and the parent that invoked the run follow it to its successors."""
    app = App("restart")

    @app.workflow
    def count(ctx: Context[Data]) -> Steps[int]:
        n = yield from Run("next", add, ctx.event.data["n"], 1)
        if n < 5:
            yield Restart({"n": n})
        return n

    @app.workflow
    def parent(ctx: Context[Data]) -> Steps[int]:
        return (yield from Invoke("count", count, {"n": 0}))

    async with opened(app) as engine:
        run = await engine.start(count, {"n": 1})
        assert await engine.result(run) == 5
        first = await engine.run(run)
        assert first.status == "completed"
        assert first.restarted_as is not None
        assert await engine.result(await engine.start(parent)) == 5


# -- the runs of an event -------------------------------------------------------------------------


async def test_the_runs_of_an_event_are_known_when_it_is_accepted(opened: OpenApp) -> None:
    """`started` gives the ids, `runs(event=…)` the infos; what was kept in mind agrees with the store."""
    app = App("causes")

    @app.workflow(on=OnEvent("a"))
    def first(ctx: Context[Data]) -> Steps[str]:
        return (yield from Run("say", str.upper, ctx.workflow_id))

    @app.workflow(on=[OnEvent("a"), OnEvent("b")])
    def second(ctx: Context[Data]) -> Steps[None]:
        yield WaitFor("never", "never", timeout="1h")

    async with opened(app) as engine:
        both, one, none = await engine.send([Event("a", {}, id="mine"), Event("b", {}), Event("c", {})])
        runs = await engine.started(both)
        assert sorted([run.workflow_id for run in [await engine.run(id) for id in runs]]) == ["first", "second"]
        assert [row.id for row in (await engine.store.started_by(both)).items] == runs
        assert len(await engine.started(one)) == 1
        assert await engine.started(none) == []
        assert await engine.send(Event("a", {}, id="mine")) == [both]
        assert await engine.started(both) == runs

        infos = (await engine.runs(event=both)).items
        assert [info.id for info in infos] == runs
        [found] = (await engine.runs(event=both, workflow="first")).items
        assert await engine.result(found.id) == "FIRST"
        assert [info.workflow_id for info in (await engine.runs(event=both, status="completed")).items] == ["first"]
        assert (await engine.runs(event=both, app="another")).items == ()
        assert (await engine.runs(event=none)).items == ()


async def test_an_event_that_was_never_accepted_is_not_found(opened: OpenApp) -> None:
    """The user's own id is no internal one; and a cursor of something else is none of its runs."""
    async with opened(App("empty")) as engine:
        await engine.send(Event("a", {}, id="mine"))
        with pytest.raises(NotFound, match="there is no event 'mine' in this store; say the id that send gave"):
            await engine.started("mine")
        with pytest.raises(NotFound, match="no event 'mine'"):
            await engine.runs(event="mine")
        with pytest.raises(InvalidInput, match="'x' is no cursor of this list"):
            await engine.runs(event="mine", cursor="x")


# -- starting and looking -------------------------------------------------------------------------


async def test_start_with_a_run_id_is_idempotent(opened: OpenApp) -> None:
    """The same id, workflow and data mean the same run; other data is refused."""
    app = App("start")

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[int]:
        return (yield from Run(add, ctx.event.data["n"], 1))

    async with opened(app) as engine:
        assert await engine.start(flow, {"n": 1}, run_id="mine") == "mine"
        assert await engine.start(flow, {"n": 1}, run_id="mine") == "mine"
        assert await engine.result("mine") == 2
        with pytest.raises(InvalidInput, match="run id 'mine' is already used"):
            await engine.start(flow, {"n": 2}, run_id="mine")
        with pytest.raises(NotFound, match="no workflow 'other'"):
            await engine.start("start/other")


COLLECTING = [({"batch": Batch(3, wait="1h")}, [1, 2, 3]), ({"debounce": Debounce("1s")}, [3])]


@pytest.mark.parametrize(("option", "collected"), COLLECTING, ids=["batch", "debounce"])
async def test_start_with_a_run_id_is_collected_once(
    opened: OpenApp, option: dict[str, Any], collected: list[int]
) -> None:
    """What was collected into another run is not started again: neither while that collects, nor later."""
    app = App("start")

    @app.workflow(**option)
    def flow(ctx: Context[Data]) -> Steps[list[int]]:
        return (yield from Run(list, [event.data["n"] for event in ctx.events]))

    async with opened(app) as engine:
        for n, run in [(1, "one"), (2, "two"), (2, "two"), (1, "one"), (3, "three"), (2, "two")]:
            assert await engine.start(flow, {"n": n}, run_id=run) == "one"
        with pytest.raises(InvalidInput, match="run id 'three' is already used, with other data, in run one"):
            await engine.start(flow, {"n": 4}, run_id="three")
        assert await engine.result("one") == collected
        assert await engine.start(flow, {"n": 2}, run_id="two") == "one"
        assert len((await engine.runs()).items) == 1


async def test_a_run_id_of_another_workflow_is_refused_by_a_batch(opened: OpenApp) -> None:
    """A batch does not take over a run that exists."""
    app = App("start")

    @app.workflow
    def plain(ctx: Context[Data]) -> Steps[int]:
        return (yield from Run(add, 1, 1))

    @app.workflow(batch=Batch(3, wait="1h"))
    def flow(ctx: Context[Data]) -> Steps[int]:
        return (yield from Run(add, 1, 1))

    async with opened(app) as engine:
        await engine.start(plain, {}, run_id="mine")
        with pytest.raises(InvalidInput, match="run id 'mine' is already used"):
            await engine.start(flow, {}, run_id="mine")


async def test_result_times_out_and_a_missing_run_is_not_found(opened: OpenApp) -> None:
    """Waiting is bounded when asked; the run goes on."""
    app = App("timeout")

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("long", "1d")

    async with opened(app) as engine:
        run = await engine.start(flow)
        with pytest.raises(TimeoutError, match="did not end within 50ms"):
            await engine.result(run, timeout="50ms")
        with pytest.raises(NotFound, match="there is no run 'nothing'"):
            await engine.result("nothing")


async def test_runs_are_listed_in_pages_by_state(opened: OpenApp) -> None:
    """Newest first; every run is on exactly one page; `why` says what a run waits for."""
    app = App("list")

    @app.workflow
    def sleeps(ctx: Context[Data]) -> Steps[None]:
        yield Sleep("long", "1d")

    @app.workflow
    def ends(ctx: Context[Data]) -> Steps[int]:
        return (yield from Run(add, 1))

    async with opened(app) as engine:
        asleep = [await engine.start(sleeps) for _ in range(3)]
        done = [await engine.start(ends) for _ in range(5)]
        for run in done:
            await engine.result(run)
        for run in asleep:
            await until(engine, run, "waiting")
        pages = Pages(lambda cursor: engine.runs(limit=3, cursor=cursor))
        found = [info.id async for info in pages.items()]
        assert sorted(found) == sorted(asleep + done)
        assert {info.id for info in (await engine.runs(status="completed")).items} == set(done)
        assert {info.id for info in (await engine.runs(status="waiting")).items} == set(asleep)
        assert "sleeping at step 'long' until" in await engine.why(asleep[0])
        with pytest.raises(InvalidInput, match="status='nonsense' is none of"):
            await engine.runs(status="nonsense")


async def test_sent_events_are_sent_once_by_the_step(opened: OpenApp) -> None:
    """`SendEvent` gives the ids of events that are in the store, and their runs exist."""
    app = App("outbox")

    @app.workflow
    def sender(ctx: Context[Data]) -> Steps[list[str]]:
        return (yield from SendEvent("tell", [Event("told", {"n": n}) for n in range(3)]))

    @app.workflow(on=OnEvent("told"))
    def hearer(ctx: Context[Data]) -> Steps[int]:
        return (yield from Run(add, ctx.event.data["n"]))

    async with opened(app) as engine:
        ids = await engine.result(await engine.start(sender))
        assert [event.id for event in reversed((await engine.events("told")).items)] == ids
        results = [await engine.result(run.id) for run in (await engine.runs(workflow="hearer")).items]
        assert sorted(results) == [0, 1, 2]


async def test_a_step_outcome_is_an_error_as_data(opened: OpenApp) -> None:
    """Whatever a body does, the run says what; other runs go on (I36)."""
    app = App("abuse", retries=0)

    def raises(kind: type[BaseException]) -> None:
        raise kind("out")

    def cyclic() -> list[Any]:
        loop: list[Any] = []
        loop.append(loop)
        return loop

    bodies: dict[str, Run[Any]] = {
        "SystemExit": Run("s", lambda: raises(SystemExit)),
        "KeyboardInterrupt": Run("s", lambda: raises(KeyboardInterrupt)),
        "GeneratorExit": Run("s", lambda: raises(GeneratorExit)),
        "RecursionError": Run("s", lambda: raises(RecursionError)),
        "UnserializableError": Run("s", cyclic),
    }

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[str]:
        try:
            yield bodies[ctx.event.data["kind"]]
        except StepError as error:
            return error.error_type
        return "nothing"

    async with opened(app) as engine:
        runs = {kind: await engine.start(flow, {"kind": kind}) for kind in bodies}
        assert {kind: await engine.result(run) for kind, run in runs.items()} == {kind: kind for kind in bodies}


async def test_recorded_values_are_those_of_the_step(opened: OpenApp) -> None:
    """A step that mutates what it was given or has returned changes no history."""
    app = App("mutation")
    kept: list[list[int]] = []

    def grow(numbers: list[int]) -> list[int]:
        numbers.append(len(numbers))
        kept.append(numbers)
        return numbers

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[list[list[int]]]:
        first = yield from Run("grow", grow, [])
        kept[-1].append(99)
        second = yield from Run("grow", grow, list(first))
        return [first, second]

    async with opened(app) as engine:
        run = await engine.start(flow)
        assert await engine.result(run) == [[0], [0, 1]]
        outcomes = [bytes(r.value) for r in await engine.history(run) if isinstance(r, StepSucceeded)]
        assert outcomes == [b"[0]", b"[0,1]"]
