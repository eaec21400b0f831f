"""What a draft makes of signals: who waits for one, who sends one."""

from __future__ import annotations

from typing import Any

from flowgen import Race, SendSignal, Sleep
from flowgen.outcome import Json
from flowgen.runs import SignalArrived, SignalReplaced
from tests.drafts import APPROVAL, result, sequence, step
from tests.owner import Owner, World


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
