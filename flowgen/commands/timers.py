"""`Sleep` and `SleepUntil`: wait for a time. Asleep, a run holds no worker, thread or slot.

How long is not part of the fingerprint: a sleep may be made longer or shorter while runs are open.
Those already asleep keep the moment that was recorded.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import ClassVar

import attrs

from ..duration import Instant, Micros, format_duration, instant, moment, parse_duration
from ..history import Kind
from .base import StepCommand, call_text, changed, check_name


@attrs.define(init=False, repr=False)
class Sleep(StepCommand[None]):
    """Sleep for a duration: `Sleep("let it settle", "30m")`. At most 366 days."""

    kind: ClassVar[Kind] = "sleep"
    id: str
    duration: Micros

    def __init__(self, id: str, duration: str | float | timedelta) -> None:
        self.id = check_name(id, "id of Sleep")
        self.duration = parse_duration(duration, f"duration of {id!r}")

    def options(self, *, id: str | None = None, duration: str | float | timedelta | None = None) -> Sleep:
        """A copy with another id or duration."""
        return Sleep(
            self.id if id is None else id, timedelta(microseconds=self.duration) if duration is None else duration
        )

    def __repr__(self) -> str:
        return call_text("Sleep", repr(self.id), repr(format_duration(self.duration)))


@attrs.define(init=False, repr=False)
class SleepUntil(StepCommand[None]):
    """Sleep until a moment: `SleepUntil("doors open", datetime(2026, 5, 1, tzinfo=UTC))`.

    A moment that has passed ends the sleep at once. One more than 366 days ahead fails the run, as a
    `Sleep` of that length would.
    """

    kind: ClassVar[Kind] = "sleep"
    id: str
    until: Instant

    def __init__(self, id: str, until: datetime) -> None:
        self.id = check_name(id, "id of SleepUntil")
        self.until = instant(until, f"moment of {id!r}")

    def options(self, *, id: str | None = None, until: datetime | None = None) -> SleepUntil:
        """A copy with another id or moment."""
        return changed(
            self,
            id=None if id is None else check_name(id, "id of SleepUntil"),
            until=None if until is None else instant(until, f"moment of {id!r}"),
        )

    def __repr__(self) -> str:
        return call_text("SleepUntil", repr(self.id), repr(moment(self.until).isoformat()))
