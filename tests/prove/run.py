"""The proof: everything that is checked by the thousand, and one table of what was done.

::

    make prove                          the full figures, which takes most of an hour
    make prove ARGS=--ci                those of a change, in minutes; of the planted bugs a third, by turns
    make prove ARGS="stores power"      some sections

Each section runs in a process of its own, as many at once as there are processors; a long one in many shares. What
has come of one is said when it ends. A section that fails says why; the table names it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if __name__ == "__main__":
    sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

import attrs  # noqa: E402

from tests.prove.sections import CI, FULL, SECTIONS, SHARED, Budget, Row  # noqa: E402  (run as a script, the path comes first)

PARTS = 3
SHARE = 500
"""A share of a section has so many scenarios: some minutes of work."""


@attrs.frozen
class Result:
    """What came of a section: its rows, how many seconds its processes took together, and what was wrong."""

    name: str
    rows: tuple[Row, ...]
    seconds: float
    trouble: str | None = None

    def joined(self, other: Result) -> Result:
        """The result of two shares of a section."""
        rows = [mine.joined(yours) for mine, yours in zip(self.rows, other.rows, strict=False)]
        trouble = self.trouble or other.trouble
        return Result(self.name, tuple(rows), self.seconds + other.seconds, trouble)

    def judged(self) -> Result:
        """The result of a whole section: too little of something is trouble, too, and so is what was never met."""
        few = [f"{row.what}: {row.figure:,} are too few" for row in self.rows if not row.enough]
        few += [f"{row.what}: never met: {', '.join(row.missed)}" for row in self.rows if row.missed]
        return attrs.evolve(self, trouble=self.trouble or "\n".join(few) or None)


def prove(name: str, budget: Budget) -> Result:
    """Run a section."""
    started, rows, trouble = time.monotonic(), [], None
    try:
        section = next(section for section in SECTIONS if section.__name__ == name)
        for row in section(budget):
            rows.append(row)
    except Exception as error:
        trouble = f"{type(error).__name__}: {error}"
    return Result(name, tuple(rows), time.monotonic() - started, trouble)


def shares_of(name: str, budget: Budget, processors: int) -> list[tuple[str, Budget]]:
    """A section, or the shares of one that is shared: one for each processor at least."""
    turns = max(processors, budget.scenarios // SHARE) if name in SHARED else 1
    return [(name, attrs.evolve(budget, turn=turn, turns=turns)) for turn in range(turns)]


def joined(results: Iterable[Result]) -> list[Result]:
    """A result for each section, in their order; too little of something is trouble."""
    whole: dict[str, Result] = {}
    for result in results:
        before = whole.get(result.name)
        whole[result.name] = result if before is None else before.joined(result)
    return [result.judged() for result in whole.values()]


def news(result: Result, share: Budget) -> str:
    """What has come of a section, or of a share of one, in a line."""
    which = f" {share.turn + 1} of {share.turns}" if share.turns > 1 else ""
    figures = ", ".join(f"{row.figure:,} {row.what.strip()}" for row in result.rows)
    return f"{result.name}{which}, {result.seconds:.0f} s: {result.trouble or figures or 'nothing to do'}"


def table(results: Sequence[Result]) -> str:
    """The figures, a line each; then what was wrong."""
    rows = [row for result in results for row in result.rows]
    width = max((len(row.what) for row in rows), default=0)
    lines = [f"{row.what:<{width}}  {row}" for row in rows]
    lines += [f"{result.name}: {result.seconds:.0f} s of a processor" for result in results]
    lines += [f"\nFAILED {result.name}\n{result.trouble}" for result in results if result.trouble]
    return "\n".join(lines)


def turn() -> int:
    """Which part of the planted bugs is next: it follows from the commit."""
    try:
        answer = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        answer = "0"
    return int(answer, 16) % PARTS + 1


def main() -> int:
    names = [section.__name__ for section in SECTIONS]
    parser = argparse.ArgumentParser(description="Run the proof, and print what was done.")
    parser.add_argument("sections", nargs="*", help=f"which: {', '.join(names)}; all if none is named")
    parser.add_argument("--ci", action="store_true", help="the smaller figures of a change")
    arguments = parser.parse_args()
    if unknown := set(arguments.sections) - set(names):
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    budget = attrs.evolve(CI, part=f"{turn()}/{PARTS}") if arguments.ci else FULL
    processors = os.cpu_count() or 1
    with ProcessPoolExecutor(processors) as pool:
        chosen = [name for name in names if not arguments.sections or name in arguments.sections]
        shares = [share for name in chosen for share in shares_of(name, budget, processors)]
        doing = {pool.submit(prove, *share): share for share in shares}
        for done in as_completed(doing):
            print(news(done.result(), doing[done][1]), file=sys.stderr, flush=True)
        results = joined(done.result() for done in doing)
    print(table(results))
    return 1 if any(result.trouble for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
