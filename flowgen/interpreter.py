"""The interpreter: a history folded into a live generator.

`feed(record)` moves the body as far as that record lets it go; what it then waits for is in `pending`.
Replay is a fold of `feed` over a history and ends in exactly the state that the live interpreter had
when it had been fed the same records. It waits for nothing, writes nothing, and has no clock or dice.

Rules
-----
* **Order is the history's.** Which branch resumes first, who wins a race and what `now` is follows from
  the position of records. What happens within the work of one record is the business of `fibers`.
* **Divergence raises** `NondeterminismError` and changes nothing that was recorded. `changes="additive"`
  keeps records of steps that are not met as a memo for the steps that ask later.

Refuses to know: how branches resume and end (`fibers`), who executes steps, how records are written, what
a store is, and what time it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from .commands import Run
from .context import Context
from .deadlines import Deadlines
from .divergence import kind_of, line_of, now_yields, recorded, text_of, yielded
from .ends import BodyEnd
from .errors import InvokeTimeout, NondeterminismError, StepError, StepTimeout, UndecodableError
from .fibers import UNTOLD, Fibers
from .history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndCancelled,
    EndCompleted,
    EndFailed,
    Record,
    Requested,
    Retried,
    Started,
    StepFailed,
    StepRecord,
    StepSucceeded,
    effective,
    open_requests,
)
from .outcome import Json
from .readers import Readers
from .runs import RunRow
from .tree import Step
from .workflow import Workflow

_STEP_ERRORS = {("run", "StepTimeout"): StepTimeout, ("invoke", "InvokeTimeout"): InvokeTimeout}


class Interpreter:
    """One run's body, fed with records. `context` is the one that the body sees.

    `pending` are the open steps by id, in the order of their requests. `fresh` are those of them that were
    requested, and `abandoned` the steps that were given up, since they were last taken. `cleaning` says until
    when each cancelled scope may clean up.
    """

    def __init__(self, workflow: Workflow[Any, Any], context: Context[Any]) -> None:
        self.workflow = workflow
        self._strict = workflow.changes == "strict"
        self.context = context
        self.position = 0
        self.life = 0
        self._memo: dict[str, list[Record]] = {}
        self._recalling = False
        self._seen: dict[str, int] = {}
        self._fibers = fibers = Fibers(workflow, context, self._memo)
        self.pending, self.cleaning = fibers.pending, fibers.cleaning
        self.fresh, self.abandoned = fibers.fresh, fibers.abandoned
        self._deadlines = Deadlines(self.pending)

    @property
    def end(self) -> BodyEnd | None:
        """How the body ended; None while it has not."""
        return self._fibers.end

    @property
    def cancelling(self) -> str | None:
        """Why the run is being cancelled, if it is."""
        return self._fibers.cancelling

    # -- feeding ----------------------------------------------------------------------------------

    def feed(self, record: Record) -> None:
        """Move the body past one record. Raises `NondeterminismError` if code and record disagree."""
        self.context._clock = record.at
        if type(record) is StepSucceeded:
            self._succeeded(record)
        else:
            _FEED[type(record)](self, record)
        if self._fibers.spawned:
            while (met := self._fibers.pump()) is not None:
                self._recall(met)
        self.position += 1

    def replay(self, history: Sequence[Record], aloud: bool = False) -> None:
        """Fold a whole history into an interpreter that was fed nothing; `Retried` records take back what they say.

        Silently, unless it is of a run whose body nobody has run before: then its lines are new.
        """
        self.context._replaying = not aloud
        try:
            if any(type(record) is Retried for record in history):
                for position, record in effective(history):
                    self.position = position
                    self.feed(record)
            else:
                self._fibers.foretell = partial(self._foretell, history)
                while self.position < len(history):
                    self.feed(history[self.position])
        finally:
            self._fibers.foretell = None
            self.context._replaying = False

    def _foretell(self, history: Sequence[Record], step_id: str, command: Run[Any], readers: Readers) -> Any:
        """The value of a step if the next record is its outcome and fits: then that record is fed by this.

        A step that is asked for and answered at once needs no place among the pending ones, which is half
        of what a record costs. Whatever is odd is `UNTOLD`, and found again where it can be told.
        """
        position = self.position + 1
        record = history[position] if position < len(history) else None
        if type(record) is not StepSucceeded or record.step != step_id or record.kind != "run":
            return UNTOLD
        try:
            if record.arguments != command.arguments():
                return UNTOLD
            value = readers.of_function(command.fn, command.id)(record.value)
        except Exception:
            return UNTOLD
        self.position = position
        self.context._clock = record.at
        return value

    def take_fresh(self) -> list[Step]:
        """The steps requested since the last call that are still pending, in order."""
        fresh = list(self.fresh.values())
        self.fresh.clear()
        return fresh

    def take_abandoned(self) -> list[Step]:
        """The steps given up since the last call (losers of a race, cancelled branches), in order."""
        abandoned = list(self.abandoned)
        self.abandoned.clear()
        return abandoned

    def asked(self) -> Iterator[str]:
        """The ids of all steps that the body has asked for, whatever has become of them."""
        return self._fibers.asked()

    def looks_after(self, step: Step) -> int | None:
        """The position of the event that the previous occurrence of a `WaitFor` step returned."""
        return self._seen.get(_base(step))

    def unmet(self, step_id: str) -> Requested | None:
        """The open request of a step that additive code has not asked for, or not yet."""
        return open_requests(self._memo.get(step_id, ())).get(step_id)

    def take_leftovers(self) -> list[Requested]:
        """The open requests of steps that additive code did not ask for, once its body has ended."""
        leftovers = [request for records in self._memo.values() for request in open_requests(records).values()]
        self._memo.clear()
        return leftovers

    def seen(self) -> dict[str, int]:
        """For each `WaitFor` step that returned an event (without its number): that event's position."""
        return dict(self._seen)

    def inherit(self, seen: Iterable[tuple[str, int]]) -> None:
        """Take over the `seen` of the run that restarted as this one."""
        self._seen.update(seen)

    def next_deadline(self) -> int | None:
        """The earliest time at which a pending step or a clean-up is over by itself."""
        due_step = self._deadlines.earliest()
        due_cleanup = min(self.cleaning.values(), default=None)
        if due_step is None or (due_cleanup is not None and due_cleanup < due_step):
            return due_cleanup
        return due_step

    def need_slots(self, steps: Sequence[Step]) -> bool:
        """Whether any of these steps, which are to begin, needs its run's concurrency slots: each of them does."""
        return bool(steps)

    def take_due(self, now: int) -> list[Step]:
        """The pending steps whose deadline has come, each once: the earliest first, then the first requested."""
        return self._deadlines.take_due(now)

    def go_on(self, earlier: object, under_way: Collection[str]) -> None:
        """It takes the place of a body that had run ahead of a commit which was refused, while steps are under way.

        Nothing follows from that here: what it knows is what was recorded.
        """

    def hold(self, row: RunRow) -> None:
        """Its run is owned under this row now. It knows of no owner."""

    def move(self, workflow: Workflow[Any, Any]) -> None:
        """Its app says something else of itself. A body that is written here ends as it has begun."""

    def close(self) -> None:
        """Drop the body: close its generators, innermost first; whatever they do is dropped."""
        self._fibers.close()

    # -- what each record does --------------------------------------------------------------------

    def _started(self, record: Started) -> None:
        self._fibers.start()

    def _requested(self, record: Requested) -> None:
        step = self._expect(record)
        if step is not None:
            step.terms = record.terms
            self._deadlines.arm(step)

    def _attempt_failed(self, record: AttemptFailed) -> None:
        step = self._expect(record)
        if step is not None:
            step.failures = record.attempt
            step.retry_at = record.retry_at
            self._deadlines.arm(step)

    def _succeeded(self, record: StepSucceeded) -> None:
        step = self.pending.get(record.step)
        if step is None or record.arguments != step.arguments or record.kind != step.kind:
            step = self._expect(record)
            if step is None:
                return
        try:
            value = step.reader(record.value)
        except Exception as error:
            raise self._unfit(step, record.value, error) from error
        if record.position is not None:
            self._seen[_base(step)] = record.position
        self._fibers.settle(step, None, value)

    def _step_failed(self, record: StepFailed) -> None:
        step = self._expect(record)
        if step is None:
            return
        failure = record.failure
        self._fibers.failed.add(step.id)
        if record.position is not None:
            self._seen[_base(step)] = record.position
        kind = _STEP_ERRORS.get((record.kind, failure.type), StepError)
        error = kind(step.id, failure.type, failure.message, record.attempts)
        error.failure = failure
        self._fibers.settle(step, error, None)

    def _cancel_accepted(self, record: CancelAccepted) -> None:
        self._fibers.cancel(record.reason, record.cleanup_until)

    def _cleanup_expired(self, record: CleanupExpired) -> None:
        if not self._fibers.expire(record.scope) and self._strict:
            whose = "its clean-up" if record.scope else "the clean-up of the body"
            raise self._divergence(record.scope or "(body)", f"{whose} ran out of time")

    def _retried(self, record: Retried) -> None:
        self.life = record.life

    def _completed(self, record: EndCompleted) -> None:
        if self._strict and self.end is None:
            raise self._divergence("(end)", "the run completed")

    def _ended(self, record: EndFailed | EndCancelled) -> None:
        """Engine or body may have ended it: nothing of the code follows from this record."""

    # -- records and steps ------------------------------------------------------------------------

    def _expect(self, record: StepRecord) -> Step | None:
        """The pending step that a record is about, checked; None if it went into the memo."""
        step = self.pending.get(record.step)
        if step is None:
            if self._strict:
                raise self._divergence(record.step, recorded(record))
            self._memo.setdefault(record.step, []).append(record)
            return None
        if kind_of(record) != step.kind or (self._strict and record.digest and record.digest != step.digest):
            raise self._divergence(record.step, recorded(record), step)
        return step

    def _divergence(self, name: str, history_has: str, step: Step | None = None) -> NondeterminismError:
        """History has something else than `step`, or than all that the code asks for now."""
        yields = now_yields(self.end, self.pending.values()) if step is None else yielded(step)
        return self._differs(name, history_has, yields, step)

    def _differs(self, name: str, history_has: str, yields: str, step: Step | None) -> NondeterminismError:
        line = line_of(step, self.pending.values(), self._fibers.root)
        return NondeterminismError(name, history_has, yields, line)

    def _unfit(self, step: Step, data: Json, error: Exception) -> UndecodableError | NondeterminismError:
        """A value could not be restored: live, that is for its owner to record; recorded, it is a divergence."""
        if not isinstance(error, UndecodableError):  # whatever a user's class makes of it
            error = UndecodableError(f"the value {text_of(data)} of step {step.id!r} could not be restored: {error!r}")
        if not (self.context._replaying or self._recalling):
            return error
        return self._differs(step.id, f"the value {text_of(data)}", str(error), step)

    def _recall(self, step_id: str) -> None:
        """A step of an additive workflow meets what was recorded for it before it was asked for."""
        self._recalling = True
        try:
            for record in self._memo.pop(step_id, ()):
                _FEED[type(record)](self, record)
        finally:
            self._recalling = False


_FEED: dict[type, Callable[[Interpreter, Any], None]] = {
    Started: Interpreter._started,
    Requested: Interpreter._requested,
    AttemptFailed: Interpreter._attempt_failed,
    StepSucceeded: Interpreter._succeeded,
    StepFailed: Interpreter._step_failed,
    CancelAccepted: Interpreter._cancel_accepted,
    CleanupExpired: Interpreter._cleanup_expired,
    Retried: Interpreter._retried,
    EndCompleted: Interpreter._completed,
    EndFailed: Interpreter._ended,
    EndCancelled: Interpreter._ended,
}


def _base(step: Step) -> str:
    """A step's id without the number of its occurrence."""
    scope, slash, _ = step.id.rpartition("/")
    return f"{scope}{slash}{step.name}"
