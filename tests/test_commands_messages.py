"""Waits and messages, as commands: what they hold, what they refuse, and what of them is fingerprinted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from flowgen import DefinitionError, Event, FlowgenError, Invoke, Restart, SendEvent, SendSignal, WaitFor, WaitForSignal
from flowgen.commands import Command, StepCommand
from flowgen.duration import DAY, HOUR, SECOND
from tests.commands import NOON, OrderApproved, fingerprint, make_receipt, ship

# -- waits -----------------------------------------------------------------------------------------


def test_wait_for_a_name() -> None:
    """A name gives plain events; the settings are kept in the engine's units."""
    command = WaitFor("approval", "order/approved", match="data.order_id", timeout="7d", since=NOON)
    assert (command.event, command.event_class, command.match, command.where) == (
        "order/approved",
        None,
        "data.order_id",
        None,
    )
    assert (command.timeout, command.since) == (7 * DAY, 1_777_636_800 * SECOND)


def test_wait_for_a_class() -> None:
    """An event class gives its name, and is kept so that data can be restored to it."""
    command = WaitFor("approval", OrderApproved, where="async.data.total > event.data.total", timeout=0)
    assert (command.event, command.event_class, command.timeout) == ("order/approved", OrderApproved, 0)


@pytest.mark.parametrize(
    "event, message",
    [
        ("order/*", "is a pattern, for triggers only"),
        (Event("order/approved"), "got an event; write its name, 'order/approved'"),
        (7, "7 is neither an event's name nor an event class"),
        (None, "None is neither an event's name nor an event class"),
        ("flowgen/run.failed", "event of 'w': .* a run would wait in vain; to wait for another run use Invoke"),
        ("flowgen/anything", "event of 'w': event name 'flowgen/anything': flowgen's own events are only emitted"),
        ("", "event of 'w': .* has 0 characters"),
        ("x" * 257, "event of 'w': .* has 257 characters"),
        (dict, "dict is no event class; decorate it"),
    ],
)
def test_what_is_no_event_is_refused(event: Any, message: str) -> None:
    """A wait names one event: text or an event class."""
    with pytest.raises(FlowgenError, match=message):
        WaitFor("w", event, timeout=1)


def test_a_wait_needs_a_timeout() -> None:
    """A wait for ever is a leak, so the timeout has no default."""
    with pytest.raises(TypeError, match="timeout"):
        WaitFor("w", "order/approved")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"match": "data..x"}, "match of 'w'"),
        ({"match": ""}, "match of 'w'"),
        ({"match": 7}, "match of 'w': 7 is not a path"),
        ({"where": "async.data.x >"}, "where of 'w'"),
        ({"where": "other.x == 1"}, "where of 'w'"),
        ({"where": ""}, "where of 'w'"),
        (
            {"where": "async.id_ == event.data.x"},
            "an event has no 'id_', only name, data, id, ts; write async.data.id_",
        ),
        ({"where": "async.data.x == event.x"}, "write event.data.x"),
        ({"since": "yesterday"}, "since of 'w': 'yesterday' is neither"),
        ({"since": datetime(2026, 1, 1)}, "since of 'w'.*no time zone"),
        ({"timeout": "367d"}, "timeout of 'w'"),
    ],
)
def test_bad_terms_of_a_wait_are_refused(options: dict[str, Any], message: str) -> None:
    """Paths, expressions and times are checked when the command is made."""
    with pytest.raises(DefinitionError, match=message):
        WaitFor("w", "order/approved", **{"timeout": 1, **options})


def test_a_waits_terms_are_its_fingerprint() -> None:
    """Event name, match and where count; a class counts as its name."""
    by_class = WaitFor("w", OrderApproved, match="data.order_id", timeout=1)
    assert fingerprint(by_class) == {"event": "order/approved", "match": "data.order_id"}
    assert by_class.arguments() == WaitFor("w", "order/approved", match="data.order_id", timeout=1).arguments()
    assert fingerprint(WaitFor("w", "a", where="async.data.x == 1", timeout=1))["where"] == "async.data.x == 1"


@pytest.mark.parametrize("signal", ["", "x" * 257, "a\x00", "\udc00", 7, None])
def test_a_bad_signal_is_refused(signal: Any) -> None:
    """A signal's name is text of 1 to 256 characters that can be stored."""
    with pytest.raises(DefinitionError, match="signal of 'w'"):
        WaitForSignal("w", signal, timeout=1)
    with pytest.raises(DefinitionError, match="signal of 'w'"):
        SendSignal("w", signal)


def test_a_signal_may_be_a_path() -> None:
    """Unlike ids, signals are not parts of paths: `approve/7:1` is a fine name."""
    assert WaitForSignal("w", "approve/7:1", timeout=1).signal == "approve/7:1"


def test_on_conflict_is_one_of_two() -> None:
    """A waiter either fails or replaces the one before it."""
    assert WaitForSignal("w", "go", timeout=1, on_conflict="replace").on_conflict == "replace"
    with pytest.raises(DefinitionError, match="on_conflict of 'w': 'wait' is neither"):
        WaitForSignal("w", "go", timeout=1, on_conflict="wait")


# -- messages --------------------------------------------------------------------------------------


def test_invoke_a_workflow() -> None:
    """A workflow is named with its app; its return type is kept for the result."""
    command = Invoke("receipt", make_receipt, {"order_id": "7"}, timeout="1h", on_cancel="leave")
    assert (command.workflow, command.returns, command.data) == ("shop/make-receipt", int, {"order_id": "7"})
    assert (command.timeout, command.on_cancel) == (HOUR, "leave")


@pytest.mark.parametrize("workflow", ["make-receipt", "shop/make-receipt"])
def test_invoke_by_name(workflow: str) -> None:
    """A workflow may be named, with its app or without."""
    command = Invoke("receipt", workflow)
    assert (command.workflow, command.returns, command.timeout, command.on_cancel) == (workflow, None, None, "cancel")


@pytest.mark.parametrize("workflow", ["", "a/", "/b", "a/b/c", "a:1", ship, 7, None])
def test_what_is_no_workflow_cannot_be_invoked(workflow: Any) -> None:
    """A bad name and an undecorated function are refused, naming the step."""
    with pytest.raises(DefinitionError, match="(workflow|app) of 'receipt'"):
        Invoke("receipt", workflow)


@pytest.mark.parametrize("data", ["7", 7, 7.0, True, [1], (1,), {1}, b"7"])
def test_data_of_a_run_is_an_object(data: Any) -> None:
    """What becomes an event's data is an object; the hint shows how to wrap a plain value."""
    with pytest.raises(DefinitionError, match="data of 'receipt'.*wrap it"):
        Invoke("receipt", "make-receipt", data)
    with pytest.raises(DefinitionError, match="data of Restart.*wrap it"):
        Restart(data)


def test_data_may_be_an_instance_of_a_class() -> None:
    """attrs classes and the like are objects."""
    data = OrderApproved("7", 1.0)
    assert Invoke("receipt", make_receipt, data).data is data
    assert Restart(data).data is data


def test_invoke_fingerprints_workflow_and_data() -> None:
    """Which workflow, and on what, must not change."""
    assert fingerprint(Invoke("r", "a", {"x": 1})) == {"workflow": "a", "data": {"x": 1}}


def test_send_one_event_or_several() -> None:
    """One event and a list are both taken; instances of event classes become events."""
    first, second = Event("a", {"x": 1}), Event("b", id="b-1")
    assert SendEvent("s", first).events == (first,)
    assert SendEvent("s", [first, second]).events == (first, second)
    (typed,) = SendEvent("s", OrderApproved("7", 1.0)).events
    assert (typed.name, typed.data) == ("order/approved", OrderApproved("7", 1.0))


@pytest.mark.parametrize("event", [[], (), 7, None, "order/done", {"name": "a"}, Event("flowgen/run.failed")])
def test_what_cannot_be_sent_is_refused(event: Any) -> None:
    """No event at all, something else, and reserved names."""
    with pytest.raises(FlowgenError):
        SendEvent("s", event)


def test_send_fingerprints_names_data_and_ids() -> None:
    """What is sent must not change; the time at which it is to happen may."""
    event = Event("a", {"x": 1}, id="a-1")
    assert fingerprint(SendEvent("s", event)) == [{"name": "a", "data": {"x": 1}, "id": "a-1"}]
    assert SendEvent("s", Event("a", {"x": 1}, id="a-1", ts=NOON)).arguments() == SendEvent("s", event).arguments()


def test_send_signal_fingerprints_name_and_data() -> None:
    """What is sent must not change."""
    assert fingerprint(SendSignal("s", "go", [1])) == {"signal": "go", "data": [1]}


def test_on_cancel_is_one_of_two() -> None:
    """A child is cancelled with its parent, or left alone."""
    with pytest.raises(DefinitionError, match="on_cancel of 'r': 'kill' is neither 'cancel' nor 'leave'"):
        Invoke("r", "make-receipt", on_cancel="kill")


def test_restart_is_no_step() -> None:
    """`Restart` ends the run: it has no id, and can be yielded."""
    restart = Restart({"cursor": 7})
    assert isinstance(restart, Command)
    assert not isinstance(restart, StepCommand)
    assert restart.data == {"cursor": 7}
    assert next(iter(restart)) is restart
