"""Ops: what an app reports of its steps, or asks for.

An answer of status 206 is a list of them (old SDKs send one alone). `Opcode` names their kinds; capitals do not
matter. An op that stands for a step has the step's hash as its `id`, and often says by `userland` what name led to it.

What an op asks for in its `opts` is read by `terms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any, Final

import attrs

from ...outcome import Json
from .errors import UserError, error_to_json, read_error
from .reading import BadResponse, Members, ProtocolError, encoded, shown
from .steps import is_hash, step_id

MAX_OPS: Final = 1_000
"""Ops in one answer, beside one that says nothing of a step (`NONE`)."""


class Opcode(Enum):
    """The kinds of ops, as the wire names them."""

    NONE = "None"
    STEP = "Step"
    STEP_RUN = "StepRun"
    STEP_ERROR = "StepError"
    STEP_FAILED = "StepFailed"
    STEP_PLANNED = "StepPlanned"
    STEP_NOT_FOUND = "StepNotFound"
    SLEEP = "Sleep"
    WAIT_FOR_EVENT = "WaitForEvent"
    WAIT_FOR_SIGNAL = "WaitForSignal"
    INVOKE_FUNCTION = "InvokeFunction"
    GATEWAY = "Gateway"
    AI_GATEWAY = "AIGateway"
    RUN_COMPLETE = "RunComplete"
    SYNC_RUN_COMPLETE = "SyncRunComplete"
    DISCOVERY_REQUEST = "DiscoveryRequest"
    DEFER_ADD = "DeferAdd"
    DEFER_ABORT = "DeferAbort"


OF_STEPS: Final = frozenset(
    {
        Opcode.STEP,
        Opcode.STEP_RUN,
        Opcode.STEP_ERROR,
        Opcode.STEP_FAILED,
        Opcode.STEP_PLANNED,
        Opcode.SLEEP,
        Opcode.WAIT_FOR_EVENT,
        Opcode.WAIT_FOR_SIGNAL,
        Opcode.INVOKE_FUNCTION,
        Opcode.GATEWAY,
        Opcode.AI_GATEWAY,
    }
)
"""The kinds that stand for a step: their `id` is its hash."""

FIRST: Final = frozenset({Opcode.WAIT_FOR_EVENT, Opcode.DEFER_ADD, Opcode.DEFER_ABORT})
"""The kinds that a server handles before all others of an answer."""

LAZY: Final = frozenset({Opcode.DEFER_ADD, Opcode.DEFER_ABORT, Opcode.NONE})
"""The kinds that do not count where an answer with several ops makes a parallel group."""

_BY_NAME: Final = {code.value.lower(): code for code in Opcode}
_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


@attrs.frozen
class Userland:
    """What the author of an app called a step, and which repeat of that name it is (None or 0: the first)."""

    id: str
    index: int | None = None


@attrs.define
class Op:
    """One op. `data` is a result, encoded; `opts` are plain JSON; `flowgen` is what only our own apps say."""

    op: Opcode
    id: str
    name: str | None = None
    display_name: str | None = None
    opts: Mapping[str, Any] = _NOTHING
    data: Json | None = None
    error: UserError | None = None
    userland: Userland | None = None
    flowgen: Mapping[str, Any] | None = None

    @property
    def step_id(self) -> str:
        """The id that its step has in our histories."""
        if self.userland is None:
            return step_id(self.id, self.display_name, None, self.name)
        return step_id(self.id, self.userland.id, self.userland.index, self.display_name)

    @property
    def races(self) -> bool:
        """Whether its step belongs to a parallel group that goes on after each of its steps."""
        return self.opts.get("parallelMode") == "race"


def parse_ops(value: Any, place: str = "", error: type[ProtocolError] = BadResponse) -> tuple[Op, ...]:
    """The ops of a value that `read_json` gave: a list, or one alone. Raises `error` with the place of what is none."""
    items = value if isinstance(value, list) else [value]
    if len(items) > MAX_OPS + 1:
        raise error(place or "the answer", f"has {len(items):,} ops; at most {MAX_OPS:,} are accepted")
    ops = tuple(_parse(Members(item, f"{place}[{index}]", error)) for index, item in enumerate(items))
    if len(ops) > MAX_OPS and all(op.op is not Opcode.NONE for op in ops):
        raise error(place or "the answer", f"has {len(ops):,} ops; at most {MAX_OPS:,} are accepted")
    return ops


def to_json(ops: Iterable[Op]) -> list[dict[str, Any]]:
    """The JSON of ops, for `msgspec`."""
    return [_document(op) for op in ops]


def _parse(members: Members) -> Op:
    name = members.needed_text("op", longest=100)
    op = _BY_NAME.get(name.lower())
    if op is None:
        members.refuse("op", f"{shown(name)} is none of the opcodes {', '.join(code.value for code in Opcode)}")
    id = members.text("id", "") or ""
    if op in OF_STEPS and not is_hash(id):
        members.refuse("id", f"{shown(id)} is no step's hash: 40 hex digits in small letters")
    error = members.any("error")
    return Op(
        op=op,
        id=id,
        name=members.text("name"),
        display_name=members.text("displayName"),
        opts=members.mapping("opts") or _NOTHING,
        data=encoded(members.any("data")) if members.has("data") else None,
        error=None if error is None else read_error(error),
        userland=_userland(members),
        flowgen=members.mapping("flowgen") or None,
    )


def _userland(members: Members) -> Userland | None:
    userland = members.members("userland")
    id = None if userland is None else userland.text("id")
    return None if userland is None or id is None else Userland(id, userland.number("index"))


def _document(op: Op) -> dict[str, Any]:
    document: dict[str, Any] = {"op": op.op.value, "id": op.id}
    if op.name is not None:
        document["name"] = op.name
    if op.display_name is not None:
        document["displayName"] = op.display_name
    if op.opts:
        document["opts"] = dict(op.opts)
    if op.data is not None:
        document["data"] = op.data
    if op.error is not None:
        document["error"] = error_to_json(op.error)
    if op.userland is not None:
        document["userland"] = {"id": op.userland.id, "index": op.userland.index}
    if op.flowgen is not None:
        document["flowgen"] = dict(op.flowgen)
    return document
