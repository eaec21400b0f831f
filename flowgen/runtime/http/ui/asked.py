"""When each step of a run was asked for: replayed on the code that wrote the history.

A body step leaves no record when it begins, only when it ends; but what a body asks for follows from its history. So
the history is fed to the code once more, and what it asks for after each record began at the time of that record.

Only the code that the run began on is asked (the same digest), and only as far as it has been before: then it
does again what it did then, and cannot hang. A rerun from a step does not say what it began on; today's code is
asked, and may run so many lines (`LINES`). Whatever else happens, nothing is known, and others guess.

Refuses to know how it is shown.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType
from typing import Any, Final

import attrs

from ....errors import FlowgenError
from ....history import ENDS, Started, effective
from ....runs import RunRow
from ....verdicts import interpreter_of
from ....workflow import Workflow
from ...digest import code_digest
from ...store import Loaded
from ...worker import Worker

LONGEST: Final = 2_000
"""Longer histories are not replayed for a picture."""

LINES: Final = 200_000
"""Code that may not have been there before is left when it has run so many lines of its own."""

_OWN: Final = str(Path(__file__).parents[3])


@attrs.frozen
class Asked:
    """What a body asked for: the time of each step's request, those that were given up, and the bodies still open."""

    at: Mapping[str, int] = attrs.Factory(dict)
    abandoned: Mapping[str, int] = attrs.Factory(dict)
    executing: tuple[str, ...] = ()
    known: bool = False


NOTHING: Final = Asked()


def executing_here(worker: Worker | None, row: RunRow) -> tuple[str, ...]:
    """The bodies that a run has asked for and that have not come back, if it is driven in this process."""
    drive = worker.drives.get((row.app, row.id)) if worker is not None else None
    if drive is None:
        return ()
    return tuple(step.id for step in drive.owned.interpreter.pending.values() if step.kind == "run")


def asked_for(workflow: Workflow[Any, Any] | None, loaded: Loaded, executing: tuple[str, ...] = ()) -> Asked:
    """What the run asked for and when, as far as `workflow` is the code that it began on.

    `executing` are the bodies that are known to be open: all that can be told of a run that has only begun.
    """
    records = loaded.records
    if len(records) == 1 and executing:
        return Asked(executing=executing, known=True)
    if workflow is None or not 2 <= len(records) <= LONGEST or not loaded.events:
        return NOTHING
    begun = records[0]
    if not isinstance(begun, Started) or begun.digest not in ("", code_digest(workflow)):
        return NOTHING
    try:
        with _bounded(LINES) if not begun.digest else nullcontext():
            return _replayed(workflow, loaded)
    except (FlowgenError, _SpinsError):
        return NOTHING


class _SpinsError(BaseException):
    """The code has run too many lines. Thrown into bodies, which may catch every `Exception`."""


@contextmanager
def _bounded(lines: int) -> Iterator[None]:
    """Let code of users run so many lines in this thread."""
    left = lines

    def count(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise _SpinsError
        return count

    def enter(frame: FrameType, event: str, argument: Any) -> Any:
        return None if frame.f_code.co_filename.startswith(_OWN) else count

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        yield
    finally:
        sys.settrace(before)


def _replayed(workflow: Workflow[Any, Any], loaded: Loaded) -> Asked:
    interpreter = interpreter_of(workflow, loaded)
    at: dict[str, int] = {}
    abandoned: dict[str, int] = {}
    try:
        for position, record in effective(loaded.records):
            if isinstance(record, ENDS):
                break
            interpreter.position = position
            interpreter.feed(record)
            for step in interpreter.take_fresh():
                at[step.id] = record.at
            for step in interpreter.take_abandoned():
                abandoned[step.id] = record.at
        executing = tuple(step.id for step in interpreter.pending.values() if step.kind == "run")
        return Asked(at, abandoned, executing if loaded.row.open else (), known=True)
    finally:
        interpreter.close()
