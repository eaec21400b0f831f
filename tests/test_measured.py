"""`measured`: coverage is measured while a test is young."""

from __future__ import annotations

import signal
import time

import attrs
import pytest

from tests.measured import while_young


@attrs.define
class Told:
    """A measure that knows what it was told."""

    words: list[str] = attrs.Factory(list)

    def start(self) -> None:
        self.words.append("start")

    def stop(self) -> None:
        self.words.append("stop")


def computed(seconds: float, told: Told) -> None:
    """Compute until it was told something, or for so long."""
    until = time.process_time() + seconds
    while not told.words and time.process_time() < until:
        pass


def fail_late(told: Told) -> None:
    computed(20, told)
    raise ZeroDivisionError


def test_an_old_test_is_measured_no_longer_and_the_next_one_is() -> None:
    """It stops once, in the midst of the test, and goes on after it."""
    told = Told()
    with while_young(told, 0.01):
        computed(20, told)
        inside = list(told.words)
    assert (inside, told.words) == (["stop"], ["stop", "start"])


def test_a_test_that_fails_is_followed_by_one_that_is_measured() -> None:
    """However it ends."""
    told = Told()
    with pytest.raises(ZeroDivisionError), while_young(told, 0.01):
        fail_late(told)
    assert told.words == ["stop", "start"]


def test_a_young_test_is_measured_to_its_end() -> None:
    """Nothing is stopped, not after it either, and the signal means what it meant."""
    told, before = Told(), signal.getsignal(signal.SIGPROF)
    with while_young(told, 100):
        computed(0.001, told)
    assert told.words == []
    assert signal.getsignal(signal.SIGPROF) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)
