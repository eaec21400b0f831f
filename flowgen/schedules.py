"""Schedule runs: the never-ending runs by which cron triggers start workflows.

There is one for each workflow and schedule; a unique key says so. It has no code, history or slot. Its
`start_at` is its next tick, and it is due then (later by the jitter). Its owner commits together the event
of the tick, the runs that flow control lets in, and the next tick. The event's id derives from workflow,
schedule and tick, so no tick happens twice, whoever claims it.

A tick that is more than `LATE` overdue was missed, and `catch_up` says what becomes of it: `"all"` of them
happen, only the `"last"`, or `"none"`. A schedule that its workflow does not name any more ends at its next tick.

Pure: routes, keys and cells are facts.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from .admission import Gate, Start
from .cron import Cron
from .duration import moment
from .endings import cancel_run_without_code
from .events import AcceptedEvent
from .facts import Facts, Questions
from .ids import derived_id, seed_of
from .outcome import Json
from .routing import Route
from .runs import Mail, RunRow, read_through
from .transition import NewRun, Opening, Progress, TakeKey, Transition
from .values import decode
from .workflow import ScheduleDefinition

TICK = "flowgen/cron.tick"
"""The name of the event of a tick."""

LATE = 60_000_000
"""A tick counts as missed when it is so many microseconds overdue."""

AT_ONCE = 100
"""So many missed ticks happen in one commit at most."""

_ENCODE = msgspec.json.Encoder()


def schedule_key(workflow: str, text: str) -> str:
    """The name of the unique key that a schedule run holds."""
    return f"schedule/{workflow}/{text}"


def new_schedule(route: Route, schedule: ScheduleDefinition, run_id: str, now: int) -> Transition:
    """Begin a schedule: its first tick is the first after now."""
    workflow = route.definition.id
    tick = Cron(schedule.text).next_tick(now)
    name = schedule_key(workflow, schedule.text)
    row = RunRow(route.app, run_id, workflow, now, seed_of(run_id), "schedule", start_at=tick, holds=(name,))
    row.due_at = tick + _delay(run_id, schedule, tick)
    data = Json(_ENCODE.encode({"cron": schedule.text}))
    about = AcceptedEvent(run_id, "flowgen/schedule", data, now, now)
    return Transition(run_id, create=(NewRun(row, (about,)),), take=(TakeKey(route.app, name, run_id),))


def tick(
    row: RunRow,
    events: tuple[AcceptedEvent, ...],
    mail: Sequence[Mail],
    facts: Facts,
    now: int,
    happened: frozenset[str] = frozenset(),
) -> Transition | Questions:
    """What the owner of a schedule run does when it is due. `happened` are ids of tick events that exist already."""
    route = facts.table.find(row.app, row.workflow)
    text = decode(events[0].data)["cron"]
    schedule = next((s for s in route.definition.schedules if s.text == text), None) if route is not None else None
    if route is None or schedule is None:
        return cancel_run_without_code(row, events, (), mail, facts, now, f"the schedule {text!r} was removed")
    first = row.start_at or now
    ticks, following = _due_ticks(schedule, row.id, first, now)
    gate = Gate(facts, now)
    accept = []
    for at in ticks:
        event = tick_event(route, schedule, at, now)
        if event.id in happened:
            continue
        accept.append(event)
        gate.admit(Start(route, event, derived_id(event.id, route.app, row.workflow)))
    if gate.questions:
        return gate.questions
    progress = Progress(
        row.app,
        row.id,
        row.fence,
        row.length,
        (),
        read_through(row, mail),
        True,
        following + _delay(row.id, schedule, following),
        "schedule",
        opening=Opening(events, holds=row.holds, start_at=following),
    )
    transition = gate.transition(f"{row.id}/{row.fence}/{row.length}", progress)
    transition.accept, transition.routes = tuple(accept), True
    return transition


def tick_event(route: Route, schedule: ScheduleDefinition, at: int, now: int) -> AcceptedEvent:
    """The event of one tick: its time is the tick's."""
    workflow = route.definition.id
    data = {"cron": schedule.text, "tick": moment(at).isoformat(), "workflow_id": workflow}
    return AcceptedEvent(
        derived_id("", route.app, workflow, schedule.text, at), TICK, Json(_ENCODE.encode(data)), min(at, now), now
    )


def _due_ticks(schedule: ScheduleDefinition, run_id: str, first: int, now: int) -> tuple[list[int], int]:
    """The ticks to let happen now, and the one after them. `first` is the earliest that has not happened."""
    cron = Cron(schedule.text)
    if schedule.catch_up == "all":
        ticks = cron.ticks(first - 1, now, AT_ONCE)
        return ticks, cron.next_tick(ticks[-1] if ticks else first - 1)
    if first > now:
        return [], first
    last = cron.previous_tick(now + 1)
    missed = now - (last + _delay(run_id, schedule, last)) > LATE
    return ([] if missed and schedule.catch_up == "none" else [last]), cron.next_tick(now)


def _delay(run_id: str, schedule: ScheduleDefinition, at: int) -> int:
    """The jitter of a tick: the same for the same schedule run and tick, whoever asks."""
    return seed_of(f"{run_id}/{at}") % (schedule.jitter + 1)
