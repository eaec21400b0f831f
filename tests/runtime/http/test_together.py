"""What is written within one turn leaves together, and nothing is held beyond it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flowgen.runtime.http.together import HELD, Together


class Wire(asyncio.Transport):
    """Keeps what is sent, a packet a write."""

    def __init__(self) -> None:
        super().__init__()
        self.packets: list[bytes] = []
        self.ended = ""

    def write(self, data: Any) -> None:
        assert not self.ended
        self.packets.append(bytes(data))

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return self.ended != ""


class Loop:
    """Does what is due when it is told to turn."""

    def __init__(self) -> None:
        self.due: list[Callable[[], None]] = []

    def soon(self, what: Callable[[], None]) -> None:
        self.due.append(what)

    def turn(self) -> None:
        due, self.due = self.due, []
        for each in due:
            each()


def made() -> tuple[Wire, Loop, Together]:
    wire, loop = Wire(), Loop()
    return wire, loop, Together(wire, loop.soon)


def test_head_and_body_are_one_packet() -> None:
    """As uvicorn writes them: one after the other, in one turn."""
    wire, loop, transport = made()
    transport.write(b"head ")
    transport.write(b"body")
    assert wire.packets == []
    loop.turn()
    assert wire.packets == [b"head body"]


def test_much_is_sent_at_once() -> None:
    """A long answer is not gathered in memory behind the back of the flow control."""
    wire, _, transport = made()
    transport.write(b"x" * (HELD + 1))
    assert wire.packets == [b"x" * (HELD + 1)]


def test_what_is_held_leaves_before_the_end() -> None:
    """A refusal is written and the connection closed in the same breath: the refusal arrives."""
    wire, loop, transport = made()
    transport.write(b"refused")
    transport.close()
    loop.turn()
    assert (wire.packets, wire.ended) == ([b"refused"], "closed")
    assert transport.is_closing()


def test_an_abort_sends_nothing() -> None:
    """Who is cut off gets no half of an answer."""
    wire, _, transport = made()
    transport.write(b"half")
    transport.abort()
    assert (wire.packets, wire.ended) == ([], "aborted")


@given(st.lists(st.one_of(st.binary(max_size=9), st.just(b"y" * HELD), st.none()), max_size=30))
def test_bytes_keep_their_order(writes: list[bytes | None]) -> None:
    """All that is written arrives once and in order, wherever the turns (None) fall."""
    wire, loop, transport = made()
    for data in writes:
        if data is None:
            loop.turn()
            assert b"".join(wire.packets) == b"".join(filter(None, writes))[: len(b"".join(wire.packets))]
        else:
            transport.write(data)
    loop.turn()
    assert b"".join(wire.packets) == b"".join(filter(None, writes))
