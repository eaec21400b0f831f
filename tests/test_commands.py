"""Commands: what they hold, what they refuse, and what of them is fingerprinted."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import (
    All,
    App,
    Backoff,
    Context,
    DefinitionError,
    Event,
    FlowgenError,
    Invoke,
    Local,
    Race,
    Restart,
    Run,
    SendEvent,
    SendSignal,
    Sleep,
    SleepUntil,
    Steps,
    WaitFor,
    WaitForSignal,
    Winner,
    event_type,
)
from flowgen.commands import Command, StepCommand, check_name
from flowgen.duration import DAY, HOUR, SECOND
from flowgen.history import Kind


def load_order(order_id: str, currency: str = "usd") -> dict[str, Any]:
    return {"id": order_id, "currency": currency}


async def charge(order: dict[str, Any]) -> float:
    return 1.0


def ship(ctx: object) -> Steps[str]:
    yield Sleep("pack", 1)
    return "shipped"


async def stream() -> AsyncGenerator[int, None]:
    yield 1


@event_type("order/approved")
@attrs.frozen
class OrderApproved:
    order_id: str
    total: float


app = App("shop")


@app.workflow
def make_receipt(ctx: Context[dict[str, Any]]) -> Steps[int]:
    yield Sleep("print", 1)
    return 7


NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)

STEP_COMMANDS: dict[str, tuple[Kind, Callable[[str], StepCommand[Any]]]] = {
    "Run": ("run", lambda id: Run(id, load_order, "7")),
    "Sleep": ("sleep", lambda id: Sleep(id, "30m")),
    "SleepUntil": ("sleep", lambda id: SleepUntil(id, NOON)),
    "WaitFor": ("wait", lambda id: WaitFor(id, "order/approved", match="data.order_id", timeout="7d")),
    "WaitForSignal": ("signal", lambda id: WaitForSignal(id, "go", timeout="7d")),
    "Invoke": ("invoke", lambda id: Invoke(id, "make-receipt", {"order_id": "7"})),
    "SendEvent": ("send", lambda id: SendEvent(id, Event("order/done", {"order_id": "7"}))),
    "SendSignal": ("send_signal", lambda id: SendSignal(id, "go", {"order_id": "7"})),
}

each_step_command = pytest.mark.parametrize("name", STEP_COMMANDS)


def made(name: str, id: str = "an id") -> StepCommand[Any]:
    return STEP_COMMANDS[name][1](id)


def fingerprint(command: StepCommand[Any]) -> Any:
    return json.loads(bytes(command.arguments()))


# -- what all commands share -----------------------------------------------------------------------


@each_step_command
def test_a_step_command_has_an_id_and_a_kind(name: str) -> None:
    """Each step command carries its id and says of which kind its records will be."""
    command = made(name)
    assert (command.id, command.kind) == ("an id", STEP_COMMANDS[name][0])


@each_step_command
def test_a_command_can_be_yielded_from(name: str) -> None:
    """`x = yield from command` yields the command itself and gives what is sent."""
    command = made(name)

    def body() -> Steps[Any]:
        return (yield from command)

    generator = body()
    assert next(generator) is command
    with pytest.raises(StopIteration) as stop:
        generator.send("what came back")
    assert stop.value.value == "what came back"


def test_a_command_can_be_yielded_from_often() -> None:
    """A command is a value: yielding it does not use it up."""
    command = Sleep("nap", 1)
    assert next(iter(command)) is next(iter(command)) is command


@each_step_command
def test_options_give_a_changed_copy(name: str) -> None:
    """`options(id=…)` leaves the command as it is and changes nothing but the id."""
    command = made(name)
    copy = command.options(id="another")
    assert command == made(name)
    assert copy == made(name, "another")


@each_step_command
def test_options_check_the_id(name: str) -> None:
    """An id given to `options` is checked like the first one."""
    with pytest.raises(DefinitionError, match="'a/b' holds a '/'"):
        made(name).options(id="a/b")


@each_step_command
@pytest.mark.parametrize("id", ["", "a/b", "a:1", "a\x00b", "a\nb", "\x7f", "x" * 257, "\ud800", 7, None, b"id"])
def test_a_bad_id_is_refused_when_the_command_is_made(name: str, id: Any) -> None:
    """Ids become parts of paths, so what would make a path ambiguous or unprintable is refused."""
    with pytest.raises(DefinitionError):
        made(name, id)


@pytest.mark.parametrize("id", ["a", "load order", "é…", "a:b", "1:x", ":", "10", "a:1x", "x" * 256, "\U0001f600"])
def test_other_text_is_a_good_id(id: str) -> None:
    """Spaces, colons and any script are fine."""
    assert check_name(id, "id") == id


class Colour(str, Enum):  # noqa: UP042 (its str() is not its text)
    RED = "red"


def test_an_enum_of_strings_is_a_name() -> None:
    """A member of a `str` enum counts as its text, and becomes plain `str`."""
    command = Sleep(Colour.RED, 1)
    assert type(command.id) is str
    assert command.id == "red"


@given(st.text())
def test_a_name_is_a_path_part(name: str) -> None:
    """Whatever is accepted survives in a path: it can be encoded, has no '/', and no number at its end."""
    try:
        check_name(name, "id")
    except DefinitionError:
        return
    assert name.encode().decode() == name
    assert "/" not in name
    assert name.isprintable() or not any(ord(c) < 32 for c in name)
    _, colon, tail = name.rpartition(":")
    assert not (colon and tail.isascii() and tail.isdigit())


def test_the_message_names_the_culprit_and_the_way_out() -> None:
    """An error about an id says which command, shows the id, and says why."""
    with pytest.raises(DefinitionError, match=r"^id of Sleep: 'nap:2' ends like ':2', .*use another separator$"):
        Sleep("nap:2", 1)


# -- Run -------------------------------------------------------------------------------------------


def test_run_with_an_id() -> None:
    """A first argument that is text is the id; the rest is the call."""
    command = Run("load order", load_order, "7", currency="eur")
    assert (command.id, command.fn, command.args, command.kwargs) == (
        "load order",
        load_order,
        ("7",),
        {"currency": "eur"},
    )


def test_run_without_an_id_takes_the_functions_name() -> None:
    """Without an id, the id is the function's name; a text argument stays an argument."""
    command = Run(load_order, "7")
    assert (command.id, command.args) == ("load_order", ("7",))


def test_run_leaves_all_settings_open() -> None:
    """What `options` did not set is None: the workflow's defaults hold."""
    command = Run(charge, {})
    assert (command.retries, command.backoff, command.timeout, command.loop) == (None, None, None, None)


def test_run_options() -> None:
    """`options` sets what it is given, and leaves the rest."""
    backoff = Backoff.fixed("5s")
    command = Run(charge, {}).options(retries=2, backoff=backoff).options(timeout="1h", loop="asyncio")
    assert (command.retries, command.backoff, command.timeout, command.loop) == (2, backoff, HOUR, "asyncio")
    assert (command.id, command.fn, command.args) == ("charge", charge, ({},))


def test_run_may_be_told_not_to_retry() -> None:
    """`retries=0` is a setting, not the absence of one."""
    assert Run(charge, {}).options(retries=0).retries == 0


def test_keyword_arguments_that_look_like_options_belong_to_the_function() -> None:
    """`Run` takes no options itself, so every keyword is the function's."""
    assert Run("x", load_order, id="7", retries=1).kwargs == {"id": "7", "retries": 1}


class Callable7:
    def __call__(self) -> int:
        return 7


@pytest.mark.parametrize("fn", [lambda: 7, functools.partial(load_order, "7"), Callable7()])
def test_a_function_without_a_name_needs_an_id(fn: Callable[[], Any]) -> None:
    """Lambdas, partials and callable objects have no name to be the id, but run under one that is given."""
    with pytest.raises(DefinitionError, match=r"no name of its own .* write Run\('an id', …\)"):
        Run(fn)
    assert Run("an id", fn).fn is fn


@pytest.mark.parametrize("fn", [len, dict, "x".upper, OrderApproved, charge])
def test_anything_callable_can_be_run(fn: Callable[..., Any]) -> None:
    """Builtins, classes, methods and async functions are functions too."""
    assert Run("an id", fn).fn is fn


@pytest.mark.parametrize(
    "wrong, message",
    [
        (7, "7 is not a function"),
        (None, "None is not a function"),
        (ship, "ship is a generator function, not a step; .* `yield from ship"),
        (stream, "stream is a generator function, not a step"),
        (make_receipt, "make_receipt is a workflow, not a step; run it with Invoke"),
    ],
)
def test_what_is_no_function_is_refused(wrong: Any, message: str) -> None:
    """Each usual slip gets its own hint, with an id and without."""
    with pytest.raises(DefinitionError, match=f"^Run\\('x', …\\): .*{message}"):
        Run("x", wrong)
    with pytest.raises(DefinitionError, match=f"^Run\\(…\\): .*{message}"):
        Run(wrong)


def test_a_call_in_place_of_a_function_is_recognised() -> None:
    """`Run("x", f(a))` with an async f: the hint shows how to write it, and no second warning follows."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DefinitionError, match=r"got the coroutine of charge.*write Run\(id, charge, arguments…\)"):
            Run("x", charge({}))


def test_an_id_alone_is_refused() -> None:
    """`Run("x")` says what is missing."""
    with pytest.raises(DefinitionError, match=r"Run\('x'\) has no function"):
        Run("x")


@pytest.mark.parametrize(
    "options, message",
    [
        ({"retries": -1}, "retries of 'charge': -1"),
        ({"retries": 21}, "retries of 'charge': 21"),
        ({"retries": True}, "retries of 'charge': True"),
        ({"backoff": "1s"}, "backoff of 'charge': '1s' is not a Backoff"),
        ({"timeout": 0}, "timeout of 'charge': 0 leaves no time"),
        ({"timeout": "soon"}, "timeout of 'charge': 'soon'"),
        ({"loop": "uvloop"}, "loop of 'charge': 'uvloop' is no event loop"),
    ],
)
def test_bad_settings_of_run_are_refused(options: dict[str, Any], message: str) -> None:
    """A setting that cannot work names the step and the value."""
    with pytest.raises(DefinitionError, match=message):
        Run(charge, {}).options(**options)


def test_run_fingerprints_its_arguments_only() -> None:
    """Positional and keyword arguments count; id, function and settings do not."""
    command = Run("load", load_order, "7", currency="eur")
    assert fingerprint(command) == [["7"], {"currency": "eur"}]
    assert command.arguments() == command.options(id="other", retries=1, timeout=1).arguments()


def test_a_local_argument_is_not_recorded() -> None:
    """`Local` leaves only its mark in the fingerprint, so that it may be anything."""
    assert fingerprint(Run("load", load_order, Local(object()))) == [[{"$local": True}], {}]


# -- sleeps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("duration", ["1h", 3600, 3600.0, timedelta(hours=1)])
def test_sleep_takes_durations_as_people_write_them(duration: Any) -> None:
    """Text, seconds and timedelta mean the same."""
    assert Sleep("nap", duration).duration == HOUR


@pytest.mark.parametrize("duration", [-1, "367d", float("nan"), "soon", True, None])
def test_a_bad_duration_names_the_step(duration: Any) -> None:
    """A duration that cannot work is refused, with the step's id."""
    with pytest.raises(DefinitionError, match="duration of 'nap'"):
        Sleep("nap", duration)


def test_sleep_may_last_366_days() -> None:
    """The longest sleep is 366 days."""
    assert Sleep("year", "366d").duration == 366 * DAY


def test_sleep_until_is_exact() -> None:
    """A moment is microseconds since the epoch, whatever its zone."""
    elsewhere = NOON.astimezone(datetime(2026, 1, 1).astimezone().tzinfo)
    assert SleepUntil("noon", NOON).until == SleepUntil("noon", elsewhere).until == 1_777_636_800 * SECOND


def test_sleep_until_needs_a_zone() -> None:
    """A naive datetime could mean any zone, so it is refused."""
    with pytest.raises(DefinitionError, match="moment of 'noon'.*no time zone"):
        SleepUntil("noon", datetime(2026, 5, 1, 12))


def test_durations_are_no_part_of_the_fingerprint() -> None:
    """Sleeps and timeouts may be tuned while runs are open."""
    assert Sleep("nap", 1).arguments() == Sleep("nap", 2).arguments()
    assert WaitFor("w", "a", timeout=1).arguments() == WaitFor("w", "a", timeout=2, since="now").arguments()
    assert WaitForSignal("w", "a", timeout=1).arguments() == WaitForSignal("w", "a", timeout=2).arguments()
    assert Invoke("i", "a").arguments() == Invoke("i", "a", timeout=2, on_cancel="leave").arguments()


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


# -- All and Race ----------------------------------------------------------------------------------


def test_all_numbers_its_branches() -> None:
    """Branches without names are known by their index."""
    nap, part = Sleep("nap", 1), ship(None)
    command = All(nap, part, limit=1, on_error="collect")
    assert command.branches == ((0, nap), (1, part))
    assert (command.as_dict, command.limit, command.on_error) == (False, 1, "collect")


def test_all_of_a_dict_is_named() -> None:
    """Branches in a dict are known by their names, in its order."""
    a, b = Sleep("a", 1), Sleep("b", 1)
    command = All({"second": b, "first": a})
    assert command.branches == (("second", b), ("first", a))
    assert (command.as_dict, command.limit, command.on_error) == (True, None, "fail")


def test_all_of_nothing_is_fine() -> None:
    """A fan-out over an empty list is over at once; it is not an error."""
    assert All().branches == All(*[]).branches == ()
    assert All({}).as_dict


def test_all_options() -> None:
    """`options` changes limit and on_error, and keeps the branches."""
    command = All(Sleep("a", 1))
    assert command.options(limit=3, on_error="collect") == All(Sleep("a", 1), limit=3, on_error="collect")


def test_race_names_its_branches() -> None:
    """The names of a race are its keywords, `self` included."""
    a, b = Sleep("a", 1), Sleep("b", 1)
    assert Race(self=a, late=b).branches == (("self", a), ("late", b))


def test_a_race_needs_a_branch() -> None:
    """Nothing could ever win a race of nothing."""
    with pytest.raises(DefinitionError, match=r"Race\(\) has no branches"):
        Race()


def test_groups_are_branches_too() -> None:
    """`All` and `Race` nest."""
    inner = Race(a=Sleep("a", 1))
    assert All(All(inner)).branches[0][1].branches == ((0, inner),)


def started() -> Steps[str]:
    part = ship(None)
    next(part)
    return part


@pytest.mark.parametrize(
    "branch, message",
    [
        (7, "7 is neither a command nor a generator"),
        (None, "None is neither"),
        (ship, r"ship is a generator function that was not called; write ship\(…\)"),
        (make_receipt, r"make_receipt is a generator function that was not called"),
        (load_order, r"load_order is a function; write Run\('load_order', load_order, arguments…\)"),
        (charge, r"charge is a function; write Run"),
        (stream, r"neither a command nor a generator"),
        ([Sleep("a", 1)], r"got a list; unpack it: All\(\*branches\)"),
        (Restart(), "Restart ends the whole run"),
    ],
)
def test_what_is_no_branch_is_refused(branch: Any, message: str) -> None:
    """Each usual slip is named with its branch, and with what to write instead."""
    with pytest.raises(DefinitionError, match=f"branch 1 of All: .*{message}"):
        All(Sleep("a", 1), branch)
    with pytest.raises(DefinitionError, match=f"branch 'b' of Race: .*{message}"):
        Race(a=Sleep("a", 1), b=branch)


def test_a_coroutine_is_no_branch() -> None:
    """A call of an async function is named, and no second warning follows."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DefinitionError, match=r"branch 0 of All: got the coroutine of charge"):
            All(charge({}))


def test_an_async_generator_is_no_branch() -> None:
    """An async generator cannot yield commands to a workflow."""
    with pytest.raises(DefinitionError, match=r"stream is an async generator"):
        All(stream())


def test_a_generator_is_a_branch_once() -> None:
    """A generator that has been started, or that is a branch already, cannot be one."""
    with pytest.raises(DefinitionError, match="branch 0 of All: ship has been started; call it afresh"):
        All(started())
    part = ship(None)
    with pytest.raises(DefinitionError, match="branches 'a' and 'b' of Race are one generator"):
        Race(a=part, b=part)


def test_a_command_may_be_several_branches() -> None:
    """A command is a value: twice the same is two steps."""
    nap = Sleep("nap", 1)
    assert All(nap, nap).branches == ((0, nap), (1, nap))


@pytest.mark.parametrize("name", ["a/b", "a:1", "", 7])
def test_names_of_branches_are_names(name: Any) -> None:
    """A branch's name becomes part of a path."""
    with pytest.raises(DefinitionError, match="name of a branch of All"):
        All({name: Sleep("a", 1)})


@pytest.mark.parametrize("limit", [0, -1, 1.5, True, "2"])
def test_a_bad_limit_is_refused(limit: Any) -> None:
    """At least one branch runs at a time."""
    with pytest.raises(DefinitionError, match="limit of All"):
        All(limit=limit)


def test_a_bad_on_error_is_refused() -> None:
    """There are two answers to an error."""
    with pytest.raises(DefinitionError, match="on_error of All: 'ignore' is neither"):
        All(on_error="ignore")


def test_a_winner_is_a_value() -> None:
    """A winner has the branch's name and its value."""
    assert attrs.astuple(Winner("late", None)) == ("late", None)


# -- repr ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command, text",
    [
        (Run("load order", load_order, "7", currency="eur"), "Run('load order', load_order, '7', currency='eur')"),
        (Run(charge).options(retries=2, timeout="90s"), "Run('charge', charge).options(retries=2, timeout='1m30s')"),
        (Sleep("nap", 1800), "Sleep('nap', '30m')"),
        (SleepUntil("noon", NOON), "SleepUntil('noon', '2026-05-01T12:00:00+00:00')"),
        (
            WaitFor("ok", OrderApproved, match="data.order_id", timeout="7d"),
            "WaitFor('ok', OrderApproved, match='data.order_id', timeout='7d')",
        ),
        (WaitForSignal("ok", "go", timeout="7d"), "WaitForSignal('ok', 'go', timeout='7d')"),
        (Invoke("r", make_receipt, {"x": 1}, timeout="1h"), "Invoke('r', 'shop/make-receipt', {'x': 1}, timeout='1h')"),
        (SendSignal("s", "go", 1), "SendSignal('s', 'go', 1)"),
        (SendEvent("s", [Event("a")]), f"SendEvent('s', {Event('a')!r})"),
        (Restart(), "Restart()"),
        (Restart({"n": 1}), "Restart({'n': 1})"),
        (All(Sleep("a", 1), ship(None), limit=2), "All(Sleep('a', '1s'), ship(…), limit=2)"),
        (All({"a": Sleep("a", 1)}), "All({'a': Sleep('a', '1s')})"),
        (Race(a=Sleep("a", 1), b=ship(None)), "Race(a=Sleep('a', '1s'), b=ship(…))"),
    ],
)
def test_a_command_reads_like_its_source(command: Command[Any], text: str) -> None:
    """The repr of a command is what one would write."""
    assert repr(command) == text


def test_a_long_argument_is_cut() -> None:
    """A repr stays short, and survives an argument whose own repr fails."""

    class Broken:
        def __repr__(self) -> str:
            raise ValueError("no")

    assert len(repr(Run("load", load_order, "x" * 10_000))) < 200
    assert "Broken object" in repr(Run("load", load_order, Broken()))
