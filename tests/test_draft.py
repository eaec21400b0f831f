"""Drafts: what an owner commits for what has happened. `Owner` checks each commit (see its module)."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from flowgen import (
    All,
    Backoff,
    Context,
    Event,
    Invoke,
    InvokeTimeout,
    Race,
    Restart,
    Run,
    RunCancelled,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    StepError,
    Steps,
    WaitFor,
    WaitForSignal,
    event_type,
)
from flowgen.draft import HOLD
from flowgen.duration import moment
from flowgen.fibers import CLEANUP_TIMEOUT
from flowgen.history import (
    AttemptFailed,
    CancelAccepted,
    EndCancelled,
    EndCompleted,
    EndFailed,
    InvokeTerms,
    SendTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    WaitTerms,
)
from flowgen.outcome import Failure, Json, Raised, Returned
from flowgen.owned import BodyEnded, LookedBack, TimePassed
from flowgen.runs import CancelRequested, ChildCompleted, ChildFailed, Parent, SignalArrived, SignalReplaced
from flowgen.values import decode, encode
from tests.bodies import SECOND, START, act
from tests.owner import Owner, World


def step(name: str) -> Run[Any]:
    return Run(name, act)


def sequence(*commands: Any) -> Any:
    """A body that yields these commands and returns what they gave; failures as their type's name."""

    def body(ctx: Context[Any]) -> Steps[Any]:
        got: list[Any] = []
        for command in commands:
            try:
                got.append((yield command))
            except StepError as error:
                got.append(f"{type(error).__name__} {error.error_type}")
        return got

    return body


def result(owner: Owner) -> Any:
    assert isinstance(owner.end, EndCompleted), owner.end
    return decode(owner.end.result)


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


# -- waits -----------------------------------------------------------------------------------------


def test_a_wait_is_opened_and_looks_back_before_the_run_is_let_go() -> None:
    """The request, the wait and no release in one commit; the release comes after the look back."""
    owner = Owner(sequence(WaitFor("w", "order/paid", match="data.id", timeout="1h")), {"id": "7"})
    (wait,) = owner.world.waits.values()
    assert (wait.event, wait.after, wait.path, wait.value) == ("order/paid", 100, "data.id", '"7"')
    assert isinstance(owner.history[1].terms, WaitTerms)  # type: ignore[union-attr]
    decision = owner.decide()
    assert (decision.released, [s.id for s in decision.look]) == (False, ["w"])
    assert owner.decide(owner.looked("w", 150)).released
    assert owner.last.looked == ((wait.id, 150),)


def test_an_event_resolves_a_wait_and_closes_it() -> None:
    """The record holds the event and its position."""
    owner = Owner(sequence(WaitFor("w", "order/paid", timeout="1h"), step("a")))
    (wait_id,) = owner.world.waits
    owner.decide(owner.event("w", '{"n":1}', 222))
    succeeded = owner.history[2]
    assert isinstance(succeeded, StepSucceeded)
    assert (succeeded.position, owner.last.close_waits) == (222, (wait_id,))
    assert decode(succeeded.value)["data"] == {"n": 1}


def test_a_wait_that_times_out_gives_none_and_is_closed() -> None:
    """Time is up for a wait exactly at its deadline."""
    owner = Owner(sequence(WaitFor("w", "order/paid", timeout="1h")))
    owner.decide(owner.looked("w"))
    owner.pass_time()
    assert result(owner) == [None]
    assert owner.world.waits == {}


def test_a_wait_is_resolved_once() -> None:
    """An event after the time-out, and a time-out after the event, are dropped."""
    owner = Owner(sequence(WaitFor("w", "order/paid", timeout="1h"), step("a")))
    late = owner.event("w")
    owner.decide(owner.looked("w"))
    owner.decide(TimePassed(), at=START + 3600 * SECOND + SECOND)
    assert owner.decide(late).transition is None
    owner = Owner(sequence(WaitFor("w", "order/paid", timeout="1h"), step("a")))
    owner.decide(owner.event("w"), TimePassed(), at=START + 7200 * SECOND)
    assert owner.written()[2:] == ["StepSucceeded w"]


def test_a_loop_of_waits_looks_on_from_the_event_before() -> None:
    """Each occurrence sees what came after the event that the one before it returned."""
    owner = Owner(sequence(*(WaitFor("w", "order/paid", timeout="1h") for _ in range(3))))
    owner.decide(owner.event("w", position=205))
    assert owner.history[-1].terms.after == 205  # type: ignore[union-attr]
    owner.decide(owner.event("w:1", position=209))
    assert owner.history[-1].terms.after == 209  # type: ignore[union-attr]


def test_a_wait_after_a_time_out_looks_on_from_the_last_event() -> None:
    """A time-out returned no event, so the position stays."""
    owner = Owner(sequence(*(WaitFor("w", "order/paid", timeout="1h") for _ in range(3))))
    owner.decide(owner.event("w", position=205))
    owner.decide(owner.looked("w:1"))
    owner.pass_time()
    assert owner.history[-1].terms.after == 205  # type: ignore[union-attr]


@event_type("order/approved")
@attrs.frozen
class Approved:
    by: str


def test_an_event_that_does_not_fit_its_class_is_seen_once_too() -> None:
    """The wait fails, and its next occurrence looks on from there: one bad event does not block a loop."""
    owner = Owner(sequence(*(WaitFor("w", Approved, timeout="1h") for _ in range(2))))
    owner.decide(owner.event("w", '{"by": 7}', 205))
    assert owner.history[-1].terms.after == 205  # type: ignore[union-attr]
    owner.decide(owner.event("w:1", '{"by": "ann"}', 206))
    assert result(owner)[0] == "StepError UndecodableError"


@pytest.mark.parametrize(
    "since, after", [(None, 205), ("start", 100), ("now", 300), (moment(START), 50)], ids=["last", "start", "now", "t"]
)
def test_since_says_how_far_a_wait_looks_back(since: Any, after: int) -> None:
    """From the last event, from the trigger event, from now on, or from a time."""
    first = WaitFor("w", "order/paid", timeout="1h")
    owner = Owner(sequence(first, WaitFor("w", "order/paid", timeout="1h", since=since)))
    owner.world.position = 300
    owner.decide(owner.event("w", position=205))
    assert owner.history[-1].terms.after == after  # type: ignore[union-attr]


def test_the_condition_of_a_wait_keeps_what_it_reads_of_the_trigger() -> None:
    """`where` is evaluated later and elsewhere: its part of the trigger event goes along."""
    where = "async.data.total > event.data.limit"
    owner = Owner(sequence(WaitFor("w", "order/paid", where=where, timeout="1h")), {"limit": 5, "big": "x" * 999})
    (wait,) = owner.world.waits.values()
    assert wait.where == where
    assert wait.scope is not None
    assert decode(wait.scope) == {"data": {"limit": 5}}


def test_a_match_on_nothing_is_refused() -> None:
    """A path that the trigger event does not have would match every event that lacks it too."""
    owner = Owner(sequence(WaitFor("w", "order/paid", match="data.id", timeout="1h")))
    assert result(owner) == ["StepError DefinitionError"]
    assert owner.world.waits == {}


def test_a_run_that_is_claimed_again_looks_back_again() -> None:
    """After a crash between the commit of a wait and its look back, the look is not lost."""
    owner = Owner(sequence(WaitFor("w", "order/paid", timeout="1h")))
    owner.reload()
    decision = owner.decide()
    assert ([s.id for s in decision.look], decision.released) == (["w"], False)


def test_who_looks_back_late_times_out_afterwards() -> None:
    """A crash before the look back, a claim after the timeout: an event that had come is found, or time has passed."""
    for found in (True, False):
        owner = Owner(sequence(WaitFor("w", "order/paid", timeout="1h")))
        owner.reload()
        late = owner.at + 7200 * SECOND
        decision = owner.decide(TimePassed(), at=late)
        assert ([s.id for s in decision.look], decision.released) == (["w"], False)
        assert owner.written() == ["Started", "Requested w"]
        decision = owner.decide(owner.event("w", position=150) if found else owner.looked("w", 150), at=late)
        if not found:
            assert not decision.released
            owner.decide(TimePassed(), at=late)
        assert (owner.ended, result(owner)[0] is None) == (True, not found)


def test_losing_waits_are_closed_in_the_same_commit() -> None:
    """The loser's wait goes with the record that decides; a late look back for it is dropped."""
    owner = Owner(sequence(Race(w=WaitFor("w", "order/paid", timeout="1h"), s=Sleep("s", "1m")), step("a")))
    owner.decide(owner.looked("w"))
    owner.pass_time()
    assert owner.world.waits == {}
    assert owner.decide(LookedBack("w", 170)).transition is None


# -- signals ---------------------------------------------------------------------------------------

APPROVAL = WaitForSignal("w", "approve", timeout="1h")


def test_a_signal_arrives_and_its_key_is_let_go() -> None:
    """Its data is the step's value."""
    owner = Owner(sequence(APPROVAL))
    assert list(owner.world.keys) == ["signal/approve"]
    owner.decide(owner.signal("w", {"by": "ann"}))
    assert result(owner) == [{"by": "ann"}]
    assert owner.world.keys == {}


def test_a_signal_that_times_out_gives_none() -> None:
    """The key goes in the same commit."""
    owner = Owner(sequence(APPROVAL, step("a")))
    owner.pass_time()
    assert (owner.open, owner.world.keys) == (["a"], {})


def test_a_signal_in_the_mailbox_beats_the_time_out() -> None:
    """Delivered before the time-out is decided: the step waits for its mail."""
    owner = Owner(sequence(APPROVAL))
    letter = owner.signal("w", 7)
    owner.pass_time()
    assert owner.open == ["w"]
    owner.decide(letter)
    assert result(owner) == [7]


def test_a_signal_delivered_while_the_time_out_commits_wins() -> None:
    """The time-out names the version of the key that it saw; it is refused and decided again."""
    owner = Owner(sequence(APPROVAL))
    answered = owner._answer

    def deliver_meanwhile(questions: Any, facts: Any) -> None:
        answered(questions, facts)
        owner._answer = answered  # type: ignore[method-assign]
        owner.letters = owner.signal("w", 7)  # type: ignore[attr-defined]

    owner._answer = deliver_meanwhile  # type: ignore[method-assign]
    owner.pass_time()
    assert owner.open == ["w"]
    owner.decide(owner.letters)  # type: ignore[attr-defined]
    assert result(owner) == [7]


def test_one_waiter_a_name() -> None:
    """A second waiter fails, and says who waits."""
    world = World()
    first = Owner(sequence(APPROVAL), world=world, run="01KE00000000000000000000A1")
    second = Owner(sequence(APPROVAL), world=world, run="01KE00000000000000000000A2")
    assert result(second) == ["StepError SignalConflict"]
    assert first.open == ["w"]


def test_a_waiter_may_be_replaced() -> None:
    """`on_conflict="replace"`: the key changes hands, and the old waiter hears that it failed."""
    world = World()
    first = Owner(sequence(APPROVAL), world=world, run="01KE00000000000000000000A1")
    second = Owner(sequence(APPROVAL.options(on_conflict="replace")), world=world, run="01KE00000000000000000000A2")
    assert second.open == ["w"]
    (message,) = world.messages
    assert (message.run, type(message.body)) == (first.row.id, SignalReplaced)
    first.decide(first.letter(message.body))
    assert result(first) == ["StepError SignalReplaced"]
    assert [key.holder for key in world.keys.values()] == [second.step("w").terms.wait]


def test_a_loop_may_wait_for_its_signal_again_after_a_time_out() -> None:
    """The name that this run lets go of in the same commit is free for it."""
    owner = Owner(sequence(APPROVAL, APPROVAL, APPROVAL))
    owner.pass_time()
    assert owner.open == ["w:1"]
    owner.decide(owner.signal("w:1", 1))
    assert owner.open == ["w:2"]
    owner.decide(owner.signal("w:2", 2))
    assert result(owner) == [None, 1, 2]


def test_a_name_given_up_by_a_loser_is_free_for_the_same_run() -> None:
    """A race is lost and the signal waited for again, in one commit."""
    owner = Owner(sequence(Race(w=APPROVAL, s=Sleep("s", "1m")), APPROVAL))
    owner.pass_time()
    assert owner.open == ["w:1"]
    owner.decide(owner.signal("w:1", 5))
    assert result(owner)[1] == 5


def test_a_signal_for_an_earlier_wait_is_not_one_for_the_next() -> None:
    """A message names its wait."""
    owner = Owner(sequence(APPROVAL))
    other = owner.letter(SignalArrived("another wait", "w", Json(b"1")))
    owner.decide(other)
    assert owner.open == ["w"]
    assert owner.row.drained == 1


def test_a_signal_is_sent_to_its_waiter() -> None:
    """Into the waiter's mailbox by the commit of the step, and marked on its key."""
    world = World()
    waiter = Owner(sequence(APPROVAL), world=world, run="01KE00000000000000000000A1")
    sender = Owner(sequence(SendSignal("s", "approve", {"n": 1})), world=world, run="01KE00000000000000000000A2")
    assert result(sender) == [None]
    (message,) = world.messages
    assert (message.run, message.must_be_open) == (waiter.row.id, True)
    waiter.decide(waiter.letter(message.body))
    assert result(waiter) == [{"n": 1}]
    assert world.keys == {}


def test_a_signal_is_given_once() -> None:
    """The second sender finds nobody, although the first signal was not read yet."""
    world = World()
    Owner(sequence(APPROVAL), world=world, run="01KE00000000000000000000A1")
    both = Owner(sequence(SendSignal("s", "approve", 1), SendSignal("s", "approve", 2)), world=world)
    assert result(both) == [None, "StepError NoWaiter"]
    assert len(world.messages) == 1


def test_a_signal_without_a_waiter_fails_its_step() -> None:
    """It is not kept."""
    owner = Owner(sequence(SendSignal("s", "approve")))
    assert result(owner) == ["StepError NoWaiter"]


def test_a_run_does_not_signal_a_wait_that_it_gives_up() -> None:
    """Its own loser is no waiter any more in that commit."""
    owner = Owner(sequence(Race(w=APPROVAL, s=Sleep("s", "1m")), SendSignal("send", "approve")))
    owner.pass_time()
    assert result(owner)[1] == "StepError NoWaiter"
    assert owner.world.keys == {}


# -- children --------------------------------------------------------------------------------------


def test_an_invoked_run_is_created_by_the_commit_of_its_request() -> None:
    """The child knows its parent; its id is derived, so asking again would create the same one."""
    owner = Owner(sequence(Invoke("c", "child", {"n": 1})))
    (new,) = owner.last.create
    assert new.row.parent == Parent("shop", owner.row.id, "c", new.row.id)
    assert decode(new.events[0].data) == {"n": 1}
    assert owner.history[1].terms == InvokeTerms("shop", "child", new.row.id)  # type: ignore[union-attr]
    assert Owner(sequence(Invoke("c", "child"))).last.create[0].row.id == new.row.id
    owner.decide(owner.child("c", 7))
    assert result(owner) == [7]


def test_a_failed_child_fails_the_step_with_its_failure() -> None:
    """The error's type is the child's."""
    owner = Owner(sequence(Invoke("c", "child")))
    owner.decide(owner.child("c", failure=Failure("ValueError", "no")))
    assert result(owner) == ["StepError ValueError"]


@pytest.mark.parametrize("kind, told", [("InvokeTimeout", "StepError"), ("StepTimeout", "StepTimeout")])
def test_a_child_that_failed_of_a_time_out_of_its_own_did_not_time_out(kind: str, told: str) -> None:
    """`InvokeTimeout` means this run's own `timeout`, whatever a child's error is called."""
    owner = Owner(sequence(Invoke("c", "child", timeout="1h")))
    owner.decide(owner.child("c", failure=Failure(kind, "inner")))
    assert result(owner) == [f"StepError {told}"]


def test_a_child_that_takes_too_long_is_cancelled() -> None:
    """The step raises `InvokeTimeout`, and the child is told."""
    owner = Owner(sequence(Invoke("c", "child", timeout="1h"), step("a")))
    child = owner.step("c").terms.child
    owner.pass_time()
    failed = owner.history[2]
    assert isinstance(failed, StepFailed)
    assert failed.failure.type == InvokeTimeout.__name__
    (message,) = owner.last.messages
    assert (message.run, message.must_be_open) == (child, True)
    assert isinstance(message.body, CancelRequested)


def test_a_child_may_be_left_alone() -> None:
    """`on_cancel="leave"`: nothing is said to it."""
    owner = Owner(sequence(Invoke("c", "child", timeout="1h", on_cancel="leave"), step("a")))
    owner.world.children.clear()
    owner.pass_time()
    assert owner.last.messages == ()


def test_the_child_of_a_loser_is_cancelled() -> None:
    """And one that has ended meanwhile is not written to."""
    owner = Owner(sequence(Race(c=Invoke("c", "child"), s=Sleep("s", "1m")), step("a")))
    owner.pass_time()
    assert [type(m.body) for m in owner.last.messages] == [CancelRequested]
    owner = Owner(sequence(Race(c=Invoke("c", "child"), s=Sleep("s", "1m")), step("a")))
    owner.child("c", 7)
    owner.pass_time()
    assert owner.last.messages == ()


def test_a_child_that_is_given_up_before_the_commit_is_never_created() -> None:
    """Asked for and lost in one transition: there is nobody to cancel, and nobody to run."""
    owner = Owner(sequence(Race(c=Invoke("c", "child"), s=SendEvent("s", Event("a/b"))), step("a")))
    assert owner.last.create == ()
    assert owner.last.messages == ()


def test_an_unknown_workflow_fails_the_step_at_once() -> None:
    """Its parent does not hang."""
    owner = Owner(sequence(Invoke("c", "nobody")))
    assert result(owner) == ["StepError NotFound"]


def test_a_child_tells_its_parent_how_it_ended() -> None:
    """Under the id by which the parent knows it."""
    parent = Parent("shop", "01KE0000000000000000PARENT", "c", "known-as")

    def raises(ctx: Context[Any]) -> Steps[None]:
        yield step("a")
        raise ValueError("no")

    done = Owner(sequence(step("a")), parent=parent)
    done.ok("a", 1)
    (message,) = done.last.messages
    assert message.body == ChildCompleted("known-as", "c", Json(b"[1]"))
    failed = Owner(raises, parent=parent)
    failed.ok("a")
    assert isinstance(failed.last.messages[0].body, ChildFailed)
    cancelled = Owner(sequence(step("a")), parent=parent)
    cancelled.cancel("why")
    told = cancelled.last.messages[0].body
    assert isinstance(told, ChildFailed)
    assert told.failure.type == "RunCancelledError"


# -- sending ---------------------------------------------------------------------------------------


def test_events_are_sent_by_the_commit_of_their_step() -> None:
    """Accepted, requested and settled in one; the ids are derived from the step."""
    owner = Owner(sequence(SendEvent("s", [Event("a/b", {"n": 1}), Event("a/c")])))
    assert [event.name for event in owner.last.accept] == ["a/b", "a/c"]
    ids = [event.id for event in owner.last.accept]
    assert owner.history[1].terms == SendTerms(tuple(ids))  # type: ignore[union-attr]
    assert result(owner) == [ids]
    assert [e.id for e in Owner(sequence(SendEvent("s", [Event("a/b"), Event("a/c")]))).last.accept] == ids


def test_an_event_with_an_id_is_sent_once() -> None:
    """Two steps that send the same id in one transition: one event, one answer."""
    same = SendEvent("s", Event("a/b", {"n": 1}, id="k"))
    owner = Owner(sequence(same, same))
    assert len(owner.last.accept) == 1
    first, second = result(owner)
    assert first == second


def test_an_id_with_another_payload_fails_the_step() -> None:
    """A conflict is the step's failure."""
    owner = Owner(sequence(SendEvent("s", Event("a/b", {"n": 1}, id="k")), SendEvent("s", Event("a/b", id="k"))))
    assert result(owner)[1] == "StepError EventConflict"
    assert len(owner.last.accept) == 1


def test_an_event_that_cannot_be_sent_fails_the_step() -> None:
    """Too large, for one."""
    owner = Owner(sequence(SendEvent("s", Event("a/b", {"x": "y" * 600_000}))))
    assert result(owner) == ["StepError InvalidInput"]
    assert owner.last.accept == ()


# -- the end ---------------------------------------------------------------------------------------


def test_a_body_that_raises_fails_the_run() -> None:
    """At once: it is deterministic, so trying again would raise again."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield step("a")
        raise ValueError("no")

    owner = Owner(body)
    owner.ok("a")
    assert isinstance(owner.end, EndFailed)
    assert owner.last.progress.stored == "failed"  # type: ignore[union-attr]
    assert owner.last.progress.reason == "ValueError: no"  # type: ignore[union-attr]


def test_restart_ends_this_run_and_creates_its_successor() -> None:
    """In one commit; the successor inherits the parent and where its waits look."""
    parent = Parent("shop", "p", "c", "known-as")

    def body(ctx: Context[Any]) -> Steps[None]:
        yield WaitFor("w", "a/b", timeout="1h")
        yield Restart({"n": 2})

    owner = Owner(body, parent=parent, since=(("v", 3),))
    owner.decide(owner.event("w", position=222))
    (new,) = owner.last.create
    assert isinstance(owner.end, EndCompleted)
    assert (owner.end.restarted_as, owner.last.progress.restarted_as) == (new.row.id, new.row.id)  # type: ignore[union-attr]
    assert (new.row.parent, new.row.since, new.row.workflow) == (parent, (("v", 3), ("w", 222)), owner.row.workflow)
    assert (decode(new.events[0].data), new.events[0].position) == ({"n": 2}, 100)
    assert owner.last.messages == ()


def test_a_successor_looks_where_its_predecessor_had_come_to() -> None:
    """`since` of the row is where its waits begin."""
    owner = Owner(sequence(WaitFor("w", "a/b", timeout="1h")), since=(("w", 222),))
    assert owner.history[1].terms.after == 222  # type: ignore[union-attr]


def test_a_run_that_asks_too_much_ends_and_leaves_nothing() -> None:
    """At `max_steps` in a group: waits that were opened are not, or are closed."""
    waits = [WaitFor(f"w{n}", "a/b", timeout="1h") for n in range(5)]
    owner = Owner(sequence(All(*waits[:3]), All(*waits)), max_steps=6)
    for n in range(3):
        owner.decide(owner.event(f"w{n}"))
    assert isinstance(owner.end, EndFailed)
    assert owner.world.waits == {}


# -- cancelling ------------------------------------------------------------------------------------


def guarded(ctx: Context[Any]) -> Steps[None]:
    try:
        yield step("a")
    finally:
        yield step("free")


def test_a_cancel_is_a_record_and_stops_the_body_that_runs() -> None:
    """The mail is drained into `CancelAccepted`; clean-up begins after its commit."""
    owner = Owner(guarded)
    decision = owner.cancel("why")
    accepted = owner.history[-1]
    assert accepted == CancelAccepted(owner.at, "why", owner.at + CLEANUP_TIMEOUT)
    assert ([s.id for s in decision.abandoned], [s.id for s in decision.execute]) == (["a"], ["free"])
    assert owner.row.drained == 1
    owner.ok("free")
    assert owner.end == EndCancelled(owner.at, "why")
    assert owner.last.progress.stored == "cancelled"  # type: ignore[union-attr]


def test_outcome_then_cancel_then_end() -> None:
    """Both at once: the outcome is recorded, the cancel is, and the run ends cancelled."""
    owner = Owner(sequence(step("a")))
    owner.decide(BodyEnded("a", Returned(Json(b"1"))), owner.letter(CancelRequested("late")))
    assert owner.written() == ["Started", "StepSucceeded a", "CancelAccepted", "EndCancelled"]


def test_a_restart_that_meets_a_cancel_is_none() -> None:
    """No successor of a cancelled run."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield step("a")
        yield Restart({})

    owner = Owner(body)
    owner.decide(BodyEnded("a", Returned(Json(b"1"))), owner.letter(CancelRequested("late")))
    assert isinstance(owner.end, EndCancelled)
    assert owner.last.create == ()


def test_a_second_cancel_is_drained_and_not_recorded() -> None:
    """It is accounted for."""
    owner = Owner(guarded)
    owner.cancel("one")
    owner.cancel("two")
    assert owner.written().count("CancelAccepted") == 1
    assert owner.row.drained == 2


def test_clean_up_that_takes_too_long_is_closed() -> None:
    """A minute after the cancel the run ends, and the clean-up step is stopped."""
    owner = Owner(guarded)
    owner.cancel()
    decision = owner.pass_time()
    assert owner.written()[1:] == ["CancelAccepted", "CleanupExpired", "EndCancelled"]
    assert [s.id for s in decision.abandoned] == ["free"]


def test_a_clean_up_that_sleeps_is_looked_at_in_time() -> None:
    """The run is released up to the sooner of the sleep and the end of the clean-up."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield step("a")
        finally:
            yield Sleep("s", "1h")

    owner = Owner(body)
    owner.cancel()
    assert owner.last.progress.due_at == owner.at + CLEANUP_TIMEOUT  # type: ignore[union-attr]
    owner.pass_time()
    assert owner.ended


def test_a_cancelled_run_cancels_its_children_and_lets_go_of_all() -> None:
    """Waits, keys and children go in the commit of the cancel; a left child stays."""
    owner = Owner(
        sequence(
            All(
                WaitFor("w", "a/b", timeout="1h"),
                APPROVAL.options(id="g"),
                Invoke("c", "child"),
                Invoke("d", "child", on_cancel="leave"),
                Sleep("s", "1h"),
                step("a"),
            )
        )
    )
    left = owner.step("d").terms.child
    owner.world.children.pop(left)
    owner.cancel()
    assert isinstance(owner.end, EndCancelled)
    assert (owner.world.waits, owner.world.keys, owner.world.children) == ({}, {}, {})
    assert [m.run for m in owner.last.messages] != [left]


def test_swallowing_the_cancellation_is_no_way_out() -> None:
    """The body goes on for as long as clean-up may take, and ends cancelled."""

    def body(ctx: Context[Any]) -> Steps[str]:
        while True:
            try:
                yield step("a")
            except RunCancelled:
                continue

    owner = Owner(body)
    owner.cancel()
    owner.ok("a:1")
    assert owner.open == ["a:2"]
    owner.pass_time()
    assert isinstance(owner.end, EndCancelled)


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
