"""`VirtualClock`: time that passes only when everybody waits for it.

It is a clock for trio (`trio.run(main, clock=VirtualClock())`) and, called, store time in microseconds
(`MemoryStore(clock=clock)`), so that both agree. When no task can run, it jumps to the next deadline: a
year passes in no time, and nothing ever waits for real.

Rules
-----
* Who uses its `sleep` while somebody else moves it waits in a queue of the clock's: a cancel scope for each, as trio
  makes it, would be a twelfth of what a simulation costs.
* Time never goes back, and never passes while a task can run. What the clock shows to a store may be set wrong.
* It stands still while somebody works outside of trio: in a thread that trio started, or inside
  `with clock.held():`.
* Inside it is an `int` of microseconds; trio sees the seconds since the start, as a float. A sum of floats is off
  by a little, so a deadline has come at the microsecond that is nearest to it, and trio is told that it has.

Refuses to know who waits, and what for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from heapq import heappop, heappush
from itertools import count
from math import inf

import trio

from ..duration import MAX_SPAN, format_duration, instant, moment, parse_duration

START = 1_767_225_600_000_000
"""When virtual time starts unless it is told otherwise: the beginning of 2026, UTC."""

_SECOND = 1_000_000


class VirtualClock(trio.abc.Clock):
    """Virtual time, for trio and for a store.

    `start` is the moment at which it starts (an aware `datetime`). With `jumps=False` it moves only by
    `advance` and `jump_to`.

    ::

        clock = VirtualClock()
        trio.run(main, clock=clock)         # trio.sleep(86_400) in there takes no time
        store = MemoryStore(clock=clock)
    """

    def __init__(self, start: datetime | None = None, *, jumps: bool = True) -> None:
        self.start = START if start is None else instant(start, "start of VirtualClock")
        self.elapsed = 0
        self.wrong_by = 0
        self._jumps = jumps
        self._holds = 0
        self._reached = 0.0
        self._sleepers: list[tuple[int, int, trio.lowlevel.Task]] = []
        self._awake: set[int] = set()
        self._numbers = count()

    def __call__(self) -> int:
        """The time that it shows: microseconds since the epoch."""
        return self.start + self.elapsed + self.wrong_by

    @property
    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return moment(self())

    @property
    def standing(self) -> bool:
        """Whether it stands still because somebody works outside of trio."""
        return self._holds > 0 or trio.to_thread.current_default_thread_limiter().borrowed_tokens > 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """While inside, time does not pass by itself."""
        self._holds += 1
        try:
            yield
        finally:
            self._holds -= 1

    def advance(self, duration: str | float | timedelta) -> None:
        """Let so much time pass at once."""
        self.pass_to(self.elapsed + parse_duration(duration, "VirtualClock.advance", maximum=MAX_SPAN))

    def pass_to(self, elapsed: int) -> None:
        """Let time pass until so many microseconds after the start; who sleeps here until then wakes."""
        self.elapsed = max(self.elapsed, elapsed)
        while self._sleepers and self._sleepers[0][0] <= self.elapsed:
            self._rouse()

    def set_wrong(self, micros: int) -> None:
        """Set what it shows forward or back, as people and daemons do with clocks. Nobody's sleep is changed by it."""
        self.wrong_by += micros

    def run_on(self) -> None:
        """From here on time passes by itself."""
        self._jumps = True
        while self._sleepers:  # each sleeps on as trio lets it
            self._rouse()

    def jump_to(self, deadline: float) -> None:
        """Go to a trio deadline, at once; one that has passed changes nothing."""
        self.pass_to(self.micros(deadline))
        self.reach(deadline)

    def reach(self, deadline: float) -> None:
        """Let trio know of a deadline that it has come, if it has."""
        if deadline < inf and self.micros(deadline) <= self.elapsed:
            self._reached = max(self._reached, deadline)

    async def sleep(self, seconds: float) -> None:
        """Wait as `trio.sleep` does, but without a cancel scope of its own while somebody else moves this clock."""
        until = self.current_time() + seconds
        if not self._jumps:
            number = next(self._numbers)
            heappush(self._sleepers, (self.micros(until), number, trio.lowlevel.current_task()))

            def abort(_: object) -> trio.lowlevel.Abort:
                self._awake.add(number)
                return trio.lowlevel.Abort.SUCCEEDED

            await trio.lowlevel.wait_task_rescheduled(abort)
        if self.elapsed < self.micros(until):
            await trio.sleep_until(until)

    def next_wake(self, deadline: float) -> int | None:
        """When somebody wakes, in microseconds since the start: at trio's next deadline (infinity if there is none), or
        who sleeps here. None if nobody ever does."""
        while self._sleepers and self._sleepers[0][1] in self._awake:
            self._rouse()
        times = [] if deadline == inf else [self.micros(deadline)]
        return min([*times, *(at for at, _, _ in self._sleepers[:1])], default=None)

    def _rouse(self) -> None:
        """Wake the first sleeper, unless something else has."""
        _, number, task = heappop(self._sleepers)
        if number in self._awake:
            self._awake.remove(number)
        else:
            trio.lowlevel.reschedule(task)

    def micros(self, deadline: float) -> int:
        """The microsecond since the start at which a trio deadline comes."""
        return round(deadline * _SECOND)

    # -- what trio asks for -----------------------------------------------------------------------

    def start_clock(self) -> None:
        """Trio begins; nothing has to be set up."""

    def current_time(self) -> float:
        """Seconds since the start; not less than a deadline that was reached."""
        return max(self.elapsed / _SECOND, self._reached)

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Real seconds to wait for a deadline: none, because asking for it makes it come."""
        if deadline <= self.current_time():
            return 0
        if deadline == inf or not self._jumps or self.standing:
            return inf
        self.jump_to(deadline)
        return 0

    def __repr__(self) -> str:
        return f"<VirtualClock at {self.now.isoformat()}, {format_duration(self.elapsed)} after its start>"
