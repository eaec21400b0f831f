"""Signatures and keys of the protocol: what it takes to be believed, and everything that is not."""

from __future__ import annotations

import hmac
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgen.errors import InvalidInput
from flowgen.runtime.protocol.reading import BadSignature
from flowgen.runtime.protocol.signatures import (
    WINDOW,
    bearer,
    check_signing_key,
    event_key_hash,
    is_bearer,
    key_hash,
    sign,
    verify,
)

from .test_canonical import SDKS

KEY, NEXT, OTHER = "signkey-test-12345678", "signkey-prod-0a1b2c3d", "signkey-test-deadbeef"
NOW = 1_767_225_600
BODY = b'{"a": 1}'


def believed(header: str | None, *, body: bytes = BODY, keys: tuple[str, ...] = (NEXT, KEY), now: float = NOW) -> bool:
    try:
        verify(header, body, keys, now)
    except BadSignature:
        return False
    return True


def test_the_scheme_is_the_one_that_is_written_down() -> None:
    """By hand: the key's digits themselves, the canonical body, then the seconds."""
    mac = hmac.new(b"12345678", b'{"a":1}' + str(NOW).encode(), sha256).hexdigest()
    assert sign(KEY, BODY, NOW) == f"t={NOW}&s={mac}"


@pytest.mark.parametrize(
    "body, mac",
    [
        (b"", "93e3df5298c9ee554fd061965a04af1a25f552f61dfd80a130b7af6dc235d0da"),
        (BODY, "b8adcb25038917ca7ac30aed6a757e2158c37be79cbf38ebef86e105aa522add"),
        (SDKS[0].encode(), "4fa793667f03ab0b1064f8f2715b752f06cdfcf905401879d93bf30792c32270"),
    ],
)
def test_the_official_sdk_signs_the_same(body: bytes, mac: str) -> None:
    """What its own function gives for the same key, body and time."""
    assert sign(KEY, body, NOW) == f"t={NOW}&s={mac}"
    assert verify(f"t={NOW}&s={mac}", body, [KEY], NOW) == KEY


def test_an_answer_is_signed_as_it_is() -> None:
    """Not in its canonical form: also a vector of the official SDK."""
    header = f"t={NOW}&s=f86060f76e4602c56ae247ee6ea653ea784261111970220068bdd8fc23674e31"
    assert sign(KEY, BODY, NOW, canonical=False) == header
    assert verify(header, BODY, [KEY], NOW, canonical=False) == KEY
    with pytest.raises(BadSignature):
        verify(header, BODY, [KEY], NOW)


def test_any_key_in_force_will_do_and_the_one_is_told() -> None:
    """So that keys can be rotated, and the answer signed with the key of the question."""
    for key in (KEY, NEXT):
        assert verify(sign(key, BODY, NOW), BODY, [KEY, NEXT], NOW) == key
    assert not believed(sign(OTHER, BODY, NOW))
    assert not believed(sign(KEY, BODY, NOW), keys=())


def test_how_the_body_was_written_does_not_matter() -> None:
    """Between both ends it may be written anew."""
    assert believed(sign(KEY, b'{"b":2,"a":1.0}', NOW), body=b'{ "a": 1, "b": 2 }')
    assert not believed(sign(KEY, b'{"b":2,"a":1}', NOW), body=b'{"a":1,"b":3}')


@pytest.mark.parametrize("age", [-WINDOW, 0, WINDOW])
def test_a_signature_of_this_time_is_good(age: int) -> None:
    """For five minutes, and from a clock that is as much ahead."""
    assert believed(sign(KEY, BODY, NOW - age))


@pytest.mark.parametrize("age", [-WINDOW - 1, WINDOW + 1, NOW])
def test_a_signature_of_another_time_is_not(age: int) -> None:
    """It could be heard and sent again."""
    assert not believed(sign(KEY, BODY, NOW - age))


MAC = sign(KEY, BODY, NOW).partition("s=")[2]


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=&s=",
        f"s={MAC}",
        f"t={NOW}",
        f"t={NOW}&s={MAC.upper()}",
        f"T={NOW}&S={MAC}",
        f"s={MAC}&t={NOW}",
        f"t={NOW}&s={MAC}&s={MAC}",
        f"t={NOW}&t={NOW}&s={MAC}",
        f"t={NOW}&s={MAC}&v=1",
        f" t={NOW}&s={MAC}",
        f"t={NOW}&s={MAC}\n",
        f"t=0{NOW}&s={MAC}",
        f"t=+{NOW}&s={MAC}",
        f"t={NOW}.0&s={MAC}",
        f"t={'9' * 400}&s={MAC}",
        f"t=１７６７２２５６００&s={MAC}",
        f"t={NOW}&s={MAC[:-1]}",
        f"t={NOW}&s={MAC}0",
        f"t={NOW}&s={'é' * 64}",
        f"t={NOW}&s={MAC}, t={NOW}&s={MAC}",
    ],
)
def test_there_is_one_way_to_write_it(header: str | None) -> None:
    """Nothing is trimmed, defaulted or said twice."""
    assert not believed(header)


@given(st.text(max_size=120) | st.binary(max_size=120).map(lambda b: b.decode("latin-1")), st.binary(max_size=60))
def test_whatever_comes_in_only_our_error_comes_out(header: str, body: bytes) -> None:
    """And nothing that was not signed is believed."""
    assert not believed(header, body=body)


@given(st.binary(max_size=60))
def test_a_body_that_is_no_json_was_not_signed(body: bytes) -> None:
    """Whatever its signature says: `verify` raises nothing else."""
    believed(f"t={NOW}&s={MAC}", body=body)


@given(st.integers(0, 63), st.sampled_from("0123456789abcdef"))
def test_no_digit_may_be_another(place: int, digit: str) -> None:
    """The whole signature counts."""
    forged = MAC[:place] + digit + MAC[place + 1 :]
    assert believed(f"t={NOW}&s={forged}") == (forged == MAC)


def test_a_refusal_gives_no_key_away() -> None:
    """Neither the keys nor the signature that would have been right."""
    with pytest.raises(BadSignature) as refused:
        verify(sign(OTHER, BODY, NOW), BODY, [KEY], NOW)
    assert "12345678" not in str(refused.value)
    assert MAC not in str(refused.value)


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_is_named_by_the_hash_of_its_bytes() -> None:
    """Vectors of the official SDKs: Python leaves the prefix out, TypeScript does not."""
    assert key_hash(KEY) == "b2ed992186a5cb19f6668aade821f502c1d00970dfd0e35128d51bac4649916c"
    assert bearer(NEXT) == "signkey-prod-afafc56fafa11067811a11ab7beaf96b3a40bf7009300356a7f2c4cd7bcbc088"
    assert event_key_hash("my-event-key") == "756db3455bd70816c089ed7fcd514ab0e66cf5cdf62ccb7a3bca66d96ee3132c"


def test_who_has_a_key_is_let_in_with_or_without_its_prefix() -> None:
    """Any of the keys in force; the prefix says nothing."""
    for said in (bearer(KEY), key_hash(KEY), "signkey-branch_x-" + key_hash(NEXT)):
        assert is_bearer(f"Bearer {said}", [NEXT, KEY])
        assert not is_bearer(f"Bearer {said}", [OTHER])
        assert not is_bearer(f"Bearer {said}", [])


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {KEY}",
        f"Basic {key_hash(KEY)}",
        key_hash(KEY),
        f"Bearer {key_hash(KEY)} ",
    ],
)
def test_who_has_none_is_not(header: str | None) -> None:
    """Nor who says the key itself, which is not to be sent."""
    assert not is_bearer(header, [KEY])


@given(st.text(max_size=100))
def test_whatever_is_said_is_an_answer(header: str) -> None:
    """No header is an error."""
    assert not is_bearer(header, [KEY])


@pytest.mark.parametrize("key", [KEY, NEXT, "00", "signkey-branch_x-ff00"])
def test_a_signing_key_is_hex(key: str) -> None:
    """With or without what names its environment."""
    assert check_signing_key(key) == key


@pytest.mark.parametrize(
    "key", ["", "signkey-test-", "signkey-test-123", "signkey-test-xyz1", "secret", "12 34", "1234\n"]
)
def test_what_is_no_signing_key_is_refused_without_being_shown(key: str) -> None:
    """It may be another secret, put into the wrong place."""
    with pytest.raises(InvalidInput) as refused:
        check_signing_key(key)
    assert not key.strip() or key not in str(refused.value)
