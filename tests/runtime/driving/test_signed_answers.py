"""Answers that are signed: which are believed, over real sockets on loopback."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio

from flowgen import Event
from flowgen.runtime import Engine, open_engine
from flowgen.runtime.addresses import Reach
from flowgen.runtime.dialing import Dialer
from flowgen.runtime.driving.transport import HttpCalls
from flowgen.runtime.protocol.reading import BadSignature
from flowgen.runtime.protocol.registration import parse_registration
from flowgen.runtime.protocol.signatures import sign, verify_answer
from tests.runtime.http.sdk.stub import Asked, Told, registration, stub, written

KEY = "signkey-test-0123456789abcdef"
OTHER = "signkey-test-fedcba9876543210"

SDK = "inngest-py:v0.5.19"
OURS = "flowgen:v1"

DONE = b'[ {"op": "RunComplete", "id": "", "data": 1.0} ]'
OURS_DONE = b'[{"op":"RunComplete","id":"","flowgen":{"end":"returned","value":"1.0"}}]'


def now() -> int:
    return int(time.time())


def raw(body: bytes) -> str | None:
    return sign(KEY, body, now(), canonical=False)


def canonical(body: bytes) -> str | None:
    return sign(KEY, body, now())


def unsigned(body: bytes) -> str | None:
    return None


def of_another_key(body: bytes) -> str | None:
    return sign(OTHER, body, now(), canonical=False)


def of_another_body(body: bytes) -> str | None:
    return sign(KEY, body.replace(b"1.0", b"2.0"), now(), canonical=False)


def old(body: bytes) -> str | None:
    return sign(KEY, body, now() - 301, canonical=False)


def nonsense(body: bytes) -> str | None:
    return "t=1&s=1"


def streamed(told: Told) -> Told:
    """The same, in a stream that begins before the answer is known."""
    inner = {"status": told.status, "body": told.body.decode(), "headers": dict(told.headers)}
    return Told(201, b"   " + written(inner), {"x-inngest-sdk": SDK})


async def ran(told: Told, sdk: str, kind: str, key: str | None = KEY) -> Any:
    """The run of a function that is never tried again, whose app answers this."""

    async def answer(asked: Asked) -> Told:
        return told

    with trio.fail_after(50):
        async with stub(answer) as served:
            calls = HttpCalls(Dialer(Reach.dev()), signing_key=key, kind=kind)
            async with open_engine([], calls=calls) as engine:
                await engine.offer(parse_registration(written(registration(served.url, sdk=sdk))))
                info = await _ended(engine)
            await calls.aclose()
            return info


async def _ended(engine: Engine) -> Any:
    (event,) = await engine.send(Event("run/asked"))
    while not (runs := await engine.started(event)):
        await engine.store.wait_changed(0.05)
    while (info := await engine.run(runs[0])).ended_at is None:
        await engine.store.wait_changed(0.05)
    return info


def told(how: Any, sdk: str = SDK, status: int = 206, body: bytes | None = None) -> Told:
    body = body or (OURS_DONE if sdk == OURS else DONE)
    signature = how(body)
    signed = {} if signature is None else {"x-inngest-signature": signature}
    return Told(status, body, {"x-inngest-sdk": sdk, **signed})


@pytest.mark.parametrize("how", [raw, canonical, unsigned])
@pytest.mark.parametrize("kind", ["dev", "cloud"])
async def test_what_sdks_sign_is_believed(how: Any, kind: str) -> None:
    """As it is sent, or in its canonical form; and one that signs nothing is believed, too: not all do."""
    assert (await ran(told(how), SDK, kind)).result == 1.0


@pytest.mark.parametrize("how", [of_another_key, of_another_body, old, nonsense])
@pytest.mark.parametrize("sdk", [SDK, OURS])
async def test_a_signature_that_is_not_good_is_no_answer(how: Any, sdk: str) -> None:
    """Somebody has changed what the app has said, or says it again: nothing of it is recorded."""
    info = await ran(told(how, sdk), sdk, "cloud")
    assert (info.status, info.error.type) == ("failed", "BadResponse")
    assert "is not believed: its signature" in info.error.message


async def test_who_has_no_key_believes_all_signatures() -> None:
    """It cannot know."""
    assert (await ran(told(of_another_key), SDK, "dev", key=None)).result == 1.0


async def test_the_signature_in_a_stream_is_that_of_the_answer_in_it() -> None:
    """What begins before the answer is known cannot be signed at its head."""
    assert (await ran(streamed(told(raw)), SDK, "cloud")).result == 1.0
    info = await ran(streamed(told(of_another_body)), SDK, "cloud")
    assert "is not believed" in info.error.message


async def test_all_that_an_app_of_ours_says_in_production_is_signed() -> None:
    """One in development has no key, so a server for development believes it all the same."""
    assert (await ran(told(raw, OURS), OURS, "cloud")).result == 1.0
    assert (await ran(told(unsigned, OURS), OURS, "dev")).result == 1.0
    info = await ran(told(unsigned, OURS), OURS, "cloud")
    assert (info.status, info.error.type) == ("failed", "BadResponse")
    assert "is not signed" in info.error.message


async def test_of_an_error_that_an_app_of_ours_has_not_signed_no_more_is_believed_than_that() -> None:
    """A refusal before anybody has looked at the signature is not signed. It parks no run."""
    diverged = {"diverged": {"step": "a", "recorded": "x", "yields": "y", "where": ""}}
    body = written({"name": "NondeterminismError", "message": "no", "flowgen": diverged})
    info = await ran(told(unsigned, OURS, 500, body), OURS, "cloud")
    assert (info.status, info.error.type) == ("failed", "NondeterminismError")


@pytest.mark.parametrize("how", [of_another_key, of_another_body, old, nonsense])
def test_a_bad_signature_is_that_and_nothing_else(how: Any) -> None:
    """Whatever the body is."""
    for body in (DONE, b"1.0", b"\xff 1.0", b""):
        signature = how(body)
        assert signature is not None
        if body == b"" and how is of_another_body:
            continue
        with pytest.raises(BadSignature):
            verify_answer(signature, body, KEY, time.time())
