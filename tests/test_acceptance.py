"""Accepting events: what a repeat is, how long it is one, and what is started (semantics: Events and triggers)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen import Event
from flowgen.acceptance import (
    DEDUPE_WINDOW,
    STARTS_AT_ONCE,
    Acceptance,
    accept,
    event_key,
    is_delayed,
    starts_of,
)
from flowgen.decisions import start_runs
from flowgen.duration import moment
from flowgen.errors import EventConflict
from flowgen.events import AcceptedEvent, accept_event
from flowgen.facts import Facts, Questions
from flowgen.flow_control import Policies, RateLimit
from flowgen.routing import Route, RouteTable
from flowgen.transition import Key, NewRun, Transition
from flowgen.workflow import Definition, TriggerDefinition
from tests.bodies import SECOND, START

NOW = START
TABLE = RouteTable([Route("shop", Definition("fulfil", (TriggerDefinition("order/*"),)))])


def event(number: int, key: str | None = None, name: str = "order/placed", **data: Any) -> AcceptedEvent:
    return accept_event(Event(name, data, id=key), f"01KE00000000000000000000{number:02}", NOW)


def knowing(*keys: Key, free: tuple[str, ...] = (), started: dict[str, bool] | None = None) -> Facts:
    """Facts in which these keys are held and these event ids free."""
    facts = Facts(TABLE, started=started or {})
    for key in keys:
        facts.keys["", key.name] = key
    for name in free:
        facts.keys["", event_key(name)] = None
    return facts


def held(key: str, by: AcceptedEvent, expires_at: int = NOW + SECOND, version: int = 3) -> Key:
    return Key(event_key(key), by.id, by.digest, expires_at, version)


def accepted(events: list[AcceptedEvent], facts: Facts, now: int = NOW) -> Acceptance:
    answer = accept(events, facts, now)
    assert isinstance(answer, Acceptance), answer
    return answer


def test_an_event_without_an_id_is_always_new() -> None:
    """Nothing has to be known, and no key is taken."""
    answer = accepted([event(1), event(2)], Facts(TABLE))
    assert answer.ids == (event(1).id, event(2).id)
    assert len(answer.accept) == len(answer.gate.create) == 2
    assert answer.take == ()


def test_an_id_must_be_looked_up() -> None:
    """The key of each id in the batch is asked for, once."""
    questions = accept([event(1, "k"), event(2, "k"), event(3, "l")], Facts(TABLE), NOW)
    assert isinstance(questions, Questions)
    assert questions.keys == {("", "event/k"), ("", "event/l")}


def test_a_new_id_takes_its_key_for_a_day() -> None:
    """Held by the event's internal id, with the digest of the payload."""
    new = event(1, "k")
    (take,) = accepted([new], knowing(free=("k",))).take
    assert (take.app, take.name, take.holder, take.detail) == ("", "event/k", new.id, new.digest)
    assert (take.expires_at, take.version) == (NOW + DEDUPE_WINDOW, 0)
    assert timedelta(microseconds=DEDUPE_WINDOW) == timedelta(hours=24)


def test_a_repeat_answers_the_first_id_and_starts_nothing() -> None:
    """The same id with the same payload."""
    first, again = event(1, "k", n=1), event(2, "k", n=1)
    answer = accepted([again], knowing(held("k", first)))
    assert (answer.ids, answer.accept, answer.take, answer.gate.create) == ((first.id,), (), (), [])


def test_another_payload_is_a_conflict() -> None:
    """Other data, or another name; the whole batch is refused."""
    first = event(1, "k", n=1)
    for other in (event(2, "k", n=2), event(2, "k", name="order/changed", n=1)):
        with pytest.raises(EventConflict, match="event id 'k' was already used with another payload"):
            accept([event(3), other], knowing(held("k", first)), NOW)


def test_the_given_time_is_part_of_the_payload() -> None:
    """The time of acceptance is not."""
    first = event(1, "k")
    later = accept_event(Event("order/placed", {}, id="k"), "01KE0000000000000000000099", NOW + SECOND)
    assert accepted([later], knowing(held("k", first))).ids == (first.id,)
    timed = accept_event(Event("order/placed", {}, id="k", ts=moment(NOW)), "01KE0000000000000000000099", NOW)
    with pytest.raises(EventConflict):
        accept([timed], knowing(held("k", first)), NOW)


def test_the_window_is_a_day_and_then_as_long_as_a_run_is_open() -> None:
    """After its expiry, what the event started is asked for; an open run keeps the id taken (I5)."""
    first, again = event(1, "k"), event(2, "k")
    old = held("k", first, expires_at=NOW)
    questions = accept([again], knowing(old), NOW)
    assert isinstance(questions, Questions)
    assert questions.started == {first.id}
    assert accepted([again], knowing(old, started={first.id: True})).ids == (first.id,)
    renewed = accepted([again], knowing(old, started={first.id: False}))
    assert renewed.ids == (again.id,)
    assert renewed.take[0].version == old.version
    with pytest.raises(EventConflict):
        accept([event(3, "k", n=9)], knowing(old, started={first.id: True}), NOW)


def test_within_the_window_nothing_but_the_key_is_asked() -> None:
    """A microsecond before its expiry a key is good."""
    first = event(1, "k")
    assert accepted([event(2, "k")], knowing(held("k", first, expires_at=NOW + 1))).ids == (first.id,)


def test_within_a_batch_an_equal_id_repeats_the_earlier_item() -> None:
    """One event, one key, one run; with another payload the batch is refused."""
    first, again, other = event(1, "k"), event(2, "k"), event(3, "k", n=1)
    answer = accepted([first, again], knowing(free=("k",)))
    assert answer.ids == (first.id, first.id)
    assert len(answer.accept) == len(answer.take) == len(answer.gate.create) == 1
    with pytest.raises(EventConflict):
        accept([first, other], knowing(free=("k",)), NOW)


def test_an_event_of_the_future_starts_nothing_yet() -> None:
    """It is accepted, and takes its key."""
    future = accept_event(Event("order/placed", ts=moment(NOW + 1), id="k"), "01KE0000000000000000000001", NOW)
    assert is_delayed(future)
    answer = accepted([future], knowing(free=("k",)))
    assert (len(answer.accept), len(answer.take), answer.gate.create) == (1, 1, [])


def test_an_event_of_the_past_or_of_now_is_not_delayed() -> None:
    """Only what lies ahead waits."""
    for at in (NOW, NOW - SECOND):
        assert not is_delayed(accept_event(Event("a/b", ts=moment(at)), "x", NOW))


def test_routing_again_makes_the_same_runs() -> None:
    """Ids and seeds derive from the event: a router that crashed may do it all again."""
    one, two = started(event(1), NOW), started(event(1), NOW + SECOND)
    assert [(new.row.id, new.row.seed) for new in one] == [(new.row.id, new.row.seed) for new in two]
    assert [new.row.id for new in one] == [new.row.id for new in accepted([event(1)], Facts(TABLE)).gate.create]
    assert one[0].row.id != started(event(2), NOW)[0].row.id


def started(event: AcceptedEvent, now: int) -> tuple[NewRun, ...]:
    """The runs that a router creates for an event."""
    transition = start_runs("t", starts_of(event, TABLE), Facts(TABLE), now)
    assert isinstance(transition, Transition)
    return transition.create


def test_so_many_runs_are_started_at_once() -> None:
    """The others are the router's: their events say that they are deferred, and each event is whole in one part."""
    table = RouteTable(
        [Route("shop", Definition(f"w{n}", (TriggerDefinition("order/*"),))) for n in range(STARTS_AT_ONCE // 2)]
    )
    answer = accepted([event(n) for n in range(4)], Facts(table))
    assert [e.deferred for e in answer.accept] == [False, False, True, True]
    assert len(answer.gate.create) == STARTS_AT_ONCE
    assert {new.events[0].id for new in answer.gate.create} == {event(0).id, event(1).id}
    assert answer.ids == tuple(event(n).id for n in range(4))


def test_an_event_that_starts_too_much_by_itself_is_deferred_whole() -> None:
    """One event that starts a thousand workflows."""
    table = RouteTable(
        [Route("shop", Definition(f"w{n}", (TriggerDefinition("order/*"),))) for n in range(2 * STARTS_AT_ONCE)]
    )
    answer = accepted([event(1)], Facts(table))
    assert answer.accept[0].deferred
    assert answer.gate.create == []


def test_what_flow_control_must_know_is_asked_for() -> None:
    """Then nothing is accepted yet."""
    policies = Policies(rate_limit=RateLimit(1, per="1h"))
    table = RouteTable([Route("shop", Definition("fulfil", (TriggerDefinition("order/*"),), policies=policies))])
    questions = accept([event(1)], Facts(table), NOW)
    assert isinstance(questions, Questions)
    assert questions.cells == {("shop", "rate/fulfil/")}


@given(st.lists(st.tuples(st.sampled_from("abc") | st.none(), st.integers(0, 1)), max_size=12))
def test_a_batch_is_as_if_sent_one_by_one(items: list[tuple[str | None, int]]) -> None:
    """Accepting events together, or each alone one after the other, gives the same ids; or the same conflict."""
    batch = [event(number, key, n=n) for number, (key, n) in enumerate(items)]
    facts = knowing(free=("a", "b", "c"))
    try:
        together = accepted(batch, facts).ids
    except EventConflict:
        together = None
    alone: tuple[str, ...] | None = ()
    for each in batch:
        try:
            answer = accepted([each], facts)
        except EventConflict:
            alone = None
            break
        alone = (*(alone or ()), *answer.ids)
        for take in answer.take:
            facts.keys["", take.name] = Key(take.name, take.holder, take.detail, take.expires_at, take.version + 1)
    assert together == alone


def test_an_accepted_event_is_kept_as_it_came() -> None:
    """Nothing but its acceptance is decided."""
    new = event(1, "k", n=1)
    assert accepted([new], knowing(free=("k",))).accept == (new,)
    assert attrs.evolve(new, position=None) == new
