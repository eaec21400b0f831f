"""Claims, leases and strikes: who may have which run, in which order, and what a take-over means."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from copy import copy
from heapq import merge

import attrs

from ....runs import SUSPECT_STRIKES
from ...store import Claimed, Claims, Extended, Lease, Who
from .indexes import RunKey
from .state import Run, State


@attrs.frozen
class Choice:
    """What a claim will give: runs as they will be, and the suspect that the worker will name."""

    now: int
    claimed: tuple[Claimed, ...]
    suspect: RunKey | None


def choose(state: State, who: Who, limit: int, lease: int) -> Choice:
    """Choose due runs for a worker. Changes nothing: the agendas must stand still while they are read."""
    now = state.now()
    held = state.suspect_of(who.worker)
    chosen: list[Claimed] = []
    noted: RunKey | None = None
    with closing(_claimable(state, who, held)) as upcoming:
        for due_at, run, codeless in upcoming:
            if due_at > now or len(chosen) >= limit:
                break
            strikes = _strikes(state, run, who.worker, held)
            if strikes >= SUSPECT_STRIKES and not codeless:
                if noted is not None:
                    continue
                noted = run.key
            chosen.append(_claimed(run, who.worker, strikes, now + lease, codeless))
    return Choice(now, tuple(chosen), noted or held)


def take(state: State, who: Who, choice: Choice) -> Claims:
    """Give a worker what was chosen for it."""
    for claimed in choice.claimed:
        run = state.runs[claimed.row.app, claimed.row.id]
        run.row, run.claimed_at = copy(claimed.row), choice.now
        state.list_run(run)
    state.note_alive(who.worker, choice.now, choice.suspect)
    return Claims(choice.claimed, choice.now, state.generation)


def next_due(state: State, who: Who) -> int | None:
    """When there is something for this worker, at the earliest."""
    with closing(_claimable(state, who, state.suspect_of(who.worker))) as upcoming:
        first = next(upcoming, None)
    times = (first[0] if first is not None else None, state.events.next_promotion())
    return min((time for time in times if time is not None), default=None)


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


def _claimable(state: State, who: Who, suspect: RunKey | None) -> Generator[tuple[int, Run, bool], None, None]:
    """What this worker may be given, in the order in which it comes due; true: codeless.

    What it could have with its code it is never given without.
    """
    agendas = [state.due[name] for name in who.offers if name in state.due]
    for name, digest in who.offers.items():
        agendas += [agenda for parked_by, agenda in state.parked.get(name, {}).items() if parked_by != digest]
    with ExitStack() as stack:
        due = [_tagged(stack.enter_context(closing(agenda.upcoming())), False) for agenda in agendas]
        cancelled = _tagged(stack.enter_context(closing(state.cancelled.upcoming())), True)
        for due_at, key, codeless in merge(*due, cancelled):
            run = state.runs[key]
            if codeless:
                if not any(run.agenda is agenda for agenda in agendas):
                    yield due_at, run, True
            elif suspect in (None, key) or _strikes(state, run, who.worker, suspect) < SUSPECT_STRIKES:
                yield due_at, run, False


def _tagged(entries: Iterator[tuple[int, RunKey]], codeless: bool) -> Iterator[tuple[int, RunKey, bool]]:
    for due_at, key in entries:
        yield due_at, key, codeless


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


def _claimed(run: Run, worker: str, strikes: int, due_at: int, codeless: bool) -> Claimed:
    row = copy(run.row)
    row.strikes = strikes
    row.owner, row.due_at, row.fence = worker, due_at, row.fence + 1
    return Claimed(row, run.row.owner is not None, codeless)
