"""Drafts: what an owner commits for what has happened. `Owner` checks each commit (see its module)."""

from __future__ import annotations

import attrs
import pytest

from flowgen import All, Backoff, Invoke, Race, Run, Sleep, SleepUntil, WaitFor
from flowgen.draft import HOLD
from flowgen.duration import moment
from flowgen.history import AttemptFailed, SleepTerms, Started, StepFailed
from flowgen.outcome import Failure, Json, Raised, Returned
from flowgen.owned import BodyEnded, TimePassed
from flowgen.values import encode
from tests.bodies import SECOND, START, act
from tests.drafts import APPROVAL, result, sequence, step
from tests.owner import Owner

# -- run steps -------------------------------------------------------------------------------------


def test_a_run_begins_with_started_and_its_first_body() -> None:
    """The first transition holds `Started`; the body starts after its commit."""
    owner = Owner(sequence(step("a")), begin=False)
    decision = owner.decide(at=START + 5)
    assert owner.history == [Started(START + 5, "code-1")]
    assert [s.id for s in decision.execute] == ["a"]
    assert owner.last.progress.started_at == START + 5  # type: ignore[union-attr]


def test_an_outcome_is_one_record_and_one_transition() -> None:
    """A step's outcome and the next body are one hop."""
    owner = Owner(sequence(step("a"), step("b")))
    assert [s.id for s in owner.ok("a", 1).execute] == ["b"]
    assert owner.written() == ["Started", "StepSucceeded a"]
    assert owner.ok("b", 2).ended
    assert (owner.written()[2:], result(owner)) == (["StepSucceeded b", "EndCompleted"], [1, 2])


def test_outcomes_that_come_together_are_one_transition_in_their_order() -> None:
    """Three bodies ended: three records, one commit."""
    owner = Owner(sequence(All(step("a"), step("b"), step("c"))))
    ended = [BodyEnded(name, Returned(Json(b"1"))) for name in "cab"]
    owner.decide(*ended)
    assert owner.written() == ["Started", *(f"StepSucceeded {name}" for name in "cab"), "EndCompleted"]
    assert len(owner.transitions) == 2


def test_a_failure_is_tried_again_after_its_back_off() -> None:
    """An attempt is a record with the next time; the body starts again when that has come."""
    owner = Owner(sequence(Run("a", act).options(backoff=Backoff.fixed("10s"))))
    decision = owner.fail("a")
    failed = owner.history[-1]
    assert isinstance(failed, AttemptFailed)
    assert (failed.attempt, failed.retry_at, decision.released) == (1, owner.at + 10 * SECOND, True)
    assert owner.last.progress.due_at == failed.retry_at  # type: ignore[union-attr]
    assert [s.id for s in owner.pass_time().execute] == ["a"]
    assert owner.executing == {"a": 2}


def test_after_the_last_attempt_the_step_has_failed() -> None:
    """`retries=2`: three attempts, then the outcome says so."""
    owner = Owner(sequence(Run("a", act).options(retries=2)))
    for _ in range(2):
        owner.fail("a")
        owner.pass_time()
    owner.fail("a", "OSError")
    failed = owner.history[3]
    assert isinstance(failed, StepFailed)
    assert (failed.attempts, failed.failure.type) == (3, "OSError")
    assert result(owner) == ["StepError OSError"]


@pytest.mark.parametrize("retries, attempts", [(0, 1), (1, 2), (4, 5)])
def test_the_workflows_retries_are_the_default(retries: int, attempts: int) -> None:
    """Without an option of its own, a step has its workflow's."""
    owner = Owner(sequence(step("a")), retries=retries)
    for _ in range(attempts - 1):
        owner.fail("a")
        owner.pass_time()
    owner.fail("a")
    assert owner.ended


def test_a_failure_that_is_not_retriable_is_final() -> None:
    """Whatever attempts are left."""
    owner = Owner(sequence(step("a")))
    assert owner.fail("a", retriable=False).ended


def test_a_body_may_say_when_to_try_again() -> None:
    """`retry_after` wins over the back-off."""
    owner = Owner(sequence(step("a")))
    owner.decide(BodyEnded("a", Raised(Failure("RetryAfterError", "busy"), True, 77 * SECOND)))
    assert owner.owned.interpreter.next_deadline() == owner.at + 77 * SECOND


def test_luck_shapes_the_back_off() -> None:
    """Jitter is drawn by the shell and given as an argument."""
    delays = []
    for luck in (0.0, 0.5, 0.999):
        owner = Owner(sequence(step("a")), backoff=Backoff.exponential("10s", jitter=0.5))
        owner.decide(BodyEnded("a", Raised(Failure("E", "e")), luck))
        delays.append((owner.owned.interpreter.next_deadline() or 0) - owner.at)
    assert delays == [5 * SECOND, 10 * SECOND, 14_990_000]


def test_a_short_back_off_keeps_the_lease() -> None:
    """A deadline a few milliseconds away is not worth a release."""
    owner = Owner(sequence(Run("a", act).options(backoff=Backoff.fixed(HOLD / SECOND))))
    assert not owner.fail("a").released
    owner = Owner(sequence(Run("a", act).options(backoff=Backoff.fixed((HOLD + 1) / SECOND))))
    assert owner.fail("a").released


@attrs.frozen
class Order:
    id: str


def load() -> Order:
    raise AssertionError


def test_a_result_that_does_not_fit_is_the_steps_failure() -> None:
    """It failed for good: trying again would give the same type."""
    owner = Owner(sequence(Run("a", load)))
    owner.ok("a", {"id": 7})
    assert result(owner) == ["StepError UndecodableError"]
    assert isinstance(owner.history[1], StepFailed)


def test_an_outcome_that_comes_too_late_is_dropped() -> None:
    """Of a loser, of a step that has one, of a step that never was."""
    owner = Owner(sequence(Race(a=step("a"), b=step("b")), step("c")))
    decision = owner.ok("a")
    assert [s.id for s in decision.abandoned] == ["b"]
    before = len(owner.history)
    for name in ("a", "b", "nonsense"):
        assert owner.ok(name).transition is None
    assert len(owner.history) == before


def test_the_clock_of_records_does_not_go_back() -> None:
    """A store time below the last record's is taken as that one."""
    owner = Owner(sequence(step("a"), step("b")))
    owner.at = START + 100 * SECOND
    owner.ok("a")
    owner.at = START
    owner.ok("b")
    assert owner.history[-1].at == owner.history[1].at


# -- sleeps ----------------------------------------------------------------------------------------


def test_a_sleep_is_requested_in_absolute_terms_and_the_run_let_go() -> None:
    """The transition that asks for it releases the run up to its end."""
    owner = Owner(sequence(Sleep("s", "1m")))
    assert owner.history[1].terms == SleepTerms(owner.at + 60 * SECOND)  # type: ignore[union-attr]
    assert owner.last.progress.release  # type: ignore[union-attr]
    assert owner.last.progress.due_at == owner.at + 60 * SECOND  # type: ignore[union-attr]
    assert owner.pass_time().ended


def test_a_sleep_never_ends_early() -> None:
    """A look at the clock a microsecond before its time changes nothing."""
    owner = Owner(sequence(Sleep("s", "1m")))
    due = owner.owned.interpreter.next_deadline()
    assert due is not None
    owner.pass_time(due - 1)
    assert owner.open == ["s"]
    assert owner.pass_time(due).ended


def test_sleep_until_a_time_that_has_passed() -> None:
    """It is over at the next look at the clock, and the lease is kept until then."""
    owner = Owner(sequence(SleepUntil("s", moment(START - 5 * SECOND))))
    assert not owner.last.progress.release  # type: ignore[union-attr]
    assert owner.pass_time().ended


def test_of_sleeps_that_are_all_overdue_the_earliest_comes_first() -> None:
    """A run that nobody looked at for long ends its sleeps in the order of their times."""
    owner = Owner(sequence(Race(long=Sleep("long", "2m"), short=Sleep("short", "1m"))))
    owner.pass_time(START + 3600 * SECOND)
    assert result(owner) == [{"name": "short", "value": None}]


# -- refused and repeated --------------------------------------------------------------------------


def test_a_refused_draft_is_decided_again_with_the_same_outcomes() -> None:
    """The generator is rebuilt, the outcomes are kept: the records are the same."""
    owner, twin = Owner(sequence(step("a"), Sleep("s", 1))), Owner(sequence(step("a"), Sleep("s", 1)))
    ended = BodyEnded("a", Returned(Json(b"1")))
    owner.decide(ended, refuse=True)
    twin.decide(ended)
    assert owner.history == twin.history
    assert owner.transitions == twin.transitions


def test_a_released_run_goes_on_with_its_live_generator_or_a_replayed_one() -> None:
    """Evicted or not, the same records follow."""
    cached, evicted = Owner(sequence(Sleep("s", 1), step("a"))), Owner(sequence(Sleep("s", 1), step("a")))
    evicted.reload()
    assert cached.pass_time().execute[0].id == evicted.pass_time().execute[0].id == "a"
    assert cached.history == evicted.history


def test_a_crash_while_a_body_runs_starts_it_again() -> None:
    """Nothing was recorded of it: the same attempt of the same step."""
    owner = Owner(sequence(step("a")))
    owner.fail("a")
    owner.pass_time()
    owner.reload()
    assert owner.decide().execute == []
    assert [s.id for s in owner.decide(TimePassed()).execute] == ["a"]
    assert owner.executing == {"a": 2}


# -- additive code ---------------------------------------------------------------------------------


def test_what_additive_code_does_not_ask_for_any_more_is_let_go_of_at_the_end() -> None:
    """A removed wait for a signal must not keep its name, a removed child must not run on for nobody."""
    removed = (APPROVAL, Invoke("c", "child"), WaitFor("v", "a/b", timeout="1h"))
    owner = Owner(sequence(All(*removed, step("a"))), changes="additive")
    owner.deploy(sequence(step("a")), changes="additive")
    owner.decide()
    assert len(owner.world.keys) == len(owner.world.children) == 1
    owner.ok("a", 1)
    assert result(owner) == [1]
    assert (owner.world.keys, owner.world.children) == ({}, {})


def test_additive_code_that_has_nothing_left_to_ask_for_ends() -> None:
    """Taken up with its new code, the run is over at once, and lets go of what the old code held."""
    owner = Owner(sequence(step("a"), APPROVAL), changes="additive")
    owner.ok("a", 1)
    owner.deploy(sequence(step("a")), changes="additive")
    assert owner.decide().ended
    assert owner.world.keys == {}


def test_values_are_recorded_as_encoded() -> None:
    """The record holds the bytes that came, not a copy that was decoded and encoded."""
    owner = Owner(sequence(step("a")))
    owner.decide(BodyEnded("a", Returned(Json(b'{"b":1,  "a":2}'))))
    assert bytes(owner.history[1].value) == b'{"b":1,  "a":2}'  # type: ignore[union-attr]
    assert encode(result(owner), "x") == Json(b'[{"b":1,"a":2}]')
