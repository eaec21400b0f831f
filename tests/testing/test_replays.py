"""`assert_replays`: a recorded history against today's code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flowgen import App, Context, Event, Restart, Run, Sleep, StepError, Steps
from flowgen.codec import Exported, export_lines
from flowgen.events import accept_event
from flowgen.history import EndCompleted, EndFailed, Record
from flowgen.outcome import Failure, Json
from flowgen.runs import RunRow
from flowgen.testing import assert_replays, play
from flowgen.workflow import Workflow

app = App("shop")


def charge(sum: int) -> int:
    raise NotImplementedError


def load(sum: int) -> int:
    raise NotImplementedError


@app.workflow
def bill(ctx: Context) -> Steps[int]:
    paid = yield from Run(charge, ctx.event.data["sum"])
    yield Sleep("settle", "1h")
    return paid


def history(sum: int = 5, end: Record | None = None) -> list[Record]:
    script = play(bill, {"sum": sum})
    script.expect(Run).reply(7)
    script.expect(Sleep).reply()
    last = script.history[-1].at
    return [*script.history, EndCompleted(last, Json(b"7")) if end is None else end]


def variant(body: Any, changes: Any = "strict") -> Workflow[Any, Any]:
    return App("shop").workflow(id="bill", changes=changes)(body)


def test_the_code_that_made_it_replays_it() -> None:
    """A history replays on the code and the event that it came from, and so does each beginning of it."""
    records = history()
    for length in range(len(records) + 1):
        assert_replays(bill, records[:length], {"sum": 5})


def test_an_export_needs_nothing_else(tmp_path: Path) -> None:
    """An exported file, and what it holds, know their event."""
    records = tuple(history())
    event = accept_event(Event("bill/due", {"sum": 5}), "event-1", records[0].at)
    row = RunRow("shop", "run-1", "bill", records[0].at, seed=1)
    file = tmp_path / "run-1.jsonl"
    file.write_text("\n".join(export_lines(row, (event,), records)))
    for given in (file, str(file), Exported(row, (event,), records)):
        assert_replays(bill, given)


def test_an_export_of_many_runs_is_replayed_whole(tmp_path: Path) -> None:
    """Those of this workflow are meant; the one that disagrees is named, and none at all is no proof."""

    def exported(run: str, workflow: str, sum: int) -> list[str]:
        records = tuple(history(sum=sum))
        event = accept_event(Event("bill/due", {"sum": 5}), f"event of {run}", records[0].at)
        return list(export_lines(RunRow("shop", run, workflow, records[0].at, seed=1), (event,), records))

    file = tmp_path / "runs.jsonl"
    file.write_text(
        "\n".join([*exported("run-1", "bill", 5), *exported("run-2", "else", 6), *exported("run-3", "bill", 5)])
    )
    assert_replays(bill, file)
    file.write_text("\n".join([*exported("run-1", "bill", 5), *exported("run-2", "bill", 6)]))
    with pytest.raises(AssertionError, match=r"run run-2 in .*runs\.jsonl: .* does not replay, at record 1"):
        assert_replays(bill, file)
    file.write_text("\n".join([*exported("run-1", "other", 5), *exported("run-2", "else", 6)]))
    with pytest.raises(AssertionError, match=r"has no run of <Workflow shop/bill>; its runs are of else, other"):
        assert_replays(bill, file)
    file.write_text("")
    with pytest.raises(AssertionError, match="its runs are of none"):
        assert_replays(bill, file)


def test_other_arguments_do_not_replay() -> None:
    """The failure names the record, shows both sides, and says where the code stands."""
    with pytest.raises(AssertionError) as failure:
        assert_replays(bill, history(sum=5), {"sum": 6})
    text = str(failure.value)
    assert "<Workflow shop/bill> does not replay, at record 1 of 5:" in text
    assert "→    1  StepSucceeded charge → 7" in text
    assert "history has:      run 'charge' with [[5],{}]" in text
    assert "the code yields:  run 'charge' with [[6],{}]" in text
    assert "test_replays.py" in text


def test_a_renamed_step_does_not_replay() -> None:
    """A step is known by its id."""

    def renamed(ctx: Context) -> Steps[int]:
        return (yield from Run("pay", charge, ctx.event.data["sum"]))

    with pytest.raises(AssertionError, match="does not replay, at record 1"):
        assert_replays(variant(renamed), history(), {"sum": 5})


def test_an_added_step_replays_only_where_that_is_allowed() -> None:
    """`changes="additive"` lets steps be added in front; the memo is found by id."""

    def added(ctx: Context) -> Steps[int]:
        yield Sleep("settle", "1h")
        return (yield from Run(charge, ctx.event.data["sum"]))

    with pytest.raises(AssertionError, match="does not replay"):
        assert_replays(variant(added), history(), {"sum": 5})
    assert_replays(variant(added, changes="additive"), history(), {"sum": 5})


def another_result(ctx: Context) -> Steps[int]:
    paid = yield from Run(charge, ctx.event.data["sum"])
    yield Sleep("settle", "1h")
    return paid + 1


def an_error(ctx: Context) -> Steps[int]:
    yield from another_result(ctx)
    raise ValueError("no")


def a_restart(ctx: Context) -> Steps[int]:
    yield from another_result(ctx)
    yield Restart({})
    return 1


AT = play(bill, {"sum": 5}).time + 3_600_000_000


@pytest.mark.parametrize(
    "body, end, recorded, comes",
    [
        (another_result, None, "returned 7", "returns 8"),
        (an_error, None, "completed", "raises ValueError: no"),
        (a_restart, None, "returned 7", "restarts with {}"),
        (another_result, EndFailed(AT, Failure("ValueError", "no")), "failed: ValueError: no", "returns 8"),
        (another_result, EndCompleted(AT, restarted_as="run-2"), "restarted as run run-2", "returns 8"),
    ],
)
def test_another_end_is_a_disagreement(body: Any, end: Record | None, recorded: str, comes: str) -> None:
    """The steps may agree and the end not: an engine would not notice any more, a golden test must."""
    with pytest.raises(AssertionError, match="replays, but ends differently") as failure:
        assert_replays(variant(body), history(end=end), {"sum": 5})
    assert f"the history:  {recorded}" in str(failure.value)
    assert f"the code:     {comes}" in str(failure.value)


def test_an_end_that_the_engine_made_is_no_disagreement() -> None:
    """A run that its workers lost ended without its code."""
    assert_replays(bill, [*history()[:-1][:3], EndFailed(AT, Failure("WorkerLost", "they died"))], {"sum": 5})


def test_a_failed_step_replays() -> None:
    """Failures are part of the history like values."""

    @app.workflow(id="careful")
    def careful(ctx: Context) -> Steps[str]:
        try:
            yield from Run(charge, 1)
        except StepError as error:
            return error.message
        return "paid"

    script = play(careful)
    script.expect(Run).fail(ValueError("no"))
    assert_replays(careful, script.history)


def test_an_event_that_does_not_fit_is_said_so() -> None:
    """An event that the workflow's class cannot read is the event's fault, not the history's."""

    @app.workflow(id="typed")
    def typed(ctx: Context) -> Steps[int]:
        yield Sleep("a", 1)
        return ctx.event.data["sum"]

    records = play(typed, {"sum": 1}).history
    event = accept_event(Event("x", {"sum": 1}), "event-1", AT)
    broken = Exported(RunRow("shop", "r", "typed", AT, seed=0), (event,), tuple(records))
    assert_replays(typed, broken)
    typed.event_class = RunRow
    with pytest.raises(AssertionError, match="the event that started run r does not fit"):
        assert_replays(typed, broken)
