"""What is said of a step: what the code asks for, its fingerprint, and what its body came to."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, get_args

import attrs
import msgspec

from ....commands import Invoke, SendEvent, SendSignal, Sleep, SleepUntil, WaitFor, WaitForSignal
from ....commands.base import StepCommand, check_name
from ....duration import DAY, Micros, instant, moment
from ....errors import DefinitionError, InvalidInput, UndecodableError
from ....events import Event
from ....history import Kind
from ....outcome import Failure, Json
from ....retry import MAX_RETRIES, Backoff, check_retries, clamp_retry_after
from ....tree import Step
from ....values import decode, encode, preview
from ....workflow import Workflow
from .parts import FailureSaid, Member, check_position, failure_meant, failure_said, json_of, member_of, read, text_of


class _Backoff(msgspec.Struct):
    delays: tuple[int, ...]
    factor: float
    maximum: int
    jitter: float


class _Step(msgspec.Struct, omit_defaults=True, kw_only=True, tag_field="kind"):
    step: str
    name: str
    digest: str
    arguments: str = "null"


class _Run(_Step, tag="run"):
    retries: int
    backoff: _Backoff
    value: str | None = None
    failure: FailureSaid | None = None
    attempts: int | None = None
    retry_after: int | None = None


class _Sleep(_Step, tag="sleep"):
    duration: int | None = None
    until: int | None = None


class _Wait(_Step, tag="wait"):
    event: str
    timeout: int
    match: str | None = None
    where: str | None = None
    since: str | int | None = None
    seen: int | msgspec.UnsetType | None = msgspec.UNSET


class _Signal(_Step, tag="signal"):
    signal: str
    timeout: int
    on_conflict: str = "fail"


class _Invoke(_Step, tag="invoke"):
    workflow: str
    data: str = "null"
    timeout: int | None = None
    on_cancel: str = "cancel"


class _Event(msgspec.Struct, omit_defaults=True):
    name: str
    data: str = "{}"
    id: str | None = None
    ts: int | None = None


class _Send(_Step, tag="send"):
    events: list[_Event]


class _SendSignal(_Step, tag="send_signal"):
    signal: str
    data: str = "null"


_AnyStep = _Run | _Sleep | _Wait | _Signal | _Invoke | _Send | _SendSignal
_BY_TAG: Final[Mapping[str, Any]] = {str(kind.__struct_config__.tag): kind for kind in get_args(_AnyStep)}


@attrs.frozen
class Asked:
    """A step that the code asks for, as the app tells it.

    `digest` and `arguments` (a preview) are its fingerprint. `command` is what it asks for, checked like one that is
    written here; None for a `Run`, whose function is the app's: `retries` and `backoff` say when that is tried again.
    Of a body that came back, `value` is what it returned, or `failure` what it raised at try number `attempts`;
    `retry_after` (microseconds) is when it wants to be tried again, if it said so. Of a wait for an event, `seen` is
    the position of the event that its previous occurrence returned to the code, `UNSET` if the app does not say.
    """

    step: str
    name: str
    kind: Kind
    digest: str
    arguments: Json
    command: StepCommand[Any] | None = None
    retries: int = 0
    backoff: Backoff | None = None
    value: Json | None = None
    failure: Failure | None = None
    attempts: int = 1
    retry_after: Micros | None = None
    seen: int | msgspec.UnsetType | None = msgspec.UNSET


def asked_member(step: Step, workflow: Workflow[Any, Any], seen: int | None = None) -> Member:
    """The member of the op of an open step; `seen` is what the code looks after if that is a wait for an event."""
    return member_of(_asked(step, workflow, seen))


def returned_member(step: Step, workflow: Workflow[Any, Any], value: Json) -> Member:
    """The member of the op of a `Run` whose body returned."""
    return {**asked_member(step, workflow), "value": text_of(value)}


def raised_member(
    step: Step, workflow: Workflow[Any, Any], failure: Failure, attempts: int, retry_after: Micros | None = None
) -> Member:
    """The member of the op of a `Run` whose body raised at try number `attempts`."""
    said: Member = {"failure": member_of(failure_said(failure)), "attempts": attempts}
    if retry_after is not None:
        said["retry_after"] = retry_after
    return {**asked_member(step, workflow), **said}


def read_asked(member: Any) -> Asked:
    """What the member of an op says. Raises `UndecodableError`, also for what no command can ask for."""
    what = "the flowgen member of an op"
    said = _said(member, what)
    try:
        kind: Kind = said.__struct_config__.tag
        common = (_step_id(said.step), check_name(said.name, "name"), kind, said.digest, json_of(said.arguments))
        if isinstance(said, _Wait):
            seen = check_position(said.seen, what) if isinstance(said.seen, int) else said.seen
            return Asked(*common, command=_command(said), seen=seen)
        if not isinstance(said, _Run):
            return Asked(*common, command=_command(said))
        backoff = Backoff(said.backoff.delays, said.backoff.factor, said.backoff.maximum, said.backoff.jitter)
        return Asked(
            *common,
            retries=check_retries(said.retries, "retries"),
            backoff=_checked_backoff(backoff),
            value=json_of(said.value) if said.value is not None else None,
            failure=failure_meant(said.failure) if said.failure is not None else None,
            attempts=_checked_attempts(1 if said.attempts is None else said.attempts),
            retry_after=None if said.retry_after is None else clamp_retry_after(said.retry_after),
        )
    except (DefinitionError, InvalidInput) as error:
        raise UndecodableError(f"{what} of step {said.step!r:.100} asks for what cannot be: {error}") from error


def _said(member: Any, what: str) -> Any:
    """The struct that a member stands for. msgspec makes a union ready each time that it is asked for one, which takes
    ten times as long as to read the member: so the tag is looked at here, as far as there is one."""
    tag = member.get("kind") if type(member) is dict else None
    return read(member, _BY_TAG.get(tag, _AnyStep) if type(tag) is str else _AnyStep, what)


def _asked(step: Step, workflow: Workflow[Any, Any], seen: int | None) -> _AnyStep:
    command = step.command
    common: dict[str, Any] = {
        "step": step.id,
        "name": step.name,
        "digest": step.digest,
        "arguments": text_of(preview(step.arguments)),
    }
    match command:
        case Sleep():
            return _Sleep(**common, duration=command.duration)
        case SleepUntil():
            return _Sleep(**common, until=command.until)
        case WaitFor():
            return _Wait(
                **common,
                event=command.event,
                timeout=command.timeout,
                match=command.match,
                where=command.where,
                since=command.since,
                seen=seen,
            )
        case WaitForSignal():
            return _Signal(**common, signal=command.signal, timeout=command.timeout, on_conflict=command.on_conflict)
        case Invoke():
            data = text_of(encode(command.data, f"the data of invoke {step.id!r}"))
            timeout, on_cancel = command.timeout, command.on_cancel
            return _Invoke(**common, workflow=command.workflow, data=data, timeout=timeout, on_cancel=on_cancel)
        case SendEvent():
            return _Send(**common, events=[_event(event, step.id) for event in command.events])
        case SendSignal():
            data = text_of(encode(command.data, f"the data of signal {command.signal!r}"))
            return _SendSignal(**common, signal=command.signal, data=data)
        case _:
            backoff = command.backoff or workflow.backoff
            return _Run(
                **common,
                retries=workflow.retries if command.retries is None else command.retries,
                backoff=_Backoff(backoff.delays, backoff.factor, backoff.maximum, backoff.jitter),
            )


def _event(event: Event[Any], step: str) -> _Event:
    data = text_of(encode(event.data, f"the data of event {event.name!r} of step {step!r}", canonical=True))
    return _Event(event.name, data, event.id, None if event.ts is None else instant(event.ts, "ts"))


def _command(said: _Sleep | _Wait | _Signal | _Invoke | _Send | _SendSignal) -> StepCommand[Any]:
    match said:
        case _Sleep():
            if (said.until is None) == (said.duration is None):
                raise InvalidInput("a sleep has a duration or an until, one of the two")
            if said.until is not None:
                return SleepUntil(said.name, _moment(said.until))
            return Sleep(said.name, _span(said.duration))
        case _Wait():
            since: Any = said.since if not isinstance(said.since, int) else _moment(said.since)
            return WaitFor(
                said.name, said.event, timeout=_span(said.timeout), match=said.match, where=said.where, since=since
            )
        case _Signal():
            on_conflict: Any = said.on_conflict
            return WaitForSignal(said.name, said.signal, timeout=_span(said.timeout), on_conflict=on_conflict)
        case _Invoke():
            on_cancel: Any = said.on_cancel
            timeout = _span(said.timeout) if said.timeout is not None else None
            data = decode(json_of(said.data))
            return Invoke(said.name, said.workflow, data, timeout=timeout, on_cancel=on_cancel)
        case _Send():
            return SendEvent(said.name, [_said_event(event) for event in said.events])
        case _SendSignal():
            return SendSignal(said.name, said.signal, decode(json_of(said.data)))


def _said_event(said: _Event) -> Event[Any]:
    return Event(said.name, decode(json_of(said.data)), said.id, None if said.ts is None else _moment(said.ts))


def _step_id(text: str) -> str:
    if not 0 < len(text) <= _LONGEST_STEP_ID or not text.isprintable():
        raise InvalidInput(f"step {text!r:.100} is no id of a step")
    return text


_LONGEST_STEP_ID: Final = 16_384


def _span(micros: int | None) -> timedelta:
    try:
        return timedelta(microseconds=micros or 0)
    except OverflowError:
        raise InvalidInput(f"{micros} microseconds are no duration") from None


def _moment(at: int) -> Any:
    try:
        return moment(at)
    except OverflowError:
        raise InvalidInput(f"{at} microseconds since the epoch are no time") from None


def _checked_attempts(attempts: int) -> int:
    if not 1 <= attempts <= MAX_RETRIES + 1:
        raise InvalidInput(f"{attempts} is no number of a try: they are counted from 1 to {MAX_RETRIES + 1}")
    return attempts


def _checked_backoff(backoff: Backoff) -> Backoff:
    bounded = all(0 <= delay <= DAY for delay in (*backoff.delays, backoff.maximum))
    if not backoff.delays or not bounded or not 1 <= backoff.factor <= 100 or not 0 <= backoff.jitter <= 1:
        raise InvalidInput(f"{backoff} is no back-off")
    return backoff
