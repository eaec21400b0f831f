"""A signed call that comes again, to the letter, is refused; and what it takes to know that is bounded."""

from __future__ import annotations

import time
from typing import Any

import httpx
import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen import App, Context, Run, Steps
from flowgen.runtime.protocol.calls import Call, build_call
from flowgen.runtime.protocol.signatures import WINDOW, sign, verify
from flowgen.runtime.serving import ServeSettings, serve_app
from flowgen.runtime.serving.seen import Seen

KEY = "signkey-test-00112233445566778899aabbccddeeff"
URL = "/api/inngest?fnId=shop-fulfil&stepId=step"
EVENT = {"id": "e", "name": "test/started", "data": {}, "ts": 1_800_000_000_000}


def header(number: int, at: int) -> str:
    return sign(KEY, b"%d" % number, at)


async def called(settings: ServeSettings, *requests: tuple[str, bytes, dict[str, str]]) -> tuple[int, list[Any]]:
    """How often the step was executed, and the answers to some calls, one after the other."""
    executed = [0]

    def work() -> int:
        executed[0] += 1
        return executed[0]

    app = App("shop")

    @app.workflow
    def fulfil(ctx: Context) -> Steps[int]:
        return (yield Run("work", work))

    served = serve_app(app, settings=settings)
    transport = httpx.ASGITransport(served)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        answers = [await client.request(method, URL, content=body, headers=said) for method, body, said in requests]
    served.close()
    return executed[0], answers


def call(request: str = "q1") -> bytes:
    return build_call(Call("r", (EVENT,), request_id=request))


def signed(body: bytes, at: float | None = None) -> dict[str, str]:
    at = time.time() if at is None else at
    return {"Content-Type": "application/json", "X-Inngest-Signature": sign(KEY, body, int(at))}


def test_a_copy_of_a_signed_call_executes_nothing() -> None:
    """It is refused, and the refusal is signed, so that a server knows it for an answer: it may make another call."""
    body = call()
    said = signed(body)
    executed, (first, copy, other) = trio.run(
        called,
        ServeSettings((KEY,)),
        ("POST", body, said),
        ("POST", body, said),
        ("POST", call("q2"), signed(call("q2"))),
    )
    assert [first.status_code, copy.status_code, other.status_code] == [206, 409, 206]
    assert executed == 2
    assert copy.json()["name"] == "replayed"
    assert verify(copy.headers["x-inngest-signature"], copy.content, [KEY], time.time(), canonical=False) == KEY
    assert copy.headers.get("x-inngest-no-retry", "false") == "false"


def test_a_copy_that_is_written_in_another_way_is_one() -> None:
    """The signature is that of the canonical form, so space and the order of keys make no other call of it."""
    body = call()
    said = signed(body)
    executed, answers = trio.run(
        called, ServeSettings((KEY,)), ("POST", body, said), ("POST", body.replace(b"{", b"{ "), said)
    )
    assert [answer.status_code for answer in answers] == [206, 409]
    assert executed == 1


def test_a_call_that_is_signed_anew_is_answered_anew() -> None:
    """What a server repeats on purpose is safe to answer; so are calls that nobody has signed."""
    now = time.time()
    body = call()
    executed, answers = trio.run(
        called, ServeSettings((KEY,)), ("POST", body, signed(body, now)), ("POST", body, signed(body, now - 2))
    )
    assert [answer.status_code for answer in answers] == [206, 206]
    assert executed == 2
    plain = {"Content-Type": "application/json"}
    executed, answers = trio.run(called, ServeSettings(), ("POST", body, plain), ("POST", body, plain))
    assert [answer.status_code for answer in answers] == [206, 206]
    assert executed == 2


def test_what_is_not_signed_well_is_not_remembered() -> None:
    """A stranger who guesses what will be signed keeps no call out."""
    body = call()
    said = signed(body)
    executed, answers = trio.run(called, ServeSettings((KEY,)), ("POST", b"{}", said), ("POST", body, said))
    assert [answer.status_code for answer in answers] == [401, 206]
    assert executed == 1


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 200)), max_size=60), st.integers(1, 20))
def test_no_copy_passes_while_it_could_be_accepted(calls: list[tuple[int, int]], most: int) -> None:
    """But where more came meanwhile than are remembered; and never are more remembered than that."""
    seen, now, came = Seen(most), 1_800_000_000, dict[str, int]()
    for order, (number, later) in enumerate(calls):
        now += later
        made = header(number, now - now % 100)
        new = seen.is_new(made, now)
        if made not in came:
            assert new
        elif order - came[made] < most:
            assert not new
        if new:
            came[made] = order
        assert len(seen) <= most


def test_what_is_not_good_any_more_is_forgotten() -> None:
    """An app that is called now and then remembers next to nothing."""
    seen = Seen()
    for number in range(100):
        assert seen.is_new(header(number, number), number)
    assert len(seen) == 100
    assert seen.is_new(header(100, 100 + WINDOW + 1), 100 + WINDOW + 1)
    assert len(seen) == 1
