"""`Scenario`: one story that a workflow is checked on, in the words of its author; and how it is written down.

It says what starts the workflow, what comes after that, what each attempt of each step comes to, and what goes
wrong. Its `repr` can be pasted: above the test as `@example(scenario=…)`, or as the call of `simulate` that tells the
same story (`regression`).

Refuses to know how scenarios are drawn, and what is right.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import attrs

from ...app import App
from ...events import Event, is_event_class
from ...workflow import Workflow
from ..actions import Action, Cancel, Start
from ..client import as_list
from ..events import trigger_name
from ..faults import Faults
from ..scripted import scripted
from ..trace import Trace

MOST_LINES = 60

CANCEL_REASON = "cancelled by the check"


@attrs.frozen(repr=False)
class Scenario:
    """What happens to a workflow in one example of `check_workflow`.

    `event` is what starts it: data, an instance of an event class, or an `Event`. `events` is what happens beside:
    `[(at, event), …]`, as in `simulate`. `steps` says, by step id, what each attempt comes to (an exception is
    raised); a step that is not among them does the simplest of what `steps=` of the check, or its annotation, says.
    Each attempt `takes` so long. `faults` is what goes wrong, and `cancel` when the first run of the workflow is
    cancelled. `seed` and `workers` are those of `simulate`.
    """

    event: Any = None
    events: Sequence[Any] = ()
    steps: Mapping[str, Sequence[Any]] = attrs.field(factory=dict)
    takes: str | float | timedelta = "0s"
    faults: Faults | None = None
    cancel: str | float | timedelta | None = None
    seed: int = 0
    workers: int = 1

    def __repr__(self) -> str:
        return f"Scenario({', '.join([repr(self.event), *_given(self, 'event')])})"

    def happenings(self, workflow: Workflow[Any, Any], *, cancelled: bool = False) -> list[Any]:
        """What happens from outside, as `simulate` takes it."""
        happenings = [starting(workflow, self.event), *as_list(self.events)]
        if cancelled and self.cancel is not None:
            happenings.append((self.cancel, Cancel(workflow.id, reason=CANCEL_REASON)))
        return happenings

    def lines(self, workflow: Workflow[Any, Any]) -> list[str]:
        """The story, for people."""
        told = [("starts with", _text(starting(workflow, self.event)))]
        told += [(f"at {at}", _text(what)) for at, what in map(_timed, as_list(self.events))]
        told += _steps_told(self.steps)
        if self.takes != "0s":
            told.append(("each step", f"takes {self.takes}"))
        if self.faults is not None:
            told.append(("faults", faults_text(self.faults)))
        if self.cancel is not None:
            told.append((f"at {self.cancel}", f"{workflow.id}#0 is cancelled"))
        width = max(len(when) for when, _ in told)
        return [f"  {when:{width}}  {what}" for when, what in told]

    def regression(self, workflow: Workflow[Any, Any], app: str) -> str:
        """The call of `simulate` that tells this story again. `app` is the name of the app's variable."""
        arguments = [app, repr(self.happenings(workflow, cancelled=True))]
        if self.steps:
            takes = "" if self.takes == "0s" else f", takes={self.takes!r}"
            arguments.append(f"scripted({_outcomes_text(self.steps)}{takes})")
        arguments += _given(self, "event", "events", "steps", "takes", "cancel")
        return f"simulate({', '.join(arguments)})"

    def stubs(self) -> dict[str, Any]:
        """What its steps do, as stubs for `simulate`."""
        return dict(scripted(self.steps, self.takes))


def starting(workflow: Workflow[Any, Any], event: Any) -> Event[Any] | Start | Any:
    """What starts a workflow on an event or on data: an event that it triggers on, or a direct start."""
    if isinstance(event, Event | Start) or is_event_class(type(event)):
        return event
    data = {} if event is None else event
    return Event(trigger_name(workflow), data) if workflow.triggers else Start(workflow.id, data)


def timeline(trace: Trace) -> list[str]:
    """The timeline of a trace, without its middle if it is long."""
    lines = trace.timeline().splitlines()[1:]
    if len(lines) <= MOST_LINES:
        return lines
    half = MOST_LINES // 2
    return [*lines[:half], f"  … {len(lines) - 2 * half} lines …", *lines[-half:]]


def variable_of(app: App, workflow: Workflow[Any, Any]) -> str:
    """What the app is called where the workflow is written."""
    for name, value in workflow.fn.__globals__.items():
        if isinstance(value, App) and value.name == app.name and not name.startswith("_"):
            return name
    return "app"


# -- text ------------------------------------------------------------------------------------------


def _given(scenario: Scenario, *without: str) -> list[str]:
    """`name=value` of the fields that are not as they are by default."""
    given = []
    for field in attrs.fields(Scenario):
        value = getattr(scenario, field.name)
        if field.name not in without and value != field.default and value not in ([], (), {}):
            given.append(f"{field.name}={_value_text(field.name, value)}")
    return given


def _value_text(name: str, value: Any) -> str:
    match name:
        case "faults":
            return faults_text(value)
        case "steps":
            return _outcomes_text(value)
        case _:
            return repr(value)


def faults_text(faults: Faults) -> str:
    """`Faults(…)` without what does not happen."""
    fields = [field for field in attrs.fields(Faults) if getattr(faults, field.name) != field.default]
    return f"Faults({', '.join(f'{field.name}={getattr(faults, field.name)!r}' for field in fields)})"


def _outcomes_text(steps: Mapping[str, Sequence[Any]]) -> str:
    return f"{{{', '.join(f'{name!r}: {_needed(outcomes)!r}' for name, outcomes in steps.items())}}}"


def _needed(outcomes: Sequence[Any]) -> list[Any]:
    """The outcomes without the repetitions of the last one, which goes without saying."""
    needed = list(outcomes)
    while len(needed) > 1 and repr(needed[-1]) == repr(needed[-2]):
        del needed[-1]
    return needed


def _steps_told(steps: Mapping[str, Sequence[Any]]) -> list[tuple[str, str]]:
    """What each step does; many of one name that do the same are told in one line."""
    alike: dict[tuple[str, str], list[str]] = {}
    for id, outcomes in steps.items():
        alike.setdefault((_OCCURRENCE.sub("", id), _attempts(outcomes)), []).append(id)
    told = []
    for (_, what), ids in alike.items():
        if len(ids) <= _ALIKE:
            told += [(f"step {id!r}", what) for id in ids]
        else:
            told.append((f"step {ids[0]!r}", f"{what}, and so do {len(ids) - 1} more, up to {ids[-1]!r}"))
    return told


_ALIKE = 3
_OCCURRENCE = re.compile(r":\d+$")
"""The end of a step id that says which of several of one name it is."""


def _attempts(outcomes: Sequence[Any]) -> str:
    needed = _needed(outcomes)
    said = [f"raises {each!r}" if isinstance(each, BaseException) else f"gives {each!r}" for each in needed]
    repeated = " each time" if len(needed) < len(outcomes) else ""
    return ", then ".join(said) + repeated


def _timed(item: Any) -> tuple[Any, Any]:
    return item if isinstance(item, tuple) else ("0s", item)


def _text(what: Event[Any] | Action | Any) -> str:
    match what:
        case Event(name, data):
            return f"event {name} {data!r}"
        case Start(workflow, data):
            return f"a start of {workflow if isinstance(workflow, str) else workflow.id} on {data!r}"
        case _:
            return repr(what)
