"""Everyone's decisions but the owner's: start, cancel, signal, deliver, park, end without code."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest

from flowgen import All, Context, Invoke, Steps, WaitFor, WaitForSignal
from flowgen.decisions import Accepted, ClaimAtOnce, accept_events, cancel_run, deliver, send_signal, start_run
from flowgen.endings import cancel_run_without_code, fail_run, lose_worker, park
from flowgen.errors import NondeterminismError, NotFound
from flowgen.facts import Facts, Questions
from flowgen.history import (
    CancelAccepted,
    EndCancelled,
    EndFailed,
    InvokeTerms,
    Record,
    Requested,
    SignalTerms,
    Started,
    open_requests,
)
from flowgen.ids import seed_of
from flowgen.outcome import NULL, Failure, Json
from flowgen.runs import (
    MAX_STRIKES,
    CancelRequested,
    ChildFailed,
    EventMatched,
    Mail,
    Message,
    Parent,
    RunRow,
    SignalArrived,
)
from flowgen.signals import Waiter
from flowgen.transition import Key, Wait
from tests.bodies import SECOND, START
from tests.deciding import FULFIL, TABLE, accepted, decided, step, three
from tests.owner import Owner, check_history

# -- starting --------------------------------------------------------------------------------------


def test_accepting_events_creates_the_runs_that_they_start() -> None:
    """One commit: the events, and their runs, due at once, seeded from their own ids."""
    answer = accept_events([accepted()], Facts(TABLE), START)
    assert isinstance(answer, Accepted)
    assert answer.transition is not None
    (new,) = answer.transition.create
    assert (new.row.workflow, new.row.due_at, new.row.seed) == ("fulfil", START, seed_of(new.row.id))
    assert answer.ids == (accepted().id,)
    assert answer.transition.id == accepted().id


def test_nothing_new_is_nothing_to_commit() -> None:
    """A batch of repeats has ids, and no transition."""
    event = accepted(key="k", digest="d")
    facts = Facts(TABLE)
    assert isinstance(accept_events([event], facts, START), Questions)
    facts.keys["", "event/k"] = Key("event/k", "first", "d", START + SECOND)
    assert accept_events([event], facts, START) == Accepted(("first",), None)


def test_a_worker_with_room_takes_runs_in_the_commit_that_creates_them() -> None:
    """Claimed, with their first record, under the first fence; the rest are left for anybody."""
    claim = ClaimAtOnce("w1", {FULFIL: "code-1"}, lease=10 * SECOND, room=1)
    events = [accepted(id=f"01KE0000000000000000EVENT{n}") for n in range(2)]
    answer = accept_events(events, Facts(TABLE), START, claim)
    assert isinstance(answer, Accepted)
    assert answer.transition is not None
    taken, left = answer.transition.create
    assert (taken.row.owner, taken.row.fence, taken.row.length, taken.lease) == ("w1", 1, 1, 10 * SECOND)
    assert (taken.row.started_at, taken.row.due_at) == (START, START + 10 * SECOND)
    assert taken.records == (Started(START, "code-1"),)
    assert (left.row.owner, left.records) == (None, ())
    assert claim.claimed == [taken]


def test_a_worker_does_not_take_what_it_does_not_offer() -> None:
    """Code is needed to drive a run."""
    claim = ClaimAtOnce("w1", {("shop", "other"): "code-1"}, lease=1, room=9)
    answer = accept_events([accepted()], Facts(TABLE), START, claim)
    assert isinstance(answer, Accepted)
    assert answer.transition is not None
    assert (answer.transition.create[0].row.owner, claim.claimed) == (None, [])


def test_starting_a_run_directly() -> None:
    """Its event is the engine's own, with the data given."""
    started = start_run("shop", "child", "r1", Json(b'{"n":1}'), Facts(TABLE), START, "q1")
    assert isinstance(started, tuple)
    run, transition = started
    assert run == "r1"
    (new,) = transition.create
    assert (transition.id, new.row.id, new.row.parent) == ("q1", "r1", None)
    assert (new.events[0].name, bytes(new.events[0].data)) == ("flowgen/run.invoked", b'{"n":1}')
    with pytest.raises(NotFound, match="no workflow 'nobody' is registered in app 'shop'"):
        start_run("shop", "nobody", "r1", Json(b"{}"), Facts(TABLE), START, "q1")


# -- telling runs something -------------------------------------------------------------------------


def test_a_cancel_needs_an_open_run() -> None:
    """It is a message that is refused when the run has ended; the request's id makes it one message."""
    (message,) = cancel_run("shop", "r1", "why", "q1").messages
    assert (message.run, message.body, message.must_be_open) == ("r1", CancelRequested("why"), True)
    assert cancel_run("shop", "r1", "why", "q1") == cancel_run("shop", "r1", "why", "q1")
    assert cancel_run("shop", "r1", "why", "q2").messages[0].id != message.id


def test_a_signal_goes_to_its_waiter_and_is_marked() -> None:
    """Its key is written under the version that was seen, so that it is given once."""
    detail = msgspec.json.encode(Waiter("r1", "w", "wait-1")).decode()
    held = Key("signal/approve", "wait-1", detail, None, 4)
    transition = send_signal("shop", "approve", Json(b"7"), held, "q1")
    (message,) = transition.messages
    assert (message.run, message.body) == ("r1", SignalArrived("wait-1", "w", Json(b"7")))
    (take,) = transition.take
    assert (take.holder, take.version) == ("wait-1", 4)
    marked = attrs.evolve(held, detail=take.detail, version=5)
    with pytest.raises(NotFound, match="nobody waits for signal 'approve'"):
        send_signal("shop", "approve", Json(b"8"), marked, "q2")
    with pytest.raises(NotFound):
        send_signal("shop", "approve", Json(b"8"), None, "q2")


def wait(id: str, where: str | None = None, scope: bytes | None = None) -> Wait:
    made = None if scope is None else Json(scope)
    return Wait(id, "shop", f"run of {id}", "w", "order/paid", 0, START, where=where, scope=made)


def test_an_event_is_delivered_to_the_waits_that_it_matches() -> None:
    """By name and match value the store has found them; `where` is decided here. The last page marks it routed."""
    event = accepted("order/paid", data=Json(b'{"total":7}'))
    waits = [
        wait("a"),
        wait("b", "async.data.total > event.data.limit", b'{"data":{"limit":5}}'),
        wait("c", "async.data.total > event.data.limit", b'{"data":{"limit":9}}'),
        wait("d", "async.data.nothing > 1"),
    ]
    transition = deliver(event, waits, page=3, last=True)
    assert transition is not None
    assert [message.body for message in transition.messages] == [EventMatched(w.id, "w", event) for w in waits[:2]]
    assert (transition.routed, transition.id) == ((event.id,), f"{event.id}/deliver/3")
    assert not any(message.must_be_open for message in transition.messages)


def test_finding_a_wait_twice_is_one_message() -> None:
    """Its id is derived from wait and event."""
    event = accepted("order/paid")
    once, twice = deliver(event, [wait("a")], 0, True), deliver(event, [wait("a")], 7, False)
    assert once is not None
    assert twice is not None
    assert once.messages == twice.messages
    other = deliver(accepted("order/paid", "01KE00000000000000000EVEN2"), [wait("a")], 0, True)
    assert other is not None
    assert other.messages[0].id != once.messages[0].id


def test_an_event_cancels_like_anybody() -> None:
    """A wait of a `cancel_on` gets a request to cancel, unless its time was over when the event came, by its `ts`."""
    event = accepted("order/paid")
    cancelling = attrs.evolve(wait("a"), step="", expires_at=max(event.accepted_at, event.ts))
    (message,) = deliver(event, [cancelling], 0, True).messages  # type: ignore[union-attr]
    assert isinstance(message.body, CancelRequested)
    assert event.id in message.body.reason
    for late in (
        attrs.evolve(event, accepted_at=cancelling.expires_at + 1),
        attrs.evolve(event, ts=cancelling.expires_at + 1),
    ):
        assert deliver(late, [cancelling], 0, False) is None


def test_a_page_without_matches_is_written_only_if_it_is_the_last() -> None:
    """There is nothing to write for it."""
    event = accepted("order/paid")
    assert deliver(event, [wait("a", "async.data.x")], 0, last=False) is None
    last = deliver(event, [], 1, last=True)
    assert last is not None
    assert last.routed == (event.id,)


# -- owners that do not drive the code ---------------------------------------------------------------


def test_parking_gives_the_run_back_with_the_reason_and_the_digest() -> None:
    """Nothing is recorded."""
    row = RunRow("shop", "r1", "fulfil", START, 7, fence=3, length=5, drained=2, life=1)
    progress = park(row, NondeterminismError("a", "x", "y"), "code-2").progress
    assert progress is not None
    assert (progress.stored, progress.digest, progress.records, progress.release) == ("parked", "code-2", (), True)
    assert "code and history disagree at step 'a'" in str(progress.reason)
    assert (progress.drained, progress.life, progress.position) == (2, 1, 5)


PARENT = Parent("shop", "p1", "c", "known-as")


def holding(**options: Any) -> Owner:
    """A run that holds a child, a child to be left, a wait and a signal's name."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(
            Invoke("c", "child"),
            Invoke("d", "child", on_cancel="leave"),
            WaitFor("w", "a/b", timeout="1h"),
            WaitForSignal("g", "go", timeout="1h"),
        )

    return Owner(body, parent=PARENT, **options)


def test_a_run_that_killed_its_workers_fails_alone() -> None:
    """What it holds is let go of, its parent is told, and the message says what happened."""
    owner = holding()
    owner.row.strikes = MAX_STRIKES
    transition = decided(lose_worker(owner.row, owner.events, owner.history, Facts(TABLE), owner.at))
    progress = transition.progress
    assert progress is not None
    (end,) = progress.records
    assert isinstance(end, EndFailed)
    assert (end.failure.type, progress.stored) == ("WorkerLost", "failed")
    assert f"died {MAX_STRIKES} times" in end.failure.message
    child = owner.step("c").terms.child
    told, cancelled = sorted(transition.messages, key=lambda m: m.run != "p1")
    assert isinstance(told.body, ChildFailed)
    assert (told.run, told.body.child, told.body.step) == ("p1", "known-as", "c")
    assert (cancelled.run, type(cancelled.body)) == (child, CancelRequested)
    assert [drop.name for drop in transition.drop] == ["signal/go"]


def test_a_cancelled_run_that_nobody_can_drive_ends_and_says_so() -> None:
    """Its mail is drained, the reason kept, and the terminal record says that no clean-up ran."""
    owner = holding()
    mail = [Mail(4, Message("m", "shop", owner.row.id, CancelRequested("why")))]
    transition = decided(
        cancel_run_without_code(owner.row, owner.events, owner.history, mail, Facts(TABLE), owner.at + SECOND)
    )
    progress = transition.progress
    assert progress is not None
    assert progress.records == (
        CancelAccepted(owner.at + SECOND, "why", owner.at + SECOND),
        EndCancelled(owner.at + SECOND, "why", cleaned_up=False),
    )
    assert (progress.stored, progress.reason, progress.drained) == ("cancelled", "why", 4)
    assert len(transition.messages) == 2
    assert len(transition.drop) == 1


def test_a_run_that_was_being_cancelled_keeps_its_reason() -> None:
    """The cancel was drained before the code went missing: it is recorded once, and its reason stays."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield step("a")
        finally:
            yield step("free")

    owner = Owner(body)
    owner.cancel("the first")
    progress = decided(
        cancel_run_without_code(owner.row, owner.events, owner.history, [], Facts(TABLE), owner.at)
    ).progress
    assert progress is not None
    assert progress.records == (EndCancelled(owner.at, "the first", cleaned_up=False),)


def test_a_run_without_history_begins_before_it_ends() -> None:
    """Its terminal record has a `Started` before it. One that was cancelled first is not marked as started."""
    row = RunRow("shop", "r1", "fulfil", START, 7, fence=1)
    mail = [Mail(1, Message("m", "shop", "r1", CancelRequested("why")))]
    for transition in (
        decided(cancel_run_without_code(row, (), [], mail, Facts(TABLE), START)),
        decided(fail_run(row, (), [], Failure("UndecodableError", "no"), Facts(TABLE), START)),
        decided(lose_worker(row, (), [], Facts(TABLE), START)),
    ):
        progress = transition.progress
        assert progress is not None
        history: list[Record] = list(progress.records)
        check_history(history)
        assert progress.started_at == (None if progress.stored == "cancelled" else START)


def test_the_time_of_an_end_is_not_before_its_history() -> None:
    """The store's time may be behind the last record's."""
    owner = Owner(three)
    owner.at = START
    for transition in (
        decided(lose_worker(owner.row, owner.events, owner.history, Facts(TABLE), 5)),
        decided(fail_run(owner.row, owner.events, owner.history, Failure("E", ""), Facts(TABLE), 5)),
    ):
        assert transition.progress is not None
        check_history([*owner.history, *transition.progress.records])


def test_an_event_that_does_not_fit_fails_the_run() -> None:
    """With the failure as it came."""
    row = RunRow("shop", "r1", "fulfil", START, 7, fence=1)
    failure = Failure("UndecodableError", "it is no Order")
    progress = decided(fail_run(row, (), [Started(START, "x")], failure, Facts(TABLE), START)).progress
    assert progress is not None
    assert progress.records == (EndFailed(START, failure),)
    assert progress.reason == "UndecodableError: it is no Order"


def test_terms_tell_what_a_run_holds_without_its_code() -> None:
    """The requests without an outcome."""
    owner = holding()
    requests = open_requests(owner.history)
    assert {step: type(r.terms) for step, r in requests.items()}["c"] is InvokeTerms
    assert isinstance(requests["g"], Requested)
    assert isinstance(requests["g"].terms, SignalTerms)
    assert Json(b"null") == NULL
