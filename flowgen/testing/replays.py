"""`assert_replays`: a recorded history against today's code.

The fold that an engine does when it takes a run over is done here without an engine: each record is fed
to the code, which must ask for just that. What replays can be deployed while such runs are open; what
does not would park them.

Refuses to know stores and engines: it takes records, or an exported file of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from ..codec import describe, import_lines
from ..context import Context
from ..ends import BodyRaised, BodyRestarted, BodyReturned
from ..errors import NondeterminismError, UndecodableError
from ..events import AcceptedEvent, restore
from ..history import EndCompleted, EndFailed, Record
from ..interpreter import Interpreter
from ..outcome import Json
from ..runs import RunRow
from ..workflow import Workflow
from .clock import START
from .events import trigger_event


class RecordedRun(Protocol):
    """A run with its events and its history: what a store loads, and an export holds."""

    @property
    def row(self) -> RunRow: ...
    @property
    def events(self) -> tuple[AcceptedEvent, ...]: ...
    @property
    def records(self) -> Sequence[Record]: ...


def assert_replays(
    workflow: Workflow[Any, Any],
    history: RecordedRun | list[Record] | tuple[Record, ...] | str | Path,
    data: Any = None,
) -> None:
    """Assert that `workflow`, as it is today, asks for just what this history recorded.

    `history` is the path of an export (`flowgen runs export`), a run as `engine.load` gives it, or a list of
    records as `engine.history` gives it. Records alone do not say which event started the run: where the
    body reads it, `data` is the event's data (or the `Event`).

    Raises `AssertionError` with the record that disagrees, both sides, and the line of the `yield`.
    """
    row, events, records = _recorded(workflow, history, data)
    interpreter = _interpreter(workflow, row, events)
    try:
        interpreter.replay(records)
    except NondeterminismError as error:
        raise AssertionError(_disagreement(workflow, records, interpreter.position, error)) from error
    finally:
        interpreter.close()
    if records:
        _check_end(workflow, interpreter, records[-1])


def _recorded(
    workflow: Workflow[Any, Any], history: RecordedRun | list[Record] | tuple[Record, ...] | str | Path, data: Any
) -> tuple[RunRow, tuple[AcceptedEvent, ...], Sequence[Record]]:
    if isinstance(history, str | Path):
        with Path(history).open(encoding="utf-8") as file:
            exported = import_lines(file)
        return exported.row, exported.events, exported.records
    if not isinstance(history, list | tuple):
        return history.row, history.events, history.records
    at = history[0].at if history else START
    row = RunRow(workflow.app, "test-run", workflow.id, at, seed=0)
    return row, (trigger_event(workflow, data, at),), history


def _interpreter(workflow: Workflow[Any, Any], row: RunRow, events: tuple[AcceptedEvent, ...]) -> Interpreter:
    try:
        restored = [restore(event, workflow.class_of(event.name)) for event in events]
    except UndecodableError as error:
        raise AssertionError(f"the event that started run {row.id} does not fit {workflow!r}: {error}") from error
    context = Context(restored, run_id=row.id, workflow_id=row.workflow, seed=row.seed, clock=row.created_at)
    interpreter = Interpreter(workflow, context)
    interpreter.inherit(row.since)
    return interpreter


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
