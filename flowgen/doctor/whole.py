"""Checks of what belongs to no run alone: cells, schedules, and whether workers are told of what is ready."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import msgspec

from ..outcome import Json
from ..runs import RunRow
from ..schedules import schedule_key
from ..transition import Cell, Key
from .patient import Finding

_TIMES = msgspec.json.Decoder(list[int])
_TIME = msgspec.json.Decoder(int)


def examine_cell(app: str, cell: Cell, now: int) -> list[Finding]:
    """Whether a cell of flow control can be read, and makes sense."""
    value = cell.value or Json(b"null")
    try:
        times = _TIMES.decode(value) if cell.name.startswith("rate/") else [_TIME.decode(value)]
    except msgspec.MsgspecError as error:
        shown = bytes(value)[:60].decode(errors="replace")
        return [Finding("cell", app, cell.name, f"it cannot be read ({error}): {shown}")]
    if times != sorted(times):
        return [Finding("cell", app, cell.name, f"its times are not in order: {times[:10]}")]
    return []


def examine_schedules(
    app: str, workflow: str, texts: Iterable[str], keys: dict[str, Key], open_schedules: Iterable[str]
) -> list[Finding]:
    """Whether each schedule of a workflow has its run, among the schedule runs that are open."""
    alive = set(open_schedules)
    found = []
    for text in texts:
        held = keys.get(schedule_key(workflow, text))
        if held is None:
            found.append(Finding("schedule", app, workflow, f"schedule {text!r} has no run, so it never ticks"))
        elif held.holder not in alive:
            message = f"schedule {text!r} should be run {held.holder}, which is not there: it never ticks"
            found.append(Finding("schedule", app, workflow, message))
    return found


@attrs.define
class Ready:
    """When a worker must be told of the open runs of one workflow, at the latest: a fold over their rows.

    It keeps the first run, one for each slot, and the runs that are owned.
    """

    now: int
    first: tuple[int, RunRow] | None = None
    blocked: dict[str, RunRow] = attrs.Factory(dict)
    owned: list[RunRow] = attrs.Factory(list)

    def add(self, row: RunRow) -> None:
        """One more run."""
        if row.owner is not None:
            self.owned.append(row)
        if row.owner is None and row.wants and row.blocked_on is not None:
            self.blocked.setdefault(row.blocked_on, row)
        else:
            self._note(self._at(row), row)

    def result(self) -> tuple[int, RunRow] | None:
        """The time, and the run that is ready then."""
        for slot, row in self.blocked.items():
            self._note(self._free_at(slot, row), row)
        return self.first

    def _note(self, at: int | None, row: RunRow) -> None:
        if at is not None and (self.first is None or at < self.first[0]):
            self.first = at, row

    def _at(self, row: RunRow) -> int | None:
        if row.owner is not None or not row.wants or row.stored == "parked":
            return row.due_at
        start_at = row.start_at if row.started_at is None else None
        return self.now if start_at is None else start_at

    def _free_at(self, slot: str, row: RunRow) -> int | None:
        """When there may be room in a slot, at the latest: when the first holder is gone, whatever its limit is.

        Who holds a slot that is shared by the workflows of an app is not known here.
        """
        if slot.startswith("#"):
            return None
        ends = [r.due_at for r in self.owned if slot in r.slots and r.due_at is not None]
        return min(ends, default=self.now)
