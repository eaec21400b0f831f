"""The interpreter: a history folded into a live generator.

`feed(record)` moves the body as far as that record lets it go; what it then waits for is in `pending`.
Replay is a fold of `feed` over a history and ends in exactly the state that the live interpreter had
when it had been fed the same records. It waits for nothing, writes nothing, and has no clock or dice.

Rules
-----
* **Order is the history's.** Which branch resumes first, who wins a race and what `now` is follows from
  the position of records, and from branch order within the work of one record; depth first.
* **A step is scope + name + nth occurrence.** A command as a branch belongs to the scope around it. A
  generator branch opens the scope `parent/all[:n]/key` (or `race`).
* **Structured branches.** An `All` or `Race` that is decided cancels its other branches and resumes its
  fiber only when all of them have ended, their clean-up steps included.
* **Cancellation** is `RunCancelled` thrown in, innermost first, in branch order, where the deciding
  record stands. What a cancelled fiber returns or raises counts for nothing.
* **Divergence raises** `NondeterminismError` and changes nothing that was recorded. `changes="additive"`
  keeps records of steps that are not met as a memo for the steps that ask later.
* A body is hostile until proven otherwise: what it yields, raises, returns or does while it is being
  closed may fail its own run and nothing else.

Refuses to know: who executes steps, how records are written, what a store is, and what time it is.
"""

from __future__ import annotations

import heapq
import types
from collections.abc import Callable, Iterable, Sequence
from inspect import GEN_CREATED, getgeneratorstate
from typing import Any

from .commands import All, Race, Restart, Winner
from .context import Context
from .ends import BodyCancelled, BodyEnd, BodyRaised, BodyRestarted, BodyReturned
from .errors import (
    DefinitionError,
    FlowgenError,
    InternalError,
    InvokeTimeout,
    NondeterminismError,
    RunCancelled,
    StepError,
    StepTimeout,
    UndecodableError,
    UnserializableError,
)
from .generators import close_generator, suspended_at
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
from .misuse import (
    COMMANDS_PER_ADVANCE,
    LEAVES,
    MAX_NESTING,
    misreturned,
    misuse,
    spinning,
    too_deep,
    too_many_steps,
    used_twice,
)
from .outcome import NULL, Failed, Failure, Json, Succeeded, failure_of
from .readers import Readers, reader_of
from .tree import Fiber, Group, Key, Node, Step
from .values import decode, encode
from .workflow import Workflow

CLEANUP_TIMEOUT = 60_000_000
"""Microseconds that a cancelled fiber has for its clean-up steps."""

_AT_ONCE = ("send", "send_signal")
_STEP_ERRORS = {("run", "StepTimeout"): StepTimeout, ("invoke", "InvokeTimeout"): InvokeTimeout}


class Interpreter:
    """One run's body, fed with records. `context` is the one that the body sees.

    `pending` are the open steps by id, in the order of their requests; `end` says how the body ended.
    `fresh` are the pending steps that were requested, and `abandoned` those that were given up, since
    they were last taken.
    """

    def __init__(self, workflow: Workflow[Any, Any], context: Context[Any]) -> None:
        self.workflow = workflow
        self._strict = workflow.changes == "strict"
        self._max_steps = workflow.max_steps
        self.context = context
        self.pending: dict[str, Step] = {}
        self.end: BodyEnd | None = None
        self.cancelling: str | None = None
        self.position = 0
        self.life = 0
        self.cleaning: dict[str, int] = {}
        self._fibers: dict[str, Fiber] = {}
        self._root: Fiber | None = None
        self._counts: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._failed: set[str] = set()
        self.fresh: dict[str, Step] = {}
        self.abandoned: list[Step] = []
        self._memo: dict[str, list[Record]] = {}
        self._deadlines: list[tuple[int, int, str]] = []
        self._armed = 0
        self._readers = Readers()
        self._recalling = False
        self._stack: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._spawned: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._commands = 0
        self._steps = 0

    # -- feeding ----------------------------------------------------------------------------------

    def feed(self, record: Record) -> None:
        """Move the body past one record. Raises `NondeterminismError` if code and record disagree."""
        self.context._clock = record.at
        if type(record) is StepSucceeded:
            self._succeeded(record)
        else:
            _FEED[type(record)](self, record)
        if self._spawned:
            self._pump()
        self.position += 1

    def replay(self, history: Sequence[Record], aloud: bool = False) -> None:
        """Fold a whole history; `Retried` records take back what they say.

        Silently, unless it is of a run whose body nobody has run before: then its lines are new.
        """
        context = self.context
        context._replaying = not aloud
        feed = self.feed
        try:
            if any(type(record) is Retried for record in history):
                for position, record in effective(history):
                    self.position = position
                    feed(record)
            else:
                for record in history:
                    feed(record)
        finally:
            context._replaying = False

    def take_fresh(self) -> list[Step]:
        """The steps requested since the last call that are still pending, in order."""
        fresh = list(self.fresh.values())
        self.fresh.clear()
        return fresh

    def take_abandoned(self) -> list[Step]:
        """The steps given up since the last call (losers of a race, cancelled branches), in order."""
        abandoned = self.abandoned
        if abandoned:
            self.abandoned = []
        return abandoned

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
        heap = self._deadlines
        while heap:
            due, _, step_id = heap[0]
            step = self.pending.get(step_id)
            if step is not None and step.deadline == due:
                break
            heapq.heappop(heap)
        due_step = heap[0][0] if heap else None
        due_cleanup = min(self.cleaning.values(), default=None)
        if due_step is None or (due_cleanup is not None and due_cleanup < due_step):
            return due_cleanup
        return due_step

    def take_due(self, now: int) -> list[Step]:
        """The pending steps whose deadline has come, each once: the earliest first, then the first requested."""
        due: dict[str, Step] = {}
        heap = self._deadlines
        while heap and heap[0][0] <= now:
            deadline, _, step_id = heapq.heappop(heap)
            step = self.pending.get(step_id)
            if step is not None and step.deadline == deadline:
                due[step_id] = step
        return list(due.values())

    def close(self) -> None:
        """Drop the body: close its generators, innermost first; whatever they do is dropped."""
        if self._root is not None and not self._root.closed:
            self._close(self._root)
        self._stack.clear()
        self._spawned.clear()

    # -- what each record does --------------------------------------------------------------------

    def _started(self, record: Started) -> None:
        if self._root is not None:
            raise InternalError("a history has two Started records")
        self._root = Fiber(self.workflow.fn(self.context), "")
        self._fibers[""] = self._root
        self._spawned.append((self._resume, (self._root, None, None)))

    def _requested(self, record: Requested) -> None:
        step = self._expect(record)
        if step is not None:
            step.terms = record.terms
            self._arm(step)

    def _attempt_failed(self, record: AttemptFailed) -> None:
        step = self._expect(record)
        if step is not None:
            step.failures = record.attempt
            step.retry_at = record.retry_at
            self._arm(step)

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
        self._settle_step(step, None, value)

    def _step_failed(self, record: StepFailed) -> None:
        step = self._expect(record)
        if step is None:
            return
        failure = record.failure
        self._failed.add(step.id)
        if record.position is not None:
            self._seen[_base(step)] = record.position
        kind = _STEP_ERRORS.get((record.kind, failure.type), StepError)
        error = kind(step.id, failure.type, failure.message, record.attempts)
        error.failure = failure
        self._settle_step(step, error, None)

    def _cancel_accepted(self, record: CancelAccepted) -> None:
        if self.cancelling is not None:
            return
        self.cancelling = record.reason
        self._commands = 0
        if self.end is not None or self._root is None:
            self.end = BodyCancelled(record.reason)
        else:
            self._cancel(self._root)
            self.cleaning[""] = record.cleanup_until

    def _cleanup_expired(self, record: CleanupExpired) -> None:
        fiber = self._fibers.get(record.scope)
        if fiber is None or not fiber.cancelled:
            if self._strict:
                what = "its clean-up ran out of time" if record.scope else "the clean-up of the body ran out of time"
                raise self._divergence(record.scope or "(body)", what, self._now_yields())
            return
        self._commands = 0
        self._close(fiber)
        self._fiber_ended(fiber, RunCancelled("clean-up timed out"), None)

    def _retried(self, record: Retried) -> None:
        self.life = record.life

    def _completed(self, record: EndCompleted) -> None:
        if self._strict and self.end is None:
            raise self._divergence("(end)", "the run completed", self._now_yields())

    def _ended(self, record: EndFailed | EndCancelled) -> None:
        """Engine or body may have ended it: nothing of the code follows from this record."""

    # -- records and steps ------------------------------------------------------------------------

    def _expect(self, record: StepRecord) -> Step | None:
        """The pending step that a record is about, checked; None if it went into the memo."""
        step = self.pending.get(record.step)
        if step is None:
            if self._strict:
                raise self._divergence(record.step, _recorded(record), self._now_yields())
            self._memo.setdefault(record.step, []).append(record)
            return None
        if _kind(record) != step.kind or (self._strict and record.digest and record.digest != step.digest):
            raise self._divergence(record.step, _recorded(record), _yielded(step), step)
        return step

    def _divergence(self, name: str, recorded: str, yields: str, step: Step | None = None) -> NondeterminismError:
        return NondeterminismError(name, recorded, yields, self._where(step))

    def _arm(self, step: Step) -> None:
        deadline = step.deadline
        if deadline is not None:
            self._armed += 1
            heapq.heappush(self._deadlines, (deadline, self._armed, step.id))

    def _unfit(self, step: Step, data: Json, error: Exception) -> UndecodableError | NondeterminismError:
        """A value could not be restored: live, that is for its owner to record; recorded, it is a divergence."""
        if not isinstance(error, UndecodableError):  # whatever a user's class makes of it
            error = UndecodableError(f"the value {_text(data)} of step {step.id!r} could not be restored: {error!r}")
        if not (self.context._replaying or self._recalling):
            return error
        return self._divergence(step.id, f"the value {_text(data)}", str(error), step)

    def _settle_step(self, step: Step, error: BaseException | None, value: Any) -> None:
        del self.pending[step.id]
        self.fresh.pop(step.id, None)
        if step.kind not in _AT_ONCE:
            self._commands = 0
        parent = step.parent
        if type(parent) is Fiber:
            self._resume(parent, error, value)
        else:
            self._settle(step, error, value)

    def _settle(self, node: Node, error: BaseException | None, value: Any) -> None:
        """A node has ended: its parent goes on with it."""
        parent = node.parent
        if type(parent) is Fiber:
            self._spawned.append((self._resume, (parent, error, value)))
        elif parent is not None:
            self._branch_ended(parent, node.key, error, value)  # type: ignore[arg-type]

    # -- the body moves ---------------------------------------------------------------------------

    def _pump(self) -> None:
        """Run what is spawned, depth first, in the order in which it was spawned."""
        stack, spawned = self._stack, self._spawned
        while spawned or stack:
            if len(spawned) == 1:
                function, arguments = spawned.pop()
            else:
                if spawned:
                    spawned.reverse()
                    stack.extend(spawned)
                    spawned.clear()
                function, arguments = stack.pop()
            function(*arguments)

    def _resume(self, fiber: Fiber, error: BaseException | None, value: Any) -> None:
        if fiber.closed:
            return
        fiber.waiting = None
        if fiber.cancelled and not fiber.thrown:
            fiber.thrown = True
            error = RunCancelled(self.cancelling or "another branch decided")
        scope = self.context._scope = fiber.scope
        try:
            command = fiber.generator.send(value) if error is None else fiber.generator.throw(error)
        except StopIteration as stop:
            self._fiber_ended(fiber, None, stop.value)
        except BaseException as raised:
            self._fiber_ended(fiber, raised, None)
        else:
            self._commands = commands = self._commands + 1
            if type(command) in LEAVES and commands <= COMMANDS_PER_ADVANCE:
                fiber.waiting = self._request(command, scope, fiber, None)
            else:
                self._enter(fiber, command)

    def _enter(self, fiber: Fiber, command: Any) -> None:
        """A fiber yielded something that is no step, or too much: open the group that it then waits for, or end it."""
        if self._commands > COMMANDS_PER_ADVANCE:
            self._fail(spinning(self.workflow.id))
        elif type(command) is All or type(command) is Race:
            fiber.waiting = self._open_group(command, fiber, fiber, None)
        elif type(command) is Restart and fiber.parent is None:
            close_generator(fiber.generator)
            self._fiber_ended(fiber, None, command)
        else:
            self._spawned.append((self._resume, (fiber, misuse(command), None)))

    def _request(self, command: Any, scope: str, parent: Fiber | Group, key: Key) -> Step:
        name, kind = command.id, command.kind
        base = f"{scope}/{name}" if scope else name
        counts = self._counts
        occurrence = counts.get(base, 0)
        counts[base] = occurrence + 1
        step_id = f"{base}:{occurrence}" if occurrence else base
        self._steps += 1
        error: BaseException | None = None
        try:
            arguments = command.arguments()
            reader = self._readers.of_function(command.fn, name) if kind == "run" else reader_of(command)
        except (UnserializableError, DefinitionError) as refused:
            arguments, reader, error = NULL, decode, refused
        step = Step(step_id, name, command, kind, arguments, reader, parent, key)
        if self._steps > self._max_steps:
            self._fail(too_many_steps(self.workflow.id, self._max_steps, step_id))
        elif error is not None:
            self._spawned.append((self._settle, (step, error, None)))
        else:
            self.pending[step_id] = step
            self.fresh[step_id] = step
            if self._memo and step_id in self._memo:
                self._spawned.append((self._recall, (step_id,)))
        return step

    def _recall(self, step_id: str) -> None:
        """A step of an additive workflow meets what was recorded for it before it was asked for."""
        self._recalling = True
        try:
            for record in self._memo.pop(step_id, ()):
                _FEED[type(record)](self, record)
        finally:
            self._recalling = False

    # -- groups -----------------------------------------------------------------------------------

    def _open_group(self, command: Any, fiber: Fiber, parent: Fiber | Group, key: Key) -> Group:
        word = "all" if type(command) is All else "race"
        n = fiber.groups.get(word, 0)
        fiber.groups[word] = n + 1
        label = f"{word}:{n}" if n else word
        base = f"{fiber.scope}/{label}" if fiber.scope else label
        group = Group(command, fiber, base, parent, key, parent.depth + 1)
        if group.depth > MAX_NESTING:
            self._spawned.append((self._settle, (group, too_deep(label), None)))
        else:
            group.unstarted.extend(command.branches)
            self._spawned.append((self._start_next, (group,)))
        return group

    def _start_next(self, group: Group) -> None:
        """Start the next branch, if there is one and the limit admits it; then come again."""
        if group.decided or group.cancelled:
            return
        limit = getattr(group.command, "limit", None)
        if not group.unstarted:
            self._decide_all(group)
            return
        if limit is not None and len(group.live) >= limit:
            return
        key, branch = group.unstarted.popleft()
        self._commands += 1
        if type(branch) in LEAVES:
            step = self._request(branch, group.fiber.scope, group, key)
            group.live[key] = step
        elif type(branch) is All or type(branch) is Race:
            group.live[key] = self._open_group(branch, group.fiber, group, key)
        else:
            group.live[key] = self._open_fiber(branch, group, key)
        self._spawned.append((self._start_next, (group,)))

    def _open_fiber(self, branch: Any, group: Group, key: Key) -> Fiber:
        fiber = Fiber(branch, f"{group.base}/{key}", group, key, group.depth)
        self._fibers[fiber.scope] = fiber
        if getgeneratorstate(branch) == GEN_CREATED:
            self._spawned.append((self._resume, (fiber, None, None)))
        else:
            self._spawned.append((self._fiber_ended, (fiber, used_twice(fiber.scope, branch), None)))
        return fiber

    def _branch_ended(self, group: Group, key: Key, error: BaseException | None, value: Any) -> None:
        group.live.pop(key, None)
        if group.decided or group.cancelled:
            self._finish(group)
        elif type(group.command) is Race:
            self._decide(group, error, None if error is not None else Winner(str(key), value))
        elif group.command.on_error == "collect":
            group.results[key] = Succeeded(value) if error is None else Failed(_placeless(failure_of(error)))
            self._start_next(group)
        elif error is not None:
            self._decide(group, error, None)
        else:
            group.results[key] = value
            self._start_next(group)

    def _decide_all(self, group: Group) -> None:
        """An `All` whose branches have all been started is decided when all of them have ended."""
        if group.live or type(group.command) is not All:
            return
        keys = [key for key, _ in group.command.branches]
        results = group.results
        group.decided = True
        group.value = (
            {key: results[key] for key in keys} if group.command.as_dict else tuple(results[key] for key in keys)
        )
        self._finish(group)

    def _decide(self, group: Group, error: BaseException | None, value: Any) -> None:
        group.decided, group.error, group.value = True, error, value
        self._drop_unstarted(group)
        self._cancel_live(group)
        self._finish(group)

    def _finish(self, group: Group) -> None:
        """Resume the parent of a decided or cancelled group, once nothing in it is live."""
        if group.live or group.finished:
            return
        group.finished = True
        self._settle(group, group.error, group.value)

    # -- cancelling and closing -------------------------------------------------------------------

    def _cancel(self, node: Node) -> bool:
        """Begin to end a live node, innermost first. True if it has ended at once."""
        match node:
            case Step():
                self._abandon(node)
                return True
            case Group():
                node.cancelled = True
                self._drop_unstarted(node)
                self._cancel_live(node)
                node.finished = not node.live
                return node.finished
            case Fiber():
                if node.cancelled or node.closed:
                    return node.closed
                node.cancelled = True
                self.cleaning[node.scope] = self.context._clock + CLEANUP_TIMEOUT
                if node.waiting is not None and self._cancel(node.waiting):
                    self._spawned.append((self._resume, (node, None, None)))
                return False

    def _cancel_live(self, group: Group) -> None:
        for key, child in list(group.live.items()):
            if self._cancel(child):
                group.live.pop(key, None)

    def _abandon(self, step: Step) -> None:
        if self.pending.pop(step.id, None) is None:
            return
        if self.fresh.pop(step.id, None) is None:
            self.abandoned.append(step)

    def _drop_unstarted(self, group: Group) -> None:
        for _, branch in group.unstarted:
            if isinstance(branch, types.GeneratorType):
                branch.close()
        group.unstarted.clear()

    def _close(self, node: Node) -> None:
        """End a node and all in it at once, without throwing into it: nothing it does counts."""
        match node:
            case Step():
                self._abandon(node)
            case Group():
                node.cancelled = node.finished = True
                self._drop_unstarted(node)
                for child in list(node.live.values()):
                    self._close(child)
                node.live.clear()
            case Fiber():
                node.closed = True
                self._fibers.pop(node.scope, None)
                self.cleaning.pop(node.scope, None)
                if node.waiting is not None:
                    self._close(node.waiting)
                self.context._scope = node.scope
                close_generator(node.generator)

    # -- ends -------------------------------------------------------------------------------------

    def _fiber_ended(self, fiber: Fiber, error: BaseException | None, value: Any) -> None:
        fiber.closed = True
        self._fibers.pop(fiber.scope, None)
        self.cleaning.pop(fiber.scope, None)
        if fiber.parent is None:
            self._body_ended(error, value)
            return
        if error is None:
            error = misreturned(value, f"branch {fiber.scope!r}")
        self._branch_ended(fiber.parent, fiber.key, error, value)

    def _body_ended(self, error: BaseException | None, value: Any) -> None:
        if self.end is not None:
            return
        if self.cancelling is not None:
            self.end = BodyCancelled(self.cancelling)
            return
        what = f"the result of workflow {self.workflow.id!r}"
        try:
            if error is None and type(value) is Restart:
                data = {} if value.data is None else value.data
                self.end = BodyRestarted(encode(data, f"the data of Restart in workflow {self.workflow.id!r}"))
                return
            if error is None:
                error = misreturned(value, f"workflow {self.workflow.id!r}")
            if error is None:
                self.end = BodyReturned(encode(value, what))
                return
        except UnserializableError as refused:
            error = refused
        step = error.step_id if isinstance(error, StepError) and error.step_id in self._failed else None
        self.end = BodyRaised(failure_of(error), step)

    def _fail(self, error: FlowgenError) -> None:
        """End the body at once, whatever it is doing."""
        self.end = BodyRaised(failure_of(error)) if self.cancelling is None else BodyCancelled(self.cancelling)
        assert self._root is not None
        self._close(self._root)
        for step in list(self.pending.values()):
            self._abandon(step)
        self._stack.clear()
        self._spawned.clear()

    # -- telling people ---------------------------------------------------------------------------

    def _now_yields(self) -> str:
        match self.end:
            case None:
                pass
            case BodyRaised(failure):
                return f"nothing more: the body has raised {failure}"
            case BodyCancelled(reason):
                return f"nothing more: the body has ended, cancelled: {reason}"
            case _:
                return "nothing more: the body has returned"
        if not self.pending:
            return "nothing yet"
        some = [_yielded(step) for step in list(self.pending.values())[:3]]
        more = len(self.pending) - len(some)
        return " and ".join(some) + (f" and {more} more" if more > 0 else "")

    def _where(self, step: Step | None) -> str:
        """The source line of the `yield` that a step, or else the body, is suspended at."""
        node: Any = step if step is not None else next(iter(self.pending.values()), None)
        while node is not None and type(node) is not Fiber:
            node = node.parent
        if node is None or (step is None and len(self.pending) > 1):
            node = self._root
        return suspended_at(node.generator) if node is not None else ""


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


def _placeless(failure: Failure) -> Failure:
    """Without traces: what a body sees must not depend on the files and lines of its code."""
    cause = None if failure.cause is None else _placeless(failure.cause)
    return Failure(failure.type, failure.message, cause=cause)


def _kind(record: StepRecord) -> str:
    return "run" if isinstance(record, AttemptFailed) else record.kind


def _recorded(record: StepRecord) -> str:
    shown = f" with {_text(record.arguments)}" if record.arguments != NULL else ""
    return f"{_kind(record)} {record.step!r}{shown} ({type(record).__name__})"


def _yielded(step: Step) -> str:
    shown = f" with {_text(step.arguments)}" if step.arguments != NULL else ""
    return f"{step.kind} {step.id!r}{shown}"


def _text(data: Json) -> str:
    text = bytes(data).decode("utf-8", "replace")
    return text if len(text) <= 200 else text[:200] + "…"
