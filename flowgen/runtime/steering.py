"""Steering single runs: cancel, signal, retry, rerun. Decide, commit, and decide again if others were faster.

Refuses to know: who asks (`engine` for one run, `bulk` for many), and how runs are found.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import trio

from ..decisions import cancel_run, rerun, retry_run, send_signal
from ..edits import NONE as NO_EDITS
from ..edits import Edits
from ..errors import InvalidInput, NotFound, WrongState
from ..facts import Facts, Questions
from ..routing import RouteTable
from ..runs import RunRow
from ..signals import signal_key
from ..transition import Transition
from ..values import encode
from .committer import Committer
from .environment import Environment
from .lookup import informed, open_successor
from .store import Loaded, Refused, RunEnded, Store

_TRIES = 100


class Steering:
    """Steers the runs of a store. `routes` gives the registrations in force."""

    def __init__(
        self,
        store: Store,
        environment: Environment,
        committer: Committer,
        routes: Callable[[], Awaitable[RouteTable]],
    ) -> None:
        self._store = store
        self._environment = environment
        self._committer = committer
        self._routes = routes

    async def cancel(self, row: RunRow, reason: str) -> None:
        """Ask a run to end, or the one that it has become by restarts. Raises `WrongState` if that has ended."""
        request = self._environment.new_id()
        for _ in range(_TRIES):
            target = await open_successor(self._store, row.app, row.id) or row.id
            try:
                await self._committer.commit(cancel_run(row.app, target, reason, request))
                return
            except RunEnded as ended:
                if (
                    ended.status is None
                    or target == row.id
                    or await open_successor(self._store, row.app, row.id) is None
                ):
                    status = ended.status or "unknown"
                    raise WrongState(row.id, status, f"run {row.id} is {ended.status} already") from None
        raise InvalidInput(f"run {row.id} could not be cancelled: it keeps restarting")

    async def retry(self, app: str, run: str, *, dry_run: bool = False) -> None:
        """Let a failed or parked run go on. Raises `WrongState` with the reason if it cannot."""
        for _ in range(_TRIES):
            loaded = await self._load(app, run)
            transition = await self._decide(partial(_retry, loaded))
            if dry_run or await self._committed(transition):
                return
        raise InvalidInput(f"run {run} could not be retried: others keep changing it")

    async def rerun(
        self, app: str, run: str, *, from_step: str | None = None, edits: Edits = NO_EDITS, dry_run: bool = False
    ) -> str:
        """Start a fresh run with the events of another, or with edited ones; gives its id."""
        created = self._environment.new_id()
        for _ in range(_TRIES):
            loaded = await self._load(app, run)
            transition = await self._decide(partial(_rerun, loaded, created, self._environment.now(), from_step, edits))
            if dry_run or await self._committed(transition):
                return created
        raise InvalidInput(f"run {run} could not be run again: others keep using the same keys at the same time")

    async def signal(self, app: str, name: str, data: Any) -> None:
        """Give a signal to the run that waits for it. Raises `NotFound` if none does."""
        payload = encode(data, f"the data of signal {name!r}")
        request, key = self._environment.new_id(), signal_key(name)
        for _ in range(_TRIES):
            held = (await self._store.find_keys(app, [key])).get(key)
            if await self._committed(send_signal(app, name, payload, held, request)):
                return
        raise NotFound(f"the waiters of signal {name!r} kept changing")

    async def _load(self, app: str, run: str) -> Loaded:
        loaded = await self._store.load(app, run)
        if loaded is None:
            raise NotFound(f"there is no run {run!r} in this store")
        return loaded

    async def _decide(self, decide: Callable[[Facts], Transition | Questions]) -> Transition:
        facts = Facts(await self._routes())
        return await informed(self._store, facts, lambda: decide(facts))

    async def _committed(self, transition: Transition) -> bool:
        try:
            await self._committer.commit(transition)
        except Refused:
            await trio.sleep(self._environment.luck() * 0.01)
            return False
        return True


def _retry(loaded: Loaded, facts: Facts) -> Transition | Questions:
    return retry_run(loaded.row, loaded.records, facts, loaded.now)


def _rerun(
    loaded: Loaded, created: str, now: int, from_step: str | None, edits: Edits, facts: Facts
) -> Transition | Questions:
    return rerun(loaded.row, loaded.events, loaded.records, created, facts, now, from_step, edits)
