"""unhinged (Absurd's engine on SQLite) on the workloads (`python -m bench.peers.unhinged_peer`), as it comes.

A worker polls; its default interval is 0.25 s. Sync tasks run in a pool of threads, async ones on one
event loop.
"""

# mypy: ignore-errors
from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

from unhinged import AsyncUnhinged, Unhinged

from bench.killing import CallLog, say
from bench.peers import speaking
from bench.peers.speaking import LEASE_SECONDS, STEPS, Sizes
from bench.timing import Sample, Stopwatch, expect

BEGAN: list[float] = []
SYNC_THREADS = 64


def add_one(value: int) -> int:
    BEGAN.append(time.perf_counter())
    return value + 1


async def add_one_async(value: int) -> int:
    BEGAN.append(time.perf_counter())
    return value + 1


def sync_app(directory: Path) -> Unhinged:
    app = Unhinged(str(directory / "unhinged.db"), queue_name="bench")

    @app.register_task("steps")
    def steps(params, ctx):
        value = 0
        for _ in range(params["steps"]):
            value = ctx.step("step", lambda value=value: add_one(value))
        return value

    return app


def async_app(directory: Path) -> AsyncUnhinged:
    app = AsyncUnhinged(str(directory / "unhinged.db"), queue_name="bench")

    @app.register_task("steps")
    async def steps(params, ctx):
        value = 0
        for _ in range(params["steps"]):
            value = await ctx.step("step", lambda value=value: add_one_async(value))
        return value

    return app


def work(app, loop: str, at_once: int) -> None:
    """Run a worker until nothing is left to do."""
    if loop == "async":
        asyncio.run(app.start_worker(concurrency=at_once, stop_when_idle=True))
    else:
        app.start_worker(concurrency=min(at_once, SYNC_THREADS), stop_when_idle=True)


def do(app, loop: str, runs: int, steps: int) -> None:
    """Spawn so many tasks, work until they are done, and check them."""
    ids = [app.spawn("steps", {"steps": steps})["task_id"] for _ in range(runs)]
    work(app, loop, runs)
    results = [app.fetch_task_result(id) for id in ids]
    expect([r.result for r in results] == [steps] * runs, f"the first task is {results[0]}")


def many(loop: str, directory: Path, sizes: Sizes) -> Sample:
    app = async_app(directory) if loop == "async" else sync_app(directory)
    do(app, loop, sizes.warm_runs, STEPS)
    with Stopwatch() as watch:
        do(app, loop, sizes.runs, STEPS)
    app.close()
    return speaking.rate(sizes.runs * STEPS, watch)


def sequence(loop: str, directory: Path, sizes: Sizes) -> Sample:
    app = async_app(directory) if loop == "async" else sync_app(directory)
    do(app, loop, 1, 20)
    BEGAN.clear()
    with Stopwatch() as watch:
        do(app, loop, 1, sizes.sequence)
    app.close()
    return speaking.sequence(BEGAN, watch)


def latency(loop: str, directory: Path, sizes: Sizes) -> Sample:
    """A worker in a thread of its own, and a client that spawns a task and waits for its result."""
    app = async_app(directory)

    @app.register_task("answer")
    async def answer(params, ctx):
        return await ctx.step("answer", lambda: add_one_async(params["number"]))

    worker = threading.Thread(target=lambda: asyncio.run(app.start_worker()), daemon=True)
    worker.start()
    client = Unhinged(str(directory / "unhinged.db"), queue_name="bench")

    def ask(number: int) -> int:
        task = client.spawn("answer", {"number": number}, queue="bench")
        return client.await_task_result(task["task_id"]).result

    took = []
    for number in range(sizes.events + 2):
        time.sleep(sizes.gap_seconds)
        took.append(speaking.asked(number, ask))
    app.stop_worker()
    worker.join()
    return speaking.latency(took[2:])


def crash_app(directory: Path, half: int, says_progress: bool) -> AsyncUnhinged:
    app, log = AsyncUnhinged(str(directory / "unhinged.db"), queue_name="bench"), CallLog(directory)

    async def body(number: int, value: int) -> int:
        log.write(number, value)
        if says_progress and log.called == 1:
            say("progress")
        if log.called == half:
            say("half")
        return value + 1

    @app.register_task("many")
    async def steps(params, ctx):
        value = 0
        for _ in range(STEPS):
            value = await ctx.step("step", lambda value=value: body(params["number"], value))
        return value

    return app


def first(directory: Path, runs: int) -> None:
    app = crash_app(directory, runs * STEPS // 2, False)
    ids = [app.spawn("many", {"number": number})["task_id"] for number in range(runs)]
    (directory / "ids.txt").write_text("\n".join(ids))
    asyncio.run(app.start_worker(concurrency=runs, claim_timeout=LEASE_SECONDS))


def again(directory: Path, runs: int) -> None:
    app = crash_app(directory, 0, True)
    ids = (directory / "ids.txt").read_text().split()

    async def run() -> None:
        worker = asyncio.create_task(app.start_worker(concurrency=runs, claim_timeout=LEASE_SECONDS))
        snapshots = [await app.await_task_result(id) for id in ids]
        expect([s.result for s in snapshots] == [STEPS] * runs, f"the first task is {snapshots[0]}")
        say("complete")
        app.stop_worker()
        await worker

    asyncio.run(run())


if __name__ == "__main__":
    measurements = {"W1": many, "W2": sequence, "W3": latency}
    speaking.main("bench.peers.unhinged_peer", measurements, {"first": first, "again": again})
