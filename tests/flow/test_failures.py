"""What follows from an end: `on_failure`, and flowgen's own events `flowgen/run.completed`, `.failed`, `.cancelled`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings

from flowgen import App, Context, Event, Invoke, OnEvent, Restart, Run, Sleep, Steps
from flowgen.errors import StepError
from flowgen.flow_control import Debounce, RateLimit, Singleton, Timeouts
from flowgen.testing import Cancel, Faults, Retry
from tests.flow.scenes import FAULTS, SEEDS, at, ended, go, played, runs, started, statuses


def refuse(n: int) -> int:
    """A body that fails."""
    raise ValueError(f"no {n}")


def failing(**options: Any) -> App:
    """`work` fails, unless its event says `well`; `handler` returns the data that it is given."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), on_failure="handler", retries=0, **options)
    def work(ctx: Context) -> Steps[str]:
        yield Sleep("a while", ctx.event.data.get("sleeps", 0))
        if not ctx.event.data.get("well"):
            yield Run(refuse, ctx.event.data["n"])
        return "well"

    @app.workflow
    def handler(ctx: Context) -> Steps[Any]:
        yield Run("note", str, ctx.event.name)
        return ctx.event.data

    return app


def test_the_handler_starts_once_with_all_that_there_is_to_know() -> None:
    """The workflow, the run, the event that had started it, and the error with its trace."""
    trace = played(failing(), [at(0, go(7))])
    (handled,) = runs(trace, "handler")
    run = trace.run("work")
    data = handled.result
    assert (data["workflow_id"], data["run_id"]) == ("work", run.id)
    assert (data["event"]["name"], data["event"]["data"]) == ("go", {"n": 7})
    assert data["error"]["type"] == "StepError"
    assert "no 7" in data["error"]["message"]
    assert handled.recorded.events[0].name == "flowgen/run.failed"


def test_it_starts_in_the_commit_of_the_failure() -> None:
    """No crash lets a failed run have no handler."""
    trace = played(failing(), [at(0, go(7, sleeps=20))])
    assert trace.run("handler").recorded.row.created_at == trace.run("work").recorded.row.ended_at


def test_a_run_that_completes_or_is_cancelled_has_none() -> None:
    """Only a failure is handled."""
    trace = played(failing(), [at(0, go(1, well=True)), at(0, go(2, sleeps=60)), at(5, Cancel("work", 1))])
    assert statuses(trace) == ["completed", "cancelled"]
    assert runs(trace, "handler") == []


def test_each_failure_is_handled() -> None:
    """A retried run that fails again is handled again."""
    trace = played(failing(), [at(0, go(1)), at(5, Retry("work"))])
    assert len(runs(trace, "handler")) == 2


def test_the_handler_has_flow_control_of_its_own() -> None:
    """It is a workflow like any other: its rate limit, for instance, counts."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), on_failure="handler")
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("a while", 1)
        raise ValueError(ctx.event.data["n"])

    @app.workflow(rate_limit=RateLimit(1, per="1h", key="event.data.workflow_id"))
    def handler(ctx: Context) -> Steps[str]:
        return (yield Run("note", str, ctx.event.data["error"]["message"]))

    trace = played(app, [at(0, go(1)), at(5, go(2))])
    assert statuses(trace, "handler") == ["completed", "skipped"]
    assert trace.run("handler").result == "1"


def test_a_handler_that_is_not_there_hurts_nobody() -> None:
    """The run fails all the same."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), on_failure="elsewhere/handler")
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("a while", 1)
        raise ValueError("no")

    assert statuses(played(app, [at(0, go(1))])) == ["failed"]


def test_a_handler_that_fails_is_not_handled() -> None:
    """Two workflows that handle each other's failures do not go on for ever."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), on_failure="second")
    def first(ctx: Context) -> Steps[None]:
        yield Sleep("a while", 1)
        raise ValueError("first")

    @app.workflow(on_failure="first")
    def second(ctx: Context) -> Steps[None]:
        yield Sleep("a while", 1)
        raise ValueError("second")

    trace = played(app, [at(0, go(1))])
    assert [len(runs(trace, "first")), len(runs(trace, "second"))] == [1, 1]


def test_a_run_that_restarted_fails_as_its_successor() -> None:
    """The end of a run that restarts is none: what follows, follows from the end of the last."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), on_failure="handler")
    def work(ctx: Context) -> Steps[Any]:
        yield Sleep("a while", 1)
        if "n" in ctx.event.data:
            return Restart({})
        raise ValueError("no")

    @app.workflow
    def handler(ctx: Context) -> Steps[Any]:
        yield Run("note", str, 0)
        return ctx.event.data["run_id"]

    trace = played(app, [at(0, go(1))])
    assert [run.result for run in runs(trace, "handler")] == [trace.run("work", 1).id]


@given(seed=SEEDS, faults=FAULTS)
@settings(max_examples=50)
def test_no_fault_loses_or_doubles_a_handler(seed: int, faults: Faults) -> None:
    """Each failed run has one handler's run, and no other has any."""
    events = [at(n, go(n, well=n % 3 == 0, sleeps=n % 2 * 5)) for n in range(6)]
    trace = played(failing(), events, seed=seed, workers=3, faults=faults)
    failed = [run.id for run in runs(trace, status="failed")]
    assert sorted(run.result["run_id"] for run in runs(trace, "handler")) == sorted(failed)
    assert len(failed) == 4


# -- flowgen's own events ------------------------------------------------------------------------------


def listening(pattern: str = "flowgen/run.*", where: str | None = None, **options: Any) -> App:
    """`work` ends as its event says; `listener` starts on the ends of runs."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), retries=0)
    def work(ctx: Context) -> Steps[str]:
        yield Sleep("a while", 10)
        if ctx.event.data.get("fails"):
            yield Run(refuse, ctx.event.data["n"])
        return f"well {ctx.event.data['n']}"

    @app.workflow(on=OnEvent(pattern, where=where), **options)
    def listener(ctx: Context) -> Steps[Any]:
        yield Run("note", str, ctx.event.name)
        return [ctx.event.name, ctx.event.data]

    return app


def test_each_end_is_an_event() -> None:
    """With the workflow, the run, the event that had started it, and its result or its error."""
    events = [at(0, go(1)), at(1, go(2, fails=True)), at(2, go(3)), at(5, Cancel("work", 2))]
    trace = played(listening(), events)
    heard = {data["run_id"]: (name, data) for name, data in (run.result for run in runs(trace, "listener"))}
    completed, failed, cancelled = (heard[run.id] for run in runs(trace))
    assert completed[0] == "flowgen/run.completed"
    assert (completed[1]["workflow_id"], completed[1]["result"]) == ("work", "well 1")
    assert completed[1]["event"]["data"] == {"n": 1}
    assert failed[0] == "flowgen/run.failed"
    assert failed[1]["error"]["type"] == "StepError"
    assert cancelled[0] == "flowgen/run.cancelled"
    assert "cancelled by request" in cancelled[1]["error"]["message"]


def test_one_may_listen_to_one_kind_of_end() -> None:
    """By the name of the event, and by what it says."""
    events = [at(0, go(1)), at(1, go(2, fails=True)), at(2, go(3, fails=True))]
    assert len(runs(played(listening("flowgen/run.failed"), events), "listener")) == 2
    chosen = played(listening("flowgen/run.failed", where="event.data.event.data.n == 3"), events)
    assert len(runs(chosen, "listener")) == 1


def test_a_listener_does_not_hear_of_itself() -> None:
    """The end of a run that such an event started is none."""
    trace = played(listening(), [at(0, go(1))])
    assert len(runs(trace, "listener")) == 1


@pytest.mark.parametrize("fails", [False, True], ids=["a child that completes", "a child that fails"])
def test_a_listener_does_not_hear_of_what_it_invokes(fails: bool) -> None:
    """Nor of its child's children, nor of what it restarts as: it would go on for ever."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"))
    def work(ctx: Context) -> Steps[None]:
        yield Sleep("a while", 10)

    @app.workflow(retries=0, on_failure="flow/handler")
    def grandchild(ctx: Context) -> Steps[None]:
        yield Run("note", refuse if ctx.event.data["fails"] else str, 1)

    @app.workflow
    def child(ctx: Context) -> Steps[None]:
        yield Invoke("deeper", grandchild, ctx.event.data)

    @app.workflow
    def handler(ctx: Context) -> Steps[None]:
        yield Invoke("again", child, {"fails": True})

    @app.workflow(on=OnEvent("flowgen/run.*"))
    def listener(ctx: Context) -> Steps[None]:
        with suppress(StepError):
            yield Invoke("tell", child, {"fails": fails})
        if ctx.event.name != "flowgen/run.invoked-after-end":
            yield Restart({})

    trace = played(app, [at(0, go(1))], until="1h")
    assert trace.finished
    assert [len(runs(trace, name)) for name in ("work", "listener", "child", "grandchild", "handler")] == [
        1,
        2,
        2,
        2,
        0,
    ]


def test_a_run_that_is_skipped_did_not_end() -> None:
    """It never began."""
    app = listening()

    @app.workflow(on=OnEvent("go"), singleton=Singleton())
    def single(ctx: Context) -> Steps[None]:
        yield Sleep("long", 60)

    trace = played(app, [at(0, go(1)), at(1, go(2))])
    heard = [data["run_id"] for _, data in (run.result for run in runs(trace, "listener"))]
    assert statuses(trace, "single") == ["completed", "skipped"]
    assert trace.run("single", 1).id not in heard
    assert len(heard) == 3


def test_a_listener_has_flow_control_of_its_own() -> None:
    """It may debounce the ends, for instance."""
    trace = played(listening(debounce=Debounce("60s")), [at(0, go(1)), at(1, go(2)), at(2, go(3))])
    (listener,) = runs(trace, "listener")
    assert listener.result[1]["run_id"] == trace.run("work", 2).id
    assert started(listener, trace) == ended(trace.run("work", 2), trace) + 60


def test_a_run_that_ends_before_it_starts_is_an_event_too() -> None:
    """Its start timeout ends it, without its code."""
    app = listening("flowgen/run.cancelled")

    @app.workflow(on=OnEvent("wait"), singleton=Singleton(mode="cancel"), timeouts=Timeouts(start="5s"))
    def slow(ctx: Context) -> Steps[None]:
        try:
            yield Sleep("long", "1h")
        except BaseException:
            yield Sleep("clean up", 20)
            raise

    trace = played(app, [at(0, Event("wait")), at(1, Event("wait"))])
    heard = [data["run_id"] for _, data in (run.result for run in runs(trace, "listener"))]
    assert heard == [trace.run("slow", 1).id, trace.run("slow").id]


@given(seed=SEEDS, faults=FAULTS)
@settings(max_examples=50)
def test_no_fault_loses_or_doubles_an_end(seed: int, faults: Faults) -> None:
    """Each run that ended is heard of once."""
    events = [at(n, go(n, fails=n % 3 == 0)) for n in range(6)]
    trace = played(listening(), events, seed=seed, workers=3, faults=faults)
    heard = sorted(data["run_id"] for _, data in (run.result for run in runs(trace, "listener")))
    assert heard == sorted(run.id for run in runs(trace)), trace.timeline()


def test_the_error_of_a_body_is_the_handler_s() -> None:
    """A body that raises outside a step fails with that error, and that is what the handler is told."""
    app = App("flow")

    @app.workflow(on=OnEvent("go"), on_failure="handler", retries=0)
    def work(ctx: Context) -> Steps[None]:
        try:
            yield Run(refuse, 1)
        except StepError:
            raise RuntimeError("gave up") from None

    @app.workflow
    def handler(ctx: Context) -> Steps[Any]:
        yield Run("note", str, 0)
        return ctx.event.data["error"]

    error = played(app, [at(0, go(1))]).run("handler").result
    assert (error["type"], error["message"]) == ("RuntimeError", "gave up")
    assert "gave up" in error["trace"]
