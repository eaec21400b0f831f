"""`explore_crashes`: every point at which a run can crash, one after the other.

The store sees of an engine its commits and claims, and nothing else of it survives a crash; so these are the points.
A simulation without faults counts them. Then the same simulation is run again for each of them and for each
thing that can happen there (see `faults.Planned`), and each of these worlds has to keep all invariants, come to rest,
execute no recorded step again, and end as the first one did.

Recovery has points of its own, such as the claim that takes a run over: what only a world with a crash comes
to is explored, too, once. And pairs of points, as many as one asks for, spread over all there are.

Refuses to know how the engine works: it is a list of simulations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from random import Random
from typing import Any

import attrs

from ..app import App
from ..duration import HOUR
from ..errors import InvalidInput
from ..history import EndCompleted
from ..runtime.store import Store
from .bodies import Stubs
from .client import as_list
from .clock import VirtualClock
from .faults import PLANNED, Faults, Planned
from .invariants import check_invariants
from .simulator import LEASE, MAX_RUNS, simulate
from .trace import Asked, RunTrace, Trace

_TEXTS: dict[Planned, str] = {
    "crash_before": "{worker} dies before {what}",
    "crash_after": "{worker} dies after {what}, before its answer",
    "error_before": "the store fails at {what}, which is not done",
    "error_after": "the store fails at {what}, which is done all the same",
    "pause": "{worker} stands still past its leases before {what}",
    "twice": "a copy arrives of {what}",
    "evict": "{worker} has dropped its live generators before {what}",
}
_SHOWN = 10
_NO_LIMITS: Mapping[str, Any] = {}


@attrs.frozen
class CrashPoint:
    """One thing that happens to the n-th commit or claim of a simulation.

    `after` is another point, without which there would not be this one: then both happen. Its text says it in words.
    """

    number: int
    fault: Planned
    what: str
    worker: str
    after: CrashPoint | None = None

    @property
    def plan(self) -> dict[int, Planned]:
        """What `Faults(at=…)` takes to make it happen."""
        return {**(self.after.plan if self.after is not None else {}), self.number: self.fault}

    def __str__(self) -> str:
        text = _TEXTS[self.fault].format(worker=self.worker, what=self.what)
        return text if self.after is None else f"{self.after}; then {text}"


@attrs.frozen
class CrashViolation:
    """What is wrong in a world: at which point, in words, and how to see it again."""

    point: CrashPoint
    problem: str
    reproduce: str

    def __str__(self) -> str:
        problem = "\n".join(f"  {line}" for line in self.problem.splitlines())
        return f"{self.point}\n{problem}\n  to see it: {self.reproduce}"


@attrs.frozen(repr=False)
class CrashReport:
    """What `explore_crashes` found: the `points` that were explored, and the `violations` (empty = good)."""

    points: tuple[CrashPoint, ...]
    violations: tuple[CrashViolation, ...]
    undisturbed: Trace = attrs.field(repr=False)
    possible_pairs: int = 0

    @property
    def pairs(self) -> int:
        """How many of the points are two things that happen."""
        return sum(point.after is not None for point in self.points)

    def __repr__(self) -> str:
        return (
            f"<CrashReport: {len(self.points)} crash points, {len(self.violations)} violations; str(report) tells all>"
        )

    def __str__(self) -> str:
        kinds = Counter(point.fault for point in self.points)
        counted = ", ".join(f"{kind} {kinds[kind]}" for kind in PLANNED if kinds[kind])
        pairs = f"{self.pairs} of {self.possible_pairs} pairs"
        lines = [
            f"{len(self.points)} crash points: {len(self.points) - self.pairs} single, {pairs} ({counted})",
            f"without a crash: {_counted(_ends(self.undisturbed, ending)) or 'no runs'}",
            _verdict(len(self.violations)),
        ]
        for number, violation in enumerate(self.violations[:_SHOWN], 1):
            lines += ["", f"{number}. {violation}"]
        if len(self.violations) > _SHOWN:
            lines += ["", f"… and {len(self.violations) - _SHOWN} more"]
        return "\n".join(lines)


def ending(run: RunTrace) -> Any:
    """How a run ended, for comparison: its state, and what it returned, failed with or was cancelled for."""
    if run.status == "completed" and run.restarted_as is not None:
        return "completed, restarted"
    if isinstance(run.end, EndCompleted):
        return f"completed: {bytes(run.end.result).decode()}"
    if run.error is not None:
        return f"failed: {run.error}"
    return f"{run.status}: {run.reason}" if run.reason else run.status


def explore_crashes(
    app: App | Iterable[App] | Callable[..., Trace],
    events: Any = (),
    steps: Stubs | Callable[[], Stubs] | None = None,
    *,
    pairs: int = 0,
    faults: Sequence[Planned] = PLANNED,
    compare: Callable[[RunTrace], Any] = ending,
    seed: int = 0,
    workers: int = 2,
    store: Callable[[VirtualClock], Store] | None = None,
    until: str | float | timedelta | None = None,
    lease: str | float | timedelta = LEASE,
    max_runs: int = MAX_RUNS,
) -> CrashReport:
    """Explore every crash point of what `simulate(app, events, steps, …)` does, and give a report of it.

    `events` is one event or a list, as `simulate` takes them; instead of `app`, a function may be given that calls
    `simulate` with the keyword arguments that it gets. `faults` says what happens at the points (default:
    everything), `pairs` how many pairs of points are explored beside the single ones. A step function that keeps
    something between its calls has to begin afresh in each world: make the stubs, and forget, in a function `steps`.

    A run has to end as without a crash: `compare` says what of it counts. What depends on the time or on ids
    may differ; leave it out. Timeouts should be longer than some leases.

    ::

        report = explore_crashes(app, Event("order/placed", {"order_id": "7"}), steps={"charge": 42})
        assert not report.violations, report
    """
    unknown = [fault for fault in faults if fault not in PLANNED]
    if unknown:
        raise InvalidInput(f"explore_crashes(faults={faults!r}): {unknown[0]!r} is none of {', '.join(PLANNED)}")
    how = {"seed": seed, "workers": workers, "store": store, "until": until, "lease": lease, "max_runs": max_runs}
    defaults = {"seed": 0, "workers": 1, "store": None, "until": None, "lease": LEASE, "max_runs": MAX_RUNS}
    said = {name: value for name, value in how.items() if value != defaults[name]}
    if callable(app) and not isinstance(app, App):
        call, shown = app, [getattr(app, "__name__", "story")]
    else:
        planned = as_list(events)

        def call(**keywords: Any) -> Trace:
            return simulate(app, planned, steps, **keywords)

        shown = [
            "simulate",
            "app",
            repr(planned),
            *([getattr(steps, "__name__", "steps")] if steps is not None else []),
        ]
    return _Exploration(call, said, shown, tuple(faults), compare).run(pairs, seed)


class _Exploration:
    """All the worlds of one exploration."""

    def __init__(
        self,
        call: Callable[..., Trace],
        how: dict[str, Any],
        shown: Sequence[str],
        faults: tuple[Planned, ...],
        compare: Callable[[RunTrace], Any],
    ) -> None:
        self._call = call
        self._how = how
        self._shown = shown
        self._faults = faults
        self._compare = compare
        self._violations: list[CrashViolation] = []
        self._points: list[CrashPoint] = []
        self._expected: Counter[str] = Counter()
        self._patience: float | None = None

    def run(self, pairs: int, seed: int) -> CrashReport:
        undisturbed = self._call(faults=Faults(at={}), **self._how)
        check_invariants(undisturbed)
        if undisturbed.finished and not undisturbed.schedules:
            self._patience = (undisturbed.ended_at - undisturbed.started_at + HOUR) / 1_000_000
        self._expected = _ends(undisturbed, self._compare)
        known = {(request.what, fault) for request in undisturbed.requests for fault in request.faults}
        seconds: list[CrashPoint] = []
        new: list[CrashPoint] = []
        for first in self._points_of(undisturbed.requests):
            for second in self._points_of(self._explore(first), after=first):
                (seconds if (second.what, second.fault) in known else new).append(second)
                known.add((second.what, second.fault))
        for point in new:
            self._explore(point)
        for point in _some(seconds, pairs, seed):
            self._explore(point)
        return CrashReport(
            tuple(self._points), tuple(self._violations), undisturbed, possible_pairs=len(seconds) + len(new)
        )

    def _points_of(self, requests: Iterable[Asked], after: CrashPoint | None = None) -> Iterator[CrashPoint]:
        for request in requests:
            if after is None or request.number > after.number:
                for fault in self._faults:
                    if fault in request.faults:
                        yield CrashPoint(request.number, fault, request.what, request.worker, after)

    def _explore(self, point: CrashPoint) -> tuple[Asked, ...]:
        """One world; gives what its engines asked for."""
        self._points.append(point)
        limits = {"until": self._patience} if self._patience is not None else {}
        try:
            trace = self._call(**{"faults": Faults(at=point.plan), **limits, **self._how})
        except Exception as error:
            self._violate(point, f"the simulation ends with {type(error).__name__}: {error}")
            return ()
        try:
            check_invariants(trace)
        except AssertionError as error:
            self._violate(point, str(error).partition("\n\nseed ")[0])
        difference = _difference(self._expected, _ends(trace, self._compare))
        if difference is not None:
            late = "" if trace.finished or not limits else "an hour later than without a crash it is not at rest, and "
            self._violate(point, late + difference, limits if late else {})
        return trace.requests

    def _violate(self, point: CrashPoint, problem: str, limits: Mapping[str, Any] = _NO_LIMITS) -> None:
        function, *arguments = self._shown
        keywords = {**limits, **self._how, "faults": Faults(at=point.plan)}
        arguments = [*arguments, *(f"{name}={_name_of(value)}" for name, value in keywords.items())]
        self._violations.append(CrashViolation(point, problem, f"print({function}({', '.join(arguments)}))"))


def _name_of(value: Any) -> str:
    return value.__name__ if callable(value) and hasattr(value, "__name__") else repr(value)


def _some(points: list[CrashPoint], count: int, seed: int) -> list[CrashPoint]:
    """So many of the points, spread by dice over all of them; all, if there are not more."""
    if count >= len(points):
        return points
    chosen = sorted(Random(f"{seed}/pairs").sample(range(len(points)), count))
    return [points[index] for index in chosen]


def _ends(trace: Trace, compare: Callable[[RunTrace], Any]) -> Counter[str]:
    """How the runs of each workflow ended: which ones is not always the same, as they are created in any order."""
    return Counter(f"{run.name.rpartition('#')[0]} {compare(run)}" for run in trace.runs)


def _verdict(violations: int) -> str:
    if not violations:
        return "no violation: all end as without a crash"
    return f"{violations} violation{'s' * (violations != 1)}"


def _difference(expected: Counter[str], got: Counter[str]) -> str | None:
    if expected == got:
        return None
    return "\n".join(
        [
            "the runs do not end as without a crash:",
            f"  without:  {_counted(expected - got) or 'nothing else'}",
            f"  with it:  {_counted(got - expected) or 'nothing else'}",
        ]
    )


def _counted(ends: Counter[str]) -> str:
    return ", ".join(f"{end}" if count == 1 else f"{count} × {end}" for end, count in sorted(ends.items()))
