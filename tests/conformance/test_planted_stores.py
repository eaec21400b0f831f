"""The kit sees bugs: each planted one is caught by the cases that are named beside it."""

from __future__ import annotations

import attrs
import pytest

from flowgen.testing.conformance import check_against_model, check_store, store_cases
from flowgen.testing.conformance.case import Factory

from .variants import Edit, hasty, interleaved, planted

CASES = {case.name: case for case in store_cases()}


@attrs.frozen
class Bug:
    """What somebody could get wrong: edits of the memory store, and the cases that catch it."""

    name: str
    caught_by: tuple[str, ...]
    edits: tuple[Edit, ...]


def bug(name: str, module: str, find: str, replace: str, *caught_by: str) -> Bug:
    return Bug(name, caught_by, ((module, find, replace),))


BUGS = (
    bug(
        "the fence is ignored",
        "commits",
        "row.fence != progress.fence or (row.owner is None) != progress.reopen",
        "(row.owner is None) != progress.reopen",
        "a zombie cannot append records",
        "a zombie cannot send events",
        "a stale fence changes nothing",
        "take overs leave one history",
    ),
    bug(
        "the fence alone decides, though the run was given back",
        "commits",
        "row.fence != progress.fence or (row.owner is None) != progress.reopen",
        "row.fence != progress.fence",
        "nothing is written after the release",
        "nothing is written after the end",
        "an open run is not reopened",
    ),
    bug(
        "a worker that retires goes on counting",
        "registry",
        "if key[1] == worker]",
        "if key[1] == worker and not worker]",
        "what the retired offered counts no more",
    ),
    bug(
        "a worker that retires takes its workflows away",
        "registry",
        "        del state.registered[key]\n\n\ndef registrations",
        "        del state.registered[key]\n"
        "        state.in_force = {n: r for n, r in state.in_force.items() if n[0] != key[0]}\n\n\ndef registrations",
        "who retires withdraws nothing",
    ),
    bug(
        "the fence does not grow",
        "ownership",
        "row.fence + 1",
        "row.fence or 1",
        "the fence grows with each claim",
        "a zombie cannot append records",
    ),
    Bug(
        "half a transition is applied before it is refused",
        ("a message to an ended run changes nothing",),
        (
            ("commits", "if message.must_be_open and (run is None or not run.row.open):", "if False:"),
            (
                "commits",
                "    if run is None or not run.row.open or message.id in run.seen:\n        return",
                "    if message.must_be_open and not (run and run.row.open):\n"
                "        raise RunEnded(message.run, run.row.stored if run else None)\n"
                "    if run is None or not run.row.open or message.id in run.seen:\n        return",
            ),
        ),
    ),
    bug(
        "a refused acceptance uses up a position",
        "commits",
        "    if transition.progress is not None:\n        _check_progress(state, transition.progress)\n    if not",
        "    state.events.last += len(transition.accept)\n"
        "    if transition.progress is not None:\n        _check_progress(state, transition.progress)\n    if not",
        "a zombie cannot send events",
        "an existing event changes nothing",
    ),
    bug(
        "a repeated progress is not recognised",
        "commits",
        "return written and run.fences[progress.position] == progress.fence",
        "return False",
        "a repeated progress changes nothing",
        "a repeated end changes nothing",
        "a repeat succeeds after a take over",
        "the same commit many times at once is one",
    ),
    bug(
        "a progress is recognised by its position alone",
        "commits",
        "return written and run.fences[progress.position] == progress.fence",
        "return written",
        "positions must fit",
    ),
    bug(
        "a repeated release is not recognised",
        "commits",
        "return gave_up and _releases(progress)",
        "return False",
        "a repeated release changes nothing",
        "a repeated parking changes nothing",
    ),
    bug(
        "a creation is recognised by the run's id alone",
        "commits",
        "return run is not None and run.created_by == transition.id",
        "return run is not None",
        "another creation of a run is a duplicate",
    ),
    bug(
        "messages that were put once end a page of them",
        "commits",
        "        return run is not None and run.created_by == transition.id\n    return False",
        "        return run is not None and run.created_by == transition.id\n    return _delivered(state, transition)",
        "pages of two routers complete one another",
    ),
    bug(
        "a repeated signal takes its key again",
        "commits",
        "return run is not None and first.id in run.seen",
        "return False",
        "a repeated signal changes nothing",
    ),
    bug(
        "the order of checks is another",
        "commits",
        "        _check_versions(state, transition, now)\n        _check_free(state, transition)",
        "        _check_free(state, transition)\n        _check_versions(state, transition, now)",
        "a key that moved on is told before a held key",
        "a cell that moved on is told before an existing run",
    ),
    bug(
        "a run ends beside an unread cancel",
        "commits",
        "if progress.stored in TERMINAL and row.cancel > max(row.drained, progress.drained):",
        "if False:",
        "an accepted cancel beats every end",
        "a cancel or an end wins",
    ),
    bug(
        "a cancel that this very commit drains stops the end",
        "commits",
        "row.cancel > max(row.drained, progress.drained)",
        "row.cancel > row.drained",
        "an accepted cancel beats every end",
    ),
    bug(
        "any position will do",
        "commits",
        "if progress.position != row.length:",
        "if False:",
        "positions must fit",
        "a wrong position changes nothing",
    ),
    bug(
        "a release forgets the unread mail",
        "commits",
        'progress.stored == "parked" or awaited > row.drained',
        'progress.stored == "parked"',
        "a release with unread mail is due now",
        "a release sees the mail of its own commit",
        "an event meets a wait orrroo",
    ),
    bug(
        "a run that ended keeps a debt of mail",
        "commits",
        "row.ended_at, row.drained = now, row.mail",
        "row.ended_at = now",
        "a reopened run starts with an empty mailbox",
    ),
    bug(
        "messages are not deduplicated",
        "commits",
        " or message.id in run.seen",
        "",
        "a message is put once",
        "an event meets a wait orroro",
    ),
    bug(
        "drained messages are forgotten",
        "commits",
        "            run.mail.pop(number, None)",
        "            run.seen.discard(run.mail.pop(number).id)",
        "a drained message is not put again",
    ),
    bug(
        "a message steals the lease",
        "commits",
        'if row.owner is None and row.stored != "parked":\n        row.due_at = _due',
        'if row.stored != "parked":\n        row.due_at = _due',
        "a message does not touch a lease",
    ),
    bug(
        "a message delays a run that is overdue",
        "commits",
        "return now if row.due_at is None else min(row.due_at, now)",
        "return now",
        "a message does not delay a due run",
    ),
    bug(
        "a message does not wake a run without due time",
        "commits",
        "return now if row.due_at is None else min(row.due_at, now)",
        "return None if row.due_at is None else min(row.due_at, now)",
        "a message wakes a waiting run",
        "no wake up is lost",
    ),
    bug(
        "the last cancel is noted, not the first",
        "commits",
        "if isinstance(body, CancelRequested) and not row.unread_cancel:",
        "if isinstance(body, CancelRequested):",
        "a cancel is noted on the row",
    ),
    bug(
        "an ended run goes on waiting",
        "commits",
        "        for id in list(run.waits):\n            _close_wait(state, run, id)",
        "        run.waits.clear()",
        "an ended run waits no more",
    ),
    bug(
        "a wait is found by events that it has seen",
        "indexes",
        "if (wait.after or 0) < event.position:",
        "if (wait.after or 0) <= event.position:",
        "a wait is for later events",
    ),
    bug(
        "waits compare texts",
        "indexes",
        "value = match_key(value_at(document, parse_path(path)))",
        "value = str(value_at(document, parse_path(path)))",
        "a wait is found by the value at its path",
    ),
    bug(
        "looking back begins too early",
        "indexes",
        "start = bisect_right(events, since, key=_position)",
        "start = bisect_left(events, since, key=_position)",
        "looking back is between positions",
    ),
    bug(
        "looking back ends too late",
        "indexes",
        "bisect_left(events, until, key=_position)",
        "bisect_right(events, until, key=_position)",
        "looking back is between positions",
    ),
    bug(
        "looking back does not learn of new events",
        "indexes",
        "                if name == event.name:\n                    values.setdefault",
        "                if False:\n                    values.setdefault",
        "looking back finds values",
    ),
    bug(
        "events from the future are there at once",
        "commits",
        "None if event.ts > event.accepted_at else state.events.last + 1",
        "state.events.last + 1",
        "an event from the future waits",
    ),
    bug(
        "positions are given again",
        "indexes",
        "        del self._by_number[number]\n",
        "        del self._by_number[number]\n"
        "        self.last = max([e.position or 0 for _, e in self._by_id.values()], default=0)\n",
        "positions are not given again",
    ),
    bug(
        "a run is due too early",
        "ownership",
        "state.lines.promote(now)",
        "state.lines.promote(now + 1)",
        "what is not due is not claimed",
        "a lease ends at its time",
    ),
    bug(
        "a lease is extended at its end",
        "ownership",
        "row.due_at <= now:",
        "row.due_at < now:",
        "an expired lease is not extended",
    ),
    bug(
        "a lease is extended under any fence",
        "ownership",
        "run.row.owner is None or run.row.fence != held.fence",
        "run.row.owner is None",
        "a zombie cannot extend",
        "leases are extended one by one",
    ),
    bug(
        "an extension counts from the old end",
        "ownership",
        "row.due_at = now + lease\n    if",
        "row.due_at += lease\n    if",
        "an extended lease lasts",
    ),
    bug(
        "the limit is one too many",
        "ownership",
        "while len(claiming.given) < limit and",
        "while len(claiming.given) <= limit and",
        "the earliest due run is claimed first",
        "a limit of zero gives nothing",
    ),
    bug(
        "store time goes back",
        "state",
        "self.highest = max(self.highest, self.clock())",
        "self.highest = self.clock()",
        "store time never goes back",
    ),
    bug(
        "a parked run is for everybody",
        "ownership",
        "not (parked and digest == offered)",
        "True",
        "a parked run is for other code",
        "a parked run whose owner died is still for other code",
    ),
    bug(
        "a cancel is given codeless at once",
        "state",
        "max(since, last_leased) + CODELESS_AFTER",
        "max(since, last_leased)",
        "an unread cancel is given codeless after a while",
    ),
    bug(
        "an owned run is given codeless",
        "state",
        "last_leased = row.due_at if row.owner is not None and row.due_at is not None else 0",
        "last_leased = 0",
        "an owned run is not given codeless",
    ),
    bug(
        "a run is given codeless to those who have the code",
        "ownership",
        "if _has_code(claiming.who, run) if codeless else",
        "if False if codeless else",
        "who has the code is never given a run codeless",
    ),
    bug(
        "the listing is not renewed when a cancel is drained",
        "commits",
        "    if settled or row.cancel:",
        "    if settled:",
        "a cancel that was drained is not given codeless",
    ),
    bug(
        "ready runs go by time alone",
        "order",
        "return ready_at - row.priority * SECOND",
        "return ready_at",
        "priority is a head start in seconds",
        "blocked runs are given by rank",
    ),
    bug(
        "an urgent run is given before its time",
        "order",
        "        if ready_at <= now:\n            self.later",
        "        if rank <= now:\n            self.later",
        "urgent is not early",
    ),
    Bug(
        "a run of low priority is given late",
        ("unhurried is not late",),
        (
            ("order", "if ready_at <= now:\n            self.later", "if rank <= now:\n            self.later"),
            ("order", "self.later.put(run, ready_at)", "self.later.put(run, max(rank, ready_at))"),
        ),
    ),
    bug(
        "a wish is not heard",
        "order",
        'if not row.wants or row.owner is not None or row.stored == "parked":',
        "if True:",
        "a run that wants to start is ready",
        "a release says whether the run wants more",
    ),
    bug(
        "a run is started before its time",
        "order",
        "wanted_at if start_at is None else start_at",
        "wanted_at",
        "a run is not started before its time",
        "mail is read before the start",
    ),
    bug(
        "the start time counts for a run that is started",
        "order",
        "return row.start_at if row.started_at is None else None",
        "return row.start_at",
        "the start time of a started run means nothing",
    ),
    bug(
        "a run that was given back has been ready since it was created",
        "commits",
        "    run.wanted_at = now\n",
        "",
        "a run that was claimed queues anew",
    ),
    bug(
        "a release leaves the wish alone",
        "commits",
        "row.wants = progress.wants if progress.opening is None else progress.opening.wants",
        "row.wants = row.wants or progress.wants",
        "a release says whether the run wants more",
    ),
    bug(
        "a deadline of the start is one of the end",
        "commits",
        "row.started_at, row.deadline = progress.started_at, progress.deadline",
        "row.started_at, row.deadline = progress.started_at, progress.deadline or row.deadline",
        "the deadline of the start gives way to that of the end",
        "a deadline that was lifted is forgotten",
    ),
    bug(
        "a deadline is not lifted",
        "commits",
        "    if progress.lifts_deadline:\n        row.deadline = None\n",
        "",
        "a deadline is lifted by itself",
        "a deadline that was lifted is forgotten",
    ),
    bug(
        "a reopened run has its old deadline",
        "commits",
        "        if progress.reopen:\n            row.deadline = None\n",
        "",
        "a reopened run has no deadline",
    ),
    bug(
        "a deadline is not kept without code",
        "state",
        "since = earliest(run.cancelled_at if row.unread_cancel else None, row.deadline) or 0",
        "since = run.cancelled_at if row.unread_cancel else 1 << 60",
        "a missed deadline is given codeless after a while",
        "a parked run is timed out codeless",
    ),
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
        "    if row.owner is not None or row.mail > row.drained or not row.wants or row.started_at is not None:\n",
        "    if row.owner is not None or not row.wants or row.started_at is not None:\n",
        "mail is read without a slot",
    ),
    bug(
        "a blocked run is not told of its timers",
        "order",
        "or not row.wants or row.started_at is not None:",
        "or not row.wants:",
        "a timer ends without a slot",
    ),
    bug(
        "a due run that is not started is given without its slot",
        "order",
        "or not row.wants or row.started_at is not None:",
        "or True:",
        "a run without a slot is not started",
    ),
    bug(
        "a blocked run misses its deadline",
        "order",
        "        return earliest(row.due_at, row.deadline)\n    return row.deadline",
        "        return row.due_at\n    return None",
        "a run without a slot is not started",
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
    bug(
        "mail wakes a run that collects",
        "commits",
        'if row.stored == "collecting" and not isinstance(message.body, CancelRequested):',
        "if False:",
        "mail does not wake a run that collects",
    ),
    bug(
        "a cancel does not wake a run that collects",
        "commits",
        'if row.stored == "collecting" and not isinstance(message.body, CancelRequested):',
        'if row.stored == "collecting":',
        "a cancel wakes a run that collects",
    ),
    bug(
        "the due time of a message is for all runs",
        "commits",
        'if row.stored == "collecting" and not isinstance(message.body, CancelRequested):',
        "if message.due_at is not None and not isinstance(message.body, CancelRequested):",
        "a due time is for runs that collect",
    ),
    bug(
        "a collected event is linked when the run opens",
        "commits",
        "        state.link(run, (body.event,))\n",
        "",
        "a collected event links its run at once",
    ),
    bug(
        "a collected event has no position",
        "commits",
        "body=attrs.evolve(body, event=_placed(state, body.event))",
        "body=body",
        "an event is collected by the commit that accepts it",
    ),
    bug(
        "an opened run is not linked to its events",
        "commits",
        "    state.link(run, run.events)\n    row.priority",
        "    row.priority",
        "an opened run is linked to its events",
    ),
    bug(
        "to go on collecting gives the run back",
        "commits",
        'return progress.release or progress.stored in TERMINAL or progress.stored == "parked"',
        'return progress.release or progress.stored != "open"',
        "what collects is not released by its state",
    ),
    bug(
        "what collects is reopened",
        "commits",
        'if progress.reopen and row.open and row.stored != "parked":',
        'if progress.reopen and row.stored == "open":',
        "what collects is not reopened",
    ),
    bug(
        "schedules are listed among runs",
        "queries",
        'return row.stored != "schedule" and (status is None or row.open)',
        "return status is None or row.open",
        "schedules are not listed among runs",
    ),
    bug(
        "what is being collected is deleted",
        "queries",
        "for e in _handled(run)), default",
        "for e in run.events), default",
        "what a run collects is not deleted",
    ),
    bug(
        "a wait that comes with its run looks at everything",
        "commits",
        "after=run.events[-1].position if run.events else 0)",
        "after=0)",
        "a wait that comes with its run looks from the runs event on",
    ),
    bug(
        "new code is not paused",
        "registry",
        "paused=name in state.paused)",
        "paused=state.in_force[name].paused)",
        "a paused workflow is listed as such",
        "new code is paused like the old",
    ),
    bug(
        "a pause is nothing new",
        "registry",
        "        state.paused ^= {name}\n        state.generation += 1",
        "        state.paused ^= {name}",
        "the generation grows when a workflow is paused",
    ),
    bug(
        "a take-over is no strike",
        "ownership",
        "else row.strikes + 1",
        "else row.strikes",
        "a take over is a strike",
    ),
    bug(
        "a record does not clear strikes",
        "commits",
        "if row.strikes and (progress.records or progress.reopen):",
        "if row.strikes and progress.reopen:",
        "a record clears the strikes",
    ),
    bug(
        "a release clears strikes",
        "commits",
        "if row.strikes and (progress.records or progress.reopen):",
        "if row.strikes:",
        "a record clears the strikes",
    ),
    bug(
        "a worker is given all suspects",
        "ownership",
        "        claiming.suspect = run.key\n",
        "        claiming.held = claiming.held\n",
        "a worker is given one suspect at a time",
    ),
    bug(
        "a worker is given another suspect in the next claim",
        "ownership",
        "return Claiming(who, lease, now, held, held)",
        "return Claiming(who, lease, now, held, None)",
        "a worker is given one suspect at a time",
    ),
    bug(
        "a worker is told of suspects that it is not given",
        "ownership",
        "return suspect in (None, run.key) or",
        "return True or",
        "next due does not tell of a second suspect",
    ),
    bug(
        "a worker is never given its own suspect again",
        "ownership",
        "claiming.suspect not in (None, run.key)",
        "claiming.suspect is not None",
        "a worker may have its suspect again",
    ),
    bug(
        "a dead worker blames all its runs",
        "ownership",
        "row.strikes if blamed not in (None, run.key) else row.strikes + 1",
        "row.strikes + 1",
        "the others of a dead worker are innocent",
        "a suspect stays named when it is taken over first",
    ),
    bug(
        "a suspect is one for ever",
        "ownership",
        "if row.strikes >= SUSPECT_STRIKES and now >= run.claimed_at + 2 * lease:",
        "if False:",
        "a suspect that lives on is none",
    ),
    bug(
        "the versions of a key come back",
        "state",
        "return seen + 1 if seen else self.versions",
        "return seen + 1",
        "a version never comes back",
        "an expired cell is absent",
    ),
    bug(
        "the version of a key is not looked at",
        "commits",
        "if take.version and (held is None or held.version != take.version):",
        "if False:",
        "a key is taken over under its version",
        "a key that was dropped has moved on",
        "a key that moved on changes nothing",
    ),
    bug(
        "anybody drops a key",
        "commits",
        "if held is not None and held.holder == drop.holder:",
        "if held is not None:",
        "only its holder drops a key",
        "a key changes hands in one commit",
    ),
    bug(
        "a key is free once it has expired",
        "commits",
        "if not take.version and held is not None:",
        "if not take.version and held is not None and (held.expires_at is None or held.expires_at > state.highest):",
        "an expired key is still there",
    ),
    bug(
        "a cell does not expire",
        "state",
        "if cell is None or (cell.expires_at is not None and cell.expires_at <= now):",
        "if cell is None:",
        "an expired cell is absent",
    ),
    bug(
        "the cell's version is not looked at",
        "commits",
        "cell.version != (kept.version if kept is not None else 0) or",
        "False or",
        "a cell is changed under its version",
        "no update of a cell is lost",
    ),
    bug(
        "the code that was registered last is in force",
        "registry",
        "definitions.setdefault(offer.workflow, {})[offer.digest] = offer.definition",
        "definitions[offer.workflow] = {offer.digest: offer.definition}",
        "the digest first seen last is in force",
    ),
    bug(
        "workers live for ever",
        "registry",
        "state.workers[w].seen_at + ALIVE <= now",
        "False",
        "dead code is not in force",
        "a workflow is withdrawn when nobody offers it",
    ),
    bug(
        "an app withdraws the workflows of others",
        "registry",
        "{name: r for name, r in state.in_force.items() if r.app != app} | after",
        "after",
        "an app touches only itself",
        "what is registered is in force",
    ),
    bug(
        "rows are handed out",
        "queries",
        "return Loaded(copy(run.row),",
        "return Loaded(run.row,",
        "rows are copies",
    ),
    bug(
        "retention takes what open runs may look back to",
        "queries",
        "return horizon is None or event.position < horizon",
        "return True",
        "what an open run may look back to is not deleted",
    ),
    bug(
        "retention takes unrouted events",
        "queries",
        "if event.position is None or event.id in state.events.unrouted:",
        "if event.position is None:",
        "unrouted events are not deleted",
    ),
    bug(
        "what somebody waits for is routed by its acceptance",
        "commits",
        "if not event.deferred and not state.waits.awaited((event.name,)):",
        "if not event.deferred:",
        "what somebody waits for is left to the router",
        "what its own commit waits for is left to the router",
    ),
    bug(
        "an acceptance routes before its waits are open",
        "commits",
        "    for wait in transition.open_waits:\n        _open_wait(state, wait)\n"
        "    if transition.routes:\n        _route_unheard(state, transition.accept)\n",
        "    if transition.routes:\n        _route_unheard(state, transition.accept)\n"
        "    for wait in transition.open_waits:\n        _open_wait(state, wait)\n",
        "what its own commit waits for is left to the router",
    ),
    bug(
        "deferred events are routed by their acceptance",
        "commits",
        "if not event.deferred and not state.waits.awaited((event.name,)):",
        "if not state.waits.awaited((event.name,)):",
        "what starts later is left to the router",
    ),
    bug(
        "every acceptance routes",
        "commits",
        "    if transition.routes:\n        _route_unheard",
        "    if True:\n        _route_unheard",
        "an acceptance that does not route leaves all to the router",
    ),
    bug(
        "what is routed at once is forgotten",
        "commits",
        "            state.events.unrouted.pop(event.id, None)",
        "            state.events.unrouted.pop(event.id, None)\n            state.events.delete(event.id)",
        "what is routed at once can be looked back to",
    ),
    bug(
        "a refusal ends many commits",
        "store",
        "            except Refused as refused:\n                answers.append(refused)",
        "            except Refused as refused:\n                answers.append(refused)\n                break",
        "each of many commits has its answer",
        "a refusal among many commits changes nothing",
    ),
    bug(
        "a refusal among many is raised",
        "store",
        "            except Refused as refused:\n                answers.append(refused)",
        "            except Refused as refused:\n                raise refused",
        "each of many commits has its answer",
        "many commits may be repeated",
    ),
    bug(
        "many commits are in another order",
        "store",
        "        answers: list[Committed | Refused] = []\n        for transition in transitions:",
        "        answers: list[Committed | Refused] = []\n        for transition in reversed(transitions):",
        "many commits are in their order",
    ),
    bug(
        "a name is awaited for ever",
        "indexes",
        "        if not paths:\n            del self._waits[wait.event]",
        "",
        "a name is awaited until its last wait is closed",
    ),
    bug(
        "only waits on any value are awaited",
        "indexes",
        "[name for name in names if name in self._waits]",
        "[name for name in names if None in self._waits.get(name, {})]",
        "a name is awaited while a wait is open",
    ),
    bug(
        "who was created at an edge is counted before it",
        "counting",
        "[bisect_left(state.by_creation",
        "[__import__('bisect').bisect_right(state.by_creation",
        "runs are counted by their creation",
    ),
    bug(
        "schedules are counted",
        "counting",
        'if row.stored != "schedule" and app',
        "if app",
        "schedules are not counted",
    ),
    bug(
        "runs of all workflows are counted",
        "counting",
        " and workflow in (None, row.workflow)",
        "",
        "runs are counted of one app or workflow",
    ),
    bug(
        "a page begins with the last of the one before",
        "queries",
        "if key(item) > after)",
        "if key(item) >= after)",
        "waits come in pages",
        "many runs of an event come in pages",
        "many children come in pages",
    ),
)  # fmt: skip


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_planted_bug_is_caught(bug: Bug) -> None:
    """Each case named beside a bug fails on a store that has it."""
    factory = planted(bug.edits)
    assert [name for name in bug.caught_by if not fails(name, factory)] == []


def test_a_store_without_a_planted_bug_passes() -> None:
    """Planting nothing breaks nothing: the cases above fail because of the edits."""
    named = {name for bug in BUGS for name in bug.caught_by}
    factory = planted(())
    for name in named:
        CASES[name].check(factory)


@pytest.mark.parametrize("bug", BUGS[:1], ids=lambda bug: bug.name)
def test_a_failure_reads_as_a_scenario(bug: Bug) -> None:
    """It says which promise was broken, what was asked and answered, what was due and what came."""
    with pytest.raises(AssertionError) as caught:
        CASES["a zombie cannot append records"].check(planted(bug.edits))
    story = str(caught.value)
    assert "A worker whose run was taken over cannot append records" in story
    assert "claim(Who(worker='w2'" in story
    assert "10 s pass" in story
    assert "expected: LeaseLost\n  got:      Committed(" in story


def test_check_store_tells_all_that_fails() -> None:
    """One call, one error: how many cases failed, and the scenario of each."""
    bug = BUGS[-1]
    with pytest.raises(AssertionError, match=f"^{len(bug.caught_by)} of {len(CASES)} cases failed") as caught:
        check_store(planted(bug.edits))
    for name in bug.caught_by:
        assert f"\n\n{name}: " in str(caught.value)


def test_the_model_shrinks_what_it_finds() -> None:
    """A difference from the reference comes as a short list of operations, whatever it was found with."""
    (edit,) = next(bug for bug in BUGS if bug.name == "the listing is not renewed when a cancel is drained").edits
    with pytest.raises(AssertionError) as caught:
        check_against_model(planted([edit]))
    story = str(caught.value)
    assert "the reference says:" in story
    assert "this store says:" in story


@pytest.mark.parametrize(
    "race",
    [
        "each run is claimed by one worker",
        "take overs leave one history",
        "a key has one winner",
        "no update of a cell is lost",
        "a cancel or an end wins",
        "the same commit many times at once is one",
    ],
)
def test_a_store_that_lets_others_in_is_caught(race: str) -> None:
    """A store that waits between looking and writing, without a lock, loses the race (trio's own dice play along)."""
    assert any(fails(race, interleaved(seed, locked=False)) for seed in range(20))


def test_a_release_that_looks_too_early_is_caught() -> None:
    """A release decided by a mailbox that was read before the row was locked loses a wake-up."""
    assert any(fails("no wake up is lost", hasty(seed)) for seed in range(20))


def fails(name: str, factory: Factory) -> bool:
    """Whether a store fails a case."""
    try:
        CASES[name].check(factory)
    except AssertionError:
        return True
    return False
