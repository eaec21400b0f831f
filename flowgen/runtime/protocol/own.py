"""What the registration of a flowgen app says beyond the protocol: its functions' definitions, exactly.

A function of ours has an extra member, `flowgen`: its definition as the store keeps it, and the options that the
protocol has no words for. It comes from another process, so all that it says is checked as if it were written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final, get_args

import attrs

from ... import codec
from ...errors import DefinitionError, UndecodableError
from ...flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Policies,
    RateLimit,
    Throttle,
    Timeouts,
    check_policies,
)
from ...triggers import OnCron, OnEvent
from ...workflow import (
    DEFAULT_MAX_STEPS,
    MAX_MAX_STEPS,
    Changes,
    Definition,
    ScheduleDefinition,
    TriggerDefinition,
    Workflow,
)
from .reading import BadRegistration, Members, read_json

MEMBER: Final = "flowgen"


@attrs.frozen
class OwnOptions:
    """What decides how the runs of a function are started and driven."""

    definition: Definition
    max_steps: int = DEFAULT_MAX_STEPS
    changes: Changes = "strict"


def own_member(workflow: Workflow[Any, Any]) -> dict[str, Any]:
    """The member of a workflow's registration."""
    return {
        "definition": bytes(codec.encode_definition(workflow.definition())).decode(),
        "max_steps": workflow.max_steps,
        "changes": workflow.changes,
    }


def read_own(function: Members, app: str, id: str) -> OwnOptions | None:
    """What a function of ours says; None if it says nothing. Raises the error of `function` for what cannot be."""
    members = function.members(MEMBER)
    text = None if members is None else members.text("definition", longest=1_000_000)
    if members is None or text is None:
        return None
    try:
        read_json(text.encode(), members.at("definition"), BadRegistration)  # also what is quoted can be kept
        definition = _checked(codec.decode_definition(text.encode()), members.place, f"{app}/{id}")
    except (UndecodableError, DefinitionError, TypeError, ValueError, OverflowError) as error:
        members.refuse("definition", str(error))
    if definition.id != id:
        members.refuse("definition", f"is that of {definition.id!r}, not of {id!r}")
    max_steps = members.number("max_steps", DEFAULT_MAX_STEPS) or 0
    if not 1 <= max_steps <= MAX_MAX_STEPS:
        members.refuse("max_steps", f"{max_steps} is not from 1 to {MAX_MAX_STEPS:,}")
    changes: Any = members.text("changes", "strict")
    if changes not in get_args(Changes):
        members.refuse("changes", f"{changes!r:.50} is neither 'strict' nor 'additive'")
    return OwnOptions(definition, max_steps, changes)


_SPANS: Final[Mapping[type, tuple[str, ...]]] = {
    Concurrency: (),
    Throttle: ("per",),
    RateLimit: ("per",),
    Debounce: ("period", "max_wait"),
    Batch: ("wait",),
    CancelOn: ("timeout",),
    Timeouts: ("start", "finish"),
}
"""The members of each option that are durations, which are microseconds where they are kept."""


def _checked(said: Definition, place: str, name: str) -> Definition:
    """A definition, made again of what it says, as its author would."""
    triggers = [OnEvent(trigger.pattern, trigger.where) for trigger in said.triggers]
    crons = [OnCron(s.text, timedelta(microseconds=s.jitter), s.catch_up) for s in said.schedules]
    options = {field.name: _again(getattr(said.policies, field.name)) for field in attrs.fields(Policies)}
    return Definition(
        said.id,
        tuple(TriggerDefinition(trigger.name, trigger.where) for trigger in triggers),
        check_policies(place, name, **options),
        tuple(ScheduleDefinition(cron.schedule, cron.jitter, cron.catch_up) for cron in crons),
    )


def _again(option: Any) -> Any:
    """An option of flow control, made again by its own checks."""
    if isinstance(option, tuple):
        return [_again(item) for item in option] or None
    kind = type(option)
    if not attrs.has(kind):
        return option
    spans = _SPANS.get(kind, ())
    members = {field.name: getattr(option, field.name) for field in attrs.fields(kind)}
    made = {k: timedelta(microseconds=v) if k in spans and v is not None else v for k, v in members.items()}
    return kind(**made)
