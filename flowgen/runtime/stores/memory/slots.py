"""Concurrency slots: who holds them, and who stands in line for them.

A slot is a name in an app; how many runs may hold it at once, its *limit*, comes with each claim and is not
kept. A run names the slots that it needs to start bodies; a claim gives it all of them or none.

**Holders.** A run holds its slots from the claim that gave them until it is given back, ends or parks, or
until its lease ends, whichever is first. Nothing is counted up and down, so a dead holder owes nothing: the
holders are kept by the ends of their leases, and one whose end has come is none any more, though it is still
the owner of its run.

**Queues.** A run that a claim has found to be without room, and without anything to do that needs none, is
*blocked*: it leaves the ready order and stands in a queue of the first slot that was full. There it costs
nothing, however many stand there, because only the first of a queue, its *head*, is ever looked at again.
A slot has a queue for each workflow, by rank: slots may be shared between the workflows of an app, and a
worker is given only what it offers, so a run whose workflow is paused must not stand before the others'.

**When a head is ready.** Each time a queue is looked at, its workflow's limit is known, and it is written
down whether there was room (`freed_at`). After a look that found none, there may be room again at the end of
the first lease of a holder, and whenever a holder lets go, which is noted in all queues of the slot. So a
head is ready at `freed_at`, or else at the end of the first lease.

A run that is blocked at one slot, and as its head finds another one full, moves to that one's queue. It takes
nothing with it: to hold one slot while it waits for another would be the way to a deadlock.

Knows neither rows nor what else makes a blocked run ready: see `order`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from .indexes import Agenda, RunKey

SlotKey = tuple[str, str]
"""App and name of a slot."""


@attrs.define(eq=False)
class Queue:
    """Blocked runs of one workflow by rank; `freed_at` is when there was room, or may have come to be."""

    runs: Agenda = attrs.Factory(Agenda)
    freed_at: int | None = None


@attrs.define(eq=False)
class Slot:
    """A slot that somebody holds or waits for: holders by the ends of their leases, queues by workflow."""

    holders: Agenda = attrs.Factory(Agenda)
    queues: dict[str, Queue] = attrs.Factory(dict)


class Slots:
    """All slots that matter now."""

    def __init__(self) -> None:
        self._slots: dict[SlotKey, Slot] = {}

    def hold(self, run: RunKey, names: Iterable[str], until: int) -> None:
        """The run holds these slots until then, if it does not let go before."""
        for name in names:
            self._slots.setdefault((run[0], name), Slot()).holders.put(run, until)

    def let_go(self, run: RunKey, names: Iterable[str], now: int) -> None:
        """The run holds these slots no more: there may be room for the heads of their queues."""
        for name in names:
            slot = self._slots.get((run[0], name))
            if slot is not None and slot.holders.discard(run):
                _free(slot, now)
                self._forget_if_idle((run[0], name))

    def room(self, slot: SlotKey, limit: int | None, now: int) -> bool:
        """Whether a slot has fewer holders than `limit` (None: it has none)."""
        kept = self._slots.get(slot)
        if kept is None or limit is None:
            return limit is None or limit > 0
        while (first := kept.holders.first()) is not None and first[0] <= now:
            kept.holders.discard(first[1])
            _free(kept, first[0])
        holders = len(kept.holders)
        self._forget_if_idle(slot)
        return holders < limit

    def looked(self, slot: SlotKey, workflow: str, room: bool, now: int) -> None:
        """A run of this workflow has found, or left, the slot with room or without."""
        kept = self._slots.get(slot)
        queue = kept.queues.get(workflow) if kept is not None else None
        if queue is not None:
            queue.freed_at = now if room else None

    def join(self, run: RunKey, slot: str, workflow: str, rank: int) -> None:
        """The run stands in the queue of a slot."""
        queues = self._slots.setdefault((run[0], slot), Slot()).queues
        queues.setdefault(workflow, Queue()).runs.put(run, rank)

    def leave(self, run: RunKey, slot: str, workflow: str) -> None:
        """The run leaves that queue."""
        kept = self._slots[run[0], slot]
        queue = kept.queues[workflow]
        queue.runs.discard(run)
        if not queue.runs:
            del kept.queues[workflow]
            self._forget_if_idle((run[0], slot))

    def heads(self, app: str, names: Iterable[str]) -> Iterator[RunKey]:
        """The heads of the queues of these slots."""
        for name in names:
            slot = self._slots.get((app, name))
            for queue in slot.queues.values() if slot is not None else ():
                first = queue.runs.first()
                if first is not None:
                    yield first[1]

    def ready_at(self, run: RunKey, slot: str, workflow: str) -> int | None:
        """When a blocked run is ready as the head of its queue; None if it is not."""
        kept = self._slots[run[0], slot]
        queue = kept.queues[workflow]
        head = queue.runs.first()
        if head is None or head[1] != run:
            return None
        if queue.freed_at is not None:
            return queue.freed_at
        holder = kept.holders.first()
        return holder[0] if holder is not None else None

    def freed(self) -> Iterator[tuple[str, str, str, int]]:
        """The queues in which there may be room: app, slot, workflow, and since when."""
        for (app, name), slot in self._slots.items():
            for workflow, queue in slot.queues.items():
                if queue.freed_at is not None:
                    yield app, name, workflow, queue.freed_at

    def restore(self, freed: Iterable[tuple[str, str, str, int]]) -> None:
        """There is room in these queues, and in no others."""
        for slot in self._slots.values():
            for queue in slot.queues.values():
                queue.freed_at = None
        for app, name, workflow, at in freed:
            self._slots[app, name].queues[workflow].freed_at = at

    def _forget_if_idle(self, key: SlotKey) -> None:
        slot = self._slots[key]
        if not slot.holders and not slot.queues:
            del self._slots[key]


def _free(slot: Slot, at: int) -> None:
    for queue in slot.queues.values():
        if queue.freed_at is None:
            queue.freed_at = at
