"""Virtual time passes only when everybody waits for it."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from flowgen import DefinitionError
from flowgen.testing import VirtualClock

YEAR = 365 * 86_400


def test_a_year_passes_at_once() -> None:
    """Sleeping tasks are woken in the order of their deadlines, and the clock shows the time that has passed."""
    clock = VirtualClock(datetime(2030, 1, 1, tzinfo=UTC))
    woken: list[int] = []

    async def sleeper(days: int) -> None:
        await trio.sleep(days * 86_400)
        woken.append(days)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for days in (365, 1, 30):
                nursery.start_soon(sleeper, days)

    trio.run(main, clock=clock)
    assert woken == [1, 30, 365]
    assert clock.now == datetime(2031, 1, 1, tzinfo=UTC)


def test_it_is_store_time_too() -> None:
    """Called, it gives microseconds since the epoch."""
    clock = VirtualClock(datetime(1970, 1, 2, tzinfo=UTC))
    clock.advance("1h")
    assert clock() == (24 + 1) * 3600 * 1_000_000


def test_no_time_passes_while_a_task_can_run() -> None:
    """A deadline does not come while somebody else is busy."""

    async def main() -> None:
        with trio.move_on_after(0.000_001) as scope:
            for _ in range(1_000):
                await trio.lowlevel.checkpoint()
        assert not scope.cancelled_caught

    trio.run(main, clock=VirtualClock())


def test_no_time_passes_while_a_thread_works() -> None:
    """A thread that trio started takes no virtual time, however long it takes."""

    async def main() -> None:
        released = trio.Event()
        token = trio.lowlevel.current_trio_token()

        def work() -> None:
            trio.from_thread.run_sync(released.set, trio_token=token)

        with trio.move_on_after(1) as scope:
            await trio.to_thread.run_sync(work)
            await released.wait()
        assert not scope.cancelled_caught
        assert trio.current_time() == 0

    trio.run(main, clock=VirtualClock())


def test_it_can_be_held() -> None:
    """Inside `held()` it stands still, and afterwards it goes on."""
    clock = VirtualClock()

    async def main() -> None:
        woken = trio.Event()
        token = trio.lowlevel.current_trio_token()
        with trio.move_on_after(1) as scope, clock.held():
            trio.lowlevel.spawn_system_task(trio.to_thread.run_sync, lambda: token.run_sync_soon(woken.set))
            await woken.wait()
        assert not scope.cancelled_caught
        await trio.sleep(1)

    trio.run(main, clock=clock)
    assert clock.elapsed >= 1_000_000


def test_it_moves_by_hand_only_if_told_so() -> None:
    """With `jumps=False` no deadline comes by itself."""
    clock = VirtualClock(jumps=False)

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.sleep, 10)
            await trio.testing.wait_all_tasks_blocked()
            assert trio.current_time() == 0
            clock.advance(10)

    trio.run(main, clock=clock)
    assert clock.elapsed == 10_000_000


@given(st.floats(0, 100 * YEAR), st.floats(0, 100 * YEAR))
def test_a_deadline_that_was_jumped_to_has_come(first: float, second: float) -> None:
    """After a jump trio is told that the deadline has come; in microseconds it is the nearest, and never goes back."""
    clock = VirtualClock()
    for deadline in (first, second):
        before = clock.elapsed
        clock.jump_to(deadline)
        assert clock.current_time() >= deadline
        assert clock.elapsed == max(before, round(deadline * 1_000_000))


def test_sums_of_floats_lose_no_microsecond() -> None:
    """0.4 + 0.2 is a little more than 0.6 for a float, and not a microsecond later for the clock."""
    clock = VirtualClock()

    async def main() -> None:
        for _ in range(1_000):
            await trio.sleep(0.2)
            assert clock.elapsed % 200_000 == 0

    trio.run(main, clock=clock)
    assert clock.elapsed == 200_000_000


@given(
    st.lists(st.tuples(st.integers(0, 50), st.none() | st.integers(0, 50)), max_size=8), st.none() | st.integers(0, 50)
)
def test_who_sleeps_on_the_clock_wakes_as_with_trio(
    sleeps: list[tuple[int, int | None]], by_itself: int | None
) -> None:
    """At the same moments, whether somebody moves the clock or from some moment on nobody does; also if cancelled."""

    def moments(sleep: Callable[[VirtualClock, float], Awaitable[None]]) -> list[tuple[int, int]]:
        clock = VirtualClock(jumps=False)
        woken: list[tuple[int, int]] = []

        async def one(number: int, seconds: int, limit: int | None) -> None:
            with trio.CancelScope(deadline=math.inf if limit is None else limit + 0.5):
                await sleep(clock, seconds)
            woken.append((number, clock.elapsed))

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                for number, (seconds, limit) in enumerate(sleeps):
                    nursery.start_soon(one, number, seconds, limit)
                while nursery.child_tasks:
                    await trio.testing.wait_all_tasks_blocked()
                    deadline = trio.current_time() + trio.lowlevel.current_statistics().seconds_to_next_deadline
                    at = clock.next_wake(deadline)
                    if at is None:
                        break
                    if by_itself is not None and at > by_itself * 1_000_000:
                        clock.run_on()
                        break
                    clock.pass_to(at)
                    clock.reach(deadline)

        trio.run(main, clock=clock)
        return sorted(woken)

    async def by_trio(clock: VirtualClock, seconds: float) -> None:
        await trio.sleep(seconds)

    assert moments(VirtualClock.sleep) == moments(by_trio)


def test_time_does_not_go_back() -> None:
    """A negative step is refused."""
    with pytest.raises(DefinitionError, match=r"VirtualClock\.advance"):
        VirtualClock().advance(timedelta(seconds=-1))
