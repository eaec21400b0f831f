"""On SQLite flow control decides as in memory: the same runs, the same turns, the same reasons, also under faults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowgen import App
from flowgen.flow_control import Concurrency, Priority, RateLimit, Singleton, Throttle, Timeouts
from flowgen.runtime.stores import MemoryStore, SqliteStore
from flowgen.testing import Faults, Trace
from tests.flow.scenes import at, go, played, runs, scene


@attrs.frozen
class Case:
    """A workflow with options, and the ends that its runs may have beside `completed`.

    `by_acceptance` says that its options look at the events alone, and not at what other runs have come to.
    """

    name: str
    options: dict[str, Any]
    others: frozenset[str] = frozenset()
    by_acceptance: bool = False

    @property
    def ends(self) -> frozenset[str]:
        return self.others | {"completed"}

    @property
    def app(self) -> App:
        return scene(**self.options)


CASES = (
    Case("rate limit", {"rate_limit": RateLimit(2, per="10s", key="event.data.k")}, frozenset({"skipped"}), True),
    Case("throttle", {"throttle": Throttle(6, per="1m", key="event.data.k", burst=2)}, by_acceptance=True),
    Case(
        "slots",
        {
            "concurrency": [Concurrency(1, key="event.data.k"), Concurrency(2)],
            "priority": Priority("event.data.n * 7 % 5"),
        },
    ),
    Case(
        "singleton",
        {"singleton": Singleton(key="event.data.k", mode="cancel"), "throttle": Throttle(12, per="1m")},
        frozenset({"cancelled"}),
    ),
    Case(
        "timeouts",
        {"concurrency": Concurrency(1), "timeouts": Timeouts(start="15s", finish="5s")},
        frozenset({"cancelled"}),
    ),
    Case(
        "all",
        {
            "idempotency": "event.data.once",
            "rate_limit": RateLimit(4, per="20s", key="event.data.k"),
            "singleton": Singleton(key="event.data.k"),
            "throttle": Throttle(30, per="1m"),
            "priority": Priority("event.data.n"),
            "concurrency": Concurrency(2),
            "timeouts": Timeouts(start="1m", finish="1m"),
        },
        frozenset({"skipped", "cancelled"}),
    ),
)
WORKS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.sampled_from([0, 1, 8])), min_size=1, max_size=8
).map(sorted)


def events(works: list[tuple[int, str, int]]) -> list[Any]:
    """Events of two keys, at their times."""
    return [at(second, go(n, k=k, takes=takes, once=n % 5)) for n, (second, k, takes) in enumerate(works)]


def apart(works: list[tuple[int, str, int]]) -> list[Any]:
    """The same, but no two things happen at one moment: each event, and each body's end, has a fraction of its own."""
    return [
        at(second + n / 100, go(n, k=k, takes=takes and takes + n / 1000, once=n % 5))
        for n, (second, k, takes) in enumerate(works)
    ]


def outcome(trace: Any) -> list[Any]:
    """What became of each event, when, and why; with runs by their numbers."""
    names = {run.id: run.name for run in trace.runs}
    told = []
    for run in runs(trace):
        row, reason = run.recorded.row, run.reason
        for id, name in names.items():
            reason = reason.replace(id, name) if reason else reason
        started = None if row.started_at is None else round((row.started_at - trace.started_at) / 1e6)
        told.append((run.status, reason, started, run.result, row.priority, row.slots))
    return told


def on_both(directories: Any, case: Case, given: list[Any], seed: int) -> tuple[Trace, Trace]:
    """The same events on the memory store and on SQLite."""
    file: Path = directories.mktemp("store") / "flowgen.db"
    memory = played(case.app, given, seed=seed, store=MemoryStore)
    return memory, played(case.app, given, seed=seed, store=lambda clock: SqliteStore(file, clock, inline=True))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@given(seed=st.integers(0, 2**32), works=WORKS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
def test_sqlite_and_memory_decide_alike(tmp_path_factory: Any, case: Case, seed: int, works: list[Any]) -> None:
    """Without faults, with one worker, where no two things happen at one moment: to the second.

    At one moment it is luck what an engine does first, such as accepting an event or releasing a run that has ended,
    and each store deals its own.
    """
    memory, sqlite = on_both(tmp_path_factory, case, apart(works), seed)
    assert outcome(sqlite) == outcome(memory)


@pytest.mark.parametrize("case", [case for case in CASES if case.by_acceptance], ids=lambda case: case.name)
@given(seed=st.integers(0, 2**32), works=WORKS)
@settings(max_examples=5, suppress_health_check=[HealthCheck.too_slow])
def test_what_acceptance_decides_is_no_luck(tmp_path_factory: Any, case: Case, seed: int, works: list[Any]) -> None:
    """Rates and paces look at events alone, in the order of their acceptance: alike for events of one moment, too."""
    memory, sqlite = on_both(tmp_path_factory, case, events(works), seed)
    assert outcome(sqlite) == outcome(memory)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@given(seed=st.integers(0, 2**32), works=WORKS, workers=st.integers(1, 3))
@settings(max_examples=4, suppress_health_check=[HealthCheck.too_slow])
def test_faults_break_nothing_on_sqlite(
    tmp_path_factory: Any, case: Case, seed: int, works: list[Any], workers: int
) -> None:
    """Each event is one run, which comes to an end that its options allow; slots are held within their limits."""
    file: Path = tmp_path_factory.mktemp("store") / "flowgen.db"
    faults = Faults(crash=0.05, lost_lease=0.1, store_error=0.03, duplicate=0.05, delay=0.1, evict=0.2)
    trace = played(
        case.app,
        events(works),
        seed=seed,
        workers=workers,
        faults=faults,
        store=lambda clock: SqliteStore(file, clock, inline=True),
    )
    assert len(runs(trace)) == len(works)
    assert {run.status for run in runs(trace)} <= case.ends
