"""Served to a flowgen server: what the app says is what an interpreter here says, record by record."""

from __future__ import annotations

import logging
from typing import Any

import attrs
import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import App, Context, Event, Race, Restart, Run, Secret, SendEvent, Sleep, Steps
from flowgen.duration import SECOND
from flowgen.ends import BodyCancelled, BodyRaised, BodyRestarted, BodyReturned
from flowgen.history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndFailed,
    Requested,
    Retried,
    SleepTerms,
    StepFailed,
    StepSucceeded,
)
from flowgen.outcome import Failure, Json
from flowgen.runtime.protocol import native
from flowgen.runtime.protocol.calls import Call, Ops, Returned, build_call
from flowgen.runtime.protocol.events import to_wire
from flowgen.runtime.protocol.memo import memo_of_history
from flowgen.runtime.protocol.ops import Opcode
from flowgen.runtime.protocol.steps import step_hash
from flowgen.runtime.serving.recall import recall
from flowgen.testing import simulate
from flowgen.testing.actions import Start
from flowgen.testing.strategies.programs import PROGRAM, TRIGGER, blocks, workflow_of
from flowgen.values import decode

from .own import START, OwnRun, OwnServer, erred, story
from .shop import shop

choices = st.lists(st.integers(0, 11), max_size=60)


def chooser(numbers: list[int]) -> Any:
    left = list(numbers)
    return lambda number: left.pop() % number if left else 0


@settings(max_examples=40)
@given(blocks(2), choices, st.booleans())
def test_random_programs_are_driven_as_they_are_here(block: Any, numbers: list[int], cancelled: bool) -> None:
    """Whatever a body does and whatever happens to it: the server's steps, deadlines and end are those of a local one.

    `OwnRun` compares at each call.
    """
    program = workflow_of(block)
    app = App("generated")
    app._workflows[PROGRAM] = program

    async def drive() -> OwnRun:
        async with OwnServer(app, chooser(numbers)) as server:
            events = [Event("order/paid", {"id": "1"}), Event("order/paid", {"id": "2"})]
            run = await server.run(PROGRAM, {"id": "1"}, *events, cancel="enough" if cancelled else None, name=TRIGGER)
            await _compare_with_memo(server, run)
            return run

    run = trio.run(drive)
    assert run.end is not None


async def _compare_with_memo(server: OwnServer, run: OwnRun) -> None:
    """A server that knows nothing of flowgen gets the same result for the same outcomes in the same order."""
    if not isinstance(run.end, BodyReturned) or any(isinstance(r, CancelAccepted) for r in run.history):
        return
    memo = memo_of_history(run.history)
    steps = {hash: decode(value) for hash, value in memo.steps.items()}
    call = Call(run.id, (to_wire(run.events[0]),), steps, tuple(memo.stack), len(memo.stack))
    answer = await server.call(call, run.slug)
    assert isinstance(answer.outcome, Returned), answer
    assert decode(answer.outcome.data) == decode(run.end.data)


SEQUENTIAL = "sequence retried exhausted asked-later compensated typed drawn broken uncaught".split()


@pytest.mark.parametrize("workflow", SEQUENTIAL)
def test_histories_are_those_of_an_engine_up_to_timing(workflow: str) -> None:
    """Each attempt, value and failure of a workflow without branches that overlap, in the same order."""
    data = {"id": "7", "total": 2.5}
    app, did = shop()
    here = simulate(app, [Start(workflow, data)], until="40d").run(workflow)
    app, there = shop()
    run = driven(app, workflow, data)
    if workflow != "drawn":  # whose numbers follow from the id of the run
        assert story(run.history) == story(here.history)
    assert isinstance(run.end, BodyReturned) == (here.status == "completed")
    assert there.lines == did.lines


def driven(app: App, workflow: str, data: Any = None, **options: Any) -> OwnRun:
    async def drive() -> OwnRun:
        async with OwnServer(app) as server:
            return await server.run(workflow, data or {}, **options)

    return trio.run(drive)


def test_one_request_a_step_and_one_more() -> None:
    """A step that is the only open one is executed by the call that finds it."""
    run = driven(shop()[0], "sequence", {"id": "7"})
    assert len(run.requests) == 4 + 1 + 1  # four bodies, the sleep, the end


def test_values_are_exact() -> None:
    """Floats stay floats and large integers whole, though canonical JSON has neither."""
    run = driven(shop()[0], "sequence", {"id": "7"})
    assert story(run.history)[0][-1] == b'{"id":"7","total":1.0}'
    assert story(run.history)[1][-1] == str(2**60).encode()


def test_time_and_chance_are_those_of_the_run() -> None:
    """`ctx.now` is the time of the newest record, and `ctx.random` is seeded by the run."""
    app = App("clock")

    @app.workflow
    def clock(ctx: Context) -> Steps[Any]:
        began = ctx.now
        yield Run("first", str, 1)
        ran = ctx.now
        yield Sleep("nap", "1h")
        return [began.timestamp(), ran.timestamp(), ctx.now.timestamp(), ctx.random.random()]

    run = driven(app, "clock")
    times = [run.history[n].at / 1e6 for n in (0, 1, 3)]
    assert isinstance(run.end, BodyReturned)
    assert decode(run.end.data) == [*times, run.shadow.context.random.random() and decode(run.end.data)[3]]
    assert times[2] - times[1] == 3600


def test_how_a_run_may_end() -> None:
    """It returns, raises, restarts or is cancelled."""
    app = App("ends")

    @app.workflow
    def again(ctx: Context) -> Steps[None]:
        yield Restart({"n": 1.0})

    @app.workflow
    def sleeps(ctx: Context) -> Steps[None]:
        try:
            yield Sleep("nap", "1h")
        finally:
            yield Run("tidy", str, "up")

    assert driven(app, "again").end == BodyRestarted(Json(b'{"n":1.0}'))
    cancelled = _with_choice(app, "sleeps", [5, 1], cancel="enough")
    assert cancelled.end == BodyCancelled("enough")
    assert story(cancelled.history) == [("tidy", "run", "StepSucceeded", b'"up"')]
    raised = driven(shop()[0], "uncaught").end
    assert isinstance(raised, BodyRaised)
    assert (raised.step, raised.failure.cause) == ("ship", raised.failure.cause)
    assert raised.failure.type == "StepError"


def _with_choice(app: App, workflow: str, numbers: list[int], **options: Any) -> OwnRun:
    async def drive() -> OwnRun:
        async with OwnServer(app, chooser(numbers[::-1])) as server:
            return await server.run(workflow, {}, **options)

    return trio.run(drive)


# -- what comes late, twice, or to other code ------------------------------------------------------


def called(workflow: str, change: Any, target: str = "step", data: Any = None, app: App | None = None) -> Any:
    """The answer to a call about a run whose history was driven to its end, and then changed."""
    app = app or shop()[0]

    async def drive() -> Any:
        async with OwnServer(app) as server:
            run = await server.run(workflow, data or {"id": "7"})
            run.history = change(run.history)
            return await server.call(run.call(), run.slug, target)

    return trio.run(drive)


def test_a_step_that_is_over_is_not_executed_again() -> None:
    """A call that comes twice, or late, is answered with no op."""
    answer = called("sequence", lambda history: history[:2], step_hash("load"))
    assert answer.outcome == Ops(())


def test_a_step_that_was_given_up_is_not_executed() -> None:
    """Neither is one whose race another has won."""
    answer = called("race", lambda history: history, step_hash("race/slow/second"))
    assert isinstance(answer.outcome, Ops)
    answer = called("race", lambda history: history, step_hash("late"))
    assert answer.outcome == Ops(())


def test_a_step_that_the_code_does_not_have_is_not_found() -> None:
    """It is said which."""
    answer = called("sequence", lambda history: history[:2], step_hash("another"))
    (op,) = answer.outcome.ops
    assert (op.op, op.id) == (Opcode.STEP_NOT_FOUND, step_hash("another"))


def test_code_that_disagrees_with_history_says_both_sides() -> None:
    """It executes nothing, and may be asked again: other code may agree."""

    def renamed(history: list[Any]) -> list[Any]:
        return [attrs.evolve(r, step="fetch") if getattr(r, "step", "") == "load" else r for r in history]

    answer = called("sequence", renamed)
    diverged = native.read_diverged(erred(answer).flowgen)
    assert diverged is not None
    assert (diverged.step, answer.no_retry) == ("fetch", False)
    assert "'fetch'" in diverged.recorded
    assert "'load'" in diverged.yields
    assert "shop.py" in diverged.where


def test_a_recorded_value_that_does_not_fit_is_a_divergence() -> None:
    """So the run is parked, as it is here."""

    def misfit(history: list[Any]) -> list[Any]:
        return [attrs.evolve(history[1], value=Json(b'{"id":7}')) if r is history[1] else r for r in history[:2]]

    answer = called("sequence", misfit)
    diverged = native.read_diverged(erred(answer).flowgen)
    assert diverged is not None
    assert diverged.step == "load"


def test_a_result_that_does_not_fit_is_the_failure_of_its_step() -> None:
    """At once: the body would return the same again."""
    app = App("misfits")

    def number() -> int:
        return "no number"  # type: ignore[return-value]

    @app.workflow
    def misfit(ctx: Context) -> Steps[Any]:
        yield Run(number)

    run = driven(app, "misfit")
    assert [type(record) for record in run.history] == [type(run.history[0]), StepFailed]
    assert run.history[1].failure.type == "UndecodableError"  # type: ignore[union-attr]


def test_an_event_that_does_not_fit_fails_a_run_that_has_just_begun() -> None:
    """As it does here; one that has come further is parked."""

    async def drive() -> list[Any]:
        async with OwnServer(shop()[0]) as server:
            run = await server.run("typed", {"id": "7", "total": 1.0})
            run.events = (attrs.evolve(run.events[0], data=Json(b'{"id":7}')),)
            late = await server.call(run.call(), run.slug)
            run.history = run.history[:1]
            return [await server.call(run.call(), run.slug), late]

    first, late = trio.run(drive)
    end = native.read_end(first.outcome.ops[0].flowgen)
    assert isinstance(end, BodyRaised)
    assert end.failure.type == "UndecodableError"
    diverged = native.read_diverged(erred(late).flowgen)
    assert diverged is not None
    assert diverged.step == "(event)"


def test_a_failed_step_that_is_retried_is_asked_for_again() -> None:
    """What a `Retried` takes back counts for nothing."""

    def retried(history: list[Any]) -> list[Any]:
        at = history[-1].at
        return [*history, Retried(at, upto=0, life=1, steps=("ship",))]

    answer = called("uncaught", retried)
    assert [op.op for op in answer.outcome.ops] == [Opcode.NONE, Opcode.STEP_FAILED]


def test_attempts_go_on_from_history() -> None:
    """The number of an attempt is that of those that failed, and one more."""
    answer = called("retried", lambda history: history[:2], data={})
    op = answer.outcome.ops[1]
    assert (op.op, native.read_asked(op.flowgen).attempts) == (Opcode.STEP_ERROR, 2)


def test_a_server_that_plans_gets_a_plan() -> None:
    """With `disable_immediate_execution` nothing is executed unless the call is aimed at it."""
    app, did = shop()

    async def drive() -> Any:
        async with OwnServer(app) as server:
            run = await server.run("retried", {})
            did.lines.clear()
            run.history = run.history[:1]
            call = attrs.evolve(run.call(), disable_immediate_execution=True)
            return await server.call(call, run.slug)

    answer = trio.run(drive)
    assert [op.op for op in answer.outcome.ops] == [Opcode.NONE, Opcode.STEP_PLANNED]
    assert did.lines == []


def test_what_a_body_logs_is_heard_once(caplog: pytest.LogCaptureFixture) -> None:
    """However often it is replayed."""
    app = App("talk")

    @app.workflow
    def talk(ctx: Context) -> Steps[None]:
        ctx.logger.info("one")
        yield Run("first", str, 1)
        ctx.logger.info("two %s", "and")
        yield Sleep("nap", "1h")
        ctx.logger.info("three")

    with caplog.at_level(logging.INFO, "flowgen.run"):
        driven(app, "talk")
    assert [record.message for record in caplog.records] == ["one", "two and", "three"]


def test_secrets_stay_where_they_are() -> None:
    """Neither arguments nor errors show what a `Secret` hides."""
    app = App("secrets")

    def leak(secret: Any) -> None:
        raise ValueError(f"cannot use {secret.reveal()}")

    @app.workflow(retries=0)
    def secretive(ctx: Context) -> Steps[None]:
        yield Run(leak, Secret("canary-secret"))

    run = driven(app, "secretive")
    assert isinstance(run.history[1], StepFailed)
    assert "***" in run.history[1].failure.message
    assert "canary" not in repr(run.history)


def test_what_comes_late_of_a_step_that_was_given_up_counts_for_nothing() -> None:
    """A server learns that a race is decided with its next discovery; what it records until then is no divergence."""

    def late(history: list[Any]) -> list[Any]:
        decided = next(n for n, record in enumerate(history) if getattr(record, "step", "") == "race/fast/second")
        at = history[decided].at
        lost = [StepSucceeded(at, "late", Json(b"null"), "sleep"), CleanupExpired(at, "race/slow")]
        return [*history[: decided + 1], *lost]

    answer = called("race", late)
    assert [op.op for op in answer.outcome.ops] == [Opcode.NONE, Opcode.STEP_RUN]
    assert answer.outcome.ops[1].step_id == "after"


def test_a_late_record_of_a_step_that_was_never_asked_for_is_a_divergence() -> None:
    """Whatever is decided."""

    def strange(history: list[Any]) -> list[Any]:
        return [*history[:2], StepSucceeded(history[1].at, "strange", Json(b"null"), "sleep"), *history[2:]]

    diverged = native.read_diverged(erred(called("race", strange)).flowgen)
    assert diverged is not None
    assert diverged.step == "strange"


def test_calls_that_failed_are_no_steps() -> None:
    """A server records that the app could not be asked; the body knows nothing of it, also after a retry."""

    def failed(history: list[Any]) -> list[Any]:
        at, failure = history[0].at, Failure("ServerError", "502")
        tries = [AttemptFailed(at, "(function)", 1, failure, at, ""), StepFailed(at, "(function)", failure, 2)]
        again = [EndFailed(at, failure, "(function)"), Retried(at, upto=2, life=1, steps=("(function)",))]
        return [history[0], tries[0], history[1], tries[1], *again]

    for change in (failed, lambda history: failed(history)[:3]):
        answer = called("sequence", change)
        assert [op.op for op in answer.outcome.ops] == [Opcode.NONE, Opcode.STEP_RUN]
        assert answer.outcome.ops[1].step_id == "charge"


def answered(app: App, workflow: str, history: list[Any]) -> Any:
    """The answer to the discovery of a run with that history."""

    async def call() -> Any:
        async with OwnServer(app) as server:
            run = OwnRun(server, app.workflows[workflow], {}, [], None, "flowgen/run.invoked")
            run.history += history
            return await server.call(run.call(), run.slug)

    return trio.run(call)


def test_what_is_open_behind_a_send_is_told_when_the_send_is_over() -> None:
    """The server is done with a send at once, and then the body may have given up what stood beside it."""
    app = App("sends")

    @app.workflow
    def race(ctx: Context) -> Steps[Any]:
        return (yield Race(first=Sleep("nap", "1h"), tell=SendEvent("tell", Event("a/b")), last=Sleep("late", "2h")))

    standing, *asked = answered(app, "race", []).outcome.ops
    assert native.read_standing(standing.flowgen).open == ("nap", "tell", "late")
    assert [op.step_id for op in asked] == ["nap", "tell"]


def test_additive_code_keeps_open_what_it_may_yet_ask_for() -> None:
    """A request that it has not met, or not yet, is not given up before its body ends."""
    app = App("added")

    @app.workflow(changes="additive")
    def flow(ctx: Context) -> Steps[Any]:
        yield Sleep("nap", "1h")

    asked = Requested(START, "removed", "sleep", "", SleepTerms(START + SECOND))
    standing, op = answered(app, "flow", [asked]).outcome.ops
    assert native.read_standing(standing.flowgen).open == ("nap", "removed")
    assert op.step_id == "nap"


def test_a_run_of_another_function_is_refused() -> None:
    """Its history is not that of this code; and one that has not begun asks for nothing."""
    app = shop()[0]

    async def calls() -> list[Any]:
        async with OwnServer(app) as server:
            run = OwnRun(server, app.workflows["sequence"], {"id": "7"}, [], None, "flowgen/run.invoked")
            other = await _refused(server, run.call(), "shop-race")
            run.history.clear()
            return [other, await _refused(server, run.call(), run.slug)]

    other, empty = trio.run(calls)
    assert "is of shop/sequence, and this is shop/race" in other
    assert "has no records" in empty


async def _refused(server: OwnServer, call: Call, slug: str) -> str:
    answer = await server.client.post(
        f"/api/inngest?fnId={slug}", content=build_call(call), headers={"Content-Type": "application/json"}
    )
    assert answer.status_code == 400
    return str(answer.json()["message"])


def test_what_was_seen_before_a_restart_is_inherited() -> None:
    """Where a successor's waits look from is a matter of the server; the app is told it all the same."""
    app = shop()[0]

    async def seen() -> Any:
        async with OwnServer(app) as server:
            run = OwnRun(server, app.workflows["waiting"], {"id": "7"}, [], None, "flowgen/run.invoked")
            run.row.since = (("approval", 9),)
            recalled = recall(app.workflows["waiting"], run.call())
            recalled.close()
            return recalled.interpreter.seen()

    assert trio.run(seen) == {"approval": 9}
