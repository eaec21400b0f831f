"""Who gets the slots that a claim has to give: found out by looking only, then written down.

A claim goes through the ready runs in their order. Each that names slots is looked at: it gets all of them; or,
if one is full, it is given without, if there is anything to do for it that needs none; or else it is blocked
there. While a claim looks nobody lets go of a slot, so what was full stays full, and who was blocked stays so.

A head that leaves its queue makes the next one the head, and if there is room left that one is ready at once:
it is handed to the claim, which takes it in where it belongs in the order.
"""

from __future__ import annotations

from typing import Any, Final

import attrs

from ...store import Who
from . import slots
from .candidates import QUEUED, Candidate, Pushed
from .row import listed_blocked
from .rows import texts_of
from .slots import Standing
from .transaction import Transaction

Slot = tuple[str, str]
"""App and name of a slot."""

Queue = tuple[str, str, str]
"""App, slot and workflow of a queue."""

BLOCKED_AT_MOST: Final = 200
"""A claim ends once it has blocked so many runs: the next one goes on."""


@attrs.define(eq=False)
class Contest:
    """The slots that a claim has looked at.

    `holders` counts those of a slot, with the runs that this claim gives it to. `limits` has each workflow's
    limit of a slot, None if it has none. `blocked` are runs with the slot at which each is to stand.
    """

    tx: Transaction
    who: Who
    pushed: Pushed
    holders: dict[Slot, int] = attrs.Factory(dict)
    limits: dict[Slot, dict[str, int | None]] = attrs.Factory(dict)
    blocked: list[tuple[Candidate, Standing, str]] = attrs.Factory(list)
    seen: set[int] = attrs.Factory(set)
    passed: dict[Queue, tuple[int, str]] = attrs.Factory(dict)

    @property
    def over(self) -> bool:
        return len(self.blocked) >= BLOCKED_AT_MOST

    def look(self, candidate: Candidate) -> bool | None:
        """Whether a run is to be claimed slotless (True) or with its slots (False); None if it is not to be claimed."""
        if candidate.slots is None:
            return False
        if candidate.key in self.seen:
            return None
        self.seen.add(candidate.key)
        standing = slots.standing(self.tx.connection, candidate.key)
        limits = self._limits(candidate)
        if candidate.codeless:
            self._left(candidate, standing, limits)
            return False
        full = next((slot for slot, limit in limits.items() if not self._room((candidate.app, slot), limit)), None)
        self._note(candidate, limits, full)
        chores_at = standing.chores_at
        slotless = full is not None
        if full is None or (chores_at is not None and chores_at <= self.tx.now):
            self._left(candidate, standing, limits)
            return slotless
        self.blocked.append((candidate, standing, full))
        if standing.blocked_on != full:
            self._left(candidate, standing, limits)
        return None

    def _limits(self, candidate: Candidate) -> dict[str, int | None]:
        """The slots of a run with their limits."""
        names = texts_of(candidate.slots)
        limits = self.who.limits.get((candidate.app, candidate.workflow), ())
        return {name: limits[number] if number < len(limits) else None for number, name in enumerate(names)}

    def _room(self, slot: Slot, limit: int | None) -> bool:
        return limit is None or self._held_by(slot) < limit

    def _held_by(self, slot: Slot) -> int:
        if slot not in self.holders:
            self.holders[slot] = slots.holders(self.tx.connection, *slot, self.tx.now)
        return self.holders[slot]

    def _note(self, candidate: Candidate, limits: dict[str, int | None], full: str | None) -> None:
        """Count what a run gets, and remember which queues have to be looked at in the end."""
        for name, limit in limits.items() if full is None else [(full, limits[full])]:
            slot = (candidate.app, name)
            self.limits.setdefault(slot, {})[candidate.workflow] = limit
            if full is None:
                self.holders[slot] = self._held_by(slot) + 1

    def _left(self, candidate: Candidate, standing: Standing, limits: dict[str, int | None]) -> None:
        """A run has left its queue, if it stood in one: let the next one in, if there is room."""
        name = standing.blocked_on
        if name is None:
            return
        self.limits.setdefault((candidate.app, name), {})[candidate.workflow] = limits[name]
        if not candidate.codeless and self._room((candidate.app, name), limits[name]):
            self._push_next((candidate.app, name, candidate.workflow))

    def _push_next(self, queue: Queue) -> None:
        place = self.passed.get(queue, (-(2**63), ""))
        columns: Any
        while (columns := self.tx.one(QUEUED, (*queue, *place))) is not None:
            place = columns[0], columns[2]
            self.passed[queue] = place
            if columns[4] not in self.seen:
                self.pushed.push(columns)
                return

    # -- in the end -----------------------------------------------------------------------------------

    def block(self) -> None:
        """Let those that were blocked stand where they belong."""
        queues = {(c.app, full, c.workflow) for c, _, full in self.blocked}
        before = {queue: slots.head(self.tx.connection, *queue) for queue in queues}
        for candidate, standing, full in self.blocked:
            listing = listed_blocked(candidate.rank, standing.chores_at, self.tx.now)
            self.tx.execute(
                "update runs set blocked_on = ?2, place = ?3, line = ?4, rank = ?5 where key = ?1",
                (candidate.key, full, candidate.rank, *listing),
            )
        for queue, head in before.items():
            if head is not None:
                self._step_back(head, queue)

    def _step_back(self, head: Standing, queue: Queue) -> None:
        """List one that was the head, and may be so no more, for its chores alone."""
        now_first, now_there = slots.head(self.tx.connection, *queue), slots.standing(self.tx.connection, head.key)
        if now_there.blocked_on == queue[1] and now_first is not None and now_first.key != head.key:
            slots.relist(self.tx, now_there, now_there.chores_at)

    def settle(self, freed: set[Slot]) -> None:
        """List the heads of all queues that this claim changed; `freed` are slots that it took from dead holders.

        In those of them that it did not look at, the heads are listed for the end of that lease already.
        """
        for slot, limits in self.limits.items():
            rooms = {workflow: self._room(slot, limit) for workflow, limit in limits.items()}
            expired = slots.drop_expired(self.tx, *slot)
            slots.refresh(self.tx, *slot, rooms, freed=expired or slot in freed)
