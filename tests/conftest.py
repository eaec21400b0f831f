"""Settings for all tests.

Hypothesis has no deadline, because the machine may be busy. With `CI` set its examples are the same on
each run; without it they are new ones, so that developers' runs go on searching.

Some suites run twice: see `twice`. Coverage is measured while a test is young: see `measured`.

Where tests are begun in the background Ctrl-C is ignored, and so it would be by the processes that they start: those
are to hear it.
"""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.measured import pytest_runtest_protocol
from tests.twice import place, pytest_generate_tests, pytest_pyfunc_call

__all__ = ["place", "pytest_collection", "pytest_generate_tests", "pytest_pyfunc_call", "pytest_runtest_protocol"]


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Ten thousand tests are made and none goes: looking for garbage meanwhile was a third of the time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()


settings.register_profile("developer", deadline=None, print_blob=True)
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "developer")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
