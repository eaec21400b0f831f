"""Waiting for the end of runs: here, or in another process that shares the store.

A run that is driven in this process hands its terminal record over as soon as it is committed. Any
other is looked at each quarter of a second: one task wakes all who wait for such runs, because a deadline
for each of them would cost as much as a step. Without a worker, the store says when it may have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import trio

from ..app import App
from ..errors import NotFound, RunCancelledError, RunFailed, RunSkipped
from ..history import End, EndCancelled, EndCompleted, EndFailed, Record
from ..runs import RunRow
from ..values import decode, decoder
from .offers import RunKey
from .store import TAIL, Loaded, Store
from .worker import Worker

_POLL_SECONDS = 0.25


@attrs.define(eq=False)
class _Waiter:
    """Somebody who waits for a run: the event is set when `end` is there, or it is time to look."""

    event: trio.Event = attrs.Factory(trio.Event)
    workflow: str = ""
    end: End | None = None


class Results:
    """Waits for results, in the name of an engine. `apps` say to which type a result is restored."""

    def __init__(self, apps: Mapping[str, App], store: Store, worker: Worker | None) -> None:
        self._apps = apps
        self._store = store
        self._worker = worker
        self._waiters: dict[RunKey, list[_Waiter]] = {}
        self._watched = False
        if worker is not None:
            worker.ended = self._run_ended

    async def wait(self, app: str, run: str) -> Any:
        """What the run returned, once it has ended; follows restarts. Raises as `Engine.result` does."""
        while True:
            workflow, reason, end = await self._ended(app, run)
            match end:
                case EndCompleted(restarted_as=str(successor)):
                    run = successor
                case EndCompleted(result=result):
                    return self._restored(app, workflow, result)
                case EndFailed(failure=failure):
                    raise RunFailed(run, failure)
                case EndCancelled(reason=why):
                    raise RunCancelledError(why, run)
                case _:
                    raise RunSkipped(reason or "skipped", run)

    async def _ended(self, app: str, run: str) -> tuple[str, str | None, Record | None]:
        """The workflow of a run, its reason and its terminal record, as soon as it has one."""
        waiter = _Waiter()
        waiters = self._waiters.setdefault((app, run), [])
        waiters.append(waiter)
        try:
            while True:
                if self._worker is None or (app, run) not in self._worker.leases:
                    loaded = await self._store.load(app, run, TAIL)
                    if loaded is None:
                        raise NotFound(f"there is no run {run!r} in this store")
                    if not loaded.row.open:
                        return loaded.row.workflow, loaded.row.reason, await end_of(self._store, loaded)
                await self._wait_a_moment(waiter)
                if waiter.end is not None:
                    return waiter.workflow, None, waiter.end
        finally:
            waiters.remove(waiter)
            if not waiters:
                self._waiters.pop((app, run), None)

    async def _wait_a_moment(self, waiter: _Waiter) -> None:
        if self._worker is None:
            await self._store.wait_changed(_POLL_SECONDS)
            return
        if not self._watched:
            self._watched = True
            self._worker.beside(self._watch)
        await waiter.event.wait()
        waiter.event = trio.Event()

    async def _watch(self) -> None:
        """Wake those who wait for runs that are not driven here, from time to time, as long as anybody waits."""
        assert self._worker is not None
        try:
            while self._waiters:
                await trio.sleep(_POLL_SECONDS)
                for key in self._waiters.keys() - self._worker.leases.keys():
                    for waiter in self._waiters[key]:
                        waiter.event.set()
        finally:
            self._watched = False

    def _run_ended(self, row: RunRow, end: End) -> None:
        for waiter in self._waiters.get((row.app, row.id), ()):
            waiter.workflow, waiter.end = row.workflow, end
            waiter.event.set()

    def _restored(self, app: str, workflow: str, result: Any) -> Any:
        """A result as the annotation of its workflow says, if that is known here."""
        offered = self._apps[app].workflows.get(workflow) if app in self._apps else None
        if offered is None or offered.returns is None:
            return decode(result)
        return decoder(offered.returns)(result)


async def end_of(store: Store, loaded: Loaded) -> Record | None:
    """The terminal record of a run, None if it is open or has none (a skipped one)."""
    row = loaded.row
    if row.open or not row.length:
        return None
    if loaded.records:
        return loaded.records[-1]
    tail = await store.load(row.app, row.id, row.length - 1)
    return tail.records[-1] if tail is not None and tail.records else None
