"""Collecting runs: what enters which, when each is due, and who makes a batch full."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowgen import Event
from flowgen.collecting import MAX_BATCH_BYTES, Collection, Joined, collecting_key, collection_of, join
from flowgen.events import AcceptedEvent, accept_event
from flowgen.flow_control import Batch, Debounce
from flowgen.outcome import Json
from flowgen.runs import EventCollected, Freed, Parent
from flowgen.transition import Key
from tests.bodies import SECOND, START

NAME = collecting_key("work", "")
PARENT = Parent("shop", "parent", "step", "run7")


def event(number: int, size: int | None = None) -> AcceptedEvent:
    """An event; its data as long as asked for."""
    new = accept_event(Event("go", {"n": number}), f"event{number}", START)
    return new if size is None else AcceptedEvent(new.id, "go", Json(b" " * size), START, START)


def entered(policy: Any, held: Key | None, number: int, now: int = START, **more: Any) -> Joined:
    """The event with this number enters the collecting run, or a new one called after it."""
    return join(policy, "shop", NAME, held, event(number, more.get("size")), f"run{number}", more.get("parent"), now)


def key_of(joined: Joined) -> Key:
    """The key as it is when that is committed."""
    take = joined.take
    return Key(take.name, take.holder, take.detail, take.expires_at, take.version + 1)


def test_the_first_event_opens_a_run() -> None:
    """It takes the key and gets the event as a message, with whoever invoked it."""
    joined = entered(Debounce("10s"), None, 7, parent=PARENT)
    assert (joined.run, joined.opened, joined.due_at) == ("run7", True, START + 10 * SECOND)
    assert (joined.take.holder, joined.take.version, joined.take.expires_at) == ("run7", 0, None)
    (message,) = joined.messages
    assert (message.run, message.body, message.due_at) == ("run7", EventCollected(event(7), PARENT), joined.due_at)


def test_another_event_enters_it() -> None:
    """Under the version of the key that was seen."""
    held = key_of(entered(Debounce("10s"), None, 1))
    joined = entered(Debounce("10s"), held, 2, START + SECOND)
    assert (joined.run, joined.opened, joined.due_at) == ("run1", False, START + 11 * SECOND)
    assert (joined.take.holder, joined.take.version) == ("run1", held.version)
    assert collection_of(key_of(joined)) == Collection(START, START + 11 * SECOND, 2, 2 * len(event(1).data))


def test_the_same_event_is_the_same_message() -> None:
    """So routing it again changes nothing."""
    held = key_of(entered(Debounce("10s"), None, 1))
    assert entered(Debounce("10s"), held, 2).messages == entered(Debounce("10s"), held, 2).messages


def test_max_wait_caps_a_debounce() -> None:
    """From the first event on."""
    policy = Debounce("10s", max_wait="15s")
    held = key_of(entered(policy, None, 1))
    assert entered(policy, held, 2, START + 4 * SECOND).due_at == START + 14 * SECOND
    assert entered(policy, held, 2, START + 9 * SECOND).due_at == START + 15 * SECOND


def test_a_batch_is_due_at_its_time_whatever_comes() -> None:
    """Until it is full: then it is due now."""
    policy = Batch(3, wait="10s")
    first = entered(policy, None, 1)
    second = entered(policy, key_of(first), 2, START + SECOND)
    third = entered(policy, key_of(second), 3, START + 2 * SECOND)
    assert [joined.due_at - START for joined in (first, second, third)] == [10 * SECOND, 10 * SECOND, 2 * SECOND]


def test_a_batch_of_one_is_due_at_once() -> None:
    """It waits for nobody."""
    assert entered(Batch(1, wait="10s"), None, 1).due_at == START


def test_what_does_not_fit_opens_the_next() -> None:
    """Under the same key; the full one is told to close."""
    policy = Batch(2, wait="10s")
    full = key_of(entered(policy, key_of(entered(policy, None, 1)), 2))
    joined = entered(policy, full, 3, START + SECOND)
    assert (joined.run, joined.opened, joined.take.version) == ("run3", True, full.version)
    close, collected = joined.messages
    assert (close.run, close.body, close.due_at) == ("run1", Freed(), START + SECOND)
    assert collected.run == "run3"


def test_bytes_bound_a_batch() -> None:
    """An event that would make it too large opens the next; one that fits exactly enters."""
    policy = Batch(100, wait="10s")
    held = key_of(entered(policy, None, 1, size=MAX_BATCH_BYTES - 10))
    assert not entered(policy, held, 2, size=10).opened
    assert entered(policy, held, 2, size=11).opened


def test_bytes_bound_no_debounce() -> None:
    """It keeps only its last event."""
    held = key_of(entered(Debounce("10s"), None, 1, size=MAX_BATCH_BYTES))
    assert not entered(Debounce("10s"), held, 2, size=MAX_BATCH_BYTES).opened


@given(st.lists(st.integers(0, 20), max_size=40).map(sorted), st.integers(1, 5), st.integers(1, 10))
def test_batches_are_full_or_their_time_is_over(times: list[int], size: int, wait: int) -> None:
    """Each event enters exactly one run; none has too many or one that came after its time."""
    policy = Batch(size, wait=wait / 1e6)
    held: Key | None = None
    batches: dict[str, list[int]] = {}
    for number, at in enumerate(times):
        if held is not None and collection_of(held).due_at <= at:
            held = None  # its owner has closed it
        joined = entered(policy, held, number, at)
        batches.setdefault(joined.run, []).append(at)
        held = key_of(joined)
    assert sum(map(len, batches.values())) == len(times)
    for entries in batches.values():
        assert len(entries) <= size
        assert entries[-1] < entries[0] + wait or len(entries) == 1
