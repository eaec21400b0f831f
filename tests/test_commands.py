"""Commands: what they hold, what they refuse, and what of them is fingerprinted."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import (
    All,
    Backoff,
    DefinitionError,
    Event,
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
)
from flowgen.commands import Command, check_name
from flowgen.duration import DAY, HOUR, SECOND
from tests.commands import (
    NOON,
    STEP_COMMANDS,
    OrderApproved,
    charge,
    each_step_command,
    fingerprint,
    load_order,
    made,
    make_receipt,
    ship,
    stream,
)

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
