"""Claims, leases and strikes: who may have which run, in which order, and what a take-over means.

A claim goes through the ready order: `choose` says what becomes of the next run, `take` does it, until the
worker has enough or nothing is ready. A run without room in its slots and without anything else to do is
blocked on the way, which makes the next of its queue ready at once, if there is room for that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from copy import copy
from itertools import zip_longest

import attrs

from ....runs import SUSPECT_STRIKES, RunRow
from ...store import PAGE, Claimed, Claims, Extended, Lease, Who
from .indexes import Agenda, Ordered, RunKey
from .order import LineName, ReadyOrder, chores_at, earliest
from .state import Run, State


@attrs.define(eq=False)
class Claiming:
    """A claim under way: what the worker may have, and what it got so far.

    `held` is the suspect that the worker had before, `suspect` the one that it will name. `blocked` counts
    the runs that were blocked on the way: a claim ends after a page of them. `passed` are runs that are
    ready, but not for this worker, `aside` the lines of what it does not offer.
    """

    who: Who
    lease: int
    now: int
    held: RunKey | None
    suspect: RunKey | None
    given: list[Claimed] = attrs.Factory(list)
    passed: list[Run] = attrs.Factory(list)
    aside: list[LineName] = attrs.Factory(list)
    blocked: int = 0


def begin(state: State, who: Who, lease: int) -> Claiming:
    """Begin a claim."""
    now = state.now()
    state.lines.promote(now)
    held = state.suspect_of(who.worker)
    return Claiming(who, lease, now, held, held)


def choose(state: State, claiming: Claiming) -> Claimed | None:
    """The next run of a claim, as it will be; None if there is none. Blocks those on the way that have to wait."""
    while claiming.blocked < PAGE and (first := _first(state, claiming)) is not None:
        _, key, order = first
        run, codeless = state.runs[key], order is None
        strikes = _strikes(state, run, claiming.who.worker, claiming.held)
        if _has_code(claiming.who, run) if codeless else _is_second_suspect(claiming, run, strikes):
            (state.codeless if order is None else order).discard(key)
            claiming.passed.append(run)
            continue
        full = None if codeless else _full_slot(state, claiming, run.row)
        if full is None or _has_chores(run.row, claiming.now):
            return _claimed(claiming, run, strikes, codeless, slotless=full is not None)
        _block(state, claiming, run, full)
    return None


def take(state: State, claiming: Claiming, claimed: Claimed) -> None:
    """Give the worker the run that was chosen, with all its slots or none."""
    run = state.runs[claimed.row.app, claimed.row.id]
    run.rank = state.rank_of(run) if claimed.slotless else None
    run.row, run.claimed_at = copy(claimed.row), claiming.now
    run.holding = () if claimed.slotless or claimed.codeless else run.row.slots
    if run.row.strikes >= SUSPECT_STRIKES and not claimed.codeless:
        claiming.suspect = run.key
    state.list_run(run)
    if run.holding:
        _look_again(state, claiming, run.row)
    claiming.given.append(claimed)


def end(state: State, claiming: Claiming) -> Claims:
    """The answer of a claim. What was passed over is there for others again."""
    for run in claiming.passed:
        state.list_run(run)
    for name in claiming.aside:
        state.lines.note(state.lines[name])
    state.note_alive(claiming.who.worker, claiming.now, claiming.suspect)
    return Claims(tuple(claiming.given), claiming.now, state.generation)


def claim(state: State, who: Who, limit: int, lease: int) -> Claims:
    """Give a worker the first of the ready runs that it may have."""
    claiming = begin(state, who, lease)
    while len(claiming.given) < limit and (claimed := choose(state, claiming)) is not None:
        take(state, claiming, claimed)
    return end(state, claiming)


def next_due(state: State, who: Who) -> int | None:
    """When there is something for this worker, at the earliest; any time in the past means now."""
    suspect = state.suspect_of(who.worker)

    def may_have(run: Run) -> bool:
        return suspect in (None, run.key) or _strikes(state, run, who.worker, suspect) < SUSPECT_STRIKES

    times = [state.events.next_promotion()]
    times.append(_first_time(state, state.codeless, lambda run: not _has_code(who, run)))
    ready = _first_of(state.lines.ready, who, lambda name: _first_time(state, state.lines[name].ready, may_have))
    if ready is not None:
        return earliest(state.highest, *times)
    later = _first_of(state.lines.later, who, lambda name: _first_time(state, state.lines[name].later, may_have))
    return earliest(later, *times)


def extend(state: State, worker: str, leases: Sequence[Lease], lease: int) -> Extended:
    """Extend those leases that are in force."""
    now = state.now()
    state.note_alive(worker, now, state.suspect_of(worker))
    return Extended(tuple([_extend_one(state, held, now, lease) for held in leases]), now)


def _extend_one(state: State, held: Lease, now: int, lease: int) -> int | None:
    run = state.run(held.app, held.run)
    if run is None or run.row.owner is None or run.row.fence != held.fence:
        return None
    row = run.row
    if row.due_at is None or row.due_at <= now:
        return None
    row.due_at = now + lease
    if row.strikes >= SUSPECT_STRIKES and now >= run.claimed_at + 2 * lease:
        row.strikes = 0
        state.clear_suspect(run)
    state.list_run(run)
    return row.mail


# -- what a worker may have ---------------------------------------------------------------------------


def _offers(who: Who, line: LineName) -> bool:
    """Whether a worker has the code for the runs in a line; a parked one wants other code."""
    app, workflow, parked, digest = line
    offered = who.offers.get((app, workflow))
    return offered is not None and not (parked and digest == offered)


def _has_code(who: Who, run: Run) -> bool:
    """Whether a worker could have a run with its code: then it is never given without."""
    digest = who.offers.get((run.row.app, run.row.workflow))
    return digest is not None and not (run.row.stored == "parked" and run.row.digest == digest)


def _first(state: State, claiming: Claiming) -> tuple[int, RunKey, ReadyOrder | None] | None:
    """The run that is to be looked at next, and where it is listed; None for the list of the codeless."""
    ready = state.lines.ready
    while (head := ready.first()) is not None and not _offers(claiming.who, head[1]):
        ready.discard(head[1])
        claiming.aside.append(head[1])
    codeless = state.codeless.first()
    if codeless is not None and codeless[0] <= claiming.now and (head is None or codeless < head[0]):
        return (*codeless, None)
    return (*head[0], state.lines[head[1]]) if head is not None else None


def _first_of(
    lines: Ordered[LineName, tuple[int, RunKey]], who: Who, first_time: Callable[[LineName], int | None]
) -> int | None:
    """The first of the times of those lines that a worker has the code for."""
    found = None
    with closing(lines.upcoming()) as upcoming:
        for (number, _), name in upcoming:
            if found is not None and number >= found:
                break
            if _offers(who, name):
                found = earliest(found, first_time(name))
    return found


def _first_time(state: State, agenda: Agenda, may_have: Callable[[Run], bool]) -> int | None:
    """The first number of an agenda that is one of a run which the worker may have."""
    with closing(agenda.upcoming()) as upcoming:
        return next((number for number, key in upcoming if may_have(state.runs[key])), None)


def _is_second_suspect(claiming: Claiming, run: Run, strikes: int) -> bool:
    """Whether a run would be a suspect beside the one that the worker has."""
    return strikes >= SUSPECT_STRIKES and claiming.suspect not in (None, run.key)


def _strikes(state: State, run: Run, worker: str, suspect: RunKey | None) -> int:
    """The strikes that a run has once `worker`, which holds this suspect, has claimed it."""
    row = run.row
    if row.owner is None:
        return row.strikes
    if row.owner == worker:
        blamed = suspect
    else:
        blamed = state.workers[row.owner].suspect if row.owner in state.workers else None
    return row.strikes if blamed not in (None, run.key) else row.strikes + 1


# -- what becomes of a run ----------------------------------------------------------------------------


def _limits(who: Who, row: RunRow) -> Iterator[tuple[str, int | None]]:
    """The slots of a run with their limits."""
    return zip_longest(row.slots, who.limits.get((row.app, row.workflow), ())[: len(row.slots)])


def _full_slot(state: State, claiming: Claiming, row: RunRow) -> str | None:
    """The first of a run's slots in which there is no room."""
    for slot, limit in _limits(claiming.who, row):
        room = state.slots.room((row.app, slot), limit, claiming.now)
        if not room:
            state.slots.looked((row.app, slot), row.workflow, room, claiming.now)
            return slot
    return None


def _look_again(state: State, claiming: Claiming, row: RunRow) -> None:
    """After a run got its slots, note for the next of its workflow whether there is room left."""
    for slot, limit in _limits(claiming.who, row):
        room = state.slots.room((row.app, slot), limit, claiming.now)
        state.slots.looked((row.app, slot), row.workflow, room, claiming.now)
    state.relist_heads(row.app, row.slots)


def _has_chores(row: RunRow, now: int) -> bool:
    due = chores_at(row)
    return due is not None and due <= now


def _block(state: State, claiming: Claiming, run: Run, slot: str) -> None:
    """Let a run stand in the queue of a slot that is full, under the rank that it has."""
    claiming.blocked += 1
    run.rank, run.row.blocked_on = state.rank_of(run), slot
    state.list_run(run)


def _claimed(claiming: Claiming, run: Run, strikes: int, codeless: bool, slotless: bool) -> Claimed:
    row = copy(run.row)
    row.strikes, row.blocked_on = strikes, None
    row.owner, row.due_at, row.fence = claiming.who.worker, claiming.now + claiming.lease, row.fence + 1
    return Claimed(row, run.row.owner is not None, codeless, slotless)
