"""What `make prove` runs: each section is a function from a budget to rows of figures.

A section raises when something is wrong; it gives its rows when nothing is. What a row promises is a figure and the
one that is wanted: too little of it is a failure too, because a proof that was not run proves nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import attrs

from flowgen.runtime.http.openapi import document
from flowgen.runtime.http.table import TABLE
from flowgen.runtime.stores.sqlite import connection
from flowgen.testing import Faults, Trace, check_invariants, simulate
from tests.conformance.differential import differential
from tests.examples.test_crash_points import CASES, explore
from tests.planted.bugs import BUGS
from tests.planted.run import chosen, run
from tests.power import outage
from tests.properties.worlds import WORLDS, World, app, events_of, outcomes

YEAR = 365 * 86_400 * 1_000_000
CHECKPOINT_PAGES = 40
"""While power fails the WAL is copied into the file often, so that it fails then too."""


@attrs.frozen
class Budget:
    """How much is wanted of each thing. `pairs` are those of crashes, for each example; single ones are tests.
    `requests` are those to each operation of a server; the tests send some.

    A section that can be shared among processes does the share `turn` of `turns`.
    """

    scenarios: int
    runs: int
    years: int
    images: int
    steps: int
    pairs: int
    requests: int
    part: str | None = None
    turn: int = 0
    turns: int = 1

    def share(self, wanted: int) -> int:
        """What one process has to do of so much."""
        return -(-wanted // self.turns)


FULL = Budget(scenarios=20_000, runs=400_000, years=1000, images=10_000, steps=200_000, pairs=100, requests=500)
CI = Budget(scenarios=1_000, runs=20_000, years=50, images=2_000, steps=20_000, pairs=0, requests=0)


@attrs.frozen
class Row:
    """A figure of the table: what was counted, how much there is, and how much there has to be.

    `counts` say more: how often what was met on the way. Whatever is `required` must be among it.
    """

    what: str
    figure: int
    wanted: int
    detail: str = ""
    counts: Counter[str] = attrs.field(factory=Counter)
    required: frozenset[str] = frozenset()

    @property
    def enough(self) -> bool:
        return self.figure >= self.wanted

    @property
    def missed(self) -> list[str]:
        """What was never met, though it has to be."""
        return sorted(self.required - self.counts.keys())

    def joined(self, other: Row) -> Row:
        """The row of two processes that shared the work."""
        return attrs.evolve(self, figure=self.figure + other.figure, counts=self.counts + other.counts)

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count:,}" for name, count in self.counts.most_common(8))
        return f"{self.figure:>9,}  of {self.wanted:>9,}  {self.detail}{counts}".rstrip()


Section = Callable[[Budget], Iterator[Row]]

ROOT = Path(__file__).parents[2]
OPENAPI = "tests/runtime/http/test_openapi.py"

_VERBS = ("claim", "commit")
REACHED = frozenset(
    {
        *("delay", "duplicate", "evict", "lost_lease", "partition", "pause", "slow"),
        *(
            f"{fault} {when} {verb}"
            for fault in ("crash", "store_error")
            for when in ("before", "after")
            for verb in _VERBS
        ),
        *("crash in a body", "overtaken", "took_over"),
        *("refused: Duplicate", "refused: LeaseLost", "refused: RunEnded"),
    }
)
"""What has to happen in simulations at least once: each kind of fault, at each side of a verb, and what follows of it.

Simulations that never lose a lease prove little about leases.
"""


# -- sections ---------------------------------------------------------------------------------------


def simulations(budget: Budget) -> Iterator[Row]:
    """Whole systems under every kind of fault: the invariants hold, and the runs end as they do undisturbed."""
    scenarios = runs = elapsed = 0
    counts: Counter[str] = Counter()
    wanted, wanted_runs = budget.share(budget.scenarios), budget.share(budget.runs)
    while scenarios < wanted or runs < wanted_runs or elapsed < budget.share(budget.years * YEAR):
        trace = _scenario(budget.turn + scenarios * budget.turns)
        scenarios += 1
        runs += len(trace.runs)
        elapsed += trace.ended_at - trace.started_at
        counts += trace.counts
    yield Row("simulated scenarios", scenarios, budget.scenarios, counts=counts, required=REACHED)
    yield Row("  workflow runs", runs, budget.runs)
    yield Row("  simulated years", elapsed // YEAR, budget.years)


def _scenario(number: int) -> Trace:
    random = Random(number)
    chosen = random.sample(WORLDS, 7)
    worlds = [world for world in WORLDS if world in chosen]
    trace = simulate(
        app,
        events_of(worlds),
        seed=number,
        workers=random.randint(1, 3),
        faults=_faults(random),
        max_runs=random.choice((1_000, 8, 3, 2, 1)),
    )
    check_invariants(trace)
    expected = sorted(outcome for world in worlds for outcome in _undisturbed(world))
    assert outcomes(trace) == expected, f"scenario {number} ends in another way:\n{trace.timeline()}"
    return trace


def _faults(random: Random) -> Faults:
    def share(*shares: float) -> float:
        return random.choice((0.0, *shares))

    return Faults(
        crash=share(0.02, 0.1),
        lost_lease=share(0.2),
        partition=share(0.1),
        pause=share(0.1),
        store_error=share(0.02, 0.1),
        duplicate=share(0.02, 0.1),
        delay=share(0.2),
        evict=share(0.3),
        slow=share(0.02, 0.1),
        clock_skew=random.choice(("0s", "1h")),
        clock_drift=share(0.05),
    )


@cache
def _undisturbed(world: World) -> list[str]:
    """How the runs of a world end when nothing goes wrong."""
    return outcomes(simulate(app, world.events))


def power(budget: Budget) -> Iterator[Row]:
    """Power is lost at any moment; half of the images of random operations, half of engines at work."""
    connection.CHECKPOINT_PAGES = CHECKPOINT_PAGES  # type: ignore[misc]
    operations = outage.operations(budget.images // 2)
    engines = outage.engines(budget.images - budget.images // 2)
    yield Row("power-loss images", operations.images + engines.images, budget.images)
    yield Row("  of operations", operations.images, budget.images // 2, str(operations))
    yield Row("  of engines", engines.images, budget.images // 2, str(engines))


def crashes(budget: Budget) -> Iterator[Row]:
    """Every crash point of the examples, and pairs of them; the points by themselves are in the tests, too."""
    if budget.pairs == 0:
        return
    points = pairs = 0
    for name, make in CASES.items():
        report = explore(make(), pairs=budget.pairs)
        assert not report.violations, f"{name}: {report}"
        points, pairs = points + len(report.points), pairs + report.pairs
    yield Row("crash points", points, 50 * len(CASES), f"of {len(CASES)} examples")
    yield Row("  pairs of them", pairs, budget.pairs)


def stores(budget: Budget) -> Iterator[Row]:
    """SQLite and documents answer as the reference does, and each refusal was met."""
    figures = differential(budget.steps)
    met = sum(figures.tally.values())
    yield Row("store differential, steps", figures.steps, budget.steps, f"{met:,} answers compared, none missed")
    if figures.missed:
        raise AssertionError(f"never met in {figures.steps:,} steps: {', '.join(figures.missed)}")


def planted(budget: Budget) -> Iterator[Row]:
    """Known bugs are planted, and each is caught."""
    bugs = chosen((), budget.part)
    missed = run(bugs)
    if missed:
        raise AssertionError(f"not caught: {', '.join(missed)}")
    share = "all of them" if budget.part is None else f"part {budget.part} of {len(BUGS)}"
    yield Row("planted bugs caught", len(bugs) - len(missed), len(bugs), share)


def http(budget: Budget) -> Iterator[Row]:
    """Whatever is sent to a server, it answers as it describes itself."""
    if budget.requests == 0:
        return
    with TemporaryDirectory() as directory:
        report = Path(directory) / "sent.json"
        asked = {"FLOWGEN_HTTP_EXAMPLES": str(budget.requests), "FLOWGEN_HTTP_SENT": str(report)}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", OPENAPI, "-k", "whatever_is_sent"]
        done = subprocess.run(
            command, cwd=ROOT, env={**os.environ, **asked}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise AssertionError(f"exit code {done.returncode} of {OPENAPI}:\n{done.stdout[-20_000:]}")
        sent = Counter(json.loads(report.read_text()))
    paths = document(TABLE)["paths"]
    operations = {f"{method.upper()} {path}": each for path, item in paths.items() for method, each in item.items()}
    taking = [label for label in sent if operations[label].get("parameters") or "requestBody" in operations[label]]
    yield Row("HTTP operations", len(sent), len(operations) - 1, f"{sent.total():,} requests; one is a stream")
    yield Row("  to each that takes something", min(sent[label] for label in taking), budget.requests)


SECTIONS: Sequence[Section] = (planted, stores, crashes, simulations, http, power)
"""In the order in which they begin: first what takes long in one process."""

SHARED = ("simulations",)
"""The sections that are shared among all processors, because they take longest."""
