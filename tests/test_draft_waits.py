"""What a draft makes of waits for events: they are opened, look back, match and time out."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from flowgen import All, Context, Race, Sleep, Steps, WaitFor, event_type
from flowgen.duration import moment
from flowgen.history import StepSucceeded, WaitTerms
from flowgen.owned import LookedBack, TimePassed
from flowgen.values import decode
from tests.bodies import SECOND, START
from tests.drafts import result, sequence, step
from tests.owner import Owner


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


def test_what_is_due_by_an_estimate_only_is_not_due_yet() -> None:
    """The draft's time may be ahead of the store's, or behind it: nothing is over early, nor is it recorded so."""

    def workflow(ctx: Context[Any]) -> Steps[Any]:
        return (yield All(Sleep("first", "1s"), Sleep("second", "2s")))

    owner = Owner(workflow)
    due = owner.owned.interpreter.next_deadline()
    assert due is not None
    owner.decide(TimePassed(due), at=due + 2 * SECOND)
    assert [record.step for record in owner.history if isinstance(record, StepSucceeded)] == ["first"]
    owner = Owner(workflow)
    owner.decide(TimePassed(due + SECOND), at=due)
    over = [(record.step, record.at) for record in owner.history if isinstance(record, StepSucceeded)]
    assert over == [("first", due + SECOND), ("second", due + SECOND)]
