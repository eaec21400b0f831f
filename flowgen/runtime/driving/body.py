"""The body of a remote function, as its owner holds it: a history folded into what is to be called next.

It stands where an `Interpreter` stands for a body that is written here: records are fed to it, and what it then asks
for is in `pending`. Beside the steps that the app has asked for (sleeps, waits, …) these are *calls*, whose command is
a `Calling`: a **discovery**, which asks the app what there is to do, or one that is **aimed** at a step which the app
has planned. A call has no record of its own; what its answer says (`answers`) has.

Rules
-----
* **Each outcome leads to a discovery.** A parallel group is discovered once, when all of its steps have ended
  (request version 2); one that races after each of its steps, and so does version 1.
* **Nothing is executed twice.** A discovery may execute a step by itself only while no other call is under way; until
  it is answered, no other call begins.
* **A plan is not recorded.** After a replay one discovery finds again what had been planned. A step that has failed is
  known by its failed attempts, so a call aimed at it waits out its back-off.
* **First write wins.** What is told of a step that has ended, or asked for one that is open, changes nothing.
* **A cancel ends it at once**, because a call has no word for it; but an app of ours is told, and may clean up.

Pure: time comes with the records. Refuses to know how a call travels, and what the ops of an answer are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from ...commands.base import StepCommand
from ...context import LogLine
from ...ends import BodyCancelled, BodyEnd, BodyRaised
from ...errors import InternalError
from ...events import AcceptedEvent
from ...history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    Kind,
    Record,
    Requested,
    Retried,
    Started,
    StepFailed,
    StepSucceeded,
    effective,
)
from ...outcome import NULL, Json
from ...owned import Body
from ...runs import RunRow
from ...tree import Fiber, Step
from ...values import decode
from ...workflow import Remote, Workflow
from ..protocol.calls import UNKNOWN_VERSION
from ..protocol.headers import is_flowgen
from ..protocol.memo import Memo
from ..protocol.steps import step_hash
from .absence import Absence
from .calling import FUNCTION, Calling, is_discovery
from .opened import OpenSteps
from .telling import Telling

WAITS_FOR_GROUPS: Final = 2
"""The request version from which on a parallel group is discovered once."""

DEFERRED: Final = "(deferred)"
"""What the ids of the steps begin with by which a run that ends begins what it has deferred."""

_TELLING: Final = (StepSucceeded, StepFailed, CancelAccepted, CleanupExpired)
"""The records with which a body goes on."""

_NOWHERE: Any = Fiber(None, "")  # type: ignore[arg-type]


class RemoteBody:
    """One run's body, fed with records. Its members are those of an `Interpreter`, and mean the same.

    `memo` is what has ended, as calls tell it; `version` the request version of the app, once it has answered. `group`
    are the open steps of a parallel group that is discovered when all of them have ended, `racing` those after each of
    which there is a discovery. `opened` is what is open, and `telling` what calls tell; `native` says that it is one of
    our own apps.
    """

    def __init__(self, workflow: Workflow[Any, Any], row: RunRow, events: Sequence[AcceptedEvent]) -> None:
        remote = workflow.remote
        if remote is None:
            raise InternalError(f"workflow {workflow.id!r} is not remote")
        self.workflow = workflow
        self.remote: Remote = remote
        self.row = row
        self.position = 0
        self.life = 0
        self.opened = OpenSteps()
        self.pending = self.opened.pending
        self.fresh = self.opened.fresh
        self.abandoned = self.opened.abandoned
        self.cleaning: dict[str, int] = {}
        self.end: BodyEnd | None = None
        self.cancelling: str | None = None
        self.memo = Memo()
        self.version = UNKNOWN_VERSION
        self.group: set[str] = set()
        self.racing: set[str] = set()
        self.failed: dict[str, StepFailed] = {}
        self.native = is_flowgen(remote.sdk)
        self.telling = Telling(row, events)
        self.absence = Absence()
        self.fruitless = 0
        self.wanted = False
        self.holding = False
        self.defers: dict[str, StepCommand[Any]] = {}
        self._ending: BodyEnd | None = None
        self._starting: set[str] = set()
        self._again = False
        self._offered: list[str] = []
        self._replayed: Step | None = None
        self._expired: set[str] = set()
        self._seen: dict[str, int] = {}
        self._before: dict[str, int | None] = {}

    # -- feeding ------------------------------------------------------------------------------------

    def feed(self, record: Record) -> None:
        """Move past one record."""
        if self.native:
            self.telling.add(record)
        self.position += 1
        match record:
            case StepSucceeded() | StepFailed():
                self._settled(record)
            case Requested():
                self._requested(record)
            case AttemptFailed():
                self._attempt_failed(record)
            case Started():
                self._want()
            case CancelAccepted():
                self._cancel(record)
            case CleanupExpired():
                self._expire(record)
            case Retried():
                self.life = record.life
                self.absence.end()
            case _:
                """A terminal record: nothing follows from it here."""

    def replay(self, history: Sequence[Record], aloud: bool = False) -> None:
        """Fold a whole history. What had been planned is not in it: one discovery finds it."""
        self.holding = True
        try:
            for position, record in effective(history):
                self.position = position
                self.feed(record)
                if self.native and isinstance(record, _TELLING):
                    self.opened.doubt()
        finally:
            self.holding = self.wanted = False
        if self.native:
            self.telling.begin_again(history, aloud)
        if self.position and self.end is None and FUNCTION not in self.pending:
            self._discover()
            self._replayed = self.pending[FUNCTION]

    def go_on(self, earlier: Body, under_way: Collection[str]) -> None:
        """Take the place of a body that had run ahead of a commit which was refused.

        `under_way` are the steps whose calls or requests have begun, and are not answered by anything that is
        committed. They go on: nothing of them begins anew.
        """
        assert isinstance(earlier, RemoteBody)
        self.version, self.defers = earlier.version, dict(earlier.defers)
        self.telling.heard = earlier.telling.heard
        if not under_way:
            return
        self.opened.trust()  # what is under way may take long: so long no timer can wait for the app
        own = self.pending.get(FUNCTION)
        if own is not None and own.retry_at is None and FUNCTION not in under_way:
            self.opened.forget(FUNCTION)
        for step_id in under_way:
            if is_discovery(step_id) or not self.is_over(step_id):
                step = self.pending.get(step_id) or self._again_open(step_id, earlier)
                self.fresh.pop(step.id, None)
        if self.version >= WAITS_FOR_GROUPS:
            self.group = {step_id for step_id in self.pending if not is_discovery(step_id)} - self.racing
        if not self.pending:
            self._discover()

    def _again_open(self, step_id: str, earlier: RemoteBody) -> Step:
        fetch = earlier.opened.fetches.get(step_id)
        if fetch is not None:
            return self.opened.open(fetch)
        return self._call(step_id, None if is_discovery(step_id) else step_id)

    def hold(self, row: RunRow) -> None:
        """Its run is owned under this row now: calls name its fence."""
        self.row = row

    def move(self, workflow: Workflow[Any, Any]) -> None:
        """Its app says something else of itself, such as where it is: that holds from the next call on.

        One that is made with another SDK is left as it was until the body is built anew: calls tell it other things.
        """
        if workflow.remote is not None and is_flowgen(workflow.remote.sdk) == self.native:
            self.workflow, self.remote = workflow, workflow.remote

    # -- what each record does ----------------------------------------------------------------------

    def _settled(self, record: StepSucceeded | StepFailed) -> None:
        step_id = record.step
        if is_discovery(step_id):
            if isinstance(record, StepFailed):
                self.finish(BodyRaised(record.failure, FUNCTION))
            return
        self.memo.feed(record)
        if record.kind == "run":
            self.absence.end()
            self.absence.forget(step_id)
        if isinstance(record, StepFailed):
            self.failed[step_id] = record
        if record.position is not None:
            self._seen[_base(step_id)] = record.position
        if step_id in self.opened.calls:
            self.opened.drop(step_id)
        else:
            self.opened.forget(step_id)
        self.fruitless = 0
        self._begun(step_id)
        races = step_id in self.racing
        self.racing.discard(step_id)
        self.group.discard(step_id)
        if self.native and self._offered and not self.holding:
            self._take_back()
        if races or not self.group:
            self._want()

    def _take_back(self) -> None:
        """A step has ended in the very decision that opens others: whether those are still asked for, the app says.

        Else history would have a request that the app's code does not make, because a race was decided before it.
        """
        offered, self._offered = self._offered, []
        for step_id in offered:
            step = self.pending.get(step_id)
            if step is not None and step.terms is None:
                self.opened.forget(step_id)
                self.group.clear()

    def _requested(self, record: Requested) -> None:
        self.memo.feed(record)
        self.absence.end()
        step = self.pending.get(record.step)
        if step is None:  # replayed: its command is not needed any more
            step = self.ask(record.step, None, record.kind, record.arguments)
        self._before.pop(record.step, None)
        step.terms = record.terms
        self.opened.arm(step)
        self._begun(record.step)

    def _attempt_failed(self, record: AttemptFailed) -> None:
        step = self.pending.get(record.step)
        if step is None:
            aimed_at = None if is_discovery(record.step) else record.step
            step = self.pending.get(FUNCTION) if aimed_at is None else None
            step = step or self._call(aimed_at or FUNCTION, aimed_at)
        self.fresh.pop(step.id, None)
        step.failures, step.retry_at = record.attempt, record.retry_at
        self.absence.note(record)
        self.opened.arm(step)

    def _cancel(self, record: CancelAccepted) -> None:
        if self.cancelling is not None:
            return
        self.cancelling = record.reason
        if not self.native or self.end is not None:
            self.finish(BodyCancelled(record.reason))
            return
        self._stop_calls()
        self.cleaning[""] = record.cleanup_until
        self._want()

    def _stop_calls(self) -> None:
        """What is executed is stopped, but for the clean-up of branches, and the app is asked at once.

        A discovery executes none of that (`serving.turn`). While a history is folded nothing is executed at all, and
        a step may be one of a clean-up: the app will say.
        """
        scopes = tuple(f"{scope}/" for scope in self.cleaning)
        for step_id in list(self.opened.calls):
            if is_discovery(step_id) or not (self.holding or step_id.startswith(scopes)):
                self.opened.drop(step_id)

    def _expire(self, record: CleanupExpired) -> None:
        self.cleaning.pop(record.scope, None)
        self._expired.add(record.scope)
        if record.scope == "" and self.cancelling is not None:
            self.finish(BodyCancelled(self.cancelling))
        else:
            self._want()

    # -- for whoever reads answers --------------------------------------------------------------------

    def counted(self, step: Step) -> int:
        """How many tries of a call have failed, less those that reached nobody."""
        return max(step.failures - self.absence.tries(step.id), 0)

    def is_over(self, step_id: str) -> bool:
        """Whether a step has ended."""
        return step_hash(step_id) in self.memo.steps

    def knows(self, step_id: str) -> bool:
        """Whether a step is open, or has ended."""
        return step_id in self.pending or step_id in self.opened.doubtful or self.is_over(step_id)

    def ask(self, step_id: str, command: Any, kind: Kind, arguments: Json, digest: str | None = None) -> Step:
        """The app asks for a step: it is open."""
        step = self._step(step_id, command, kind, arguments, digest)
        if kind == "run":
            self.opened.fetches[step_id] = step
        self._offered.append(step_id)
        return self.opened.open(step)

    def looks_back(self, step_id: str, seen: int | None) -> None:
        """An app of ours says what its code has seen before this wait: history may have more, which came too late."""
        self._before[step_id] = seen

    def has_seen(self, seen: Mapping[str, int]) -> None:
        """The same of all waits, as its successor is to know it."""
        self._seen = dict(seen)

    def plan(self, step_id: str, arguments: Json = NULL, digest: str | None = None) -> Step:
        """The app has planned a step: a call aimed at it."""
        self._offered.append(step_id)
        return self._call(step_id, step_id, arguments, digest)

    def take(self, step_id: str) -> Step | None:
        """The call with this id, which was answered; None if it is none of this body's any more.

        From here to `settle_down` no discovery begins.
        """
        if step_id not in self.opened.calls or self.is_ending:
            return None
        step = self.opened.forget(step_id)
        self.holding = True
        self._offered.clear()
        if self._again and self.opened.immediate is None:
            self._again, self.wanted = False, True
        return step

    def give_back(self, step: Step) -> None:
        """A call that was taken is still open: it goes on, or is made again."""
        if step.id not in self.pending:
            self.opened.open(step)
            if step.command.step is None and not step.command.plans:
                self.opened.immediate = step

    @property
    def is_ending(self) -> bool:
        """Whether the body has ended, or does once what it has deferred is begun."""
        return self.end is not None or self._ending is not None

    def finish(self, end: BodyEnd) -> None:
        """The body has ended: all that is open is given up. What it has deferred begins first, with the same commit."""
        if self.end is not None:
            return
        for step_id in list(self.pending):
            self.opened.drop(step_id)
        self.group.clear()
        self.cleaning.clear()
        if self.defers and self._ending is None and not isinstance(end, BodyCancelled):
            self._ending = end
            self._starting = {
                self.ask(f"{DEFERRED}/{hash}", command, "invoke", NULL).id for hash, command in self.defers.items()
            }
        else:
            self.end = end

    def _begun(self, step_id: str) -> None:
        """A deferred function has begun, or cannot: with the last of them the body has ended."""
        self._starting.discard(step_id)
        if self._ending is not None and not self._starting and self.end is None:
            self.finish(self._ending)

    def stand(self, still_open: Iterable[str], cleaning: Mapping[str, int], known: int) -> None:
        """An app of ours, told so many records, says where its body stands: whatever else was open is given up.

        A scope cleans up once, and only a cancelled run does as a whole.
        """
        kept = set(still_open)
        self.opened.trust(kept)
        for step in list(self.pending.values()):
            born = step.key
            if step.id not in kept and not is_discovery(step.id) and isinstance(born, int) and born <= known:
                self.opened.drop(step.id)
        until = self.cleaning.get("")
        self.cleaning.clear()
        if len(self._expired) < self.workflow.max_steps:
            self.cleaning.update({scope: at for scope, at in cleaning.items() if scope and scope not in self._expired})
        if until is not None:
            self.cleaning[""] = until

    def settle_down(self) -> None:
        """An answer was taken: discover if that is wanted, or if nothing would ever go on otherwise."""
        self.holding = False
        wanted, self.wanted = self.wanted, False
        self.group.intersection_update(self.pending)
        if wanted or not self.pending:
            self._discover()

    # -- open steps -----------------------------------------------------------------------------------

    def _want(self) -> None:
        """What is known has changed: the app is to be asked what there is to do."""
        if self.holding:
            self.wanted = True
        else:
            self._discover()

    def _discover(self) -> None:
        """Open a discovery; one that may execute something must be answered before the next."""
        if self.is_ending:
            return
        if self._replayed is not None and self.pending.get(FUNCTION) is self._replayed:
            self._replayed.command.know(self.position, len(self.memo.stack))
            return
        if self.opened.immediate is not None:
            self._again = True
            return
        number, step_id = 0, FUNCTION
        stopping = {step.id for step in self.opened.abandoned}
        while step_id in self.pending or step_id in stopping:
            number += 1
            step_id = f"{FUNCTION}:{number}"
        self._call(step_id, None)

    def _call(self, step_id: str, aimed_at: str | None, arguments: Json = NULL, digest: str | None = None) -> Step:
        calling = Calling(step_id, self, aimed_at, self.position, len(self.memo.stack), bool(self.opened.calls))
        step = self.opened.open(self._step(step_id, calling, "run", arguments, digest))
        if aimed_at is None and not calling.plans:
            self.opened.immediate = step
        return step

    def _step(self, step_id: str, command: Any, kind: Kind, arguments: Json, digest: str | None) -> Step:
        """A step; its key is the position at which it was asked for."""
        return Step(step_id, _base(step_id), command, kind, arguments, decode, _NOWHERE, self.position, digest=digest)

    # -- as an interpreter ------------------------------------------------------------------------------

    @property
    def context(self) -> RemoteBody:
        """Where a body's lines are taken from: here, where there are none."""
        return self

    def take_lines(self) -> list[LogLine]:
        """None: an app writes its own. They are asked for when a decision is made: what was offered begins."""
        self._offered.clear()
        self._replayed = None
        return []

    def take_fresh(self) -> list[Step]:
        """The steps that were opened since the last call and still are, in order."""
        return self.opened.take_fresh()

    def take_abandoned(self) -> list[Step]:
        """The steps that were given up since the last call, in order."""
        return self.opened.take_abandoned()

    def need_slots(self, steps: Sequence[Step]) -> bool:
        """Whether any of these steps needs its run's slots. To ask what there is to clean up does not."""
        return not all(self.cancelling is not None and self.opened.only_plan(step) for step in steps)

    def looks_after(self, step: Step) -> int | None:
        """The position of the event that the previous occurrence of a wait returned."""
        return self._before[step.id] if step.id in self._before else self._seen.get(_base(step.id))

    def unmet(self, step_id: str) -> Requested | None:
        """The request of a step that may have been given up."""
        return self.opened.unmet(step_id)

    def take_leftovers(self) -> list[Requested]:
        """What was requested, and may have been given up."""
        return self.opened.take_leftovers()

    def seen(self) -> dict[str, int]:
        """For each wait that returned an event (without its number): that event's position."""
        return dict(self._seen)

    def inherit(self, seen: Iterable[tuple[str, int]]) -> None:
        """Take over the `seen` of the run that restarted as this one."""
        self._seen.update(seen)

    def next_deadline(self) -> int | None:
        """The earliest time at which an open step or a clean-up is over by itself."""
        times = [self.opened.next_deadline(), min(self.cleaning.values(), default=None)]
        return min((at for at in times if at is not None), default=None)

    def take_due(self, now: int) -> list[Step]:
        """The open steps whose time has come. Calls tell what is known by now."""
        due = self.opened.take_due(now)
        for step in due:
            calling = step.command
            if type(calling) is Calling:
                calling.know(self.position, len(self.memo.stack))
        return due

    def close(self) -> None:
        """There is nothing to close here."""


def _base(step_id: str) -> str:
    """A step's id without the number of its occurrence."""
    name, colon, number = step_id.rpartition(":")
    return name if colon and number.isdecimal() else step_id
