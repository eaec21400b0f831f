"""How much patience a server has with those who call it."""

from __future__ import annotations

import attrs

KIB = 1024


@attrs.frozen
class Limits:
    """Bounds of one connection, and on how many there are; times are in seconds.

    `connections` are open at once: one more takes the place of one that is asked nothing, or is told to come again. A
    request has `header_seconds` to send its line and
    headers, which are at most `header_bytes` and `headers` many, and then `body_seconds` for its body. At most
    `ahead` requests of a connection wait for the answer to one before them. A connection that asks nothing more is
    closed after `idle_seconds`; one whose client does not take what is sent to it after `stalled_seconds`.
    `linger_seconds` is how long a client that was answered early may go on sending.
    """

    connections: int = 1_000
    header_bytes: int = 64 * KIB
    headers: int = 100
    ahead: int = 32
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    linger_seconds: float = 5.0
    idle_seconds: float = 75.0
    stalled_seconds: float = 30.0
