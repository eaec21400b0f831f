"""What step bodies may do to an engine, and what it does to them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
import trio

from flowgen import (
    App,
    Context,
    Event,
    NonRetriableError,
    OnEvent,
    Run,
    RunCancelled,
    RunFailed,
    Secret,
    Sleep,
    StepError,
    Steps,
    WaitFor,
)
from flowgen.history import AttemptFailed, StepFailed
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.digest import code_digest

Data = dict[str, Any]


async def until(engine: Engine, run: str, status: str) -> None:
    """Wait until a run is in a state."""
    while (await engine.run(run)).status != status:
        await engine.store.wait_changed(0.02)


def files_with(directory: Path, text: str) -> list[Path]:
    """The files of a directory that hold a text."""
    return [file for file in directory.iterdir() if text.encode() in file.read_bytes()]


@pytest.mark.parametrize("loop", ["sync", "trio", "asyncio"])
async def test_a_body_changes_its_own_copy_of_its_arguments(loop: str) -> None:
    """What a step does to an argument is nobody else's business: live and replayed runs agree."""
    app = App("copies")

    def change(data: Data) -> None:
        data["x"] = 99
        data["more"][0].append("changed")

    async def change_async(data: Data) -> None:
        change(data)

    def look(data: Data) -> Data:
        return data

    body = Run("change", change if loop == "sync" else change_async, {})

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[list[Data]]:
        mine: Data = {"x": 1, "more": [[]]}
        command = Run("change", body.fn, mine)
        yield command.options(loop=loop) if loop != "sync" else command
        seen = yield from Run("look", look, mine)
        yield Run("event", body.fn, {"x": 0, "more": [[]], **ctx.event.data})
        return [mine, seen, ctx.event.data]

    with trio.fail_after(50):
        async with open_engine(app) as engine:
            given = {"x": 1, "more": [[]]}
            assert await engine.result(await engine.start(flow, given)) == [given, given, given]


async def test_an_asyncio_step_cannot_end_the_asyncio_loop() -> None:
    """`SystemExit` and `KeyboardInterrupt` are outcomes there too; the next step runs (I36)."""
    app = App("exits", loop="asyncio", retries=0)

    async def leave(kind: str) -> None:
        raise {"SystemExit": SystemExit, "KeyboardInterrupt": KeyboardInterrupt}[kind]("out")

    async def fine() -> str:
        await asyncio.sleep(0)
        return "fine"

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[list[str]]:
        seen = []
        for kind in ("SystemExit", "KeyboardInterrupt"):
            try:
                yield Run("leave", leave, kind)
            except StepError as error:
                seen.append(error.error_type)
            seen.append((yield from Run("fine", fine)))
        return seen

    with trio.fail_after(50):
        async with open_engine(app) as engine:
            expected = ["SystemExit", "fine", "KeyboardInterrupt", "fine"]
            assert await engine.result(await engine.start(flow)) == expected


async def test_abandoned_threads_hold_up_no_step_that_waits_for_one() -> None:
    """When all threads hang in bodies that timed out, a queued step gets a thread of its own."""
    app = App("threads", retries=0)
    gate = threading.Event()

    def hang() -> None:
        gate.wait(30)

    def quick() -> str:
        return "quick"

    @app.workflow
    def hanging(ctx: Context[Data]) -> Steps[None]:
        yield Run("hang", hang).options(timeout="200ms")

    @app.workflow
    def waiting(ctx: Context[Data]) -> Steps[str]:
        return (yield from Run("quick", quick))

    with trio.fail_after(50):
        async with open_engine(app, grace="0s") as engine:
            try:
                stuck = [await engine.start(hanging) for _ in range(64)]
                assert await engine.result(await engine.start(waiting)) == "quick"
                for run in stuck:
                    with pytest.raises(RunFailed, match="StepTimeout"):
                        await engine.result(run)
            finally:
                gate.set()


async def test_the_time_of_a_step_begins_when_it_has_a_thread() -> None:
    """Waiting for a thread under load is not the step's fault."""
    app = App("queue", retries=0)
    gate = threading.Event()
    held = threading.Semaphore(0)

    def hold() -> None:
        held.release()
        gate.wait(30)

    def quick() -> str:
        return "quick"

    @app.workflow
    def holding(ctx: Context[Data]) -> Steps[None]:
        yield Run("hold", hold)

    @app.workflow
    def queued(ctx: Context[Data]) -> Steps[str]:
        return (yield from Run("quick", quick).options(timeout="1s"))

    with trio.fail_after(50):
        async with open_engine(app) as engine:
            try:
                for _ in range(64):
                    await engine.start(holding)
                for _ in range(64):
                    assert await trio.to_thread.run_sync(held.acquire, True, 20)
                run = await engine.start(queued)
                with pytest.raises(TimeoutError):
                    await engine.result(run, timeout="1500ms")
            finally:
                gate.set()
            assert await engine.result(run) == "quick"


async def test_a_call_that_cannot_be_made_is_not_tried_again() -> None:
    """Wrong arguments are the author's mistake: no attempt can mend them. A TypeError of the body is tried."""
    app = App("arity", retries=3)

    def takes_one(n: int) -> int:
        return n

    def raises() -> None:
        raise TypeError("of my own")

    @app.workflow
    def wrong(ctx: Context[Data]) -> Steps[None]:
        yield Run("wrong", takes_one, 1, 2, 3)  # type: ignore[call-arg]

    @app.workflow
    def right(ctx: Context[Data]) -> Steps[None]:
        yield Run("right", raises).options(retries=1)

    with trio.fail_after(50):
        async with open_engine(app) as engine:
            run = await engine.start(wrong)
            with pytest.raises(RunFailed, match="takes 1 positional argument but 3 were given"):
                await engine.result(run)
            assert [type(r) for r in await engine.history(run)].count(AttemptFailed) == 0
            again = await engine.start(right)
            with pytest.raises(RunFailed, match="of my own"):
                await engine.result(again)
            assert [type(r) for r in await engine.history(again)].count(AttemptFailed) == 1


async def test_a_secret_in_an_error_is_masked(tmp_path: Path) -> None:
    """What a step was given as a `Secret` is in no failure and not in the file, even if its error quotes it."""
    app = App("secrets")
    password = "correct-horse-battery"

    def connect(secret: Secret[str]) -> None:
        try:
            raise ValueError(f"cannot log in with {secret.reveal()}")
        except ValueError as error:
            raise NonRetriableError(f"gave up on {secret.reveal()}") from error

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[None]:
        yield Run("connect", connect, Secret(password))

    with trio.fail_after(50):
        async with open_engine(app, f"sqlite:///{tmp_path}/secret.db") as engine:
            run = await engine.start(flow)
            with pytest.raises(RunFailed, match=r"gave up on \*\*\*"):
                await engine.result(run)
            [failed] = [r for r in await engine.history(run) if isinstance(r, StepFailed)]
            assert failed.failure.cause is not None
            assert failed.failure.cause.message == "cannot log in with ***"
    assert not files_with(tmp_path, password)


async def test_a_cancel_that_a_body_swallows_stays_visible() -> None:
    """The run is `cancelling` until it ends, and `why` tells what its clean-up does."""
    app = App("swallow")

    @app.workflow
    def flow(ctx: Context[Data]) -> Steps[None]:
        try:
            yield Sleep("first", "1h")
        except RunCancelled:
            yield Sleep("second", "1h")

    with trio.fail_after(50):
        async with open_engine(app, grace="0s") as engine:
            run = await engine.start(flow)
            await until(engine, run, "waiting")
            await engine.cancel(run)
            while "'second'" not in (why := await engine.why(run)):
                await engine.store.wait_changed(0.02)
            assert (await engine.run(run)).status == "cancelling"
            assert "is being cancelled" in why
            assert "'first'" not in why


async def test_a_match_on_nothing_is_refused() -> None:
    """A path that the trigger event lacks would match every event that lacks it too."""
    app = App("match")

    @app.workflow(on=OnEvent("begin"))
    def flow(ctx: Context[Data]) -> Steps[str]:
        try:
            yield WaitFor("typo", "answer", match="data.oder_id", timeout="1h")
        except StepError as error:
            return f"{error.error_type}: {error.message}"
        return "matched"

    with trio.fail_after(50):
        async with open_engine(app) as engine:
            await engine.send([Event("answer", {}), Event("begin", {"order_id": 1}), Event("answer", {})])
            [run] = (await engine.runs()).items
            message = "DefinitionError: match='data.oder_id': the event that started this run has no value there"
            assert str(await engine.result(run.id)).startswith(message)


def test_the_digest_covers_loose_modules_beside_the_workflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A helper module in the same directory is part of what a workflow is."""
    import importlib

    (tmp_path / "digest_flows.py").write_text(
        "import digest_lib\nfrom flowgen import App\napp = App('d')\n"
        "@app.workflow\ndef flow(ctx):\n    yield from digest_lib.part()\n"
    )
    (tmp_path / "digest_lib.py").write_text("def part():\n    yield\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    flows = importlib.import_module("digest_flows")
    before = code_digest(flows.flow)
    from flowgen.runtime import digest

    digest._package_source.cache_clear()
    (tmp_path / "digest_lib.py").write_text("def part():\n    yield 1\n")
    assert code_digest(flows.flow) != before
