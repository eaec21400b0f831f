"""How a peer's module speaks to the benchmark, and the sizes of what it does: the same as ours.

`main` makes one sample and prints it, as `bench.child` does for ours. For W5 a peer's module starts
itself again: `python -m bench.peers.NAME_peer W5 PART DIRECTORY RUNS`, PART being `first` or `again`.

A peer is measured as its documentation shows it, on SQLite with its own defaults; its figures are the
ones that a user of it gets. Uses the standard library only.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from bench.killing import kill_half_way
from bench.timing import Sample, Stopwatch, expect, median

STEPS = 10
LEASE_SECONDS = 2
EDGE = 100


@dataclass(frozen=True)
class Sizes:
    """How much of each workload is done."""

    runs: int = 200
    warm_runs: int = 20
    sequence: int = 1_000
    parallel: int = 1_000
    events: int = 20
    gap_seconds: float = 0.05


QUICK = Sizes(runs=20, warm_runs=2, sequence=300, parallel=100, events=3)

Measurement = Callable[[str, Path, Sizes], Sample]
Part = Callable[[Path, int], None]


def main(module: str, workloads: Mapping[str, Measurement], parts: Mapping[str, Part]) -> None:
    """Make the sample that the arguments ask for (`W1 async DIRECTORY [--quick]`), or be a part of W5."""
    id, variant, directory = sys.argv[1:4]
    if variant in parts:
        parts[variant](Path(directory), int(sys.argv[4]))
        return
    sizes = QUICK if "--quick" in sys.argv else Sizes()
    if id == "W5":
        sample = _crash(module, Path(directory), sizes.runs)
    else:
        sample = workloads[id](variant, Path(directory), sizes)
    print(sample.line())


def _crash(module: str, directory: Path, runs: int) -> Sample:
    def part(name: str) -> list[str]:
        return [sys.executable, "-m", module, "W5", name, str(directory), str(runs)]

    progress, complete = kill_half_way(part("first"), part("again"))
    return Sample({"first_progress": progress, "all_complete": complete})


# -- samples from what was measured -------------------------------------------------------------------


def rate(steps: int, watch: Stopwatch) -> Sample:
    """W1: so many steps were done in the time of `watch`."""
    return Sample({"rate": steps / watch.wall}, cpu=watch.cpu / steps)


def total(steps: int, watch: Stopwatch) -> Sample:
    """W4: so many steps side by side."""
    return Sample({"total": watch.wall}, cpu=watch.cpu / steps)


def sequence(began: Sequence[float], watch: Stopwatch) -> Sample:
    """W2: the bodies of a run began at these times."""
    each = [later - earlier for earlier, later in pairwise(began)]
    growth = sum(each[-EDGE:]) / sum(each[:EDGE])
    return Sample({"total": watch.wall, "growth": growth}, cpu=watch.cpu / len(began))


def latency(took: Sequence[float]) -> Sample:
    """W3: seconds of each event. Too few for a 99th percentile."""
    return Sample({"p50": median(took) * 1e3})


def asked(number: int, ask: Callable[[int], int]) -> float:
    """The seconds from asking until the result is known."""
    began = time.perf_counter()
    result = ask(number)
    took = time.perf_counter() - began
    expect(result == number + 1, f"the run of {number} returned {result}")
    return took
