"""W13: the pages of the web UI on a store with 1,000,000 runs.

A store is filled with runs of two workflows, one in fifty of them failed, and with as many events; then each page is
asked for, in turns: whole requests through guard, handler, engine and template, without a socket between. The
figure of a page is the median of its processor time; `worst` is that of the slowest page.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import trio

from bench.catalogue import Workload
from bench.filling import APP, DATA, fill, make_store, pages
from bench.timing import Sample, expect, median
from flowgen import App, OnEvent, Run
from flowgen.events import AcceptedEvent
from flowgen.history import EndCompleted, EndFailed, Record, Started, StepSucceeded
from flowgen.outcome import Failure, Json
from flowgen.runs import RunRow
from flowgen.runtime import open_engine
from flowgen.runtime.http import Settings, http_app
from flowgen.runtime.store import Store
from flowgen.transition import NewRun, Transition

RUNS, QUICK_RUNS = 1_000_000, 5_000
TIMES, QUICK_TIMES = 30, 3
EVERY = 3_000
"""Microseconds between the creations of two runs: a million of them are fifty minutes of work."""

app = App(APP)


@app.workflow(on=OnEvent("order/placed"))
def fulfil(ctx: Any) -> Any:
    """Carry an order out."""
    yield Run("charge", len, "42")


@app.workflow(on=OnEvent("order/shipped"))
def follow_up(ctx: Any) -> Any:
    """Ask how it was."""
    yield Run("mail", len, "42")


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure all pages."""
    return trio.run(_measure, workload.variant, directory, *((QUICK_RUNS, QUICK_TIMES) if quick else (RUNS, TIMES)))


async def _measure(kind: str, directory: Path, runs: int, times: int) -> Sample:
    store = make_store(kind, directory)
    await store.open()
    await prepare(store, runs)
    await store.close()
    took = await browse(make_store(kind, directory), runs, times)
    medians = {name: median(values) * 1e3 for name, values in took.items()}
    return Sample(
        {"worst": max(medians.values())}, None, None, {f"{name}_ms": value for name, value in medians.items()}
    )


async def prepare(store: Store, runs: int) -> None:
    """Fill a store with runs and their events."""
    now = await store.now()
    await fill(store, _runs(now, runs))
    for number, page in enumerate(pages(_event(each, now - (runs - each) * EVERY) for each in range(runs))):
        await store.commit(Transition(f"events-{number}", accept=page, routed=tuple(event.id for event in page)))


async def browse(store: Store, runs: int, times: int) -> dict[str, list[float]]:
    """The seconds of processor time that each page took, each time it was asked for."""
    took: dict[str, list[float]] = {}
    async with open_engine(app, store) as engine:
        transport = httpx.ASGITransport(http_app(app, engine, settings=Settings()))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288") as client:
            for number in range(times):
                for name, path in paths(number * 7_919 % runs).items():
                    began = time.process_time()
                    answer = await client.get(path)
                    took.setdefault(name, []).append(time.process_time() - began)
                    expect(answer.status_code == 200, f"{path} answered {answer.status_code}")
    return took


def paths(number: int) -> dict[str, str]:
    """The pages; those of one thing are of a different one each time."""
    return {
        "runs": "/",
        "runs_failed": "/?status=failed",
        "runs_of_workflow": f"/?workflow={APP}/follow-up&status=failed&last=24h",
        "runs_with_id": f"/?q=done-{number:07}",
        "runs_with_words": "/?q=no+run+says+this",
        "runs_where": "/?where=event.data.total+%3E+1000",
        "run": f"/runs/done-{number:07}",
        "events": "/events",
        "events_named": "/events?name=order/placed",
        "event": f"/events/event-{number}",
        "workflows": "/workflows",
        "workflow": f"/workflows/{APP}/fulfil",
    }


def _event(number: int, at: int) -> AcceptedEvent:
    """The event of run `number`."""
    return AcceptedEvent(f"event-{number}", "order/placed" if number % 3 else "order/shipped", DATA, at, at)


def _runs(now: int, runs: int) -> Iterator[NewRun]:
    """Runs that have ended, the newest just now."""
    failure = Failure("ValueError", "the card was declined", '  File "shop.py", line 7, in charge\n')
    for number in range(runs):
        at = now - (runs - number) * EVERY
        failed = number % 50 == 0
        end = EndFailed(at, failure) if failed else EndCompleted(at, Json(b'"done"'))
        records: tuple[Record, ...] = (
            Started(at, "digest"),
            StepSucceeded(at, "charge", Json(b'"done"'), "run", "0" * 24, Json(b'[["42"],{}]')),
            end,
        )
        workflow, stored = "fulfil" if number % 3 else "follow-up", "failed" if failed else "completed"
        row = RunRow(APP, f"done-{number:07}", workflow, at, 1, stored, started_at=at, ended_at=at)  # type: ignore[arg-type]
        yield NewRun(row, (_event(number, at),), records)
