"""What a program may see of a workflow: `WorkflowInfo`, made from its registration without its code."""

from __future__ import annotations

from datetime import datetime

import attrs

from ..cron import Cron
from ..duration import format_duration, moment
from ..flow_control import Policies
from ..routing import Route
from ..workflow import ScheduleDefinition

NEXT_TICKS = 3
"""So many of the next ticks of a schedule are told."""


@attrs.frozen
class ScheduleInfo:
    """A schedule of a workflow, and its next ticks (aware, in UTC), without jitter."""

    cron: str
    catch_up: str
    jitter: str | None
    next: tuple[datetime, ...]


@attrs.frozen
class WorkflowInfo:
    """A workflow in force. `triggers` are names and patterns of events, each with its condition if it has one.

    `policies` is its flow control, an option each as it is written in Python, by its name.
    """

    app: str
    id: str
    paused: bool
    triggers: tuple[str, ...]
    schedules: tuple[ScheduleInfo, ...]
    policies: dict[str, str]


def workflow_info(route: Route, paused: bool, now: int) -> WorkflowInfo:
    """The info of a workflow, at a time in microseconds."""
    definition = route.definition
    triggers = tuple(t.pattern + (f" where {t.where}" if t.where else "") for t in definition.triggers)
    schedules = tuple(_schedule(schedule, now) for schedule in definition.schedules)
    return WorkflowInfo(route.app, definition.id, paused, triggers, schedules, _written(definition.policies))


def _schedule(schedule: ScheduleDefinition, now: int) -> ScheduleInfo:
    cron, ticks = Cron(schedule.text), [now]
    for _ in range(NEXT_TICKS):
        ticks.append(cron.next_tick(ticks[-1]))
    jitter = format_duration(schedule.jitter) if schedule.jitter else None
    return ScheduleInfo(schedule.text, schedule.catch_up, jitter, tuple(moment(at) for at in ticks[1:]))


def _written(policies: Policies) -> dict[str, str]:
    written = {}
    for field in attrs.fields(Policies):
        value = getattr(policies, field.name)
        if isinstance(value, tuple):
            value = ", ".join(repr(item) for item in value) or None
        if value is not None:
            written[field.name] = value if isinstance(value, str) else repr(value)
    return written
