"""The flowgen signature: what it takes to be believed, and everything that is not."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import InvalidInput
from flowgen.runtime import Engine
from flowgen.runtime.http import Settings
from flowgen.runtime.http.signatures import (
    HEADER,
    WINDOW,
    BadSignature,
    Nonces,
    Signature,
    TooManyNonces,
    read_signature,
    sign,
)
from tests.runtime.http.serving import code_of, serving

KEY, NEXT, OTHER = "the-signing-key", "the-next-signing-key", "a-key-of-others"
NOW = 1_767_225_600
NONCE = "Jx2cVfG7kQmWn0aT"
BODY = b'{"name":"order/placed"}'
TARGET = "/v1/runs?limit=1"


def signed(key: str = KEY, method: str = "POST", target: str = TARGET, body: bytes = BODY, **more: Any) -> str:
    return sign(key, method, target, body, **{"at": NOW, "nonce": NONCE, **more})


def believed(header: str, *, keys: tuple[str, ...] = (KEY, NEXT), now: float = NOW, **request: Any) -> bool:
    """Whether a header is good for the request."""
    asked = {"method": b"POST", "target": TARGET.encode(), "body": BODY, **request}
    try:
        read_signature(header, now).check(keys, **asked)
    except BadSignature:
        return False
    return True


def test_the_scheme_is_the_one_that_is_written_down() -> None:
    """By hand: a client in any language can be written from the text."""
    lines = ["v1", "POST", TARGET, str(NOW), NONCE, sha256(BODY).hexdigest()]
    mac = hmac.new(KEY.encode(), "\n".join(lines).encode(), sha256).hexdigest()
    assert signed() == f"v=1&t={NOW}&n={NONCE}&s={mac}"


def test_any_key_in_force_will_do() -> None:
    """So keys can be rotated without a moment in which nobody is let in."""
    assert believed(signed(KEY))
    assert believed(signed(NEXT))
    assert not believed(signed(KEY), keys=(NEXT,))
    assert not believed(signed(KEY), keys=())


@pytest.mark.parametrize(
    "skew, good", [(0, True), (WINDOW, True), (-WINDOW, True), (WINDOW + 1, False), (-WINDOW - 1, False)]
)
def test_a_signature_is_good_for_five_minutes_both_ways(skew: int, good: bool) -> None:
    """Neither old ones nor those of the future."""
    assert believed(signed(), now=NOW + skew) == good


@given(
    st.sampled_from(["GET", "POST", "DELETE"]),
    st.from_regex(r"/[!-~]{0,20}", fullmatch=True),
    st.binary(max_size=50),
    st.sampled_from([KEY, OTHER]),
)
def test_it_is_good_for_its_request_and_no_other(method: str, target: str, body: bytes, key: str) -> None:
    """Whatever is different: method, path, query, body or key."""
    header = sign(key, method, target, body, at=NOW, nonce=NONCE)
    same = (key, method, target, body) == (KEY, "POST", TARGET, BODY)
    assert believed(header) == same
    assert believed(header, keys=(key,), method=method.encode(), target=target.encode(), body=body)


GOOD = signed()
_, _, MAC = GOOD.rpartition("=")
FORGED = {
    "nothing": "",
    "only spaces": "   ",
    "no version": GOOD.removeprefix("v=1&"),
    "another version": GOOD.replace("v=1", "v=2"),
    "no time": f"v=1&n={NONCE}&s={MAC}",
    "no nonce": f"v=1&t={NOW}&s={MAC}",
    "no mac": f"v=1&t={NOW}&n={NONCE}",
    "an empty mac": f"v=1&t={NOW}&n={NONCE}&s=",
    "a time in words": GOOD.replace(str(NOW), "abc"),
    "a time that is negative": GOOD.replace(str(NOW), f"-{NOW}"),
    "a time with a sign": GOOD.replace(str(NOW), f"+{NOW}"),
    "a time with zeros in front": GOOD.replace(str(NOW), f"0{NOW}"),
    "a time in other digits": GOOD.replace(str(NOW), "".join(chr(0x660 + int(d)) for d in str(NOW))),
    "a time in milliseconds": GOOD.replace(str(NOW), f"{NOW}000"),
    "a time of fractions": GOOD.replace(str(NOW), f"{NOW}.0"),
    "a time that is huge": GOOD.replace(str(NOW), "9" * 5_000),
    "another time": GOOD.replace(str(NOW), str(NOW + 1)),
    "another nonce": GOOD.replace(NONCE, NONCE[::-1]),
    "a short nonce": GOOD.replace(NONCE, NONCE[1:]),
    "a nonce with a newline": GOOD.replace(NONCE, NONCE[1:] + "\n"),
    "letters that are large": GOOD.replace(MAC, MAC.upper()),
    "a mac cut short": GOOD[:-1],
    "a mac that is longer": GOOD + "0",
    "another last digit": GOOD[:-1] + ("0" if GOOD[-1] != "0" else "1"),
    "a mac of zeros": GOOD.replace(MAC, "0" * 64),
    "a mac in base64": GOOD.replace(MAC, "q" * 43 + "="),
    "a mac of the body alone": GOOD.replace(MAC, hmac.new(KEY.encode(), BODY, sha256).hexdigest()),
    "a mac without a key": GOOD.replace(MAC, sha256(BODY).hexdigest()),
    "a mac of an empty key": signed(""),
    "a mac of another key": signed(OTHER),
    "a time twice": f"v=1&t={NOW}&t={NOW}&n={NONCE}&s={MAC}",
    "a mac twice": f"{GOOD}&s={MAC}",
    "another order": f"t={NOW}&v=1&n={NONCE}&s={MAC}",
    "spaces around": f" {GOOD} ",
    "a newline behind": f"{GOOD}\n",
    "commas for separators": GOOD.replace("&", ","),
    "two in one": f"{GOOD},{GOOD}",
    "something behind": f"{GOOD}&x=1",
    "the form of Inngest": f"t={NOW}&s={MAC}",
    "NUL": GOOD.replace("v", "\0"),
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_forged_ones_are_refused(forged: str) -> None:
    """Each way to write it but the one, and each that nobody with a key has made; none of them breaks anything."""
    assert believed(GOOD)
    assert not believed(forged)


@given(st.text(max_size=120))
def test_no_text_is_good_by_chance_or_breaks_the_reader(text: str) -> None:
    """Whatever stands in the header."""
    assert not believed(text)


@pytest.mark.parametrize(
    "wrong",
    [
        {"method": "PO ST"},
        {"method": "POST\nx"},
        {"target": "/a b"},
        {"target": "/a\r\nb"},
        {"target": "/é"},
        {"target": ""},
        {"nonce": "short"},
        {"nonce": "x" * 65},
        {"nonce": "x" * 15 + "\n"},
        {"at": -1},
    ],
    ids=str,
)
def test_what_cannot_be_signed(wrong: dict[str, Any]) -> None:
    """A line break in one part must not make it look like two."""
    with pytest.raises(InvalidInput):
        signed(**wrong)


def test_a_nonce_is_used_once_in_its_window() -> None:
    """It is remembered as long as its signature is good, and not longer."""
    nonces = Nonces()
    signature = read_signature(GOOD, NOW)
    nonces.use(signature, NOW)
    for later in (0, 1, WINDOW):
        with pytest.raises(BadSignature, match="it was used before"):
            nonces.use(signature, NOW + later)
    with pytest.raises(BadSignature, match="at most 300 are accepted"):
        read_signature(GOOD, NOW + WINDOW + 1)
    nonces.use(signature, NOW + WINDOW + 1)


def test_there_is_room_for_so_many_nonces() -> None:
    """One more is told to come again; none is forgotten before its time to make room."""
    nonces = Nonces(most=3)
    many = [Signature(str(NOW + number), f"{number:016}", "") for number in range(4)]
    for each in many[:3]:
        nonces.use(each, NOW)
    with pytest.raises(TooManyNonces):
        nonces.use(many[3], NOW)
    with pytest.raises(BadSignature):
        nonces.use(many[0], NOW)
    nonces.use(many[3], many[0].expires_at + 1)


def test_a_signature_shows_no_mac() -> None:
    """Where it is logged."""
    assert MAC not in repr(read_signature(GOOD, NOW))


# -- at the door -----------------------------------------------------------------------------------

TOKEN = "the-token-of-the-shop"


class Signing(httpx.Auth):
    """Signs what a client sends, after whatever a test changes."""

    requires_request_body = True

    def __init__(self, key: str = KEY, **more: Any) -> None:
        self._key, self._more, self._number = key, more, 0

    def auth_flow(self, request: httpx.Request) -> Any:
        self._number += 1
        nonce = f"{self._number:016}"
        more = {"at": int(time.time()), "nonce": nonce, **self._more}
        target = request.url.raw_path.decode()
        request.headers[HEADER] = sign(self._key, request.method, target, request.content, **more)
        yield request


@asynccontextmanager
async def locked(**more: Any) -> AsyncIterator[tuple[Engine, httpx.AsyncClient]]:
    async with serving(Settings(auth_tokens=(TOKEN,), signing_keys=(KEY, NEXT), **more)) as both:
        yield both


async def test_a_signed_request_needs_no_token() -> None:
    """To look and to operate, with a body, a query, or neither."""
    async with locked() as (engine, client):
        client.auth = Signing()
        run = (await client.post("/v1/workflows/fulfil/invoke", json={"data": {"number": 1}})).json()["id"]
        await engine.result(run)
        response = await client.get("/v1/runs", params={"workflow": "fulfil"})
        assert [item["id"] for item in response.json()["items"]] == [run]
        assert (await client.post(f"/v1/runs/{run}/cancel")).status_code == 409
        client.auth = Signing(NEXT, nonce="another-nonce-here")
        assert (await client.get(f"/v1/runs/{run}", params={"wait": "1s"})).status_code == 200


@pytest.mark.parametrize(
    "make",
    [
        lambda now: Signing(OTHER),
        lambda now: Signing(at=now - 2 * WINDOW),
        lambda now: Signing(at=now + 2 * WINDOW),
    ],
    ids=["another key", "too old", "from the future"],
)
async def test_one_that_is_not_good_opens_nothing(make: Callable[[int], Signing]) -> None:
    """Nor does it with a good token beside it: whoever signs means to be known."""
    async with locked() as (_, client):
        client.auth = make(int(time.time()))
        for headers in ({}, {"authorization": f"Bearer {TOKEN}"}):
            response = await client.get("/v1/runs", headers=headers)
            assert (response.status_code, code_of(response)) == (401, "bad_signature")
            assert KEY not in response.text


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
async def test_no_forged_header_breaks_the_server(forged: str) -> None:
    """401 and never 500; a header that is empty is one, too."""
    async with locked() as (_, client):
        value = forged.encode(errors="replace")
        response = await client.post("/v1/signals", content=BODY, headers={HEADER.encode(): value})
        assert (response.status_code, code_of(response)) == (401, "bad_signature")


async def test_a_request_that_is_sent_again_is_a_replay() -> None:
    """And one for which another was signed is none; two signatures are not better than one."""
    async with locked() as (_, client):
        at = int(time.time())
        header = sign(KEY, "GET", "/v1/runs", b"", at=at, nonce=NONCE)
        assert (await client.get("/v1/runs", headers={HEADER: header})).status_code == 200
        response = await client.get("/v1/runs", headers={HEADER: header})
        assert (response.status_code, code_of(response)) == (401, "bad_signature")
        assert "used before" in response.text
        fresh = [sign(KEY, "GET", "/v1/runs", b"", at=at, nonce=nonce) for nonce in ("x" * 16, "y" * 16)]
        for target in ("/v1/events", "/v1/runs?limit=1", "/v1/runs/x"):
            response = await client.get(target, headers={HEADER: fresh[0]})
            assert code_of(response) == "bad_signature"
        response = await client.get("/v1/runs", headers=httpx.Headers([(HEADER, each) for each in fresh]))
        assert code_of(response) == "bad_signature"
        assert (await client.get("/v1/runs", headers={HEADER: fresh[0]})).status_code == 200


async def test_a_body_is_read_no_further_than_any_other() -> None:
    """413, though it is read before it is known whether it was signed well; an old header is refused before that."""
    async with locked(max_body=1_000) as (_, client):
        client.auth = Signing()
        assert (await client.post("/v1/signals", content=b"x" * 1_001)).status_code == 413
        client.auth = Signing(at=0)
        assert (await client.post("/v1/signals", content=b"x" * 1_001)).status_code == 401


async def test_without_keys_a_signature_is_nothing() -> None:
    """Nobody can be let in by it."""
    async with serving(Settings(auth_tokens=(TOKEN,))) as (_, client):
        client.auth = Signing("")
        response = await client.get("/v1/runs")
        assert (response.status_code, code_of(response)) == (401, "unauthorized")
