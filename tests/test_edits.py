"""What a rerun keeps of the run before it, and what its caller may change in that."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from flowgen import App, Context, Event, Invoke, Run, SendEvent, Sleep, StepError, Steps, WaitFor, WaitForSignal
from flowgen.edits import Edits, copied, edited_event, edited_events
from flowgen.errors import InvalidInput, UnserializableError
from flowgen.events import AcceptedEvent
from flowgen.history import (
    Record,
    Requested,
    SendTerms,
    SleepTerms,
    Started,
    StepFailed,
    StepSucceeded,
    WaitTerms,
)
from flowgen.outcome import NULL, Failure, Json
from flowgen.runs import RunRow
from flowgen.runtime import open_engine
from flowgen.values import decode
from tests.bodies import START

ROW = RunRow("shop", "r1", "fulfil", START, 7, stored="completed")
CAME = AcceptedEvent("e9", "order/approved", Json(b'{"by":"ann"}'), START, START, "k9", 9)
HISTORY: list[Record] = [
    Started(START, "d"),
    StepSucceeded(START, "a", Json(b"1"), "run", "fingerprint", Json(b"[1]")),
    StepFailed(START, "b", Failure("ValueError", "no"), 4, "run", "fingerprint"),
    Requested(START, "came", "wait", "d", WaitTerms("w1", "order/approved", START + 9, 3)),
    StepSucceeded(START, "came", Json(msgspec.json.encode(CAME)), "wait", position=9),
    Requested(START, "late", "wait", "d", WaitTerms("w2", "order/shipped", START + 9, 3)),
    StepSucceeded(START, "late", NULL, "wait"),
    Requested(START, "nap", "sleep", "d", SleepTerms(START + 9)),
    StepSucceeded(START, "nap", NULL, "sleep"),
    StepSucceeded(START, "tell", Json(b'["e1"]'), "send"),
    Requested(START, "tell", "send", "d", SendTerms(("e1",))),
    StepSucceeded(START, "end", Json(b"2")),
]


def with_results(**results: Any) -> dict[str, Any]:
    """The outcomes that a rerun from the last step begins with."""
    records = copied(ROW, HISTORY, "end", results, START + 100)
    return {record.step: record for record in records if isinstance(record, (StepSucceeded, StepFailed))}


def test_a_result_is_replaced_and_all_others_are_kept() -> None:
    """It has succeeded with the new value, at the time of the rerun and without the fingerprint."""
    outcomes = with_results(a={"x": 2})
    assert outcomes["a"] == StepSucceeded(START + 100, "a", Json(b'{"x":2}'))
    assert {**outcomes, "a": None} == {**with_results(), "a": None}


def test_a_step_that_failed_has_succeeded_with_the_new_result() -> None:
    """So what comes after a failure can be tried without it."""
    assert with_results(b=None)["b"] == StepSucceeded(START + 100, "b", NULL)


def test_the_event_of_a_wait_has_other_data() -> None:
    """It keeps its name, id and place."""
    event = msgspec.json.decode(bytes(with_results(came={"by": "bob"})["came"].value), type=AcceptedEvent)
    assert decode(event.data) == {"by": "bob"}
    assert (event.id, event.name, event.key, event.position) == ("e9", "order/approved", "k9", 9)
    assert with_results(came={"by": "bob"})["came"].position == 9


def test_a_wait_may_have_timed_out_or_not() -> None:
    """None is a time-out; data where there was a time-out is an event that nobody sent."""
    assert with_results(came=None)["came"].value == NULL
    event = msgspec.json.decode(bytes(with_results(late={"at": 7})["late"].value), type=AcceptedEvent)
    assert (event.name, decode(event.data), event.position) == ("order/shipped", {"at": 7}, None)


@pytest.mark.parametrize(
    "results, message",
    [
        ({"end": 1}, "step 'end' cannot be replaced: run r1 has none before 'end'.*are: 'a', 'b', 'came', 'late'"),
        ({"z": 1}, "step 'z' cannot be replaced"),
        ({"nap": 1}, "step 'nap' cannot be replaced: it is a sleep step"),
        ({"tell": []}, "step 'tell' cannot be replaced: it is a send step"),
        ({"came": [1]}, "is the data of its event, an object, or null if it timed out; not \\[1\\]"),
        ({"a": 1j}, "the result of step 'a'"),
        ({"a": float("nan")}, "the result of step 'a'"),
    ],
    ids=str,
)
def test_what_cannot_be_replaced(results: dict[str, Any], message: str) -> None:
    """The message says what can."""
    with pytest.raises((InvalidInput, UnserializableError), match=message):
        with_results(**results)


def test_an_edited_event_stands_in_the_place_of_the_original() -> None:
    """Name and data are new; what it is found and ordered by is not."""
    edited = edited_event(CAME, Event("order/refused", {"by": "eve"}, id="other"))
    assert (edited.id, edited.key, edited.position, edited.ts) == (CAME.id, CAME.key, CAME.position, CAME.ts)
    assert (edited.name, decode(edited.data)) == ("order/refused", {"by": "eve"})
    assert edited.digest != CAME.digest


def test_of_several_events_none_can_be_edited() -> None:
    """Nobody could say which is meant."""
    with pytest.raises(InvalidInput, match="run r1 handles 2 events"):
        edited_events(ROW, (CAME, CAME), Event("x"))
    assert edited_events(ROW, (CAME, CAME), None) == (CAME, CAME)
    assert Edits().results == {}


# -- with an engine ----------------------------------------------------------------------------------


async def test_a_rerun_goes_on_with_what_was_edited() -> None:
    """Every kind of result, and the event; the run before is as it was."""
    app = App("edits")

    def note(value: Any) -> Any:
        return value

    def broken() -> int:
        raise ValueError("no")

    @app.workflow
    def child(ctx: Context[Any]) -> Steps[int]:
        yield Run("noted", note, 0)
        return 1

    @app.workflow
    def flow(ctx: Context[Any]) -> Steps[Any]:
        a = yield Run("a", note, ctx.event.data["n"])
        try:
            b = yield Run("b", broken).options(retries=0)
        except StepError as error:
            b = error.message
        waited = yield WaitFor("waited", "order/approved", timeout="1ms")
        signal = yield WaitForSignal("signal", "go", timeout="1ms")
        called = yield Invoke("called", child, {})
        yield Sleep("nap", "1ms")
        yield SendEvent("tell", Event("told"))
        yield Run("end", note, None)
        return [ctx.event.data["n"], a, b, waited and waited.data, signal, called]

    async with open_engine(app, "memory://") as engine:
        first = await engine.start(flow, {"n": 7})
        assert await engine.result(first) == [7, 7, "no", None, None, 1]
        results = {"a": 8, "b": 9, "waited": {"by": "ann"}, "signal": "now", "called": 2}
        again = await engine.rerun(first, from_step="end", event=Event("other", {"n": 6}), results=results)
        assert await engine.result(again) == [6, 8, 9, {"by": "ann"}, "now", 2]
        assert (await engine.run(again)).event.name == "other"
        assert (await engine.run(first)).event.data == {"n": 7}
        afresh = await engine.rerun(first, event=Event("other", {"n": 5}))
        assert (await engine.result(afresh))[:2] == [5, 5]
        with pytest.raises(InvalidInput, match="say from which step"):
            await engine.rerun(first, results={"a": 1})
        with pytest.raises(InvalidInput, match="is no event"):
            await engine.rerun(first, event={"n": 1})


async def test_an_edited_result_that_does_not_fit_its_type_does_not_go_on_wrongly() -> None:
    """The run is parked, as with any history that today's code cannot read."""
    app = App("edits")

    def number() -> int:
        return 1

    @app.workflow
    def flow(ctx: Context[Any]) -> Steps[int]:
        one = yield from Run("one", number)
        two = yield from Run("two", number)
        return one + two

    async with open_engine(app, "memory://") as engine:
        first = await engine.start(flow)
        assert await engine.result(first) == 2
        again = await engine.rerun(first, from_step="two", results={"one": 41})
        assert await engine.result(again) == 42
        wrong = await engine.rerun(first, from_step="two", results={"one": "x"})
        while (info := await engine.run(wrong)).status not in ("parked", "failed"):
            assert info.status in ("scheduled", "running")
            await engine.store.wait_changed(0.05)
        assert info.status == "parked"
        await engine.cancel(wrong)
