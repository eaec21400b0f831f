"""What a draft makes of runs that it invokes, and of events that it sends."""

from __future__ import annotations

from typing import Any

import pytest

from flowgen import Context, Event, Invoke, InvokeTimeout, Race, SendEvent, Sleep, Steps
from flowgen.history import InvokeTerms, SendTerms, StepFailed
from flowgen.outcome import Failure, Json
from flowgen.runs import CancelRequested, ChildCompleted, ChildFailed, Parent
from flowgen.values import decode
from tests.drafts import result, sequence, step
from tests.owner import Owner

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
