"""Committing a transition: was it applied before, may it be applied, apply it.

`applied` and `check` look at everything and change nothing; `apply` cannot fail. So a refusal has changed
nothing. What each part of a transition means is said in `flowgen.transition` and `Store.commit`.
"""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy

import attrs

from ....events import AcceptedEvent
from ....runs import TERMINAL, CancelRequested, EventCollected, Message, RunRow
from ....transition import Key, NewRun, Opening, Progress, Transition, Wait
from ...store import Committed, Conflict, Duplicate, LeaseLost, RunEnded
from .indexes import RunKey
from .order import may_not_start_before
from .state import Named, Run, State


def answer(state: State, transition: Transition, now: int) -> Committed:
    """What a commit answers, the first time and each time after."""
    progress = transition.progress
    mail = state.runs[progress.app, progress.run].row.mail if progress is not None else 0
    return Committed(now, mail, tuple([state.position_of(event.id) for event in transition.accept]))


def append(state: State, transition: Transition, now: int) -> Committed | None:
    """Do at once what most transitions are: records of a run that goes on, and nothing stands against them.

    None if it is something else. The rest of this module would do the same with each part by itself.
    """
    progress = transition.progress
    if progress is None or not transition.lone or not progress.goes_on or not progress.records:
        return None
    run = state.runs.get((progress.app, progress.run))
    if run is None:
        return None
    row = run.row
    if (
        (row.fence, row.length, row.drained) != (progress.fence, progress.position, progress.drained)
        or row.owner is None
        or row.strikes
        or row.cancel
        or (row.stored, row.reason, row.digest) != ("open", None, None)
        or progress.life not in (0, row.life)
    ):
        return None
    run.records += progress.records
    run.fences += [row.fence] * len(progress.records)
    row.length = len(run.records)
    return Committed(now, row.mail)


# -- applied before? --------------------------------------------------------------------------------


def applied(state: State, transition: Transition) -> bool:
    """Whether this transition was applied before, as a whole."""
    if transition.progress is not None:
        return _progressed(state, transition.progress)
    if transition.accept:
        return state.events.get(transition.accept[0].id) is not None
    if transition.create:
        run = state.run(transition.create[0].row.app, transition.create[0].row.id)
        return run is not None and run.created_by == transition.id
    return False


def _progressed(state: State, progress: Progress) -> bool:
    run = state.run(progress.app, progress.run)
    if run is None:
        return False
    if progress.records:
        written = 0 <= progress.position < len(run.fences)
        return written and run.fences[progress.position] == progress.fence
    row = run.row
    gave_up = row.owner is None and row.fence == progress.fence and row.length == progress.position
    if progress.reopen:
        return gave_up and row.stored == "open"
    return gave_up and _releases(progress)


def _releases(progress: Progress) -> bool:
    return progress.release or progress.stored in TERMINAL or progress.stored == "parked"


def _delivered(state: State, transition: Transition) -> bool:
    """Whether this transition only carries messages, and the first one is in its mailbox already."""
    if transition.progress or transition.accept or transition.create or not transition.messages:
        return False
    first = transition.messages[0]
    run = state.run(first.app, first.run)
    return run is not None and first.id in run.seen


# -- may it be applied? -----------------------------------------------------------------------------


def check(state: State, transition: Transition, now: int) -> None:
    """Raise the refusal that a transition meets, if it meets one."""
    if transition.progress is not None:
        _check_progress(state, transition.progress)
    if not _delivered(state, transition):
        _check_versions(state, transition, now)
        _check_free(state, transition)
    for message in transition.messages:
        run = state.run(message.app, message.run)
        if message.must_be_open and (run is None or not run.row.open):
            raise RunEnded(message.run, run.row.stored if run is not None else None)


def _check_progress(state: State, progress: Progress) -> None:
    run = state.run(progress.app, progress.run)
    if run is None:
        raise LeaseLost(f"there is no run {progress.run} in app {progress.app!r}")
    row = run.row
    if row.fence != progress.fence or (row.owner is None) != progress.reopen:
        raise LeaseLost(
            f"run {row.id} is {row.stored}, owned by {row.owner or 'nobody'} under fence {row.fence}; "
            f"this was to be written under fence {progress.fence}"
        )
    if progress.stored in TERMINAL and row.cancel > max(row.drained, progress.drained):
        raise Conflict("cancel", f"run {row.id} cannot end as {progress.stored}: a cancel is unread")
    if progress.position != row.length:
        raise Conflict("position", f"run {row.id} has {row.length} records, not {progress.position}")
    if progress.reopen and row.open and row.stored != "parked":
        raise Conflict("position", f"run {row.id} is neither ended nor parked: there is nothing to reopen")


def _check_versions(state: State, transition: Transition, now: int) -> None:
    for take in transition.take:
        held = state.keys.get((take.app, take.name))
        if take.version and (held is None or held.version != take.version):
            raise Conflict("version", f"key {take.name!r} has moved on from version {take.version}")
    for drop in transition.drop:
        held = state.keys.get((drop.app, drop.name))
        if drop.version is not None and (held is None or held.version != drop.version):
            raise Conflict("version", f"key {drop.name!r} has moved on from version {drop.version}")
    written = set()
    for cell in transition.cells:
        kept = state.cell(cell.app, cell.name, now)
        if cell.version != (kept.version if kept is not None else 0) or (cell.app, cell.name) in written:
            raise Conflict("version", f"cell {cell.name!r} has moved on from version {cell.version}")
        written.add((cell.app, cell.name))


def _check_free(state: State, transition: Transition) -> None:
    taken: dict[Named, str] = {}
    for take in transition.take:
        held = state.keys.get((take.app, take.name))
        if not take.version and held is not None:
            raise Duplicate(take.name, held.holder)
        if (take.app, take.name) in taken:
            raise Duplicate(take.name, taken[take.app, take.name])
        taken[take.app, take.name] = take.holder
    created: set[RunKey] = set()
    for new in transition.create:
        key = (new.row.app, new.row.id)
        if key in state.runs or key in created:
            raise Duplicate(new.row.id, new.row.id)
        created.add(key)
    accepted: set[str] = set()
    for event in transition.accept:
        if state.events.get(event.id) is not None or event.id in accepted:
            raise Duplicate(event.id, event.id)
        accepted.add(event.id)


# -- apply it ---------------------------------------------------------------------------------------


def apply(state: State, transition: Transition, now: int) -> bool:
    """Do what the transition says. Returns whether somebody else may have something to do now."""
    progress = transition.progress
    shared = not _delivered(state, transition)
    run: Run | None = None
    for event in transition.accept:
        state.events.add(event, None if event.ts > event.accepted_at else state.events.last + 1)
    for new in transition.create:
        _create(state, new, transition.id, now)
    if progress is not None:
        run = state.runs[progress.app, progress.run]
        if progress.opening is not None:
            _open(state, run, progress.opening)
        _write(state, run, progress)
    for message in transition.messages:
        _put(state, message, now)
    if shared:
        _write_shared(state, transition)
    for id in transition.routed:
        state.events.unrouted.pop(id, None)
    for wait in transition.open_waits:
        _open_wait(state, wait)
    if transition.routes:
        _route_unheard(state, transition.accept)
    settled = False
    if run is not None and progress is not None:
        _change_waits(state, run, transition)
        settled = _settle(state, run, progress, now)
    return settled or bool(transition.create or transition.accept or transition.messages)


def _route_unheard(state: State, events: Iterable[AcceptedEvent]) -> None:
    """Mark the events as routed that have started all they start and that nobody waits for."""
    for event in events:
        if not event.deferred and not state.waits.awaited((event.name,)):
            state.events.unrouted.pop(event.id, None)


def _create(state: State, new: NewRun, transition: str, now: int) -> None:
    row = copy(new.row)
    row.length = len(new.records)
    row.blocked_on = None
    if not row.open:
        row.owner = row.due_at = None
        row.ended_at = now
    elif row.owner is not None:
        row.due_at = now + new.lease
    events = tuple([_placed(state, event) for event in new.events])
    run = Run(row, events, transition, now, now, list(new.records), [row.fence] * row.length, wanted_at=now)
    state.runs[run.key] = run
    state.note_creation(run)
    state.list_run(run)


def _placed(state: State, event: AcceptedEvent) -> AcceptedEvent:
    if event.position is not None:
        return event
    return event.placed(state.position_of(event.id) or state.events.last)


def _write(state: State, run: Run, progress: Progress) -> None:
    """What a progress says, except for the release: that depends on the mail of this very commit."""
    row = run.row
    if progress.records:
        run.records.extend(progress.records)
        run.fences.extend([progress.fence] * len(progress.records))
        row.length = len(run.records)
    if row.strikes and (progress.records or progress.reopen):
        row.strikes = 0
        state.clear_suspect(run)
    if progress.drained > row.drained:
        for number in range(row.drained + 1, progress.drained + 1):
            run.mail.pop(number, None)
        row.drained = progress.drained
    listed_by = row.stored, row.deadline
    row.stored, row.reason, row.digest = progress.stored, progress.reason, progress.digest
    row.life = progress.life or row.life
    if progress.started_at is not None:
        row.started_at, row.deadline = progress.started_at, progress.deadline
    if progress.lifts_deadline:
        row.deadline = None
    if (row.stored, row.deadline) != listed_by and not _releases(progress):
        state.list_run(run)
    if progress.restarted_as is not None:
        row.restarted_as = progress.restarted_as


def _open(state: State, run: Run, opening: Opening) -> None:
    """A run that was collecting becomes one like any other."""
    row = run.row
    run.events = tuple([_placed(state, event) for event in opening.events])
    state.link(run, run.events)
    row.priority, row.slots, row.holds = opening.priority, opening.slots, opening.holds
    row.start_at, row.deadline, row.wants = opening.start_at, opening.deadline, opening.wants
    row.callers = opening.callers
    state.list_run(run)


def _put(state: State, message: Message, now: int) -> None:
    run = state.run(message.app, message.run)
    if run is None or not run.row.open or message.id in run.seen:
        return
    row, body = run.row, message.body
    row.mail += 1
    run.seen.add(message.id)
    if isinstance(body, EventCollected):
        message = attrs.evolve(message, body=attrs.evolve(body, event=_placed(state, body.event)))
        state.link(run, (body.event,))
    run.mail[row.mail] = message
    if isinstance(body, CancelRequested) and not row.unread_cancel:
        row.cancel, run.cancelled_at = row.mail, now
    if row.owner is None and row.stored != "parked":
        row.due_at = _due_with(row, message, now)
    state.list_run(run)


def _due_with(row: RunRow, message: Message, now: int) -> int | None:
    """When a run is due that got this message; one that collects goes on doing so until it is cancelled."""
    if row.stored == "collecting" and not isinstance(message.body, CancelRequested):
        return row.due_at if message.due_at is None else message.due_at
    return now if row.due_at is None else min(row.due_at, now)


def _write_shared(state: State, transition: Transition) -> None:
    for take in transition.take:
        key = Key(take.name, take.holder, take.detail, take.expires_at, state.next_version(take.version))
        state.keys[take.app, take.name] = key
    for drop in transition.drop:
        held = state.keys.get((drop.app, drop.name))
        if held is not None and held.holder == drop.holder:
            del state.keys[drop.app, drop.name]
    for cell in transition.cells:
        state.cells.pop((cell.app, cell.name), None)
        if cell.value is not None:
            state.cells[cell.app, cell.name] = attrs.evolve(cell, version=state.next_version(cell.version))


def _change_waits(state: State, run: Run, transition: Transition) -> None:
    for id in transition.close_waits:
        _close_wait(state, run, id)
    for id, looked_to in transition.looked:
        if id in run.waits:
            _open_wait(state, attrs.evolve(run.waits[id], looked_to=looked_to))


def _open_wait(state: State, wait: Wait) -> None:
    run = state.run(wait.app, wait.run)
    if run is not None and run.row.open:
        if wait.after is None:
            wait = attrs.evolve(wait, after=run.events[-1].position if run.events else 0)
        _close_wait(state, run, wait.id)
        run.waits[wait.id] = wait
        state.waits.put(wait)


def _close_wait(state: State, run: Run, id: str) -> None:
    wait = run.waits.pop(id, None)
    if wait is not None:
        state.waits.discard(wait)


def _settle(state: State, run: Run, progress: Progress, now: int) -> bool:
    """End, park or give back the run, as the progress says; returns whether it did."""
    row = run.row
    settled = True
    if progress.stored in TERMINAL:
        _give_back(state, run, progress, None, now)
        row.ended_at, row.drained = now, row.mail
        run.mail.clear()
        run.seen.clear()
        for id in list(run.waits):
            _close_wait(state, run, id)
    elif _releases(progress) or progress.reopen:
        awaited = row.cancel if row.stored == "collecting" else row.mail
        at_once = progress.stored == "parked" or awaited > row.drained
        _give_back(state, run, progress, now if at_once else progress.due_at, now)
        row.ended_at = None
        if progress.reopen:
            row.deadline = None
    else:
        settled = False
    if settled or row.cancel:  # else nothing changed that it is listed by
        state.list_run(run)
    return settled


def _give_back(state: State, run: Run, progress: Progress, due_at: int | None, now: int) -> None:
    state.clear_suspect(run)
    row = run.row
    row.owner, row.due_at = None, due_at
    row.wants = progress.wants if progress.opening is None else progress.opening.wants
    run.wanted_at = now
    if not row.wants or (may_not_start_before(row) or 0) > now:
        run.rank = None
