"""W7: a history of 100,000 records folded into a live generator.

The history is made by an interpreter that is fed its own outcomes, with the fingerprints that a live
run would have recorded. In memory the clock runs over `Interpreter.replay` alone; from SQLite over
`Store.load` (which reads, checks and decodes the records) and the replay. Afterwards the generator must
stand where a live one would, and a record of a call with other arguments must be refused: a replay that
does not look is not what was measured.
"""

from __future__ import annotations

import resource
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import trio

from bench.bare import Bare
from bench.catalogue import Workload
from bench.timing import Sample, Stopwatch, expect, median
from flowgen import App, Context, NondeterminismError, Run, Steps, Workflow
from flowgen.events import AcceptedEvent, restore
from flowgen.history import Record, Started, StepSucceeded
from flowgen.interpreter import Interpreter
from flowgen.outcome import Json
from flowgen.runs import RunRow
from flowgen.runtime.stores import SqliteStore
from flowgen.transition import NewRun, Transition
from flowgen.values import digest, encode, preview

RECORDS, QUICK_RECORDS = 100_000, 5_000
AT = 1_750_000_000_000_000
EVENT = AcceptedEvent("event", "flowgen/run.invoked", Json(b"{}"), AT, AT, position=1)


@attrs.frozen
class Receipt:
    """A result as a step of a shop might have it."""

    order: str
    total: float
    paid_at: datetime
    lines: list[int]


def _typed(order: str, number: int) -> Receipt:
    return Receipt(order, number * 1.25, datetime.fromtimestamp(number, UTC), [number, 2, 3])


def _plain(order: str, number: int) -> Any:
    return {"order": order, "total": number * 1.25, "paid_at": number, "lines": [number, 2, 3]}


def sample(workload: Workload, directory: Path, quick: bool) -> Sample:
    """Measure one variant: `typed` or `json` results in memory; `sqlite`, `sqlite-typed` from a store."""
    length = QUICK_RECORDS if quick else RECORDS
    body = _typed if workload.variant.endswith("typed") else _plain
    workflow = _workflow(body, length)
    history = make_history(workflow, body, length)
    if workload.variant.startswith("sqlite"):
        interpreter, watch, commit = trio.run(_from_sqlite, workflow, history, directory)
    else:
        interpreter, commit = _interpreter(workflow), None
        with Stopwatch() as watch:
            interpreter.replay(history)
    expect(interpreter.position == length, f"{interpreter.position} of {length} records were replayed")
    expect(list(interpreter.pending) == [f"pay:{length - 1}"], f"pending is {list(interpreter.pending)[:3]}")
    _check_refuses(workflow, history)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    return Sample({"rate": length / watch.wall}, commit, watch.cpu / length, {"peak_resident_mb": peak})


def _workflow(body: Any, length: int) -> Workflow[Any, Any]:
    """A workflow that asks for one step more than its history has outcomes."""
    app = App("bench")

    @app.workflow(max_steps=length)
    def paying(ctx: Context[dict[str, Any]]) -> Steps[int]:
        paid = 0
        for number in range(length):
            receipt = yield Run("pay", body, "order-1", number)
            paid += receipt is not None
        return paid

    return paying


def _interpreter(workflow: Workflow[Any, Any]) -> Interpreter:
    context: Context[Any] = Context([restore(EVENT, None)], run_id="run", workflow_id=workflow.id, seed=1, clock=AT)
    return Interpreter(workflow, context)


def make_history(workflow: Workflow[Any, Any], body: Any, length: int) -> list[Record]:
    """What a live run would have recorded: its start and all outcomes but the last."""
    interpreter = _interpreter(workflow)
    history: list[Record] = [Started(AT, "digest")]
    interpreter.feed(history[0])
    for number in range(length - 1):
        (step,) = interpreter.take_fresh()
        value = encode(body(*step.command.args), "a result")
        record = StepSucceeded(AT + number, step.id, value, "run", step.digest, preview(step.arguments))
        interpreter.feed(record)
        history.append(record)
    interpreter.close()
    return history


async def _from_sqlite(
    workflow: Workflow[Any, Any], history: list[Record], directory: Path
) -> tuple[Interpreter, Stopwatch, float]:
    bare = Bare(directory)
    commit = median(bare.back_to_back())
    bare.close()
    store = SqliteStore(directory / "store.db")
    await store.open()
    row = RunRow("bench", "run", workflow.id, AT, 1, due_at=AT, length=len(history))
    await store.commit(Transition("made", create=(NewRun(row, (EVENT,), tuple(history)),)))
    interpreter = _interpreter(workflow)
    with Stopwatch() as watch:
        loaded = await store.load("bench", "run")
        expect(loaded is not None, "the run is not in the store")
        assert loaded is not None
        interpreter.replay(loaded.records)
    await store.close()
    return interpreter, watch, commit


def _check_refuses(workflow: Workflow[Any, Any], history: list[Record]) -> None:
    """A call with other arguments, and so another fingerprint, is found."""
    last = history[-1]
    assert isinstance(last, StepSucceeded)
    arguments = Json(b'[["order-2",0],{}]')
    planted = [*history[:-1], attrs.evolve(last, arguments=arguments, digest=digest("run", arguments))]
    try:
        _interpreter(workflow).replay(planted)
    except NondeterminismError:
        return
    expect(False, "a record of a call with other arguments was replayed as if it fitted")
