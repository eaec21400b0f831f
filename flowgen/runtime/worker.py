"""A worker: claims runs that are due, drives them, and gives them back.

It owns what its drives share: the leases that the heartbeat extends, the live generators of released
runs, the executor. A run that is claimed again here goes on with its live generator if the
claim's fence continues the cached one and nothing was appended meanwhile; otherwise it is replayed.

Refuses to know: what an outcome means (`draft`), how the store keeps it, who sends events.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import suppress
from copy import copy
from functools import partial
from typing import Any

import msgspec
import trio

from ..app import App
from ..context import LogLine
from ..decisions import ClaimAtOnce
from ..draft import Draft
from ..errors import NondeterminismError, StoreError
from ..events import event_document
from ..facts import Facts
from ..history import End
from ..outcome import Answered, Json, Outcome
from ..owned import Body, Decision, Owned
from ..routing import RouteTable
from ..runs import TERMINAL, Mail, RunRow
from ..transition import NewRun, Transition
from ..tree import Step
from ..waits import where_expression
from .beginnings import Beginnings, Begun
from .committer import Committer
from .drive import Drive, hand_back
from .entrance import Entered, Entrance
from .environment import Environment
from .executor import Bodies
from .lookup import answer, load_routes
from .offers import Offers, RunKey
from .patient_store import PatientStore
from .places import Places
from .resting import Resting
from .store import TAIL, Claimed, Committed, Extended, Lease, LeaseLost, Loaded, Refused, Store, Who

log = logging.getLogger("flowgen")
run_log = logging.getLogger("flowgen.run")

CLAIM_BATCH = 100
CACHED_RUNS = 2_000
ABANDONED_THREADS = 100
IDLE_SECONDS = 60.0
_LONG_SLEEP = 600_000_000
"""Microseconds: who sleeps longer is replayed when it wakes."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.25
"""How long to wait when something is due that this worker was not given, at first and after a while."""


class Worker:
    """Drives the runs of some apps. `lease` is in microseconds; `max_runs` bounds how many at once."""

    def __init__(
        self,
        apps: Mapping[str, App],
        store: Store,
        environment: Environment,
        committer: Committer,
        executor: Bodies,
        *,
        lease: int,
        max_runs: int,
        cached_runs: int = CACHED_RUNS,
    ) -> None:
        self.id = environment.new_id()
        self.store = store
        self.environment = environment
        self.routes = RouteTable()
        self.lease = lease
        self.drives: dict[RunKey, Drive] = {}
        self.leases: dict[RunKey, Lease] = {}
        self.ended: Callable[[RunRow, End], None] = lambda row, end: None
        self.rerouted: Callable[[], None] = lambda: None
        self.offers = Offers(apps, max_runs)
        self.patient = PatientStore(committer)
        self._committer = committer
        self._executor = executor
        self._entrance = Entrance(self)
        self._beginnings = Beginnings(self)
        self.places = Places(max_runs, self.drives, self._beginnings)
        self._resting = Resting(cached_runs)
        self._wake = trio.Event()
        self._rest: trio.CancelScope | None = None
        self._given_back = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._stopping = False
        self._pause = _FIRST_PAUSE
        self._mailed: set[RunKey] = set()
        committer.mail = self._mail_came
        committer.due = self.wake
        committer.due_at = self.wake_at

    def reregistered(self, app: str) -> None:
        """An app elsewhere says something else of itself: runs that are in hand hear of it, the others when they are
        claimed."""
        self.evict(lambda key: key[0] == app)
        for (owner, _), drive in self.drives.items():
            if owner == app:
                drive.owned.interpreter.move(self.offers.workflow_of(drive.owned.row))

    # -- the claim loop ---------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Claim and drive until cancelled; then stop the bodies and give all runs back."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            try:
                while True:
                    self._wake = trio.Event()
                    who = Who(self.id, self._offered(), self.offers.limits)
                    full = not self._stopping and await self._claim(who)
                    if not full:
                        await self._idle(who)
            finally:
                self._stopping = True
                with trio.CancelScope(shield=True):
                    await self._give_all_back()

    def _offered(self) -> dict[RunKey, str]:
        return self.offers.now(self.routes, self.leases)

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    def wake_at(self, due: int) -> None:
        """Something will be due at this moment of store time: who rests until later rests no longer than that."""
        ahead = (due - self.environment.now()) / 1_000_000
        if ahead > 0 and self._rest is not None:
            self._rest.deadline = min(self._rest.deadline, trio.current_time() + ahead)
        else:
            self.wake()

    async def drain(self, seconds: float) -> None:
        """Stop claiming, and wait for the runs in hand to be released, at most so long."""
        self._stopping = True
        with trio.move_on_after(seconds):
            self.places.close()
            while self.places.taken:
                self._given_back = trio.Event()
                await self._given_back.wait()

    async def _claim(self, who: Who) -> bool:
        """Claim what there is room for; whether there may be more at once.

        So there may when the registrations have changed: a workflow may be paused no longer.
        """
        room = min(self._shared(self.places.claimable), CLAIM_BATCH)
        if room <= 0 or self._executor.abandoned > ABANDONED_THREADS:
            return False
        asked = self.environment.asks()
        try:
            with self.places.expecting(room):
                claims = await self._committer.claim(who, room, self.lease, self._entrance.at_once)
        except StoreError as error:
            self.patient.failed(error)
            await trio.sleep(0.1)
            return True
        self.environment.saw(claims.now, asked)
        if changed := claims.generation != self.routes.generation:
            await self.fresh_routes()
        assert self._nursery is not None
        if claims.runs:
            self._pause = _FIRST_PAUSE
        self.places.entered += len(claims.runs)
        for claimed in claims.runs:
            self._hold(claimed.row)
            self._nursery.start_soon(self._contained, claimed)
        return changed or len(claims.runs) == room

    async def _idle(self, who: Who) -> None:
        """Wait until a run is due, somebody says that one may be, or it is time to look anyway."""
        if self._wake.is_set():
            return
        seconds = IDLE_SECONDS
        try:
            due = None if self._stopping or self.places.full else await self.store.next_due(who)
        except StoreError as error:
            self.patient.failed(error)
            due = None
        if due is not None and not self.places.full:
            ahead = (due - self.environment.now()) / 1_000_000
            if ahead <= _FIRST_PAUSE:
                ahead, self._pause = self._pause, min(self._pause * 2, _LONGEST_PAUSE)
            seconds = min(seconds, ahead)
        with trio.move_on_after(seconds) as self._rest:
            await self._wake.wait()
        if self._rest.cancelled_caught:
            self._committer.accepted()
        self._rest = None

    # -- one run ----------------------------------------------------------------------------------

    def _shared(self, room: int) -> int:
        """How many runs may be taken on at once where there is room for so many."""
        if self._stopping:
            return 0
        return min(room, self.offers.share) if self.offers.elsewhere else room

    def claim_at_once(self) -> ClaimAtOnce | None:
        """What `engine.send` needs to hand runs to this worker in the commit that creates them."""
        room = self._shared(self.places.free)
        if room <= 0 or self._nursery is None:
            return None
        return ClaimAtOnce(self.id, self._offered(), self.lease, room, self.offers.finish)

    def adopt(self, claimed: Sequence[NewRun], positions: Mapping[str, int]) -> None:
        """Begin runs that a commit created in this worker's name. `positions` are those of their events."""
        for new in claimed:
            self._hold(new.row)
        self._beginnings.add(claimed, positions)

    async def drive_begun(self, begun: Begun | Loaded) -> None:
        """Drive a run that was created here, from where it was brought; an error of the engine costs it its lease."""
        row = begun.row
        try:
            if isinstance(begun, Begun):
                await self._drive(begun.owned, (), begun)
            elif (built := await self._entrance.build(begun, aloud=True)) is not None:
                await self._drive(*built)
        except Exception:
            log.exception("run %s: the engine failed to drive it; its lease will run out", row.id)
        finally:
            self._let_go(row)

    async def _contained(self, claimed: Claimed) -> None:
        """Drive a claimed run; an error of the engine costs this run its lease, and no other run."""
        row = claimed.row
        try:
            built = await self._enter(claimed)
            if built is not None:
                await self._drive(*built)
        except (LeaseLost, Refused):
            return
        except Exception:
            log.exception("run %s: the engine failed to drive it; its lease will run out", row.id)
        finally:
            self._let_go(row)

    async def _enter(self, claimed: Claimed) -> Entered | None:
        """A claimed run, ready to be driven; None if there is nothing to drive."""
        row = claimed.row
        try:
            if claimed.beginning is not None:
                self._committer.tell_of(claimed.beginning)
            await self._end_earlier(row)
            entered = await self._entrance.enter(claimed, self._resting.take((row.app, row.id)))
            if entered is not None and self.places.crowded:
                return await self._entrance.in_place_of_another(entered)
            return entered
        finally:
            self.places.entered -= 1

    async def commit_last(self, transition: Transition) -> Committed:
        """Commit what gives a run back, or ends it. If this worker is full, the next run is claimed beside that."""
        if not self.places.full:
            return await self.patient.commit(transition)
        with self.places.leaving():
            self.wake()
            return await self.patient.commit(transition)

    async def _end_earlier(self, row: RunRow) -> None:
        """This worker's own lease had expired when it was given the run again: what it does under the old one ends."""
        drive = self.drives.get((row.app, row.id))
        if drive is not None:
            drive.stop()
            await drive.over.wait()

    async def _drive(self, owned: Owned, mail: Sequence[Mail], begun: Begun | None = None) -> None:
        key = (owned.row.app, owned.row.id)
        drive = self.drives[key] = Drive(self, owned, mail, begun)
        if key in self._mailed:
            self._mailed.discard(key)
            drive.mail_came()
        failed = False
        try:
            await drive.run()
        except Exception:
            failed = True  # by us: to give the run back at once would repeat it at once
            raise
        finally:
            if not drive.released and not failed:
                with trio.CancelScope(shield=True):
                    await self.abandon(drive.owned)
            if self.drives.get(key) is drive:
                del self.drives[key]
            drive.over.set()

    async def abandon(self, owned: Owned) -> None:
        """A drive was stopped: give the run back for anybody to go on with, if it is still ours."""
        owned.interpreter.close()
        try:
            await self._committer.commit(hand_back(owned, self.environment.now()))
        except StoreError:
            log.info("run %s: could not be given back; its lease will run out", owned.row.id)

    # -- what drives need -------------------------------------------------------------------------

    async def execute(self, owned: Owned, step: Step) -> Outcome | Answered:
        """One attempt of a step's body."""
        return await self._executor.run(step, owned.row.id, owned.interpreter.workflow.loop)

    async def inform(self, draft: Draft, facts: Facts) -> None:
        """Let a draft know what it asks for, until it asks no more."""
        while (questions := draft.missing()) is not None:
            await self.patient.ask(partial(answer, self.store, questions, facts))

    def spawn(self, function: Callable[..., Awaitable[None]], *arguments: Any) -> None:
        """Do something in a task of its own, for as long as this worker runs."""
        assert self._nursery is not None
        self._nursery.start_soon(function, *arguments)

    def beside(self, look: Callable[[], Awaitable[None]]) -> None:
        """Do something beside what waits for it here. If the store cannot, who waits will meet the same error."""
        self.spawn(_if_possible, look)

    async def fresh_routes(self) -> RouteTable:
        """Read the registrations again."""
        self.routes = await self.patient.ask(lambda: load_routes(self.store))
        self.rerouted()
        return self.routes

    async def reload(
        self, row: RunRow, earlier: Body, under_way: Collection[str]
    ) -> tuple[Owned, Sequence[Mail]] | None:
        """Read and replay a run that is still ours; None if it is not.

        `earlier` is the body whose place it takes, and `under_way` are the steps whose bodies have begun.
        """
        loaded = await self.patient.ask(lambda: self.store.load(row.app, row.id))
        if loaded is None or loaded.row.fence != row.fence or loaded.row.owner != self.id:
            return None
        owned = self._entrance.revive(loaded)
        owned.interpreter.go_on(earlier, under_way)
        return owned, loaded.mail

    def revive(self, loaded: Loaded) -> Owned:
        """A run that nobody has driven yet, with a live generator."""
        return self._entrance.revive(loaded, aloud=True)

    async def store_now(self) -> int:
        """Store time, asked: nothing may fire on an estimate."""
        asked = self.environment.asks()
        now = await self.patient.ask(self.store.now)
        self.environment.saw(now, asked)
        return now

    def scope_of(self, owned: Owned, where: str) -> Json:
        """What of the run's trigger event an expression reads."""
        document = event_document(owned.events[-1])
        return Json(msgspec.json.encode(where_expression(where).scope("event", document)))

    async def park(self, owned: Owned, error: NondeterminismError) -> None:
        owned.interpreter.close()
        row = copy(owned.row)
        row.length, row.drained = owned.position, owned.drained
        await self._entrance.park(row, error)

    def emit(self, row: RunRow, lines: Sequence[LogLine]) -> None:
        """Write what a body logged, now that the commit that it precedes is durable."""
        for line in lines:
            extra = {"flowgen": {"run": row.id, "workflow": row.workflow, **line.extra}}
            run_log.log(line.level, "%s", line.message, extra=extra)

    # -- bookkeeping ------------------------------------------------------------------------------

    def _mail_came(self, app: str, run: str) -> None:
        drive = self.drives.get((app, run))
        if drive is not None:
            drive.mail_came()
        elif (app, run) in self.leases:
            self._mailed.add((app, run))

    def _hold(self, row: RunRow) -> None:
        self.leases[row.app, row.id] = Lease(row.app, row.id, row.fence)

    def _let_go(self, row: RunRow) -> None:
        key = (row.app, row.id)
        lease = self.leases.get(key)
        if lease is not None and lease.fence == row.fence:
            del self.leases[key]
        self._mailed.discard(key)
        self._given_back.set()
        if self.places.one_is_free or row.app in self.offers.full:
            self._wake.set()

    def note_rested(self, owned: Owned, decision: Decision) -> None:
        """A run that began here came to its rest, or end, without a drive."""
        if decision.lines:
            self.emit(owned.row, decision.lines)
        self.note_released(owned, decision)
        self._let_go(owned.row)

    def note_released(self, owned: Owned, decision: Decision) -> None:
        """A run was given back or has ended: keep its generator, or tell those who wait for it."""
        self.leases.pop((owned.row.app, owned.row.id), None)
        if owned.row.slots:
            self.wake()  # whoever stands in line for them is ready now
        if decision.ended:
            owned.interpreter.close()
            assert decision.transition is not None
            assert decision.transition.progress is not None
            self.ended(owned.row, decision.transition.progress.records[-1])  # type: ignore[arg-type]
            return
        if self._resting.most and decision.resumable and not self._sleeps_long(owned, decision):
            self._resting.keep(owned)
        else:
            owned.interpreter.close()

    def _sleeps_long(self, owned: Owned, decision: Decision) -> bool:
        """Whether nothing but time can wake a run, and not soon: its generator is not worth its place."""
        progress = decision.transition.progress if decision.transition is not None else None
        due = progress.due_at if progress is not None else None
        if due is None or due < self.environment.now() + _LONG_SLEEP:
            return False
        return all(step.kind == "sleep" for step in owned.interpreter.pending.values())

    def note_settled(self, row: RunRow, transition: Transition) -> None:
        """A run was given back or has ended without being driven."""
        self.leases.pop((row.app, row.id), None)
        progress = transition.progress
        if progress is not None and progress.stored in TERMINAL and progress.records:
            self.ended(row, progress.records[-1])  # type: ignore[arg-type]

    def note_lost(self, drive: Drive) -> None:
        log.warning("run %s: the lease is lost; its worker stops", drive.owned.row.id)
        drive.owned.interpreter.close()
        drive.released = True

    def extended(self, leases: Sequence[Lease], extended: Extended, asked: float) -> None:
        """The heartbeat's answer: who lost a lease stops, who got mail reads it."""
        if self.environment.saw(extended.now, asked):
            self.wake()
        for lease, count in zip(leases, extended.mail, strict=True):
            drive = self.drives.get((lease.app, lease.run))
            if drive is None or drive.owned.row.fence != lease.fence:
                if drive is None and count:
                    self._mail_came(lease.app, lease.run)
                continue
            if count is None:
                assert self._nursery is not None
                self._nursery.start_soon(self._verify_lost, drive)
                continue
            drive.leased_until = extended.now + self.lease
            if count > drive.owned.drained:
                drive.mail_came()

    async def _verify_lost(self, drive: Drive) -> None:
        """A lease could not be extended: the run has just been given back, or its bodies must stop.

        They must, too, when others have ended the run or given it back since: nobody owns it, and not by our doing.
        """
        row = drive.owned.row
        loaded = await self.patient.ask(lambda: self.store.load(row.app, row.id, TAIL))
        if drive.released or self.drives.get((row.app, row.id)) is not drive:
            return
        if loaded is None or loaded.row.owner is not None or loaded.row.fence != row.fence:
            log.warning("run %s: its lease has expired; its bodies are stopped", row.id)
            drive.stop()

    def evict(self, chosen: Callable[[RunKey], bool]) -> None:
        """Drop the live generators of these released runs: each is replayed when it is claimed again."""
        self._resting.evict(chosen)

    async def _give_all_back(self) -> None:
        for drive in list(self.drives.values()):
            drive.stop()
        self.evict(lambda key: True)


async def _if_possible(look: Callable[[], Awaitable[None]]) -> None:
    with suppress(StoreError):
        await look()
