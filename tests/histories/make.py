"""Makes the golden histories: `python -m tests.histories.make NAME…` (never run by the tests).

Each is played by an `Owner` at fixed times. A history that exists is not made again unless it is deleted first:
it is what a released version has written, and today's code must read it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import attrs

from flowgen.codec import export_lines
from flowgen.decisions import retry_run
from flowgen.history import EndFailed, Record
from flowgen.outcome import Failure, Raised
from flowgen.owned import BodyEnded
from flowgen.runs import CancelRequested
from tests.bodies import SECOND
from tests.histories import workflows as w
from tests.owner import Owner

RUNS = Path(__file__).parent / "runs"
DATA = {"order_id": "o-7", "n": 3, "cursor": 1}
NO = Failure("ValueError", "no")


def own(name: str) -> Owner:
    return Owner(w.app.workflows[name], DATA)


def order() -> Owner:
    run = own("order")
    run.ok("load order", {"id": "o-7", "items": ["é", 1.5, None]})
    run.ok("charge", 4_200)
    run.pass_time()
    run.pass_time()
    run.decide(run.looked("approval"))
    run.decide(run.event("approval", '{"order_id":"o-7","by":"ann"}', 201))
    run.decide(run.looked("refusal"))
    run.pass_time()
    run.decide(run.signal("go", {"who": "bob"}))
    run.pass_time()
    run.decide(run.child("receipt", {"pages": 2}))
    return run


def fan_out() -> Owner:
    run = own("fan-out")
    run.ok("a:1", 2)
    run.ok("a", 1)
    run.ok("all:1/y/p", "y")
    run.pass_time()
    run.ok("all:1/x/p", "x1")
    run.ok("all:1/x/p:1", "x2")
    run.fail("bad", retriable=False)
    run.ok("all:2/0/q")
    run.ok("all:3/1/r")
    run.ok("c")
    run.ok("drawn")
    return run


def race() -> Owner:
    run = own("race")
    run.ok("fast")
    run.ok("race/slow/free slow")
    run.decide(run.signal("outer"))
    run.pass_time()
    run.fail("x", retriable=False)
    run.ok("race:3/y/free y")
    return run


def trip() -> Owner:
    run = own("trip")
    run.ok("book seat", "12A")
    run.ok("book room", {"room": 5})
    run.fail("charge")
    run.pass_time()
    run.fail("charge")
    run.ok("free room")
    run.fail("free seat")
    run.pass_time()
    run.ok("free seat")
    return run


def cancelled() -> Owner:
    run = own("cancelled")
    run.decide(run.letter(CancelRequested("the user")), run.letter(CancelRequested("again")))
    run.ok("all/1/tidy b")
    run.pass_time()
    return run


def retrying() -> Owner:
    run = own("retrying")
    for _ in range(2):
        run.fail("flaky", "OSError")
        run.pass_time()
    run.ok("flaky", 7)
    run.fail("slow", "StepTimeout")
    for _ in range(2):
        run.fail("broken")
        run.pass_time()
    run.fail("broken", "OSError")
    return run


def retried() -> Owner:
    run = own("retried")
    run.ok("a", 1)
    run.decide(run.looked("w"))
    for _ in range(2):
        run.decide(BodyEnded("b", Raised(NO, retriable=False)))
        _retry(run)
    run.decide(run.event("w", '{"n":1}', 202))
    run.ok("b", 2)
    run.pass_time()
    return run


def _retry(run: Owner) -> None:
    run.row.stored, run.ended = "failed", False
    progress = retry_run(run.row, run.history, run.at + SECOND).progress
    assert progress is not None
    run.history.extend(progress.records)
    run.row = attrs.evolve(run.row, stored="open", length=len(run.history), life=progress.life)
    run.reload()
    run.decide()


def restarting() -> Owner:
    run = own("restarting")
    run.ok("page", 2)
    run.decide(run.event("next", "{}", 203))
    return run


def additive() -> Owner:
    run = Owner(w.additive_before, DATA, id="additive", changes="additive")
    run.ok("a", 1)
    run.ok("removed")
    run.ok("b", 2)
    run.deploy(w.app.workflows["additive"])
    run.decide()
    run.ok("added", 4)
    run.ok("c", 3)
    return run


def typed() -> Owner:
    run = own("typed")
    label = w.Label("fragile", w.Colour.BLUE, datetime(2026, 5, 1, 12, tzinfo=UTC), Decimal("1.50"))
    run.ok("label", label)
    parcel = w.Parcel(
        (label, label), date(2026, 5, 2), timedelta(hours=36), UUID(int=7), b"\x00\xff", frozenset({"b", "a"})
    )
    run.ok("parcel", parcel)
    run.ok("nothing", None)
    run.ok("something", label)
    run.ok("note")
    return run


SCENARIOS: dict[str, Callable[[], Owner]] = {
    scenario.__name__: scenario
    for scenario in (order, fan_out, race, trip, cancelled, retrying, retried, restarting, additive, typed)
}


def placeless(record: Record) -> Record:
    """Without a trace, which would name the files of the machine that made it."""
    if isinstance(record, EndFailed):
        return attrs.evolve(record, failure=attrs.evolve(record.failure, trace=""))
    return record


def make(name: str) -> str:
    """The text of one history."""
    run = SCENARIOS[name]()
    assert run.ended, f"{name} did not end: {run.open}"
    stored: Any = run.last.progress.stored  # type: ignore[union-attr]
    row = attrs.evolve(run.row, stored=stored, owner=None, length=len(run.history), started_at=run.history[0].at)
    return "".join(f"{line}\n" for line in export_lines(row, run.events, map(placeless, run.history)))


def main(names: list[str]) -> None:
    for name in names or SCENARIOS:
        path = RUNS / f"{name}.jsonl"
        if path.exists():
            print(f"{path.name} exists: a golden history is made once; delete it if it was never released")
            continue
        path.write_text(make(name))
        print(f"{path.name}: {len(path.read_text().splitlines()) - 1} records")


if __name__ == "__main__":
    main(sys.argv[1:])
