"""Starting one run directly: it is created with an event of its own, once for each run id.

A run id makes starting safe to repeat: who names a run that exists, of the same workflow and with the same data, means
that run. Where a workflow collects its events (a debounce, a batch), the run that is open takes the data in, and is
meant by that id from then on.

Refuses to know: what flow control makes of a run (`decisions`), and how the runs that it creates are driven.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from ..decisions import start_run
from ..errors import InvalidInput
from ..facts import Facts
from ..flow_control import Policies
from ..outcome import Json
from ..routing import RouteTable
from ..runs import EventCollected
from ..transition import NewRun, Transition
from ..values import encode
from .environment import Environment
from .lookup import informed, rows_started_by
from .store import TAIL, Duplicate, Refused, Store
from .worker import Worker

_TRIES = 100

Create = Callable[[Transition, list[NewRun]], Awaitable[None]]
"""Commits what creates runs, and begins those of them that were claimed for this engine with it."""


class Starting:
    """Starts runs in a store; `worker` begins them at once if it has room for them."""

    def __init__(self, store: Store, environment: Environment, worker: Worker | None, create: Create) -> None:
        self._store = store
        self._environment = environment
        self._worker = worker
        self._create = create

    async def start(self, app: str, workflow: str, data: Any, run_id: str | None, routes: RouteTable) -> str:
        """Start a run, and give the id of the one that has the data. Raises `InvalidInput`."""
        run = _check_run_id(run_id) if run_id is not None else self._environment.new_id()
        payload = _encode_data(data if data is not None else {}, f"the data of workflow {workflow!r}")
        request = self._environment.new_id()
        again = run_id is not None and _collects(routes, app, workflow)
        for _ in range(_TRIES):
            if again and (collector := await self._collector(app, workflow, run, payload)) is not None:
                return collector
            facts = Facts(routes)
            claim = self._worker.claim_at_once() if self._worker is not None else None
            now = self._environment.now()
            decide = partial(start_run, app, workflow, run, payload, facts, now, request, claim)
            started, transition = await informed(self._store, facts, decide)
            try:
                await self._create(transition, claim.claimed if claim is not None else [])
            except Duplicate as duplicate:
                if duplicate.name == run and not again:
                    return await self._same(app, workflow, run, payload)
                if duplicate.name == run and await self._collector(app, workflow, run, payload) is None:
                    raise _run_id_used(run) from None
                await trio.sleep(self._environment.luck() * 0.01)
            except Refused:
                await trio.sleep(self._environment.luck() * 0.01)
            else:
                return started
        raise InvalidInput(
            f"workflow {workflow!r} could not be started: others keep using the same keys at the same time"
        )

    async def _same(self, app: str, workflow: str, run: str, payload: Json) -> str:
        """A run whose id exists, if it is of the same workflow and data."""
        loaded = await self._store.load(app, run, TAIL)
        if loaded is None or loaded.row.workflow != workflow or bytes(loaded.events[0].data) != bytes(payload):
            raise _run_id_used(run)
        return run

    async def _collector(self, app: str, workflow: str, run: str, payload: Json) -> str | None:
        """The run into which an earlier start with this run id was collected, if it had the same data.

        A debounce may have dropped that data by now.
        """
        for row in await rows_started_by(self._store, run):
            loaded = await self._store.load(row.app, row.id, TAIL)
            if loaded is None or (row.app, row.workflow) != (app, workflow):
                continue
            collected = (mail.message.body for mail in loaded.mail)
            events = (*loaded.events, *(body.event for body in collected if isinstance(body, EventCollected)))
            if any(event.id == run and bytes(event.data) != bytes(payload) for event in events):
                raise InvalidInput(f"run id {run!r} is already used, with other data, in run {row.id}")
            return row.id
        return None


def _encode_data(data: Any, what: str) -> Json:
    """The data of an event: a JSON object."""
    payload = encode(data, what)
    if bytes(payload)[:1] != b"{":
        shown = bytes(payload)[:50].decode(errors="ignore")
        raise InvalidInput(f"{what}: {shown} must be an object, because it becomes ctx.event.data; wrap it")
    return payload


def _run_id_used(run: str) -> InvalidInput:
    return InvalidInput(f"run id {run!r} is already used, by another workflow or with other data")


def _collects(routes: RouteTable, app: str, workflow: str) -> bool:
    """Whether runs of a workflow collect their events."""
    route = routes.find(app, workflow)
    policies = route.definition.policies if route is not None else Policies()
    return policies.debounce is not None or policies.batch is not None


def _check_run_id(run_id: Any) -> str:
    if not isinstance(run_id, str) or not 1 <= len(run_id) <= 128 or not run_id.isprintable() or "/" in run_id:
        raise InvalidInput(f"run_id={run_id!r}: say 1 to 128 printable characters without a slash")
    return run_id
