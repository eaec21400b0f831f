"""The durable formats: records, messages, rows and events as JSON, with versions and upcasters.

Every document is plain JSON: no pickle, and never an import by a name found in stored data. Members of
a union carry a tag, `type`, which is looked up in the tables below and nowhere else. The format has one
version number, `FORMAT`, kept by whoever stores the documents (a store in its schema, an export in its
header line). Version 1 is frozen: `tests/histories/` pins its bytes, and they are readable for ever.

A later version adds to `UPCASTERS` how a document of the version before becomes one of its own; old
documents are lifted step by step, and code knows the newest form only.

What does not fit is an `UndecodableError` that names the document, the path and both sides; a document
of a newer version is refused before it is looked at.

The bytes of JSON values inside (`Json`) are kept as they are. Knows nothing of files, stores or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from zlib import crc32

import attrs
import msgspec

from .errors import UndecodableError
from .events import AcceptedEvent
from .history import (
    AttemptFailed,
    CancelAccepted,
    CleanupExpired,
    EndCancelled,
    EndCompleted,
    EndFailed,
    InvokeTerms,
    Record,
    Requested,
    Retried,
    SendSignalTerms,
    SendTerms,
    SignalTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    Terms,
    WaitTerms,
)
from .outcome import Failure, Json
from .runs import (
    Body,
    CancelRequested,
    ChildCompleted,
    ChildFailed,
    EventCollected,
    EventMatched,
    Freed,
    Message,
    Parent,
    RunRow,
    SignalArrived,
    SignalReplaced,
)
from .transition import Wait
from .wire import Form, Mirror, Mirrors
from .workflow import Definition

FORMAT = 1
"""The version of the format that this code writes."""

RECORD_TAGS: Mapping[type, str] = {
    Started: "started",
    Requested: "requested",
    AttemptFailed: "attempt_failed",
    StepSucceeded: "succeeded",
    StepFailed: "failed",
    CancelAccepted: "cancel_accepted",
    CleanupExpired: "cleanup_expired",
    Retried: "retried",
    EndCompleted: "end_completed",
    EndFailed: "end_failed",
    EndCancelled: "end_cancelled",
}

TERMS_TAGS: Mapping[type, str] = {
    SleepTerms: "sleep",
    WaitTerms: "wait",
    SignalTerms: "signal",
    InvokeTerms: "invoke",
    SendTerms: "send",
    SendSignalTerms: "send_signal",
}

BODY_TAGS: Mapping[type, str] = {
    EventMatched: "event",
    SignalArrived: "signal",
    SignalReplaced: "signal_replaced",
    ChildCompleted: "child_completed",
    ChildFailed: "child_failed",
    CancelRequested: "cancel",
    EventCollected: "collected",
    Freed: "freed",
}


class _Failure(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """A failure and its causes; written by hand because it contains itself."""

    type: str
    message: str
    trace: str = ""
    cause: _Failure | None = None


def _failure_there(failure: Failure) -> _Failure:
    cause = None if failure.cause is None else _failure_there(failure.cause)
    return _Failure(failure.type, failure.message, failure.trace, cause)


def _failure_back(failure: _Failure) -> Failure:
    cause = None if failure.cause is None else _failure_back(failure.cause)
    return Failure(failure.type, failure.message, failure.trace, cause)


_mirrors = Mirrors(
    tags={**RECORD_TAGS, **TERMS_TAGS, **BODY_TAGS},
    known={Failure: Mirror(_Failure, _failure_there, _failure_back)},
)

_record: Form[Record] = Form(_mirrors, Record, "a history record")
_terms: Form[Terms] = Form(_mirrors, Terms, "the terms of a request")
_body: Form[Body] = Form(_mirrors, Body, "a message's body")
_message: Form[Message] = Form(_mirrors, Message, "a message")
_row: Form[RunRow] = Form(_mirrors, RunRow, "a run's row")
_parent: Form[Parent] = Form(_mirrors, Parent, "a run's parent")
_event: Form[AcceptedEvent] = Form(_mirrors, AcceptedEvent, "an event")
_events: Form[tuple[AcceptedEvent, ...]] = Form(_mirrors, tuple[AcceptedEvent, ...], "a run's events")
_wait: Form[Wait] = Form(_mirrors, Wait, "a wait")
_definition: Form[Definition] = Form(_mirrors, Definition, "a workflow's definition")

encode_record, decode_record = _record.encode, _record.decode
encode_terms, decode_terms = _terms.encode, _terms.decode
encode_body, decode_body = _body.encode, _body.decode
encode_message, decode_message = _message.encode, _message.decode
encode_run_row, decode_run_row = _row.encode, _row.decode
encode_parent, decode_parent = _parent.encode, _parent.decode
encode_event, decode_event = _event.encode, _event.decode
encode_events, decode_events = _events.encode, _events.decode
encode_wait, decode_wait = _wait.encode, _wait.decode
decode_definition = _definition.decode


def encode_definition(definition: Definition) -> Json:
    """The JSON of a workflow's definition, which a registration carries and a store keeps unread."""
    return Json(_definition.encode(definition))


def checksum(run: str | int, position: int, body: bytes) -> int:
    """The checksum of a stored record: 32 bits over whose it is, its position and its bytes.

    It finds flipped bits and records that strayed to another run or place; it is no signature.
    """
    return crc32(body, crc32(b"%s %d " % (str(run).encode(), position)))


def decode_sealed(
    run: str | int, rows: Iterable[tuple[int, int, bytes]], damaged: Callable[[int], Exception]
) -> Iterator[Record]:
    """The records of a run in rows of (position, checksum, body); `damaged` makes the error for a position.

    What the checksums of a run have in common is computed once, and each continued from it.
    """
    begun = crc32(b"%s " % str(run).encode())
    for position, seal, body in rows:
        if crc32(body, crc32(b"%d " % position, begun)) != seal:
            raise damaged(position)
        yield decode_record(body)


def record_to_dict(record: Record) -> dict[str, Any]:
    """A record as plain JSON data, as it is stored: what `--json` and the web show."""
    data: dict[str, Any] = msgspec.json.decode(encode_record(record))
    return data


# -- older versions -------------------------------------------------------------------------------

Document = dict[str, Any]


def _unchanged(document: Document) -> Document:
    return document


@attrs.frozen
class Upcaster:
    """How the documents of one version become those of the next: each a function of plain JSON data."""

    record: Callable[[Document], Document] = _unchanged
    run: Callable[[Document], Document] = _unchanged
    event: Callable[[Document], Document] = _unchanged


UPCASTERS: Mapping[int, Upcaster] = {}
"""From each version that was ever released to the one after it."""


def _steps(version: int, upcasters: Mapping[int, Upcaster]) -> list[Upcaster]:
    if version > FORMAT:
        raise UndecodableError(
            f"written in format {version}, but this flowgen reads formats up to {FORMAT}: upgrade flowgen to read it"
        )
    missing = [v for v in range(version, FORMAT) if v not in upcasters]
    if missing:
        raise UndecodableError(f"format {version} cannot be read: no upcaster from format {missing[0]} on")
    return [upcasters[v] for v in range(version, FORMAT)]


def _lifted(data: bytes, steps: list[Callable[[Document], Document]]) -> bytes:
    if not steps:
        return data
    try:
        document = msgspec.json.decode(data)
    except msgspec.MsgspecError as error:
        raise UndecodableError(f"a document of an older format is not JSON: {error}") from error
    for step in steps:
        document = step(document)
    return msgspec.json.encode(document)


# -- export and import ----------------------------------------------------------------------------

EXPORT_TYPE = "flowgen-history"


@attrs.frozen
class Exported:
    """What an export holds: a run, the events that it handles, its history."""

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    records: tuple[Record, ...]


class _Opening(msgspec.Struct, tag=EXPORT_TYPE):
    version: int


class _Header(_Opening, tag=EXPORT_TYPE):
    run: msgspec.Raw
    events: list[msgspec.Raw]


def export_lines(row: RunRow, events: Iterable[AcceptedEvent], records: Iterable[Record]) -> Iterator[str]:
    """The lines of an export (JSON Lines, without line ends): a header with the run, then the records."""
    header = _Header(
        version=FORMAT,
        run=Json(encode_run_row(row)),
        events=[Json(encode_event(event)) for event in events],
    )
    yield msgspec.json.encode(header).decode()
    for record in records:
        yield encode_record(record).decode()


def import_lines(lines: Iterable[str], upcasters: Mapping[int, Upcaster] = UPCASTERS) -> Exported:
    """What `export_lines` wrote of one run, in this or an older format. Errors name the line."""
    runs = import_runs(lines, upcasters)
    exported = next(runs, None)
    if exported is None:
        raise UndecodableError("line 1: not the header of an exported run: there is nothing")
    if (other := next(runs, None)) is not None:
        raise UndecodableError(f"two runs or more, {exported.row.id} and {other.row.id}, where one was expected")
    return exported


def import_runs(lines: Iterable[str], upcasters: Mapping[int, Upcaster] = UPCASTERS) -> Iterator[Exported]:
    """The runs of a stream of exports, one after the other: each begins with its header line. Errors name the line."""
    opened: _Import | None = None
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            if opened is None or is_header(line):
                if opened is not None:
                    yield opened.exported()
                opened = _Import.begun(line, upcasters)
            else:
                opened.records.append(decode_record(_lifted(line.encode(), opened.record_steps)))
        except msgspec.MsgspecError as error:
            raise UndecodableError(f"line {number}: not the header of an exported run: {error}") from error
        except UndecodableError as error:
            raise UndecodableError(f"line {number}: {error}") from error
    if opened is not None:
        yield opened.exported()


def is_header(line: str) -> bool:
    """Whether a line of an export begins a run."""
    if EXPORT_TYPE not in line:
        return False
    try:
        return msgspec.json.decode(line, type=_Tagged).type == EXPORT_TYPE
    except msgspec.MsgspecError:
        return False


class _Tagged(msgspec.Struct):
    type: str


@attrs.frozen
class _Import:
    """A run of which some lines were read."""

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    record_steps: list[Callable[[Document], Document]]
    records: list[Record] = attrs.Factory(list)

    @classmethod
    def begun(cls, line: str, upcasters: Mapping[int, Upcaster]) -> _Import:
        steps = _steps(msgspec.json.decode(line, type=_Opening).version, upcasters)
        header = msgspec.json.decode(line, type=_Header)
        row = decode_run_row(_lifted(header.run, [step.run for step in steps]))
        events = tuple(decode_event(_lifted(e, [step.event for step in steps])) for e in header.events)
        return cls(row, events, [step.record for step in steps])

    def exported(self) -> Exported:
        return Exported(self.row, self.events, tuple(self.records))


# -- for people -----------------------------------------------------------------------------------

_SHOWN = 120


def describe(record: Record) -> str:
    """One line for people: what happened, to which step, and with what."""
    return f"{type(record).__name__} {_details(record)}".rstrip()


def _details(record: Record) -> str:
    match record:
        case Started(digest=digest):
            return f"on code {digest}"
        case Requested(step=step, kind=kind, terms=terms):
            return f"{step} ({kind}: {_short(encode_terms(terms))})"
        case AttemptFailed(step=step, attempt=attempt, failure=failure):
            return f"{step} attempt {attempt} → {_short(str(failure))}"
        case StepSucceeded(step=step, value=value):
            return f"{step} → {_short(value)}"
        case StepFailed(step=step, failure=failure):
            return f"{step} → {_short(str(failure))}"
        case CancelAccepted(reason=reason) | EndCancelled(reason=reason):
            return f"({_short(reason)})"
        case CleanupExpired(scope=scope):
            return scope or "the body"
        case Retried(life=life, steps=steps):
            return f"life {life}" + (f", again: {', '.join(steps)}" if steps else "")
        case EndCompleted(restarted_as=str(successor)):
            return f"restarted as {successor}"
        case EndCompleted(result=result):
            return f"→ {_short(result)}"
        case EndFailed(failure=failure, step=step):
            return (f"at {step} " if step else "") + f"→ {_short(str(failure))}"


def _short(value: str | bytes | Json) -> str:
    text = value if isinstance(value, str) else bytes(value).decode()
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
