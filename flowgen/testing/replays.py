"""`assert_replays`: a recorded history against today's code.

The fold that an engine does when it takes a run over is done here without an engine: each record is fed
to the code, which must ask for just that. What replays can be deployed while such runs are open; what
does not would park them.

Refuses to know stores and engines: it takes records, or an exported file of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..codec import Exported, describe, import_runs
from ..ends import BodyRaised, BodyRestarted, BodyReturned
from ..errors import NondeterminismError, UndecodableError
from ..history import EndCompleted, EndFailed, Record
from ..interpreter import Interpreter
from ..outcome import Json
from ..runs import RunRow
from ..verdicts import RecordedRun, interpreter_of
from ..workflow import Workflow
from .clock import START
from .events import trigger_event


def assert_replays(
    workflow: Workflow[Any, Any],
    history: RecordedRun | list[Record] | tuple[Record, ...] | str | Path,
    data: Any = None,
) -> None:
    """Assert that `workflow`, as it is today, asks for just what this history recorded.

    `history` is the path of an export (`flowgen runs export`), a run as `engine.load` gives it, or a list of
    records as `engine.history` gives it. Of an export with several runs those of this workflow are meant, and there
    has to be one. Records alone do not say which event started the run: where the body reads it, `data` is the
    event's data (or the `Event`).

    Raises `AssertionError` with the record that disagrees, both sides, and the line of the `yield`.
    """
    if not isinstance(history, str | Path):
        _assert_run_replays(workflow, _recorded(workflow, history, data))
        return
    for exported in _of_workflow(workflow, Path(history)):
        try:
            _assert_run_replays(workflow, exported)
        except AssertionError as error:
            raise AssertionError(f"run {exported.row.id} in {history}: {error}") from error.__cause__


def _of_workflow(workflow: Workflow[Any, Any], path: Path) -> Iterator[Exported]:
    """The runs in a file that are meant, one at a time: all of this workflow, or the only one that there is."""
    others: set[str] = set()
    found, first = False, None
    with path.open(encoding="utf-8") as file:
        for number, exported in enumerate(import_runs(file)):
            first = exported if number == 0 else None
            if exported.row.workflow == workflow.id:
                found = True
                yield exported
            else:
                others.add(exported.row.workflow)
    if not found and first is None:
        raise AssertionError(
            f"{path} has no run of {workflow!r}; its runs are of {', '.join(sorted(others)) or 'none'}"
        )
    if not found and first is not None:
        yield first


def _assert_run_replays(workflow: Workflow[Any, Any], run: RecordedRun) -> None:
    records = run.records
    try:
        interpreter = interpreter_of(workflow, run)
    except UndecodableError as error:
        raise AssertionError(f"the event that started run {run.row.id} does not fit {workflow!r}: {error}") from error
    try:
        interpreter.replay(records)
    except NondeterminismError as error:
        raise AssertionError(_disagreement(workflow, records, interpreter.position, error)) from error
    finally:
        interpreter.close()
    if records:
        _check_end(workflow, interpreter, records[-1])


def _recorded(
    workflow: Workflow[Any, Any], history: RecordedRun | list[Record] | tuple[Record, ...], data: Any
) -> RecordedRun:
    if not isinstance(history, list | tuple):
        return history
    at = history[0].at if history else START
    row = RunRow(workflow.app, "test-run", workflow.id, at, seed=0)
    return Exported(row, (trigger_event(workflow, data, at),), tuple(history))


def _disagreement(
    workflow: Workflow[Any, Any], records: Sequence[Record], position: int, error: NondeterminismError
) -> str:
    before = [f"  {n:4}  {describe(records[n])}" for n in range(max(0, position - 3), position)]
    at = [f"→ {position:4}  {describe(records[position])}"]
    return "\n".join(
        [f"{workflow!r} does not replay, at record {position} of {len(records)}:", *before, *at, str(error)]
    )


def _check_end(workflow: Workflow[Any, Any], interpreter: Interpreter, last: Record) -> None:
    """The end that was recorded is the one that the code comes to, where the code decides it."""
    match last, interpreter.end:
        case EndCompleted(result=recorded, restarted_as=None), BodyReturned(data):
            same = bytes(recorded) == bytes(data)
            recorded_text, code_text = f"returned {_text(recorded)}", f"returns {_text(data)}"
        case EndCompleted(restarted_as=str(successor)), BodyReturned(data):
            same, recorded_text, code_text = False, f"restarted as run {successor}", f"returns {_text(data)}"
        case EndCompleted(result=recorded, restarted_as=None), BodyRestarted(data):
            same, recorded_text, code_text = False, f"returned {_text(recorded)}", f"restarts with {_text(data)}"
        case EndCompleted(), BodyRaised(failure):
            same, recorded_text, code_text = False, "completed", f"raises {failure}"
        case EndFailed(failure=failure), BodyReturned(data):
            same, recorded_text, code_text = False, f"failed: {failure}", f"returns {_text(data)}"
        case _:
            return
    if not same:
        raise AssertionError(
            f"{workflow!r} replays, but ends differently\n  the history:  {recorded_text}\n  the code:     {code_text}"
        )


def _text(data: Json) -> str:
    return bytes(data).decode()
