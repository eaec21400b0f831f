"""A run that kills its worker is failed alone (I35; F29)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from flowgen import RunFailed
from flowgen.runs import MAX_STRIKES
from flowgen.runtime import Engine

from . import harness, workflows

INNOCENTS = 12


async def poison_among_others(engine: Engine) -> None:
    """Start the poison run first and the others beside it, and see all of them end."""
    await engine.start("crash/poisonous", run_id="poison")
    for number in range(INNOCENTS):
        await engine.start("crash/innocent", {"number": number}, run_id=f"innocent-{number}")
    for number in range(INNOCENTS):
        assert await engine.result(f"innocent-{number}") == number
    with pytest.raises(RunFailed, match="WorkerLost: the workers of run poison died 5 times"):
        await engine.result("poison")


def test_a_poison_run_dies_alone(tmp_path: Path) -> None:
    """It is tried until its strikes are used up, then failed; the runs beside it lose nothing."""
    workflows.journal = str(tmp_path / "journal")
    lives = 0
    while harness.life(tmp_path / "poison.db", lives, poison_among_others, None) == "killed":
        lives += 1
        assert lives <= 2 * MAX_STRIKES, "the poison run is never given up"
    starts = Counter(line.split()[0] for line in Path(workflows.journal).read_text().splitlines())
    assert starts["poison"] == MAX_STRIKES
    assert lives == MAX_STRIKES
