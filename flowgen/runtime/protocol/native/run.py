"""What is said of a run: its history so far, where it stands, how it ended, and that code and history disagree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
import msgspec

from ....codec import export_lines, import_lines
from ....ends import BodyCancelled, BodyEnd, BodyRaised, BodyRestarted, BodyReturned
from ....errors import UndecodableError
from ....events import AcceptedEvent
from ....history import Record
from ....runs import RunRow
from .parts import FailureSaid, Member, check_position, failure_meant, failure_said, json_of, member_of, read, text_of

_LAST_MOMENT: Final = 253_402_300_799_999_999
"""The end of the year 9999, in microseconds since the epoch."""

VERSION: Final = 1
"""The version of the member that this code writes and reads."""

# -- of a call -------------------------------------------------------------------------------------


@attrs.frozen
class Told:
    """What a flowgen server says in a call: the run so far.

    Of the row only what the body may depend on counts: whose run it is, its seed, its life, when it was created.
    `heard` is how many records an earlier discovery has seen: what the body logs after them is new.
    """

    row: RunRow
    events: tuple[AcceptedEvent, ...]
    records: tuple[Record, ...]
    heard: int | None = None


class _Told(msgspec.Struct, omit_defaults=True):
    v: int
    run: str
    heard: int | None = None


def told_member(told: Told) -> Member:
    """The member of a call."""
    row, known = told.row, RunRow(told.row.app, told.row.id, told.row.workflow, told.row.created_at, told.row.seed)
    known.life, known.since = row.life, row.since
    return member_of(_Told(VERSION, "\n".join(export_lines(known, told.events, told.records)), told.heard))


def read_told(member: Any) -> Told:
    """What the member of a call says. Raises `UndecodableError`."""
    told = read(member, _Told, "the flowgen member of a call")
    if told.v != VERSION:
        raise UndecodableError(
            f"the flowgen member of a call has version {told.v}, and this code reads version {VERSION}: "
            "upgrade whichever is older, the server or the app"
        )
    exported = import_lines(told.run.split("\n"))
    if not exported.events:
        raise UndecodableError("the flowgen member of a call: a run without an event has no body")
    return Told(exported.row, exported.events, exported.records, told.heard)


# -- of the first op: where the run stands --------------------------------------------------------


@attrs.frozen
class Standing:
    """Which steps are open, all of them, in the order of their requests; and until when (microseconds) each cancelled
    scope may clean up. What the server holds open and is not named here was given up."""

    open: tuple[str, ...]
    cleaning: Mapping[str, int] = attrs.Factory(dict)


class _Standing(msgspec.Struct, omit_defaults=True):
    open: list[str]
    cleaning: dict[str, int] = {}


def standing_member(standing: Standing) -> Member:
    """The member of the op `None` that begins the answer to a discovery."""
    return member_of(_Standing(list(standing.open), dict(standing.cleaning)))


def read_standing(member: Any) -> Standing:
    """What that member says. Raises `UndecodableError`."""
    what = "the flowgen member of the first op"
    said = read(member, _Standing, what)
    for scope, until in said.cleaning.items():
        if not 0 <= until <= _LAST_MOMENT:
            raise UndecodableError(f"{what}: scope {scope!r:.100} cleans up until {until}, which is no time")
    return Standing(tuple(said.open), said.cleaning)


# -- of RunComplete: how the body ended -----------------------------------------------------------


class _End(msgspec.Struct, omit_defaults=True, tag_field="end"):
    pass


class _Returned(_End, tag="returned"):
    value: str


class _Raised(_End, tag="raised"):
    failure: FailureSaid
    step: str | None = None


class _Restarted(_End, tag="restarted"):
    value: str
    seen: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class _Cancelled(_End, tag="cancelled"):
    reason: str


_AnyEnd = _Returned | _Raised | _Restarted | _Cancelled
_OF_COMPLETE: Final = "the flowgen member of RunComplete"


def end_member(end: BodyEnd, seen: Mapping[str, int] | None = None) -> Member:
    """The member of the op that ends a run; `seen` is what its successor's waits look after, as `Interpreter.seen`."""
    match end:
        case BodyReturned(data):
            return member_of(_Returned(text_of(data)))
        case BodyRaised(failure, step):
            return member_of(_Raised(failure_said(failure), step))
        case BodyRestarted(data):
            return member_of(_Restarted(text_of(data), dict(seen or {})))
        case BodyCancelled(reason):
            return member_of(_Cancelled(reason))


def read_end(member: Any) -> BodyEnd:
    """What that member says. Raises `UndecodableError`."""
    said: _AnyEnd = read(member, _AnyEnd, _OF_COMPLETE)
    match said:
        case _Returned(value):
            return BodyReturned(json_of(value))
        case _Raised(failure, step):
            return BodyRaised(failure_meant(failure), step)
        case _Restarted(value):
            return BodyRestarted(json_of(value))
        case _Cancelled(reason):
            return BodyCancelled(reason)


def read_seen(member: Any) -> dict[str, int] | None:
    """What the waits of a successor look after, as the member of `RunComplete` says; None if it does not."""
    said: _AnyEnd = read(member, _AnyEnd, _OF_COMPLETE)
    if not isinstance(said, _Restarted) or isinstance(said.seen, msgspec.UnsetType):
        return None
    return {name: check_position(position, _OF_COMPLETE) for name, position in said.seen.items()}


# -- of an error: code and history disagree -------------------------------------------------------


class Diverged(msgspec.Struct, omit_defaults=True, frozen=True):
    """Both sides of a `NondeterminismError`: what history has at `step`, and what the code yields there."""

    step: str
    recorded: str
    yields: str
    where: str = ""


def diverged_member(diverged: Diverged) -> Member:
    """The member of the body of an error."""
    return {"diverged": member_of(diverged)}


def read_diverged(member: Any) -> Diverged | None:
    """What that member says; None if the error is another one. Raises `UndecodableError`."""
    if not isinstance(member, dict) or "diverged" not in member:
        return None
    diverged: Diverged = read(member["diverged"], Diverged, "the flowgen member of an error")
    return diverged
