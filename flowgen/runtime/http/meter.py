"""Counting what a server and its engine do, for Prometheus.

Counters are of this process and begin at 0 with it. They are written by two threads, each its own (`Meter.answered` on
the server's loop, the rest on the engine's), and read by a third without a lock: a number may be one behind.

Refuses to know how they are served (`metrics`), and what is read from the store when they are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import attrs

from ...history import AttemptFailed, Record, StepFailed, StepSucceeded
from ...runs import TERMINAL
from ...transition import Transition
from ..store import Committed

COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "DELETE"})
_OUTCOMES: Final[Mapping[type, str]] = {
    StepSucceeded: "succeeded",
    StepFailed: "failed",
    AttemptFailed: "attempt_failed",
}


@attrs.define
class Histogram:
    """How many observations were at most so large, for each of some bounds."""

    bounds: tuple[float, ...]
    counts: list[int] = attrs.field(init=False)
    total: float = 0.0

    def __attrs_post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def observe(self, value: float) -> None:
        """Count one."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@attrs.define
class Meter:
    """The counters of one server."""

    open: int = 0
    open_bytes: int = 0
    events: int = 0
    started: Counter[tuple[str, str]] = attrs.field(factory=Counter)
    ended: Counter[str] = attrs.field(factory=Counter)
    steps: Counter[str] = attrs.field(factory=Counter)
    commits: Histogram = attrs.field(factory=lambda: Histogram(COMMIT_SECONDS))
    answers: Counter[tuple[str, str, int]] = attrs.field(factory=Counter)

    def committed(self, transition: Transition, committed: Committed) -> None:
        """A transition was committed by this process."""
        self.events += len(transition.accept)
        for new in transition.create:
            if new.row.stored != "schedule":
                self.started[new.row.app, new.row.workflow] += 1
                self._ended(new.row.stored)
        progress = transition.progress
        if progress is not None:
            self._ended(progress.stored)
            self._steps(progress.records)

    def _ended(self, stored: str) -> None:
        if stored in TERMINAL:
            self.ended[stored] += 1

    def _steps(self, records: Iterable[Record]) -> None:
        for record in records:
            outcome = _OUTCOMES.get(type(record))
            if outcome is not None and getattr(record, "kind", "run") == "run":
                self.steps[outcome] += 1

    def took(self, seconds: float) -> None:
        """A commit took so long."""
        self.commits.observe(seconds)

    def answered(self, method: str, route: str, status: int) -> None:
        """A request to a route was answered. `route` is a path of the table, never one that a stranger made up."""
        self.answers[method if method in _METHODS else "other", route, status] += 1


# -- the text format -----------------------------------------------------------------------------------


@attrs.frozen
class Sample:
    """One number: `suffix` goes after the family's name."""

    value: float
    labels: Mapping[str, str] = attrs.field(factory=dict)
    suffix: str = ""


@attrs.frozen
class Family:
    """Samples of one name. `kind` is `counter`, `gauge` or `histogram`."""

    name: str
    kind: str
    about: str
    samples: tuple[Sample, ...]


def families(meter: Meter) -> list[Family]:
    """All counters, as they are now."""
    started = [Sample(count, {"app": app, "workflow": name}) for (app, name), count in sorted(meter.started.items())]
    answers = [
        Sample(count, {"method": method, "route": route, "status": str(status)})
        for (method, route, status), count in sorted(meter.answers.items())
    ]
    return [
        _counter("events_accepted", "Events that were accepted.", [Sample(meter.events)]),
        _counter("runs_started", "Runs that were created.", started),
        _counter("runs_ended", "Runs that have ended, by how they did.", _by("status", meter.ended)),
        _counter("steps", "Attempts at steps that were recorded, by what came of them.", _by("outcome", meter.steps)),
        _counter("http_responses", "Requests that were answered.", answers),
        Family("flowgen_commit_seconds", "histogram", "How long commits took.", tuple(_samples_of(meter.commits))),
    ]


def gauge(name: str, about: str, value: float) -> Family:
    """A number that goes up and down."""
    return Family(f"flowgen_{name}", "gauge", about, (Sample(value),))


def _counter(name: str, about: str, samples: Iterable[Sample]) -> Family:
    return Family(f"flowgen_{name}_total", "counter", about, tuple(samples))


def _by(label: str, counts: Mapping[str, int]) -> list[Sample]:
    return [Sample(count, {label: value}) for value, count in sorted(counts.items())]


def _samples_of(histogram: Histogram) -> Iterator[Sample]:
    counts, total = list(histogram.counts), 0
    for bound, count in zip((*map(str, histogram.bounds), "+Inf"), counts, strict=True):
        total += count
        yield Sample(total, {"le": bound}, "_bucket")
    yield Sample(histogram.total, suffix="_sum")
    yield Sample(total, suffix="_count")


def written(families: Iterable[Family]) -> str:
    """The text that Prometheus reads (format 0.0.4)."""
    return "".join(line + "\n" for family in families for line in _lines(family))


def _lines(family: Family) -> Iterator[str]:
    yield f"# HELP {family.name} {family.about}"
    yield f"# TYPE {family.name} {family.kind}"
    for sample in family.samples:
        inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
        yield f"{family.name}{sample.suffix}{f'{{{inside}}}' if inside else ''} {sample.value!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
