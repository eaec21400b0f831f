"""Everyone's decisions but the owner's: start, cancel, signal, deliver, retry, rerun, park, end without code."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec
import pytest

from flowgen import All, Context, Event, Invoke, Race, Run, Sleep, StepError, Steps, WaitFor, WaitForSignal
from flowgen.decisions import (
    Accepted,
    ClaimAtOnce,
    accept_events,
    cancel_run,
    deliver,
    rerun,
    retry_run,
    send_signal,
    start_run,
)
from flowgen.endings import cancel_run_without_code, fail_run, lose_worker, park
from flowgen.errors import InvalidInput, NondeterminismError, NotFound, WrongState
from flowgen.events import AcceptedEvent, accept_event
from flowgen.facts import Facts, Questions
from flowgen.flow_control import CancelOn, Concurrency, Policies, RateLimit, Singleton, Throttle, Timeouts
from flowgen.history import (
    CancelAccepted,
    EndCancelled,
    EndCompleted,
    EndFailed,
    InvokeTerms,
    Record,
    Requested,
    Retried,
    SignalTerms,
    Started,
    StepFailed,
    StepSucceeded,
)
from flowgen.ids import seed_of
from flowgen.interpreter import Interpreter
from flowgen.outcome import NULL, Failure, Json
from flowgen.routing import Route, RouteTable
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
from flowgen.transition import Key, TakeKey, Transition, Wait
from flowgen.workflow import Definition, TriggerDefinition
from tests.bodies import SECOND, START, act, replay
from tests.owner import Owner, check_history

TABLE = RouteTable(
    [
        Route("shop", Definition("fulfil", (TriggerDefinition("order/placed"),))),
        Route("shop", Definition("child")),
    ]
)
FULFIL = ("shop", "fulfil")


def decided(decision: Transition | Questions) -> Transition:
    """What was decided, when nothing had to be asked."""
    assert isinstance(decision, Transition)
    return decision


def step(name: str) -> Run[Any]:
    return Run(name, act)


def accepted(name: str = "order/placed", id: str = "01KE00000000000000000EVENT", **more: Any) -> AcceptedEvent:
    return attrs.evolve(accept_event(Event(name), id, START), **more)


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


# -- retry -----------------------------------------------------------------------------------------


def failed(body: Any, *inputs: Any, **options: Any) -> Owner:
    """A run that has failed: `inputs` are (verb, step) in turn."""
    owner = Owner(body, **options)
    for verb, name in inputs:
        if verb == "ok":
            owner.ok(name, {"of": name})
        elif verb == "fail":
            owner.fail(name, retriable=False)
        else:
            owner.pass_time()
    assert isinstance(owner.end, EndFailed), owner.written()
    owner.row.stored = "failed"
    return owner


def retried(owner: Owner) -> Retried:
    """What `retry` writes on it; the owner is then one who claimed the run again."""
    transition = decided(retry_run(owner.row, owner.history, Facts(TABLE), owner.at + SECOND))
    assert transition.progress is not None
    (record,) = transition.progress.records
    assert isinstance(record, Retried)
    assert (transition.progress.reopen, transition.progress.stored) == (True, "open")
    owner.history.append(record)
    owner.row = attrs.evolve(owner.row, stored="open", life=record.life, length=len(owner.history))
    owner.ended = False
    owner.reload()
    return record


def three(ctx: Context[Any]) -> Steps[Any]:
    a = yield step("a")
    b = yield step("b")
    return [a, b, (yield step("c"))]


def test_a_failed_step_is_retried_alone() -> None:
    """What succeeded before stays; the failing step is open again, from attempt 1; then the run goes on."""
    owner = Owner(three, retries=1)
    owner.ok("a", 1)
    owner.fail("b")
    owner.pass_time()
    owner.fail("b")
    owner.row.stored = "failed"
    record = retried(owner)
    assert (record.upto, record.life, record.steps) == (2, 1, ("b",))
    owner.decide()
    assert owner.executing == {"b": 1}
    owner.ok("b", 2)
    owner.ok("c", 3)
    assert isinstance(owner.end, EndCompleted)
    assert bytes(owner.end.result) == b"[1,2,3]"


def test_a_run_may_be_retried_again_and_again() -> None:
    """Each life takes back the end of the one before."""
    owner = failed(three, ("ok", "a"), ("fail", "b"))
    for life in (1, 2, 3):
        assert retried(owner).life == life
        owner.decide()
        owner.fail("b", retriable=False)
        owner.row.stored = "failed"
    retried(owner)
    owner.decide()
    owner.ok("b")
    owner.ok("c")
    assert isinstance(owner.end, EndCompleted)
    assert [step_ for step_ in owner.written() if step_ == "StepSucceeded a"] == ["StepSucceeded a"]


def test_a_body_that_raised_by_itself_is_retried_from_its_end() -> None:
    """Nothing but the terminal record is taken back: mended code goes on from there."""

    def raises(ctx: Context[Any]) -> Steps[None]:
        yield step("a")
        raise ValueError("bug")

    owner = failed(raises, ("ok", "a"))
    record = decided(retry_run(owner.row, owner.history, Facts(TABLE), START)).progress.records[0]  # type: ignore[union-attr]
    assert record == Retried(owner.at, 1, 1, ())
    owner.history.append(record)
    owner.row = attrs.evolve(owner.row, stored="open", life=1)
    owner.ended = False
    owner.deploy(three)
    owner.decide()
    assert list(owner.executing) == ["b"]


def test_waits_and_children_that_were_given_up_are_asked_for_anew() -> None:
    """In the next life they have other ids: the old child was cancelled, the old wait closed."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield All(
            Invoke("c", "child"),
            WaitFor("w", "a/b", timeout="1h"),
            WaitForSignal("g", "go", timeout="1h"),
            Sleep("s", "1h"),
            step("a"),
        )

    owner = Owner(body)
    first = {s.id: s.terms for s in owner.owned.interpreter.pending.values()}
    owner.fail("a", retriable=False)
    owner.row.stored = "failed"
    assert retried(owner).steps == ("a", "c", "g", "w")
    owner.decide()
    second = {s.id: s.terms for s in owner.owned.interpreter.pending.values()}
    assert second["s"] == first["s"]
    assert second["c"].child != first["c"].child
    assert second["w"].wait != first["w"].wait
    assert second["g"].wait != first["g"].wait


def test_the_loser_of_a_race_stays_lost() -> None:
    """What an earlier record decided is not asked for again."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Race(a=step("a"), w=WaitFor("w", "a/b", timeout="1h"))
        yield step("b")

    owner = failed(body, ("ok", "a"), ("fail", "b"))
    retried(owner)
    owner.decide()
    assert owner.open == ["b"]
    assert owner.world.waits == {}


def test_a_run_that_compensated_is_not_retried() -> None:
    """An outcome after the failure says that something was undone: refused, and `rerun` is named."""

    def body(ctx: Context[Any]) -> Steps[None]:
        try:
            yield step("charge")
        except StepError:
            yield step("refund")
            raise

    owner = failed(body, ("fail", "charge"), ("ok", "refund"))
    with pytest.raises(WrongState, match="after step 'charge' failed, 'refund' was recorded.*use rerun"):
        decided(retry_run(owner.row, owner.history, Facts(TABLE), START))


@pytest.mark.parametrize("stored", ["open", "completed", "cancelled", "skipped"])
def test_only_failed_and_parked_runs_are_retried(stored: Any) -> None:
    """The refusal names the state."""
    row = RunRow("shop", "r1", "fulfil", START, 7, stored=stored)
    with pytest.raises(WrongState, match="only a failed or parked run can be retried"):
        decided(retry_run(row, [Started(START, "")], Facts(TABLE), START))


def test_a_parked_run_is_tried_again_as_it_is() -> None:
    """No record: history is what it was, and any code may try."""
    row = RunRow("shop", "r1", "fulfil", START, 7, stored="parked", digest="code-1", fence=3, length=5, life=2)
    progress = decided(retry_run(row, [], Facts(TABLE), START + 1)).progress
    assert progress is not None
    assert (progress.records, progress.reopen, progress.due_at, progress.life) == ((), True, START + 1, 2)


def test_a_run_whose_worker_was_lost_is_retried_from_its_end() -> None:
    """The step that was open is executed again; waits that were closed are opened again."""
    owner = Owner(three)
    owner.ok("a", 1)
    lost = decided(lose_worker(owner.row, owner.events, owner.history, Facts(TABLE), owner.at)).progress
    assert lost is not None
    owner.history.extend(lost.records)
    owner.row.stored = "failed"
    record = retried(owner)
    assert (record.upto, record.steps) == (1, ())
    owner.decide()
    assert list(owner.executing) == ["b"]


def test_a_retried_run_takes_the_key_that_it_let_go_of() -> None:
    """In the commit that reopens it; what the key is like is asked first."""
    owner = failed(three, ("fail", "a"))
    owner.row.holds = ("single/fulfil/",)
    asked = retry_run(owner.row, owner.history, Facts(TABLE), START)
    assert isinstance(asked, Questions)
    assert asked.keys == {("shop", "single/fulfil/")}
    free = Facts(TABLE, keys={("shop", "single/fulfil/"): None})
    transition = decided(retry_run(owner.row, owner.history, free, START))
    assert transition.take == (TakeKey("shop", "single/fulfil/", owner.row.id, "[]"),)
    held = Facts(TABLE, keys={("shop", "single/fulfil/"): Key("single/fulfil/", "other")})
    with pytest.raises(WrongState, match="run other is open, and has its singleton key"):
        retry_run(owner.row, owner.history, held, START)


def test_a_retried_run_wants_its_slots() -> None:
    """It is blocked like any run until they are free."""
    owner = failed(three, ("fail", "a"))
    owner.row.slots = ("fulfil#0/",)
    progress = decided(retry_run(owner.row, owner.history, Facts(TABLE), START)).progress
    assert progress is not None
    assert progress.wants


# -- rerun -----------------------------------------------------------------------------------------


def test_a_rerun_starts_afresh_with_the_same_event_and_seed() -> None:
    """A new run with another id, that draws the same numbers."""
    owner = failed(three, ("ok", "a"), ("fail", "b"))
    (new,) = decided(rerun(owner.row, owner.events, owner.history, "r2", Facts(TABLE), START + 9)).create
    assert (new.row.id, new.row.seed, new.row.workflow, new.row.due_at) == ("r2", 7, owner.row.workflow, START + 9)
    assert (new.events, new.records, new.row.stored) == (owner.events, (), "open")


def test_a_rerun_from_a_step_keeps_the_outcomes_before_it() -> None:
    """They are copied without their fingerprints, so that other arguments do not park the run."""
    owner = failed(three, ("ok", "a"), ("ok", "b"), ("fail", "c"))
    (new,) = decided(rerun(owner.row, owner.events, owner.history, "r2", Facts(TABLE), START + 9, from_step="c")).create
    assert [type(r).__name__ for r in new.records] == ["Started", "StepSucceeded", "StepSucceeded"]
    assert {r.at for r in new.records} == {START + 9}
    assert all(r.digest == "" for r in new.records[1:])  # type: ignore[union-attr]
    assert (new.row.length, new.row.started_at) == (3, None), "whoever claims it first starts it"
    assert list(replay(three, new.records).pending) == ["c"]


def test_a_rerun_leaves_out_what_had_no_outcome() -> None:
    """A wait that was open, a race that was lost, attempts that failed: only what has an outcome is copied."""

    def body(ctx: Context[Any]) -> Steps[None]:
        yield Race(a=step("a"), s=Sleep("s", "1h"))
        yield All(Sleep("t", "1m"), step("b"))
        yield step("c")

    owner = Owner(body)
    owner.fail("a")
    owner.pass_time()
    owner.ok("a")
    owner.ok("b")
    owner.pass_time()
    owner.fail("c", retriable=False)
    (new,) = decided(rerun(owner.row, owner.events, owner.history, "r2", Facts(TABLE), START, from_step="c")).create
    check_history(list(new.records))
    assert [getattr(r, "step", "") for r in new.records] == ["", "a", "t", "b", "t"]
    assert list(replay(body, new.records).pending) == ["c"]
    (before,) = decided(rerun(owner.row, owner.events, owner.history, "r3", Facts(TABLE), START, from_step="t")).create
    assert [getattr(r, "step", "") for r in before.records] == ["", "a"]


def test_a_rerun_from_a_step_of_a_retried_run() -> None:
    """What `Retried` took back is not copied."""
    owner = failed(three, ("ok", "a"), ("fail", "b"))
    retried(owner)
    owner.decide()
    owner.ok("b", 2)
    (new,) = decided(rerun(owner.row, owner.events, owner.history, "r2", Facts(TABLE), START, from_step="b")).create
    assert [getattr(r, "step", "") for r in new.records] == ["", "a"]


def test_a_rerun_from_an_unknown_step_names_those_there_are() -> None:
    """The message lists the steps, each once."""
    owner = failed(three, ("ok", "a"), ("fail", "b"))
    with pytest.raises(InvalidInput, match="has no step 'z'; its steps are: 'a', 'b'$"):
        decided(rerun(owner.row, owner.events, owner.history, "r2", Facts(TABLE), START, from_step="z"))


def controlled(**policies: Any) -> Facts:
    """Facts about `fulfil` with this flow control, in an untouched store."""
    table = RouteTable([Route("shop", Definition("fulfil", policies=Policies(**policies)))])
    names = ["single/fulfil/", "throttle/fulfil/"]
    return Facts(table, dict.fromkeys([("shop", name) for name in names]), dict.fromkeys([("shop", n) for n in names]))


def rerun_of(facts: Facts, from_step: str | None = None) -> Transition | Questions:
    """A rerun of a run of `fulfil` that has completed step `a` and failed at `b`."""
    owner = failed(three, ("ok", "a"), ("fail", "b"))
    owner.row.workflow = "fulfil"
    return rerun(owner.row, owner.events, owner.history, "r2", facts, START, from_step)


def test_a_rerun_is_opened_but_not_routed() -> None:
    """Singleton, throttle, slots and timeouts have their say; rate limit, idempotency and debounce had it."""
    facts = controlled(
        singleton=Singleton(),
        throttle=Throttle(1, per="1m"),
        concurrency=(Concurrency(3),),
        timeouts=Timeouts(start="1h"),
        rate_limit=RateLimit(1, per="1h"),
        idempotency="event.name",
    )
    transition = decided(rerun_of(facts, "b"))
    (new,) = transition.create
    assert [take.name for take in transition.take] == ["single/fulfil/"]
    assert [cell.name for cell in transition.cells] == ["throttle/fulfil/"]
    assert (new.row.slots, new.row.wants, new.row.holds) == (("fulfil#0/",), True, ("single/fulfil/",))
    assert (new.row.deadline, new.row.seed, len(new.records)) == (START + 3_600 * SECOND, 7, 2)


def test_a_rerun_is_skipped_while_another_run_is_the_single_one() -> None:
    """It is there, says why, and has neither history nor keys."""
    facts = controlled(singleton=Singleton())
    facts.keys["shop", "single/fulfil/"] = Key("single/fulfil/", "other")
    transition = decided(rerun_of(facts, "b"))
    (new,) = transition.create
    assert (new.row.stored, new.row.reason) == ("skipped", "run other is open (singleton)")
    assert (new.records, new.row.length, transition.take) == ((), 0, ())


def test_the_cancel_on_of_a_rerun_looks_at_events_from_now_on() -> None:
    """The event that cancelled the first run is before that."""
    facts = controlled(cancel_on=(CancelOn("stop"),))
    asked = rerun_of(facts)
    assert isinstance(asked, Questions)
    assert asked.positions == {None}
    facts.positions[None] = 41
    (wait,) = decided(rerun_of(facts)).open_waits
    assert (wait.event, wait.step, wait.after, wait.run) == ("stop", "", 41, "r2")


def test_a_run_that_collects_cannot_be_rerun() -> None:
    """It has no events yet."""
    row = RunRow("shop", "r1", "fulfil", START, 7, stored="collecting")
    with pytest.raises(WrongState, match="has no events yet: it is collecting"):
        rerun(row, (), [], "r2", Facts(TABLE), START)


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


def test_retry_and_its_history_agree_with_the_interpreter() -> None:
    """Whatever step of three fails, its retried history replays to that step alone."""
    for number, name in enumerate("abc"):
        owner = failed(three, *(("ok", before) for before in "abc"[:number]), ("fail", name))
        retried(owner)
        interpreter: Interpreter = owner.owned.interpreter
        assert list(interpreter.pending) == [name]
        assert [type(r) for r in owner.history if isinstance(r, StepSucceeded | StepFailed)].count(StepFailed) == 1


def test_terms_tell_what_a_run_holds_without_its_code() -> None:
    """The requests without an outcome."""
    from flowgen.history import open_requests

    owner = holding()
    requests = open_requests(owner.history)
    assert {step: type(r.terms) for step, r in requests.items()}["c"] is InvokeTerms
    assert isinstance(requests["g"], Requested)
    assert isinstance(requests["g"].terms, SignalTerms)
    assert Json(b"null") == NULL
