"""One answer by itself: what uvicorn's own cycle would write, in fewer pieces."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from flowgen.runtime.http import cycle
from flowgen.runtime.http.cycle import Cycle
from flowgen.runtime.http.together import Together
from tests.runtime.http.test_together import Loop, Wire

Message = dict[str, Any]
LOG = logging.getLogger("test")


class Case:
    """A cycle on a wire that notes what is sent, in packets."""

    def __init__(self, kind: type[RequestResponseCycle], method: str = "GET", keep_alive: bool = True) -> None:
        self.wire, self.loop, self.completed = Wire(), Loop(), 0
        transport = Together(self.wire, self.loop.soon)
        scope: Any = {"type": "http", "method": method, "headers": []}
        flow, bell, default = FlowControl(transport), asyncio.Event(), [(b"date", b"today")]
        self.cycle = kind(scope, transport, flow, LOG, LOG, False, default, bell, False, keep_alive, self._complete)

    def _complete(self) -> None:
        self.completed += 1

    def tell(self, messages: list[Message]) -> str:
        """Send all messages; the error that ended it, if one did. The loop turns after each."""

        async def main() -> None:
            for message in messages:
                await self.cycle.send(message)
                self.loop.turn()

        try:
            asyncio.run(main())
        except (RuntimeError, ValueError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self.loop.turn()
        return ""


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(text: bytes, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": text, "more_body": more}


NAMES = [b"content-length", b"Content-Length", b"Transfer-Encoding", b"connection", b"x-a", b"X-B", b"Location", b"a:"]
VALUES = [b"0", b"1", b"2", b"chunked", b"close", b"Keep-Alive, Close", b"plain", b"two\r\nlines", b"7 "]
MESSAGES = st.one_of(
    st.builds(
        lambda headers, status: start(*headers, status=status),
        st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES)), max_size=3),
        st.sampled_from([200, 204, 304, 404]),
    ),
    st.builds(body, st.sampled_from([b"", b"a", b"ab"]), st.booleans()),
    st.just({"type": "http.response.body"}),
)
SOUND = [
    *((b"connection", b"close"), (b"Connection", b"Keep-Alive, Close"), (b"connection", b"keep-alive")),
    *((b"transfer-encoding", b"chunked"), (b"Content-Length", b"1"), (b"x-a", b"1"), (b"X-B", b"plain")),
]
STORIES = st.one_of(
    st.lists(MESSAGES, max_size=4),
    st.builds(
        lambda headers, text: [start(*headers), body(text)],
        st.lists(st.sampled_from(SOUND), max_size=3),
        st.sampled_from([b"", b"a"]),
    ),
    st.builds(
        lambda length, parts: [start((b"content-length", b"%d" % length)), *parts],
        st.integers(0, 3),
        st.lists(st.builds(body, st.sampled_from([b"", b"a", b"ab"]), st.booleans()), max_size=4),
    ),
)


@given(STORIES, st.sampled_from(["GET", "HEAD"]), st.booleans())
def test_an_answer_is_what_uvicorn_would_write(messages: list[Message], method: str, keep_alive: bool) -> None:
    """The same bytes, the same errors, the same end; of an answer that is never completed, no more than there."""
    ours, theirs = Case(Cycle, method, keep_alive), Case(RequestResponseCycle, method, keep_alive)
    error = theirs.tell(messages)
    assert ours.tell(messages) == error
    sent, expected = b"".join(ours.wire.packets), b"".join(theirs.wire.packets)
    if theirs.completed or "shorter" in error:
        assert sent == expected
    else:
        assert expected.startswith(sent)
    assert (ours.completed, ours.wire.ended) == (theirs.completed, theirs.wire.ended)
    for each in ("keep_alive", "response_started", "response_complete", "chunked_encoding"):
        assert getattr(ours.cycle, each) == getattr(theirs.cycle, each), each


def test_an_answer_is_one_packet_which_waits_for_no_turn() -> None:
    """Head and body, and what was held before them."""
    case = Case(Cycle)
    assert not case.tell([start((b"content-length", b"2"))])
    assert case.wire.packets == []
    case.loop.due = [lambda: pytest.fail("the answer waited for a turn")]
    asyncio.run(case.cycle.send(body(b"ok")))
    assert case.wire.packets == [b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 2\r\n\r\nok"]
    case.loop.due = []


def test_the_head_of_a_stream_does_not_wait() -> None:
    """Whoever listens is told that it is heard before there is anything to say."""
    case = Case(Cycle)
    assert not case.tell([start((b"x-a", b"1"))])
    assert case.wire.packets == [b"HTTP/1.1 200 OK\r\ndate: today\r\nx-a: 1\r\ntransfer-encoding: chunked\r\n\r\n"]


def test_a_bad_header_is_refused_every_time() -> None:
    """That it was looked at before makes it no better."""
    for _ in range(2):
        assert Case(Cycle).tell([start((b"x-a", b"1\r\nx-b: 2"))]) == "RuntimeError: Invalid HTTP header value."


def test_secrets_and_lengths_are_not_kept() -> None:
    """Only what is said to everybody is remembered."""
    Case(Cycle).tell([start((b"x-a", b"1"))])
    before = cycle._known.cache_info().currsize
    for number in range(9):
        text = b"%d" % number
        Case(Cycle).tell([start((b"Set-Cookie", text), (b"Content-Length", text), (b"Location", text))])
    assert cycle._known.cache_info().currsize == before


def test_a_body_that_is_there_is_given_at_once() -> None:
    """And once: who asks again is told when the client has gone, or the answer is complete."""

    async def main() -> None:
        case = Case(Cycle)
        case.cycle.body += b"text"
        case.cycle.more_body = False
        case.cycle.message_event.set()
        assert await case.cycle.receive() == {"type": "http.request", "body": b"text", "more_body": False}
        again = asyncio.ensure_future(case.cycle.receive())
        await asyncio.sleep(0)
        assert not again.done()
        case.cycle.disconnected = True
        case.cycle.message_event.set()
        assert await again == {"type": "http.disconnect"}

    asyncio.run(main())
