"""W14: functions that are elsewhere. Our engine on SQLite here, our app behind uvicorn in another process, on loopback.

`many`: 200 runs of 10 steps at once, a call for each step. `latency`: event sent → one step executed there → result
known here, one event at a time with a gap between. Both processes share the machine; their CPU time a step is noted.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import msgspec
import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.timing import Sample, Stopwatch, expect, median, percentile
from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.addresses import Reach
from flowgen.runtime.dialing import Dialer
from flowgen.runtime.driving.transport import HttpCalls
from flowgen.runtime.protocol.announcement import registration_of
from flowgen.runtime.protocol.registration import RemoteApp, parse_registration

RUNS, QUICK_RUNS, STEPS, WARM = 200, 20, 10, 20
EVENTS, QUICK_EVENTS, GAP_SECONDS = 100, 20, 0.05
_PATH = "/api/inngest"
_START_SECONDS = 30


def make_app() -> App:
    """The app that is served."""
    app = App("served")

    async def answer(number: int) -> int:
        return number + 1

    @app.workflow(on=OnEvent("remote/many"))
    def many(ctx: Context[dict[str, Any]]) -> Steps[int]:
        total = 0
        for _ in range(STEPS):
            total = yield from Run("step", answer, total)
        return total

    @app.workflow(on=OnEvent("remote/asked"))
    def one_step(ctx: Context[dict[str, Any]]) -> Steps[int]:
        answered = yield from Run("answer", answer, ctx.event.data["number"])
        return answered

    return app


app = make_app()


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `many` or `latency`."""
    with _served() as url:
        measure = _many if workload.variant == "many" else _latency
        return trio.run(measure, url, directory, quick)


async def _many(url: str, directory: Path, quick: bool) -> Sample:
    runs = QUICK_RUNS if quick else RUNS
    bare = Bare(directory)
    before = bare.back_to_back()
    async with _engine(directory) as engine:
        await engine.offer(_registered(url))
        await _finish(engine, WARM)
        with Stopwatch() as watch:
            results = await _finish(engine, runs)
    expect(results == [STEPS] * runs, "a run returned something else")
    steps = runs * STEPS
    after = bare.back_to_back()
    return Sample({"rate": steps / watch.wall}, median(before + after), watch.cpu / steps)


async def _finish(engine: Engine, runs: int) -> list[Any]:
    """Start runs at once, and wait for all of them."""
    events = await engine.send([Event("remote/many", {"number": number}) for number in range(runs)])
    started = [run for event in events for run in await engine.started(event)]
    return [await engine.result(run, timeout="120s") for run in started]


async def _latency(url: str, directory: Path, quick: bool) -> Sample:
    bare = Bare(directory)
    took, commits = [], []
    async with _engine(directory) as engine:
        await engine.offer(_registered(url))
        for number in range(WARM):
            await _ask(engine, number)
        with Stopwatch() as watch:
            for number in range(QUICK_EVENTS if quick else EVENTS):
                await trio.sleep(GAP_SECONDS)
                took.append(await _ask(engine, number))
                commits.append(bare.commit())
    measures = {"p50": median(took) * 1e3, "p99": percentile(took, 99) * 1e3}
    return Sample(measures, median(commits), watch.cpu / len(took))


async def _ask(engine: Engine, number: int) -> float:
    began = time.perf_counter()
    (event,) = await engine.send(Event("remote/asked", {"number": number}))
    (run,) = await engine.started(event)
    result = await engine.result(run, timeout="30s")
    took = time.perf_counter() - began
    expect(result == number + 1, f"the run of event {number} returned {result}")
    return took


def _engine(directory: Path) -> Any:
    return open_engine([], f"sqlite:///{directory / 'store.db'}", calls=HttpCalls(Dialer(Reach.dev()), kind="dev"))


def _registered(url: str) -> RemoteApp:
    return parse_registration(msgspec.json.encode(registration_of(app, url, version="0")))


@contextmanager
def _served() -> Iterator[str]:
    """The app in a process of its own; gives its URL."""
    command = [sys.executable, "-m", "flowgen", "serve", "bench.remote:app", "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        yield _url_of(process)
    finally:
        process.terminate()
        process.wait(10)


def _url_of(process: subprocess.Popen[str]) -> str:
    """Where it says that it serves, once it does."""
    assert process.stdout is not None
    deadline = time.monotonic() + _START_SECONDS
    for line in process.stdout:
        for word in line.split():
            if word.startswith("http://127.0.0.1") and word.rstrip(".").endswith(_PATH):
                url = word.rstrip(".")
                urlopen(Request(url), timeout=5).close()
                return url
        expect(time.monotonic() < deadline, "the app was not served in time")
    raise AssertionError("flowgen serve ended")
