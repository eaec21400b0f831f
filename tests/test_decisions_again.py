"""The decisions to retry a run and to run it again."""

from __future__ import annotations

from typing import Any

import attrs
import pytest

from flowgen import All, Context, Invoke, Race, Sleep, StepError, Steps, WaitFor, WaitForSignal
from flowgen.decisions import rerun, retry_run
from flowgen.endings import lose_worker
from flowgen.errors import InvalidInput, WrongState
from flowgen.facts import Facts, Questions
from flowgen.flow_control import CancelOn, Concurrency, Policies, RateLimit, Singleton, Throttle, Timeouts
from flowgen.history import EndCompleted, EndFailed, Retried, Started, StepFailed, StepSucceeded
from flowgen.interpreter import Interpreter
from flowgen.routing import Route, RouteTable
from flowgen.runs import RunRow
from flowgen.transition import Key, TakeKey, Transition
from flowgen.workflow import Definition
from tests.bodies import SECOND, START, replay
from tests.deciding import TABLE, decided, step, three
from tests.owner import Owner, check_history

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


def test_retry_and_its_history_agree_with_the_interpreter() -> None:
    """Whatever step of three fails, its retried history replays to that step alone."""
    for number, name in enumerate("abc"):
        owner = failed(three, *(("ok", before) for before in "abc"[:number]), ("fail", name))
        retried(owner)
        interpreter: Interpreter = owner.owned.interpreter
        assert list(interpreter.pending) == [name]
        assert [type(r) for r in owner.history if isinstance(r, StepSucceeded | StepFailed)].count(StepFailed) == 1
