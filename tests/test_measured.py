"""`measured`: coverage is measured while a test is young."""

from __future__ import annotations

import signal
import socket
import threading
import time

import attrs
import pytest

from tests.measured import while_young


@attrs.define
class Told:
    """Measures, one begun after the other: the names of those that are at work, and what they were told."""

    at_work: list[str]
    words: list[str] = attrs.Factory(list)

    def current(self) -> _Measure | None:
        return _Measure(self, self.at_work[-1]) if self.at_work else None


@attrs.frozen
class _Measure:
    told: Told
    name: str

    def start(self) -> None:
        self.told.at_work.append(self.name)
        self.told.words.append(f"start {self.name}")

    def stop(self) -> None:
        assert self.told.at_work.pop() == self.name
        self.told.words.append(f"stop {self.name}")


def computed(seconds: float, told: Told) -> None:
    """Compute until nothing is measured any more, or for so long."""
    until = time.process_time() + seconds
    while told.at_work and time.process_time() < until:
        pass


def fail_late(told: Told) -> None:
    computed(20, told)
    raise ZeroDivisionError


def test_an_old_test_is_measured_no_longer_and_the_next_one_is() -> None:
    """It stops once, in the midst of the test, and goes on after it."""
    told = Told(["one"])
    with while_young(told.current, 0.01):
        computed(20, told)
        assert told.words == ["stop one"]
    assert told.words == ["stop one", "start one"]


def test_no_measure_goes_on_below_another_one() -> None:
    """All of them stop, the last one first, and afterwards they are as they were."""
    told = Told(["child", "test"])
    with while_young(told.current, 0.01):
        computed(20, told)
        assert told.at_work == []
    assert told.words == ["stop test", "stop child", "start child", "start test"]


def test_a_test_that_fails_is_followed_by_one_that_is_measured() -> None:
    """However it ends."""
    told = Told(["one"])
    with pytest.raises(ZeroDivisionError), while_young(told.current, 0.01):
        fail_late(told)
    assert told.words == ["stop one", "start one"]


def test_a_young_test_is_measured_to_its_end() -> None:
    """Nothing is stopped, not after it either, and nobody watches any more."""
    told, before = Told(["one"]), threading.active_count()
    with while_young(told.current, 0.01):
        computed(0.001, told)
    computed(0.02, told)
    assert told.words == []
    assert threading.active_count() == before


def test_no_signal_comes_to_a_test() -> None:
    """A loop that waits for signals is not woken: one that comes as it takes its socket apart would be an error."""
    told = Told(["one"])
    ours, wakeup = socket.socketpair()
    with ours, wakeup:
        wakeup.setblocking(False)
        before = signal.set_wakeup_fd(wakeup.fileno())
        try:
            with while_young(told.current, 0.01):
                computed(20, told)
        finally:
            signal.set_wakeup_fd(before)
        ours.setblocking(False)
        with pytest.raises(BlockingIOError):
            ours.recv(1)
    assert told.words == ["stop one", "start one"]
