"""In a sentence: what a run is doing, or waits for. From the store's values, without its code.

`explain` asks a store for what has to be known; the rest is a function of that.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from ..admission import NEVER
from ..collecting import collection_of
from ..duration import format_duration, moment
from ..errors import NotFound
from ..events import AcceptedEvent
from ..flow_control import Policies
from ..history import (
    AttemptFailed,
    CancelAccepted,
    InvokeTerms,
    Requested,
    SignalTerms,
    SleepTerms,
    StepFailed,
    StepSucceeded,
    WaitTerms,
    effective,
    open_requests,
)
from ..routing import Route, RouteTable
from ..runs import EventCollected, RunRow, status_of
from ..singleton import PREFIX, waited_for
from ..transition import Key
from .info import waits_for_code
from .lookup import collectors
from .naming import Names
from .store import Loaded, Store


@attrs.frozen
class Surroundings:
    """What stands around a run: its workflow (None: nobody offers it), if that is paused, the keys it holds, and the
    runs that have taken in what it invoked: by the id of the child, which is no run then."""

    route: Route | None
    paused: bool = False
    keys: Mapping[str, Key] = attrs.Factory(dict)
    collectors: Mapping[str, str] = attrs.Factory(dict)

    @property
    def policies(self) -> Policies:
        return self.route.definition.policies if self.route is not None else Policies()


async def explain(named: str, store: Store, names: Names, routes: RouteTable) -> str:
    """Why the run that is named so is in its state, or what becomes of the event with this internal id.

    Raises `NotFound` if there is neither.
    """
    try:
        loaded = await names.run(named, 0)
    except NotFound:
        event = await store.event(named)
        if event is None:
            raise
        return why_event(event, await store.now())
    row = loaded.row
    keys = await store.find_keys(row.app, row.holds) if row.open and row.holds else {}
    route, paused = routes.find(row.app, row.workflow), routes.is_paused(row.app, row.workflow)
    return why(loaded, Surroundings(route, paused, keys, await collectors(store, loaded.records)))


def why(loaded: Loaded, around: Surroundings) -> str:
    """Why the run is in its state."""
    row = loaded.row
    who = f"run {row.id} of {row.workflow}"
    if not row.open:
        successor = f", and restarted as run {row.restarted_as}" if row.restarted_as else ""
        return f"{who} is {row.stored}{successor}" + (f": {row.reason}" if row.reason else "")
    status = status_of(row)
    if status == "parked":
        return f"{who} is parked: {row.reason}"
    if around.route is None:
        return f"{who} is {status}: no engine offers its workflow; start one that has it"
    if around.paused and waits_for_code(row):
        what = "a schedule" if row.stored == "schedule" else status
        return f"{who} is {what}: its workflow is paused (flowgen workflows resume {row.app}/{row.workflow})"
    return f"{who} is {_doing(loaded, around)}{_limit(row, loaded.now)}"


def why_event(event: AcceptedEvent, now: int) -> str:
    """What becomes of an event that was accepted."""
    who = f"event {event.id} ({event.name})"
    if event.ts > now and event.position is None:
        return f"{who} is scheduled for {_when(event.ts, now)}: it starts its runs then"
    return f"{who} was accepted at {_when(event.accepted_at, now)}"


def _doing(loaded: Loaded, around: Surroundings) -> str:
    row = loaded.row
    if row.stored == "schedule":
        return f"a schedule: its next tick is at {_when(row.start_at or row.due_at or loaded.now, loaded.now)}"
    if row.stored == "collecting" and not row.cancel:
        return _collecting(loaded, around)
    if row.started_at is None and not row.cancel and row.owner is None:
        return _not_started(row, around, loaded.now)
    status = status_of(row)
    cancelled_at = next((p for p, record in effective(loaded.records) if isinstance(record, CancelAccepted)), 0)
    since = {getattr(record, "step", None) for record in loaded.records[cancelled_at:]}
    requests = open_requests(loaded.records).values()
    parts = [_request(request, around, loaded.now) for request in requests if request.step in since]
    parts += _retries(loaded)
    if status == "cancelling":
        return "being cancelled" + (f"; meanwhile it is {_listed(parts)}" if parts else "")
    if row.blocked_on is not None:
        parts.insert(0, _blocked(row, around))
    return _listed(parts) if parts else _idle(row, status, loaded.now)


def _idle(row: RunRow, status: str, now: int) -> str:
    if status == "running":
        return f"running on worker {row.owner}"
    if row.due_at is not None and row.due_at <= now:
        return f"{status}: it is due, and the next free worker takes it"
    return status


# -- flow control ---------------------------------------------------------------------------------


def _collecting(loaded: Loaded, around: Surroundings) -> str:
    """A debounce or a batch that gets events."""
    row = loaded.row
    count = sum(isinstance(item.message.body, EventCollected) for item in loaded.mail)
    events = f"{count} event{'s' if count != 1 else ''} so far"
    held = next((around.keys[name] for name in row.holds if name in around.keys), None)
    if held is None or held.holder != row.id or row.due_at is None or row.due_at <= loaded.now:
        return f"collecting no more ({events}): it is due, and the next free worker opens it"
    policy = around.policies.debounce or around.policies.batch
    return f"collecting until {_when(collection_of(held).due_at, loaded.now)} ({events}; {policy})"


def _not_started(row: RunRow, around: Surroundings, now: int) -> str:
    start_at = row.start_at
    if start_at is not None and start_at >= NEVER:
        return f"scheduled: it waits for {_before(row, around)}, whose place it takes (singleton)"
    if start_at is not None and start_at > now:
        return f"scheduled: throttled until {_when(start_at, now)} ({around.policies.throttle})"
    if row.blocked_on is not None:
        return _blocked(row, around)
    return _idle(row, "scheduled", now)


def _before(row: RunRow, around: Surroundings) -> str:
    """The runs that have to end before this one starts."""
    names = [name for name in row.holds if name.startswith(PREFIX) and name in around.keys]
    before = [run for name in names for run in waited_for(around.keys[name])]
    return f"run{'s' if len(before) > 1 else ''} {_listed(before, ', ')} to end" if before else "the one before it"


def _blocked(row: RunRow, around: Surroundings) -> str:
    """It waits for a concurrency slot: which one, and how many runs hold it."""
    slot = row.blocked_on
    number = row.slots.index(slot) if slot in row.slots else -1
    limits = around.policies.concurrency
    if not 0 <= number < len(limits):
        return f"blocked: it waits for concurrency slot {slot!r}"
    limit = limits[number].limit
    taken = "the one run that may hold it executes" if limit == 1 else f"all {limit} runs that may hold it execute"
    return f"blocked: it waits for concurrency slot {slot!r}; {taken} ({limits[number]})"


def _limit(row: RunRow, now: int) -> str:
    """Until when it has to start, or to end."""
    if row.deadline is None or row.cancel:
        return ""
    what = "start" if row.started_at is None else "end"
    if row.deadline <= now:
        return f"; its time to {what} is over since {_when(row.deadline, now)}: the next worker cancels it (timeouts)"
    return f"; it is cancelled if it does not {what} before {_when(row.deadline, now)} (timeouts)"


# -- steps ----------------------------------------------------------------------------------------


def _request(request: Requested, around: Surroundings, now: int) -> str:
    match request.terms:
        case SleepTerms(due_at):
            return f"sleeping at step {request.step!r} until {_when(due_at, now)}"
        case WaitTerms():
            terms = request.terms
            match = f" with {terms.path} = {terms.value}" if terms.path is not None else ""
            where = f" where {terms.where}" if terms.where is not None else ""
            until = _when(terms.expires_at, now)
            return f"waiting at step {request.step!r} for event {terms.event!r}{match}{where} until {until}"
        case SignalTerms(_, signal, expires_at):
            return f"waiting at step {request.step!r} for signal {signal!r} until {_when(expires_at, now)}"
        case InvokeTerms(app, workflow, child):
            return f"waiting at step {request.step!r} for run {around.collectors.get(child, child)} of {app}/{workflow}"
        case _:
            return f"at step {request.step!r}"


def _retries(loaded: Loaded) -> list[str]:
    failed: dict[str, AttemptFailed] = {}
    for _, record in effective(loaded.records):
        if isinstance(record, AttemptFailed):
            failed[record.step] = record
        elif isinstance(record, (StepSucceeded, StepFailed)):
            failed.pop(record.step, None)
    return [
        f"going to try step {step!r} again at {_when(record.retry_at, loaded.now)}, after attempt "
        f"{record.attempt} failed: {record.failure}"
        for step, record in failed.items()
    ]


def _when(at: int, now: int) -> str:
    """A time, and how far away it is."""
    shown = moment(at).isoformat(timespec="seconds")
    return f"{shown} (in {format_duration((at - now) // 1_000_000 * 1_000_000)})" if at - now > 1_000_000 else shown


def _listed(parts: list[str], separator: str = "; ") -> str:
    shown = parts[:5]
    more = f"{separator}and {len(parts) - 5} more" if len(parts) > 5 else ""
    return separator.join(shown) + more
