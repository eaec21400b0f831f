"""Identifiers, as pure functions of what they are derived from.

An id is 26 characters of Crockford's base 32: 48 bits of time in milliseconds, then 80 bits that are
random (`new_id`, entropy given as an argument) or a hash of what the id stands for (`derived_id`).
Ids made later sort later, which keeps inserts into an index cheap; a derived id takes the time of
the id that it is derived from, so deriving it again after a crash gives the same id.

Knows nothing of clocks or dice: both come as arguments.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_TIME_LENGTH = 10
_REST_LENGTH = 16
ENTROPY_BYTES = 10


def new_id(at: int, entropy: bytes) -> str:
    """An id for something made at `at` (microseconds since the epoch), with 10 random bytes."""
    assert len(entropy) == ENTROPY_BYTES, f"an id takes {ENTROPY_BYTES} bytes of entropy"
    return _time_digits(at // 1000) + _rest_digits(int.from_bytes(entropy))


def derived_id(base: str, *parts: str | int) -> str:
    """The id that `parts` have under `base`: equal arguments always give an equal id."""
    text = "\x00".join([base, *map(str, parts)])
    digest = blake2b(text.encode(), digest_size=ENTROPY_BYTES).digest()
    time = base[:_TIME_LENGTH] if is_id(base) else _NO_TIME
    return time + _rest_digits(int.from_bytes(digest))


def seed_of(run_id: str) -> int:
    """The seed of a run's random numbers, when nothing else fixes it."""
    return int.from_bytes(blake2b(run_id.encode(), digest_size=6).digest())


def is_id(text: str) -> bool:
    """Whether `text` has the form of an id that this module makes."""
    return len(text) == _TIME_LENGTH + _REST_LENGTH and not text.strip(_ALPHABET)


def time_of(id: str) -> int:
    """The microseconds since the epoch at which what has this id was made, to the millisecond."""
    assert is_id(id), f"{id!r} is no id"
    milliseconds = 0
    for digit in id[:_TIME_LENGTH]:
        milliseconds = milliseconds << 5 | _ALPHABET.index(digit)
    return milliseconds * 1_000


def _base32(number: int, length: int) -> str:
    """The last `length` (even) digits of a number in Crockford's base 32, two at a time."""
    return "".join([_PAIRS[number >> shift & 1023] for shift in range(5 * (length - 2), -1, -10)])


@lru_cache(maxsize=64)
def _time_digits(milliseconds: int) -> str:
    """The digits of a time. Ids are made many in a millisecond."""
    return _base32(milliseconds, _TIME_LENGTH)


def _rest_digits(n: int) -> str:
    """The digits of 80 bits: `_base32`, written out, at half its cost."""
    p = _PAIRS
    return (
        p[n >> 70] + p[n >> 60 & 1023] + p[n >> 50 & 1023] + p[n >> 40 & 1023]
        + p[n >> 30 & 1023] + p[n >> 20 & 1023] + p[n >> 10 & 1023] + p[n & 1023]
    )  # fmt: skip


_NO_TIME = _base32(0, _TIME_LENGTH)
