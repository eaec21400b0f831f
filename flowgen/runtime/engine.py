"""The engine's verbs: how a program sends events, starts and steers runs, and waits for their results.

`open_engine` (in `opening`) makes an engine. One without a worker drives no runs: it is a client of
the store then.

Refuses to know: how runs are driven (`worker`), what is decided (`decisions`), how it is kept (`store`).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import trio

from ..app import App
from ..decisions import Accepted, accept_events, cancel_run, rerun, retry_run, send_signal, start_run
from ..duration import parse_duration
from ..errors import DefinitionError, InvalidInput, NotFound, WrongState
from ..events import AcceptedEvent, Event, accept_event, as_event, check_sendable
from ..facts import Facts, Questions
from ..history import Record
from ..outcome import Json
from ..runs import RunRow, status_of
from ..signals import signal_key
from ..transition import NewRun, Transition
from ..values import encode
from ..workflow import Workflow
from .committer import Committer
from .environment import Environment
from .info import Page, RunInfo, run_info
from .lookup import Started, answer, load_routes, open_successor, rows_started_by
from .results import Results, end_of
from .store import Duplicate, Loaded, Refused, RunEnded, RunFilter, Store
from .why import why
from .worker import Worker

MAX_BATCH = 5_000
_TRIES = 100
_TAIL = 1 << 60
_SHOWN = 20

Target = Workflow[Any, Any] | str


class Engine:
    """The verbs. Made by `open_engine`; every verb is durable when it returns."""

    def __init__(
        self,
        apps: dict[str, App],
        store: Store,
        environment: Environment,
        committer: Committer,
        worker: Worker | None,
    ) -> None:
        self.store = store
        self.worker = worker
        self._apps = apps
        self._environment = environment
        self._committer = committer
        self._results = Results(apps, store, worker)
        self._started = Started(store)

    # -- events and runs --------------------------------------------------------------------------

    async def send(self, events: Any) -> list[str]:
        """Accept one event or a list of them (`Event`, or instances of event classes); all or none.

        Returns the internal id of each. They, and the runs that they start, are durable then. Raises
        `InvalidInput` (`EventConflict` for an id that was used with another payload).
        """
        batch = list(events) if isinstance(events, (list, tuple)) else [events]
        if len(batch) > MAX_BATCH:
            raise InvalidInput(f"{len(batch)} events in one batch: at most {MAX_BATCH} are accepted")
        accepted = self._accept_batch(batch)
        for _ in range(_TRIES):
            facts = Facts(await self._routes())
            claim = self.worker.claim_at_once() if self.worker is not None else None
            now = self._environment.now()
            while isinstance(decision := accept_events(accepted, facts, now, claim), Questions):
                await answer(self.store, decision, facts)
            try:
                await self._commit_accepted(decision, claim.claimed if claim is not None else [])
            except Refused:
                await trio.sleep(self._environment.luck() * 0.01)
                continue
            return list(decision.ids)
        raise InvalidInput("the events could not be accepted: others keep using the same event ids at the same time")

    async def start(self, workflow: Target, data: Any = None, *, run_id: str | None = None) -> str:
        """Start one run directly and give its id. With a `run_id` that exists for the same workflow and
        data, that run is meant: starting it again changes nothing."""
        app, name = await self._target(workflow)
        routes = await self._routes()
        run = _check_run_id(run_id) if run_id is not None else self._environment.new_id()
        claim = self.worker.claim_at_once() if self.worker is not None else None
        payload = _encode_data(data if data is not None else {}, f"the data of workflow {name!r}")
        request = self._environment.new_id()
        transition = start_run(app, name, run, payload, Facts(routes), self._environment.now(), request, claim)
        try:
            await self._commit_created(transition, claim.claimed if claim is not None else [])
        except Duplicate:
            loaded = await self.store.load(app, run, _TAIL)
            if loaded is None or loaded.row.workflow != name or bytes(loaded.events[0].data) != bytes(payload):
                raise InvalidInput(f"run id {run!r} is already used, by another workflow or with other data") from None
        return run

    async def started(self, event: str) -> list[str]:
        """The ids of the runs that an accepted event has started, at most one a workflow.

        `event` is an internal id, as `send` gives it. A run of an app that this engine does not serve is named
        `app/id`, as all verbs take it. An event with a future `ts` starts its runs at that time. Raises
        `NotFound` if there is no such event.
        """
        runs = await self._started.by(event)
        if not runs:
            await self._check_event(event)
        return [id if not self._apps or app in self._apps else f"{app}/{id}" for app, id in runs]

    async def result(self, run: str, *, timeout: str | float | timedelta | None = None) -> Any:
        """Wait until a run has ended and give what it returned, as its workflow's annotated type.

        Follows restarts. Raises `RunFailed`, `RunCancelledError`, `RunSkipped`, or `TimeoutError`.
        """
        if timeout is None:
            return await self._results.wait(*await self._place(run))
        with trio.move_on_after(parse_duration(timeout, "timeout of result") / 1_000_000):
            return await self._results.wait(*await self._place(run))
        raise TimeoutError(f"run {run} did not end within {timeout}")

    async def cancel(self, run: str, *, reason: str = "cancelled by request") -> None:
        """Ask an open run to end. Once accepted it ends `cancelled`, whatever its body then does.

        A second cancel of a run that is being cancelled changes nothing. Raises `NotFound`, or
        `WrongState` with the terminal state of a run that has ended.
        """
        row = (await self._find(run)).row
        request = self._environment.new_id()
        for _ in range(_TRIES):
            target = await open_successor(self.store, row.app, row.id) or row.id
            try:
                await self._committer.commit(cancel_run(row.app, target, reason, request))
                return
            except RunEnded as ended:
                if (
                    ended.status is None
                    or target == row.id
                    or await open_successor(self.store, row.app, row.id) is None
                ):
                    raise WrongState(run, ended.status or "unknown", f"run {run} is {ended.status} already") from None

    async def signal(self, name: str, data: Any = None, *, app: str | None = None) -> None:
        """Give a signal to the run that waits for it; `NotFound` if none does (a signal is not kept)."""
        owner = app or await self._only_app(f"signal {name!r}")
        payload = encode(data, f"the data of signal {name!r}")
        request = self._environment.new_id()
        for _ in range(_TRIES):
            key = signal_key(name)
            held = (await self.store.find_keys(owner, [key])).get(key)
            transition = send_signal(owner, name, payload, held, request)
            try:
                await self._committer.commit(transition)
                return
            except Refused:
                await trio.sleep(self._environment.luck() * 0.01)
        raise NotFound(f"the waiters of signal {name!r} kept changing")

    async def retry(self, run: str) -> None:
        """Let a failed run go on from its failing point, or a parked one try again, on today's code.

        Raises `WrongState` with the reason if it cannot: compensations ran, or the run is not failed.
        """
        for _ in range(_TRIES):
            loaded = await self._find(run, 0)
            try:
                await self._committer.commit(retry_run(loaded.row, loaded.records, loaded.now))
                return
            except Refused:
                continue

    async def rerun(self, run: str, *, from_step: str | None = None) -> str:
        """Start a fresh run with the same event; with `from_step`, it keeps the outcomes before that step."""
        loaded = await self._find(run, 0)
        created = self._environment.new_id()
        now = self._environment.now()
        await self._committer.commit(rerun(loaded.row, loaded.events, loaded.records, created, now, from_step))
        return created

    # -- looking ----------------------------------------------------------------------------------

    async def run(self, run: str) -> RunInfo:
        """A run as it is now. Raises `NotFound`."""
        loaded = await self._find(run)
        return await self._info(loaded)

    async def runs(
        self,
        *,
        workflow: Target | None = None,
        status: str | None = None,
        event: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        app: str | None = None,
    ) -> Page[RunInfo]:
        """Runs, newest first, `limit` (1 to 500) a page. `status` is any state that `RunInfo` may show.

        With `event`, the internal id of one, the runs that it has started, in one page: at most one a workflow.
        """
        if not 1 <= limit <= 500:
            raise InvalidInput(f"limit={limit}: a page has 1 to 500 runs")
        wanted, name = app, None
        if workflow is not None:
            wanted, name = await self._target(workflow) if app is None else (app, _workflow_id(workflow))
        stored = _stored_filter(status)
        if event is not None:
            if cursor is not None:
                raise InvalidInput(f"cursor={cursor!r}: the runs of an event are one page; ask without a cursor")
            return await self._runs_of(event, wanted, name, status)
        items: list[RunInfo] = []
        while True:
            page = await self.store.find_runs(RunFilter(wanted, name, stored), cursor, limit - len(items))
            for row in page.items:
                if status is None or status_of(row) == status:
                    items += await self._info_on(row)
            cursor = page.cursor
            if cursor is None or len(items) >= limit:
                return Page(tuple(items), cursor)

    async def _runs_of(self, event: str, app: str | None, workflow: str | None, status: str | None) -> Page[RunInfo]:
        rows = await rows_started_by(self.store, event)
        if not rows:
            await self._check_event(event)
        items: list[RunInfo] = []
        for row in rows:
            if app in (None, row.app) and workflow in (None, row.workflow) and status in (None, status_of(row)):
                items += await self._info_on(row)
        return Page(tuple(items))

    async def history(self, run: str) -> list[Record]:
        """The records of a run, oldest first."""
        return list((await self._find(run, 0)).records)

    async def events(
        self, name: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> Page[AcceptedEvent]:
        """Accepted events, newest first, `limit` (1 to 500) a page."""
        if not 1 <= limit <= 500:
            raise InvalidInput(f"limit={limit}: a page has 1 to 500 events")
        page = await self.store.find_events(name, cursor, limit)
        return Page(page.items, page.cursor)

    async def why(self, run: str) -> str:
        """In a sentence: what the run is doing, or waits for."""
        loaded = await self._find(run, 0)
        offered = (await self._routes()).find(loaded.row.app, loaded.row.workflow) is not None
        return why(loaded, offered=offered)

    async def load(self, run: str) -> Loaded:
        """Everything that the store has about a run, in one consistent read. Raises `NotFound`."""
        return await self._find(run, 0)

    def watch(self, watcher: Any) -> None:
        """Call `watcher(transition, committed)` after each commit of this process."""
        self._committer.watchers.append(watcher)

    # -- inside -----------------------------------------------------------------------------------

    def _accept_batch(self, batch: Sequence[Any]) -> list[AcceptedEvent]:
        """Check and encode all events; what is wrong with any of them refuses the batch."""
        now = self._environment.now()
        accepted, flaws = [], []
        for index, item in enumerate(batch):
            try:
                event: Event[Any] = as_event(item)
                check_sendable(event.name)
                accepted.append(accept_event(event, self._environment.new_id(), now))
            except (InvalidInput, DefinitionError) as error:
                flaws.append(f"event {index}: {error}" if len(batch) > 1 else str(error))
        if flaws:
            raise InvalidInput("; ".join(flaws[:10]) + (f"; and {len(flaws) - 10} more" if len(flaws) > 10 else ""))
        return accepted

    async def _commit_accepted(self, decision: Accepted, claimed: list[NewRun]) -> None:
        if decision.transition is not None:
            await self._commit_created(decision.transition, claimed)

    async def _commit_created(self, transition: Transition, claimed: list[NewRun]) -> None:
        """Commit; then the runs that were claimed for this worker with it are driven."""
        committed = await self._committer.commit(transition)
        if claimed and self.worker is not None:
            positions = {e.id: p for e, p in zip(transition.accept, committed.positions, strict=True)}
            for new in claimed:
                self.worker.adopt(new, positions)
        if transition.accept:
            self._started.note(transition)

    async def _check_event(self, event: str) -> None:
        if await self.store.event(event) is None:
            raise NotFound(f"there is no event {event!r} in this store; say the id that send gave")

    async def _info_on(self, row: RunRow) -> list[RunInfo]:
        """What may be told of a run with this row; nothing if it was deleted since."""
        loaded = await self.store.load(row.app, row.id, max(0, row.length - 1))
        return [await self._info(loaded)] if loaded is not None else []

    async def _info(self, loaded: Loaded) -> RunInfo:
        return run_info(loaded.row, loaded.events, await end_of(self.store, loaded))

    async def _place(self, run: str) -> tuple[str, str]:
        """The app and id of a run; not looked for in the store if it is driven here."""
        if self.worker is not None:
            for app in self._apps:
                if (app, run) in self.worker.leases:
                    return app, run
        row = (await self._find(run)).row
        return row.app, row.id

    async def _find(self, run: str, start: int = _TAIL) -> Loaded:
        """A run by its id, in one of the apps of this engine."""
        app, _, run_id = run.rpartition("/")
        for name in [app] if app else await self._workflow_names():
            loaded = await self.store.load(name, run_id, start)
            if loaded is not None:
                return loaded
        raise NotFound(f"there is no run {run!r} in this store")

    async def _routes(self) -> Any:
        """The registrations in force: kept up to date by the worker, read again without one."""
        if self.worker is not None:
            return self.worker.routes
        return await load_routes(self.store)

    async def _target(self, workflow: Target) -> tuple[str, str]:
        if isinstance(workflow, Workflow):
            return workflow.app, workflow.id
        if not isinstance(workflow, str):
            raise InvalidInput(f"{workflow!r} is neither a workflow nor the id of one")
        app, _, name = workflow.rpartition("/")
        return app or await self._only_app(f"workflow {workflow!r}", name), name

    async def _only_app(self, what: str, workflow: str | None = None) -> str:
        """The one app that has the workflow: of this engine's apps or, if it has none, of the store's."""
        known = await self._workflow_names()
        names = [app for app, workflows in known.items() if workflow is None or workflow in workflows]
        if len(names) == 1:
            return names[0]
        if workflow is not None and not names:
            raise NotFound(f"{what}: no app here has it; the workflows are: {_listed(known)}")
        raise NotFound(f"{what}: say which app it is of, as app/id; the apps here are: {', '.join(known) or 'none'}")

    async def _workflow_names(self) -> dict[str, set[str]]:
        """The workflows of each app: of this engine's or, if it has none, of those registered in the store."""
        if self._apps:
            return {name: set(app.workflows) for name, app in self._apps.items()}
        known: dict[str, set[str]] = {}
        for item in (await self.store.registrations()).items:
            known.setdefault(item.app, set()).add(item.workflow)
        return known


def _workflow_id(workflow: Target) -> str:
    return workflow.id if isinstance(workflow, Workflow) else workflow.rpartition("/")[2]


def _encode_data(data: Any, what: str) -> Json:
    """The data of an event: a JSON object."""
    payload = encode(data, what)
    if bytes(payload)[:1] != b"{":
        shown = bytes(payload)[:50].decode(errors="ignore")
        raise InvalidInput(f"{what}: {shown} must be an object, because it becomes ctx.event.data; wrap it")
    return payload


def _check_run_id(run_id: Any) -> str:
    if not isinstance(run_id, str) or not 1 <= len(run_id) <= 128 or not run_id.isprintable() or "/" in run_id:
        raise InvalidInput(f"run_id={run_id!r}: say 1 to 128 printable characters without a slash")
    return run_id


_STORED = {
    "parked": "parked",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "skipped": "skipped",
}
_OPEN = ("scheduled", "running", "waiting", "cancelling", "blocked", "collecting")


def _stored_filter(status: str | None) -> str | None:
    if status is None:
        return None
    if status not in _STORED and status not in _OPEN:
        raise InvalidInput(f"status={status!r} is none of {', '.join([*_OPEN, *_STORED])}")
    return _STORED.get(status, "open")


def _listed(workflows: dict[str, set[str]]) -> str:
    names = sorted(f"{app}/{name}" for app, names in workflows.items() for name in names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return (", ".join(names[:_SHOWN]) or "none") + more
