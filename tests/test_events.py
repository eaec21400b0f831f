"""Events: what is refused when they are made, what is stored of them, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import attrs
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import DefinitionError, InvalidInput, UndecodableError
from flowgen.events import (
    AcceptedEvent,
    Event,
    accept_event,
    as_event,
    check_sendable,
    event_document,
    event_name,
    event_type,
    is_event_class,
    restore,
)
from flowgen.ids import new_id
from flowgen.outcome import Json
from flowgen.values import Secret

NOW = 1_900_000_000_000_000
ID = new_id(NOW, bytes(10))
NAMES = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=256)
IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1, max_size=256)
TIMES = st.datetimes(datetime(1980, 1, 2), datetime(2099, 12, 30), timezones=st.just(UTC))
DATA = st.dictionaries(st.text("abc", max_size=3), st.integers() | st.text("xyz") | st.lists(st.booleans()), max_size=4)


@event_type("order/placed")
@attrs.frozen
class OrderPlaced:
    order_id: str
    total: Decimal = Decimal(0)


@event_type("order/packed")
@dataclass(frozen=True)
class OrderPacked:
    order_id: str


@event_type("order/shipped")
class OrderShipped(pydantic.BaseModel):
    order_id: str


TYPED = [OrderPlaced("7", Decimal("1.50")), OrderPacked("7"), OrderShipped(order_id="7")]


# -- made -----------------------------------------------------------------------------------------


@given(NAMES, DATA, st.none() | IDS, st.none() | TIMES)
def test_any_event_in_bounds_is_accepted_and_given_back(
    name: str, data: dict[str, Any], id: str | None, ts: datetime | None
) -> None:
    """What was sent is what a workflow gets; without an id the internal one, without a time the acceptance."""
    accepted = accept_event(Event(name, data, id, ts), ID, NOW)
    back = restore(accepted)
    assert (back.name, back.data) == (name, data)
    assert back.id == (id or ID)
    assert back.ts == (ts or datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=NOW))


def test_data_defaults_to_an_empty_object() -> None:
    """An event may be only its name, and no two events share their data."""
    assert Event("ping").data == {}
    assert Event("ping").data is not Event("ping").data


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Event(""), "event name '' has 0 characters; 1 to 256 are accepted"),
        (lambda: Event("x" * 257), "has 257 characters"),
        (lambda: Event(5), "event name 5 is no text"),  # type: ignore[arg-type]
        (lambda: Event("a\nb"), r"event name 'a\nb' has a control character at 2: '\n'"),
        (lambda: Event("a\x85"), "has a control character at 2"),
        (lambda: Event("a\ud800"), "has a control character at 2"),
        (lambda: Event("a", None), "event 'a': data is a NoneType; it must be a dict"),
        (lambda: Event("a", [1]), "event 'a': data is a list; it must be a dict"),
        (lambda: Event("a", "text"), "event 'a': data is a str"),
        (lambda: Event("a", id=""), "event 'a': id '' has 0 characters"),
        (lambda: Event("a", id="x" * 257), "has 257 characters"),
        (lambda: Event("a", id=7), "event 'a': id 7 is no text"),  # type: ignore[arg-type]
        (lambda: Event("a", id="x\x00"), "has a NUL character or a lone surrogate"),
        (lambda: Event("a", id="\ud800"), "has a NUL character or a lone surrogate"),
        (lambda: Event("a", ts=datetime(2030, 1, 1)), "has no time zone"),
        (lambda: Event("a", ts=1.5), "event 'a': ts 1.5 is no datetime"),  # type: ignore[arg-type]
        (lambda: Event("a", ts=datetime(1979, 12, 31, tzinfo=UTC)), "is not between 1980 and 2100"),
        (lambda: Event("a", ts=datetime(2100, 1, 1, 1, tzinfo=UTC)), "is not between 1980 and 2100"),
    ],
)
def test_an_event_out_of_bounds_is_refused_when_it_is_made(make: Any, message: str) -> None:
    """The error names the event, the field, the value and the bound."""
    with pytest.raises(InvalidInput) as caught:
        make()
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 256, "ordre/passé", "🎉", "a\u202eb", "flowgen/run.failed"])
def test_unusual_names_are_names(name: str) -> None:
    """Emoji, right-to-left marks and the engine's own names can be made; showing them safely is the reader's."""
    assert Event(name).name == name


def test_the_bounds_of_time_are_inclusive() -> None:
    """1980 to 2100, in whatever zone."""
    east = timezone(timedelta(hours=14))
    assert Event("a", ts=datetime(1980, 1, 1, 14, tzinfo=east)).ts is not None
    assert Event("a", ts=datetime(2100, 1, 1, tzinfo=UTC)).ts is not None


def test_only_the_engine_sends_its_own_events() -> None:
    """`flowgen/` is refused when it is sent, and as a typed event."""
    assert check_sendable("order/placed") == "order/placed"
    with pytest.raises(InvalidInput, match="the prefix 'flowgen/' is reserved"):
        check_sendable("flowgen/run.failed")
    with pytest.raises(DefinitionError, match="event_type: .*reserved"):
        event_type("flowgen/x")


# -- typed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", TYPED, ids=lambda data: type(data).__name__)
def test_a_typed_event_is_its_data(data: Any) -> None:
    """An instance can be sent as it is, and comes back as an instance where its class is known."""
    event = as_event(data)
    assert event == Event(event_name(type(data)), data)
    assert as_event(event) is event
    accepted = accept_event(event, ID, NOW)
    assert restore(accepted, type(data)).data == data
    assert restore(accepted).data["order_id"] == "7"
    assert accepted.data == accept_event(Event(event.name, restore(accepted).data), ID, NOW).data


def test_the_name_is_kept_on_the_class_itself() -> None:
    """A subclass is another event class or none: it does not inherit the name."""

    @attrs.frozen
    class Express(OrderPlaced):
        pass

    assert is_event_class(OrderPlaced)
    assert not is_event_class(Express)
    assert not is_event_class(OrderPlaced("7"))
    with pytest.raises(DefinitionError, match=r"Express is no event class; decorate it with @event_type"):
        event_name(Express)
    with pytest.raises(InvalidInput, match=r"is no event: send an Event, or an instance of an @event_type class"):
        as_event(Express("7"))


def test_event_type_goes_above_the_decorator_that_makes_fields() -> None:
    """A class without fields is refused, with what to do; a bad name too."""
    with pytest.raises(DefinitionError, match=r"Bare is no attrs class, .*put @event_type above"):

        @event_type("a")
        class Bare:
            pass

    with pytest.raises(DefinitionError, match="event_type: event name '' has 0 characters"):
        event_type("")


@pytest.mark.parametrize("thing", ["order/placed", {"name": "a"}, None, OrderPlaced])
def test_what_is_no_event_cannot_be_sent(thing: Any) -> None:
    """Names, dicts and classes are no events."""
    with pytest.raises(InvalidInput, match="is no event"):
        as_event(thing)


# -- accepted -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"a": [float("nan")]}, "data of event 'x', at $.a[0]: nan has no JSON form"),
        ({"a": "\x00"}, "at $.a: text with a NUL character"),
        ({"a": object()}, "at $.a: a object has no JSON form"),
        ({"a": Secret("hunter2")}, "at $.a: a Secret is never stored"),
        ({"a": "x" * 524_288}, "524,296 bytes of JSON; at most 524,288 are accepted"),
        (pydantic.RootModel[list[int]]([1]), "data of event 'x': it must be a JSON object, not [1]"),
    ],
    ids=["nan", "nul", "object", "secret", "large", "array"],
)
def test_data_that_cannot_be_stored_is_refused(data: Any, message: str) -> None:
    """Whoever sends it is told the event, the path and the reason; nothing else of the data."""
    with pytest.raises(InvalidInput) as caught:
        accept_event(Event("x", data), ID, NOW)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_the_greatest_event_is_accepted() -> None:
    """512 KiB of data, and not a byte more."""
    accepted = accept_event(Event("x", {"a": "x" * (524_288 - 8)}), ID, NOW)
    assert len(bytes(accepted.data)) == 524_288


def test_an_accepted_event_keeps_what_was_given() -> None:
    """The user's id is only a key; the time is theirs if they gave one."""
    when = datetime(2031, 5, 6, 7, 8, 9, 123_456, tzinfo=UTC)
    accepted = accept_event(Event("x", {"a": 1}, "cart-7", when), ID, NOW)
    assert (accepted.id, accepted.key, accepted.accepted_at, accepted.position) == (ID, "cart-7", NOW, None)
    assert restore(accepted).ts == when
    assert accept_event(Event("x"), ID, NOW).ts == NOW


@given(DATA, st.none() | TIMES)
def test_a_repeat_has_the_same_digest(data: dict[str, Any], ts: datetime | None) -> None:
    """Whenever it is sent again, with its keys in whatever order; the internal id does not count."""
    again = dict(reversed(data.items()))
    first = accept_event(Event("x", data, "k", ts), ID, NOW)
    second = accept_event(Event("x", again, "k", ts), new_id(NOW + 5, bytes(10)), NOW + 5)
    assert first.digest == second.digest


def test_another_payload_has_another_digest() -> None:
    """Name, data and the given time count, and cannot be mistaken for each other; the user's id does not."""
    when = datetime(2031, 1, 1, tzinfo=UTC)
    events = [
        Event("x", {"a": 1}),
        Event("y", {"a": 1}),
        Event("x", {"a": 2}),
        Event("x", {"a": "1"}),
        Event("x", {"a": 1}, ts=when),
        Event("x", {"a": 1}, ts=when + timedelta(microseconds=1)),
    ]
    assert len({accept_event(event, ID, NOW).digest for event in events}) == len(events)
    assert accept_event(events[0], ID, NOW).digest == accept_event(attrs.evolve(events[0], id="k"), ID, NOW).digest


def test_expressions_see_a_document() -> None:
    """Name, data, the user's id or else the internal one, and the time in milliseconds."""
    accepted = AcceptedEvent(ID, "x", Json(b'{"a":1}'), NOW + 1_999, NOW)
    assert event_document(accepted) == {"name": "x", "data": {"a": 1}, "id": ID, "ts": NOW // 1000 + 1}
    assert event_document(attrs.evolve(accepted, key="cart-7"))["id"] == "cart-7"


def test_data_that_no_longer_fits_its_class_says_so() -> None:
    """An event that was recorded for another class is an UndecodableError."""
    with pytest.raises(UndecodableError, match="does not fit OrderPlaced"):
        restore(AcceptedEvent(ID, "order/placed", Json(b'{"order_id":7}'), NOW, NOW), OrderPlaced)
