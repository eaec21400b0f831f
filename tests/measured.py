"""Coverage, measured while a test is young: for the first tenth of a second that it computes.

Tracing each line makes a simulation three times as slow, and what the ten-thousandth line of it says was said by the
hundredth. So the measuring stops when a test has computed for `YOUNG_SECONDS`, and goes on with the next test. A line
that is reached late in long tests only is missing from the report; nothing else depends on it.

It knows nothing of tests without `--cov`: there is nothing to stop.
"""

from __future__ import annotations

import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import pytest

YOUNG_SECONDS = 0.1
"""So long a test is measured, in the time of processors. Most tests are never older."""


class Measure(Protocol):
    """What can be stopped, and go on: a `Coverage`."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Measure a test, with its fixtures, while it is young."""
    if not item.config.pluginmanager.has_plugin("_cov"):
        return (yield)
    from coverage import Coverage

    measure = Coverage.current()
    if measure is None:
        return (yield)
    with while_young(measure, YOUNG_SECONDS):
        return (yield)


@contextmanager
def while_young(measure: Measure, seconds: float) -> Iterator[None]:
    """Inside, the measuring stops when this process has computed for so long. Afterwards it goes on."""
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        measure.stop()

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
        if stopped:
            measure.start()
