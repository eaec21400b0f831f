"""What all workloads measure with: a stopwatch, percentiles, and the sample that a child process prints.

Uses the standard library only, because the peers' processes use it too, from virtualenvs without flowgen.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


class Stopwatch:
    """Wall and CPU time (all threads, user and system) of a `with` block, in seconds."""

    wall: float
    cpu: float

    def __enter__(self) -> Stopwatch:
        self._cpu = _cpu_seconds()
        self._wall = time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.perf_counter() - self._wall
        self.cpu = _cpu_seconds() - self._cpu


def _cpu_seconds() -> float:
    times = os.times()
    return times.user + times.system


def call_nanoseconds() -> float:
    """What a call of a small function costs here at best: how fast this interpreter is on this machine."""

    def function(value: int) -> int:
        return value

    best = float("inf")
    for _ in range(500):
        began = time.perf_counter_ns()
        for number in range(100):
            function(number)
        best = min(best, time.perf_counter_ns() - began)
    return best / 100


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` % of `values` do not exceed."""
    if not values:
        raise ValueError("no values, so no percentile")
    ordered = sorted(values)
    rank = -(-percent * len(ordered) // 100)
    return ordered[max(0, int(rank) - 1)]


def median(values: Sequence[float]) -> float:
    """The middle value; the lower one of two."""
    return percentile(values, 50)


@dataclass
class Sample:
    """One measurement of one workload, made in one process.

    `measures` are the figures that the catalogue names, `bare` the seconds of a bare commit in the same
    process (None where nothing was measured), `cpu` CPU seconds a unit of work, and `notes` what else
    may help to read them. A sample exists only if the workload's result was right.
    """

    measures: dict[str, float]
    bare: float | None = None
    cpu: float | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    def line(self) -> str:
        """The sample as one line of JSON."""
        return json.dumps(vars(self))

    @classmethod
    def read(cls, line: str) -> Sample:
        """The sample that `line` wrote."""
        return cls(**json.loads(line))


class WrongResult(Exception):
    """The workload did not do what it should have done, so its time means nothing."""


def expect(truth: bool, what: str) -> None:
    """Raise `WrongResult` unless `truth`. (An assertion that `python -O` keeps.)"""
    if not truth:
        raise WrongResult(what)
