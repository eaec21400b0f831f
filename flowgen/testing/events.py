"""The trigger event of a run that a test makes up."""

from __future__ import annotations

from typing import Any

from ..events import AcceptedEvent, Event, accept_event, as_event, is_event_class
from ..workflow import Workflow

DEFAULT_NAME = "test/event"


def trigger_event(workflow: Workflow[Any, Any], data: Any, at: int) -> AcceptedEvent:
    """The event that starts a run of `workflow`, accepted at `at`.

    `data` is an `Event`, an instance of an event class, or the data of an event with the name that the
    workflow's first trigger has.
    """
    if isinstance(data, Event) or is_event_class(type(data)):
        event: Event[Any] = as_event(data)
    else:
        event = Event(trigger_name(workflow), {} if data is None else data)
    return accept_event(event, "test-event", at)


def trigger_name(workflow: Workflow[Any, Any]) -> str:
    """The name of an event that the workflow's first trigger matches."""
    for trigger in workflow.triggers:
        return trigger.name.replace("*", "event")
    return DEFAULT_NAME
