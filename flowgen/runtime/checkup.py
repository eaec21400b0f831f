"""Reads a whole store for the doctor, in pages, and looks twice at what seems to be wrong.

Engines may work meanwhile: what belongs together is then read at different moments. So a difference counts only
if it is found again, unchanged, in a run that nobody has touched between the two looks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import attrs
import msgspec
import trio

from ..admission import limits_of
from ..doctor import (
    Finding,
    Patient,
    Ready,
    cell_names,
    examine,
    examine_cell,
    examine_schedules,
    invoked,
    key_names,
)
from ..errors import FlowgenError, StoreError
from ..flow_control import Policies
from ..routing import RouteTable
from ..runs import RunRow
from ..schedules import schedule_key
from .lookup import load_routes, rows_started_by
from .paging import Pages
from .store import TAIL, DamagedRun, Loaded, RunFilter, Store, Who

DOCTOR = "flowgen doctor"
"""The worker and the code digest in whose name it asks when something is due; it never claims."""

_LOOKS = 3
_BETWEEN_LOOKS = 0.1
_CELLS = 10_000
"""The cells that were looked at last are not looked at again."""

_DAMAGE = (DamagedRun, FlowgenError, msgspec.MsgspecError, ValueError, TypeError, KeyError)


@attrs.frozen
class Report:
    """What a check-up has found, in how many runs and events."""

    runs: int
    events: int
    findings: tuple[Finding, ...]


async def check_up(store: Store) -> Report:
    """Look at everything in a store. Changes nothing."""
    checkup = _Checkup(store, await load_routes(store))
    return await checkup.run()


class _Checkup:
    def __init__(self, store: Store, routes: RouteTable) -> None:
        self._store = store
        self._routes = routes
        self._findings: list[Finding] = []
        self._cells: set[tuple[str, str]] = set()
        self._runs = 0

    async def run(self) -> Report:
        for status in (None, "schedule"):
            async for row in self._rows(RunFilter(status=status)):
                self._runs += 1
                await self._look_at_run(row)
        for route in self._routes:
            await self._look_at_schedules(route.app, route.definition.id)
            await self._look_at_ready(route.app, route.definition.id)
        return Report(self._runs, await self._look_at_events(), tuple(self._findings))

    def _rows(self, where: RunFilter) -> AsyncIterator[RunRow]:
        return Pages(partial(self._store.find_runs, where)).items()

    # -- one run ----------------------------------------------------------------------------------

    async def _look_at_run(self, row: RunRow) -> None:
        """What is found each time that one looks."""
        found = await self._examined(row)
        for _ in range(_LOOKS - 1):
            if not found:
                return
            await trio.sleep(_BETWEEN_LOOKS)
            before = {(finding.code, finding.subject) for finding in found}
            found = [f for f in await self._examined(row) if (f.code, f.subject) in before]
        self._findings += found

    async def _examined(self, row: RunRow) -> list[Finding]:
        try:
            loaded = await self._store.load(row.app, row.id)
            if loaded is None:
                return []
            patient = await self._admit(loaded)
            return [*examine(patient), *await self._examined_cells(patient)]
        except _DAMAGE as error:
            if isinstance(error, StoreError) and not isinstance(error, DamagedRun):
                raise
            return [Finding("unreadable", row.app, row.id, f"it cannot be read: {error}")]

    async def _admit(self, loaded: Loaded) -> Patient:
        """A run and its neighbourhood."""
        row = loaded.row
        patient = Patient(
            row, loaded.events, loaded.records, loaded.mail, loaded.now, self._policies(row.app, row.workflow)
        )
        waits = await self._store.open_waits(row.app, row.id)
        names = sorted(key_names(patient))
        keys = await self._store.find_keys(row.app, names) if names else {}
        children = {step: await self._followed(terms.app, terms.child) for step, terms in invoked(patient)}
        return attrs.evolve(patient, waits=waits, keys=keys, children=children)

    def _policies(self, app: str, workflow: str) -> Policies:
        route = self._routes.find(app, workflow)
        return route.definition.policies if route is not None else Policies()

    async def _followed(self, app: str, child: str) -> tuple[RunRow, ...]:
        """The runs that an invoke has led to: the child, what it restarted as, or what it was collected into."""
        loaded = await self._store.load(app, child, TAIL)
        rows = [loaded.row] if loaded is not None else await rows_started_by(self._store, child)
        for row in rows:
            if row.restarted_as is not None:
                rows += await self._followed(row.app, row.restarted_as)
                break
        return tuple(rows)

    async def _examined_cells(self, patient: Patient) -> list[Finding]:
        app = patient.row.app
        names = [name for name in cell_names(patient) if (app, name) not in self._cells]
        if not names:
            return []
        found = []
        for cell in (await self._store.cells(app, names)).values():
            wrong = examine_cell(app, cell, patient.now)
            found += wrong
            if not wrong and len(self._cells) < _CELLS:
                self._cells.add((app, cell.name))
        return found

    # -- the whole --------------------------------------------------------------------------------

    async def _look_at_schedules(self, app: str, workflow: str) -> None:
        route = self._routes.find(app, workflow)
        texts = [schedule.text for schedule in route.definition.schedules] if route is not None else []
        if texts:
            keys = await self._store.find_keys(app, [schedule_key(workflow, text) for text in texts])
            alive = [row.id async for row in self._rows(RunFilter(app, workflow, "schedule")) if row.open]
            self._findings += examine_schedules(app, workflow, texts, keys, alive)

    async def _look_at_ready(self, app: str, workflow: str) -> None:
        """Whether a worker that offers the workflow would be told of its first run that is ready."""
        limits = limits_of(self._policies(app, workflow))
        who = Who(DOCTOR, {(app, workflow): DOCTOR}, {(app, workflow): limits})
        before: tuple[int, str, int] | None = None
        for look in range(_LOOKS):
            first = await self._first_ready(app, workflow)
            told = await self._store.next_due(who)
            if first is None or (told is not None and told <= max(first[0], await self._store.now())):
                return
            at, row = first
            if look and before != (at, row.id, row.fence):
                return
            before = (at, row.id, row.fence)
            await trio.sleep(_BETWEEN_LOOKS)
        message = f"run {row.id} is ready at {at}, but a worker would look again at {told}: it is not listed"
        self._findings.append(Finding("ready", app, workflow, message))

    async def _first_ready(self, app: str, workflow: str) -> tuple[int, RunRow] | None:
        ready = Ready(await self._store.now())
        for status in ("open", "schedule"):
            async for row in self._rows(RunFilter(app, workflow, status)):
                if row.open:
                    ready.add(row)
        return ready.result()

    async def _look_at_events(self) -> int:
        pages = Pages(partial(self._store.find_events, None))
        return sum([len(page.items) async for page in pages])
