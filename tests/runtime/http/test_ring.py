"""The ring of a stream: numbered messages in bounded memory."""

from __future__ import annotations

from functools import partial

from hypothesis import given
from hypothesis import strategies as st

from flowgen.runtime.http.ring import Ring


def numbered(text: str, number: int) -> bytes:
    return f"{number} {text}".encode()


def test_a_reader_goes_on_after_what_it_has_seen() -> None:
    """In pages; one that has seen all gets nothing."""
    ring = Ring(100)
    assert ring.last == 99
    assert ring.since(99) == ([], 99)
    ring.add([partial(numbered, text) for text in "abc"])
    assert ring.since(99) == ([b"100 a", b"101 b", b"102 c"], 102)
    assert ring.since(99, most=2) == ([b"100 a", b"101 b"], 101)
    assert ring.since(101) == ([b"102 c"], 102)
    assert ring.since(102) == ([], 102)


def test_what_is_gone_or_has_never_been_is_told_apart_from_nothing() -> None:
    """A number of an older ring is lower than all of this one."""
    ring = Ring(100, room=2)
    ring.add([partial(numbered, text) for text in "abc"])
    assert ring.since(99) is None
    assert ring.since(100) == ([b"101 b", b"102 c"], 102)
    assert ring.since(103) is None
    assert ring.since(7) is None


@given(st.lists(st.lists(st.text(max_size=3), max_size=5), max_size=20), st.integers(1, 8), st.integers(1, 4))
def test_a_reader_that_keeps_up_sees_everything_once(batches: list[list[str]], room: int, most: int) -> None:
    """And one that does not knows that it has missed something."""
    ring = Ring(1, room)
    seen, found, missed = 0, [], False
    for batch in batches:
        ring.add([partial(numbered, text) for text in batch])
        while (page := ring.since(seen, most)) is not None and page[0]:
            messages, seen = page
            found += messages
        if page is None:
            missed, seen = True, ring.last
    sent = [f"{number} {text}".encode() for number, text in enumerate((t for b in batches for t in b), 1)]
    assert missed == any(len(batch) > room for batch in batches)
    assert found == sent if not missed else set(found) < set(sent)


def test_sleepers_are_woken_by_messages_and_by_the_end() -> None:
    """Each time, until they are forgotten."""
    ring, woken = Ring(1), []
    wake = partial(woken.append, "woken")
    ring.sleep(wake)
    ring.add([partial(numbered, "a")])
    assert woken == ["woken"]
    ring.close()
    assert (woken, ring.closed) == (["woken", "woken"], True)
    ring.forget(wake)
    ring.close()
    assert len(woken) == 2
