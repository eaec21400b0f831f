"""Where bodies of served steps are executed: by the rules of engines, whatever loop the web server has."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest
import sniffio
import trio

from flowgen import NonRetriableError, Run, step_info
from flowgen.outcome import Outcome, Raised, Returned
from flowgen.runtime.serving.bodies import BodyThread, Closed
from flowgen.tree import Fiber, Step
from flowgen.values import decode


def step_of(command: Any) -> Step:
    parent = Fiber(iter(()), "")  # type: ignore[arg-type]
    return Step(command.id, command.id, command, "run", command.arguments(), decode, parent)


def executed(command: Any, loop: str = "trio", failures: int = 0) -> Outcome:
    """What a body came to, for a caller on trio."""
    step = step_of(command)
    step.failures = failures
    bodies = BodyThread()
    try:
        return trio.run(bodies.run, step, "run-1", loop)
    finally:
        bodies.close()


def where(kind: str) -> list[str]:
    return [threading.current_thread().name, kind]


def sync() -> list[str]:
    return where("sync")


async def either() -> list[str]:
    return where(sniffio.current_async_library())


@pytest.mark.parametrize(
    "body, loop, thread, kind",
    [(sync, "trio", "flowgen-step", "sync"), (either, "trio", "flowgen-bodies", "trio"),
     (either, "asyncio", "flowgen-asyncio", "asyncio")],
)  # fmt: skip
def test_a_body_runs_where_it_belongs(body: Callable[..., Any], loop: str, thread: str, kind: str) -> None:
    """Sync ones in threads, async ones on the loop that their app or step says; never where requests are served."""
    outcome = executed(Run("a", body), loop)
    assert isinstance(outcome, Returned)
    assert decode(outcome.data) == [thread, kind]


def test_callers_may_be_on_asyncio() -> None:
    """As those in most web servers are; many at once."""
    bodies = BodyThread()

    async def call() -> list[Outcome]:
        return await asyncio.gather(*(bodies.run(step_of(Run("a", abs, -n)), "run-1", "trio") for n in range(50)))

    outcomes = asyncio.run(call())
    bodies.close()
    assert [decode(outcome.data) for outcome in outcomes if isinstance(outcome, Returned)] == list(range(50))


def test_a_body_knows_its_attempt() -> None:
    """Also one that is not the first."""

    def attempt() -> list[Any]:
        info = step_info()
        return [info.run_id, info.step_id, info.attempt, info.idempotency_key]

    outcome = executed(Run("a", attempt), failures=2)
    assert isinstance(outcome, Returned)
    assert decode(outcome.data) == ["run-1", "a", 3, "run-1/a"]


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), MemoryError(), NonRetriableError("no")])
def test_whatever_a_body_raises_is_its_outcome(error: BaseException) -> None:
    """The server goes on."""

    def raises() -> None:
        raise error

    outcome = executed(Run("a", raises))
    assert isinstance(outcome, Raised)
    assert outcome.failure.type == type(error).__name__
    assert outcome.retriable is not isinstance(error, NonRetriableError)


def test_a_body_that_takes_too_long_is_left() -> None:
    """By the time-out of its step."""
    gone = threading.Event()

    def slow() -> None:
        while not step_info().cancelled:
            gone.wait(0.001)

    outcome = executed(Run("a", slow).options(timeout="20ms"))
    assert isinstance(outcome, Raised)
    assert outcome.failure.type == "StepTimeout"


def test_who_stops_waiting_cancels_the_body() -> None:
    """A request that is cut off leaves nothing at work."""
    began, ended = threading.Event(), threading.Event()

    async def forever() -> None:
        began.set()
        try:
            await trio.sleep_forever()
        finally:
            ended.set()

    bodies = BodyThread()

    async def call() -> None:
        task = asyncio.ensure_future(bodies.run(step_of(Run("a", forever)), "run-1", "trio"))
        await asyncio.to_thread(began.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(call())
    assert ended.wait(10)
    bodies.close()


def test_closing_ends_what_runs_and_says_so() -> None:
    """Its caller can answer that it is to be asked again; later ones begin anew."""
    began = threading.Event()

    async def forever() -> None:
        began.set()
        await trio.sleep_forever()

    bodies = BodyThread()

    async def call() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_closed, bodies, step_of(Run("a", forever)))
            await trio.to_thread.run_sync(began.wait, 10)
            bodies.close()
        assert isinstance(await bodies.run(step_of(Run("a", abs, -1)), "run-1", "trio"), Returned)

    trio.run(call)
    bodies.close()


async def _closed(bodies: BodyThread, step: Step) -> None:
    with pytest.raises(Closed, match="executes nothing any more"):
        await bodies.run(step, "run-1", "trio")


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_process_that_was_forked_has_a_thread_of_its_own() -> None:
    """Servers that load an app before they fork have none from the parent."""
    bodies = BodyThread()
    trio.run(bodies.run, step_of(Run("a", abs, -1)), "run-1", "trio")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if isinstance(trio.run(bodies.run, step_of(Run("a", abs, -1)), "run-1", "trio"), Returned) else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    bodies.close()
    assert os.waitstatus_to_exitcode(status) == 0
