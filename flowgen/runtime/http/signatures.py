"""The flowgen signature: a request that proves, without saying it, that its sender has a key.

::

    X-Flowgen-Signature: v=1&t=1767225600&n=Jx2cVfG7kQmWn0aT&s=<64 hex digits>

`s` is HMAC-SHA256 under the key of these lines, joined by a newline: `v1`, the method, the target as it is sent (path
and query), `t`, `n`, and the SHA-256 of the body in hex digits. `t` is the time in seconds since the epoch: a
signature is good for `WINDOW` seconds, and no clock may be more ahead than that. `n` is 16 to 64 letters, digits, `-`
and `_` that are used once: the same signature again is a replay (`Nonces`).

There is one way to write a signature, and every other is refused: nothing is trimmed, defaulted or said twice. Several
keys may be in force, so that they can be rotated. Texts are compared as bytes, in constant time.

Pure: the time and the nonce are arguments. Refuses to know what a request is allowed to do.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from heapq import heappop, heappush
from threading import Lock
from typing import Final

import attrs

from ...errors import InvalidInput

HEADER: Final = "X-Flowgen-Signature"
WINDOW: Final = 300
"""Seconds that a signature may be old, or ahead."""

MOST_NONCES: Final = 100_000
"""So many signed requests are taken in one window."""

_NONCE: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_FORM: Final = re.compile(r"v=1&t=(0|[1-9][0-9]{0,11})&n=([A-Za-z0-9_-]{16,64})&s=([0-9a-f]{64})")
_LINE: Final = re.compile(rb"[\x21-\x7e]+")


class BadSignature(Exception):
    """A signature that is none. The message tells its sender what to mend, and nothing of the keys."""


def sign(key: str, method: str, target: str, body: bytes, *, at: int, nonce: str) -> str:
    """The value of the header for a request that is sent now.

    `target` is the path with its query as it stands in the request line, `at` the time in seconds since the epoch, and
    `nonce` 16 to 64 letters, digits, `-` and `_` that nobody can guess, such as `secrets.token_urlsafe(16)`. Raises
    `InvalidInput` for what cannot be signed.

    >>> sign("a-signing-key", "GET", "/v1/runs?limit=1", b"", at=1767225600, nonce="Jx2cVfG7kQmWn0aT")[:60]
    'v=1&t=1767225600&n=Jx2cVfG7kQmWn0aT&s=95b245d6d8de7faffcfae1'
    """
    if at < 0 or not _NONCE.fullmatch(nonce):
        raise InvalidInput(f"at={at!r}, nonce={nonce!r:.80}: say a time, and 16 to 64 letters, digits, - and _")
    try:
        mac = _mac(key, method.encode("ascii"), target.encode("ascii"), body, str(at), nonce)
    except (BadSignature, UnicodeEncodeError):
        raise InvalidInput(f"{method!r:.50} {target!r:.200} is no request line: say it as it is sent") from None
    return f"v=1&t={at}&n={nonce}&s={mac}"


@attrs.frozen
class Signature:
    """What a header claims: nothing of it is to be believed before `check`."""

    at: str
    nonce: str
    mac: str = attrs.field(repr=False)

    def check(self, keys: Iterable[str], method: bytes, target: bytes, body: bytes) -> None:
        """Raise `BadSignature` unless one of the keys has made it, for this request."""
        good = False
        for key in keys:
            made = _mac(key, method, target, body, self.at, self.nonce)
            good |= hmac.compare_digest(made.encode(), self.mac.encode())
        if not good:
            raise BadSignature("it was not made for this request with a key of this server")

    @property
    def expires_at(self) -> int:
        """When it is too old, in seconds since the epoch."""
        return int(self.at) + WINDOW


def read_signature(header: str, now: float) -> Signature:
    """What a header claims. Raises `BadSignature` if it has another form, or is not of this time."""
    form = _FORM.fullmatch(header)
    if form is None:
        raise BadSignature("it has the form v=1&t=SECONDS&n=NONCE&s=HEX, and nothing around it")
    at, nonce, mac = form.groups()
    age = now - int(at)
    if abs(age) > WINDOW:
        raise BadSignature(
            f"its time is {abs(age):.0f} s {'ago' if age > 0 else 'ahead'}: at most {WINDOW} are accepted"
        )
    return Signature(at, nonce, mac)


def _mac(key: str, method: bytes, target: bytes, body: bytes, at: str, nonce: str) -> str:
    if not _LINE.fullmatch(method) or not _LINE.fullmatch(target):
        raise BadSignature("a request line with spaces or control characters cannot be signed")
    lines = (b"v1", method, target, at.encode(), nonce.encode(), sha256(body).hexdigest().encode())
    return hmac.new(key.encode(), b"\n".join(lines), sha256).hexdigest()


class TooManyNonces(Exception):
    """More signed requests in one window than can be remembered."""


class Nonces:
    """The nonces that were used, for as long as a signature with them would be good. Used from any thread.

    Only those of signatures that were checked come here: so nobody without a key fills it.
    """

    def __init__(self, most: int = MOST_NONCES) -> None:
        self._most = most
        self._lock = Lock()
        self._used: set[str] = set()
        self._expiring: list[tuple[int, str]] = []

    def use(self, signature: Signature, now: float) -> None:
        """Take a nonce. Raises `BadSignature` if it was taken before, `TooManyNonces` if there is no room."""
        with self._lock:
            while self._expiring and self._expiring[0][0] < now:
                self._used.discard(heappop(self._expiring)[1])
            if signature.nonce in self._used:
                raise BadSignature("it was used before: a request is signed anew each time it is sent")
            if len(self._used) >= self._most:
                raise TooManyNonces
            self._used.add(signature.nonce)
            heappush(self._expiring, (signature.expires_at, signature.nonce))
