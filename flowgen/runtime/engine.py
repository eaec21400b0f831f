"""The engine's verbs: how a program sends events, starts and steers runs, and waits for their results.

`open_engine` (in `opening`) makes an engine. One without a worker drives no runs: it is a client of
the store then.

Refuses to know: how runs are driven (`worker`), what is decided (`decisions`), how it is kept (`store`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import trio

from ..app import App
from ..decisions import accept_events
from ..duration import MAX_SPAN, parse_duration
from ..edits import Edits
from ..errors import DefinitionError, FlowgenError, InvalidInput, NotFound, WrongState
from ..events import AcceptedEvent, Event, accept_event, as_event, check_sendable
from ..facts import Facts
from ..history import Record
from ..routing import RouteTable
from ..runs import status_of
from ..transition import NewRun, Transition
from .arrivals import Arrivals
from .bulk import Bulk, BulkResult, Verb, check_span, select
from .committer import Committer
from .counting import MOST_BUCKETS, Bucket, count, edges_of
from .driving.caller import Caller
from .environment import Environment
from .executor import Bodies
from .info import RunInfo
from .listing import Listing, Wanted
from .lookup import Started, informed, load_routes
from .naming import Names, Target, workflow_id
from .offering import Offering
from .paging import Page
from .protocol.ops import Op
from .protocol.registration import RemoteApp
from .results import Results
from .retention import purge
from .search import Sieve
from .starting import Starting
from .steering import Steering
from .store import Loaded, Refused, Store
from .why import explain
from .worker import Worker
from .workflows import WorkflowInfo, workflow_info

MAX_BATCH = 5_000
_TRIES = 100


class Engine:
    """The verbs. Made by `open_engine`; every verb is durable when it returns.

    `closing` is set when it begins to close, before its worker drains.
    """

    def __init__(
        self,
        apps: dict[str, App],
        store: Store,
        environment: Environment,
        committer: Committer,
        worker: Worker | None,
        bodies: Bodies | None = None,
    ) -> None:
        self.store = store
        self.worker = worker
        self.token = trio.lowlevel.current_trio_token()
        self.closing = trio.Event()
        self._apps = apps
        self._caller = bodies if isinstance(bodies, Caller) else None
        self.offering: Offering | None = None
        self.arrivals: Arrivals | None = None
        if worker is not None and self._caller is not None:
            self.offering = Offering(apps, store, environment, committer, worker)
            self.arrivals = Arrivals(
                apps, store, environment, worker, self.offering, self._caller, self._commit_created
            )
        self._environment = environment
        self._committer = committer
        self._results = Results(apps, store, worker)
        self._started = Started(store)
        self._names = Names(apps, store)
        self._starting = Starting(store, environment, worker, self._commit_created)
        self._listing = Listing(store, self._routes)
        self._steering = Steering(store, environment, committer, self._routes)

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
            decision = await informed(self.store, facts, partial(accept_events, accepted, facts, now, claim))
            try:
                if decision.transition is not None:
                    await self._commit_created(decision.transition, claim.claimed if claim is not None else [])
            except Refused:
                await trio.sleep(self._environment.luck() * 0.01)
                continue
            return list(decision.ids)
        raise InvalidInput("the events could not be accepted: others keep using the same event ids at the same time")

    async def send_each(self, batches: Sequence[Sequence[Any]]) -> list[list[str] | Exception]:
        """Accept several batches of events, each by itself all or none: what `send` would give or raise for each.

        They are accepted together where none of them is refused, which costs little more than one of them.
        """
        together = [event for batch in batches for event in batch]
        if len(batches) > 1 and len(together) <= MAX_BATCH:
            try:
                ids = iter(await self.send(together))
            except InvalidInput:
                """One of them is refused, and only that one is to be."""
            else:
                return [[next(ids) for _ in batch] for batch in batches]
        answers: list[list[str] | Exception] = []
        for batch in batches:
            try:
                answers.append(await self.send(batch))
            except FlowgenError as error:
                answers.append(error)
        return answers

    async def start(self, workflow: Target, data: Any = None, *, run_id: str | None = None) -> str:
        """Start one run directly and give its id. With a `run_id` that exists for the same workflow and
        data, that run is meant: starting it again changes nothing. A debounce or a batch that is open takes the data
        in; then its id is given, the first time and again."""
        return await self._starting.start(*await self._names.workflow(workflow), data, run_id, await self._routes())

    async def started(self, event: str) -> list[str]:
        """The ids of the runs that an accepted event has started, at most one a workflow.

        `event` is an internal id, as `send` gives it. A run of an app that this engine does not serve is named
        `app/id`, as all verbs take it. An event with a future `ts` starts its runs at that time. Raises
        `NotFound` if there is no such event.
        """
        runs = await self._started.by(event)
        if not runs:
            await self._listing.check_event(event)
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
        await self._steering.cancel((await self._names.run(run)).row, reason)

    async def signal(self, name: str, data: Any = None, *, app: str | None = None) -> None:
        """Give a signal to the run that waits for it; `NotFound` if none does (a signal is not kept)."""
        await self._steering.signal(app or await self._names.only_app(f"signal {name!r}"), name, data)

    async def retry(self, run: str) -> None:
        """Let a failed run go on from its failing point, or a parked one try again, on today's code.

        Raises `WrongState` with the reason if it cannot: compensations ran, the run is not failed, or another
        open run has its singleton key.
        """
        await self._steering.retry(*await self._place(run))

    async def rerun(
        self,
        run: str,
        *,
        from_step: str | None = None,
        event: Any = None,
        results: Mapping[str, Any] | None = None,
    ) -> str:
        """Start a fresh run with the same event; with `from_step`, it keeps the outcomes before that step.

        `event` (an `Event`, or an instance of an event class) takes the place of the run's event: its name and data
        do. `results` has values that take the place of what steps before `from_step` came back with, failed ones too,
        by step id; that of a `WaitFor` is the data of its event, or None if it is to have timed out. Singleton,
        throttle, priority, concurrency and timeouts hold for it as for any run; so it may be `skipped`.
        """
        edits = Edits(None if event is None else as_event(event), dict(results or {}))
        return await self._steering.rerun(*await self._place(run), from_step=from_step, edits=edits)

    async def cancel_all(
        self,
        *,
        workflow: Target | None = None,
        status: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        dry_run: bool = True,
        reason: str = "cancelled by request",
        app: str | None = None,
    ) -> BulkResult:
        """Cancel all open runs that were created from `after` on and before `before`, in pages.

        A dry run, which is the default, changes nothing. A run that cannot be cancelled is counted among the refused
        ones, and hinders no other.
        """
        return await self._bulk("cancel", workflow, app, status, before, after, dry_run, reason)

    async def retry_all(
        self,
        *,
        workflow: Target | None = None,
        status: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        dry_run: bool = True,
        app: str | None = None,
    ) -> BulkResult:
        """Retry all failed and parked runs (or only those in `status`); arguments as for `cancel_all`."""
        return await self._bulk("retry", workflow, app, status, before, after, dry_run)

    async def rerun_all(
        self,
        *,
        workflow: Target | None = None,
        status: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        dry_run: bool = True,
        app: str | None = None,
    ) -> BulkResult:
        """Rerun all runs that have ended (or only those in `status`); arguments as for `cancel_all`.

        Done twice, each of them is rerun twice.
        """
        return await self._bulk("rerun", workflow, app, status, before, after, dry_run)

    async def _bulk(
        self,
        verb: Verb,
        workflow: Target | None,
        app: str | None,
        status: str | None,
        before: datetime | None,
        after: datetime | None,
        dry_run: bool,
        reason: str = "",
    ) -> BulkResult:
        selection = select(verb, *await self._meant(workflow, app), status, before, after)
        return await Bulk(self.store, self._steering, reason).do(verb, selection, dry_run=dry_run)

    # -- workflows --------------------------------------------------------------------------------

    async def pause(self, workflow: Target) -> None:
        """Let the runs of a workflow wait: none is begun, or gone on with once it has been given back.

        A run that is executing goes on until it next waits. Events go on creating runs, which stay `scheduled`;
        schedules do not tick, and `catch_up` says what becomes of their ticks. It lasts until `resume`, whatever
        engines come and go. Raises `NotFound` if the store has no such workflow.
        """
        await self._set_paused(workflow, True)

    async def resume(self, workflow: Target) -> None:
        """Let the runs of a paused workflow go on. Raises `NotFound` if the store has no such workflow."""
        await self._set_paused(workflow, False)

    async def _set_paused(self, workflow: Target, paused: bool) -> None:
        app, name = await self._names.workflow(workflow)
        if (await self._routes()).find(app, name) is None:
            raise NotFound(f"no workflow {name!r} of app {app!r} is registered in this store")
        await self.store.pause(app, name, paused)
        if self.worker is not None:
            await self.worker.fresh_routes()
            self.worker.wake()

    async def workflows(self) -> tuple[WorkflowInfo, ...]:
        """The workflows in force in the store, of all apps, with their triggers, schedules and flow control."""
        routes, now = await load_routes(self.store), await self.store.now()
        return tuple(workflow_info(route, routes.is_paused(route.app, route.definition.id), now) for route in routes)

    async def purge(self, older_than: str | float | timedelta) -> int:
        """Delete the runs that ended longer ago than that, and the events that nobody needs any more, in pages.

        Gives how many runs and events went. Never touches a run that is open, or an event of one.
        """
        return await purge(self.store, parse_duration(older_than, "older_than of purge", maximum=MAX_SPAN))

    # -- apps that are elsewhere --------------------------------------------------------------------

    async def offer(self, app: RemoteApp) -> bool:
        """Offer an app that is elsewhere, in the place of what it said of itself before; whether that changes anything.

        Its functions are workflows in force from then on, also for engines that open later with `calls`. Raises
        `InvalidInput` if this engine calls no apps, or an app of that name is written here.
        """
        return await self._offering().offer(app)

    async def withdraw(self, app: str) -> bool:
        """Offer an app that is elsewhere no longer: its open runs wait until it is offered again.

        Whether it was offered.
        """
        return await self._offering().withdraw(app)

    async def remote_apps(self) -> tuple[RemoteApp, ...]:
        """The apps elsewhere that this engine offers."""
        return () if self.offering is None else self.offering.apps()

    async def checkpoint(
        self,
        run: str,
        ops: Sequence[Op],
        *,
        function: str | None = None,
        generation: int | None = None,
        request: str | None = None,
        queue_item: str | None = None,
    ) -> None:
        """Take the steps that an app tells of while its call is under way. They are durable when this returns.

        `request` is the id of the call, `function` and `generation` are what it said; `queue_item` is not needed.
        Raises `NotFound` for a run that is not there, and `WrongState` if no such call is under way here: the app must
        stop, and will be called again.
        """
        row = (await self._names.run(run)).row
        if self._caller is None or not await self._caller.report(row.id, ops, request, function, generation):
            status = status_of(row)
            raise WrongState(row.id, status, f"run {row.id}: no such call is under way; the run is {status}")

    def _offering(self) -> Offering:
        if self.offering is None:
            raise InvalidInput("this engine calls no apps that are elsewhere: open it with calls=HttpCalls(…)")
        return self.offering

    # -- looking ----------------------------------------------------------------------------------

    async def run(self, run: str) -> RunInfo:
        """A run as it is now. Raises `NotFound`."""
        return await self._listing.info(await self._names.run(run))

    async def runs(
        self,
        *,
        workflow: Target | None = None,
        status: str | None = None,
        event: str | None = None,
        before: datetime | None = None,
        after: datetime | None = None,
        search: str | None = None,
        where: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
        app: str | None = None,
    ) -> Page[RunInfo]:
        """Runs, newest first, `limit` (1 to 500) a page. `status` is any state that `RunInfo` may show; they were
        created from `after` on and before `before`. A page ends early when it has 4 MiB of events and results.

        With `event`, the internal id of one, the runs that it has started, by app and id: at most one a workflow.
        `search` is words that must all be in a run's ids, names, events, result or error; the id of a run or of an
        event finds its runs at once. `where` is a CEL condition over `run` (as `run_document` has it) and its `event`.
        A page with one of these looks at 250 runs, and may come back short, or empty, with a cursor to go on from.
        """
        owner, name = await self._meant(workflow, app)
        wanted = Wanted(owner, name, status, *check_span(before, after), Sieve.made(search, where))
        if event is not None:
            return await self._listing.started_by(event, wanted, cursor)
        if search is not None and cursor is None and (found := await self._listing.named(search, wanted)):
            return Page(found)
        return await self._listing.page(wanted, limit, cursor)

    async def children(self, run: str, *, cursor: str | None = None) -> Page[RunInfo]:
        """The runs that a run has invoked, a page of them. Raises `NotFound`."""
        row = (await self._names.run(run)).row
        return await self._listing.children(row, cursor)

    async def counts(
        self,
        *,
        after: datetime,
        before: datetime,
        buckets: int = 48,
        workflow: Target | None = None,
        app: str | None = None,
    ) -> tuple[Bucket, ...]:
        """How many runs were created over time, by what has become of them, in `buckets` (1 to 200) equal spans.

        It takes about as long with a million runs as with a thousand: large numbers are estimates, and say so.
        """
        until, since = check_span(before, after)
        assert until is not None
        assert since is not None
        if not 1 <= buckets <= MOST_BUCKETS or until - since < buckets:
            raise InvalidInput(f"buckets={buckets}: say 1 to {MOST_BUCKETS}, of a microsecond at least")
        return await count(self.store, *await self._meant(workflow, app), edges_of(since, until, buckets))

    async def history(self, run: str, *, start: int = 0) -> list[Record]:
        """The records of a run, oldest first, from position `start`."""
        return list((await self._names.run(run, start)).records)

    async def events(
        self, name: str | None = None, *, limit: int = 50, cursor: str | None = None
    ) -> Page[AcceptedEvent]:
        """Accepted events, newest first, `limit` (1 to 500) a page, which ends early when it has about 4 MiB."""
        return await self._listing.events(name, limit, cursor)

    async def event(self, event: str) -> AcceptedEvent:
        """An accepted event by its internal id. Raises `NotFound`."""
        found = await self.store.event(event)
        if found is None:
            raise NotFound(f"there is no event {event!r:.100}")
        return found

    async def why(self, run: str) -> str:
        """In a sentence: what the run is doing, or waits for. `run` may be the internal id of an event, too."""
        return await explain(run, self.store, self._names, await self._routes())

    async def load(self, run: str) -> Loaded:
        """Everything that the store has about a run, in one consistent read. Raises `NotFound`."""
        return await self._names.run(run, 0)

    def watch(self, watcher: Any) -> None:
        """Call `watcher(transition, committed)` after each commit of this process."""
        self._committer.watchers.append(watcher)

    def time_commits(self, timer: Callable[[float], None]) -> None:
        """Call `timer(seconds)` after each commit of this process that was committed by itself."""
        self._committer.timers.append(timer)

    async def backlog(self) -> int:
        """How many events are accepted and not routed yet, at most: all that came after the first such one count."""
        first = await self.store.unrouted(1)
        if not first:
            return 0
        return await self.store.last_position() - (first[0].position or 0) + 1

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

    async def _commit_created(self, transition: Transition, claimed: list[NewRun]) -> None:
        """Commit; then the runs that were claimed for this worker with it are driven."""
        if not claimed or self.worker is None:
            await self._committer.commit(transition)
        else:
            with self.worker.places.expecting(len(claimed)):
                committed = await self._committer.commit(transition)
            self.worker.adopt(claimed, dict(zip([e.id for e in transition.accept], committed.positions, strict=True)))
        if transition.accept:
            self._started.note(transition)

    async def _place(self, run: str) -> tuple[str, str]:
        """The app and id of a run; not looked for in the store if it is driven here."""
        if self.worker is not None:
            for app in self._apps:
                if (app, run) in self.worker.leases:
                    return app, run
        row = (await self._names.run(run)).row
        return row.app, row.id

    async def _meant(self, workflow: Target | None, app: str | None) -> tuple[str | None, str | None]:
        """The app and workflow that a filter means; None is any."""
        if workflow is None:
            return app, None
        return await self._names.workflow(workflow) if app is None else (app, workflow_id(workflow))

    async def _routes(self) -> RouteTable:
        """The registrations in force: kept up to date by the worker, read again without one."""
        return self.worker.routes if self.worker is not None else await load_routes(self.store)
