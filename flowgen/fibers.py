"""The fibers of a run: how a body moves, branches, is cancelled and ends.

A body is a generator that yields; a *fiber* is one that runs, and each waits for one step or one group.
`settle` gives a fiber what its step came back with; `pump` goes on with whatever that set in motion, until
all fibers wait again. What they wait for is in `pending`, and how the body ended in `end`.

Rules
-----
* **A step is scope + name + nth occurrence.** A command as a branch belongs to the scope around it. A
  generator branch opens the scope `parent/all[:n]/key` (or `race`).
* **Branch order** decides within the work of one record; depth first.
* **Structured branches.** An `All` or `Race` that is decided cancels its other branches and resumes its
  fiber only when all of them have ended, their clean-up steps included.
* **Cancellation** is `RunCancelled` thrown in, innermost first, in branch order. What a cancelled fiber
  returns or raises counts for nothing.
* A body is hostile until proven otherwise: what it yields, raises, returns or does while it is being
  closed may fail its own run and nothing else.

Refuses to know: records, fingerprints, and why a step came back with what.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Container, Iterator
from inspect import GEN_CREATED, getgeneratorstate
from typing import Any, Final

from .commands import All, Race, Restart, Run, Winner
from .context import Context
from .endpoints import answered
from .ends import BodyCancelled, BodyEnd, BodyRaised, BodyRestarted, BodyReturned
from .errors import DefinitionError, FlowgenError, InternalError, RunCancelled, StepError, UnserializableError
from .generators import close_generator
from .misuse import (
    COMMANDS_PER_ADVANCE,
    LEAVES,
    MAX_NESTING,
    misraised,
    misreturned,
    misuse,
    spinning,
    too_deep,
    too_many_steps,
    used_twice,
)
from .outcome import NULL, Failed, Failure, Succeeded, failure_of
from .readers import Readers, reader_of
from .tree import Fiber, Group, Key, Node, Step
from .values import decode, encode
from .workflow import Workflow

CLEANUP_TIMEOUT = 60_000_000
"""Microseconds that a cancelled fiber has for its clean-up steps."""

AT_ONCE = ("send", "send_signal")
"""The kinds of steps that a body does not wait for: they are answered in the transition that asks for them."""


UNTOLD: Final[Any] = object()
"""What `Foretell` says of a step whose end it does not know."""

Foretell = Callable[[str, Run[Any], Readers], Any]
"""Asked for a `Run` by id: the value that it has come back with, or `UNTOLD`."""

_Task = tuple[Callable[..., None] | None, tuple[Any, ...]]


class Fibers:
    """The body of one run in flight. `context` is the one that it sees.

    `pending` are the open steps by id, in the order of their requests; `fresh` are those of them that were
    requested, and `abandoned` those that were given up, since they were last taken. `cleaning` says until
    when each cancelled fiber may clean up. `spawned` is not empty if there is something to `pump`.

    A step whose id is in `remembered` may be over already: `pump` stops there and tells. While `foretell` is
    set it is asked for each `Run` for which all else waits: one that is over is never made a pending step.
    """

    def __init__(self, workflow: Workflow[Any, Any], context: Context[Any], remembered: Container[str]) -> None:
        self._workflow = workflow
        self._max_steps = workflow.max_steps
        self._context = context
        self._remembered = remembered
        self.root: Fiber | None = None
        self.pending: dict[str, Step] = {}
        self.fresh: dict[str, Step] = {}
        self.abandoned: list[Step] = []
        self.cleaning: dict[str, int] = {}
        self.cancelling: str | None = None
        self.end: BodyEnd | None = None
        self.failed: set[str] = set()
        self.foretell: Foretell | None = None
        self.spawned: list[_Task] = []
        self._stack: list[_Task] = []
        self._by_scope: dict[str, Fiber] = {}
        self._counts: dict[str, int] = {}
        self._readers = Readers()
        self._commands = 0
        self._steps = 0

    # -- from outside -----------------------------------------------------------------------------

    def start(self) -> None:
        """Make the body."""
        if self.root is not None:
            raise InternalError("a body is started twice: a history has two Started records")
        self.root = self._by_scope[""] = Fiber(self._workflow.fn(self._context), "")
        self.spawned.append((self._resume, (self.root, None, None)))

    def settle(self, step: Step, error: BaseException | None, value: Any) -> None:
        """A pending step has ended: whoever waits for it goes on."""
        step_id = step.id
        del self.pending[step_id]
        self.fresh.pop(step_id, None)
        if step.kind not in AT_ONCE:
            self._commands = 0
        parent = step.parent
        if type(parent) is Fiber:
            self._resume(parent, error, value)
        else:
            self._settle(step, error, value)

    def cancel(self, reason: str, until: int) -> None:
        """Cancel the body; it may clean up until that time."""
        if self.cancelling is not None:
            return
        self.cancelling = reason
        self._commands = 0
        if self.end is not None or self.root is None:
            self.end = BodyCancelled(reason)
        else:
            self._cancel(self.root)
            self.cleaning[""] = until

    def expire(self, scope: str) -> bool:
        """Close the cancelled fiber whose clean-up took too long; False if there is none."""
        fiber = self._by_scope.get(scope)
        if fiber is None or not fiber.cancelled:
            return False
        self._commands = 0
        self._close(fiber)
        self._fiber_ended(fiber, RunCancelled("clean-up timed out"), None)
        return True

    def close(self) -> None:
        """Drop the body: close its generators, innermost first; whatever they do is dropped."""
        if self.root is not None and not self.root.closed:
            self._close(self.root)
        self._stack.clear()
        self.spawned.clear()

    def pump(self) -> str | None:
        """Run what is spawned, depth first, in the order in which it was spawned.

        Returns None when all fibers wait; or the id of a remembered step that was requested, whose turn it
        is: then there is more to do.
        """
        stack, spawned = self._stack, self.spawned
        while spawned or stack:
            if len(spawned) == 1:
                function, arguments = spawned.pop()
            else:
                if spawned:
                    spawned.reverse()
                    stack.extend(spawned)
                    spawned.clear()
                function, arguments = stack.pop()
            if function is None:
                step_id: str = arguments[0]
                return step_id
            function(*arguments)
        return None

    def asked(self) -> Iterator[str]:
        """The ids of all steps that the body has asked for, whatever has become of them."""
        for base, count in self._counts.items():
            yield base
            yield from (f"{base}:{occurrence}" for occurrence in range(1, count))

    # -- fibers and steps -------------------------------------------------------------------------

    def _resume(self, fiber: Fiber, error: BaseException | None, value: Any) -> None:
        if fiber.closed:
            return
        fiber.waiting = None
        if fiber.cancelled and not fiber.thrown:
            fiber.thrown = True
            error = RunCancelled(self.cancelling or "another branch decided")
        scope = self._context._scope = fiber.scope
        generator = fiber.generator
        while True:
            try:
                command = generator.send(value) if error is None else generator.throw(error)
            except StopIteration as stop:
                self._fiber_ended(fiber, None, stop.value)
                return
            except BaseException as raised:
                self._fiber_ended(fiber, misraised(raised), None)
                return
            self._commands += 1
            if type(command) not in LEAVES or self._commands > COMMANDS_PER_ADVANCE:
                self._enter(fiber, command)
                return
            step_id = self._identify(command.id, scope)
            if self.foretell is None or (value := self._foretold(step_id, command)) is UNTOLD:
                fiber.waiting = self._request(step_id, command, fiber, None)
                return
            error = None
            self._commands = 0

    def _enter(self, fiber: Fiber, command: Any) -> None:
        """A fiber yielded something that is no step, or too much: open the group that it then waits for, or end it."""
        if self._commands > COMMANDS_PER_ADVANCE:
            self._fail(spinning(self._workflow.id))
        elif type(command) is All or type(command) is Race:
            fiber.waiting = self._open_group(command, fiber, fiber, None)
        elif type(command) is Restart and fiber.parent is None:
            close_generator(fiber.generator)
            self._fiber_ended(fiber, None, command)
        else:
            self.spawned.append((self._resume, (fiber, misuse(command), None)))

    def _foretold(self, step_id: str, command: Any) -> Any:
        """The value of a `Run` that is over already: if all else waits, and nothing was remembered of it."""
        assert self.foretell is not None
        if type(command) is not Run or self.spawned or self._stack:
            return UNTOLD
        if step_id in self._remembered or self._steps > self._max_steps:
            return UNTOLD
        return self.foretell(step_id, command, self._readers)

    def _identify(self, name: str, scope: str) -> str:
        """The id of a new step."""
        base = f"{scope}/{name}" if scope else name
        counts = self._counts
        occurrence = counts.get(base, 0)
        counts[base] = occurrence + 1
        self._steps += 1
        return f"{base}:{occurrence}" if occurrence else base

    def _request(self, step_id: str, command: Any, parent: Fiber | Group, key: Key) -> Step:
        name, kind = command.id, command.kind
        try:
            arguments = command.arguments()
            reader = self._readers.of_function(command.fn, name) if kind == "run" else reader_of(command)
        except (UnserializableError, DefinitionError) as refused:
            step = Step(step_id, name, command, kind, NULL, decode, parent, key)
            self.spawned.append((self._settle, (step, refused, None)))
        else:
            step = Step(step_id, name, command, kind, arguments, reader, parent, key)
            self.pending[step_id] = self.fresh[step_id] = step
            if step_id in self._remembered:
                self.spawned.append((None, (step_id,)))
        if self._steps > self._max_steps:
            self._fail(too_many_steps(self._workflow.id, self._max_steps, step_id))
        return step

    def _settle(self, node: Node, error: BaseException | None, value: Any) -> None:
        """A node has ended: its parent goes on with it."""
        parent = node.parent
        if type(parent) is Fiber:
            self.spawned.append((self._resume, (parent, error, value)))
        elif parent is not None:
            self._branch_ended(parent, node.key, error, value)  # type: ignore[arg-type]

    # -- groups -----------------------------------------------------------------------------------

    def _open_group(self, command: Any, fiber: Fiber, parent: Fiber | Group, key: Key) -> Group:
        word = "all" if type(command) is All else "race"
        n = fiber.groups.get(word, 0)
        fiber.groups[word] = n + 1
        label = f"{word}:{n}" if n else word
        base = f"{fiber.scope}/{label}" if fiber.scope else label
        group = Group(command, fiber, base, parent, key, parent.depth + 1)
        if group.depth > MAX_NESTING:
            self.spawned.append((self._settle, (group, too_deep(label), None)))
        else:
            group.unstarted.extend(command.branches)
            self.spawned.append((self._start_next, (group,)))
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
            group.live[key] = self._request(self._identify(branch.id, group.fiber.scope), branch, group, key)
        elif type(branch) is All or type(branch) is Race:
            group.live[key] = self._open_group(branch, group.fiber, group, key)
        else:
            group.live[key] = self._open_fiber(branch, group, key)
        self.spawned.append((self._start_next, (group,)))

    def _open_fiber(self, branch: Any, group: Group, key: Key) -> Fiber:
        fiber = Fiber(branch, f"{group.base}/{key}", group, key, group.depth)
        self._by_scope[fiber.scope] = fiber
        if getgeneratorstate(branch) == GEN_CREATED:
            self.spawned.append((self._resume, (fiber, None, None)))
        else:
            self.spawned.append((self._fiber_ended, (fiber, used_twice(fiber.scope, branch), None)))
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
                self.cleaning[node.scope] = self._context._clock + CLEANUP_TIMEOUT
                if node.waiting is not None and self._cancel(node.waiting):
                    self.spawned.append((self._resume, (node, None, None)))
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
                self._by_scope.pop(node.scope, None)
                self.cleaning.pop(node.scope, None)
                if node.waiting is not None:
                    self._close(node.waiting)
                self._context._scope = node.scope
                close_generator(node.generator)

    # -- ends -------------------------------------------------------------------------------------

    def _fiber_ended(self, fiber: Fiber, error: BaseException | None, value: Any) -> None:
        fiber.closed = True
        self._by_scope.pop(fiber.scope, None)
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
        what = f"the result of workflow {self._workflow.id!r}"
        try:
            if error is None and type(value) is Restart:
                data = {} if value.data is None else value.data
                self.end = BodyRestarted(encode(data, f"the data of Restart in workflow {self._workflow.id!r}"))
                return
            if error is None:
                error = misreturned(value, f"workflow {self._workflow.id!r}")
            if error is None:
                if self._workflow.endpoint is not None:
                    value = answered(value)
                self.end = BodyReturned(encode(value, what))
                return
        except UnserializableError as refused:
            error = refused
        step = error.step_id if isinstance(error, StepError) and error.step_id in self.failed else None
        self.end = BodyRaised(failure_of(error), step)

    def _fail(self, error: FlowgenError) -> None:
        """End the body at once, whatever it is doing."""
        self.end = BodyRaised(failure_of(error)) if self.cancelling is None else BodyCancelled(self.cancelling)
        assert self.root is not None
        self._close(self.root)
        for step in list(self.pending.values()):
            self._abandon(step)
        self._stack.clear()
        self.spawned.clear()


def _placeless(failure: Failure) -> Failure:
    """Without traces: what a body sees must not depend on the files and lines of its code."""
    cause = None if failure.cause is None else _placeless(failure.cause)
    return Failure(failure.type, failure.message, cause=cause)
