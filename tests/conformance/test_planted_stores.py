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
        'return gave_up and (progress.release or progress.stored != "open")',
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
        'progress.stored == "parked" or row.mail > row.drained',
        'progress.stored == "parked"',
        "a release with unread mail is due now",
        "a release sees the mail of its own commit",
        "no wake up is lost",
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
        'if row.owner is None and row.stored != "parked":\n        row.due_at = now',
        'if row.stored != "parked":\n        row.due_at = now',
        "a message does not touch a lease",
    ),
    bug(
        "a message delays a run that is overdue",
        "commits",
        "row.due_at = now if row.due_at is None else min(row.due_at, now)",
        "row.due_at = now",
        "a message does not delay a due run",
    ),
    bug(
        "a message does not wake a run without due time",
        "commits",
        "row.due_at = now if row.due_at is None else min(row.due_at, now)",
        "row.due_at = None if row.due_at is None else min(row.due_at, now)",
        "a message wakes a waiting run",
        "no wake up is lost",
    ),
    bug(
        "the last cancel is noted, not the first",
        "commits",
        "if isinstance(message.body, CancelRequested) and not row.unread_cancel:",
        "if isinstance(message.body, CancelRequested):",
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
        "if wait.after < event.position:",
        "if wait.after <= event.position:",
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
        "if due_at > now or",
        "if due_at > now + 1 or",
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
        "len(chosen) >= limit",
        "len(chosen) > limit",
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
        "if parked_by != digest",
        "if True",
        "a parked run is for other code",
        "a parked run whose owner died is still for other code",
    ),
    bug(
        "a cancel is given codeless at once",
        "state",
        "max(run.cancelled_at, last_leased) + CODELESS_AFTER",
        "max(run.cancelled_at, last_leased)",
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
        "if not any(run.agenda is agenda for agenda in agendas):",
        "if run.key not in ():",
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
        "                if noted is not None:\n                    continue\n",
        "",
        "a worker is given one suspect at a time",
    ),
    bug(
        "a worker is given another suspect in the next claim",
        "ownership",
        "elif suspect in (None, key) or _strikes(state, run, who.worker, suspect) < SUSPECT_STRIKES:",
        "else:",
        "a worker is given one suspect at a time",
        "next due does not tell of a second suspect",
    ),
    bug(
        "a worker is never given its own suspect again",
        "ownership",
        "elif suspect in (None, key) or",
        "elif suspect is None or",
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
