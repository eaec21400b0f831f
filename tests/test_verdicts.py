"""What becomes of a recorded run on today's code: same, safe, or where it breaks, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from flowgen import All, App, Context, Event, Restart, Run, RunCancelled, Sleep, Steps, WaitFor
from flowgen.codec import Exported, import_lines
from flowgen.events import AcceptedEvent, accept_event
from flowgen.history import EndCancelled, EndCompleted, EndFailed, Record, Retried
from flowgen.outcome import Failure, Json
from flowgen.runs import RunRow
from flowgen.verdicts import Breaks, Safe, Same, Verdict, damaged, judge
from flowgen.workflow import Workflow
from tests.bodies import START, Fed, act, workflow_of
from tests.histories.workflows import app

Body = Callable[[Context[Any]], Steps[Any]]
GOLDEN = Path(__file__).parent / "histories" / "runs"
EVENT = accept_event(Event("order/placed", {}), "event-1", START)


def v1(ctx: Context[Any]) -> Steps[Any]:
    first = yield Run("a", act, 1)
    yield Sleep("s", "1h")
    yield Run("b", act)
    return first


def at_a() -> Fed:
    return Fed(v1)


def at_sleep() -> Fed:
    return at_a().ok("a", 7).request("s")


def at_b() -> Fed:
    return at_sleep().ok("s")


def run_of(records: Sequence[Record], events: tuple[AcceptedEvent, ...] = (EVENT,), **row: Any) -> Exported:
    fields: dict[str, Any] = {
        "started_at": START if records else None,
        "due_at": START,
        "length": len(records),
        **row,
    }
    return Exported(RunRow("shop", "run-1", "v1", START, 7, **fields), events, tuple(records))


def verdict(body: Body | None, fed: Fed | Sequence[Record], changes: str = "strict", **row: Any) -> Verdict:
    workflow = None if body is None else workflow_of(body, changes=changes)
    return judge(workflow, run_of(fed.history if isinstance(fed, Fed) else fed, **row)).verdict


@pytest.mark.parametrize("scene", [list, at_a, at_sleep, at_b], ids=["scheduled", "started", "asleep", "after"])
@pytest.mark.parametrize("changes", ["strict", "additive"])
def test_the_code_that_made_it_is_the_same(scene: Callable[[], Any], changes: str) -> None:
    """At each point of its life, in both ways of taking changes."""
    assert verdict(v1, scene(), changes) == Same()


def appended(ctx: Context[Any]) -> Steps[Any]:
    first = yield from v1(ctx)
    yield Run("c", act)
    return first


def test_what_comes_later_is_the_same_until_a_run_comes_there() -> None:
    """A history cannot tell of what is beyond; an ended run shows that more would come."""
    assert verdict(appended, at_sleep()) == Same()
    ended = [*at_b().ok("b").history, EndCompleted(START, Json(b"7"))]
    assert verdict(v1, ended, stored="completed") == Same()
    assert verdict(appended, ended, stored="completed") == Safe("the code goes on where the run ended: c")


def test_another_result_of_an_ended_run_is_safe() -> None:
    """No open run can be hurt by it."""

    def other(ctx: Context[Any]) -> Steps[Any]:
        yield from v1(ctx)
        return "else"

    def restarts(ctx: Context[Any]) -> Steps[Any]:
        yield from v1(ctx)
        yield Restart({})

    ended = [*at_b().ok("b").history, EndCompleted(START, Json(b"7"))]
    assert verdict(other, ended, stored="completed") == Safe("the code returns something else")
    assert verdict(restarts, ended, stored="completed") == Safe("the code restarts, and the run did not")
    restarted = [*ended[:-1], EndCompleted(START, restarted_as="run-2")]
    assert verdict(restarts, restarted, stored="completed") == Same()


def test_what_ended_a_run_from_outside_says_nothing_of_the_code() -> None:
    """Lost workers, and cancels, with clean-up or without."""
    lost = EndFailed(START, Failure("WorkerLost", "they died"))
    cancelled = at_sleep().cancel()
    assert verdict(v1, [*at_sleep().history, lost], stored="failed") == Same()
    assert verdict(v1, [*cancelled.history, EndCancelled(START, "stop")], stored="cancelled") == Same()
    assert verdict(v1, [*at_sleep().history, EndCancelled(START, "stop", False)], stored="cancelled") == Same()


def test_a_body_that_ends_where_the_run_went_on_is_safe_and_one_that_raises_breaks() -> None:
    """No engine would park the run, but it would fail, and that is worse."""

    def shorter(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act, 1)
        yield Sleep("s", "1h")

    def raising(ctx: Context[Any]) -> Steps[Any]:
        yield from shorter(ctx)
        raise KeyError("no")

    assert verdict(shorter, at_b()) == Safe("the code returns here, and the run went on")
    broken = verdict(raising, at_b())
    assert isinstance(broken, Breaks)
    assert (broken.step, broken.recorded, broken.cause) == ("(body)", "the run goes on", "the body raises KeyError")
    assert "in raising" in broken.where
    done = [*at_b().ok("b").history, EndCompleted(START, Json(b"7"))]
    ended = verdict(raising, done[:-2] + done[-1:], stored="completed")
    assert isinstance(ended, Breaks)
    assert ended.recorded == "the run completed"


def test_a_failed_run_may_fail_again() -> None:
    """The same failure is the same, another one is told, and none at all is safe."""

    def failing(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act, 1)
        raise ValueError(ctx.now)

    def otherwise(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act, 1)
        raise KeyError

    history = [*Fed(failing).ok("a").history, EndFailed(START, Failure("ValueError", "no"))]
    assert verdict(failing, history, stored="failed") == Same()
    assert verdict(otherwise, history, stored="failed") == Safe("the code raises KeyError, the run ValueError")
    assert verdict(v1, history, stored="failed") == Safe("the code goes on where the run ended: s")
    retried = [*history, Retried(START, 1, 1)]
    assert verdict(v1, retried) == Safe("the code asks for more: s")


def test_more_beside_what_the_run_waits_for_is_safe() -> None:
    """A branch that was added: asked for at once, if it is known that the run had not asked for it."""

    def beside(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act, 1)
        yield All(Sleep("s", "1h"), WaitFor("w", "x/y", timeout="1d"))

    def working(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act, 1)
        yield All(Sleep("s", "1h"), Run("work", act))

    fed = at_sleep()
    due = fed.interpreter.next_deadline()
    assert verdict(beside, fed) == Safe("the code asks for more: w")
    assert verdict(working, fed, due_at=due) == Safe("the code asks for more: work")
    assert verdict(working, fed, due_at=due, owner="worker") == Same()


def breaks(body: Body, fed: Fed, step: str, cause: str) -> Breaks:
    found = verdict(body, fed)
    assert isinstance(found, Breaks), found
    assert (found.step, found.cause) == (step, cause)
    return found


def test_a_break_is_told_with_both_sides_and_why() -> None:
    """The step, what is recorded, what the code yields, and the line of the code."""

    def inserted(ctx: Context[Any]) -> Steps[Any]:
        yield Run("new", act)
        yield from v1(ctx)

    found = breaks(inserted, at_sleep(), "a", "the code asks for 'new' where the history has 'a'")
    assert (found.recorded, found.yields) == ("run 'a' with [[1],{}] (StepSucceeded)", "run 'new' with [[],{}]")
    assert "test_verdicts.py" in found.where


def test_causes_hold_no_values() -> None:
    """So that runs that break for the same reason are one group."""

    def removed(ctx: Context[Any]) -> Steps[Any]:
        yield Sleep("s", "1h")

    def other_arguments(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act, 2)

    def other_kind(ctx: Context[Any]) -> Steps[Any]:
        yield Sleep("a", 1)

    def early(ctx: Context[Any]) -> Steps[Any]:
        return
        yield

    def typed(ctx: Context[Any]) -> Steps[Any]:
        def text(value: int) -> str:
            return str(value)

        yield Run("a", text, 1)

    breaks(removed, at_sleep(), "a", "the code does not ask for 'a' there, but for 's'")
    breaks(other_arguments, at_sleep(), "a", "'a' has other arguments")
    breaks(other_kind, at_sleep(), "a", "'a' was a run step and is a sleep step")
    breaks(early, at_sleep(), "a", "the code returns before step 'a'")
    breaks(typed, at_sleep(), "a", "the recorded value of 'a' does not fit its type any more")


def test_occurrences_are_one_cause() -> None:
    """The third time around a loop is the same reason as the second."""

    def loop(ctx: Context[Any]) -> Steps[Any]:
        for number in range(5):
            yield Run("a", act, number)

    def changed(ctx: Context[Any]) -> Steps[Any]:
        yield Run("a", act, 0)
        for _ in range(5):
            yield Run("a", act, "x")

    breaks(changed, Fed(loop).ok("a").ok("a:1"), "a:1", "'a' has other arguments")


def test_additive_changes_are_safe_and_say_what_they_allow() -> None:
    """Only another kind of command breaks there."""

    def inserted(ctx: Context[Any]) -> Steps[Any]:
        yield Run("new", act)
        yield from v1(ctx)

    def other_kind(ctx: Context[Any]) -> Steps[Any]:
        yield Sleep("a", 1)

    why = "additive changes allow that the code asks for 'new' where the history has 'a'"
    assert verdict(inserted, at_sleep(), "additive") == Safe(why)
    assert isinstance(verdict(other_kind, at_sleep(), "additive"), Breaks)


def test_a_cancelled_run_is_judged_with_its_clean_up() -> None:
    """Clean-up steps are steps."""

    def careful(ctx: Context[Any]) -> Steps[Any]:
        try:
            yield from v1(ctx)
        except RunCancelled:
            yield Run("undo", act)
            raise

    def careless(ctx: Context[Any]) -> Steps[Any]:
        yield from v1(ctx)

    history = [*Fed(careful).ok("a", 7).cancel().ok("undo").history, EndCancelled(START, "stop")]
    assert verdict(careful, history) == Same()
    found = verdict(careless, history)
    assert isinstance(found, Breaks)
    assert found.cause == "the code ends, cancelled, before step 'undo'"


def test_a_workflow_that_is_gone_breaks_its_open_runs() -> None:
    """Nobody would offer it. One that is only to be cancelled, before it began, needs no code."""
    found = verdict(None, at_sleep())
    assert isinstance(found, Breaks)
    assert (found.step, found.cause) == ("(workflow)", "there is no workflow 'v1' any more")
    assert isinstance(verdict(None, []), Breaks)
    assert verdict(None, at_sleep(), stored="completed") == Same()
    assert verdict(None, [], cancel=1, mail=1) == Same()
    assert isinstance(verdict(None, at_sleep(), cancel=1, mail=1), Breaks)


def test_an_event_that_does_not_fit_any_more_breaks() -> None:
    """Whether the run has begun or not: it would be parked, or fail."""

    @attrs.frozen
    class Placed:
        order: int

    workflow: Workflow[Any, Any] = App("shop").workflow(v1)
    workflow.event_class = Placed
    for records in ([], at_sleep().history):
        found = judge(workflow, run_of(records)).verdict
        assert isinstance(found, Breaks)
        assert (found.step, found.cause) == ("(event)", "its event does not fit its class any more")


def test_an_event_that_never_fitted_breaks_nothing() -> None:
    """The run failed by it at once, on the code that was there: a deployment need not wait until it is gone."""

    @attrs.frozen
    class Placed:
        order: int

    workflow: Workflow[Any, Any] = App("shop").workflow(v1)
    workflow.event_class = Placed
    refused = EndFailed(START, Failure("UndecodableError", "the value {} does not fit Placed"))
    failed = EndFailed(START, Failure("ValueError", "of the body's own"))
    started = at_a().history[0]
    for records, same in [([refused], True), ([started, refused], True), ([started, failed], False)]:
        assert (judge(workflow, run_of(records, stored="failed")).verdict == Same()) == same


def test_a_run_that_collects_its_events_has_nothing_that_could_differ() -> None:
    """A debounce or a batch that is open."""
    assert judge(workflow_of(v1), run_of([], events=(), stored="collecting")).verdict == Same()


def test_a_history_that_makes_no_sense_is_damaged() -> None:
    """No code could go on with it."""
    started = at_a().history[0]
    found = verdict(v1, [started, started])
    assert isinstance(found, Breaks)
    assert (found.step, found.cause) == ("(history)", "the history is damaged")
    assert damaged("run-9", ValueError("flipped")).verdict == Breaks(
        "(history)", "run run-9 cannot be read: flipped", "", "the history is damaged"
    )


def test_what_the_code_asks_for_is_told_for_comparison() -> None:
    """As text, and as a digest of all of it, which differs if anything does."""
    one, other = judge(workflow_of(v1), run_of(at_sleep().history)), judge(workflow_of(v1), run_of(at_b().history))
    assert one.asks.startswith("sleep 's' (")
    assert one.state != other.state
    again = judge(workflow_of(v1), run_of(at_sleep().history))
    assert one == again


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.jsonl")), ids=lambda path: path.stem)
def test_golden_histories_are_the_same_and_none_of_their_beginnings_breaks(path: Path) -> None:
    """Whatever earlier versions have written: ended, and at each place on the way."""
    with path.open(encoding="utf-8") as lines:
        golden = import_lines(lines)
    workflow = app.workflows[golden.row.workflow]
    whole = judge(workflow, golden).verdict
    assert isinstance(whole, Safe) if workflow.changes == "additive" else whole == Same()
    open_row = attrs.evolve(golden.row, stored="open", ended_at=None)
    failed = any(isinstance(record, EndFailed) for record in golden.records)
    for length in range(len(golden.records) - failed):
        beginning = Exported(open_row, golden.events, golden.records[:length])
        found = judge(workflow, beginning).verdict
        raised = isinstance(found, Breaks) and found.recorded == "the run goes on" and failed
        assert raised or not isinstance(found, Breaks), (length, found)
