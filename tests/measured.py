"""Coverage, measured while a test is young: for the first tenth of a second that it computes.

Tracing each line makes a simulation three times as slow, and what the ten-thousandth line of it says was said by the
hundredth. So the measuring stops when a test has computed for `YOUNG_SECONDS`, and goes on with the next test. A line
that is reached late in long tests only is missing from the report; nothing else depends on it. Where tests run side by
side each process is measured twice, as a test's and as somebody's child: when one measure stops the one below it goes
on, so all of them are stopped.

No signal tells the time: it would wake the loop of the test, and one that comes as trio takes its wake-up socket apart
is told as an error of the test. A thread looks at the clock and has the interpreter call us on the main thread.

It knows nothing of tests without `--cov`: there is nothing to stop.
"""

from __future__ import annotations

import ctypes
import threading
import time
from collections.abc import Callable, Generator, Iterator
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

    with while_young(Coverage.current, YOUNG_SECONDS):
        return (yield)


@contextmanager
def while_young(current: Callable[[], Measure | None], seconds: float) -> Iterator[None]:
    """Inside, all measuring stops when this process has computed for so long. Afterwards it goes on.

    `current` is the measure that was begun last and has not stopped.
    """
    stopped: list[Measure] = []

    def stop() -> None:
        while (measure := current()) is not None:
            measure.stop()
            stopped.append(measure)

    over = threading.Event()
    watch = threading.Thread(target=_after, args=(time.process_time() + seconds, over, stop), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()
        _due.clear()
        for measure in reversed(stopped):
            measure.start()


_due: list[Callable[[], None]] = []
"""What the main thread is to call when it is next between two instructions."""


@ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
def _call_due(_: object) -> int:
    while _due:
        _due.pop()()
    return 0


def _after(until: float, over: threading.Event, call: Callable[[], None]) -> None:
    """Have the main thread make this call once the process has computed until then, unless it is over before."""
    while (left := until - time.process_time()) > 0:
        if over.wait(max(left, 0.001)):
            return
    _due.append(call)
    ctypes.pythonapi.Py_AddPendingCall(_call_due, None)
