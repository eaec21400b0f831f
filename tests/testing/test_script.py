"""`play`: a body alone, every outcome given by the test."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest

from flowgen import (
    All,
    App,
    Backoff,
    Batch,
    Context,
    DefinitionError,
    Event,
    Invoke,
    InvokeTimeout,
    NonRetriableError,
    OnEvent,
    Race,
    Restart,
    RetryAfterError,
    Run,
    RunCancelled,
    SendEvent,
    SendSignal,
    Sleep,
    StepError,
    Steps,
    StepTimeout,
    WaitFor,
    WaitForSignal,
    event_type,
)
from flowgen.errors import InvalidInput
from flowgen.testing import assert_replays, play

app = App("shop", retries=2)


@attrs.frozen
class Box:
    size: int


@event_type("order/placed")
@attrs.frozen
class Placed:
    order_id: str


def load(order_id: str) -> dict[str, Any]:
    raise NotImplementedError


async def pack(order_id: str, *, gift: bool = False) -> Box:
    raise NotImplementedError


@app.workflow(on=OnEvent(Placed))
def fulfil(ctx: Context[Placed]) -> Steps[Box | None]:
    order = yield Run("load order", load, ctx.event.data.order_id)
    started = ctx.now
    yield Sleep("settle", "30m")
    assert ctx.now - started == timedelta(minutes=30)
    approved = yield WaitFor("approval", "order/approved", match="data.order_id", timeout="7d")
    if approved is None:
        return None
    box = yield from Run(pack, order["id"], gift=approved.data["gift"])
    yield SendEvent("tell", Event("order/done", {"order_id": order["id"]}))
    return box


def test_a_body_is_played_step_by_step() -> None:
    """Each step is expected and replied to; values come back as they are annotated, and sleeps take virtual time."""
    script = play(fulfil, Placed("7"))
    script.expect(Run("load order", load, "7")).reply({"id": "7"})
    script.expect(Sleep("settle", "30m")).reply()
    script.expect(WaitFor).event(Event("order/approved", {"order_id": "7", "gift": True}))
    script.expect(Run(pack, "7", gift=True)).reply(Box(3))
    script.expect(SendEvent).reply()
    assert script.returned == Box(3)
    assert_replays(fulfil, script.history, Placed("7"))


def test_the_event_may_be_given_as_its_data() -> None:
    """Data alone is an event with the trigger's name, and typed as the trigger says."""
    script = play(fulfil, {"order_id": "7"})
    assert script.event.name == "order/placed"
    script.expect(Run("load order", load, "7"))


def test_the_transcript_tells_what_happened() -> None:
    """`str(script)` has the event, each step with its outcome, and where it stands."""
    script = play(fulfil, {"order_id": "7"})
    script.expect(Run).reply({"id": "7"})
    script.expect(Sleep).reply()
    assert str(script).splitlines() == [
        'shop/fulfil on order/placed {"order_id":"7"}',
        "Run('load order', load, '7') → {\"id\":\"7\"}",
        "Sleep('settle', '30m') → slept",
        "it waits for: WaitFor('approval', 'order/approved', match='data.order_id', timeout='7d')",
    ]
    script.expect(WaitFor).time_out()
    assert str(script).splitlines()[-2:] == [
        "WaitFor('approval', 'order/approved', match='data.order_id', timeout='7d') → timed out",
        "it returned null",
    ]


@pytest.mark.parametrize(
    "expected, reason",
    [
        (Run("load order", load, "8"), 'it asks with [["7"],{}], not [["8"],{}]'),
        (Run("load", load, "7"), "its id is 'load order', not 'load'"),
        (Run("load order", pack, "7"), "it calls <function load"),
        (Run("load order", load, "7").options(timeout="1s"), "its timeout is different"),
        (Sleep("load order", "1s"), "it is a Run, not a Sleep"),
        (Sleep, "it is a Run"),
    ],
)
def test_what_was_not_asked_for_fails_with_the_transcript(expected: Any, reason: str) -> None:
    """The failure has what was expected, the story so far, and what is asked for instead, with the difference."""
    with pytest.raises(AssertionError) as failure:
        play(fulfil, {"order_id": "7"}).expect(expected)
    text = str(failure.value)
    assert text.startswith(f"expected {'any Sleep' if expected is Sleep else repr(expected)}")
    assert 'shop/fulfil on order/placed {"order_id":"7"}' in text
    assert f"Run('load order', load, '7'): {reason}" in text


@pytest.mark.parametrize("expected", [All, Race, Restart, Restart({}), All(Sleep("a", 1)), "charge", int, None])
def test_what_is_no_step_cannot_be_expected(expected: Any) -> None:
    """Groups have no outcome of their own, and what is no command is refused."""
    with pytest.raises(DefinitionError, match="expect"):
        play(fulfil, {"order_id": "7"}).expect(expected)


def charge(n: int) -> int:
    raise NotImplementedError


@app.workflow
def parallel(ctx: Context) -> Steps[list[Any]]:
    def branch(n: int) -> Steps[int]:
        first = yield from Run(charge, n)
        return first + (yield from Run(charge, first))

    pair = yield All(branch(1), branch(2))
    won = yield Race(slow=Sleep("slow", "1h"), fast=WaitFor("fast", "go", timeout="2h"), body=branch(3))
    return [*pair, won.name]


def test_branches_are_replied_to_in_any_order() -> None:
    """Open steps stand side by side; each goes on in its own branch."""
    script = play(parallel)
    two, one = script.expect(Run(charge, 2)), script.expect(Run(charge, 1))
    assert script.waiting == (one.command, two.command)
    two.reply(20)
    script.expect(Run(charge, 20)).reply(2)
    one.reply(10)
    script.expect(Run(charge, 10)).reply(1)
    script.expect(Sleep).reply()
    assert script.returned == [11, 22, "slow"]
    assert "  given up: Run('charge', charge, 3)  [race/body/charge]" in str(script)
    assert_replays(parallel, script.history)


def test_equal_steps_are_expected_one_after_the_other() -> None:
    """Expecting a class twice gives two steps; a third time there is none."""
    script = play(parallel)
    first, second = script.expect(Run), script.expect(Run)
    assert first.command != second.command
    with pytest.raises(AssertionError, match="it is expected already"):
        script.expect(Run)


def test_a_step_that_was_given_up_has_no_outcome() -> None:
    """What lost a race cannot be replied to any more, and nothing can twice."""
    script = play(parallel)
    for n in (1, 2, 1, 2):
        script.expect(Run(charge, n)).reply(n)
    lost, won = script.expect(WaitFor), script.expect(Run(charge, 3))
    won.reply(3)
    script.expect(Run(charge, 3)).reply(3)
    assert script.returned == [2, 4, "body"]
    for late in (lost.time_out, won.reply):
        with pytest.raises(AssertionError, match="is not open any more"):
            late()


def test_time_passes_in_order() -> None:
    """What is due later cannot come first."""
    script = play(parallel)
    for n in (1, 2, 1, 2):
        script.expect(Run(charge, n)).reply(n)
    wait = script.expect(WaitFor)
    with pytest.raises(AssertionError, match="is due only after Sleep"):
        wait.time_out()


def test_a_failed_step_raises_at_the_yield() -> None:
    """`fail` is the end of all attempts; the body gets a `StepError`, and may let it end the run."""

    caught: list[Any] = []

    @app.workflow(id="failing")
    def failing(ctx: Context) -> Steps[int]:
        try:
            return (yield from Run(charge, 1))
        except StepError as error:
            caught.append((error.step_id, error.error_type, error.message, error.attempts))
        return (yield from Run(charge, 2))

    script = play(failing)
    script.expect(Run(charge, 1)).fail(ValueError("no"))
    assert caught == [("charge", "ValueError", "no", 3)]
    script.expect(Run(charge, 2)).fail(KeyError)
    assert script.raised.type == "StepError"
    with pytest.raises(AssertionError, match="expected that it returned") as unexpected:
        _ = script.returned
    text = str(unexpected.value)
    assert "it raised StepError: step 'charge:1' failed" in text
    assert text.endswith("in failing\n      return (yield from Run(charge, 2))")


def test_attempts_fail_before_the_step_succeeds() -> None:
    """The body hears nothing of them; the transcript does, and time passes as the backoff says."""

    @app.workflow(id="tried", backoff=Backoff.exponential("10s", factor=3))
    def tried(ctx: Context) -> Steps[Any]:
        started = ctx.now
        number = yield from Run(charge, 1)
        return [number, (ctx.now - started).total_seconds()]

    script = play(tried)
    script.expect(Run).fail_attempt(ValueError("no")).fail_attempt(RetryAfterError("busy", "1m")).reply(7)
    assert script.returned == [7, 70]
    assert str(script).splitlines() == [
        "shop/tried on test/event {}",
        "Run('charge', charge, 1) → attempt 1 failed: ValueError: no; again in 10s",
        "Run('charge', charge, 1) → attempt 2 failed: RetryAfterError: busy; again in 1m",
        "Run('charge', charge, 1) → 7",
        "it returned [7,70.0]",
    ]
    assert_replays(tried, script.history)


def test_the_last_attempt_is_no_other_one() -> None:
    """Who wants to see it fail for good says so; `StepError` counts the attempts that there were."""
    step = play(fulfil, {"order_id": "7"}).expect(Run)
    with pytest.raises(AssertionError, match=r"NonRetriableError\('no'\) is not retried; use \.fail"):
        step.fail_attempt(NonRetriableError("no"))
    step.fail_attempt(ValueError).fail_attempt(ValueError)
    with pytest.raises(AssertionError, match=r"attempt 3 of 3 is the last one; use \.fail"):
        step.fail_attempt(ValueError)
    failed = step.fail(NonRetriableError("gone")).raised
    assert failed.cause is not None
    with pytest.raises(AssertionError, match="has no attempts: it is a WaitFor"):
        waiting().fail_attempt(ValueError)


def test_a_batch_is_played_on_its_events() -> None:
    """A list of events, or of their data, is what a workflow with `batch=` handles in one run."""

    @app.workflow(id="batched", on=OnEvent("read"), batch=Batch(10, wait="1s"))
    def batched(ctx: Context) -> Steps[int]:
        return (yield from Run(charge, sum(event.data["n"] for event in ctx.events)))

    script = play(batched, [{"n": 1}, Event("read", {"n": 2})])
    script.expect(Run(charge, 3)).reply(3)
    assert script.returned == 3
    assert str(script).startswith('shop/batched on read {"n":1}, read {"n":2}')
    with pytest.raises(InvalidInput, match="at least one event"):
        play(batched, [])


def test_timeouts_are_what_each_command_makes_of_them() -> None:
    """A wait gives None, a `Run` raises `StepTimeout`, an `Invoke` `InvokeTimeout`; time has passed."""

    @app.workflow(id="late")
    def late(ctx: Context) -> Steps[list[Any]]:
        seen: list[Any] = []
        for command in (
            Run(charge, 1).options(timeout="1m"),
            WaitFor("event", "go", timeout="1h"),
            WaitForSignal("signal", "go", timeout="1d"),
            Invoke("child", "other", timeout="10d"),
        ):
            try:
                seen.append((yield command))
            except StepError as error:
                seen.append(type(error).__name__)
        return seen

    script = play(late)
    start = script.now
    for command in (Run, WaitFor, WaitForSignal, Invoke):
        script.expect(command).time_out()
    assert script.returned == [StepTimeout.__name__, None, None, InvokeTimeout.__name__]
    assert script.now - start == timedelta(days=11, hours=1, minutes=1)


def test_what_has_no_timeout_cannot_time_out() -> None:
    """A `Run` without a timeout waits for ever."""
    with pytest.raises(AssertionError, match="has no timeout"):
        play(fulfil, {"order_id": "7"}).expect(Run).time_out()


def waiting() -> Any:
    script = play(fulfil, {"order_id": "7"})
    script.expect(Run).reply({"id": "7"})
    script.expect(Sleep).reply()
    return script.expect(WaitFor)


@pytest.mark.parametrize(
    "event, reason",
    [
        (Event("order/shipped", {"order_id": "7"}), "it waits for 'order/approved'"),
        ({"order_id": "8"}, 'its data.order_id is "8", and the trigger event has "7"'),
    ],
)
def test_an_event_that_the_wait_would_not_see_is_refused(event: Any, reason: str) -> None:
    """In earnest such an event would never arrive there, so the test is wrong."""
    with pytest.raises(AssertionError, match="does not see event") as failure:
        waiting().event(event)
    assert reason in str(failure.value)


def test_where_decides_about_events_too() -> None:
    """A wait with `where` sees the trigger and what arrives."""

    @app.workflow(id="picky")
    def picky(ctx: Context) -> Steps[Any]:
        found = yield WaitFor("big", "bid", where="async.data.sum > event.data.sum", timeout="1h")
        return found.data["sum"]

    script = play(picky, {"sum": 10})
    bid = script.expect(WaitFor)
    with pytest.raises(AssertionError, match="where .* is not true of it"):
        bid.event({"sum": 10})
    bid.event({"sum": 11})
    assert script.returned == 11


def test_each_reply_fits_its_command() -> None:
    """What a step cannot give is a mistake of the test, said at once."""
    with pytest.raises(AssertionError, match=r"use \.event"):
        waiting().reply({"order_id": "7"})
    with pytest.raises(AssertionError, match="cannot fail: it is a WaitFor"):
        waiting().fail(ValueError)
    with pytest.raises(AssertionError, match="waits for no event"):
        play(fulfil, {"order_id": "7"}).expect(Run).event({})
    with pytest.raises(AssertionError, match=r"does not fit step 'load order': .*dict"):
        play(fulfil, {"order_id": "7"}).expect(Run).reply("text")
    with pytest.raises(AssertionError, match="reply to step 'load order', at"):
        play(fulfil, {"order_id": "7"}).expect(Run).reply({"x": object()})


def test_a_sleep_gives_no_value() -> None:
    """Replying to a sleep with a value is a mistake."""
    script = play(parallel)
    for n in (1, 2, 1, 2):
        script.expect(Run(charge, n)).reply(n)
    with pytest.raises(AssertionError, match=r"gives no value, but was replied to with 5"):
        script.expect(Sleep).reply(5)


def test_sent_things_are_done_when_replied_to() -> None:
    """`SendEvent` gives ids and `SendSignal` nothing; both may fail."""

    @app.workflow(id="sender")
    def sender(ctx: Context) -> Steps[Any]:
        ids = yield SendEvent("tell", [Event("a"), Event("b")])
        yield SendSignal("wake", "go", 1)
        return len(ids)

    script = play(sender)
    script.expect(SendEvent("tell", [Event("a"), Event("b")])).reply()
    script.expect(SendSignal).reply()
    assert script.returned == 2


def test_a_cancelled_run_cleans_up() -> None:
    """`cancel` throws `RunCancelled` in; clean-up steps are expected like any other."""

    @app.workflow(id="tidy")
    def tidy(ctx: Context) -> Steps[str]:
        try:
            yield Sleep("long", "1d")
        except RunCancelled as cancelled:
            yield Run("tidy up", charge, len(cancelled.reason))
        return "ignored"

    script = play(tidy).cancel("no more")
    script.expect(Run("tidy up", charge, 7)).reply(1)
    assert script.cancelled == "no more"
    assert str(script).endswith("it ended cancelled: no more")
    with pytest.raises(AssertionError, match="the run has ended"):
        script.cancel()


def test_a_restart_shows_its_data() -> None:
    """`Restart` ends the script with the successor's data."""

    @app.workflow(id="loop")
    def loop(ctx: Context) -> Steps[None]:
        yield Restart({"n": ctx.event.data["n"] + 1})

    assert play(loop, {"n": 1}).restarted == {"n": 2}


def test_only_a_workflow_can_be_played() -> None:
    """A plain generator function has no id and no types."""
    with pytest.raises(TypeError, match="it takes a workflow"):
        play(load)  # type: ignore[arg-type]
