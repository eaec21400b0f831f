"""Scenes for tests of flow control: a workflow with options, events at their times, and what became of it.

`scene(**options)` is an app with one workflow, `work`, that starts on `go`. Its one step takes as many seconds as its
last event says (`takes`), and its result is the numbers (`n`) of its events. `Watched` is a store that writes down
what was committed, for rules about what was never true in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import trio
from hypothesis import strategies as st

from flowgen import App, Context, Event, OnEvent, Run, Steps
from flowgen.runs import EventCollected
from flowgen.runtime.store import Committed
from flowgen.runtime.stores import MemoryStore
from flowgen.testing import Faults, RunTrace, Trace, VirtualClock, check_invariants, simulate
from flowgen.transition import Transition
from flowgen.values import decode

SECOND = 1_000_000

SEEDS = st.integers(0, 2**32)
SHARES = st.sampled_from([0.0, 0.03, 0.1])
FAULTS = st.builds(
    Faults,
    crash=SHARES,
    lost_lease=st.sampled_from([0.0, 0.2]),
    store_error=SHARES,
    duplicate=SHARES,
    delay=st.sampled_from([0.0, 0.2]),
    evict=st.sampled_from([0.0, 0.3]),
)
"""Engines die, lose their leases, hear twice, late or not at all."""


async def take(numbers: Sequence[int], seconds: float) -> Sequence[int]:
    """Work that takes so long."""
    await trio.sleep(seconds)
    return numbers


def scene(**options: Any) -> App:
    """An app whose workflow `work` has these options."""
    app = App("flow")
    options.setdefault("on", OnEvent("go"))

    @app.workflow(id="work", **options)
    def work(ctx: Context) -> Steps[list[int]]:
        return (yield Run(take, [event.data["n"] for event in ctx.events], ctx.event.data.get("takes", 0)))

    return app


def go(n: int, **data: Any) -> Event[dict[str, Any]]:
    """An event that starts `work`."""
    return Event("go", {"n": n, **data})


def at(seconds: float, event: Any) -> tuple[float, Any]:
    """Something that happens so many seconds after the start."""
    return seconds, event


class Watched:
    """A store that passes everything on, and keeps what was committed, with the time of each commit."""

    def __init__(self, clock: VirtualClock) -> None:
        self.commits: list[tuple[int, Transition]] = []
        self._store = MemoryStore(clock)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, transition: Transition) -> Committed:
        committed = await self._store.commit(transition)
        self.commits.append((committed.now, transition))
        return committed

    def collected(self) -> dict[str, list[int]]:
        """The numbers of the events that entered each collecting run, in their order."""
        seen: set[str] = set()
        collected: dict[str, list[int]] = {}
        for _, transition in self.commits:
            for message in transition.messages:
                if isinstance(message.body, EventCollected) and message.id not in seen:
                    seen.add(message.id)
                    collected.setdefault(message.run, []).append(number_of(message.body.event))
        return collected


def number_of(event: Any) -> int:
    """The number of an accepted event."""
    number: int = data_of(event)["n"]
    return number


def data_of(event: Any) -> dict[str, Any]:
    """The data of an accepted event."""
    data: dict[str, Any] = decode(event.data)
    return data


def played(app: App, events: Sequence[Any], **how: Any) -> Trace:
    """The trace of a scene, which has broken no invariant."""
    trace = simulate(app, events, **how)
    check_invariants(trace)
    return trace


def watched(app: App, events: Sequence[Any], **how: Any) -> tuple[Trace, Watched]:
    """The trace of a scene, and its store."""
    stores: list[Watched] = []

    def store(clock: VirtualClock) -> Any:
        stores.append(Watched(clock))
        return stores[-1]

    return played(app, events, store=store, **how), stores[-1]


def runs(trace: Trace, workflow: str = "work", status: str | None = None) -> list[RunTrace]:
    """The runs of a workflow, without its schedules, in the order of their creation."""
    return [
        run
        for run in trace.runs
        if run.workflow_id == workflow
        and run.recorded.row.stored != "schedule"
        and (status is None or run.status == status)
    ]


def numbers(trace: Trace, workflow: str = "work") -> list[list[int]]:
    """The results of the completed runs, in the order of their creation."""
    return [run.result for run in runs(trace, workflow, "completed")]


def statuses(trace: Trace, workflow: str = "work") -> list[str]:
    """The states of the runs, in the order of their creation."""
    return [run.status for run in runs(trace, workflow)]


def started_at(run: RunTrace, trace: Trace) -> int:
    """Microseconds from the start of the scene to the start of a run."""
    at = run.recorded.row.started_at
    assert at is not None, run
    return at - trace.started_at


def started(run: RunTrace, trace: Trace) -> float:
    """Seconds from the start of the scene to the start of a run."""
    return started_at(run, trace) / SECOND


def ended(run: RunTrace, trace: Trace) -> float:
    """Seconds from the start of the scene to the end of a run."""
    at = run.recorded.row.ended_at
    assert at is not None, run
    return (at - trace.started_at) / SECOND
