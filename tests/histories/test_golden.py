"""Golden histories: what earlier versions have written replays with its workflow, for ever (R20, I17)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowgen import Context
from flowgen.codec import Exported, export_lines, import_lines
from flowgen.ends import BodyCancelled, BodyRaised, BodyRestarted, BodyReturned
from flowgen.events import restore
from flowgen.history import EndCancelled, EndCompleted, EndFailed, Record, Requested, Retried
from flowgen.interpreter import Interpreter
from tests.bodies import picture
from tests.histories.make import SCENARIOS
from tests.histories.workflows import app
from tests.owner import check_history

RUNS = Path(__file__).parent / "runs"
FILES = sorted(RUNS.glob("*.jsonl"))


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@pytest.fixture
def golden(path: Path) -> Exported:
    with path.open() as lines:
        return import_lines(lines)


def interpreter_of(golden: Exported) -> Interpreter:
    workflow = app.workflows[golden.row.workflow]
    events = [restore(event, workflow.class_of(event.name)) for event in golden.events]
    context: Context[Any] = Context(events, run_id=golden.row.id, workflow_id=workflow.id, seed=golden.row.seed)
    return Interpreter(workflow, context)


def replayed(golden: Exported, length: int) -> Interpreter:
    interpreter = interpreter_of(golden)
    interpreter.replay(golden.records[:length])
    return interpreter


def test_each_scenario_has_its_history() -> None:
    """None was lost, and none is there that nobody can explain."""
    assert [path.stem for path in FILES] == sorted(SCENARIOS)


def test_a_history_replays_to_its_end(golden: Exported) -> None:
    """With today's code and today's interpreter: no divergence, and the end that was recorded."""
    interpreter = replayed(golden, len(golden.records))
    end = golden.records[-1]
    match interpreter.end:
        case BodyReturned(data):
            assert isinstance(end, EndCompleted)
            assert bytes(data) == bytes(end.result)
        case BodyRestarted():
            assert isinstance(end, EndCompleted)
            assert end.restarted_as is not None
        case BodyRaised(failure, step):
            assert isinstance(end, EndFailed)
            assert (failure.type, failure.message, step) == (end.failure.type, end.failure.message, end.step)
        case BodyCancelled(reason):
            assert isinstance(end, EndCancelled)
            assert reason == end.reason
        case None:
            raise AssertionError(f"it did not end: {list(interpreter.pending)}")


def test_every_prefix_asks_for_what_comes_next(golden: Exported) -> None:
    """At every length: the replay stands, and the next step record is about a step that is open.

    (Additive code may meet a record before its step, so there only the replay itself is looked at.)
    """
    additive = app.workflows[golden.row.workflow].changes == "additive"
    for length in range(1, len(golden.records)):
        interpreter = replayed(golden, length)
        following: Record = golden.records[length]
        step = getattr(following, "step", None)
        if step is not None and not isinstance(following, EndFailed) and not additive:
            assert step in interpreter.pending, (
                f"record {length} is about {step!r}, open are {list(interpreter.pending)}"
            )
            if isinstance(following, Requested):
                assert interpreter.pending[step].digest == following.digest
        interpreter.close()


def test_a_history_that_is_read_and_fed_one_by_one_is_the_same(golden: Exported) -> None:
    """Live and replayed, without retries."""
    if any(isinstance(record, Retried) for record in golden.records):
        pytest.skip("what was retried is only ever replayed")
    live = interpreter_of(golden)
    for record in golden.records:
        live.feed(record)
    assert picture(live) == picture(replayed(golden, len(golden.records)))


def test_a_history_is_well_formed(golden: Exported) -> None:
    """I6 to I8."""
    check_history(list(golden.records))


def test_the_format_is_pinned(path: Path, golden: Exported) -> None:
    """Written again, each line has the bytes that it had: format 1 is frozen."""
    assert "".join(f"{line}\n" for line in export_lines(golden.row, golden.events, golden.records)) == path.read_text()


def test_no_history_names_the_machine_that_made_it(path: Path) -> None:
    """Traces are left out of them."""
    assert '"trace"' not in path.read_text()
    assert ".py" not in path.read_text()


def test_between_them_they_hold_every_kind_of_record() -> None:
    """Each record class and each kind of step occurs."""
    records = [record for path in FILES for record in import_lines(path.read_text().splitlines()).records]
    assert {type(record).__name__ for record in records} == {
        *("Started", "Requested", "AttemptFailed", "StepSucceeded", "StepFailed", "CancelAccepted"),
        *("CleanupExpired", "Retried", "EndCompleted", "EndFailed", "EndCancelled"),
    }
    kinds = {record.kind for record in records if isinstance(record, Requested)}
    assert kinds == {"sleep", "wait", "signal", "invoke", "send", "send_signal"}
