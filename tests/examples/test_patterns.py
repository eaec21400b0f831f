"""The programs in `examples/patterns`: their stories end as they should, also while engines die, and they run."""

from __future__ import annotations

import re
import runpy
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from flowgen.history import StepSucceeded
from flowgen.runtime.stores import SqliteStore
from flowgen.testing import Faults, Trace, check_invariants
from flowgen.values import decode

PATTERNS = Path(__file__).parents[2] / "examples" / "patterns"
PROGRAMS = sorted(path.stem for path in PATTERNS.glob("*.py") if path.stem != "__init__")
FAULTS = Faults(crash=0.03, lost_lease=0.02, duplicate=0.03, evict=0.1, most=12)
SEEDS = range(3)

Check = Callable[[Trace], None]
CHECKS: dict[str, Check] = {}


def ends_well(check: Check) -> Check:
    """The check of the program that the function is called after."""
    CHECKS[check.__name__] = check
    return check


def results(trace: Trace, workflow: str) -> list[Any]:
    """What the runs of a workflow returned, in the order of their creation; their state, if they did not."""
    runs = [run for run in trace.runs if run.workflow_id == workflow]
    return [run.result if run.status == "completed" and run.result is not None else run.status for run in runs]


def seconds(trace: Trace, step: str) -> list[float]:
    """When the bodies of all steps of a name began, since the start."""
    bodies = [body for body in trace.executions if re.fullmatch(rf"{step}(:\d+)?", body.step)]
    return [(body.started_at - trace.started_at) / 1_000_000 for body in bodies]


# -- the stories ---------------------------------------------------------------------------------------


@ends_well
def fan_out(trace: Trace) -> None:
    """All readers get the issue, each once."""
    assert results(trace, "update-archive") == ["issue 1"]
    assert results(trace, "announce") == [100]
    wanted = {f"issue 1 to reader-{number}@example.org": 1 for number in range(100)}
    assert Counter(results(trace, "deliver")) == wanted


@ends_well
def saga(trace: Trace) -> None:
    """A trip without a car is no trip: what was booked is cancelled, the last thing first."""
    lake, island = results(trace, "arrange")
    assert lake == {"booked": ["flight-lake", "hotel-lake", "car-lake"]}
    assert island == {"booked": [], "because": "no cars on the island"}
    steps = dict.fromkeys(body.step for body in trace.executions if body.run == trace.run("arrange", 1).id)
    assert list(steps) == ["book flight", "book hotel", "book car", "cancel hotel", "cancel flight"]


@ends_well
def human_approval(trace: Trace) -> None:
    """A late yes counts, a no ends it, and silence is a no."""
    assert results(trace, "approve") == [
        "e1 is paid",
        "e2 is refused by Ada",
        "e3 is refused: Ada did not answer",
    ]


@ends_well
def debounced_reindex(trace: Trace) -> None:
    """Each page is indexed when it is left alone, or has been edited for ten minutes."""
    pages = Counter(bytes(run.recorded.events[0].data).decode() for run in trace.runs)
    assert pages == {'{"page":"home"}': 1, '{"page":"news"}': 2}
    assert results(trace, "reindex") == [4, 4, 4]


@ends_well
def batched_writes(trace: Trace) -> None:
    """No reading is lost, none is in two batches, and no batch is too large."""
    table = import_module("patterns.batched_writes").table
    assert len(table) == 231
    sizes = results(trace, "store")
    assert sum(sizes) == 231
    assert max(sizes) <= 100
    collected = [event.id for run in trace.runs for event in run.recorded.events]
    assert len(collected) == len(set(collected)) == 231


@ends_well
def rate_limited_api(trace: Trace) -> None:
    """Both tours are planned, and without faults runs begin at most five times in any second.

    What was to begin while its engine was down begins when it is up again.
    """
    assert results(trace, "plan-tour") == [20, 20]
    assert len(results(trace, "locate")) == 40
    starts = sorted(run.history[0].at for run in trace.runs if run.workflow_id == "locate")
    assert trace.faults or all(later - earlier >= 1_000_000 for earlier, later in zip(starts, starts[5:], strict=False))


@ends_well
def cron_report(trace: Trace) -> None:
    """One report for each Monday, about the week before it."""
    weeks = ["week to 05.01.", "week to 12.01.", "week to 19.01."]
    assert results(trace, "weekly-report") == [f"{week}; sales 35; stock 35" for week in weeks]


@ends_well
def subscription(trace: Trace) -> None:
    """Thirteen months are paid, from the fifth on by the new plan; the second subscription is none."""
    assert Counter(run.status for run in trace.runs) == {"completed": 3, "skipped": 1}
    assert trace.runs[-1].result == 13
    records = [record for run in trace.runs for record in run.history if isinstance(record, StepSucceeded)]
    paid = [decode(record.value) for record in records if record.kind == "run"]
    assert paid == ["ada paid for daily"] * 4 + ["ada paid for weekly"] * 9


@ends_well
def polling(trace: Trace) -> None:
    """The job is done when it says so; the endless one is given up after two hours, and told so."""
    assert results(trace, "transcode") == ["job of talk.mov: done after asking 9 times", "cancelled"]
    endless = trace.run("transcode", 1)
    assert trace.executed("give_up", endless)
    assert endless.reason == "it did not end in time (timeouts)"


@ends_well
def map_items(trace: Trace) -> None:
    """All photos but the broken ones have become small."""
    assert results(trace, "thumbnails") == [{"small": 118, "failed": ["broken 1", "broken 2"]}]


# -- how they are told ---------------------------------------------------------------------------------


def test_every_program_has_a_check() -> None:
    """No pattern is shown that nobody has tried."""
    assert sorted(CHECKS) == PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_story_ends_well(program: str) -> None:
    """What the program's words promise happens."""
    trace = import_module(f"patterns.{program}").story()
    check_invariants(trace)
    CHECKS[program](trace)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("program", PROGRAMS)
def test_the_story_ends_as_well_while_engines_die(program: str, seed: int) -> None:
    """Crashes, lost leases and repeated commits change nothing about the end."""
    trace = import_module(f"patterns.{program}").story(seed=seed, workers=2, faults=FAULTS)
    check_invariants(trace)
    CHECKS[program](trace)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_story_ends_as_well_on_a_file(program: str, tmp_path: Path) -> None:
    """The stores do not differ in what comes of it."""
    store = partial(SqliteStore, tmp_path / "store.db", inline=True)
    trace = import_module(f"patterns.{program}").story(seed=2, workers=2, faults=FAULTS, store=store)
    check_invariants(trace)
    CHECKS[program](trace)


def test_so_many_at_a_time() -> None:
    """The map shrinks ten photos at once, and the pace of the API is five calls a second."""
    photos = import_module("patterns.map_items").story()
    assert seconds(photos, "shrink")[:11] == [0] * 10 + [2]
    calls = import_module("patterns.rate_limited_api").story()
    begun = seconds(calls, "ask_partner")
    assert begun[0] == 0
    assert begun[5] == pytest.approx(1)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_program_tells_its_story(program: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`python examples/patterns/….py` prints the timeline."""
    runpy.run_path(str(PATTERNS / f"{program}.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert printed.startswith("seed 0, from 2026-01-01")
    assert re.search(r"(at rest|stopped), 0 faults\n$", printed)


def test_the_index_names_every_program() -> None:
    """Whoever reads it finds all of them, and nothing that is not there."""
    named = re.findall(r"^\| \[`(\w+)\.py`\]", (PATTERNS / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(named) == PROGRAMS
