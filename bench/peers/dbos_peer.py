"""DBOS Transact on the workloads (`python -m bench.peers.dbos_peer`), on SQLite as it comes.

Its workflows are started directly, in the process that waits for them: that is how it runs without
queues, and faster than with them.
"""

# mypy: ignore-errors
from __future__ import annotations

import asyncio
import time
from pathlib import Path

from dbos import DBOS, SetWorkflowID

from bench.killing import CallLog, say
from bench.peers import speaking
from bench.peers.speaking import STEPS, Sizes
from bench.timing import Sample, Stopwatch, expect

BEGAN: list[float] = []
NUMBER = "many-"


class Crash:
    """What the bodies of W5 write down, and who is told."""

    log: CallLog | None = None
    half = 0
    progress = False
    started: asyncio.Event | None = None


@DBOS.step()
async def async_step(value: int) -> int:
    BEGAN.append(time.perf_counter())
    return value + 1


@DBOS.step()
def sync_step(value: int) -> int:
    BEGAN.append(time.perf_counter())
    return value + 1


@DBOS.step()
async def logged_step(number: int, value: int) -> int:
    if Crash.started is not None:
        await Crash.started.wait()
    if Crash.progress:
        Crash.progress = False
        say("progress")
    Crash.log.write(number, value)
    if Crash.log.called == Crash.half:
        say("half")
    return value + 1


@DBOS.workflow()
async def async_steps(steps: int) -> int:
    value = 0
    for _ in range(steps):
        value = await async_step(value)
    return value


@DBOS.workflow()
def sync_steps(steps: int) -> int:
    value = 0
    for _ in range(steps):
        value = sync_step(value)
    return value


@DBOS.workflow()
async def one_step(number: int) -> int:
    return await async_step(number)


@DBOS.workflow()
async def fan_out(steps: int) -> int:
    return sum(await asyncio.gather(*[async_step(number) for number in range(steps)]))


@DBOS.workflow()
async def logged_steps(number: int) -> int:
    value = 0
    for _ in range(STEPS):
        value = await logged_step(number, value)
    return value


def launch(directory: Path) -> None:
    DBOS(
        config={
            "name": "bench",
            "system_database_url": f"sqlite:///{directory / 'dbos.db'}",
            "log_level": "ERROR",
            "application_version": "1",
        }
    )
    DBOS.launch()


def many(loop: str, directory: Path, sizes: Sizes) -> Sample:
    launch(directory)

    def sync_round(runs: int) -> list[int]:
        handles = [DBOS.start_workflow(sync_steps, STEPS) for _ in range(runs)]
        return [handle.get_result() for handle in handles]

    async def async_round(runs: int) -> list[int]:
        handles = [await DBOS.start_workflow_async(async_steps, STEPS) for _ in range(runs)]
        return [await handle.get_result() for handle in handles]

    async def both() -> Stopwatch:
        await async_round(sizes.warm_runs)
        with Stopwatch() as watch:
            expect(await async_round(sizes.runs) == [STEPS] * sizes.runs, "a result is wrong")
        return watch

    if loop == "async":
        watch = asyncio.run(both())
    else:
        sync_round(sizes.warm_runs)
        with Stopwatch() as watch:
            expect(sync_round(sizes.runs) == [STEPS] * sizes.runs, "a result is wrong")
    DBOS.destroy()
    return speaking.rate(sizes.runs * STEPS, watch)


def sequence(loop: str, directory: Path, sizes: Sizes) -> Sample:
    launch(directory)

    async def run_async(steps: int) -> int:
        return await (await DBOS.start_workflow_async(async_steps, steps)).get_result()

    async def both() -> Stopwatch:
        await run_async(20)
        BEGAN.clear()
        with Stopwatch() as watch:
            expect(await run_async(sizes.sequence) == sizes.sequence, "the result is wrong")
        return watch

    if loop == "async":
        watch = asyncio.run(both())
    else:
        DBOS.start_workflow(sync_steps, 20).get_result()
        BEGAN.clear()
        with Stopwatch() as watch:
            result = DBOS.start_workflow(sync_steps, sizes.sequence).get_result()
        expect(result == sizes.sequence, "the result is wrong")
    DBOS.destroy()
    return speaking.sequence(BEGAN, watch)


def latency(loop: str, directory: Path, sizes: Sizes) -> Sample:
    launch(directory)

    async def measure() -> list[float]:
        took = []
        for number in range(sizes.events + 2):
            await asyncio.sleep(sizes.gap_seconds)
            began = time.perf_counter()
            result = await (await DBOS.start_workflow_async(one_step, number)).get_result()
            took.append(time.perf_counter() - began)
            expect(result == number + 1, f"the run of {number} returned {result}")
        return took[2:]

    took = asyncio.run(measure())
    DBOS.destroy()
    return speaking.latency(took)


def parallel(loop: str, directory: Path, sizes: Sizes) -> Sample:
    launch(directory)

    async def run(steps: int) -> int:
        return await (await DBOS.start_workflow_async(fan_out, steps)).get_result()

    async def measure() -> Stopwatch:
        await run(20)
        with Stopwatch() as watch:
            expect(await run(sizes.parallel) == sizes.parallel * (sizes.parallel + 1) // 2, "the result is wrong")
        return watch

    watch = asyncio.run(measure())
    DBOS.destroy()
    return speaking.total(sizes.parallel, watch)


def first(directory: Path, runs: int) -> None:
    """Do W1 until killed. No body goes on before all workflows have been started, so none is missing."""
    Crash.log, Crash.half = CallLog(directory), runs * STEPS // 2
    launch(directory)

    async def run() -> None:
        Crash.started = asyncio.Event()
        for number in range(runs):
            with SetWorkflowID(f"{NUMBER}{number}"):
                await DBOS.start_workflow_async(logged_steps, number)
        Crash.started.set()
        await asyncio.sleep(3_600)

    asyncio.run(run())


def again(directory: Path, runs: int) -> None:
    """Launching recovers what the dead process left."""
    Crash.log, Crash.progress = CallLog(directory), True
    launch(directory)
    results = [DBOS.retrieve_workflow(f"{NUMBER}{number}").get_result() for number in range(runs)]
    expect(results == [STEPS] * runs, "a result is wrong")
    say("complete")
    DBOS.destroy()


if __name__ == "__main__":
    measurements = {"W1": many, "W2": sequence, "W3": latency, "W4": parallel}
    speaking.main("bench.peers.dbos_peer", measurements, {"first": first, "again": again})
