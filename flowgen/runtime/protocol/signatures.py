"""Signatures and keys of the protocol: who has sent a request, and may it ask this of us.

::

    X-Inngest-Signature: t=1767225600&s=<64 hex digits>
    Authorization: Bearer signkey-prod-<64 hex digits>

`s` is HMAC-SHA256 over the canonical body and the digits of `t`, seconds since the epoch. Its key is what follows
`signkey-<env>-` in the signing key: its digits, not the bytes that they mean. A bearer is the SHA-256 of those bytes.

There is one way to write a signature, and every other is refused: nothing is trimmed, defaulted or said twice. Several
keys may be in force, so that they can be rotated; all of them are compared, in constant time.

The protocol has no nonce, so a request can be sent again within `WINDOW` seconds. A registration that is there already
is the same; a copy of a call is refused by the process that has answered it (`serving.seen`).
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from ...errors import InvalidInput
from .canonical import canonical as canonical_form
from .reading import BadSignature

WINDOW: Final = 300
"""Seconds that a signature may be old, or ahead."""

_PREFIX: Final = re.compile(r"signkey-[A-Za-z0-9_]+-")
_SIGNATURE: Final = re.compile(r"t=(0|[1-9][0-9]{0,11})&s=([0-9a-f]{64})")
_BEARER: Final = re.compile(r"[Bb]earer +(?:signkey-[A-Za-z0-9_]+-)?([0-9a-f]{64})")


def sign(key: str, body: bytes, at: int, *, canonical: bool = True) -> str:
    """The value of the header for a body that is sent at `at`, in seconds since the epoch.

    Requests are signed in their canonical form; answers as they are (`canonical=False`).

    >>> sign("signkey-test-12345678", b'{"a": 1}', 1767225600)[:30]
    't=1767225600&s=b8adcb25038917c'
    """
    return f"t={at}&s={_mac(key, canonical_form(body) if canonical else body, str(at))}"


def verify(header: str | None, body: bytes, keys: Iterable[str], now: float, *, canonical: bool = True) -> str:
    """The one of `keys` that has signed the body. `now` is in seconds since the epoch.

    Raises `BadSignature`, and never anything else, if there is none.
    """
    if header is None:
        raise BadSignature("signature", "is missing")
    form = _SIGNATURE.fullmatch(header)
    if form is None:
        raise BadSignature("signature", "has the form t=SECONDS&s=HEX, and nothing around it")
    at, mac = form.groups()
    age = now - int(at)
    if abs(age) > WINDOW:
        when = "ago" if age > 0 else "ahead"
        raise BadSignature("signature", f"its time is {abs(age):.0f} s {when}: at most {WINDOW} are accepted")
    signed = canonical_form(body, error=BadSignature) if canonical else body
    found: str | None = None
    for key in keys:
        if hmac.compare_digest(_mac(key, signed, at), mac):
            found = key
    if found is None:
        raise BadSignature("signature", "was not made for this body with a key that is known here")
    return found


def verify_answer(header: str, body: bytes, key: str, now: float) -> None:
    """Raise `BadSignature` if an app has not signed its answer with the key that its call was signed with.

    SDKs sign what they send; that one signs the canonical form of it is as good.
    """
    try:
        verify(header, body, [key], now, canonical=False)
    except BadSignature as bad:
        try:
            verify(header, body, [key], now)
        except BadSignature:
            raise bad from None


def check_signing_key(key: str) -> str:
    """The key, if it is one: `signkey-<env>-` and an even number of hex digits, or the digits alone."""
    try:
        good = bool(_secret(key)) and bool(bytes.fromhex(_secret(key))) and not re.search(r"\s", key)
    except ValueError:
        good = False
    if not good:
        raise InvalidInput(
            f"a signing key is signkey-<env>-<hex>, with an even number of hex digits; this one has {len(key)} "
            "characters and another form"
        )
    return key


def key_hash(key: str) -> str:
    """The SHA-256 of a signing key, in hex digits: what names it without giving it away."""
    return sha256(bytes.fromhex(_secret(check_signing_key(key)))).hexdigest()


def bearer(key: str) -> str:
    """What a holder of the signing key says in `Authorization`, after `Bearer `."""
    prefix = _PREFIX.match(key)
    return (prefix[0] if prefix else "") + key_hash(key)


def is_bearer(authorization: str | None, keys: Iterable[str]) -> bool:
    """Whether an `Authorization` header is that of a holder of one of the keys. SDKs leave the prefix out or not."""
    form = _BEARER.fullmatch(authorization or "")
    if form is None:
        return False
    good = False
    for key in keys:
        good |= hmac.compare_digest(key_hash(key), form[1])
    return good


def event_key_hash(key: str) -> str:
    """The SHA-256 of an event key, in hex digits."""
    return sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


def _secret(key: str) -> str:
    prefix = _PREFIX.match(key)
    return key[prefix.end() :] if prefix else key


def _mac(key: str, body: bytes, at: str) -> str:
    return hmac.new(_secret(key).encode("utf-8", "surrogatepass"), body + at.encode(), sha256).hexdigest()
