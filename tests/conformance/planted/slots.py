"""Bugs that somebody could write into a store: concurrency slots and their queues."""

from __future__ import annotations

from .bug import bug

BUGS = (
    bug(
        "a slot has room for one more",
        "slots",
        "return holders < limit",
        "return holders <= limit",
        "a slot has as many holders as its limit",
        "a released slot is given once",
        "no race gives a slot twice",
    ),
    bug(
        "a release does not make room",
        "slots",
        "if slot is not None and slot.holders.discard(run):\n                _free(slot, now)",
        "if slot is not None and slot.holders.discard(run):\n                pass",
        "a slot is free after a release",
        "a long queue moves one by one",
    ),
    bug(
        "a dead holder holds on",
        "slots",
        "first[0] <= now:\n            kept",
        "first[0] <= 0:\n            kept",
        "a dead holder holds nothing",
        "a lease that ended is not waited for",
    ),
    bug(
        "an extended lease does not hold",
        "state",
        "slots.hold(key, run.holding, row.due_at)",
        "slots.hold(key, run.holding, min(row.due_at, run.claimed_at + 10_000_000))",
        "a holder that lives on holds on",
    ),
    bug(
        "a look that finds no room is made again and again",
        "slots",
        "queue.freed_at = now if room else None",
        "queue.freed_at = now if room else queue.freed_at",
        "looking again comes to rest",
    ),
    bug(
        "a claim tells only one queue of the room that is left",
        "ownership",
        "    if run.holding:\n        _look_again(state, claiming, run.row)\n",
        "    if run.holding:\n        for slot, _ in _limits(claiming.who, run.row):\n"
        "            state.slots.looked((run.row.app, slot), run.row.workflow, False, claiming.now)\n"
        "        state.relist_heads(run.row.app, run.holding)\n",
        "a raised limit lets more in",
        "a released slot is given once",
    ),
    bug(
        "slots are those of all apps",
        "slots",
        "kept = self._slots.get(slot)\n        if kept is None or limit",
        'kept = self._slots.get(("shop", slot[1]))\n        if kept is None or limit',
        "slots belong to an app",
    ),
    bug(
        "the workflows of an app stand in one queue",
        "slots",
        "        queues.setdefault(workflow, Queue()).runs.put(run, rank)",
        "        if all(queue.runs.first()[0] > rank for queue in queues.values()) or workflow in queues:\n"
        "            queues.setdefault(workflow, Queue()).runs.put(run, rank)\n"
        "        else:\n"
        "            queues[workflow] = next(iter(queues.values()))\n"
        "            queues[workflow].runs.put(run, rank)",
        "a workflow is not blocked by one that is not offered",
    ),
    bug(
        "a run takes the slots that it can get",
        "ownership",
        "run.holding = () if claimed.slotless or claimed.codeless else run.row.slots",
        "run.holding = run.row.slots",
        "mail is read without a slot",
        "a codeless owner holds no slot",
    ),
    bug(
        "only the first slot is looked at",
        "ownership",
        "for slot, limit in _limits(claiming.who, row):\n        room = state.slots.room((row.app, slot), limit, "
        "claiming.now)\n        if not room:",
        "for slot, limit in list(_limits(claiming.who, row))[:1]:\n        room = state.slots.room((row.app, slot), "
        "limit, claiming.now)\n        if not room:",
        "all slots or none",
        "who finds another slot full moves there",
    ),
    bug(
        "who moves to another queue goes to its end",
        "ownership",
        "run.rank, run.row.blocked_on = state.rank_of(run), slot",
        "run.rank, run.row.blocked_on = claiming.now, slot",
        "who finds another slot full moves there",
        "blocked runs are given by rank",
    ),
    bug(
        "a blocked run is not told of its mail",
        "order",
        "row.owner is None and row.mail <= row.drained and",
        "row.owner is None and",
        "mail is read without a slot",
    ),
    bug(
        "a blocked run is not told of its timers",
        "order",
        "only_starts = row.wants and row.started_at is None",
        "only_starts = row.wants",
        "a timer ends without a slot",
    ),
    bug(
        "a due run that is not started is given without its slot",
        "order",
        "only_starts = row.wants and row.started_at is None",
        "only_starts = False",
        "a run without a slot is not started",
    ),
    bug(
        "a blocked run misses its deadline",
        "order",
        "        return row.deadline\n    return earliest(row.due_at, row.deadline)",
        "        return None\n    return row.due_at",
        "a run without a slot is not started",
    ),
    bug(
        "a parked run that never started stands in line",
        "order",
        ' and row.stored != "parked":\n        return row.deadline',
        ":\n        return row.deadline",
        "a parked run that never started is tried without a slot",
    ),
    bug(
        "a drained run goes to the end of the queue",
        "ownership",
        "run.rank = state.rank_of(run) if claimed.slotless else None",
        "run.rank = None",
        "who was drained keeps its place",
        "a timer that ends ranks for the slot",
    ),
    bug(
        "a claim leaves the run in its queue",
        "ownership",
        "row.strikes, row.blocked_on = strikes, None",
        "row.strikes = strikes",
        "mail is read without a slot",
        "a long queue moves one by one",
    ),
)  # fmt: skip
