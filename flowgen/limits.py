"""The arithmetic of rate limits and throttles: a state, a time, and what becomes of both.

Each function takes the state that a cell holds and gives the new one; a state is JSON, and empty when there
is none yet. Times and periods are integer microseconds. Store time may stand behind the newest time of a
state (another process wrote it, on its estimate): then it counts as that time, so nothing is ever
counted twice or let through because a clock was late.

Refuses to know: what is limited, and where the state is kept.
"""

from __future__ import annotations

from bisect import bisect_right

import attrs
import msgspec

from .outcome import Json

_ENCODE = msgspec.json.Encoder()
_TIMES = msgspec.json.Decoder(list[int])
_TIME = msgspec.json.Decoder(int)


@attrs.frozen
class Limited:
    """What a limit says of one start: `at` is when it may happen (None: not at all), `state` what is to be kept until
    `expires_at`."""

    at: int | None
    state: Json
    expires_at: int


def rate_limit(state: Json | None, now: int, limit: int, per: int) -> Limited:
    """A start at `now`, if fewer than `limit` were in the window (now - per, now]; exact, by keeping their times."""
    times = _TIMES.decode(state) if state is not None else []
    if times and times[-1] > now:
        now = times[-1]
    del times[: bisect_right(times, now - per)]
    if state is not None and len(times) >= limit:
        return Limited(None, state, times[-1] + per)
    times.append(now)
    return Limited(now, Json(_ENCODE.encode(times)), now + per)


def throttle(state: Json | None, now: int, limit: int, per: int, burst: int = 1) -> Limited:
    """When a start that is asked for at `now` happens: `burst` at once, then one each `per / limit` (GCRA).

    The state is the theoretical arrival time: when a start would be on time if all came evenly spread. A part
    of a microsecond between two starts is rounded up, so that no period ever holds more than it may.
    """
    interval = -(-per // limit)
    expected = max(_TIME.decode(state), now) if state is not None else now
    after = expected + interval
    return Limited(max(now, expected - (burst - 1) * interval), Json(_ENCODE.encode(after)), after)
