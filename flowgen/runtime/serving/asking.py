"""An open step as an op: what the code asks for, in the words of the wire.

To a flowgen server each op says in its `flowgen` member all that our history needs, and the rest only what kind of op
it is. To any other server the `opts` are all there is: durations become text, `match` becomes an expression, and what
the protocol has no word for (`since`, the back-off, a child that is left alone) is not said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ...commands import All, Invoke, Run, SendEvent, SendSignal, Sleep, SleepUntil, WaitFor, WaitForSignal
from ...commands.base import StepCommand
from ...duration import SECOND, format_duration, moment
from ...ends import BodyCancelled, BodyEnd, BodyRaised, BodyRestarted, BodyReturned
from ...interpreter import Interpreter
from ...outcome import Failure
from ...tree import Fiber, Group, Step
from ...values import decode, encode
from ..protocol import native
from ..protocol.calls import Answer, Erred, Ops, Returned
from ..protocol.errors import error_of
from ..protocol.events import function_id
from ..protocol.ops import Op, Opcode, Userland
from ..protocol.steps import step_hash
from .recall import Recalled

_CODES: Final[dict[type, Opcode]] = {
    Run: Opcode.STEP_PLANNED,
    SendEvent: Opcode.STEP_PLANNED,
    SendSignal: Opcode.STEP_PLANNED,
    Sleep: Opcode.SLEEP,
    SleepUntil: Opcode.SLEEP,
    WaitFor: Opcode.WAIT_FOR_EVENT,
    WaitForSignal: Opcode.WAIT_FOR_SIGNAL,
    Invoke: Opcode.INVOKE_FUNCTION,
}
_TYPES: Final[dict[type, str]] = {
    Run: "step.run",
    SendEvent: "step.sendEvent",
    SendSignal: "step.sendSignal",
    Sleep: "step.sleep",
    SleepUntil: "step.sleepUntil",
    WaitFor: "step.waitForEvent",
    WaitForSignal: "step.waitForSignal",
    Invoke: "step.invoke",
}
_SHORT: Final = frozenset({Run, SendEvent, SendSignal})


def asking_op(step: Step, recalled: Recalled) -> Op:
    """The op of an open step."""
    code, workflow = _CODES[type(step.command)], recalled.workflow
    if recalled.native:
        return base_op(
            code, step, recalled, native.asked_member(step, workflow, recalled.interpreter.looks_after(step))
        )
    op = base_op(code, step, recalled)
    op.name, opts = _words(step.command, workflow.app)
    op.opts = {**op.opts, **opts}
    return op


def base_op(code: Opcode, step: Step, recalled: Recalled, member: native.Member | None = None) -> Op:
    """An op about a step: its names, its kind, and whether the server is to ask again as soon as it is over.

    That is where its group goes on after each of its steps; and where steps were given up: the server, which knows
    nothing of that, would wait for them.
    """
    opts = {"type": _TYPES[type(step.command)]}
    if recalled.left_behind or races(step):
        opts["parallelMode"] = "race"
    return Op(
        code,
        step_hash(step.id),
        display_name=step.id,
        opts=opts,
        userland=_userland(step.id, step.name),
        flowgen=member,
    )


def races(step: Step) -> bool:
    """Whether the code may go on when this step has ended, though steps beside it have not.

    Only an `All` of short bodies waits for all of them in any case: its server need not ask after each.
    """
    node: Fiber | Group | None = step.parent
    while node is not None:
        if type(node) is Group and not _waits_for_all(node):
            return True
        node = node.parent
    return False


def _waits_for_all(group: Group) -> bool:
    command = group.command
    return (
        type(command) is All and command.limit is None and all(type(branch) in _SHORT for _, branch in command.branches)
    )


def _userland(step_id: str, name: str) -> Userland:
    """What the author called it: the id without the number of its occurrence, and that number."""
    base, _, occurrence = step_id.rpartition(":")
    if base.rpartition("/")[2] == name and occurrence.isdecimal():
        return Userland(base, int(occurrence))
    return Userland(step_id, 0)


# -- for servers that know nothing of flowgen ------------------------------------------------------


def _words(command: StepCommand[Any], app: str) -> tuple[str | None, dict[str, Any]]:
    """The name and the options of an op."""
    match command:
        case Sleep(duration=duration):
            return _span(duration), {"duration": _span(duration)}
        case SleepUntil(until=until):
            return _date(until), {"duration": _date(until)}
        case WaitFor():
            opts = {"event": command.event, "timeout": _span(command.timeout)}
            condition = _condition(command)
            return command.event, opts if condition is None else {**opts, "if": condition}
        case WaitForSignal(signal=signal, on_conflict=on_conflict):
            return signal, {"signal": signal, "timeout": _span(command.timeout), "conflict": on_conflict}
        case Invoke():
            return None, _invocation(command, app)
        case _:
            return None, {}


def _condition(command: WaitFor[Any]) -> str | None:
    """`match` and `where` as one expression."""
    same = None if command.match is None else f"event.{command.match} == async.{command.match}"
    if same is None or command.where is None:
        return same if command.where is None else command.where
    return f"({same}) && ({command.where})"


def _invocation(command: Invoke[Any], app: str) -> dict[str, Any]:
    named, _, workflow = command.workflow.rpartition("/")
    data = decode(encode(command.data, f"the data of invoke {command.id!r}"))
    opts: dict[str, Any] = {
        "function_id": function_id(named or app, workflow),
        "payload": {"data": {} if data is None else data},
    }
    return opts if command.timeout is None else {**opts, "timeout": _span(command.timeout)}


def _span(micros: int) -> str:
    return format_duration(micros)


def _date(at: int) -> str:
    """To the second, later rather than earlier: a sleep never ends too early."""
    whole = moment(-(-at // SECOND) * SECOND)
    return whole.strftime("%Y-%m-%dT%H:%M:%SZ")


# -- the end ---------------------------------------------------------------------------------------


def ending(end: BodyEnd, *, native_form: bool, seen: Mapping[str, int] | None = None) -> Answer:
    """The answer that ends a run; `seen` is what the waits of its successor look after."""
    if native_form:
        return Answer(Ops((Op(Opcode.RUN_COMPLETE, "", flowgen=native.end_member(end, seen)),)))
    match end:
        case BodyReturned(data):
            return Answer(Returned(data))
        case BodyRaised(failure):
            return failed(failure)
        case BodyRestarted():
            return failed(Failure("DefinitionError", "Restart needs a flowgen server: no other can start a successor"))
        case BodyCancelled(reason):
            return failed(Failure("RunCancelledError", reason))


def failed(failure: Failure) -> Answer:
    """The run has failed, and trying again would fail again."""
    return Answer(Erred(error_of(failure)), no_retry=True)


def standing(interpreter: Interpreter) -> Op:
    """The op by which a flowgen server learns which steps are open, and what was given up."""
    cleaning = dict(interpreter.cleaning)
    open = list(interpreter.pending)
    open += [request.step for request in interpreter.take_leftovers()]
    return Op(Opcode.NONE, "", flowgen=native.standing_member(native.Standing(tuple(open), cleaning)))
