"""What a draft makes of ends: a body that returns, raises or restarts, and a run that is cancelled."""

from __future__ import annotations

from typing import Any

from flowgen import All, Context, Invoke, Restart, RunCancelled, Sleep, Steps, WaitFor
from flowgen.fibers import CLEANUP_TIMEOUT
from flowgen.history import CancelAccepted, EndCancelled, EndCompleted, EndFailed
from flowgen.outcome import Json, Returned
from flowgen.owned import BodyEnded
from flowgen.runs import CancelRequested, Parent
from flowgen.values import decode
from tests.drafts import APPROVAL, sequence, step
from tests.owner import Owner

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
