"""Wrong tokens at the log-in are bounded, by address and together, in constant memory; nobody waits for long."""

from __future__ import annotations

from typing import Any

import attrs
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.duration import SECOND
from flowgen.runtime import open_engine
from flowgen.runtime.http import Settings, http_app, service
from flowgen.runtime.http.tries import EACH, TOGETHER, Tries
from tests.runtime.http.serving import app, code_of

TOKEN = "correct-horse"


@attrs.define
class Clock:
    """Time that a test moves."""

    now: int = 1_000 * SECOND

    def __call__(self) -> int:
        return self.now


def made(clock: Clock) -> Tries:
    return Tries(clock, b"known")


def count(tries: Tries, address: str, most: int = 1_000) -> int:
    """How many tries there are for an address, all of which are taken."""
    return next((number for number in range(most) if tries.begin(address) > 0), most)


def test_an_address_has_some_tries_and_then_one_a_second() -> None:
    """What it has to wait is told, and is right; one that does not try has all of them again in time."""
    clock = Clock()
    tries = made(clock)
    assert count(tries, "10.0.0.1") == EACH.at_once
    assert tries.begin("10.0.0.1") == EACH.every
    assert tries.begin("10.0.0.2") == 0
    clock.now += EACH.every // 2
    clock.now += tries.begin("10.0.0.1")
    assert (tries.begin("10.0.0.1"), tries.begin("10.0.0.1") > 0) == (0, True)
    clock.now += EACH.most
    assert count(tries, "10.0.0.1") == EACH.at_once
    clock.now += 1_000_000 * SECOND
    assert count(tries, "10.0.0.1") == EACH.at_once


def test_all_addresses_together_have_some_tries() -> None:
    """However many there are; the memory is the same."""
    clock = Clock()
    tries = made(clock)
    passed = sum(tries.begin(f"10.0.{number // 256}.{number % 256}") == 0 for number in range(5_000))
    assert passed == TOGETHER.at_once
    assert tries.begin("192.0.2.1") == TOGETHER.every
    clock.now += TOGETHER.every
    assert tries.begin("192.0.2.1") == 0
    assert len(tries._each) == 1_024


@pytest.mark.parametrize(
    "first, second, same",
    [
        ("2001:db8::1", "2001:db8::ffff:2", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("::ffff:10.0.0.1", "10.0.0.1", True),
        ("fe80::1%eth0", "fe80::1%eth1", True),
        ("10.0.0.1", "10.0.0.2", False),
        ("", "", True),
    ],
)
def test_what_is_one_address(first: str, second: str, same: bool) -> None:
    """Of IPv6 a network; whoever is called in two ways is one."""
    tries = made(Clock())
    count(tries, first)
    assert (tries.begin(second) > 0) == same


@given(st.lists(st.tuples(st.sampled_from(["right", "wrong"]), st.integers(0, 3 * SECOND)), max_size=200))
def test_no_more_wrong_tries_than_the_rate_and_no_right_one_counts(moves: list[tuple[str, int]]) -> None:
    """In any order: of wrong ones so many pass as at once and since then; right ones never make others wait."""
    clock = Clock()
    mixed, alone = made(clock), made(clock)
    wrong, begun = 0, clock.now
    for what, pause in moves:
        clock.now += pause
        if what == "right":
            if mixed.begin("10.0.0.1") == 0:
                mixed.right("10.0.0.1")
            continue
        passed = mixed.begin("10.0.0.1") == 0
        assert passed == (alone.begin("10.0.0.1") == 0)
        wrong += passed
        assert wrong <= EACH.at_once + (clock.now - begun) // EACH.every


async def test_the_log_in_refuses_too_many_tries() -> None:
    """Before it looks at the token; from other addresses, and later, it goes on. Malformed ones are no tries."""
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(service, "Tries", lambda: made(clock))
        async with open_engine(app, "memory://") as engine:
            served: Any = http_app(app, engine, settings=Settings(auth_tokens=[TOKEN]))

    async def try_(token: Any, address: str = "10.0.0.1") -> httpx.Response:
        transport = httpx.ASGITransport(served, client=(address, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8288") as client:
            return await client.post("/login", json={"token": token})

    for _ in range(2 * EACH.at_once):
        assert (await try_(TOKEN)).status_code == 200
        assert (await try_(7)).status_code == 400
    for _ in range(EACH.at_once):
        assert (await try_("wrong-horse")).status_code == 401
    for token in ("wrong-horse", TOKEN):
        refused = await try_(token)
        assert (refused.status_code, code_of(refused)) == (429, "too_many_tries")
        assert refused.headers["retry-after"] == "1"
        assert "set-cookie" not in refused.headers
        assert "wait 1 s" in refused.json()["error"]["message"]
    assert (await try_(TOKEN, "10.0.0.2")).status_code == 200
    clock.now += SECOND
    assert (await try_(TOKEN)).status_code == 200
