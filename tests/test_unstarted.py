"""What the owner of a run does that has not started."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgen import Event
from flowgen.admission import NEVER
from flowgen.collecting import Collection
from flowgen.events import AcceptedEvent, accept_event
from flowgen.facts import Facts, Questions
from flowgen.flow_control import Batch, CancelOn, Concurrency, Debounce, Policies, Singleton, Throttle, Timeouts
from flowgen.history import EndCancelled, Started
from flowgen.routing import Route, RouteTable
from flowgen.runs import Body, CancelRequested, ChildFailed, EventCollected, Freed, Mail, Message, Parent, RunRow
from flowgen.transition import DropKey, Key, Progress, Transition
from flowgen.unstarted import Begin, at_once, before_start
from flowgen.workflow import Definition
from tests.bodies import SECOND, START

NOW = START + 100 * SECOND
NAME = "collect/work/"


def event(number: int, **data: Any) -> AcceptedEvent:
    """An event at its position."""
    return accept_event(Event("go", {"n": number, **data}), f"event{number}", START).placed(number)


def row(**more: Any) -> RunRow:
    """A run that is owned and has not started."""
    return RunRow("shop", "run1", "work", START, 7, owner="w1", fence=3, **more)


def mail(*bodies: Body) -> list[Mail]:
    """Its mailbox."""
    return [Mail(n, Message(f"m{n}", "shop", "run1", body)) for n, body in enumerate(bodies, 1)]


def decided(row: RunRow, box: list[Mail] | None = None, **more: Any) -> Begin | Transition:
    """The decision about an open run, whose event is the seventh."""
    answer = before_start(row, (event(7),), box or [], Facts(RouteTable()), NOW, **more)
    assert not isinstance(answer, Questions)
    return answer


def written(answer: Any) -> Transition:
    """A decision that is a transition on this run, and gives it back."""
    assert isinstance(answer, Transition), answer
    assert answer.progress is not None
    assert (answer.progress.fence, answer.progress.release) == (3, True)
    return answer


# -- open ------------------------------------------------------------------------------------------


def test_a_run_with_nothing_in_its_way_begins() -> None:
    """No start to wait for, or one that has come."""
    assert decided(row()) == Begin()
    assert decided(row(start_at=NOW)) == Begin()


def test_before_its_turn_it_goes_back() -> None:
    """With its mail read, until its start or its latest start; its generator is not made."""
    progress = written(decided(row(start_at=NOW + 9, deadline=NOW + 5), mail(Freed()))).progress
    assert progress is not None
    assert (progress.due_at, progress.drained, progress.records, progress.reason) == (NOW + 5, 1, (), "throttled")
    assert progress.stored == "open"


def test_a_run_that_took_a_place_waits_until_it_is_free() -> None:
    """Then it begins, or waits for its turn."""
    progress = written(decided(row(start_at=NEVER))).progress
    assert progress is not None
    assert (progress.due_at, progress.opening) == (NEVER, None)
    assert decided(row(start_at=NEVER), mail(Freed())) == Begin()
    progress = written(decided(row(start_at=NEVER + NOW + 9), mail(Freed()))).progress
    assert progress is not None
    assert progress.opening is not None
    assert (progress.due_at, progress.opening.start_at) == (NOW + 9, NOW + 9)


def test_without_its_slots_it_does_not_begin() -> None:
    """It goes back, wants them, and is due at its latest start; that it is free to start is kept."""
    progress = written(
        decided(row(start_at=NEVER, slots=("a",), deadline=NOW + 5), mail(Freed()), slotless=True)
    ).progress
    assert progress is not None
    assert (progress.wants, progress.due_at, progress.reason) == (True, NOW + 5, None)
    assert progress.opening is not None
    assert (progress.opening.start_at, progress.opening.slots) == (None, ("a",))


def test_it_is_cancelled_without_its_code() -> None:
    """Because somebody asked, an event came, or its latest start has passed; whatever else is in its way."""
    for answer, why in (
        (decided(row(start_at=NEVER), mail(CancelRequested("stop"))), "stop"),
        (decided(row(), cancelled="an event came"), "an event came"),
        (decided(row(deadline=NOW, slots=("a",)), slotless=True), "it did not start in time (timeouts)"),
    ):
        progress = written(answer).progress
        assert progress is not None
        assert (progress.stored, progress.reason) == ("cancelled", why)
        assert progress.records[-1] == EndCancelled(NOW, why, cleaned_up=False)
    assert decided(row(deadline=NOW + 1)) == Begin()


# -- collecting ------------------------------------------------------------------------------------


def held(count: int, due_at: int = NOW, holder: str = "run1") -> Key:
    """The key of the collecting run, in its fifth version."""
    detail = msgspec.json.encode(Collection(START, due_at, count, 10)).decode()
    return Key(NAME, holder, detail, None, 5)


def closed(box: list[Mail], key: Key | None, **policies: Any) -> Transition | Questions | Begin:
    """The decision about a run that collects."""
    facts = Facts(RouteTable([Route("shop", Definition("work", policies=Policies(**policies)))]))
    facts.keys["shop", NAME] = key
    facts.keys["shop", "single/work/"] = Key("single/work/", "other", "[]")
    facts.cells["shop", "throttle/work/"] = None
    return before_start(row(stored="collecting", holds=(NAME,)), (), box, facts, NOW)


def test_who_has_the_key_is_asked_first() -> None:
    """Nothing is closed on a guess."""
    facts = Facts(RouteTable())
    answer = before_start(row(stored="collecting", holds=(NAME,)), (), [], facts, NOW)
    assert isinstance(answer, Questions)
    assert answer.keys == {("shop", NAME)}


def test_a_key_that_fails_at_the_close_is_counted() -> None:
    """It skips the run, as it would have at acceptance: the policies may be newer than the events."""
    policies = Policies(debounce=Debounce("1m"), throttle=Throttle(1, "1m", key="event.data.absent + 1"))
    table = RouteTable([Route("shop", Definition("work", policies=policies))])
    facts = Facts(table, keys={("shop", NAME): held(1)})
    run = row(stored="collecting", holds=(NAME,))
    progress = written(before_start(run, (), mail(EventCollected(event(1))), facts, NOW)).progress
    assert progress is not None
    assert progress.stored == "skipped"
    assert "a key could not be worked out" in str(progress.reason)
    assert dict(table.errors) == {"shop/work": 1}


def test_a_throttle_whose_key_fails_holds_no_missed_start_up() -> None:
    """The run begins, and the error is counted: it was let in under an older key."""
    policies = Policies(throttle=Throttle(1, "1m", key="event.data.absent + 1"))
    table = RouteTable([Route("shop", Definition("work", policies=policies))])
    assert before_start(row(start_at=START), (event(7),), [], Facts(table), NOW) == Begin()
    assert dict(table.errors) == {"shop/work": 1}


def test_a_batch_opens_with_all_its_events_in_their_order() -> None:
    """Whatever the order of the messages; its key is taken away in the same commit, under the version that was seen."""
    box = mail(*[EventCollected(event(n)) for n in (3, 1, 2)])
    transition = written(closed(box, held(3), batch=Batch(9, wait="1m")))
    progress = transition.progress
    assert progress is not None
    assert progress.opening is not None
    assert progress.opening.events == (event(1), event(2), event(3))
    assert (progress.stored, progress.drained, progress.due_at) == ("open", 3, NOW)
    assert transition.drop == (DropKey("shop", NAME, "run1", 5),)


def test_a_debounce_opens_with_its_last_event() -> None:
    """And answers all who invoked it."""
    callers = [Parent("shop", f"p{n}", "step", f"c{n}") for n in range(3)]
    box = mail(*[EventCollected(event(n), callers[n]) for n in (2, 0, 1)])
    progress = written(closed(box, held(3), debounce=Debounce("1m"))).progress
    assert progress is not None
    assert progress.opening is not None
    assert progress.opening.events == (event(2),)
    assert sorted(caller.run for caller in progress.opening.callers) == ["p0", "p1", "p2"]


def test_a_run_whose_time_was_put_off_collects_on() -> None:
    """An event came between its being due and its claim; the key's version says that no other has since."""
    transition = written(closed(mail(EventCollected(event(1))), held(1, NOW + 5), debounce=Debounce("1m")))
    assert transition.progress is not None
    assert (transition.progress.stored, transition.progress.due_at, transition.progress.drained) == (
        "collecting",
        NOW + 5,
        0,
    )
    (take,) = transition.take
    assert (take.holder, take.detail, take.version) == ("run1", held(1, NOW + 5).detail, 5)


def test_a_full_batch_has_lost_its_key_already() -> None:
    """The next one's key is left alone."""
    box = mail(EventCollected(event(1)), EventCollected(event(2)), Freed())
    transition = written(closed(box, held(1, NOW + 60, "run2"), batch=Batch(2, wait="1m")))
    assert transition.progress is not None
    assert transition.progress.opening is not None
    assert len(transition.progress.opening.events) == 2
    assert all(drop.holder == "run1" for drop in transition.drop)


def test_what_comes_at_the_opening_applies_now() -> None:
    """Slots are wanted, and the throttle gives a turn: nothing of it was decided while it collected."""
    box = mail(EventCollected(event(1)))
    transition = written(
        closed(box, held(1), debounce=Debounce("1m"), concurrency=(Concurrency(1),), throttle=Throttle(1, per="1h"))
    )
    assert transition.progress is not None
    assert transition.progress.opening is not None
    assert (transition.progress.opening.slots, transition.progress.wants) == (("work#0/",), True)
    (cell,) = transition.cells
    assert cell.name == "throttle/work/"


def test_a_run_that_is_not_let_open_is_skipped_and_its_callers_told() -> None:
    """By a singleton whose run is open."""
    box = mail(EventCollected(event(1), Parent("shop", "p1", "step", "c1")))
    transition = written(closed(box, held(1), debounce=Debounce("1m"), singleton=Singleton()))
    assert transition.progress is not None
    assert (transition.progress.stored, transition.progress.reason) == ("skipped", "run other is open (singleton)")
    (message,) = transition.messages
    assert (message.run, type(message.body)) == ("p1", ChildFailed)
    assert transition.drop[0].name == NAME


# -- at once, in the commit that claims it ---------------------------------------------------------


def new(**more: Any) -> RunRow:
    """A run that has been claimed for the first time."""
    return RunRow("shop", "run1", "work", START, 7, **{"owner": "w1", "fence": 1, **more})


def test_a_run_that_was_just_claimed_begins_at_once() -> None:
    """It starts now, by a transition that changes nothing else."""
    began = at_once(new(deadline=NOW + 1), Policies(timeouts=Timeouts(start="1h")), "code-1", NOW)
    assert began is not None
    assert began.lone
    started = (Started(NOW, "code-1"),)
    assert began.progress == Progress("shop", "run1", 1, 0, started, 0, False, started_at=NOW)


@pytest.mark.parametrize(
    ("changes", "begins"),
    [
        ({"start_at": NOW - 4 * SECOND}, True),
        ({"start_at": NOW}, True),
        ({"start_at": NOW + 1}, False),
        ({"start_at": NEVER}, False),
        ({"start_at": NOW - 6 * SECOND}, False),
        ({"deadline": NOW + 1}, True),
        ({"deadline": NOW}, False),
        ({"fence": 2}, False),
        ({"length": 3}, False),
        ({"mail": 1}, False),
        ({"stored": "collecting"}, False),
    ],
)
def test_one_in_whose_way_there_may_be_something_does_not(changes: dict[str, Any], begins: bool) -> None:
    """Its time has not come, or is long past; it is not its first claim; there is something to read."""
    assert (at_once(new(**changes), Policies(), "code-1", NOW) is not None) == begins


@pytest.mark.parametrize("policies", [{"cancel_on": (CancelOn("stop"),)}, {"timeouts": Timeouts(finish="10s")}])
def test_one_that_may_be_cancelled_already_or_has_limited_time_does_not(policies: dict[str, Any]) -> None:
    """An event may have come before its waits were opened; its time does not run before its worker comes to it."""
    assert at_once(new(), Policies(**policies), "code-1", NOW) is None


ROWS = st.builds(
    new,
    stored=st.sampled_from(["open", "open", "open", "parked", "collecting", "schedule"]),
    fence=st.sampled_from([1, 1, 1, 2]),
    length=st.sampled_from([0, 0, 0, 3]),
    mail=st.sampled_from([0, 0, 0, 1]),
    start_at=st.sampled_from([None, NOW - 6 * SECOND, NOW - 4 * SECOND, NOW, NOW + 1, NEVER]),
    deadline=st.sampled_from([None, NOW - 1, NOW, NOW + 1]),
)


LIMITED = Policies(timeouts=Timeouts(finish="10s"))


@settings(max_examples=300)
@given(ROWS, st.sampled_from([Policies(), Policies(cancel_on=(CancelOn("stop"),)), LIMITED]))
def test_what_begins_at_once_would_begin_anyway(row: RunRow, policies: Policies) -> None:
    """Only runs begin so of which nothing has to be read and whose time is not limited; and of these all whose owner
    would say the same."""
    began = at_once(row, policies, "code-1", NOW)
    plain = row.stored == "open" and (row.fence, row.length, row.mail) == (1, 0, 0) and policies == Policies()
    said = before_start(row, (event(7),), (), Facts(RouteTable()), NOW) if row.stored == "open" else None
    missed = row.start_at is not None and row.start_at < NOW - 5 * SECOND
    assert (began is not None) == (plain and said == Begin() and not missed)
