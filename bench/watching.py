"""W15: how soon who watches sees what happened.

This process is the server, with its engine on SQLite. A reader in a process of its own does what a page does: it
listens to the stream, and when a run has changed it reads that run's page. It sends one event after the other, and the
clock runs from the commit that ends the run (`ended_at`) until the stream has told of it (`told`), and until the page
that says so is there (`shown`). Nothing else happens (`alone`), or another process sends events at a steady rate
(`beside`).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import trio

from bench.catalogue import Workload
from bench.timing import Sample, expect, median, percentile
from flowgen import App, Context, OnEvent, Run, Steps
from flowgen.runtime import open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.http.server import serving

RUNS, QUICK_RUNS, WARM = 200, 20, 10
GAP_SECONDS = 0.05
EVERY_SECONDS = 0.02
"""The other process sends so often where there is one: fifty runs of three steps a second."""
PATIENCE_SECONDS = 30.0


def _app() -> App:
    app = App("bench")

    async def answer(number: int) -> int:
        return number + 1

    def three_steps(ctx: Context[dict[str, Any]]) -> Steps[int]:
        number: int = ctx.event.data["number"]
        for step in ("one", "two", "three"):
            number = yield from Run(step, answer, number)
        return number

    app.workflow(id="watched", on=OnEvent("watched/asked"))(three_steps)
    app.workflow(id="other", on=OnEvent("other/asked"))(three_steps)
    return app


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure what a reader sees: `alone`, or `beside` others."""
    return trio.run(_measure, workload.variant == "beside", directory, QUICK_RUNS if quick else RUNS)


async def _measure(beside: bool, directory: Path, runs: int) -> Sample:
    app = _app()
    async with (
        open_engine(app, f"sqlite:///{directory / 'store.db'}") as engine,
        serving(http_app(app, engine, settings=Settings()), port=0) as url,
        trio.open_nursery() as nursery,
    ):
        if beside:
            nursery.start_soon(trio.run_process, [sys.executable, "-m", "bench.watching", "others", url])
        watcher = [sys.executable, "-m", "bench.watching", "watch", url, str(runs)]
        done = await trio.run_process(watcher, capture_stdout=True)
        nursery.cancel_scope.cancel()
    told, shown = (json.loads(done.stdout)[name] for name in ("told", "shown"))
    expect(len(told) == len(shown) == runs, f"{len(told)} of {runs} ends were told")
    measures = {"told": percentile(told, 99) * 1e3, "shown": percentile(shown, 99) * 1e3}
    return Sample(measures, None, None, {"told_p50_ms": median(told) * 1e3, "shown_p50_ms": median(shown) * 1e3})


# -- the processes beside the server ------------------------------------------------------------------------


def _watch(url: str, runs: int) -> None:
    """Print how many seconds after each run's end the stream told of it, and its page showed it."""
    told, shown = [], []
    with (
        httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client,
        client.stream("GET", "/v1/stream") as answer,
    ):
        messages = _messages(answer)
        next(messages)
        for number in range(WARM + runs):
            time.sleep(GAP_SECONDS)
            client.post("/e/key", json={"name": "watched/asked", "data": {"number": number}}).raise_for_status()
            ended = next(row for row in messages if row.get("workflow_id") == "watched" and row["ended_at"])
            at = datetime.fromisoformat(ended["ended_at"]).timestamp()
            told.append(time.time() - at)
            page = client.get(f"/runs/{ended['id']}").text
            shown.append(time.time() - at)
            expect(f">{number + 3}<" in page, f"the page of run {ended['id']} does not show its result")
    print(json.dumps({"told": told[WARM:], "shown": shown[WARM:]}))


def _messages(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    """What the stream says of runs and events, as it comes; first an empty one, when it has begun."""
    for line in answer.iter_lines():
        if line.startswith(":"):
            yield {}
        elif line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def _send_others(url: str) -> None:
    """Send events at a steady rate until killed."""
    with httpx.Client(base_url=url, timeout=PATIENCE_SECONDS) as client:
        for number in range(1_000_000):
            client.post("/e/key", json={"name": "other/asked", "data": {"number": number}}).raise_for_status()
            time.sleep(EVERY_SECONDS)


if __name__ == "__main__":
    if sys.argv[1] == "watch":
        _watch(sys.argv[2], int(sys.argv[3]))
    else:
        _send_others(sys.argv[2])
