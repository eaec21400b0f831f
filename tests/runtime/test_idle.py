"""An engine whose runs all wait has nothing to do."""

from __future__ import annotations

from collections import Counter
from typing import Any

import trio
from trio.testing import MockClock

from flowgen import App, Context, Event, OnEvent, Sleep, Steps
from flowgen.runtime import open_engine
from flowgen.runtime.environment import Environment
from flowgen.runtime.store import RunFilter
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import VirtualClock

RUNS = 10_000
NAPS = 20
HOUR = 3600
BEGIN = 1_767_225_600_000_000

app = App("idle")


@app.workflow(on=OnEvent("begin"))
def asleep(ctx: Context[dict[str, Any]]) -> Steps[None]:
    yield Sleep("long", "300d")


class CountingStore:
    """A store that counts the calls of its verbs."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._store, name)


class AloneStore(CountingStore):
    """A store that nobody else changes; what its one engine commits is no news to that engine."""

    async def wait_changed(self, seconds: float) -> None:
        await trio.sleep_forever()


async def test_ten_thousand_waiting_runs_cost_nothing(autojump_clock: MockClock) -> None:
    """An hour passes with a handful of looks at the store, however many runs wait (W6's idle CPU)."""
    store: Any = CountingStore(MemoryStore(clock=lambda: BEGIN + int(trio.current_time() * 1_000_000)))
    environment = Environment(seed=1, threads=False)
    async with open_engine(app, store, environment=environment) as engine:
        for _ in range(RUNS // 1000):
            await engine.send([Event("begin", {}) for _ in range(1000)])
        await trio.sleep(5)
        assert engine.worker is not None
        assert engine.worker.drives == {}
        page = await store.find_runs(RunFilter(status="open"))
        assert all(row.owner is None and row.due_at is not None for row in page.items)
        store.calls.clear()
        await trio.sleep(HOUR)
        calls = store.calls
    beats = HOUR / (engine.worker.lease / 4 / 1_000_000)
    assert calls.pop("extend") <= beats + 1
    assert sum(calls.values()) <= 10 * HOUR / 60, calls


@app.workflow(on=OnEvent("nap"))
def napping(ctx: Context[dict[str, Any]]) -> Steps[None]:
    for number in range(NAPS):
        yield Sleep(f"nap {number}", "1s")


def test_who_falls_asleep_is_an_alarm_and_no_work() -> None:
    """The worker, which rests for a minute at most, looks when the run is due, and not before."""
    clock = VirtualClock()
    store: Any = AloneStore(MemoryStore(clock=clock))

    async def main() -> None:
        async with open_engine(app, store, environment=Environment(seed=1, threads=False)) as engine:
            await trio.sleep(5)
            store.calls.clear()
            (event,) = await engine.send(Event("nap", {}))
            (run,) = await engine.started(event)
            began = trio.current_time()
            await engine.result(run)
            assert trio.current_time() < began + NAPS + 0.1
            assert store.calls["claim"] <= NAPS + 1

    trio.run(main, clock=clock)


async def test_who_sleeps_long_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    """Such a run's body is closed when it falls asleep, and replayed when it wakes; one that wakes soon is kept."""
    naps, told = App("naps"), list[tuple[str, str]]()

    @naps.workflow
    def napping(ctx: Context[dict[str, Any]]) -> Steps[str]:
        told.append(("begins", ctx.event.data["for"]))
        try:
            yield Sleep("nap", ctx.event.data["for"])
        except GeneratorExit:
            told.append(("closed", ctx.event.data["for"]))
            raise
        return "awake"

    store = MemoryStore(clock=lambda: BEGIN + int(trio.current_time() * 1_000_000))
    environment = Environment(seed=1, threads=False)
    async with open_engine(naps, store, environment=environment) as engine:
        short = await engine.start(napping, {"for": "5m"})
        long = await engine.start(napping, {"for": "15m"})
        await trio.sleep(1)
        assert sorted(told) == [("begins", "15m"), ("begins", "5m"), ("closed", "15m")]
        assert await engine.result(short) == "awake"
        assert await engine.result(long) == "awake"
    assert sorted(told) == [("begins", "15m"), ("begins", "15m"), ("begins", "5m"), ("closed", "15m")]
