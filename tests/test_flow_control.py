"""The options of flow control: what they hold, how they are shown, and what each refuses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.commands.waits import WHERE_VARIABLES
from flowgen.duration import DAY, HOUR, MAX_DURATION, MINUTE, SECOND
from flowgen.errors import DefinitionError
from flowgen.events import Event, event_type
from flowgen.flow_control import (
    Batch,
    CancelOn,
    Concurrency,
    Debounce,
    Priority,
    RateLimit,
    Singleton,
    Throttle,
    Timeouts,
)
from flowgen.flow_control.options import CANCEL_VARIABLES, MAX_BATCH, MAX_LIMIT, MAX_RATE_LIMIT
from tests.flow_control import OPTIONS

KEY = "event.data.customer_id"


@event_type("order/cancelled")
@attrs.frozen
class OrderCancelled:
    order_id: str


# -- what they hold --------------------------------------------------------------------------------


def test_concurrency_is_by_workflow_unless_the_app_shares_it() -> None:
    """A limit, a key and a scope."""
    assert Concurrency(10, key=KEY) == Concurrency(10, key=KEY, scope="workflow") != Concurrency(10)
    shared = Concurrency(limit=3, scope="app")
    assert (shared.limit, shared.key, shared.scope) == (3, None, "app")


def test_a_throttle_lets_one_start_at_once() -> None:
    """Unless its burst says more."""
    throttle = Throttle(3, per="1m")
    assert (throttle.limit, throttle.per, throttle.key, throttle.burst) == (3, MINUTE, None, 1)
    assert Throttle(3, "1m", key=KEY, burst=20).burst == 20


def test_durations_are_written_in_three_ways() -> None:
    """As text, as seconds, as a timedelta: they are equal."""
    assert RateLimit(5, per="90s") == RateLimit(5, per=90) == RateLimit(5, per=timedelta(minutes=1.5))
    assert Debounce(1.5).period == 1.5 * SECOND


def test_debounce_batch_and_timeouts_hold_microseconds() -> None:
    """Each duration in its field; what is not given is None."""
    debounce = Debounce("5m", key=KEY, max_wait="1h")
    assert (debounce.period, debounce.key, debounce.max_wait) == (5 * MINUTE, KEY, HOUR)
    assert Debounce("5m").max_wait is None
    batch = Batch(100, wait="5s")
    assert (batch.size, batch.wait, batch.key) == (100, 5 * SECOND, None)
    assert (Timeouts(start="1h").start, Timeouts(start="1h").finish) == (HOUR, None)
    assert Timeouts(finish="2d").finish == 2 * DAY


def test_a_singleton_skips_unless_it_cancels() -> None:
    """Its mode is said by name, its key is optional."""
    assert (Singleton().key, Singleton().mode) == (None, "skip")
    assert Singleton(key=KEY, mode="cancel").mode == "cancel"


def test_cancelling_events_are_named_or_typed() -> None:
    """An event class stands for its name, also in equality."""
    by_class = CancelOn(OrderCancelled, match="data.order_id", timeout="7d")
    assert by_class == CancelOn("order/cancelled", match="data.order_id", timeout="7d")
    assert (by_class.event, by_class.match, by_class.where, by_class.timeout) == (
        "order/cancelled",
        "data.order_id",
        None,
        7 * DAY,
    )
    assert CancelOn("a").timeout is None


def test_a_cancelling_condition_reads_what_that_of_a_wait_reads() -> None:
    """The same two variables, so that one sort of wait serves both."""
    assert CANCEL_VARIABLES == WHERE_VARIABLES


def test_space_around_a_key_is_no_part_of_it() -> None:
    """Keys that differ in nothing else are the same."""
    assert Singleton(key=f" {KEY} ") == Singleton(key=KEY)


@pytest.mark.parametrize("key", ["event", KEY, "event.name", "event.id", "event.ts", "'all'", "event.data['a b'].c"])
def test_a_key_may_read_all_of_an_event(key: str) -> None:
    """Its four fields, whole or in part, and also nothing of it."""
    assert Concurrency(1, key=key).key == key


@pytest.mark.parametrize(
    "text",
    [
        "Concurrency(10)",
        "Concurrency(10, key='event.data.a', scope='app')",
        "Throttle(3, per='1m')",
        "Throttle(3, per='1h30m', key='event.data.a', burst=5)",
        "RateLimit(10, per='1h', key='event.data.a')",
        "Debounce('5m')",
        "Debounce('250ms', key='event.data.a', max_wait='1h')",
        "Batch(100, wait='5s', key='event.data.a')",
        "Priority('event.data.vip ? 120 : 0')",
        "Singleton()",
        "Singleton(key='event.data.a', mode='cancel')",
        "CancelOn('a/b')",
        "CancelOn('a/b', match='data.a', where='async.data.b == 1', timeout='7d')",
        "Timeouts(start='1h', finish='2d')",
        "Timeouts(finish='1us')",
    ],
)
def test_an_option_shows_how_it_was_written(text: str) -> None:
    """Its repr is the shortest text that makes it."""
    assert repr(eval(text)) == text


@given(OPTIONS)
def test_the_repr_of_any_option_makes_an_equal_one(option: Any) -> None:
    """Nothing that it holds is missing from how it is shown, and it is hashable."""
    again = eval(repr(option))
    assert again == option
    assert hash(again) == hash(option)


@given(OPTIONS, st.data())
def test_an_option_cannot_be_changed(option: Any, data: st.DataObject) -> None:
    """Each of its fields is for good."""
    name = data.draw(st.sampled_from([field.name for field in attrs.fields(type(option))]))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(option, name, None)


# -- what they refuse ------------------------------------------------------------------------------

NO_COUNT = [0, -1, True, 1.0, "3", None]

COUNTS: dict[str, tuple[Callable[[Any], object], int]] = {
    "limit of Concurrency": (Concurrency, MAX_LIMIT),
    "limit of Throttle": (lambda n: Throttle(n, per="1d"), MAX_LIMIT),
    "burst of Throttle": (lambda n: Throttle(1, per="1ms", burst=n), MAX_LIMIT),
    "limit of RateLimit": (lambda n: RateLimit(n, per="1m"), MAX_RATE_LIMIT),
    "size of Batch": (lambda n: Batch(n, wait="1s"), MAX_BATCH),
}

SPANS: dict[str, Callable[[Any], object]] = {
    "per of Throttle": lambda span: Throttle(1, per=span),
    "per of RateLimit": lambda span: RateLimit(1, per=span),
    "period of Debounce": Debounce,
    "max_wait of Debounce": lambda span: Debounce("1us", max_wait=span),
    "wait of Batch": lambda span: Batch(1, wait=span),
    "timeout of CancelOn('a')": lambda span: CancelOn("a", timeout=span),
    "start of Timeouts": lambda span: Timeouts(start=span),
    "finish of Timeouts": lambda span: Timeouts(finish=span),
}

EXPRESSIONS: dict[str, Callable[[Any], object]] = {
    "key of Concurrency": lambda key: Concurrency(1, key=key),
    "key of Throttle": lambda key: Throttle(1, per="1s", key=key),
    "key of RateLimit": lambda key: RateLimit(1, per="1s", key=key),
    "key of Debounce": lambda key: Debounce("1s", key=key),
    "key of Batch": lambda key: Batch(1, wait="1s", key=key),
    "key of Singleton": lambda key: Singleton(key=key),
    "expression of Priority": Priority,
    "where of CancelOn('a')": lambda where: CancelOn("a", where=where),
}


def refusal(make: Callable[[], object]) -> str:
    """The message with which something is refused."""
    with pytest.raises(DefinitionError) as caught:
        make()
    return str(caught.value)


@pytest.mark.parametrize("what", COUNTS)
def test_counts_have_bounds(what: str) -> None:
    """From 1 to the greatest, both accepted; one more, or what is no int, is refused with the value and the bounds."""
    make, greatest = COUNTS[what]
    make(1)
    make(greatest)
    for bad in [*NO_COUNT, greatest + 1]:
        assert refusal(lambda bad=bad: make(bad)) == f"{what}: {bad!r} is not an int from 1 to {greatest:,}"


@pytest.mark.parametrize("what", SPANS)
def test_durations_are_above_zero_and_at_most_366_days(what: str) -> None:
    """A microsecond and 366 days are accepted; zero, what rounds to it, and more than the longest are refused."""
    make = SPANS[what]
    make("1us")
    make("366d")
    for nothing in [0, "0s", timedelta(0), 1e-9]:
        assert refusal(lambda nothing=nothing: make(nothing)) == (
            f"{what}: {nothing!r} is no time at all; write a duration above zero, such as '30s'"
        )
    assert refusal(lambda: make("367d")) == f"{what}: '367d' is too long; at most 366d is accepted"
    assert refusal(lambda: make(-1)) == f"{what}: -1 is negative; a duration is zero or more"
    for bad in ["soon", "P1Y", float("nan"), True, []]:
        assert refusal(lambda bad=bad: make(bad)).startswith(f"{what}: ")


@pytest.mark.parametrize("what", EXPRESSIONS)
def test_expressions_are_compiled_where_they_are_written(what: str) -> None:
    """What is no expression, cannot be compiled or reads what no event has is refused with its place."""
    make = EXPRESSIONS[what]
    make("event.data.customer_id")
    assert refusal(lambda: make(5)).startswith(f"{what}: 5 is no expression; it is text")
    assert refusal(lambda: make("event.data.")).startswith(f"{what}: 'event.data.': line 1, column 12: ")
    assert refusal(lambda: make("")).startswith(f"{what}: ''")
    assert "10,001 characters" in refusal(lambda: make("x" * 10_001))
    assert refusal(lambda: make("1 + event.user.id")) == (
        f"{what}: '1 + event.user.id' at character 5: an event has no 'user', only name, data, id, ts; "
        "write event.data.user.id"
    )
    assert "at character 1: an event has no 'user'" in refusal(lambda: make("event['user'] == 1"))


@pytest.mark.parametrize("what", [what for what in EXPRESSIONS if not what.startswith("where")])
def test_keys_and_priorities_read_only_the_event(what: str) -> None:
    """There is no second event yet."""
    assert "undeclared reference" in refusal(lambda: EXPRESSIONS[what]("async.data.x"))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: Concurrency(1, scope="account"),  # type: ignore[arg-type]
            "scope of Concurrency: 'account' is neither 'workflow' nor 'app'",
        ),
        (
            lambda: Singleton(mode=None),  # type: ignore[arg-type]
            "mode of Singleton: None is neither 'skip' nor 'cancel'",
        ),
        (
            lambda: Throttle(1_001, per="1ms"),
            "limit of Throttle: 1,001 per 1ms is more than one start each microsecond; lower the limit or lengthen per",
        ),
        (
            lambda: Throttle(1, per="200d", burst=2),
            "burst of Throttle: 2 at 1 per 200d take 400d to be there again; at most 366d is accepted: lower burst",
        ),
        (
            lambda: Debounce("5m", max_wait="4m59s"),
            "max_wait of Debounce: 4m59s is shorter than period (5m), which would never be waited for; "
            "lengthen max_wait or shorten period",
        ),
        (Timeouts, "Timeouts() limits nothing; give it start, finish or both, such as finish='2d'"),
        (
            lambda: CancelOn("order/*"),
            "event of CancelOn: 'order/*' is a pattern, for triggers only; name one event, "
            "and give a list of CancelOn for several",
        ),
        (lambda: CancelOn(""), "event of CancelOn: event name '' has 0 characters; 1 to 256 are accepted"),
        (
            lambda: CancelOn("flowgen/run.failed"),
            "event of CancelOn: event name 'flowgen/run.failed': flowgen's own events are only emitted for workflows "
            "that start on them, so a run would wait in vain; to wait for another run use Invoke in a workflow, or "
            "`result` of the engine, and to start a workflow on it use OnEvent",
        ),
        (
            lambda: CancelOn(Event("a")),  # type: ignore[arg-type]
            "event of CancelOn: got an event; write its name, 'a'",
        ),
        (lambda: CancelOn(7), "event of CancelOn: 7 is neither an event's name nor an event class"),  # type: ignore[arg-type]
        (
            lambda: CancelOn(int),
            'int is no event class; decorate it with @event_type("some/name")',
        ),
        (
            lambda: CancelOn("a", match="order_id"),
            "match of CancelOn('a'): 'order_id' is no path into an event; it begins with data, name, id, ts: "
            'write "data.order_id"',
        ),
        (
            lambda: CancelOn("a", match="data..x"),
            "match of CancelOn('a'): 'data..x' at character 6: '' is no field name; "
            'write a path like "data.order_id"',
        ),
    ],
)
def test_what_makes_no_sense_is_refused_where_it_is_written(make: Callable[[], object], message: str) -> None:
    """The option is named, its value shown, and what to do is said."""
    assert refusal(make) == message


def test_values_at_the_bounds_make_sense() -> None:
    """One step from what is refused."""
    assert Throttle(1_000, per="1ms").limit == 1_000
    assert Throttle(2, per="366d", burst=2).burst == 2
    assert Throttle(1, per="366d").per == MAX_DURATION
    assert Debounce("5m", max_wait="5m").max_wait == 5 * MINUTE


def test_a_value_that_cannot_be_shown_is_refused_all_the_same() -> None:
    """The message does without its repr."""

    class Shy:
        def __repr__(self) -> str:
            raise RuntimeError

    assert ".Shy obj" in refusal(lambda: Concurrency(Shy()))  # type: ignore[arg-type]
    assert len(refusal(lambda: Concurrency("x" * 10_000))) < 200  # type: ignore[arg-type]
