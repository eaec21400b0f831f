"""The audience: who listens gets what is told, in order, or is dropped."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.runtime.http.audience import MOST, ROOM, Audience, FellBehind, Subscriber, Told
from flowgen.runtime.protocol.realtime import Topic

ONE, OTHER = Topic("c", "one"), Topic("c", "other")


def nothing() -> None:
    """Nobody sleeps."""


def texts(subscriber: Subscriber) -> list[bytes]:
    return [told.text for told in subscriber.take(nothing)]


def test_who_listens_hears_its_topics() -> None:
    """In order, each once, and nothing that was told before or after."""
    audience = Audience()
    audience.tell(ONE, Told(b"before"))
    with audience.joined([ONE, OTHER, ONE]) as both, audience.joined([OTHER]) as one:
        for topic, text in ((ONE, b"1"), (OTHER, b"2"), (Topic("d", "one"), b"3"), (ONE, b"4")):
            audience.tell(topic, Told(text))
        assert texts(both) == [b"1", b"2", b"4"]
        assert texts(both) == []
        assert texts(one) == [b"2"]
    audience.tell(ONE, Told(b"after"))
    assert (texts(both), audience._subscribers) == ([], {})


def test_who_has_nothing_is_woken() -> None:
    """When there is something; not while it has not taken what is there."""
    woken: list[str] = []
    subscriber = Subscriber()
    subscriber.tell(Told(b"1"))
    assert subscriber.take(lambda: woken.append("a"))
    subscriber.tell(Told(b"2"))
    assert woken == []
    assert subscriber.take(nothing)
    assert subscriber.take(lambda: woken.append("b")) == []
    subscriber.tell(Told(b"3"))
    assert woken == ["b"]


@pytest.mark.parametrize("size, count", [(1, MOST), (ROOM // 4, 4), (ROOM * 2, 1)])
def test_who_falls_behind_is_dropped(size: int, count: int) -> None:
    """Once there is no room for one more; the others hear it, and one that takes in time hears all."""
    audience = Audience()
    with audience.joined([ONE]) as slow, audience.joined([ONE]) as quick:
        for _ in range(count):
            audience.tell(ONE, Told(bytes(size)))
            assert len(texts(quick)) == 1
        audience.tell(ONE, Told(b"one more"))
        assert texts(quick) == [b"one more"]
        audience.tell(ONE, Told(b"late"))
        for _ in range(2):
            with pytest.raises(FellBehind):
                slow.take(nothing)
        assert not slow._waiting


@given(st.lists(st.one_of(st.binary(max_size=4), st.none()), max_size=50))
def test_no_gap_and_nothing_twice(turns: list[bytes | None]) -> None:
    """However telling and taking (None) take turns."""
    subscriber = Subscriber()
    heard: list[bytes] = []
    for turn in turns:
        if turn is None:
            heard += texts(subscriber)
        else:
            subscriber.tell(Told(turn))
    assert heard + texts(subscriber) == [turn for turn in turns if turn is not None]


def test_told_from_several_threads() -> None:
    """All is heard, and what one thread tells in its order."""
    audience = Audience()
    with audience.joined([ONE]) as subscriber:

        def tell(name: int) -> None:
            for number in range(200):
                audience.tell(ONE, Told(b"%d %d" % (name, number)))

        threads = [threading.Thread(target=tell, args=(name,)) for name in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        heard = [text.split() for text in texts(subscriber)]
        for name in range(4):
            assert [int(number) for who, number in heard if int(who) == name] == list(range(200))
