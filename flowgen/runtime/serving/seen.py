"""The signed calls that came to this process: one that comes again, to the letter, is somebody else's.

A server says an id of its own in each request, and the time, so it never signs the same twice; also what it repeats
after a crash is signed anew. What is the same is a copy, made on its way or taken from a log. To answer it is safe for
the run, which takes no answer twice, but its step would be executed again.

* **What cannot be accepted is forgotten**: a signature is good for `WINDOW` seconds.
* **Memory is bounded.** Where more calls come than are remembered, the oldest are forgotten first.
* Other processes of the same app remember theirs. So this is a hurdle, and TLS is the door.

Pure: time is given. Refuses to know what a call says.
"""

from __future__ import annotations

import re
from typing import Final

from ..protocol.signatures import WINDOW

MOST: Final = 50_000
"""Calls that are remembered: about ten megabytes, or 160 calls a second."""

_TIME: Final = re.compile(r"t=([0-9]+)&s=([0-9a-f]{64})")


class Seen:
    """Remembers signatures that were verified, as the header has them."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._until: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._until)

    def is_new(self, header: str, now: float) -> bool:
        """Whether a signature was not there before; it is remembered from now on. `now` is in seconds."""
        form = _TIME.fullmatch(header)
        if form is None:
            return True
        call = bytes.fromhex(form[2])
        if call in self._until:
            return False
        self._forget(now)
        self._until[call] = int(form[1]) + WINDOW
        return True

    def _forget(self, now: float) -> None:
        """Make room for one: those go that are good no more, then the oldest."""
        while self._until:
            oldest = next(iter(self._until))
            if self._until[oldest] >= now and len(self._until) < self._most:
                return
            del self._until[oldest]
