"""What is measured, and what it must reach: the budgets as values.

A *workload* is measured in *variants*; each gives one or more *measures*. A rate must be at least its
budget, everything else at most. `ratio` says how a measure compares with bare commits of the same run:

* `rate`: the measure in bare commits a second;
* `time`: the measure in bare commits;
* `self`: the measure is a ratio to bare commits already;
* `none`: nothing is committed, so there is nothing to compare.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Ratio = Literal["rate", "time", "self", "none"]


@dataclass(frozen=True)
class Measure:
    """One figure of a workload. `budget` is None for figures that are shown but not judged."""

    name: str
    unit: str
    budget: float | None = None
    more_is_better: bool = False
    ratio: Ratio = "none"

    def met(self, value: float) -> bool | None:
        """Whether `value` meets the budget; None without one."""
        if self.budget is None:
            return None
        return value >= self.budget if self.more_is_better else value <= self.budget

    def missed_by(self, value: float) -> float:
        """How many times worse than the budget `value` is; at most 1 if it is met."""
        assert self.budget is not None
        return self.budget / value if self.more_is_better else value / self.budget


@dataclass(frozen=True)
class Workload:
    """A variant of a workload. `module` makes its samples; `peers` says whether peers can do it too."""

    id: str
    variant: str
    module: str
    what: str
    measures: tuple[Measure, ...]
    peers: bool = field(default=False)

    @property
    def name(self) -> str:
        return f"{self.id} {self.variant}"


def _rate(budget: float) -> tuple[Measure, ...]:
    return (Measure("rate", "steps/s", budget, more_is_better=True, ratio="rate"),)


def _accepted(budget: float) -> tuple[Measure, ...]:
    return (Measure("rate", "events/s", budget, more_is_better=True, ratio="rate"),)


def _sequence(budget: float) -> tuple[Measure, ...]:
    return (
        Measure("total", "s", ratio="time"),
        Measure("over_bare", "µs/step over bare", budget),
        Measure("growth", "× last 100 / first 100", 1.2),
    )


def _ratio(name: str, budget: float) -> Measure:
    return Measure(name, "× that of few", budget)


_SLEEPING = (
    Measure("rate", "runs/s", 5_000, more_is_better=True, ratio="rate"),
    Measure("resident", "MB", 100),
    Measure("idle", "% of a core", 1),
)
_MATCHING = (Measure("find", "ms", 0.2), _ratio("growth", 1.5))
_FINISHED = tuple(_ratio(verb, 1.5) for verb in ("claim", "list", "list_some", "show"))
_KEYS = (
    Measure("claim", "µs"),
    _ratio("growth", 1.5),
    Measure("drained", "runs/s", more_is_better=True, ratio="rate"),
)
_PRIORITY = (Measure("claim", "µs"), _ratio("growth", 1.5))
_LATE = (Measure("p99", "s late", 1), Measure("worst", "s late"))
_LATE_AT_ONCE = (Measure("p99", "s late"), Measure("worst", "s late"))
_BROWSING = (Measure("worst", "ms", 100),)
_WATCHING = (Measure("told", "ms, p99", 100), Measure("shown", "ms, p99", 100))
_REMOTE = (Measure("p50", "ms", 15, ratio="time"), Measure("p99", "ms", ratio="time"))
_TICKING = "10,000 schedules due"

_MANY = "200 runs × 10 steps"

CATALOGUE: tuple[Workload, ...] = (
    Workload("W1", "async", "many", f"{_MANY} at once, SQLite", _rate(10_000), peers=True),
    Workload("W1", "sync", "many", f"{_MANY} at once, SQLite", _rate(8_000), peers=True),
    Workload("W1", "async-8", "many", f"{_MANY}, 8 runs at once, SQLite", _rate(10_000)),
    Workload("W1", "sync-8", "many", f"{_MANY}, 8 runs at once, SQLite", _rate(8_000)),
    Workload("W1m", "async", "many", f"{_MANY} at once, memory", _rate(15_000)),
    Workload("W1m", "sync", "many", f"{_MANY} at once, memory", _rate(12_000)),
    Workload("W1c", "async", "many", f"{_MANY} beside a step that spins, SQLite", _rate(2_000)),
    Workload("W2", "async", "sequence", "one run, 1,000 steps in sequence, SQLite", _sequence(250), peers=True),
    Workload("W2", "sync", "sequence", "one run, 1,000 steps in sequence, SQLite", _sequence(400), peers=True),
    Workload(
        "W3",
        "async",
        "latency",
        "event sent → 1 step → result known, idle engine, SQLite",
        (
            Measure("p50", "ms", ratio="time"),
            Measure("p50_ratio", "× bare p50 after the same gap", 4, ratio="self"),
            Measure("p99", "ms"),
            Measure("p99_ratio", "× bare p99 after the same gap", 5, ratio="self"),
        ),
        peers=True,
    ),
    Workload(
        "W4",
        "async",
        "parallel",
        "1,000 parallel steps and a join, SQLite",
        (Measure("total", "s", 0.12, ratio="time"),),
        peers=True,
    ),
    Workload(
        "W4",
        "sync",
        "parallel",
        "1,000 parallel steps and a join, SQLite",
        (Measure("total", "s", 0.12, ratio="time"),),
    ),
    Workload(
        "W5",
        "async",
        "crash",
        "kill -9 half way through W1, restart, lease 2 s",
        (Measure("first_progress", "s after the kill", 2.2), Measure("all_complete", "s after the kill")),
        peers=True,
    ),
    Workload("W6", "batches", "sleeping", "100,000 runs fall asleep, events in batches of 100, SQLite", _SLEEPING),
    Workload("W6", "senders", "sleeping", "100,000 runs fall asleep, events from 32 senders, SQLite", _SLEEPING),
    Workload(
        "W7",
        "typed",
        "replay",
        "replay of 100,000 records in memory, results restored to classes",
        (Measure("rate", "records/s", 150_000, more_is_better=True),),
    ),
    Workload(
        "W7",
        "json",
        "replay",
        "replay of 100,000 records in memory, plain JSON results",
        (Measure("rate", "records/s", 250_000, more_is_better=True),),
    ),
    Workload(
        "W7",
        "sqlite",
        "replay",
        "the same from SQLite: load, check, decode, replay; plain JSON results",
        (Measure("rate", "records/s", 120_000, more_is_better=True),),
    ),
    Workload(
        "W7",
        "sqlite-typed",
        "replay",
        "the same from SQLite, results restored to classes",
        (Measure("rate", "records/s", more_is_better=True),),
    ),
    Workload("W8", "sqlite", "matching", "one event against 100,000 open waits with match, SQLite", _MATCHING),
    Workload("W8", "memory", "matching", "one event against 100,000 open waits with match, memory", _MATCHING),
    Workload("W9", "sqlite", "finished", "claim, list, show beside 1,000,000 finished runs, SQLite", _FINISHED),
    Workload("W10", "one", "accepting", "events over HTTP, 32 clients, one each, SQLite", _accepted(3_000)),
    Workload("W10", "hundred", "accepting", "the same in batches of 100", _accepted(20_000)),
    Workload("W11", "spread", "ticking", f"{_TICKING} within one minute, SQLite", _LATE),
    Workload("W11", "spread-memory", "ticking", f"{_TICKING} within one minute, memory", _LATE),
    Workload("W11", "at-once", "ticking", f"{_TICKING} in one instant, SQLite", _LATE_AT_ONCE),
    Workload("W12", "keys", "contention", "64 runs for each of 1,000 keys of a Concurrency(1), SQLite", _KEYS),
    Workload("W12", "keys-memory", "contention", "64 runs for each of 1,000 keys, memory", _KEYS),
    Workload("W12", "priority", "contention", "100,000 due runs with priorities, SQLite", _PRIORITY),
    Workload("W12", "priority-memory", "contention", "100,000 due runs with priorities, memory", _PRIORITY),
    Workload("W13", "sqlite", "browsing", "pages of the web UI beside 1,000,000 runs, SQLite", _BROWSING),
    Workload("W14", "many", "remote", f"{_MANY} of an app served elsewhere, a call each, SQLite", _rate(1_000)),
    Workload("W14", "latency", "remote", "event sent → 1 step elsewhere → result known, SQLite", _REMOTE),
    Workload("W15", "alone", "watching", "a run's end → the stream told of it, its page shows it, SQLite", _WATCHING),
    Workload("W15", "beside", "watching", "the same beside fifty runs a second", _WATCHING),
)


def find(id: str, variant: str) -> Workload:
    """The workload with this id and variant."""
    for workload in CATALOGUE:
        if (workload.id, workload.variant) == (id, variant):
            return workload
    known = ", ".join(workload.name for workload in CATALOGUE)
    raise ValueError(f"there is no workload {id} {variant}; there are {known}")


def select(only: str | None) -> list[Workload]:
    """The workloads that `--only` names: ids or "id variant", separated by commas; all without it."""
    if only is None:
        return list(CATALOGUE)
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    unknown = [name for name in wanted if not any(name in (w.id, w.name) for w in CATALOGUE)]
    if unknown or not wanted:
        known = ", ".join(dict.fromkeys(workload.id for workload in CATALOGUE))
        raise ValueError(f"--only {only}: there is no workload {', '.join(unknown) or 'named'}; there are {known}")
    return [workload for workload in CATALOGUE if workload.id in wanted or workload.name in wanted]
