"""How many wrong tokens may be tried at the log-in, in constant memory.

Tries are counted by address, and all together. Both are buckets that fill while nobody tries: so many tries at once,
and one more each so often. Each is one number, the time at which it will be full again (as in the generic cell rate
algorithm).

* An address has the bucket that its hash says, one of `PLACES`; which others share it, nobody can know or choose. Of an
  IPv6 address its network counts, which is what one customer has.
* A right token costs nothing. It is taken at first, or many tries at once would pass.
* A proxy is one address for everybody behind it. So nobody waits for long: as soon as the wrong tries of the others
  stop, there is another one within a second (`EACH.every`).

Refuses to know HTTP, and what is tried.
"""

from __future__ import annotations

import os
import time
from array import array
from collections.abc import Callable
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Final

import attrs

from ...duration import SECOND

PLACES: Final = 1_024


@attrs.frozen
class Rate:
    """So many tries at once, and one more each `every` microseconds."""

    at_once: int
    every: int

    @property
    def most(self) -> int:
        """How long it takes until a bucket that is empty is full again."""
        return self.at_once * self.every


EACH: Final = Rate(20, SECOND)
TOGETHER: Final = Rate(200, SECOND // 10)


def _now() -> int:
    return time.monotonic_ns() // 1_000


class Tries:
    """The tries of one server. `clock` is in microseconds; `secret` says which addresses share a bucket."""

    def __init__(self, clock: Callable[[], int] = _now, secret: bytes | None = None) -> None:
        self._clock = clock
        self._secret = os.urandom(16) if secret is None else secret
        self._each = array("q", bytes(8 * PLACES))
        self._together = 0

    def begin(self, address: str) -> int:
        """Take a try for an address. 0, or for how many microseconds there is none: then nothing is taken."""
        now, place = self._clock(), self._place(address)
        each = max(now, self._each[place]) + EACH.every
        together = max(now, self._together) + TOGETHER.every
        wait = max(each - now - EACH.most, together - now - TOGETHER.most)
        if wait > 0:
            return wait
        self._each[place], self._together = each, together
        return 0

    def right(self, address: str) -> None:
        """What was tried was right: it costs nothing."""
        self._each[self._place(address)] -= EACH.every
        self._together -= TOGETHER.every

    def _place(self, address: str) -> int:
        digest = blake2b(_network(address), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "big") % PLACES


def _network(address: str) -> bytes:
    """What counts of an address; of what is none (a Unix socket), all of it."""
    try:
        read = ip_address(address.partition("%")[0])
    except ValueError:
        return address.encode(errors="replace")
    if isinstance(read, IPv6Address):
        return read.packed[:8] if read.ipv4_mapped is None else read.ipv4_mapped.packed
    return read.packed
